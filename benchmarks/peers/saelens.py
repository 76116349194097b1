"""sae-lens 6.54.12, driven through its `SAETrainer`, or its `MultiSAETrainer` for several SAEs in lockstep.

It scales inputs to a mean norm of sqrt(units), so the penalties' coefficients, which are stated for unit mean square
norm, are scaled along. Options other than its defaults were chosen on the grid's TopK SAE (F = 512, k = 8, 1000 steps,
a sixth of the learning rate used here): `rescale_acts_by_decoder_norm` off (faster, FVU 0.30 against 0.33),
`decoder_init_norm` 1 (FVU 0.29), and autocast in bf16 (faster, FVU unchanged).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.training.multi_sae_trainer import MultiSAETrainer
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from benchmarks.peers.task import Clock, Member, Reader, batches

NORM_BATCHES = 10


def fit(members: list[Member], x: Tensor, clock: Clock, threads: int) -> list[Reader]:
    """Train the members one by one."""
    readers = []
    for member in members:
        sae = _sae(member, x.shape[1])
        SAETrainer(_config(member), sae, _stream(x, member, clock)).fit()
        readers.append(_reader(sae))
    return readers


def fit_in_lockstep(members: list[Member], x: Tensor, clock: Clock, threads: int) -> list[Reader]:
    """Train the members side by side on one stream of batches; they share one learning rate, that of the first."""
    saes = {str(i): _sae(member, x.shape[1]) for i, member in enumerate(members)}
    stream = ({"rows": batch} for batch in _stream(x, members[0], clock))
    MultiSAETrainer(_config(members[0]), saes, dict.fromkeys(saes, "rows"), stream).fit()
    return [_reader(sae) for sae in saes.values()]


def _stream(x: Tensor, member: Member, clock: Clock) -> Iterator[Tensor]:
    """The batches that its estimate of the input's norm takes first, then those of training."""
    return chain(x[: NORM_BATCHES * 1024].split(1024), batches(x, member, clock))


def _config(member: Member) -> SAETrainerConfig:
    return SAETrainerConfig(
        total_training_samples=member.steps * member.batch_size,
        train_batch_size_samples=member.batch_size,
        lr=member.lr,
        lr_end=member.lr,
        lr_decay_steps=member.decay_steps,
        autocast=True,
        n_batches_for_norm_estimate=NORM_BATCHES,
    )


def _sae(member: Member, units: int) -> Any:
    torch.manual_seed(member.seed)
    common = {"d_in": units, "d_sae": member.n_latents, "normalize_activations": "expected_average_only_in"}
    common["decoder_init_norm"] = 1.0
    selection = {"k": member.k, "rescale_acts_by_decoder_norm": False}
    warmup = max(1, member.steps // 20)
    match member.method:
        case "topk":
            return TopKTrainingSAE(TopKTrainingSAEConfig(**common, **selection))
        case "batch_topk":
            return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**common, **selection))
        case "matryoshka":
            widths = [member.n_latents // part for part in (16, 8, 4, 2, 1)]
            config = MatryoshkaBatchTopKTrainingSAEConfig(**common, **selection, matryoshka_widths=widths)
            return MatryoshkaBatchTopKTrainingSAE(config)
        case "jumprelu":
            penalty = {"jumprelu_sparsity_loss_mode": "quadratic", "target_l0": member.level}
            penalty["l0_coefficient"] = units / (2 * member.level)
            return JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(**common, **penalty, l0_warm_up_steps=warmup))
        case "relu":
            config = StandardTrainingSAEConfig(
                **common, l1_coefficient=member.level * units**0.5, l1_warm_up_steps=warmup
            )
            return StandardTrainingSAE(config)
    raise ValueError(f"sae-lens is not measured with {member.method!r}.")


def _reader(trained: Any) -> Reader:
    """The inference SAE: saved and loaded, which puts the threshold in the place of a selection over the batch."""
    with tempfile.TemporaryDirectory() as folder:
        trained.save_inference_model(folder)
        sae = SAE.load_from_disk(folder)

    def read(rows: Tensor) -> tuple[Tensor, Tensor]:
        codes = sae.encode(rows)
        return sae.decode(codes), (codes != 0).sum(1)

    return read
