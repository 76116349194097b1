"""Does `homolog.compare` find what two dictionaries share, and nothing else, whatever they come as?"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from making import CLASSES, OPTIONS, gaussian, make_inputs, make_network, make_rows, marked, seeded, spec_of
from peaks import PEAK, needs_peak
from scipy import sparse, stats
from test_foreign import STATES, write_sparsify
from test_foreign import write as write_dictionary_learning
from torch import Tensor
from torch.testing import assert_close
from workspace import ROOT

import homolog
from homolog.activations import describe_hook_points, stream_activations
from homolog.alignment.decisions import benjamini_yekutieli
from homolog.comparing import choosing, likeness
from homolog.comparing import codes as codes_module
from homolog.comparing.chance import against_null, draws_needed
from homolog.comparing.choosing import choose
from homolog.comparing.codes import Codes, correlations, paired
from homolog.comparing.likeness import OfCodes, OfDirections
from homolog.comparing.measure import refit_pairs
from homolog.comparing.rows import read_rows
from homolog.comparing.views import VIEWS, Scored
from homolog.decompositions.fit import fit
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.encoding import with_rates
from homolog.store.activations import read_activations, write_activations
from homolog.store.dictionaries import write_dictionaries
from homolog.tasks.base import TEST, Data

UNITS, LATENTS, ROWS = 16, 40, 480
DRAWS = {"null_draws": 20}


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def directions(latents: int = LATENTS, units: int = UNITS, seed: int = 0) -> Tensor:
    return unit(gaussian(latents, units, seed=seed, dtype=torch.float32))


def activations(features: Tensor, rows: int = ROWS, seed: int = 1) -> Tensor:
    """Each feature active in one row of ten, in the directions `features`."""
    generator = seeded(seed)
    active = torch.rand(rows, len(features), generator=generator) < 0.1
    return (active * (1 + torch.rand(active.shape, generator=generator))) @ features


def reading(rows: Tensor, bias: float = -0.4, **changes: Any) -> dict[str, Any]:
    """A sparse autoencoder with tied weights."""
    return {"encoder": rows, "directions": rows, "encoder_bias": torch.full((len(rows),), bias), **changes}


def partly_replaced(features: Tensor, replaced: int, seed: int) -> tuple[Tensor, Tensor]:
    """The rows in another order, the first so many of them drawn anew; and that order."""
    order = torch.randperm(len(features), generator=seeded(seed))
    other = features[order].clone()
    other[:replaced] = directions(replaced, features.shape[1], seed=seed + 1000)
    return other, order


FEATURES = directions()
X = activations(FEATURES)


# What was planted


@pytest.mark.parametrize("matching", ["mutual", "best", "hungarian"])
def test_survivors_are_found_with_their_names_and_replaced_ones_are_not(matching):
    other, order = partly_replaced(FEATURES, 12, seed=3)
    found = homolog.compare({"a": reading(FEATURES), "b": reading(other)}, X, matching=matching, **DRAWS)
    table = found.table[found.table.dictionary == "b"]
    assert (table.found[12:] == 1).all()
    assert torch.equal(torch.as_tensor(table.match.values[12:].astype(int)), order[12:])
    assert table.found[:12].sum() <= 1
    assert (table["neuron"][12:] > 0.999).all()
    pair = found.dataset.isel(pair=0)
    cosines = other @ FEATURES.T
    assert float(pair.mmcs_b_in_a) == pytest.approx(float(cosines.amax(1).mean()), abs=1e-5)
    assert float(pair.mmcs_a_in_b) == pytest.approx(float(cosines.amax(0).mean()), abs=1e-5)
    # A replaced one may pass the 0.7 by chance; the others do.
    assert 28 / 40 <= float(pair.shared_fraction) <= 31 / 40


@pytest.mark.parametrize("power", [marked(0.0), 0.7], ids=["flat spectrum", "falling spectrum"])
def test_false_discoveries_among_replaced_latents_stay_below_the_nominal_rate(power):
    """14 worlds, half of the 24 latents replaced: were 5 % of the 168 replaced ones found, 3 or more would be found in
    99 of 100 such tests, and with the level exact in each (p <= 0.05), 17 or more in 1 of 1,000."""
    scale = torch.arange(1, 13) ** -power
    false = true = small = 0
    for seed in range(14):
        features = unit(gaussian(24, 12, seed=seed, dtype=torch.float32) * scale)
        order = torch.randperm(24, generator=seeded(seed))
        other = features[order].clone()
        other[:12] = unit(gaussian(12, 12, seed=seed + 500, dtype=torch.float32) * scale)
        x = activations(features, 160, seed=seed + 50)
        data = homolog.compare([features, other], x, null_draws=24, views=["neuron"]).dataset
        rows = data.sel(view="neuron", other=data.other[0]).isel(row=slice(24, None))
        false += int((rows.adjusted_p_value[:12] <= 0.05).sum())
        true += int((rows.adjusted_p_value[12:] <= 0.05).sum())
        small += int((rows.p_value[:12] <= 0.05).sum())
    assert false <= 2
    assert small <= 17
    assert true >= 0.9 * 168


def test_identical_dictionaries_are_one_and_that_is_told():
    found = homolog.compare([reading(FEATURES), reading(FEATURES)], X, **DRAWS)
    table = found.table
    assert (table.match == table.latent).all()
    assert_close(table[["score", "neuron", "encoder", "jaccard"]].values, np.ones((80, 4)), atol=1e-6, rtol=0)
    assert (table.found == 1).all()
    assert "40 live latents of dictionary_0 and dictionary_1 are identical: one dictionary, given twice?" in str(found)
    assert float(found.dataset.pw_mcc[0]) == pytest.approx(1)


@pytest.mark.parametrize("first", ["the true features", "random directions"])
def test_independent_dictionaries_lie_at_their_null(first):
    """Read from the same rows, they share what the data's covariance makes any two dictionaries share.

    Over 6 independent ones the means differ by a standard error of about 0.01.
    """
    one = FEATURES if first == "the true features" else directions(seed=30)
    observed, null, found = [], [], 0
    for seed in range(40, 46):
        data = homolog.compare([reading(one), reading(directions(seed=seed))], X, null_draws=6).dataset
        observed.append(data.observed.sel(view=["score", "neuron"]).values)
        null.append(data.null_mean.sel(view=["score", "neuron"]).values)
        found += int((data.adjusted_p_value <= 0.05).sum())
    assert_close(np.mean(observed, 0), np.mean(null, 0), atol=0.03, rtol=0)
    assert (np.mean(null, 0) > 0.3).all(), "far above what shuffled inputs give"
    assert found == 0


def test_too_few_draws_for_a_discovery_are_told():
    assert "6 draws of the null are few: unless" in str(homolog.compare(PAIR, X, null_draws=6))
    assert "draws of the null are few" not in str(homolog.compare(PAIR, X, views=["neuron"]))


# Many latents


def likenesses(a: Tensor, b: Tensor) -> dict[str, Any]:
    sides = [Codes(homolog.comparing.dictionaries._from_arrays(reading(rows), "made"), InMemory(X)) for rows in (a, b)]
    return {"directions": OfDirections(a, b, signed=True), "codes": OfCodes(*sides, signed=True)}


@pytest.mark.parametrize("matching", ["mutual", "best", "hungarian"])
@pytest.mark.parametrize("kind", ["directions", "codes"])
def test_blocks_choose_as_one_matrix_does(matching, kind, monkeypatch):
    a, b = directions(seed=7), directions(33, seed=8)
    live_a, live_b = torch.arange(LATENTS) % 5 != 0, torch.arange(33) != 4
    expected = choose(likenesses(a, b)[kind], live_a, live_b, matching)
    monkeypatch.setattr(likeness, "WHOLE", 0)
    monkeypatch.setattr(choosing, "LARGE", 1)
    for one in (OfDirections, OfCodes):
        monkeypatch.setattr(one, "at_once", 100)
    found = likenesses(a, b)[kind]
    assert [len(block) for _, block in found.blocks()] == [3] * 13 + [1]
    for (index, mutual), (same, also) in zip(choose(found, live_a, live_b, matching), expected, strict=True):
        assert torch.equal(index, same)
        assert torch.equal(mutual, also)
        assert (index[~live_a if len(index) == LATENTS else ~live_b] == -1).all()


SCALE = f"""{PEAK}
import torch
from homolog.comparing.choosing import choose
from homolog.comparing.likeness import OfDirections
generator = torch.Generator().manual_seed(0)
a = torch.nn.functional.normalize(torch.randn(6000, 24, generator=generator), dim=1)
order = torch.randperm(6000, generator=generator)
b = torch.nn.functional.normalize(a[order] + 0.01 * torch.randn(6000, 24, generator=generator), dim=1)
live = torch.ones(6000, dtype=torch.bool)
values = []
for matching in ("mutual", "hungarian"):
    for part in (slice(2100), slice(None)):  # What imports and compiles is there before it counts.
        before = peak()
        likeness = OfDirections(a[part], b[part], signed=True)
        (forth, mutual), (back, _) = choose(likeness, live[part], live[part], matching)
    assert torch.equal(back, order) and torch.equal(forth, order.argsort()) and mutual.all()
    values.append((peak() - before) // 1024)
print(max(values))
"""


@pytest.mark.every
@needs_peak
def test_six_thousand_latents_are_matched_to_their_namesakes_without_their_matrix():
    """The matrix would take 144,000 kB in float32."""
    made = subprocess.run([sys.executable, "-c", SCALE], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert int(made.stdout) < 72_000


def test_summaries_of_directions_are_known_above_4096_latents():
    a, b = directions(4200, 6, seed=1), directions(4100, 6, seed=2)
    x = activations(a[:20], rows=60)
    data = homolog.compare([a, b], x, null_draws=2, views=["neuron"]).dataset
    cosines = a.double() @ b.double().T
    assert float(data.mmcs_a_in_b[0]) == pytest.approx(float(cosines.amax(1).mean()), abs=1e-6)
    assert float(data.mmcs_b_in_a[0]) == pytest.approx(float(cosines.amax(0).mean()), abs=1e-6)
    # No one-to-one matching is better than each with its best.
    assert 0.9 < float(data.pw_mcc[0]) <= float(data.mmcs_b_in_a[0])


# Ranks


def ranked(rows: Tensor, importance: list[float]) -> dict[str, Any]:
    return {"directions": rows, "importance": torch.tensor(importance), "ordered": True, "signed": False}


def test_near_degenerate_ranks_are_compared_as_subspaces():
    """Three of five components have one variance, so any basis of their span would do; then one of them is another."""
    deviation = torch.tensor([4.0, 2.0, 2.0, 2.0, 0.5, 0.1])
    x = gaussian(4000, 6, seed=3, dtype=torch.float32) * deviation
    turn = torch.eye(6)
    turn[1:4, 1:4] = torch.linalg.qr(gaussian(3, 3, seed=4))[0].float()
    one, other = torch.eye(6)[:5], turn[:5]
    importance = deviation[:5].tolist()
    found = homolog.compare({"a": ranked(one, importance), "b": ranked(other, importance)}, x, null_draws=6)
    table = found.table
    assert list(table.block) == [0, 1, 1, 1, 4] * 2
    assert (table.subspace > 1 - 1e-5).all()
    assert table.score[1:4].min() < 0.9
    assert list(table.score[[0, 4]].round(5)) == [1, 1]
    other[2] = torch.eye(6)[5]
    other[1], other[3] = torch.eye(6)[1], torch.eye(6)[3]
    data = homolog.compare([ranked(one, importance), ranked(other, importance)], x, null_draws=2).dataset
    values = data.sel(view="subspace", other=data.other[1]).similarity[:5]
    # Two of three directions are shared; the third adds the square of a chance correlation on 2,000 rows.
    assert_close(values.values, np.array([1, 2 / 3, 2 / 3, 2 / 3, 1]), atol=0.005, rtol=0)
    assert float(data.null_mean.sel(view="subspace")) < 0.9


def test_ranks_go_by_deviations_of_codes_where_nothing_else_is_said():
    x = gaussian(2000, 4, seed=3, dtype=torch.float32) * torch.tensor([4.0, 1.0, 1.0, 0.2])
    rows = {"directions": torch.eye(4), "ordered": True, "signed": False}
    (fitted,) = homolog.fit(x, {"method": "pca", "n_latents": 4}, progress=False)
    found = homolog.compare([rows, fitted], x, null_draws=2)
    assert list(found.table.block) == [0, 1, 1, 3] * 2
    assert "subspace" in str(found)
    with pytest.raises(ValueError, match=r"view 'subspace' can't be computed here \(it needs ordered dictionaries\)"):
        homolog.compare(PAIR, X, views=["subspace"])


# Two networks


def test_a_rotation_between_two_networks_is_seen_through_where_that_is_legal():
    rotation = torch.linalg.qr(gaussian(UNITS, UNITS, seed=5))[0].float()
    found = homolog.compare([reading(FEATURES), reading(FEATURES @ rotation)], [X, X @ rotation], **DRAWS)
    data = found.dataset
    assert list(data.view.values) == ["score", "jaccard", "neuron_permuted", "neuron_procrustes"]
    assert_close(
        data.observed.sel(view=["score", "jaccard", "neuron_procrustes"]).values, np.ones(3), atol=1e-4, rtol=0
    )
    assert float(data.observed.sel(view="neuron_permuted")) < 0.9
    assert "optimistic bound" in str(found)
    assert data.mmcs_a_in_b.isnull().all(), "no cosine between two networks"


def test_a_permutation_between_two_networks_is_found():
    order = torch.randperm(UNITS, generator=seeded(2))
    data = homolog.compare([reading(FEATURES), reading(FEATURES[:, order])], [X, X[:, order]], **DRAWS).dataset
    assert float(data.observed.sel(view="neuron_permuted")) == pytest.approx(1, abs=1e-5)
    assert (data.found == 1).all()


def test_directions_of_two_networks_are_not_identified_and_shown_by_name_only():
    rotation = torch.linalg.qr(gaussian(UNITS, UNITS, seed=5))[0].float()
    given = [reading(FEATURES), reading(FEATURES @ rotation)], [X, X @ rotation]
    with pytest.raises(ValueError, match=r"'neuron' isn't identified.*take score, .*not_identified=\['neuron'\]"):
        homolog.compare(*given, views=["neuron"], **DRAWS)
    found = homolog.compare(*given, not_identified=["neuron"], **DRAWS)
    assert not bool(found.dataset.identified.sel(view="neuron"))
    assert float(found.dataset.observed.sel(view="neuron")) < 0.7
    assert "NOT IDENTIFIED" in str(found)
    assert found.dataset.attrs["primary"] == "score"


def test_networks_of_unequal_width_are_compared_by_codes():
    wide = unit(torch.cat([FEATURES, gaussian(LATENTS, 4, seed=3, dtype=torch.float32)], 1))
    active = torch.linalg.lstsq(FEATURES.T, X.T).solution.T
    data = homolog.compare([FEATURES, wide], [X, active @ wide], **DRAWS).dataset
    assert list(data.view.values) == ["score"]


# Dead and rare latents


def test_dead_latents_are_apart_and_a_shared_start_is_told():
    """Dead latents that are the same in both would look perfectly stable."""
    bias = torch.full((LATENTS,), -0.4)
    bias[:6] = -100
    one, other = reading(FEATURES), reading(directions(seed=4))
    other["encoder"] = other["directions"] = torch.cat([FEATURES[:6], other["directions"][6:]])
    one["encoder_bias"] = other["encoder_bias"] = bias
    found = homolog.compare({"a": one, "b": other}, X, **DRAWS)
    table = found.table
    assert list(table.status[:7]) == ["dead"] * 6 + ["live"]
    assert table.found[:6].isna().all()
    assert table[["score", "neuron"]][:6].isna().all(axis=None)
    assert (table.match[:6] == -1).all()
    assert not set(table.match[:40]) & set(range(6)), "no live latent is matched with a dead one"
    assert "6 dead latents of a and b are identical: a shared initialisation?" in str(found)


def test_a_latent_that_fires_in_one_half_only_is_rare():
    x = X.clone()
    x[0] = 50 * FEATURES[3]
    bias = torch.full((LATENTS,), -0.4)
    bias[3] = -40
    table = homolog.compare([reading(FEATURES, encoder_bias=bias), reading(FEATURES)], x, **DRAWS).table
    assert table.status[3] == "rare"
    assert np.isnan(table.found[3])
    assert table.firing_rate[3] == pytest.approx(1 / ROWS)


def test_latents_that_fire_together_are_a_block():
    rows = torch.cat([FEATURES, FEATURES[:3]])
    table = homolog.compare([reading(rows), reading(FEATURES)], X, **DRAWS).table
    assert list(table.block[40:43]) == [0, 1, 2]
    assert list(table.block[:40]) == list(range(40))


# Several runs


def test_a_latent_returns_in_r_of_R_runs_with_its_bound_and_interval():
    """Latents 0-9 are in all five dictionaries, 10-19 in the first three, the others in one each."""
    given = {}
    for run in range(5):
        rows = directions(seed=100 + run)
        rows[:10] = FEATURES[:10]
        if run < 3:
            rows[10:20] = FEATURES[10:20]
        given[f"run {run}"] = reading(rows)
    data = homolog.compare(given, X, null_draws=60).dataset
    found, bound = data.found.values.reshape(5, LATENTS), data.returns_at_least.values.reshape(5, LATENTS)
    assert (found[:, :10] == 4).all()
    assert (found[:3, 10:20] >= 2).all()
    assert (data.runs == 4).all()
    # Exact: the share p at which 4 of 4, or r of 4, have a probability of 5 %.
    assert_close(bound[:, :10], np.full((5, 10), 0.05**0.25))
    two = bound[:3, 10:20][found[:3, 10:20] == 2]
    assert_close(stats.binom.sf(1, 4, two), np.full(len(two), 0.05))
    # A latent's interval is that of a mean over the four other runs.
    values = data.similarity.sel(view="score").values[15, 1:]
    row = data.sel(view="score").isel(row=15)
    mean = values.mean()
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert float(row["mean"]) == pytest.approx(mean)
    # On Fisher's z scale, so that it ends below 1, which a plain one passes.
    z = np.arctanh(mean) + np.array([-1, 1]) * half / (1 - mean**2)
    assert [float(row.mean_low), float(row.mean_high)] == pytest.approx(list(np.tanh(z)))
    assert mean + half > 1 > float(row.mean_high)
    assert np.isfinite(float(data.observed_low.sel(view="score")))
    table = homolog.Comparison(data).table
    assert {"match[run 0]", "p[run 4]", "score_low"} <= set(table.columns)


def test_refits_give_a_ceiling_in_which_only_the_run_is_the_same():
    """Refits are noisy copies; two runs share half of their latents."""

    def refit(rows: Tensor, seed: int) -> dict[str, Any]:
        return reading(unit(rows + 0.1 * gaussian(*rows.shape, seed=seed, dtype=torch.float32)))

    runs = []
    for run in range(3):
        rows = torch.cat([FEATURES[:20], directions(20, seed=60 + run)])
        runs.append([refit(rows, 10 * run + i) for i in range(3)])
    found = homolog.compare(runs, X, null_draws=20)
    neuron = found.dataset.sel(view="neuron")
    assert float(neuron.ceiling) > 0.8
    assert float(neuron.null_mean) < float(neuron.refitted) < float(neuron.ceiling)
    share = (neuron.refitted - neuron.null_mean) / (neuron.ceiling - neuron.null_mean)
    assert float(neuron.excess) == pytest.approx(float(share))
    assert f"{float(neuron.ceiling):.3f}" in str(found)
    alone = homolog.compare([one[0] for one in runs], X, null_draws=20).dataset
    assert alone.ceiling.isnull().all()
    assert alone.excess.isnull().all()


def test_refits_on_halves_are_compared_across_halves():
    def member(rows: str, seed: int = 0) -> Dictionary:
        (one,) = homolog.fit(X, {"method": "pca", "n_latents": 2}, progress=False)
        return Dictionary(**{**vars(one), "member": {"rows": rows, "seed": seed}})

    run = [member(rows) for rows in ("all", "a", "b")]
    assert refit_pairs(run, run) == [(1, 2), (2, 1)]
    seeds = [member(rows, seed) for seed in (0, 1) for rows in ("all", "a", "b")]
    assert refit_pairs(seeds, seeds) == [(1, 5), (2, 4), (4, 2), (5, 1)]
    assert refit_pairs([run[0]], [run[0]]) == []
    assert refit_pairs([run[0]] * 2, [run[0]] * 2) == [(0, 1), (1, 0)]


# What dictionaries and activations come as


def test_every_way_to_give_a_dictionary_says_the_same(tmp_path):
    (one,) = homolog.fit(X, {"method": "topk_sae", **OPTIONS["topk_sae"]}, progress=False, threads=1)
    homolog.write_saelens(tmp_path / "saelens", one)
    arrays = {"W_dec": one.directions, "W_enc": one.encoder.T, "b_enc": one.encoder_bias, "b_dec": one.bias, "k": one.k}
    np.savez(tmp_path / "arrays.npz", **{name: np.asarray(value) for name, value in arrays.items()})
    state = {
        "encoder.weight": one.encoder,
        "encoder.bias": one.encoder_bias,
        "W_dec": one.directions,
        "b_dec": one.bias,
    }
    write_sparsify(tmp_path / "sparsify", {name: value.clone() for name, value in state.items()}, d_in=UNITS, k=one.k)
    torch_state = {"encoder.weight": one.encoder, "encoder.bias": one.encoder_bias, "b_dec": one.bias}
    torch_state |= {"decoder.weight": one.directions.T.clone(), "k": torch.tensor(one.k)}
    write_dictionary_learning(tmp_path / "trainer_0", "AutoEncoderTopK", torch_state, k=one.k)
    write_dictionaries(tmp_path / "topk.h5", [one], {})
    other = reading(directions(seed=5))
    given = [one, arrays, *(tmp_path / name for name in ("saelens", "arrays.npz", "sparsify", "trainer_0", "topk.h5"))]
    expected = homolog.compare([one, other], X, null_draws=4).dataset
    for way in given:
        data = homolog.compare([way, other], X, null_draws=4).dataset
        for name in ("similarity", "null", "p_value"):
            assert_close(data[name].values, expected[name].values, atol=1e-5, rtol=1e-5, equal_nan=True)
    assert list(homolog.compare(given[2:], X, null_draws=2, views=["score"]).dataset.dictionary.values) == [
        "topk_sae_0", "arrays", "sparsify", "trainer_0", "topk_sae_4",
    ]  # fmt: skip


def test_directions_alone_are_read_by_projection_and_signs_may_mean_nothing(tmp_path):
    np.save(tmp_path / "mine.npy", FEATURES.numpy())
    signs = torch.where(torch.arange(LATENTS) % 2 == 0, 1.0, -1.0)[:, None]
    flipped = {"directions": FEATURES * signs, "signed": False}
    found = homolog.compare([tmp_path / "mine.npy", flipped], X, **DRAWS)
    assert found.dataset.attrs["primary"] == "neuron"
    assert (found.dataset.found == 1).all()
    assert list(found.dataset.view.values) == ["score", "neuron"]
    assert "mine is directions alone" in str(found)


@pytest.mark.parametrize("kind", [".npz", ".h5"])
def test_activations_in_files_are_those_of_the_array_and_rows_are_held_together_by_their_ids(kind, tmp_path):
    def write(name: str, x: Tensor, ids: np.ndarray | None) -> Any:
        arrays = {"x": x.numpy(), "other": x.numpy()[:, :5], **({} if ids is None else {"input_id": ids})}
        path = tmp_path / f"{name}{kind}"
        if kind == ".npz":
            np.savez(path, **arrays)
        else:
            with h5py.File(path, "w") as file:
                for key, value in arrays.items():
                    file[key] = value
        return path

    pair, ids = [reading(FEATURES), reading(directions(seed=5))], np.arange(ROWS) + 7
    one, same = write("one", X, ids), write("same", X * 2, ids)
    expected = homolog.compare(pair, [X, X * 2], null_draws=3)
    assert "rows of different runs were taken as given: 0 of 2 name their inputs" in str(expected)
    found = homolog.compare(pair, [one, same], hook_point="x", null_draws=3)
    assert_close(found.dataset.similarity.values, expected.dataset.similarity.values, equal_nan=True)
    assert "taken as given" not in str(found)
    assert "1 of 2 name" in str(homolog.compare(pair, [one, X * 2], hook_point="x", null_draws=3, views=["score"]))
    swapped = write("swapped", X, ids[::-1].copy())
    with pytest.raises(ValueError, match=r"480 of 480 rows of b have another input_id than those of a"):
        homolog.compare(pair, [one, swapped], names=["a", "b"], hook_point="x")
    with pytest.raises(ValueError, match=r"input_id has shape \(3,\)"):
        homolog.compare(pair, write("short", X, np.arange(3)), hook_point="x")


def test_files_larger_than_memory_give_the_same(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X.numpy()
    pair = [reading(FEATURES), reading(directions(seed=5))]
    expected = homolog.compare(pair, X, null_draws=3).dataset
    monkeypatch.setattr("homolog.store.arrays.load_if_small", lambda samples, limit: samples)
    monkeypatch.setattr(codes_module, "KEPT_BYTES", 0)
    monkeypatch.setattr(codes_module, "CHUNK", 100)
    found = homolog.compare(pair, tmp_path / "x.h5", null_draws=3).dataset
    for name in ("similarity", "null", "match"):
        assert_close(found[name].values, expected[name].values, equal_nan=True)


def test_a_run_of_the_pipeline_is_read_on_its_test_rows_in_its_gauge(tmp_path):
    network, rows = make_network([7, 6]).float(), make_rows(400)
    data = Data(make_inputs(400).float(), rows.label, rows.split, rows.half, CLASSES)
    batches = stream_activations(network, data.inputs, ["hidden_0", "hidden_1"], 100, "cpu")
    points = describe_hook_points(network, ["hidden_0", "hidden_1"])
    path = tmp_path / "activations.h5"
    write_activations(path, points, batches, data, "float32", {"run": "made/seed_3"})
    recorded = read_activations(path, "hidden_1")
    fitted = fit(spec_of("pca", [OPTIONS["pca"]]), recorded)
    write_dictionaries(tmp_path / "pca.h5", fitted, {"spec": '{"gauge": "write_out_norm"}'})
    found = homolog.compare(
        {"file": tmp_path / "pca.h5", "again": tmp_path / "pca.h5"}, path, hook_point="hidden_1", null_draws=3
    )
    assert float(found.dataset.observed.sel(view="score")) == pytest.approx(1)
    assert found.dataset.attrs["rows"] == 100
    (read,), _ = read_rows([path], ["write_out_norm"], ["hidden_1"])
    test = recorded.rows.where(TEST)
    assert_close(read.whole.whole()[:, read.order.argsort()], recorded.gauge.fix(recorded.values[test]))
    assert torch.equal(read.ids, recorded.rows.input_id[test])
    ceiling = found.dataset.ceiling.sel(view="score")
    assert 0.5 < float(ceiling) <= 1, "the halves in the file are refits"
    pair = {"file": tmp_path / "pca.h5", "again": tmp_path / "pca.h5"}
    labelled = homolog.compare(pair, path, hook_point="hidden_1", labels="label", null_draws=3).dataset
    assert 0 < float(labelled.conditional_null_mean.sel(view="score")) < 1
    with pytest.raises(ValueError, match=r"go by their name there"):
        homolog.compare(pair, path, hook_point="hidden_1", labels=recorded.rows.label)
    with pytest.raises(ValueError, match=r"the rows have no 'token_id'; they have input_id, label"):
        homolog.compare(pair, path, hook_point="hidden_1", labels="token_id")
    with pytest.raises(ValueError, match=r"gauge write_out_norm, which only its activations.h5 knows"):
        homolog.compare([tmp_path / "pca.h5"] * 2, recorded.values)
    with pytest.raises(ValueError, match=r"holds the hook points hidden_0, hidden_1: name one as hook_point"):
        homolog.compare([tmp_path / "pca.h5"] * 2, path)


# Labels


def of_classes(rows: int = 2000) -> tuple[Tensor, Tensor, Tensor]:
    """Two networks of three units, one for each of three classes: how strongly they fire within it is their own."""
    made = torch.Generator().manual_seed(11)
    labels = torch.randint(3, (rows,), generator=made)
    on = torch.nn.functional.one_hot(labels, 3)
    return labels, *(on * (1 + torch.rand(rows, 3, generator=made)) for _ in range(2))


def test_what_the_labels_explain_is_all_of_a_likeness_that_is_made_of_them(tmp_path):
    labels, x, y = of_classes()
    read = [{"directions": torch.eye(3), "encoder": torch.eye(3), "encoder_bias": torch.zeros(3)}] * 2
    found = homolog.compare(read, [x, y], labels=labels, views=["score", "jaccard"], null_draws=4)
    data = found.dataset
    # Both fire exactly within a class, with a mean there and nothing else in common.
    share = torch.nn.functional.one_hot(labels, 3).double().mean(0)
    explained = 2.25 * share * (1 - share) / (x.double().std(0) * y.double().std(0))
    np.testing.assert_allclose(data.conditional_null.sel(view="score").values[:3, 1], explained, atol=0.02)
    np.testing.assert_allclose(data.similarity.sel(view="score").values[:3, 1], explained, atol=0.02)
    assert float(data.conditional_null_mean.sel(view="jaccard")) == 1
    assert float(data.null_mean.sel(view="score")) < float(data.conditional_null_mean.sel(view="score"))
    assert "within labels" in str(found)
    assert "score_conditional_null" in found.table
    # What two runs share beyond the labels stands above it.
    same = homolog.compare(read, [x, x.clone() + 1], labels=labels, views=["score"], null_draws=4).dataset
    assert float(same.observed[0]) == pytest.approx(1)
    assert float(same.conditional_null_mean[0]) < 0.95
    # By their name in a file; and without labels nothing is said of them.
    np.savez(tmp_path / "both.npz", x=x.numpy(), y=y.numpy(), token_id=labels.numpy())
    named = homolog.compare(read, tmp_path / "both.npz", hook_point=["x", "y"], labels="token_id", null_draws=4)
    assert float(named.dataset.conditional_null_mean[0]) == float(data.conditional_null_mean[0])
    plain = homolog.compare(read, [x, y], views=["score"], null_draws=4)
    assert plain.dataset.conditional_null_mean.isnull().all()
    assert "within labels" not in str(plain)


# Bad input: one clear line each

HOLE = X.clone()
HOLE[5, 2] = torch.nan
PAIR = [reading(FEATURES), reading(directions(seed=5))]
SPOILT = reading(FEATURES.clone())
SPOILT["encoder_bias"][2] = torch.nan
BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "one": ({"dictionaries": PAIR[:1]}, ("1 dictionary", "at least 2")),
    "a text": ({"dictionaries": "sae"}, ("str", "give a list")),
    "another thing": ({"dictionaries": [3, PAIR[0]]}, ("dictionary 0 is int", "allowed")),
    "empty list": ({"dictionaries": [[], PAIR[0]]}, ("empty list",)),
    "no latents": ({"dictionaries": [FEATURES[:0], PAIR[0]]}, ("(0, 16)", "(latent, unit)")),
    "no units": ({"dictionaries": [FEATURES[:, :0], PAIR[0]]}, ("(40, 0)", "(latent, unit)")),
    "directions of norm 0": ({"dictionaries": [0 * FEATURES, PAIR[0]]}, ("none of the 40 latents of dictionary",)),
    "one dimension": ({"dictionaries": [FEATURES[0], PAIR[0]]}, ("(16,)", "(latent, unit)")),
    "no directions": ({"dictionaries": [{"encoder": FEATURES}, PAIR[0]]}, ("needs directions",)),
    "unknown array": ({"dictionaries": [{"directions": FEATURES, "gate": 1}, PAIR[0]]}, ("gate", "may have")),
    "misshapen": ({"dictionaries": [(FEATURES[:3], FEATURES), PAIR[0]]}, ("encoder has shape (3, 16)", "(40, 16)")),
    "complex": ({"dictionaries": [FEATURES.numpy() * 1j, PAIR[0]]}, ("complex", "real numbers")),
    "NaN in a dictionary": ({"dictionaries": [SPOILT, PAIR[0]]}, ("dictionary 0: encoder_bias holds 1 values",)),
    "all dead": (
        {"dictionaries": [reading(FEATURES, -99.0), PAIR[0]], "names": ["a", "b"]},
        ("none of the 40 latents of dictionary a", "unscaled"),
    ),
    "equal names": ({"names": ["a", "a"]}, ("a, a", "2 that differ")),
    "NaN activations": ({"activations": HOLE}, ("1 values", "finite")),
    "no activations": ({"activations": X[:0]}, ("(0, 16)", "empty")),
    "activations of one row": ({"activations": X[0]}, ("(16,)", "(samples, units)")),
    "no two halves": ({"activations": X[:3], "null": "permutation"}, ("3 rows make no two halves", "give more")),
    "other rows": ({"activations": [X, X[:90]]}, ("90 rows", "480", "same inputs")),
    "other units": ({"activations": [X, X[:, :9]]}, ("dictionary dictionary_1", "16 units", "9")),
    "too many activations": ({"activations": [X, X, X]}, ("2 dictionaries, 3 activations",)),
    "few rows": (
        {"activations": X[:60]},
        ("60 rows of 16 units", "at least 4 rows per unit (64)", "null='permutation'"),
    ),
    "unknown view": ({"views": ["cosine"]}, ("'cosine'", "score, jaccard, subspace, neuron")),
    "impossible view": ({"views": ["neuron_permuted"]}, ("two networks of equal width", "what can is score")),
    "unknown matching": ({"matching": "greedy"}, ("'greedy'", "mutual, best, hungarian")),
    "unknown null": ({"null": "none"}, ("'none'", "spectrum, permutation")),
    "too few draws": ({"null_draws": 1}, ("null_draws is 1", "at least 2")),
    "view of equal widths": (
        {"activations": [X, X[:, :9]], "dictionaries": [PAIR[0], FEATURES[:, :9]], "views": ["neuron_permuted"]},
        ("two networks of equal width", "what can is score"),
    ),
    "directions of unequal widths": (
        {"activations": [X, X[:, :9]], "dictionaries": [PAIR[0], FEATURES[:, :9]], "views": ["neuron"]},
        ("view 'neuron' can't be computed here (it needs equal widths); what can is score",),
    ),
    "encoders of directions alone": (
        {"dictionaries": [FEATURES, PAIR[0]], "views": ["encoder"]},
        ("it needs equal widths, and encoders", "what can is score, neuron"),
    ),
    "unknown device": ({"device": "tpu"}, ("'tpu' isn't known", "cpu, cuda")),
    "absent folder": ({"dictionaries": ["nowhere", PAIR[0]]}, ("dictionary 0: nowhere isn't there",)),
    "labels of other rows": ({"labels": torch.zeros(3, dtype=torch.int64)}, ("(3,)", "each of the 480 rows")),
    "labels that are no whole numbers": ({"labels": X[:, 0]}, ("float32", "one whole number for each")),
    "labels that all differ": ({"labels": torch.arange(480)}, ("all 240 labels", "coarsen")),
    "labels by a name that isn't there": ({"labels": "token"}, ("no array 'token'", "give labels as an array")),
    "absent activations": ({"activations": "nowhere.npz"}, ("nowhere.npz isn't there",)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, no_shape_checks):
    given, parts = BAD[case]
    with pytest.raises(ValueError, match=r".") as caught:
        homolog.compare(**{"dictionaries": PAIR, "activations": X} | given)
    text = str(caught.value)
    assert "\n" not in text
    assert [part for part in parts if part not in text] == [], text


def test_unreadable_folders_and_files_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"holds none of sae_weights.safetensors, sae.safetensors, ae.pt"):
        homolog.compare([tmp_path, PAIR[0]], X)
    (tmp_path / "x.npz").write_bytes(b"PK no")
    with pytest.raises(ValueError, match=r"x.npz can't be read as .npz"):
        homolog.compare([tmp_path / "x.npz", PAIR[0]], X)
    write_dictionary_learning(tmp_path / "gated", "GatedAutoEncoder", STATES["GatedAutoEncoder"])
    with pytest.raises(ValueError, match=r"directions of 6 units, and its activations 16"):
        homolog.compare([tmp_path / "gated", PAIR[0]], X)
    fitted = homolog.fit(X, {"method": "pca", "n_latents": [2, 3]}, progress=False)
    write_dictionaries(tmp_path / "grid.h5", fitted, {})
    with pytest.raises(ValueError, match=r"holds the grid points pca\[n_latents=2\], .*choose one"):
        homolog.compare([tmp_path / "grid.h5", PAIR[0]], X)


def test_codes_that_arent_finite_are_told():
    with pytest.raises(ValueError, match=r"codes hold \d+ values that aren't finite"):
        homolog.compare([(FEATURES * 3e38, FEATURES), PAIR[0]], X * 100, null_draws=2)


def test_few_rows_may_be_compared_with_shuffled_inputs_and_are_told():
    found = homolog.compare([reading(FEATURES), reading(FEATURES)], X[:60], null="permutation", null_draws=4)
    assert float(found.dataset.null_mean.sel(view="score")) < float(found.dataset.observed.sel(view="score")) == 1
    assert "inputs shuffled" in str(found)
    two = homolog.compare([reading(FEATURES)] * 2, [X[:60], -X[:60]], null="permutation", null_draws=4, matching="best")
    assert list(two.dataset.view.values) == ["score", "jaccard"], "nothing to fit a map to"
    told = homolog.compare(PAIR, X[:100], null_draws=2, views=["neuron"])
    assert "6.2 rows per unit, fewer than 10" in str(told)


# Parts


@pytest.mark.parametrize("chunk", [7, 1000])
@pytest.mark.parametrize("dense", [True, False])
def test_correlations_and_overlaps_are_those_of_numpy(chunk, dense, monkeypatch):
    monkeypatch.setattr(codes_module, "CHUNK", chunk)
    x = gaussian(150, 6, seed=1, dtype=torch.float32)
    sides = []
    for seed, latents in ((2, 5), (3, 4)):
        rows = directions(latents, 6, seed=seed)
        rows[-1] = 0  # Constant codes.
        made = homolog.comparing.dictionaries._from_arrays(reading(rows), "made")
        sides.append(Codes(made, InMemory(x)))
    if not dense:
        encode = Codes._encode
        monkeypatch.setattr(Codes, "_encode", lambda self, part: sparse.csr_array(encode(self, part).numpy()))
    a, b = (side.dictionary.codes(x).double().numpy() for side in sides)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.corrcoef(a.T, b.T)[:5, 5:])
    assert_close(correlations(*sides).double().numpy(), expected, atol=1e-6, rtol=1e-6)
    index = torch.tensor([2, 0, -1, 1, 3])
    pearson, jaccard = paired(*sides, index)
    for i, j in enumerate(index.tolist()):
        if j < 0:
            assert pearson[i].isnan()
            assert jaccard[i].isnan()
        else:
            both, either = ((a[:, i] != 0) & (b[:, j] != 0)).sum(), ((a[:, i] != 0) | (b[:, j] != 0)).sum()
            assert float(jaccard[i]) == pytest.approx(both / max(either, 1))
            assert float(pearson[i]) == pytest.approx(expected[i, j], abs=1e-6)
    assert_close(sides[0].rates, torch.from_numpy((a != 0).mean(0)))


def test_shuffled_codes_keep_their_distribution_and_lose_their_inputs():
    made = homolog.comparing.dictionaries._from_arrays(reading(FEATURES), "made")
    codes = Codes(made, InMemory(X))
    other = codes.shuffled("test", 1)
    assert_close(other.sums, codes.sums)
    r = correlations(codes, other).diagonal()
    assert float(r.abs().mean()) < 0.1
    assert torch.equal(correlations(codes, other), correlations(codes, codes.shuffled("test", 1)))


@pytest.mark.parametrize("activation", ["relu", "jumprelu"])
def test_a_turned_dictionary_fires_as_often_as_before(activation):
    threshold = {"threshold": torch.full((LATENTS,), 0.5)} if activation == "jumprelu" else {}
    made = homolog.comparing.dictionaries._from_arrays(reading(directions(seed=9)) | threshold, "made")
    assert made.activation == activation
    rates = torch.linspace(0.02, 0.6, LATENTS)
    found = (with_rates(made, rates, X).codes(X) != 0).double().mean(0)
    assert_close(found, rates.double(), atol=2 / ROWS, rtol=0)


@pytest.mark.parametrize("latents", [1, 40, 300, 16384])
def test_enough_is_drawn_for_p_values_that_survive_the_correction(latents):
    assert draws_needed(latents) * latents >= 2000
    assert draws_needed(16384) <= 6


def test_a_pool_of_unlike_latents_keeps_the_false_discovery_rate_of_all():
    """Nothing is stable; the nulls of half of the 24 latents are three times as wide, and all are one stratum.

    A false alarm in 1,000 of each line.
    """
    spread, repetitions = torch.tensor([1.0] * 12 + [3.0] * 12), 150
    generator, match, mutual = seeded(0), torch.zeros(24, dtype=torch.long), torch.ones(24, dtype=torch.bool)
    wrong, small = 0, torch.zeros(24)
    for _ in range(repetitions):
        drawn = spread * torch.randn(1 + draws_needed(24), 24, generator=generator)
        observed, *null = (Scored(match, row, mutual) for row in drawn)
        p, _ = against_null(observed, null)
        wrong += bool((benjamini_yekutieli(p.numpy()) <= 0.05).any())
        small += p <= 0.05
    assert stats.binom.sf(wrong - 1, repetitions, 0.05) > 1e-3
    assert stats.binom.sf(int(small.sum()) - 1, 24 * repetitions, 0.05) > 1e-3
    assert small[12:].mean() / repetitions > 0.07, "not each latent's own p-value"


# What it gives


@pytest.fixture(scope="module")
def result() -> homolog.Comparison:
    other, _ = partly_replaced(FEATURES, 12, seed=3)
    return homolog.compare({"a": reading(FEATURES), "b": reading(other)}, X, null_draws=10)


def test_it_prints_its_scale(result):
    text = str(result)
    assert text == repr(result)
    assert "2 dictionaries on 480 rows (240 to choose pairs" in text
    for word in ("observed", "null", "ceiling", "excess", "dead", "MMCS", "PW-MCC", "score", "encoder"):
        assert word in text
    assert max(len(line) for line in text.splitlines()) < 140


def test_the_figure_draws_every_view_beside_its_null(result, tmp_path):
    figure = result.plot()
    assert [axes.get_title("left").split("\n")[0] for axes in figure.axes[:4]] == list(result.dataset.view.values)
    for axes, view in zip(figure.axes, result.dataset.view.values, strict=False):
        curves = {line.get_label(): line.get_xdata() for line in axes.get_lines()}
        assert np.array_equal(curves["observed"], result.dataset.quantile_observed.sel(view=view))
        assert np.array_equal(curves["null"], result.dataset.quantile_null.sel(view=view))
    heights = [bar.get_height() for bar in figure.axes[-1].patches]
    assert sum(heights) == 80
    figure.savefig(tmp_path / "figure.pdf")


def test_curves_are_those_of_the_latents(result):
    data = result.dataset.sel(view="score")
    values = np.sort(data.similarity.values[~np.isnan(data.similarity.values)])[::-1]
    assert float(data.coverage_observed[-1]) == pytest.approx(values.mean())
    assert float(data.coverage_observed[50]) == pytest.approx(values[:40].mean())
    assert float(data.quantile_observed[0]) == pytest.approx(values.min())


@pytest.mark.parametrize("kind", [".nc", ".csv", ".txt"])
def test_it_is_saved_whole(kind, result, tmp_path):
    path = tmp_path / "out" / f"result{kind}"
    result.save(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    if kind == ".nc":
        with xr.open_dataset(path) as found:
            assert found.attrs["primary"] == "score"
            assert_close(found.similarity.values, result.dataset.similarity.values, equal_nan=True)
            assert list(found.status.values) == list(result.dataset.status.values)
    else:
        assert path.read_text().startswith("dictionary,latent" if kind == ".csv" else "2 dictionaries")
    with pytest.raises(ValueError, match=r"give one of .nc, .csv, .txt"):
        result.save(tmp_path / "result.pdf")


def test_the_device_is_where_it_was_asked_for():
    first, again = (
        homolog.compare(PAIR, X, null_draws=3, device=device).dataset for device in ("cpu", torch.device("cpu"))
    )
    xr.testing.assert_identical(first, again)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"'cuda' is asked for, and the number of CUDA devices is 0"):
            homolog.compare(PAIR, X, device="cuda")


def test_equal_calls_give_equal_bits_and_another_seed_another_null():
    first, again, other = (homolog.compare(PAIR, X, null_draws=3, seed=seed).dataset for seed in (0, 0, 1))
    xr.testing.assert_identical(first, again)
    assert_close(first.similarity.values, other.similarity.values, equal_nan=True)
    assert not np.array_equal(first.null.values, other.null.values, equal_nan=True)


def test_it_needs_nothing_of_the_workflow(tmp_path):
    code = f"""
import sys
for name in ("snakemake", "pydantic", "pydantic_core", "h5netcdf", "beartype", "yaml"):
    sys.modules[name] = None
import torch, homolog
x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
result = homolog.compare([torch.eye(6), torch.eye(6).flip(0)], x, null_draws=4)
result.save({str(tmp_path / "result.nc")!r})
result.plot()
print(len(result.table), len(str(result)) > 100)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == ["12", "True"]


# The pages


def test_the_example_in_readme_runs_and_is_ten_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) == 10
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "seed 0 in seed 1" in capsys.readouterr().out
    assert (tmp_path / "compared.pdf").stat().st_size > 1000
    data = names["result"].dataset
    assert int((data.found == 1).sum()) > 0.6 * int(data.live.sum()), "most planted features are found by both"


def test_the_page_names_every_argument_view_and_variable(result):
    page = (ROOT / "docs" / "python.md").read_text()
    arguments = set(homolog.compare.__annotations__) - {"return"}
    assert {name for name in arguments if f"| `{name}` |" not in page} == set()
    assert {view for view in VIEWS if f"| `{view}` |" not in page} == set()
    named = " ".join(re.findall(r"`([^`\n]+)`", page))
    variables = {str(name) for name in result.dataset.data_vars}
    ends = ("_by_pair", "coverage_", "quantile_", "mean_")
    assert {name for name in variables if name not in named and not any(end in name for end in ends)} == set()
