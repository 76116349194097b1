"""Do the fast CPU steps take the plain path's steps, and the compiled kernels do what their obvious versions do?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import gaussian, seeded
from torch.testing import assert_close

from homolog.config import parse_decomposition
from homolog.decompositions.base import Member
from homolog.decompositions.sae.fast import kernels
from homolog.decompositions.sae.fast.base import Proposer, fast_step_of, one_by_one
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import after_step, plain_step
from homolog.decompositions.samples import InMemory
from homolog.loading import load
from homolog.registry import METHODS

UNITS, LATENTS = 24, 80
COMMON = {"n_latents": LATENTS, "batch_size": 256, "steps": 60, "lr": 3e-3, "dead_after": 300}
RECIPES: dict[str, dict[str, Any]] = {
    "topk_sae": {"k": 4},
    "topk_sae, no AuxK": {"k": 4, "dead": "none"},
    "topk_sae, nearly all active": {"k": 70},
    "batch_topk_sae": {"k": 4},
    "crosscoder": {"k": 4},
    "matryoshka_sae": {"k": 4, "levels": 3},
    "relu_sae": {"coefficient": 0.3, "penalty_warmup": 0.2},
    "relu_sae, tanh": {"coefficient": 0.3, "penalty": "tanh", "dense": 5},
    "relu_sae, lp": {"coefficient": 0.2, "penalty": "lp"},
    "relu_sae, AuxK": {"coefficient": 0.3, "dead": "auxk"},
    "jumprelu_sae": {"coefficient": 0.02, "threshold_init": 0.25, "bandwidth": 0.05},
    "jumprelu_sae, target": {"target_l0": 3.0, "threshold_init": 0.25, "bandwidth": 0.05, "dense": 3},
    "jumprelu_sae, wide": {"coefficient": 0.02, "threshold_init": 0.1, "bandwidth": 0.3},
}
RECIPE = pytest.mark.parametrize("name", RECIPES)


def planted(samples: int, seed: int = 0) -> torch.Tensor:
    """Three of 40 features active, a little noise, off centre."""
    g = seeded(seed)
    features = torch.randn(40, UNITS, generator=g)
    codes = (torch.rand(samples, 40, generator=g) < 3 / 40) * (1 + torch.rand(samples, 40, generator=g))
    return (
        codes @ (features / features.norm(dim=1, keepdim=True)) + 0.02 * torch.randn(samples, UNITS, generator=g) + 0.5
    )


def set_up(name: str, x: torch.Tensor, **more: Any) -> tuple[Any, Any]:
    """A recipe and one member before its first step."""
    method = name.partition(",")[0]
    options = parse_decomposition({"method": method, **COMMON, **RECIPES[name], **more}).expand()[0]
    recipe = load(METHODS[method])()
    stack = initialise(recipe, [Member(options, 0, "all", InMemory(x), None, ("test",))])
    if method == "relu_sae":  # as after some training: a dense member's steps are plain ones
        stack.parameters["encoder_bias"] -= 0.25
    return recipe, stack


def set_equal(stack: Any, other: Any) -> None:
    for name, array in stack.arrays().items():
        if not name.startswith("curve"):
            other.arrays()[name].copy_(array)
    stack.silent, other.silent = stack.silent.clone(), stack.silent.clone()
    other.memory |= {name: value.clone() for name, value in stack.memory.items()}


@RECIPE
@pytest.mark.parametrize("batch", [256, 2050])
def test_one_fast_step_is_a_plain_step(name, batch):
    """From equal state, over training: losses, gradients (through the moments), what fired and what is remembered."""
    x = planted(3000)
    recipe, plain = set_up(name, x)
    _, fast = set_up(name, x)
    step = fast_step_of(recipe, fast)(recipe, fast, batch, one_by_one)
    dead_seen = False
    for i in range(6):
        rows = torch.randperm(len(x), generator=seeded(i))[:batch]  # no row twice: the plain path breaks ties
        batch_x = (x[rows] * plain.scale)[None]
        if i == 3:  # some latents that are dead for certain
            plain.silent[:, ::3] = 10_000
            plain.parameters["encoder_bias"][:, ::3] = -0.2
        set_equal(plain, fast)
        expected, seen = plain_step(recipe, plain, batch_x), step(recipe, fast, batch_x)
        assert_close(seen.total, expected.total, rtol=1e-5, atol=1e-6)
        assert set(seen.terms) == set(expected.terms)
        for term, value in expected.terms.items():
            assert_close(seen.terms[term], value, rtol=1e-5, atol=1e-6, msg=term)
        dead_seen |= bool(expected.terms.get("auxiliary", torch.zeros(1)) > 0)
        assert torch.equal(seen.fired, expected.fired)
        assert_close(seen.residual, expected.residual, rtol=1e-4, atol=1e-5)
        for key, moment in plain.first.items():
            assert_close(fast.first[key], moment, rtol=1e-4, atol=1e-5 * float(moment.abs().max()), msg=key)
        for key, memory in plain.memory.items():
            assert_close(fast.memory[key], memory)
        for s, losses in ((plain, expected), (fast, seen)):
            after_step(s, batch_x, losses)
    if plain.options["dead"] == "auxk" and "nearly all" not in name:
        assert dead_seen


@pytest.mark.usefixtures("no_shape_checks")
@RECIPE
def test_training_ends_at_the_same_fvu(name):
    method = name.partition(",")[0]
    x, fitted = planted(4000), {}
    for engine in ("auto", "plain"):
        options = parse_decomposition(
            {"method": method, **COMMON, **RECIPES[name], "steps": 150, "engine": engine}
        ).expand()[0]
        (fitted[engine],) = load(METHODS[method])().fit([Member(options, 0, "all", InMemory(x), None, ("test",))])
    assert fitted["auto"].member["fvu"] == pytest.approx(fitted["plain"].member["fvu"], rel=0.01)
    assert fitted["auto"].member["l0"] == pytest.approx(fitted["plain"].member["l0"], rel=0.02)


def test_every_recipe_that_has_a_fast_step_is_tried():
    folder = Path(kernels.__file__).parent
    having = {path.stem for path in folder.parent.glob("*.py") if "def fast_step" in path.read_text()} - {"base"}
    tried = {type(load(METHODS[name.partition(",")[0]])()) for name in RECIPES}
    assert having <= {owner.__module__.rpartition(".")[2] for kind in tried for owner in kind.__mro__}


@pytest.mark.parametrize(
    ("method", "options"),
    [("topk_sae", {"k": 4, "dense": 2}), ("topk_sae", {"k": 4, "multi": True}), ("topk_sae", {"k": 4, "fixed": 2}),
     ("topk_sae", {"k": 4, "engine": "plain"}), ("relu_sae", {"coefficient": 1.0, "decoder": "norm_weighted"})],
)  # fmt: skip
def test_what_the_kernels_do_not_cover_is_left_to_the_plain_path(method, options):
    complete = parse_decomposition({"method": method, **COMMON, **options}).expand()[0]
    recipe = load(METHODS[method])()
    member = Member(complete, 0, "all", InMemory(planted(300)), None, ("test",))
    assert fast_step_of(recipe, initialise(recipe, [member])) is None


# Kernels against their obvious versions


def proposed_by(proposer: Proposer, x: torch.Tensor) -> np.ndarray:
    inputs = proposer.inputs(len(x))
    inputs[:, : x.shape[1]] = x
    return proposer(inputs, proposer.outputs(len(x)))


@pytest.mark.parametrize(("latents", "k"), [(80, 4), (33, 3), (512, 8), (40, 40), (7, 1)])
def test_the_largest_chosen_are_the_largest(latents, k):
    x, encoder, bias = (
        gaussian(*shape, seed=s).float() for s, shape in enumerate([(200, 16), (latents, 16), (latents,)])
    )
    x = x / x.norm(dim=1, keepdim=True)
    encoder, bias = encoder / encoder.norm(dim=1, keepdim=True), bias / 10
    proposer = Proposer(latents, 16, 32)
    proposer.update(encoder.numpy(), bias.numpy(), float(x.norm(dim=1).max()))
    index, code = np.zeros(200 * k, np.int32), np.zeros(200 * k, np.float32)
    start, count = np.arange(200) * k, np.zeros(200, np.int32)
    kernels.choose_largest(
        proposed_by(proposer, x), proposer.error, x.numpy(), encoder.numpy(), bias.numpy(), k, index, code, start, count
    )
    values, order = (x @ encoder.T + bias).topk(k)
    for r in range(200):
        positive = values[r] > 0
        assert count[r] == positive.sum()
        place = slice(start[r], start[r] + count[r])
        assert set(index[place].tolist()) == set(order[r][positive].tolist())
        assert_close(torch.from_numpy(np.sort(code[place])), values[r][positive].flip(0), rtol=1e-5, atol=1e-6)


def test_ties_and_rows_without_a_positive_value():
    encoder, bias = torch.ones(50, 4) / 2, torch.zeros(50)
    x = torch.stack([torch.ones(4), -torch.ones(4), torch.zeros(4)])
    proposer = Proposer(50, 4, 32)
    proposer.update(encoder.numpy(), bias.numpy(), float(x.norm(dim=1).max()))
    index, code = np.zeros(9, np.int32), np.zeros(9, np.float32)
    start, count = np.arange(3) * 3, np.zeros(3, np.int32)
    kernels.choose_largest(
        proposed_by(proposer, x), proposer.error, x.numpy(), encoder.numpy(), bias.numpy(), 3, index, code, start, count
    )
    assert count.tolist() == [3, 0, 0]
    assert len(set(index[:3].tolist())) == 3
    assert (code[:3] == 2).all()


def test_what_is_not_a_number_is_not_hidden():
    x = planted(300)
    recipe, stack = set_up("topk_sae", x)
    stack.parameters["decoder"][0, 0, 0] = torch.nan
    losses = fast_step_of(recipe, stack)(recipe, stack, 256, one_by_one)(recipe, stack, x[None, :256] * stack.scale)
    assert not torch.isfinite(losses.total).all()


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("on_sphere", [False, True])
def test_the_adam_kernel_is_torch_adam(shards, on_sphere):
    p = gaussian(5, 7).float()
    if on_sphere:
        p /= p.norm(dim=1, keepdim=True)
    ours, first, second = p.numpy().copy(), np.zeros((5, 7), np.float32), np.zeros((5, 7), np.float32)
    theirs = torch.nn.Parameter(p.clone())
    optimizer = torch.optim.Adam([theirs], lr=1e-2)
    for t in range(1, 4):
        gradients = gaussian(shards, 5, 7, seed=t).float()
        whole = gradients.sum(0)
        theirs.grad = whole - (whole * theirs).sum(1, keepdim=True) * theirs.detach() if on_sphere else whole
        theirs.grad = theirs.grad.detach()
        optimizer.step()
        if on_sphere:
            theirs.data /= theirs.data.norm(dim=1, keepdim=True)
        buffer = gradients.numpy().copy()
        kernels.adam_rows(ours, buffer, first, second, on_sphere, 1e-2 / (1 - 0.9**t), (1 - 0.999**t) ** -0.5)
        assert not buffer.any()
        assert_close(torch.from_numpy(ours), theirs.detach(), rtol=1e-5, atol=1e-6)


def test_spread_is_the_sum_of_squares_about_the_mean():
    x = gaussian(100, 7).float() + 3
    assert kernels.spread_of(x.numpy()) == pytest.approx(float((x - x.mean(0)).square().sum()), rel=1e-5)
