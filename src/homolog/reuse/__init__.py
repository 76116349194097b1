"""Pairs of tasks, of which the second may be solved by circuits that the first has left."""
