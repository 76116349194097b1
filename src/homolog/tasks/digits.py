"""Which digit is this: the 1,797 real 8x8 images that come with scikit-learn (Alpaydin & Kaynak, 1998)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

from homolog.tasks.base import Data, split_at_random


@dataclass(frozen=True)
class Digits:
    """Inputs (1797, 64) in [0, 1]: grey levels 0..16 over 16; labels 0..9."""

    n_test: int = 500

    def data(self) -> Data:
        images, labels = load_digits(return_X_y=True)
        inputs = torch.as_tensor(images, dtype=torch.float32) / 16
        return split_at_random(inputs, torch.as_tensor(labels, dtype=torch.int64), self.n_test, "digits")
