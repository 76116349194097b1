"""Does every decomposition keep the family's contract, and does each find what its definition says?"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from making import TOPK, gaussian, make_inputs, make_network, make_rows, method_of, record, seeded, spec_of
from scipy import optimize
from torch.testing import assert_close

from homolog.alignment.nulls import haar_rotation
from homolog.alignment.similarity import canonical_correlations, cosine
from homolog.decompositions.base import Member
from homolog.decompositions.fit import fit
from homolog.decompositions.sae.topk import TopK, _Stack, geometric_median
from homolog.registry import METHODS
from homolog.store.activations import Activations
from homolog.streams import stream
from homolog.tasks.base import TRAIN
from homolog.tasks.digits import Digits

METHOD = pytest.mark.parametrize("name", METHODS)
LINEAR = pytest.mark.parametrize("name", ["svd", "pca", "cca"])
SAMPLES, UNITS = 120, 7


def options_of(name, **changes):
    return (dict(TOPK) if name == "topk_sae" else {"n_latents": 4}) | changes


def mixed(samples=SAMPLES, units=UNITS, seed=0, dtype=torch.float32):
    """Correlated, skewed, off centre: nothing that a method could lean on by accident."""
    x = gaussian(samples, units, seed=seed).exp() @ gaussian(units, units, seed=seed + 1) + torch.arange(units)
    return x.to(dtype)


def member(name, activations, partner=None, seed=0, rows="all", **changes):
    if partner is None and name == "cca":
        partner = mixed(len(activations), 6, seed=50).to(activations) + activations[:, :1]
    return Member(options_of(name, **changes), seed, rows, activations, partner, ("test", seed, rows))


def fit_one(name, activations, partner=None, **changes):
    return method_of(name).fit([member(name, activations, partner, **changes)])[0]


def bits(dictionary):
    return [getattr(dictionary, name).numpy().tobytes() for name in ("directions", "encoder", "encoder_bias", "bias")]


# The contract


def test_there_are_methods_and_all_are_tested_below():
    assert {"svd", "pca", "cca", "topk_sae"} <= set(METHODS)


@METHOD
def test_shapes_norms_and_finite_numbers(name):
    x = mixed()
    d = fit_one(name, x)
    latents = options_of(name)["n_latents"]
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
    d = fit_one(name, mixed())
    assert d.ordered == (name != "topk_sae")
    assert (d.importance >= 0).all()
    if d.ordered:
        assert (d.importance.diff() <= 0).all()
    # A sign means something where codes cannot be negative, and only there.
    assert d.signed == bool((d.codes(mixed(seed=9).to(d.encoder)) >= 0).all())


@METHOD
def test_equal_input_gives_equal_bits(name):
    assert bits(fit_one(name, mixed())) == bits(fit_one(name, mixed()))


@METHOD
def test_global_random_state_is_neither_read_nor_changed(name):
    torch.manual_seed(1)
    first, state = fit_one(name, mixed()), torch.get_rng_state()
    torch.manual_seed(2)
    second = fit_one(name, mixed())
    torch.manual_seed(1)
    assert bits(first) == bits(second)
    assert torch.equal(torch.get_rng_state(), state)


@METHOD
def test_memory_layout_does_not_matter(name):
    x = mixed()
    by_column, strided = x.T.contiguous().T, x.repeat_interleave(2, 0)[::2]
    plain = fit_one(name, x)
    for other in (by_column, strided):
        d = fit_one(name, other)
        # The order of a sum may differ, so a few steps of float32 training agree to that.
        assert_close(d.directions, plain.directions, rtol=1e-3, atol=1e-3)
        assert_close(d.encoder, plain.encoder, rtol=1e-3, atol=1e-3)


@METHOD
def test_the_activations_are_left_as_they_were(name):
    x, untouched = mixed(), mixed()
    fit_one(name, x)
    assert torch.equal(x, untouched)


@LINEAR
def test_too_many_latents_are_refused_with_the_limit_and_the_shape(name):
    with pytest.raises(ValueError, match=r"at most 7 latents .*\(120, 7\).*n_latents = 8: lower n_latents"):
        fit_one(name, mixed(), partner=mixed(units=12), n_latents=8)
    with pytest.raises(ValueError, match=r"at most 5 latents .*\(5, 7\).*n_latents = 6"):
        fit_one(name, mixed(samples=5), n_latents=6)


def test_cca_finds_no_more_latents_than_its_partner_has_units():
    with pytest.raises(ValueError, match=r"partner can find at most 3 latents .*\(120, 3\).*n_latents = 4"):
        fit_one("cca", mixed(), partner=mixed(units=3))


def test_cca_without_a_partner_says_so():
    with pytest.raises(ValueError, match="second hook point: set `partner`"):
        method_of("cca").fit([replace(member("cca", mixed()), partner=None)])


def test_topk_cannot_have_more_active_latents_than_latents():
    with pytest.raises(ValueError, match=r"k = 5 .* n_latents = 4: lower k"):
        fit_one("topk_sae", mixed(), n_latents=4, k=5)


@METHOD
def test_activations_that_never_vary_are_refused(name):
    constant = torch.arange(UNITS).float().expand(SAMPLES, UNITS).clone()
    for x in (constant, torch.zeros(SAMPLES, UNITS)):
        with pytest.raises(ValueError, match=r"\(120, 7\) are the same for every sample.*another hook point"):
            fit_one(name, x, partner=mixed(units=6))


@METHOD
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_activations_that_are_not_finite_are_refused(name, bad):
    x = mixed()
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
    grid = grid or [options_of(name, n_latents=12 if name == "topk_sae" else 4)]
    partner = recorded(world, hook_point="hidden_2") if name == "cca" else None
    return fit(spec_of(name, grid, seeds, gauge), recorded(world, index), partner)


@METHOD
def test_latents_follow_the_units_through_a_symmetry(world, name):
    permutation = world[2]
    for plain, moved in zip(fit_world(world, name), fit_world(world, name, 1), strict=True):
        # 150 steps of float32 training from activations that differ in the last bit.
        tolerance = 1e-2 if name == "topk_sae" else 1e-4
        assert_close(moved.directions, plain.directions[:, permutation], rtol=0, atol=tolerance)
        for fact in ("fvu", "l0", "dead_fraction"):
            assert moved.member[fact] == pytest.approx(plain.member[fact], rel=tolerance)


@METHOD
def test_members_stand_in_the_stated_order_and_carry_their_facts(world, name):
    grid = [options_of(name, n_latents=n) for n in (3, 4)]
    seeds = (0, 5) if name == "topk_sae" else (0,)
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
    grid = [options_of(name, n_latents=4)]
    values, other = activations.values.clone(), partner.values.clone()
    untouched = (world[4].split == TRAIN) & (world[4].half == 0)
    for tensor in (values, other):
        tensor[~untouched] = tensor[~untouched] * 1.5 + 0.1
    changed = [replace_in(activations, values), replace_in(partner, other)]
    spec = spec_of(name, grid, gauge="none")
    first, second = fit(spec, activations, partner), fit(spec, *changed)
    assert bits(first[1]) == bits(second[1])
    assert bits(first[2]) != bits(second[2])


def replace_in(activations: Activations, values: torch.Tensor) -> Activations:
    return replace(activations, values=values)


# SVD and PCA


def test_svd_is_numpys_up_to_signs():
    x = mixed(dtype=torch.float64)
    d = fit_one("svd", x)
    _, singular, right = np.linalg.svd(x.numpy(), full_matrices=False)
    assert_close(d.importance, torch.as_tensor(singular[:4]) / SAMPLES**0.5)
    assert_close((d.directions @ torch.as_tensor(right[:4]).T).abs(), torch.eye(4).double(), atol=1e-10, rtol=0)


def test_pca_is_the_eigenvectors_of_the_covariance():
    x = mixed(dtype=torch.float64)
    d = fit_one("pca", x)
    covariance = torch.cov(x.T, correction=0)
    assert_close(covariance @ d.directions.T, d.directions.T * d.importance**2)
    assert_close(d.directions @ d.directions.T, torch.eye(4).double())


def test_pca_and_svd_differ_by_the_mean_alone():
    x = mixed(dtype=torch.float64)
    centred = x - x.mean(0)
    pca, svd = fit_one("pca", centred), fit_one("svd", centred)
    assert_close(pca.directions, svd.directions)
    assert_close(pca.importance, svd.importance)
    assert_close(fit_one("pca", x).directions, pca.directions)
    assert not torch.allclose(fit_one("svd", x).directions, svd.directions, atol=0.1)


def test_pca_scores_are_uncorrelated_and_raw_svd_scores_are_not():
    x = mixed(dtype=torch.float64)
    pca, svd = (fit_one(name, x) for name in ("pca", "svd"))
    off = torch.corrcoef(pca.codes(x).T) - torch.eye(4).double()
    assert off.abs().max() < 1e-9
    assert_close(pca.codes(x).mean(0), torch.zeros(4).double(), atol=1e-10, rtol=0)
    assert (torch.corrcoef(svd.codes(x).T) - torch.eye(4).double()).abs().max() > 0.05


@pytest.mark.parametrize("name", ["pca", "svd"])
def test_no_other_basis_of_that_size_reconstructs_better(name):
    """Eckart & Young (1936), against random bases and against bases a little beside the fitted one."""
    x = mixed(dtype=torch.float64)
    d = fit_one(name, x)
    fitted = (x - d.reconstruct(d.codes(x))).square().sum()
    for trial in range(20):
        step = 10.0 ** -(trial % 4)
        basis, _ = torch.linalg.qr(d.directions.T + step * gaussian(UNITS, 4, seed=trial))
        other = ((x - d.bias) @ basis @ basis.T - (x - d.bias)).square().sum()
        assert fitted <= other


@LINEAR
def test_linear_latents_are_read_exactly_where_they_are_all_there_is(name):
    """With as many latents as dimensions, nothing is lost."""
    x = mixed(units=4, dtype=torch.float64)
    d = fit_one(name, x)
    assert_close(d.reconstruct(d.codes(x)), x)


# CCA


@pytest.fixture
def two_views():
    """Two sets of activations with three latents in common."""
    common = gaussian(300, 3, seed=11)
    x = common @ gaussian(3, 6, seed=12) + 0.5 * gaussian(300, 6, seed=13)
    y = common @ gaussian(3, 5, seed=14) + 0.5 * gaussian(300, 5, seed=15)
    return x, y


def test_cca_codes_are_the_variates_and_importance_their_correlations(two_views):
    x, y = two_views
    d, e = fit_one("cca", x, y), fit_one("cca", y, x)
    assert_close(d.importance, canonical_correlations(x, y)[:4])
    a, b = d.codes(x), e.codes(y)
    # The two sides' variates, computed apart, correlate by rho with their own partner and with no other.
    norms = a.norm(dim=0)[:, None] * b.norm(dim=0)
    assert_close((a.T @ b / norms).abs(), d.importance.diag(), atol=1e-9, rtol=0)


def unit_variance_codes(d, x):
    """The codes on the scale of the variates: directions are unit patterns, so the codes hold the pattern's norm."""
    codes = d.codes(x)
    return codes / codes.std(0, correction=0)


