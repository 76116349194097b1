"""What does a decomposition that is declared in Python ask for: its method, grid points, labels and seeds?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from homolog.registry import METHODS

Spec: TypeAlias = Mapping[str, Any]
Specs: TypeAlias = Spec | Mapping[str, Spec] | Iterable[Spec]

# Keys of a spec that aren't options of a grid point.
WHOLE = ("method", "gauge", "partner", "seeds")
# Methods that read a second hook point.
PAIRED = ("cca", "svcca")


@dataclass(frozen=True)
class Declared:
    """One decomposition: name, its method's target, options and label of each grid point, seeds, partner.

    `partner` is the hook point; None for methods without one, empty where its name isn't known.
    """

    name: str
    target: str
    points: list[dict[str, Any]]
    labels: list[str]
    seeds: list[int]
    partner: str | None


def declared(specs: Specs, with_partner: bool = False) -> list[Declared]:
    """Check one spec, a dict of names and specs, or a list of specs, each called by its method; fill in defaults.

    `with_partner`: the partner's activations are given, so a spec needn't name it. Raises ValueError with a line for
    each mistake in a spec. Where pydantic isn't installed nothing can be checked or filled in: a spec must then hold
    every option, each one value.
    """
    return [_declared(name, spec, with_partner) for name, spec in _named(specs).items()]


def _named(specs: Specs) -> dict[str, Any]:
    if isinstance(specs, Mapping):
        several = bool(specs) and all(isinstance(spec, Mapping) for spec in specs.values())
        return dict(specs) if several else {str(specs.get("method", "spec")): specs}
    listed = list(specs) if isinstance(specs, Iterable) and not isinstance(specs, str) else [specs]
    if not listed:
        raise ValueError("no decomposition was given: give a spec such as {'method': 'pca', 'n_latents': 8}.")
    names = [str(spec.get("method", "spec")) if isinstance(spec, Mapping) else "spec" for spec in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"several specs of a list are called {', '.join(twice)}, as a spec is by its method: give a dict of names "
            "and specs instead."
        )
    return dict(zip(names, listed, strict=True))


def _declared(name: str, spec: Any, with_partner: bool) -> Declared:
    if not isinstance(spec, Mapping):
        return _checked(name, spec)
    if spec.get("gauge", "none") != "none":
        raise ValueError(
            f"{name}: gauge: {spec['gauge']!r}; allowed: none, since activations are taken as they are; leave it out."
        )
    if with_partner and spec.get("method") in PAIRED and "partner" not in spec:
        return replace(_checked(name, {**spec, "partner": "partner"}), partner="")
    return _checked(name, spec)


def _checked(name: str, spec: Any) -> Declared:
    try:
        from homolog.config import parse_decomposition
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"pydantic", "pydantic_core", "yaml"}:
            raise
        return _unchecked(name, spec, str(error.name))
    options = parse_decomposition(spec, name)
    target, partner = METHODS[spec["method"]], next(iter(options.partners()), None)
    return Declared(name, target, options.expand(), options.labels(name), options.member_seeds(), partner)


class _Complete(dict[str, Any]):
    """Options that say which one is missing, and why it wasn't filled in."""

    def __init__(self, name: str, absent: str, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.name, self.absent = name, absent

    def __missing__(self, key: str) -> Any:
        raise ValueError(
            f"{self.name}: {key}: missing, and without {self.absent} no default can be filled in; install it, "
            "or add the option."
        )


def _unchecked(name: str, spec: Any, absent: str) -> Declared:
    """A spec as it is, where `absent`, which would check it, isn't installed."""
    if not isinstance(spec, Mapping) or spec.get("method") not in METHODS:
        seen = spec.get("method") if isinstance(spec, Mapping) else spec
        raise ValueError(f"{name}: method: {seen!r}; allowed: {', '.join(METHODS)}; take one of these.")
    options = {key: value for key, value in spec.items() if key not in WHOLE}
    for key, value in options.items():
        if isinstance(value, list | tuple | range):
            raise ValueError(
                f"{name}: {key}: {value!r}; without {absent} a spec is one grid point; give one value, or install it."
            )
    target, seeds = METHODS[spec["method"]], list(spec.get("seeds", [0]))
    return Declared(name, target, [_Complete(name, absent, options)], [name], seeds, spec.get("partner"))
