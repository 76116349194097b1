"""How is work on rows shared out among threads?"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch


def shared_out(work: Callable[[slice], object], count: int) -> None:
    """Call `work` on consecutive parts of `count` items, each on one of as many threads as torch has."""
    threads = max(1, min(torch.get_num_threads(), count))
    bounds = [count * t // threads for t in range(threads + 1)]
    parts = [slice(low, high) for low, high in pairwise(bounds)]
    if threads == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
