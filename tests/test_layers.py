"""Do analyses of what directions of trained layers do find what is planted: splits, returns, few edges?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from making import MadeRun, gaussian, make_inputs, make_layer, make_network, make_rows
from torch import nn
from torch.testing import assert_close

from homolog.alignment.gauge import no_gauge
from homolog.alignment.layer import FOLDS
from homolog.alignment.rest import Rest
from homolog.analyses.ablation import answered, between_variance, lost, splits
from homolog.analyses.arrangement_layers import arrangement_layers
from homolog.analyses.by_run import class_means, held_out, neurons, over_runs, units_of
from homolog.analyses.causal_features import causal_features, partial_rank_correlation
from homolog.analyses.emptiness import emptiness, of_equal_variance
from homolog.analyses.virtual_weights import first_below, mean_reads, unexplained, virtual_weights
from homolog.analyses.weight_sparsity import weight_sparsity
from homolog.figures import arrangement_layers as arrangement_figure
from homolog.figures import causal_features as causal_figure
from homolog.figures import weight_sparsity as sparsity_figure
from homolog.toys.top_m import participation

WIDTHS = [10, 8, 9]


def test_two_values_are_bimodal_and_an_even_or_normal_distribution_isnt():
    two = torch.tensor([[0.0, 0.0, 0.0, 1.0], [2.0, 2.0, 5.0, 5.0]]).double()
    assert_close(between_variance(two), torch.ones(2).double())
    even = torch.linspace(0, 1, 4001).double()[None]
    assert_close(between_variance(even), torch.tensor([0.75]).double(), atol=1e-3, rtol=0)
    normal = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(20_000).double() + 0.5) / 20_000)[None]
    assert_close(between_variance(normal), torch.tensor([2 / math.pi]).double(), atol=1e-3, rtol=0)
    assert between_variance(torch.full((1, 5), 3.0).double()) == 0
    moved = 7 - 2 * even
    assert_close(between_variance(moved), between_variance(even))


def test_what_is_lost_is_told_apart_input_by_input():
    share = torch.tensor([[1.0, 0.9, 0.0, 0.0, 0.05], [0.3, 0.2, 0.3, 0.2, 0.0], [0.0] * 5]).double()
    found = splits(share, torch.tensor([0, 0, 1, 1, 1]))
    assert found["destroyed"].tolist() == [0.4, 0, 0]
    assert_close(found["between"], torch.tensor([0, 0.8, 0]).double())
    assert_close(found["untouched"], torch.tensor([0.6, 0.2, 1]).double())
    assert_close(found["separation"], torch.tensor([1, 0, math.nan]).double(), equal_nan=True)
    assert_close(found["spill"], torch.tensor([0.05 / 1.95, 1, math.nan]).double(), equal_nan=True)
    assert found["one_class"][0] == 1
    assert found["one_class"][1:].isnan().all()
    assert found["splits"].tolist() == [1, 0, 0]


def test_an_ablated_switch_destroys_the_inputs_that_need_it_and_no_others():
    """Unit 0 alone says class 0 where it's on; unit 1 is read by nothing."""
    eye = nn.Identity()
    activations = torch.zeros(100, 2).double()
    activations[:10, 0] = 10
    activations[:, 1] = gaussian(100)
    labels = (torch.arange(100) >= 10).long()

    def logits(x):
        return torch.stack([x[:, 0] - 5, torch.zeros(len(x)).double()], 1)

    rest = Rest(eye, logits, no_gauge(2), activations, labels)
    assert answered(rest).all()
    found = splits(lost(rest, torch.eye(2).double(), activations), labels)
    assert_close(found["destroyed"], torch.tensor([0.1, 0]).double())
    assert found["untouched"][1] == 1
    assert found["splits"].tolist() == [1, 0]
    # Half of class 0's probability is lost at least: by closed form the logit falls from 5 to 1 - 5.
    share = lost(rest, torch.eye(2)[:1].double(), activations[:, :1])[0, :10]
    assert_close(
        share,
        torch.full((10,), 1 - float(torch.sigmoid(torch.tensor(-4.0)) / torch.sigmoid(torch.tensor(5.0)))).double(),
    )


def test_partial_rank_correlation_holds_what_is_held():
    """A common cause makes two numbers alike; with it held nothing is left. Monotone maps change nothing."""
    random = np.random.default_rng(0)
    held = random.standard_normal(4000)
    a, b = (held + 0.5 * random.standard_normal(4000) for _ in range(2))
    assert abs(partial_rank_correlation(a, b, held)) < 0.1
    assert np.corrcoef(a, b)[0, 1] > 0.7
    free = random.standard_normal(4000)
    assert partial_rank_correlation(a, a + 0.1 * free, free) == pytest.approx(1, abs=0.02)
    same = partial_rank_correlation(np.exp(a), b**3, held)
    assert same == pytest.approx(partial_rank_correlation(a, b, held))
    assert math.isnan(partial_rank_correlation(a[:5], b[:5], held[:5]))
    assert math.isnan(partial_rank_correlation(a, np.ones(4000), held))


