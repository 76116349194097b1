"""Features made of others: are worlds of animals and combinations what they say, are circuits counted rightly?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from making import complete, seeded
from torch.testing import assert_close

from homolog.analyses.animal_tuning import retrained
from homolog.analyses.animals import Basis, _told, composed_or_new, known_bases, read_off
from homolog.analyses.animals import animals as analysis
from homolog.analyses.red_triangle import _one, every_combination, own_latents, red_triangle
from homolog.config.animals import AnimalsOptions
from homolog.config.worlds import AnimalsWorldOptions, CombinationsWorldOptions
from homolog.dictionary import Dictionary
from homolog.figures.animals import headline
from homolog.figures.red_triangle import headline as triangle_headline
from homolog.registry import METHODS, WORLDS
from homolog.toys import circuits
from homolog.worlds.animals import animals, labels_of
from homolog.worlds.combinations import combinations, held_out
from homolog.worlds.description import bits_per_row
from homolog.worlds.trials import Trial

OPTIONS = {"true_cosine": 0.9, "own_f1": 0.8, "strengths": [1.0, 4.0], "tuning_steps": 200}


def trial_of(make, options, rows=2000):
    world = make(options, seeded(0))
    drawn = world.draw(rows, seeded(1)), world.draw(rows, seeded(2))
    return Trial({"options": options, "group": "a", "label": "a"}, 0, world, *drawn)


def animal_trial(**options):
    own = {"world": "animals", "animals": 200, "attributes": 20} | options
    return trial_of(animals, AnimalsWorldOptions(**own).expand()[0])


def object_trial(**options):
    return trial_of(combinations, CombinationsWorldOptions(world="combinations", **options).expand()[0])


def dictionary_of(directions, **given):
    latents, units = directions.shape
    zeros = torch.zeros(latents)
    return Dictionary(directions, directions, zeros, torch.zeros(units), zeros + 1, zeros + 1, **given)


@pytest.mark.parametrize("labels", [0, 20])
def test_animals_are_sums_of_attributes_and_of_labels_where_there_are_some(labels):
    trial = animal_trial(labels=labels)
    made, attributes = trial.world.features[:200], trial.world.features[200:]
    assert_close(attributes @ attributes.T, torch.eye(20), atol=1e-5, rtol=0)
    assert_close(made.norm(dim=1), torch.ones(200))
    inside = (made @ attributes.T).square().sum(1)
    assert_close(inside, torch.full((200,), 0.5 if labels else 1.0), atol=1e-5, rtol=0)
    assert labels_of(attributes).shape == (labels, 20 + labels)


def test_what_is_off_is_read_as_in_a_random_direction():
    """The seed's 1 / sqrt(d), times the length of a row."""
    trial = animal_trial()
    seen = read_off(trial)
    assert seen["interference_animals"] == pytest.approx(seen["interference_expected"], rel=0.02)
    # Sizes are uniform in [1/2, 3/2], so that the mean square is 13/12; noise adds its own.
    assert seen["interference_expected"] == pytest.approx(math.sqrt((13 / 12 + 0.01) / 20), rel=0.03)
    assert seen["read_right"] > 0.99


def test_true_codes_hold_of_the_read_off_what_others_do_not_add():
    """With one of m animals on, <f, x> of all others has the energy (m - 1) / d beside the 1 of its own."""
    trial = animal_trial(noise=0.0)
    told = _told(OPTIONS, trial, trial.world.features, trial.test.codes)
    assert told["told_animals"] == pytest.approx(1 / (1 + 199 / 20), rel=0.05)
    assert told["told_attributes"] == pytest.approx(0.0, abs=1e-6), "no attribute is on, and each is read"
    axes = trial.world.features[200:]
    assert _told(OPTIONS, trial, axes, trial.test.rows @ axes.T)["told_attributes"] == pytest.approx(1, abs=1e-5)
    turned = _told(OPTIONS, trial, -axes, -trial.test.rows @ axes.T)["told_attributes"]
    assert turned == pytest.approx(1, abs=1e-5), "the sign of a latent is nobody's"


