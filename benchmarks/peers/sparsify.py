"""eai-sparsify 1.3.3, driven through its `Trainer`.

The trainer takes a transformer and token ids, and trains on what a module of it returns. Here the "transformer" is an
embedding whose weights are the activations and the "tokens" are row numbers: a batch is one sequence of rows.
Its Adam is used, whose rate falls linearly from the first step on. Its default, schedule-free sign descent, took
about as long per step, but ended at an FVU of 0.32 (0.27 at half its rate) where Adam came to 0.25 (F = 512, k = 8,
1000 steps). AuxK stays off, as it is by default; switched on, it left that SAE's FVU unchanged.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from benchmarks.peers.task import Clock, Member, Reader

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # Its Triton decoder is for GPUs.
import sparsify


class Rows(nn.Module):
    """A "transformer" with one module, whose output for token i is row i of the activations."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.rows = nn.Embedding.from_pretrained(x)
        self.device, self.config = x.device, SimpleNamespace()
        self.dummy_inputs = {"ids": torch.zeros(1, 2, dtype=torch.long)}

    @property
    def base_model(self) -> Rows:
        return self

    def forward(self, ids: Tensor) -> Tensor:
        return self.rows(ids)


class RowNumbers:
    """The data set of the trainer: item i is the row numbers of batch i."""

    def __init__(self, n_rows: int, member: Member, clock: Clock) -> None:
        self.length = member.steps
        generator = torch.Generator().manual_seed(member.seed)
        epochs = -(-member.steps * member.batch_size // n_rows)
        order = torch.cat([torch.randperm(n_rows, generator=generator) for _ in range(epochs)])
        self.batches = order[: member.steps * member.batch_size].view(member.steps, member.batch_size)
        self.ticks = clock.ticks(range(member.steps))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        next(self.ticks)
        return {"input_ids": self.batches[step]}


def fit(members: list[Member], x: Tensor, clock: Clock, threads: int) -> list[Reader]:
    """Train the members one by one."""
    return [_fit(member, x, clock) for member in members]


def _fit(member: Member, x: Tensor, clock: Clock) -> Reader:
    torch.manual_seed(member.seed)
    silent = contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, silent[0], silent[1]:
        config = sparsify.TrainConfig(
            sparsify.SaeConfig(num_latents=member.n_latents, k=member.k),
            batch_size=1,
            optimizer="adam",
            lr=member.lr,
            lr_warmup_steps=0,
            hookpoints=["rows"],
            init_seeds=[member.seed],
            save_every=member.steps + 2,
            save_dir=folder,
            log_to_wandb=False,
        )
        trainer = sparsify.Trainer(config, RowNumbers(len(x), member, clock), Rows(x))
        trainer.fit()
    sae = trainer.saes["rows"]

    def read(rows: Tensor) -> tuple[Tensor, Tensor]:
        output = sae(rows)
        return output.sae_out, (output.latent_acts > 0).sum(1)

    return read