def test_replicates_are_units_and_what_a_unit_lacks_is_left_out():
    pairs = [{"a": "base", "b": f"r{i}", "unit_a": "base", "unit_b": f"u{i // 2}"} for i in range(6)]
    units = units_of(pairs)
    table = {"one": {f"r{i}": {"x": float(i)} for i in range(6)}, "other": {"r0": {"x": math.nan}, "r5": {"x": 3.0}}}
    found = over_runs(table, units)
    assert found.x.values.tolist() == [2.5, 3.0]
    assert found.replicates == 3
    half = (found.x_high - found.x)[0].item()
    assert half == pytest.approx(4.302653 * 2 / math.sqrt(3), rel=1e-5)
    assert np.isnan(found.x_low[1])


@pytest.fixture(scope="module")
def runs():
    """A network and three again with some units of hidden_1 redrawn, its layers, and dictionaries of their units."""
    inputs, rows = make_inputs(400), make_rows(400)
    base, found = make_network(WIDTHS), {}
    for i, name in enumerate(("base", "again/0", "again/1", "again/2")):
        network = make_network(WIDTHS)
        network.load_state_dict(base.state_dict())
        if i:
            other = make_network(WIDTHS, seed=i)
            with torch.no_grad():
                network.linear("hidden_1").weight[:4] = other.linear("hidden_1").weight[:4]
        layers = {point: make_layer(network, inputs, rows, point) for point in ("hidden_0", "hidden_1", "hidden_2")}
        found[name] = _Run(name, (2.0, 0.1), layers, {})
    return found


class _Run(MadeRun):
    def dictionaries(self, layer, decomposition):
        facts = {"label": decomposition, "rows": "all", "seed": 0}
        one = neurons(layer)
        return [type(one)(**{**vars(one), "member": facts})]


def spec_of(kind, **options):
    pairs = [
        {
            "a": "base",
            "b": f"again/{i}",
            "kind": "base-retrained",
            "condition": "again",
            "unit_a": "base",
            "unit_b": f"u{i}",
        }
        for i in range(3)
    ]
    return {
        "experiment": "made", "options": {"tolerance": 0.05, "null_draws": 2} | options, "pairs": pairs,
        "hook_points": ["hidden_0", "hidden_1"] if kind == "edges" else ["hidden_1"],
        "decompositions": [{"name": "found", "gauge": "write_out_norm"}],
        "references": {f"again/{i}": ["base"] for i in range(3)} | {"base": ["base"]}, "controls": {},
    }  # fmt: skip


def test_causal_features_of_units_are_told_beside_both_nulls(runs):
    found = causal_features(spec_of("causal"), runs)
    page = found.isel(hook_point=0)
    assert set(page.decomposition.values) == {"found", "units", "class means"}
    # Given dictionaries are the units themselves: two ways to one number.
    for name in ("destroyed", "spill", "bimodality", "splits"):
        one, other = (float(page[name].sel(decomposition=label)) for label in ("found", "units"))
        assert one == pytest.approx(other, nan_ok=True)
    total = page.destroyed + page.between + page.untouched
    assert_close(torch.tensor(total.values), torch.ones(3).double())
    assert {f"splits_{kind}" for kind in ("null", "same_size")} <= set(page.data_vars)
    assert causal_figure.headline(found).startswith("A latent splits")
    causal_figure.draw(page)


def test_class_means_tell_classes_apart_and_units_are_read_as_they_are(runs):
    layer = runs["base"].layers["hidden_1"]
    means, rows = class_means(layer), held_out(layer)
    labels = torch.cat([layer.labels[fold] for fold in FOLDS])
    assert_close(means.directions.norm(dim=1), torch.ones(5).double())
    mean = (rows[labels == 2] - rows.mean(0)).mean(0)
    assert_close(means.directions[2], mean / mean.norm())
    assert_close(neurons(layer).reconstruct(neurons(layer).codes(rows)), rows)


def test_edges_explain_a_linear_layer_wholly_and_the_best_ones_first():
    weight = torch.tensor([[3.0, 0, 0, 0.1], [0, 0.2, 2, 0]]).double()
    rows = gaussian(500, 4)
    left, acting = unexplained(weight, torch.eye(4).double(), rows, rows, rows)
    assert_close(left[:, -1], torch.zeros(2).double(), atol=1e-12, rtol=0)
    assert left[0, 0] == pytest.approx(0.01 / 9.01, rel=0.2)
    assert (left.diff(dim=1) <= 1e-9).all()
    assert acting.tolist() == [[1, 2, 3, 4]] * 2
    assert_close(virtual_weights(weight, torch.eye(4).double()), weight)
    turn = torch.linalg.qr(gaussian(4, 4, seed=1)).Q
    turned, _ = unexplained(weight, turn, rows @ turn.T, rows @ turn.T, rows)
    assert (turned[:, 0] > left[:, 0]).all()
    assert_close(turned[:, -1], left[:, -1], atol=1e-12, rtol=0)


