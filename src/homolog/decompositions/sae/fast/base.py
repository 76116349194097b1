"""One training step on the CPU by the kernels: dense work in bfloat16 only proposes, all else is sparse float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.decompositions.sae.auxiliary import aux_k, dead
from homolog.decompositions.sae.base import Losses, SparseAutoencoder, Stack
from homolog.decompositions.sae.fast.kernels import going_back
from homolog.decompositions.sae.fast.kernels.adam import adam_rows
from homolog.decompositions.sae.fast.kernels.compiled import Array, by_block, empty, in_blocks
from homolog.decompositions.sae.fast.kernels.proposing import centre
from homolog.decompositions.sae.fast.lists import ByLatent, Chosen, Largest
from homolog.decompositions.sae.fast.proposer import Proposer, bits_in
from homolog.decompositions.sae.optimiser import BETA_1, BETA_2, lr_factor

# Rows from which on a batch is split in two shards, which may run on two threads; fixed, so that bits are.
SPLIT = 2048
TINY = float(np.finfo(np.float32).tiny)
NOTHING = np.empty(0, np.float32)

Job = Callable[[], Any]
Run = Callable[[Sequence[Job]], None]


def one_by_one(jobs: Sequence[Job]) -> None:
    """Run jobs on the thread that asks."""
    for job in jobs:
        job()


class FastStep:
    """The fast step of one member; a recipe says how its active latents are chosen and what its loss adds."""

    def __init__(self, recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> None:
        self.recipe, self.stack, self.run = recipe, stack, run
        latents, units = stack.parameters["encoder"].shape[1:]
        self.latents, self.units, self.batch = latents, units, batch
        self.shards = [slice(0, batch)] if batch < SPLIT else [slice(0, batch // 2), slice(batch // 2, batch)]
        self.ends = np.asarray(self.levels())
        self.array = {name: p[0].numpy() for name, p in stack.parameters.items()}
        self.gradient = {name: empty(*p.shape) for name, p in self.array.items()}
        self.proposer = Proposer(latents, units)
        self.half = self.proposer.inputs(batch)
        self.bits = bits_in(self.half)
        blocks, columns = in_blocks(self.array["bias"]).shape
        self.x, self.left = empty(blocks, batch, columns), empty(len(self.ends), blocks, batch, columns)
        self.blocks = {name: by_block(self.array[name]) for name in ("encoder", "decoder")}
        self.total = empty(len(self.shards), units)
        self.squares = np.zeros((len(self.shards), len(self.ends)))
        self.by_latent = ByLatent(latents, len(self.shards))
        self.steps = self._adam_steps()

    def _adam_steps(self) -> list[Callable[..., None]]:
        """Adam on each parameter, as jobs that still ask for rate and correction."""
        steps: list[Callable[..., None]] = []
        for name, p in self.array.items():
            on_sphere = name == "decoder" and self.recipe.on_sphere(self.stack.options)
            moments = (held[name][0].numpy() for held in (self.stack.first, self.stack.second))
            new, gradient, first, second = (np.atleast_2d(a) for a in (p, self.gradient[name], *moments))
            for part in self.parts(len(new)):
                arrays = new[part], gradient[part], first[part], second[part]
                steps.append(partial(adam_rows, *arrays, on_sphere))
        return steps

    def parts(self, rows: int) -> list[slice]:
        """Rows of a parameter that one thread takes."""
        middle = 0 if len(self.shards) == 1 else rows // 2
        return [part for part in (slice(0, middle), slice(middle, rows)) if part.stop > part.start]

    # What recipes differ in

    def levels(self) -> list[int]:
        """Up to which latent each of the nested reconstructions goes."""
        return [self.latents]

    def choose(self) -> list[Chosen]:
        """Active latents of each shard, from `x` and `half`: the inputs less the bias, in float32 and bfloat16."""
        raise NotImplementedError

    def scale(self, batch: int, spread: float) -> float:
        """Twice the factor on the sum of squared errors; the loss is an FVU unless a recipe differs."""
        return 2 / spread / len(self.ends)

    def slopes(self, chosen: list[Chosen], batch: int) -> list[Array]:
        """Derivatives of what the recipe adds to the loss by the codes of each shard; empty where it adds nothing."""
        return [NOTHING for _ in chosen]

    def terms(self, squares: Array, spread: float, batch: int) -> dict[str, float]:
        """What is logged besides L0, from the sums of squares of each level."""
        return {"fvu": float(squares[-1]) / spread}

    def total_of(self, terms: dict[str, float], spread: float, batch: int) -> float:
        """The loss, without AuxK."""
        return terms["fvu"]

    def own_gradients(self, chosen: list[Chosen], scale: float) -> None:
        """Put the gradients of a recipe's own parameters into `gradient`."""

    # The step

    def prepare(self, x: Float[Tensor, "members batch units"], encoder_bias: Array) -> None:
        """Put down the inputs less the bias, and the parameters as the kernels take them."""
        self.norm = centre(x[0].numpy(), self.array["bias"], self.x, self.bits)
        self.proposer.update(self.array["encoder"], encoder_bias, self.norm)
        for name, blocks in self.blocks.items():
            if len(blocks) > 1:
                blocks[:] = in_blocks(self.array[name]).swapaxes(0, 1)

    @torch.no_grad()
    def __call__(self, recipe: SparseAutoencoder, stack: Stack, x: Float[Tensor, "members batch units"]) -> Losses:
        self.prepare(x, self.array["encoder_bias"])
        return self.sparse_step(x.shape[1])

    def sparse_step(self, batch: int) -> Losses:
        """The step on the inputs that `prepare` has put down."""
        stack, spread = self.stack, batch * float(self.stack.variance[0])
        chosen = self.choose()
        scale = self.scale(batch, spread)
        self.go_back(chosen, self.slopes(chosen, batch), scale)
        self.own_gradients(chosen, scale)
        terms = self.terms(self.squares.sum(0), spread, batch)
        total = self.total_of(terms, spread, batch)
        if stack.options["dead"] == "auxk":
            terms["auxiliary"] = self.auxiliary()
            total += stack.options["aux_coefficient"] * terms["auxiliary"]
        begin = self.by_latent.begin
        terms["l0"] = int(begin[-1]) / batch
        self.update(scale)
        values = torch.tensor([*terms.values(), total])
        named = {name: values[i : i + 1] for i, name in enumerate(terms)}
        fired = torch.from_numpy(begin[1:] > begin[:-1])[None]
        return Losses(values[-1:], named, fired, torch.from_numpy(self.residual())[None])

    def residual(self) -> Array:
        """What the reconstruction leaves `(sample, unit)`."""
        residual: Array = self.left[-1].swapaxes(0, 1).reshape(self.batch, self.units)
        return residual

    def go_back(self, chosen: list[Chosen], slopes: list[Array], scale: float) -> None:
        """The residual, its sums of squares, and the gradients of encoder and decoder."""
        x, left, decoder = self.x, self.left, self.blocks["decoder"]
        by_latent, total = self.by_latent, in_blocks(self.total)

        def reconstruct(s: int) -> None:
            c, before = chosen[s], self.shards[s].start
            going_back.reconstruct(
                x, before, decoder, *c.arrays(), self.ends, left, c.towards, total[s], self.squares[s]
            )
            going_back.count_samples(*c.arrays(), by_latent.place[s])

        def turn(s: int) -> None:
            c = chosen[s]
            going_back.by_latent(
                *c.arrays(),
                c.towards,
                slopes[s],
                scale,
                self.shards[s].start,
                by_latent.place[s],
                *by_latent.lists()[1:],
            )

        def add_up(part: slice) -> None:
            of = self.gradient
            going_back.gradients(
                x, left, self.ends, *by_latent.lists(), part.start, part.stop,
                in_blocks(of["encoder"]), of["encoder_bias"], in_blocks(of["decoder"]),
            )  # fmt: skip

        self.run([partial(reconstruct, s) for s in range(len(chosen))])
        by_latent.places()
        self.run([partial(turn, s) for s in range(len(chosen))])
        self.run([partial(add_up, part) for part in self.parts(self.latents)])

    def auxiliary(self) -> float:
        """AuxK and its gradients: the dead latents alone as a small dictionary that explains the residual."""
        options, gone = self.stack.options, dead(self.stack)[0].numpy().nonzero()[0]
        if not len(gone):
            return 0.0
        encoder, encoder_bias, decoder = (self.array[name][gone] for name in ("encoder", "encoder_bias", "decoder"))
        k = min(aux_k(options, self.units), len(gone))
        proposer = Proposer(len(gone), self.units)
        proposer.update(encoder, encoder_bias, self.norm)
        chosen = Largest(proposer, self.batch, k)(self.half, self.x, 0, by_block(encoder), encoder_bias, k)
        spread = max(going_back.spread_of(self.residual()), TINY)
        left, squares, ends = np.empty_like(self.left[-1:]), np.zeros(1), np.asarray([len(gone)])
        going_back.reconstruct(
            self.left[-1], 0, by_block(decoder), *chosen.arrays(), ends, left, chosen.towards,
            np.empty_like(self.total[0]).reshape(left.shape[1], -1), squares,
        )  # fmt: skip
        by_latent = ByLatent(len(gone), 1)
        going_back.count_samples(*chosen.arrays(), by_latent.place[0])
        by_latent.places()
        going_back.by_latent(
            *chosen.arrays(), chosen.towards, NOTHING, 2 * options["aux_coefficient"] / spread, 0, by_latent.place[0],
            *by_latent.lists()[1:],
        )  # fmt: skip
        found = {"encoder": encoder, "encoder_bias": encoder_bias, "decoder": decoder}
        found = {name: np.empty_like(p) for name, p in found.items()}
        going_back.gradients(
            self.x, left, ends, *by_latent.lists(), 0, len(gone),
            in_blocks(found["encoder"]), found["encoder_bias"], in_blocks(found["decoder"]),
        )  # fmt: skip
        for name, gradient in found.items():
            self.gradient[name][gone] += gradient
        return float(squares[0] / spread)

    def update(self, scale: float) -> None:
        """Adam on all parameters."""
        stack, t, of = self.stack, self.stack.step + 1, self.gradient
        going_back.to_bias(self.total, scale, self.array["encoder"], of["encoder_bias"], of["bias"])
        rate = self.recipe.learning_rate(stack.options) * lr_factor(stack.step, stack.options) / (1 - BETA_1**t)
        correction = 1 / (1 - BETA_2**t) ** 0.5
        self.run([partial(step, rate, correction) for step in self.steps])
        self.recipe.constrain(stack.parameters)


def fast_step_of(recipe: SparseAutoencoder, stack: Stack) -> type[FastStep] | None:
    """The fast step of a recipe where the kernels cover it, its options and its device; else None."""
    alone_on_cpu = stack.silent.device.type == "cpu" and len(stack.members) == 1
    if not alone_on_cpu or stack.options["engine"] != "auto" or stack.held is not None:
        return None
    if stack.variance.dtype != torch.float32:
        return None
    found: type[FastStep] | None = recipe.fast_step(stack.options)
    return found
