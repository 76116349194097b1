"""Does the gauge make equal networks look equal: is what is decomposed the same under every symmetry of the layer?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from making import (
    CLASSES,
    INPUTS,
    PAIRED,
    SPARSE,
    gaussian,
    make_inputs,
    make_layer,
    make_member,
    make_network,
    make_rows,
    method_of,
    one_of_each,
    record,
    seeded,
)
from torch.testing import assert_close

from homolog.alignment.gauge import canonical_gauge, no_gauge
from homolog.alignment.similarity import standardise
from homolog.analyses.comparison import Fitted, compare, same_members
from homolog.loading import load
from homolog.models.mlp import MLP
from homolog.models.residual import Residual
from homolog.models.symmetry import NONLINEARITIES, NORMS, random_symmetry
from homolog.registry import METHODS, VIEWS
from homolog.streams import stream
from homolog.tasks.base import TRAIN

UNITS = 8


def moved(seed, decades=2.0):
    """A layer's activations and those under a random permutation and scales over so many decades, with the map."""
    network, inputs, rows = make_network([10, UNITS, 9]), make_inputs(200), make_rows(200)
    plain = record(network, inputs, rows, "hidden_1")
    permutation = torch.randperm(UNITS, generator=seeded(seed))
    scale = 10 ** ((torch.rand(UNITS, generator=seeded(seed + 1)).double() - 0.5) * decades)
    network.apply_symmetry("hidden_1", permutation, scale)
    return plain, record(network, inputs, rows, "hidden_1"), permutation


@given(seed=st.integers(0, 2**31), decades=st.floats(0, 6))
def test_canonical_activations_do_not_see_the_symmetry(seed, decades):
    plain, other, _ = moved(seed, decades)
    canonical = plain.gauge.canonical(plain.values)
    assert_close(other.gauge.canonical(other.values), canonical, rtol=1e-9, atol=1e-12)
    if decades > 1:
        assert not torch.allclose(other.values, plain.values, rtol=1e-3)


@given(seed=st.integers(0, 2**31))
def test_scale_and_order_follow_the_units(seed):
    plain, other, permutation = moved(seed)
    # Unit i of the other network is unit permutation[i] of the first.
    assert torch.equal(permutation[other.gauge.order], plain.gauge.order)
    norms = other.write_out.norm(dim=0)
    assert_close(other.gauge.scale, norms)
    assert_close(other.values * norms, (plain.values * plain.write_out.norm(dim=0))[:, permutation])


@given(seed=st.integers(0, 2**31))
def test_units_that_never_fire_are_told_apart_too(seed):
    mean, write_out = torch.tensor([0, 2, 0, 1, 0]).double(), gaussian(3, 5, seed=seed)
    permutation, scale = torch.randperm(5, generator=seeded(seed)), torch.tensor([1, 4, 0.5, 8, 2]).double()
    plain = canonical_gauge(mean, write_out, "permute_scale")
    other = canonical_gauge(mean[permutation] * scale, write_out[:, permutation] / scale, "permute_scale")
    assert torch.equal(permutation[other.order], plain.order)
    assert plain.order[:2].tolist() == torch.argsort(mean * plain.scale, descending=True)[:2].tolist()


def test_canonical_order_falls_in_mean_activation():
    plain, _, _ = moved(0)
    means = plain.gauge.canonical(plain.values[plain.rows.split == 0]).mean(0)
    assert (means.diff() <= 1e-12).all()


def test_to_model_order_undoes_the_canonical_order():
    plain, _, _ = moved(1)
    x = plain.values
    fixed, canonical = plain.gauge.fix(x), plain.gauge.canonical(x)
    assert torch.equal(plain.gauge.to_model_order(canonical), fixed)
    directions = gaussian(3, UNITS)
    assert torch.equal(plain.gauge.to_model_order(directions)[:, plain.gauge.order], directions)
    # Codes are the same whichever order both sides stand in.
    assert_close(canonical @ directions.T, fixed @ plain.gauge.to_model_order(directions).T)


