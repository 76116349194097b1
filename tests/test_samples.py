"""Do activations read the same from memory and from a file, in order and shuffled, in as little memory as is said?"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from making import CLASSES, gaussian, make_inputs, make_network, make_rows
from torch.testing import assert_close

from homolog.activations import describe_hook_points, stream_activations
from homolog.decompositions import samples as module
from homolog.decompositions.joint import Joint
from homolog.decompositions.sae.initial import random_rows
from homolog.decompositions.samples import BLOCK, InMemory, Samples, Shuffled
from homolog.decompositions.split import Part
from homolog.store import activation_samples
from homolog.store.activation_samples import InFile, choose_samples, open_activations
from homolog.store.activations import read_activations, write_activations
from homolog.store.arrays import samples_of
from homolog.tasks.base import HALF_A, HALF_B, TRAIN, Data

HOOK_POINTS = ["hidden_0", "hidden_1", "logits"]
KEY = ("made", 3)
FLOATS = [np.dtype(name) for name in ("f2", "f4", "f8")]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """An activation file of the pipeline, with 90 rows."""
    network, rows = make_network([7, 6]).float(), make_rows(90)
    data = Data(make_inputs(90).float(), rows.label, rows.split, rows.half, CLASSES)
    batches = stream_activations(network, data.inputs, HOOK_POINTS, 40, "cpu")
    points = describe_hook_points(network, HOOK_POINTS)
    write_activations(tmp_path / "activations.h5", points, batches, data, "float32", {"run": "made/seed_3"})
    return tmp_path / "activations.h5"


def write(path: Path, values: Any, name: str = "x", **options: Any) -> Path:
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=values, **options)
    return path


def of_file(path: Path, **options: Any) -> InFile:
    return InFile(path, "x", lambda count: ValueError(f"{count} values"), **options)


def numbered(rows: int) -> torch.Tensor:
    """Rows that hold their own number."""
    return torch.arange(rows).float()[:, None] + torch.tensor([0.0, 0.5])


def all_rows(samples: Samples) -> torch.Tensor:
    return torch.cat(list(samples.blocks()))


def numbers(batches: list[torch.Tensor]) -> list[int]:
    return [int(value) for batch in batches for value in batch[:, 0]]


@pytest.mark.parametrize("half", [None, HALF_A, HALF_B])
@pytest.mark.parametrize("hook_point", HOOK_POINTS)
def test_a_file_gives_the_bits_that_memory_gives(
    stored: Path, hook_point: str, half: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one row at a time, and in slabs that cut through what is asked for."""
    monkeypatch.setattr(activation_samples, "SLAB_BYTES", 200)
    read = read_activations(stored, hook_point)
    index = read.rows.where(TRAIN, half)
    expected = read.gauge.canonical(read.values)[index]
    opened = open_activations(stored, hook_point)
    assert opened.units == read.units
    for limit in (0, 2**20):
        samples = choose_samples(opened, index, opened.gauge, in_memory_bytes=limit)
        assert isinstance(samples, InMemory if limit else InFile)
        assert torch.equal(samples.whole(), expected)
        assert torch.equal(all_rows(samples), expected)
        assert torch.equal(torch.cat([samples.read(i, i + 1) for i in range(len(index))]), expected)
        assert torch.equal(samples.read(3, 17), expected[3:17])
        order = torch.randperm(len(index), generator=torch.Generator().manual_seed(1))
        assert torch.equal(samples.take(order), expected[order])
        assert torch.equal(samples.mean, InMemory(expected).mean)
    assert torch.equal(choose_samples(read, index, read.gauge).whole(), expected)
    assert torch.equal(choose_samples(opened, index, None).whole(), read.values[index])


