"""How does a value become a string that is equal for equal values alone?"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """One string for one value: sorted keys, no spaces, so that equal specs are equal strings and a swap is seen."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def short_hash(value: Any) -> str:
    """Sixteen digits for a value, equal for equal values."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
