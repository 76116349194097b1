"""How does a file become a Config, and where are all its mistakes gathered?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from homolog.config.base import Options
from homolog.config.checks import check, check_decompositions
from homolog.config.decompositions import Decomposition, DecompositionOptions
from homolog.config.explain import Node, explain
from homolog.config.given import GivenOptions
from homolog.config.globs import expand_globs
from homolog.config.problems import ConfigError, Names, Problem, dotted, listed, seen, shortened
from homolog.config.root import Config
from homolog.config.trimming import SECTIONS, readable_part


def load_config(path: str | Path) -> Config:
    """Read a YAML file. Raises ConfigError with all its mistakes."""
    source, text = str(path), _text_of(path)
    return _parse(_load_yaml(text, source), source, _repeated_keys(text, source))


def load_model(path: str | Path, name: str) -> Config:
    """As much of a YAML file as can be read, globs as they stand. Raises ConfigError with the mistakes of one model."""
    source = str(path)
    mapping = _load_yaml(_text_of(path), source)
    config, found_wrong = _readable(mapping, source, expand=False)
    of_model = [(where, text) for where, text in found_wrong if where[:2] == ("models", name)]
    if name not in config.models and not of_model:
        known = _names("models", mapping.get("models"))
        of_model = [(("models",), known.problem(name) or f"{shortened(name)} can't be read")]
    if of_model:
        raise ConfigError(_lines(source, of_model))
    return config


def _text_of(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; give the path of a config.yaml, or go to its folder"]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text in UTF-8"
        problem = f"{path}: can't be read ({reason}); allowed: a readable YAML file; give another path"
        raise ConfigError([problem]) from error


def parse_config(mapping: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """Check a configuration that is read already. Raises ConfigError with all its mistakes."""
    return _parse(mapping, source, [])


class _Decompositions(Options):
    """What of a config.yaml is there when a decomposition is declared in Python."""

    decompositions: dict[str, Decomposition]


def parse_decomposition(spec: Mapping[str, Any], source: str = "decomposition") -> DecompositionOptions:
    """Check one entry of `decompositions`. Raises ConfigError, a ValueError, with all its mistakes, one line each.

    What may be a list in YAML may be a tuple or a range here. Hook points and sizes aren't known yet, and not checked.
    """
    entry: Any = spec
    if isinstance(spec, Mapping):
        entry = {key: list(value) if isinstance(value, tuple | range) else value for key, value in spec.items()}
    found_wrong: list[Problem] = []
    # Read as a section of its own, so that every mistake is told in the words of `python -m homolog check`.
    mapping = {"decompositions": {source: entry}}
    config: Config | _Decompositions
    try:
        config = _Decompositions.model_validate(mapping)
    except ValidationError as error:
        schema = _schema(_Decompositions)
        found_wrong = [explain(detail, schema) for detail in error.errors(include_url=False)]
        config = readable_part(mapping, schema)
    found_wrong += check_decompositions(config.decompositions)
    if isinstance(config.decompositions.get(source), GivenOptions):
        text = "given, which is read from disk and not fitted; allowed: any other method; see homolog.compare"
        found_wrong.append((("decompositions", source, "method"), text))
    if found_wrong:
        parts = dict.fromkeys((source, dotted(path[2:]), text) for path, text in found_wrong)
        raise ConfigError(": ".join(part for part in line if part) for line in parts)
    return config.decompositions[source]


def _parse(mapping: Any, source: str, problems: list[str]) -> Config:
    config, found_wrong = _readable(mapping, source)
    if problems or found_wrong:
        raise ConfigError([*problems, *_lines(source, found_wrong)])
    return config


def _readable(mapping: Any, source: str, expand: bool = True) -> tuple[Config, list[Problem]]:
    """The readable part of a configuration, by default with what its globs mean, and all its mistakes."""
    if not isinstance(mapping, dict) or not mapping:
        found = "nothing" if mapping is None else seen(mapping)
        raise ConfigError([f"{source}: holds {found}; allowed: a mapping with the keys {listed(SECTIONS)}; add them"])
    found_wrong: list[Problem] = []
    try:
        config = Config.model_validate(mapping)
    except ValidationError as error:
        schema = _schema(Config)
        found_wrong = [explain(detail, schema) for detail in error.errors(include_url=False)]
        config = readable_part(mapping, schema)
    if expand:
        config, unknown = expand_globs(config)
        found_wrong += unknown
    found_wrong += check(config, {section: _names(section, mapping.get(section)) for section in SECTIONS})
    return config, found_wrong


def _lines(source: str, problems: list[Problem]) -> list[str]:
    return list(dict.fromkeys(f"{source}: {dotted(path)}: {text}" for path, text in problems))


@cache
def _schema(options: type[Options]) -> Node:
    return options.model_json_schema()


def _names(section: str, entries: Any) -> Names:
    if not isinstance(entries, dict) or not entries:
        return Names(section, [], complete=False)
    return Names(section, [name for name in entries if isinstance(name, str)])


def _load_yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = f"{error.problem or error.context}"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where, reason = "", str(error).splitlines()[0]
    raise ConfigError([f"{source}{where}: not YAML: {' '.join(reason.split())}; mend the text there"])


def _repeated_keys(text: str, source: str) -> list[str]:
    """Keys that stand twice in one mapping: YAML would silently take the last."""
    problems: list[str] = []
    seen_nodes: set[int] = set()

    def walk(node: yaml.Node | None) -> None:
        if node is None or id(node) in seen_nodes:
            return
        seen_nodes.add(id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in first:
                        problems.append(
                            f"{source}: line {line}: the key {shortened(key.value)} stands here again, after line "
                            f"{first[key.value]}; allowed: each key once; rename or remove one"
                        )
                    first.setdefault(key.value, line)
                walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                walk(item)

    walk(yaml.compose(text, Loader=yaml.SafeLoader))
    return problems
