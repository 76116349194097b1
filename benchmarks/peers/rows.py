"""What is measured: the rows of the table, each with its data, its grid, and the libraries that have the method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from benchmarks.peers.task import Member

TOPK_PEERS = ("eai-sparsify", "dictionary-learning", "sae-lens", "sae-lens, MultiSAETrainer", "overcomplete")


@dataclass(frozen=True)
class Row:
    """One comparison. `levels` set the sparsity: k, a target L0, or the coefficient of L1.

    The data have `units` columns and `features` planted ones, `active` of them in a row on average. Throughput is
    timed over all `widths` x `levels` x 2 seeds: `peer_steps` after the warm-up for each SAE of a library that trains
    one by one, `our_steps` for a whole grid. Quality is compared on the SAEs of width `judged_width` and of
    `judged_levels` (several where sparsity is set by a penalty, whose L0 differs between libraries), by two seeds, each
    trained over `quality_steps` and over a half and a quarter of them.
    """

    title: str
    method: str
    peers: tuple[str, ...]
    units: int
    features: int
    active: float
    train_rows: int
    widths: tuple[int, ...]
    levels: tuple[float, ...]
    batch_size: int
    judged_width: int
    judged_levels: tuple[float, ...]
    quality_steps: int
    our_steps: int = 256
    peer_steps: int = 20
    warmup: int = 5

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("ours", *self.peers)

    def grid(self, library: str, seed: int) -> list[Member]:
        """The half of the grid that has this seed; short runs, for timing."""
        steps = self.our_steps if library == "ours" else self.warmup + self.peer_steps + 1
        points = product(self.widths, self.levels)
        return [Member(self.method, width, level, seed, self.batch_size, steps) for width, level in points]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps of the trainings that are judged."""
        return tuple(max(1, self.quality_steps // part) for part in (4, 2, 1))

    def judged(self, seed: int, steps: int) -> list[Member]:
        """The members whose held-out quality is compared, trained to their end within so many steps."""
        size = self.batch_size
        return [Member(self.method, self.judged_width, level, seed, size, steps) for level in self.judged_levels]


GRID = Row(
    "Grid of 32 TopK SAEs: d = 64, F in 256, 384, 512, 1024, k in 4, 8, 16, 32, 2 seeds, B = 1024",
    "topk",
    TOPK_PEERS,
    units=64,
    features=512,
    active=8.0,
    train_rows=131_072,
    widths=(256, 384, 512, 1024),
    levels=(4, 8, 16, 32),
    batch_size=1024,
    judged_width=512,
    judged_levels=(8,),
    quality_steps=1000,
)
SINGLE = replace(
    GRID,
    title="One TopK SAE: d = 384, F = 3072, k = 32, B = 4096",
    peers=("eai-sparsify", "dictionary-learning", "sae-lens", "overcomplete"),
    units=384,
    features=3072,
    active=32.0,
    train_rows=65_536,
    widths=(3072,),
    levels=(32,),
    batch_size=4096,
    judged_width=3072,
    judged_levels=(32,),
    quality_steps=80,
    our_steps=96,
    peer_steps=5,
    warmup=2,
)
SELECTED = replace(GRID, peers=("dictionary-learning", "sae-lens", "overcomplete"), widths=(512,))
ROWS = {
    "grid": GRID,
    "single": SINGLE,
    "batch_topk": replace(
        SELECTED, title="BatchTopK: d = 64, F = 512, k in 4, 8, 16, 32, 2 seeds, B = 1024", method="batch_topk"
    ),
    "jumprelu": replace(
        SELECTED,
        title="JumpReLU: d = 64, F = 512, target L0 in 4, 8, 16, 32, 2 seeds, B = 1024",
        method="jumprelu",
        judged_levels=(4, 8, 16, 32),
        quality_steps=600,
    ),
    "matryoshka": replace(
        SELECTED,
        title="Matryoshka, 5 levels: d = 64, F = 512, k in 4, 8, 16, 32, 2 seeds, B = 1024",
        method="matryoshka",
        peers=("dictionary-learning", "sae-lens"),
    ),
    # Timed over whole trainings: what a step of ours takes falls with the number of active latents.
    "relu": replace(
        SELECTED,
        our_steps=600,
        title="ReLU with L1: d = 64, F = 512, coefficient in 0.2, 0.3, 0.4, 0.5, 2 seeds, B = 1024",
        method="relu",
        levels=(0.2, 0.3, 0.4, 0.5),
        judged_levels=(0.05, 0.1, 0.2, 0.4),
        quality_steps=600,
    ),
}


def quick(row: Row) -> Row:
    """The same comparison in little time: fewer steps, so that its FVUs are those of an unfinished training."""
    shorter = {"peer_steps": max(3, row.peer_steps // 5), "quality_steps": max(16, row.quality_steps // 10)}
    return replace(row, our_steps=96, warmup=2, **shorter)
