"""Do the parts of a recipe do what they say, and can the benchmark tell Y that was prevented from Y that is hidden?"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.testing import assert_close
from workspace import ROOT

from homolog.__main__ import main
from homolog.analyses.antilearning import ANCHORS, antilearning
from homolog.analyses.antilearning_verdicts import gate_of, verdict_of
from homolog.antilearning import penalties
from homolog.antilearning.base import Edits, Examples, Recipe, Task, TaskPair, edited
from homolog.antilearning.convnet import ConvNet
from homolog.antilearning.measuring import answers, area_to_scratch, discriminant, probed, relearn
from homolog.antilearning.pairs import red_square, rotated_images
from homolog.antilearning.techniques.adversaries import guesses
from homolog.antilearning.techniques.adversary_uniform import AdversaryUniform
from homolog.antilearning.techniques.base import Model, Moment, Part, Passes
from homolog.antilearning.techniques.discriminate import Discriminate
from homolog.antilearning.techniques.early_stopping import EarlyStopping
from homolog.antilearning.techniques.gradient_reversal import GradientReversal
from homolog.antilearning.techniques.gradient_routing import GradientRouting, routed, silenced
from homolog.antilearning.techniques.leace import Leace, erasure
from homolog.antilearning.techniques.learn_y import LearnY
from homolog.antilearning.techniques.order import Order
from homolog.antilearning.techniques.penalty import Penalty
from homolog.antilearning.techniques.random_labels import RandomLabels
from homolog.antilearning.techniques.settings import Settings
from homolog.antilearning.techniques.uniform_targets import UniformTargets, from_uniform
from homolog.antilearning.training import begun, better_at_x, train
from homolog.config.antilearning import AntilearningOptions, RedSquareOptions, RotatedImagesOptions
from homolog.config.check_antilearning import check_antilearning
from homolog.figures import antilearning as figure
from homolog.figures.antilearning_table import COMMAND, heading, markdown
from homolog.groups.named import named
from homolog.planning.experiment_specs import _antilearning
from homolog.store.experiments import write_experiment
from homolog.streams import stream
from homolog.toys.training import Parameters, cross_entropies, train_members

MEMBERS = 3


@dataclass(frozen=True)
class Small:
    """A hidden layer of eight units over six inputs, and two classes."""

    layers: tuple[str, ...] = ("hidden", "logits")

    def start(self, members: int, generator: torch.Generator) -> Parameters:
        sizes = {"read": (6, 8), "out": (8, 2)}
        return {name: torch.randn(members, *size, generator=generator) * 0.4 for name, size in sizes.items()}

    def activations(self, parameters: Parameters, inputs: torch.Tensor, edits: Edits | None = None):
        hidden = edited(edits, "hidden", (inputs @ parameters["read"]).relu())
        return {"hidden": hidden, "logits": edited(edits, "logits", hidden @ parameters["out"])}


def examples(rows: int, told_by: int, task: int, *key: str | int) -> Examples:
    """Inputs whose sign at `told_by` is the label; the last input tells which task they are of."""
    inputs = torch.randn(MEMBERS, rows, 6, generator=stream(*key))
    inputs[..., 5] = float(task)
    return Examples(inputs, (inputs[..., told_by] > 0).long(), (inputs[..., 0] > 0.5).long())


def planted(y_by: int = 0, rows: int = 96, **recipe: Any) -> TaskPair:
    """X and Y by the same input, so that Y comes along; or Y by another one, so that it doesn't."""
    x, y = (
        Task(examples(rows, by, task, "train", task), examples(200, by, task, "test", task))
        for task, by in ((0, 0), (1, y_by))
    )
    return TaskPair("planted", Small(), 2, x, y, Recipe(**({"steps": 60, "lr": 0.03, "batch": 48} | recipe)))


def moment_of(pair: TaskPair, parts: list[Part], step: int = 0) -> Moment:
    parameters = begun(pair, "m")
    for part in parts:
        parameters |= part.further(pair, stream("further"))
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    rows = torch.arange(40).expand(MEMBERS, -1)
    taken = pair.x.train.at(rows), pair.y.train.at(rows), rows
    return Moment(pair, leaves, step, 10, *taken, {"x": {}, "y": {}}, Passes())