@pytest.mark.parametrize(
    "layout", [{"chunks": (7, 5)}, {"chunks": (7, 2), "compression": "gzip"}, {"chunks": (64, 5), "shuffle": True}, {}]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", np.float64, np.int32])
def test_layout_and_type_of_a_dataset_do_not_matter(tmp_path: Path, layout: Any, dtype: Any) -> None:
    values = (gaussian(3 * BLOCK + 17, 5) * 100).numpy().astype(dtype)
    samples = of_file(write(tmp_path / "a.h5", values, **layout))
    expected = torch.from_numpy(values.astype(np.float32))
    assert [len(block) for block in samples.blocks()] == [BLOCK, BLOCK, BLOCK, 17]
    assert torch.equal(all_rows(samples), expected)
    assert_close(samples.mean, expected.double().mean(0))
    assert samples.at_random == (layout in ({"chunks": (7, 5)}, {}) and np.dtype(dtype) in FLOATS)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(1))[:100]
    assert torch.equal(samples.take(order), expected[order])


def test_a_compressed_file_is_read_once_for_all_rows_that_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts at data points take thousands, in random order, some twice; none of a block that holds none is read."""
    samples = of_file(write(tmp_path / "a.h5", numbered(4 * BLOCK).numpy(), chunks=(64, 2), compression="gzip"))
    read, asked = samples.read, []
    monkeypatch.setattr(samples, "read", lambda start, stop: asked.append((start, stop)) or read(start, stop))
    rows = torch.cat([torch.randperm(BLOCK, generator=torch.Generator().manual_seed(2))[:700], torch.tensor([5, 5])])
    rows = torch.cat([rows + 2 * BLOCK, rows, rows[:1]])
    assert numbers([samples.take(rows)]) == rows.tolist()
    assert [start // BLOCK for start, _ in asked] == [0, 2]
    assert all(stop - start <= BLOCK for start, stop in asked)
    assert not samples.at_random


def test_rows_drawn_at_random_are_those_of_memory_however_they_are_stored(tmp_path: Path) -> None:
    values = gaussian(3000, 5).float()
    for i, layout in enumerate(({}, {"chunks": (100, 5), "compression": "gzip"})):
        samples = of_file(write(tmp_path / f"{i}.h5", values.numpy(), **layout))
        for count in (40, 3500):  # More than there are come with some twice.
            drawn = [random_rows(s, count, torch.Generator().manual_seed(3)) for s in (InMemory(values), samples)]
            assert torch.equal(*drawn)
            order = torch.randperm(3000, generator=torch.Generator().manual_seed(3))[:count]
            assert torch.equal(drawn[0][:3000], values[order])


def test_a_file_that_does_not_hold_its_rows_as_they_are_is_read_all_the_same(tmp_path: Path) -> None:
    """Behind a user block, and with chunks that were never written, whose rows are zero."""
    values = gaussian(100, 5).float()
    with h5py.File(tmp_path / "block.h5", "w", userblock_size=512) as file:
        file.create_dataset("x", data=values)
    with h5py.File(tmp_path / "holes.h5", "w") as file:
        file.create_dataset("x", (100, 5), "f4", chunks=(10, 5))[:40] = values[:40]
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    holed = torch.cat([values[:40], torch.zeros(60, 5)])
    for name, expected in {"block": values, "holes": holed}.items():
        samples = of_file(tmp_path / f"{name}.h5")
        assert not samples.at_random
        assert torch.equal(samples.take(order), expected[order])
        whole = Shuffled(samples, KEY, 100).batch(0)
        assert torch.equal(whole, Shuffled(InMemory(expected), KEY, 100).batch(0))


def test_rows_far_apart_are_found_without_reading_what_lies_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation_samples, "SLAB_BYTES", 80)
    index = torch.tensor([0, 1, 9, 10, 11, 500, 998, 999])
    samples = of_file(write(tmp_path / "a.h5", numbered(1000)), index=index)
    assert numbers([samples.whole()]) == index.tolist()
    assert numbers([samples.read(2, 6)]) == index[2:6].tolist()
    lengths: list[int] = []
    read = samples._read_slab
    monkeypatch.setattr(samples, "_read_slab", lambda first, out: lengths.append(len(out)) or read(first, out))
    samples.whole()
    assert sum(lengths) < 20
    spans: list[tuple[int, int]] = []
    monkeypatch.setattr(samples._mapped, "expect", spans.extend)
    samples.expect([(0, 5), (5, 8)])
    assert spans == [(0, 12), (500, 501), (998, 1000)]
    with pytest.raises(ValueError, match="the rows to read must ascend, each once, and these 3 don't"):
        of_file(tmp_path / "a.h5", index=torch.tensor([1, 3, 2]))


def test_blocks_may_be_left_before_the_end(tmp_path: Path) -> None:
    samples = of_file(write(tmp_path / "a.h5", numbered(3 * BLOCK)))
    assert len(next(iter(samples.blocks()))) == BLOCK
    assert not samples.constant


@pytest.fixture(params=["memory", "file", "compressed", "part", "joint"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """103 rows, in blocks of 8 (the last of 7), 4 of them mixed at a time: four groups, the last of them small.

    In memory, in a file of which rows are taken at random or not, as every other row of one, and side by side in two.
    """
    monkeypatch.setattr(module, "SHUFFLED_BLOCK", 8)
    monkeypatch.setattr(module, "MIXED_BLOCKS", 4)
    values, path = numbered(103), tmp_path / "a.h5"
    match request.param:
        case "memory":
            return InMemory(values)
        case "file":
            return of_file(write(path, values, chunks=(10, 2)))
        case "compressed":
            return of_file(write(path, values, chunks=(10, 2), compression="gzip"))
        case "part":
            return Part(of_file(write(path, numbered(206) / 2)), torch.arange(0, 206, 2))
    write(path, values[:, :1])
    return Joint([of_file(path), of_file(write(tmp_path / "b.h5", values[:, 1:] / 2))], [1.0, 2.0])


@pytest.mark.parametrize("size", [1, 10, 103, 250])
def test_every_epoch_visits_each_row_once(source: Samples, size: int) -> None:
    """Whatever the batch size: smaller than a buffer, an epoch, or larger than one."""
    shuffled = Shuffled(source, KEY, size)
    seen = numbers([shuffled.batch(step) for step in range(-(-5 * 103 // size))])
    epochs = [seen[i * 103 : (i + 1) * 103] for i in range(5)]
    assert all(sorted(epoch) == list(range(103)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_the_order_depends_on_key_and_epoch_alone(source: Samples) -> None:
    """Not on batch size, on where the rows lie, or on what was read before."""

    def epochs(key: tuple[str | int, ...], size: int, samples: Samples = source) -> list[int]:
        shuffled = Shuffled(samples, key, size)
        return numbers([shuffled.batch(step) for step in range(206 // size + 1)])[:206]

    order = epochs(KEY, 10)
    assert epochs(KEY, 1) == epochs(KEY, 33) == epochs(KEY, 10, InMemory(numbered(103))) == order
    assert epochs(("made", 4), 10) != order


@pytest.mark.parametrize("first", [0, 1, 4, 7, 31, 200])
def test_taken_up_at_any_step_batches_are_the_same(source: Samples, first: int) -> None:
    through, again = Shuffled(source, KEY, 10), Shuffled(source, KEY, 10)
    for step in range(first):
        through.batch(step)
    for step in (first, first + 1, first + 3, max(0, first - 5), first, first + 30):
        assert torch.equal(through.batch(step), again.batch(step))
        assert torch.equal(through.batch(step), Shuffled(source, KEY, 10).batch(step))


def test_a_batch_is_not_overwritten_by_what_is_read_later(source: Samples) -> None:
    shuffled = Shuffled(source, KEY, 10)
    batches = [shuffled.batch(step) for step in range(30)]
    assert all(torch.equal(batch, Shuffled(source, KEY, 10).batch(step)) for step, batch in enumerate(batches))


def test_rows_are_mixed_over_the_whole_file() -> None:
    """Within one buffer the order is a full permutation: neighbours in it are as far apart as chance puts them.

    Of 20,000 rows, |i - j| of random pairs is 1/3 on average, with a standard deviation below 0.003 for 20,000 pairs.
    """
    rows = 20_000
    order = torch.tensor(numbers([Shuffled(InMemory(numbered(rows)), KEY, rows).batch(0)])).double()
    assert abs(float((order.diff().abs() / rows).mean()) - 1 / 3) < 0.015


def test_an_activation_file_of_the_pipeline_gives_its_train_rows(stored: Path) -> None:
    read = read_activations(stored, "hidden_1")
    expected = read.values[read.rows.where(TRAIN)]
    assert torch.equal(samples_of(stored, "hidden_1").whole(), expected)
    with pytest.raises(
        ValueError, match="needs to hold one hook point, or hook_point must name one; it has hidden_0, "
    ):
        samples_of(stored)
    with pytest.raises(ValueError, match="has no hook point 'hidden_9'; it has hidden_0, hidden_1, logits: choose one"):
        samples_of(stored, "hidden_9")


@pytest.mark.parametrize("limit", [0, 2**20])
def test_values_that_are_not_finite_are_counted(stored: Path, limit: int) -> None:
    """In memory at once, from a large file when they are read in order."""
    with h5py.File(stored, "r+") as file:
        file["hidden_1/activations"][:5, 1] = np.nan
    opened = open_activations(stored, "hidden_1")
    message = "activations at hidden_1 hold 5 values that aren't finite: delete the file and build it again"
    with pytest.raises(ValueError, match=message):
        next(choose_samples(opened, opened.rows.where(TRAIN), opened.gauge, in_memory_bytes=limit).blocks())
    with pytest.raises(ValueError, match=message):
        _ = choose_samples(opened, opened.rows.where(TRAIN), None, in_memory_bytes=limit).finite


MEASURED = """
import resource, sys
import torch
from homolog.decompositions.samples import Shuffled
from homolog.store.arrays import samples_of

