"""A multilayer perceptron whose hidden layers are hook points, and which knows its own symmetries."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from homolog.models.base import HookedNetwork
from homolog.models.symmetry import NONLINEARITIES, check_unit_symmetry, permuted


class Layer(nn.Module):
    """One linear map and its nonlinearity; the output is what the hook point of this name reads."""

    def __init__(self, n_in: int, n_out: int, nonlinearity: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.nonlinearity(self.linear(x))
        return activated


class MLP(HookedNetwork):
    """``inputs - widths[0] - ... - widths[-1] - classes`` with ReLU, GELU or tanh.

    Hook points are ``hidden_0``, ``hidden_1``, ... (after the nonlinearity) and ``logits``. Units of a hidden layer can
    be permuted without a change of what the network computes, and each can be rescaled by a positive number (ReLU) or
    change its sign (tanh); a constant can be added to all logits of an input.
    """

    def __init__(self, n_inputs: int, n_classes: int, widths: list[int], activation: str = "relu") -> None:
        super().__init__()
        if activation not in NONLINEARITIES:
            raise ValueError(
                f"MLP: activation = {activation!r}, but a symmetry is known of {', '.join(NONLINEARITIES)} only: "
                "choose one of these."
            )
        nonlinearity, self.unit_symmetry = NONLINEARITIES[activation]
        self.order = [*(f"hidden_{i}" for i in range(len(widths))), "logits"]
        sizes = [n_inputs, *widths, n_classes]
        for name, n_in, n_out in zip(self.order, sizes[:-1], sizes[1:], strict=True):
            self.add_module(name, Layer(n_in, n_out, nn.Identity() if name == "logits" else nonlinearity()))

    def linear(self, name: str) -> nn.Linear:
        """The linear map of a layer."""
        return self.linear_map(f"{name}.linear")

    def units(self, hook_point: str) -> int:
        return self.linear(hook_point).out_features

    def parameters_around(self, hook_point: str) -> set[str]:
        """The weights into and out of a hook point and its own bias: what retraining it re-draws.

        The bias must go too: frozen, it would anchor each unit to its old self.
        """
        above = self.above(hook_point)
        own = {f"{hook_point}.linear.weight", f"{hook_point}.linear.bias"}
        return own | ({f"{above}.linear.weight"} if above else set())

    def frame_below(self, hook_point: str) -> set[str]:
        position = self.order.index(hook_point)
        return {f"{name}.linear.{kind}" for name in self.order[:position] for kind in ("weight", "bias")}

    def frame_above(self, hook_point: str) -> set[str]:
        """The units of the next layer are fixed by the weights out of it; logits by the classes, so by nothing."""
        above = self.above(hook_point)
        beyond = self.above(above) if above else None
        return {f"{beyond}.linear.weight"} if beyond else set()

    def frame_own(self, hook_point: str) -> set[str]:
        if hook_point == "logits":
            return set()
        return self.parameters_around(hook_point) | self.frame_below(hook_point)

    def write_out(self, hook_point: str) -> Float[Tensor, "next_units units"] | None:
        above = self.above(hook_point)
        if above is None:
            return None
        weight = self.linear(above).weight.detach()
        return weight - weight.mean(0) if above == "logits" else weight

    def symmetry(self, hook_point: str) -> str:
        return "shift" if hook_point == "logits" else self.unit_symmetry

    def after(self, hook_point: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        above = self.above(hook_point)
        if above is None:
            return nn.Identity(), nn.Identity()
        behind = [self.get_submodule(name) for name in self.order[self.order.index(above) + 1 :]]
        return self.linear(above), nn.Sequential(self.get_submodule(f"{above}.nonlinearity"), *behind)

    def apply_symmetry(
        self, hook_point: str, permutation: Int[Tensor, " units"], scale: Float[Tensor, " units"]
    ) -> None:
        """Permute and rescale the units of a hidden layer: unit i becomes `scale[i]` times the old `permutation[i]`.

        Raises ValueError for the logits, and for scales that the nonlinearity doesn't allow.
        """
        above = self.above(hook_point)
        if above is None:
            raise ValueError(f"MLP: {hook_point} has no units to permute; hidden layers are {self.order[:-1]}.")
        check_unit_symmetry(self.unit_symmetry, scale)
        layer, following = self.linear(hook_point), self.linear(above)
        with torch.no_grad():
            layer.weight.copy_(permuted(layer.weight, permutation, scale, 0))
            layer.bias.copy_(permuted(layer.bias, permutation, scale, 0))
            following.weight.copy_(permuted(following.weight, permutation, scale, 1, inverse=True))
