"""Kernels of the fast path, compiled by numba."""
