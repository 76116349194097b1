"""By what are shapes and types checked in tests? A module of its own: several are called conftest."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# As for mypy, a whole number is a float too.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