def test_known_codes_compose_and_do_not_know_what_is_new():
    trial = animal_trial(shows="both")
    features, zero = trial.world.features, torch.zeros(20)
    seen = composed_or_new(OPTIONS, trial, Basis(features, lambda drawn: drawn.codes, zero))
    assert seen["both_on"] == 1
    assert seen["composed_fvu"] < 0.02
    assert seen["new_fvu"] == pytest.approx(1)
    assert seen["told_apart"] == 1
    exact = composed_or_new(OPTIONS, trial, Basis(torch.eye(20), lambda drawn: drawn.rows, zero))
    assert exact["told_apart"] == pytest.approx(0.5)
    learnt = known_bases(trial)[2]
    seen = (trial.train.codes != 0).sum(0) > 5
    assert_close((learnt.directions * features).sum(1)[seen], torch.ones(int(seen.sum())), atol=0.05, rtol=0)


def test_a_dense_basis_takes_what_reverse_water_filling_says_and_one_in_m_its_number():
    rows = torch.randn(40_000, 3, generator=seeded(3)) * torch.tensor([2.0, 1.0, 0.01])
    codes, left = bits_per_row(rows, torch.zeros_like(rows), 0.25)
    # 1/2 log2(4 / .25) + 1/2 log2(1 / .25), and nothing of the third.
    assert codes == pytest.approx(2 + 1, abs=0.03)
    assert left == 0
    assert bits_per_row(torch.zeros(len(rows), 1), rows, 0.25)[1] == pytest.approx(3, abs=0.03)
    one_of = torch.eye(64).repeat(10, 1)
    entropy = -(math.log2(1 / 64) / 64 + 63 / 64 * math.log2(63 / 64))
    assert bits_per_row(one_of, torch.zeros(640, 2), 0.1) == (pytest.approx(64 * entropy), 0)


def test_edges_are_counted_in_the_basis_that_a_circuit_reads():
    generator = seeded(4)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    rows = torch.randn(600, 16, generator=generator)
    circuit = {"in": basis[:1].T.contiguous(), "in_bias": torch.zeros(1), "out": torch.ones(1)}
    circuit["out_bias"] = torch.zeros(())
    counts = torch.ones(600)

    def needed(directions, kept=0.8):
        return circuits.edges_needed(circuit, rows, counts, rows @ directions.T, directions, kept)

    assert needed(basis) == (1, True)
    other, reached = needed(torch.eye(16))
    assert reached
    assert other > 4
    assert circuits.edges_needed(circuit, rows, counts, rows @ basis[4:].T, basis[4:], 0.8)[1] is False
    fewer = circuits.edges_needed(circuit, rows, counts, rows @ basis.T, basis, 0.99)
    assert fewer == (1, True), "all that it reads is one direction"


def test_circuits_learn_a_rare_fact_and_read_its_direction():
    trial = animal_trial()
    some = torch.arange(3)
    targets = trial.train.codes[:, some].sum(1)[None]
    found = circuits.train(
        trial.train.rows[None],
        torch.zeros(1, dtype=torch.long),
        targets,
        4,
        300,
        2e-2,
        48,
        ("a",),
    )
    truth = trial.test.codes[:, some].sum(1)[None]
    said = circuits.outputs(found, trial.test.rows[None])
    assert float(circuits.unexplained(said, truth, circuits.weights(truth))) < 0.3
    reads = circuits.read_in(found, trial.test.rows[None], (truth > 0).float())[0]
    near = trial.world.features[:200] @ reads / reads.norm()
    assert float(near[some].min()) > float(near[3:].abs().median()) + 0.2
    with pytest.raises(ValueError, match="fact 0 is true of no row"):
        circuits.train(
            trial.train.rows[None],
            torch.zeros(1, dtype=torch.long),
            0 * targets,
            2,
            1,
            1.0,
            4,
            ("a",),
        )


def test_a_new_attribute_is_there_after_tuning_and_moves_animals_by_its_size():
    trial = animal_trial()
    old = trial.world.features[:200]
    new = retrained(old, trial.world.features[200:], OPTIONS, trial, iter)
    moved = (new - old).norm(dim=2).mean(1)
    usual = float((old @ trial.world.features[200:].T).square().mean().sqrt())
    # Along the reader alone, each would move by |s - <u, f>|: about 4 for the larger; Adam takes detours.
    assert usual * 4 * 0.8 < float(moved[1]) < usual * 4 * 2
    assert float(moved[0]) < float(moved[1])


