"""Do the nulls that replace a dictionary keep what they say, and lose the rest? In closed form and on planted truth."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from making import (
    GIVEN,
    OPTIONS,
    PAIRED,
    SPARSE,
    complete,
    gaussian,
    make_inputs,
    make_network,
    make_rows,
    one_of_each,
    record,
    seeded,
    spec_of,
)
from planted import codes_of, fitted, make_run, reading
from scipy import special, stats
from torch.testing import assert_close

from homolog.activations import describe_hook_points, stream_activations
from homolog.alignment.layer import build_layer
from homolog.alignment.matching import match_values
from homolog.alignment.nulls import isotropic_rows, permute_groups
from homolog.alignment.random_dictionaries import ISOTROPIC, SPECTRAL, random_dictionary
from homolog.analyses.comparison import NULL, compare, refits, turns_dictionary
from homolog.decompositions.fit import fit
from homolog.decompositions.gaussian import Gaussian, gaussian_like
from homolog.decompositions.samples import SHUFFLED_BLOCK, InMemory
from homolog.decompositions.start import start
from homolog.loading import load
from homolog.registry import METHODS, VIEWS
from homolog.store.activations import read_activations, write_activations
from homolog.tasks.base import Data

HOOK = "hidden_1"
PROVENANCE = {"spec": "{}", "code": "c", "run": "made/seed_0"}
# Codes of Gaussian samples are negative, which NMF doesn't take; a crosscoder spans several runs.
FITTED = [name for name in METHODS if name not in ("nmf", "crosscoder")]


def view_of(name):
    return load(VIEWS[name])(by_name=True)


# Isotropic and turned dictionaries


@pytest.mark.parametrize("dims", [2, 3, 10, 64])
def test_isotropic_rows_have_the_beta_law_of_a_cosine(dims):
    rows = isotropic_rows(4000, dims, seeded(dims))
    assert_close(rows.norm(dim=1), torch.ones(4000).double())
    cosines = (rows[::2] * rows[1::2]).sum(1).numpy()
    # Squared cosine of uniform directions: Beta(1/2, (d - 1)/2). False-alarm rate of each line 1e-4.
    assert stats.kstest(cosines**2, stats.beta(0.5, (dims - 1) / 2).cdf).pvalue > 1e-4
    assert stats.binomtest(int((cosines > 0).sum()), 2000).pvalue > 1e-4


def test_the_isotropic_role_of_an_analysis_has_that_laws_mean():
    """Rank by rank nothing is selected: |cos| in 6 dimensions has mean Gamma(3) / (sqrt(pi) Gamma(3.5))."""
    a = fitted(make_run("a", codes_of(0)))
    found = compare(view_of("neuron"), a, a, refits(a, a), ["rank", "hungarian"], 4, ISOTROPIC, 400)
    expected = special.gamma(3) / (np.pi**0.5 * special.gamma(3.5))
    # 1,600 cosines with a standard deviation of at most 0.25; they aren't all independent: five errors of 800.
    assert found.by_matching[0] == pytest.approx(expected, abs=5 * 0.25 / 800**0.5)
    # Matched one to one on the same directions, which lifts it.
    assert found.by_matching[1] > expected + 0.1


def test_a_turned_dictionary_keeps_its_gram_matrix_and_an_isotropic_one_keeps_nothing_but_lengths():
    a = fitted(make_run("a", codes_of(0)))
    d = a.members["a", 0]
    gram = d.directions @ d.directions.T
    turned = random_dictionary(SPECTRAL, a.layer, d, seeded(0))
    drawn = random_dictionary(ISOTROPIC, a.layer, d, seeded(0))
    assert_close(turned.directions @ turned.directions.T, gram)
    assert (drawn.directions @ drawn.directions.T - gram).abs().max() > 0.1
    assert_close(drawn.encoder.norm(dim=1), d.encoder.norm(dim=1))
    for other in (turned, drawn):
        assert (other.directions - d.directions).norm() > 0.5


@pytest.mark.parametrize("kind", [ISOTROPIC, SPECTRAL])
def test_latents_with_a_threshold_fire_as_often_as_before(kind):
    a = fitted(make_run("a", codes_of(0)))
    rates = torch.tensor([0.05, 0.1, 0.2, 0.4]).double()
    sparse = replace(a.members["a", 0], activation="relu", encoder_bias=torch.zeros(4).double() - 9, firing_rate=rates)
    drawn = random_dictionary(kind, a.layer, sparse, seeded(1))
    found = (drawn.codes(a.layer.activations["match"]) != 0).double().mean(0)
    assert_close(found, rates, atol=1.5 / 400, rtol=0)


@pytest.mark.parametrize("kind", [NULL, ISOTROPIC, SPECTRAL])
@pytest.mark.parametrize("name", ["score", "write_out"])
def test_every_null_selects_anew(name, kind):
    """The value of a null is that of its own matching, selected on its own match fold; not that of the observed one."""
    view, a, b = view_of(name), fitted(make_run("a", codes_of(0))), fitted(make_run("b", codes_of(0)))
    found = compare(view, a, b, refits(a, b), ["hungarian"], 4, kind, 2).by_matching[0]
    by_hand, with_observed = [], []
    for key_a, key_b in refits(a, b):
        own, other, plain = (
            one.signatures(view, key, *how) for one, key, how in ((a, key_a, ()), (b, key_b, (kind, 0)), (b, key_b, ()))
        )
        match, score = (own.match @ other.match.T).abs(), (own.score @ other.score.T).abs()
        by_hand.append(float(match_values(match, score, "hungarian")))
        with_observed.append(float(match_values((own.match @ plain.match.T).abs(), score, "hungarian")))
    assert found == pytest.approx(np.mean(by_hand))
    assert found != pytest.approx(np.mean(with_observed))


def test_only_geometric_views_turn_the_dictionary_themselves():
    assert {name: turns_dictionary(view_of(name)) for name in ("score", "write_out", "read_in", "neuron")} == {
        "score": False, "write_out": True, "read_in": True, "neuron": True,
    }  # fmt: skip


def test_what_runs_share_as_subspaces_alone_is_the_spectral_nulls_and_not_the_isotropic_ones():
    """The price of blocks of at least 4 directions: the null holds their subspaces, and asks for directions within.

    Two runs have the same two subspaces of 4 and nothing else in common. The turned null reaches what is observed, so
    that nothing is left; against isotropic directions the shared subspaces show.
    """
    spread = torch.tensor([5.0] * 4 + [1.0] * 4).double()
    view, observed, turned, uniform = view_of("neuron"), [], [], []
    for draw in range(12):
        runs = []
        for side in (0, 1):
            blocks = [torch.linalg.qr(gaussian(4, 4, seed=1000 * draw + 10 * side + i))[0] for i in (0, 1)]
            codes = gaussian(800, 8, seed=2000 + 10 * draw + side) * spread
            members = [reading(torch.block_diag(*blocks), rows=rows) for rows in ("all", "a", "b")]
            runs.append(fitted(make_run(f"run {draw} {side}", codes, {"planted": members})))
        members = refits(*runs)
        observed.append(compare(view, *runs, members, ["hungarian"], 8).by_matching[0])
        turned.append(compare(view, *runs, members, ["hungarian"], 8, SPECTRAL, 10).by_matching[0])
        uniform.append(compare(view, *runs, members, ["hungarian"], 8, ISOTROPIC, 10).by_matching[0])
    error = np.std(observed, ddof=1) / 12**0.5
    assert abs(np.mean(observed) - np.mean(turned)) < 4 * error
    assert np.mean(observed) - np.mean(uniform) > 8 * error


# Documents


def test_permuting_groups_keeps_each_whole_and_in_order():
    groups = torch.tensor([3, 3, 3, 1, 1, 7, 7, 7, 7])
    seen = set()
    for seed in range(50):
        index = permute_groups(groups, seeded(seed))
        assert index.sort().values.equal(torch.arange(9))
        blocks = [index[groups[index] == name] for name in (3, 1, 7)]
        assert all(block.equal(torch.arange(int(block[0]), int(block[0]) + len(block))) for block in blocks)
        starts = torch.nonzero(groups[index].diff()).flatten()
        assert len(starts) == 2  # each document once, in one piece
        seen.add(tuple(groups[index].tolist()))
    assert len(seen) == 6


def test_one_group_is_refused():
    with pytest.raises(ValueError, match=r"at least two.*12 rows are of 1: give more documents"):
        permute_groups(torch.zeros(12, dtype=torch.long), seeded(0))


def planted_tokens(seed, documents=40, length=20, tokens=6):
    """Rows of documents: a token each, the same for all runs, and a topic of each run's own for a document."""
    samples = documents * length
    token = torch.randint(tokens, (samples,), generator=seeded(7))
    document = torch.arange(samples) // length
    topic = gaussian(documents, 4, seed=100 + seed)[document]
    return token, document, topic


