"""How often would each measure have been fooled, in worlds in which it is known what is stable?"""

from homolog.analyses.traps.analysis import traps

__all__ = ["traps"]
