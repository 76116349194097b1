"""Is every trap what it claims, are the rates counted right, and is the stacked report the one that users get?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from making import marked
from scipy import stats
from torch.testing import assert_close
from workspace import ROOT, Workspace

from homolog.alignment import (
    canonical_correlations,
    linear_cka,
    max_cosine,
    procrustes_similarity,
    pw_mcc,
    shared_fraction,
)
from homolog.alignment.layer import Frames, Layer
from homolog.alignment.nulls import haar_rotation
from homolog.alignment.random_dictionaries import SPECTRAL
from homolog.analyses.comparison import NULL, Fitted
from homolog.analyses.latents import Base, by_latent
from homolog.analyses.traps import codes, naive, report, trained, training, turns, views, workflow, worlds
from homolog.analyses.traps.analysis import FEATURELESS, KINDS, groups_of_worlds, seeds_of, traps
from homolog.analyses.traps.rates import false_share, power, rate
from homolog.analyses.traps.stack import Pair, Runs, Stack
from homolog.comparing.compare import compare
from homolog.config import ConfigError, load_config, parse_config
from homolog.config.analyses import StabilityOptions
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit_members
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import plain_step
from homolog.decompositions.sae.topk import TopK
from homolog.decompositions.samples import InMemory
from homolog.dictionary import quality
from homolog.figures import traps as figure
from homolog.loading import load
from homolog.models.mlp import MLP
from homolog.planning import Plan
from homolog.registry import VIEWS
from homolog.streams import stream

SIZES = worlds.Sizes(repetitions=3, rows=96, units=8, latents=12)
MADE = worlds.NOTHING | worlds.SOMETHING


def made(name: str, sizes: worlds.Sizes = SIZES) -> Pair:
    return runs_of(name, sizes).pair


def runs_of(name: str, sizes: worlds.Sizes) -> Runs:
    return MADE[name](sizes, stream("test", name))


# The report


def decided(pair: Pair, repetition: int, seed: int) -> xr.Dataset:
    return compare(*pair.given(repetition), seed=seed).dataset


def by_side(found: xr.Dataset, name: str, view: str, latents: int) -> np.ndarray:
    """Latents of the first with the second, then the other way round."""
    values = found[name].sel(view=view).values
    return np.concatenate([values[:latents, 1], values[latents:, 0]])


def check_equal(pair: Pair, seeds: list[int], repetitions: list[int]) -> None:
    p, found = report.p_values(pair, np.array(seeds)), report.found(pair, np.array(seeds))
    for repetition in repetitions:
        one = decided(pair, repetition, seeds[repetition])
        assert list(one.view.values) == list(p)
        assert one.attrs["primary"] == views.primary_of(pair)
        for view, values in p.items():
            expected = by_side(one, "p_value", view, pair.a.latents)
            # A null value within rounding of the observed one may fall on either side.
            np.testing.assert_allclose(values[repetition], expected, atol=3 / 2000, rtol=0.02)
            adjusted = by_side(one, "adjusted_p_value", view, pair.a.latents)
            clear = np.abs(np.nan_to_num(adjusted) - 0.05) > 0.01
            assert (found[view][repetition] == (adjusted <= 0.05))[clear].all()


@pytest.mark.parametrize("name", ["dead", marked("outlier")])
def test_the_stacked_report_decides_as_compare_does(name: str) -> None:
    check_equal(made(name, worlds.Sizes(2, 80, 8, 12)), [3, 1], [1])


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_the_stacked_report_decides_as_compare_does_in_every_world(name: str) -> None:
    check_equal(made(name, worlds.Sizes(4, 120, 12, 24)), [3, 1, 4, 15], [0, 2, 3])


@pytest.mark.every
def test_the_stacked_report_decides_as_compare_does_on_top_k_and_on_directions_alone() -> None:
    pair = made("planted", worlds.Sizes(2, 64, 8, 12))

    def as_(activation: str, k: int, encoder_bias: float, projected: bool) -> Pair:
        stacks = [
            Stack(s.directions, s.directions.clone(), encoder_bias * s.encoder_bias, s.bias, activation, k)
            for s in (pair.a, pair.b)
        ]
        return Pair(*stacks, pair.rows_a, pair.rows_b, pair.stable, projected=projected)

    check_equal(as_("topk", 3, 1.0, projected=False), [2, 7], [1])
    alone = as_("identity", 0, 0.0, projected=True)
    check_equal(alone, [2, 7], [0])
    assert views.primary_of(alone) == "neuron"


@pytest.mark.parametrize("name", ["degenerate", "planted", "dead"])
def test_what_is_done_early_is_decided_as_by_all_draws(name: str) -> None:
    pair, seeds = made(name, worlds.Sizes(12, 96, 8, 12)), np.arange(12)
    every = {view: report.discoveries(p) for view, p in report.p_values(pair, seeds).items()}
    for view, found in report.found(pair, seeds).items():
        assert np.array_equal(found, every[view])
    # Some are, and some have discoveries; else nothing was tested.
    assert any(found.any() for found in every.values()) == (name == "planted")


def test_more_latents_than_one_stratum_holds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"40 latents would be sorted into strata.*take fewer"):
        report.p_values(made("independent", worlds.Sizes(1, 96, 8, 40)), np.arange(1))


def test_stacked_rotations_are_those_of_haar_rotation() -> None:
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    gaussian = torch.randn(9, 9, generator=generators[0], dtype=torch.float64)
    torch.testing.assert_close(turns.orthonormal(gaussian), haar_rotation(9, generators[1]))


# The workflow's decisions


def network_of(runs: Runs, run: int, repetition: int) -> MLP:
    """The network around the layer `hidden_0` of one run of one repetition."""
    around = runs.networks[run]
    weights = {"hidden_0": around.into, "hidden_1": around.out, "logits": around.logits}
    network = MLP(around.below.shape[2], worlds.CLASSES, [one.shape[1] for one in (around.into, around.out)])
    with torch.no_grad():
        for name, weight in weights.items():
            network.linear(name).weight.copy_(weight[repetition])
            network.linear(name).bias.zero_()
    return network


def fitted_of(runs: Runs, run: int, repetition: int) -> Fitted:
    """As the workflow holds it."""
    rows, parts = runs.rows[run][repetition].double(), codes.halves(runs.rows[run].shape[1])
    dictionary = runs.stacks[run].one(repetition).to(torch.float64)
    seen = torch.stack([dictionary.codes(rows[index]) for index in parts.values()])
    units, around = rows.shape[1], runs.networks[run] if runs.networks else None
    layer = Layer(
        run=f"run {run}", hook_point="hidden_0",
        activations={fold: rows[index] for fold, index in parts.items()},
        labels={fold: torch.zeros(len(index), dtype=torch.int64) for fold, index in parts.items()},
        covariance=torch.cov(rows.T, correction=0), support=torch.eye(units).double(),
        write_out=None if around is None else around.out[repetition].double(),
        frames=Frames("below", "above", "own" if runs.one_basis else f"own {run}"),
        model=None if around is None else network_of(runs, run, repetition).double(),
        below=None if around is None else {fold: around.below[repetition, i].double() for fold, i in parts.items()},
        scale=torch.ones(units).double(), order=torch.arange(units), input_digest="same",
    )  # fmt: skip
    known = replace(
        dictionary,
        firing_rate=(seen != 0).double().mean(1).mean(0),
        importance=seen.square().mean((0, 1)).sqrt(),
        member={"label": "made", "seed": 0, "rows": "all"},
    )
    return Fitted(layer, "made", {("all", 0): known})


def turns_of(runs: Runs, repetition: int, null: str, draws: int) -> list[torch.Tensor]:
    """The turns that the workflow draws for all runs but the first."""
    drawn = []
    for run in range(1, len(runs.stacks)):
        layer = fitted_of(runs, run, repetition).layer
        streams = [stream(null, layer.run, layer.hook_point, "made", "all", 0, draw) for draw in range(draws)]
        drawn.append(torch.stack([layer.spectrum.rotation(one) for one in streams])[None])
    return drawn


@pytest.mark.parametrize(
    "name",
    [
        "redrawn",
        "planted",
        "untrained",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("one_network", "dead")),
    ],
)
def test_stacked_decisions_over_runs_are_those_of_the_workflow(name: str) -> None:
    runs, draws, repetition = runs_of(name, worlds.Sizes(2, 120, 9, 12, 4)), 12, 1
    every = [f"run {run}" for run in range(4)]
    fitted = {"made": {run: fitted_of(runs, number, repetition) for number, run in enumerate(every)}}
    wanted = workflow.views_of(runs)
    shown = by_latent([Base("made", every[0], every[1:])], fitted, [load(VIEWS[v])() for v in wanted], every, draws)
    one = runs.take(torch.tensor([repetition]))
    by_null = {null: workflow.p_values(one, turns_of(runs, repetition, null, draws)) for null in (SPECTRAL, NULL)}
    for number, view in enumerate(wanted):
        found = by_null[SPECTRAL if view == "score" else NULL][view][0]
        expected = shown.latent_adjusted_p_value.values[0, 0, number]
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=1e-4)
        assert np.isnan(found).sum() == (4 if name == "dead" else 0)
    if name == "planted":
        found = by_null[NULL]["neuron"][0] < 0.05
        assert found[:6].sum() >= 4
        assert not found[6:].any()


def test_runs_and_draws_are_those_of_the_configuration() -> None:
    assert StabilityOptions(name="stability").null_draws == workflow.DRAWS
    (condition,) = load_config(ROOT / "config.yaml").experiments["stability"].conditions.values()
    assert len(condition.seeds) == workflow.RUNS - 1


def test_a_view_of_what_is_around_needs_a_network() -> None:
    runs = runs_of("independent", SIZES)
    side = workflow.Side(runs.stacks[0], codes.codes_of(runs.stacks[0], runs.rows[0]), runs.rows[0], None)
    with pytest.raises(ValueError, match="need the network around"):
        workflow.SIGNATURES["effect"](side)


# The worlds


def test_where_nothing_is_stable_no_latent_has_a_partner_and_where_all_is_all_have() -> None:
    for name in worlds.NOTHING:
        assert bool(made(name).stable.any()) == (name == "duplicates")
    assert made("gauges").stable.all()
    assert made("planted").stable.float().mean() == 0.5


def test_unrelated_directions_are_as_near_as_chance_has_it() -> None:
    """The mean squared cosine of independent directions in d dims is 1/d; a false alarm in 1,000."""
    sizes = worlds.Sizes(400, 32, 8, 12)
    for name in ("independent", "outlier", "few_rows"):
        cosines = naive.Seen(made(name, sizes)).cosine.square().mean((1, 2)).numpy()
        assert abs(cosines.mean() - 1 / 8) < stats.norm.ppf(0.9995) * cosines.std() / np.sqrt(len(cosines))


def test_dead_latents_are_silent_and_equal() -> None:
    pair = made("dead")
    silent = SIZES.latents // 3
    live = naive.Seen(pair).live
    assert not any(one[:, :silent].any() for one in live)
    assert all(one[:, silent:].all() for one in live)
    assert torch.equal(pair.a.directions[:, :silent], pair.b.directions[:, :silent])
    assert not torch.equal(pair.a.directions[:, silent:], pair.b.directions[:, silent:])


def test_copies_are_near_each_other_in_and_between_dictionaries() -> None:
    pair = made("duplicates")
    copies = SIZES.latents // 2
    for a, b in ((pair.a, pair.a), (pair.a, pair.b)):
        cosines = (a.directions @ b.directions.mT)[:, :copies]
        assert cosines[..., :copies].min() > 0.9
        assert cosines[..., copies:].mean().abs() < 0.3


def test_the_spaces_of_equal_singular_values_return_and_their_vectors_do_not() -> None:
    pair = made("degenerate", worlds.Sizes(20, 4000, 9, 9))
    a, b = pair.a.directions[:, :6], pair.b.directions[:, :6]
    overlap = (a @ b.mT).square().sum((1, 2)) / 6
    assert overlap.min() > 0.98
    # Unrelated bases of six dimensions: the mean squared cosine of equal ranks is 1/6.
    assert (a * b).sum(2).square().mean() < 0.35


def test_one_row_lifts_cka_of_what_is_unrelated() -> None:
    pair = made("outlier")
    with_it = linear_cka(pair.rows_a[0], pair.rows_b[0])
    assert with_it.value > 0.9
    assert with_it.largest_row_share > 0.9
    assert linear_cka(pair.rows_a[0, 1:], pair.rows_b[0, 1:]).value < 0.4


def test_a_gauge_changes_no_code() -> None:
    pair = made("gauges")
    a, b = naive.Seen(pair).codes
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(pair.a.directions, pair.b.directions)


def test_untrained_networks_read_the_same_inputs_with_weights_of_their_own() -> None:
    pair = made("untrained")
    assert linear_cka(pair.rows_a[0], pair.rows_b[0]).value > 0.3
    assert not pair.one_basis


@pytest.fixture(scope="module")
def spec() -> dict:
    """What a job gets: the tiny configuration's, with few repetitions."""
    plan = Plan(load_config(ROOT / "tests" / "tiny.yaml"))
    job: dict = json.loads(plan.spec("analyse", experiment="traps"))
    # Enough to leave a start, and no more: shapes are checked at every step.
    job["autoencoder"]["options"]["steps"] = 40
    return job


