"""What is a network fed of a folder of images: pixels in [0, 1], of one size, read when they are asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from homolog.corpora.base import Batch, Corpus
from homolog.corpora.paths import IMAGE_SUFFIXES, files_of
from homolog.corpora.split import PARTS, draw_split
from homolog.tasks.base import UNKNOWN

Mode = Literal["RGB", "L"]


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images by name, all below a folder. Where they lie in several folders, each folder is a class.

    Fed as (image, channel, height, width), less `mean` over `std` (by channel) where these are given; alone, or as
    `keyword`, such as pixel_values. All have one size, or are brought to `size` (height, width), bicubically.
    """

    name: ClassVar[str] = "images"
    path: str
    mode: Mode = "RGB"
    size: list[int] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    keyword: str | None = None
    positions: int | None = None
    test_fraction: float = 0.2

    def corpus(self) -> ImageCorpus:
        """Look into every file. Raises ValueError for none, one that is no image, and several sizes."""
        files = files_of(self.path, IMAGE_SUFFIXES)
        if not files:
            raise ValueError(
                f"images: no image at {self.path}: give a folder of {', '.join(IMAGE_SUFFIXES)}, or a glob."
            )
        if self.size is None:
            _check_sizes(files)
        return ImageCorpus(self, files)


class ImageCorpus(Corpus):
    """The images of some files; equal files are on one side of the split."""

    def __init__(self, options: Images, files: list[Path]) -> None:
        self.options, self.files, self.positions = options, files, options.positions
        seen: dict[bytes, int] = {}
        identity = np.array([seen.setdefault(hashlib.sha256(file.read_bytes()).digest(), len(seen)) for file in files])
        drawn = draw_split(identity, np.ones(len(files), int), options.test_fraction, f"images ({options.path})")
        parts = torch.tensor(PARTS, dtype=torch.int8)[torch.from_numpy(drawn).long()]
        self.split, self.half = parts.unbind(1)
        folders = sorted({file.parent for file in files})
        number = {folder: UNKNOWN if len(folders) == 1 else index for index, folder in enumerate(folders)}
        self.label = torch.tensor([number[file.parent] for file in files])

    def batches(self, inputs: Int[Tensor, " inputs"]) -> Batch:
        pixels = torch.stack([self._pixels(self.files[number]) for number in inputs.tolist()])
        return pixels if self.options.keyword is None else {self.options.keyword: pixels}

    def _pixels(self, file: Path) -> Float[Tensor, "channels height width"]:
        options = self.options
        try:
            with Image.open(file) as image:
                _check_depth(image, file)
                seen = image.convert(options.mode)
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} can't be read as an image ({error}): mend it or take it away.") from error
        if options.size is not None:
            seen = seen.resize((options.size[1], options.size[0]), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(seen, np.float32) / 255)
        pixels = pixels[None] if options.mode == "L" else pixels.permute(2, 0, 1)
        for values, operation in ((options.mean, torch.sub), (options.std, torch.div)):
            if values is not None:
                pixels = operation(pixels, torch.tensor(values)[:, None, None])
        return pixels.contiguous()


def _check_depth(image: Image.Image, file: Path) -> None:
    """Raises ValueError for pixels of more than 8 bits, which a conversion would cut off at 255."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{file} has pixels of mode {image.mode}; allowed: those of 8 bits; save it with these.")


def _check_sizes(files: list[Path]) -> None:
    """Raises ValueError for a file that is no image, and for the first one of another size than the first."""
    first: tuple[int, int] | None = None
    for file in files:
        try:
            with Image.open(file) as image:
                width, height = image.size
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} can't be read as an image ({error}): mend it or take it away.") from error
        first = first or (height, width)
        if (height, width) != first:
            raise ValueError(
                f"images of several sizes: {files[0]} is {first[0]}x{first[1]} (height, width), {file} "
                f"{height}x{width}: set `size: [height, width]`, to which all are brought."
            )
