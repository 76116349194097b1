"""How are activations decomposed from Python, without the workflow?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from homolog.declaring import Declared, Specs, declared
from homolog.decompositions.base import Member, Progress
from homolog.decompositions.fit import describe, fit_members
from homolog.decompositions.memory import tell_held, tell_size
from homolog.decompositions.samples import BLOCK, InMemory, Samples
from homolog.decompositions.split import halves_of
from homolog.dictionary import Dictionary
from homolog.jobs.stage import version
from homolog.store.arrays import samples_of

if TYPE_CHECKING:
    import pandas as pd

Source = Tensor | np.ndarray | str | Path


def fit(
    activations: Source,
    spec: Specs,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    hook_point: str | None = None,
    partner: Source | None = None,
    test: Source | None = None,
    halves: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
    checkpoint: str | Path | None = None,
) -> list[Dictionary]:
    """Fit one or more decompositions to `activations` (samples, units), as they are: no gauge, nothing centred.

    Args:
        activations: A tensor or array, or a file: .npy, .npz, .h5 (see `homolog.store.arrays.samples_of`).
        spec: A decomposition in the words of config.yaml: ``{"method": "topk_sae", "n_latents": [64, 128], "k": 4,
            "seeds": [0, 1]}``, where lists make a grid; or several: a dict of names and such specs, or a list of them.
        seed: The run's own seed. It enters every random stream, and so does a digest of the first rows: fits to two
            networks don't start at the same directions, which would make them look alike.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``: CUDA where there is a device.
        hook_point: Which array of the file, where it holds several. It enters every random stream too.
        partner: The same rows at another hook point, for cca and svcca. May be left out for a file that holds the
            hook point that the spec calls `partner`.
        test: Rows to measure ``fvu_test`` on, which nothing is fitted to.
        halves: Fit to two disjoint random halves too (rows ``a`` and ``b``), of which a ceiling is made.
        threads: For sparse autoencoders, whose bits don't depend on it; by default as many as torch is set to.
        progress: A bar: True, False, or None for one on a terminal only. Or a function around the steps, as tqdm's.
        checkpoint: A folder in which long fits save their state, to go on from there when they are called again.

    Returns:
        A dictionary for each decomposition, grid point, seed and rows, in this order, on the CPU. `member` holds its
        label, seed, rows, options, ``fvu``, ``l0``, ``dead_fraction``: see `table`.

    Raises:
        ValueError: One line for each mistake in what was given.
        MemoryError: The GPU's memory is too small; says how much is needed, and by which member most.
    """
    declarations = declared(spec, with_partner=partner is not None)
    where = device_of(device)
    rows = {"all": _read(activations, hook_point, where)}
    held_out = InMemory(torch.empty(0, rows["all"].units)) if test is None else _read(test, hook_point, where)
    if held_out.units != rows["all"].units:
        raise ValueError(f"test has {held_out.units} units, and activations {rows['all'].units}: give the same ones.")
    if halves:
        rows |= halves_of(rows["all"])
    threads = torch.get_num_threads() if threads is None else threads
    fitted = []
    for one in declarations:
        beside = _partners(one, activations, partner, where, rows)
        members, labels = _members(one, rows, beside, ("fit", seed, hook_point or "", one.name, _digest(rows["all"])))
        state = None if checkpoint is None else Path(checkpoint) / f"{one.name}.checkpoint.safetensors"
        bar, fingerprint = _bar(progress, one.name), f"{one.target} {version('homolog')}"
        # enable_grad: whoever calls may have switched gradients off.
        with tell_size(members), torch.enable_grad():
            dictionaries = fit_members(one.target, members, bar, threads, state, fingerprint)
            fitted += [describe(*each, held_out) for each in zip(dictionaries, members, labels, strict=True)]
    return fitted


def table(dictionaries: Iterable[Dictionary]) -> pd.DataFrame:
    """What is known of each dictionary, a row each: label, seed, rows, options, fvu, l0, dead_fraction, ..."""
    import pandas as pd  # imported here: it takes longer than a small fit

    return pd.DataFrame([dict(dictionary.member) for dictionary in dictionaries])


def device_of(name: str | torch.device) -> torch.device:
    """The device that is meant; a ValueError when it isn't known or isn't there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda"}:
        raise ValueError(f"device {str(name)!r} isn't known; allowed: cpu, cuda, cuda:<number>, auto.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {str(name)!r} is asked for, and the number of CUDA devices is {torch.cuda.device_count()}: take "
            "auto or cpu."
        )
    return device


def _read(source: Source, hook_point: str | None, device: torch.device) -> Samples:
    if isinstance(source, str | Path):
        name, count = str(source), Path(source).stat().st_size if Path(source).is_file() else 0
    else:
        name, count = f"activations of shape {tuple(source.shape)}", 4 * math.prod(source.shape)
    with tell_held(name, count, "give an HDF5 file, which is read as it is needed, or take device cpu"):
        return samples_of(source, hook_point, device)


def _digest(samples: Samples) -> str:
    """Of the first block of rows: what tells two networks apart, so that their dictionaries don't start as one."""
    first = samples.read(0, min(BLOCK, samples.samples)).cpu().contiguous()
    return hashlib.sha256(first.numpy().tobytes()).hexdigest()


def _members(
    one: Declared, rows: dict[str, Samples], partners: dict[str, Samples], key: tuple[str | int, ...]
) -> tuple[list[Member], list[str]]:
    """The members of one decomposition, by grid point, seed and rows, and the label of each."""
    members, labels = [], []
    for (options, label), seed, name in product(zip(one.points, one.labels, strict=True), one.seeds, rows):
        members.append(Member(options, seed, name, rows[name], partners.get(name), key))
        labels.append(label)
    return members, labels


def _partners(
    decomposition: Declared, activations: Source, partner: Source | None, device: torch.device, rows: dict[str, Samples]
) -> dict[str, Samples]:
    """The partner's rows beside each of `rows`, for a decomposition that has one."""
    if decomposition.partner is None:
        return {}
    if partner is None and not isinstance(activations, str | Path):
        raise ValueError(
            f"{decomposition.name}: the activations at {decomposition.partner!r} are needed too, and an array "
            "can't hold them: give them as partner."
        )
    beside = {"all": _read(activations if partner is None else partner, decomposition.partner or None, device)}
    if beside["all"].samples != rows["all"].samples:
        raise ValueError(
            f"{decomposition.name}: partner has {beside['all'].samples} samples, and activations {rows['all'].samples}:"
            " give the same samples in the same order."
        )
    return beside | (halves_of(beside["all"]) if "a" in rows else {})


def _bar(progress: bool | Progress | None, name: str) -> Progress:
    if callable(progress):
        return progress
    if progress is False:
        return iter
    from tqdm import tqdm

    hidden = False if progress else None  # None: where stderr isn't a terminal.
    return partial(tqdm, desc=name, delay=2, leave=False, disable=hidden, dynamic_ncols=True)
