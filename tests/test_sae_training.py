"""Does training a grid of sparse autoencoders keep its promises: bits, seeds, interruptions, members that diverge?"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import re
import signal
from dataclasses import replace
from itertools import count

import pytest
import torch
from making import SPARSE, gaussian, make_member, method_of, mixed, one_of_each
from test_sae_kernels import RECIPES, planted
from torch.testing import assert_close

from homolog.alignment.similarity import cosine
from homolog.decompositions.sae import training
from homolog.decompositions.sae.fast.base import SPLIT, FastStep
from homolog.decompositions.sae.initial import initial_directions, initialise
from homolog.decompositions.sae.topk import TopK
from homolog.decompositions.samples import InMemory, Shuffled
from homolog.store import saved_state

# Shapes are checked in tests of the steps; here they would take most of the time.
pytestmark = pytest.mark.usefixtures("no_shape_checks")
RECIPE = pytest.mark.parametrize("name", SPARSE)
# Those that the default engine trains by the kernels, with k falling where the next choice leans on the last one.
FALLING = {"k_start": 12, "k_warmup": 0.5}
FAST = {name: given | {"engine": "auto"} for name, given in RECIPES.items() if name in SPARSE}
FAST["batch_topk_sae"] |= FALLING
FAST["matryoshka_sae"] |= FALLING
ENGINES = [(name, "plain") for name in SPARSE] + [(name, "auto") for name in FAST]
STAND_FOR_ALL = [("topk_sae", "plain"), ("topk_sae", "auto"), ("batch_topk_sae", "auto"), ("jumprelu_sae", "plain")]
BY_ENGINE = pytest.mark.parametrize(("name", "engine"), one_of_each(ENGINES, STAND_FOR_ALL))
# Two chunks and a part, over several epochs.
STEPS = 2 * training.CHUNK + 5
ARRAYS = ("directions", "encoder", "encoder_bias", "bias", "threshold", "firing_rate", "importance", "moved")


def bits(d):
    """All that a fit gives, but for the labels."""
    arrays = {name: getattr(d, name) for name in ARRAYS} | {f"curve.{name}": c for name, c in d.curves.items()}
    return {name: a.numpy().tobytes() for name, a in arrays.items() if a is not None} | {"fvu": d.member["fvu"]}


def without_curves(d):
    return {name: value for name, value in bits(d).items() if not name.startswith("curve.")}


def given_to(name, engine):
    """Activations, and options: for the kernels a width at which few latents of many are active."""
    return (mixed(), {"engine": "plain"}) if engine == "plain" else (planted(300), FAST[name] | {"n_latents": 80})


def grid(name, engine="plain", steps=STEPS, **changes):
    """Members that differ in width, seed, rate, rows and number of steps."""
    x, shared = given_to(name, engine)
    shared = shared | {"steps": steps, "dead_after": 200} | changes
    return [
        make_member(name, x, **shared),
        make_member(name, x, seed=1, **shared),
        make_member(name, x, **shared | {"lr": 1e-3, "n_latents": 9 if engine == "plain" else 50}),
        make_member(name, x[:60], rows="a", **shared | {"steps": steps // 2}),
    ]


@pytest.fixture
def sparse_steps(monkeypatch):
    """Counts the steps that the kernels took from beginning to end."""
    taken, sparse_step = [], FastStep.sparse_step

    def counted(self, batch):
        taken.append(batch)
        return sparse_step(self, batch)

    monkeypatch.setattr(FastStep, "sparse_step", counted)
    return taken


# Bits


@BY_ENGINE
def test_a_member_does_not_depend_on_companions_their_order_or_threads(name, engine, sparse_steps):
    members = grid(name, engine)
    together = [bits(d) for d in method_of(name).fit(members)]
    assert len(sparse_steps) > 2 * STEPS if engine == "auto" else not sparse_steps
    assert [bits(d) for d in method_of(name).fit(members[::-1])] == together[::-1]
    assert [bits(d) for d in method_of(name, threads=2).fit(members)] == together
    assert bits(method_of(name).fit(members[2:3])[0]) == together[2]


@pytest.mark.parametrize("name", FAST)
def test_a_batch_that_is_split_gives_the_same_bits_whoever_computes_its_halves(name, sparse_steps):
    """Alone on one thread and on two, which then share each step; among others, when each thread has its own member."""
    x, batch = planted(2 * SPLIT), SPLIT + 2
    given = FAST[name] | {"n_latents": 200, "batch_size": batch, "steps": 6, "dead_after": 2 * batch}
    members = [make_member(name, x, seed=seed, **given) for seed in range(2)]
    alone = bits(method_of(name).fit(members[:1])[0])
    assert sparse_steps.count(batch) > 3
    assert bits(method_of(name, threads=2).fit(members[:1])[0]) == alone
    assert bits(method_of(name, threads=2).fit(members)[0]) == alone


class Bar:
    """A progress bar that shows things."""

    shown: list[str]

    def __init__(self, steps):
        self.steps, self.shown = steps, []
        Bar.latest = self

    def __iter__(self):
        return iter(self.steps)

    def set_postfix_str(self, text):
        self.shown.append(text)


@pytest.mark.parametrize(("name", "engine"), [("topk_sae", "plain"), ("batch_topk_sae", "auto")])
def test_neither_the_curve_nor_a_progress_bar_changes_what_is_learned(name, engine):
    silent = [without_curves(d) for d in method_of(name).fit(grid(name, engine))]
    for points in (1, 7):
        assert [without_curves(d) for d in method_of(name).fit(grid(name, engine, log_points=points))] == silent
    shown = method_of(name).fit(grid(name, engine), Bar)
    assert [without_curves(d) for d in shown] == silent
    assert len(Bar.latest.shown) == 3
    # A curve's last point is the last step's, which the bar has seen.
    told = re.findall(r"(best|median|worst) FVU ([\d.]+) L0 ([\d.]+)", Bar.latest.shown[-1])
    ranked = sorted((float(d.curves["fvu"][-1]), float(d.curves["l0"][-1])) for d in shown)
    assert len({fvu for fvu, _ in ranked}) == 4
    for (word, *seen), own in zip(told, (ranked[0], ranked[2], ranked[3]), strict=True):
        assert [float(number) for number in seen] == pytest.approx(own, abs=0.05), word
        assert float(seen[0]) == pytest.approx(own[0], abs=6e-4), word
    assert [word for word, *_ in told] == ["best", "median", "worst"]


@RECIPE
def test_curves_hold_each_term_apart_at_evenly_spread_steps(name):
    (d,) = method_of(name).fit([make_member(name, mixed(), steps=21, log_points=5)])
    assert d.curves["step"].tolist() == [0, 5, 10, 15, 20]
    assert {"fvu", "l0", "dead_fraction"} <= d.curves.keys()
    for curve in d.curves.values():
        assert curve.shape == (5,)
        assert torch.isfinite(curve).all()


@RECIPE
def test_moved_is_measured_from_the_start(name):
    member = make_member(name, mixed())
    start = initialise(method_of(name), [member]).start[0]
    (d,) = method_of(name).fit([member])
    assert_close(d.moved.double(), 1 - cosine(start, d.directions).diagonal(), atol=1e-6, rtol=0)
    assert d.moved.max() > 0.01


@RECIPE
def test_members_as_one_program_are_the_same_members(name, monkeypatch):
    """As on a GPU: in one stack, the last one repeated to fill it; a few steps, since rounding grows."""
    members = [make_member(name, mixed(), seed=seed, steps=6, engine="plain") for seed in range(3)]
    single = method_of(name).fit(members)
    monkeypatch.setattr(training, "_groups", lambda members, together: [[0, 1, 2, 2, 2]])
    for d, wanted in zip(method_of(name).fit(members), single, strict=True):
        assert_close(d.directions, wanted.directions, atol=1e-4, rtol=1e-4)
        assert_close(d.encoder, wanted.encoder, atol=1e-4, rtol=1e-4)
        assert d.curves.keys() == wanted.curves.keys()
        for key, curve in d.curves.items():
            assert_close(curve, wanted.curves[key], atol=1e-4, rtol=1e-3)


def test_groups_on_a_gpu_are_full_and_of_one_kind():
    """By a stand-in for the device, since only its name is read."""
    members = [make_member("topk_sae", gaussian(n, 7).float(), seed=s) for n in (40, 120) for s in range(5)]
    for member in members:
        member.activations.device = torch.device("cuda")
    groups = training._groups(members)
    assert {len(group) for group in groups} == {training.STACKED}
    assert sorted({i for group in groups for i in group}) == list(range(10))
    assert all(len({members[i].activations.samples for i in group}) == 1 for group in groups)


# Seeds


WIDE = {"n_latents": 64, "k": 2}


@pytest.mark.parametrize(
    ("changed", "key"),
    [({}, "another run"), ({"seed": 1}, "test"), ({"rows": "a"}, "test"), ({"k": 3}, "test"), ({"lr": 1e-3}, "test")],
)
@pytest.mark.parametrize("init", [{}, {"encoder_init": "independent"}])
def test_runs_seeds_rows_and_grid_points_do_not_share_a_start(changed, key, init):
    """64 x 64 cosines of random directions in 64 dimensions: one above 0.75 has probability below 1e-7."""
    x = gaussian(200, 64).float()
    one = make_member("topk_sae", x, **WIDE | init)
    other = make_member("topk_sae", x, key=(key,), **WIDE | init | changed)
    stacks = [initialise(TopK(), [m]) for m in (one, one, other)]
    for name in ("decoder", "encoder"):
        first, again, apart = (s.parameters[name][0] for s in stacks)
        assert torch.equal(first, again)
        assert cosine(first, apart).abs().max() < 0.75


@pytest.mark.parametrize(("changed", "key"), [({}, "another run"), ({"rows": "a"}, "test")])
def test_archetypal_members_share_their_candidates_and_runs_and_halves_do_not(changed, key):
    """Of 200 rows 64 each: two draws have 20 in common, with a deviation of 3."""
    name, x = "archetypal_sae", gaussian(200, 6).float()
    one, other, elsewhere = (
        make_member(name, x),
        make_member(name, x, seed=1, lr=1e-3),
        make_member(name, x, key=(key,), **changed),
    )
    held = [method_of(name).memory([m], torch.ones(1))["candidates"][0] for m in (one, other, elsewhere)]
    rows = [set(map(tuple, points.tolist())) for points in held]
    assert rows[0] == rows[1]
    assert not torch.equal(held[0], held[1])  # Which of them a latent starts at is each member's own.
    assert len(rows[0]) == 64
    assert len(rows[0] & rows[2]) < 40


class Seeing(TopK):
    """TopK that notes every batch it is given."""

    def losses(self, p, x, stack):
        self.seen.append((x / stack.scale[:, None, None])[0])
        return super().losses(p, x, stack)


def batches_of(member):
    recipe = Seeing()
    recipe.seen = []
    recipe.fit([member])
    return recipe.seen


def test_start_and_order_are_seeded_apart():
    x = mixed()
    plain, order, start = (
        make_member("topk_sae", x, seed=seed, order_seed=order, steps=5, engine="plain")
        for seed, order in ((0, 0), (0, 9), (3, 0))
    )
    assert torch.equal(initial_directions(plain), initial_directions(order))
    assert not torch.equal(initial_directions(plain), initial_directions(start))
    for member, seed in ((plain, 0), (order, 9), (start, 0)):
        expected = Shuffled(InMemory(x), ("order", "test", seed, "all"), 64)
        for step, batch in enumerate(batches_of(member)):
            assert_close(batch, expected.batch(step), rtol=1e-6, atol=0)


def test_a_seed_of_the_order_is_the_members_own_where_none_is_given():
    one, other = (make_member("topk_sae", mixed(), seed=4, order_seed=order, steps=5) for order in (None, 4))
    assert without_curves(*TopK().fit([one])) == without_curves(*TopK().fit([other]))


# Interruptions

LONG = 4 * training.CHUNK + 5
# Latents die and are drawn anew all the time.
DYING = {"dead_after": 128, "coefficient": 0.5, "dead": "resample"}


def members_for(name, engine, steps):
    members = grid(name, engine, steps, **DYING if name == "relu_sae" else {"dead_after": 300})[:2]
    return [*members, replace(members[0], options=members[0].options | {"steps": steps // 3})]


def fit_saving(name, engine, path, steps, progress=iter):
    """Saves after every chunk."""
    saved_state.SECONDS = 0.0
    return method_of(name, checkpoint=path, fingerprint="code").fit(members_for(name, engine, steps), progress)


def fit_until_killed(last, name, engine, path):
    """Train until so many steps of all members are taken, and then be gone: for a process of its own."""
    after_step, taken = training.after_step, count(1)

    def counted(*given):
        after_step(*given)
        if next(taken) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    training.after_step = counted
    fit_saving(name, engine, path, LONG)


def fit_until_killed_saving(last, name, engine, path):
    """The same, but in the middle of writing a state."""
    import safetensors.torch

    save_file, taken = safetensors.torch.save_file, count(1)

    def half_of(arrays, temporary, metadata):
        save_file(arrays, temporary, metadata)
        if next(taken) == last:
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    safetensors.torch.save_file = half_of
    fit_saving(name, engine, path, LONG)


def killed(fit, *given):
    process = multiprocessing.get_context("fork").Process(target=fit, args=given)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it had ended before it could be killed"


def goes_on(name, engine, path):
    """From the step at which a state was saved, to the bits of a training that nothing interrupted."""
    begun = []
    again = fit_saving(name, engine, path, LONG, lambda steps: begun.append(steps.start) or steps)
    assert [bits(d) for d in again] == [bits(d) for d in method_of(name).fit(members_for(name, engine, LONG))]
    assert list(path.parent.glob(path.name)) == []
    return begun[0]


@BY_ENGINE
def test_killed_twice_and_run_again_is_not_interrupted_at_all(name, engine, tmp_path):
    """Three members begin: the first chunk is done after 96 steps, all is after 310; both deaths are in a chunk."""
    draw, path = random.Random(f"{name} {engine}"), tmp_path / "state.safetensors"
    killed(fit_until_killed, draw.randrange(97, 170), name, engine, path)
    killed(fit_until_killed, draw.randrange(2, 140), name, engine, path)
    assert goes_on(name, engine, path) in (32, 64, 96)


@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_killed_while_it_saves_goes_on_from_the_state_before(engine, tmp_path):
    path = tmp_path / "state.safetensors"
    killed(fit_until_killed_saving, 3, "topk_sae", engine, path)
    assert goes_on("topk_sae", engine, path) == 2 * training.CHUNK


@pytest.fixture
def engine():
    """The plain one, unless a test names another."""
    return "plain"


@pytest.fixture
def interrupted(engine, tmp_path, monkeypatch):
    """A function that makes a saved state: two chunks of a fit that then breaks off."""

    def breaking(steps):
        yield from list(steps)[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(saved_state, "SECONDS", 0.0)
    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_saving("topk_sae", engine, path, STEPS, breaking)
    assert path.is_file()
    return path


def begins(path, members, fingerprint="code"):
    """At which step a fit begins that may take up a saved state; and that its bits are those without."""
    begun = []
    fitted = TopK(checkpoint=path, fingerprint=fingerprint).fit(members, lambda s: begun.append(s.start) or s)
    assert [bits(d) for d in fitted] == [bits(d) for d in TopK().fit(members)]
    return begun[0]


@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_a_saved_state_is_taken_up(interrupted, engine):
    assert begins(interrupted, members_for("topk_sae", engine, STEPS)) == 2 * training.CHUNK


def test_a_saved_state_of_other_options_data_code_or_members_is_left_out(interrupted, engine):
    own = members_for("topk_sae", engine, STEPS)
    state = interrupted.read_bytes()
    other_x = InMemory(own[0].activations.whole() * 1.01)
    for members in (
        [replace(m, options=m.options | {"lr": 5e-3}) for m in own],
        [replace(m, activations=other_x) for m in own],
        [replace(m, key=("another run",)) for m in own],
        own[::-1],
        own[:2],
    ):
        interrupted.write_bytes(state)
        assert begins(interrupted, members) == 0
    interrupted.write_bytes(state)
    assert begins(interrupted, own, "other code") == 0


@pytest.mark.parametrize("kept", [0, 5, 0.3, 0.999])
def test_a_saved_state_that_is_not_whole_is_left_out(interrupted, engine, kept):
    state = interrupted.read_bytes()
    interrupted.write_bytes(state[: kept if isinstance(kept, int) else int(kept * len(state))])
    assert begins(interrupted, members_for("topk_sae", engine, STEPS)) == 0


def test_a_file_that_is_no_saved_state_is_left_out(interrupted, engine):
    interrupted.write_bytes(b"nothing of the kind" * 100)
    assert begins(interrupted, members_for("topk_sae", engine, STEPS)) == 0


# Members that diverge


WILD = {
    ("topk_sae", "plain"): {"lr": 1e6},
    ("relu_sae", "plain"): {"lr": 1e30, "dead": "resample", "dead_after": 64},
    ("jumprelu_sae", "plain"): {"lr": 1e6},
    ("batch_topk_sae", "plain"): {"lr": 1e30},
} | {(name, "auto"): {"lr": 1e30} for name in FAST}


@pytest.mark.parametrize(("name", "engine"), WILD)
def test_a_member_that_diverges_is_named_and_poisons_no_other(name, engine, caplog):
    good = grid(name, engine)[:2]
    alone = [bits(d) for d in method_of(name).fit(good)]
    options = good[0].options | WILD[name, engine]
    bad = replace(good[0], seed=7, rows="a", options=options)
    first, wild, second = method_of(name).fit([good[0], bad, good[1]])
    assert [bits(first), bits(second)] == alone
    assert [d.member["diverged"] for d in (first, second)] == [-1, -1]
    assert 0 <= wild.member["diverged"] <= STEPS
    assert math.isnan(wild.member["fvu"])
    assert (wild.codes(good[0].activations.whole()) == 0).all()
    assert (wild.firing_rate == 0).all()
    assert_close(wild.directions.norm(dim=1), torch.ones(options["n_latents"]))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "1 of 3 members diverged: seed 7, rows a, " in record.message
    assert "lower lr" in record.message


def test_members_that_diverge_are_told_apart_by_whatever_they_differ_in(caplog):
    """Options as far as they vary in the grid, beside those that are always told, and controls of joint ones."""
    x, wild = mixed(), {"lr": 1e30, "steps": 3}
    good = make_member("relu_sae", x, lr=1e-3, steps=3)
    changes = [{}, {"penalty": "sqrt"}, {"batch_size": 32}, {"order_seed": 3}, {"lr": 1.0001e30}]
    bad = [make_member("relu_sae", x, **wild | changed) for changed in changes]
    bad.append(make_member("relu_sae", x, key=("shuffled",), **wild))
    method_of("relu_sae").fit([good, *bad])
    told = caplog.records[0].message.partition("diverged: ")[2].split("; ")
    assert len(set(told)) == len(bad)
    for words, said in zip(
        ("penalty l1", "penalty sqrt", "batch_size 32", "order_seed 3", "lr 1.0001e+30", "shuffled"), told, strict=True
    ):
        assert words in said
    assert "dead_after" not in caplog.text


def test_a_member_that_explodes_at_its_last_step_is_found_out(caplog):
    """Its last batch was seen before that step."""
    good, bad = (make_member("topk_sae", mixed(), steps=1, lr=lr) for lr in (1e-3, 1e30))
    _, wild = TopK().fit([good, bad])
    assert wild.member["diverged"] >= 0
    assert "1 of 2 members diverged" in caplog.text


def test_in_one_program_only_the_member_that_diverges_is_given_up(monkeypatch, caplog):
    """By values of 1e25, whose squares overflow; the copies that fill a stack aren't told."""
    x = mixed()
    members = [make_member("topk_sae", x, seed=s, input_scale="none", steps=STEPS) for s in range(3)]
    members[1] = replace(members[1], activations=InMemory(x * 1e25))
    monkeypatch.setattr(training, "_groups", lambda members, together: [[0, 1, 2, 2]])
    first, wild, last = TopK().fit(members)
    assert [d.member["diverged"] >= 0 for d in (first, wild, last)] == [False, True, False]
    assert "1 of 3 members diverged: seed 1" in caplog.text
    assert all(d.member["fvu"] < 1 for d in (first, last))