def test_token_identity_is_what_permuting_within_tokens_keeps():
    """Latents of two runs know the token and nothing else: all of their similarity is the conditional null's."""
    runs = []
    for seed in (0, 1):
        token, _, _ = planted_tokens(seed)
        codes = torch.nn.functional.one_hot(token, 6).double() + 0.1 * gaussian(len(token), 6, seed=seed)
        run = make_run(f"run {seed}", codes)
        labels = {"match": token[::2], "score": token[1::2]}
        run.layers["hidden_1"] = replace(run.layers["hidden_1"], labels=labels)
        runs.append(fitted(run))
    view = view_of("score")
    value = {
        kind: compare(view, *runs, refits(*runs), ["hungarian"], 4, kind, 10).by_matching[0]
        for kind in ("observed", NULL, "conditional_null")
    }
    assert value["observed"] > 0.7
    assert value["conditional_null"] == pytest.approx(value["observed"], abs=0.02)
    assert value[NULL] < 0.15


def test_whole_documents_give_the_chance_of_rows_that_arent_exchangeable():
    """Topics of unrelated runs are alike by chance: more than shuffled rows say, and as shuffled documents do."""
    value = {"observed": [], "rows": [], "documents": []}
    view = view_of("score")
    for seed in range(8):
        runs = {}
        for kind in ("rows", "documents"):
            runs[kind] = []
            for side in (0, 1):
                _, document, topic = planted_tokens(10 * seed + side)
                run = make_run(f"run {seed} {side} {kind}", torch.cat([topic, topic[:, :2]], 1))
                folds = {"match": document[::2], "score": document[1::2]}
                layer = replace(run.layers["hidden_1"], documents=folds if kind == "documents" else None)
                run.layers["hidden_1"] = layer
                runs[kind].append(fitted(run))
            members = refits(*runs[kind])
            value[kind].append(compare(view, *runs[kind], members, ["rank"], 4, NULL, 20).by_matching[0])
        members = refits(*runs["rows"])
        value["observed"].append(compare(view, *runs["rows"], members, ["rank"], 4).by_matching[0])
    mean = {name: np.mean(values) for name, values in value.items()}
    error = np.std(value["observed"], ddof=1) / 8**0.5
    assert abs(mean["observed"] - mean["documents"]) < 4 * error
    # 40 topics, so |r| of about sqrt(2 / (pi 40)) = .13, and not the .04 of 400 rows.
    assert mean["documents"] > 2 * mean["rows"]


