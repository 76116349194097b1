"""Data sets and toy worlds that networks are trained on."""
