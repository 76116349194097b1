"""What do replicates, independent of each other, say together: a mean of each number, and how sure it is?"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95
# With 2 replicates the t quantile is 12.7: such an interval says nothing.
FEWEST = 3
# What may stand beside a share, as one too: nulls, ceilings, and the same at another time or place.
BESIDE = {f"_{kind}" for kind in ("best", "blurred", "ceiling", "equal", "falls", "initial", "isotropic", "least")}
BESIDE |= {f"_{kind}" for kind in ("null", "planted", "random", "same_size")}


def over_replicates(
    values: Mapping[str, tuple[Sequence[str], np.ndarray]],
    coords: Mapping[str, Any],
    titles: Mapping[str, str] | None = None,
    shares: Collection[str] = (),
) -> xr.Dataset:
    """Means over the dim ``replicate``, each with `<name>_low` and `<name>_high`: 95 % by Student's t.

    `values` have their dims by name, ``replicate`` among them. NaN replicates are left out, number by number (a measure
    may not be defined in one of them); `<name>_low` and `<name>_high` are NaN below 3. `titles` says in words what a
    variable is (attribute ``long_name``), as figures label it. The bounds of `shares`, and of what stands beside these
    under their names (`BESIDE`), are cut at 0 and 1, beyond which no mean of them lies. Raises ValueError for a
    variable without replicates.
    """
    found: dict[str, Any] = {}
    for name, (dims, array) in values.items():
        if "replicate" not in dims:
            raise ValueError(f"{name} has the dims {', '.join(dims)}; replicate is needed among them: name it.")
        mean, low, high = interval(np.moveaxis(np.asarray(array, np.float64), tuple(dims).index("replicate"), 0))
        if any(name == one or (name.startswith(one) and name[len(one) :] in BESIDE) for one in shares):
            low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        left = tuple(dim for dim in dims if dim != "replicate")
        said = {"long_name": titles[name]} if titles and name in titles else {}
        found[name] = (left, mean, said)
        found |= {f"{name}_low": (left, low), f"{name}_high": (left, high)}
    return xr.Dataset(found, dict(coords))


def mean_of_known(values: Any) -> Any:
    """Mean over the first dim of all that isn't NaN; NaN where nothing is."""
    array = np.asarray(values, float)
    known = ~np.isnan(array)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, array, 0).sum(0) / known.sum(0)


def interval(
    values: Float[np.ndarray, "replicates ..."],
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Mean over the first dim, and the bounds of its 95 % interval by Student's t; NaN entries are left out."""
    known = ~np.isnan(values)
    count = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(0) / count
        spread = np.where(known, values - mean, 0.0)
        error = np.sqrt((spread**2).sum(0) / (count - 1) / count)
        half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error
    half = np.where(count >= FEWEST, half, np.nan)
    return np.asarray(mean), np.asarray(mean - half), np.asarray(mean + half)
