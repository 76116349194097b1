"""Do names lead to the tensors that they mean, in any module, and does the forward pass end behind the last of them?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from homolog.networks.hooks import Hooks, survey
from homolog.networks.points import Point, find, parse
from homolog.networks.seen import check_calls


class Attention(nn.Module):
    """Gives a tuple, as attention does, and is called by keyword."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.output = nn.Linear(units, units)
        self.hook_z = nn.Identity()

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(hidden @ hidden.mT, -1)
        return self.output(self.hook_z(weights @ hidden)), weights


class Layer(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.attention = Attention(units)
        self.act = nn.ReLU(inplace=True)
        self.output = nn.Linear(units, units)

    def forward(self, hidden: Tensor) -> tuple[Tensor]:
        mixed, _ = self.attention(hidden=hidden, mask=None)
        return (hidden + self.output(self.act(mixed)),)


class Transformer(nn.Module):
    """Small, with all that is awkward: tuples, dicts, keywords, writing in place, a norm that is called three times."""

    def __init__(self, units: int = 6, layers: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, units)
        self.norm = nn.LayerNorm(units)
        self.layers = nn.ModuleList(Layer(units) for _ in range(layers))
        self.unused = nn.Linear(units, units)
        self.last_calls = 0

    def forward(self, input_ids: Tensor) -> dict[str, Any]:
        hidden = self.embed(input_ids)
        for layer in self.layers:
            (hidden,) = layer(self.norm(hidden))
        self.last_calls += 1
        return {"last": hidden, "first": hidden[:, 0], "name": "mini"}


@pytest.fixture
def network() -> Transformer:
    torch.manual_seed(0)
    return Transformer().eval().requires_grad_(False)


TOKENS = torch.arange(10).reshape(2, 5)


def read(module: nn.Module, *names: str) -> list[Tensor]:
    """What hook points read of the tokens, by their names."""
    modules = [name for name, _ in module.named_modules(remove_duplicate=False)]
    points = [point for name in names for point in find(name, modules)]
    with Hooks(module, points) as hooks:
        values = hooks.read(lambda: module(TOKENS))
    return [values[point] for point in points]


def modules_of(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_modules(remove_duplicate=False)]


# Names


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("blocks.0.hook_resid_post", Point("blocks.0.hook_resid_post")),
        ("layer.3:in", Point("layer.3", "in")),
        ("layer.3:out[0]", Point("layer.3", path=("0",))),
        ("norm@2", Point("norm", call=2)),
        ("norm@2:in[hidden][1]", Point("norm", "in", 2, ("hidden", "1"))),
        (":out[logits]", Point("", path=("logits",))),
    ],
)
def test_a_name_says_module_call_side_and_element(text: str, point: Point) -> None:
    assert parse(text) == point
    assert parse(str(point)) == point


@pytest.mark.parametrize("text", ["layer:up", "layer[0", "layer@x", "layer]0[", "a:in:out", "layer[]"])
def test_what_is_no_name_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: `module`, then if needed `@call`"):
        parse(text)


def test_a_star_stands_for_one_part_of_a_name_and_two_for_any_number(network: Transformer) -> None:
    known = modules_of(network)
    assert [str(point) for point in find("layers.*.output", known)] == [f"layers.{i}.output" for i in range(3)]
    assert len(find("**.output", known)) == 6
    assert [str(point) for point in find("layers.?:in[0]", known)] == [f"layers.{i}:in[0]" for i in range(3)]
    assert [point.module for point in find("layers.*.att*", known)] == [f"layers.{i}.attention" for i in range(3)]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (".layers.0", "layers.0"),
        ("model.layers.0", "layers.0"),
        ("layers[0].attention.output[0]", "layers.0.attention.output[0]"),  # A module of that name comes first.
        ("layers[0].output", "layers.0.output"),
        (".layers.1.attention.hook_z.output", "layers.1.attention.hook_z"),
        ("layers[1].attention.input", "layers.1.attention:in"),
        ("model.norm.input", "norm:in"),
        ("layers.2.attention.hook_z", "layers.2.attention.hook_z"),
    ],
)
def test_names_of_nnsight_and_transformer_lens_are_understood(network: Transformer, theirs: str, ours: str) -> None:
    assert [str(point) for point in find(theirs, modules_of(network))] == [ours]


