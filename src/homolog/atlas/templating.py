"""Where do the templates of an atlas lie, and have they changed? (Planning asks: nothing large is imported here.)"""

from __future__ import annotations

import hashlib
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


def templates_digest() -> str:
    """Hash of all templates, which are no Python: with them an atlas changes, so that its spec names them."""
    digest = hashlib.sha256()
    for path in sorted(TEMPLATES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
