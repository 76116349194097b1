"""What do generated packages look like whose runs fingerprints are held against?"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from homolog.provenance import Code

MODULES = 4
# How one definition finds another one; the last ones can't be followed by name.
FOLLOWED = ("from", "alias", "relative", "dotted", "module", "nested", "face")
DYNAMIC = ("getattr", "globals", "star", "by_string", "lazy")
# The last ones do something when their module is imported.
PLAIN = ("function", "class", "constant", "wrapped")
ACTING = ("computed", "registered", "decorated", "default", "loop", "guarded", "subclass", "patched")


@dataclass(frozen=True)
class Definition:
    """One name of one module: its kind, a number that its value depends on, and what it uses, and how."""

    module: int
    kind: str
    number: int
    uses: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Program:
    """Definitions, of which each uses earlier ones; what the script uses; and the order in which it imports modules."""

    definitions: tuple[Definition, ...]
    entry: tuple[tuple[int, str], ...]
    order: tuple[int, ...]

    def reached(self) -> set[int]:
        """What the script leads to by uses alone, or an import by what it does."""
        found: set[int] = set()
        waiting = [i for i, _ in self.entry] + [i for i, one in enumerate(self.definitions) if one.kind in ACTING]
        while waiting:
            i = waiting.pop()
            if i not in found:
                found.add(i)
                waiting += [j for j, _ in self.definitions[i].uses]
        return found

    def write(self, root: Path) -> None:
        """Write the package `toy` and `script.py`."""
        package = root / "toy"
        (package / "face").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "base.py").write_text(_BASE)
        for module in range(MODULES):
            (package / f"m{module}.py").write_text("\n".join(self._lines(module)))
        names = [f"from toy.m{one.module} import d{i}" for i, one in enumerate(self.definitions)]
        (package / "face" / "__init__.py").write_text("\n".join(names))
        where = {f"d{i}": f"toy.m{one.module}" for i, one in enumerate(self.definitions)}
        (package / "lazy.py").write_text(_LAZY.format(where=where))
        (root / "script.py").write_text("\n".join(self._script()))

    def _script(self) -> Iterator[str]:
        yield from (f"import toy.m{module}" for module in self.order)
        yield "from toy.base import LOG"
        for i, how in self.entry:
            yield from self._imports(i, how, -1)
        yield "def run():"
        yield from (f"    {line}" for line in self._inside(self.entry, -1))
        yield f"    return {self._sum(self.entry, -1)}, list(LOG)"
        yield "RESULT = run()"

    def _lines(self, module: int) -> Iterator[str]:
        yield "from __future__ import annotations"
        yield "from functools import lru_cache"
        yield "from toy.base import LOG, Base, decorate"
        for i, one in enumerate(self.definitions):
            if one.module == module:
                for j, how in one.uses:
                    yield from self._imports(j, how, module)
                yield from self._definition(i, one)

    def _imports(self, i: int, how: str, module: int) -> list[str]:
        """Lines at the top of a module, which definition `i` is used in."""
        where = self.definitions[i].module
        return (
            {
                "from": [f"from toy.m{where} import d{i}"],
                "alias": [f"from toy.m{where} import d{i} as other{i}"],
                "relative": [f"from .m{where} import d{i}" if module >= 0 else f"from toy.m{where} import d{i}"],
                "dotted": [f"import toy.m{where}"],
                "module": [f"from toy import m{where} as module{where}"],
                "getattr": [f"from toy import m{where} as module{where}"],
                "by_string": ["from importlib import import_module"],
                "star": [f"from toy.m{where} import *"],
            }.get(how, [])
            if where != module
            else []
        )

    def _use(self, i: int, how: str, module: int) -> str:
        """An expression for the number behind a definition."""
        where, kind = self.definitions[i].module, self.definitions[i].kind
        if where == module:
            name = f"globals()['d' + '{i}']" if how == "globals" else f"d{i}"
        else:
            name = {
                "alias": f"other{i}",
                "dotted": f"toy.m{where}.d{i}",
                "module": f"module{where}.d{i}",
                "getattr": f"getattr(module{where}, 'd' + '{i}')",
                "by_string": f"getattr(import_module('toy.m{where}'), 'd' + '{i}')",
            }.get(how, f"d{i}")
        if kind in ("constant", "computed", "loop", "guarded", "registered"):
            return name
        return f"{name}().go()" if kind in ("class", "subclass") else f"{name}()"

    def _inside(self, uses: tuple[tuple[int, str], ...], module: int) -> list[str]:
        """Imports inside a function."""
        lines = {
            "nested": "from toy.m{where} import d{i}",
            "face": "from toy.face import d{i}",
            "lazy": "from toy.lazy import d{i}",
            "globals": "from toy.m{where} import d{i}",
        }
        found = [(i, self.definitions[i].module, how) for i, how in uses]
        return [lines[how].format(where=where, i=i) for i, where, how in found if how in lines and where != module]

    def _sum(self, uses: tuple[tuple[int, str], ...], module: int) -> str:
        return " + ".join(["0", *(self._use(i, how, module) for i, how in uses)])

    def _definition(self, i: int, one: Definition) -> list[str]:
        inside, total = self._inside(one.uses, one.module), self._sum(one.uses, one.module)
        body = [*inside, f"return ({one.number} + 3 * ({total})) % 1009"]
        function = [f"def d{i}():", *(f"    {line}" for line in body)]
        method = ["    def go(self):", *(f"        {line}" for line in body)]
        match one.kind:
            case "function":
                return function
            case "wrapped":
                return ["@lru_cache(maxsize=None)", *function]
            case "decorated":
                return [f"@decorate({one.number})", *function]
            case "class":
                return [f"class d{i}:", *method]
            case "subclass":
                return [f"class d{i}(Base):", f"    number = {one.number}", *method]
            case "constant":
                return [f"d{i} = {one.number}"]
            case "default":
                return [*inside, f"def d{i}(x=LOG.append({one.number}) or ({total})):", f"    return x + {one.number}"]
            case "computed":
                return [*inside, f"d{i} = (lambda: {one.number} + {total})()"]
            case "registered":
                return [f"d{i} = {one.number}", f"LOG.append(('registered', d{i}))"]
            case "loop":
                return [f"d{i} = 0", f"for d{i} in range({one.number}, {one.number} + 2):", f"    LOG.append(d{i})"]
            case "guarded":
                return ["try:", f"    d{i} = {one.number} // ({one.number} % 2)",
                        "except ZeroDivisionError:", f"    d{i} = -1"]  # fmt: skip
        return [*function, f"d{i}.before, d{i} = d{i}, lambda: LOG.append({one.number}) or {one.number}"]


_BASE = """LOG = []