def gradients(loss: torch.Tensor, moment: Moment) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(loss.sum(), list(moment.parameters.values()), allow_unused=True)
    return {name: one for name, one in zip(moment.parameters, found, strict=True) if one is not None}


# Techniques


def test_reversed_gradients_are_minus_the_adversarys():
    pair, part = planted(), GradientReversal(weight=0.7)
    moment = moment_of(pair, [part])
    reversed_ = gradients(part.loss(moment), moment)
    plain_moment = replace(moment)
    plain = gradients(
        cross_entropies(guesses(moment.parameters, "hidden", plain_moment.y_seen["hidden"]), moment.y.labels), moment
    )
    assert_close(reversed_["read"], -0.7 * plain["read"])
    for name in ("adversary hidden read", "adversary hidden out", "adversary hidden bias"):
        assert_close(reversed_[name], plain[name])
        assert plain[name].abs().sum() > 0


def test_an_adversary_and_the_network_take_turns():
    pair, part = planted(), AdversaryUniform(turns=1)
    first, second = (moment_of(pair, [part], step) for step in (0, 1))
    learned, pushed = (gradients(part.loss(moment), moment) for moment in (first, second))
    assert {name for name in learned if name.startswith("adversary")} == set(learned)
    assert set(pushed) == {"read"}


def test_uniform_targets_are_met_by_equal_logits_alone():
    logits = torch.randn(2, 5, 7, generator=stream("logits"), dtype=torch.float64).requires_grad_()
    best = from_uniform(torch.zeros(2, 5, 7, dtype=torch.float64))
    assert_close(best, torch.full((2,), math.log(7), dtype=torch.float64))
    assert (from_uniform(logits) > best).all()
    shifted = torch.full((2, 5, 7), 3.0, dtype=torch.float64, requires_grad=True)
    assert_close(torch.autograd.grad(from_uniform(shifted).sum(), shifted)[0], torch.zeros_like(shifted))


