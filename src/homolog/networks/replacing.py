"""What does a whole network give when something else stands at one of its hook points, all before it as it was?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from homolog.networks.hooks import Forward, check_hookable, elements, located
from homolog.networks.points import Point

Replacement = Callable[[Tensor], Tensor]


class Replacing:
    """Replaces what stands at a hook point of a module: as a context, within which `run` can be asked again and again.

    What a module reads (`:in`) is replaced for that module alone: a residual stream that passes it by keeps its own.
    """

    def __init__(self, module: nn.Module, point: Point) -> None:
        check_hookable(module, point)
        self._module, self._point = module.get_submodule(point.module), point
        self._replacement: Replacement | None = None
        self._calls = 0
        # What the module read, what it was given in its place, and how often that had been written to before.
        self._read: tuple[Tensor, Tensor, int] | None = None
        self._handles: list[Any] = []

    def __enter__(self) -> Replacing:
        if self._point.side == "out":
            self._handles = [self._module.register_forward_hook(self._behind)]
        else:
            before = self._module.register_forward_pre_hook(self._before, with_kwargs=True)
            self._handles = [before, self._module.register_forward_hook(self._written)]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def run(self, forward: Forward, replacement: Replacement) -> Any:
        """What `forward` returns when the tensor at the hook point makes way for its `replacement`, of equal shape.

        Tuples, dicts and objects around it are built anew, of their own types. Raises ValueError, one line, where the
        hook point isn't reached, or more than once without a call being named: it would be left as it was, and nothing
        seem to depend on it.
        """
        self._calls, self._read, self._replacement = 0, None, replacement
        found = forward()
        wanted = self._point.call
        if self._calls <= (wanted or 0) or (wanted is None and self._calls > 1):
            raise ValueError(
                f"hook point {self._point}: the module ran {self._calls} times in a forward pass, and "
                + ("once is needed" if wanted is None else f"{wanted + 1} times at least")
                + ": choose a hook point that every input goes through, or name the call, as in module@0."
            )
        return found

    def _behind(self, _module: nn.Module, _arguments: Any, output: Any) -> Any:
        path, found = located(output, self._point) if self._is_due() else ((), None)
        return None if found is None else with_element(output, path, self._replaced(found))

    def _before(self, _module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not self._is_due():
            return None
        every = {**{str(place): value for place, value in enumerate(arguments)}, **named}
        path, found = located(every, self._point)
        new = self._replaced(found)
        if not new.is_inference():
            self._read = found, new, new._version
        every = with_element(every, path, new)
        return tuple(every.pop(str(place)) for place in range(len(arguments))), every

    def _written(self, _module: nn.Module, _arguments: Any, _output: Any) -> None:
        """A module that works in place changes what its caller holds: so it must where something else was read."""
        if self._read is not None and self._read[1]._version != self._read[2]:
            self._read[0].copy_(self._read[1])
        self._read = None

    def _is_due(self) -> bool:
        self._calls += 1
        return self._calls == (self._point.call or 0) + 1

    def _replaced(self, found: Tensor) -> Tensor:
        if self._replacement is None:
            return found
        new = self._replacement(found)
        if new.shape != found.shape:
            raise ValueError(
                f"hook point {self._point} has shape {tuple(found.shape)}, and what is put in its place "
                f"{tuple(new.shape)}: give one row for each of its rows, of as many units."
            )
        return new if new is found else _laid_out_as(found, new)


def _laid_out_as(found: Tensor, new: Tensor) -> Tensor:
    """The same numbers, of the type of `found`, and as that lies in memory.

    Other strides can take another way through the kernels behind it, with other last bits.
    """
    if any(stride == 0 and size > 1 for size, stride in zip(found.shape, found.stride(), strict=True)):
        return new.to(found.dtype)  # What is expanded has no memory of its own for each number.
    room = torch.empty_strided(found.shape, found.stride(), dtype=found.dtype, device=found.device)
    return room.copy_(new)


def with_element(value: Any, path: tuple[str, ...], tensor: Tensor) -> Any:
    """`value` with another tensor where `path` leads: of the same types, while what was given is left as it is."""
    if not path:
        return tensor
    new = with_element(elements(value)[path[0]], path[1:], tensor)
    if isinstance(value, tuple | list):
        items = [*value[: int(path[0])], new, *value[int(path[0]) + 1 :]]
        # A tuple with names takes its items one by one.
        make = getattr(type(value), "_make", type(value))
        return make(items)
    try:
        made = copy.copy(value)
        if isinstance(value, Mapping):
            made[next(name for name in value if str(name) == path[0])] = new
        else:
            vars(made)[path[0]] = new
    except TypeError as error:
        raise ValueError(
            f"nothing can be put in the place of [{path[0]}] in a {type(value).__name__}, which can't be changed: "
            "choose another hook point."
        ) from error
    return made


@torch.no_grad()
def is_read(module: nn.Module, point: Point, forward: Callable[[], Tensor]) -> bool:
    """Does what `forward` gives depend on a hook point at all, whatever stands there? Told by torch's own graph."""
    with Replacing(module, point) as replacing, torch.enable_grad():
        # Not the leaf itself, into which nothing may be written in place.
        found = replacing.run(forward, lambda value: value.detach().requires_grad_().clone())
    return bool(found.requires_grad)