@pytest.mark.every
def test_a_shared_start_is_shared_and_hardly_left(spec) -> None:
    sizes = worlds.Sizes(2, 96, 8, 12)
    pairs = {}
    for name in ("gaussian", "shared_start"):
        world = (trained.NOTHING | trained.ARGUABLE)[name](sizes, stream("test", name))
        pairs[name] = trained.train(world, sizes, spec["autoencoder"], name).pair
    same = (pairs["shared_start"].a.directions * pairs["shared_start"].b.directions).sum(2)
    assert same.min() > 0.97
    assert not torch.equal(pairs["shared_start"].a.directions, pairs["shared_start"].b.directions)
    assert (pairs["gaussian"].a.directions * pairs["gaussian"].b.directions).sum(2).abs().mean() < 0.6
    # That is told by `compare`, and of what was trained it isn't.
    for name, told in (("shared_start", 2), ("gaussian", 0)):
        said = decided(pairs[name], 0, 0).attrs["warnings"]
        assert said.count("hardly left their start") == told
    # Each repetition has rows and seeds of its own.
    assert len({float(rows[0, 0]) for rows in pairs["gaussian"].rows_a}) == 2
    assert len({float(one[0, 0]) for one in pairs["gaussian"].a.directions}) == 2


@pytest.mark.parametrize("k_start", [None, 6])
def test_stacked_training_takes_the_steps_of_the_projects_trainer(spec, k_start: int | None) -> None:
    options = spec["autoencoder"]["options"] | {"n_latents": 12, "k_start": k_start}
    data = torch.randn(3, 256, 8, generator=stream("test", "data")) * worlds.falling(8)
    members = [
        Member(options, seed, "all", InMemory(one), None, ("test", i)) for i, one in enumerate(data) for seed in (0, 1)
    ]
    plain, stacked = (initialise(TopK(), members) for _ in range(2))
    for number in range(options["steps"]):
        x = torch.randn(6, 32, 8, generator=stream("test", number)) * worlds.falling(8) * plain.scale[:, None, None]
        plain_step(TopK(), plain, x)
        training.step(TopK(), stacked, x.mT.contiguous())
        plain.step, stacked.step = number + 1, number + 1
    for name, value in plain.parameters.items():
        assert_close(stacked.parameters[name], value, atol=1e-5, rtol=1e-5)
        assert (value - initialise(TopK(), members).parameters[name]).abs().max() > 0.05