def correlated(rows: int = 400, units: int = 6, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.randint(classes, (2, rows), generator=stream("labels"))
    means = torch.randn(2, classes, units, generator=stream("means"))
    mix = torch.randn(2, units, units, generator=stream("mix"))
    values = means.gather(1, labels[..., None].expand(-1, -1, units))
    return values + torch.randn(2, rows, units, generator=stream("noise")) @ mix, labels


def test_nothing_linear_reads_what_leace_has_erased():
    """Guardedness: all classes have one mean, so that no linear reader beats a constant (Belrose et al., 2023)."""
    values, labels = correlated()
    erased = erasure(values, labels, 3)(values)
    there = torch.nn.functional.one_hot(labels, 3).float()
    means = there.mT @ erased / there.sum(1)[..., None]
    assert_close(means, erased.mean(1, keepdim=True).expand_as(means), atol=1e-4, rtol=0)
    before, after = (
        (discriminant(one, labels, 3, one).argmax(-1) == labels).float().mean(1) for one in (values, erased)
    )
    commonest = there.mean(1).amax(1)
    assert (before > commonest + 0.2).all()
    assert_close(after, commonest, atol=0.02, rtol=0)
    again = erasure(values, labels, 3)(erased)
    assert_close(again, erased, atol=1e-4, rtol=0)


def test_leace_changes_less_than_any_other_map_that_erases_as_much():
    """Of all affine maps that leave no covariance with the labels it has the least mean squared change."""
    values, labels = correlated()
    centred = values - values.mean(1, keepdim=True)
    told = torch.nn.functional.one_hot(labels, 3).float()
    crossed = centred.mT @ (told - told.mean(1, keepdim=True))
    span = torch.linalg.svd(crossed).U[:, :, :2]
    orthogonal = centred @ span @ span.mT
    change = erasure(values, labels, 3)(values) - values
    assert (change.square().sum((1, 2)) < orthogonal.square().sum((1, 2))).all()
    for seed in range(5):
        # Another erasing map: along the kept covariance, but read by directions that are off by what it can't see.
        tilt = torch.randn(2, 6, 2, generator=stream("tilt", seed))
        read = span + (torch.eye(6) - span @ span.mT) @ tilt
        back = torch.linalg.solve(span.mT @ read, span.mT)
        other = (centred @ read) @ back
        erased = centred - other
        assert_close((erased.mT @ told).abs().amax(), torch.tensor(0.0), atol=0.05, rtol=0)
        assert (change.square().sum((1, 2)) <= other.square().sum((1, 2)) + 1e-3).all()


def test_concept_erasure_gives_the_same_map():
    """Against the library of the paper's authors, where it is installed, without what it adds to the closed form."""
    library = pytest.importorskip("concept_erasure")
    values, labels = correlated()
    for member in range(2):
        told = torch.nn.functional.one_hot(labels[member]).double()
        theirs = library.LeaceEraser.fit(values[member].double(), told, shrinkage=False, constrain_cov_trace=False)
        ours = erasure(values, labels, 3)(values)[member]
        assert_close(ours, theirs(values[member].double()).float(), atol=1e-3, rtol=1e-3)


def test_gradients_are_routed_and_a_region_is_silenced():
    values = torch.rand(2, 3, 8, generator=stream("values"), requires_grad=True)
    for inside in (True, False):
        out = routed(0.25, inside)(values)
        assert torch.equal(out, values)
        passed = torch.autograd.grad(out.sum(), values)[0]
        assert (passed[..., :2] == float(inside)).all()
        assert (passed[..., 2:] == float(not inside)).all()
    assert (silenced(0.25)(values)[..., :2] == 0).all()
    assert torch.equal(silenced(0.25)(values)[..., 2:], values[..., 2:])
    pair = planted()
    model = train(pair, [GradientRouting(region=0.25)], "routing").model
    assert (pair.network.activations(model.parameters, pair.x.test.inputs, model.edits)["hidden"][..., :2] == 0).all()


def test_random_labels_are_the_same_at_every_step_and_say_nothing():
    pair, part = planted(rows=4000), RandomLabels(begin=0.0)
    part.further(pair, stream("drawn"))
    right = (part.labels == pair.y.train.labels).float().mean()
    # 12,000 of them: off by .02 once in 10^5 times.
    assert_close(right, torch.tensor(0.5), atol=0.02, rtol=0)
    first, again = (part.loss(moment_of(pair, [], step)) for step in (1, 2))
    assert torch.equal(first, again)


def test_parts_join_when_they_are_told_to():
    pair = planted()
    for part in (RandomLabels(begin=0.5), UniformTargets(begin=0.5)):
        part.further(pair, stream("drawn"))
        assert part.loss(moment_of(pair, [], 4)) is None
        assert part.loss(moment_of(pair, [], 5)) is not None
    first = Discriminate(until=0.3)
    assert (first.counts_x(0.29), first.counts_x(0.3)) == (False, True)
    assert first.loss(moment_of(pair, [first], 3)) is None
    assert first.loss(moment_of(pair, [first], 2)) is not None


def test_order_takes_parts_one_after_another_with_replay():
    pair = planted(rows=400)
    rows = torch.zeros(MEMBERS, 1000, dtype=torch.long)
    part = pair.x.train.part
    chosen = [Order(replay=0.2).rows(pair, share, rows, stream("order")) for share in (0.1, 0.9)]
    early, late = (part.gather(1, one).float().mean() for one in chosen)
    assert early == 0
    # 3,000 rows, of which .2 are replayed: off by .04 once in 10^7 times.
    assert_close(late, torch.tensor(0.8), atol=0.04, rtol=0)


def test_early_stopping_takes_the_best_of_what_it_saw():
    pair, part = planted(), EarlyStopping()
    seen = [Model(begun(pair, "stop", number)) for number in range(6)]
    for model in seen:
        part.watch(pair, model)
    gains = torch.stack([better_at_x(pair, model) for model in seen])
    taken = part.chosen(seen[-1].parameters)
    assert_close(better_at_x(pair, Model(taken)), gains.amax(0))
    for member, best in enumerate(gains.argmax(0)):
        assert torch.equal(taken["read"][member], seen[best].parameters["read"][member])


def test_settings_train_side_by_side_as_they_would_alone():
    pair = planted(weight_decay=0.1)
    alone = train(replace(pair, recipe=replace(pair.recipe, lr=0.01, weight_decay=0.2)), [], "settings")
    among = train(pair, [Settings(lr=[1.0, 1 / 3], weight_decay=[2.0])], "settings")
    for member, kept in enumerate(among.kept):
        if kept.lr < 1:
            assert_close(among.model.parameters["read"][member], alone.model.parameters["read"][member])
    assert among.passes == 2 * alone.passes
    narrow = train(pair, [Settings(width=[0.25, 0.5])], "settings")
    hidden = pair.network.activations(narrow.model.parameters, pair.x.test.inputs, narrow.model.edits)["hidden"]
    for member, kept in enumerate(narrow.kept):
        assert (hidden[member, :, round(8 * kept.width) :] == 0).all()


def test_rates_of_members_are_those_of_adamw():
    start = {"w": torch.randn(2, 4, generator=stream("w"))}

    def losses(parameters: Parameters, step: int) -> torch.Tensor:
        return (parameters["w"] - 1).square().sum(1)

    together = train_members(start, losses, 20, torch.tensor([0.1, 0.01]), torch.tensor([0.0, 0.3]))
    for member, (lr, decay) in enumerate(((0.1, 0.0), (0.01, 0.3))):
        alone = train_members(start, losses, 20, lr, decay)
        assert_close(together["w"][member], alone["w"][member])


def test_parts_of_a_recipe_compose():
    pair = planted()
    parts = [Discriminate(), UniformTargets(begin=0.3), Settings(lr=[0.5, 1.0]), EarlyStopping(), Leace()]
    found = train(pair, parts, "composed")
    assert len(found.kept) == MEMBERS
    assert "hidden" in found.model.edits


# Penalties


def test_class_separation_is_the_share_of_variance_between_classes():
    labels = torch.arange(60).remainder(3).expand(2, -1)
    between = torch.nn.functional.one_hot(labels).float()
    assert_close(penalties.class_separation(between, labels), torch.ones(2))
    mixed = torch.randn(2, 6000, 5, generator=stream("mixed"))
    # Expected (classes - 1) / rows.
    assert penalties.class_separation(mixed, torch.arange(6000).remainder(3).expand(2, -1)).max() < 0.005


def test_irreps_of_an_embedding_can_be_trained_against():
    group = named("Z7")
    values = torch.randn(2, 9, 6, generator=stream("embedding"), dtype=torch.float32)
    shares = [penalties.irrep_energy(values, None, "Z7", [irrep], first=2) for irrep in group.irreps]
    assert_close(torch.stack(shares).sum(0), torch.ones(2))
    with pytest.raises(ValueError, match=r"^Z7 has no irrep 9; it has .*: name one of these\.$"):
        penalties.irrep_energy(values, None, "Z7", ["9"])


# Measures


def test_area_is_0_for_scratch_1_where_all_is_right_at_once_and_below_0_where_learning_is_slower():
    scratch = np.array([[0.1, 0.5, 0.8, 0.9], [0.1, 0.2, 0.3, 0.9]])
    assert (area_to_scratch(scratch, scratch) == 0).all()
    np.testing.assert_allclose(area_to_scratch(np.ones_like(scratch), scratch), 1)
    assert (area_to_scratch(scratch - 0.05, scratch) < 0).all()


def test_a_network_before_training_relearns_as_scratch_does():
    pair = planted()
    curves = [relearn(pair, Model(begun(pair, "s")), 12, 4, "again").accuracy for _ in range(2)]
    assert (area_to_scratch(*curves) == 0).all()
    assert curves[0].shape == (MEMBERS, 4)


def test_the_discriminant_reads_what_is_linear_and_nothing_else():
    values, labels = correlated(rows=2000)
    right = (discriminant(values, labels, 3, values).argmax(-1) == labels).float().mean(1)
    assert (right > 0.6).all()
    turned = torch.linalg.qr(torch.randn(2, 6, 6, generator=stream("turn"))).Q
    turned_right = (discriminant(values @ turned, labels, 3, values @ turned).argmax(-1) == labels).float().mean(1)
    assert_close(turned_right, right, atol=2e-3, rtol=0)
    signs = torch.randn(1, 2000, 2, generator=stream("xor"))
    xor = (signs.prod(-1) > 0).long()
    assert ((discriminant(signs, xor, 2, signs).argmax(-1) == xor).float().mean() - 0.5).abs() < 0.1


def test_a_pair_is_a_test_where_y_comes_along():
    """Planted: Y by the input that X is told by comes along; by another one it doesn't, and there is no head start."""
    gates = {}
    for by in (0, 1):
        pair = planted(by)
        taught = [train(pair, parts, "gate").model for parts in ([], [LearnY()])]
        right = np.stack([answers(pair, model)["y_accuracy"] for model in taught])
        area = np.zeros(MEMBERS)
        gates[by] = gate_of(right, area, area, 0.5, 0.25)[0]
    assert gates == {0: "answers", 1: "none"}
    faster, null = np.array([0.5, 0.6, 0.55]), np.array([0.05, -0.05, 0.0])
    untaught = np.array([[0.5, 0.5, 0.5], [0.9, 0.9, 0.9]])
    assert gate_of(untaught, faster, null, 0.5, 0.25)[0] == "circuit"
    assert gate_of(untaught, null, null, 0.5, 0.25)[0] == "none"


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "prevented"),
        ({"x_lost": 0.3}, "X lost"),
        ({"y_left": 0.8}, "kept"),
        ({"area_above_null": 0.4, "area_left": 0.8}, "hidden"),
        ({"readable": 0.2, "readable_left": 0.9}, "hidden"),
        ({"area_left": 0.4}, "unclear"),
    ],
)
def test_verdicts_follow_from_what_is_left(changed: Mapping[str, float], verdict: str):
    nothing = dict.fromkeys(("x_lost", "y_left", "area_above_null", "area_left", "readable", "readable_left"), 0.0)
    noise = np.array([-0.01, 0.0, 0.01])
    numbers = {name: noise + value for name, value in (nothing | changed).items()}
    assert verdict_of("answers", numbers) == verdict
    assert verdict_of("answers", {**numbers, "x_lost": np.full(3, np.nan)}) == ""


