"""Does ``python -m homolog check`` meet any file whatever with one line per mistake, and without torch?"""

import os
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from homolog.config import ConfigError, load_config, parse_config, parse_decomposition
from homolog.config.decompositions import Decomposition
from homolog.registry import METHODS

TINY = (Path(__file__).parent / "tiny.yaml").read_text()


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from homolog.__main__ import main; status = main(); print('torch' in sys.modules); exit(status)"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_check_says_ok_and_leaves_torch_alone(tmp_path):
    (tmp_path / "config.yaml").write_text(TINY)
    done = run("check", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "config.yaml: ok: 5 models, 4 decompositions, 5 experiments\nFalse\n"


def test_check_tells_every_mistake_on_a_line_of_its_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(TINY.replace("steps: 60", "steps: 6e1").replace("k: 2", "k: 200"))
    done = run("check", "mine.yaml", folder=tmp_path)
    first, second = done.stderr.splitlines()
    assert done.returncode == 1
    assert first.startswith("homolog: error: mine.yaml: models.digits_mlp.training.steps: the text '6e1'; ")
    assert second.startswith("homolog: error: mine.yaml: decompositions.topk.k: 200, of n_latents = 16; ")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no such file; give the path"),
        (b"", "holds nothing; allowed: a mapping"),
        (b"# only a comment\n", "holds nothing; allowed: a mapping"),
        (b"- models\n", r"holds the list \['models'\]; allowed: a mapping"),
        (b"models: {a: [}\n", "line 1, column 14: not YAML: "),
        (b"models: !!python/object:os.system {}\n", "line 1, column 9: not YAML: could not determine"),
        (b"models: \xff\xfe\n", r"can't be read \(not a text in UTF-8\)"),
        (b"a: " + b"[" * 5000, "not YAML: "),
        (b"a: " + b"9" * 5000, "not YAML: "),
    ],
    ids=["missing", "empty", "comment", "list", "syntax", "python", "latin", "deep", "long"],
)
def test_a_file_that_is_no_config_is_one_line(tmp_path, content, line):
    if content is not None:
        (tmp_path / "config.yaml").write_bytes(content)
    done = run("check", folder=tmp_path)
    assert done.returncode == 1
    assert re.match(f"homolog: error: config.yaml: {line}", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ConfigError, match=r"can't be read \(Is a directory\)"):
        load_config(tmp_path)


def test_a_key_that_stands_twice_is_told_since_yaml_would_take_the_last(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(TINY.replace("lr: 3.0e-3", "lr: 1.0e-3, lr: 2.0e-3"))
    with pytest.raises(
        ConfigError, match="line 11: the key 'lr' stands here again, after line 11; allowed: each key once"
    ):
        load_config(path)


def test_merge_keys_and_anchors_are_not_repetitions(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        TINY.replace("  topk: {", "  pca_16: {<<: *pca, n_latents: 16}\n  topk: {").replace("pca: {", "pca: &pca {")
    )
    assert load_config(path).decompositions["pca_16"].n_latents == 16


def test_report_marks_every_line():
    error = ConfigError(["a: b", "c: d"])
    assert error.report() == "homolog: error: a: b\nhomolog: error: c: d"
    assert isinstance(error, ValueError)


def positions(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a tree, the root left out."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from positions(below, (*path, key))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=6
)


@given(st.data())
def test_no_value_anywhere_raises_anything_but_a_config_error(data):
    mapping = yaml.safe_load(TINY)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(list(positions(mapping))))
        below: Any = mapping
        for key in way:
            below = below[key]
        below[last] = data.draw(ANYTHING)
    try:
        parse_config(mapping)
    except ConfigError as error:
        told = error.problems
    else:
        return
    assert told
    assert all(line.startswith("config.yaml: ") and len(line.splitlines()) == 1 for line in told)


KEYS = sorted({key for method in typing.get_args(typing.get_args(Decomposition)[0]) for key in method.model_fields})


@given(st.sampled_from(list(METHODS)), st.dictionaries(st.sampled_from(KEYS) | SCALARS, ANYTHING, max_size=6))
def test_no_options_of_a_decomposition_raise_anything_but_a_config_error(method, options):
    try:
        parse_decomposition({"n_latents": 4, "k": 2, "coefficient": 1, **options, "method": method})
    except ConfigError as error:
        told = error.problems
    else:
        return
    assert told
    assert all(line.startswith("decomposition: ") and len(line.splitlines()) == 1 for line in told)


@given(ANYTHING)
def test_no_tree_at_all_raises_anything_but_a_config_error(tree):
    with pytest.raises(ConfigError):
        parse_config(tree)


@pytest.mark.parametrize("old", ["threads: 1", "seeds: [0", "widths: [48", "n_latents: 4", "steps: 60"])
def test_a_number_too_long_to_be_shown_does_no_harm(tmp_path, old):
    # YAML reads hexadecimals of any length; Python refuses to write out more than 4,300 digits.
    path = tmp_path / "config.yaml"
    path.write_text(TINY.replace(old, re.sub(r"\d+$", "0x" + "f" * 5000, old)))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert all(len(line) < 500 for line in caught.value.problems)


@given(st.text(alphabet=st.sampled_from("models: {}[]&*<-\n\"'ab1!?|>#%@`\t,")))
def test_no_text_raises_anything_but_a_config_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(str(caught.value).splitlines()) == len(caught.value.problems)
