"""Is each number of the analysis what its definition says: same design everywhere, right runs, right sums?"""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from making import gaussian
from planted import (
    LATENTS,
    PAIRS,
    RETRAINED,
    SAMPLES,
    SEVERAL,
    UNITS,
    codes_of,
    fitted,
    make_members,
    make_pair,
    make_run,
    make_runs,
    reading,
    spec_of,
)
from scipy import stats
from scipy.optimize import linear_sum_assignment

from homolog.analyses.admission import acceptance
from homolog.analyses.comparison import CONDITIONAL, NULL, compare, refits, same_members
from homolog.analyses.stability import stability
from homolog.analyses.summary import EXPLAINING, ROLES, summarise
from homolog.config import parse_config
from homolog.config.reading import load_config
from homolog.loading import load
from homolog.planning import Plan
from homolog.planning.runs import parent
from homolog.registry import VIEWS

ROOT = Path(__file__).parent.parent


def view_of(name):
    return load(VIEWS[name])()


# The design


def with_seeds(*seeds):
    return fitted(make_run("a", codes_of(0), {"planted": make_members(0.1, seeds)}))


def test_other_half_always():
    one = with_seeds(0)
    assert refits(one, one) == [(("a", 0), ("b", 0)), (("b", 0), ("a", 0))]


@pytest.mark.parametrize(("own", "other"), [((0, 1, 2), (0, 1, 2)), ((0, 1), (1, 2)), ((0,), (0, 1))])
def test_other_seed_too_where_there_are_several(own, other):
    pairs = refits(with_seeds(*own), with_seeds(*other))
    assert len(set(pairs)) == len(pairs) == 2 * sum(s != t for s in own for t in other)
    for (rows_a, s), (rows_b, t) in pairs:
        assert {rows_a, rows_b} == {"a", "b"}
        assert s != t


def test_observed_and_ceiling_have_one_design():
    """Between two runs and within one: so that only the run differs."""
    a, b = with_seeds(0, 1, 2), with_seeds(0, 1, 2)
    assert refits(a, b) == refits(a, a) == refits(b, b)


def test_the_gauge_control_compares_namesakes_on_all_rows():
    one = with_seeds(0, 1)
    assert same_members(one, one) == [(("all", 0), ("all", 0)), (("all", 1), ("all", 1))]


# One comparison


def test_compare_is_the_mean_over_refits_of_correlations_matched_and_scored_apart():
    a, b = (
        fitted(make_run("a", codes_of(0))),
        fitted(make_run("b", codes_of(1), {"planted": make_members(0.3, seed=5)})),
    )
    found = compare(view_of("score"), a, b, refits(a, b), ["rank", "hungarian", "best_a_to_b"], LATENTS)
    ranks, matched, best = [], [], []
    for own, other in (("a", "b"), ("b", "a")):
        d, e = a.members[own, 0], b.members[other, 0]
        match, score = (
            np.abs(np.corrcoef(d.codes(a.layer.activations[fold]).T, e.codes(b.layer.activations[fold]).T)[:4, 4:])
            for fold in ("match", "score")
        )
        ranks.append(np.diag(score))
        matched.append(score[linear_sum_assignment(-match)].mean())
        best.append(score[np.arange(4), match.argmax(1)].mean())
    expected = [np.mean(ranks), np.mean(matched), np.mean(best)]
    assert found.by_matching == pytest.approx(expected)
    assert found.by_rank == pytest.approx(np.mean(ranks, axis=0))


def test_a_view_without_a_meaning_and_a_pair_without_members_are_nan():
    a, wide = fitted(make_run("a", codes_of(0))), fitted(make_run("b", gaussian(SAMPLES, UNITS + 1)))
    undefined = compare(view_of("neuron"), a, wide, refits(a, wide), SEVERAL, 6)
    nothing = compare(view_of("score"), a, a, [], SEVERAL, 6)
    geometric = compare(view_of("write_out"), a, a, refits(a, a), SEVERAL, 6, CONDITIONAL)
    for found in (undefined, nothing, geometric):
        assert np.isnan(found.by_matching).all()
        assert np.isnan(found.by_rank).all()
        assert found.by_rank.shape == (6,)


