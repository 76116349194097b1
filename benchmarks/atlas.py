"""How long does an atlas take to build, and its list to open?

Makes results of runs that share nothing but their sizes: networks with random weights, dictionaries with random
directions, and tracks that name latents at random. All that is read, computed and written is as in an experiment.
Beside the time of the build stands a floor: reading the same files and encoding the same rows once, with nothing kept.
Where Chromium is installed, the list and a page are opened in it.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import xarray as xr

from benchmarks.browser import CHROMIUM, Browser
from homolog.activations import describe_hook_points, stream_activations
from homolog.atlas.build import build
from homolog.atlas.reading import Source
from homolog.corpora.base import Corpus
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.loading import build as build_from
from homolog.models.mlp import MLP
from homolog.networks.reading import Reader
from homolog.networks.restoring import restore_network
from homolog.store.activations import write_activations, write_blocks
from homolog.store.dictionaries import read_dictionaries, write_dictionaries
from homolog.store.models import write_model
from homolog.tasks.base import TEST, split_at_random

HOOK_POINT, NAME = "hidden_1", "topk"
CLASSES, SIDE = 10, 8
PROVENANCE = {"code": "none", "inputs": "{}", "git_commit": "none", "homolog_version": "0"}


@dataclass(frozen=True)
class Sizes:
    """How large the made experiment is. Of `latents` in each run `tracks` are in tracks."""

    runs: int = 10
    tracks: int = 20_000
    latents: int = 22_000
    rows: int = 20_000
    units: int = 64
    active: int = 32


# What networks from outside may be fed, by how it is shown.
TOPICS = {
    "target": "homolog.corpora.python_topics:PythonTopics", "tokenizer": "words", "vocabulary": 1024, "length": 64,
    "test_fraction": 0.25,
}  # fmt: skip
FED: dict[str, dict[str, Any]] = {"text": TOPICS, "images": {"target": "homolog.corpora.task_images:DigitImages"}}


def make_results(
    root: Path, sizes: Sizes, shown: str = "task", fed: dict[str, Any] | None = None, effects: bool = False
) -> tuple[dict[str, Any], xr.Dataset, list[str], Source]:
    """Write the runs below `root`; gives what `build` needs: spec, tracks, paths of activations, what they are read on.

    `shown`: ``task`` (networks that are trained here, on noise that looks like images), or of networks from outside
    ``text`` or ``images``, which `fed` may replace; with `effects` their logits are looked at.
    """
    generator = torch.Generator().manual_seed(0)
    spec: dict[str, Any] = {
        "experiment": "made",
        "hook_points": [HOOK_POINT],
        "decompositions": [{"name": NAME, "gauge": "none" if shown in FED else "write_out_norm"}],
        "corpus": fed or FED.get(shown),
        "opened": {},
        "within": "token_id" if shown == "text" else "label",
        "shown": {"kind": shown} if shown in FED else {"kind": "images", "shape": [SIDE, SIDE]},
    }
    inputs = torch.rand(sizes.rows, SIDE * SIDE, generator=generator)
    source: Source = build_from(spec["corpus"]).corpus() if shown in FED else inputs
    runs, paths = [f"made/seed_{seed}" for seed in range(sizes.runs)], []
    made = _network(source, sizes) if isinstance(source, Corpus) else {}
    if made and effects:
        spec["opened"] = dict.fromkeys(runs, made)
    for run in runs:
        folder = root / run
        if isinstance(source, Corpus):
            _read(folder, run, source, made)
        else:
            _train(folder, run, source, sizes, generator)
        write_dictionaries(folder / HOOK_POINT / f"{NAME}.h5", [_dictionary(sizes, generator)], {"spec": "{}"})
        paths.append(str(folder / "activations.h5"))
    return spec, _tracks(runs, sizes, generator), paths, source


def _train(folder: Path, run: str, inputs: torch.Tensor, sizes: Sizes, generator: torch.Generator) -> None:
    """A network of homolog's own, with weights as they are drawn, and what it reads of images."""
    network = MLP(SIDE * SIDE, CLASSES, [sizes.units, sizes.units])
    network.initialise(generator)
    data = split_at_random(inputs, torch.arange(sizes.rows) % CLASSES, sizes.rows // 2, "benchmark")
    architecture = {"target": "homolog.models.mlp:MLP", "widths": [sizes.units, sizes.units]}
    said = {"spec": json.dumps({"architecture": architecture})}
    write_model(folder / "model.safetensors", network.state_dict(), data.sizes, said)
    points = describe_hook_points(network, [HOOK_POINT])
    said = {"spec": json.dumps({"hook_points": [HOOK_POINT]}), "run": run}
    batches = stream_activations(network, inputs, [HOOK_POINT], 4096)
    write_activations(folder / "activations.h5", points, batches, data, "float32", said)


def _network(corpus: Corpus, sizes: Sizes) -> dict[str, Any]:
    """How a network is made that reads a corpus, with weights that are the same in all runs, and its hook point."""
    fed = corpus.batches(torch.arange(1))
    function, point = "gpt:gpt", "blocks.0"
    arguments: dict[str, Any] = {"vocabulary": corpus.vocabulary, "length": corpus.positions}
    arguments |= {"width": sizes.units, "blocks": 2, "heads": 2}
    if isinstance(fed, torch.Tensor):
        function, point = "convnet:convnet", "stages.0"
        arguments = {"channels": fed.shape[1], "widths": [sizes.units], "hidden": 16}
    made = {"target": "homolog.networks.network:from_python", "function": f"homolog.networks.{function}"}
    return {"network": made | {"arguments": arguments}, "trained": False, "points": {HOOK_POINT: point}}


def _read(folder: Path, run: str, corpus: Corpus, made: dict[str, Any]) -> None:
    """What a network by its modules reads of a corpus."""
    reader = Reader(restore_network(made["network"]), corpus, made["points"])
    said: dict[str, str | int | float] = {"spec": json.dumps({"points": made["points"]}), "run": run}
    said["data"] = reader.digest
    path = folder / "activations.h5"
    write_blocks(path, reader.hook_points, reader.blocks(), reader.rows, "float32", said)


def _dictionary(sizes: Sizes, generator: torch.Generator) -> Dictionary:
    directions = torch.randn(sizes.latents, sizes.units, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    ones = torch.ones(sizes.latents)
    member = {"label": NAME, "seed": 0, "rows": "all"}
    bias = torch.zeros(sizes.units)
    facts = {"activation": "topk", "k": sizes.active, "signed": True, "member": member}
    return Dictionary(directions, directions, 0 * ones, bias, ones, ones, **facts)


def _tracks(runs: list[str], sizes: Sizes, generator: torch.Generator) -> xr.Dataset:
    """Tracks of three runs or more, of latents at random, with a change from the first run to each other one."""
    many = len(runs)
    latent = np.stack(
        [torch.randperm(sizes.latents, generator=generator)[: sizes.tracks].numpy() for _ in runs], axis=1
    )
    draw = torch.rand(sizes.tracks, many, generator=generator).numpy()
    draw[np.arange(sizes.tracks)[:, None], np.arange(3) + np.arange(sizes.tracks)[:, None] % (many - 2)] = 1
    there = draw > 0.3
    both, one = ("track", "run"), ("track",)
    number = np.where(there, draw, np.nan)
    changes = {"kind": "retrained", "group": "retrained", "hook_point": HOOK_POINT, "before": runs[0]}
    changes |= {"decomposition_before": NAME, "decomposition_after": NAME}
    matches = np.stack(
        [torch.randint(-1, sizes.latents, (sizes.latents,), generator=generator).numpy() for _ in runs[1:]]
    )
    share = draw[: many - 1, :1] * np.ones((1, sizes.latents))
    point = ("hook_point", "decomposition", "r")
    survival = np.linspace(1, 0, many + 1)[None, None]
    return xr.Dataset(
        {
            "latent": (both, np.where(there, latent, -1)),
            "similarity": (both, number), "support": (both, number), "member_p_value": (both, number),
            "adjusted_p_value": (one, draw[:, 0]), "conditional_adjusted_p_value": (one, draw[:, 1]),
            "found_in": (("track", "group"), np.stack([there[:, :1].sum(1), there[:, 1:].sum(1)], 1)),
            "found_in_low": (("track", "group"), draw[:, :2]),
            "hook_point_of_track": (one, np.full(sizes.tracks, HOOK_POINT, object)),
            "decomposition_of_track": (one, np.full(sizes.tracks, NAME, object)),
            "accepted_run": ("run", np.ones(many, bool)), "runs_in": ("group", [1, many - 1]),
            "survival": (point, survival), "null_survival": (point, survival / 100),
            "conditional_null_survival": (point, survival / 50), "initial_coverage": (point[:2], [[0.1]]),
            "link_level": (point[:2], [[0.3]]),
            **{f"change_{name}": ("change", np.full(many - 1, value, object)) for name, value in changes.items()},
            "change_after": ("change", np.array(runs[1:], object)),
            "child": (("change", "latent_before"), matches), "parent": (("change", "latent_after"), matches[::-1]),
            **{f"{side}_{what}": (("change", f"latent_{where}"), share)
               for side, where in (("child", "before"), ("parent", "after")) for what in ("similarity", "p_value")},
        },
        {"track": np.arange(sizes.tracks), "run": runs, "group": ["base", "retrained"], "hook_point": [HOOK_POINT],
         "decomposition": [NAME], "r": np.arange(many + 1)},
        {"quorum": 0.5, "least_runs": 3, "null_draws": 50, "confidence": 0.95},
    )  # fmt: skip


def floor(paths: list[str]) -> None:
    """Read the held-out rows and the dictionary of each run, and encode the rows."""
    for path in map(Path, paths):
        with h5py.File(path, "r") as file:
            held_out = torch.from_numpy(file[HOOK_POINT]["activations"][...][file["split"][...] == TEST])
        (dictionary,) = read_dictionaries(path.parent / HOOK_POINT / f"{NAME}.h5")
        for block in InMemory(held_out).blocks():
            for part in torch.split(block, 512):
                dictionary.codes(part)


# Seconds from an act to the rows that follow from it.
_TOOK = """new Promise((resolve) => {
  const start = performance.now();
  new MutationObserver(() => resolve((performance.now() - start) / 1000))
    .observe(document.querySelector("#list tbody"), { childList: true });
  %s
})"""
ACTS = {
    "sort": "[...document.querySelectorAll('#list th .dt-column-order')].at(-1).click()",
    "search": "(() => { const at = document.querySelector('input[type=search]'); at.value = '#1234';"
    " at.dispatchEvent(new Event('input', { bubbles: true })); })()",
}


def opened(folder: Path) -> dict[str, float]:
    """Seconds from asking for a page to its last row or picture, by page, and from a sort or a search to its rows."""
    found = {}
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        for name, page in (("list", "index.html"), ("feature", "feature.html#777")):
            browser.open(f"{folder.resolve().as_uri()}/{page}", "document.documentElement.dataset.ready")
            found[name] = browser.get("performance.now()") / 1000
            if name == "list":
                found |= {act: browser.get(_TOOK % does) for act, does in ACTS.items()}
    return found


def main() -> None:
    """Make results, build the atlas, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=Sizes.runs)
    parser.add_argument("--tracks", type=int, default=Sizes.tracks)
    parser.add_argument("--shown", choices=("task", *FED), default="task", help="what inputs are")
    parser.add_argument("--out", type=Path, help="keep the atlas in this folder")
    options = parser.parse_args()
    sizes = Sizes(runs=options.runs, tracks=options.tracks, latents=options.tracks * 11 // 10)
    with tempfile.TemporaryDirectory() as folder:
        spec, tracks, paths, source = make_results(Path(folder) / "models", sizes, options.shown)
        seconds = {}
        for name, job in (
            ("floor", lambda: floor(paths)),
            ("build", lambda: build((options.out or Path(folder)) / "atlas", spec, tracks, paths, source, PROVENANCE)),
        ):
            start, cpu = time.perf_counter(), time.process_time()
            job()
            seconds[name] = (time.perf_counter() - start, time.process_time() - cpu)
        made = (options.out or Path(folder)) / "atlas"
        files = [path for path in made.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"{options.shown}: {sizes.tracks} tracks, {sizes.runs} runs, {torch.get_num_threads()} threads")
        for name, (wall, cpu) in seconds.items():
            print(f"{name}: {wall:.1f} s ({cpu:.1f} s of the processor)")
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{len(files)} files, {size:.0f} MB; highest memory {highest:.2f} GB")
        if CHROMIUM:
            print(", ".join(f"{name} {took:.2f} s" for name, took in opened(made).items()))


if __name__ == "__main__":
    main()
