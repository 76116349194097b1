"""What every library is given, and how it is measured: one data set, one clock, one definition of FVU and L0."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Reads rows: their reconstruction, and how many latents are active for each row.
Reader = Callable[[Tensor], tuple[Tensor, Tensor]]

# The learning rate is constant, then falls linearly to zero over this last part of the steps, where a library can.
LR_DECAY = 0.2


@dataclass(frozen=True)
class Member:
    """One SAE to train. `level` is what sets its sparsity: k, the penalty's coefficient, or the target L0."""

    method: str
    n_latents: int
    level: float
    seed: int
    batch_size: int
    steps: int

    @property
    def k(self) -> int:
        """`level` where it counts latents."""
        return int(self.level)

    @property
    def lr(self) -> float:
        """1.2e-3 / sqrt(F / 2^14): the rule of Gao et al. (2024), times six.

        At the rule's own rate 1000 steps leave every library far from done (FVU 0.29 to 0.38 on the grid's SAE with
        F = 512 and k = 8). Of four, six and eight times that rate, six is the best or within 0.002 of it for every
        library with TopK, BatchTopK and Matryoshka.
        """
        return 1.2e-3 / math.sqrt(self.n_latents / 2**14)

    @property
    def decay_steps(self) -> int:
        """Steps at the end over which the learning rate falls to zero."""
        return max(1, round(LR_DECAY * self.steps))

    @property
    def lr_factor(self) -> Callable[[int], float]:
        """The learning rate's factor at a step, counted from 0."""
        return lambda step: min(1.0, max(0.0, (self.steps - step) / self.decay_steps))


@dataclass
class Clock:
    """Times training from the first step that is asked for at or after `warmup` to the last one.

    Set-up and the first steps stay out, and so does what begins with the last step asked for, since some libraries save
    or fold weights behind it. Steps may be asked for one by one or by the number at which a chunk of them starts. The
    process's CPU time is noted beside the wall time: where they differ by more than the number of threads explains,
    other work was running on the machine.
    """

    warmup: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0

    def ticks(self, steps: Iterable[int]) -> Iterator[int]:
        """The same numbers; times are noted when they are asked for."""
        steps = list(steps)
        first = next((step for step in steps if step >= self.warmup), None)
        for step in steps:
            if step == first:
                start, cpu_start = time.perf_counter(), time.process_time()
            if step == steps[-1] and first is not None:
                self.seconds += time.perf_counter() - start
                self.cpu_seconds += time.process_time() - cpu_start
                self.steps += step - first
            yield step


def batches(x: Tensor, member: Member, clock: Clock) -> Iterator[Tensor]:
    """The member's batches: each epoch visits each row once, in an order of its own; timed by `clock`."""
    generator = torch.Generator().manual_seed(member.seed)
    size, per_epoch = member.batch_size, len(x) // member.batch_size
    for step in clock.ticks(range(member.steps)):
        if step % per_epoch == 0:
            order = torch.randperm(len(x), generator=generator)
        start = step % per_epoch * size
        yield x[order[start : start + size]]


def planted(rows: int, units: int, features: int, active: float, seed: int = 0) -> Tensor:
    """`(rows, units)` sums of planted sparse features plus noise, float32, scaled to unit mean square norm.

    Feature i is active with a probability that falls as 1 / (i + 10) and is at most 1/2, `active` of them in a row
    on average; its size is 1 + a half-normal number. The noise holds 5 % of the energy, so no dictionary reaches an
    FVU of 0 with few latents.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(features, units, generator=generator), dim=1)
    rates = 1 / (torch.arange(features) + 10.0)
    rates = (rates * active / rates.sum()).clamp(max=0.5)
    blocks = []
    for start in range(0, rows, 4096):
        shape = (min(4096, rows - start), features)
        on = torch.rand(shape, generator=generator) < rates
        size = 1 + torch.randn(shape, generator=generator).abs()
        blocks.append((on * size) @ directions)
    x = torch.cat(blocks)
    scale = x.square().sum(1).mean().sqrt()
    noise = torch.randn(x.shape, generator=generator) * (0.05 / 0.95 / units) ** 0.5 * scale
    x += noise
    return x / x.square().sum(1).mean().sqrt()


@torch.no_grad()
def held_out(read: Reader, x: Tensor) -> tuple[float, float]:
    """FVU (sum of squared residuals over the sum of squares about the mean) and mean L0 on rows `x`."""
    residual = active = 0.0
    for block in x.split(4096):
        reconstruction, count = read(block)
        residual += (block - reconstruction).double().square().sum().item()
        active += count.double().sum().item()
    total = (x - x.mean(0)).double().square().sum().item()
    return residual / total, active / len(x)
