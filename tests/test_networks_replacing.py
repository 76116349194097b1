"""Is a network the same, bit for bit, when what stands at a hook point makes way for a copy, and another for noise?"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from test_hook_points import TOKENS, Transformer
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from homolog.networks.convnet import convnet
from homolog.networks.gpt import gpt
from homolog.networks.hooks import elements, register
from homolog.networks.network import Network
from homolog.networks.places import as_places, laid_out_as
from homolog.networks.points import Point
from homolog.networks.replacing import Replacing, is_read, with_element
from homolog.networks.splicing import rows_replaced

Pair = namedtuple("Pair", "first second")


class InPlace(nn.Module):
    """Activations in place whose argument is used again, parts of a larger tensor, tuples in lists, a shared norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.first, self.act, self.second = nn.Linear(6, 12), nn.ReLU(inplace=True), nn.Linear(6, 6)
        self.pair = Pairs()

    def forward(self, x: Tensor) -> Any:
        hidden = self.first(self.norm(x))
        self.act(hidden)  # What it gives isn't taken: it has changed `hidden`.
        left, right = hidden.chunk(2, -1)  # Views with gaps in memory.
        mixed = self.pair(self.second(left), [right, {"deep": (left, 3)}], scale=2.0)
        return {"out": self.norm(mixed.first + mixed.second), "pair": mixed}


class Pairs(nn.Module):
    def forward(self, x: Tensor, others: list[Any], scale: float = 1.0) -> Pair:
        return Pair(x * scale, others[0] + others[1]["deep"][0])


def bert() -> nn.Module:
    config = transformers.BertConfig(
        vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return transformers.BertForMaskedLM(config)


def tokens(batch: int = 2) -> dict[str, Tensor]:
    mask = torch.ones(batch, 5, dtype=torch.int64)
    mask[0, 3:] = 0
    return {"input_ids": torch.arange(5 * batch).reshape(batch, 5) % 11, "attention_mask": mask}


def images() -> Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


NETWORKS: dict[str, Any] = {
    "transformer": (Transformer, lambda: {"input_ids": TOKENS}),
    "in place": (InPlace, lambda: {"x": torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))}),
    "bert": (bert, tokens),
    "gpt": (lambda: gpt(vocabulary=11, length=5, width=8, blocks=2, heads=2), tokens),
    "convnet": (lambda: convnet(1, 3, [4, 6], 10), images),
    "convnet, channels last": (
        lambda: convnet(1, 3, [4, 6], 10).to(memory_format=torch.channels_last),
        lambda: images().contiguous(memory_format=torch.channels_last),
    ),
}


def made(name: str) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    module, batch = NETWORKS[name]
    network = Network(module(), name).to("cpu")
    return network.module, lambda: network(batch())


def tensors(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Tensor]:
    """Every tensor in what holds several, by its path."""
    if isinstance(value, Tensor):
        return {path: value}
    return {at: one for name, inside in elements(value).items() for at, one in tensors(inside, (*path, name)).items()}


def every_point(module: nn.Module, forward: Any) -> list[Point]:
    """All that can be asked for: of each call of each module, what it reads and gives, each tensor of real numbers."""
    found: list[Point] = []
    calls: dict[tuple[str, str], int] = {}

    def note(name: str, side: str) -> Any:
        def seen(value: Any) -> None:
            call = calls[name, side] = calls.get((name, side), -1) + 1
            there = tensors(value).items()
            found.extend(Point(name, side, call, path) for path, one in there if one.is_floating_point())

        return seen

    handles = [
        register(part, side, note(name, side)) for name, part in module.named_modules() for side in ("in", "out")
    ]
    forward()
    for handle in handles:
        handle.remove()
    return found


def same(one: Any, other: Any) -> bool:
    left, right = tensors(one), tensors(other)
    return left.keys() == right.keys() and all(torch.equal(left[path], right[path]) for path in left)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_copy_in_the_place_of_any_hook_point_changes_no_bit_and_noise_what_depends_on_it(name: str) -> None:
    module, forward = made(name)
    plain, points = forward(), every_point(module, forward)
    assert len(points) >= 12
    kinds: set[bool] = set()
    for point in points:
        with Replacing(module, point) as replacing:
            again = replacing.run(forward, lambda value: value.contiguous().clone())
            assert type(again) is type(plain)
            assert same(again, plain), point
            other = replacing.run(forward, lambda value: value + torch.randn(value.shape))
        for path in tensors(plain):
            reached = is_read(module, point, lambda: tensors(forward())[path])  # noqa: B023
            assert reached or torch.equal(tensors(other)[path], tensors(plain)[path]), (point, path)
            kinds.add(reached)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert True in kinds


@pytest.mark.parametrize("name", ["transformer", "bert", "gpt"])
@torch.no_grad()
def test_rows_of_themselves_change_no_bit_and_only_kept_rows_are_replaced(name: str) -> None:
    module, forward = made(name)
    plain = forward()
    keep = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]]).bool()
    for point in every_point(module, forward):
        (value,) = found_at(module, point, forward)
        if value.dim() < 3 or value.shape[:2] != keep.shape:
            continue
        rows = int(keep.sum()), value.shape[2:].numel()
        with Replacing(module, point) as replacing:
            again = replacing.run(forward, rows_replaced(point, 5, keep, lambda values: values + 0))
            assert same(again, plain), point
            seen: list[Tensor] = []

            def told(values: Tensor) -> Tensor:
                seen.append(values)  # noqa: B023
                return values + 1

            replace = rows_replaced(point, 5, keep, told)
            new = replace(value)
        assert seen[0].shape == rows
        assert torch.equal(new[~keep], value[~keep])
        assert torch.equal(new[keep], value[keep] + 1)


