"""Train all members of a grid in one pass: batches, threads, what is logged, saved states, members that diverge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from homolog.decompositions.base import Member, Progress
from homolog.decompositions.sae.auxiliary import dead
from homolog.decompositions.sae.base import Losses, SparseAutoencoder, Stack
from homolog.decompositions.sae.checkpoint import Checkpoint
from homolog.decompositions.sae.fast.base import Job, Run, fast_step_of, one_by_one
from homolog.decompositions.sae.finishing import EXPLODED, finish, report_diverged
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import after_step, plain_step
from homolog.decompositions.samples import Shuffled
from homolog.dictionary import Dictionary

# Steps that a member takes before the next one has its turn: its parameters stay in the cache for so long. Fewer where
# their batches would take more memory than this.
CHUNK, CHUNK_BYTES = 32, 2**24
# Members that share one tensor program on a GPU: always so many, so that none's bits depend on how many there are.
STACKED = 8

Step = Callable[[SparseAutoencoder, Stack, Tensor], Losses]


def train(recipe: SparseAutoencoder, members: list[Member], progress: Progress) -> list[Dictionary]:
    """Train `members` from their initialisations, or from where a checkpoint of them stands; results in their order."""
    groups = _groups(members)
    stacks = [initialise(recipe, [members[i] for i in group]) for group in groups]
    for stack in stacks:
        _prepare_curves(stack)
    checkpoint = Checkpoint(recipe.checkpoint, recipe.fingerprint, members)
    checkpoint.restore(stacks)
    streams = _streams(members)
    longest = max(s.options["steps"] for s in stacks)
    # Of those that are still at it, all of which stand at one step: chunks begin where they would have.
    first = min((s.step for s in stacks if _going(s)), default=longest)
    largest = max(key[-1] * stream.samples.units for key, stream in streams.items())
    chunk = max(1, min(CHUNK, CHUNK_BYTES // (4 * largest)))
    bar = progress(range(first, longest, chunk))
    kept: dict[int, Step] = {}
    with _workers(recipe.threads) as run:
        for start in bar:
            batches, going = _Batches(streams), [stack for stack in stacks if _going(stack)]
            # Threads share out the members; a few large ones they share out within, as far as a step can be split.
            few = len(going) < recipe.threads
            within = run if few else one_by_one
            jobs = [_chunk_of(recipe, s, start + chunk, batches, within, kept if few else {}) for s in going]
            (one_by_one if few else run)(jobs)
            _show(bar, stacks)
            checkpoint.save(stacks)
        by_index: dict[int, Dictionary] = {}
        run([partial(_finish, recipe, stack, group, by_index) for group, stack in zip(groups, stacks, strict=True)])
    checkpoint.remove()
    dictionaries = [by_index[i] for i in range(len(members))]
    report_diverged(recipe, members, dictionaries)
    return dictionaries


def _finish(recipe: SparseAutoencoder, stack: Stack, group: list[int], results: dict[int, Dictionary]) -> None:
    results.update(zip(group, finish(recipe, stack), strict=True))


def _going(stack: Stack) -> bool:
    """Whether any member is still in training."""
    return stack.step < stack.options["steps"] and bool((stack.diverged < 0).any())


def _groups(members: list[Member]) -> list[list[int]]:
    """Members that train as one program: on the CPU each by itself; on a GPU `STACKED` of equal options and rows.

    A block that isn't full is filled up with its last member, whose copies' results nobody takes.
    """
    if members[0].activations.device.type == "cpu":
        return [[i] for i in range(len(members))]
    alike: dict[str, list[int]] = {}
    for i, member in enumerate(members):
        size = min(member.options["batch_size"], member.activations.samples)
        alike.setdefault(repr((sorted(member.options.items()), size, member.activations.samples)), []).append(i)
    blocks = [g[i : i + STACKED] for g in alike.values() for i in range(0, len(g), STACKED)]
    return [block + [block[-1]] * (STACKED - len(block)) for block in blocks]


def _order_key(member: Member) -> tuple[Any, ...]:
    """Which stream of batches a member reads: grid points of one seed and rows share it."""
    seed = member.seed if member.options["order_seed"] is None else member.options["order_seed"]
    size = min(member.options["batch_size"], member.activations.samples)
    return *member.key, seed, member.rows, size


def _streams(members: list[Member]) -> dict[tuple[Any, ...], Shuffled]:
    return {key: Shuffled(m.activations, ("order", *key[:-1]), key[-1]) for m in members for key in [_order_key(m)]}


class _Batches:
    """The batches of one chunk, each read once however many members take it."""

    def __init__(self, streams: dict[tuple[Any, ...], Shuffled]) -> None:
        self.streams = streams
        self.read: dict[tuple[tuple[Any, ...], int], Tensor] = {}

    def __call__(self, member: Member, step: int) -> Tensor:
        key = _order_key(member)
        if (key, step) not in self.read:
            self.read[key, step] = self.streams[key].batch(step)
        return self.read[key, step]


@contextmanager
def _workers(threads: int) -> Iterator[Run]:
    """Something that runs jobs on so many threads, each of which computes by itself: no bit depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads == 1:
            yield one_by_one
            return
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def run(jobs: Sequence[Job]) -> None:
                for done in [pool.submit(job) for job in jobs]:
                    done.result()

            yield run
    finally:
        torch.set_num_threads(before)