def test_the_gauge_changes_no_zero_into_anything_else():
    plain, _, _ = moved(2)
    assert torch.equal(plain.gauge.fix(plain.values) == 0, plain.values == 0)


def test_what_the_next_layer_receives_is_kept():
    """Activations times scale, outgoing weights over scale: the product is the next layer's input."""
    plain, _, _ = moved(3)
    received = plain.gauge.fix(plain.values) @ (plain.write_out / plain.gauge.scale).T
    assert_close(received, plain.values @ plain.write_out.T)
    assert_close((plain.write_out / plain.gauge.scale).norm(dim=0), torch.ones(UNITS).double())


@given(constant=st.floats(-50, 50))
def test_logits_lose_a_constant_per_input_and_nothing_else(constant):
    logits = gaussian(20, 5)
    gauge = canonical_gauge(logits.mean(0), None, "shift")
    offsets = constant * gaussian(20, 1, seed=1)
    assert_close(gauge.canonical(logits + offsets), gauge.canonical(logits), rtol=0, atol=1e-11)
    assert_close(gauge.canonical(logits).sum(1), torch.zeros(20).double(), rtol=0, atol=1e-12)
    assert_close(torch.softmax(gauge.canonical(logits), 1), torch.softmax(logits, 1))


def test_logits_recorded_from_a_network_have_the_shift_gauge():
    recorded = record(make_network([10, UNITS]), make_inputs(50), make_rows(50), "logits")
    assert recorded.gauge.shift
    assert torch.equal(recorded.gauge.order, torch.arange(5))


def test_no_gauge_changes_nothing():
    x, gauge = gaussian(10, 4), no_gauge(4)
    assert torch.equal(gauge.fix(x), x)
    assert torch.equal(gauge.canonical(x), x)
    assert torch.equal(gauge.to_model_order(x), x)


def test_a_symmetry_without_a_gauge_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"symmetry 'mirror' isn't known.*known are 'permute_scale', .* and 'shift'"):
        canonical_gauge(torch.ones(3), torch.ones(2, 3), "mirror")
    for symmetry in ("permute_scale", "permute", "permute_sign", "rotate", "rotate_fix_ones"):
        with pytest.raises(ValueError, match="lacks outgoing weights or a covariance"):
            canonical_gauge(torch.ones(3), None, symmetry)


@pytest.mark.parametrize("name", ["svd", "pca"])
@pytest.mark.parametrize("seed", range(3))
def test_codes_agree_in_the_gauge_and_disagree_without_it(name, seed):
    """Both halves of the theorem: PCA and SVD are equivariant under rotations, not under ReLU's scales."""
    plain, other, _ = moved(seed)

    def agreement(fix_gauge):
        pair = []
        for activations in (plain, other):
            gauge = activations.gauge if fix_gauge else no_gauge(UNITS)
            x = gauge.canonical(activations.values)
            (fitted,) = method_of(name).fit([make_member(name, x, n_latents=3)])
            pair.append(standardise(fitted.codes(x)))
        return (pair[0] @ pair[1].T).diagonal().abs()

    assert_close(agreement(fix_gauge=True), torch.ones(3).double())
    assert agreement(fix_gauge=False).mean() < 0.9


def test_cca_needs_no_gauge():
    plain, other, _ = moved(0)
    partner = gaussian(200, 5, seed=9) + plain.values[:, :5]
    codes = []
    for activations in (plain, other):
        (fitted,) = method_of("cca").fit([make_member("cca", activations.values, partner, n_latents=3)])
        codes.append(standardise(fitted.codes(activations.values)))
    assert_close((codes[0] @ codes[1].T).diagonal().abs(), torch.ones(3).double())


# Every architecture: what leaves its function alone, and what the gauge makes of it