def test_rank_is_for_ordered_methods_only():
    unordered = {"planted": make_members(0.1, ordered=False, signed=True)}
    a = fitted(make_run("a", codes_of(0), unordered))
    found = compare(view_of("score"), a, a, refits(a, a), SEVERAL, LATENTS)
    assert isnan(found.by_matching[SEVERAL.index("rank")])
    assert np.isfinite(np.delete(found.by_matching, SEVERAL.index("rank"))).all()
    assert np.isnan(found.by_rank).all()


def test_signs_count_where_they_mean_something():
    flipped = [replace(d, encoder=-d.encoder, directions=-d.directions) for d in make_members(0.05)]
    for signed, expected in ((True, -1), (False, 1)):
        a, b = (
            fitted(make_run(n, codes_of(0), {"planted": [replace(d, signed=signed) for d in members]}))
            for n, members in (("a", make_members(0.05)), ("b", flipped))
        )
        found = compare(view_of("score"), a, b, refits(a, b), ["rank"], LATENTS)
        assert found.by_matching[0] * expected > 0.9


def test_dead_latents_are_left_out():
    """A latent that is off in one fold compares nothing; the others are scored as if it were not there."""
    members = make_members(0.1)
    dead = [
        replace(d, activation="topk", k=LATENTS, encoder_bias=torch.tensor([0, 0, -1e6, 0]).double()) for d in members
    ]
    kept = [0, 1, 3]
    without = [replace(d, k=3, **{n: getattr(d, n)[kept] for n in FIELDS}) for d in dead]
    found = []
    for chosen in (dead, without):
        a = fitted(make_run("a", codes_of(0), {"planted": chosen}))
        found.append(compare(view_of("score"), a, a, refits(a, a), ["hungarian", "best"], LATENTS).by_matching)
    assert found[0] == pytest.approx(found[1])
    assert fitted(make_run("a", codes_of(0), {"planted": dead})).seen(view_of("score"), ("a", 0)).tolist() == [
        True,
        True,
        False,
        True,
    ]


FIELDS = ("directions", "encoder", "encoder_bias", "firing_rate", "importance")


def test_null_draws_are_spread_over_the_refits_and_repeat():
    a = fitted(make_run("a", codes_of(0)))
    first, again = (compare(view_of("score"), a, a, refits(a, a), SEVERAL, LATENTS, NULL, 10) for _ in range(2))
    assert first.by_matching == pytest.approx(again.by_matching, abs=0)
    assert len({draw for _, _, kind, draw in a._cache if kind == NULL}) == 5
    # |r| of 400 shuffled inputs has mean 0.040 and sd 0.030; by rank over 40 of them: a false alarm in 10^6.
    assert abs(first.by_matching[SEVERAL.index("rank")] - 0.04) < 5 * 0.03 / 40**0.5


# An experiment


def test_identical_runs_reach_the_ceiling_exactly():
    found = stability(spec_of(), make_runs())
    assert (found.sizes["pair"], found.sizes["comparison"]) == (10, 2)
    for matching in SEVERAL:
        cell = found.sel(view="score", matching=matching, decomposition="planted").isel(hook_point=0)
        assert cell.observed_mean.values == pytest.approx(cell.ceiling.values, abs=1e-12)
        assert cell.excess.values == pytest.approx([1, 1], abs=1e-12)
        assert cell.observed.values == pytest.approx(float(cell.observed[0]), abs=1e-12)
        assert float(cell.gauge) == pytest.approx(1)
    assert found.accepted.all()


def test_runs_that_share_nothing_stand_at_the_null():
    """Independent activations: the excess is 0 up to chance."""
    found = stability(spec_of(), make_runs(lambda i: codes_of(i)))
    cell = found.sel(view="score", matching="hungarian", decomposition="planted").isel(hook_point=0, comparison=0)
    # A pair's mean over 4 latents and 2 refits of |r| of 400 inputs has sd 0.03 / 2; the mean over 4 pairs that share a
    # run under 0.015; the scale is over 0.6: five of them.
    assert abs(float(cell.excess)) < 5 * 0.015 / 0.6
    assert float(cell.reliability) > 0.6
    assert float(cell.observed_low) < float(cell.null) + 0.05


