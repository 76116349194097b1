"""How much of a bare forward loop's speed is left when activations are read, mixed and written, and in which memory?

    python benchmarks/dumping.py [--blocks 6] [--units 384] [--length 128] [--inputs 256] [--points 1]

A random BERT of MiniLM-L6's size on random tokens, of which the last `--points` blocks are read, as float16. The bare
loop ends each forward pass behind the last one, too, and keeps nothing. Both run in turns, so that a busy machine slows
down both; time is told on the clock and on the processor (of all threads). Needs homolog[transformers].
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import transformers
from jaxtyping import Int
from torch import Tensor

from homolog.corpora.base import Corpus
from homolog.networks.network import Network
from homolog.networks.reading import POSITIONS_AT_ONCE, Reader
from homolog.store.activations import write_blocks


class Tokens(Corpus):
    """Random tokens; every place is a row."""

    def __init__(self, inputs: int, length: int, vocabulary: int) -> None:
        self.tokens = torch.randint(vocabulary, (inputs, length), generator=torch.Generator().manual_seed(0))
        self.positions, self.vocabulary = length, vocabulary
        self.split, self.half = torch.zeros(2, inputs, dtype=torch.int8).unbind()
        self.label = torch.zeros(inputs, dtype=torch.int64)

    def batches(self, inputs: Int[Tensor, " inputs"]) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[inputs]}


class End(BaseException):
    """The last hook point is reached."""


def bare(network: Network, corpus: Corpus, last: str, size: int, device: str) -> None:
    """Forward passes that end behind a module."""

    def stop(*_: object) -> None:
        raise End

    handle = network.module.get_submodule(last).register_forward_hook(stop)
    half = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
    with torch.no_grad(), half:
        for inputs in torch.randperm(corpus.inputs).split(size):
            with suppress(End):
                network({name: values.to(device) for name, values in corpus.batches(inputs).items()})
    if device == "cuda":
        torch.cuda.synchronize()
    handle.remove()


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock and on the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Print tokens per second of both, and what share of the time is none of the forward pass's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {
        "blocks": 6,
        "units": 384,
        "length": 128,
        "inputs": 256,
        "points": 1,
        "rounds": 5,
        "threads": 1,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = transformers.BertConfig(
        hidden_size=given.units,
        num_hidden_layers=given.blocks,
        num_attention_heads=12,
        intermediate_size=4 * given.units,
    )
    network = Network(transformers.BertModel(config), "bert").to(device)
    corpus = Tokens(given.inputs, given.length, config.vocab_size)
    points = {f"block_{block}": f"encoder.layer.{block}" for block in range(given.blocks - given.points, given.blocks)}
    reader = Reader(network, corpus, points, device=device)
    size = max(1, POSITIONS_AT_ONCE[device] // given.length)
    times: dict[str, list[tuple[float, float]]] = {"bare": [], "dumped": [], "written": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "activations.h5"

        def dump(blocks: Any) -> None:
            write_blocks(path, reader.hook_points, blocks, reader.rows, "float16", {"run": "bert/seed_0"})

        for _ in range(given.rounds):
            times["bare"].append(
                timed(lambda: bare(network, corpus, f"encoder.layer.{given.blocks - 1}", size, device))
            )
            times["dumped"].append(timed(lambda: dump(reader.blocks())))
            blocks = list(reader.blocks())
            times["written"].append(timed(lambda kept=blocks: dump(iter(kept))))
    print(f"{reader.rows} tokens, {given.points} hook points of {given.units} units, {given.threads} threads, {device}")
    for place, name in enumerate(("clock", "processor")):
        taken = {kind: statistics.median(one[place] for one in found) for kind, found in times.items()}
        print(
            f"{name}: bare {reader.rows / taken['bare']:.0f} tokens/s, dumped {reader.rows / taken['dumped']:.0f} "
            f"({taken['bare'] / taken['dumped']:.1%} of it), writing alone {taken['written'] / taken['dumped']:.1%}"
        )


if __name__ == "__main__":
    main()
