"""How alike are these dictionaries, latent by latent? `homolog.compare`, without a workflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from homolog.comparing.assemble import assemble
from homolog.comparing.chance import NULLS, draws_needed
from homolog.comparing.choosing import MATCHINGS
from homolog.comparing.dictionaries import Refits, read_refits
from homolog.comparing.measure import Options, Progress, Runs, explained_by_labels, measure
from homolog.comparing.result import Comparison
from homolog.comparing.rows import Rows, check_rows, read_rows
from homolog.comparing.views import MAPPED, RANKS, SHARED, VIEWS
from homolog.comparing.warnings import check_rows_per_unit, warnings
from homolog.fitting import device_of
from homolog.store.recorded import FEWEST_ROWS


def compare(
    dictionaries: Mapping[str, Any] | Sequence[Any],
    activations: Any,
    *,
    names: Sequence[str] | None = None,
    hook_point: str | Sequence[str | None] | None = None,
    labels: Any = None,
    views: Sequence[str] | None = None,
    not_identified: Sequence[str] = (),
    matching: str = "mutual",
    null: str = "spectrum",
    null_draws: int | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress = iter,
) -> Comparison:
    """Compare two or more dictionaries latent by latent, on rows that they weren't fitted to. Trains nothing.

    Pairs are chosen on one half of the rows and scored on the other. See docs/python.md, "Comparing".

    Args:
        dictionaries: Two or more, by name or in order. Each is a `Dictionary`; an array of directions (latent, unit); a
            tuple (encoder, directions); a dict of arrays; a path: a folder of sae-lens, sparsify or
            dictionary_learning, a `<decomposition>.h5`, .npy or .npz; or a list of these: refits of one run (other
            seeds, or fits to halves of its data), whose likeness is the ceiling.
        activations: (sample, unit), a tensor, array or file (.npy, .npz, .h5): one for all dictionaries, or a list with
            one for each, read by different networks from the same inputs in the same order. Of an activations.h5 of the
            pipeline the test rows are taken.
        names: Of the dictionaries; by default their labels or folders.
        hook_point: Which array of a file, where it holds several; one for all, or one for each.
        labels: A whole number for each row, such as its class or token, or the name that a file with the activations
            has for them: what is left when inputs change places within equal ones is shown beside the null.
        views: Which to compute; by default all that are identified. Asking for one that isn't raises an error.
        not_identified: Views to show all the same, labelled as what they are.
        matching: ``mutual``: each latent's most similar one, found only where this goes both ways; ``best``: many to
            one; ``hungarian``: one to one, with the largest sum.
        null: ``spectrum``: dictionaries turned within the spectrum of their data; ``permutation``: inputs shuffled, and
            directions turned at random, a weaker null that asks for no minimum of rows.
        null_draws: By default as many as make 2000 null values for each stratum of latents.
        seed: Of the null's random numbers.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``: where codes are computed and directions multiplied. Dense
            codes are correlated there block by block too; sparse codes, and assignments, on the CPU.
        progress: A function around the steps, as tqdm's.

    Returns:
        A `Comparison`: print it, look at `table`, call `plot()` and `save(path)`.

    Raises:
        ValueError: One line that says what is wrong with what was given, and the way out.
    """
    given, names = _named(dictionaries, names)
    where = device_of(device)
    refits = [read_refits(one, f"dictionary {name}") for one, name in zip(given, names, strict=True)]
    names = _labels(refits, names, dictionaries)
    sources = list(activations) if isinstance(activations, list | tuple) else [activations] * len(given)
    points: list[str | None]
    points = [hook_point] * len(given) if hook_point is None or isinstance(hook_point, str) else list(hook_point)
    if len(sources) != len(given) or len(points) != len(given):
        raise ValueError(
            f"{len(given)} dictionaries, {len(sources)} activations and {len(points)} hook points were given: give one "
            "for all, or a list with one for each dictionary."
        )
    rows, basis = read_rows(sources, [one.gauge for one in refits], points, labels)
    note = check_rows(rows, names)
    runs = Runs(names, [_in_order(*each) for each in zip(refits, rows, names, strict=True)], rows, basis, where)
    check_rows_per_unit(runs, null)
    options = _options(runs, views, not_identified, matching, null, null_draws, seed)
    _check_live(runs)
    with torch.no_grad():
        lone = all(one.projected for one in refits) and len(set(basis)) == 1 and "neuron" in options.views
        primary = "neuron" if lone else options.views[0]
        labelled = explained_by_labels(runs, options)
        dataset = assemble(runs, options, measure(runs, options, progress), labelled, primary)
        told = [*warnings(runs, options), *([note] if note else [])]
    samples, units = rows[0].whole.samples, sorted({one.whole.units for one in rows})
    facts = {"primary": primary, "matching": matching, "null": null, "null_draws": options.draws, "seed": seed}
    return Comparison(
        dataset.assign_attrs(**facts, rows=samples, units=", ".join(map(str, units)), warnings="\n".join(told))
    )


def _named(dictionaries: Any, names: Sequence[str] | None) -> tuple[list[Any], list[str]]:
    if isinstance(dictionaries, Mapping):
        given, own = list(dictionaries.values()), [str(name) for name in dictionaries]
    elif isinstance(dictionaries, Iterable) and not isinstance(dictionaries, str | torch.Tensor):
        given = list(dictionaries)
        own = [str(name) for name in names] if names is not None else [str(i) for i in range(len(given))]
    else:
        raise ValueError(
            f"dictionaries is {type(dictionaries).__name__}; give a list, or a dict by name, of two or more."
        )
    if len(given) < 2:
        raise ValueError(f"{len(given)} dictionary was given, and a comparison needs at least 2.")
    if len(own) != len(given) or len(set(own)) < len(own):
        raise ValueError(f"names are {', '.join(own)}; give {len(given)} that differ, one for each dictionary.")
    return given, own


def _labels(refits: list[Refits], names: list[str], dictionaries: Any) -> list[str]:
    """Names that were given, or the dictionaries' labels, with a number where these aren't unique."""
    if isinstance(dictionaries, Mapping) or names != [str(i) for i in range(len(names))]:
        return names
    labels = [one.label for one in refits]
    return [label if labels.count(label) == 1 else f"{label}_{i}" for i, label in enumerate(labels)]


def _in_order(refits: Refits, rows: Rows, name: str) -> Refits:
    """The dictionaries over the units as the rows have them; a ValueError when the widths differ."""
    for member in refits.members:
        units = member.directions.shape[1]
        if units != rows.whole.units:
            raise ValueError(
                f"dictionary {name} has directions of {units} units, and its activations {rows.whole.units}: give "
                "those of its hook point."
            )
    if rows.order is None:
        return refits
    order = rows.order
    return replace(
        refits,
        members=[
            replace(one, directions=one.directions[:, order], encoder=one.encoder[:, order], bias=one.bias[order])
            for one in refits.members
        ],
    )


def _options(
    runs: Runs,
    views: Sequence[str] | None,
    not_identified: Sequence[str],
    matching: str,
    null: str,
    draws: int | None,
    seed: int,
) -> Options:
    for kind, value, allowed in (("matching", matching, MATCHINGS), ("null", null, NULLS)):
        if value not in allowed:
            raise ValueError(f"{kind} is {value!r}; allowed: {', '.join(allowed)}.")
    if draws is not None and draws < 2:
        raise ValueError(f"null_draws is {draws}; a null needs at least 2: leave it out for as many as it takes.")
    unknown = [view for view in (*(views or ()), *not_identified) if view not in VIEWS]
    if unknown:
        raise ValueError(f"view {unknown[0]!r} isn't known; allowed: {', '.join(VIEWS)}.")
    pairs = [(i, j) for j in range(len(runs)) for i in range(j)]
    can = {view: any(runs.has(view, i, j) for i, j in pairs) for view in VIEWS}
    if any(rows.whole.samples < FEWEST_ROWS * rows.whole.units for rows in runs.rows):
        can |= dict.fromkeys(MAPPED, False)  # Too few to fit a map to.
    legal = {
        view: can[view] and all(runs.identified(view, i, j) for i, j in pairs if runs.has(view, i, j)) for view in VIEWS
    }
    for view in views or ():
        if can[view] and not legal[view] and view not in not_identified:
            raise ValueError(
                f"view {view!r} isn't identified: these are activations of different networks, and nothing fixes the "
                f"basis of one to the other's; take {', '.join(name for name in VIEWS if legal[name])}, or ask for it "
                f"as not_identified=[{view!r}]."
            )
        if not can[view]:
            raise ValueError(
                f"view {view!r} can't be computed here ({_needs(view)}); what can is "
                f"{', '.join(name for name in VIEWS if legal[name])}."
            )
    chosen = [view for view in VIEWS if legal[view]] if views is None else list(views)
    chosen += [view for view in not_identified if view not in chosen and can[view]]
    forced = [view for view in chosen if not legal[view]]
    size = min(int(runs.side(i).live.sum()) for i in range(len(runs)))
    return Options(chosen, forced, matching, null, draws or draws_needed(size), seed)


def _needs(view: str) -> str:
    if view in SHARED:
        return "it needs equal widths" + (", and encoders" if view == "encoder" else "")
    if view == RANKS:
        return "it needs ordered dictionaries"
    return "it needs sparse codes" if view == "jaccard" else "it needs two networks of equal width, and 4 rows per unit"


def _check_live(runs: Runs) -> None:
    for i, name in enumerate(runs.names):
        if not runs.side(i).live.any():
            raise ValueError(
                f"none of the {runs.side(i).latents} latents of dictionary {name} fires in both halves of the "
                f"{runs.rows[i].whole.samples} rows: give the activations of its hook point, unscaled, or more rows."
            )
