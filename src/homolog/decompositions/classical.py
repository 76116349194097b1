"""What do the methods that scikit-learn fits have in common?"""

from __future__ import annotations

from dataclasses import replace

import torch

from homolog.decompositions.base import Member
from homolog.decompositions.samples import Samples
from homolog.dictionary import Dictionary, quality
from homolog.streams import stream


def random_state(member: Member) -> int:
    """The member's own seed, as scikit-learn takes it (32 bits)."""
    generator = stream("init", *member.key, member.seed, member.rows)
    return int(torch.randint(2**32, (), generator=generator))


def measured(dictionary: Dictionary, samples: Samples) -> Dictionary:
    """`dictionary` with what it does on `samples`: firing rates, root mean square codes as importance, FVU and L0."""
    seen = quality(dictionary, samples.blocks(), samples.mean)
    like = dictionary.directions
    return replace(
        dictionary,
        firing_rate=seen.firing_rate.to(like),
        importance=seen.root_mean_square.to(like),
        member=dictionary.member | {"fvu": seen.fvu, "l0": seen.l0},
    )
