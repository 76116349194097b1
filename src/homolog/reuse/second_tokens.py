"""Does a network that knows a group's operation use it again for new tokens?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from homolog.groups.base import Group, energies
from homolog.groups.named import named
from homolog.reuse.base import ReusePair
from homolog.reuse.pairs_of_tokens import common_pairs, composing_stage
from homolog.toys.composing import CORE, Composing, split_pairs
from homolog.toys.training import Parameters

# Irreps of largest energy that count as those in use.
LARGEST = 8


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """All but the embeddings is handed on. The circuit: energy of new embeddings in irreps that the first use most."""
    group = named(options["group"])
    network = Composing(group.order, group.order, options["width"], options["combine"], group.commutative)
    splits = [split_pairs(group, options[share], members, *key, share) for share in ("share", "new_share")]
    common = common_pairs(group.order, members, *key)
    first, second = (composing_stage(network, split, common, options) for split in splits)
    return ReusePair(
        first=first,
        second=second,
        core=CORE,
        chance=1 / group.order,
        learned=options["learned"],
        circuit=partial(in_irreps_of_first, group=group),
        circuit_null=float(group.random_shares.sort().values[-LARGEST:].sum()),
    )


def in_irreps_of_first(first: Parameters, now: Parameters, group: Group) -> Float[Tensor, " members"]:
    """Energy of the new left embeddings in the `LARGEST` irreps that the first ones have most of."""
    of_first, of_now = (energies(group, one["left"]) for one in (first, now))
    used = (of_first - group.random_shares).topk(min(LARGEST, len(group.irreps)), dim=1).indices
    return of_now.gather(1, used).sum(1)
