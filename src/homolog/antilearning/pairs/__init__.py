"""Which tasks X and Y belong together: one file each."""
