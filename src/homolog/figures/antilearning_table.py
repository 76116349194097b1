"""The benchmark as a table that can be read on a page: what each recipe does to X and Y, pair by pair."""

from __future__ import annotations

import numpy as np
import xarray as xr

from homolog.figures.antilearning_findings import ANCHORS, answer, ran
from homolog.figures.panels import one_page, said_with_bounds

# Columns: variable, heading, form of the number.
COLUMNS = (
    ("x_accuracy", "accuracy on X", "{:z.2f}"),
    ("y_accuracy", "on Y", "{:z.2f}"),
    ("y_confidence", "confidence on Y", "{:z.2f}"),
    ("area", "area above scratch", "{:z.2f}"),
)
PROBES = ("linear_probe", "mlp_probe")
COMMAND = "python -m homolog antilearning-table results/experiments/antilearning/antilearning.nc"


def markdown(dataset: xr.Dataset) -> str:
    """A page: what is asked, the caption, then a table for each pair, a row for each recipe."""
    page = one_page(dataset)
    parts = [
        "# Antilearning: which recipe prevented Y, and which only hid it?",
        f"Written by `{COMMAND} > docs/antilearning.md`, after `snakemake antilearning`; what is measured, and what "
        "would fool it, stands in [science.md](science.md).",
        answer(page),
        f"Means over {page.attrs['replicates']} trainings with their 95 % intervals. Probes: accuracy on Y of the best "
        "layer but the logits, linear and with a hidden layer, above that of the same layer of a random init. Cost: "
        "thousand rows that passed forward and back, for each training.",
        *(_of_pair(page.sel(pair=name)) for name in page.pair.values),
    ]
    return "\n\n".join(parts) + "\n"


def heading() -> str:
    """The first row of every pair's table."""
    return " | ".join(["| recipe", *(said for _, said, _ in COLUMNS), "probes", "cost", "verdict |"])


def _of_pair(one: xr.Dataset) -> str:
    gate = {
        "answers": f"X alone gives Y: {said_with_bounds(one, 'transfer')} of what teaching both gives.",
        "circuit": "X alone gives no answers to Y, but a head start in learning it.",
        "none": f"No test of antilearning: X alone gives {said_with_bounds(one, 'transfer')} of Y.",
    }[str(one.gate.item())]
    null = f"Another scratch has an area of {said_with_bounds(one, 'area_null', '{:z.2f}')}; chance on Y is"
    rows = [_row(one.sel(recipe=name)) for name in ran(one)]
    said = f"{gate} {null} {float(one.chance):.2f}."
    table = "\n".join([heading(), "|" + " --- |" * (len(COLUMNS) + 4), *rows])
    return f"## {one.pair.item()}\n\n{said}\n\n{table}{_circuits(one)}"


def _row(one: xr.Dataset) -> str:
    name = str(one.recipe.item())
    cells = [said_with_bounds(one, variable, form) for variable, _, form in COLUMNS]
    gains = [_gain(one, probe) for probe in PROBES]
    cost = f"{float(one.passes):.0f}" if np.isfinite(float(one.passes)) else "0"
    verdict = "anchor" if name in ANCHORS else str(one.verdict.item())
    return f"| {' | '.join([name, *cells, ' / '.join(gains), cost, verdict])} |"


def _gain(one: xr.Dataset, probe: str) -> str:
    """Of the layer that is read best beyond a random init's; the logits are answers, not what is behind them."""
    gains = one[f"{probe}_gain"].sel(layer=[name for name in one.layer.values if name != "logits"]).dropna("layer")
    return f"{float(gains.max()):z.2f}" if gains.size else "-"


def _circuits(one: xr.Dataset) -> str:
    """Of circuits that are read off the parameters, what differs most between X only and X and Y."""
    if "energy" not in one:
        return ""
    shares = one.energy.sel(recipe=list(ANCHORS)).dropna("circuit")
    if not shares.sizes["circuit"]:
        return ""
    spread = abs(shares.sel(recipe="X only") - shares.sel(recipe="X and Y"))
    shown = shares.circuit.values[np.argsort(-spread.values, kind="stable")[:4]]
    rows = [
        f"| {name} | " + " | ".join(said_with_bounds(one.sel(recipe=a, circuit=name), "energy") for a in ANCHORS) + " |"
        for name in shown
    ]
    return "\n".join(["\n", f"| circuit | {' | '.join(ANCHORS)} |", "|" + " --- |" * 5, *rows])
