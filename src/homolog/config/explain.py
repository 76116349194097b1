"""What does an error of pydantic mean to somebody who edits config.yaml? (The JSON schema says what is allowed.)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import ErrorDetails

from homolog.config.base import LARGEST, LONGEST_NAME
from homolog.config.problems import Path, Problem, listed, nearest, seen, shortened

Node = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A value's path in the file, the schema of the value, and that of the mapping or list which holds it."""

    path: Path
    node: Node
    owner: Node
    spare: Path = ()
    """The innermost thing on the path that the file may do without: an optional or unknown key, a named entry."""


def explain(error: ErrorDetails, schema: Node) -> Problem:
    """The path in the file, and ``<what was seen>; <what is allowed>; <the way out>``."""
    kind, value = error["type"], error["input"]
    if error["loc"][-1:] == ("[key]",):
        place = locate(error["loc"][:-2], schema)
        return place.path, f"the name {shortened(error['loc'][-2])}; allowed: {_names_allowed(place.node)}; rename it"
    place = locate(error["loc"], schema)
    if kind in ("extra_forbidden", "invalid_key"):
        known = list(place.owner.get("properties", {}))
        method = place.owner.get("properties", {}).get("method", {}).get("const")
        way_out = nearest(place.path[-1], known, "correct it or take it away")
        return place.path, f"unknown key; allowed {f'for {method}' if method else 'here'}: {listed(known)}; {way_out}"
    if kind == "missing":
        return place.path, f"missing; needed: {_allowed(place.node, schema)}; {_about(place)}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _explain_name(place, value)
    if kind == "duplicate":
        twice = listed(shortened(item) for item in error["ctx"]["values"])
        return place.path, f"{twice} stands here twice; allowed: each value once; take one of them away"
    return place.path, f"{seen(value)}; allowed: {_allowed(place.node, schema)}; {_way_out(place.node, value)}"


def locate(loc: Sequence[str | int], schema: Node) -> Place:
    """Follow pydantic's location through the schema; the tags of unions, which aren't keys of the file, drop out."""
    place = Place((), schema, {})
    for part in loc:
        node = _resolved(place.node, schema)
        if "oneOf" in node:
            place = replace(place, node=_branch(node, part))
        elif "items" in node:
            place = Place((*place.path, part), node["items"], node, place.spare)
        else:
            path = (*place.path, part)
            below = node.get("properties", {}).get(part) or _values(node)
            place = Place(path, below, node, place.spare if part in node.get("required", []) else path)
    return replace(place, node=_resolved(place.node, schema))


def _resolved(node: Node, schema: Node) -> Node:
    """The node with references followed and "or null" taken off; a description at the reference wins."""
    if "$ref" in node:
        target = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return _resolved(target | {key: value for key, value in node.items() if key != "$ref"}, schema)
    if "anyOf" in node:
        (only,) = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        outer = {key: value for key, value in node.items() if key != "anyOf"}
        return _resolved(only | outer | {"nullable": True}, schema)
    return node


def _branch(node: Node, tag: str | int) -> Node:
    """The member of a union that pydantic chose: by name, by class, or by being a list."""
    mapping = node.get("discriminator", {}).get("mapping", {})
    wanted = mapping.get(tag, f"#/$defs/{tag}")
    for choice in node["oneOf"]:
        form = "list" if choice.get("type") == "array" else "value"
        if choice.get("$ref", form) in (wanted, tag):
            return dict(choice)
    return {}


def _values(node: Node) -> Node:
    """Schema of the values of a mapping whose keys are free."""
    for values in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
        if isinstance(values, dict):
            return values
    return {}


def _explain_name(place: Place, value: Any) -> Problem:
    """The key that chooses a union's member (``name`` or ``method``) is missing or unknown."""
    key = place.node["discriminator"]["propertyName"]
    names = {target: name for name, target in place.node["discriminator"]["mapping"].items()}
    known = [names[choice["$ref"]] for choice in place.node["oneOf"]]
    path = (*place.path, key)
    if key not in value:
        return path, f"missing; needed: one of {listed(known)}; write for instance {key}: {known[0]}"
    return path, f"{seen(value[key])}; allowed: {listed(known)}; {nearest(value[key], known)}"


