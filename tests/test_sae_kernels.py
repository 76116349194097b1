"""Do the fast CPU steps take the plain path's steps, and the compiled kernels do what their obvious versions do?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sae_reference as reference
import torch
from making import gaussian, seeded
from torch.testing import assert_close

from homolog.alignment import kernels as comparing
from homolog.alignment.assignment import kernels as assigning
from homolog.config import parse_decomposition
from homolog.decompositions.base import Member
from homolog.decompositions.sae.fast.base import fast_step_of, one_by_one
from homolog.decompositions.sae.fast.kernels import choosing, going_back, proposing
from homolog.decompositions.sae.fast.kernels.adam import adam_rows
from homolog.decompositions.sae.fast.kernels.compiled import LANES, by_block, in_blocks
from homolog.decompositions.sae.fast.kernels.thresholds import jump, to_threshold
from homolog.decompositions.sae.fast.lists import ByLatent, Largest
from homolog.decompositions.sae.fast.proposer import Proposer
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import after_step, lr_factor, plain_step
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
    # From small codes a concave penalty decides early who lives, and rounding decides with it: they start at 1.
    "relu_sae, lp": {"coefficient": 0.2, "penalty": "lp", "encoder_norm": 1.0},
    "relu_sae, AuxK": {"coefficient": 0.3, "dead": "auxk"},
    "jumprelu_sae": {"coefficient": 0.02, "threshold_init": 0.25, "bandwidth": 0.05},
    "jumprelu_sae, target": {"target_l0": 3.0, "threshold_init": 0.25, "bandwidth": 0.05, "dense": 3},
    "jumprelu_sae, wide": {"coefficient": 0.02, "threshold_init": 0.1, "bandwidth": 0.3},
}
# Whose fast steps differ from those above in a part alone: their steps are compared, their trainings aren't.
ALSO: dict[str, dict[str, Any]] = {
    "topk_sae, free": {"k": 4, "decoder": "free", "input_scale": "sqrt_units"},
    "batch_topk_sae, free": {"k": 4, "decoder": "free", "input_scale": "sqrt_units"},
    "matryoshka_sae, free": {"k": 4, "levels": 3, "decoder": "free", "input_scale": "sqrt_units"},
    "topk_sae, falling k": {"k": 2, "k_start": 40, "k_warmup": 0.1},
    "batch_topk_sae, falling k": {"k": 2, "k_start": 12, "k_warmup": 0.05},
    "jumprelu_sae, AuxK": {"coefficient": 0.02, "threshold_init": 0.25, "bandwidth": 0.05, "dead": "auxk"},
    "relu_sae, sqrt": {"coefficient": 0.1, "penalty": "sqrt"},
}
TRAINED: dict[str, dict[str, Any]] = RECIPES | {
    # What the benchmark of peers trains.
    **{name: ALSO[name] for name in ("topk_sae, free", "batch_topk_sae, free", "matryoshka_sae, free")},
    # As for lp. Its slope at small codes makes much of rounding, so steps are compared where few codes are on.
    "relu_sae, sqrt": ALSO["relu_sae, sqrt"] | {"encoder_norm": 1.0},
}
# Whose steps are also compared where rows are cut into two blocks of columns.
WIDE = ["topk_sae", "topk_sae, free", "batch_topk_sae", "matryoshka_sae", "relu_sae, AuxK", "jumprelu_sae, AuxK"]


def planted(samples: int, seed: int = 0, units: int = UNITS) -> torch.Tensor:
    """Three of 40 features active, a little noise, off centre."""
    g = seeded(seed)
    features = torch.randn(40, units, generator=g)
    codes = (torch.rand(samples, 40, generator=g) < 3 / 40) * (1 + torch.rand(samples, 40, generator=g))
    return (
        codes @ (features / features.norm(dim=1, keepdim=True)) + 0.02 * torch.randn(samples, units, generator=g) + 0.5
    )


def set_up(name: str, x: torch.Tensor, **more: Any) -> tuple[Any, Any]:
    """A recipe and one member before its first step."""
    method = name.partition(",")[0]
    options = parse_decomposition({"method": method, **COMMON, **(RECIPES | ALSO)[name], **more}).expand()[0]
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


def by_adam(p, first, second, rate, t):
    """Where step t of Adam moves parameters with these moments (Kingma & Ba, 2015), in float64."""
    corrected = (second.double() / (1 - 0.999**t)).sqrt() + 1e-8
    return p - rate * first.double() / (1 - 0.9**t) / corrected


@pytest.mark.parametrize(
    ("name", "batch", "units"),
    [(name, batch, UNITS) for name in RECIPES for batch in (256, 2050)]
    + [(name, 256, UNITS) for name in ALSO]
    + [(name, 256, 192) for name in WIDE],
)
def test_one_fast_step_is_a_plain_step(name, batch, units):
    """From equal state, over training: losses, gradients (through both moments), what fired and what is remembered.

    Where a gradient is rounding alone, Adam moves by the rate all the same, either way: so parameters are compared
    where the first moment is clear of that, and all of them with what Adam makes of the fast step's own moments.
    """
    x = planted(3000, units=units)
    assert in_blocks(x.numpy()).shape[1] == (2 if units > UNITS else 1)
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
        before = {key: p.double() for key, p in plain.parameters.items()}
        expected, seen = plain_step(recipe, plain, batch_x), step(recipe, fast, batch_x)
        assert_close(seen.total, expected.total, rtol=1e-5, atol=1e-6)
        assert set(seen.terms) == set(expected.terms)
        for term, value in expected.terms.items():
            assert_close(seen.terms[term], value, rtol=1e-5, atol=1e-6, msg=term)
        dead_seen |= bool(expected.terms.get("auxiliary", torch.zeros(1)) > 0)
        assert torch.equal(seen.fired, expected.fired)
        assert_close(seen.residual, expected.residual, rtol=1e-4, atol=1e-5)
        rate = recipe.learning_rate(plain.options) * lr_factor(plain.step, plain.options)
        for key, moment in plain.first.items():
            largest = float(moment.abs().max())
            assert_close(fast.first[key], moment, rtol=1e-4, atol=1e-5 * largest, msg=key)
            second = plain.second[key]
            assert_close(fast.second[key], second, rtol=1e-4, atol=1e-5 * float(second.max()), msg=key)
            clear = moment.abs() > 1e-3 * largest
            assert_close(fast.parameters[key][clear], plain.parameters[key][clear], rtol=1e-6, atol=0.05 * rate)
            moved = by_adam(before[key], fast.first[key], fast.second[key], rate, plain.step + 1)
            if key == "decoder" and recipe.on_sphere(plain.options):
                moved /= moved.norm(dim=2, keepdim=True)
            moved = moved.clamp_min(0) if key == "threshold" else moved
            assert_close(fast.parameters[key].double(), moved, rtol=1e-5, atol=1e-6, msg=key)
        for key, memory in plain.memory.items():
            assert_close(fast.memory[key], memory)
        for s, losses in ((plain, expected), (fast, seen)):
            after_step(s, batch_x, losses)
    if plain.options["dead"] == "auxk" and "nearly all" not in name:
        assert dead_seen


@pytest.mark.parametrize("guess", [0, 1, 5_000, 15_000, 17_000, proposing.NEVER])
@pytest.mark.parametrize("biased", [0.0, -10.0])
def test_where_the_search_for_a_batchs_bound_begins_changes_no_bit_of_what_is_chosen(guess, biased):
    """It is where the last step's ended, which a training that was interrupted doesn't know; also where none fires."""
    x = planted(300)
    recipe, stack = set_up("batch_topk_sae", x)
    stack.parameters["encoder_bias"] += biased
    chosen = []
    for begin in (0, guess):
        step = fast_step_of(recipe, stack)(recipe, stack, len(x), one_by_one)
        step.prepare((x * stack.scale)[None], step.array["encoder_bias"])
        step.guess = begin
        (c,) = step.choose()
        chosen.append([c.latents.tobytes(), c.codes.tobytes(), c.start.tobytes()])
    assert chosen[0] == chosen[1]
    assert bool(len(chosen[0][0])) == (biased == 0)


@pytest.mark.parametrize("units", [7, 16, 24, 30, 131])
def test_a_pre_activation_does_not_depend_on_its_place_in_the_list(units):
    x, encoder = (gaussian(rows, units, seed=rows).float().numpy()[None] for rows in (1, 9))
    bias, whole = gaussian(1, 9, seed=2)[0].float().numpy(), np.zeros(0)
    for first in range(9):
        index, codes = np.arange(first, 9, dtype=np.int32), np.zeros(9 - first, np.float32)
        choosing.evaluate(x, 0, encoder, bias, index, codes, np.array([0, len(index)]))
        whole = whole if first else codes
        assert codes.tolist() == whole[first:].tolist()


@pytest.mark.parametrize(
    ("kernel", "module"),
    [(choosing.evaluate, choosing), (assigning.gather, assigning), (comparing.correlate, assigning)],
)
def test_an_edit_of_any_kernel_file_lets_no_compiled_one_stand(kernel, module):
    """Parts of `evaluate` come from another file than its own, and all files of the folder may lend some."""
    folder = Path(module.__file__).parent
    stamp = kernel._cache._cache_file._source_stamp[1]
    assert {name for name, _, _ in stamp} == {path.name for path in folder.glob("*.py")}
    assert all((folder / name).stat().st_mtime_ns == changed for name, changed, _ in stamp)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("name", TRAINED)
def test_training_ends_at_the_same_fvu(name):
    method = name.partition(",")[0]
    x, fitted = planted(4000), {}
    for engine in ("auto", "plain"):
        options = parse_decomposition(
            {"method": method, **COMMON, **TRAINED[name], "steps": 150, "engine": engine}
        ).expand()[0]
        (fitted[engine],) = load(METHODS[method])().fit([Member(options, 0, "all", InMemory(x), None, ("test",))])
    assert fitted["auto"].member["fvu"] == pytest.approx(fitted["plain"].member["fvu"], rel=0.01)
    assert fitted["auto"].member["l0"] == pytest.approx(fitted["plain"].member["l0"], rel=0.02)


def test_every_recipe_that_has_a_fast_step_is_tried():
    folder = Path(going_back.__file__).parents[1]
    having = {path.stem for path in folder.parent.glob("*.py") if "def fast_step" in path.read_text()} - {"base"}
    tried = {type(load(METHODS[name.partition(",")[0]])()) for name in RECIPES}
    assert having <= {owner.__module__.rpartition(".")[2] for kind in tried for owner in kind.__mro__}


@pytest.mark.parametrize(
    ("method", "options"),
    [("topk_sae", {"k": 4, "dense": 2}), ("topk_sae", {"k": 4, "multi": True}), ("topk_sae", {"k": 4, "fixed": 2}),
     ("topk_sae", {"k": 4, "engine": "plain"}), ("matryoshka_sae", {"k": 4, "decoder": "norm_weighted"}),
     ("relu_sae", {"coefficient": 1.0, "decoder": "norm_weighted"})],
)  # fmt: skip
def test_what_the_kernels_do_not_cover_is_left_to_the_plain_path(method, options):
    complete = parse_decomposition({"method": method, **COMMON, **options}).expand()[0]
    recipe = load(METHODS[method])()
    member = Member(complete, 0, "all", InMemory(planted(300)), None, ("test",))
    assert fast_step_of(recipe, initialise(recipe, [member])) is None


def test_what_is_not_a_number_is_not_hidden():
    x = planted(300)
    recipe, stack = set_up("topk_sae", x)
    stack.parameters["decoder"][0, 0, 0] = torch.nan
    losses = fast_step_of(recipe, stack)(recipe, stack, 256, one_by_one)(recipe, stack, x[None, :256] * stack.scale)
    assert not torch.isfinite(losses.total).all()


# Kernels against their obvious versions


def dictionary(latents, units, seed=0):
    """An encoder of unit norm, a small bias, and inputs of unit norm."""
    x, encoder, bias = (
        gaussian(*s, seed=seed + i).float() for i, s in enumerate([(200, units), (latents, units), (latents,)])
    )
    return x / x.norm(dim=1, keepdim=True), encoder / encoder.norm(dim=1, keepdim=True), bias / 10


def largest_of(x, encoder, bias, k):
    """What is chosen as the k largest of each sample: latents and codes, one after another, and where each begins."""
    proposer = Proposer(*encoder.shape)
    proposer.update(encoder.numpy(), bias.numpy(), float(x.norm(dim=1).max()))
    half = proposer.inputs(len(x))
    half[:, : x.shape[1]] = x
    largest = Largest(proposer, len(x), k)
    return largest(half, by_block(x.numpy()), 0, by_block(encoder.numpy()), bias.numpy(), k)


@pytest.mark.parametrize("units", [16, 256, 131])
@pytest.mark.parametrize(("latents", "k"), [(80, 4), (33, 3), (512, 8), (40, 40), (7, 1)])
def test_the_largest_chosen_are_the_largest(latents, k, units):
    x, encoder, bias = dictionary(latents, units)
    chosen = largest_of(x, encoder, bias, k)
    values, order = (x @ encoder.T + bias).topk(k)
    for r in range(len(x)):
        positive = values[r] > 0
        here = slice(chosen.start[r], chosen.start[r + 1])
        assert chosen.index[here].tolist() == sorted(order[r][positive].tolist())
        assert_close(torch.from_numpy(np.sort(chosen.code[here])), values[r][positive].flip(0), rtol=1e-5, atol=1e-6)


def test_where_all_are_alike_room_runs_out_and_none_is_lost():
    """All latents of all samples are proposed, which is far more than lists have room for."""
    x, encoder, bias = torch.ones(300, 4), torch.ones(200, 4) / 2, torch.zeros(200)
    chosen = largest_of(x, encoder, bias, 3)
    assert chosen.start.tolist() == list(range(0, 901, 3))
    assert chosen.latents.tolist() == [0, 1, 2] * 300
    assert (chosen.codes == 2).all()


def test_ties_and_rows_without_a_positive_value():
    encoder, bias = torch.ones(50, 4) / 2, torch.zeros(50)
    x = torch.stack([torch.ones(4), -torch.ones(4), torch.zeros(4)])
    chosen = largest_of(x, encoder, bias, 3)
    assert chosen.start.tolist() == [0, 3, 3, 3]
    assert len(set(chosen.latents.tolist())) == 3
    assert (chosen.codes == 2).all()


@pytest.mark.parametrize("bound", [1, 90, 100])
def test_what_reaches_a_bound_is_counted_and_listed(bound):
    proposed = torch.randint(-100, 100, (30, 96), generator=seeded(0)).to(torch.int16).numpy()
    expected = proposed >= bound
    index, start = np.zeros(expected.sum() + LANES, np.int32), np.zeros(31, np.int64)
    assert proposing.count_reaching(proposed, bound) == expected.sum()
    proposing.list_reaching(proposed, bound, index, start)
    assert index[: start[-1]].tolist() == expected.nonzero()[1].tolist()
    assert np.diff(start).tolist() == expected.sum(1).tolist()


@pytest.mark.parametrize("k", [1, 5, 40])
def test_the_kth_largest_parts_k_from_the_rest(k):
    values = gaussian(40).float().numpy()
    bound = np.int32(choosing.kth_largest(values.view(np.int32), 0, 40, k)).view(np.float32)
    assert (values >= bound).sum() == min(k, (values > 0).sum())
    assert choosing.kth_largest(np.ones(9, np.float32).view(np.int32), 0, 9, 3) == np.float32(1).view(np.int32)


def test_bfloat16_is_rounded_as_torch_rounds():
    x = torch.cat([gaussian(50, 40).float(), torch.tensor([0.0, 1 + 2**-8, 1 + 3 * 2**-8, 3e38]).expand(40, 4).T])
    bits = np.zeros(x.shape, np.int16)
    norm = proposing.halve(x.numpy(), bits)
    assert torch.equal(torch.from_numpy(bits), x.to(torch.bfloat16).view(torch.int16))
    assert norm == np.inf
    assert proposing.halve(x[:50].numpy(), bits) == pytest.approx(float(x[:50].norm(dim=1).max()), rel=1e-6)


@pytest.mark.parametrize("units", [16, 256])
@pytest.mark.parametrize("ends", [[30], [10, 20, 30]])
def test_going_back_gives_the_gradients_of_the_plain_sum(ends, units):
    """Of scale / 2 * the sum over levels of the squared errors, in two shards, by autograd in float64."""
    x, encoder, _ = dictionary(30, units)
    codes = (x @ encoder.T).relu()
    codes[:, 7], codes[5] = 0, 0
    decoder, scale = gaussian(30, units, seed=9).float(), 0.7
    z, directions = (a.double().requires_grad_() for a in (codes, decoder))
    loss, left = 0, []
    for end in ends:
        left.append(x - z[:, :end] @ directions[:end])
        loss = loss + scale / 2 * left[-1].square().sum()
    to_codes, to_directions = torch.autograd.grad(loss, [z, directions])

    by_latent, shards = ByLatent(30, 2), [slice(0, 90), slice(90, 200)]
    blocks = by_block(x.numpy())
    seen, total = np.zeros((len(ends), *blocks.shape), np.float32), np.zeros((2, units), np.float32)
    squares, lists = np.zeros((2, len(ends))), []
    for s, rows in enumerate(shards):
        active = codes[rows] > 0
        start = np.concatenate([[0], active.sum(1).cumsum(0).numpy()])
        index = active.nonzero()[:, 1].int().numpy()
        lists.append((index, codes[rows][active].numpy(), start, np.zeros(len(index), np.float32)))
        going_back.reconstruct(
            blocks, rows.start, by_block(decoder.numpy()), *lists[s][:3], np.asarray(ends), seen, lists[s][3],
            in_blocks(total)[s], squares[s],
        )  # fmt: skip
        going_back.count_samples(*lists[s][:3], by_latent.place[s])
    by_latent.places()
    for s, rows in enumerate(shards):
        slope = np.full(len(lists[s][0]), 0.5, np.float32)
        going_back.by_latent(*lists[s], slope, scale, rows.start, by_latent.place[s], *by_latent.lists()[1:])
    of_encoder, of_decoder = np.empty((30, units), np.float32), np.empty((30, units), np.float32)
    of_encoder_bias = np.empty(30, np.float32)
    for part in ((0, 11), (11, 30)):
        going_back.gradients(
            blocks, seen, np.asarray(ends), *by_latent.lists(), *part,
            in_blocks(of_encoder), of_encoder_bias, in_blocks(of_decoder),
        )  # fmt: skip

    close = {"rtol": 1e-4, "atol": 1e-5}
    to_active = torch.where(codes > 0, to_codes + 0.5, 0)
    assert_close(torch.from_numpy(squares.sum(0)), torch.stack([e.detach().square().sum() for e in left]), **close)
    assert_close(torch.from_numpy(seen[-1].swapaxes(0, 1).reshape(x.shape)).double(), left[-1].detach(), **close)
    assert_close(torch.from_numpy(total.sum(0)).double(), sum(left).detach().sum(0), **close)
    assert_close(torch.from_numpy(of_decoder).double(), to_directions, **close)
    assert_close(torch.from_numpy(of_encoder).double(), to_active.T @ x.double(), **close)
    assert_close(torch.from_numpy(of_encoder_bias).double(), to_active.sum(0), **close)

    bias = np.empty(units, np.float32)
    going_back.to_bias(total, scale, encoder.numpy(), of_encoder_bias, bias)
    expected = -scale * sum(left).detach().sum(0) - to_active.sum(0) @ encoder.double()
    assert_close(torch.from_numpy(bias).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dense", [0, 4])
def test_thresholds_cut_codes_off_and_learn_as_written_out(dense):
    """Listed are all that could matter: above the threshold, or within half a width of it."""
    x, encoder, bias = (a[:60].double() for a in dictionary(30, 16))
    decoder, threshold = gaussian(30, 16, seed=9), 0.3 * gaussian(30, seed=8).abs()
    decoder /= decoder.norm(dim=1, keepdim=True)
    options = {"bandwidth": 0.2, "dense": dense, "coefficient": 0.3, "target_l0": None, "decoder": "unit_norm"}
    p = {"encoder": encoder, "encoder_bias": bias, "decoder": decoder, "threshold": threshold, "bias": torch.zeros(16)}
    expected = reference.threshold_gradient({key: a.numpy() for key, a in p.items()}, x.numpy(), options)
    pre = x @ encoder.T + bias
    codes = torch.where(pre > threshold, pre, 0)
    listed, width = pre > threshold - 0.1, np.float32(0.2)
    start = np.concatenate([[0], listed.sum(1).cumsum(0).numpy()])
    index, value = listed.nonzero()[:, 1].int().numpy(), pre[listed].float().numpy()
    near, limit = np.zeros(len(index), bool), threshold.float().numpy()
    assert jump(index, value, start, limit, width, dense, near) == int((codes[:, dense:] > 0).sum())
    assert_close(torch.from_numpy(value).double(), codes[listed])
    assert near.tolist() == ((pre - threshold).abs() < 0.1)[listed].tolist()
    assert 0 < near.sum() < (value > 0).sum() < len(value)
    # Of the mean over 60 samples: 2 / 60 for each square, and as much of the coefficient for each active one.
    towards = ((x - codes @ decoder) @ decoder.T)[listed].float().numpy()
    penalty, out = np.full(30, 0.3 / 60, np.float32), np.ones(30, np.float32)
    penalty[:dense] = 0
    to_threshold(index, near, towards, 2 / 60, limit, width, penalty, out)
    assert_close(torch.from_numpy(out).double() - 1, torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


def test_spread_is_the_sum_of_squares_about_the_mean():
    x = gaussian(100, 7).float() + 3
    assert going_back.spread_of(x.numpy()) == pytest.approx(float((x - x.mean(0)).square().sum()), rel=1e-5)


@pytest.mark.parametrize("on_sphere", [False, True])
def test_the_adam_kernel_is_torch_adam(on_sphere):
    p = gaussian(5, 7).float()
    if on_sphere:
        p /= p.norm(dim=1, keepdim=True)
    ours, first, second = p.numpy().copy(), np.zeros((5, 7), np.float32), np.zeros((5, 7), np.float32)
    theirs = torch.nn.Parameter(p.clone())
    optimizer = torch.optim.Adam([theirs], lr=1e-2)
    for t in range(1, 4):
        gradient = gaussian(5, 7, seed=t).float()
        theirs.grad = gradient.clone()
        if on_sphere:
            theirs.grad -= (gradient * theirs.detach()).sum(1, keepdim=True) * theirs.detach()
        optimizer.step()
        if on_sphere:
            theirs.data /= theirs.data.norm(dim=1, keepdim=True)
        adam_rows(ours, gradient.numpy(), first, second, on_sphere, 1e-2 / (1 - 0.9**t), (1 - 0.999**t) ** -0.5)
        assert_close(torch.from_numpy(ours), theirs.detach(), rtol=1e-5, atol=1e-6)