def test_erased_answers_are_gone_but_hidden():
    """LEACE at the only hidden layer: neither the answer nor a linear probe is left of Y, as long as it is applied."""
    pair = planted(steps=150)
    model = train(pair, [Leace()], "erased").model
    # 600 answers, of which half are right by chance: off by .1 once in 10^6 times.
    assert abs(answers(pair, model)["y_accuracy"].mean() - 0.5) < 0.1
    assert probed(pair, model, 1, 0.01, "p")["hidden"][0].mean() < 0.62
    plain = Model(model.parameters)
    assert probed(pair, plain, 1, 0.01, "p")["hidden"][0].mean() > 0.8


# Pairs of images


def rotated(**options: Any) -> TaskPair:
    given = RotatedImagesOptions(pair="rotated_images", images_train=30, images_test=120, **options)
    return rotated_images.pair(given.model_dump(mode="json"), MEMBERS, "rotated")


def test_images_turn_clockwise_about_their_centre():
    images = torch.rand(2, 8, 8, generator=stream("images"))
    for quarter in range(5):
        turned = rotated_images.turned(images, torch.full((2,), 90.0 * quarter))
        assert_close(turned, images.rot90(-quarter, (-2, -1)), atol=1e-4, rtol=0)


def test_turned_images_of_x_and_y_are_apart():
    pair = rotated(degrees=90.0)
    assert set(pair.y.test.labels.unique().tolist()) <= {3, 4, 7}
    assert pair.x.train.part is not None
    assert set(pair.x.train.part.unique().tolist()) == {0, 1, 2}
    assert pair.x.train.rows == 60


