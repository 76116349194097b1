"""How similar is each direction, or each latent's codes, to each other one, before anything is matched?

Everything is computed in float64, whatever the dtype of the input. Codes are centred here, so no caller has to.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def cosine(a: Float[Tensor, "m dims"], b: Float[Tensor, "n dims"]) -> Float[Tensor, "m n"]:
    """Cosine of each row of `a` (m, dims) with each row of `b` (n, dims), as (m, n). Zero rows have cosine 0 with all.

    Raises ValueError if the rows differ in length.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"cosine compares rows of one space, but a has rows of length {a.shape[1]} and b of {b.shape[1]} "
            f"(shapes {tuple(a.shape)} and {tuple(b.shape)}): compare in a view that both dictionaries share."
        )
    return _unit_rows(a.double()) @ _unit_rows(b.double()).T


def standardise(codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "latents samples"]:
    """Rows of zero mean and unit norm, one per latent: Pearson's r of two sets is `standardise(a) @ standardise(b).T`.

    A latent that is constant up to the rounding of the input's dtype gives a row of zeros: its r with anything is 0.
    """
    wide = codes.double()
    centred = centre(wide)
    # Two neighbouring floats differ by at most eps relative: a latent that varies by less holds nothing but rounding.
    rounding = 2 * torch.finfo(codes.dtype).eps * torch.linalg.vector_norm(wide, dim=0)
    varies = torch.linalg.vector_norm(centred, dim=0) > rounding
    return _unit_rows(torch.where(varies, centred, torch.zeros_like(centred)).T)


def centre(columns: Float[Tensor, "samples columns"]) -> Float[Tensor, "samples columns"]:
    """Columns minus their means. Shifted by the first row before, so that a constant column becomes exactly 0."""
    shifted = columns - columns[:1]
    return shifted - shifted.mean(dim=0)


def _unit_rows(rows: Float[Tensor, "rows dims"]) -> Float[Tensor, "rows dims"]:
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, torch.ones_like(norms))
