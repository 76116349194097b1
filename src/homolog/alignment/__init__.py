"""How alike are two dictionaries, and how alike would they be by chance: similarities, matchings, nulls, intervals."""
