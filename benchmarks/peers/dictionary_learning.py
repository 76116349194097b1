"""dictionary-learning 0.1.0, driven through its trainers' `update`.

`trainSAE`, its loop around `update`, gives the trained dictionary back only as a file.
"""

from __future__ import annotations

from typing import Any

from dictionary_learning.trainers import BatchTopKTrainer, JumpReluTrainer, StandardTrainer, TopKTrainer
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
from torch import Tensor

from benchmarks.peers.task import Clock, Member, Reader, batches


def fit(members: list[Member], x: Tensor, clock: Clock, threads: int) -> list[Reader]:
    """Train the members one by one."""
    return [_fit(member, x, clock) for member in members]


def _fit(member: Member, x: Tensor, clock: Clock) -> Reader:
    trainer = _trainer(member, x.shape[1])
    for step, batch in enumerate(batches(x, member, clock)):
        trainer.update(step, batch)
    sae = trainer.ae

    def read(rows: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction, codes = sae(rows, output_features=True)
        return reconstruction, (codes != 0).sum(1)

    return read


def _trainer(member: Member, units: int) -> Any:
    common = {
        "steps": member.steps,
        "activation_dim": units,
        "dict_size": member.n_latents,
        "layer": 0,
        "lm_name": "none",
        "lr": member.lr,
        "warmup_steps": 0,
        "decay_start": member.steps - member.decay_steps,
        "seed": member.seed,
        "device": "cpu",
    }
    threshold = {"threshold_start_step": member.steps // 2}  # Its default of 1000 may lie behind the last step.
    penalty = {"sparsity_warmup_steps": max(1, member.steps // 20)}
    match member.method:
        case "topk":
            return TopKTrainer(**common, **threshold, k=member.k)
        case "batch_topk":
            return BatchTopKTrainer(**common, **threshold, k=member.k)
        case "matryoshka":
            fractions = [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
            return MatryoshkaBatchTopKTrainer(**common, **threshold, k=member.k, group_fractions=fractions)
        case "jumprelu":
            return JumpReluTrainer(**common, **penalty, target_l0=member.level)
        case "relu":
            return StandardTrainer(**common, **penalty, l1_penalty=member.level)
    raise ValueError(f"dictionary-learning is not measured with {member.method!r}.")
