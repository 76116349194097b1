"""Does the stacked step of a GPU take the plain path's steps? On the CPU, in float32, and with rounded products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from making import seeded
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from homolog.config import parse_decomposition
from homolog.decompositions.base import Member
from homolog.decompositions.sae import curves, optimiser, training
from homolog.decompositions.sae.gpu import blocks, operations, program
from homolog.decompositions.sae.gpu.step import StackedStep, gpu_step_of
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import after_step, plain_step
from homolog.decompositions.samples import InMemory, Samples
from homolog.loading import load
from homolog.registry import METHODS
from homolog.store import saved_state

UNITS, LATENTS, BATCH = 24, 80, 96
COMMON = {"n_latents": LATENTS, "batch_size": BATCH, "steps": 40, "dead_after": 200}
# Options of a block, then those that differ between its three members.
BLOCKS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "topk_sae": ({"aux_k": 7, "lr": 1e-3}, [{"k": 4, "lr": 3e-3}, {"k": 9, "aux_coefficient": 0.1}, {"k": 2}]),
    "topk_sae, lists": ({"n_latents": 256, "lr": 2e-3}, [{"k": 4}, {"k": 3}, {"k": 2, "lr_warmup": 0.5}]),
    "topk_sae, free": ({"lr": 1e-3, "decoder": "free"}, [{"k": 4}, {"k": 9}, {"k": 2}]),
    "topk_sae, no AuxK": ({"dead": "none", "lr": 1e-3}, [{"k": 4}, {"k": 60}, {"k": 80}]),
    "batch_topk_sae": ({"lr": 1e-3}, [{"k": 4}, {"k": 9}, {"k": 2, "threshold_momentum": 0.5}]),
    "crosscoder": ({"lr": 1e-3}, [{"k": 4}, {"k": 9}, {"k": 2}]),
    "matryoshka_sae": ({"levels": 3, "lr": 1e-3}, [{"k": 4}, {"k": 9}, {"k": 2}]),
    "relu_sae": ({"coefficient": 0.3}, [{}, {"coefficient": 0.1, "lr": 3e-3}, {"penalty_warmup": 0.5}]),
    "relu_sae, tanh": ({"penalty": "tanh", "dense": 5, "dead": "auxk"}, [{"coefficient": c} for c in (0.3, 0.1, 0.5)]),
    "relu_sae, lp": ({"penalty": "lp", "coefficient": 0.3}, [{}, {"coefficient": 0.1}, {"p_end": 0.7}]),
    "relu_sae, sqrt": ({"penalty": "sqrt"}, [{"coefficient": c} for c in (0.3, 0.1, 0.5)]),
    "jumprelu_sae": (
        {"threshold_init": 0.25, "bandwidth": 0.05},
        [{"coefficient": 0.02}, {"coefficient": 0.05}, {"coefficient": 0.02, "bandwidth": 0.2}],
    ),
    "jumprelu_sae, target": (
        {"threshold_init": 0.25, "bandwidth": 0.05, "dense": 3, "coefficient": None},
        [{"target_l0": 3.0}, {"target_l0": 9.0}, {"target_l0": 3.0, "target_coefficient": 0.2}],
    ),
}  # fmt: skip
BLOCK = pytest.mark.parametrize("name", BLOCKS)
KINDS = ("topk_sae", "topk_sae, lists", "batch_topk_sae", "matryoshka_sae", "relu_sae", "jumprelu_sae")
KIND = pytest.mark.parametrize("name", KINDS)


def planted(samples: int, seed: int = 0) -> torch.Tensor:
    """Three of 40 features active, a little noise, off centre."""
    g = seeded(seed)
    features = torch.randn(40, UNITS, generator=g)
    codes = (torch.rand(samples, 40, generator=g) < 3 / 40) * (1 + torch.rand(samples, 40, generator=g))
    return (
        codes @ (features / features.norm(dim=1, keepdim=True)) + 0.02 * torch.randn(samples, UNITS, generator=g) + 0.5
    )


def members_of(name: str, x: torch.Tensor, **more: Any) -> tuple[Any, list[Member]]:
    """The recipe and the members of a block, which differ in their seeds too."""
    method, (shared, own) = name.partition(",")[0], BLOCKS[name]
    expanded = [parse_decomposition({"method": method, **COMMON, **shared, **o, **more}).expand()[0] for o in own]
    samples = InMemory(x)
    return load(METHODS[method])(), [
        Member(o, seed, "all", samples, None, ("test",)) for seed, o in enumerate(expanded)
    ]


def prepare(stack: Any, **more: Any) -> Any:
    """As after some training: sparse enough, and some latents that are dead for certain."""
    if "coefficient" in stack.options and "threshold" not in stack.parameters:
        stack.parameters["encoder_bias"] -= 0.25
    stack.parameters["encoder_bias"][:, ::3] = -0.1
    stack.silent[1:, ::3] = 10_000  # The first member has none.
    return stack


def take(step: StackedStep, recipe: Any, stack: Any, x: torch.Tensor, **more: Any) -> Any:
    """One stacked step and what comes behind it."""
    step.numbers.load(range(stack.step, stack.step + 1))
    return step(x, **more)


def assert_member(i: int, stacked: Any, alone: Any) -> None:
    """The i-th member's state is that of the same member alone."""
    for key, moment in alone.first.items():
        assert_close(stacked.first[key][i], moment[0], rtol=1e-4, atol=1e-5 * float(moment.abs().max()), msg=key)
    for key, p in alone.parameters.items():
        # Adam's first steps divide by the gradient's own size, so rounding of a gradient near 0 may turn its step.
        assert_close(stacked.second[key][i].sum(), alone.second[key][0].sum(), rtol=1e-4, atol=1e-12, msg=key)
        assert float((stacked.parameters[key][i] - p[0]).abs().mean()) < 1e-6, key
    for key, memory in alone.memory.items():
        assert_close(stacked.memory[key][i], memory[0])


