"""Which network belongs to a recipe and a task: built from a spec, with its weights from a state dict."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from homolog.loading import load
from homolog.models.base import HookedNetwork


def build_model(architecture: dict[str, Any], n_inputs: int, n_classes: int) -> Any:
    """The untrained network that `architecture` (``target`` and its options) describes, in the task's sizes."""
    options = dict(architecture)
    made_by = load(target := options.pop("target"))
    # Specs stand in files, and what isn't a network could do anything with its arguments.
    if not (isinstance(made_by, type) and issubclass(made_by, HookedNetwork)):
        raise ValueError(
            f"a spec names {target!r} as an architecture, and it is none: delete the file that holds this spec, and "
            "build it again."
        )
    return made_by(n_inputs=n_inputs, n_classes=n_classes, **options)


def restore_model(architecture: dict[str, Any], state: dict[str, Tensor], sizes: tuple[int, int]) -> Any:
    """The network with the weights `state`, in evaluation mode; `sizes` are its numbers of inputs and classes."""
    model = build_model(architecture, *sizes)
    load_state(model, state)
    return model.eval()


def load_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy `state` into `model`; a ValueError names the parameters that are missing, left over or of another shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    seen = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if expected != seen:
        wrong = sorted(name for name in expected.keys() | seen.keys() if expected.get(name) != seen.get(name))
        listed = ", ".join(f"{name}: file {seen.get(name)}, network {expected.get(name)}" for name in wrong)
        raise ValueError(
            f"the saved weights don't fit the network ({listed}): they were saved for another architecture; delete the "
            "model's folder under results/models and build it again."
        )
    model.load_state_dict(state)
