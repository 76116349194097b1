"""Is each recipe's loss, gradient and optimiser step that of its paper, as a slow reference computes it?"""

from __future__ import annotations

import numpy as np
import pytest
import sae_reference as reference
import torch
from making import gaussian, make_member, method_of
from torch.testing import assert_close

from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import after_step, plain_step

LATENTS, UNITS, BATCH, STEP, STEPS = 8, 5, 10, 3, 20
SMALL = {"n_latents": LATENTS, "steps": STEPS, "lr_warmup": 0.5, "lr_decay": 0.5, "dead_after": 15}
AUXK = {"dead": "auxk", "aux_k": 3, "aux_coefficient": 0.25}
PENALISED = {"coefficient": 0.3, "penalty_warmup": 0.4}
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
    **{
        f"relu {penalty} {decoder}": ("relu_sae", {"penalty": penalty, "decoder": decoder} | PENALISED | AUXK)
        for penalty in ("l1", "lp", "sqrt", "tanh")
        for decoder in ("unit_norm", "norm_weighted")
    },
    "relu and dense": ("relu_sae", {"penalty": "sqrt", "dense": 3} | PENALISED | AUXK),
    "jumprelu": ("jumprelu_sae", {"coefficient": 0.3} | JUMP),
    "jumprelu to a target": ("jumprelu_sae", {"coefficient": None, "target_l0": 2.5, "target_coefficient": 0.7} | JUMP),
    "jumprelu and dense": ("jumprelu_sae", {"coefficient": 0.3, "dense": 3} | JUMP),
    "gated": ("gated_sae", PENALISED),
    "gated and dense": ("gated_sae", PENALISED | {"dense": 3}),
    "matching pursuit": ("matching_pursuit_sae", {"k": 3}),
    "archetypal": ("archetypal_sae", {"k": 2, "candidates": 12, "relaxation": 0.4} | AUXK),
    "archetypal in the hull": ("archetypal_sae", {"k": 2, "candidates": 12, "relaxation": 0.0} | AUXK),
}  # fmt: skip
CASE = pytest.mark.parametrize(("name", "changes"), CASES.values(), ids=list(CASES))


@pytest.fixture(autouse=True)
def everything_in_float64():
    """Differences of float32 losses are noise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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
            codes = reference.pursuit_codes(x[i].numpy() - p["bias"], p["decoder"], stack.options["k"])
        else:
            pre = (x[i].numpy() - p["bias"]) @ p["encoder"].T + p["encoder_bias"]
            codes = reference.codes_of(name, pre, p, stack.options)
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
STEPPED = CASES | {
    "topk, 3 fixed": ("topk_sae", {"k": 2} | AUXK | HELD),
    "relu, 3 fixed": ("relu_sae", {"decoder": "norm_weighted"} | PENALISED | AUXK | HELD),
    "matching pursuit, all fixed": ("matching_pursuit_sae", {"k": 3, "fixed": LATENTS}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), STEPPED.values(), ids=list(STEPPED))
def test_three_steps_are_those_of_adam_on_the_sphere(name, changes):
    """From the gradients, which are tested above; rates warm up over steps 0 to 10 and then fall."""
    recipe, stack, x = half_trained(name, changes | {"dead": changes.get("dead", "none")})
    sphere = name != "archetypal_sae" and changes.get("decoder") != "norm_weighted"
    held = np.arange(LATENTS) >= LATENTS - changes.get("fixed", 0)
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
            reference.adam(p, own, first, second, rate, step + 1, sphere, held)
            if "threshold" in p:
                p["threshold"] = np.maximum(p["threshold"], 0)
            expected.append((p, first, second))
        plain_step(recipe, stack, x)
        for i in range(3):
            for group, wanted in zip((stack.parameters, stack.first, stack.second), expected[i], strict=True):
                for key, value in group.items():
                    assert_close(value[i], torch.as_tensor(wanted[key]), atol=1e-12, rtol=1e-9)


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
