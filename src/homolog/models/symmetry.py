"""Which changes of description leave a network's function alone: the control that every comparison must pass."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

# A nonlinearity, and what its units allow: gelu(-x) != -gelu(x), and gelu(2 x) != 2 gelu(x), but tanh is odd and
# ReLU commutes with positive factors.
NONLINEARITIES: dict[str, tuple[type[nn.Module], str]] = {
    "relu": (nn.ReLU, "permute_scale"),
    "gelu": (nn.GELU, "permute"),
    "tanh": (nn.Tanh, "permute_sign"),
}
# A normalisation without gains, and what a residual stream allows that is read through it alone.
NORMS = {"rmsnorm": "rotate", "layernorm": "rotate_fix_ones"}
PERMUTATIONS = ("permute_scale", "permute", "permute_sign")
ROTATIONS = ("rotate", "rotate_fix_ones")


def random_symmetry(symmetry: str, units: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """A random element of a hook point's symmetry, as its network's `apply_symmetry` takes it.

    Of units: a permutation (units,) and scales (units,). ``permute_scale``: powers of two from 1/8 to 8, so that
    rescaling rounds nothing and the control is exact; ``permute_sign``: signs; ``permute``: ones. Of a residual stream:
    an orthogonal matrix (units, units) in float64, Haar; ``rotate_fix_ones``: Haar among those that keep the vector of
    ones. Raises ValueError for any other symmetry.
    """
    if symmetry in ROTATIONS:
        return (_rotation(units, generator, fix_ones=symmetry == "rotate_fix_ones"),)
    if symmetry not in PERMUTATIONS:
        raise ValueError(
            f"a random symmetry is known for {', '.join((*PERMUTATIONS, *ROTATIONS))}, not for {symmetry!r}: "
            "the control `gauge` is for hidden layers and residual streams."
        )
    permutation = torch.randperm(units, generator=generator)
    scale = torch.ones(units)
    if symmetry == "permute_scale":
        scale = torch.exp2(torch.randint(-3, 4, (units,), generator=generator).float())
    elif symmetry == "permute_sign":
        scale = 1 - 2 * torch.randint(0, 2, (units,), generator=generator).float()
    return permutation, scale


def check_unit_symmetry(symmetry: str, scale: Float[Tensor, " units"]) -> None:
    """Raise ValueError where `scale` is no part of the symmetry: it would change what the network computes."""
    legal = {"permute_scale": scale > 0, "permute": scale == 1, "permute_sign": scale.abs() == 1}[symmetry]
    if not legal.all():
        allowed = {"permute_scale": "positive scales", "permute": "scales of 1", "permute_sign": "scales of 1 and -1"}
        seen = float(scale[~legal][0])
        raise ValueError(
            f"units of symmetry {symmetry} allow {allowed[symmetry]}, but a scale is {seen:g}: the network would "
            "compute something else; draw the map with random_symmetry."
        )


def _rotation(units: int, generator: torch.Generator, fix_ones: bool) -> Float[Tensor, "units units"]:
    """Haar (Mezzadri 2007): QR of a Gaussian with the signs of R's diagonal taken out."""
    free = units - 1 if fix_ones else units
    q, r = torch.linalg.qr(torch.randn(free, free, generator=generator, dtype=torch.float64))
    turned: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    if not fix_ones:
        return turned
    ones = torch.ones(units, 1, dtype=torch.float64)
    # Columns: the vector of ones, normalised, then a basis of all that is orthogonal to it.
    basis = torch.linalg.qr(torch.cat([ones, torch.eye(units, dtype=torch.float64)[:, 1:]], 1))[0]
    rotation: Tensor = basis[:, 1:] @ turned @ basis[:, 1:].T + 1 / units
    return rotation


def permuted(
    values: Tensor, permutation: Int[Tensor, " units"], scale: Float[Tensor, " units"], dim: int, inverse: bool = False
) -> Tensor:
    """Entries along `dim` (0 or 1) in the order of `permutation`, times `scale`, or over it if `inverse`."""
    factor = (1 / scale if inverse else scale).to(values)
    shaped = factor if dim == values.ndim - 1 else factor[:, None]
    return values.index_select(dim, permutation) * shaped