def _allowed(node: Node, schema: Node) -> str:
    """What a value may be, in words."""
    node = _resolved(node, schema)
    kind = node.get("type")
    if "discriminator" in node:
        text = f"a mapping with the key {node['discriminator']['propertyName']}"
    elif "oneOf" in node:
        text = " or ".join(_allowed(choice, schema) for choice in node["oneOf"])
    elif "enum" in node or "const" in node:
        text = listed(node.get("enum", [node.get("const")]))
    elif kind in ("integer", "number"):
        text = ("a whole number" if kind == "integer" else "a finite number") + _bounds(node)
    elif kind == "array":
        text = (
            f"a list{' of at least one item' if node.get('minItems') else ''}, each {_allowed(node['items'], schema)}"
        )
    elif kind == "object":
        keys = node.get("properties")
        text = f"a mapping with the keys {listed(keys)}" if keys else "a mapping of at least one name"
    else:
        string = "a text without control characters" if "pattern" in node else "a text that isn't empty"
        text = {"boolean": "true or false", "string": string}.get(str(kind), "another value")
    return text + (" or null" if node.get("nullable") else "")


def _bounds(node: Node) -> str:
    if node.get("maximum") == LARGEST:
        return f" of at least {node['minimum']} (and below 2**31)"
    if "minimum" in node and "maximum" in node:
        return f" from {node['minimum']} to {node['maximum']}"
    words = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {node[bound]}" for bound, word in words.items() if bound in node]
    return " " + " and ".join(found) if found else ""


def _names_allowed(node: Node) -> str:
    patterns = node.get("patternProperties", {})
    if any("A-Z" in pattern for pattern in patterns):
        return f"a text of letters, digits and underscores that starts with a letter, {LONGEST_NAME} of them at most"
    return "a text" + (" without slashes, dollars and control characters" if patterns else " that isn't empty")


def _about(place: Place) -> str:
    description = str(place.node.get("description", "")).split("\n")[0].rstrip(".")
    return f"add the key ({description})"


def _way_out(node: Node, value: Any) -> str:
    """How to mend a value of the wrong type or size."""
    kind = node.get("type")
    known = node.get("enum") or ([node["const"]] if "const" in node else [])
    if known:
        names = [name for name in known if isinstance(name, str)]
        return nearest(value, names, "take one of these" if len(known) > 1 else "write this")
    if kind in ("integer", "number") and isinstance(value, str) and (number := _as_yaml_number(value, str(kind))):
        return f"write {number} (YAML 1.1 reads {shortened(value)} as a text)"
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind == "array" and isinstance(value, str | int | float):
        shown = shortened(value)
        plain = isinstance(value, str) and value.replace(".", "_").isidentifier()
        return f"write [{shown[1:-1] if plain else shown}]"
    if isinstance(value, str) and (chosen := _choice(node, value)):
        return f"write {chosen}"
    if not isinstance(value, bool) and isinstance(value, int | float):
        if value > node.get("maximum", math.inf) or value >= node.get("exclusiveMaximum", math.inf):
            return "lower it"
        lowest = node.get("exclusiveMinimum", node.get("minimum"))
        if lowest is not None and value <= lowest:
            return "raise it"
    return "give such a value" + (", or leave the key out" if "default" in node else "")


def _choice(node: Node, name: str) -> str | None:
    """``{name: digits}`` for somebody who wrote ``digits`` where a mapping is needed that says what it is."""
    if "discriminator" in node:
        key, known = node["discriminator"]["propertyName"], list(node["discriminator"]["mapping"])
    else:
        constants = {key: field["const"] for key, field in node.get("properties", {}).items() if "const" in field}
        key = "name" if "name" in constants else "method"
        known = [constants[key]] if key in constants else []
    return f"{{{key}: {name if name in known else known[0]}}}" if known else None


def _as_yaml_number(text: str, kind: str) -> str | None:
    """`text` as YAML 1.1 reads it as a number (with a point, and a signed exponent), or None if it isn't one."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or not text.isascii():
        return None
    if kind == "integer":
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else None
    mantissa, _, exponent = text.strip().lower().partition("e")
    mantissa += "" if "." in mantissa else ".0"
    return mantissa + (f"e{int(exponent):+d}" if exponent else "")
