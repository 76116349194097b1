"""Which group does a name in the config mean?"""

from __future__ import annotations

from homolog.groups.base import Group
from homolog.groups.cyclic import cyclic
from homolog.groups.permutations import alternating, symmetric


def named(name: str) -> Group:
    """``Z113`` (addition modulo 113), ``S5`` or ``A5``. Raises ValueError for any other."""
    if name.startswith("Z") and name[1:].isdecimal():
        return cyclic(int(name[1:]))
    made = {"S5": symmetric, "A5": alternating}
    if name not in made:
        raise ValueError(f"group {name} isn't known; allowed: S5, A5, and Z with a number, such as Z113: name one.")
    return made[name]()
