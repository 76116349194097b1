"""Tracks are the planted features in the runs where they survived, and among unrelated dictionaries there are none."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homolog.alignment.assignment.pairs import Cosine
from homolog.alignment.links import link, link_level
from homolog.alignment.matching import Matched, match
from homolog.alignment.survival import coverage, survival
from homolog.alignment.track_nulls import significance, table
from homolog.alignment.tracks import track
from homolog.alignment.transitions import track_similarity, transitions
from homolog.store.tracks import read_tracks, write_tracks

PROVENANCE = {"homolog_version": "0", "spec": "{}"}


def matched(index, similarity):
    index, similarity = torch.as_tensor(index), torch.as_tensor(similarity, dtype=torch.float64)
    similarity = torch.where(index >= 0, similarity, torch.nan)
    return Matched(float(similarity.nanmean()), similarity, index)


def planted(sizes, survival, right, seed, forced=True):
    """The feature of each latent of each run, -1 for none, and links of which a share `right` of the true ones is kept.

    All other latents are matched at random if `forced`, as an assignment would, and else not at all.
    """
    rng = np.random.default_rng(seed)
    survival = np.asarray(survival)
    truth = [np.full(size, -1) for size in sizes]
    for feature_of in truth:
        there = rng.permutation(np.flatnonzero(rng.random(len(survival)) < survival))[: len(feature_of)]
        feature_of[rng.permutation(len(feature_of))[: len(there)]] = there
    links = {}
    for i, j in combinations(range(len(sizes)), 2):
        place = {feature: b for b, feature in enumerate(truth[j]) if feature >= 0}
        index = np.asarray([place.get(feature, -1) if rng.random() < right else -1 for feature in truth[i]])
        if forced:
            free_a, free_b = rng.permutation(np.flatnonzero(index < 0)), np.setdiff1d(np.arange(sizes[j]), index)
            count = min(len(free_a), len(free_b))
            index[free_a[:count]] = rng.permutation(free_b)[:count]
        links[i, j] = matched(index, rng.random(sizes[i]))
    return truth, links


def members(tracks):
    """The tracks as sets of (run, latent)."""
    return {frozenset((k, a) for k, a in enumerate(row) if a >= 0) for row in tracks.latent.tolist()}


def true_members(truth, least_runs=3):
    features = {f for feature_of in truth for f in feature_of.tolist() if f >= 0}
    found = [[(k, a) for k, of in enumerate(truth) for a in np.flatnonzero(of == f).tolist()] for f in features]
    return {frozenset(one) for one in found if len(one) >= least_runs}


def read_back(truth, tracks, features):
    """Precision and recall of the members of the tracks of these features; each feature has its best track."""
    right = size = 0
    for f in features:
        at = np.stack(
            [np.where(row >= 0, [of[a] for of, a in zip(truth, row, strict=True)], -1) for row in tracks.latent]
        )
        hits = (at == f).sum(1)
        best = int(hits.argmax())
        # A track belongs to the feature that most of its members have.
        if hits[best] * 2 > tracks.found[best]:
            right, size = right + hits[best], size + tracks.found[best]
    return right / size, right / sum(int((of == f).sum()) for of in truth for f in features)


def gaussian_dictionaries(runs, latents, units, rng):
    dictionaries = rng.normal(size=(runs, latents, units))
    return dictionaries / np.linalg.norm(dictionaries, axis=2, keepdims=True)


def cosines(dictionaries, live=None):
    """Similarities of live latents, all if not given."""
    kept = dictionaries if live is None else [d[mask] for d, mask in zip(dictionaries, live, strict=True)]
    return lambda i, j: (torch.as_tensor(kept[i] @ kept[j].T),) * 2


def cosine_links(dictionaries, live=None, **options):
    return link(cosines(dictionaries, live), [len(d) for d in dictionaries], live, **options)


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(5, 12), min_size=3, max_size=12),
    survival=st.lists(st.sampled_from([1.0, 0.7, 0.3]), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
)
def test_noiseless_partial_permutations_are_recovered_exactly(sizes, survival, seed):
    truth, links = planted(sizes, survival, 1, seed, forced=False)
    tracks = track(links, sizes)
    assert members(tracks) == true_members(truth)
    inside = tracks.latent >= 0
    assert (tracks.support[inside] == 1).all()
    assert np.isnan(tracks.support[~inside]).all()


# Seen over seeds 0 to 5: recall at least (1, 1, .974) at 90 % and (.995, .986, .736) at 70 %; precision at least .996.
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("right", "recall"), [(0.9, (0.99, 0.99, 0.95)), (0.7, (0.98, 0.96, 0.7))])
def test_planted_survival_is_read_back_from_50_runs(right, recall, seed):
    survival = np.repeat([1, 0.8, 0.5, 0.2], 30)
    truth, links = planted([120] * 50, survival, right, seed)
    tracks = track(links, [120] * 50)
    for level, least in zip([[1, 0.8], [0.5], [0.2]], recall, strict=True):
        precision, recalled = read_back(truth, tracks, np.flatnonzero(np.isin(survival, level)))
        assert precision > 0.99
        assert recalled > least
    # Accidents stay small: no more tracks of six runs and more than there are features.
    assert (tracks.found > 5).sum() <= len(survival)


def test_full_agreement_kills_what_a_quorum_keeps():
    truth, links = planted([60] * 50, np.ones(60), 0.9, 0)
    assert members(track(links, [60] * 50)) == true_members(truth)
    assert not members(track(links, [60] * 50, quorum=1.0)) & true_members(truth)


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 10), min_size=3, max_size=8),
    right=st.floats(0, 1),
    quorum=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_tracks_are_partial_permutations_with_a_quorum(sizes, right, quorum, seed):
    _, links = planted(sizes, np.full(8, 0.7), right, seed)
    tracks = track(links, sizes, quorum)
    assert (tracks.found >= 3).all()
    for run, size in enumerate(sizes):
        there = tracks.latent[tracks.latent[:, run] >= 0, run]
        assert len(set(there.tolist())) == len(there)
        assert (there < size).all()
    for row, similarity, support in zip(tracks.latent, tracks.similarity, tracks.support, strict=True):
        for run in np.flatnonzero(row >= 0):
            pairs = [(min(run, k), max(run, k)) for k in np.flatnonzero(row >= 0) if k != run]
            linked = [links[i, j].per_latent[row[i]] for i, j in pairs if links[i, j].index[row[i]] == row[j]]
            assert len(linked) >= max(2, quorum * len(pairs))
            assert support[run] == len(linked) / len(pairs)
            assert similarity[run] == pytest.approx(float(np.mean(linked)))
    assert (np.diff(tracks.found) <= 0).all()


@settings(max_examples=30)
@given(right=st.sampled_from([0.6, 0.8, 1.0]), seed=st.integers(0, 2**32))
def test_order_of_runs_and_latents_does_not_matter(right, seed):
    """Similarities are continuous here, so there are no ties."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(10, 20, size=8).tolist()
    _, links = planted(sizes, np.full(12, 0.7), right, seed)
    runs = rng.permutation(8)
    latents = [rng.permutation(size) for size in sizes]  # latents[i][new] = old
    moved = {}
    for x, y in combinations(range(8), 2):
        i, j = runs[x], runs[y]
        one = links[min(i, j), max(i, j)]
        index, similarity = one.index.numpy(), one.per_latent.numpy()
        if i > j:
            there = np.flatnonzero(index >= 0)
            back, value = np.full(sizes[i], -1), np.full(sizes[i], np.nan)
            back[index[there]], value[index[there]] = there, similarity[there]
            index, similarity = back, value
        old = latents[i]
        new_of = np.append(np.argsort(latents[j]), -1)
        moved[x, y] = matched(new_of[index[old]], similarity[old])
    tracks, again = track(links, sizes), track(moved, [sizes[i] for i in runs])
    named = {frozenset((int(runs[x]), int(latents[runs[x]][a])) for x, a in one) for one in members(again)}
    assert named == members(tracks)
    np.testing.assert_allclose(np.sort(again.strength), np.sort(tracks.strength))


