"""What did an experiment on stability find, said in words that its numbers write?"""

from __future__ import annotations

from math import isnan

import xarray as xr

MATCHING = "hungarian"
PRIMARY = "score"
# Methods whose reliabilities differ by less (or by less than two standard errors) are named together.
AS_RELIABLE = 0.02
MOST_NAMED = 4
# Share of false discoveries among the latents that are said to return.
LEVEL = 0.05

# What a conditional null shuffles inputs within, by the name of those numbers: of one, of several.
KEPT = {"label": ("class", "classes"), "token_id": ("token", "tokens")}


def kept(dataset: xr.Dataset) -> tuple[str, str]:
    """What the conditional null shuffles within, one of it and several."""
    name = str(dataset.attrs.get("conditional_on", "label"))
    return KEPT.get(name, (name, f"equal {name}"))


def headline(dataset: xr.Dataset) -> str:
    """What was found: the most reliable method, how much returns, and how much was there before training."""
    page = dataset.isel(hook_point=0)
    first = page.isel(comparison=0).sel(view=PRIMARY, matching=MATCHING)
    judged = first.where(first.excess.notnull(), drop=True)
    if not judged.sizes["decomposition"]:
        return (
            f"No method has a reliability clear of chance here ({int(first.n_accepted_pairs)} accepted pairs of runs; "
            "an interval needs at least 3 runs): nothing can be said of stability yet."
        )
    most = judged.isel(decomposition=int(judged.reliability.values.argmax()))
    margin = max(2 * float(most.reliability_error), AS_RELIABLE)
    tied = judged.reliability.values >= float(most.reliability) - margin
    best, others = judged.decomposition.values[tied], judged.decomposition.values[~tied]
    kind = str(page.comparison_kind.values[0])
    runs = "independently trained" if kind == "independent" else kind.replace("-", " and ")
    returned = _list([f"{name} {_with_interval(judged.sel(decomposition=name))}" for name in best])
    rest = _list([f"{name} {_in_short(judged.sel(decomposition=name))}" for name in others])
    verb = "tells" if len(best) == 1 else "tell"
    return (
        f"{_list(list(best), ' and ')} {verb} most reliably: a refit on other data of the same run agrees to "
        f"{float(most.ceiling):.2f} (chance {float(most.null):.2f}). Of that, what returns between {runs} runs is "
        f"{returned}. "
        + (f"Less reliable: {rest}. " if rest else "")
        + _elsewhere(page)
        + _on_directions(page)
        + " "
        + count_latents(page)
    )


def count_latents(page: xr.Dataset) -> str:
    """How many latents of the first base return by themselves, and in how many runs, in the primary view."""
    one = page.isel(hook_point=0) if "hook_point" in page.dims else page
    base = one.isel(base=0).sel(view=PRIMARY)
    runs = int(base.base_runs)
    parts = []
    for name in base.decomposition.values:
        cell = base.sel(decomposition=name)
        live = int(cell.latent_found.notnull().sum())
        every = int((cell.latent_found == runs).sum())
        clear = int((cell.latent_adjusted_p_value <= LEVEL).sum())
        parts += [f"{name} {clear} of {live} ({every} in {runs} of {runs} runs)"] if live else []
    if not parts:
        return "No latent could be held against another run."
    tested = f"clearly more alike than a dictionary turned within the spectrum ({LEVEL:.0%} false discoveries)"
    bound = float(base.latent_found_low.where(base.latent_found == runs).max())
    surely = f" Found in {runs} of {runs} means: in at least {bound:.0%} of runs, at 95 %." if bound == bound else ""
    return f"Latents of {base.base_run.item()} that are {tested}: {_list(parts)}.{surely}"


def _list(parts: list[str], joint: str = ", ") -> str:
    """The first few of many, and how many there are besides: a sentence is no table."""
    more = f"{joint}{len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return joint.join(parts[:MOST_NAMED]) + more


def _with_interval(cell: xr.Dataset) -> str:
    low, high = float(cell.excess_low), float(cell.excess_high)
    before = _before(cell)
    told = "" if isnan(before) else f" ({before:.0%} before the redrawn weights are trained)"
    return f"{float(cell.excess):.0%} [{low:.0%}, {high:.0%}]{told}"


def _elsewhere(page: xr.Dataset) -> str:
    """The primary view's excess in the other conditions, if there are any."""
    seen = {str(page.comparison_condition.values[0])}
    parts = []
    for index, condition in enumerate(page.comparison_condition.values):
        if condition not in seen:
            seen.add(str(condition))
            shares = page.excess.isel(comparison=index).sel(view=PRIMARY, matching=MATCHING)
            listed = [f"{n} {float(shares.sel(decomposition=n)):.0%}" for n in page.decomposition.values]
            parts.append(f"{str(condition).capitalize()}: {_list(listed).replace('nan%', '–')}. ")
    return "".join(parts)


def _before(cell: xr.Dataset) -> float:
    return float((cell.initial - cell.null) / cell.reliability)


def _in_short(cell: xr.Dataset) -> str:
    before = _before(cell)
    told = "" if isnan(before) else f" ({before:.0%} before)"
    return f"{float(cell.excess):.0%} of a ceiling of {float(cell.ceiling):.2f}{told}"


def _on_directions(page: xr.Dataset) -> str:
    """What the views of directions add to the primary one."""
    legal = [
        v for v in ("write_out", "read_in") if v in page.view and bool(page.identified.isel(comparison=0).sel(view=v))
    ]
    parts = []
    for view in legal:
        shares = page.excess.isel(comparison=0).sel(view=view, matching=MATCHING)
        known = shares.where(shares.notnull(), drop=True)
        if known.size:
            parts.append(f"{float(known.min()):.0%} to {float(known.max()):.0%} in {view}")
    return f"As directions, what returns is {', '.join(parts)}." if parts else ""