def test_nothing_but_diverged_members_is_an_error():
    members = [make_member("topk_sae", mixed(), seed=seed, lr=1e30) for seed in (0, 7)]
    with pytest.raises(ValueError, match=r"TopK: 2 of 2 members diverged: seed 0, .* seed 7, .*lr 1e\+30.*: lower lr"):
        TopK().fit(members)


# Bad input


@RECIPE
def test_no_latents_are_refused(name):
    with pytest.raises(ValueError, match="n_latents = 0, but at least 1 is needed"):
        method_of(name).fit([make_member(name, mixed(), n_latents=0)])


@pytest.mark.parametrize("name", [name for name in SPARSE if "k" in make_member(name, mixed()).options])
def test_more_active_latents_than_latents_are_refused(name):
    with pytest.raises(ValueError, match=r"k = 5 latents can't be active among n_latents = 4: lower k"):
        method_of(name).fit([make_member(name, mixed(), n_latents=4, k=5)])


def test_contradictions_are_told_with_the_way_out():
    for name, changes, message in (
        ("topk_sae", {"k": 3, "dense": 14}, "k = 3 .* besides 14 dense ones among n_latents = 16: lower k"),
        ("topk_sae", {"k": 5, "multi": True}, "4 k = 20 latents, but n_latents = 16: lower k"),
        ("matryoshka_sae", {"levels": 6}, "6 levels need at least 32 latents, but n_latents = 16: lower levels"),
        ("jumprelu_sae", {"target_l0": 3.0}, "exactly one of them is needed: set the other to null"),
    ):
        with pytest.raises(ValueError, match=message):
            method_of(name).fit([make_member(name, mixed(), **changes)])


@RECIPE
def test_fewer_samples_than_a_batch_or_latents_are_enough_but_that_is_told(name, caplog):
    """A batch is then all samples there are."""
    (d,) = method_of(name).fit([make_member(name, mixed(samples=10), batch_size=64)])
    (told,) = caplog.messages
    assert told.startswith(f"{method_of(name).name}: 10 samples (rows all) for n_latents = 16: ")
    assert d.member["diverged"] == -1
    assert d.member["fvu"] < 1
