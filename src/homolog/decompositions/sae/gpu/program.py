"""How does a block of members train on a GPU: what it is fed, its step as a graph, and what it has to tell?

A step of a small autoencoder is some thirty kernels, each of which takes the host longer to ask for than the GPU to
run, so a step is recorded once as a CUDA graph and replayed. What changes from step to step lies on the device: the
numbers of the members, the numbers of their rows, and the place in the chunk. The host looks once a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.base import Member
from homolog.decompositions.sae import curves
from homolog.decompositions.sae.auxiliary import dead, resample
from homolog.decompositions.sae.base import SparseAutoencoder, Stack
from homolog.decompositions.sae.gpu.step import StackedStep
from homolog.decompositions.sae.optimiser import resamples
from homolog.decompositions.samples import InMemory, Samples


class RowNumbers(Samples):
    """The numbers of the rows of some samples, to be shuffled as they would be and gathered where they lie.

    In float64, which holds them exactly.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples, self.units, self.device = samples.samples, 1, samples.device

    def read(self, start: int, stop: int) -> Float[Tensor, "rows 1"]:
        return torch.arange(start, stop, dtype=torch.float64, device=self.device)[:, None]

    def empty(self, rows: int) -> Float[Tensor, "rows 1"]:
        return torch.empty(rows, 1, dtype=torch.float64, device=self.device)


class Program:
    """A block in training. `pool` is memory that graphs share, since they run one after the other.

    `by_number`: the block is fed numbers of rows, since the rows themselves lie on the device.
    """

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, step: type[StackedStep], pool: Any = None) -> None:
        self.stack, self.pool = stack, pool
        member = stack.members[0]
        self.batch = min(member.options["batch_size"], member.activations.samples)
        self.by_number = isinstance(member.activations, InMemory)
        self.step = step(recipe, stack, self.batch)
        shape = len(stack.members), self.batch, self.step.units
        self.x = torch.empty(shape, device=self.step.device)
        self.fed, self.history = torch.empty(0), torch.empty(0)
        self.names: list[str] = []
        self.tried: set[bool] = set()
        self.graphs: dict[bool, torch.cuda.CUDAGraph] = {}
        self.residual: dict[bool, Tensor] = {}

    def chunk(self, end: int, batches: Callable[[Member, int, bool], Tensor]) -> Callable[[], None]:
        """The job that takes the block to step `end`; its batches are read here."""
        steps = range(self.stack.step, min(end, self.stack.options["steps"]))
        chosen = [[batches(member, step, self.by_number) for member in self.stack.members] for step in steps]
        return partial(self.run, chosen)

    def run(self, batches: list[list[Tensor]]) -> None:
        """Take a step for each entry of `batches`, which holds what each member is fed: rows, or numbers of rows."""
        if not batches:
            return
        stack, options = self.stack, self.stack.options
        steps = range(stack.step, stack.step + len(batches))
        self._load(batches)
        self.step.numbers.load(steps)
        # Whether any latent can come to be dead in this chunk.
        auxiliary = bool(stack.silent.max() + len(steps) * self.batch > options["dead_after"])
        for _ in steps:
            self._take(auxiliary)
            stack.step += 1
            if resamples(stack, self.batch):
                resample(stack, self.x, self.residual[auxiliary])
        self._tell(steps)

    def _load(self, batches: list[list[Tensor]]) -> None:
        chunk = torch.stack([torch.stack(members) for members in batches])
        if len(chunk) > len(self.fed):  # The first one is the longest, so that this is done once.
            self.fed = torch.empty_like(chunk)
            self.tried.clear()
            self.graphs.clear()
        self.fed[: len(chunk)].copy_(chunk)

    def _feed(self) -> None:
        """Put the batch of the step into `x`."""
        here = self.fed.index_select(0, self.step.numbers.place)[0]
        if self.by_number:
            for x, member, rows in zip(self.x, self.stack.members, here, strict=True):
                torch.index_select(member.activations.whole(), 0, rows[:, 0].long(), out=x)
        else:
            self.x.copy_(here)
        self.x *= self.stack.scale[:, None, None]

    def _once(self, auxiliary: bool) -> None:
        """All of a step that runs on the device."""
        self._feed()
        losses = self.step(self.x, auxiliary)
        terms = losses.terms | {"dead_fraction": dead(self.stack).float().mean(1)}
        if len(self.history) < len(self.fed):
            self.names = list(terms)
            self.history = torch.zeros(len(self.fed), len(terms), len(self.stack.members), device=self.x.device)
        self.history.index_copy_(0, self.step.numbers.place, torch.stack(list(terms.values()))[None])
        self.stack.silent.copy_(torch.where(losses.fired, 0, self.stack.silent + self.batch))
        self.residual[auxiliary] = losses.residual
        self.step.numbers.place += 1

    def _take(self, auxiliary: bool) -> None:
        """The first step of a kind is run as it is, which loads what it needs; the second recorded; then replayed."""
        if self.x.device.type == "cpu" or auxiliary not in self.tried:
            self._once(auxiliary)
            self.tried.add(auxiliary)
            return
        if auxiliary not in self.graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self._once(auxiliary)
            self.graphs[auxiliary] = graph
        self.graphs[auxiliary].replay()

    def _tell(self, steps: range) -> None:
        """Curves and divergence of the chunk that has been run."""
        history, logged = self.history[: len(steps)].cpu(), curves.log_steps(self.stack.options)
        for step, values in zip(steps, history, strict=True):
            terms = dict(zip(self.names, values, strict=True))
            if step in logged:
                curves.log(self.stack, logged[step], terms)
            if curves.due(self.stack, step + 1):
                curves.note_diverged(self.stack, step + 1, terms["fvu"])
