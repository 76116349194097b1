"""Which sets of moduli make a pair of tasks? Without torch, so that planning may ask."""

from __future__ import annotations

from collections.abc import Sequence

FEWEST_NUMBERS = 3


def check_moduli(seen: Sequence[int], unseen: Sequence[int]) -> None:
    """Raises ValueError for a p that is named twice or on both sides, is below 3, or has no token that X trains."""
    every = [*seen, *unseen]
    if not seen or not unseen:
        raise ValueError("modular_p: X and Y need at least one p each; name some in ps and in unseen.")
    if twice := sorted({p for p in every if every.count(p) > 1}):
        where = "in ps and in unseen" if set(seen) & set(unseen) else "twice"
        raise ValueError(
            f"modular_p: p = {twice[0]} stands {where}; each p may stand once, in one of both, or X would teach Y: "
            "take it out of one place."
        )
    if small := [p for p in every if p < FEWEST_NUMBERS]:
        raise ValueError(f"modular_p: p = {small[0]} is below {FEWEST_NUMBERS}, the least allowed: leave it out.")
    if large := [p for p in unseen if p >= max(seen)]:
        raise ValueError(
            f"modular_p: unseen p = {large[0]} isn't in the tokens that X trains, the numbers 0 to {max(seen) - 1}; "
            "name an unseen p below the largest of ps, or a larger one there."
        )