def test_cca_codes_are_uncorrelated(two_views):
    x, y = two_views
    codes = fit_one("cca", x, y).codes(x)
    assert_close(codes.mean(0), torch.zeros(4).double(), atol=1e-9, rtol=0)
    assert_close(torch.corrcoef(codes.T), torch.eye(4).double(), atol=1e-9, rtol=0)


def test_cca_directions_are_patterns_not_filters(two_views):
    """Sigma W (W' Sigma W)^-1 (Haufe et al., 2014), and codes x pattern is the regression of x on the codes."""
    x, y = two_views
    d = fit_one("cca", x, y)
    sigma, w = torch.cov(x.T, correction=0), d.encoder.T
    patterns = sigma @ w @ torch.linalg.inv(w.T @ sigma @ w)
    assert_close(patterns.T, d.directions)
    regression = torch.linalg.lstsq(d.codes(x), x - x.mean(0)).solution
    assert_close(regression, d.directions)
    assert (cosine(d.directions, d.encoder).diagonal().abs() < 0.99).all()


def test_cca_codes_do_not_see_an_invertible_map(two_views):
    x, y = two_views
    stretch = haar_rotation(6, seeded(1)) @ torch.linspace(1, 20, 6).double().diag() @ haar_rotation(6, seeded(2))
    plain, mapped = fit_one("cca", x, y), fit_one("cca", x @ stretch + 3, y)
    assert_close(mapped.importance, plain.importance)
    codes, again = unit_variance_codes(plain, x), unit_variance_codes(mapped, x @ stretch + 3)
    assert_close((codes.T @ again / len(x)).abs(), torch.eye(4).double(), atol=1e-8, rtol=0)
    # ... and PCA does.
    codes, again = (unit_variance_codes(fit_one("pca", z), z) for z in (x, x @ stretch + 3))
    assert not torch.allclose((codes.T @ again / len(x)).abs(), torch.eye(4).double(), atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cca_of_dependent_units_knows_the_rank(two_views, dtype):
    """A unit that copies, one that sums others (up to rounding), and a dead one add no latent and change no code."""
    x, y = (side.to(dtype) for side in two_views)
    more = torch.cat([x, x[:, :1], (x[:, :1] + x[:, 1:2]) / 3, torch.zeros(len(x), 1, dtype=dtype)], 1)
    plain, d = fit_one("cca", x, y), fit_one("cca", more, y)
    assert_close(d.importance, plain.importance, atol=1e-5, rtol=0)
    codes, again = unit_variance_codes(plain, x.double()), unit_variance_codes(d, more.double())
    assert_close((codes.T @ again / len(x)).abs(), torch.eye(4).double(), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=r"at most 6 latents here: .* rank 6, the partner's 9, but n_latents = 7"):
        fit_one("cca", more, partner=mixed(300, 9).to(dtype), n_latents=7)


# TopK: one step against an obvious reference


def reference_loss(encoder, encoder_bias, decoder, bias, x, dead, options, target=None):
    """FVU + AuxK of one autoencoder (Gao et al., 2024), sample by sample; `target` replaces what AuxK explains."""
    k, aux_k = options["k"], options["aux_k"] or len(bias) // 2
    residuals, explained = [], []
    for sample in x:
        pre = encoder @ (sample - bias) + encoder_bias
        written = bias
        for latent in sorted(range(len(pre)), key=lambda i: -float(pre.detach()[i]))[:k]:
            written = written + torch.relu(pre[latent]) * decoder[latent]
        auxiliary = torch.zeros_like(bias)
        for latent in sorted((i for i in range(len(pre)) if dead[i]), key=lambda i: -float(pre.detach()[i]))[:aux_k]:
            auxiliary = auxiliary + torch.relu(pre[latent]) * decoder[latent]
        residuals.append(sample - written)
        explained.append(auxiliary)
    residual, explained = torch.stack(residuals), torch.stack(explained)
    loss = residual.square().sum() / (x - x.mean(0)).square().sum()
    if any(dead):
        target = residual.detach() if target is None else target
        spread = (target - target.mean(0)).square().sum()
        loss = loss + options["aux_coefficient"] * (target - explained).square().sum() / spread
    return loss, residual.detach()


@pytest.fixture
def step():
    """Three autoencoders of 8 latents on 5 units in the middle of training: none dead, some dead, all dead."""
    members, latents, units = 3, 8, 5
    decoder = gaussian(members, latents, units, seed=21)
    decoder /= decoder.norm(dim=2, keepdim=True)
    encoder = decoder + 0.2 * gaussian(members, latents, units, seed=22)
    biases = 0.1 * gaussian(members, latents, seed=23), 0.1 * gaussian(members, units, seed=24)
    stack = _Stack(encoder, biases[0], decoder, biases[1])
    for parameter in stack.parameters():
        parameter.requires_grad_()
    dead = torch.zeros(members, latents, dtype=torch.bool)
    dead[1, :5], dead[2] = True, True
    options = {"k": 2, "aux_k": 3, "aux_coefficient": 0.25}
    return stack, gaussian(members, 10, units, seed=25), dead, options


def test_the_loss_of_a_step_is_the_references(step):
    stack, x, dead, options = step
    losses, fired = TopK()._loss(stack, x, dead, options)
    for i in range(3):
        own = [p[i].detach() for p in stack.parameters()]
        expected, _ = reference_loss(*own, x[i], dead[i], options)
        assert_close(losses[i].detach(), expected)
        pre = (x[i] - own[3]) @ own[0].T + own[1]
        on = (pre >= pre.sort(descending=True).values[:, 1:2]) & (pre > 0)
        assert torch.equal(fired[i], on.any(0))


def test_the_gradient_of_a_step_is_the_finite_difference_of_the_reference(step):
    """AuxK explains a residual that it does not pull on: the reference is differentiated with that residual held."""
    stack, x, dead, options = step
    losses, _ = TopK()._loss(stack, x, dead, options)
    gradients = torch.autograd.grad(losses.sum(), stack.parameters())
    for i in range(3):
        own = [p[i].detach().clone() for p in stack.parameters()]
        _, held = reference_loss(*own, x[i], dead[i], options)
        for parameter, gradient in zip(own, gradients, strict=True):
            flat, expected = parameter.view(-1), torch.empty(parameter.numel()).double()
            for j in range(len(flat)):
                value, h, ends = flat[j].clone(), 1e-6, []
                for sign in (1, -1):
                    flat[j] = value + sign * h
                    ends.append(reference_loss(*own, x[i], dead[i], options, held)[0])
                flat[j] = value
                expected[j] = (ends[0] - ends[1]) / (2 * h)
            assert_close(gradient[i].reshape(-1), expected, atol=1e-7, rtol=1e-5)


def reference_training(x, key, options):
    """TopK as its docstring tells it, in float64, with torch.optim.Adam: one autoencoder, nothing stacked."""
    units, latents, steps = x.shape[1], options["n_latents"], options["steps"]
    scale = 1 / float(x.square().sum(1).mean()) ** 0.5
    x = x * scale
    decoder = torch.randn(latents, units, generator=stream("init", *key))
    decoder /= decoder.norm(dim=1, keepdim=True)
    parameters = [decoder.clone(), torch.zeros(latents), decoder, geometric_median(x)]
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, lr=options["lr"])
    generator, order, silent = stream("order", *key), torch.empty(0, dtype=torch.int64), torch.zeros(latents)
    size = min(options["batch_size"], len(x))
    for step in range(steps):
        if len(order) < size:
            order = torch.randperm(len(x), generator=generator)
        batch, order = x[order[:size]], order[size:]
        loss, _ = reference_loss(*parameters, batch, silent > options["dead_after"], options)
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            for row, gradient in zip(decoder, decoder.grad, strict=True):
                gradient -= (gradient @ row) * row
            pre = (batch - parameters[3]) @ parameters[0].T + parameters[1]
            on = (pre >= pre.topk(options["k"]).values[:, -1:]) & (pre > 0)
            silent = torch.where(on.any(0), 0, silent + size)
        optimizer.param_groups[0]["lr"] = options["lr"] * min(1, (steps - step) / (0.2 * steps))
        optimizer.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
    encoder, encoder_bias, decoder, bias = (p.detach() for p in parameters)
    return encoder, encoder_bias / scale, decoder, bias / scale