def test_autoencoders_are_trained_each_on_its_own_data_and_in_the_scale_of_these(spec) -> None:
    """As good as the project's own on rows that neither has seen, whatever the data's scale and mean."""
    options = spec["autoencoder"]["options"] | {"n_latents": 12, "steps": 150}
    factor = torch.tensor([1.0, 50.0])[:, None, None]
    rows = (torch.randn(2, 1512, 8, generator=stream("test", "rows")) * worlds.falling(8) + 1) * factor
    data, unseen = rows[:, :1000], rows[:, 1000:]
    target = spec["autoencoder"]["target"]
    first, other = training.train({"target": target, "options": options}, data, [0, 1], ("test",), stream("test"))
    assert not torch.allclose(first.directions, other.directions)
    own = fit_members(
        target, [Member(options, 0, "all", InMemory(one), None, ("test", i)) for i, one in enumerate(data)]
    )
    for repetition, dictionary in enumerate(own):
        expected = quality(dictionary, [unseen[repetition]], unseen[repetition].double().mean(0)).fvu
        assert float(training.unexplained(first, unseen)[repetition]) == pytest.approx(expected, rel=0.25)
        same = quality(first.one(repetition), [unseen[repetition]], unseen[repetition].double().mean(0)).fvu
        assert float(training.unexplained(first, unseen)[repetition]) == pytest.approx(same, rel=1e-3)


