"""How does an atlas appear on the disk: whole or not at all, with all that it needs, and saying what it was made of?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from homolog.atlas.templating import FIRST_PAGE, TEMPLATES
from homolog.store.checksums import is_intact
from homolog.store.files import Attributes, atomic, check_header, header

ARTEFACT = "atlas"
_META = "homolog"
# The first one last: it stands for the whole.
PAGES = ("feature.html", "alone.html", FIRST_PAGE)


@contextmanager
def new_site(folder: Path) -> Iterator[Path]:
    """Give a folder beside it; what was written there takes its place in `folder` when the block ends well.

    The first page goes first and comes last, so that a folder that has one is whole. Raises OSError naming the folder
    when it can't be written.
    """
    temporary, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("partial", "old"))
    try:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        yield temporary
        folder.mkdir(exist_ok=True)
        names = sorted(path.name for path in temporary.iterdir())
        for name in (FIRST_PAGE, *names):
            if (folder / name).exists():
                os.replace(folder / name, old / name)
        for name in sorted(names, key=FIRST_PAGE.__eq__):
            os.replace(temporary / name, folder / name)
    except OSError as error:
        raise OSError(f"{folder} can't be written: {error}; no part of it was left behind.") from error
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)


def write_site(folder: Path, tables: Path, title: str, told: dict[str, Any], provenance: Attributes) -> None:
    """Write the pages, style and scripts beside `data`, which is there already.

    `tables` is the library of tables; `told` is what the templates ask for besides the title.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # imported here: only an atlas needs it

    _copy_table_library(tables, folder / "assets")
    for path in TEMPLATES.iterdir():
        if path.suffix in (".js", ".css"):
            shutil.copyfile(path, folder / "assets" / path.name)
    said = header(ARTEFACT, content_of(folder), provenance)
    pages = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    about = {**told, "title": title, "said": json.dumps(said, sort_keys=True)}
    for name in PAGES:
        text = pages.get_template(name).render(about, page=name)
        with atomic(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def table_library() -> Path:
    """DataTables (MIT) with its style, as the package itables brings it; ValueError where that isn't installed."""
    spec = find_spec("itables")
    if spec is None or spec.origin is None:
        raise ValueError("an atlas needs the package itables, which brings its tables: `pip install itables`.")
    return Path(spec.origin).parent / "html" / "dt_bundle.js"


def _copy_table_library(bundle: Path, folder: Path) -> None:
    """It is a module, which a page from disk can only load as text."""
    folder.mkdir(parents=True)
    module = b64encode(bundle.read_bytes()).decode()
    loads = f'window.tables = import("data:text/javascript;base64,{module}");\n'
    (folder / "datatables.js").write_text(loads, encoding="ascii")
    shutil.copyfile(bundle.with_suffix(".css"), folder / "datatables.css")


def content_of(folder: Path) -> str:
    """Hash of all files of an atlas but its pages, which hold it, and hidden ones, which others put there."""
    digest = hashlib.sha256()
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in paths:
        if not name.endswith(".html") and "/." not in f"/{name}":
            digest.update(f"{name} ".encode() + hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()[:16]


def read_header(path: str | Path) -> dict[str, Any]:
    """What an atlas says of its making, from its index.html; ValueError for a page that isn't one."""
    reader = _Meta()
    reader.feed(Path(path).read_text(encoding="utf-8"))
    said = dict(json.loads(reader.said)) if reader.said else {}
    check_header(path, ARTEFACT, said)
    return said


def check_site(path: str | Path) -> None:
    """Raise ValueError when any file of the atlas with this first page isn't what was written, is gone, or is new."""
    folder, said = Path(path).parent, read_header(path)
    for page in PAGES:
        if not (folder / page).is_file() or is_intact(folder / page) is not True:
            raise ValueError(f"{page} isn't what was written.")
    if content_of(folder) != said["content"]:
        raise ValueError(f"files in {folder} aren't what was written.")


class _Meta(HTMLParser):
    """Finds what `<meta name="homolog">` says."""

    said: str = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("name") == _META:
            self.said = given.get("content") or ""
