"""What do the hook points of a network read of a corpus, as rows in random order, with little in memory?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from homolog.activations import FREE, Block, HookPoint, Progress, check_finite
from homolog.corpora.base import Corpus
from homolog.networks.bases import shared_with, weights_digest
from homolog.networks.embeddings import check_embeddings
from homolog.networks.hooks import Hooks
from homolog.networks.learning import on_device
from homolog.networks.network import Batch, Network
from homolog.networks.places import as_places
from homolog.networks.points import Point
from homolog.networks.seen import one_point
from homolog.streams import stream

T = TypeVar("T")
# Activations by hook point, and whole numbers of the same rows by name.
Rows = tuple[dict[str, Tensor], dict[str, Tensor]]
# Rows that are mixed before they are written; with the order of inputs, which is random too, neighbours in a file have
# as little to do with each other as any two. Fixed, so that runs have their rows in the same order.
MIXED_ROWS = 2**15
# Positions of a batch: more make nothing quicker, neither on a core nor on a GPU.
POSITIONS_AT_ONCE = {"cpu": 2**11, "cuda": 2**14}
_UNFIT = "look at the weights and the inputs, or set `precision: float32`"
# Inputs whose places are looked at together.
COUNTED = 4096


class Reader:
    """Reads named hook points of a network on a corpus. Nothing but the first two inputs is computed before `blocks`.

    `points` are names of hook points, or globs that mean one, by the names that they go by. The network is moved to
    `device`, and computes in `precision`: ``float32`` or ``bfloat16`` (torch's autocast); None is the latter on a GPU
    that has it. `batch_size` counts inputs; None takes about 2,048 positions at a time on a CPU and 16,384 on a GPU,
    and fewer where its memory doesn't hold what they need. Of `streams` it is known which weights fix their basis.
    Raises ValueError, one line, for names that don't lead to one tensor each, and where hook points differ in their
    positions.
    """

    def __init__(
        self,
        network: Network,
        corpus: Corpus,
        points: Mapping[str, str],
        batch_size: int | None = None,
        precision: str | None = None,
        device: str | torch.device = "cpu",
        streams: Sequence[str] = (),
    ) -> None:
        self._network, self._corpus, self._device = network.to(device), corpus, torch.device(device)
        self._half_precision = _in_bfloat16(precision, self._device)
        check_embeddings(network, corpus)
        self.digest = corpus.digest()
        self._order = torch.randperm(corpus.inputs, generator=stream("inputs", self.digest))
        first = self._order[:2]
        self._points = self._find(points, first)
        # Positions and units of each hook point, as its first batch has them.
        self._shapes: dict[str, torch.Size] = {}
        with Hooks(network.module, [*self._points.values()]) as hooks:
            self._read(hooks, first)
        self._positions = _common_positions({name: shape[0] for name, shape in self._shapes.items()})
        basis = self._bases(streams, first)
        self.hook_points = [
            HookPoint(name, units, FREE, None, basis.get(name, "")) for name, (_, units) in self._shapes.items()
        ]
        self._most = batch_size or max(1, POSITIONS_AT_ONCE[self._device.type] // self._positions)
        self.rows = self._count()

    def blocks(self, progress: Progress = iter) -> Iterator[Block]:
        """All rows, up to `MIXED_ROWS` at a time and mixed within these; the network computes ahead meanwhile.

        Raises ValueError when an activation isn't finite, and when a hook point isn't reached.
        """
        start, batches = 0, _Cut(_ahead(self._batches(progress)))
        while start < self.rows:
            size = min(MIXED_ROWS, self.rows - start)
            place = torch.randperm(size, generator=stream("rows", self.digest, start))
            yield Block(start, *batches.fill(size, place))
            start += size

    def _find(self, points: Mapping[str, str], inputs: Int[Tensor, " inputs"]) -> dict[str, Point]:
        batch = self._batch(inputs)
        with self._precision():
            seen = self._network.seen_on(batch)
        return {name: one_point(text, seen) for name, text in points.items()}

    def _bases(self, streams: Sequence[str], inputs: Int[Tensor, " inputs"]) -> dict[str, str]:
        """By stream: which weights fix its basis."""
        network, batch = self._network, self._batch(inputs)
        own = weights_digest(network.module) if streams else ""
        shared = {
            name: shared_with(network.module, network.lineage, self._points[name], lambda: network(batch))
            for name in streams
        }
        return {name: found or own for name, found in shared.items()}

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._half_precision)

    def _batch(self, inputs: Int[Tensor, " inputs"]) -> Batch:
        return on_device(self._corpus.batches(inputs), self._device)

    @torch.no_grad()
    def _read(self, hooks: Hooks, inputs: Int[Tensor, " inputs"]) -> dict[str, Float[Tensor, "inputs positions units"]]:
        """What each hook point reads of some inputs."""
        batch = self._batch(inputs)
        with self._precision():
            values = hooks.read(lambda: self._network(batch))
        positions, found = self._corpus.positions, {}
        for name, one in self._points.items():
            places = as_places(values[one], len(inputs), positions, one).float()
            expected = self._shapes.setdefault(name, places.shape[1:])
            if places.shape[1:] != expected:
                raise ValueError(
                    f"hook point {one} has {tuple(places.shape[1:])} positions and units in a batch, and "
                    f"{tuple(expected)} in the first one: make all inputs equally large."
                )
            found[name] = places
        return found

    def _read_in_parts(
        self, hooks: Hooks, inputs: Int[Tensor, " inputs"]
    ) -> Iterator[tuple[Int[Tensor, " inputs"], dict[str, Tensor]]]:
        """The same, in as many parts as memory makes necessary, from now on."""
        done = 0
        while done < len(inputs):
            part = inputs[done : done + self._most]
            try:
                yield part, self._read(hooks, part)
            except torch.OutOfMemoryError:
                if self._most == 1:
                    raise
                self._most //= 2
            else:
                done += len(part)

    def _batches(self, progress: Progress) -> Iterator[Rows]:
        """Kept rows of each hook point, and whole numbers of these rows by name, batch by batch."""
        first, size = 0, self._most
        with Hooks(self._network.module, [*self._points.values()]) as hooks:
            for start in progress(range(0, len(self._order), size)):
                for inputs, values in self._read_in_parts(hooks, self._order[start : start + size]):
                    keep, numbers = self._places(inputs)
                    kept = None if bool(keep.all()) else keep.flatten().nonzero().squeeze(1).to(self._device)
                    flat = {name: one.flatten(0, 1) for name, one in values.items()}
                    rows = {name: one if kept is None else one[kept] for name, one in flat.items()}
                    for name, one in rows.items():
                        check_finite(one, name, first, _UNFIT)
                    first += int(keep.sum())
                    yield {name: one.cpu() for name, one in rows.items()}, numbers

    def _places(self, inputs: Int[Tensor, " inputs"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Which places of some inputs become rows, (input, position), and whole numbers of these rows."""
        places = self._corpus.places(inputs)
        if self._corpus.positions is not None:
            return places.keep, _narrow(places.rows())
        # The network makes the positions of these: patches of an image.
        keep = places.keep.expand(-1, self._positions)
        numbers = {name: values.expand(-1, self._positions) for name, values in places.numbers.items()}
        position = torch.arange(self._positions).expand_as(keep)
        numbers |= {"position": position, "input_id": numbers["input_id"] * self._positions + position}
        return keep, _narrow({name: values[keep] for name, values in numbers.items()})

    def _count(self) -> int:
        """Rows of the whole corpus."""
        blocks = torch.split(torch.arange(self._corpus.inputs), COUNTED)
        rows = sum(int(self._corpus.places(inputs).keep.sum()) for inputs in blocks)
        return rows if self._corpus.positions is not None else rows * self._positions


class _Cut:
    """Cuts a stream of batches anew, into blocks whose rows stand at given places."""

    def __init__(self, batches: Iterator[Rows]) -> None:
        self._batches = batches
        self._left: Rows = {}, {}

    def fill(self, size: int, place: Int[Tensor, " rows"]) -> Rows:
        """The next `size` rows, the i-th of them at `place[i]`."""
        out: Rows = {}, {}
        filled = 0
        while filled < size:
            if not self._left[0] or not len(next(iter(self._left[0].values()))):
                self._left = next(self._batches)
            taken = min(size - filled, len(next(iter(self._left[0].values()))))
            here = place[filled : filled + taken]
            for room, rows in zip(out, self._left, strict=True):
                for name, values in rows.items():
                    if name not in room:
                        room[name] = values.new_empty(size, *values.shape[1:])
                    room[name].index_copy_(0, here, values[:taken])
                    rows[name] = values[taken:]
            filled += taken
        return out


def _ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """The same items, of which a thread makes the next ones while one is in use."""
    end: Any = object()
    thread = ThreadPoolExecutor(1)
    try:
        coming: deque[Future[T]] = deque(thread.submit(next, items, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, items, end))
            yield item
    finally:
        # Who stops early doesn't wait for more than what is being made.
        thread.shutdown(cancel_futures=True)


def _narrow(numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """The two that are 0 or 1 in a byte each, as all files have them."""
    return {name: one.to(torch.int8) if name in ("split", "half") else one for name, one in numbers.items()}


def _in_bfloat16(precision: str | None, device: torch.device) -> bool:
    if precision not in (None, "float32", "bfloat16"):
        raise ValueError(f"precision = {precision!r}; allowed: float32, bfloat16, or None for the latter on a GPU.")
    return device.type == "cuda" and torch.cuda.is_bf16_supported() if precision is None else precision == "bfloat16"


def _common_positions(positions: dict[str, int]) -> int:
    if len(set(positions.values())) > 1:
        seen = ", ".join(f"{name}: {count}" for name, count in positions.items())
        raise ValueError(
            f"hook points have different numbers of positions for each input ({seen}), and rows of one file are the "
            "same for all: read them as models of their own."
        )
    return next(iter(positions.values()))