def test_held_out_combinations_are_never_shown_and_all_others_are():
    trial = object_trial(alone=0.0)
    values, codes = 6, trial.train.codes
    pairs = codes[:, :values].T @ codes[:, values:] > 0
    assert torch.equal(pairs, ~held_out(trial.spec["options"]))
    assert int(held_out(trial.spec["options"]).sum()) == 6
    alone = object_trial(alone=1.0).train.codes
    assert ((alone != 0).sum(1) == 1).all()
    related = object_trial(correlation=0.9, held_out=0, alone=0.0).train.codes != 0
    assert float((related[:, :6] & related[:, 6:]).any(1).double().mean()) == pytest.approx(0.9 + 0.1 / 6, abs=0.03)
    with pytest.raises(ValueError, match="held_out = 7 of values = 6"):
        object_trial(held_out=7)


def test_factors_and_combinations_are_told_apart_by_dictionaries_that_hold_either():
    trial = object_trial(units=64)
    features = trial.world.features
    # A colour's size is in [3/4, 5/4], and cosines of 64 units at random are about 1/8.
    reader = dictionary_of(features, activation="jumprelu", threshold=torch.full((12,), 0.4))
    factors = _one(OPTIONS, trial, replace(reader, encoder=torch.linalg.pinv(features).T))
    assert (factors["factors"], factors["combinations"], factors["both_on"]) == (1, 0, 1)
    assert (factors["own_shown"], factors["own_held_out"]) == (0, 0)
    _, of = every_combination(trial)
    shown = (~held_out(trial.spec["options"])).flatten().nonzero()[:, 0]
    sums = torch.nn.functional.normalize(features[shown // 6] + features[6 + shown % 6], dim=1)
    one = dictionary_of(sums, activation="topk", k=1)
    seen = _one(OPTIONS, trial, one)
    assert (seen["factors"], seen["combinations"]) == (0, 1)
    assert seen["own_held_out"] == 0
    assert seen["fvu_held_out"] > seen["fvu_shown"]
    on = torch.nn.functional.one_hot(of, 37)[:, :36].bool()
    assert_close(own_latents(on, of, 36), torch.ones(36, dtype=torch.float64))


def test_small_worlds_of_animals_are_told():
    """The whole analysis: orthonormal attributes have dense codes, and rows of attributes alone show no animal."""
    one = AnimalsWorldOptions(world="animals", animals=20, attributes=16).expand()[0]
    worlds = [
        {"group": name, "label": name, "target": WORLDS["animals"], "options": one | {"shows": name}}
        for name in ("attributes", "animals", "both")
    ]
    pca = {"name": "pca", "method": METHODS["pca"], "labels": ["pca"], "seeds": [0]}
    pca["grid"] = [complete("pca", n_latents=16)]
    options = AnimalsOptions(
        name="animals", worlds={"a": {"world": "animals"}}, rows=300, test_rows=200, facts=1, animals_per_fact=2,
        circuit_steps=5, tuning_steps=5,
    ).model_dump(exclude={"name", "worlds"})  # fmt: skip
    spec = {"experiment": "tiny", "options": options, "worlds": worlds}
    found = analysis(spec | {"decompositions": [pca | {"at_most_units": True, "partner": None}]}, {})
    known = found.sel(basis="known codes")
    assert float(known.found_animals.sel(world="attributes")) == 0
    assert (known.found_animals.sel(world=["animals", "both"]) == 1).all()
    assert_close(float(found.fvu.sel(basis="attributes").max()), 0.0, atol=1e-6, rtol=0)
    assert_close(float(found.told_attributes.sel(basis="attributes", world="both")), 1.0, atol=1e-5, rtol=0)
    assert (found.reached_graded.sel(basis=["units", "attributes", "pca"]) == 1).all()
    assert headline(found).startswith("Found at most from rows of 'attributes'")


def test_small_worlds_of_objects_are_told():
    one = CombinationsWorldOptions(world="combinations", values=3, held_out=1, units=12).expand()[0]
    worlds = [{"group": "a", "label": "a", "target": WORLDS["combinations"], "options": one}]
    fitted = {"name": "kmeans", "method": METHODS["kmeans"], "labels": ["kmeans"], "seeds": [0]}
    fitted |= {"grid": [complete("kmeans", n_latents=6)], "at_most_units": False}
    options = {"replicates": 3, "rows": 400, "test_rows": 100, "told": True, "true_cosine": 0.9, "own_f1": 0.8}
    spec = {"experiment": "tiny", "options": options, "worlds": worlds, "decompositions": [fitted | {"partner": None}]}
    found = red_triangle(spec, {})
    assert float(found.factors_ceiling[0]) == 1
    assert triangle_headline(found).startswith("Rows of 'a': kmeans finds most factors")
