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
from homolog.decompositions.sae import curves
from homolog.decompositions.sae.auxiliary import dead
from homolog.decompositions.sae.base import Losses, SparseAutoencoder, Stack
from homolog.decompositions.sae.checkpoint import Checkpoint
from homolog.decompositions.sae.curves import CHUNK
from homolog.decompositions.sae.fast.base import Job, Run, fast_step_of, one_by_one
from homolog.decompositions.sae.finishing import finish, report_diverged
from homolog.decompositions.sae.gpu.blocks import STACKED, blocks
from homolog.decompositions.sae.gpu.program import Program, RowNumbers
from homolog.decompositions.sae.gpu.step import gpu_step_of
from homolog.decompositions.sae.initial import initialise
from homolog.decompositions.sae.optimiser import after_step, plain_step
from homolog.decompositions.samples import Shuffled
from homolog.dictionary import Dictionary

# A member takes `CHUNK` steps before the next one has its turn: its parameters stay in the cache for so long. Fewer
# where their batches would take more memory than this.
CHUNK_BYTES = 2**24

Step = Callable[[SparseAutoencoder, Stack, Tensor], Losses]


def train(recipe: SparseAutoencoder, members: list[Member], progress: Progress) -> list[Dictionary]:
    """Train `members` from their initialisations, or from where a checkpoint of them stands; results in their order."""
    groups = _divided(recipe, members)
    stacks = [initialise(recipe, [members[i] for i in group]) for group in groups]
    for stack in stacks:
        curves.prepare(stack)
    checkpoint = Checkpoint(recipe, members, stacks)
    checkpoint.restore()
    programs = _programs(recipe, stacks) if _on_gpu(members) else {}
    streams = _streams(stacks, programs)
    longest = max(s.options["steps"] for s in stacks)
    # Of those that are still at it, all of which stand at one step: chunks begin where they would have.
    first = min((s.step for s in stacks if _going(s)), default=longest)
    largest = max(stream.size * stream.samples.units for stream in streams.values())
    chunk = max(1, min(CHUNK, CHUNK_BYTES // (4 * largest)))
    bar = progress(range(first, longest, chunk))
    kept: dict[int, Step] = {}
    with _workers(1 if _on_gpu(members) else recipe.threads) as run:
        for start in checkpoint.between(bar):
            batches, going = _Batches(streams), [stack for stack in stacks if _going(stack)]
            # Threads share out the members; a few large ones they share out within, as far as a step can be split.
            few = len(going) < recipe.threads
            within = run if few else one_by_one
            jobs = [
                programs[id(s)].chunk(start + chunk, batches)
                if id(s) in programs
                else _chunk_of(recipe, s, start + chunk, batches, within, kept if few else {})
                for s in going
            ]
            (one_by_one if few else run)(jobs)
            curves.show(bar, stacks)
        by_index: dict[int, Dictionary] = {}
        run([partial(_finish, recipe, stack, group, by_index) for group, stack in zip(groups, stacks, strict=True)])
    checkpoint.remove()
    dictionaries = [by_index[i] for i in range(len(members))]
    report_diverged(recipe, members, dictionaries)
    return dictionaries


def _finish(recipe: SparseAutoencoder, stack: Stack, group: list[int], results: dict[int, Dictionary]) -> None:
    # Those that fill a block up stand behind it, and are asked for nothing.
    results.update(zip(dict.fromkeys(group), finish(recipe, stack), strict=False))


def _going(stack: Stack) -> bool:
    """Whether any member is still in training."""
    return stack.step < stack.options["steps"] and bool((stack.diverged < 0).any())


def _on_gpu(members: list[Member]) -> bool:
    return members[0].activations.device.type != "cpu"


def _divided(recipe: SparseAutoencoder, members: list[Member]) -> list[list[int]]:
    """Members that train as one program: on a GPU in blocks as far as there is a stacked step for them."""
    stacked = blocks(recipe, members) if _on_gpu(members) else []
    taken = {i for block in stacked for i in block}
    rest = [i for i in range(len(members)) if i not in taken]
    plain = _groups([members[i] for i in rest], recipe.together) if rest else []
    return stacked + [[rest[i] for i in group] for group in plain]


def _groups(members: list[Member], together: int = 1) -> list[list[int]]:
    """Members whose plain steps are one program: of equal options and rows, `together` on the CPU, `STACKED` on a GPU.

    There a block that isn't full is filled up with its last member, whose copies' results nobody takes.
    """
    size = STACKED if _on_gpu(members) else together
    alike: dict[str, list[int]] = {}
    for i, member in enumerate(members):
        batch = min(member.options["batch_size"], member.activations.samples)
        shape = member.activations.samples, member.activations.units
        # Each member reads its own stream of batches anyway.
        options = sorted((name, value) for name, value in member.options.items() if name != "order_seed")
        alike.setdefault(repr((options, batch, shape)), []).append(i)
    full = [g[i : i + size] for g in alike.values() for i in range(0, len(g), size)]
    if not _on_gpu(members):
        # One after the other as they were given, where each is alone.
        return sorted(full)
    return [block + [block[-1]] * (STACKED - len(block)) for block in full]


def _programs(recipe: SparseAutoencoder, stacks: list[Stack]) -> dict[int, Program]:
    """The programs of those stacks that have a stacked step, by identity."""
    steps = [(stack, gpu_step_of(recipe, stack.options)) for stack in stacks]
    pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None
    return {id(stack): Program(recipe, stack, step, pool) for stack, step in steps if step is not None}


def _order_key(member: Member) -> tuple[Any, ...]:
    """Which stream of batches a member reads: grid points of one seed and rows share it."""
    seed = member.seed if member.options["order_seed"] is None else member.options["order_seed"]
    size = min(member.options["batch_size"], member.activations.samples)
    return *member.key, seed, member.rows, size


def _streams(stacks: list[Stack], programs: dict[int, Program]) -> dict[tuple[Any, ...], Shuffled]:
    """What members are fed from, by key; the last part of it says whether that is numbers of rows."""
    streams: dict[tuple[Any, ...], Shuffled] = {}
    for stack in stacks:
        for member in stack.members:
            key, by_number = _order_key(member), id(stack) in programs and programs[id(stack)].by_number
            if (key, by_number) not in streams:
                source = RowNumbers(member.activations) if by_number else member.activations
                streams[key, by_number] = Shuffled(source, ("order", *key[:-1]), key[-1])
    return streams


class _Batches:
    """The batches of one chunk, each read once however many members take it."""

    def __init__(self, streams: dict[tuple[Any, ...], Shuffled]) -> None:
        self.streams = streams
        self.read: dict[tuple[tuple[Any, ...], int], Tensor] = {}

    def __call__(self, member: Member, step: int, by_number: bool = False) -> Tensor:
        key = _order_key(member), by_number
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
    logged = curves.log_steps(stack.options)

    def job() -> None:
        if chosen and id(stack) not in kept:
            kept[id(stack)] = _stepper(recipe, stack, len(chosen[0][0]), run)
        step_of = kept.get(id(stack), plain_step)
        for parts in chosen:
            x = torch.stack([part * scale for part, scale in zip(parts, stack.scale, strict=True)])
            at = logged.get(stack.step)
            losses = step_of(recipe, stack, x)
            if at is not None:
                curves.log(stack, at, losses.terms | {"dead_fraction": dead(stack).float().mean(1)})
            after_step(stack, x, losses)
            if curves.due(stack, stack.step):
                curves.note_diverged(stack, stack.step, losses.terms["fvu"])

    return job


def _stepper(recipe: SparseAutoencoder, stack: Stack, batch: int, run: Run) -> Step:
    """The fast step where there is one for this recipe, its options and its device; else the plain one."""
    fast = fast_step_of(recipe, stack)
    step: Step = plain_step if fast is None else fast(recipe, stack, batch, run)
    return step
