"""Worlds whose features are known: what each is made of, and rows with their true codes drawn from it."""