def test_an_unknown_name_is_told_with_those_that_are_near(network: Transformer) -> None:
    with pytest.raises(ValueError, match=r"'layer.0.atention' isn't a module .* did you mean layers.0.attention"):
        find("layer.0.atention", modules_of(network))
    with pytest.raises(ValueError, match=r"'blocks.\*' matches no module of the network; `python -m homolog hook-poi"):
        find("blocks.*", modules_of(network))
    with pytest.raises(ValueError, match=r"did you mean layers.0.attention or layers.1.attention or layers.2.atte"):
        find("attention", modules_of(network))


# What is read


def test_what_a_module_reads_is_what_the_one_before_gives(network: Transformer) -> None:
    given, read_in = read(network, "layers.0", "norm@1:in")
    assert_close(given, read_in, rtol=0, atol=0)
    by_keyword, before = read(network, "layers.1.attention:in", "norm@1")
    assert_close(by_keyword, before, rtol=0, atol=0)
    named, first = read(network, "layers.1.attention:in[hidden]", "layers.1.attention:in")
    assert_close(named, first, rtol=0, atol=0)


def test_each_call_of_a_module_can_be_read(network: Transformer) -> None:
    calls = read(network, "norm@0", "norm@1", "norm@2")
    assert_close(calls[0], network.norm(network.embed(TOKENS)), rtol=0, atol=0)
    hidden = network.embed(TOKENS)
    for layer, call in zip(network.layers, calls, strict=True):
        assert_close(call, network.norm(hidden), rtol=0, atol=0)
        (hidden,) = layer(network.norm(hidden))


def test_elements_of_tuples_dicts_and_of_the_networks_own_output(network: Transformer) -> None:
    last, first, weights, mixed = read(
        network, ":out[last]", ":out[first]", "layers.0.attention[1]", "layers.0.attention[0]"
    )
    assert_close(last, network(TOKENS)["last"], rtol=0, atol=0)
    assert_close(first, last[:, 0], rtol=0, atol=0)
    assert_close(weights.sum(-1), torch.ones(2, 5))
    assert_close(mixed, network.layers[0].attention(network.norm(network.embed(TOKENS)))[0], rtol=0, atol=0)


def test_objects_that_hold_tensors_are_read_by_their_names() -> None:
    class Gives(nn.Module):
        def forward(self, x: Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=x.float(), cache=[x.float() + 1, {"keys": x.float() + 2}])

    logits, nested = read(Gives(), ":out[logits]", ":out[cache][1][keys]")
    assert_close(nested, logits + 2)
    (only,) = read(Gives(), ":out")  # The only tensor that isn't further inside.
    assert_close(only, logits)


def test_what_follows_may_write_in_place(network: Transformer) -> None:
    """The activation function overwrites what the attention has given."""
    (mixed,) = read(network, "layers.0.attention.output")
    assert float(mixed.min()) < 0


def test_the_forward_pass_ends_behind_the_last_hook_point(network: Transformer) -> None:
    read(network, "layers.0.attention.output", "layers.1")
    assert network.last_calls == 0
    seen = survey(network, lambda: network(TOKENS))
    assert network.last_calls == 1
    assert [seen[name].calls for name in ("embed", "norm", "layers.2", "unused")] == [1, 3, 1, 0]
    assert (seen["layers.0"].gave, seen["embed"].read) == ("[0] (2, 5, 6)", "(2, 5)")


def test_code_that_catches_every_exception_doesnt_hold_it_up() -> None:
    class Catches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Sequential(nn.Embedding(10, 2)), nn.Linear(2, 2))

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.inner(x)
            except Exception:
                return self.inner(x + 1)

    network = Catches()
    (value,) = read(network, "inner.0")
    assert_close(value, network.inner[0](TOKENS), rtol=0, atol=0)


