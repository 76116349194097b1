"""Are the decisions on single latents right where it is planted which of them return?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from making import gaussian
from planted import LATENTS, PAIRS, RETRAINED, UNITS, codes_of, make_members, make_pair, make_runs, reading, spec_of

from homolog.alignment.decisions import lower_bound
from homolog.analyses.latents import MOST_SHOWN, SHARES, coverage, find_bases
from homolog.analyses.stability import stability

SHARED = 2


def half(i):
    """Two units are shared by all runs, the others are each run's own."""
    return torch.cat([codes_of(0)[:, :SHARED], codes_of(i)[:, SHARED:]], 1)


def plain(label="planted", seeds=(0,), **changes):
    unit = torch.eye(LATENTS, UNITS).double()
    return [reading(unit, label, seed, rows, **changes) for seed in seeds for rows in ("all", "a", "b")]


@pytest.fixture(scope="module")
def found():
    members = {"planted": plain(), "sparse": plain("sparse", ordered=False)}
    spec = spec_of(names=("planted", "sparse"), null_draws=25)
    return stability(spec, make_runs(half, lambda i: members))


def test_those_that_are_shared_are_found_in_every_run_and_the_others_arent(found):
    cell = found.isel(hook_point=0, base=0).sel(view="score", decomposition="planted")
    assert cell.base_run.item() == "base"
    assert int(cell.base_runs) == 4
    assert cell.latent_similarity.dims == ("latent", "run")
    assert cell.latent_match.values[:SHARED].tolist() == [[0] * 4, [1] * 4]
    assert cell.latent_similarity.values[:SHARED] == pytest.approx(1)
    assert (np.abs(cell.latent_similarity.values[SHARED:]) < 0.3).all()
    assert cell.latent_found.values[:SHARED].tolist() == [4, 4]
    assert (cell.latent_adjusted_p_value.values[:SHARED] < 1e-6).all()
    assert (cell.latent_adjusted_p_value.values[SHARED:] > 0.05).all()
    assert cell.latent_found_low.values == pytest.approx(lower_bound(cell.latent_found.values.astype(int), 4))
    assert (cell.latent_null_quantile.values > 0).all()


def test_a_view_that_is_not_identified_decides_nothing(found):
    cell = found.isel(hook_point=0, base=0)
    assert cell.latent_found.sel(view="neuron").isnull().all()
    assert cell.coverage_observed.sel(view="neuron").isnull().all()
    assert cell.latent_found.sel(view="write_out").notnull().all()


def test_coverage_falls_from_the_best_and_ends_at_the_mean(found):
    cell = found.isel(hook_point=0, base=0).sel(view="score", decomposition="planted")
    assert found.share.values == pytest.approx(SHARES)
    for name in ("observed", "null", "ceiling"):
        curve = cell[f"coverage_{name}"].values
        assert (np.diff(curve) <= 1e-12).all()
    assert cell.coverage_observed.values[0] == pytest.approx(1)
    # Over all latents it is their mean, which is what a comparison reports.
    observed = found.observed_mean.isel(hook_point=0, comparison=0).sel(
        view="score", decomposition="planted", matching="hungarian"
    )
    assert cell.coverage_observed.values[-1] == pytest.approx(float(observed))
    assert cell.coverage_ceiling.values == pytest.approx(1)
    assert coverage(np.array([0.5, np.nan, 1.0, 0.0]))[[0, -1]] == pytest.approx([1, 0.5])
    assert np.isnan(coverage(np.full(3, np.nan))).all()


def test_the_heat_map_has_matched_pairs_on_its_diagonal_and_alike_latents_together():
    """Six latents in three pairs that fire together, out of order: each pair stands together, its matches likewise."""
    pair_of = torch.tensor([0, 1, 2, 0, 1, 2])

    def together(i):
        codes = gaussian(800, 3, seed=50)[:, pair_of] + 0.3 * gaussian(800, 6, seed=51)
        return codes + 0.05 * gaussian(800, 6, seed=60 + i)

    order = torch.tensor([4, 2, 0, 5, 3, 1])
    unit = torch.eye(6).double()

    def members(i):
        rows = unit if i == 0 else unit[order]
        return {"sparse": [reading(rows, "sparse", 0, which, ordered=False) for which in ("all", "a", "b")]}

    found = stability(spec_of(names=("sparse",), null_draws=20), make_runs(together, members)).isel(hook_point=0)
    cell = found.sel(decomposition="sparse")
    latents, partners = cell.shown_latent.values, cell.shown_partner.values
    assert len(latents) == MOST_SHOWN
    assert sorted(latents[:6]) == list(range(6))
    assert (latents[6:] == -1).all()
    assert order[partners[:6]].tolist() == latents[:6].tolist()
    matrix = cell.shown_similarity.values
    assert np.isnan(matrix[6:]).all()
    assert (np.diag(matrix)[:6] > 0.9).all()
    assert pair_of[latents[:6].reshape(3, 2)].diff(dim=1).eq(0).all()


