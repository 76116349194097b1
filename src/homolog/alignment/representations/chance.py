"""What would a similarity be if the samples of the two sides had nothing to do with each other?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import SupportsFloat

import torch
from jaxtyping import Float, Real
from torch import Tensor

from homolog.alignment.representations.inputs import Array, FewSamplesWarning


def permutation_null(
    measure: Callable[[Array, Array], SupportsFloat],
    x: Real[Array, "samples units_x"],
    y: Real[Array, "samples units_y"],
    draws: int,
    generator: torch.Generator,
) -> Float[Tensor, " draws"]:
    """`measure(x, y)` with the samples of y permuted at random, `draws` times.

    What the numbers of samples and units give by themselves: each side keeps its own structure. The observed value is
    beyond chance with p = (1 + number of draws at least as large) / (draws + 1), exact if samples are exchangeable
    (tokens of one text aren't: permute documents). Raises ValueError for no draws, or as the measure does.
    """
    if draws < 1:
        raise ValueError(f"A permutation null needs draws, but draws = {draws}: 99 give p-values down to 0.01.")
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewSamplesWarning)  # This is the way out that it names.
        for _ in range(draws):
            order = torch.randperm(len(y), generator=generator, device=generator.device)
            permuted = y[order.to(y.device)] if isinstance(y, Tensor) else y[order.cpu().numpy()]
            values.append(float(measure(x, permuted)))
    return torch.tensor(values, dtype=torch.float64)