def _chunk_of(
    recipe: SparseAutoencoder, stack: Stack, end: int, batches: _Batches, run: Run, kept: dict[int, Step]
) -> Callable[[], None]:
    """The job that takes a stack to step `end`; its batches are read here, by the thread that reads.

    `kept` holds what steps work with, its buffers that is, from chunk to chunk.
    """
    steps = range(stack.step, min(end, stack.options["steps"]))
    chosen = [[batches(member, step) for member in stack.members] for step in steps]
    logged = _log_steps(stack.options)

    def job() -> None:
        if chosen and id(stack) not in kept:
            kept[id(stack)] = _stepper(recipe, stack, len(chosen[0][0]), run)
        step_of = kept.get(id(stack), plain_step)
        for parts in chosen:
            x = torch.stack([part * scale for part, scale in zip(parts, stack.scale, strict=True)])
            at = logged.get(stack.step)
            losses = step_of(recipe, stack, x)
            if at is not None:
                _log(stack, at, losses)
            after_step(stack, x, losses)
            if stack.step % CHUNK == 0 or stack.step == stack.options["steps"]:
                exploded = ~(losses.terms["fvu"] < EXPLODED).cpu()
                stack.diverged[exploded & (stack.diverged < 0)] = stack.step

    return job


def _stepper(recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> Step:
    """The fast step where there is one for this recipe, its options and its device; else the plain one."""
    fast = fast_step_of(recipe, stack)
    step: Step = plain_step if fast is None else fast(recipe, stack, batch, run)
    return step


def _log_steps(options: dict[str, Any]) -> dict[int, int]:
    """Which steps are logged, and as which point of the curve: evenly spread from the first to the last."""
    points = min(options["log_points"], options["steps"])
    chosen = torch.linspace(0, options["steps"] - 1, points, dtype=torch.float64).round().int().tolist()
    return {step: i for i, step in enumerate(sorted(set(chosen)))}


def _prepare_curves(stack: Stack) -> None:
    steps = list(_log_steps(stack.options))
    stack.curves["step"] = torch.tensor(steps, dtype=torch.float32).expand(len(stack.members), -1).clone()


def _log(stack: Stack, point: int, losses: Losses) -> None:
    values = losses.terms | {"dead_fraction": dead(stack).float().mean(1)}
    for name, value in values.items():
        curve = stack.curves.setdefault(name, torch.full_like(stack.curves["step"], torch.nan))
        curve[:, point] = value.detach().cpu()


def _show(bar: Any, stacks: list[Stack]) -> None:
    """FVU and L0 of the best, median and worst member, on bars that can show them."""
    if not hasattr(bar, "set_postfix_str") or getattr(bar, "disable", False):
        return
    latest: dict[int, tuple[float, float]] = {}
    for member, fvu, l0 in (
        (m, *c) for s in stacks for m, *c in zip(s.members, s.curves["fvu"], s.curves["l0"], strict=True)
    ):
        seen = fvu.isfinite().nonzero()
        if len(seen):  # A filled stack shows its last member once.
            latest[id(member)] = float(fvu[seen[-1, 0]]), float(l0[seen[-1, 0]])
    if not latest:
        return
    ranked = sorted(latest.values())
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    bar.set_postfix_str(", ".join(f"{name} FVU {fvu:.3f} L0 {l0:.1f}" for name, (fvu, l0) in chosen.items()))
