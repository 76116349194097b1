"""If some latents' directions are fixed and their biases learned, are the false ones switched off?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from homolog.analyses.by_trial import ByTrial, with_first_column
from homolog.analyses.recovered import auc_between, described
from homolog.analyses.recovery import world_coords
from homolog.analyses.replicates import over_replicates
from homolog.analyses.suggested import EVIDENCE, KINDS, OFF, evidence, suggest, truth_for
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.streams import stream
from homolog.worlds.trials import TOGETHER, Progress, Spec, Trial, trials_of

ROLES = ("free", "suggested", "frozen", "soft_frozen", "known")
"""No latent fixed; with suggested ones; all fixed at random; all held near to that; all fixed at what is true."""
TITLES = {
    "evidence": "what a fixed latent shows, by its kind",
    "auc": "ROC-AUC of true directions against others",
    "auc_gain": "the same, less after one step",
    "off": "share of switched-off latents",
    "off_initial": "share of latents that are off after one step",
    "fvu": "FVU on other rows",
}
SHARES = ("evidence", "auc", "off")
Place = tuple[int, int, str]
"""Number of the trial, seed, role."""
Fitted = dict[Place, Dictionary]


def fixed_features(
    spec: dict[str, Any], runs: dict[str, Any], device: str | torch.device = "cpu", progress: Progress = iter
) -> xr.Dataset:
    """Suggest true and false directions to every autoencoder as fixed latents, and see which ones it uses.

    `evidence` by ``evidence`` and ``kind``, `off` by ``kind``, `auc` of true directions against each other kind;
    `auc_initial` and `off_initial` after one step, `auc_gain` since then (`auc_null` is 1/2); `fvu` by ``role``.
    `known` by ``world``: 1 where true directions are features, 0 where latents fitted to the same rows stand for them.
    """
    options, trials, found = spec["options"], trials_of(spec), ByTrial.of(spec)
    for first, decomposition in with_first_column(spec["decompositions"]):
        for point, chosen in enumerate(decomposition["grid"]):
            key = decomposition["name"], point
            seeds = decomposition["seeds"]
            fitted = _fitted(decomposition["method"], chosen, key, seeds, trials, options, device, progress)
            for number, trial in enumerate(trials):
                own = {role: [fitted[number, seed, role] for seed in seeds] for role in (*ROLES, "initial")}
                found.put(trial, _measured(trial, own, chosen["n_latents"], options["each"]), first + point)
                found.put(trial, {"known": float(len(trial.world.features) > 0)})
    along = {"evidence": ("by", "kind"), "off": ("kind",), "off_initial": ("kind",), "fvu": ("role",)}
    along |= dict.fromkeys(("auc", "auc_initial", "auc_gain"), ("by", "other"))
    coords = {"decomposition": found.labels, "by": list(EVIDENCE), "kind": list(KINDS), "other": list(KINDS[1:])}
    dataset = over_replicates(found.values(along), coords | {"role": list(ROLES)} | world_coords(spec), TITLES, SHARES)
    return dataset.assign(auc_null=0.5).assign_attrs(experiment=spec["experiment"], **options)


def _fitted(
    method: str, chosen: Spec, key: tuple[str, int], seeds: list[int], trials: list[Trial], options: Spec,
    device: str | torch.device, progress: Progress,
) -> Fitted:  # fmt: skip
    """Every role of every trial and seed; `initial` is `suggested` after one step."""
    samples = [InMemory(trial.train.rows.to(device)) for trial in trials]

    def fit(roles: dict[Place, tuple[Spec, Tensor | None]]) -> Fitted:
        members = [
            Member(own, seed, "all", samples[i], None, (*trials[i].key, *key, role), start)
            for (i, seed, role), (own, start) in roles.items()
        ]
        made = fit_members(method, members, progress, together=TOGETHER)
        return {place: one.to("cpu") for place, one in zip(roles, made, strict=True)}

    found = fit({(i, seed, "free"): (chosen, None) for i in range(len(trials)) for seed in seeds})
    rest: dict[Place, tuple[Spec, Tensor | None]] = {}
    for i, trial in enumerate(trials):
        free = [found[i, seed, "free"] for seed in seeds]
        for number, seed in enumerate(seeds):
            own = _others(trial, free, number, chosen, options, (*trial.key, *key, seed))
            rest |= {(i, seed, role): each for role, each in own.items()}
    return found | fit(rest)


def _others(
    trial: Trial, free: list[Dictionary], number: int, chosen: Spec, options: Spec, key: tuple[str | int, ...]
) -> dict[str, tuple[Spec, Tensor | None]]:
    """Options and start of every role but the first, whose number of latents is that of the free ones in others."""
    latents, units, each = chosen["n_latents"], trial.train.rows.shape[1], options["each"]
    truth = truth_for(trial, free, number, 3 * each)
    fixed = suggest(truth, trial.train.rows, each, options["cosine"], stream("suggested", *key))
    start = torch.cat([torch.randn(latents, units, generator=stream("init", *key)), fixed])
    with_fixed = chosen | {"n_latents": len(start), "fixed": len(fixed)}
    all_fixed = chosen | {"fixed": latents}
    known = trial.world.features if len(trial.world.features) else free[number].directions
    return {
        "suggested": (with_fixed, start),
        "initial": (with_fixed | {"steps": 1}, start),
        "frozen": (all_fixed, start[:latents]),
        "soft_frozen": (all_fixed | {"fixed_cosine": options["cosine"]}, start[:latents]),
        "known": (chosen | {"n_latents": len(known), "fixed": len(known)}, known),
    }


def _measured(trial: Trial, own: dict[str, list[Dictionary]], free: int, each: int) -> dict[str, np.ndarray]:
    """Means over seeds of one trial, of dictionaries by role and seed."""
    found: dict[str, list[Any]] = {name: [] for name in ("evidence", "auc", "auc_initial", "off", "off_initial")}
    for pair in zip(own["suggested"], own["initial"], strict=True):
        after, before = (evidence(one, trial.test.rows) for one in pair)
        # (evidence, kind, latent): fixed ones stand behind the free ones.
        shown, at_first = (one[:, free:].reshape(len(EVIDENCE), len(KINDS), each) for one in (after, before))
        found["evidence"].append(shown.mean(2))
        for name, whole, one in (("off", after, shown), ("off_initial", before, at_first)):
            rates = whole[0, :free]
            bar = OFF * rates[rates > 0].median() if bool((rates > 0).any()) else torch.tensor(0.0)
            found[name].append((one[0] < bar).double().mean(1))
        for name, one in (("auc", shown), ("auc_initial", at_first)):
            areas = [[auc_between(by[0], other) for other in by[1:]] for by in one]
            found[name].append(torch.tensor(areas, dtype=torch.float64))
    fvu = [[described(one, trial.test)["fvu"] for one in own[role]] for role in ROLES]
    means = {name: torch.stack(values).mean(0).numpy() for name, values in found.items()}
    return means | {"fvu": np.mean(fvu, 1), "auc_gain": means["auc"] - means["auc_initial"]}
