"""A residual perceptron: a stream that each block reads through a norm and adds to, and which may be rotated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from homolog.models.base import HookedNetwork
from homolog.models.symmetry import NONLINEARITIES, NORMS

# Added to the mean square, so that a row of zeros stays one.
EPSILON = 1e-6


class Norm(nn.Module):
    """Each row over its root mean square (Zhang & Sennrich 2019); LayerNorm takes its mean off first (Ba et al. 2016).

    Without gains and biases: what reads the norm is a linear map with a bias, which can hold both.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.centred = kind == "layernorm"

    def forward(self, x: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples units"]:
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        return x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt()


class Embedding(nn.Module):
    """The first contents of the stream."""

    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, width)

    def forward(self, x: Float[Tensor, "*samples inputs"]) -> Float[Tensor, "*samples units"]:
        embedded: Tensor = self.linear(x)
        return embedded


class Block(nn.Module):
    """``x + write(act(read(norm(x))))``: the stream behind the block."""

    def __init__(self, width: int, hidden: int, norm: str, nonlinearity: nn.Module) -> None:
        super().__init__()
        self.norm, self.nonlinearity = Norm(norm), nonlinearity
        self.read, self.write = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples units"]:
        behind: Tensor = x + self.write(self.nonlinearity(self.read(self.norm(x))))
        return behind


class Unembedding(nn.Module):
    """Logits, read from the stream through a norm."""

    def __init__(self, width: int, n_classes: int, norm: str) -> None:
        super().__init__()
        self.norm, self.linear = Norm(norm), nn.Linear(width, n_classes)

    def forward(self, x: Float[Tensor, "*samples units"]) -> Float[Tensor, "*samples classes"]:
        logits: Tensor = self.linear(self.norm(x))
        return logits


class Residual(HookedNetwork):
    """A stream of so many units and `blocks` of `hidden` units each; RMSNorm or LayerNorm before each reader.

    Hook points are ``stream_0`` (behind the embedding), ``stream_1``, ... (behind each block) and ``logits``. An
    orthogonal map of the whole stream, taken back by all that read it, changes nothing that the network computes: any
    one under RMSNorm; under LayerNorm one that keeps the vector of ones, along which nothing is read either.
    """

    def __init__(
        self, n_inputs: int, n_classes: int, stream: int, blocks: int, hidden: int, norm: str, activation: str = "relu"
    ) -> None:
        super().__init__()
        for name, seen, known in (("norm", norm, NORMS), ("activation", activation, NONLINEARITIES)):
            if seen not in known:
                raise ValueError(f"Residual: {name} = {seen!r}; allowed: {', '.join(known)}; choose one of these.")
        self.width, self.n_inputs, self.norm = stream, n_inputs, norm
        self.order = [*(f"stream_{i}" for i in range(blocks + 1)), "logits"]
        self.add_module("stream_0", Embedding(n_inputs, stream))
        for name in self.order[1:-1]:
            self.add_module(name, Block(stream, hidden, norm, NONLINEARITIES[activation][0]()))
        self.add_module("logits", Unembedding(stream, n_classes, norm))

    def units(self, hook_point: str) -> int:
        return self.linear_map("logits.linear").out_features if hook_point == "logits" else self.width

    def parameters_around(self, hook_point: str) -> set[str]:
        """What retraining a hook point re-draws: all of the layer that writes it. What reads a stream is everything
        behind it, and stays.
        """
        return {f"{hook_point}.{name}" for name, _ in self.get_submodule(hook_point).named_parameters()}

    def frame_below(self, hook_point: str) -> set[str]:
        return set().union(*(self.parameters_around(name) for name in self.order[: self.order.index(hook_point)]))

    def frame_above(self, hook_point: str) -> set[str]:
        """The biases of the next block's units: they don't turn with the stream, and a block is drawn as a whole."""
        above = self.above(hook_point)
        return set() if above in (None, "logits") else {f"{above}.read.bias"}

    def frame_own(self, hook_point: str) -> set[str]:
        """The embedding's weights, if they span the stream: a rotation would change them. Else all weights."""
        if hook_point == "logits":
            return set()
        spans = self.n_inputs >= self.width
        return {"stream_0.linear.weight"} if spans else {name for name, _ in self.named_parameters()}

    def write_out(self, hook_point: str) -> Float[Tensor, "next_units units"] | None:
        """As in the base; of a norm it holds that it takes the mean off each row, not what it divides by."""
        above = self.above(hook_point)
        if above is None:
            return None
        weight = self.linear_map("logits.linear" if above == "logits" else f"{above}.read").weight.detach()
        weight = weight - weight.mean(0) if above == "logits" else weight
        return weight - weight.mean(1, keepdim=True) if self.norm == "layernorm" else weight

    def symmetry(self, hook_point: str) -> str:
        return "shift" if hook_point == "logits" else NORMS[self.norm]

    def after(self, hook_point: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        behind = self.order[self.order.index(hook_point) + 1 :]
        return nn.Identity(), nn.Sequential(*(self.get_submodule(name) for name in behind))

    def apply_symmetry(self, hook_point: str, rotation: Float[Tensor, "units units"]) -> None:
        """Turn the whole stream: ``x`` becomes ``rotation @ x`` at every hook point of it.

        Raises ValueError for the logits, and where `rotation` isn't orthogonal or, under LayerNorm, doesn't keep the
        vector of ones.
        """
        if hook_point == "logits":
            raise ValueError(f"Residual: logits can't be rotated; the stream's hook points are {self.order[:-1]}.")
        turn = rotation.double()
        off = float((turn @ turn.T - torch.eye(self.width).to(turn)).abs().max())
        if self.norm == "layernorm":
            off = max(off, float((turn.sum(1) - 1).abs().max()))
        if off > 1e-5:
            raise ValueError(
                f"Residual: a map of the stream under {self.norm} must be orthogonal"
                f"{' and keep the vector of ones' if self.norm == 'layernorm' else ''}, and this one is off by "
                f"{off:.2g}: draw it with random_symmetry."
            )
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                layer, _, kind = name.rpartition(".")
                if layer == "stream_0.linear" or layer.endswith(".write"):
                    parameter.copy_(turn @ parameter.double())
                elif kind == "weight":
                    parameter.copy_(parameter.double() @ turn.T)