def smallest_sum_of_distances(x):
    """The geometric median by a general optimiser."""
    best = optimize.minimize(
        lambda point: np.linalg.norm(x.numpy() - point, axis=1).sum(), x.numpy().mean(0), method="BFGS", tol=1e-9
    )
    return torch.as_tensor(best.x)


@pytest.fixture
def everything_in_float64():
    """Adam divides by the gradient's size, so that float32 rounding of a tiny one is a step of full length."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dead_after", [10_000, 20, 0])
@pytest.mark.usefixtures("everything_in_float64")
def test_a_few_steps_are_those_of_adam_on_the_reference(dead_after):
    """Ten steps over several epochs with learning rates apart; AuxK waits for ever, two batches, one."""
    changes = {"steps": 10, "batch_size": 16, "n_latents": 10, "k": 2, "dead_after": dead_after}
    x = mixed(40, dtype=torch.float64)
    members = [member("topk_sae", x, seed=seed, lr=lr, **changes) for seed, lr in ((0, 1e-2), (1, 3e-3))]
    for d, m in zip(TopK().fit(members), members, strict=True):
        expected = reference_training(x, m.key, m.options)
        for seen, wanted in zip((d.encoder, d.encoder_bias, d.directions, d.bias), expected, strict=True):
            assert_close(seen, wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_geometric_median_is_the_minimum_of_the_sum_of_distances(seed):
    x = gaussian(60, 4, seed=seed).exp()
    assert_close(geometric_median(x), smallest_sum_of_distances(x), atol=1e-4, rtol=0)


def test_geometric_median_shrugs_at_one_wild_sample_and_the_mean_does_not():
    x = gaussian(101, 3)
    wild = torch.cat([x, torch.full((1, 3), 1e6).double()])
    assert (geometric_median(wild) - geometric_median(x)).norm() < 0.1
    assert (wild.mean(0) - x.mean(0)).norm() > 1e4


# TopK: training


@pytest.mark.parametrize("k", [1, 3])
def test_at_most_k_latents_are_on_and_none_is_negative(k):
    d = fit_one("topk_sae", mixed(), k=k)
    codes = d.codes(mixed(500, seed=4))
    assert (codes >= 0).all()
    assert (codes != 0).sum(1).max() <= k
    assert_close(d.directions.norm(dim=1), torch.ones(16))


def test_scale_of_the_activations_scales_the_codes_alone():
    """By a power of two, which rounds nothing: what is learned has no unit."""
    x = mixed()
    d, scaled = fit_one("topk_sae", x), fit_one("topk_sae", 64 * x)
    assert torch.equal(d.directions, scaled.directions)
    assert_close(scaled.codes(64 * x), 64 * d.codes(x))


def planted(samples=2000, features=16, active=2):
    """The easy case: orthonormal features, as many as dimensions, always two at once, sizes from 0.5 to 1.5."""
    generator = seeded(0)
    directions = haar_rotation(features, generator).float()
    chosen = torch.rand(samples, features, generator=generator).topk(active).indices
    sizes = 0.5 + torch.rand(samples, active, generator=generator)
    return directions, torch.zeros(samples, features).scatter_(1, chosen, sizes) @ directions


def test_planted_orthogonal_features_are_found_again():
    """Easy by design: known k, half as many latents again as features, no noise. Harder worlds are benchmarks."""
    directions, x = planted()
    changes = {"n_latents": 24, "k": 2, "steps": 600, "batch_size": 128, "dead_after": 2000}
    for d in TopK().fit([member("topk_sae", x, seed=seed, **changes) for seed in range(3)]):
        assert cosine(directions, d.directions).max(1).values.mean() > 0.9


def test_auxk_revives_dead_latents():
    """Real images, twice as many latents as pixels: under half as many dead ones in each of three members.

    On clouds without structure few latents die, and AuxK may even silence rare ones: it is no gain everywhere.
    """
    x = Digits().data().inputs[:640]
    changes = {"n_latents": 128, "k": 4, "lr": 3e-3, "steps": 300, "batch_size": 128, "dead_after": 2000}
    dead = {}
    for coefficient in (0.0, 1 / 32):
        members = [member("topk_sae", x, seed=s, **changes, aux_coefficient=coefficient) for s in range(3)]
        dead[coefficient] = [int((d.firing_rate == 0).sum()) for d in TopK().fit(members)]
    assert all(with_aux < without / 2 for with_aux, without in zip(dead[1 / 32], dead[0.0], strict=True)), dead


def test_training_beats_no_training_and_more_active_latents_explain_more():
    x = mixed(400)
    fvu = {}
    for k, steps in ((1, 1), (1, 300), (3, 300)):
        d = fit_one("topk_sae", x, k=k, steps=steps)
        fvu[k, steps] = float((x - d.reconstruct(d.codes(x))).square().sum() / (x - x.mean(0)).square().sum())
    assert fvu[3, 300] < fvu[1, 300] < fvu[1, 1]


def test_a_member_does_not_depend_on_its_companions():
    """Seeds, rows and learning rates share one program; a member trained alone comes out the same."""
    x = mixed()
    members = [
        member("topk_sae", x[:60], seed=0, rows="a"),
        member("topk_sae", x, seed=1),
        member("topk_sae", x, seed=2, lr=1e-3),
        member("topk_sae", x[60:], seed=3, rows="b", n_latents=9),
    ]
    members = [replace(m, options=m.options | {"steps": 30, "batch_size": 32}) for m in members]
    together = TopK().fit(members)
    for one, d in zip(members, together, strict=True):
        (alone,) = TopK().fit([one])
        assert_close(alone.directions, d.directions, atol=1e-4, rtol=1e-4)
        assert_close(alone.encoder, d.encoder, atol=1e-4, rtol=1e-4)


def test_order_of_members_is_kept_through_groups_of_shapes():
    sizes = [(9, 2), (5, 1), (9, 3), (5, 1), (9, 2)]
    members = [member("topk_sae", mixed(), n_latents=n, k=k, steps=2) for n, k in sizes]
    assert [(len(d.directions), d.k) for d in TopK().fit(members)] == sizes


def test_different_keys_start_apart():
    """Seed 0 of two runs must not share an initialisation: that alone has faked published stability."""
    one = member("topk_sae", mixed(), steps=1, lr=1e-9)
    other = replace(one, key=("another run", *one.key[1:]))
    first, second = TopK().fit([one, other])
    # 16 pairs of random directions in 7 dimensions: a mean |cosine| over 0.6 has probability below 1e-4.
    assert cosine(first.directions, second.directions).diagonal().abs().mean() < 0.6


def test_default_learning_rate_follows_the_number_of_latents():
    x = mixed()
    stated = fit_one("topk_sae", x, lr=2e-4 / math.sqrt(16 / 2**14), steps=20)
    assert bits(fit_one("topk_sae", x, lr=None, steps=20)) == bits(stated)


def test_a_member_that_diverges_is_named():
    members = [member("topk_sae", mixed(), seed=0), member("topk_sae", mixed(), seed=7, rows="a", lr=1e30)]
    with pytest.raises(ValueError, match=r"1 of 2 members diverged \(seed 7, rows a, lr 1e\+30\): lower lr"):
        TopK().fit(members)
