"""Does a top-level statement do more than bind its names?"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set

# As decorators, and `field` in a class body, these run nothing of what they are given.
_WRAPPERS = {
    *("property", "staticmethod", "classmethod", "abc.abstractmethod", "contextlib.contextmanager"),
    *("dataclasses.dataclass", "dataclasses.field", "functools.cache", "functools.cached_property"),
    *("functools.lru_cache", "functools.total_ordering", "functools.wraps", "numba.jit", "numba.njit"),
    *("torch.inference_mode", "torch.no_grad", "triton.jit", "typing.final", "typing.overload"),
    "typing.runtime_checkable",
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef


class Plain:
    """Tells plain statements of one module: running them only binds their names. In doubt they aren't.

    `foreign` maps names to what was imported from outside the package, `own` are all other names that the module binds;
    annotations aren't evaluated where they are `postponed`.
    """

    def __init__(self, foreign: Mapping[str, str], own: Set[str], postponed: bool) -> None:
        self.foreign, self.own, self.postponed = foreign, own, postponed

    def is_plain(self, node: ast.stmt) -> bool:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._plain_function(node)
            case ast.ClassDef():
                bases = all(dotted(base) for base in node.bases) and not node.keywords
                return bases and self.wrapped(node.decorator_list) and all(map(self._plain_member, node.body))
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
        hints = [] if self.postponed else hints_of(node)
        decorators = [one for one in node.decorator_list if not (of_class and _is_accessor(one))]
        return self.wrapped(decorators) and all(map(self._inert, defaults)) and all(map(self._inert_hint, hints))

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

    def wrapped(self, decorators: list[ast.expr]) -> bool:
        for decorator in decorators:
            called = decorator if isinstance(decorator, ast.Call) else None
            function = called.func if called else decorator
            arguments = [*called.args, *(keyword.value for keyword in called.keywords)] if called else []
            if not self._is_wrapper(function) or not all(map(self._inert, arguments)):
                return False
        return True

    def _is_wrapper(self, function: ast.expr) -> bool:
        root, dot, rest = dotted(function).partition(".")
        return root not in self.own and f"{self.foreign.get(root, root)}{dot}{rest}" in _WRAPPERS

    def _inert(self, node: ast.expr) -> bool:
        """Whether evaluating it runs no code of the package."""
        match node:
            case ast.Name():
                return True
            case ast.Attribute():
                root = dotted(node).partition(".")[0]
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
                own = dotted(node.value).partition(".")[0] in self.own
                return not own and self._inert_hint(node.value) and self._inert_hint(node.slice)
            case ast.BinOp(op=ast.BitOr()):
                return self._inert_hint(node.left) and self._inert_hint(node.right)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return all(map(self._inert_hint, parts))
        return self._inert(node)


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes that begins with a name; else empty."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def hints_of(node: Definition) -> list[ast.expr]:
    """The annotations of a function."""
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
