"""Does each view see what it says and nothing that a symmetry may change, and do its nulls keep what they promise?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from making import (
    CLASSES,
    SPARSE,
    fit_to,
    gaussian,
    make_inputs,
    make_layer,
    make_network,
    make_rows,
    one_of_each,
    record,
    seeded,
)
from torch.testing import assert_close

from homolog.alignment.layer import FOLDS, Frames, Layer
from homolog.alignment.nulls import eigenvalue_blocks, haar_rotation, permute_within
from homolog.alignment.similarity import cosine, standardise
from homolog.alignment.views.base import Signatures, unit_rows
from homolog.alignment.views.score import FewCodes
from homolog.decompositions.fit import choose_gauge
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.registry import METHODS, VIEWS
from homolog.store.dictionaries import write_dictionaries
from homolog.store.runs import StoredRun
from homolog.streams import stream

WIDTHS = [10, 8, 9]
# `substitution` compares no signatures: tests/test_effect.py has its truths.
COSINES = {name: load(target)() for name, target in VIEWS.items() if name != "substitution"}
VIEW = pytest.mark.parametrize("view", list(COSINES.values()), ids=list(COSINES))
# Of the others, codes are no function of their own pre-activation alone, so a view through the gate can't see them.
ENCODED = [name for name in METHODS if name not in ("nmf", "kmeans", "dictionary_learning", "matching_pursuit_sae")]
METHOD = pytest.mark.parametrize("method", one_of_each(METHODS))
EFFECTS = {name for name in VIEWS if name.startswith("effect")}
SCORES = {"score", "score_spearman", "score_jaccard"}
GEOMETRIC = set(VIEWS) - SCORES - EFFECTS - {"substitution"}


def view_of(name):
    return load(VIEWS[name])()


def similarity(view, a, b, layers):
    """Similarity on both folds, as the analysis takes it: (latents_a, latents_b) each."""
    own, other = (view.signatures(layer, d) for layer, d in zip(layers, (a, b), strict=True))
    return view.similarities(own, other, view.transport(*layers), a.signed, ["best"])


class Lazily(dict):
    """Values that are made when they are first asked for."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, name):
        self[name] = self.make(name)
        return self[name]


def seen(world, view, method):
    """Latents of which the view sees something."""
    signatures = view.signatures(world.layer, world.fitted[method])
    return world.live(method) & signatures.match.any(1) & signatures.score.any(1)


class World:
    """A network at its hidden_1, with every method fitted to it."""

    def __init__(self, network, inputs, rows):
        self.network = network
        self.activations = record(network, inputs, rows, "hidden_1")
        self.layer = make_layer(network, inputs, rows, "hidden_1")
        partner = record(network, inputs, rows, "hidden_2")
        # Noise, since units that are on for all inputs would correlate exactly, and equal correlations have no order.
        partner = replace(partner, values=partner.values + 0.3 * gaussian(len(inputs), 9, seed=8))
        self.fitted = Lazily(lambda name: fit_to(self.layer, self.activations, partner, name)[0])

    def live(self, method):
        """Latents that are active in both folds: of others there is nothing to compare."""
        d = self.fitted[method]
        return torch.stack([d.codes(x).any(0) for x in self.layer.activations.values()]).all(0)


@pytest.fixture(scope="module")
def inputs():
    return make_inputs(600)


@pytest.fixture(scope="module")
def rows():
    return make_rows(600)


@pytest.fixture(scope="module")
def base(inputs, rows):
    return World(make_network(WIDTHS), inputs, rows)


@pytest.fixture(scope="module")
def regauged(inputs, rows):
    """The same function: units permuted, and rescaled by powers of two, so that training an SAE sees the same bits."""
    network = make_network(WIDTHS)
    permutation = torch.randperm(8, generator=seeded(4))
    network.apply_symmetry("hidden_1", permutation, torch.exp2(torch.arange(-4.0, 4)).double())
    return World(network, inputs, rows)