def test_what_is_summed_over_turns_doesnt_see_them():
    network = ConvNet(1, 8, (3, 4), 10, turned=True)
    parameters = network.start(2, stream("start"))
    images = torch.rand(2, 5, 8, 8, generator=stream("images"))
    one, other = (network.activations(parameters, each) for each in (images, images.rot90(1, (-2, -1))))
    assert_close(one["over_turns"], other["over_turns"])
    assert not torch.allclose(one["second"], other["second"])
    assert not torch.allclose(one["logits"], other["logits"])
    plain = ConvNet(1, 8, (3, 4), 10)
    seen = plain.activations(plain.start(2, stream("start")), images)
    assert tuple(seen) == plain.layers


def test_convolutions_are_torchs():
    network = ConvNet(2, 8, (3, 4), 2)
    parameters = network.start(1, stream("start"))
    images = torch.rand(1, 5, 2, 8, 8, generator=stream("images"))
    first = torch.nn.functional.conv2d(images[0], parameters["first"][0].reshape(3, 2, 3, 3), padding=1).relu()
    first = torch.nn.functional.avg_pool2d(first, 2)
    second = torch.nn.functional.conv2d(first, parameters["second"][0].reshape(4, 3, 3, 3), padding=1).relu()
    found = network.activations(parameters, images)
    assert_close(found["first"][0], first.flatten(1))
    assert_close(found["second"][0], second.flatten(1))


