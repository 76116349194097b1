"""How similar are two representations as wholes, or all pairs of many: one question a file, all of them float64."""
