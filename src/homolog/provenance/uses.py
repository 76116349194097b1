"""What does a statement use: names, imports, and ways to code that no name tells of?"""

from __future__ import annotations

import ast

from homolog.provenance.libraries import LIBRARIES
from homolog.provenance.plain import Definition, Plain, dotted, hints_of

# What reaches code by other ways than by its name: in its own module, or anywhere.
_DYNAMIC = {
    **dict.fromkeys(("globals", "locals", "vars", "exec", "eval", "compile", "__import__"), "module"),
    **dict.fromkeys(("import_module", "get_type_hints", "__annotations__"), "module"),
    **dict.fromkeys(("__subclasses__", "__globals__", "_getframe", "currentframe", "get_objects"), "anywhere"),
    **dict.fromkeys(("run_path", "run_module", "exec_module", "load_module", "reload", "getmembers"), "anywhere"),
}
# Methods of these names are common (`model.eval()`), so only the bare builtin counts.
_ONLY_BARE = {"globals", "locals", "vars", "exec", "eval", "compile"}


class Imports:
    """Import statements, as a module inside the package `inside` means them."""

    def __init__(self, inside: str) -> None:
        self.inside = inside

    def names(self, node: ast.Import | ast.ImportFrom) -> list[list[str]]:
        """What it binds: name, module, and the name in it, empty for the module itself."""
        if isinstance(node, ast.ImportFrom):
            base = self._base(node)
            return [[alias.asname or alias.name, base, alias.name] for alias in node.names]
        # ``import a.b`` binds a; ``import a.b as c`` binds a.b.
        return [[alias.asname or (top := alias.name.partition(".")[0]), alias.name if alias.asname else top, ""]
                for alias in node.names]  # fmt: skip

    def modules(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        """Modules that it may load."""
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


class Uses(ast.NodeVisitor):
    """Collects what one statement uses: dotted names, imports inside it, strings, and what is dynamic."""

    def __init__(self, package: str, imports: Imports, plain: Plain) -> None:
        self._package, self._imports, self._plain = package, imports, plain
        self.uses: set[str] = set()
        self.hints: set[str] = set()
        self.imports: list[list[str]] = []
        self.modules: list[str] = []
        self.strings: set[str] = set()
        self.dynamic: list[str] = []

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = dotted(node)
        if name:
            self._use(name)
        else:
            self._mark(node.attr, bare=False)
            self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.uses |= set(node.names)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        own = isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
        if own and dotted(node.value) == "sys.modules":
            self._dynamic("sys.modules[__name__]", "module")
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        # `vars(x)` is that of x, and tells of a module only where x is one, which is handed on then.
        if not (dotted(node.func) == "vars" and node.args):
            self.visit(node.func)
        for argument in (*node.args, *node.keywords):
            self.visit(argument)

    def visit_Import(self, node: ast.Import) -> None:
        self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._import(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (node.value in LIBRARIES or node.value.startswith(f"{self._package}.")):
            self.strings.add(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: Definition) -> None:
        # Decorators such as `singledispatch`'s read annotations, whatever is postponed.
        unread = self._plain.postponed and self._plain.wrapped(node.decorator_list)
        hints = hints_of(node)
        if unread:
            seen = Uses(self._package, self._imports, self._plain)
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
        self.imports += self._imports.names(node)
        self.modules += self._imports.modules(node)
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