def test_bases_are_those_of_retrainings_and_the_first_of_independent_runs():
    accepted = [True, True, False, True] + [True] * 6
    (base,) = find_bases(PAIRS, accepted)
    assert (base.name, base.others) == ("retrained: base", [RETRAINED[0], RETRAINED[1], RETRAINED[3]])
    apart = [make_pair(a, b, "independent", "apart") for a, b in (("x", "y"), ("x", "z"), ("y", "z"))]
    several = [make_pair(f"base_{i}", f"run_{i}") for i in (0, 1)]
    bases = find_bases([*several, *apart], [True] * 5)
    assert [(b.condition, b.run, b.others) for b in bases] == [
        ("retrained", "base_0", ["run_0"]),
        ("retrained", "base_1", ["run_1"]),
        ("apart", "x", ["y", "z"]),
    ]


def test_with_no_run_accepted_there_is_nothing_to_decide():
    losses = dict.fromkeys(RETRAINED, (2.0, 1.9))
    found = stability(spec_of(), make_runs(losses=losses))
    assert found.latent_similarity.isnull().all()
    assert found.latent_found.isnull().all()
    assert (found.shown_latent == -1).all()


@pytest.mark.slow
def test_unrelated_runs_have_few_false_discoveries():
    """Independent layers, in which no latent returns: a discovery in any world is false."""
    false = 0
    for world in range(40):
        runs = make_runs(lambda i, w=world: codes_of(100 * w + i), lambda i: {"planted": make_members(0.0)})
        found = stability(spec_of(PAIRS[:4], views=("score",), null_draws=20), runs)
        false += int((found.latent_adjusted_p_value <= 0.05).sum() > 0)
    # At 5 % a world, 8 or more of 40 have a chance of 0.1 %.
    assert false <= 7


@pytest.mark.every
def test_gaussian_and_step_0_stand_in_their_roles():
    """Where they are the observed runs themselves, their roles are the observed value; else NaN."""
    runs = make_runs(half, lambda i: {"planted": plain()})
    for name in RETRAINED:
        runs[name].others[f"{name}-gaussian"] = runs[name]
    for name in ("base", *RETRAINED):
        runs[name].starts["planted"] = [
            reading(gaussian(LATENTS, UNITS, seed=n), rows=rows) for n, rows in ((3, "a"), (4, "b"))
        ]
    spec = spec_of() | {
        "gaussian": {name: f"{name}-gaussian" for name in RETRAINED},
        "gaussian_decompositions": ["planted"],
    }
    spec["decompositions"] = [spec["decompositions"][0] | {"start": "homolog.decompositions.sae.topk:TopK"}]
    cell = stability(spec, runs).isel(hook_point=0).sel(decomposition="planted", view="score", matching="hungarian")
    assert cell.gaussian.values == pytest.approx(cell.observed_mean.values)
    assert (cell.step_0 < cell.observed_mean).all()
    expected = (cell.observed_mean - cell.step_0) / (1 - cell.step_0)
    assert cell.stabilisation.values == pytest.approx(expected.values)
    # Planted members are ordered: what sees two moments alone has no null in Gaussian samples.
    names = ["null", "isotropic", "spectral", "conditional_null", "initial"]
    left = cell.observed_mean.values - np.max([cell[name] for name in names], axis=0)
    assert cell.left.values == pytest.approx(left)
    without = stability(spec_of(), runs).isel(hook_point=0).sel(decomposition="planted", view="score")
    assert without.gaussian.isnull().all()
    assert without.step_0.isnull().all()
    assert without.stabilisation.isnull().all()
    sparse = {"planted": plain(ordered=False)}
    for name in runs:
        runs[name].members = sparse
    cell = stability(spec, runs).isel(hook_point=0).sel(decomposition="planted", view="score", matching="hungarian")
    assert cell.left.values == pytest.approx([0, 0], abs=1e-12)


def test_geometric_views_have_one_turned_null_and_score_two(found):
    cell = found.isel(hook_point=0).sel(decomposition="planted", matching="hungarian")
    assert dict(zip(found.view.values, found.null_turns.values, strict=True)) == {
        "score": False, "write_out": True, "neuron": True,
    }  # fmt: skip
    for view in ("write_out", "neuron"):
        assert cell.spectral.sel(view=view).values == pytest.approx(cell.null.sel(view=view).values)
    assert (cell.spectral.sel(view="score") > cell.null.sel(view="score")).all()
    for role in ("null", "spectral", "isotropic"):
        assert (cell[f"{role}_low"].sel(view="score") <= cell[role].sel(view="score")).all()
        assert (cell[f"{role}_high"].sel(view="score") >= cell[role].sel(view="score")).all()
