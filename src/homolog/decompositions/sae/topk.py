"""TopK sparse autoencoders (Gao et al., 2024), all members of one shape trained as one tensor program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations
from homolog.dictionary import Dictionary, top_k
from homolog.streams import stream


@dataclass
class _Stack:
    """Parameters of several autoencoders: (member, latent, unit) and (member, latent) or (member, unit)."""

    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    bias: Tensor

    def parameters(self) -> list[Tensor]:
        return [self.encoder, self.encoder_bias, self.decoder, self.bias]

    def pre_activations(self, x: Float[Tensor, "members batch units"]) -> Float[Tensor, "members batch latents"]:
        return torch.baddbmm(self.encoder_bias[:, None], x - self.bias[:, None], self.encoder.mT)

    def decode(self, codes: Float[Tensor, "members batch latents"]) -> Float[Tensor, "members batch units"]:
        return torch.baddbmm(self.bias[:, None], codes, self.decoder)


class TopK(Decomposition):
    """``z = relu(topk(W_enc (x - b_dec) + b_enc))``, ``x^ = W_dec' z + b_dec``; W_dec rows have unit norm.

    Loss: FVU over the batch, plus `aux_coefficient` times AuxK (Gao et al., 2024, appendix A.2): latents
    that haven't fired for `dead_after` samples explain what is left with their `aux_k` largest. Directions start
    uniform on the sphere and W_enc as their copy; b_dec starts at the geometric median. Adam, lr 2e-4 / sqrt(F / 2^14)
    unless given, falling to zero over the last fifth. Inputs are scaled to unit mean square norm, and the scale is
    folded back at the end.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        # Only what differs in shape or schedule is trained apart; seeds, rows and learning rates share one program.
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, member in enumerate(members):
            shared = tuple(sorted((key, value) for key, value in member.options.items() if key != "lr"))
            groups.setdefault(shared, []).append(index)
        fitted: dict[int, Dictionary] = {}
        for indices in groups.values():
            fitted |= zip(indices, self._fit_stack([members[i] for i in indices], progress), strict=True)
        return [fitted[i] for i in range(len(members))]

    def _fit_stack(self, members: list[Member], progress: Progress) -> list[Dictionary]:
        options = members[0].options
        n_latents, k = options["n_latents"], options["k"]
        for member in members:
            check_activations("TopK", member.activations, n_latents, limit=2**31)
        if k > n_latents:
            raise ValueError(f"TopK: k = {k} latents can't be active among n_latents = {n_latents}: lower k.")
        scales = torch.stack([member.activations.square().sum(1).mean().rsqrt() for member in members])
        data = [member.activations * scale for member, scale in zip(members, scales, strict=True)]
        stack = _initialise(members, data, n_latents)
        self._optimise(stack, members, data, progress)
        return [_finish(stack, i, member, scales[i], k) for i, member in enumerate(members)]

    def _optimise(self, stack: _Stack, members: list[Member], data: list[Tensor], progress: Progress) -> None:
        options = members[0].options
        steps, default_lr = options["steps"], 2e-4 / (options["n_latents"] / 2**14) ** 0.5
        lr = torch.tensor([m.options["lr"] or default_lr for m in members])
        optimizer = _Adam(stack.parameters(), lr.to(stack.encoder))
        silent = torch.zeros(stack.encoder_bias.shape, dtype=torch.int64, device=stack.encoder.device)
        generators = [stream("order", *member.key) for member in members]
        size = min(options["batch_size"], *map(len, data))
        orders = [torch.empty(0, dtype=torch.int64)] * len(members)
        for step in progress(range(steps)):
            orders, rows = _next_rows(orders, [len(d) for d in data], size, generators)
            batch = torch.stack([d[r.to(d.device)] for d, r in zip(data, rows, strict=True)])
            losses, fired = self._loss(stack, batch, silent > options["dead_after"], options)
            gradients = torch.autograd.grad(losses.sum(), stack.parameters())
            silent = torch.where(fired, 0, silent + size)
            decay = min(1.0, (steps - step) / max(1.0, 0.2 * steps))
            optimizer.step(_off_sphere(gradients, stack.decoder), decay)
            with torch.no_grad():
                stack.decoder /= stack.decoder.norm(dim=2, keepdim=True)
        _check_finite(losses, members)

    def _loss(
        self,
        stack: _Stack,
        x: Float[Tensor, "members batch units"],
        dead: Bool[Tensor, "members latents"],
        options: dict[str, Any],
    ) -> tuple[Float[Tensor, " members"], Bool[Tensor, "members latents"]]:
        """FVU plus AuxK of each member, and which latents fired."""
        pre = stack.pre_activations(x)
        codes = top_k(pre, options["k"])
        residual = x - stack.decode(codes)
        variance = (x - x.mean(1, keepdim=True)).square().sum((1, 2))
        loss = residual.square().sum((1, 2)) / variance
        fired = (codes > 0).any(1)
        if dead.any():
            aux_k = min(options["aux_k"] or x.shape[2] // 2, pre.shape[2])
            target = residual.detach()
            chosen = top_k(pre.masked_fill(~dead[:, None], -torch.inf), aux_k)
            unexplained = (target - torch.bmm(chosen, stack.decoder)).square().sum((1, 2))
            spread = (target - target.mean(1, keepdim=True)).square().sum((1, 2))
            loss = loss + options["aux_coefficient"] * torch.where(dead.any(1), unexplained / spread, 0.0)
        return loss, fired


class _Adam:
    """Adam (Kingma & Ba, 2015) over stacked members, each with its own learning rate."""

    def __init__(self, parameters: list[Tensor], lr: Float[Tensor, " members"]) -> None:
        self.parameters, self.lr, self.t = parameters, lr, 0
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], decay: float) -> None:
        self.t += 1
        first, second = 1 - 0.9**self.t, (1 - 0.999**self.t) ** 0.5
        for p, g, m, v in zip(self.parameters, gradients, self.first, self.second, strict=True):
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            lr = (self.lr * decay * second / first).view(-1, *[1] * (p.ndim - 1))
            p.sub_(lr * m / (v.sqrt() + 1e-8 * second))