def test_what_returns_in_part_lies_between():
    """Half of the latents are shared and the others independent: the excess is one half, up to chance and matching."""

    def half(i):
        return torch.cat([codes_of(0)[:, :2], codes_of(i)[:, 2:]], 1)

    members = [reading(torch.eye(LATENTS, UNITS).double(), rows=rows) for rows in ("all", "a", "b")]
    found = stability(spec_of(), make_runs(half, lambda i: {"planted": members}))
    cell = found.sel(view="score", matching="rank", decomposition="planted").isel(hook_point=0, comparison=0)
    assert float(cell.ceiling) == pytest.approx(1)
    assert float(cell.excess) == pytest.approx(0.5, abs=0.05)
    ranks = found.observed_by_rank.sel(view="score", decomposition="planted").isel(hook_point=0, comparison=0)
    assert ranks.values[:2] == pytest.approx([1, 1])
    # |r| of 400 independent inputs, 8 of them: five sd above the mean.
    assert (ranks.values[2:] < 0.04 + 5 * 0.03 / 8**0.5).all()


@pytest.fixture(scope="module")
def mixed():
    """Runs that differ, one of them rejected."""

    def codes(i):
        return codes_of(0) + (0.3 + 0.1 * i) * codes_of(i)

    def members(i):
        return {"planted": make_members(0.3, seed=i), "sparse": make_members(0.3, (0, 1), "sparse", i, ordered=False)}

    losses = {RETRAINED[2]: (2.0, 0.3)}
    spec = spec_of(names=("planted", "sparse"))
    return stability(spec, make_runs(codes, members, losses))


def test_a_rejected_run_is_listed_and_leaves_the_summaries(mixed):
    assert dict(zip(mixed.run.values, mixed.accepted_run.values, strict=True)) == {
        run: run != RETRAINED[2] for run in RETRAINED
    }
    touched = (mixed.run_a == RETRAINED[2]) | (mixed.run_b == RETRAINED[2])
    assert (mixed.accepted == ~touched).all()
    assert mixed.n_pairs.isel(hook_point=0).values.tolist() == [4, 6]
    assert mixed.n_accepted_pairs.isel(hook_point=0).values.tolist() == [3, 3]
    # It is still there by pair.
    assert mixed.observed.sel(view="score", matching="best").isel(hook_point=0).notnull().all()


def by_pair(dataset, role, kind, **where):
    chosen = dataset["observed" if role == "observed" else f"{role}_by_pair"].isel(hook_point=0).sel(**where)
    mask = (dataset.kind == kind).values & dataset.accepted.values
    return chosen.transpose("pair").values[mask], dataset.run_a.values[mask], dataset.run_b.values[mask]


def jackknife(statistic, units, n_pairs):
    """Delete one unit, all its pairs: estimate and half width, by the definition."""
    names = list(dict.fromkeys(x for pair in units for x in pair))
    every = list(range(n_pairs))
    left = {u: [p for p in every if u not in units[p]] for u in names}
    replicates = [u for u in names if left[u]]
    n, theta = len(replicates), statistic(every)
    pseudo = [n * theta - (n - 1) * statistic(left[u]) for u in replicates]
    error = np.std(pseudo, ddof=1) / n**0.5
    return theta, error, stats.t.ppf(0.975, n - 1) * error


