"""Finite groups whose irreducible characters are known exactly, and how much of a network's weights each one holds."""