@pytest.mark.parametrize("by", ["colour", "shape"])
def test_colour_and_shape_go_together_in_x_and_are_crossed_in_y(by):
    options = RedSquareOptions(pair="red_square", by=by, noise=0.0, rows=40, test_rows=20)
    pair = red_square.pair(options.model_dump(mode="json"), MEMBERS, "red")
    for task, crossed in ((pair.x, False), (pair.y, True)):
        blue = (task.train.inputs[:, :, 1].sum((-2, -1)) > 0).long()
        widths = (task.train.inputs.sum(2) > 0).sum(-1)
        triangle = (widths.amax(-1) != torch.where(widths > 0, widths, 99).amin(-1)).long()
        assert torch.equal(task.train.labels, blue if by == "colour" else triangle)
        assert (blue != triangle).all() if crossed else torch.equal(blue, triangle)


# Bad input


def test_what_overlaps_or_is_lacking_is_told_in_one_line():
    pair = planted()
    message = r"^planted: 200 of 200 rows of y.test are rows of x.train too: .*; take them out of one of the two\.$"
    with pytest.raises(ValueError, match=message):
        replace(pair, x=Task(pair.y.test, pair.x.test))
    with pytest.raises(ValueError, match=r"^planted: tables have \{.*\} members: give each as many\.$"):
        replace(pair, x=Task(pair.x.train.repeated(2), pair.x.test))
    none = replace(pair, y=Task(pair.y.train.at(torch.zeros(MEMBERS, 0, dtype=torch.long)), pair.y.test))
    for part in (RandomLabels(), Leace(), Penalty(function="homolog.antilearning.penalties:quiet", at="hidden")):
        with pytest.raises(ValueError, match=r"^planted: .* needs rows of Y to train on, but y.train has none: leave"):
            train(none, [part], "none")
    assert np.isnan(probed(none, Model(begun(none, "n")), 1, 0.1, "p")["hidden"]).all()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            Penalty(function="homolog.antilearning.penalties:quiet", at="stem"),
            "a penalty is at 'stem', but its network",
        ),
        (Penalty(function="homolog.antilearning.penalties:loud", at="hidden"), "has no function 'loud'; it has"),
        (Penalty(function="no_such_module:f", at="hidden"), "there is no such module"),
        (GradientReversal(layer="stem"), "its network has no layer 'stem'; it has hidden, logits: name one"),
        (Leace(layer="stem"), "its network has no layer 'stem'"),
    ],
)
def test_a_part_that_cant_be_applied_says_so_before_training(part, message):
    with pytest.raises(ValueError, match=message) as caught:
        train(planted(), [part], "bad")
    assert "\n" not in str(caught.value)


def test_order_needs_parts_and_recipes_one_grid():
    pair = planted()
    with pytest.raises(ValueError, match=r"^planted: order needs parts of X .* but x.train has no: leave it out"):
        train(replace(pair, x=Task(replace(pair.x.train, part=None), pair.x.test)), [Order()], "bad")
    with pytest.raises(ValueError, match=r"^a recipe has 2 parts that bring settings \(settings, settings\): put all"):
        train(pair, [Settings(lr=[1.0, 2.0]), Settings(width=[0.5, 1.0])], "bad")


def test_a_penalty_gives_a_number_for_each_member():
    part = Penalty(function="torch.nn.functional:relu", at="read")
    with pytest.raises(ValueError, match=r"gives \(3, 6, 8\), but a penalty is a tensor of shape \(3,\): one number"):
        train(planted(), [part], "bad")


