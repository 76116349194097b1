"""Images that tasks bring along, for networks that read them as such: with their labels and the split of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from homolog.corpora.base import Batch, Corpus
from homolog.tasks.base import Data
from homolog.tasks.digits import Digits
from homolog.tasks.fashion_mnist import FashionMNIST


class TaskImages(Corpus):
    """The inputs of a task, each a line of pixels, as (image, 1, side, side); fed alone, or as `keyword`."""

    positions = None

    def __init__(self, data: Data, side: int, keyword: str | None) -> None:
        self.split, self.half, self.label = data.split, data.half, data.labels
        self._pixels, self._keyword = data.inputs.reshape(-1, 1, side, side), keyword

    def batches(self, inputs: Int[Tensor, " inputs"]) -> Batch:
        pixels = self._pixels[inputs]
        return pixels if self._keyword is None else {self._keyword: pixels}


@dataclass(frozen=True, kw_only=True)
class DigitImages:
    """scikit-learn's digits, 8x8."""

    name: ClassVar[str] = "digits"
    n_test: int = 500
    keyword: str | None = None

    def corpus(self) -> TaskImages:
        return TaskImages(Digits(self.n_test).data(), 8, self.keyword)


@dataclass(frozen=True, kw_only=True)
class FashionMNISTImages:
    """Fashion-MNIST, 28x28."""

    name: ClassVar[str] = "fashion_mnist"
    path: str = FashionMNIST.path
    keyword: str | None = None

    def corpus(self) -> TaskImages:
        """Raises ValueError, with the ways to get them, where the files aren't there."""
        return TaskImages(FashionMNIST(self.path).data(), 28, self.keyword)
