"""Ways to take activations apart into latents: one method a file."""