def build(kind, seed=0):
    """An untrained network in float64: an MLP by its nonlinearity, or a residual one by its norm."""
    if kind in NORMS:
        network = Residual(INPUTS, CLASSES, stream=UNITS, blocks=2, hidden=10, norm=kind, activation="gelu")
    else:
        network = MLP(INPUTS, CLASSES, [10, UNITS, 9], kind)
    network.initialise(stream("test", seed))
    with torch.no_grad():
        network.linear_map("logits.linear").weight *= 4  # So that what is lost in a loss is told from 0.
    return network.double()


def place(kind):
    return "stream_1" if kind in NORMS else "hidden_1"


KIND = pytest.mark.parametrize("kind", [*NONLINEARITIES, *NORMS])


def turned(kind, seed=0):
    """The same function in a random description of one hook point."""
    network, point = build(kind), place(kind)
    drawn = random_symmetry(network.symmetry(point), UNITS, seeded(seed))
    network.apply_symmetry(point, *(part.double() if part.is_floating_point() else part for part in drawn))
    return network


@KIND
@pytest.mark.parametrize("seed", range(3))
def test_a_random_symmetry_changes_the_activations_and_not_the_function(kind, seed):
    plain, other, x, rows = build(kind), turned(kind, seed), make_inputs(50), make_rows(50)
    assert_close(other(x), plain(x), rtol=1e-9, atol=1e-9)
    before, after = (record(network, x, rows, place(kind)).values for network in (plain, other))
    assert (before - after).abs().max() > 0.1


@KIND
def test_the_rest_of_the_network_is_what_follows_the_hook_point(kind):
    network, x, rows = build(kind), make_inputs(20), make_rows(20)
    for point in network.hook_points():
        affine, tail = network.after(point)
        at = record(network, x, rows, point).values
        assert_close(tail(affine(at)), network(x))
        zero = affine(torch.zeros_like(at[:1]))
        assert_close(affine(at[:5] + at[5:10]) - zero, affine(at[:5]) + affine(at[5:10]) - 2 * zero)


def forced(kind, how, *drawn):
    """A map that the architecture doesn't allow, put into the weights all the same."""
    network = build(kind)
    if kind in NORMS:
        network.norm = how
    else:
        network.unit_symmetry = how
    network.apply_symmetry(place(kind), *drawn)
    return network


@pytest.mark.parametrize("kind", ["gelu", "tanh"])
def test_only_relu_units_can_be_rescaled(kind):
    permutation, scale = torch.arange(UNITS), torch.full((UNITS,), 2.0).double()
    with pytest.raises(ValueError, match=r"symmetry permute.* allow scales of 1.*but a scale is 2"):
        build(kind).apply_symmetry("hidden_1", permutation, scale)
    x = make_inputs(50)
    assert (forced(kind, "permute_scale", permutation, scale)(x) - build(kind)(x)).abs().max() > 1e-3
    assert_close(forced("relu", "permute_scale", permutation, scale)(x), build("relu")(x))


@pytest.mark.parametrize("kind", ["relu", "gelu"])
def test_only_tanh_units_can_change_their_sign(kind):
    permutation, scale = torch.arange(UNITS), -torch.ones(UNITS).double()
    with pytest.raises(ValueError, match=r"but a scale is -1: the network would"):
        build(kind).apply_symmetry("hidden_1", permutation, scale)
    x = make_inputs(50)
    assert (forced(kind, "permute_sign", permutation, scale)(x) - build(kind)(x)).abs().max() > 1e-3
    assert_close(forced("tanh", "permute_sign", permutation, scale)(x), build("tanh")(x))


