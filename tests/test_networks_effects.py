"""Are effects in networks from outside those of one input after the other, and our own network's those it has?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from making import record
from test_networks_splicing import LENGTH, VOCABULARY, Rows, Tokens, knowing, language
from torch import Tensor, nn
from torch.testing import assert_close

from homolog.alignment.gauge import no_gauge
from homolog.atlas import network_effects
from homolog.atlas.activity import Kept
from homolog.atlas.effects import added_to_logits
from homolog.atlas.network_effects import added_by_latents, rows_of_each
from homolog.corpora.base import Corpus
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.networks.convnet import convnet
from homolog.networks.effects import Changes
from homolog.networks.network import Network
from homolog.networks.splicing import Opened
from homolog.streams import stream
from homolog.tasks.base import TEST


def dictionary(latents: int, units: int, seed: int = 0) -> Dictionary:
    draw = torch.Generator().manual_seed(seed)
    directions = torch.randn(latents, units, generator=draw).double()
    zeros = torch.zeros(latents).double()
    return Dictionary(directions, directions, zeros, torch.zeros(units).double(), zeros + 1, zeros + 1)


def sampled(latents: int, rows: int, kept: int, seed: int = 0) -> Kept:
    """Random rows of each latent with random codes; the last latent is never active, the first has one row less."""
    draw = np.random.default_rng(seed)
    row = np.stack([draw.choice(rows, kept, replace=False) for _ in range(latents)])
    row[-1], row[0, -1] = -1, -1
    return Kept(row, np.where(row >= 0, draw.standard_normal(row.shape), 0.0))


def centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(-1, keepdim=True)


# Two ways to one number


@pytest.mark.parametrize("hook_point", ["hidden_0", "hidden_1"])
@pytest.mark.parametrize("gauge_name", ["write_out_norm", "none"])
def test_of_our_own_network_they_are_those_that_its_own_atlas_tells(
    hook_point: str, gauge_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_effects, "MOST", 20)
    model, data, rows = knowing()
    activations = record(model, data.inputs, rows, hook_point)
    gauge, index = choose_gauge(gauge_name, activations), rows.where(TEST)
    samples = InMemory(gauge.canonical(activations.values)[index])
    latents = dictionary(7, samples.units)
    sample = sampled(7, len(index), 20)
    own, null = added_to_logits(model, hook_point, gauge, samples, latents, sample, stream("test"))
    changes = Changes(Opened(Network(model, "mlp"), Rows(data), hook_point))
    added = added_by_latents(changes, gauge, index.numpy(), latents, sample, stream("test"))
    assert added.rows == 20
    assert added.own is not None
    assert added.null is not None
    np.testing.assert_allclose(added.own, own, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(added.null, null, rtol=1e-9, atol=1e-11)
    assert np.isnan(own[-1]).all()
    assert not np.isnan(own[:-1]).any()


POINTS = {
    "blocks.0": 8, "blocks.1:in": 8, "blocks.0.attention": 8, "blocks.1.mlp.act": 32, "blocks.0.norm_2": 8, "tokens": 8,
}  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("positions_at_once", [1, 40, 2**11])
def test_each_is_a_pass_of_its_own_input_with_that_place_changed(
    point: str, positions_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, corpus = language(), Tokens(9)
    monkeypatch.setattr(Opened, "positions_at_once", positions_at_once)
    changes = Changes(Opened(network, corpus, point))
    assert (changes.positions, changes.classes) == (LENGTH, VOCABULARY)
    draw = torch.Generator().manual_seed(2)
    row = torch.randint(0, 9 * LENGTH, (15,), generator=draw)
    steps = torch.randn(15, 3, POINTS[point], generator=draw).double()
    found = changes.of(row, steps)
    module, side = network.module.get_submodule(point.removesuffix(":in")), point.endswith(":in")
    for at, of_row in zip(row.tolist(), range(15), strict=True):
        batch = corpus.batches(torch.tensor([at // LENGTH]))
        plain = network(batch)[0, at % LENGTH]
        for kind in range(3):

            def change(value: Tensor) -> Tensor:
                value = value.clone()
                value[0, at % LENGTH] += steps[of_row, kind]  # noqa: B023
                return value

            hook: Any = (
                module.register_forward_pre_hook(lambda _, given: (change(given[0]),))
                if side
                else module.register_forward_hook(lambda _, given, gave: change(gave))
            )
            other = network(batch)[0, at % LENGTH]
            hook.remove()
            assert_close(found[of_row, kind], centred(other) - centred(plain), rtol=1e-9, atol=1e-11)
    assert float(found.abs().min(2).values.max()) > 0


class Pictures(Corpus):
    positions = None

    def __init__(self) -> None:
        self.images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        self.split, self.half = torch.ones(5, dtype=torch.int8), torch.zeros(5, dtype=torch.int8)
        self.label = torch.arange(5) % 3

    def batches(self, inputs: Tensor) -> Tensor:
        return self.images[inputs]


def test_a_place_of_a_map_is_one_of_its_pixels_and_the_logits_are_those_of_the_image() -> None:
    torch.manual_seed(0)
    network, corpus = Network(convnet(1, 3, [4, 6], 10), "convnet"), Pictures()
    changes = Changes(Opened(network, corpus, "stages.0"))
    assert (changes.positions, changes.classes) == (16, 3)
    step = torch.randn(1, 1, 4)
    (found,) = changes.of(torch.tensor([2 * 16 + 7]), step)
    seen = network.module.stages[0](corpus.images[2:3])
    moved = seen.clone()
    moved[0, :, 1, 3] += step[0, 0]
    tail = [network.module.logits(network.module.hidden(network.module.stages[1](one)))[0] for one in (seen, moved)]
    assert_close(found[0], (centred(tail[1]) - centred(tail[0])).double(), rtol=1e-4, atol=1e-6)


def test_nothing_added_changes_nothing_but_by_rounding() -> None:
    changes = Changes(Opened(language(), Tokens(9), "blocks.0"))
    found = changes.of(torch.arange(20), torch.zeros(20, 2, 8).double())
    assert float(found.abs().max()) < 1e-12


# Means over a latent's rows


@pytest.mark.parametrize("held", [2**23, 3 * 2 * VOCABULARY])
def test_they_are_means_over_the_rows_of_each_latent_however_these_are_grouped(
    held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_effects, "MEANS", held)
    monkeypatch.setattr(network_effects, "CHANGES", 5 * held)
    changes, latents, gauge = Changes(Opened(language(), Tokens(9), "blocks.0")), dictionary(8, 8), no_gauge(8)
    input_id, sample = np.arange(9 * LENGTH)[::-1].copy(), sampled(8, 9 * LENGTH, 12)
    added = added_by_latents(changes, gauge, input_id, latents, sample, stream("test"))
    assert added.rows == network_effects.MOST == 8
    assert added.own is not None
    for latent in range(7):
        there = [place for place in range(8) if sample.row[latent, place] >= 0]
        each = [
            -changes.of(
                torch.tensor([input_id[sample.row[latent, place]]]),
                -sample.code[latent, place] * latents.directions[latent].reshape(1, 1, -1),
            )[0, 0]
            for place in there
        ]
        np.testing.assert_allclose(added.own[latent], torch.stack(each).mean(0), rtol=1e-9, atol=1e-11)
    assert np.isnan(added.own[7]).all()


def test_of_many_classes_those_are_told_that_change_most(monkeypatch: pytest.MonkeyPatch) -> None:
    changes, latents, gauge = Changes(Opened(language(), Tokens(9), "blocks.0")), dictionary(8, 8), no_gauge(8)
    input_id, sample = np.arange(9 * LENGTH), sampled(8, 9 * LENGTH, 8)
    monkeypatch.setattr(network_effects, "STRONGEST", 3)
    whole = added_by_latents(changes, gauge, input_id, latents, sample, stream("test"))
    monkeypatch.setattr(network_effects, "FEW", 4)
    added = added_by_latents(changes, gauge, input_id, latents, sample, stream("test"))
    assert added.own is added.null is None
    assert whole.own is not None
    assert whole.null is not None
    for told, every in ((added.strongest, whole.own), (added.null_strongest, whole.null)):
        for latent in range(7):
            order = every[latent].argsort()
            assert told.which[latent].tolist() == [*order[::-1][:3], *order[:3]]
            np.testing.assert_array_equal(told.change[latent], every[latent][told.which[latent]])
        assert np.isnan(told.change[7]).all()
    np.testing.assert_array_equal(added.by_chance, np.take_along_axis(whole.null, added.strongest.which, 1))


def test_a_latent_alone_has_no_null() -> None:
    changes = Changes(Opened(language(), Tokens(9), "blocks.0"))
    sample = Kept(np.array([[3, 5]]), np.array([[1.0, 2.0]]))
    added = added_by_latents(changes, no_gauge(8), np.arange(54), dictionary(1, 8), sample, stream("test"))
    assert added.null is not None
    assert np.isnan(added.null).all()
    assert not np.isnan(added.strongest.change).any()


def test_cost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_of_each(512, 128) == 4
    assert rows_of_each(100, 1) == 8
    assert rows_of_each(100_000, 512) == 2
    network, corpus, run = language(), Tokens(9), []
    changes = Changes(Opened(network, corpus, "blocks.0"))
    network.module.register_forward_pre_hook(
        lambda _, given, named: run.append(len(named["input_ids"])), with_kwargs=True
    )
    latents, sample = dictionary(40, 8), sampled(40, 9 * LENGTH, 8)
    monkeypatch.setattr(network_effects, "POSITIONS", 2 * LENGTH * 40 * 3)
    added = added_by_latents(changes, no_gauge(8), np.arange(54), latents, sample, stream("test"))
    assert added.rows == 3
    pairs = int((sample.row[:, :3] >= 0).sum())
    # Each input itself runs once in a batch, since pairs of one input stand together.
    assert 2 * pairs < sum(run) <= 2 * pairs + 9 + len(run)
    assert max(run) <= changes.inputs_at_once


def test_what_gives_no_logits_is_told() -> None:
    class Gives(nn.Module):
        def __init__(self, shape: tuple[int, ...] | None) -> None:
            super().__init__()
            self.embed, self.shape = nn.Embedding(VOCABULARY, 8), shape

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
            found = self.embed(input_ids)
            return ("none", found) if self.shape is None else found.new_zeros(len(input_ids), *self.shape)

    with pytest.raises(ValueError, match="the network returned tuple without logits"):
        Changes(Opened(Network(Gives(None), "none"), Tokens(9), "embed"))
    changes = Changes(Opened(Network(Gives((4, 3)), "odd"), Tokens(9), "embed"))
    with pytest.raises(
        ValueError, match=r"odd gave logits of shape \(3, 4, 3\) of 3 inputs; allowed: \(inputs, classes\)"
    ):
        changes.of(torch.tensor([0]), torch.zeros(1, 2, 8))


def test_directions_in_float32_do_as_well() -> None:
    changes, latents = Changes(Opened(language(), Tokens(9), "blocks.0")), dictionary(6, 8)
    narrow = replace(latents, directions=latents.directions.float())
    sample = sampled(6, 9 * LENGTH, 4)
    found = [
        added_by_latents(changes, no_gauge(8), np.arange(54), one, sample, stream("test")).strongest.change
        for one in (latents, narrow)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)