@pytest.fixture(scope="module")
def retrained(inputs, rows):
    """The weights around hidden_1 drawn anew, all else shared."""
    network = make_network(WIDTHS)
    network.initialise(stream("drawn anew"), network.parameters_around("hidden_1"))
    return World(network, inputs, rows)


@pytest.fixture(scope="module")
def independent(inputs, rows):
    """No weight shared."""
    return World(make_network(WIDTHS, seed=1), inputs, rows)


# The contract


def sees_nothing(view, method):
    """Codes without a gate in `read_in`; supports of codes that are never 0 in `score_jaccard`."""
    linear = method not in SPARSE and method not in ("nmf", "kmeans", "dictionary_learning")
    return (view.name == "read_in" and method not in ENCODED) or (view.name == "score_jaccard" and linear)


def test_there_are_views_and_each_knows_its_name():
    assert {"score", "write_out", "read_in", "neuron", "neuron_permuted", "neuron_procrustes"} <= set(VIEWS)
    assert len(EFFECTS) == 6
    assert [view_of(name).name for name in VIEWS] == list(VIEWS)


@VIEW
@METHOD
def test_a_latent_is_itself_in_every_view(base, view, method):
    d = base.fitted[method]
    for matrix in similarity(view, d, d, (base.layer, base.layer)):
        if sees_nothing(view, method):
            assert not matrix.any()
            continue
        live = seen(base, view, method)
        assert live.any()
        assert_close(matrix.diagonal()[live], torch.ones(int(live.sum())).double())
        assert matrix.max() <= 1 + 1e-9


@VIEW
@METHOD
def test_signatures_have_unit_norm_or_are_zero(base, view, method):
    signatures = view.signatures(base.layer, base.fitted[method])
    for rows_ in (signatures.match, signatures.score):
        norms = rows_.norm(dim=1)
        zero = norms == 0
        assert_close(norms[~zero], torch.ones(int((~zero).sum())).double())
        assert len(rows_) == len(base.fitted[method].directions)


@VIEW
@METHOD
def test_similarity_is_symmetric(base, retrained, view, method):
    pair = base.fitted[method], retrained.fitted[method]
    there = similarity(view, *pair, (base.layer, retrained.layer))
    back = similarity(view, *pair[::-1], (retrained.layer, base.layer))
    for a, b in zip(there, back, strict=True):
        assert_close(a, b.T)


@VIEW
@METHOD
def test_a_symmetry_of_the_run_is_invisible_but_to_neuron(base, regauged, view, method):
    pair = base.fitted[method], regauged.fitted[method]
    assert view.defined(base.layer, regauged.layer)
    _, scored = similarity(view, *pair, (base.layer, regauged.layer))
    own = scored.diagonal()[seen(base, view, method) & seen(regauged, view, method)]
    if sees_nothing(view, method):
        assert not own.any()
    elif view.name == "neuron":
        assert own.mean() < 0.9
    else:
        # An SAE's activations agree to the last bit of float32, and its training carries that on.
        assert_close(own, torch.ones_like(own), rtol=0, atol=1e-3 if method in SPARSE else 1e-9)


@VIEW
def test_nulls_are_signatures_too_and_repeat_with_their_generator(base, view):
    d = base.fitted["topk_sae" if view.name == "score_jaccard" else "pca"]
    plain = view.signatures(base.layer, d)
    first, again, other = (view.null(base.layer, d, seeded(seed)) for seed in (0, 0, 1))
    assert first.match.shape == plain.match.shape
    assert torch.equal(first.score, again.score)
    assert not torch.equal(first.score, other.score)
    conditional = view.conditional_null(base.layer, d, seeded(0))
    assert (conditional is None) == (view.name in GEOMETRIC)


# Where is a comparison identified?


def flags(a, b):
    views = [view_of(name) for name in VIEWS]
    return {view.name for view in views if view.defined(a.layer, b.layer) and view.identified(a.layer, b.layer)}


ANY_TWO_RUNS = SCORES | EFFECTS | {"substitution"}
# Unit by unit after a permutation or rotation: needs the width alone.
SAME_WIDTH = {"neuron_permuted", "neuron_procrustes"}


