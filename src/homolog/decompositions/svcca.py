"""SVCCA with a partner hook point: which directions that carry variance are most correlated between two layers?"""

from __future__ import annotations

from typing import ClassVar

from homolog.decompositions.base import Member
from homolog.decompositions.cca import CCA
from homolog.decompositions.moments import Moments


class SVCCA(CCA):
    """CCA between the leading principal components that hold `variance` of each side's variance (Raghu et al., 2017).

    Plain CCA gives a direction of almost no variance the same vote as the first one. Variance is counted in squared
    singular values, as the paper says it.
    """

    name: ClassVar[str] = "SVCCA"

    def kept(self, own: Moments, member: Member) -> int:
        share = own.principal[0].square().cumsum(0)
        # Up to the first component with which the share is reached; a share of 1 is only reached up to rounding.
        needed = int((share < member.options["variance"] * share[-1] * (1 - 1e-12)).sum()) + 1
        return min(needed, own.rank)

    def _too_many(self, n_latents: int, kept_x: int, kept_y: int) -> str:
        return (
            f"SVCCA can find at most {min(kept_x, kept_y)} latents here: that many principal components hold the "
            f"variance asked for ({kept_x} of the activations, {kept_y} of the partner's), but n_latents = "
            f"{n_latents}: lower n_latents, or raise variance."
        )