@pytest.mark.parametrize("kind", ["base-retrained", "retrained-retrained"])
@pytest.mark.parametrize("matching", ["hungarian", "best"])
@pytest.mark.parametrize("name", ["planted", "sparse"])
def test_summaries_recomputed_by_hand(mixed, name, kind, matching):
    where = {"decomposition": name, "view": "score", "matching": matching}
    values = {role: by_pair(mixed, role, kind, **where)[0] for role in ROLES}
    _, a, b = by_pair(mixed, "observed", kind, **where)
    units = list(zip(a, b, strict=True))
    cell = mixed.isel(hook_point=0).sel(**where, comparison=f"retrained/{kind}")
    for role in ROLES:
        expected = np.mean(values[role])
        assert float(cell["observed_mean" if role == "observed" else role]) == pytest.approx(expected, nan_ok=True)
        theta, _, half = jackknife(lambda p, role=role: values[role][p].mean(), units, len(units))
        bounds = [float(cell[f"{role}_{side}"]) for side in ("low", "high")]
        # On Fisher's z scale: the derivative of atanh is 1 / (1 - theta^2).
        expected = [np.tanh(np.arctanh(theta) + sign * half / (1 - theta**2)) for sign in (-1, 1)]
        assert bounds == pytest.approx(expected, nan_ok=True)
    reliability, error, _ = jackknife(lambda p: (values["ceiling"] - values["null"])[p].mean(), units, len(units))
    assert float(cell.reliability) == pytest.approx(reliability)
    assert float(cell.reliability_error) == pytest.approx(error)
    assert reliability > 2 * error

    def share(p):
        o, n, c = (values[role][p].mean() for role in ("observed", "null", "ceiling"))
        return (o - n) / (c - n)

    def above(p):
        known = [role for role in EXPLAINING if not np.isnan(values[role]).any()]
        return values["observed"][p].mean() - max(values[role][p].mean() for role in known)

    theta, _, half = jackknife(above, units, len(units))
    assert float(cell.left) == pytest.approx(theta)
    observed = np.mean(values["observed"])
    expected = [np.tanh(np.arctanh(observed) + sign * half / (1 - observed**2)) for sign in (-1, 1)]
    assert [float(cell.left_low), float(cell.left_high)] == pytest.approx([b - observed + theta for b in expected])

    theta, _, half = jackknife(share, units, len(units))
    assert float(cell.excess) == pytest.approx(theta)
    assert float(cell.excess_low) == pytest.approx(theta - half)
    assert float(cell.excess_high) == pytest.approx(theta + half)


def test_ceiling_of_a_pair_is_the_mean_of_its_runs_own(mixed):
    where = {"decomposition": "planted", "view": "score", "matching": "best"}
    own = {}
    for i, run in enumerate(["base", *RETRAINED]):
        made = fitted(
            make_run(run, codes_of(0) + (0.3 + 0.1 * i) * codes_of(i), {"planted": make_members(0.3, seed=i)})
        )
        own[run] = compare(view_of("score"), made, made, refits(made, made), ["best"], LATENTS).by_matching[0]
    ceiling = mixed.ceiling_by_pair.isel(hook_point=0).sel(**where)
    expected = [(own[a] + own[b]) / 2 for a, b in zip(mixed.run_a.values, mixed.run_b.values, strict=True)]
    assert ceiling.values == pytest.approx(expected)


def test_number_contract(mixed):
    """What issue 2 promises of results/experiments/stability/stability.nc, further dims allowed."""
    assert {"decomposition", "view", "matching", "pair"} <= set(mixed.observed.dims)
    assert {"run_a", "run_b", "kind", "accepted"} <= set(mixed.coords)
    names = ("null", "conditional_null", "ceiling", "initial", "reliability", "excess", "observed_low", "observed_high")
    for name in names:
        assert {"decomposition", "view", "matching"} <= set(mixed[name].dims)
        assert "pair" not in mixed[name].dims
    geometric = mixed.conditional_null.sel(view=["write_out", "neuron"])
    assert geometric.isnull().all()
    assert mixed.conditional_null.sel(view="score", matching="best").notnull().all()
    assert mixed.observed.sel(matching="rank", decomposition="sparse").isnull().all()
    assert mixed.observed.sel(matching="rank", decomposition="planted").notnull().all()


def test_identified_needs_every_pair(mixed):
    """The made runs share both neighbours and differ in their own weights."""
    flags = mixed.identified.isel(hook_point=0, comparison=0)
    assert flags.to_series().to_dict() == {"score": True, "write_out": True, "neuron": False}


def test_one_pair_without_a_common_basis_is_enough_to_be_not_identified():
    pairs = [make_pair("base", run) for run in RETRAINED[:3]]
    for flags, expected in (([True] * 3, True), ([True, False, True], False), ([False] * 3, False)):
        found = measured([0.5, 0.5, 0.5]).assign(identified_pair=(("pair", "view"), [[flag] for flag in flags]))
        assert bool(summarise(found, pairs).identified.item()) == expected


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_retrainings_there_is_no_interval_and_no_excess(n):
    retrained = RETRAINED[:n]
    pairs = [make_pair("base", run) for run in retrained]
    found = stability(spec_of(pairs, retrained), make_runs(retrained=retrained))
    cell = found.sel(view="score", matching="hungarian").isel(hook_point=0)
    for name in ("observed_low", "observed_high", "excess", "excess_low", "excess_high"):
        assert cell[name].isnull().all()
    assert cell.observed_mean.notnull().all()