def test_the_same_input_gives_the_same_bits():
    _, links = planted([40] * 10, np.full(40, 0.6), 0.8, 0)
    one, two = track(links, [40] * 10), track(links, [40] * 10)
    for name in ("latent", "similarity", "support"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_nothing_linked_has_no_tracks():
    links = {pair: matched([-1, -1], [0.0, 0.0]) for pair in combinations(range(3), 2)}
    tracks = track(links, [2, 2, 2])
    assert tracks.latent.shape == (0, 3)
    assert table(tracks, ["a", "b", "c"]).sizes["track"] == 0


def test_dead_latents_are_in_no_track_and_leave_no_trace():
    """Dead atoms left at one shared start look perfectly stable."""
    rng = np.random.default_rng(0)
    dictionaries = gaussian_dictionaries(5, 20, 30, rng)
    dictionaries[:, :8] = dictionaries[0, :8]
    live = [np.arange(20) >= 4] * 5
    all_of_them, only_live = (track(cosine_links(dictionaries, live=one), [20] * 5) for one in (None, live))
    assert np.isin(np.arange(8), all_of_them.latent[all_of_them.found == 5][:, 0]).all()
    assert not np.isin(only_live.latent, np.arange(4)).any()
    assert {frozenset((k, a) for k in range(5)) for a in range(4, 8)} <= members(only_live)


def test_pairs_are_selected_on_one_half_and_scored_on_the_other():
    rng = np.random.default_rng(0)
    halves = {pair: torch.as_tensor(rng.normal(size=(2, 12, 12))) for pair in combinations(range(3), 2)}
    links = link(lambda i, j: tuple(halves[i, j]), [12] * 3, at_least=1.5)
    for pair, (selection, scoring) in halves.items():
        whole = match(selection, scoring, "hungarian")
        kept = selection[torch.arange(12), whole.index] >= 1.5
        assert 0 < kept.sum() < 12
        assert links[pair].index.equal(torch.where(kept, whole.index, -1))
        assert links[pair].per_latent[kept].equal(whole.per_latent[kept])


def test_a_habit_of_the_nearest_is_no_track_once_links_must_exceed_the_null():
    """Where a feature is gone, the same latent is nearest to all its members: forced links make that one a member."""
    rng = np.random.default_rng(0)
    features = gaussian_dictionaries(1, 64, 24, rng)[0]
    dictionaries, null = gaussian_dictionaries(20, 64, 24, rng), gaussian_dictionaries(6, 64, 24, rng)
    truth = []
    for dictionary in dictionaries:
        there = np.flatnonzero(rng.random(64) < 0.4)
        dictionary[there] = features[there] + 0.3 * dictionary[there]
        truth.append(np.where(np.isin(np.arange(64), there), np.arange(64), -1))
    level = link_level([cosines(null)], [64] * 6)
    forced, above = (track(cosine_links(dictionaries, at_least=least), [64] * 20) for least in (-np.inf, level))
    assert read_back(truth, forced, range(64))[0] < 0.8
    precision, recall = read_back(truth, above, range(64))
    assert precision > 0.93
    assert recall > 0.95


@pytest.mark.parametrize("at_least", [-np.inf, 0.9])
def test_pairs_that_are_never_a_matrix_are_linked_alike(at_least):
    """Exactly one to one on candidates, as by the dense solver on the whole matrix; dead latents left out."""
    rng = np.random.default_rng(0)
    features = gaussian_dictionaries(1, 40, 30, rng)[0]
    dictionaries = features + 0.05 * gaussian_dictionaries(4, 40, 30, rng)
    dictionaries = dictionaries / np.linalg.norm(dictionaries, axis=2, keepdims=True)
    live = [rng.random(40) < 0.9 for _ in dictionaries]
    kept = [torch.as_tensor(d[mask]) for d, mask in zip(dictionaries, live, strict=True)]
    whole = cosine_links(dictionaries, live, at_least=at_least)
    sparse = link(lambda i, j: (Cosine(kept[i], kept[j]),) * 2, [40] * 4, live, at_least)
    for pair, matched in whole.items():
        assert sparse[pair].index.equal(matched.index)
        torch.testing.assert_close(sparse[pair].per_latent, matched.per_latent, equal_nan=True)
    assert (whole[0, 1].index >= 0).sum() > 25


def test_the_level_of_links_is_the_quantile_of_what_selects_them():
    rng = np.random.default_rng(0)
    draws = [torch.as_tensor(rng.normal(size=(3, 2, 10, 10))) for _ in range(5)]
    place = {(0, 1): 0, (0, 2): 1, (1, 2): 2}
    level = link_level([lambda i, j, d=d: tuple(d[place[i, j]]) for d in draws], [10] * 3)
    values = torch.cat([match(d[k][0], d[k][0], "hungarian").per_latent for d in draws for k in range(3)])
    assert level == values.sort().values[int(np.ceil(0.95 * 151)) - 1]


def test_similarities_must_be_those_of_the_live_latents(no_shape_checks):
    with pytest.raises(ValueError, match=r"0 and 1 have 2 and 2 live latents, but .* shape \(3, 3\)"):
        link(lambda i, j: (torch.eye(3).double(),) * 2, [3] * 3, [np.arange(3) > 0] * 3)


def test_runs_without_live_latents_have_no_links():
    live = [np.zeros(3, bool), np.ones(3, bool), np.ones(3, bool)]
    links = link(lambda i, j: (torch.eye(3).double(),) * 2, [3] * 3, live)
    assert (links[0, 1].index == -1).all()
    assert (links[1, 2].index == torch.arange(3)).all()


@settings(max_examples=30)
@given(right=st.sampled_from([0.5, 0.8, 1.0]), seed=st.integers(0, 2**32))
def test_survival_and_coverage_count_latents_and_their_tracks(right, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(4, 10, size=5).tolist()
    _, links = planted(sizes, np.full(8, 0.7), right, seed)
    tracks, live = track(links, sizes), [rng.random(size) < 0.8 for size in sizes]
    rows = tracks.latent.tolist()
    of = [{row[k]: row for row in rows if row[k] >= 0} for k in range(5)]
    for r, seen in enumerate(survival(tracks, live)):
        shares = [
            np.mean([sum(m >= 0 for m in of[k].get(a, [])) >= r for a in np.flatnonzero(live[k])])
            for k in range(5)
            if live[k].any()
        ]
        assert seen == pytest.approx(np.mean(shares))
    seen = coverage(tracks, live)
    for i in range(5):
        for j in range(5):
            alive = np.flatnonzero(live[i])
            if i == j or not len(alive):
                assert np.isnan(seen[i, j])
            else:
                assert seen[i, j] == np.mean([a in of[i] and of[i][a][j] >= 0 for a in alive])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"sizes": [4, 4]}, "at least 3 runs"),
        ({}, {"quorum": 0.0}, r"quorum.*\(0, 1\]"),
        ({}, {"least_runs": 5}, "between 3 and the number of runs, 4"),
        ({(0, 1): None}, {}, r"1 are missing, e.g. \(0, 1\)"),
        ({(0, 1): matched([0, 0, 1, 2], np.ones(4))}, {}, "runs 0 and 1 is not one to one: 4 latents share 3"),
        ({(0, 1): matched([0, 1, 2, 4], np.ones(4))}, {}, "partners up to 4"),
        ({(0, 1): matched([0, 1, 2], np.ones(3))}, {}, "has 3 latents"),
        ({(1, 2): matched([0, 1, 2, 3], [1, 1, 1, np.nan])}, {}, "isn't finite"),
    ],
)
def test_unfit_matchings_are_refused(change, options, message):
    _, links = planted([4] * 4, np.ones(4), 1, 0)
    links = {pair: one for pair, one in (links | change).items() if one is not None}
    with pytest.raises(ValueError, match=message):
        track(links, **({"sizes": [4] * 4} | options))


