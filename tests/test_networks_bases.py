"""Whose basis does a stream of a retrained network have: its ancestor's while what stayed writes it, else its own?"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from homolog.networks.bases import (
    Ancestor,
    from_text,
    is_written_by_others,
    shared_with,
    to_text,
    weights_digest,
)
from homolog.networks.drawing import drawn_by, redraw
from homolog.networks.gpt import gpt
from homolog.networks.network import Network
from homolog.networks.points import Point, parse

TOKENS = torch.arange(10).reshape(2, 5) % 7


def layers() -> Network:
    """Layers one behind the other: nothing passes any of them by."""
    with drawn_by("test", 0):
        made = [
            ("first", nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU())),
            ("second", nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU())),
            ("logits", nn.Linear(8, 3)),
        ]
        return Network(nn.Sequential(OrderedDict(made)), "layers")


def small() -> Network:
    with drawn_by("test", 0):
        return Network(gpt(vocabulary=7, length=5, width=8, blocks=2, heads=2), "small")


def test_a_layer_that_is_drawn_with_what_reads_it_may_learn_any_order_of_its_units() -> None:
    """The closed case: the parent with its units in another order is a network that the retraining could have found."""
    parent, x = layers().to("cpu"), torch.randn(5, 6)
    child, order = layers().to("cpu"), torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    drawn = redraw(child, ["second.0", "logits"], "a")
    parts = parent.module
    child.module.load_state_dict(
        {
            **parts.state_dict(),
            "second.0.weight": parts.second[0].weight[order],
            "second.0.bias": parts.second[0].bias[order],
            "logits.weight": parts.logits.weight[:, order],
        }
    )
    torch.testing.assert_close(child(x), parent(x))
    hidden = [one.module.second(one.module.first(x)) for one in (parent, child)]
    torch.testing.assert_close(hidden[1], hidden[0][:, order])
    child = replace(child, lineage=(Ancestor(weights_digest(parts), tuple(drawn)),))
    assert shared_with(child.module, child.lineage, Point("second"), lambda: child(x)) is None
    # The layer before it is the parent's.
    assert shared_with(child.module, child.lineage, Point("first"), lambda: child(x)) == weights_digest(parts)


@pytest.mark.parametrize(
    ("drawn", "point", "written"),
    [
        (["first.0"], "first", False),  # A norm that stays tells no units apart.
        (["first.0"], "second", True),
        (["first"], "second.0:in", False),
        (["second.0"], "first", True),
        (["second.0.weight"], "second", False),
    ],
)
def test_layers_are_written_by_their_own_matrix_alone(drawn: list[str], point: str, written: bool) -> None:
    network, x = layers().to("cpu"), torch.randn(5, 6)
    found = redraw(network, drawn, "b")
    assert is_written_by_others(network.module, found, parse(point), lambda: network(x)) is written
    assert not any(one.requires_grad for one in network.module.parameters())


@pytest.mark.parametrize(
    ("drawn", "point", "written"),
    [
        (["blocks.1.mlp"], "blocks.1", True),  # All else adds to the stream as it did.
        (["blocks.1"], "blocks.1", True),
        (["blocks.1.mlp"], "blocks.1.mlp", False),
        (["tokens", "places", "blocks.0"], "blocks.0", False),
        (["tokens", "places", "blocks.0"], "blocks.1", True),
        (["tokens", "places", "blocks.0", "blocks.1"], "blocks.1", False),
    ],
)
def test_a_residual_stream_is_written_by_whatever_adds_to_it(drawn: list[str], point: str, written: bool) -> None:
    network = small().to("cpu")
    found = redraw(network, drawn, "c")
    assert is_written_by_others(network.module, found, parse(point), lambda: network(TOKENS)) is written


class Attending(nn.Module):
    """Its map is read past the module that holds it, as torch's attention does; and one matrix stands in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 8, bias=False)
        self.again = nn.Linear(8, 8, bias=False)
        self.again.weight = self.out.weight

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.again(self.out(self.attention(x, x, x)[0]))
        return found


def test_a_matrix_is_found_where_it_is_used() -> None:
    module, x = Attending().eval().requires_grad_(False), torch.randn(2, 3, 8)
    out = Point("attention", path=("0",))
    assert not is_written_by_others(module, ["attention.out_proj.weight"], out, lambda: module(x))
    assert is_written_by_others(module, ["attention.out_proj.weight"], Point("again"), lambda: module(x))
    # Under both of its names.
    assert not is_written_by_others(module, ["out.weight"], Point("again"), lambda: module(x))


def test_the_basis_goes_back_step_by_step() -> None:
    """What a parent shares with its own, its child does too, though nothing stayed that both of them had."""
    network = small().to("cpu")
    embeddings, rest = (
        ("tokens.weight", "places.weight"),
        ("blocks.0.attention.write.weight", "blocks.0.mlp.down.weight"),
    )

    def basis(*drawn: tuple[str, ...]) -> str | None:
        lineage = tuple(Ancestor(str(number), one) for number, one in enumerate(drawn))
        assert from_text(to_text(lineage)) == lineage
        return shared_with(network.module, lineage, Point("blocks.0"), lambda: network(TOKENS))

    assert basis(embeddings) == basis(embeddings, rest) == "0"
    assert basis((*embeddings, *rest)) is None
    assert basis((*embeddings, *rest), rest) == "1"
    assert basis(rest, (*embeddings, *rest)) is None
    assert basis() is None
