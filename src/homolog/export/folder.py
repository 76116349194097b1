"""How does a folder come about that others load: a dictionary for sae-lens, a table of its latents, and the card?"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import xarray as xr
from safetensors.torch import save

from homolog.decompositions.fit import choose_gauge
from homolog.dictionary import Dictionary
from homolog.export.card import card
from homolog.export.header import CARD, header_of, with_header
from homolog.export.raw import can_be_written, in_pairs, out_of_gauge
from homolog.export.returns import Place, latent_table, returns_of, similarities_of
from homolog.store.activation_samples import open_activations
from homolog.store.dictionaries import read_dictionaries
from homolog.store.experiments import read_experiment
from homolog.store.figures import write_text
from homolog.store.files import Attributes, atomic, header
from homolog.store.saelens import CONFIG, WEIGHTS, write_saelens
from homolog.store.tracks import read_tracks

ARTEFACT, LATENTS, DIRECTIONS = "export", "latents.csv", "directions.safetensors"
_ARRAYS = ("directions", "encoder", "encoder_bias", "bias", "threshold", "gain")


@dataclass(frozen=True)
class Said:
    """What is known of a run's dictionaries beside themselves: of the run, of the experiment, and of its tracks."""

    about: dict[str, Any]
    data: xr.Dataset
    tracks: xr.Dataset | None


def export_dictionaries(
    folder: Path,
    spec: dict[str, Any],
    dictionaries: str | Path,
    activations: str | Path,
    data: str | Path,
    tracks: Iterable[str | Path],
    provenance: Attributes,
) -> None:
    """Write every grid point of one decomposition of one run: into `folder`, or, of several, into folders within it.

    Of each the member goes out that is tracked: fitted to all training rows, with the lowest seed. `data` and `tracks`
    are files of the experiment; without tracks nothing is said of single latents. The card of `folder` is written
    last. Raises ValueError for files that don't fit, OSError when it can't be written.
    """
    (folder / CARD).unlink(missing_ok=True)
    stored = open_activations(activations, spec["hook_point"])
    gauge = choose_gauge(spec["decomposition"]["gauge"], stored)
    followed = next((read_tracks(path) for path in tracks), None)
    said = Said({**spec["about"], **_of_file(stored.attributes)}, read_experiment(data), followed)
    fitted = {label: out_of_gauge(one, gauge) for label, one in tracked(read_dictionaries(dictionaries)).items()}
    names = _names(fitted)
    _remove_others(folder, set(names.values()))
    for label, name in names.items():
        place = Place(spec["run"], spec["hook_point"], label)
        _export_one(folder / name, place, fitted[label], said, provenance)
    if len(fitted) > 1:
        lines = "\n".join(f"- [{label}]({name}/{CARD})" for label, name in names.items())
        title = f"# {spec['decomposition']['name']} at {spec['hook_point']} of {spec['run']}"
        _write_card(folder, f"{title}\n\n{lines}\n", provenance)


def tracked(members: list[Dictionary]) -> dict[str, Dictionary]:
    """By label the member of each grid point that tracks follow: fitted to all rows, of the lowest seed."""
    found: dict[str, Dictionary] = {}
    for one in sorted((d for d in members if d.member["rows"] == "all"), key=lambda d: int(d.member["seed"])):
        found.setdefault(str(one.member["label"]), one)
    return {str(one.member["label"]): found[str(one.member["label"])] for one in members if one.member["rows"] == "all"}


def _names(fitted: dict[str, Dictionary]) -> dict[str, str]:
    """The folder of each label: one alone needs none, of several what varies stands in brackets."""
    if len(fitted) == 1:
        return dict.fromkeys(fitted, "")
    return {label: label.partition("[")[2].rstrip("]") or label for label in fitted}


def _export_one(folder: Path, place: Place, dictionary: Dictionary, said: Said, provenance: Attributes) -> None:
    table = latent_table(dictionary, place, said.tracks)
    returns = None if said.tracks is None else returns_of(place, said.tracks, table)
    similarities = similarities_of(place, said.data)
    metadata = {
        "model_name": str(said.about.get("network", place.run)),
        "hook_name": str(said.about.get("module", place.hook_point)),
        "dataset_path": str(said.about.get("data", "")),
        "stability": _plain({"returns": returns and asdict(returns), "similarities": similarities}),
    }
    files = _write_arrays(folder, dictionary, metadata)
    buffer = StringIO()
    table.to_csv(buffer, index=False)
    write_text(folder / LATENTS, buffer.getvalue())
    files[LATENTS] = (
        "a row for each latent: rates, its track, in how many runs it is found, similarities and their null"
    )
    _write_card(folder, card(place, dictionary, said.about, returns, similarities, files), provenance)


def _write_arrays(folder: Path, dictionary: Dictionary, metadata: dict[str, Any]) -> dict[str, str]:
    """The dictionary as sae-lens loads it, where it can; what each file holds."""
    loads = "what `SAE.load_from_disk` of sae-lens reads, and `homolog.read_saelens`"
    if can_be_written(dictionary):
        write_saelens(folder, dictionary, metadata)
        (folder / DIRECTIONS).unlink(missing_ok=True)
        return {
            f"{CONFIG}`, `{WEIGHTS}": f"{loads}; codes are those that were compared, from activations as they stand"
        }
    for name in (CONFIG, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    found = {}
    if dictionary.activation == "identity":
        write_saelens(folder, in_pairs(dictionary), {**metadata, "pairs": True})
        latents = len(dictionary.directions)
        found[f"{CONFIG}`, `{WEIGHTS}"] = (
            f"{loads}: codes have both signs here, and none below zero there, so that latents {latents} to "
            f"{2 * latents - 1} are latents 0 to {latents - 1} with their sign turned; the difference of their codes "
            "is the code, and reconstructions are the same"
        )
    arrays = {name: array for name in _ARRAYS if (array := getattr(dictionary, name)) is not None}
    with atomic(folder / DIRECTIONS) as temporary:
        temporary.write_bytes(save({name: array.contiguous().clone() for name, array in arrays.items()}))
    found[DIRECTIONS] = (
        f"{', '.join(arrays)}: codes are {dictionary.activation} of (x - bias) @ encoder.T + encoder_bias, "
        "reconstructions codes @ directions + bias"
    )
    return found


def _write_card(folder: Path, text: str, provenance: Attributes) -> None:
    write_text(folder / CARD, with_header(text, header(ARTEFACT, _content(text), provenance)))


def _content(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _remove_others(folder: Path, names: set[str]) -> None:
    """Folders of grid points that were exported before and are no more."""
    for path in folder.iterdir() if folder.is_dir() else ():
        old = path / CARD
        if path.is_dir() and path.name not in names and old.is_file() and header_of(old.read_text(encoding="utf-8")):
            shutil.rmtree(path)


def _of_file(attributes: dict[str, Any]) -> dict[str, Any]:
    """What a file of activations says of what was read."""
    said = {"revision": attributes.get("revision"), "hash of the data": attributes.get("data")}
    return {name: value for name, value in said.items() if value}


def _plain(value: Any) -> Any:
    """As JSON has it: no NaN."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
