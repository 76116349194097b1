"""Does the gauge make equal networks look equal: is what is decomposed the same under every symmetry of the layer?"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from making import gaussian, make_inputs, make_member, make_network, make_rows, method_of, record, seeded
from torch.testing import assert_close

from homolog.alignment.gauge import no_gauge, write_out_gauge
from homolog.alignment.similarity import standardise

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
    plain = write_out_gauge(mean, write_out, "permute_scale")
    other = write_out_gauge(mean[permutation] * scale, write_out[:, permutation] / scale, "permute_scale")
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
    gauge = write_out_gauge(logits.mean(0), None, "shift")
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
    with pytest.raises(ValueError, match=r"symmetry 'rotate' isn't known; known are 'permute_scale' and 'shift'"):
        write_out_gauge(torch.ones(3), torch.ones(2, 3), "rotate")
    with pytest.raises(ValueError, match="known are"):
        write_out_gauge(torch.ones(3), None, "permute_scale")


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
