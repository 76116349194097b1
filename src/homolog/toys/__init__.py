"""Networks so small that hundreds train as one tensor program: those of toy worlds, for analyses that make them."""
