"""Is each recipe's loss, gradient and optimiser step that of its paper, as a slow reference computes it?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sae_reference as reference
import torch
from making import SPARSE, gaussian, make_member, method_of, seeded
from torch.testing import assert_close

from homolog.decompositions.sae.auxiliary import resample
from homolog.decompositions.sae.base import k_at, on_unit_directions
from homolog.decompositions.sae.initial import LATER, initialise, member_of, own_stream
from homolog.decompositions.sae.optimiser import after_step, plain_step

LATENTS, UNITS, BATCH, STEP, STEPS = 8, 5, 10, 3, 20
SMALL = {"n_latents": LATENTS, "steps": STEPS, "lr_warmup": 0.5, "lr_decay": 0.5, "dead_after": 15}
AUXK = {"dead": "auxk", "aux_k": 3, "aux_coefficient": 0.25}
PENALISED = {"coefficient": 0.3, "penalty_warmup": 0.4}
FREE = {"decoder": "norm_weighted"}
UNWEIGHTED = {"decoder": "free"}
# At step 3 of 20 half way from 3 to 1.
FALLING = {"k_start": 3, "k_warmup": 0.4}
JUMP = {"penalty_warmup": 0.4, "bandwidth": 0.3, "threshold_init": 0.4}

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "topk": ("topk_sae", {"k": 2} | AUXK),
    "topk without AuxK": ("topk_sae", {"k": 2, "dead": "none"}),
    "topk by default AuxK": ("topk_sae", {"k": 2, "dead": "auxk", "aux_k": None}),
    "multi-topk": ("topk_sae", {"k": 1, "multi": True} | AUXK),
    "topk and dense": ("topk_sae", {"k": 2, "dense": 3} | AUXK),
    "batch-topk": ("batch_topk_sae", {"k": 2} | AUXK),
    "batch-topk and dense": ("batch_topk_sae", {"k": 2, "dense": 3} | AUXK),
    "matryoshka": ("matryoshka_sae", {"k": 3, "levels": 3} | AUXK),
    "topk free": ("topk_sae", {"k": 2, "dense": 1} | UNWEIGHTED | AUXK),
    "multi-topk free": ("topk_sae", {"k": 1, "multi": True} | UNWEIGHTED | AUXK),
    "batch-topk free": ("batch_topk_sae", {"k": 2} | UNWEIGHTED | AUXK),
    "matryoshka free": ("matryoshka_sae", {"k": 3, "levels": 3} | UNWEIGHTED | AUXK),
    "topk norm_weighted": ("topk_sae", {"k": 2} | FREE | AUXK),
    "multi-topk norm_weighted": ("topk_sae", {"k": 1, "multi": True} | FREE | AUXK),
    "batch-topk norm_weighted and dense": ("batch_topk_sae", {"k": 2, "dense": 3} | FREE | AUXK),
    "matryoshka norm_weighted": ("matryoshka_sae", {"k": 3, "levels": 3} | FREE | AUXK),
    "topk falling": ("topk_sae", {"k": 1, "multi": True} | FALLING | AUXK),
    "batch-topk falling": ("batch_topk_sae", {"k": 1} | FALLING | AUXK),
    "matryoshka falling": ("matryoshka_sae", {"k": 1, "levels": 2} | FALLING | AUXK),
    "matching pursuit falling": ("matching_pursuit_sae", {"k": 1} | FALLING),
    **{
        f"relu {penalty} {decoder}": ("relu_sae", {"penalty": penalty, "decoder": decoder} | PENALISED | AUXK)
        for penalty in ("l1", "lp", "sqrt", "tanh")
        for decoder in ("unit_norm", "norm_weighted")
    },
    "relu and dense": ("relu_sae", {"penalty": "sqrt", "dense": 3} | PENALISED | AUXK),
    "jumprelu": ("jumprelu_sae", {"coefficient": 0.3} | JUMP),
    "jumprelu to a target": ("jumprelu_sae", {"coefficient": None, "target_l0": 2.5, "target_coefficient": 0.7} | JUMP),
    "jumprelu and dense": ("jumprelu_sae", {"coefficient": 0.3, "dense": 3} | JUMP),
    "jumprelu with AuxK": ("jumprelu_sae", {"coefficient": 0.3} | JUMP | AUXK),
    "jumprelu norm_weighted": ("jumprelu_sae", {"coefficient": 0.3, "dense": 3} | JUMP | FREE | AUXK),
    "gated": ("gated_sae", PENALISED),
    "gated with AuxK": ("gated_sae", PENALISED | AUXK),
    "gated norm_weighted": ("gated_sae", PENALISED | FREE | AUXK),
    "gated and dense": ("gated_sae", PENALISED | {"dense": 3}),
    "matching pursuit": ("matching_pursuit_sae", {"k": 3}),
    "archetypal": ("archetypal_sae", {"k": 2, "candidates": 12, "relaxation": 0.4} | AUXK),
    "archetypal in the hull": ("archetypal_sae", {"k": 2, "candidates": 12, "relaxation": 0.0} | AUXK),
    "crosscoder": ("crosscoder", {"k": 2} | AUXK),
    "crosscoder norm_weighted": ("crosscoder", {"k": 2} | FREE | AUXK),
}  # fmt: skip
CASE = pytest.mark.parametrize(("name", "changes"), CASES.values(), ids=list(CASES))


@pytest.fixture(autouse=True)
def everything_in_float64():
    """Differences of float32 losses are noise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_every_sparse_method_has_a_reference():
    assert {name for name, _ in CASES.values()} == set(SPARSE)


