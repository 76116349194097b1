"""A network that adds modulo some p: has it learned to add modulo a p that it never saw?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.antilearning.base import Edits, Examples, Network, Task, TaskPair, edited
from homolog.antilearning.moduli import check_moduli
from homolog.antilearning.tokens import recipe_of, split_rows
from homolog.groups.base import logit_energies
from homolog.groups.cyclic import cyclic
from homolog.toys.modular import Modular, results, triples, wraps
from homolog.toys.training import Parameters


@dataclass(frozen=True)
class ModularLayers:
    """A `Modular` network with layers to be read: embeddings of sum and p, two hidden layers, the logits."""

    modular: Modular
    layers: tuple[str, ...] = ("embeddings", "hidden_1", "hidden_2", "logits")

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        """Parameters before training, each member's drawn alone."""
        return self.modular.start(members, generator)

    def activations(
        self, parameters: Parameters, inputs: Int[Tensor, "members rows 3"], edits: Edits | None = None
    ) -> dict[str, Float[Tensor, "members rows units"]]:
        """Each of `layers` at triples (a, b, p), after its edit."""
        network = self.modular
        embedded = edited(edits, "embeddings", network.embedded(parameters, inputs))
        first = edited(edits, "hidden_1", network.first(parameters, embedded))
        second = edited(edits, "hidden_2", network.second(parameters, first))
        logits = edited(edits, "logits", network.read_out(parameters, second))
        return {"embeddings": embedded, "hidden_1": first, "hidden_2": second, "logits": logits}


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> TaskPair:
    """X: unordered pairs of numbers below each of `ps`, with p as a third token; Y: the same for `unseen` moduli.

    What is held out of Y are wrap-around pairs alone, ``a + b >= p``: the others are plain sums, which X teaches.
    Raises ValueError for a p that stands twice, on both sides, or has no token (`check_moduli`).
    """
    seen, unseen = list(options["ps"]), list(options["unseen"])
    check_moduli(seen, unseen)
    network = ModularLayers(Modular(max(seen), options["width"], options["hidden"]))
    stages = options["stages"]
    x = _task("ps", seen, options["share"], stages, members, *key)
    y = _task("unseen", unseen, options["y_share"], 1, members, *key)
    return TaskPair(
        name="modular_p",
        network=network,
        classes=max(seen),
        x=x,
        y=Task(y.train, _wrapping(y.test)),
        recipe=recipe_of(options),
        energies=partial(circular_shares, network=network, moduli={"seen": seen, "unseen": unseen}),
        facts={"p": ", ".join(map(str, seen)), "unseen p": ", ".join(map(str, unseen)), "chance": 1 / max(seen)},
    )


def _task(name: str, moduli: list[int], share: float, stages: int, members: int, *key: str | int) -> Task:
    """`stages`: in so many parts may moduli come one after another, in the order in which they are named."""
    rows = triples(moduli)
    place = torch.empty(max(moduli) + 1, dtype=torch.long)
    place[torch.tensor(moduli)] = torch.arange(len(moduli)) * stages // len(moduli)
    part = place[rows[:, 2]] if stages > 1 else None
    return split_rows(f"modular_p, {name}", rows, results(rows), share, members, *key, name, part=part)


def _wrapping(test: Examples) -> Examples:
    """Wrap-around rows alone, as many of each member as the one with fewest has."""
    wrapping = wraps(test.inputs)
    fewest = int(wrapping.sum(1).min())
    if not fewest:
        raise ValueError("modular_p: no wrap-around pair of the unseen p is held out: lower y_share or name larger p.")
    return test.at(torch.stack([row.nonzero()[:fewest, 0] for row in wrapping]))


def circular_shares(
    parameters: Parameters, network: Network, moduli: Mapping[str, Sequence[int]]
) -> dict[str, Float[Tensor, " members"]]:
    """How much of the logits for each p is a function of ``a + b - c`` modulo p, and of its largest frequency alone.

    Means over the moduli of X (``seen``) and of Y (``unseen``) of shares of the variance over (a, b, c below p). A
    circuit of few frequencies, as networks have that learned one p (Nanda et al., 2023), has a large ``one frequency``.
    """
    found = {}
    for name, part in moduli.items():
        shares = torch.stack([_frequencies(parameters, network, p) for p in part])
        found[f"{name} p, circular"] = shares[:, 0].mean(0)
        found[f"{name} p, one frequency"] = shares[:, 1].mean(0)
    return found


def _frequencies(parameters: Parameters, network: Network, p: int) -> Float[Tensor, "2 members"]:
    members = len(parameters["numbers"])
    numbers = torch.arange(p)
    rows = torch.cartesian_prod(numbers, numbers, torch.tensor([p])).expand(members, -1, 3)
    logits = network.activations(parameters, rows)["logits"][..., :p].reshape(members, p, p, p)
    shares = logit_energies(cyclic(p), logits)
    return torch.stack([shares.sum(1), shares.max(1).values])
