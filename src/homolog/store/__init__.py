"""What passes between rules: one file per artefact, each written whole or not at all, and checked when read."""
