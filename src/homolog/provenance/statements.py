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

from homolog.provenance.libraries import LIBRARIES

# As decorators, and `field` in a class body, these run nothing of what they are given.
_WRAPPERS = {
    *("property", "staticmethod", "classmethod", "abc.abstractmethod", "contextlib.contextmanager"),
    *("dataclasses.dataclass", "dataclasses.field", "functools.cache", "functools.cached_property"),
    *("functools.lru_cache", "functools.total_ordering", "functools.wraps", "numba.jit", "numba.njit"),
    *("torch.inference_mode", "torch.no_grad", "triton.jit", "typing.final", "typing.overload"),
    "typing.runtime_checkable",
}
# What reaches code by other ways than by its name: in its own module, or anywhere.
_DYNAMIC = {
    **dict.fromkeys(("globals", "locals", "vars", "exec", "eval", "compile", "__import__"), "module"),
    **dict.fromkeys(("import_module", "get_type_hints", "__annotations__"), "module"),
    **dict.fromkeys(("__subclasses__", "__globals__", "_getframe", "currentframe", "get_objects"), "anywhere"),
    **dict.fromkeys(("run_path", "run_module", "exec_module", "load_module", "reload", "getmembers"), "anywhere"),
}
# Methods of these names are common (`model.eval()`), so only the bare builtin counts.
_ONLY_BARE = {"globals", "locals", "vars", "exec", "eval", "compile"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef
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
    for node in ast.walk(tree):
        if isinstance(node, _Documented) and _has_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return Module(name, source_digest(source), list(_Reader(inside, package, tree).statements(tree)))


class _Reader:
    """Turns the top-level nodes of one module into statements."""

    def __init__(self, inside: str, package: str, tree: ast.Module) -> None:
        self.inside, self.top = inside, package
        futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        self.futures = sorted(alias.name for node in futures for alias in node.names)
        self.postponed = "annotations" in self.futures
        # Names that come from outside the package, and those that a builtin can't mean here.
        self.foreign: dict[str, str] = {}
        self.own: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for bound, module, name in self._imports(node):
                    if module.partition(".")[0] == self.top:
                        self.own.add(bound)
                    else:
                        self.foreign[bound] = f"{module}.{name}" if name else module
            else:
                self.own |= set(_bound(node))

    def statements(self, tree: ast.Module) -> Iterator[Statement]:
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    one = ast.copy_location(type(node)(**{**vars(node), "names": [alias]}), node)
                    star = alias.name == "*"
                    imports = self._imports(one)
                    yield Statement(
                        text=self._hash(one),
                        binds=[bound for bound, _, _ in imports],
                        effect=star,
                        imports=imports,
                        modules=self._modules(one),
                        dynamic=["a star import", "module"] if star else [],
                    )
            elif not _never_runs(node):
                yield self._statement(node)

    def _statement(self, node: ast.stmt) -> Statement:
        found = _Uses(self)
        found.visit(node)
        of_class: dict[str, Any] = {}
        if isinstance(node, ast.ClassDef):
            bases = [name for base in node.bases if (name := _dotted(base))]
            of_class = {"is_class": True, "bases": bases, "acts_on_subclasses": _acts_on_subclasses(node)}
        return Statement(
            text=self._hash(node),
            binds=sorted(set(_bound(node))),
            effect=not self._plain(node),
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
        return hashlib.sha256(f"{self.futures}{ast.dump(node)}".encode()).hexdigest()[:16]

    def _imports(self, node: ast.Import | ast.ImportFrom) -> list[list[str]]:
        if isinstance(node, ast.ImportFrom):
            base = self._base(node)
            return [[alias.asname or alias.name, base, alias.name] for alias in node.names]
        # ``import a.b`` binds a; ``import a.b as c`` binds a.b.
        return [[alias.asname or (top := alias.name.partition(".")[0]), alias.name if alias.asname else top, ""]
                for alias in node.names]  # fmt: skip

    def _modules(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.ImportFrom):
            base = self._base(node)
            return [base, *(f"{base}.{alias.name}" for alias in node.names)]
        return [alias.name for alias in node.names]

    def _base(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        parts = self.inside.split(".")
        parents = parts[: len(parts) - node.level + 1]
        return ".".join([*parents, *([node.module] if node.module else [])])

    # Does it do more than bind its names?

    def _plain(self, node: ast.stmt) -> bool:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._plain_function(node)
            case ast.ClassDef():
                bases = all(_dotted(base) for base in node.bases) and not node.keywords
                return bases and self._wrapped(node.decorator_list) and all(map(self._plain_member, node.body))
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                # Only a star import reads it, and takes the module whole.
                return not any(isinstance(child, ast.Call) for child in ast.walk(node))
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                return all(map(_is_target, names)) and len(names) == len(values) and all(map(self._inert, values))
            case ast.Assign():
                return all(map(_is_target, node.targets)) and self._inert(node.value)
            case ast.AnnAssign():
                hint = self.postponed or self._inert_hint(node.annotation)
                return hint and _is_target(node.target) and (node.value is None or self._inert(node.value))
            case ast.Pass():
                return True
        return False

    def _plain_function(self, node: Definition, of_class: bool = False) -> bool:
        arguments = node.args
        defaults = [default for default in (*arguments.defaults, *arguments.kw_defaults) if default]
        hints = [] if self.postponed else _hints(node)
        decorators = [one for one in node.decorator_list if not (of_class and _is_accessor(one))]
        return self._wrapped(decorators) and all(map(self._inert, defaults)) and all(map(self._inert_hint, hints))

    def _plain_member(self, node: ast.stmt) -> bool:
        """Of a class body: a method, or a constant that no descriptor can hide behind."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._plain_function(node, of_class=True)
            case ast.Assign():
                return all(map(_is_target, node.targets)) and _is_constant(node.value)
            case ast.AnnAssign():
                value = node.value
                hint = self.postponed or self._inert_hint(node.annotation)
                return hint and (value is None or _is_constant(value) or self._is_field(value))
            case ast.Pass():
                return True
        return False

    def _is_field(self, value: ast.expr) -> bool:
        """``field(default_factory=dict)`` of a dataclass."""
        match value:
            case ast.Call(args=[], keywords=keywords):
                return self._is_wrapper(value.func) and all(self._inert(keyword.value) for keyword in keywords)
        return False

    def _wrapped(self, decorators: list[ast.expr]) -> bool:
        for decorator in decorators:
            called = decorator if isinstance(decorator, ast.Call) else None
            function = called.func if called else decorator
            arguments = [*called.args, *(keyword.value for keyword in called.keywords)] if called else []
            if not self._is_wrapper(function) or not all(map(self._inert, arguments)):
                return False
        return True

    def _is_wrapper(self, function: ast.expr) -> bool:
        root, dot, rest = _dotted(function).partition(".")
        return root not in self.own and f"{self.foreign.get(root, root)}{dot}{rest}" in _WRAPPERS

    def _inert(self, node: ast.expr) -> bool:
        """Whether evaluating it runs no code of the package."""
        match node:
            case ast.Name():
                return True
            case ast.Attribute():
                root = _dotted(node).partition(".")[0]
                return root in self.foreign and root not in self.own
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                return all(map(self._inert, parts))
            case ast.Dict():
                return None not in node.keys and all(map(self._inert, (*filter(None, node.keys), *node.values)))
            case ast.Lambda():
                return all(map(self._inert, (*node.args.defaults, *filter(None, node.args.kw_defaults))))
        return _is_constant(node)

    def _inert_hint(self, node: ast.expr) -> bool:
        """Likewise of an annotation, in which types are often chosen from and joined."""
        match node:
            case ast.Subscript():
                own = _dotted(node.value).partition(".")[0] in self.own
                return not own and self._inert_hint(node.value) and self._inert_hint(node.slice)
            case ast.BinOp(op=ast.BitOr()):
                return self._inert_hint(node.left) and self._inert_hint(node.right)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return all(map(self._inert_hint, parts))
        return self._inert(node)


class _Uses(ast.NodeVisitor):
    """Collects what one statement uses: dotted names, imports inside it, strings, and what is dynamic."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.uses: set[str] = set()
        self.hints: set[str] = set()
        self.imports: list[list[str]] = []
        self.modules: list[str] = []
        self.strings: set[str] = set()
        self.dynamic: list[str] = []

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = _dotted(node)
        if name:
            self._use(name)
        else:
            self._mark(node.attr, bare=False)
            self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.uses |= set(node.names)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        own = isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
        if own and _dotted(node.value) == "sys.modules":
            self._dynamic("sys.modules[__name__]", "module")
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        # `vars(x)` is that of x, and tells of a module only where x is one, which is handed on then.
        if not (_dotted(node.func) == "vars" and node.args):
            self.visit(node.func)
        for argument in (*node.args, *node.keywords):
            self.visit(argument)

    def visit_Import(self, node: ast.Import) -> None:
        self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._import(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (node.value in LIBRARIES or node.value.startswith(f"{self.reader.top}.")):
            self.strings.add(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: Definition) -> None:
        # Decorators such as `singledispatch`'s read annotations, whatever is postponed.
        unread = self.reader.postponed and self.reader._wrapped(node.decorator_list)
        hints = _hints(node)
        if unread:
            seen = _Uses(self.reader)
            for hint in hints:
                seen.visit(hint)
            self.hints |= seen.uses
        hidden = {id(hint) for hint in hints} if unread else set()
        for child in ast.iter_child_nodes(node):
            self._visit_but(child, hidden)

    def _visit_but(self, node: ast.AST, hidden: set[int]) -> None:
        if id(node) in hidden:
            return
        if isinstance(node, ast.arguments | ast.arg):
            for child in ast.iter_child_nodes(node):
                self._visit_but(child, hidden)
        else:
            self.visit(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.imports += self.reader._imports(node)
        self.modules += self.reader._modules(node)
        for alias in node.names:
            self._mark(alias.name, bare=False)

    def _use(self, name: str) -> None:
        self.uses.add(name)
        parts = name.split(".")
        self._mark(parts[0], bare=len(parts) == 1)
        for part in parts[1:]:
            self._mark(part, bare=False)
        if name.startswith("sys.modules"):
            self._dynamic("sys.modules", "anywhere")

    def _mark(self, name: str, bare: bool) -> None:
        if name in _DYNAMIC and (bare or name not in _ONLY_BARE):
            self._dynamic(name, _DYNAMIC[name])

    def _dynamic(self, name: str, scope: str) -> None:
        if not self.dynamic or scope == "anywhere":
            self.dynamic = [name, scope]


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


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes that begins with a name; else empty."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _hints(node: Definition) -> list[ast.expr]:
    arguments = node.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return [hint for hint in (*(one.annotation for one in every if one), node.returns) if hint]


def _is_accessor(decorator: ast.expr) -> bool:
    """``@name.setter`` and the like."""
    return isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "getter", "deleter")


def _is_target(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def _is_constant(node: ast.expr) -> bool:
    """Of literals alone."""
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp():
            return _is_constant(node.operand)
        case ast.BinOp():
            return _is_constant(node.left) and _is_constant(node.right)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return all(map(_is_constant, parts))
        case ast.Dict():
            return None not in node.keys and all(map(_is_constant, (*filter(None, node.keys), *node.values)))
    return False


def _acts_on_subclasses(node: ast.ClassDef) -> bool:
    names = {child.name for child in node.body if isinstance(child, Definition)}
    return bool(node.keywords) or "__init_subclass__" in names or not all(map(_dotted, node.bases))


def _never_runs(node: ast.stmt) -> bool:
    """``if TYPE_CHECKING:`` without an else, which only type checkers read."""
    return isinstance(node, ast.If) and not node.orelse and _dotted(node.test).endswith("TYPE_CHECKING")


def _has_docstring(node: ast.AST) -> bool:
    body: Iterable[ast.stmt] = getattr(node, "body", ())
    first = next(iter(body), None)
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
