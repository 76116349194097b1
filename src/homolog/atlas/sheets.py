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


def write_sheet(
    path: Path, images: Float[np.ndarray, "images height width channels"], colours: str, limits: tuple[float, float]
) -> None:
    """Write one sheet, ten images in a row: of one channel by matplotlib's `colours` between the limits, or RGB."""
    from matplotlib.image import imsave  # imported here: who has no images needs no colours

    count, height, width, channels = images.shape
    lines = -(-count // COLUMNS)
    places = np.zeros((lines * COLUMNS, height, width, channels), np.float32)
    places[:count] = images
    sheet = places.reshape(lines, COLUMNS, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(lines * height, COLUMNS * width, channels)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version that matplotlib would write into it: equal in, equal out.
    no_version: dict[str, Any] = {"Software": None}
    if channels == 1:
        imsave(path, sheet[..., 0], cmap=colours, vmin=limits[0], vmax=limits[1], metadata=no_version)
    else:
        imsave(path, sheet, metadata=no_version)
