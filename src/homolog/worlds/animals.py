"""Animals that are sums of attributes: more features than dimensions, of which one kind is made of the other."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.worlds.base import Drawn, World, orthonormal, unit


def animals(options: dict[str, Any], generator: torch.Generator) -> World:
    """Rows of one animal, of attributes, or of both; see `homolog.config.animals.AnimalsWorldOptions`.

    Features: the animals, then the attributes, which are orthonormal. An animal has a coefficient of its own on each
    attribute and, where there are labels, as much again in dimensions that mean nothing but which animal it is.
    """
    count, attributes, labels = options["animals"], options["attributes"], options["labels"]
    basis = orthonormal(attributes + labels, attributes + labels, generator)
    made = torch.cat([new_animals(count, basis[:attributes], basis[attributes:], generator), basis[:attributes]])
    shown = options["shows"]
    rate = 0.0 if shown == "animals" else options["active"] / attributes

    def draw(rows: int, own: torch.Generator) -> Drawn:
        codes = torch.zeros(rows, len(made))
        if shown != "attributes":
            which = torch.randint(count, (rows,), generator=own)
            codes[torch.arange(rows), which] = _sizes((rows,), own)
        on = torch.rand(rows, attributes, generator=own) < rate
        codes[:, count:] = on * _sizes((rows, attributes), own)
        units = len(basis)
        noise = options["noise"] * units**-0.5 * torch.randn(rows, units, generator=own)
        return Drawn(codes @ made + noise, codes)

    return World(made, draw, (shown != "attributes") + rate * attributes)


def new_animals(
    count: int,
    attributes: Float[Tensor, "attributes units"],
    labels: Float[Tensor, "labels units"],
    generator: torch.Generator,
) -> Float[Tensor, "animals units"]:
    """Unit directions: a random sum of attributes and, where there are labels, a random one of these as long."""
    parts = [unit(torch.randn(count, len(one), generator=generator)) @ one for one in (attributes, labels) if len(one)]
    return unit(torch.stack(parts).sum(0))


def labels_of(attributes: Float[Tensor, "attributes units"]) -> Float[Tensor, "labels units"]:
    """An orthonormal basis of what is orthogonal to the attributes; no rows where they span everything."""
    every: Tensor = torch.linalg.svd(attributes, full_matrices=True).Vh
    return every[len(attributes) :]


def _sizes(shape: tuple[int, ...], own: torch.Generator) -> Tensor:
    sizes: Tensor = 0.5 + torch.rand(shape, generator=own)
    return sizes