def test_further_numbers_of_the_rows_are_read_by_name(tmp_path):
    """What a file holds of its rows can be what the conditional null keeps, or which rows belong together."""
    network, rows, inputs = make_network([8, 7]), make_rows(40), make_inputs(40)
    data = Data(inputs.float(), rows.label, rows.split, rows.half, n_classes=5)
    path = tmp_path / "activations.h5"
    batches = stream_activations(network, inputs, ["hidden_1"], 40, "cpu")
    write_activations(path, describe_hook_points(network, ["hidden_1"]), batches, data, "float32", PROVENANCE)
    token = torch.arange(40) % 3
    with h5py.File(path, "a") as file:
        file["token_id"], file["document"] = token.numpy().astype("int32"), (torch.arange(40) // 10).numpy()
        file["weight"] = token.double().numpy()
    read = read_activations(path, "hidden_1")
    assert set(read.rows.more) == {"token_id", "document"}
    assert read.rows.named("token_id").equal(token)
    assert read.rows.named("label").equal(rows.label)
    with pytest.raises(ValueError, match=r"no 'word'; they have document, input_id, label, token_id: choose"):
        read.rows.named("word")
    layer = build_layer(network.double(), read, None, read.gauge, "cpu", "token_id", "document")
    for fold, half in (("match", 0), ("score", 1)):
        index = rows.where(1, half)
        assert layer.labels[fold].equal(token[index])
        assert layer.documents[fold].equal(index // 10)


# Gaussian samples


def test_gaussian_samples_have_the_joint_moments_of_what_they_stand_for():
    x = gaussian(500, 3, seed=1) @ gaussian(3, 3, seed=2) + 5
    y = x @ gaussian(3, 2, seed=3) + 0.1 * gaussian(500, 2, seed=4)
    sides = [InMemory(side.float()) for side in (x, y)]
    ((a, b),) = gaussian_like(sides, [200_000], ("test",))
    drawn = torch.cat([a.whole(), b.whole()], 1).double()
    truth = torch.cat([x, y], 1)
    covariance = torch.cov(truth.T, correction=0)
    deviation = covariance.diagonal().sqrt()
    scale = torch.outer(deviation, deviation)
    # Errors of 200,000 samples: of a mean 1/447 deviations, of a covariance up to sqrt(2)/447: five of each.
    assert ((drawn.mean(0) - truth.mean(0)).abs() < 5 / 447 * deviation).all()
    assert ((torch.cov(drawn.T) - covariance).abs() < 5 * 2**0.5 / 447 * scale).all()


def test_gaussian_samples_are_the_same_however_they_are_read_and_others_for_another_key():
    mean, root = torch.zeros(3).double(), torch.eye(3).double()
    samples = Gaussian(2 * SHUFFLED_BLOCK + 10, mean, root, ("test",))
    whole = samples.whole()
    assert whole.shape == (2 * SHUFFLED_BLOCK + 10, 3)
    for start_, stop in ((0, 1), (SHUFFLED_BLOCK - 3, SHUFFLED_BLOCK + 3), (5, 2 * SHUFFLED_BLOCK + 10)):
        assert samples.read(start_, stop).equal(whole[start_:stop])
    rows = torch.tensor([0, 2 * SHUFFLED_BLOCK + 9, 17])
    assert samples.take(rows).equal(whole[rows])
    assert not Gaussian(10, mean, root, ("other",)).whole().equal(whole[:10])
    first, second = (one[0].whole() for one in gaussian_like([InMemory(whole)], [50, 50], ("test",)))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / 150**0.5


@pytest.fixture(scope="module")
def world():
    network, rows = make_network([8, 7, 9]), make_rows(600)
    inputs = make_inputs(600)
    return {name: record(network, inputs, rows, name, dtype=torch.float32) for name in ("hidden_1", "hidden_2")}


@pytest.mark.parametrize("name", one_of_each(FITTED))
def test_every_method_is_fitted_to_two_sets_of_gaussian_samples(world, name):
    partner = world["hidden_2"] if name in PAIRED else None
    spec = spec_of(name, [OPTIONS[name]])
    plain = fit(spec, world[HOOK], partner)
    nulls = fit(spec | {"gaussian": True, "run": {"model": "made-gaussian", "seed": 0}}, world[HOOK], partner)
    assert [d.member["rows"] for d in nulls] == ["a", "b"]
    for d in nulls:
        assert d.directions.shape == plain[0].directions.shape
        assert d.directions.isfinite().all()
        assert not any(torch.equal(d.directions, other.directions) for other in plain)


def test_linear_methods_find_in_gaussian_samples_what_they_find_in_the_data():
    """PCA and CCA see the first two moments alone: the Gaussian null is as good as a refit, and says so."""
    rows = make_rows(8000)
    network, inputs = make_network([8, 7, 9]), make_inputs(8000)
    recorded = {name: record(network, inputs, rows, name) for name in ("hidden_1", "hidden_2")}
    for name, partner in (("pca", None), ("cca", recorded["hidden_2"])):
        spec = spec_of(name, [complete(name, n_latents=1)])
        plain = fit(spec, recorded[HOOK], partner)[0]
        null = fit(spec | {"gaussian": True}, recorded[HOOK], partner)[0]
        cosine = torch.nn.functional.cosine_similarity(plain.directions, null.directions).abs()
        assert float(cosine) > 0.9, name


@pytest.mark.parametrize("name", one_of_each(name for name in SPARSE if name != "crosscoder"))
def test_a_start_drawn_again_is_the_one_that_training_began_with(world, name):
    """`moved`, which is stored, is one minus the cosine between a direction and its start."""
    spec = spec_of(name, [OPTIONS[name]], seeds=(0, 1))
    trained = {(d.member["rows"], d.member["seed"]): d for d in fit(spec, world[HOOK])}
    begun = start(spec, world[HOOK])
    assert [(d.member["rows"], d.member["seed"]) for d in begun] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    for d in begun:
        end = trained[d.member["rows"], d.member["seed"]]
        moved = 1 - (d.directions * end.directions).sum(1)
        assert_close(moved, end.moved, atol=1e-5, rtol=0)
        assert float(end.moved.abs().max()) > 1e-3
        assert d.codes(world[HOOK].values).isfinite().all()


def test_a_method_without_training_has_no_start(world):
    with pytest.raises(ValueError, match=r"pca: .*PCA isn't trained step by step"):
        start(spec_of("pca", [OPTIONS["pca"]]), world[HOOK])


def test_there_is_something_to_fit():
    assert len(FITTED) > 10
    assert GIVEN