def test_masks_of_live_latents_must_fit():
    with pytest.raises(ValueError, match=r"of sizes \[3, 3, 3\], but its sizes are \[2, 3, 3\]"):
        link(lambda i, j: (torch.eye(3).double(),) * 2, [3] * 3, live=[np.ones(n, bool) for n in (2, 3, 3)])


def judged(dictionaries, null, **options):
    links = cosine_links(dictionaries)
    sizes = [len(d) for d in dictionaries]
    tracks = track(links, sizes, **options)
    return tracks, significance(tracks, links, (cosine_links(draw) for draw in null))


@pytest.mark.parametrize(("repetitions", "most"), [(10, 2), pytest.param(200, 17, marks=pytest.mark.slow)])
def test_unrelated_dictionaries_have_no_significant_tracks(repetitions, most):
    """At a nominal 5 %: so many repetitions of a test of that level have more than `most` with a chance below 2 %."""
    rng = np.random.default_rng(0)
    false = spurious = 0
    for _ in range(repetitions):
        draws = [gaussian_dictionaries(4, 8, 5, rng) for _ in range(20)]
        tracks, found = judged(draws[0], draws[1:])
        spurious += len(tracks.found)
        false += bool((found.adjusted <= 0.05).any())
    assert spurious > repetitions  # there are tracks in plenty, so that there is something to refuse
    assert false <= most


