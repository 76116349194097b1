"""A world of few features, one on each row: a mixture of Gaussians, whose means are what there is to find."""

from __future__ import annotations

from typing import Any

import torch

from homolog.worlds.base import Drawn, World, unit


def mixture(options: dict[str, Any], generator: torch.Generator) -> World:
    """Rows ``mean + noise``, the mean one of `features` random directions of norm 1, each as often.

    `noise` is the norm of the noise of a row in the mean square: every Gaussian is isotropic, so that within it no
    direction is a feature.
    """
    count, units = options["features"], options["units"]
    means = unit(torch.randn(count, units, generator=generator))

    def draw(rows: int, own: torch.Generator) -> Drawn:
        codes = torch.nn.functional.one_hot(torch.randint(count, (rows,), generator=own), count).float()
        noise = options["noise"] * units**-0.5 * torch.randn(rows, units, generator=own)
        return Drawn(codes @ means + noise, codes)

    return World(means, draw, 1.0)
