"""Are curves along an axis told as they are, and do hybrids and their baseline hold a dense part and features?"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from making import seeded
from torch.testing import assert_close
from workspace import ROOT

from homolog.analyses.recovered import at_best, auc, captured, penalised_codes, probed
from homolog.analyses.recovery import known_in_all, penalty_weight, recovery
from homolog.analyses.sweeps import Sweep, half_width, slopes, summarised
from homolog.config import ConfigError, parse_config
from homolog.config.worlds import PlantedOptions
from homolog.dictionary import Dictionary
from homolog.figures import hybrid, shrinkage, sweep
from homolog.figures.numbers_report import pages
from homolog.planning.plan import Plan
from homolog.worlds.base import orthonormal
from homolog.worlds.pca_first import leading_components, with_components
from homolog.worlds.planted import planted


def world_of(**options):
    return planted(PlantedOptions(world="planted", **options).expand()[0], seeded(0))


def experiment(decompositions, worlds, **analysis):
    """A config with one experiment on planted worlds, of a few rows."""
    figure = analysis.pop("figure", "sweep")
    return {
        "models": yaml.safe_load((ROOT / "config.yaml").read_text())["models"],
        "decompositions": decompositions,
        "experiments": {
            "swept": {
                "analysis": {"name": "recovery", "rows": 256, "test_rows": 128, "worlds": worlds} | analysis,
                "figure": figure,
                "decompositions": list(decompositions),
            }
        },
    }


def found_by(mapping):
    return recovery(json.loads(Plan(parse_config(mapping)).spec("analyse", experiment="swept")), {})


SAE = {"method": "relu_sae", "n_latents": 12, "steps": 4, "batch_size": 32, "lr": 1e-2, "coefficient": 0.1}
WORLD = {"world": "planted", "units": 8, "features": 8}


def test_a_dense_part_is_a_gaussian_on_its_axes_and_nothing_else_changes():
    without, made = world_of(noise=0.0), world_of(noise=0.0, dense=4, dense_size=3.0)
    drawn = made.draw(8000, seeded(1))
    assert_close(made.features, without.features)
    assert_close(made.dense @ made.dense.T, torch.eye(4), atol=1e-5, rtol=0)
    assert_close(drawn.rows, drawn.codes @ made.features + drawn.dense @ made.dense, atol=1e-5, rtol=0)
    variances = drawn.dense.var(0)
    # The norm is as said; variances fall to a quarter.
    assert float(variances.sum()) == pytest.approx(9, rel=0.05)
    assert float(variances[0] / variances[3]) == pytest.approx(4, rel=0.1)


def test_a_subspace_captures_itself_in_any_basis_and_random_ones_their_share_of_all_dimensions():
    axes = orthonormal(3, 20, seeded(2))
    mixed = torch.randn(3, 3, generator=seeded(3)) @ axes
    assert captured(axes, mixed)["captured"] == pytest.approx(1, abs=1e-5)
    assert captured(axes, mixed[:2])["captured"] == pytest.approx(2 / 3, abs=1e-5)
    assert captured(axes, axes[:0])["captured"] == 0
    assert captured(None, mixed) == {}
    random = [captured(axes, torch.randn(5, 20, generator=seeded(seed)))["captured"] for seed in range(400)]
    # Of 400 draws with a deviation of .12 the mean deviates by .03 once in 10^6 times.
    assert np.mean(random) == pytest.approx(5 / 20, abs=0.03)


def test_auc_counts_pairs_and_ties_as_halves():
    scores = torch.tensor([[0.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    labels = torch.tensor([[0, 1], [1, 1], [0, 1], [1, 1]]).bool()
    pairs = [(a > b) + (a == b) / 2 for a in (0.0, 3.0) for b in (0.0, 2.0)]
    assert float(auc(scores, labels)[0]) == np.mean(pairs)
    assert auc(scores, labels)[1].isnan()


def test_single_latents_that_are_the_truth_tell_every_label_and_others_none():
    made = world_of(dense=3)
    train, test = made.draw(3000, seeded(4)), made.draw(3000, seeded(5))
    true = [torch.cat([one.codes, -one.dense], 1) for one in (train, test)]
    assert probed(train, test, *true) == {"probe_sparse": 1, "probe_dense": 1, "probe": 1}
    noise = [torch.randn(3000, 10, generator=seeded(seed)) for seed in (6, 7)]
    assert probed(train, test, *noise)["probe"] == pytest.approx(0.5, abs=0.03)
    assert probed(train, test, *(one[:, :0] for one in noise))["probe"] == 0.5
    best = at_best(train, test, made.features, 0.9)
    assert best["f1"] == best["captured"] == best["probe_sparse"] == 1
    assert best["probe_dense"] > 0.95


def test_components_and_a_dictionary_of_what_they_leave_are_one_dictionary_of_whole_rows():
    rows = world_of(dense=3, units=10, features=6).draw(200, seeded(8)).rows + 5
    components, left = leading_components(rows, 3)
    assert_close(left @ components.T, (rows.mean(0) @ components.T).expand(200, 3), atol=1e-4, rtol=0)
    ones = torch.ones(7)
    directions, encoder, bias = (torch.randn(*shape, generator=seeded(9)) for shape in ((7, 10), (7, 10), (10,)))
    fitted = Dictionary(directions, encoder, ones * 0.1, bias, ones, ones, activation="relu", signed=True)
    whole = with_components(fitted, components, rows)
    codes, inner = whole.codes(rows), fitted.codes(left)
    assert_close(codes[:, 3:], inner, atol=1e-4, rtol=1e-4)
    assert (codes[:, :3] > 0).all()
    expected = fitted.reconstruct(inner) + (rows - rows.mean(0)) @ components.T @ components
    assert_close(whole.reconstruct(codes), expected, atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="allowed: relu"):
        with_components(Dictionary(directions, encoder, ones, bias, ones, ones), components, rows)


def test_half_of_a_curve_is_where_it_crosses_it():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    # By ratio: halfway between 1 and 2 lies sqrt 2.
    assert half_width(x, np.array([0.0, 1.0, 1.0, 0.0])) == pytest.approx((2**0.5, 32**0.5))
    assert half_width(x - 1, np.array([0.0, 1.0, 1.0, 0.0])) == pytest.approx((0.5, 5.0))
    first, never = half_width(x, np.array([0.9, 1.0, 0.9, 0.6]))
    assert first == 1
    assert np.isnan(never)


COLUMNS = [
    ("l1", {"n_latents": n, "coefficient": c}, ["n_latents", "coefficient"]) for n in (8, 16) for c in (1.0, 2.0)
]


def test_lines_are_all_that_varies_but_the_axis_and_what_does_not_vary_lies_all_along():
    world = {"group": "planted", "label": "planted", "options": {"noise": 0.1}}
    made = Sweep.of("coefficient", [world], [*COLUMNS, ("pca", {"n_latents": 8}, [])])
    assert made.lines == ["l1 (n_latents 8)", "l1 (n_latents 16)", "pca"]
    assert made.values == [1.0, 2.0]
    assert made.flat == [False, False, True]
    whole = made.unfolded(np.arange(5.0).reshape(1, 5, 1))
    assert whole[..., 0].tolist() == [[0, 1], [2, 3], [4, 4]]
    noisy = [world, {"group": "planted", "label": "planted 0.5", "options": {"noise": 0.5}}]
    assert Sweep.of("noise", noisy, COLUMNS).lines[0] == "n_latents 8, coefficient 1"
    assert Sweep.of("coefficient", noisy, COLUMNS).lines[-1] == "n_latents 16, noise 0.5"


def test_the_best_place_is_chosen_by_other_replicates():
    made = Sweep.of("coefficient", [{"group": "a", "label": "a", "options": {}}], COLUMNS[:2])
    whole = np.array([[[0.0, 0.0, 1.0], [0.4, 0.4, 0.4]]])
    found = summarised("f1", whole, made)
    # The third replicate is best at the first place, for itself alone; the others see it there on average.
    assert found["f1_best"][1].tolist() == [[0.0, 0.0, 0.4]]
    assert found["f1_over_first"][1][0].tolist() == pytest.approx([0.0, 0.0, -0.6])


def test_spare_latents_are_a_ceiling_of_f1_and_where_not_all_replicates_fall_there_is_no_mean():
    mapping = experiment(
        {"sae": SAE | {"coefficient": [0.1, 0.2]}}, {"planted": WORLD | {"features": [6, 12, 24]}},
        along="coefficient", told=False, shown=["f1"],
    )  # fmt: skip
    found = found_by(mapping)
    # 12 latents: of 6 features all, but 6 of the latents are spare; of 24 at most half.
    assert found.f1_ceiling[:, 0].values == pytest.approx([12 / 18, 1, 24 / 36])
    places = {"f1_falls_at": (("line", "replicate"), np.array([[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]]))}
    assert known_in_all(places)["f1_falls_at"].values.tolist() == [True, False]


def test_the_slope_of_a_power_law_is_its_power():
    made = Sweep.of("coefficient", [{"group": "a", "label": "a", "options": {}}], COLUMNS)
    values = np.array([8.0, 16.0])[:, None] ** np.array([0.5, -1.0])
    assert slopes("n_latents", values, made)["all"] == pytest.approx([0.5, -1.0])
    assert np.isnan(slopes("n_latents", np.array([[1.0], [np.nan]]), made)["all"]).all()


def test_hybrids_and_their_baseline_are_measured_along_their_dense_latents():
    mapping = experiment(
        {"sae": SAE | {"dense": [0, 2, 4, 8]}},
        {"planted": WORLD | {"dense": 2, "dense_size": 6.0}},
        along="dense", pca_first=True, told=False, shown=["codes", "f1", "captured", "probe_sparse", "probe_dense"],
        figure="hybrid",
    )  # fmt: skip
    mapping["decompositions"]["sae"]["coefficient"] = [0.1, 0.2]
    found = found_by(mapping)
    assert found.line.values.tolist() == [
        "sae (coefficient 0.1)", "sae (coefficient 0.2)",
        "sae, PCA first (coefficient 0.1)", "sae, PCA first (coefficient 0.2)",
    ]  # fmt: skip
    first = found.captured.sel(line="sae, PCA first (coefficient 0.1)")
    assert float(first.sel(dense=2)) > 0.95
    # None, and as many as dimensions, leave no baseline.
    assert np.isnan(first.sel(dense=[0, 8])).all()
    assert found.captured_random[0].values.tolist() == [0, 1 / 4, 1 / 2, 1]
    assert (found.captured[:2].sel(dense=8) > 0.99).all()
    said = hybrid.headline(found)
    assert said.startswith("8 sparse features and 2 dense dimensions in 8")
    hybrid.draw(pages(found)[0])


def test_axes_that_do_not_vary_are_told():
    def problems(**analysis):
        with pytest.raises(ConfigError) as caught:
            parse_config(experiment({"sae": SAE | {"n_latents": [12, 24]}}, {"planted": WORLD}, **analysis))
        return caught.value.problems

    (text,) = problems(along="noise")
    assert "along: noise, of which neither its decompositions nor its worlds have several values" in text
    assert "allowed: n_latents" in text
    assert "against: n_latents, beside along = n_latents" in problems(along="n_latents", against="n_latents")[0]
    assert "along: null, with figure sweep" in problems()[0]
    assert "along: n_latents, with figure recovery" in problems(along="n_latents", figure="recovery")[0]
    assert "pca_first: true, without dense latents" in problems(along="n_latents", pca_first=True)[0]


def test_lines_that_rise_along_worlds_are_said_in_words():
    found = found_by(experiment({"sae": SAE}, {"planted": WORLD | {"rows": [32, 64]}}, along="rows", shown=["f1"]))
    assert found.f1.dims == ("line", "rows")
    assert sweep.headline(found).startswith("F1 of features and latents, at best: sae ")
    sweep.draw(pages(found)[0])


def test_penalised_codes_are_where_the_gradient_vanishes_and_shrink_by_half_the_weight_alone():
    directions = orthonormal(5, 8, seeded(1)) + 0.2 * torch.randn(5, 8, generator=seeded(2))
    rows = torch.randn(7, 8, generator=seeded(3))
    on = torch.rand(7, 5, generator=seeded(4)) < 0.6
    weight = 0.3
    found = penalised_codes(rows, on, directions, weight)
    # Half of the derivative of |x - c D|^2 + weight sum c; zero on the support.
    slope = (found @ directions.double() - rows.double()) @ directions.double().T + weight / 2
    assert_close(slope[on], torch.zeros_like(slope[on]), atol=1e-3, rtol=0)
    assert (found[~on].abs() < 1e-9).all()
    alone = orthonormal(5, 8, seeded(5))
    sizes = torch.rand(7, 5, generator=seeded(6)) + 1
    short = sizes - penalised_codes(sizes @ alone, torch.ones(7, 5, dtype=torch.bool), alone, weight)
    assert_close(short, torch.full_like(short, weight / 2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", ["none", pytest.param("unit_mean_square", marks=pytest.mark.slow)])
def test_trained_codes_fall_short_as_derived(scale):
    """(weight / 2) / (1 - p), of which (weight / 2) p / (1 - p) is the free bias's; in the scale of the rows."""
    options = {"n_latents": 8, "steps": 400, "batch_size": 64, "coefficient": [0.1, 0.3], "input_scale": scale}
    world = {"world": "planted", "units": 8, "features": 8, "directions": "orthogonal", "active": 1.6, "noise": 0.02}
    made = {"replicates": 3, "along": "coefficient", "shown": ["short"], "rows": 1024, "figure": "shrinkage"}
    one = found_by(experiment({"l1": {**SAE, **options}}, {"planted": world}, **made))
    line = one.isel(line=0)
    np.testing.assert_allclose(line.short, line.short_predicted, atol=0.02)
    np.testing.assert_allclose(line.short, line.short_alone, atol=0.02)
    if scale == "none":
        np.testing.assert_allclose(line.short_alone, [0.05 / 0.8, 0.15 / 0.8])
    assert "the closed form is off by 0.0" in shrinkage.headline(one)


def test_methods_without_a_penalty_on_codes_are_predicted_not_to_shrink():
    options = {"method": "topk_sae", "n_latents": 8, "k": 2, "steps": 4, "batch_size": 32, "lr": 1e-2}
    rows = torch.ones(4, 9)
    assert penalty_weight(rows, options) == 0
    assert penalty_weight(rows, {"penalty": "sqrt", "coefficient": 0.1, "input_scale": "none"}) == 0
    l1 = {"penalty": "l1", "coefficient": 0.1}
    assert penalty_weight(rows, l1 | {"input_scale": "none"}) == 0.1
    # Rows of length 3: a third of each is fitted, whose codes are a third, at a third of the weight for these.
    assert penalty_weight(rows, l1 | {"input_scale": "unit_mean_square"}) == pytest.approx(0.3)