def test_a_run_with_itself_is_identified_in_every_view(base):
    assert flags(base, base) == set(VIEWS)


def test_retraining_one_layer_leaves_both_neighbours_and_not_the_units(base, retrained):
    assert flags(base, retrained) == ANY_TWO_RUNS | SAME_WIDTH | {"write_out", "read_in"}


def test_two_retrainings_of_one_base_share_the_neighbours_too(retrained, inputs, rows):
    network = make_network(WIDTHS)
    network.initialise(stream("drawn again"), network.parameters_around("hidden_1"))
    assert flags(retrained, World(network, inputs, rows)) == ANY_TWO_RUNS | SAME_WIDTH | {"write_out", "read_in"}


@pytest.mark.parametrize(("redrawn", "left"), [("hidden_2", {"read_in"}), ("hidden_0", {"write_out"})])
def test_redrawing_a_neighbour_too_takes_its_basis(base, inputs, rows, redrawn, left):
    network = make_network(WIDTHS)
    names = network.parameters_around("hidden_1") | network.parameters_around(redrawn)
    network.initialise(stream("drawn anew"), names)
    assert flags(base, World(network, inputs, rows)) == ANY_TWO_RUNS | SAME_WIDTH | left


def test_networks_that_share_nothing_agree_on_no_basis(base, independent):
    assert flags(base, independent) == ANY_TWO_RUNS | SAME_WIDTH


def test_another_width_leaves_the_unit_free_views(base, inputs, rows):
    state = base.network.state_dict()
    wide = make_network([10, 11, 9])
    around = wide.parameters_around("hidden_1")
    wide.load_state_dict(wide.state_dict() | {name: value for name, value in state.items() if name not in around})
    other = World(wide, inputs, rows)
    assert flags(base, other) == ANY_TWO_RUNS | {"write_out", "read_in"}
    for name in SAME_WIDTH | {"neuron"}:
        assert not view_of(name).defined(base.layer, other.layer)
    for name in ("score", "write_out", "read_in"):
        match, _ = similarity(view_of(name), base.fitted["pca"], other.fitted["pca"], (base.layer, other.layer))
        assert torch.isfinite(match).all()


def test_where_nothing_is_recorded_below_there_is_no_read_in(base):
    blind = replace(base.layer, below=None)
    assert not view_of("read_in").defined(base.layer, blind)


def test_logits_have_no_write_out(inputs, rows):
    layer = make_layer(make_network(WIDTHS), inputs, rows, "logits")
    assert not view_of("write_out").defined(layer, layer)
    with pytest.raises(ValueError, match="write_out: no layer reads logits: choose another view"):
        view_of("write_out").signatures(layer, planted_dictionary(torch.eye(CLASSES).double()))


# Closed forms


def test_score_is_pearsons_r(base, retrained):
    a, b = base.fitted["pca"], retrained.fitted["pca"]
    for fold, matrix in zip(FOLDS, similarity(view_of("score"), a, b, (base.layer, retrained.layer)), strict=True):
        codes = [a.codes(base.layer.activations[fold]), b.codes(retrained.layer.activations[fold])]
        assert_close(matrix, torch.corrcoef(torch.cat(codes, 1).T)[:4, 4:].abs())


@METHOD
def test_write_out_is_the_cosine_of_what_the_next_layer_receives(base, retrained, method):
    """Computed without any gauge: a direction in the model's own units times the model's own weights."""
    written = []
    for world in (base, retrained):
        scale, order = world.activations.gauge.scale, world.layer.order
        own = torch.empty_like(world.fitted[method].directions)
        own[:, order] = world.fitted[method].directions
        written.append((own / scale) @ world.network.hidden_2.linear.weight.detach().T)
    pair = base.fitted[method], retrained.fitted[method]
    match, score = similarity(view_of("write_out"), *pair, (base.layer, retrained.layer))
    expected = cosine(*written)
    assert_close(score, expected if pair[0].signed else expected.abs())
    assert torch.equal(match, score)


