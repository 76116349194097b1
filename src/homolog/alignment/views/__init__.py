"""Spaces in which two latents may be compared, each with the symmetry that it needs: one family a file."""
