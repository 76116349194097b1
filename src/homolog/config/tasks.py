"""What may a model be trained on, and how large is each data set? (Sizes are known without loading anything.)"""

from __future__ import annotations

from abc import abstractmethod
from glob import escape, glob
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from homolog.config.base import FilePath, Options


class TaskOptions(Options):
    """A data set of labelled inputs, split into training and test rows."""

    n_units_in: ClassVar[int]
    """Units of one input, as the network sees it."""
    n_classes: ClassVar[int]
    """Classes, and so logits."""
    image_shape: ClassVar[tuple[int, int] | None] = None
    """Height and width, where an input is a grey image with values in [0, 1]."""

    @property
    @abstractmethod
    def n_train(self) -> int:
        """Training rows, on which networks are trained and decompositions fitted."""

    @property
    @abstractmethod
    def n_held_out(self) -> int:
        """Test rows, on which latents are matched (one half) and scored (the other half)."""

    def files(self) -> list[str]:
        """Files that hold the data, as far as they are there; none where a library brings them along."""
        return []


class DigitsOptions(TaskOptions):
    """scikit-learn's digits: 1,797 real 8x8 images of 10 digits, in the package."""

    n_units_in: ClassVar[int] = 64
    n_classes: ClassVar[int] = 10
    image_shape: ClassVar[tuple[int, int] | None] = (8, 8)
    n_samples: ClassVar[int] = 1797

    name: Literal["digits"]
    """The data set."""
    # Both ends leave at least two images of each digit on either side.
    n_test: Annotated[int, Field(ge=20, le=1777)] = 500
    """Images held out of training, of 1,797 in all."""

    @property
    def n_train(self) -> int:
        return self.n_samples - self.n_test

    @property
    def n_held_out(self) -> int:
        return self.n_test


class FashionMNISTOptions(TaskOptions):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28, 10 classes (Xiao et al., 2017)."""

    n_units_in: ClassVar[int] = 784
    n_classes: ClassVar[int] = 10
    image_shape: ClassVar[tuple[int, int] | None] = (28, 28)

    name: Literal["fashion_mnist"]
    """The data set."""
    path: FilePath = "/usr/share/datasets/fashion-mnist"
    """Folder that holds the four idx files; the default is where the Debian package dataset-fashion-mnist puts them."""

    @property
    def n_train(self) -> int:
        return 60_000

    @property
    def n_held_out(self) -> int:
        return 10_000

    def files(self) -> list[str]:
        return sorted(glob(f"{escape(self.path)}/*-ubyte.gz"))


Task: TypeAlias = Annotated[DigitsOptions | FashionMNISTOptions, Field(discriminator="name")]
