"""Which garment is this: Fashion-MNIST's 70,000 28x28 images (Xiao et al., 2017), read from its four IDX files."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from homolog.streams import stream
from homolog.tasks.base import HALF_A, HALF_B, TEST, TRAIN, Data

_WAY_OUT = (
    "install the Debian package dataset-fashion-mnist (apt-get install dataset-fashion-mnist), or download the four "
    "*-ubyte.gz files of Fashion-MNIST and set `path` in the model's task to their folder"
)


@dataclass(frozen=True)
class FashionMNIST:
    """Inputs (70000, 784) in [0, 1]; the publisher's 60,000 train and 10,000 test rows, halves drawn at random."""

    path: str = "/usr/share/datasets/fashion-mnist"

    def data(self) -> Data:
        parts = [self._read(prefix) for prefix in ("train", "t10k")]
        images = torch.cat([torch.as_tensor(images) for images, _ in parts]).flatten(1)
        labels = torch.cat([torch.as_tensor(labels) for _, labels in parts]).long()
        n_train = len(parts[0][1])
        split = torch.full((len(labels),), TRAIN, dtype=torch.int8)
        split[n_train:] = TEST
        half = torch.empty(len(labels), dtype=torch.int8)
        generator = stream("split", "fashion_mnist")
        for start, stop in ((0, n_train), (n_train, len(labels))):
            rows = start + torch.randperm(stop - start, generator=generator)
            half[rows[: len(rows) // 2]] = HALF_A
            half[rows[len(rows) // 2 :]] = HALF_B
        return Data(images.float() / 255, labels, split, half, n_classes=10)

    def _read(self, prefix: str) -> tuple[UInt8[np.ndarray, "samples 28 28"], UInt8[np.ndarray, " samples"]]:
        folder = Path(self.path)
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        if images.shape != (len(labels), 28, 28) or labels.ndim != 1:
            raise ValueError(
                f"{folder}: {prefix} images of shape {images.shape} and labels of shape {labels.shape} don't belong "
                f"together, 28x28 pixels and one label each: {_WAY_OUT}."
            )
        return images, labels


def read_idx(path: Path) -> UInt8[np.ndarray, ...]:
    """Read one gzipped IDX file of bytes (format: LeCun et al., the MNIST page): magic, sizes, data."""
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise ValueError(f"Fashion-MNIST: {path} isn't there: {_WAY_OUT}.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"Fashion-MNIST: {path} can't be read as gzip ({error}): {_WAY_OUT}.") from error
    ndim = content[3] if len(content) > 3 and content[:3] == b"\x00\x00\x08" else 0
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    if not ndim or len(content) != 4 + 4 * ndim + prod(shape):
        raise ValueError(f"Fashion-MNIST: {path} is no IDX file of bytes, or is truncated: {_WAY_OUT}.")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape).copy()