def benchmark(**options: Any) -> dict[str, Any]:
    pairs = {"red square": {"pair": "red_square", "steps": 12, "rows": 48, "test_rows": 32, "batch": 16}}
    recipes = {"random labels": [{"name": "random_labels"}], "uniform targets": [{"name": "uniform_targets"}]}
    return {"name": "antilearning", "pairs": pairs, "recipes": recipes, "moments": 3, "probe_steps": 3} | options


def test_what_a_configuration_says_wrong_is_told():
    wrong = {"X only": [{"name": "leace"}], "one": [{"name": "leace", "pairs": ["blue square"]}]}
    pairs = {"turned": {"pair": "rotated_images", "degrees": 340.0}}
    options = AntilearningOptions(**benchmark(pairs=pairs, recipes=wrong))
    said = [text for _, text in check_antilearning(("experiments", "a"), options)]
    assert len(said) == 3
    assert said[0].startswith("X only, which is an anchor of every pair")
    assert said[1].startswith("blue square, which no pair is called; allowed: turned")
    assert said[2].startswith("340, with a margin of 15 on either side, so that Y's test overlaps X")


def test_the_benchmark_measures_every_recipe_beside_the_anchors(tmp_path, capsys):
    options = AntilearningOptions(**benchmark(everywhere=True))
    spec = {"experiment": "small", "options": options.model_dump(mode="json", exclude={"name", "pairs", "recipes"})}
    found = antilearning(spec | _antilearning(options), {})
    assert list(found.recipe.values) == [*ANCHORS, *options.recipes]
    assert (found.area.sel(recipe="random init") == 0).all()
    assert (found.x_lost.sel(recipe="X only") == 0).all()
    passes = found.passes.sel(pair="red square")
    assert float(passes.sel(recipe="X and Y")) == 2 * float(passes.sel(recipe="X only"))
    assert float(passes.sel(recipe="random labels")) == pytest.approx(1.5 * float(passes.sel(recipe="X only")))
    for name in ("x_accuracy", "y_accuracy", "y_confidence", "area", "linear_probe", "mlp_probe"):
        assert np.isfinite(found[name].sel(pair="red square").transpose("recipe", ...)[4:]).all()
    assert figure.headline(found).startswith("X alone gives Y on ")
    assert figure.draw(found).axes
    table = markdown(found)
    assert table.count(heading()) == 1
    assert [line.split(" | ")[0] for line in table.splitlines() if line.endswith("anchor |")] == [
        f"| {name}" for name in ANCHORS
    ]
    store = tmp_path / "antilearning.nc"
    write_experiment(store, found, {"spec": "{}"})
    assert main(["antilearning-table", str(store)]) == 0
    assert capsys.readouterr().out == table
    assert main(["antilearning-table", str(tmp_path / "none.nc")]) == 1
    assert capsys.readouterr().err.startswith("homolog: error: ")


def test_the_table_in_the_documents_is_as_its_command_writes_it():
    """Its head, its columns, and for every pair of the shipped benchmark a row for each anchor."""
    text = (ROOT / "docs" / "antilearning.md").read_text()
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]["antilearning"]["analysis"]
    assert text.startswith("# Antilearning: ")
    assert COMMAND in text
    pairs = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [one.splitlines()[0] for one in pairs] == list(shipped["pairs"])
    for one in pairs:
        lines = one.splitlines()
        start = lines.index(heading())
        cells = [line.strip("| ").split(" | ") for line in lines[start + 2 :] if line.startswith("| ")]
        rows = [row for row in cells if len(row) == heading().count(" | ") + 1]
        assert [row[0] for row in rows[:4]] == list(ANCHORS)
        assert {row[0] for row in rows[4:]} <= set(shipped["recipes"])
        number = re.compile(r"-?\d+\.\d\d( \[-?\d+\.\d\d, -?\d+\.\d\d\])?")
        assert all(number.fullmatch(cell) for row in rows for cell in row[1:5])
        assert all(row[-1] in ("anchor", "prevented", "hidden", "kept", "X lost", "unclear") for row in rows)