@BLOCK
def test_a_stacked_step_is_each_members_plain_step(name):
    x = planted(600)
    recipe, members = members_of(name, x)
    stack = prepare(initialise(recipe, members))
    step = gpu_step_of(recipe, stack.options)(recipe, stack, BATCH)
    for i in range(4):
        batch = torch.stack([x[(i + m) * BATCH :][:BATCH] * stack.scale[m] for m in range(3)])
        alone = [initialise(recipe, [member]) for member in members]
        for m, single in enumerate(alone):
            single.step = stack.step
            single.silent.copy_(stack.silent[m : m + 1])
            for kind in ("parameters", "first", "second"):
                for key, own in getattr(single, kind).items():
                    own.copy_(getattr(stack, kind)[key][m : m + 1])
            single.memory |= {key: value[m : m + 1].clone() for key, value in stack.memory.items()}
        seen = take(step, recipe, stack, batch)
        for m, single in enumerate(alone):
            expected = plain_step(recipe, single, batch[m : m + 1])
            assert seen.terms.keys() == expected.terms.keys()
            assert_close(seen.total[m], expected.total[0], rtol=1e-5, atol=1e-6)
            for term, value in expected.terms.items():
                assert_close(seen.terms[term][m], value[0], rtol=1e-5, atol=1e-6, msg=term)
            assert torch.equal(seen.fired[m], expected.fired[0])
            assert_close(seen.residual[m], expected.residual[0].detach(), rtol=1e-4, atol=1e-5)
            assert_member(m, stack, single)
            if "auxiliary" in seen.terms:
                gone = (single.silent > single.options["dead_after"]).any()
                assert bool(seen.terms["auxiliary"][m] > 0) == bool(gone)
        after_step(stack, batch, seen)


@pytest.fixture
def stacked(monkeypatch):
    """Train as on a GPU, in blocks of four; without graphs, which the CPU doesn't have."""
    monkeypatch.setattr(training, "_on_gpu", lambda members: True)
    monkeypatch.setattr(blocks, "STACKED", 4)


def fit(name: str, x: torch.Tensor, pick: slice = slice(None), **more: Any) -> list[Any]:
    recipe, members = members_of(name, x, **more)
    return recipe.fit(members[pick])


