"""What every network of named hook points, one behind the other, can say of them and do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn


class HookedNetwork(nn.Module, ABC):
    """Modules in the order of the forward pass, each reading the one before alone; the names are the hook points."""

    order: list[str]

    def forward(self, x: Float[Tensor, "samples inputs"]) -> Float[Tensor, "samples classes"]:
        for name in self.order:
            x = self.get_submodule(name)(x)
        return x

    def hook_points(self) -> list[str]:
        """Names of the places where activations can be read, from input to output."""
        return list(self.order)

    def below(self, hook_point: str) -> str | None:
        """The hook point that this one's layer reads, None for the first layer."""
        position = self.order.index(hook_point)
        return self.order[position - 1] if position else None

    def above(self, hook_point: str) -> str | None:
        """The hook point whose layer reads this one, None for the logits."""
        position = self.order.index(hook_point)
        return self.order[position + 1] if position + 1 < len(self.order) else None

    def initialise(self, generator: torch.Generator, names: set[str] | None = None) -> None:
        """Draw weights and biases uniformly within 1/sqrt(fan in), PyTorch's default, from `generator` alone.

        With `names` only these parameters are redrawn.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if names is None or name in names:
                    bound = self.linear_map(name.rpartition(".")[0]).in_features ** -0.5
                    parameter.uniform_(-bound, bound, generator=generator)

    def linear_map(self, path: str) -> nn.Linear:
        """The linear map at a path among the modules."""
        linear = self.get_submodule(path)
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"{type(self).__name__}: {path} is a {type(linear).__name__}, not a linear map.")
        return linear

    @abstractmethod
    def units(self, hook_point: str) -> int:
        """How many units a hook point has."""

    @abstractmethod
    def parameters_around(self, hook_point: str) -> set[str]:
        """What retraining a hook point re-draws."""

    @abstractmethod
    def frame_below(self, hook_point: str) -> set[str]:
        """Parameters that fix the basis which this layer reads; where two runs share them, `read_in` is identified."""

    @abstractmethod
    def frame_above(self, hook_point: str) -> set[str]:
        """Parameters that fix the basis this layer writes to; where two runs share them, `write_out` is identified."""

    @abstractmethod
    def frame_own(self, hook_point: str) -> set[str]:
        """Parameters that fix the hook point's own basis; where two runs share them, `neuron` is identified.

        None at the logits, whose basis the classes fix.
        """

    @abstractmethod
    def write_out(self, hook_point: str) -> Float[Tensor, "next_units units"] | None:
        """The linear map by which the next layer reads this hook point; None at the logits.

        Into the logits the mean over classes is taken off: a constant per input is no difference.
        """

    @abstractmethod
    def symmetry(self, hook_point: str) -> str:
        """Which maps of this hook point leave the network's function alone, by the names of `models.symmetry`.

        Or ``shift``: a constant for each input, at the logits.
        """

    @abstractmethod
    def after(self, hook_point: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """The rest of the network in two: an affine map that reads this hook point, and all behind it to the logits."""
