"""How did the members of a grid train, and where did they end, said in words that their numbers write?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from homolog.figures.trade import knows_recovered, names_in, where

MOST_NAMED = 3
# A share of the steps at their end: whether FVU still falls there says whether there were enough.
TAIL = 0.1


def say_ends(here: xr.Dataset) -> str:
    """FVU, L0 and loss recovered of each decomposition, over the members on all rows of trained runs."""
    counted = where(here, rows="all", untrained=False)
    parts = []
    for name in names_in(here, "decomposition"):
        each = where(counted, decomposition=name)
        parts.append(f"{name} {_span(each.fvu.values)} at L0 {_span(each.l0.values)}")
    said = f"FVU by method (median, and range over grid points, seeds and runs): {'; '.join(parts)}."
    return f"{said} {_say_recovered(here)}".rstrip()


def _say_recovered(here: xr.Dataset) -> str:
    """Loss recovered of each decomposition beside the untrained networks', where it is known."""
    if not knows_recovered(here):
        return ""
    parts = []
    for name in names_in(here, "decomposition"):
        each = where(here, decomposition=name, rows="all")
        of = [_span(where(each, untrained=kind).loss_recovered.values) for kind in (False, True)]
        parts.append(f"{name} {of[0]}, untrained {of[1]}")
    said = f"Loss recovered: {'; '.join(parts)}"
    return f"{said} (–: the mean in place of the activations does no harm)." if "–" in said else f"{said}."


def say_training(chosen: xr.Dataset) -> str:
    """How many members ended better than they began, which didn't, where they ended, and whether they were done."""
    counted = where(chosen, rows="all", untrained=False)
    ends = (
        f"On all rows of trained networks (median, and range): FVU {_span(counted.fvu.values)}, "
        f"L0 {_span(counted.l0.values)}, dead latents {_span(counted.dead_fraction.values, '{:.0%}')}."
    )
    return " ".join(part for part in (_say_progress(chosen), ends, _say_tail(counted)) if part)


def _say_progress(chosen: xr.Dataset) -> str:
    members = chosen.sizes["member"]
    if "curve_fvu" not in chosen:
        return f"{members} members."
    first, last = (np.array([curve[i] if curve.size else np.nan for curve in _curves(chosen)]) for i in (0, -1))
    failed = np.flatnonzero(~(last < first))
    text = f"{members - len(failed)} of {members} members end with a lower FVU than they began with"
    if not len(failed):
        return f"{text}."
    named = [_who(chosen.isel(member=i)) for i in failed[:MOST_NAMED]]
    more = [f"{len(failed) - MOST_NAMED} more"] if len(failed) > MOST_NAMED else []
    return f"{text}, unlike {'; '.join([*named, *more])}."


def _say_tail(counted: xr.Dataset) -> str:
    """How much FVU changed over the last steps, relative to what it was."""
    if "curve_fvu" not in counted:
        return ""
    changes = []
    for step, curve in zip(counted.curve_step.values, _curves(counted), strict=True):
        if curve.size > 1:
            begun = np.searchsorted(step[: curve.size], (1 - TAIL) * step[curve.size - 1], side="right") - 1
            changes.append(curve[-1] / curve[begun] - 1)
    return f"Over the last {TAIL:.0%} of the steps, batch FVU changed by {_span(np.array(changes), '{:+.1%}')}."


def _curves(members: xr.Dataset) -> list[np.ndarray]:
    """FVU of each member at the points that it has."""
    there = np.isfinite(members.curve_step.values)
    return [curve[here] for curve, here in zip(members.curve_fvu.values, there, strict=True)]


def _who(member: xr.Dataset) -> str:
    return f"{member.label.item()}, seed {member.seed.item()}, rows {member['rows'].item()} of {member.run.item()}"


def _span(values: np.ndarray, form: str = "{:.3g}") -> str:
    """Median and range of what is finite; the median alone where all say the same."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "–"
    middle, low, high = (form.format(value) for value in (np.median(finite), finite.min(), finite.max()))
    return middle if low == high else f"{middle} ({low} to {high})"
