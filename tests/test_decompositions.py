"""Does every decomposition in the registry keep the family's contract?"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
import torch
from making import (
    OPTIONS,
    PAIRED,
    SPARSE,
    make_inputs,
    make_member,
    make_network,
    make_rows,
    method_of,
    mixed,
    one_of_each,
    record,
    seeded,
    spec_of,
)
from torch.testing import assert_close

from homolog.decompositions.fit import fit
from homolog.registry import METHODS
from homolog.store.activations import Activations
from homolog.tasks.base import TRAIN

# Methods that start at random.
SEEDED = ["ica", "nmf", "kmeans", "dictionary_learning", *SPARSE]
ORDERED = {"svd", "pca", "cca", "svcca"}
METHOD = pytest.mark.parametrize("name", one_of_each(METHODS))
SAMPLES, UNITS = 120, 7


def data_for(name, **shape):
    """Activations that the method takes: NMF none below zero."""
    x = mixed(**shape)
    return x.abs() if name == "nmf" else x


def fit_one(name, x, partner=None, **changes):
    if partner is None and name in PAIRED:
        partner = mixed(len(x), 6, seed=50).to(x) + x[:, :1]
    return method_of(name).fit([make_member(name, x, partner, **changes)])[0]


def bits(dictionary):
    return [getattr(dictionary, name).numpy().tobytes() for name in ("directions", "encoder", "encoder_bias", "bias")]


# The contract


def test_there_are_methods_and_all_are_tested_below():
    assert {"svd", "pca", "cca", "ica", "nmf", "kmeans", "relu_sae", "topk_sae", "jumprelu_sae"} <= set(METHODS)
    assert OPTIONS.keys() == METHODS.keys()


@METHOD
def test_shapes_norms_and_finite_numbers(name):
    x = data_for(name)
    d = fit_one(name, x)
    latents = OPTIONS[name]["n_latents"]
    assert d.directions.shape == d.encoder.shape == (latents, UNITS)
    assert d.encoder_bias.shape == d.firing_rate.shape == d.importance.shape == (latents,)
    assert d.bias.shape == (UNITS,)
    assert all(torch.isfinite(a).all() for a in (d.directions, d.encoder, d.encoder_bias, d.bias, d.importance))
    assert_close(d.directions.norm(dim=1), torch.ones_like(d.importance))
    codes = d.codes(x.to(d.encoder))
    assert codes.shape == (SAMPLES, latents)
    assert d.reconstruct(codes).shape == x.shape
    assert ((d.firing_rate >= 0) & (d.firing_rate <= 1)).all()


@METHOD
def test_only_an_ordered_method_has_ranks_and_then_importance_falls(name):
    d = fit_one(name, data_for(name))
    assert d.ordered == (name in ORDERED)
    assert (d.importance >= 0).all()
    if d.ordered:
        assert (d.importance.diff() <= 0).all()
    # A sign means something where codes cannot be negative, and only there.
    assert d.signed == bool((d.codes(data_for(name, seed=9).to(d.encoder)) >= 0).all())


@METHOD
def test_equal_input_gives_equal_bits(name):
    assert bits(fit_one(name, data_for(name))) == bits(fit_one(name, data_for(name)))


@METHOD
def test_global_random_state_is_neither_read_nor_changed(name):
    torch.manual_seed(1)
    first, state = fit_one(name, data_for(name)), torch.get_rng_state()
    torch.manual_seed(2)
    second = fit_one(name, data_for(name))
    torch.manual_seed(1)
    assert bits(first) == bits(second)
    assert torch.equal(torch.get_rng_state(), state)


@METHOD
def test_memory_layout_does_not_matter(name):
    x = data_for(name)
    by_column, strided = x.T.contiguous().T, x.repeat_interleave(2, 0)[::2]
    tolerance = 1e-2 if name in SPARSE else 1e-3
    plain = fit_one(name, x)
    for other in (by_column, strided):
        d = fit_one(name, other)
        # The order of a sum may differ, which training in float32 makes more of.
        assert_close(d.directions, plain.directions, rtol=tolerance, atol=tolerance)
        assert_close(d.encoder, plain.encoder, rtol=tolerance, atol=tolerance)


@METHOD
def test_the_activations_are_left_as_they_were(name):
    x, untouched = data_for(name), data_for(name)
    fit_one(name, x)
    assert torch.equal(x, untouched)


@METHOD
def test_activations_that_never_vary_are_refused(name):
    constant = torch.arange(UNITS).float().expand(SAMPLES, UNITS).clone()
    for x in (constant, torch.zeros(SAMPLES, UNITS)):
        with pytest.raises(ValueError, match=r"\(120, 7\) are the same for every sample.*another hook point"):
            fit_one(name, x, partner=mixed(units=6))


@METHOD
@pytest.mark.parametrize("shape", [(0, UNITS), (SAMPLES, 0)])
def test_empty_activations_are_refused(name, shape):
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))} \(samples, units\) are empty: give at least one"):
        fit_one(name, torch.zeros(shape), partner=torch.zeros(shape[0], 6))


@METHOD
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_activations_that_are_not_finite_are_refused(name, bad):
    x = data_for(name)
    x[3, 2] = bad
    with pytest.raises(ValueError, match=r"\(120, 7\) hold values that aren't finite.*training"):
        fit_one(name, x, partner=mixed(units=6))


# Through `fit`: gauge, order of units, members, facts


@pytest.fixture(scope="module")
def world():
    """A network, and the same one with its units permuted and rescaled; with inputs and their rows."""
    network, other = make_network([10, 8, 9]), make_network([10, 8, 9])
    permutation = torch.randperm(8, generator=seeded(3))
    other.apply_symmetry("hidden_1", permutation, torch.exp2(torch.arange(-4.0, 4)).double())
    return network, other, permutation, make_inputs(400), make_rows(400)


def recorded(world, index=0, hook_point="hidden_1"):
    return record(world[index], world[3], world[4], hook_point, dtype=torch.float32)


def fit_world(world, name, index=0, grid=None, seeds=(0,), gauge="write_out_norm"):
    grid = grid or [OPTIONS[name]]
    partner = recorded(world, hook_point="hidden_2") if name in PAIRED else None
    return fit(spec_of(name, grid, seeds, gauge), recorded(world, index), partner)


@METHOD
def test_latents_follow_the_units_through_a_symmetry(world, name):
    permutation = world[2]
    for plain, moved in zip(fit_world(world, name), fit_world(world, name, 1), strict=True):
        # 150 steps of float32 training from activations that differ in the last bit.
        tolerance = 1e-2 if name in SPARSE else 1e-4
        assert_close(moved.directions, plain.directions[:, permutation], rtol=0, atol=tolerance)
        for fact in ("fvu", "l0", "dead_fraction"):
            assert moved.member[fact] == pytest.approx(plain.member[fact], rel=tolerance)


@METHOD
def test_members_stand_in_the_stated_order_and_carry_their_facts(world, name):
    grid = [OPTIONS[name] | {"n_latents": n} for n in (4, 5)]
    seeds = (0, 5) if name in SEEDED else (0,)
    dictionaries = fit_world(world, name, grid=grid, seeds=seeds)
    stated = list(itertools.product([f"{name}[0]", f"{name}[1]"], seeds, ["all", "a", "b"]))
    assert [(d.member["label"], d.member["seed"], d.member["rows"]) for d in dictionaries] == stated
    for d, (label, _, _) in zip(dictionaries, stated, strict=True):
        options = {key: value for key, value in grid[int(label[-2])].items() if value is not None}
        assert options.items() <= d.member.items()
        assert len(d.directions) == options["n_latents"]


@METHOD
def test_quality_recomputed_by_hand_on_the_rows_of_each_member(world, name):
    activations, rows = recorded(world), world[4]
    x = activations.values.double() * activations.gauge.scale
    for d in fit_world(world, name):
        half = {"all": rows.half >= 0, "a": rows.half == 0, "b": rows.half == 1}[d.member["rows"]]
        own = x[(rows.split == 0) & half]
        wide = d.to(torch.float64)
        codes = wide.codes(own)
        error = ((own - codes @ wide.directions - wide.bias) ** 2).sum() / ((own - own.mean(0)) ** 2).sum()
        assert d.member["fvu"] == pytest.approx(float(error), rel=1e-4)
        assert d.member["l0"] == pytest.approx(float((codes != 0).sum() / len(own)), rel=1e-4)
        assert d.member["dead_fraction"] == pytest.approx(float((codes == 0).all(0).double().mean()))


@METHOD
def test_halves_do_not_see_each_other(world, name):
    """A change of half b's rows leaves half a's members alone, to the bit; and test rows change nothing."""
    activations = recorded(world)
    partner = recorded(world, hook_point="hidden_2")
    grid = [OPTIONS[name] | {"n_latents": 4}]
    values, other = activations.values.clone(), partner.values.clone()
    untouched = (world[4].split == TRAIN) & (world[4].half == 0)
    for tensor in (values, other):
        tensor[~untouched] = tensor[~untouched] * 1.5 + 0.1
    changed = [replace_in(activations, values), replace_in(partner, other)]
    spec = spec_of(name, grid, gauge="none")
    first, second = fit(spec, activations, partner), fit(spec, *changed)
    assert bits(first[1]) == bits(second[1])
    assert bits(first[2]) != bits(second[2])


@pytest.mark.parametrize("name", one_of_each(SEEDED))
def test_member_seeds_and_runs_start_apart(name, world):
    """Seed 0 of two runs must not share a start: that alone has faked published stability."""
    x = data_for(name)
    one, seed = make_member(name, x), make_member(name, x, seed=1)
    other = replace(one, key=("another run", *one.key[1:]))
    fitted = method_of(name).fit([one, seed, other])
    assert len({tuple(bits(d)) for d in fitted}) == 3


def replace_in(activations: Activations, values: torch.Tensor) -> Activations:
    return replace(activations, values=values)