class Base:
    number = 0

    def __init_subclass__(cls):
        LOG.append(cls.number)


def decorate(number):
    LOG.append(number)
    return lambda function: function
"""
_LAZY = """from importlib import import_module

WHERE = {where}


def __getattr__(name):
    if name not in WHERE:
        raise AttributeError(name)
    return getattr(import_module(WHERE[name]), name)
"""


@st.composite
def programs(draw: st.DrawFn, ways: tuple[str, ...] = FOLLOWED + DYNAMIC) -> Program:
    """Packages whose definitions use earlier ones, mostly."""
    count = draw(st.integers(3, 9))
    modules = sorted(draw(st.lists(st.integers(0, MODULES - 1), min_size=count, max_size=count)))
    definitions = [draw(a_definition(i, module, ways)) for i, module in enumerate(modules)]
    entry = draw(uses_of(count, tuple(set(ways) - {"globals", "star"})))
    order = draw(st.permutations(range(MODULES)))[: draw(st.integers(0, MODULES))]
    return Program(tuple(definitions), entry, tuple(order))


def uses_of(count: int, ways: tuple[str, ...]) -> st.SearchStrategy[tuple[tuple[int, str], ...]]:
    """Up to three of the first `count` definitions, and how each is found."""
    one = st.tuples(st.integers(0, max(count - 1, 0)), st.sampled_from(sorted(ways)))
    return st.lists(one, min_size=min(count, 1), max_size=min(count, 3), unique_by=lambda use: use[0]).map(tuple)


@st.composite
def a_definition(
    draw: st.DrawFn, i: int, module: int, ways: tuple[str, ...], kinds: tuple[str, ...] = PLAIN + ACTING
) -> Definition:
    """The definition number `i`."""
    return Definition(module, draw(st.sampled_from(kinds)), draw(st.integers(0, 50)), draw(uses_of(i, ways)))


@st.composite
def edits(draw: st.DrawFn, program: Program, ways: tuple[str, ...] = FOLLOWED + DYNAMIC) -> Program:
    """The program with one definition, the script or the order of its imports changed."""
    what = draw(st.sampled_from(("number", "number", "definition", "entry", "order")))
    if what == "entry":
        return replace(program, entry=draw(uses_of(len(program.definitions), tuple(set(ways) - {"globals", "star"}))))
    if what == "order":
        return replace(program, order=tuple(draw(st.permutations(program.order))))
    i = draw(st.integers(0, len(program.definitions) - 1))
    old = program.definitions[i]
    new = replace(old, number=old.number + 1) if what == "number" else draw(a_definition(i, old.module, ways))
    return replace(program, definitions=(*program.definitions[:i], new, *program.definitions[i + 1 :]))


def fingerprint(root: Path) -> str:
    """Of the script of a program."""
    return Code.read(root, [root / "script.py"], package="toy").fingerprint("script.py")


def run(root: Path) -> Any:
    """What the script of a program finds, with what imports have left in the log; or how it fails."""
    with _importing(root):
        names: dict[str, Any] = {"__name__": "script"}
        try:
            exec(compile((root / "script.py").read_text(), "script.py", "exec"), names)
        except Exception as error:
            # Where the package lies is no outcome.
            return repr(error).replace(str(root), "")
        return names["RESULT"]


@contextmanager
def _importing(root: Path) -> Iterator[None]:
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
            del sys.modules[name]