def test_options_that_stacked_training_does_not_know_are_refused(spec) -> None:
    wrong = {"options": spec["autoencoder"]["options"] | {"dead": "auxk"}}
    with pytest.raises(ValueError, match="dead = 'none' only, but it is 'auxk'"):
        training.train(spec["autoencoder"] | wrong, torch.zeros(1, 9, 8), [0], (), stream("test"))


def test_a_square_has_corners_a_disc_has_none_and_both_lie_in_a_plane() -> None:
    sizes = worlds.Sizes(3, 4000, 8, 12)
    longest = {}
    for name in ("square", "disc"):
        rows = trained.NOTHING[name](sizes, stream("test", name)).sample(4000, stream("test", "rows"))
        variances = torch.linalg.eigvalsh(rows.mT @ rows / 4000)
        # Variance of one coordinate of the square, 1/3, with 6 standard errors; that of the noise outside the plane.
        assert_close(variances[:, 6:], torch.full((3, 2), 1 / 3), atol=0.035, rtol=0)
        assert variances[:, :6].max() < 0.004
        longest[name] = float(rows.norm(dim=2).quantile(0.999))
    assert longest["square"] > 1.3
    # The radius of a disc of that variance is 2 / sqrt(3).
    assert longest["disc"] < 1.3


def test_three_planted_features_are_on_and_half_of_them_only_beside_another() -> None:
    world = trained.sparse_pairs(worlds.Sizes(1, 96, 12, 24), stream("test", "pairs"), 3)
    assert world.features is not None
    on = (world.sample(2000, stream("test", "rows")) @ world.features.mT > 0.25)[0]
    assert (on.sum(1) == trained.TRUE_L0).all()
    assert not (on[:, 6:] & ~on[:, :6]).any()
    # Each of the first half in a third of the rows, of the second in a sixth: 4 standard errors.
    assert_close(on.double().mean(0), torch.tensor([1 / 3] * 6 + [1 / 6] * 6).double(), atol=0.042, rtol=0)


