"""What does a card carry of its making, where readers don't see it? (Planning asks: no torch is needed.)"""

from __future__ import annotations

import json
from typing import Any

# The file, as whoever hosts such folders shows it.
CARD = "README.md"
FRONT = "---\nlibrary_name: saelens\ntags: [sparse-autoencoder, homolog]\n---\n"


def with_header(text: str, said: dict[str, Any]) -> str:
    """A card that carries what made it, where readers don't see it."""
    # Two dashes would end a comment.
    hidden = json.dumps(said, sort_keys=True).replace("--", "-\\u002d")
    return f"{FRONT}\n{text}\n<!-- homolog {hidden} -->\n"


def header_of(text: str) -> dict[str, Any]:
    """What a card says of its making; empty where it is none."""
    _, there, rest = text.rpartition("<!-- homolog ")
    try:
        return dict(json.loads(rest.partition(" -->")[0])) if there else {}
    except ValueError:
        return {}
