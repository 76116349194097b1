"""Dictionaries that others trained, read from disk and measured on the rows on which they are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from homolog.comparing.dictionaries import read_refits
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary, quality
from homolog.store.activation_samples import StoredActivations, choose_samples
from homolog.tasks.base import TEST


def read_given(spec: dict[str, Any], activations: StoredActivations) -> list[Dictionary]:
    """The dictionaries at ``spec["paths"]``, refits of one run: of a first path alone there is no ceiling.

    Each is a member by the seed and the rows that its file names, where these tell all of them apart, or else by its
    number. ``fvu``, ``l0``, ``dead_fraction`` and firing rates are those of the test rows. Raises ValueError, one line,
    for what can't be read, another width than that of the activations, codes that aren't finite, and a dictionary of
    which no latent fires.
    """
    found = []
    test = choose_samples(activations, activations.rows.where(TEST), None)
    for path in spec["paths"]:
        where = f"decomposition {spec['name']} of {activations.run}"
        refits = read_refits(path, where)
        if refits.gauge != "none":
            raise ValueError(
                f"{where}: {path} was fitted in the gauge {refits.gauge}, and these activations have none: fit it to "
                "the activations as they are (gauge: none)."
            )
        found += [(path, one, _measured(one, test, f"{where}: {path}")) for one in refits.members]
    return [
        replace(measured, member={"label": spec["name"], "seed": seed, "rows": rows, "source": path, **measured.member})
        for (path, _, measured), (rows, seed) in zip(found, _names([one for _, one, _ in found]), strict=True)
    ]


def _names(members: list[Dictionary]) -> list[tuple[str, int]]:
    """Rows and seed of each member."""
    named = [(str(one.member.get("rows", "")), int(one.member.get("seed", 0))) for one in members]
    whole = {seed for rows, seed in named if rows == "all"}
    if len(set(named)) == len(named) and all(rows in ("all", "a", "b") and seed in whole for rows, seed in named):
        return named
    return [("all", number) for number in range(len(members))]


def _measured(dictionary: Dictionary, test: Samples, where: str) -> Dictionary:
    units = dictionary.directions.shape[1]
    if units != test.units:
        raise ValueError(
            f"{where} has directions of {units} units, and the activations {test.units}: give those of its hook point."
        )
    with torch.no_grad():
        seen = quality(dictionary, test.blocks(), test.mean)
    if not bool(seen.root_mean_square.isfinite().all()):
        raise ValueError(f"{where} gives codes that aren't finite: look at its encoder.")
    if not bool((seen.firing_rate > 0).any()):
        raise ValueError(
            f"{where}: none of its {len(dictionary.directions)} latents fires on the {test.samples} test rows: give "
            "the activations of its hook point, unscaled, or more rows."
        )
    importance = dictionary.importance
    facts: dict[str, str | int | float] = {
        "n_latents": len(dictionary.directions),
        "fvu": seen.fvu,
        "l0": seen.l0,
        "dead_fraction": float((seen.firing_rate == 0).double().mean()),
        "fvu_test": seen.fvu,
    }
    return replace(
        dictionary,
        firing_rate=seen.firing_rate.float(),
        importance=importance if bool(importance.isfinite().all()) else seen.root_mean_square.float(),
        moved=None,
        curves={},
        member=facts,
    )