def arrays(d: Any) -> list[torch.Tensor]:
    """What training leaves, of one member."""
    given = (d.directions, d.encoder, d.encoder_bias, d.bias, d.threshold, d.firing_rate, d.moved)
    return [a for a in (*given, *(curve for _, curve in sorted(d.curves.items()))) if a is not None]


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("half", ["float32", "bfloat16"])
@KIND
def test_training_ends_where_the_plain_path_ends(name, half, stacked, monkeypatch):
    """Within 1 % in FVU, also when the operands of products are rounded as on a GPU."""
    x, long = planted(1000), {"steps": 60, "batch_size": 64, "dead_after": 150}
    plain = fit(name, x, engine="plain", **long)
    if half == "bfloat16":
        own = StackedStep.__init__
        monkeypatch.setattr(StackedStep, "__init__", lambda *given: own(*given, half=torch.bfloat16))
    taken = []
    call = StackedStep.__call__
    monkeypatch.setattr(StackedStep, "__call__", lambda *given: taken.append(1) or call(*given))
    for d, wanted in zip(fit(name, x, **long), plain, strict=True):
        assert d.member["fvu"] == pytest.approx(wanted.member["fvu"], rel=0.01)
        assert d.member["l0"] == pytest.approx(wanted.member["l0"], rel=0.02)
        assert d.curves.keys() == wanted.curves.keys()
        assert_close(d.curves["fvu"], wanted.curves["fvu"], rtol=0.03, atol=0)
        assert float((d.curves["dead_fraction"] - wanted.curves["dead_fraction"]).abs().mean()) < 0.02
    assert len(taken) == 60


@pytest.mark.usefixtures("no_shape_checks")
@KIND
def test_a_member_does_not_depend_on_its_companions(name, stacked):
    x = planted(600)
    together = fit(name, x)
    for pick in (slice(1, 2), slice(2, 0, -1)):
        for d, wanted in zip(fit(name, x, pick), together[pick], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(arrays(d), arrays(wanted), strict=True))
            assert d.member == wanted.member


