"""Which latents of one dictionary can hardly be told apart: those that fire together."""

from __future__ import annotations

import torch
from jaxtyping import Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from homolog.comparing.codes import correlations
from homolog.comparing.views import Side

# Two latents whose codes correlate more are taken for one thing that was cut in two.
TOGETHER = 0.9


def blocks(side: Side) -> Int[Tensor, " latents"]:
    """The block of each latent, numbered by its first latent; most are blocks of one. -1 where it isn't live.

    Latents of a block are linked by correlations of their codes above 0.9 in absolute value, on the half of the rows
    where pairs are chosen. Which one of a block is matched is arbitrary: take the block as the unit. Near-degenerate
    ranks of ordered methods, whose codes needn't correlate, aren't found here: that takes refits.
    """
    linked = (correlations(side.codes["match"], side.codes["match"]).abs_() > TOGETHER).numpy()
    _, label = connected_components(sparse.csr_array(linked), directed=False)
    first = torch.full((side.latents,), side.latents).scatter_reduce(
        0, torch.from_numpy(label).long(), torch.arange(side.latents), "amin"
    )
    return torch.where(side.live, first[torch.from_numpy(label).long()], -1)
