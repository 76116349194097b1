"""Objects that have a colour and a shape: two factors, and combinations of which some are never shown."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.worlds.base import Drawn, World, unit


def combinations(options: dict[str, Any], generator: torch.Generator) -> World:
    """Rows that are sums of objects; see `homolog.config.worlds.CombinationsWorldOptions` for what may be said.

    Features: colours, shapes and, where `own` is above 0, a direction for each combination (colour by colour).
    Raises ValueError for more held out combinations than colours, or none that is shown.
    """
    values, out = options["values"], options["held_out"]
    if out > values or values < 2:
        raise ValueError(
            f"combinations: held_out = {out} of values = {values}; allowed: up to values, and at least 2 values; lower "
            "held_out or raise values."
        )
    count = 2 * values + (values**2 if options["own"] > 0 else 0)
    features = unit(torch.randn(count, options["units"], generator=generator))

    def draw(rows: int, own: torch.Generator) -> Drawn:
        codes = torch.zeros(rows, count)
        for _ in range(options["objects"]):
            codes = codes + _objects(options, rows, own)
        return rows_of(options, features, codes, own)

    return World(features, draw, (2 - options["alone"]) * options["objects"])


def held_out(options: dict[str, Any]) -> Bool[Tensor, "colours shapes"]:
    """Which combinations are never shown: the first colours, each with the shape that follows its own."""
    never = torch.zeros(options["values"], options["values"], dtype=torch.bool)
    colours = torch.arange(options["held_out"])
    never[colours, (colours + 1) % options["values"]] = True
    return never


def codes_of(
    options: dict[str, Any], colour: Int[Tensor, " rows"], shape: Int[Tensor, " rows"], own: torch.Generator
) -> Float[Tensor, "rows features"]:
    """Codes of one object a row: its colour and shape, each of its own size, and what the two have together."""
    values = options["values"]
    count = 2 * values + (values**2 if options["own"] > 0 else 0)
    codes, rows = torch.zeros(len(colour), count), torch.arange(len(colour))
    sizes = 0.75 + 0.5 * torch.rand(2, len(colour), generator=own)
    codes[rows, colour] = sizes[0]
    codes[rows, values + shape] = sizes[1]
    if options["own"] > 0:
        codes[rows, 2 * values + values * colour + shape] = options["own"]
    return codes


def rows_of(options: dict[str, Any], features: Tensor, codes: Tensor, own: torch.Generator) -> Drawn:
    """Rows of these codes, with noise."""
    noise = options["noise"] * options["units"] ** -0.5
    return Drawn(codes @ features + noise * torch.randn(len(codes), options["units"], generator=own), codes)


def _objects(options: dict[str, Any], rows: int, own: torch.Generator) -> Float[Tensor, "rows features"]:
    """One object a row; a combination that is never shown is drawn again as another one, of all that are."""
    values = options["values"]
    colour = torch.randint(values, (rows,), generator=own)
    free = torch.randint(values, (rows,), generator=own)
    shape = torch.where(torch.rand(rows, generator=own) < options["correlation"], colour, free)
    shown = (~held_out(options)).flatten().nonzero()[:, 0]
    again = shown[torch.randint(len(shown), (rows,), generator=own)]
    never = held_out(options)[colour, shape]
    colour, shape = (
        torch.where(never, other, one) for other, one in ((again // values, colour), (again % values, shape))
    )
    codes = codes_of(options, colour, shape, own)
    alone = torch.rand(rows, generator=own) < options["alone"]
    lacks = torch.rand(rows, generator=own) < 0.5
    codes[alone & lacks, :values] = 0
    codes[alone & ~lacks, values : 2 * values] = 0
    codes[alone, 2 * values :] = 0
    return codes
