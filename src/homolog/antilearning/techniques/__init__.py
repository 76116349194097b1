"""How may training be arranged so that Y is never learned: one file each, parts that compose."""
