"""Are pairs of tasks over tokens what they say: apart, with known results, and with energies of planted circuits?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from homolog.antilearning.pairs import a5_s5, modular_p, second_tokens, two_groups
from homolog.config.antilearning_pairs import A5S5Options, ModularPOptions, SecondTokensOptions, TwoGroupsOptions
from homolog.groups.named import named
from homolog.groups.permutations import subgroup
from homolog.streams import stream
from homolog.toys.composing import distinct_pairs
from homolog.toys.modular import Modular, results, triples, wraps
from homolog.toys.training import accuracies, cross_entropies, train_members

KINDS = {
    "a5_s5": (a5_s5.pair, A5S5Options, {"width": 6, "y_share": 0.1, "test_rows": 500}),
    "two_groups": (two_groups.pair, TwoGroupsOptions, {"width": 6, "groups": ["S4", "F20"]}),
    "second_tokens": (second_tokens.pair, SecondTokensOptions, {"width": 6, "group": "Z11"}),
    "modular_p": (modular_p.pair, ModularPOptions, {"width": 6, "hidden": 5, "ps": [5, 8, 9], "unseen": [6]}),
}


def made(name, members=2, **changed):
    pair, options, small = KINDS[name]
    return pair(options(pair=name, **small | changed).model_dump(), members, "tests", name)


def rows_of(examples, member=0):
    return {tuple(row) for row in examples.inputs[member].tolist()}


@pytest.mark.parametrize("name", KINDS)
def test_no_row_stands_in_two_parts(name):
    pair = made(name)
    for member in range(2):
        parts = [rows_of(part, member) for part in (pair.x.train, pair.x.test, pair.y.train, pair.y.test)]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))
        commutes = name in ("second_tokens", "modular_p")
        mirrored = [{(b, a, *rest) for a, b, *rest in part if a != b} for part in parts]
        assert commutes == (not any(one & other for one in parts for other in mirrored))
    assert not torch.equal(pair.x.train.inputs[0], pair.x.train.inputs[1])


@pytest.mark.parametrize("name", KINDS)
def test_layers_are_read_and_edited_on_the_way(name):
    pair = made(name)
    parameters = pair.network.start(2, stream("layers", name))
    inputs = pair.x.test.inputs[:, :4]
    seen = pair.network.activations(parameters, inputs)
    assert tuple(seen) == pair.network.layers
    assert seen["logits"].shape == (2, 4, pair.classes)
    assert int(pair.y.test.labels.max()) < pair.classes
    for layer in pair.network.layers[:-1]:
        same = pair.network.activations(parameters, inputs, {layer: lambda values: values + 0})
        none = pair.network.activations(parameters, inputs, {layer: torch.zeros_like})
        assert_close(same["logits"], seen["logits"])
        # Where nothing comes through, all inputs have the same answer.
        assert_close(none["logits"], none["logits"][:, :1].expand_as(seen["logits"]))
    assert not torch.allclose(seen["logits"], seen["logits"][:, :1])


def test_x_is_all_of_a5_and_y_the_rest_of_s5():
    pair, whole = made("a5_s5", test_rows=100_000), named("S5")
    x, y = (rows_of(task.train) | rows_of(task.test) for task in (pair.x, pair.y))
    assert (len(x), len(y)) == (3600, 14400 - 3600)
    assert max(max(row) for row in x) == 59
    assert min(max(row) for row in y) == 60
    for part in (pair.x.train, pair.y.test):
        assert torch.equal(part.labels, whole.table[part.inputs[..., 0], part.inputs[..., 1]])


def test_energies_of_planted_irreps_restrict_and_extend_as_is_known():
    """Frobenius reciprocity: S5's 6 is 3 and 3' on A5; 3, put to 0 on odd elements, is 6; 4 is half 4, half 4 sign."""
    a5, s5 = named("A5"), named("S5")

    def found(vectors):
        planted = {"left": vectors[None], "right": vectors[None]}
        return {name: float(value) for name, value in a5_s5.irreps(planted, (a5, s5)).items() if value > 1e-9}

    assert found(s5.projector("6")) == pytest.approx({"S5 6": 1, "A5 3": 0.5, "A5 3'": 0.5})
    assert found(s5.projector("4 sign")) == pytest.approx({"S5 4 sign": 1, "A5 4": 1})
    odd = torch.zeros(60, 60, dtype=torch.float64)
    assert found(torch.cat([a5.projector("3"), odd])) == pytest.approx({"S5 6": 1, "A5 3": 1})
    assert found(torch.cat([a5.projector("4"), odd])) == pytest.approx({"S5 4": 0.5, "S5 4 sign": 0.5, "A5 4": 1})


@pytest.mark.parametrize(
    ("name", "order"), [("A5", 60), ("S4", 24), ("A4", 12), ("F20", 20), ("D5", 10), ("S3xS2", 12)]
)
def test_subgroups_are_closed_and_as_large_as_is_known(name, order):
    numbers, table = subgroup(name), named("S5").table
    assert len(numbers) == order
    assert torch.isin(table[numbers][:, numbers], numbers).all()


def test_what_joins_two_groups_lies_in_neither():
    rows = distinct_pairs(named("S5"))
    first, second = subgroup("A5"), subgroup("S4")
    inside = two_groups.within_one(rows, ["A5", "S4"])
    assert int(inside.sum()) == 60**2 + 24**2 - 12**2
    alone = torch.isin(rows[:, 0], first) & ~torch.isin(rows[:, 0], second)
    joins = alone & torch.isin(rows[:, 1], second) & ~torch.isin(rows[:, 1], first)
    assert int(joins.sum()) == 48 * 12
    products = named("S5").table[rows[joins, 0], rows[joins, 1]]
    assert not torch.isin(products, torch.cat([first, second])).any()


def test_new_tokens_have_the_results_of_the_first():
    pair = made("second_tokens")
    assert (pair.x.train.inputs < 11).all()
    assert (pair.y.train.inputs >= 11).all()
    for examples in (pair.x.test, pair.y.train, pair.y.test):
        assert torch.equal(examples.inputs.sum(-1) % 11, (examples.labels + 22 * (examples.inputs[..., 0] >= 11)) % 11)
    group = named("Z97")
    planted = group.projector_onto(["3", "5"]).float()
    found = second_tokens.shared_irreps({"left": torch.cat([planted, planted])[None]}, group)
    assert_close(found["first"], torch.ones(1, dtype=torch.float64))
    assert_close(found["second"], torch.ones(1, dtype=torch.float64))
    # Each frequency but 0 holds a cosine and a sine of 97 dimensions.
    assert 0 < float(found["random"]) <= 8 * 2 / 97 + 1e-9


def test_wrap_around_pairs_are_those_that_reach_p():
    pair = made("modular_p")
    assert wraps(pair.y.test.inputs).all()
    assert not wraps(pair.y.train.inputs).all()
    rows = triples([5, 6, 8, 9])
    assert len(rows) == sum(p * (p + 1) // 2 for p in (5, 6, 8, 9))
    plain = rows[:, 0] + rows[:, 1]
    assert torch.equal(wraps(rows), results(rows) != plain)
    assert torch.equal(results(rows), torch.where(wraps(rows), plain - rows[:, 2], plain))
    for examples in (pair.x.train, pair.y.test):
        assert torch.equal(examples.labels, results(examples.inputs))
    assert set(pair.x.train.inputs[..., 2].unique().tolist()) == {5, 8, 9}
    assert pair.y.train.inputs[..., 2].unique().tolist() == [6]


def test_moduli_come_in_stages_as_they_are_named():
    pair = made("modular_p", ps=[9, 5, 8, 7], stages=2)
    part, p = pair.x.train.part, pair.x.train.inputs[..., 2]
    assert torch.equal(part, ((p == 8) | (p == 7)).long())
    assert made("modular_p", stages=1).x.train.part is None


def test_summands_have_no_order_and_members_stand_alone():
    network = Modular(9, 6, 5)
    parameters = network.start(2, stream("modular"))

    def logits(rows, given=parameters):
        embedded = network.embedded(given, rows)
        return network.read_out(given, network.second(given, network.first(given, embedded)))

    rows = triples([8, 9]).expand(2, -1, 3)
    assert_close(logits(rows), logits(rows[..., [1, 0, 2]]))
    assert_close(logits(rows)[1:], logits(rows[1:], {name: value[1:] for name, value in parameters.items()}))
    assert logits(rows).shape[-1] == 9


@dataclass
class Planted:
    """Logits that are a given function of a, b, c and p."""

    function: Callable[..., torch.Tensor]
    layers: tuple[str, ...] = ("logits",)

    def start(self, members, generator):
        return {"numbers": torch.zeros(members, 13, 3)}

    def activations(self, parameters, inputs, edits=None):
        a, b, p = inputs[..., None].unbind(-2)
        return {"logits": self.function(a, b, torch.arange(12), p)}


def test_circular_shares_tell_a_circuit_of_p_from_plain_addition():
    moduli = {"seen": [9, 12], "unseen": [10]}

    def shares(function):
        network = Planted(function)
        return modular_p.circular_shares(network.start(2, None), network, moduli)

    one = shares(lambda a, b, c, p: torch.cos(2 * math.pi * 2 * (a + b - c) / p))
    assert all(torch.allclose(value, torch.ones(2, dtype=torch.float64)) for value in one.values())
    right = shares(lambda a, b, c, p: ((a + b - c) % p == 0).float())
    assert_close(right["unseen p, circular"], torch.ones(2, dtype=torch.float64))
    # All frequencies alike: 2 of 9 dimensions each.
    assert_close(right["unseen p, one frequency"], torch.full((2,), 2 / 9, dtype=torch.float64))
    plain = shares(lambda a, b, c, p: (a + b == c).float())
    assert (plain["seen p, circular"] < 0.7).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ps": [5, 8, 8]}, "p = 8 stands twice"),
        ({"unseen": [6, 8]}, "p = 8 stands in ps and in unseen"),
        ({"ps": [2, 9]}, "p = 2 is below 3"),
        ({"unseen": [30]}, "unseen p = 30 isn't in the tokens that X trains, the numbers 0 to 8"),
    ],
)
def test_moduli_that_make_no_pair_are_told_in_one_line(changed, said):
    with pytest.raises(ValidationError, match=said):
        made("modular_p", **changed)
    good = ModularPOptions(pair="modular_p", **KINDS["modular_p"][2]).model_dump()
    with pytest.raises(ValueError, match=said) as told:
        modular_p.pair(good | changed, 2, "tests")
    assert "\n" not in str(told.value)


def test_other_pairs_that_make_no_sense_are_told():
    with pytest.raises(ValueError, match="two_groups: A5 contains A4, so that X would be one group"):
        made("two_groups", groups=["A4", "A5"])
    with pytest.raises(ValueError, match=r"A5: a share of 1e-05 of 3600 distinct pairs leaves 0 for training"):
        made("a5_s5", share=1e-5)
    with pytest.raises(ValueError, match="subgroup S6 of S5 isn't known; allowed: A5, S4"):
        subgroup("S6")
    with pytest.raises(ValueError, match="no wrap-around pair of the unseen p is held out"):
        made("modular_p", y_share=0.97)


def learned(pair):
    def losses(parameters, step):
        rows = pair.x.train
        if pair.recipe.batch:
            chosen = torch.randint(rows.rows, (pair.members, pair.recipe.batch), generator=stream("rows", step))
            rows = rows.at(chosen)
        return cross_entropies(pair.network.activations(parameters, rows.inputs)["logits"], rows.labels)

    begun, recipe = pair.network.start(pair.members, stream("start")), pair.recipe
    rates = {"weight_decay": recipe.weight_decay, "warm_up": 0.03, "decay": recipe.decay}
    trained = train_members(begun, losses, recipe.steps, recipe.lr, **rates)
    with torch.no_grad():
        x, y = (
            accuracies(pair.network.activations(trained, task.test.inputs)["logits"], task.test.labels)
            for task in (pair.x, pair.y)
        )
    return trained, x, y


def test_addition_is_learned_and_tokens_without_training_stay_at_chance():
    pair = made("second_tokens", group="Z31", width=64, share=0.8, steps=100, batch=None)
    trained, x, y = learned(pair)
    # 99 and 248 held-out pairs of each member; chance is 1/31.
    assert x.min() > 0.8
    assert y.max() < 0.12
    energies = pair.energies(trained)
    assert (energies["first"] > energies["second"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_shipped_options_learn_x_on_held_out_pairs(name):
    pair, options, _ = KINDS[name]
    _, x, y = learned(pair(options(pair=name).model_dump(), 3, "shipped", name))
    assert x.mean() >= 0.99
    # Of the four, moduli alone have tokens that X trains.
    assert y.mean() > 0.5 if name == "modular_p" else y.mean() < 0.03
