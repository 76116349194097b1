"""What people look at: figures as PDF, and the same as text and CSV."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from homolog.provenance.canonical import short_hash
from homolog.store.checksums import ATTRIBUTE, UNSEALED
from homolog.store.files import Attributes, atomic


def write_figures(path: str | Path, figures: list[Figure], provenance: Attributes) -> None:
    """Write figures as pages of one vector PDF, what made them in its keywords. No date: equal in, equal out."""
    spec, inputs = (short_hash(json.loads(str(provenance[name]))) for name in ("spec", "inputs"))
    made_by = f"homolog {provenance['homolog_version']}, commit {provenance['git_commit']}, code {provenance['code']}"
    keywords = f"{made_by}, spec {spec}, inputs {inputs}, {ATTRIBUTE} {UNSEALED}"
    buffer = BytesIO()
    # Type 42: text that can be searched and edited. It is taken when a file is written, not when a figure is drawn.
    metadata = {"Keywords": keywords, "CreationDate": None}
    with rc_context({"pdf.fonttype": 42}), PdfPages(buffer, metadata=metadata) as pdf:
        for figure in figures:
            pdf.savefig(figure)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
