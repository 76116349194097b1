"""Networks that others made: how they are called, which hook points they have, and what these read of a corpus."""