def _initialise(members: list[Member], data: list[Tensor], n_latents: int) -> _Stack:
    units, device = data[0].shape[1], data[0].device
    drawn = [torch.randn(n_latents, units, generator=stream("init", *member.key)) for member in members]
    decoder = torch.stack(drawn).to(device)
    decoder /= decoder.norm(dim=2, keepdim=True)
    bias = torch.stack([geometric_median(d) for d in data])
    zeros = torch.zeros(len(members), n_latents, device=device)
    stack = _Stack(decoder.clone(), zeros, decoder, bias)
    for parameter in stack.parameters():
        parameter.requires_grad_()
    return stack


def geometric_median(x: Float[Tensor, "samples units"], iterations: int = 100) -> Float[Tensor, " units"]:
    """The point with the least sum of distances to all samples, by Weiszfeld's iteration (1937)."""
    point = x.mean(0)
    for _ in range(iterations):
        weight = 1 / (x - point).norm(dim=1).clamp_min(1e-8)
        previous, point = point, (weight[:, None] * x).sum(0) / weight.sum()
        if (point - previous).norm() <= 1e-6 * point.norm():
            break
    return point


def _next_rows(
    orders: list[Int[Tensor, " _"]], lengths: list[int], size: int, generators: list[torch.Generator]
) -> tuple[list[Tensor], list[Tensor]]:
    """The next `size` rows of each member; a member whose order runs out draws a new permutation of its own rows."""
    filled = [
        order if len(order) >= size else torch.randperm(length, generator=generator)
        for order, length, generator in zip(orders, lengths, generators, strict=True)
    ]
    return [order[size:] for order in filled], [order[:size] for order in filled]


def _off_sphere(gradients: tuple[Tensor, ...], decoder: Tensor) -> list[Tensor]:
    """Take the part along each direction out of the decoder's gradient: the norm is fixed."""
    encoder, encoder_bias, directions, bias = gradients
    along = (directions * decoder.detach()).sum(2, keepdim=True)
    return [encoder, encoder_bias, directions - along * decoder.detach(), bias]


def _check_finite(losses: Float[Tensor, " members"], members: list[Member]) -> None:
    bad = [
        m for m, loss in zip(members, losses.tolist(), strict=True) if loss != loss or loss in (torch.inf, -torch.inf)
    ]
    if bad:
        listed = "; ".join(f"seed {m.seed}, rows {m.rows}, lr {m.options['lr'] or 'default'}" for m in bad)
        raise ValueError(
            f"TopK: {len(bad)} of {len(members)} members diverged ({listed}): lower lr in the decomposition."
        )


@torch.no_grad()
def _finish(stack: _Stack, index: int, member: Member, scale: Tensor, k: int) -> Dictionary:
    """One member in the units of its activations, the input scale folded into both biases."""
    fitted = Dictionary(
        directions=stack.decoder[index].detach().clone(),
        encoder=stack.encoder[index].detach().clone(),
        encoder_bias=stack.encoder_bias[index].detach() / scale,
        bias=stack.bias[index].detach() / scale,
        firing_rate=torch.zeros_like(stack.encoder_bias[index]),
        importance=torch.zeros_like(stack.encoder_bias[index]),
        activation="topk",
        k=k,
        signed=True,
    )
    codes = fitted.codes(member.activations)
    return replace(fitted, firing_rate=(codes > 0).float().mean(0), importance=codes.square().mean(0).sqrt())