def found_at(module: nn.Module, point: Point, forward: Any) -> list[Tensor]:
    found: list[Tensor] = []
    with Replacing(module, point) as replacing:
        replacing.run(forward, lambda value: found.append(value) or value)  # type: ignore[func-returns-value]
    return found


@torch.no_grad()
def test_channels_are_units_and_places_rows() -> None:
    module, forward = made("convnet, channels last")
    plain = forward()
    for point in (Point("stages.0"), Point("stages.1"), Point("hidden"), Point("stages.1", "in")):
        keep = torch.ones(3, 1, dtype=torch.bool)
        with Replacing(module, point) as replacing:
            assert torch.equal(
                replacing.run(forward, rows_replaced(point, None, keep, lambda rows: rows.clone())), plain
            )
        (value,) = found_at(module, point, forward)
        only = torch.arange(value.shape[1]) == 1
        new = rows_replaced(point, None, keep, lambda rows: rows * only)(value)  # noqa: B023
        assert torch.equal(new, value * only.reshape(-1, *[1] * (value.dim() - 2)))


@pytest.mark.parametrize(
    ("shape", "positions"), [((2, 5, 4), 5), ((10, 4), 5), ((2, 5, 2, 2), 5), ((2, 4, 2, 2), 4), ((2, 4), None),
                             ((2, 3, 4), None), ((2, 4, 3, 5), None)],
)  # fmt: skip
def test_rows_are_laid_out_as_they_were_read(shape: tuple[int, ...], positions: int | None) -> None:
    value = torch.arange(torch.Size(shape).numel()).reshape(shape).float()
    places = as_places(value, 2, positions, Point("x"))
    assert torch.equal(laid_out_as(value, places, positions), value)


# What is around a tensor


@dataclass(frozen=True)
class Frozen:
    logits: Tensor
    name: str = "kept"


class Named(OrderedDict):  # type: ignore[type-arg]
    pass


ONE, NEW = torch.ones(2), torch.zeros(2)
HELD: dict[str, tuple[Any, tuple[str, ...]]] = {
    "tensor": (ONE, ()),
    "tuple": ((1, ONE), ("1",)),
    "list": ([ONE, "x"], ("0",)),
    "tuple with names": (Pair(ONE, 2), ("0",)),
    "what torch returns": (torch.max(torch.ones(2, 2), 0), ("0",)),
    "dict": ({"a": ONE, 3: 4}, ("a",)),
    "key that is no text": ({1: ONE, "a": 2}, ("1",)),
    "dict of another type": (Named(a=ONE), ("a",)),
    "transformers": (BaseModelOutput(last_hidden_state=ONE, hidden_states=(ONE, ONE)), ("hidden_states", "1")),
    "object": (SimpleNamespace(logits=ONE, more=1), ("logits",)),
    "frozen": (Frozen(ONE), ("logits",)),
    "deep": (([{"a": Pair(1, (ONE,))}], 2), ("0", "0", "a", "1", "0")),
}


def at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = elements(value)[name]
    return value


@pytest.mark.parametrize("case", HELD)
def test_what_is_around_keeps_its_types_and_the_rest_and_what_was_given_is_left_as_it_is(case: str) -> None:
    value, path = HELD[case]
    made_anew = with_element(value, path, NEW)
    assert at(made_anew, path) is NEW
    for depth in range(len(path)):
        old, new = at(value, path[:depth]), at(made_anew, path[:depth])
        assert type(new) is type(old)
        assert list(elements(new)) == list(elements(old))
        assert all(elements(new)[name] is one for name, one in elements(old).items() if name != path[depth])
    assert torch.equal(at(value, path), ONE)


def test_an_output_of_transformers_has_the_new_tensor_by_all_its_names() -> None:
    old = BaseModelOutput(last_hidden_state=ONE)
    new = with_element(old, ("last_hidden_state",), NEW)
    assert new[0] is new["last_hidden_state"] is new.last_hidden_state is NEW
    assert old[0] is old.last_hidden_state is ONE


# What is refused


def test_what_cant_be_replaced_is_told() -> None:
    with pytest.raises(ValueError, match=r"in the place of \[a\] in a mappingproxy, which can't be changed"):
        with_element(MappingProxyType({"a": ONE}), ("a",), NEW)
    module, forward = made("transformer")
    for point, text in [
        (Point("unused"), "hook point unused: the module ran 0 times in a forward pass, and once is needed"),
        (Point("norm"), "hook point norm: the module ran 3 times in a forward pass, and once is needed: .* module@0"),
        (Point("norm", call=3), "hook point norm@3: the module ran 3 times in a forward pass, and 4 times at least"),
    ]:
        with pytest.raises(ValueError, match=text), Replacing(module, point) as replacing:
            replacing.run(forward, lambda value: value)
    with (
        pytest.raises(
            ValueError, match=r"hook point embed has shape \(2, 5, 6\), and what is put in its place \(2, 5\)"
        ),
        Replacing(module, Point("embed")) as replacing,
    ):
        replacing.run(forward, lambda value: value[..., 0])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