def test_shared_latents_are_significant_and_the_rest_is_not():
    rng = np.random.default_rng(0)
    draws = [gaussian_dictionaries(5, 30, 16, rng) for _ in range(20)]
    draws[0][:, :15] = gaussian_dictionaries(1, 15, 16, rng)[0] + 0.3 * draws[0][:, :15]
    draws[0] /= np.linalg.norm(draws[0], axis=2, keepdims=True)
    tracks, found = judged(draws[0], draws[1:])
    called = found.adjusted <= 0.05
    shared = {frozenset((k, a) for k in range(5)) for a in range(15)}
    assert {frozenset(enumerate(row)) for row in tracks.latent[called].tolist()} == shared
    inside = tracks.latent >= 0
    assert np.isnan(found.member_p_value[~inside]).all()
    assert (found.member_p_value[called] < 0.05).all()
    assert np.median(found.member_p_value[~called & (tracks.found >= 3)][inside[~called]]) > 0.1
    assert found.null_found[:3].sum() == 0
    # Each draw's tracks are counted by their number of members.
    assert found.null_found.sum() * 19 == pytest.approx(
        sum(len(track(cosine_links(d), [30] * 5).found) for d in draws[1:])
    )


def test_p_values_count_what_the_null_reaches():
    """Against draws that are the observed matchings themselves, a track is beaten by all that are as strong."""
    _, links = planted([6] * 5, np.ones(6), 0.9, 0)
    tracks = track(links, [6] * 5)
    found = significance(tracks, links, [links] * 19)
    places = 30 // 3
    as_strong = [(tracks.strength >= one).sum() for one in tracks.strength]
    np.testing.assert_allclose(found.p_value, [(1 + 19 * n) / (1 + 19 * places) for n in as_strong])
    for row, p in zip(tracks.latent, found.member_p_value, strict=True):
        by_link = []
        for k in np.flatnonzero(row >= 0):
            i, j = min(0, k), max(0, k)
            if k and links[i, j].index[row[0]] == row[k]:
                values = links[i, j].per_latent
                by_link.append((1 + 19 * int((values >= values[row[0]]).sum())) / (1 + 19 * 6))
        assert np.isnan(p[0]) if row[0] < 0 else p[0] == pytest.approx(min(1, 2 * np.mean(by_link)))


