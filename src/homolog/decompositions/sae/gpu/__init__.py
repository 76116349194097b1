"""The stacked step on a GPU: several members as one program, its operations, and how each recipe uses them."""
