"""What runs with planted latents, made in memory, do tests of the analysis and of the figures compare?"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import torch
from making import MadeRun, gaussian, seeded

from homolog.alignment.layer import Frames, Layer
from homolog.alignment.matching import MATCHINGS
from homolog.analyses.comparison import Fitted
from homolog.dictionary import Dictionary
from homolog.registry import VIEWS

LATENTS, UNITS, SAMPLES = 4, 6, 800
SEVERAL = list(MATCHINGS)


def make_layer(run, codes, digest="same", own=None):
    """A layer of which the activations are `codes` and the frames all shared, its own units' apart."""
    units = codes.shape[1]
    labels = torch.randint(5, (len(codes),), generator=seeded(0))
    eye = torch.eye(units).double()
    return Layer(
        run=run, hook_point="hidden_1",
        activations={"match": codes[::2], "score": codes[1::2]},
        labels={"match": labels[::2], "score": labels[1::2]},
        covariance=torch.cov(codes.T, correction=0), support=eye, write_out=eye,
        frames=Frames("below", "above", own or run), model=None, below=None,
        scale=torch.ones(units).double(), order=torch.arange(units), input_digest=digest,
    )  # fmt: skip


def reading(encoder, label="planted", seed=0, rows="all", **changes):
    """A dictionary whose codes are ``activations @ encoder.T``."""
    latents, units = encoder.shape
    zeros = torch.zeros(latents).double()
    facts = {"label": label, "seed": seed, "rows": rows, "fvu": 0.1 + 0.01 * seed, "l0": 2.0, "dead_fraction": 0.25}
    fields = {"ordered": True, "importance": torch.arange(latents, 0, -1).double(), "member": facts} | changes
    directions = encoder / encoder.norm(dim=1, keepdim=True)
    return Dictionary(directions, encoder, zeros, torch.zeros(units).double(), zeros + 1, **fields)


def make_members(noise, seeds=(0,), label="planted", seed=0, **changes):
    """All, a and b of each seed: the first units, each fit a little beside them."""
    plain = torch.eye(LATENTS, UNITS).double()
    return [
        reading(plain + noise * gaussian(LATENTS, UNITS, seed=1000 * seed + 10 * s + i), label, s, rows, **changes)
        for s in seeds
        for i, rows in enumerate(("all", "a", "b"))
    ]


def make_run(name, codes, members=None, loss=(2.0, 0.1), own=None, digest="same"):
    layer = make_layer(name, codes, digest, own)
    members = {"planted": make_members(0.3)} if members is None else members
    return MadeRun(name, loss, {"hidden_1": layer, "hidden_2": layer}, members)


@cache
def codes_of(seed):
    """Activations with a spectrum; another seed is an independent layer."""
    return gaussian(SAMPLES, UNITS, seed=seed) * torch.linspace(2, 0.5, UNITS).double()


def fitted(run, label="planted"):
    layer = run.layer("hidden_1", "none")
    members = {(str(d.member["rows"]), int(d.member["seed"])): d for d in run.dictionaries(layer, label)}
    return Fitted(layer, label, members)


def make_pair(a, b, kind="base-retrained", condition="retrained", unit_a=None, unit_b=None):
    return {
        "condition": condition, "kind": kind, "a": a, "b": b, "initial_a": a, "initial_b": f"{b}-untrained",
        "unit_a": unit_a or a, "unit_b": unit_b or b,
    }  # fmt: skip


RETRAINED = [f"again/seed_{i}" for i in range(4)]
PAIRS = [make_pair("base", run) for run in RETRAINED]
PAIRS += [
    make_pair(a, b, "retrained-retrained") | {"initial_a": f"{a}-untrained"} for a, b in combinations(RETRAINED, 2)
]


def spec_of(pairs=PAIRS, retrained=RETRAINED, views=("score", "write_out", "neuron"), names=("planted",), **options):
    options = {"matchings": SEVERAL, "null_draws": 10, "tolerance": 0.05} | options
    return {
        "experiment": "made",
        "options": options | {"views": [VIEWS[view] for view in views]},
        "hook_points": ["hidden_1"],
        "decompositions": [{"name": name, "gauge": "write_out_norm"} for name in names],
        "pairs": pairs,
        "references": {run: ["base"] for run in retrained},
        "controls": {"hidden_1": ["base", "base-regauged"]},
    }


def make_runs(codes=lambda i: codes_of(0), members=lambda i: None, losses=None, retrained=RETRAINED):
    """A base (number 0), its control, retrainings (1, 2, ...) and their untrained networks (101, 102, ...)."""
    runs = {name: make_run(name, codes(0), members(0)) for name in ("base", "base-regauged")}
    for i, name in enumerate(retrained, start=1):
        runs[name] = make_run(name, codes(i), members(i), (losses or {}).get(name, (2.0, 0.1)))
        runs[f"{name}-untrained"] = make_run(f"{name}-untrained", codes(100 + i), members(100 + i))
    return runs
