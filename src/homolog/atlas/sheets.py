"""How do many small images become few files of which a page shows places?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

# Images on a sheet that no page has to itself.
PER_SHEET = 100
# Images beside each other.
COLUMNS = 10


def write_sheets(
    folder: Path,
    images: Float[np.ndarray, "images height width"],
    per_sheet: int,
    colours: str,
    limits: tuple[float, float],
) -> None:
    """Write `<number>.png`, so many images on each, ten in a row; matplotlib's `colours` between the limits."""
    for start in range(0, len(images), per_sheet):
        write_sheet(folder / f"{start // per_sheet}.png", images[start : start + per_sheet], colours, limits)


def write_sheet(
    path: Path, images: Float[np.ndarray, "images height width"], colours: str, limits: tuple[float, float]
) -> None:
    """Write one sheet."""
    from matplotlib.image import imsave  # imported here: who has no images needs no colours

    count, height, width = images.shape
    lines = -(-count // COLUMNS)
    places = np.zeros((lines * COLUMNS, height, width), np.float32)
    places[:count] = images
    sheet = places.reshape(lines, COLUMNS, height, width).swapaxes(1, 2).reshape(lines * height, COLUMNS * width)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version that matplotlib would write into it: equal in, equal out.
    no_version: dict[str, Any] = {"Software": None}
    imsave(path, sheet, cmap=colours, vmin=limits[0], vmax=limits[1], metadata=no_version)