@pytest.mark.parametrize("method", one_of_each(ENCODED))
def test_read_in_is_the_mean_gradient_of_the_codes(base, inputs, rows, method):
    """By autograd through the module, the gauge and the encoder, TopK's selection included."""
    d, layer, module = base.fitted[method], base.layer, base.network.hidden_1
    gauge = base.activations.gauge
    below = record(base.network, inputs, rows, "hidden_0").values
    for fold, half in (("match", 0), ("score", 1)):
        h = below[(rows.split == 1) & (rows.half == half)].clone().requires_grad_()
        codes = d.codes(gauge.canonical(module(h)))
        gradients = [torch.autograd.grad(code.mean(), h, retain_graph=True)[0].sum(0) for code in codes.T]
        signatures = getattr(view_of("read_in").signatures(layer, d), fold)
        assert_close(signatures, unit_rows(torch.stack(gradients)))


def test_read_in_is_the_finite_difference(base, inputs, rows):
    d, layer = base.fitted["pca"], base.layer
    gauge, module = base.activations.gauge, base.network.hidden_1
    below = record(base.network, inputs, rows, "hidden_0").values[(rows.split == 1) & (rows.half == 0)]
    columns = []
    with torch.no_grad():
        for step in 1e-7 * torch.eye(10).double():
            ends = [d.codes(gauge.canonical(module(below + sign * step))).mean(0) for sign in (1, -1)]
            columns.append((ends[0] - ends[1]) / 2e-7)
    assert_close(view_of("read_in").signatures(layer, d).match, unit_rows(torch.stack(columns, 1)), atol=1e-5, rtol=0)


def test_a_latent_that_never_fires_reads_nothing(base):
    silent = replace(base.fitted["topk_sae"], encoder_bias=torch.full((16,), -1e6).double())
    for name in ("score", "read_in"):
        signatures = view_of(name).signatures(base.layer, silent)
        assert not signatures.match.any()
        assert not signatures.score.any()


def test_neuron_lines_up_units_of_the_model_whatever_their_canonical_order(base):
    """Two layers whose units merely stand in another canonical order."""
    order = torch.randperm(8, generator=seeded(1))
    layer, d = base.layer, base.fitted["pca"]
    other = replace(layer, order=layer.order[order], scale=layer.scale[order])
    turned = replace(d, directions=d.directions[:, order])
    match, _ = similarity(view_of("neuron"), d, turned, (layer, other))
    assert_close(match.diagonal(), torch.ones(4).double())


def planted_dictionary(directions, **changes):
    directions = unit_rows(directions.double())
    latents, units = directions.shape
    zeros = torch.zeros(latents).double()
    plain = Dictionary(directions, directions, zeros, torch.zeros(units).double(), zeros + 1, zeros.clone())
    return replace(plain, **changes)


def planted_layer(codes, labels, run="made/seed_0", covariance=None):
    """A layer of which the activations are what we say."""
    match, score = codes[::2], codes[1::2]
    units = codes.shape[1]
    return Layer(
        run=run,
        hook_point="hidden_1",
        activations={"match": match, "score": score},
        labels={"match": labels[::2], "score": labels[1::2]},
        covariance=torch.cov(codes.T, correction=0) if covariance is None else covariance,
        support=torch.eye(units).double(),
        write_out=torch.eye(units).double(),
        frames=Frames("below", "above", "own"),
        model=None,
        below=None,
        scale=torch.ones(units).double(),
        order=torch.arange(units),
        input_digest="same",
    )


def test_permuted_finds_a_permutation_and_procrustes_a_rotation():
    codes = gaussian(400, 6).abs() * torch.arange(1, 7)
    labels = torch.zeros(400, dtype=torch.long)
    d = planted_dictionary(gaussian(3, 6, seed=3))
    a = planted_layer(codes, labels)
    permutation, rotation = torch.eye(6).double()[torch.randperm(6, generator=seeded(2))], haar_rotation(6, seeded(3))
    for name, applied, found in (
        ("neuron_permuted", permutation, True),
        ("neuron_procrustes", permutation, True),
        ("neuron_permuted", rotation, False),
        ("neuron_procrustes", rotation, True),
        ("neuron", permutation, False),
    ):
        b = planted_layer(codes @ applied, labels)
        match, _ = similarity(view_of(name), d, d.rotated(applied), (a, b))
        assert bool((match.diagonal() > 1 - 1e-9).all()) == found, name