@pytest.mark.usefixtures("no_shape_checks", "stacked")
def test_interrupted_and_taken_up_again_is_not_interrupted_at_all(tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def killed_at(chunk: int) -> Any:
        def bar(steps: Any) -> Any:
            for i, step in enumerate(steps):
                if i == chunk:
                    raise Killed
                yield step

        return bar

    x, long = planted(600), {"steps": 100}
    for name in ("topk_sae", "batch_topk_sae", "relu_sae"):
        whole = fit(name, x, **long)
        monkeypatch.setattr(saved_state, "SECONDS", 0.0)
        recipe, members = members_of(name, x, **long)
        recipe.checkpoint = tmp_path / name
        for chunk in (2, 1):
            with pytest.raises(Killed):
                recipe.fit(members, killed_at(chunk))
        for d, wanted in zip(recipe.fit(members), whole, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(arrays(d), arrays(wanted), strict=True))


@pytest.mark.usefixtures("no_shape_checks", "stacked")
def test_a_member_that_diverges_is_named_and_does_no_harm(caplog):
    x, (recipe, members) = planted(600), members_of("topk_sae", planted(600))
    fine = recipe.fit(members)
    members[1].options["lr"] = 1e30
    seen = recipe.fit(members)
    assert [d.member["diverged"] for d in seen] == [-1, 32, -1]
    assert "1 of 3 members diverged: seed 1" in caplog.text
    for i in (0, 2):
        assert all(torch.equal(a, b) for a, b in zip(arrays(seen[i]), arrays(fine[i]), strict=True))
    assert x.isfinite().all()


@pytest.mark.usefixtures("no_shape_checks", "stacked")
def test_dead_latents_start_anew_when_the_plain_path_starts_them(monkeypatch):
    at: dict[str, list[int]] = {}
    for engine, module in (("plain", optimiser), ("auto", program)):
        steps: list[int] = at.setdefault(engine, [])
        monkeypatch.setattr(module, "resample", lambda stack, x, residual, steps=steps: steps.append(stack.step))
        fit("relu_sae", planted(600), engine=engine)
    assert at["auto"] == [2 * i for i in range(1, 20)]
    assert sorted(at["plain"]) == sorted(3 * at["auto"])  # One call for each member.


@pytest.mark.usefixtures("no_shape_checks", "stacked")
def test_from_a_file_the_members_are_the_same():
    """Rows that are read and rows that are gathered by their numbers."""

    class Read(Samples):
        def __init__(self, values: torch.Tensor) -> None:
            self.values, (self.samples, self.units), self.device = values, values.shape, values.device

        def read(self, start: int, stop: int) -> torch.Tensor:
            return self.values[start:stop]

    x = planted(600)
    recipe, members = members_of("topk_sae", x)
    read = [replace(member, activations=Read(x)) for member in members]
    for d, wanted in zip(recipe.fit(read), recipe.fit(members), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(arrays(d), arrays(wanted), strict=True))


def test_what_may_be_dead_is_looked_for_only_when_it_may_be():
    """Without AuxK's part, a step in which no latent is dead is the same step."""
    x = planted(600)
    recipe, members = members_of("topk_sae", x)
    found = []
    for auxiliary in (True, False):
        stack = initialise(recipe, members)
        step = gpu_step_of(recipe, stack.options)(recipe, stack, BATCH)
        batch = x[:BATCH] * stack.scale[:, None, None]
        losses = take(step, recipe, stack, batch, auxiliary=auxiliary)
        found.append([losses.total, *stack.parameters.values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


class NothingAsked(TorchDispatchMode):
    """Refuses what takes a value to the host or from it, which a graph can't hold."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "lift_fresh", "masked_select"), (
            name
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("no_shape_checks")
@BLOCK
def test_a_step_asks_the_host_for_nothing(name):
    recipe, members = members_of(name, planted(600))
    stack = initialise(recipe, members)
    curves.prepare(stack)
    block = program.Program(recipe, stack, gpu_step_of(recipe, stack.options))
    block.run([[torch.arange(BATCH).double()[:, None]] * 3] * 2)
    block.step.numbers.load(range(1, 3))
    for auxiliary in (True, False):
        with NothingAsked():
            block._once(auxiliary)
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NothingAsked():
        block.run([[torch.arange(BATCH).double()[:, None]] * 3])  # Which looks once a chunk.


# Blocks


def test_blocks_hold_members_of_one_shape():
    x = planted(600)
    recipe, members = members_of("topk_sae", x)
    wider, shorter = (members_of("topk_sae", x, **changed)[1] for changed in ({"n_latents": 96}, {"steps": 7}))
    groups = blocks.blocks(recipe, [*members, *wider, *shorter])
    assert groups == [[i, i + 1, *[i + 2] * 6] for i in (0, 3, 6)]


def test_lists_and_dense_products_are_not_in_one_block():
    recipe, members = members_of("topk_sae", planted(600), n_latents=512)
    members[1].options["k"] = 100
    assert [set(group) for group in blocks.blocks(recipe, members)] == [{0, 2}, {1}]


def test_a_large_member_is_a_block_of_its_own():
    recipe, members = members_of("topk_sae", planted(5000), n_latents=4096, batch_size=4096)
    assert blocks.blocks(recipe, members) == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("name", "options"),
    [("topk_sae", {"dense": 2}), ("topk_sae", {"multi": True}), ("topk_sae", {"fixed": 2}),
     ("topk_sae", {"engine": "plain"}), ("relu_sae", {"decoder": "norm_weighted"}), ("batch_topk_sae", {"dense": 2}),
     ("matryoshka_sae", {"decoder": "norm_weighted"})],
)  # fmt: skip
@pytest.mark.usefixtures("no_shape_checks", "stacked")
def test_what_the_stacked_step_does_not_cover_is_left_to_the_plain_path(name, options, monkeypatch):
    shared = {"n_latents": 400, "steps": 3} if "multi" in options else {"steps": 3}
    recipe, members = members_of(name, planted(600), **shared, **options)
    assert blocks.blocks(recipe, members) == []
    monkeypatch.setattr(StackedStep, "__call__", lambda *given: pytest.fail("a stacked step was taken"))
    assert len(recipe.fit(members)) == 3


def test_every_recipe_that_has_a_stacked_step_is_tried():
    folder = Path(operations.__file__).parent
    having = {path.stem for path in folder.parent.glob("*.py") if "def gpu_step" in path.read_text()} - {"base"}
    tried = {type(load(METHODS[name.partition(",")[0]])()) for name in BLOCKS}
    assert len(having) == 5
    assert having <= {owner.__module__.rpartition(".")[2] for kind in tried for owner in kind.__mro__}


@pytest.mark.parametrize("columns", [3, 24])
def test_pre_activations_take_their_bias_in_whole(columns):
    """In bfloat16 as in float32 where inputs and encoder are short numbers: the bias is no such number."""
    g = seeded(0)
    x, encoder = (torch.randint(-1, 2, (2, n, columns), generator=g).float() for n in (30, 50))
    bias = torch.randn(2, 50, generator=g) * torch.tensor([[1.0], [1e-3]])
    seen = operations.pre_activations(x.bfloat16(), encoder, bias)
    assert_close(seen, x @ encoder.mT + bias[:, None], rtol=1e-6, atol=1e-6)
    assert_close(seen[:, 0] - x[:, 0][:, None].matmul(encoder.mT)[:, 0], bias, rtol=0, atol=1e-5)
