"""How do numbers become files that a page from disk can load, a few at a time?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

# Significant digits.
DIGITS = 3


def write_script(folder: Path, name: str, value: Any) -> None:
    """Write `<name>.js`, a script that hands a value to the atlas: pages from disk may load scripts, and nothing else.

    Text is data in it, with all that isn't ASCII escaped; NaN is a number, as in JavaScript.
    """
    path = folder / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps(value, separators=(",", ":"))
    path.write_text(f"atlas.take({json.dumps(name)},{told});\n", encoding="ascii")


def short(values: np.ndarray) -> np.ndarray:
    """The same numbers with three significant digits, as float64, of which JSON is as short."""
    values = np.asarray(values, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        # Divided by whole powers of ten, which are exact: so is 0.1 then the 0.1 that JSON means.
        scale = 10.0 ** np.abs(digits)
        rounded = np.where(digits >= 0, np.round(values * scale) / scale, np.round(values / scale) * scale)
    return np.where(np.isfinite(rounded), rounded, np.where(values == 0, 0.0, values))
