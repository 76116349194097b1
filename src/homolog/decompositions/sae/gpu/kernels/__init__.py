"""Triton kernels of the stacked step, one a file; `gpu.operations` holds the obvious version of each."""