def test_a_true_latent_is_a_planted_feature_and_of_its_sign() -> None:
    features = worlds.unit(torch.randn(16, 12, generator=stream("test", "features")))
    same, turned = (
        Stack(d[None], d[None], torch.zeros(1, 16), torch.zeros(1, 12)) for d in (features.flip(0), -features)
    )
    assert trained.true_latents(same, features[None]).all()
    assert not trained.true_latents(turned, features[None]).any()


# The usual measures


def test_usual_measures_are_those_of_the_library() -> None:
    pair = made("planted", worlds.Sizes(3, 200, 8, 12))
    seen = naive.Seen(pair)
    a, b = (codes.mT for codes in seen.codes)
    for repetition in range(3):
        one, other = pair.a.directions[repetition], pair.b.directions[repetition]
        codes = a[repetition], b[repetition]
        expected = {
            "mmcs": (max_cosine(one, other).value + max_cosine(other, one).value) / 2,
            "pw_mcc": pw_mcc(one, other, signed=True).value,
            "cka": linear_cka(*codes).value,
            "cca": float(canonical_correlations(*codes).mean()),
            "procrustes": procrustes_similarity(*codes),
        }
        found = {name: float(measure(seen)[repetition]) for name, measure in naive.AS_A_WHOLE.items()}
        assert found == pytest.approx(expected, abs=1e-5)
    shared = naive.shared_fraction(seen)[0, :12].double().mean()
    stacks = [(stack.encoder[0], stack.directions[0]) for stack in (pair.a, pair.b)]
    assert float(shared) == pytest.approx(shared_fraction(*stacks).value)


def test_the_isotropic_null_holds_for_isotropic_directions() -> None:
    """Nothing is stable: a discovery in at most 5 % of repetitions; a false alarm in 1,000."""
    pair = made("independent", worlds.Sizes(1500, 8, 8, 12))
    wrong = naive.isotropic_null(naive.Seen(pair)).any(1).sum().item()
    assert stats.binom.sf(wrong - 1, 1500, 0.05) > 1e-3