def half_trained(name, changes):
    """Three autoencoders in the middle of training, of which none, some and all latents are dead; and a batch each."""
    x = gaussian(60, UNITS, seed=1) + 0.5
    recipe = method_of(name)
    stack = initialise(recipe, [make_member(name, x, seed=seed, **SMALL | changes) for seed in range(3)])
    for i, (key, p) in enumerate(stack.parameters.items()):
        p += 0.3 * gaussian(*p.shape, seed=20 + i)
        if key == "threshold":
            p.abs_()
        stack.first[key] += 0.1 * gaussian(*p.shape, seed=40 + i)
        stack.second[key] += 0.1 * gaussian(*p.shape, seed=60 + i) ** 2
        if stack.held is not None and key in ("encoder", "decoder"):  # Which have never had a gradient.
            stack.first[key][stack.held] = stack.second[key][stack.held] = 0
    if recipe.on_sphere(stack.options):
        stack.parameters["decoder"] /= stack.parameters["decoder"].norm(dim=2, keepdim=True)
    stack.silent[1, :5], stack.silent[2], stack.step = 16, 16, STEP
    return recipe, stack, gaussian(3, BATCH, UNITS, seed=25)


def member_in_numpy(stack, i):
    """Parameters of one member, and what else the reference asks for."""
    p = {key: value[i].numpy().copy() for key, value in stack.parameters.items()}
    data = stack.memory["candidates"][i].numpy() if "candidates" in stack.memory else None
    rows = stack.members[i].activations.whole().numpy() * float(stack.scale[i])
    dead = stack.silent[i].numpy() > SMALL["dead_after"]
    return p, {"dead": dead, "step": stack.step, "data": data, "variance": rows.var(0).sum()}


def gradients_of(recipe, stack, x):
    p = {key: value.detach().requires_grad_() for key, value in stack.parameters.items()}
    total = recipe.losses(p, x, stack).total
    found = torch.autograd.grad(total.sum(), list(p.values()), materialize_grads=True)
    return total.detach(), dict(zip(p, found, strict=True))


@CASE
def test_the_loss_is_the_references(name, changes):
    recipe, stack, x = half_trained(name, changes)
    losses = recipe.losses(stack.parameters, x, stack)
    for i in range(3):
        p, state = member_in_numpy(stack, i)
        expected, residual = reference.loss(name, p, x[i].numpy(), stack.options, **state)
        assert float(losses.total[i]) == pytest.approx(expected, rel=1e-12)
        assert_close(losses.residual[i], torch.as_tensor(residual))
        fvu = reference.fvu(residual, BATCH * state["variance"])
        assert float(losses.terms["fvu"][i]) == pytest.approx(fvu, rel=1e-12)


