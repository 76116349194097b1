"""Networks with named hook points."""