def test_hooks_within_hooks_end_their_own_passes() -> None:
    inner = nn.Sequential(nn.Identity(), nn.Tanh())

    class Reads(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            with Hooks(inner, [Point("0")]) as hooks:
                return hooks.read(lambda: inner(x))[Point("0")] + 1

    outer = nn.Sequential(Reads(), nn.Identity())
    with Hooks(outer, [Point("0"), Point("1")]) as hooks:
        values = hooks.read(lambda: outer(TOKENS.float()))
    assert_close(values[Point("1")], TOKENS.float() + 1)


@pytest.mark.parametrize("fails", [True, False])
def test_no_hook_is_left_behind(network: Transformer, fails: bool) -> None:
    def forward() -> None:
        if fails:
            raise RuntimeError("inside")
        network(TOKENS)

    for run in (lambda: survey(network, forward), lambda: hooked(forward)):

        def hooked(forward: Any) -> None:
            with Hooks(network, [Point("embed"), Point("norm", "in", 1)]) as hooks:
                hooks.read(forward)

        if fails:
            with pytest.raises(RuntimeError, match="inside"):
                run()
        else:
            run()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


# What goes wrong is told.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unused", "hook point unused wasn't reached in the forward pass"),
        ("norm@3", "hook point norm@3 wasn't reached"),
        (
            "layers.0.attention",
            r"several: \[0\] \(2, 5, 6\), \[1\] \(2, 5, 5\) in this tuple; say which, as in layers.0.*\[0\]",
        ),
        ("layers.0[1]", r"hook point layers.0\[1\]: no element \[1\]; it has \[0\] \(2, 5, 6\)"),
        ("norm@0[0]", r"norm@0\[0\]: no element \[0\]; it is a tensor, which has none"),
        (":out", r"several: \[last\] \(2, 5, 6\), \[first\] \(2, 6\) in this dict"),
        (":out[name]", "there is no tensor in this str; choose another"),
        ("embed:in", r"embed:in holds torch.int64, and activations are real numbers"),
        ("layers.0.attention:in[mask]", "there is no tensor in this NoneType"),
    ],
)
def test_what_cant_be_read_is_told(network: Transformer, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(network, name)


def test_a_module_that_is_called_several_times_needs_a_call(network: Transformer) -> None:
    seen = survey(network, lambda: network(TOKENS))
    with pytest.raises(
        ValueError, match=r"called 3 times in a forward pass, .*: write norm@0 for the first, up to norm@2"
    ):
        check_calls([Point("norm")], seen)
    with pytest.raises(ValueError, match=r"called 3 times; allowed: @0 to @2"):
        check_calls([Point("norm", call=3)], seen)
    check_calls([Point("norm", call=2), Point("embed"), Point("unused")], seen)


def test_a_module_of_two_names_is_called_as_often_under_both() -> None:
    shared = nn.Linear(3, 3)
    network = nn.Sequential(shared, nn.Tanh(), shared)
    seen = survey(network, lambda: network(torch.ones(1, 3)))
    assert [seen[name].calls for name in ("0", "1", "2")] == [2, 1, 2]
    with Hooks(network, [Point("2", call=1)]) as hooks:
        values = hooks.read(lambda: network(torch.ones(1, 3)))
    assert_close(values[Point("2", call=1)], network(torch.ones(1, 3)), rtol=0, atol=0)


def test_modules_inside_torchscript_are_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3), torch.jit.trace(nn.Sequential(nn.Tanh()), torch.ones(1, 3)))
    for name in ("1", "1.0"):
        with pytest.raises(ValueError, match=f"hook point {name}: 1 is a ScriptModule, in which hooks don't run"):
            Hooks(network, [Point(name)])
    assert survey(network, lambda: network(torch.ones(1, 3)))["1.0"].calls == 0
