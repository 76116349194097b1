"""overcomplete 0.3.0, driven through its `train_sae_amp` (`train_sae` for JumpReLU), monitoring off.

Its encoder starts as a copy of the dictionary (`untied`): over 1000 steps of the grid's SAE with F = 512 and k = 8,
at a quarter of the learning rate used here, its FVU was 0.32, against 0.38 with the linear encoder that it makes by
itself; mixed precision was faster and left it unchanged.

It imports torchvision for its vision models, and calls `matplotlib.cm.get_cmap`, which current matplotlib lacks, when
it is imported. Neither has to do with its SAEs: an empty module and the function's successor stand in for them.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import matplotlib
import torch
from torch import Tensor

from benchmarks.peers.task import Clock, Member, Reader, batches

for _name in ("torchvision", "torchvision.transforms"):
    sys.modules[_name] = ModuleType(_name)
    sys.modules[_name].__spec__ = ModuleSpec(_name, None)
sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
matplotlib.cm.get_cmap = matplotlib.colormaps.get_cmap
from overcomplete.sae import SAE, BatchTopKSAE, JumpSAE, TopKSAE, heaviside, mse_l1, train_sae  # noqa: E402
from overcomplete.sae.train import train_sae_amp  # noqa: E402


def fit(members: list[Member], x: Tensor, clock: Clock, threads: int) -> list[Reader]:
    """Train the members one by one."""
    return [_fit(member, x, clock) for member in members]


def _fit(member: Member, x: Tensor, clock: Clock) -> Reader:
    torch.manual_seed(member.seed)
    sae = _sae(member, x.shape[1]).untied(bias=True)
    optimizer = torch.optim.Adam(sae.parameters(), lr=member.lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, member.lr_factor)
    train = train_sae if member.method == "jumprelu" else train_sae_amp
    silent = {"nb_epochs": 1, "monitoring": 0, "device": "cpu"}
    train(sae, batches(x, member, clock), _criterion(member, sae), optimizer, scheduler, **silent)
    with torch.no_grad():
        sae.eval()

    def read(rows: Tensor) -> tuple[Tensor, Tensor]:
        _, codes, reconstruction = sae(rows)
        return reconstruction, (codes != 0).sum(1)

    return read


def _sae(member: Member, units: int) -> SAE:
    match member.method:
        case "topk":
            return TopKSAE(units, member.n_latents, top_k=member.k)
        case "batch_topk":
            return BatchTopKSAE(units, member.n_latents, top_k=member.k * member.batch_size)
        case "jumprelu":
            return JumpSAE(units, member.n_latents)
        case "relu":
            return SAE(units, member.n_latents)
    raise ValueError(f"overcomplete is not measured with {member.method!r}.")


def _criterion(member: Member, sae: SAE) -> Any:
    """Its losses are functions that the user gives; the squared error is a mean over rows and units, its L1 a sum."""

    def squared_error(x: Tensor, x_hat: Tensor, pre_codes: Tensor, codes: Tensor, dictionary: Tensor) -> Tensor:
        return (x - x_hat).square().mean()

    def with_target_l0(x: Tensor, x_hat: Tensor, pre_codes: Tensor, codes: Tensor, dictionary: Tensor) -> Tensor:
        on = heaviside(pre_codes, sae.thresholds.exp(), sae.kernel_fn, sae.bandwidth)
        return (x - x_hat).square().sum(1).mean() + (on.sum(1).mean() / member.level - 1).square()

    def with_l1(x: Tensor, x_hat: Tensor, pre_codes: Tensor, codes: Tensor, dictionary: Tensor) -> Tensor:
        return mse_l1(x, x_hat, pre_codes, codes, dictionary, penalty=member.level / x.numel())

    return {"jumprelu": with_target_l0, "relu": with_l1}.get(member.method, squared_error)