def test_with_no_run_accepted_nothing_is_claimed():
    losses = dict.fromkeys(RETRAINED, (2.0, 1.9))
    found = stability(spec_of(), make_runs(losses=losses))
    assert not found.accepted.any()
    assert found.observed_mean.isnull().all()
    assert found.excess.isnull().all()
    assert found.observed.sel(view="score", matching="best").notnull().all()


def test_nested_retrainings_have_the_base_as_their_unit():
    """Three bases that differ, retrainings that repeat their base: the interval is that of three values."""
    offsets = np.array([0.2, 0.5, 0.8]).repeat(3)
    pairs = [
        make_pair(f"base_{i // 3}", f"run_{i}", unit_a=f"base_{i // 3}", unit_b=f"base_{i // 3}") for i in range(9)
    ]
    summary = summarise(measured(offsets), pairs).isel(comparison=0).squeeze()
    half = stats.t.ppf(0.975, 2) * np.std([0.2, 0.5, 0.8], ddof=1) / 3**0.5
    width = np.arctanh(float(summary.observed_high)) - np.arctanh(float(summary.observed_low))
    assert width == pytest.approx(2 * half / (1 - 0.5**2))


def measured(observed):
    """What `_measure` gives, for one decomposition, view and matching, with a null of 0 and a ceiling of 1."""
    cell = ("decomposition", "view", "pair")
    constant = dict.fromkeys(ROLES, nan) | {"observed": np.asarray(observed), "ceiling": 1.0, "null": 0.0}
    arrays = {role: np.broadcast_to(value, len(observed)).reshape(1, 1, -1, 1) for role, value in constant.items()}
    variables = {f"{role}_by_pair": ((*cell, "matching"), array) for role, array in arrays.items()}
    variables |= {f"{role}_by_pair_and_rank": ((*cell, "rank"), array) for role, array in arrays.items()}
    variables["ordered"] = ("decomposition", [True])
    variables["identified_pair"] = (("pair", "view"), np.ones((len(observed), 1), bool))
    coordinates = {"decomposition": ["planted"], "view": ["score"], "matching": ["best"]}
    return xr.Dataset(variables, coordinates | {"accepted": ("pair", np.ones(len(observed), bool))})


def test_planning_names_the_base_where_there_are_several_and_the_run_where_there_is_one():
    config = load_config(ROOT / "config.yaml")
    plan = Plan(config)
    for pair in plan.experiment("stability").pairs:
        assert (pair.unit_a, pair.unit_b) == (str(pair.a), str(pair.b))
    for pair in plan.experiment("bases").pairs:
        if pair.kind == "independent":
            assert (pair.unit_a, pair.unit_b) == (str(pair.a), str(pair.b))
        else:
            bases = [str(parent(config, run) or run) for run in (pair.a, pair.b)]
            assert [pair.unit_a, pair.unit_b] == bases
            assert bases[0] == bases[1]


def test_planning_pairs_base_with_retrained_and_retrained_with_each_other():
    config = load_config(ROOT / "config.yaml")
    pairs = Plan(config).experiment("bases").pairs
    counts = {kind: sum(pair.kind == kind for pair in pairs) for kind in {pair.kind for pair in pairs}}
    assert counts == {"base-retrained": 3 * 4, "retrained-retrained": 3 * 6, "independent": 6}
    for pair in pairs:
        assert pair.initial_b.is_untrained
        assert pair.initial_a == (pair.a if pair.kind == "base-retrained" else pair.a.untrained())


