"""Which random numbers does each purpose draw: one independent stream per key, so that no two things share an init."""

from __future__ import annotations

import hashlib
import json

import torch


def stream(*key: str | int | float | None, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator seeded by a hash of `key`, e.g. ``("init", "digits_mlp", 0)``: equal keys, equal numbers.

    The key names the purpose and everything that the draw belongs to (model, run seed, hook point, decomposition,
    member seed, rows). "SAE seed 0" in two runs is therefore not the same initialisation: a shared one has made
    published dictionaries look stable.
    """
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8).digest()
    # 63 bits: torch takes a signed 64-bit seed.
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "big") >> 1)
