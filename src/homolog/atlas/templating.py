"""Where are the templates of an atlas, have they changed, what is its first page? (Planning asks: no large imports.)"""

from __future__ import annotations

import hashlib
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
# Of an atlas: with it the whole is there, and it says what that was made of.
FIRST_PAGE = "index.html"


def templates_digest() -> str:
    """Hash of all templates, which are no Python: with them an atlas changes, so that its spec names them."""
    digest = hashlib.sha256()
    for path in sorted(TEMPLATES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