def test_what_lines_units_up_is_fitted_on_the_match_fold_alone(base, retrained):
    for name in ("neuron_permuted", "neuron_procrustes"):
        view = view_of(name)
        shuffled = dict(retrained.layer.activations, score=retrained.layer.activations["score"].flip(0))
        other = replace(retrained.layer, activations=shuffled)
        assert torch.equal(view.transport(base.layer, retrained.layer), view.transport(base.layer, other))


def test_one_half_of_the_inputs_says_how_units_are_lined_up_whatever_the_other_says():
    """Two layers whose units answer to each other in one way on the match fold and in another on the score fold."""
    codes, labels = gaussian(400, 6).abs() * torch.arange(1, 7), torch.zeros(400, dtype=torch.long)
    a = planted_layer(codes, labels)
    first, second = (torch.eye(6).double()[torch.randperm(6, generator=seeded(seed))] for seed in (2, 5))
    assert not torch.equal(first, second)
    moved = {fold: a.activations[fold] @ applied for fold, applied in (("match", first), ("score", second))}
    b = replace(a, activations=moved)
    for name in ("neuron_permuted", "neuron_procrustes"):
        # From b's units to a's: what was applied is taken back.
        assert_close(view_of(name).transport(a, b), first.T)


def test_what_is_fitted_to_few_inputs_does_not_lift_the_similarity_of_directions():
    """With fewer inputs than units a rotation fits unrelated activations, but directions come from other rows.

    The cosine of directions in d dimensions, one of them turned by what doesn't know it, has mean 0 and variance 1 / d:
    of 40 x 40 of them the mean square lies within 0.8 and 1.2 / d (their products are nearly independent; sd .035).
    """
    units = 96
    a, b = (planted_layer(gaussian(40, units, seed=seed), torch.zeros(40, dtype=torch.long)) for seed in (0, 1))
    d, e = (planted_dictionary(gaussian(40, units, seed=seed)) for seed in (2, 3))
    rotation = view_of("neuron_procrustes").transport(a, b)
    fitted, other = (
        float(
            (
                unit_rows((b.activations[f] @ rotation).flatten()[None]) * unit_rows(a.activations[f].flatten()[None])
            ).sum()
        )
        for f in ("match", "score")
    )
    for name in ("neuron_permuted", "neuron_procrustes"):
        _, scored = similarity(view_of(name), d, e, (a, b))
        assert 0.8 < scored.square().mean() * units < 1.2
    # On the inputs that it was fitted to the rotation does bring the activations together.
    assert fitted > 0.8
    assert other < 0.3


# Nulls


def test_score_null_is_what_chance_gives():
    n, latents = 2000, 8
    codes = gaussian(2 * n, latents).exp()
    layer = planted_layer(codes, torch.zeros(2 * n, dtype=torch.long))
    d = planted_dictionary(torch.eye(latents))
    plain, null = view_of("score").signatures(layer, d), view_of("score").null(layer, d, seeded(0))
    correlations = plain.score @ null.score.T
    # Each has mean 0 and variance 1 / (n - 1) exactly; 64 of them beyond 5 sd: a false alarm in under 1 of 10^3
    # (their tails are heavier than a Gaussian's), and the mean square lies within 1 +- 0.8 of its expectation.
    assert correlations.abs().max() < 5 / (n - 1) ** 0.5
    assert 0.2 < correlations.square().mean() * (n - 1) < 1.8
    # The codes are the same, in another order: what they have in common with each other is kept.
    assert_close(null.score @ null.score.T, plain.score @ plain.score.T)