def test_under_layernorm_the_vector_of_ones_must_stay_and_under_rmsnorm_not():
    (rotation,) = random_symmetry("rotate", UNITS, seeded(0))
    (keeping,) = random_symmetry("rotate_fix_ones", UNITS, seeded(0))
    for drawn in (rotation, keeping):
        assert_close(drawn @ drawn.T, torch.eye(UNITS).double())
    assert_close(keeping @ torch.ones(UNITS).double(), torch.ones(UNITS).double())
    with pytest.raises(ValueError, match=r"under layernorm must be orthogonal and keep the vector of ones"):
        build("layernorm").apply_symmetry("stream_1", rotation)
    with pytest.raises(ValueError, match=r"under rmsnorm must be orthogonal, and this one is off by"):
        build("rmsnorm").apply_symmetry("stream_1", 2 * rotation)
    x = make_inputs(50)
    assert (forced("layernorm", "rmsnorm", rotation)(x) - build("layernorm")(x)).abs().max() > 1e-3
    assert_close(forced("rmsnorm", "rmsnorm", rotation)(x), build("rmsnorm")(x))


def test_what_lies_along_the_vector_of_ones_is_read_under_rmsnorm_alone():
    x, rows = make_inputs(200), make_rows(200)
    for kind, seen in (("layernorm", False), ("rmsnorm", True)):
        plain, lifted = build(kind), build(kind)
        with torch.no_grad():
            lifted.stream_0.linear.bias += 3
        assert bool((plain(x) - lifted(x)).abs().max() > 1e-6) == seen
        canonical = [a.gauge.canonical(a.values) for a in (record(n, x, rows, "stream_1") for n in (plain, lifted))]
        assert torch.allclose(*canonical, atol=1e-9) != seen


def test_logits_and_streams_say_what_they_allow():
    for kind in NORMS:
        with pytest.raises(ValueError, match=r"logits can't be rotated; .*'stream_0', 'stream_1', 'stream_2'"):
            build(kind).apply_symmetry("logits", torch.eye(CLASSES))
    with pytest.raises(ValueError, match="not for 'shift': the control"):
        random_symmetry("shift", 4, seeded(0))
    for wrong in ({"norm": "batchnorm"}, {"norm": "rmsnorm", "activation": "elu"}):
        with pytest.raises(ValueError, match=r"allowed: r.*; choose one of these"):
            Residual(3, 2, stream=4, blocks=1, hidden=3, **wrong)


@KIND
@pytest.mark.parametrize("seed", range(3))
def test_canonical_activations_do_not_see_any_architectures_symmetry(kind, seed):
    x, rows = make_inputs(300), make_rows(300)
    plain, other = (record(network, x, rows, place(kind)) for network in (build(kind), turned(kind, seed)))
    canonical = plain.gauge.canonical(plain.values)
    assert_close(other.gauge.canonical(other.values), canonical, rtol=1e-7, atol=1e-9)
    # And back: all that the network can see is restored.
    restored = plain.gauge.undo(canonical)
    lost = plain.values - restored
    assert_close(lost, lost.mean(1, keepdim=True).expand_as(lost) if kind == "layernorm" else torch.zeros_like(lost))
    directions = gaussian(3, UNITS)
    directions[:, -1] *= kind != "layernorm"  # The axis along which nothing is read.
    assert_close(plain.gauge.to_canonical_order(plain.gauge.to_model_order(directions)), directions)
    # What is stored lies over the model's own units: codes are the same on either side.
    codes = plain.gauge.fix(plain.values) @ plain.gauge.to_model_order(directions).T
    assert_close(codes, canonical @ directions.T)


def test_tanh_units_have_no_negative_mean_and_fall_in_it():
    network = build("tanh")
    recorded = record(network, make_inputs(200), make_rows(200), "hidden_1")
    means = recorded.gauge.canonical(recorded.values)[recorded.rows.split == TRAIN].mean(0)
    assert (recorded.gauge.scale.abs() == 1).all()
    assert (recorded.gauge.scale < 0).any()
    assert means.min() >= 0
    assert means.diff().max() <= 0


