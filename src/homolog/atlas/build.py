"""Build the atlas of one experiment from its tracks and the runs behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Int

from homolog.atlas.activity import SHOWN
from homolog.atlas.fates import fates
from homolog.atlas.items import Change, Series, columns, records
from homolog.atlas.members import RowsToTell
from homolog.atlas.pages import short, write_script
from homolog.atlas.reading import Inputs, RunReader, Source
from homolog.atlas.sheets import write_sheet
from homolog.atlas.shown import Shown
from homolog.atlas.site import new_site, table_library, write_site
from homolog.dictionary import Dictionary
from homolog.figures.tracks import headline
from homolog.store.files import Attributes

# Items on a page of data.
PER_PAGE = 50
Progress = Callable[[Iterable[Any]], Iterable[Any]]


def build(
    folder: Path,
    spec: dict[str, Any],
    tracks: xr.Dataset,
    activations: Iterable[str],
    source: Source,
    provenance: Attributes,
    progress: Progress = iter,
) -> None:
    """Write the atlas of `tracks` into `folder`, whole or not at all.

    `activations` are the paths of the activation files of all runs, by which their folders are known; `source` is what
    `read_source` gives of the spec. Raises ValueError for files that are absent
    or don't fit and where the library of tables isn't installed, OSError where the folder can't be written.
    """
    tables = table_library()
    counted = tracks.run.values[tracks.accepted_run.values.astype(bool)].tolist()
    paths = {f"{path.parent.parent.name}/{path.parent.name}": path for path in map(Path, activations)}
    inputs = Inputs.read(spec, paths[counted[0]], source)
    series = _all_series(spec, tracks, [paths[run].parent for run in counted], inputs, progress)
    with new_site(folder) as new:
        data = new / "data"
        used = _used(series, inputs)
        shown = inputs.shown.write(data, used)
        listed = _write_lists(data, series, inputs.shown.words())
        names = _write_names(data, series, inputs.shown)
        _write_items(data, series, tracks, inputs, inputs.shown.addresses(used))
        about = _about(spec, tracks, series, shown, len(inputs.shown.index))
        about["maps"] = any(looked.maps is not None for one in series for looked in one.looked)
        about["names"] = {one: names[one] for one in listed if one in names}
        write_script(data, "about", about)
        points = [str(point) for point in tracks.hook_point.values] if "survival" in tracks else [""]
        told = {"headlines": _headlines(tracks, points), "within": _within(spec)}
        told["noun"] = inputs.shown.noun
        write_site(new, tables, spec["experiment"], told, provenance)


def _headlines(tracks: xr.Dataset, points: list[str]) -> list[str]:
    """What the tracks of each hook point come to, by its name where there are several."""
    said = [headline(tracks, point) for point in points]
    return [f"{point}: {one}" for point, one in zip(points, said, strict=True)] if len(points) > 1 else said


def _within(spec: dict[str, Any]) -> str:
    """Within what inputs were shuffled for the conditional null, in a word."""
    return "class" if spec["within"] == "label" else str(spec["within"])


def _used(series: list[Series], inputs: Inputs) -> Int[np.ndarray, " used"]:
    """The inputs that some latent shows, ascending."""
    shown = np.zeros(len(inputs.shown.numbers), bool)
    for activity in (one.activity for of_series in series for one in of_series.looked):
        for kept in (activity.top, activity.sample):
            row = kept.row[:, :SHOWN]
            shown[inputs.shown.unit[row[row >= 0]]] = True
    return np.flatnonzero(shown)


def _all_series(
    spec: dict[str, Any], tracks: xr.Dataset, folders: list[Path], inputs: Inputs, progress: Progress
) -> list[Series]:
    """Hook point by hook point, every grid point of every decomposition, all runs in the order of the file."""
    jobs = [(point, options) for point in spec["hook_points"] for options in spec["decompositions"]]
    found: list[Series] = []
    first = tracks.sizes["track"]
    for point, options in progress(jobs):
        runs = [f"{folder.parent.name}/{folder.name}" for folder in folders]
        opened = [spec["opened"].get(run) for run in runs]
        readers = [
            RunReader(folder, point, options["gauge"], inputs, how) for folder, how in zip(folders, opened, strict=True)
        ]
        looked = [reader.looked(options["name"]) for reader in readers]
        for label in looked[0]:
            mine, summary = _of_series(tracks, point, label)
            one = Series(point, label, runs, [of_run[label] for of_run in looked], mine, summary, first)
            first += len(one.members) - mine.sizes["track"]
            found.append(one)
    return found


def _of_series(tracks: xr.Dataset, point: str, label: str) -> tuple[xr.Dataset, xr.Dataset | None]:
    """The tracks of one decomposition at one hook point, and what the file says of them together, if there are any."""
    if "hook_point_of_track" not in tracks:
        return tracks.isel(track=slice(0)), None
    here = (tracks.hook_point_of_track == point) & (tracks.decomposition_of_track == label)
    return tracks.isel(track=np.flatnonzero(here)), tracks.sel(hook_point=point, decomposition=label)


def _write_lists(data: Path, series: list[Series], words: list[str | None]) -> list[int]:
    """`tracks.js` and `alone.js`: columns over the items of all series; gives the logits that they name."""
    parts: dict[str, dict[str, list[Any]]] = {"tracks": {}, "alone": {}}
    for number, one in enumerate(series):
        cut = one.tracks.sizes["track"]
        for name, values in {"series": [number] * len(one.members), **columns(one, words)}.items():
            parts["tracks"].setdefault(name, []).extend(values[:cut])
            parts["alone"].setdefault(name, []).extend(values[cut:])
    for name, listed in parts.items():
        write_script(data, name, listed)
    return sorted({one for listed in parts.values() for one in listed["effect_class"] if one >= 0})


def _write_names(data: Path, series: list[Series], shown: Shown) -> dict[int, str]:
    """`names.js`: what the classes or tokens are called whose logits some latent changes most."""
    effects = [one.effects for of_series in series for one in of_series.looked if one.effects is not None]
    used = np.unique(np.concatenate([np.empty(0, np.int64), *(one.strongest.which.ravel() for one in effects)]))
    names = {one: name for one in used.tolist() if (name := shown.logit_name(one)) is not None}
    write_script(data, "names", names)
    return names


def _write_items(
    data: Path, series: list[Series], tracks: xr.Dataset, inputs: Inputs, address: Int[np.ndarray, " held_out"]
) -> None:
    """`items/<number>.js`, and where there are maps `maps/<number>.png`, in the order of the items' numbers."""
    number_of = {
        (one.runs[run], one.hook_point, one.label, latent): int(item)
        for one in series
        for item, members in zip(one.ids, one.members.tolist(), strict=True)
        for run, latent in enumerate(members)
        if latent >= 0
    }
    became, changes = fates(tracks), _changes(tracks)
    rows = RowsToTell(address, inputs.shown.place, inputs.shown.reach)
    page: list[tuple[Series, Any]] = []
    numbers = count()
    for one, items in _in_order(series):
        for told in records(one, items, rows, became, changes, number_of):
            page.append((one, told))
            if len(page) == PER_PAGE:
                _write_page(data, next(numbers), page, inputs)
                page = []
    if page:
        _write_page(data, next(numbers), page, inputs)


