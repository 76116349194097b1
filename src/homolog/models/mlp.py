"""A multilayer perceptron whose hidden layers are hook points, and which knows its own symmetries."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Layer(nn.Module):
    """One linear map and its nonlinearity; the output is what the hook point of this name reads."""

    def __init__(self, n_in: int, n_out: int, nonlinearity: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinearity(self.linear(x))


class MLP(nn.Module):
    """``inputs - widths[0] - ... - widths[-1] - classes`` with ReLU.

    Hook points are ``hidden_0``, ``hidden_1``, ... (after the ReLU) and ``logits``. A unit of a hidden layer can be
    permuted and rescaled by any positive number without a change of what the network computes; a constant can be
    added to all logits of an input.
    """

    def __init__(self, n_inputs: int, n_classes: int, widths: list[int], activation: str = "relu") -> None:
        super().__init__()
        if activation != "relu":
            raise ValueError(
                f"MLP: activation = {activation!r}, but its symmetry is known for 'relu' only: choose 'relu'."
            )
        self.order = [*(f"hidden_{i}" for i in range(len(widths))), "logits"]
        sizes = [n_inputs, *widths, n_classes]
        for name, n_in, n_out in zip(self.order, sizes[:-1], sizes[1:], strict=True):
            self.add_module(name, Layer(n_in, n_out, nn.Identity() if name == "logits" else nn.ReLU()))

    def forward(self, x: Float[Tensor, "samples inputs"]) -> Float[Tensor, "samples classes"]:
        for name in self.order:
            x = self.get_submodule(name)(x)
        return x

    def hook_points(self) -> list[str]:
        """Names of the places where activations can be read, from input to output."""
        return list(self.order)

    def linear(self, name: str) -> nn.Linear:
        """The linear map of a layer."""
        linear = self.get_submodule(f"{name}.linear")
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"MLP: {name}.linear is a {type(linear).__name__}, not a linear map.")
        return linear

    def units(self, hook_point: str) -> int:
        """How many units a hook point has."""
        return self.linear(hook_point).out_features

    def initialise(self, generator: torch.Generator, names: set[str] | None = None) -> None:
        """Draw weights and biases uniformly within 1/sqrt(fan in), PyTorch's default, from `generator` alone.

        With `names` only these parameters are redrawn.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if names is None or name in names:
                    bound = self.linear(name.partition(".")[0]).in_features ** -0.5
                    parameter.uniform_(-bound, bound, generator=generator)

    def below(self, hook_point: str) -> str | None:
        """The hook point that this one's layer reads, None for the first layer."""
        position = self.order.index(hook_point)
        return self.order[position - 1] if position else None

    def above(self, hook_point: str) -> str | None:
        """The hook point whose layer reads this one, None for the logits."""
        position = self.order.index(hook_point)
        return self.order[position + 1] if position + 1 < len(self.order) else None

    def parameters_around(self, hook_point: str) -> set[str]:
        """The weights into and out of a hook point and its own bias: what retraining it re-draws.

        The bias must go too: frozen, it would anchor each unit to its old self.
        """
        above = self.above(hook_point)
        own = {f"{hook_point}.linear.weight", f"{hook_point}.linear.bias"}
        return own | ({f"{above}.linear.weight"} if above else set())

    def frame_below(self, hook_point: str) -> set[str]:
        """Parameters that fix the basis which this layer reads; where two runs share them, `read_in` is identified."""
        position = self.order.index(hook_point)
        return {f"{name}.linear.{kind}" for name in self.order[:position] for kind in ("weight", "bias")}

    def frame_above(self, hook_point: str) -> set[str]:
        """Parameters that fix the basis this layer writes to; where two runs share them, `write_out` is identified.

        The units of the next layer are fixed by the weights out of it; logits by the labels, so by nothing.
        """
        above = self.above(hook_point)
        beyond = self.above(above) if above else None
        return {f"{beyond}.linear.weight"} if beyond else set()

    def write_out(self, hook_point: str) -> Float[Tensor, "next_units units"] | None:
        """The linear map from this hook point to the next layer's pre-activations; None at the logits.

        Into the logits the mean over classes is taken off: a constant per input is no difference.
        """
        above = self.above(hook_point)
        if above is None:
            return None
        weight = self.linear(above).weight.detach()
        return weight - weight.mean(0) if above == "logits" else weight

    def symmetry(self, hook_point: str) -> str:
        """Which maps of this hook point leave the network's function alone: ``permute_scale`` or ``shift``."""
        return "shift" if hook_point == "logits" else "permute_scale"

    def apply_symmetry(
        self, hook_point: str, permutation: Int[Tensor, " units"], scale: Float[Tensor, " units"]
    ) -> None:
        """Permute and rescale the units of a hidden layer: unit i becomes `scale[i]` times the old `permutation[i]`."""
        above = self.above(hook_point)
        if above is None:
            raise ValueError(f"MLP: {hook_point} has no units to permute; hidden layers are {self.order[:-1]}.")
        layer, following = self.linear(hook_point), self.linear(above)
        with torch.no_grad():
            layer.weight.copy_(layer.weight[permutation] * scale[:, None])
            layer.bias.copy_(layer.bias[permutation] * scale)
            following.weight.copy_(following.weight[:, permutation] / scale)