def test_gelu_units_are_put_in_order_and_left_as_they_are():
    recorded = record(build("gelu"), make_inputs(200), make_rows(200), "hidden_1")
    assert torch.equal(recorded.gauge.canonical(recorded.values), recorded.values[:, recorded.gauge.order])


@pytest.mark.parametrize("kind", NORMS)
def test_a_stream_is_read_along_its_principal_axes(kind):
    recorded = record(build(kind), make_inputs(300), make_rows(300), "stream_1")
    train = recorded.gauge.canonical(recorded.values)[recorded.rows.split == TRAIN]
    covariance = torch.cov(train.T, correction=0)
    assert_close(covariance, covariance.diagonal().diag(), atol=1e-9, rtol=0)
    assert covariance.diagonal().diff().max() <= 1e-12
    assert train.mean(0).min() > -1e-12
    assert bool(train[:, -1].any()) == (kind == "rmsnorm")


# The control `gauge`: every method, architecture and view that is blind to the symmetry


class Described:
    """A network at its hook point, and each method fitted to the train rows there."""

    # Heavy tails: of components that are nearly Gaussian ICA has no answer to come to.
    inputs, rows = make_inputs(400) * make_inputs(400).abs(), make_rows(400)

    def __init__(self, network, point, gauge=True):
        # Labels that the network tells apart, so that it has a loss to lose.
        logits = network(self.inputs).detach()
        rows = replace(self.rows, label=(logits - logits.mean(0)).argmax(1))
        self.layer = make_layer(network, self.inputs, rows, point)
        recorded, partner = (record(network, self.inputs, rows, name) for name in (point, "logits"))
        train = rows.where(TRAIN)
        self.values = (recorded.gauge if gauge else no_gauge(UNITS)).canonical(recorded.values)[train]
        # Noise, so that canonical correlations aren't 1, and have an order.
        self.partner = partner.gauge.canonical(partner.values)[train] + 0.1 * gaussian(len(train), CLASSES, seed=8)

    def fit(self, method, **changes):
        values = self.values.float() if method in SPARSE else self.values
        changes |= {"steps": 15} if method in (*SPARSE, "dictionary_learning") else {}
        partner = self.partner if method in PAIRED else None
        (fitted,) = method_of(method).fit([make_member(method, values, partner, **changes)])
        return fitted.to(torch.float64)

    def fitted(self, method):
        return Fitted(self.layer, method, {("all", 0): self.fit(method)})


@pytest.fixture(scope="module")
def pairs():
    """Of every architecture a network and the same one in a random description."""
    return {
        kind: tuple(Described(network, place(kind)) for network in (build(kind), turned(kind, seed=3)))
        for kind in [*NONLINEARITIES, *NORMS]
    }


BLIND = [name for name in VIEWS if name.startswith(("score", "effect"))] + ["write_out", "substitution"]


@KIND
@pytest.mark.parametrize("method", one_of_each(METHODS))
def test_the_control_is_1_for_every_method_and_architecture(pairs, kind, method):
    if method == "nmf" and kind != "relu":
        with pytest.raises(ValueError, match="NMF needs activations that aren't negative"):
            pairs[kind][0].fit(method)
        return
    a, b = (side.fitted(method) for side in pairs[kind])
    found = {}
    for name in BLIND:
        view = load(VIEWS[name])()
        assert view.identified(a.layer, b.layer)
        (found[name],) = compare(view, a, b, same_members(a, b), ["hungarian"], 4).by_matching
    # Rotating a stream rounds in float32, in which autoencoders train; else nothing but float64 rounding is left.
    within = 2e-3 if method in SPARSE else 1e-6
    if method not in SPARSE and method not in ("nmf", "kmeans", "dictionary_learning"):
        assert math.isnan(found.pop("score_jaccard"))  # Codes that are never 0 have no support.
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=within)


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("method", ["pca", "topk_sae"])
def test_what_is_read_from_a_stream_does_not_see_it_turn_as_a_whole(pairs, kind, method):
    a, b = (side.fitted(method) for side in pairs[kind])
    view = load(VIEWS["read_in"])(by_name=True)
    found = compare(view, a, b, same_members(a, b), ["hungarian"], 4).by_matching
    assert found == pytest.approx([1], abs=2e-3 if method in SPARSE else 1e-6)