def test_the_number_of_edges_is_read_off_a_curve():
    assert first_below(np.array([0.5, 0.2, 0.1]), 0.5) == 1
    assert first_below(np.array([0.6, 0.2]), 0.4) == pytest.approx(1.5)
    assert first_below(np.array([0.5]), 0.75) == pytest.approx(0.5)
    assert math.isnan(first_below(np.array([0.6, 0.5]), 0.4))
    assert_close(participation(torch.tensor([[1.0, 0, 0], [1, 1, 1]])), torch.tensor([1.0, 3.0]))


def test_what_is_read_of_the_layer_below_is_its_derivative_in_the_gauge(runs):
    """To first order a change of the layer below by a unit in the gauge changes what is read by that row."""
    layers = runs["base"].layers
    below, above = layers["hidden_0"], layers["hidden_1"]
    encoder = gaussian(3, above.units, seed=2)
    reads = mean_reads(above, encoder, below)
    small = 1e-6
    for unit in (0, 3):
        rows = below.activations["match"].clone()
        rows[:, unit] += small
        module = above.model.get_submodule("hidden_1")
        with torch.no_grad():
            read = [
                above.gauge.canonical(module(below.gauge.undo(x))) @ encoder.T
                for x in (rows, below.activations["match"])
            ]
        assert_close((read[0] - read[1]).mean(0) / small, reads[:, unit], atol=1e-4, rtol=1e-3)


def test_weight_sparsity_of_units_in_two_ways_and_turned(runs):
    found = weight_sparsity(spec_of("edges"), runs)
    assert found.hook_point.values.tolist() == ["hidden_1"]
    assert found.below.values.tolist() == ["hidden_0"]
    page = found.isel(hook_point=0)
    assert {"units", "units, turned", "principal axes", "found", "found, turned"} == set(page.basis.values)
    for name in ("edges", "bits"):
        one, other = (float(page[name].sel(basis=label)) for label in ("found", "units"))
        assert one == pytest.approx(other)
    assert float(page.least.sel(basis="units, turned")) == pytest.approx(0, abs=1e-9)
    diagonal = [float(page.between.sel(written=b, reads=b)) for b in page.written.values]
    assert diagonal == pytest.approx([float(page.edges.sel(basis=b)) for b in page.written.values])
    assert sparsity_figure.headline(found).startswith("Edges from hidden_0")
    sparsity_figure.draw(page)
    with pytest.raises(ValueError, match="none reads another; allowed: neighbours"):
        weight_sparsity(spec_of("edges") | {"hook_points": ["hidden_1"]}, runs)


def test_arrangement_of_units_is_orthogonal_and_what_is_read_by_nothing_is_empty(runs):
    spec = spec_of("edges")
    found = arrangement_layers(spec, runs)
    cell = found.sel(hook_point="hidden_0", decomposition="found")
    assert float(cell.rms) == pytest.approx(0, abs=1e-9)
    assert float(cell.in_factors) == 1
    assert float(cell.mean_dimensionality) == pytest.approx(1)
    assert float(cell.rms_isotropic) == pytest.approx(1 / math.sqrt(float(cell.dimensions)), rel=0.5)
    assert float(cell.rms_null) > float(cell.rms_isotropic) * 0.9
    assert (found.empty <= found.dimensions).all()
    assert float(cell.in_factors_planted) == 1
    assert "written" not in found
    assert "in_factors_blurred" not in found
    assert found.cheaper.values == pytest.approx((found.together_equal - found.together).values)
    assert arrangement_figure.headline(found).startswith("4 networks.")
    arrangement_figure.draw(found)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_a_random_subspace_holds_the_variance_that_is_asked_for(count):
    values = torch.linspace(0, 3, 10, dtype=torch.float64).neg().exp()
    # Least and most that so many directions can hold, and what lies between.
    least, most = values[-count:].sum() / values.sum(), values[:count].sum() / values.sum()
    for part in (0.2, 0.5, 0.8):
        share = float(least + part * (most - least))
        axes = of_equal_variance(values, torch.diag(values), count, share, torch.Generator().manual_seed(count))
        assert_close(axes @ axes.T, torch.eye(count, dtype=torch.float64))
        assert float((axes**2 @ values).sum() / values.sum()) == pytest.approx(share, abs=1e-6)


def test_all_of_a_layer_costs_its_worth_and_an_unread_dimension_is_empty(runs):
    layer = runs["base"].layers["hidden_1"]
    numbers = emptiness(layer, layer, 2)
    assert 0 <= numbers["empty"] <= numbers["dimensions"] <= layer.units
    network = make_network(WIDTHS)
    with torch.no_grad():
        network.linear("hidden_2").weight[:, :3] = 0
        network.linear("hidden_2").weight[:, 3:] *= 5
        network.linear("logits").weight *= 5
    inputs, rows = make_inputs(400), make_rows(400)
    plain = make_layer(network, inputs, rows, "hidden_1")
    # What no weight reads has scale 0 in the gauge, so that it holds no variance there either.
    assert emptiness(plain, plain, 2)["dimensions"] <= layer.units - 3