# The rates


@pytest.mark.parametrize(("ones", "n"), [(0, 20), (20, 20), (3, 40), (50, 1000)])
def test_bounds_of_right_or_wrong_are_exact(ones: int, n: int) -> None:
    found = rate(np.repeat([1.0, 0.0], [ones, n - ones]))
    assert found.mean == ones / n
    if ones:
        assert stats.binom.sf(ones - 1, n, found.low) == pytest.approx(0.05)
    if ones < n:
        assert stats.binom.cdf(ones, n, found.high) == pytest.approx(0.05)
    assert rate(np.zeros(20)).high == pytest.approx(1 - 0.05 ** (1 / 20))


def test_bounds_of_shares_hold_for_shares_and_are_wider_than_exact_ones() -> None:
    generator = np.random.default_rng(0)
    held = [rate(generator.beta(1, 9, 100)) for _ in range(300)]
    assert all(one.low <= 0.1 <= one.high for one in held)
    shares = np.array([0.5] * 2 + [0.0] * 38 + [1.0])
    exact = rate(np.array([1.0] * 2 + [0.0] * 39))
    assert rate(shares).low < exact.low
    assert rate(shares).high > exact.high
    # Hoeffding: exp(-n KL(mean, bound)) = 5 % at both bounds.
    mean, n = rate(shares).mean, len(shares)
    for bound in rate(shares)[1:]:
        divergence = mean * np.log(mean / bound) + (1 - mean) * np.log((1 - mean) / (1 - bound))
        assert np.exp(-n * divergence) == pytest.approx(0.05)


def test_a_rate_of_nothing_is_unknown_and_one_outside_is_refused() -> None:
    assert all(np.isnan(rate(np.array([np.nan]))))
    with pytest.raises(ValueError, match="between 0 and 1"):
        rate(np.array([1.5]))
    with pytest.raises(ValueError, match="confidence"):
        rate(np.array([0.5]), confidence=1.0)


def test_false_and_missed_discoveries_are_counted() -> None:
    found = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    true = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    assert false_share(found, true).tolist() == [0.5, 0.0, 1.0]
    np.testing.assert_array_equal(power(found, true), [0.5, 0.0, np.nan])


# The config


def problems_of(experiment: dict) -> list[str]:
    mapping = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())
    mapping["experiments"]["traps"] = experiment
    with pytest.raises(ConfigError) as caught:
        parse_config(mapping)
    return caught.value.problems


def test_an_experiment_without_runs_takes_none_and_one_with_runs_needs_them() -> None:
    worlds_alone = {"analysis": {"name": "traps"}, "figure": "traps"}
    (said,) = problems_of(worlds_alone | {"hook_points": ["hidden_1"]})
    assert "experiments.traps.hook_points: unknown key; allowed here: analysis, figure, decompositions" in said
    (said,) = problems_of(worlds_alone | {"figure": "stability"})
    assert "figure: stability, which doesn't draw what traps finds; allowed: traps" in said
    assert any(
        "conditions: missing" in line for line in problems_of({"analysis": {"name": "stability"}, "figure": "traps"})
    )
    (said,) = problems_of(worlds_alone | {"analysis": {"name": "traps", "repetitions": 0}})
    assert "repetitions: 0; allowed: a whole number of at least 1" in said


def test_the_figure_of_worlds_draws_no_runs() -> None:
    mapping = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())
    mapping["experiments"]["stability"]["figure"] = "traps"
    with pytest.raises(
        ConfigError, match=r"figure: traps, which doesn't draw what stability finds; allowed: stability, widening"
    ):
        parse_config(mapping)


# The whole


@pytest.fixture(scope="module")
def dataset(spec) -> xr.Dataset:
    options = {"repetitions": 2}
    few = spec["autoencoder"] | {"options": spec["autoencoder"]["options"] | {"steps": 4}}
    return traps(spec | {"options": options, "autoencoder": few}, {})


