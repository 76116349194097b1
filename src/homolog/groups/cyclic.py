"""Which frequencies are functions on the integers modulo n made of?"""

from __future__ import annotations

import math

import torch

from homolog.groups.base import Group


def cyclic(order: int) -> Group:
    """Addition modulo `order`: its irreps are frequencies 0, 1, ... up to half the order, with cosine and sine each.

    Raises ValueError below 2.
    """
    if order < 2:
        raise ValueError(f"addition modulo {order} is no group of more than one element: take at least 2.")
    numbers = torch.arange(order)
    table = (numbers[:, None] + numbers) % order
    frequencies = torch.arange(order // 2 + 1, dtype=torch.float64)
    # Their own conjugates are the constant and, of even orders, the alternating sign.
    paired = (frequencies > 0) & (2 * frequencies != order)
    angles = 2 * math.pi * frequencies[:, None] * numbers / order
    characters = torch.where(paired, 2.0, 1.0)[:, None] * torch.cos(angles)
    names = tuple(str(int(one)) for one in frequencies)
    return Group(f"Z{order}", table, names, (1,) * len(names), characters)