def _in_order(series: list[Series]) -> Iterator[tuple[Series, range]]:
    """As the atlas numbers items: all tracks, then all latents without one."""
    yield from ((one, range(one.tracks.sizes["track"])) for one in series)
    yield from ((one, range(one.tracks.sizes["track"], len(one.members))) for one in series)


def _write_page(data: Path, number: int, page: list[tuple[Series, Any]], inputs: Inputs) -> None:
    write_script(data, f"items/{number}", [told for _, told in page])
    members = [(one.looked[member["run"]].maps, member["latent"]) for one, told in page for member in told["members"]]
    found = [maps[latent] for maps, latent in members if maps is not None]
    if found and inputs.image_shape is not None:
        values = np.stack(found)
        # Each over its own largest value, so that 0 stands in the middle of the colours.
        largest = np.abs(values).max(1, keepdims=True)
        pictures = (values / np.where(largest > 0, largest, 1)).reshape(-1, *inputs.image_shape, 1)
        write_sheet(data / "maps" / f"{number}.png", pictures, "PuOr_r", (-1.0, 1.0))


def _changes(tracks: xr.Dataset) -> list[Change]:
    names = ("kind", "group", "hook_point", "before", "after", "decomposition_before", "decomposition_after")
    if "change" not in tracks.dims:
        return []
    told = {name: tracks[f"change_{name}"].values.tolist() for name in names}
    return [dict(zip(told, map(str, row), strict=True)) for row in zip(*told.values(), strict=True)]


def _about(
    spec: dict[str, Any], tracks: xr.Dataset, series: list[Series], shown: dict[str, Any], rows: int
) -> dict[str, Any]:
    """What all pages need to know."""
    return {
        "experiment": spec["experiment"],
        "runs": series[0].runs,
        "groups": dict(zip(map(str, tracks.group.values), tracks.runs_in.values.tolist(), strict=True)),
        "rows": rows,
        "within": _within(spec),
        "shown": shown,
        "per_page": PER_PAGE,
        "options": {name: float(tracks.attrs[name]) for name in ("quorum", "least_runs", "null_draws", "confidence")},
        "series": [_of_all(one) for one in series],
        "changes": _changes(tracks),
    }


def _loss_recovered(dictionary: Dictionary) -> float:
    return float(short(np.array(float(dictionary.member.get("loss_recovered", np.nan)))))


def _of_all(one: Series) -> dict[str, Any]:
    """What a page needs to know of a decomposition: its nulls."""
    told: dict[str, Any] = {
        "hook_point": one.hook_point,
        "decomposition": one.label,
        "tracks": one.tracks.sizes["track"],
        "alone": len(one.members) - one.tracks.sizes["track"],
        "silent": one.silent,
        "signed": one.signed,
        # Of the runs whose networks are at hand, and whose loss a dictionary could be told to recover.
        "loss_recovered": [_loss_recovered(looked.dictionary) for looked in one.looked],
        "near_by_chance": short(np.array(one.near_by_chance)).item(),
    }
    if one.summary is not None:
        names = ("survival", "null_survival", "conditional_null_survival", "link_level")
        told |= {name: short(one.summary[name].values).tolist() for name in names}
    return told
