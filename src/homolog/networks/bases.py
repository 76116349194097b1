"""Whose weights fix the basis of a stream: a network's own, or those of what it was retrained of in part?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from homolog.networks.hooks import Forward, elements
from homolog.networks.points import Point
from homolog.networks.replacing import Replacing, with_element
from homolog.store.files import content_hash


@dataclass(frozen=True)
class Ancestor:
    """What a network was retrained of: the hash of its weights, and which parameters were trained from there on."""

    digest: str
    drawn: tuple[str, ...]


def weights_digest(module: nn.Module) -> str:
    """Hash of all weights and buffers."""
    return content_hash((name, one.detach().cpu().numpy()) for name, one in module.state_dict().items())


def to_text(lineage: Iterable[Ancestor]) -> str:
    """As a file of weights says it."""
    return json.dumps([[one.digest, *one.drawn] for one in lineage])


def from_text(text: str) -> tuple[Ancestor, ...]:
    """What `to_text` wrote."""
    return tuple(Ancestor(digest, tuple(drawn)) for digest, *drawn in json.loads(text))


def shared_with(module: nn.Module, lineage: Iterable[Ancestor], point: Point, forward: Forward) -> str | None:
    """The hash of the ancestor whose basis stands at `point`, a stream; None where it is the network's own.

    It is the oldest one (`lineage` begins with that) since which, at each step, layers that stayed have been writing
    the stream (`is_written_by_others`): where all that writes it was drawn anew, any permutation of it could have been
    learned as well. `forward` runs the module on a batch.
    """
    found = None
    for one in reversed([*lineage]):
        if not is_written_by_others(module, one.drawn, point, forward):
            break
        found = one.digest
    return found


def is_written_by_others(module: nn.Module, drawn: Iterable[str], point: Point, forward: Forward) -> bool:
    """Do matrices other than the parameters `drawn` write what stands at `point`, past all layers that hold these?

    Layers that hold one of them are cut off, and the gradient of what is left tells. Biases and the scales of norms
    count for nothing: before training they are equal for all units. How many dimensions are written isn't asked.
    """
    named = dict(module.named_parameters(remove_duplicate=False))
    changed = {id(named[name]) for name in drawn}
    holders = {name.rpartition(".")[0] for name, one in named.items() if id(one) in changed}
    # What stands within a module is there before that has given anything.
    blocked = {one for one in _running(module, holders, forward) if not _is_within(point.module, one)}
    others = [
        one
        for name, one in module.named_parameters()
        if one.dim() > 1 and one.is_floating_point() and id(one) not in changed
        if not any(_is_within(name, part) for part in blocked)
    ]
    written: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        written.append(value)
        return value

    with torch.enable_grad(), _learning(others), _cut(module, blocked), Replacing(module, point) as replacing:
        replacing.run(forward, keep)
        if not written[0].requires_grad:
            return False
        # No sum of squares: that of what a norm gives is a constant.
        weights = torch.linspace(1.0, 2.0, written[0].numel(), device=written[0].device).sin()
        gradients = torch.autograd.grad((written[0].flatten() * weights).sum(), others, allow_unused=True)
    return any(one is not None and bool(one.any()) for one in gradients)


def _is_within(name: str, part: str) -> bool:
    return (not part and bool(name)) or name.startswith(f"{part}.")


def _running(module: nn.Module, holders: Iterable[str], forward: Forward) -> set[str]:
    """Modules that run; in the place of those whose parameters are read past them, the ones around."""
    called: set[str] = set()
    handles = [
        part.register_forward_hook(lambda _module, _arguments, _output, name=name: called.add(name))
        for name, part in module.named_modules(remove_duplicate=False)
        if not isinstance(part, torch.jit.ScriptModule)
    ]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    found = set()
    for part in holders:
        while part and part not in called:
            part = part.rpartition(".")[0]
        found.add(part)
    return found


@contextmanager
def _learning(parameters: Sequence[Tensor]) -> Iterator[None]:
    before = [one.requires_grad for one in parameters]
    for one in parameters:
        one.requires_grad_(True)
    try:
        yield
    finally:
        for one, was in zip(parameters, before, strict=True):
            one.requires_grad_(was)


@contextmanager
def _cut(module: nn.Module, parts: Iterable[str]) -> Iterator[None]:
    """Within, no gradient passes what these modules give."""

    def cut(_module: nn.Module, _arguments: Any, output: Any) -> Any:
        return _detached(output)

    handles = [module.get_submodule(part).register_forward_hook(cut) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    for name, one in elements(value).items():
        if isinstance(one, Tensor | tuple | list | Mapping):
            value = with_element(value, (name,), _detached(one))
    return value