@CASE
def test_what_fired_and_l0_are_counted_by_hand(name, changes):
    recipe, stack, x = half_trained(name, changes)
    losses = recipe.losses(stack.parameters, x, stack)
    for i in range(3):
        p, _ = member_in_numpy(stack, i)
        if name == "matching_pursuit_sae":
            codes = reference.pursuit_codes(x[i].numpy() - p["bias"], p["decoder"], reference.k_of(stack.options, STEP))
        else:
            pre = (x[i].numpy() - p["bias"]) @ p["encoder"].T + p["encoder_bias"]
            codes = reference.codes_of(name, pre, p, stack.options, reference.k_of(stack.options, STEP))
        assert losses.fired[i].tolist() == (codes > 0).any(0).tolist()
        assert float(losses.terms["l0"][i]) == pytest.approx((codes > 0).sum() / BATCH)


@CASE
def test_the_gradient_is_the_finite_difference_of_the_reference(name, changes):
    """JumpReLU's thresholds apart, in which the loss is flat: theirs is the straight-through formula, written out."""
    recipe, stack, x = half_trained(name, changes)
    _, found = gradients_of(recipe, stack, x)
    for i in range(3):
        p, state = member_in_numpy(stack, i)
        expected = reference.differences(name, p, x[i].numpy(), stack.options, **state)
        if name == "jumprelu_sae":
            warm = (STEP + 1) / (JUMP["penalty_warmup"] * STEPS)
            expected["threshold"] = reference.threshold_gradient(p, x[i].numpy(), stack.options, warm)
            assert (expected["threshold"] != 0).any()
        assert expected.keys() == found.keys()
        for key, gradient in found.items():
            assert_close(gradient[i], torch.as_tensor(expected[key]), atol=1e-7, rtol=1e-5)


HELD = {"fixed": 3}
SOFT = {"fixed": LATENTS, "fixed_cosine": 0.98}
STEPPED = CASES | {
    "topk, 3 fixed": ("topk_sae", {"k": 2} | AUXK | HELD),
    "relu, 3 fixed": ("relu_sae", {"decoder": "norm_weighted"} | PENALISED | AUXK | HELD),
    "matching pursuit, all fixed": ("matching_pursuit_sae", {"k": 3, "fixed": LATENTS}),
    "topk, 3 soft": ("topk_sae", {"k": 2} | AUXK | SOFT | {"fixed": 3}),
    "topk, all soft": ("topk_sae", {"k": 2} | AUXK | SOFT),
    "relu, all soft": ("relu_sae", {"decoder": "norm_weighted"} | PENALISED | SOFT),
}  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), STEPPED.values(), ids=list(STEPPED))
def test_three_steps_are_those_of_adam_on_the_sphere(name, changes):
    """From the gradients, which are tested above; rates warm up over steps 0 to 10 and then fall."""
    recipe, stack, x = half_trained(name, changes | {"dead": changes.get("dead", "none")})
    sphere = name != "archetypal_sae" and changes.get("decoder", "unit_norm") == "unit_norm"
    held = np.arange(LATENTS) >= LATENTS - changes.get("fixed", 0)
    limit, turned = changes.get("fixed_cosine", 1.0), 0
    for step in (8, 9, 10):
        stack.step = step
        rate = stack.options["lr"] * min(1, (step + 1) / (0.5 * STEPS)) * min(1, (STEPS - step) / (0.5 * STEPS))
        _, gradients = gradients_of(recipe, stack, x)
        expected = []
        for i in range(3):
            p, first, second = (
                {key: value[i].numpy().copy() for key, value in group.items()}
                for group in (stack.parameters, stack.first, stack.second)
            )
            own = {key: value[i].numpy() for key, value in gradients.items()}
            reference.adam(p, own, first, second, rate, step + 1, sphere, held, limit)
            if limit < 1:
                turned += reference.turn_back(p["decoder"], stack.start[i].numpy(), held, limit)
            if "threshold" in p:
                p["threshold"] = np.maximum(p["threshold"], 0)
            expected.append((p, first, second))
        plain_step(recipe, stack, x)
        for i in range(3):
            for group, wanted in zip((stack.parameters, stack.first, stack.second), expected[i], strict=True):
                for key, value in group.items():
                    assert_close(value[i], torch.as_tensor(wanted[key]), atol=1e-12, rtol=1e-9)
    assert (turned > 0) == (limit < 1)


