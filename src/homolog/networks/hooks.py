"""What do hook points of any module read in a forward pass, which ends behind the last of them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from homolog.networks.points import Point
from homolog.networks.seen import SCRIPTED, Seen

Forward = Callable[[], Any]


class _Done(BaseException):
    """All that was asked for is read. No Exception: code of others may catch these."""


class Hooks:
    """Reads hook points of a module: as a context, within which `read` can be asked again and again."""

    def __init__(self, module: nn.Module, points: Sequence[Point]) -> None:
        for point in points:
            check_hookable(module, point)
        self._module, self._points = module, tuple(dict.fromkeys(points))
        self._calls: Counter[tuple[str, str]] = Counter()
        self._values: dict[Point, Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Hooks:
        for name, side in dict.fromkeys((point.module, point.side) for point in self._points):
            self._handles.append(register(self._module.get_submodule(name), side, self._keep(name, side)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def read(self, forward: Forward) -> dict[Point, Tensor]:
        """What the hook points read while `forward` runs; it isn't run further than they need.

        Raises ValueError for hook points that aren't reached, and where there is no tensor.
        """
        self._calls.clear()
        self._values = {}
        try:
            forward()
        except _Done as done:
            if done.args[0] is not self:
                raise
        missing = [str(point) for point in self._points if point not in self._values]
        if missing:
            raise ValueError(
                f"hook point {', '.join(missing)} wasn't reached in the forward pass: the network doesn't call it on "
                "such inputs, or calls its parts without it; choose among those that `python -m homolog hook-points` "
                "lists with a shape."
            )
        return self._values

    def _keep(self, name: str, side: str) -> Callable[[Any], None]:
        points = [point for point in self._points if (point.module, point.side) == (name, side)]

        def keep(value: Any) -> None:
            call = self._calls[name, side]
            self._calls[name, side] += 1
            for point in points:
                if call == (point.call or 0):
                    # A copy: what follows may write into it, as an activation function in place does.
                    self._values[point] = tensor_of(value, point).detach().clone()
            if len(self._values) == len(self._points):
                raise _Done(self)

        return keep


def register(module: nn.Module, side: str, keep: Callable[[Any], None]) -> Any:
    """Hand on what a module gives; or what it reads: its arguments by place and by name."""
    if side == "out":
        return module.register_forward_hook(lambda _module, _arguments, output: keep(output))

    def before(_module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        keep({**{str(place): value for place, value in enumerate(arguments)}, **named})

    return module.register_forward_pre_hook(before, with_kwargs=True)


def check_hookable(module: nn.Module, point: Point) -> None:
    """Inside of what is compiled to TorchScript no hook runs."""
    parts = point.module.split(".")
    for length in range(len(parts) + 1):
        name = ".".join(parts[:length])
        if isinstance(module.get_submodule(name), torch.jit.ScriptModule):
            raise ValueError(f"hook point {point}: {name or 'the network'} is a ScriptModule, {SCRIPTED}")


def tensor_of(value: Any, point: Point) -> Tensor:
    """The tensor of a hook point in what its module gives or reads.

    Without an element: the tensor itself, the only tensor of a tuple or dict, or the first argument. Raises ValueError
    otherwise, which lists the elements.
    """
    return located(value, point)[1]


def located(value: Any, point: Point) -> tuple[tuple[str, ...], Tensor]:
    """The same tensor, behind the whole path that leads to it."""
    path = point.path
    if point.side == "in" and not path:
        path = tuple(value)[:1]
    for element in path:
        inside = elements(value)
        if element not in inside:
            rest = "is a tensor, which has none" if isinstance(value, Tensor) else f"has {_listed(inside)}"
            raise ValueError(
                f"hook point {point}: no element [{element}]; it {rest}: correct or leave out [{element}]."
            )
        value = inside[element]
    if not isinstance(value, Tensor):
        only = _only(value, point)
        path, value = (*path, only), elements(value)[only]
    if not value.is_floating_point():
        raise ValueError(f"hook point {point} holds {value.dtype}, and activations are real numbers: choose another.")
    return path, value


def _only(value: Any, point: Point) -> str:
    """The name of the only tensor in what holds several things."""
    inside = {name: one for name, one in elements(value).items() if isinstance(one, Tensor)}
    if len(inside) != 1:
        what = "no tensor" if not inside else f"several: {_listed(inside)}"
        raise ValueError(
            f"hook point {point}: one tensor is needed, and there is {what} in this {type(value).__name__}"
            + (f"; say which, as in {point}[{next(iter(inside))}]." if inside else "; choose another hook point.")
        )
    return next(iter(inside))


def elements(value: Any) -> dict[str, Any]:
    """What a tuple, a dict or an object holds, by place or name."""
    if isinstance(value, Mapping):
        return {str(name): one for name, one in value.items()}
    if isinstance(value, Tensor):
        return {}
    if isinstance(value, tuple | list):
        return {str(place): one for place, one in enumerate(value)}
    return dict(vars(value)) if hasattr(value, "__dict__") else {}


def _listed(inside: Mapping[str, Any]) -> str:
    return ", ".join(f"[{name}] {describe(one)}" for name, one in inside.items()) or "none"


def describe(value: Any) -> str:
    """The shape of a tensor; of what holds several the shapes of all."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    inside = {name: one for name, one in elements(value).items() if isinstance(one, Tensor | tuple | list | dict)}
    return ", ".join(f"[{name}] {describe(one)}" for name, one in inside.items()) or type(value).__name__


def survey(module: nn.Module, forward: Forward) -> dict[str, Seen]:
    """Every named module in one whole forward pass, in the order of `named_modules`."""
    seen = {
        name: Seen(name, type(one).__name__, scripted=isinstance(one, torch.jit.ScriptModule))
        for name, one in module.named_modules(remove_duplicate=False)
    }
    with _all_hooked(module, seen):
        forward()
    return seen


@contextmanager
def _all_hooked(module: nn.Module, seen: Mapping[str, Seen]) -> Iterator[None]:
    def before(one: Seen) -> Callable[[Any], None]:
        def note(value: dict[str, Any]) -> None:
            one.calls += 1
            if one.calls == 1:
                one.read = describe(next(iter(value.values()), None))

        return note

    def after(one: Seen) -> Callable[[Any], None]:
        def note(value: Any) -> None:
            one.gave = one.gave or describe(value)

        return note

    handles = []
    try:
        for name, one in seen.items():
            part = module.get_submodule(name)
            if not one.scripted:
                handles += [register(part, "in", before(one)), register(part, "out", after(one))]
        yield
    finally:
        for handle in handles:
            handle.remove()