@pytest.mark.parametrize("signed", [True, False])
def test_scores_of_few_codes_are_those_of_all_shuffled_or_not(signed):
    """Where most codes are 0 the others alone are multiplied: the same numbers, for any latents, in any order."""
    n, latents = 2 * 4096, 16
    x = gaussian(n, latents)
    labels = torch.randint(CLASSES, (n,), generator=seeded(5))
    layers = [planted_layer(x + noise * gaussian(n, latents, seed=1), labels) for noise in (0, 0.5)]
    # Of the last latent nothing is seen: it never fires.
    bias = torch.tensor([-2.0] * (latents - 1) + [-99.0]).double()
    d = planted_dictionary(torch.eye(latents), activation="relu", encoder_bias=bias)
    view, live = view_of("score"), torch.arange(latents) < latents - 1
    own = view.signatures(layers[0], d)
    assert type(own) is FewCodes
    assert torch.equal(own.seen, live)
    assert torch.equal(own.live, live)
    nulls = [null(layers[1], d, seeded(0)) for null in (view.null, view.conditional_null)]
    for other in (view.signatures(layers[1], d), *nulls):
        for some in (live, torch.arange(latents) % 3 == 0):
            found = view.similarities(own.of(some), other.of(live), None, signed, ["hungarian"])
            for fold, here in zip(FOLDS, found, strict=True):
                expected = getattr(own, fold)[some] @ getattr(other, fold)[live].T
                assert_close(here, expected if signed else expected.abs(), rtol=0, atol=1e-12)
    codes = standardise(d.codes(layers[0].activations["match"]))
    assert_close(own.match, codes)
    order = permute_within(layers[0].labels["match"], seeded(3))
    assert_close(view.conditional_null(layers[0], d, seeded(3)).match, codes[:, order])
    assert type(view.signatures(layers[0], replace(d, activation="identity"))) is Signatures


def test_conditional_null_keeps_what_the_class_explains():
    n = 3000
    labels = torch.randint(CLASSES, (n,), generator=seeded(0))
    explained = gaussian(CLASSES, 3)[labels]
    chance = gaussian(n, 3, seed=1)
    mixed = explained + explained.std(0) * gaussian(n, 3, seed=2)
    layer = planted_layer(torch.cat([explained, chance, mixed], 1), labels)
    d = planted_dictionary(torch.eye(9))
    plain, null = (f(layer, d) for f in (view_of("score").signatures, _conditional))
    for fold, start in (("match", 0), ("score", 1)):
        kept = (getattr(plain, fold) * getattr(null, fold)).sum(1)
        assert_close(kept[:3], torch.ones(3).double())
        # n / 2 samples: sd 0.026; five of them for each of six, twice: a false alarm in 10^5.
        assert kept[3:6].abs().max() < 5 * 0.026
        # What is between classes of the variance is kept of the correlation.
        between = explained[start::2].var(0) / mixed[start::2].var(0)
        assert_close(kept[6:], between, rtol=0, atol=5 * 0.026)


def _conditional(layer, dictionary):
    return view_of("score").conditional_null(layer, dictionary, seeded(1))


def test_conditional_null_moves_inputs_only_within_their_class():
    n = 400
    labels = torch.randint(CLASSES, (n,), generator=seeded(3))
    layer = planted_layer(torch.nn.functional.one_hot(labels, CLASSES).double(), labels)
    d = planted_dictionary(torch.eye(CLASSES))
    assert_close(_conditional(layer, d).score, view_of("score").signatures(layer, d).score)