def test_planning_fits_gaussian_samples_where_they_are_asked_for():
    config = load_config(ROOT / "tests" / "tiny.yaml")
    plan = Plan(config)
    assert plan.experiment("stability").with_gaussian == []
    runs = plan.experiment("bases").with_gaussian
    assert runs == list(dict.fromkeys(pair.b for pair in plan.experiment("bases").pairs))
    spec = json.loads(plan.spec("analyse", experiment="bases"))
    assert spec["gaussian"] == {str(run): f"{run.model}-gaussian/seed_{run.seed}" for run in runs}
    for run in runs:
        where = {"hook_point": "hidden_1", "decomposition": "topk"}
        plain, null = (json.loads(plan.spec("decompose", run=one, **where)) for one in (run, run.gaussian()))
        assert run.gaussian().recorded == run == run.recorded
        # Streams of its own, one seed, and the rest alike.
        assert null.pop("run") == {"model": f"{run.model}-gaussian", "seed": run.seed} != plain.pop("run")
        assert (null.pop("gaussian"), null.pop("seeds"), plain.pop("seeds")) == (True, [0], [0, 1])
        assert null == plain
    decompositions = json.loads(plan.spec("analyse", experiment="stability"))["decompositions"]
    starts = {one["name"]: one.get("start") for one in decompositions}
    assert starts == {"svd": None, "pca": None, "cca": None, "topk": "homolog.decompositions.sae.topk:TopK"}


def test_nmf_has_no_gaussian_samples_to_be_fitted_to():
    mapping = load_config(ROOT / "tests" / "tiny.yaml").model_dump(mode="json", exclude_unset=True)
    mapping["decompositions"]["parts"] = {"method": "nmf", "n_latents": 4}
    mapping["experiments"]["bases"]["decompositions"] = ["pca", "parts"]
    plan = Plan(parse_config(mapping))
    assert plan.experiment("bases").gaussian_decompositions == ["pca"]


def test_a_lone_retraining_pairs_with_its_base_alone():
    mapping = load_config(ROOT / "tests" / "tiny.yaml").model_dump(mode="json", exclude_unset=True)
    mapping["experiments"]["stability"]["conditions"]["retrained"]["seeds"] = [0]
    config = parse_config(mapping)
    pairs = Plan(config).experiment("stability").pairs
    assert [pair.kind for pair in pairs] == ["base-retrained"]


# Which runs count


@pytest.mark.parametrize(
    ("loss", "counts"),
    [(0.1, True), (0.19, True), (0.02, True), (0.21, False), (1.0, False), (0.0, False), (nan, False)],
)
def test_a_retraining_counts_if_its_loss_matches_its_bases(loss, counts):
    """Tolerance 0.05 of what was learned, 2.0 - 0.1: within 0.095 of the base's 0.1, on either side."""
    runs = make_runs(losses={RETRAINED[0]: (2.0, loss)}, retrained=RETRAINED[:1])
    runs["base"].loss = (2.5, 0.1)
    found = acceptance(spec_of(retrained=RETRAINED[:1]), runs)
    assert found.accepted_run.values.tolist() == [counts]
    assert found.reference_loss.values.tolist() == [0.1]
    assert found.untrained_loss.values.tolist() == [2.0]


def test_no_tolerance_accepts_an_equal_loss_only():
    runs = make_runs(losses={RETRAINED[0]: (2.0, 0.1 + 1e-9)}, retrained=RETRAINED[:2])
    found = acceptance(spec_of(retrained=RETRAINED[:2], tolerance=0.0), runs)
    assert found.accepted_run.values.tolist() == [False, True]


def test_independent_runs_must_match_the_median_of_their_model():
    runs = make_runs(losses={RETRAINED[3]: (2.0, 0.9)})
    spec = spec_of() | {"references": dict.fromkeys(RETRAINED, RETRAINED)}
    found = acceptance(spec, runs)
    assert found.accepted_run.values.tolist() == [True, True, True, False]
    assert found.reference_loss.values.tolist() == [0.1] * 4


# Ranks, inputs, whole layers


def test_means_over_seeds_leave_out_members_that_diverged():
    """FVUs 0.1 and 0.11 of two seeds; where neither seed has a number there is none."""

    def members(seed, **facts):
        return [replace(d, member=d.member | facts) for d in make_members(0.1, (seed,))]

    wild = {"fvu": nan, "l0": 0.0, "dead_fraction": 1.0, "diverged": 5}
    cases = [
        members(0) + members(1),
        members(0, loss_recovered=0.5) + members(1, **wild, loss_recovered=nan),
        members(0, **wild) + members(1, **wild),
    ]
    made = make_runs(members=lambda i: {"planted": cases[max(0, min(i, 3) - 1)]}, retrained=RETRAINED[:3])
    found = stability(spec_of(PAIRS[:3], RETRAINED[:3]), made).isel(hook_point=0, decomposition=0)
    for name, expected in {
        "fvu": [0.105, 0.1, nan],
        "l0": [2.0, 2.0, nan],
        "dead_fraction": [0.25, 0.25, nan],
        "loss_recovered": [nan, 0.5, nan],
    }.items():
        assert found[name].sel(run=RETRAINED[:3]).values == pytest.approx(expected, nan_ok=True), name


