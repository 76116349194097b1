"""Dictionaries for other tools, each with a card that says which of its latents come back."""
