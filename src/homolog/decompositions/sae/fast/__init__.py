"""The fast path on the CPU: kernels, the step that they make, and how each recipe chooses its active latents."""