@pytest.mark.parametrize(("spread", "near"), [(0.0, []), (0.1, []), (0.2, [1, 2]), (1.7, [1, 2, 3, 4])])
def test_near_degenerate_ranks_are_those_within_sampling_error_of_a_neighbour(spread, near):
    """Importances 10, 9.5, 5, 1, by half of the data `spread` more and less: a fit to all rows has sd `spread`."""
    importance = torch.tensor([10.0, 9.5, 5.0, 1.0]).double()
    offsets = {"all": 0.0, "a": spread, "b": -spread}
    members = {
        "planted": [replace(d, importance=importance + offsets[d.member["rows"]]) for d in make_members(0.1)],
        "sparse": make_members(0.1, label="sparse", ordered=False),
    }
    found = stability(spec_of(PAIRS[:3], names=("planted", "sparse")), make_runs(members=lambda i: members))
    flags = found.near_degenerate.isel(hook_point=0)
    assert found["rank"].values[flags.sel(decomposition="planted").values].tolist() == near
    assert not flags.sel(decomposition="sparse").any()
    assert found["rank"].values.tolist() == [1, 2, 3, 4]


def test_runs_read_on_other_inputs_are_refused_by_name():
    runs = make_runs()
    runs[RETRAINED[1]] = make_run(RETRAINED[1], codes_of(0), digest="other")
    with pytest.raises(
        ValueError, match=r"runs base and again/seed_1 were read on different inputs .*same task and n_test"
    ):
        stability(spec_of(), runs)


def test_quality_is_the_mean_over_seeds_of_the_fits_to_all_rows(mixed):
    facts = mixed.isel(hook_point=0).sel(decomposition="sparse")
    assert facts.fvu.values == pytest.approx([0.105] * 4)
    assert facts.l0.values == pytest.approx([2.0] * 4)
    assert facts.dead_fraction.values == pytest.approx([0.25] * 4)


def test_whole_layers_share_all_their_dimensions_with_themselves_and_none_with_another():
    same, other = (stability(spec_of(), make_runs(lambda i, f=f: codes_of(f * i))) for f in (0, 1))
    assert same.shared_correlations.values.ravel().tolist() == [UNITS] * 10
    assert same.linear_cka.values.ravel() == pytest.approx([1.0] * 10)
    # Each of 10 pairs has a 5 % chance of one or more by chance: over 4 of them in under 1 of 100 worlds.
    assert int((other.shared_correlations > 0).sum()) <= 4
    assert float(other.linear_cka.max()) < 0.1


def test_several_hook_points_and_conditions_stand_side_by_side():
    pairs = [make_pair("base", run, condition=f"width {i % 2}") for i, run in enumerate(RETRAINED)]
    spec = spec_of(pairs) | {"hook_points": ["hidden_1", "hidden_2"]}
    spec["controls"] = {name: ["base", "base-regauged"] for name in spec["hook_points"]}
    found = stability(spec, make_runs())
    assert found.hook_point.values.tolist() == ["hidden_1", "hidden_2"]
    assert found.comparison.values.tolist() == ["width 0/base-retrained", "width 1/base-retrained"]
    assert found.comparison_condition.values.tolist() == ["width 0", "width 1"]
    assert found.comparison_kind.values.tolist() == ["base-retrained"] * 2
    assert found.observed.dims[0] == "hook_point"


def test_grid_points_are_decompositions_of_their_own():
    members = {"grid": [d for n in (2, 3) for d in make_members(0.1, label=f"grid[n_latents={n}]")]}
    found = stability(spec_of(PAIRS[:3], names=("grid",)), make_runs(members=lambda i: members))
    assert found.decomposition.values.tolist() == ["grid[n_latents=2]", "grid[n_latents=3]"]