def test_silence_is_counted_in_samples_and_ends_when_a_latent_fires():
    recipe, stack, x = half_trained("topk_sae", {"k": 2})
    before, step = stack.silent.clone(), stack.step
    losses = plain_step(recipe, stack, x)
    after_step(stack, x, losses)
    assert torch.equal(stack.silent, torch.where(losses.fired, 0, before + BATCH))
    assert losses.fired.any()
    assert not losses.fired.all()
    assert stack.step == step + 1


@pytest.mark.parametrize("name", ["batch_topk_sae", "matryoshka_sae"])
def test_the_threshold_is_a_running_mean_of_each_batchs_smallest_code(name):
    recipe, stack, _ = half_trained(name, {"k": 2, "threshold_momentum": 0.75})
    assert (stack.memory["threshold"] < 0).all()  # None seen.
    smallest = []
    for draw in range(3):
        x = gaussian(3, BATCH, UNITS, seed=70 + draw)
        recipe.losses(stack.parameters, x, stack)
        p, _ = member_in_numpy(stack, 1)
        codes = reference.batch_codes((x[1].numpy() - p["bias"]) @ p["encoder"].T + p["encoder_bias"], 2)
        smallest.append(codes[codes > 0].min())
    first, second, third = smallest
    expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
    assert float(stack.memory["threshold"][1]) == pytest.approx(expected, rel=1e-12)


def test_a_batch_in_which_nothing_fires_leaves_the_threshold_alone():
    recipe, stack, x = half_trained("batch_topk_sae", {"k": 2})
    recipe.losses(stack.parameters, x, stack)
    before = stack.memory["threshold"].clone()
    recipe.losses(stack.parameters | {"encoder_bias": torch.full((3, LATENTS), -1e3)}, x, stack)
    assert torch.equal(stack.memory["threshold"], before)


# Free decoders

FREED = {name: case for name, case in CASES.items() if case[1].get("decoder") == "norm_weighted"}
FREED_CASE = pytest.mark.parametrize(("name", "changes"), FREED.values(), ids=list(FREED))


@FREED_CASE
def test_how_a_scale_is_shared_out_between_encoder_and_decoder_does_not_matter(name, changes):
    """Powers of two, which round nothing. Without the weighting by norms another autoencoder would come of it."""
    recipe, stack, x = half_trained(name, changes)
    factor = 2.0 ** torch.randint(-3, 4, (3, LATENTS), generator=seeded(5))
    p, moved = stack.parameters, {}
    for key in p:
        if key in ("encoder", "encoder_bias", "magnitude_bias"):
            moved[key] = p[key] / (factor[..., None] if key == "encoder" else factor)
    moved = p | moved | {"decoder": p["decoder"] * factor[..., None]}
    for fresh in (p, moved):
        stack.memory |= {key: value * 0 - 1 for key, value in stack.memory.items()}
        losses = recipe.losses(fresh, x, stack)
        if fresh is p:
            expected = losses
    assert_close(losses.total, expected.total, rtol=1e-12, atol=0)
    assert_close(losses.residual, expected.residual)
    assert torch.equal(losses.fired, expected.fired)
    assert (recipe.own_losses(moved, x, stack).total - recipe.own_losses(p, x, stack).total).abs().max() > 1e-3


@CASE
def test_the_stored_dictionary_writes_what_training_did_along_unit_directions(name, changes):
    recipe, stack, x = half_trained(name, changes)
    # At the last step, when a falling k has fallen.
    stack.step = STEPS - 1
    left = recipe.losses(stack.parameters, x, stack).residual
    for i in range(3):
        p, alone = member_of(stack, i)
        if "threshold" in stack.memory:  # Just below the least code, as if all batches had been this one.
            alone.memory["threshold"] = alone.memory["threshold"] * (1 - 1e-9)
        dictionary = recipe.dictionary(p, alone)
        assert_close(x[i] - dictionary.reconstruct(dictionary.codes(x[i])), left[i])
        assert_close(dictionary.directions.norm(dim=1), torch.ones(LATENTS))


