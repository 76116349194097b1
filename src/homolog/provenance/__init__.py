"""What decides that a result is stale: the fingerprint of the code that can reach it, and the versions that made it."""

from homolog.provenance.canonical import canonical_json
from homolog.provenance.code import Code, planned_code

__all__ = ["Code", "canonical_json", "planned_code"]
