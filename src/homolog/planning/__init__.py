"""Which jobs does a config ask for, and which slice of it can change the output of each? (Imports no torch.)"""

from homolog.planning.plan import Plan
from homolog.planning.runs import Run

__all__ = ["Plan", "Run"]