def test_unit_directions_are_left_as_they_are():
    _, stack, _ = half_trained("topk_sae", {"k": 2})
    assert on_unit_directions(stack.parameters, stack.options) is stack.parameters


# Schedules of k


def test_k_falls_in_a_line_to_its_value_and_stays():
    options = make_member("topk_sae", gaussian(9, 3), k=4, k_start=13, k_warmup=0.5, steps=40).options
    ks = [k_at(options, step) for step in range(40)]
    assert ks[0] == 13
    assert ks[9] == round((13 + 4) / 2)
    assert ks[19:] == [4] * 21
    assert ks[18] > 4 or ks[17] > 4
    assert all(0 <= before - after <= 1 for before, after in pairwise(ks))
    for same in ({"k_start": None}, {"k_start": 4}, {"k_warmup": 0.0}):
        assert {k_at(options | same, step) for step in range(40)} == {4}
    assert k_at(options | {"k_warmup": 1.0}, 39) == 4


@pytest.mark.parametrize("name", ["batch_topk_sae", "matryoshka_sae"])
def test_the_threshold_comes_from_the_last_k_alone(name):
    recipe, stack, x = half_trained(name, {"k": 1, "k_start": 3, "k_warmup": 0.4, "threshold_momentum": 0.75})
    for step in range(STEPS):
        stack.step = step
        recipe.losses(stack.parameters, x, stack)
        assert bool((stack.memory["threshold"] > 0).all()) == (k_at(stack.options, step) == 1)
    for i in range(3):
        p, _ = member_in_numpy(stack, i)
        codes = reference.batch_codes((x[i].numpy() - p["bias"]) @ p["encoder"].T + p["encoder_bias"], 1)
        assert float(stack.memory["threshold"][i]) == pytest.approx(codes[codes > 0].min(), rel=1e-12)


# Dead latents


@pytest.mark.parametrize(
    ("name", "changes"),
    [("jumprelu_sae", {"coefficient": 0.3} | JUMP), ("gated_sae", PENALISED), ("topk_sae", {"k": 1})],
)
def test_auxk_gives_dead_latents_a_gradient_that_they_lack_without(name, changes):
    """They are dead by what the recipe holds against them: a threshold, a gate, or larger ones."""
    grown = {}
    for how in ("none", "auxk"):
        recipe, stack, x = half_trained(name, changes | {"dead": how, "aux_k": 3})
        dead = torch.arange(LATENTS) < 3
        stack.silent[:] = torch.where(dead, 16, 0)
        if name == "topk_sae":
            stack.parameters["encoder_bias"][:, ~dead] += 50.0
        elif name == "jumprelu_sae":
            stack.parameters["threshold"][:, dead] = 50.0
        else:
            stack.parameters["encoder_bias"][:, dead] = -50.0
        losses = recipe.losses(stack.parameters, x, stack)
        assert not losses.fired[:, dead].any()
        _, gradients = gradients_of(recipe, stack, x)
        grown[how] = [gradients[key][:, dead].abs().amax((1, 2)) for key in ("encoder", "decoder")]
    assert all((gradient == 0).all() for gradient in grown["none"])
    assert all((gradient > 0).all() for gradient in grown["auxk"])


