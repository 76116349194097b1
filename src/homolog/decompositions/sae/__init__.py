"""Sparse autoencoders: dictionaries with more latents than units, few of them active at once."""