@KIND
@pytest.mark.parametrize("method", ["pca", "topk_sae"])
def test_without_the_gauge_only_equivariant_methods_pass(kind, method):
    """PCA follows rotations, permutations and signs, not scales; an autoencoder draws its start for each unit."""
    sides = [Described(network, place(kind), gauge=False) for network in (build(kind), turned(kind, seed=3))]
    codes = [
        standardise(side.fit(method, **({"steps": 200} if method == "topk_sae" else {})).codes(side.values))
        for side in sides
    ]
    best = (codes[0] @ codes[1].T).abs().max(1).values.mean()
    assert bool(best > 1 - 1e-6) == (method == "pca" and kind != "relu")


# What each view declares


def identified(a, b, views=tuple(VIEWS)):
    return {name for name in views if load(VIEWS[name])().identified(a, b) and load(VIEWS[name])().defined(a, b)}


ANY_TWO_RUNS = {name for name in VIEWS if name.startswith(("score", "effect"))} | {"substitution"}


@KIND
def test_between_two_descriptions_of_a_run_no_view_is_identified_that_sees_the_symmetry(pairs, kind):
    a, b = (side.layer for side in pairs[kind])
    bases = {"neuron_procrustes"} if kind in NORMS else {"neuron_permuted", "neuron_procrustes", "read_in"}
    assert identified(a, b) == ANY_TWO_RUNS | {"write_out"} | bases
    assert identified(a, a) == set(VIEWS)


@pytest.mark.parametrize("kind", NORMS)
def test_a_stream_whose_embedding_is_shared_has_one_basis(kind):
    """Of a retrained block, so, even the directions as they stand can be compared; of independent runs not."""
    network = build(kind)
    network.initialise(stream("drawn anew"), network.parameters_around("stream_1"))
    a, b = (make_layer(n, Described.inputs, Described.rows, "stream_1") for n in (build(kind), network))
    assert identified(a, b) == set(VIEWS)
    other = make_layer(build(kind, seed=1), Described.inputs, Described.rows, "stream_1")
    assert identified(a, other) == ANY_TWO_RUNS | {"neuron_procrustes"}
    narrow = Residual(4, 3, stream=8, blocks=1, hidden=5, norm=kind)
    assert narrow.frame_own("stream_1") == {name for name, _ in narrow.named_parameters()}


def test_the_classes_are_the_basis_of_logits():
    a, b = (make_layer(build("relu", seed), Described.inputs, Described.rows, "logits") for seed in (0, 1))
    assert {"neuron", "neuron_permuted"} <= identified(a, b)
    assert "write_out" not in identified(a, b)


@KIND
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_without_a_meaning_is_an_error_unless_it_is_asked_for_by_name(pairs, kind, name):
    sides = pairs[kind]
    a, b = (side.fitted("pca") for side in sides)
    view, named = load(VIEWS[name])(), load(VIEWS[name])(by_name=True)
    arguments = (same_members(a, b), ["hungarian"], 4)
    named_value = compare(named, a, b, *arguments)
    if view.identified(a.layer, b.layer):
        assert compare(view, a, b, *arguments).by_matching == pytest.approx(named_value.by_matching, nan_ok=True)
        return
    expected = rf"{name} isn't identified between made/seed_0 and made/seed_0 at {place(kind)}: .*Use .*score or effect"
    with pytest.raises(ValueError, match=rf"{expected}.*`views: \[{name}\]`"):
        compare(view, a, b, *arguments)
    assert torch.isfinite(torch.tensor(named_value.by_matching)).all()
