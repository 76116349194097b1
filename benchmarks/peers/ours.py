"""This library: all members of a grid in one call."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.peers.task import LR_DECAY, Clock, Member, Reader
from homolog.decompositions import base
from homolog.decompositions.sae.batch_topk import BatchTopK
from homolog.decompositions.sae.jumprelu import JumpReLU
from homolog.decompositions.sae.matryoshka import Matryoshka
from homolog.decompositions.sae.relu import ReLU
from homolog.decompositions.sae.topk import TopK
from homolog.decompositions.samples import InMemory

RECIPES = {"topk": TopK, "batch_topk": BatchTopK, "jumprelu": JumpReLU, "matryoshka": Matryoshka, "relu": ReLU}
COMMON = {
    "order_seed": None,
    "lr_warmup": 0.0,
    "lr_decay": LR_DECAY,
    "directions_init": "sphere",
    "encoder_init": "tied",
    "bias_init": "geometric_median",
    "input_scale": "unit_mean_square",
    "decoder": "unit_norm",
    "encoder_norm": 1.0,
    "k_start": None,
    "k_warmup": 0.5,
    "dead": "auxk",
    "aux_k": None,
    "aux_coefficient": 1 / 32,
    # As with the others, whose dead latents are left alone for as long as a run here takes.
    "dead_after": 10_000_000,
    "dense": 0,
    "fixed": 0,
    "fixed_source": "sphere",
    "fixed_cosine": 1.0,
    "log_points": 100,
    "engine": "auto",
}


def fit(members: list[Member], x: Tensor, clock: Clock, threads: int) -> list[Reader]:
    """Train the members side by side."""
    samples = InMemory(x)
    grid = [base.Member(_options(member), member.seed, "all", samples, None, ("benchmark",)) for member in members]
    recipe = RECIPES[members[0].method](threads=threads)
    return [_reader(dictionary) for dictionary in recipe.fit(grid, clock.ticks)]


def _options(member: Member) -> dict[str, Any]:
    sizes = {"n_latents": member.n_latents, "steps": member.steps, "batch_size": member.batch_size, "lr": member.lr}
    return COMMON | sizes | _own(member)


def _own(member: Member) -> dict[str, Any]:
    # As sae-lens has it too: of what was tried, what gave all recipes that select their lowest held-out FVU.
    selecting = {"k": member.k, "decoder": "free", "input_scale": "sqrt_units"}
    match member.method:
        case "topk":
            return selecting | {"multi": False, "encoder_norm": 0.3}
        case "batch_topk":
            return selecting | {"threshold_momentum": 0.99}
        case "matryoshka":
            return selecting | {"threshold_momentum": 0.99, "levels": 5}
        case "relu":
            penalty = {"penalty": "l1", "coefficient": member.level, "p_end": 0.5}
            return penalty | {"penalty_warmup": 0.05, "dead": "resample", "encoder_norm": 0.1}
        case "jumprelu":
            target = {"coefficient": None, "target_l0": member.level, "target_coefficient": 1.0}
            threshold = {"bandwidth": 0.001, "threshold_init": 0.001}
            return target | threshold | {"penalty_warmup": 0.05, "dead": "none", "encoder_norm": 0.1}
    raise ValueError(f"{member.method!r} is not measured.")


def _reader(dictionary: Any) -> Reader:
    def read(rows: Tensor) -> tuple[Tensor, Tensor]:
        codes = dictionary.codes(rows)
        return dictionary.reconstruct(codes), (codes != 0).sum(1)

    return read