@pytest.mark.parametrize("name", ["neuron_permuted", "write_out"])
def test_geometric_nulls_keep_the_spectrum_and_the_gram_matrix(name):
    """An atom keeps its share in each block of like eigenvalues; the planted covariance has blocks of equal ones."""
    eigenvalues = torch.tensor([9.0] * 5 + [2.0] * 5 + [0.1] * 6).double()
    vectors = haar_rotation(16, seeded(0))
    covariance = vectors @ eigenvalues.diag() @ vectors.T
    assert [b.stop - b.start for b in eigenvalue_blocks(eigenvalues)] == [5, 5, 6]
    layer = planted_layer(gaussian(100, 16), torch.zeros(100, dtype=torch.long), covariance=covariance)
    d = planted_dictionary(gaussian(12, 16, seed=1))
    plain, null = view_of(name).signatures(layer, d).score, view_of(name).null(layer, d, seeded(2)).score
    variance = [((s @ covariance) * s).sum(1) for s in (plain, null)]
    assert_close(*variance)
    assert_close(null @ null.T, plain @ plain.T)
    assert (plain * null).sum(1).abs().mean() < 0.7


def test_read_in_null_is_not_what_was_observed(base):
    """A null that returns what was observed would hide everything."""
    d = base.fitted["pca"]
    view = view_of("read_in")
    plain, null = view.signatures(base.layer, d).score, view.null(base.layer, d, seeded(0)).score
    assert (plain * null).sum(1).abs().mean() < 0.95


# The layer


def test_layer_is_in_the_gauge_and_in_canonical_order(base, rows):
    values = base.activations.gauge.canonical(base.activations.values)
    for fold, half in (("match", 0), ("score", 1)):
        assert_close(base.layer.activations[fold], values[(rows.split == 1) & (rows.half == half)])
        assert torch.equal(base.layer.labels[fold], rows.label[(rows.split == 1) & (rows.half == half)])
    train = values[rows.split == 0]
    assert_close(base.layer.covariance, (train - train.mean(0)).T @ (train - train.mean(0)) / len(train))
    received = base.activations.values @ base.activations.write_out.T
    assert_close(values @ base.layer.write_out.T, received)


def test_runs_on_other_inputs_have_another_digest(base, inputs, rows):
    again = make_layer(make_network(WIDTHS, seed=5), inputs, rows, "hidden_1")
    other = make_layer(make_network(WIDTHS), inputs, make_rows(600, seed=7), "hidden_1")
    assert again.input_digest == base.layer.input_digest != other.input_digest


@pytest.fixture
def with_a_dead_unit(inputs, rows):
    network = make_network(WIDTHS)
    with torch.no_grad():
        network.hidden_1.linear.weight[2] = 0
        network.hidden_1.linear.bias[2] = -1
    return World(network, inputs, rows)


def test_support_is_the_projection_on_what_the_data_span(with_a_dead_unit, base):
    layer = with_a_dead_unit.layer
    dead = int((layer.order == 2).nonzero())
    train = with_a_dead_unit.activations.gauge.canonical(with_a_dead_unit.activations.values)
    assert_close(layer.support, layer.support.T)
    assert_close(layer.support @ layer.support, layer.support)
    assert_close(train @ layer.support, train)
    assert_close(torch.trace(layer.support), torch.tensor(7.0).double())
    assert_close(layer.support[dead], torch.zeros(8).double())
    assert_close(base.layer.support, torch.eye(8).double())


def test_stored_dictionaries_lose_what_no_data_trained(with_a_dead_unit, tmp_path):
    """An SAE's directions keep their initial value along a dead unit: frozen there, they would look stable."""
    world = with_a_dead_unit
    (tmp_path / "hidden_1").mkdir()
    directions = gaussian(5, 8, seed=1)
    stored = replace(planted_dictionary(directions), member={"label": "topk", "seed": 0, "rows": "all"})
    write_dictionaries(tmp_path / "hidden_1" / "topk.h5", [stored], {"run": "made/seed_0"})
    (read,) = StoredRun(tmp_path).dictionaries(world.layer, "topk")
    kept = stored.directions.clone()
    kept[:, 2] = 0
    assert_close(read.directions, kept[:, world.layer.order])
    assert_close(read.encoder, stored.encoder[:, world.layer.order])
    assert read.directions.dtype == torch.float64


def test_gauges_to_choose_from(base):
    chosen = choose_gauge("none", base.activations)
    assert torch.equal(chosen.scale, torch.ones(8).double())
    assert choose_gauge("write_out_norm", base.activations) is base.activations.gauge