def test_a_null_needs_19_draws():
    _, links = planted([4] * 4, np.ones(4), 1, 0)
    with pytest.raises(ValueError, match="at least 19 draws, but has 18"):
        significance(track(links, [4] * 4), links, [links] * 18)


def test_a_table_of_tracks_is_written_and_read(tmp_path):
    truth, links = planted([12] * 5, np.full(12, 0.8), 1, 0)
    tracks = track(links, [12] * 5)
    found = significance(tracks, links, [links] * 19)
    dataset = table(tracks, list("abcde"), found)
    path = tmp_path / "tracks.nc"
    write_tracks(path, dataset, PROVENANCE)
    again = read_tracks(path)
    assert again.drop_attrs().equals(dataset.drop_attrs())
    assert again.attrs["homolog_artefact"] == "tracks"
    assert again.attrs["null_draws"] == 19
    assert (again.found_low < again.found / 5).all()
    row = again.sel(track=0)
    assert row.sizes["run"] == int(row.found)
    assert {truth[k][a] for k, a in enumerate(row.latent.values)} == {int(truth[0][row.latent[0]])}
    assert [file.name for file in tmp_path.iterdir()] == ["tracks.nc"]


def test_a_table_without_a_null_says_so(tmp_path):
    _, links = planted([12] * 5, np.ones(12), 1, 0)
    dataset = table(track(links, [12] * 5), list("abcde"))
    assert dataset.attrs["null_draws"] == 0
    assert dataset.p_value.isnull().all()
    assert dataset.member_p_value.isnull().all()
    with pytest.raises(ValueError, match="5 runs need as many names, but there are 4"):
        table(track(links, [12] * 5), list("abcd"))
    with pytest.raises(ValueError, match=r"no similarity with dims \(track, run\)"):
        write_tracks(tmp_path / "tracks.nc", dataset.drop_vars("similarity"), PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_a_foreign_or_broken_table_is_refused(tmp_path):
    path = tmp_path / "tracks.nc"
    with pytest.raises(ValueError, match="isn't there"):
        read_tracks(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match="truncated or something else"):
        read_tracks(path)


def both_ways(before, after):
    cosine = torch.as_tensor(before @ after.T)
    return tuple(match(cosine, cosine, direction) for direction in ("best_a_to_b", "best_b_to_a"))


def test_births_deaths_splits_and_merges_are_read_back():
    rng = np.random.default_rng(0)
    units = 64
    before, fresh = gaussian_dictionaries(2, 30, units, rng)
    noise = gaussian_dictionaries(1, 40, units, rng)[0]
    after = np.concatenate(
        [
            before[:10] + 0.2 * noise[:10],  # kept
            np.repeat(before[10:14], 3, axis=0) + 0.5 * noise[10:22],  # each becomes three
            before[14:20:2] + before[15:20:2],  # two become one
            fresh[:7],  # born; before[20:] are gone
        ]
    )
    after /= np.linalg.norm(after, axis=1, keepdims=True)
    null = [both_ways(*(gaussian_dictionaries(1, n, units, rng)[0] for n in (30, 32))) for _ in range(40)]
    found = transitions(*both_ways(before, after), null, level=0.999)
    assert found.child[:10].tolist() == found.parent[:10].tolist() == list(range(10))
    assert np.flatnonzero(found.kept).tolist() == list(range(10))
    assert np.flatnonzero(found.split).tolist() == [10, 11, 12, 13]
    assert found.children[10:14].tolist() == [3, 3, 3, 3]
    assert np.flatnonzero(found.merged).tolist() == [22, 23, 24]
    assert found.child[14:20].tolist() == [22, 22, 23, 23, 24, 24]
    assert np.flatnonzero(found.gone).tolist() == list(range(20, 30))
    assert np.flatnonzero(found.born).tolist() == list(range(25, 32))
    assert (found.child_p_value[found.child >= 0] < 0.002).all()
    dataset = found.to_dataset()
    assert dict(dataset.sizes) == {"before": 30, "after": 32}
    np.testing.assert_array_equal(dataset.born, found.born)


def test_unrelated_dictionaries_have_parents_as_often_as_the_level_says():
    """40 pairs against the 95 % quantile of 40 draws; 5 standard errors, with pairs as units of replication."""
    rng = np.random.default_rng(0)
    pairs = [both_ways(*gaussian_dictionaries(2, 50, 20, rng)) for _ in range(80)]
    found = [transitions(*pair, pairs[40:]) for pair in pairs[:40]]
    for name in ("child", "parent"):
        shares = np.array([(getattr(one, name) >= 0).mean() for one in found])
        assert abs(shares.mean() - 0.05) < 5 * shares.std() / 40**0.5
    assert np.mean([one.child_p_value <= 0.05 for one in found]) == pytest.approx(0.05, abs=0.02)


def test_tracks_that_split_are_seen_between_two_sets_of_tracks():
    rng = np.random.default_rng(0)
    features = gaussian_dictionaries(1, 20, 48, rng)[0]
    apart = gaussian_dictionaries(1, 40, 48, rng)[0]
    wide = np.repeat(features, 2, axis=0) + 0.5 * apart
    narrow_runs = features + 0.1 * gaussian_dictionaries(4, 20, 48, rng)
    wide_runs = wide + 0.1 * gaussian_dictionaries(5, 40, 48, rng)
    before, after = track(cosine_links(narrow_runs), [20] * 4), track(cosine_links(wide_runs), [40] * 5)
    assert (len(before.latent), len(after.latent)) == (20, 40)

    def similarities(i, j):
        cosine = narrow_runs[i] @ wide_runs[j].T
        return cosine, 2 * cosine

    selection, scoring = track_similarity(before, after, similarities)
    np.testing.assert_allclose(scoring, 2 * selection)
    members_of = (narrow_runs[np.arange(4), before.latent[3]], wide_runs[np.arange(5), after.latent[5]])
    assert selection[3, 5] == pytest.approx(float((members_of[0] @ members_of[1].T).mean()))
    selection = torch.as_tensor(selection)
    null = [both_ways(*(gaussian_dictionaries(1, n, 48, rng)[0] for n in (20, 40))) for _ in range(20)]
    found = transitions(*(match(selection, selection, one) for one in ("best_a_to_b", "best_b_to_a")), null, 0.99)
    assert (found.children == 2).all()
    assert found.split.all()
    assert (after.latent[:, 0] // 2 == before.latent[found.parent, 0]).all()


def test_transitions_need_a_null_and_two_directions_that_fit():
    forward, backward = matched([0, 1], [1.0, 1.0]), matched([0], [1.0])
    with pytest.raises(ValueError, match="no draws"):
        transitions(backward, backward, [])
    with pytest.raises(ValueError, match="forward matches with latent 1, but the other side has 1 latents"):
        transitions(forward, backward, [(forward, backward)])