def test_every_world_and_measure_has_its_place(dataset) -> None:
    assert list(dataset.world.values) == list(groups_of_worlds())
    assert set(dataset.world.values) == {*MADE, *trained.NOTHING, *trained.ARGUABLE, *FEATURELESS}
    assert list(dataset.measure.values) == list(KINDS)
    nothing = dataset.isel(world=np.flatnonzero(np.isin(dataset.group.values, ["nothing", "trained"])))
    for measure, repetitions in (("score", 2), ("workflow_score", 1), ("cka", 2)):
        assert (nothing.repetitions.sel(measure=measure) == repetitions).all()
        assert nothing.fdr.sel(measure=measure).notnull().all()
    assert dataset.fvu.notnull().sum() == len({*trained.NOTHING, *trained.ARGUABLE, *FEATURELESS})
    around = dataset.called.sel(measure=["workflow_write_out", "workflow_read_in", "workflow_effect"]).notnull()
    assert set(dataset.world.values[around.all("measure").values]) == {"one_network", "redrawn"}
    assert nothing.power.isnull().all()
    assert dataset.power.sel(world=["planted", "gauges"], measure="score").notnull().all()
    assert ((dataset.fdr_low <= dataset.fdr) | dataset.fdr.isnull()).all()


def test_no_two_repetitions_share_a_seed_of_the_null() -> None:
    seeds = np.concatenate([seeds_of(world, 1000) for world in range(30)])
    assert len(np.unique(seeds)) == len(seeds)


def test_the_figure_says_and_draws_what_was_found(dataset) -> None:
    page = figure.REPORT.pages(dataset)[0]
    said = figure.headline(page.expand_dims("hook_point"))
    assert "Tested at 5% in 13 worlds" in said
    wrong = dataset.copy(deep=True)
    for measure, where in (("score", "square"), ("neuron", "disc"), ("workflow_neuron", "disc")):
        wrong.fdr_low.loc[{"world": where, "measure": measure}] = 0.5
    told = figure.headline(wrong)
    assert "homolog.compare (view score) is fooled by points of a square" in told
    assert "Their other views can be: neuron by points of a disc (" in told
    assert "neuron of the workflow by points of a disc (" in told
    drawn = figure.draw(page)
    drawn.canvas.draw()
    texts = {text.get_text() for axes in drawn.axes for text in axes.texts}
    assert "100" in texts
    table = figure.REPORT.table(dataset)
    assert len(table) == int(dataset.called.notnull().sum())
    assert "MMCS above 0.7" in figure.REPORT.summary(dataset, said)
    assert len(figure.REPORT.runs_table(dataset)) == dataset.sizes["world"]


@pytest.mark.slow
def test_the_report_is_not_fooled_where_nothing_is_stable_and_the_usual_measures_are() -> None:
    """300 repetitions: the lower bound is above 5 % by chance in at most one world of twenty."""
    sizes = worlds.Sizes(300, 120, 12, 24)
    fooled = {}
    for index, name in enumerate(worlds.NOTHING):
        pair = made(name, sizes)
        if pair.copies:
            continue
        fooled[name] = rate(report.found(pair, seeds_of(index, 300))["score"].any(1).astype(float))
        assert naive.correlation_test(naive.Seen(pair)).any(1).all()
    assert all(one.low < 0.05 for one in fooled.values()), fooled


@pytest.mark.slow
def test_directions_in_a_plane_are_not_called_stable_where_the_mean_is_held(spec) -> None:
    """A disc has no direction of its own. With the rest of the plane turned into the noise 16 % of pairs have some."""
    sizes = worlds.Sizes(150, 240, 12, 24)
    autoencoder = spec["autoencoder"] | {"options": spec["autoencoder"]["options"] | {"steps": 250}}
    pair = trained.train(trained.disc(sizes, stream("test", "disc")), sizes, autoencoder, "disc").pair
    found = report.found(pair, seeds_of(0, 150))
    assert all(rate(one.any(1).astype(float)).low < 0.05 for one in found.values())


@pytest.mark.slow
def test_the_workflow_builds_the_traps(tmp_path) -> None:
    workspace = Workspace.fresh(tmp_path)
    workspace.build("--cores", "1", "traps")
    assert (workspace.results / "figures" / "traps.pdf").exists()
    assert not (workspace.results / "figures" / "traps" / "training.pdf").exists()
    assert xr.load_dataset(workspace.results / "experiments" / "traps" / "traps.nc").sizes["world"] > 10
    assert workspace.planned("traps") == set()
