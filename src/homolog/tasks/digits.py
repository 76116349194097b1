"""Which digit is this: the 1,797 real 8x8 images that come with scikit-learn (Alpaydin & Kaynak, 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from homolog.tasks.base import Data, split_at_random


@dataclass(frozen=True)
class Digits:
    """Inputs (1797, 64) in [0, 1]: grey levels 0..16 over 16; labels 0..9."""

    n_test: int = 500

    def data(self) -> Data:
        table = torch.from_numpy(np.loadtxt(_table(), delimiter=","))
        return split_at_random(table[:, :64].float() / 16, table[:, 64].long(), self.n_test, "digits")


def _table() -> Path:
    """The file that ``sklearn.datasets.load_digits`` reads; its import takes 0.8 s, which every job would pay."""
    spec = find_spec("sklearn")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return path
    raise ValueError(
        f"digits: no datasets/data/digits.csv.gz in scikit-learn ({', '.join(folders) or 'not installed'}): install "
        "scikit-learn, from requirements.lock."
    )
