"""Are the directions that a transformer's stream needs found where they are known, and those that it doesn't, not?"""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from homolog.analyses.residual_directions import Trial as Sequences
from homolog.analyses.residual_directions import _head_cost, choose, residual_directions, share_read, without
from homolog.figures import residual_directions as figure
from homolog.networks.gpt import GPT
from homolog.streams import stream
from homolog.toys.pointing import Pointing, answers_from, sites, streams, train_pointing

TASK = Pointing(3, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_answer_is_the_value_at_the_place_that_is_pointed_at():
    rows, answers = TASK.draw(500, seeded())
    assert rows.shape == (500, 4)
    pointer = rows[:, -1] - TASK.values
    assert set(pointer.tolist()) == {0, 1, 2}
    assert (rows[:, :-1] < TASK.values).all()
    assert torch.equal(rows[torch.arange(500), pointer], answers)


def test_a_stream_goes_on_from_any_site_to_the_same_answer():
    model = GPT(TASK.vocabulary, 4, 8, 2, 2).double()
    rows, _ = TASK.draw(20, seeded())
    there = streams(model, rows)
    assert len(there) == len(sites(model)) == 5
    for site, one in enumerate(there):
        assert_close(answers_from(model, one, site), model(rows)[:, -1])


def test_needed_directions_are_kept_whatever_the_basis_and_the_rest_is_ablated_at_once():
    """The cost is one for each needed direction, and two that stand in for each other cost only together."""
    needed = torch.eye(5)[0]

    def cost(basis):
        gone = basis.T @ basis
        alone = float(needed @ gone @ needed)
        both = float(torch.minimum(gone[1, 1], gone[2, 2]))
        return alone + both

    kept, free = choose(torch.eye(5), cost, 0.1)
    assert len(kept) == 2
    assert torch.equal(kept[0], needed)
    assert cost(free) == 0
    assert cost(torch.eye(5)[1:2]) == 0, "alone either can go"
    every, none = choose(torch.eye(5), cost, math.inf)
    assert len(every) == 0
    assert len(none) == 5


def test_what_is_ablated_stands_at_its_mean_and_the_rest_is_left():
    rows, basis = torch.randn(50, 6, generator=seeded(1)), torch.linalg.qr(torch.randn(6, 6, generator=seeded(2))).Q
    left = without(rows, basis[:2])
    assert_close(left @ basis[:2].T, (rows.mean(0) @ basis[:2].T).expand(50, 2))
    assert_close(left @ basis[2:].T, rows @ basis[2:].T)
    assert_close(without(rows, basis), rows.mean(0).expand(50, 6))
    assert torch.equal(without(rows, basis[:0]), rows)


def test_a_map_reads_all_of_its_own_space_and_random_directions_as_by_chance():
    weight = torch.eye(8)[:2]
    assert share_read(weight, torch.eye(8)[:2], torch.eye(8)) == pytest.approx(4)
    assert share_read(weight, torch.eye(8)[2:], torch.eye(8)) == 0
    assert share_read(weight, torch.eye(8), torch.eye(8)) == pytest.approx(1)
    # Where nothing else varies, reading all of that isn't more than chance.
    assert share_read(weight, torch.eye(8)[:2], torch.eye(8)[:2]) == pytest.approx(1)
    assert share_read(weight, torch.eye(8)[:2], torch.eye(8)[:4]) == pytest.approx(2)
    assert math.isnan(share_read(weight, torch.eye(8)[:0], torch.eye(8)))


def test_a_head_that_writes_nothing_costs_nothing():
    model = GPT(TASK.vocabulary, 4, 8, 1, 2).eval()
    with torch.no_grad():
        model.blocks[0].attention.write.weight[:, :4] = 0
        model.blocks[0].attention.write.weight[:, 4:] *= 20
        model.blocks[0].attention.read.weight *= 5
    held = Sequences.of(model, TASK, 100, stream("test"))
    assert _head_cost(held, 0, 0) == pytest.approx(0, abs=1e-6)
    assert abs(_head_cost(held, 0, 1)) > 1e-4


def test_values_are_needed_at_their_places_until_they_are_carried_to_the_pointer():
    options = {"places": 3, "values": 4, "width": 16, "heads": 2, "blocks": 1, "allowed": 0.1, "rows": 64}
    options |= {"null_draws": 2, "replicates": 3, "steps": 120, "lr": 1e-2, "batch_size": 64}
    found = residual_directions({"experiment": "tiny", "options": options}, {})
    assert float(found.accuracy) > 0.95
    places = found.kept.isel(position=slice(0, 3)).mean("position")
    assert float(places.sel(site="embedding")) >= 1
    assert float(places.sel(site="mlp 0")) == 0, "behind the last attention nothing reads them"
    end = found.sel(site="mlp 0", position="pointer")
    assert 1 <= float(end.kept) <= float(end.varying)
    assert float(end.ablated) > float(end.ablated_null)
    assert float(end.rest) < float(end.rest_null)
    assert figure.headline(found).startswith("The last token points at one of 3 places")
    figure.draw(found)


def test_training_members_together_is_training_each_by_its_own_stream():
    options = {"width": 8, "heads": 2, "blocks": 1, "steps": 3, "lr": 1e-2, "batch_size": 8}
    three, four = (train_pointing(TASK, count, **options) for count in (1, 2))
    for name, value in three[0].state_dict().items():
        assert_close(value, four[0].state_dict()[name])
