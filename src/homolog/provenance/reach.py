"""Which statements of a package can a job reach, by names, imports and what runs on import?"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping

from homolog.provenance.statements import Module, Statement


class Reach:
    """All that running some entries can run, as far as names tell; in doubt more.

    - A statement reaches what its names mean: definitions of its module, or what these were imported from.
    - An import runs the imported module, its parent packages and what they import: their statements with effects.
    - A module whose parts can't be told apart is taken whole, and `whole` says why: it is handed on as a value, asked
      for a name that it doesn't bind, or uses `globals()` and the like.
    - Strings that name a module (``"package.module:Name"``) reach it.

    `statements` holds the numbers of what is reached, `effects` the order in which imports run effects, `libraries`
    other packages' modules that are used, `imported` the package's modules that may be loaded.
    """

    def __init__(self, modules: Mapping[str, Module], package: str) -> None:
        self._modules, self._package = modules, package
        self._waiting: deque[tuple[str, int]] = deque()
        self._anywhere = ""
        self.statements: dict[str, set[int]] = {}
        self.effects: list[tuple[str, int]] = []
        self.whole: dict[str, str] = {}
        self.libraries: set[str] = set()
        self.imported: dict[str, None] = {}

    def run(self, entry: str, targets: Iterable[str]) -> Reach:
        """Follow everything from all statements of the script `entry`, and from targets such as ``a.b:Name``."""
        self._execute(entry)
        for number in range(len(self._modules[entry].statements)):
            self._reach(entry, number)
        for target in sorted(targets):
            self._target(target)
        self._work()
        while self._anywhere and set(self.imported) - set(self.whole):
            for name in list(self.imported):
                self.take_whole(name, self._anywhere)
            self._work()
        return self

    def digest(self) -> str:
        """Hash of all reached statements, in the order in which they stand, and of the order of effects on import."""
        digest = hashlib.sha256()
        for name in sorted(self.statements):
            digest.update(f"{name}:".encode())
            for number in sorted(self.statements[name]):
                digest.update(self._text(name, number))
        for name, number in self.effects:
            digest.update(name.encode() + self._text(name, number))
        return digest.hexdigest()[:16]

    def _text(self, name: str, number: int) -> bytes:
        return self._modules[name].statements[number].text.encode()

    def _work(self) -> None:
        while self._waiting:
            name, number = self._waiting.popleft()
            self._follow_statement(name, self._modules[name].statements[number])

    def take_whole(self, name: str, reason: str) -> None:
        """Count every statement of a module."""
        if name in self.whole or name not in self._modules:
            return
        self.whole[name] = reason
        self._import(name)
        module = self._modules[name]
        for number, statement in enumerate(module.statements):
            self._reach(name, number)
            for use in statement.hints:
                self._use(name, statement, use)
            for _, other, attribute in statement.imports:
                if attribute != "*":
                    self._ask(other, [attribute] if attribute else [])

    def _reach(self, name: str, number: int) -> None:
        reached = self.statements.setdefault(name, set())
        if number not in reached:
            reached.add(number)
            self._waiting.append((name, number))

    def _import(self, name: str) -> None:
        """Running `name`, each parent package first: what these import, and their effects, in order."""
        parts = name.split(".") if name not in self.imported and self._is_ours(name) else []
        for length in range(1, len(parts) + 1):
            one = ".".join(parts[:length])
            if one in self._modules and one not in self.imported:
                self.imported[one] = None
                self._execute(one)

    def _execute(self, name: str) -> None:
        if self._modules[name].mistake:
            raise ValueError(self._modules[name].mistake)
        for number, statement in enumerate(self._modules[name].statements):
            effect = statement.effect or self._acts_through_a_base(name, statement)
            # Other imports wait inside a function.
            for module in statement.modules if effect or statement.is_import else ():
                self._import(module)
            if effect:
                self._reach(name, number)
                self.effects.append((name, number))

    def _numbers(self, module: str, name: str) -> list[int]:
        """The statements of a module that bind a name."""
        return self._modules[module].bound.get(name, []) if module in self._modules else []

    def _is_ours(self, module: str) -> bool:
        return module == self._package or module.startswith(f"{self._package}.")

    def _acts_through_a_base(self, name: str, statement: Statement) -> bool:
        """Whether a plain class has a base in the package that acts on its subclasses, or can't be told."""
        waiting, seen = [(name, base) for base in statement.bases], set()
        while waiting:
            where, base = waiting.pop()
            root, _, rest = base.partition(".")
            for number in self._numbers(where, root) if (where, base) not in seen else ():
                found = self._modules[where].statements[number]
                if found.acts_on_subclasses or not (found.is_class or found.is_import):
                    return True
                waiting += [(where, one) for one in found.bases]
                for bound, module, attribute in found.imports:
                    if bound == root and self._is_ours(module):
                        place = self._place(module, [part for part in (attribute, *rest.split(".")) if part])
                        if place is None:
                            return True
                        waiting.append(place)
            seen.add((where, base))
        return False

    def _place(self, module: str, parts: list[str]) -> tuple[str, str] | None:
        """Where a dotted name that is asked of a module is bound: a module and the rest of the name."""
        for i, part in enumerate(parts):
            if self._numbers(module, part):
                return module, ".".join(parts[i:])
            module = f"{module}.{part}"
        return None

    def _follow_statement(self, name: str, statement: Statement) -> None:
        for module in statement.modules:
            self._import(module)
        for use in statement.uses:
            self._use(name, statement, use)
        for bound, module, attribute in statement.imports:
            if not self._is_ours(module):
                self.libraries.add(module)
            elif attribute == "*":
                self.take_whole(module, f"{name} imports all of it by a star")
            elif bound not in statement.binds:
                self._ask(module, [attribute] if attribute else [], as_value=False)
        for text in statement.strings:
            self._string(text)
        if statement.dynamic:
            what, scope = statement.dynamic
            self.take_whole(name, f"it uses {what}")
            if scope == "anywhere":
                self._anywhere = f"{name} uses {what}"

    def _use(self, name: str, statement: Statement, use: str) -> None:
        """Reach what a dotted name means in a statement of a module."""
        root, _, rest = use.partition(".")
        parts = rest.split(".") if rest else []
        for bound, module, attribute in statement.imports:
            if bound == root:
                self._ask(module, [attribute, *parts] if attribute else parts)
        self._name(name, root, parts)

    def _name(self, name: str, root: str, parts: list[str]) -> None:
        for number in self._numbers(name, root):
            self._reach(name, number)
            for bound, module, attribute in self._modules[name].statements[number].imports:
                if bound == root and attribute != "*":
                    self._ask(module, [attribute, *parts] if attribute else parts)

    def _ask(self, module: str, parts: list[str], as_value: bool = True) -> None:
        """Reach what stands at `parts` below a module: a name that it binds, a submodule, or the module as a value."""
        if not self._is_ours(module):
            self.libraries.add(module)
            return
        self._import(module)
        for i, part in enumerate(parts):
            bound = bool(self._numbers(module, part))
            if bound:
                self._name(module, part, parts[i + 1 :])
            if f"{module}.{part}" in self._modules:
                module = f"{module}.{part}"
                self._import(module)
            elif bound:
                return
            else:
                self.take_whole(module, f"it is asked for {part}, which it doesn't bind")
                return
        if as_value:
            self.take_whole(module, "it is handed on as a value")

    def _target(self, target: str) -> None:
        module, _, attribute = target.partition(":")
        self._ask(module, [attribute] if attribute else [])

    def _string(self, text: str) -> None:
        module = text.partition(":")[0]
        if not self._is_ours(module):
            self.libraries.add(module)
        elif module in self._modules:
            self._target(text)
        elif module.endswith("."):
            for name in self._modules:
                if name.startswith(module):
                    self.take_whole(name, f"its name begins with {module!r}, to which something is added")