@pytest.mark.parametrize("name", ["relu_sae", "jumprelu_sae", "gated_sae", "topk_sae"])
def test_a_latent_that_is_drawn_anew_forgets_all_but_its_start(name):
    """Towards an input, at a fifth of the mean norm by which the living ones read, with what training starts from."""
    given = {"k": 2} if name == "topk_sae" else {"coefficient": 0.3}
    recipe, stack, x = half_trained(name, given | FREE | {"dead": "resample"})
    dead = stack.silent[1] > 15
    norm = stack.parameters["decoder"][1].norm(dim=1)
    wanted = 0.2 * (stack.parameters["encoder"][1].norm(dim=1) * norm)[~dead].mean()
    resample(stack, x, recipe.losses(stack.parameters, x, stack).residual)
    start = initialise(recipe, stack.members).parameters
    for key, value in stack.parameters.items():
        if key not in ("encoder", "decoder", "bias"):  # Thresholds in proportion: encoder rows start at norm 1.
            factor = wanted if key == "threshold" else 1
            assert_close(value[1, dead], factor * start[key][1, dead])
        if key != "bias":
            assert (stack.first[key][1, dead] == 0).all()
            assert (stack.second[key][1, dead] == 0).all()
            assert (stack.second[key][1, ~dead] != 0).all()
    assert_close(stack.parameters["encoder"][1, dead].norm(dim=1), wanted.expand(int(dead.sum())))
    direction = stack.parameters["decoder"][1, dead]
    toward = (x[1] - stack.parameters["bias"][1]) / (x[1] - stack.parameters["bias"][1]).norm(dim=1, keepdim=True)
    assert_close((direction @ toward.T).amax(1), torch.ones(len(direction)))


# What is refused, and what is left as it was


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("archetypal_sae", {"dead": "resample"}, "Archetypal: dead = 'resample', but allowed is auxk or none."),
        ("matching_pursuit_sae", {"dead": "auxk"}, "MatchingPursuit: dead = 'auxk', but allowed is resample or none."),
        ("archetypal_sae", FREE, "Archetypal: decoder = 'norm_weighted', but allowed is unit_norm."),
        ("matching_pursuit_sae", FREE, "MatchingPursuit: decoder = 'norm_weighted', but allowed is unit_norm."),
        ("archetypal_sae", {"directions_init": "data"}, "Archetypal: directions_init = 'data', .* is sphere: leave"),
        ("archetypal_sae", {"encoder_init": "independent"}, "Archetypal: encoder_init = 'independent', .* is tied: "),
        ("archetypal_sae", {"encoder_norm": 0.3}, "Archetypal: encoder_norm = 0.3, .* is 1.0: leave encoder_norm out"),
        ("matching_pursuit_sae", {"encoder_init": "independent"}, "MatchingPursuit: encoder_init = 'independent', "),
        ("matching_pursuit_sae", {"encoder_norm": 0.3}, "MatchingPursuit: encoder_norm = 0.3, .* is 1.0: leave"),
        ("gated_sae", {"decoder": "free"}, "Gated: decoder = 'free', but allowed is unit_norm or norm_weighted."),
        ("topk_sae", {"k": 3, "k_start": 2}, "TopK: k_start = 2, from which k falls to 3, but allowed is 3 to 16"),
        ("topk_sae", {"k_start": 15, "dense": 2}, "allowed is 3 to 14: change k_start"),
        ("topk_sae", {"k": 2, "k_start": 5, "multi": True}, "multi needs 4 k_start = 20 .*: lower k_start"),
    ],
)
def test_an_option_without_a_meaning_for_a_recipe_is_refused(name, changes, says):
    with pytest.raises(ValueError, match=says):
        method_of(name).fit([make_member(name, gaussian(30, 4), **changes)])


@pytest.mark.parametrize("name", ["topk_sae", "relu_sae", "gated_sae"])
def test_options_that_came_later_change_no_draw_until_they_are_used(name):
    """Draws are keyed by options: at their defaults those of `LATER` are left out, and so is a decoder but ReLU's."""
    member = make_member(name, gaussian(30, 4))
    before = {key: value for key, value in member.options.items() if key not in LATER}
    if name != "relu_sae":
        before.pop("decoder")
    first = torch.randn(3, generator=own_stream("init", member))
    assert torch.equal(first, torch.randn(3, generator=own_stream("init", replace(member, options=before))))
    used = [{"decoder": "norm_weighted"}] + ([{"k_start": 5}, {"k_warmup": 0.1}] if name == "topk_sae" else [])
    for changes in used:
        other = replace(member, options=member.options | changes)
        assert not torch.equal(first, torch.randn(3, generator=own_stream("init", other)))