torch.set_num_threads(1)
samples, limit = samples_of(sys.argv[1], in_memory_bytes=0), int(sys.argv[2])
(samples.read(0, 4096) @ torch.ones(samples.units)).sum()  # What comes with a first use of torch isn't counted.
held = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (held + limit, held + limit))
print(sum(len(block) for block in samples.blocks()))
def mapped():
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("RssFile")).split()[1])

before = mapped()
shuffled = [Shuffled(samples, ("memory", seed), 4096) for seed in range(2)]
print(sum(len(each.batch(step)) for step in range(samples.samples // 4096) for each in shuffled))
print(mapped() - before)
samples.whole()
"""


@pytest.mark.every
@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are those of Linux")
@pytest.mark.parametrize("compressed", [False, True])
def test_reading_takes_no_more_memory_than_its_buffers(tmp_path: Path, compressed: bool) -> None:
    """A file of 300 MB is read in 64 MiB: three blocks of 2 MiB, stacks of threads, slabs.

    So are two shuffled streams of it, which hold no rows of their own; of a compressed file each holds 16 MiB. What
    is mapped for them, in the page cache that all share, stays a part of the file: some 16 MiB for each, more where the
    kernel maps large pages. Reading it whole fails there, so the limit binds.
    """
    units, rows, streams = 64, 4096 * 286, 2
    limit = (64 + 16 * streams * compressed) * 2**20
    with h5py.File(tmp_path / "large.h5", "w") as file:
        options = {"compression": "gzip", "compression_opts": 1} if compressed else {}
        data = file.create_dataset("x", (rows, units), "f4", chunks=(8192, units), **options)
        for start in range(0, rows, 4096 * 26):
            data[start : start + 4096 * 26] = np.ones((4096 * 26, units), "f4")
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "large.h5"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    in_order, shuffled, mapped = map(int, done.stdout.split())
    assert (in_order, shuffled) == (rows, streams * rows), done.stderr
    assert mapped < 100 * 2**20
    assert "can't allocate memory" in done.stderr
