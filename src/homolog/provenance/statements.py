"""What stands in one file: its top-level statements, what each binds and uses, and which of them do more than bind?

A statement is *plain* if running it does nothing but bind its names: a function, a class or a constant. Every other one
(a call, a loop, a decorator that may register, a class whose body computes) has an *effect*: it counts whenever the
module is imported, whether or not anybody uses what it binds. In doubt a statement has an effect.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from homolog.provenance.plain import Definition, Plain, dotted
from homolog.provenance.uses import Imports, Uses

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Statement:
    """One top-level statement; of an import, one name that it brings in.

    `text` hashes its syntax tree without docstrings. `uses` are dotted names such as ``np.sum``, `hints` those in
    annotations that nothing evaluates. `imports` are (bound name, module, name in it or ""), and `modules` what they
    import. `strings` may name a module or library. `dynamic` is (what reaches code by other ways than its name, how far
    that goes), or empty. Of a class, `bases` are told, and whether it acts on its subclasses, or may: then these have
    effects, too.
    """

    text: str
    binds: list[str]
    effect: bool
    uses: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    imports: list[list[str]] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    dynamic: list[str] = field(default_factory=list)
    is_class: bool = False
    bases: list[str] = field(default_factory=list)
    acts_on_subclasses: bool = False

    @property
    def is_import(self) -> bool:
        """Whether it is an import, rather than something that holds one."""
        return bool(self.imports) and not self.uses and all(bound in self.binds for bound, _, _ in self.imports)


@dataclass(frozen=True)
class Module:
    """One file: its dotted name, its hash as it lies there, its statements."""

    name: str
    digest: str
    statements: list[Statement]
    mistake: str = ""
    """What is wrong with its syntax, which matters to who imports it."""

    @cached_property
    def bound(self) -> dict[str, list[int]]:
        """The numbers of the statements that bind each name."""
        found: dict[str, list[int]] = {}
        for i, statement in enumerate(self.statements):
            for name in statement.binds:
                found.setdefault(name, []).append(i)
        return found

    def as_json(self) -> list[Any]:
        return [self.name, self.digest, [list(vars(one).values()) for one in self.statements], self.mistake]

    @classmethod
    def from_json(cls, value: list[Any]) -> Module:
        name, digest, statements, mistake = value
        return cls(name, digest, [Statement(*one) for one in statements], mistake)


def source_digest(source: bytes) -> str:
    """Hash of a file as it lies there."""
    return hashlib.sha256(source).hexdigest()[:16]


def read_module(name: str, package: str, source: bytes, path: Path) -> Module:
    """Take a file apart; imports from `package` are its own."""
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        told = f"{error.msg}, so it can't be told what depends on this file: mend the syntax."
        return Module(name, source_digest(source), [], f"{path}, line {error.lineno}: {told}")
    for node in (tree, *_statements_within(tree)):
        if isinstance(node, _Documented) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return Module(name, source_digest(source), list(_Reader(inside, package, tree).statements(tree)))


class _Reader:
    """Turns the top-level nodes of one module into statements."""

    def __init__(self, inside: str, package: str, tree: ast.Module) -> None:
        self._package, self._imports = package, Imports(inside)
        futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        self._futures = sorted(alias.name for node in futures for alias in node.names)
        # Names that come from outside the package, and those that a builtin can't mean here.
        foreign: dict[str, str] = {}
        own: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for bound, module, name in self._imports.names(node):
                    if module.partition(".")[0] == package:
                        own.add(bound)
                    else:
                        foreign[bound] = f"{module}.{name}" if name else module
            else:
                own |= set(_bound(node))
        self._plain = Plain(foreign, own, "annotations" in self._futures)

    def statements(self, tree: ast.Module) -> Iterator[Statement]:
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    one = ast.copy_location(type(node)(**{**vars(node), "names": [alias]}), node)
                    star = alias.name == "*"
                    imports = self._imports.names(one)
                    yield Statement(
                        text=self._hash(one),
                        binds=[bound for bound, _, _ in imports],
                        effect=star,
                        imports=imports,
                        modules=self._imports.modules(one),
                        dynamic=["a star import", "module"] if star else [],
                    )
            elif not _never_runs(node):
                yield self._statement(node)

    def _statement(self, node: ast.stmt) -> Statement:
        found = Uses(self._package, self._imports, self._plain)
        found.visit(node)
        of_class: dict[str, Any] = {}
        if isinstance(node, ast.ClassDef):
            bases = [name for base in node.bases if (name := dotted(base))]
            of_class = {"is_class": True, "bases": bases, "acts_on_subclasses": _acts_on_subclasses(node)}
        return Statement(
            text=self._hash(node),
            binds=sorted(set(_bound(node))),
            effect=not self._plain.is_plain(node),
            uses=sorted(found.uses),
            hints=sorted(found.hints - found.uses),
            imports=found.imports,
            modules=list(dict.fromkeys(found.modules)),
            strings=sorted(found.strings),
            dynamic=found.dynamic,
            **of_class,
        )

    def _hash(self, node: ast.stmt) -> str:
        # What is imported from __future__ changes the meaning of the whole file.
        return hashlib.sha256(f"{self._futures}{ast.dump(node)}".encode()).hexdigest()[:16]


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a top-level statement binds; not those of function and class bodies in it."""
    if isinstance(node, Definition | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
        yield from _bound_within(node)
    elif not isinstance(node, ast.Lambda):
        yield from _bound_within(node)


def _bound_within(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _acts_on_subclasses(node: ast.ClassDef) -> bool:
    names = {child.name for child in node.body if isinstance(child, Definition)}
    return bool(node.keywords) or "__init_subclass__" in names or not all(map(dotted, node.bases))


def _never_runs(node: ast.stmt) -> bool:
    """``if TYPE_CHECKING:`` without an else, which only type checkers read."""
    return isinstance(node, ast.If) and not node.orelse and dotted(node.test).endswith("TYPE_CHECKING")


def _statements_within(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node, however deep: none stands inside an expression."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, part, ()):
            yield child
            yield from _statements_within(child)


def _has_docstring(node: ast.AST) -> bool:
    body: Iterable[ast.stmt] = getattr(node, "body", ())
    first = next(iter(body), None)
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
