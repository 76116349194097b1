"""What changes the fingerprint of a job's code: all that can change its output, and nothing else?"""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import JOINT, ROOT, STAGES, TAKEN

from homolog.provenance import canonical_json, closure, code_fingerprint, module_files
from homolog.registry import ANALYSES, ARCHITECTURES, FIGURES, METHODS, TASKS, VIEWS

SCRIPT = '''"""What the script does."""

from homolog.first import work


def job(x):
    """Do it."""
    return work(x)
'''
PACKAGE = {
    "script.py": SCRIPT,
    "homolog/__init__.py": '"""The package."""\n',
    "homolog/first.py": "from homolog.deep.second import value\n\n\ndef work(x):\n    return x + value\n",
    "homolog/deep/__init__.py": "",
    "homolog/deep/second.py": "from . import third\nfrom .. import beside\n\nvalue = third.number\n",
    "homolog/deep/third.py": "def later():\n    import homolog.late\n\n\nnumber = 3\n",
    "homolog/beside.py": "number = 4\n",
    "homolog/late.py": "number = 5\n",
    "homolog/methods/__init__.py": "",
    "homolog/methods/named.py": "from homolog.methods.helper import help_out\n\n\nclass Named:\n    pass\n",
    "homolog/methods/helper.py": "def help_out():\n    return 1\n",
    "homolog/unused.py": "number = 6\n",
}
SPEC = '{"grid":[{"n_latents":4}],"method":"homolog.methods.named:Named"}'
REACHED = [name for name in PACKAGE if name not in {"homolog/unused.py", "script.py"}]


@pytest.fixture
def fingerprint(tmp_path: Path) -> Callable[..., str]:
    """The fingerprint of the small package with some of its files replaced."""
    # Sources are read once in a process, so each variant is a folder of its own.
    numbers = itertools.count()

    def make(spec: str = SPEC, **changed: str) -> str:
        root = tmp_path / str(next(numbers))
        for name, text in (PACKAGE | changed).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return code_fingerprint(root / "script.py", root, spec)

    return make


def test_equal_code_has_an_equal_fingerprint_wherever_it_lies(fingerprint: Callable[..., str]) -> None:
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 16


@pytest.mark.parametrize(
    "text",
    [
        f"# A remark.\n{SCRIPT}# Another.\n",
        SCRIPT.replace("What the script does", "In other words"),
        SCRIPT.replace('    """Do it."""\n', ""),
        SCRIPT.replace("return work(x)", "return work(\n        x,\n    )  # in lines"),
        SCRIPT.replace("    ", "  ").replace("\n\n\n", "\n"),
        SCRIPT.replace('"""Do it."""', "'Do it.'"),
        SCRIPT.replace("\n", "\r\n"),
        SCRIPT.replace("return work(x)", "return (work((x)))"),
    ],
    ids=["comment", "docstring", "no docstring", "lines", "indent", "quotes", "line ends", "brackets"],
)
def test_comments_docstrings_and_layout_do_not_count(fingerprint: Callable[..., str], text: str) -> None:
    assert text != SCRIPT
    assert fingerprint(**{"script.py": text}) == fingerprint()


def test_docstrings_of_classes_and_coroutines_do_not_count(fingerprint: Callable[..., str]) -> None:
    plain = "class A:\n    x = 1\n\n    async def f(self):\n        return 1\n\n\nclass B:\n    pass\n"
    described = (
        'class A:\n    """A."""\n    x = 1\n\n    async def f(self):\n        """F."""\n        return 1\n\n\n'
        'class B:\n    """B."""\n'
    )
    assert fingerprint(**{"homolog/beside.py": plain}) == fingerprint(**{"homolog/beside.py": described})


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT.replace("return work(x)", "return work(x + 1)"),
        SCRIPT.replace("return work(x)", "return work(-x)"),
        SCRIPT.replace("return work(x)", "assert x\n    return work(x)"),
        SCRIPT.replace("def job(x)", "def job(x=1)"),
        SCRIPT.replace("def job(x)", "@print\ndef job(x)"),
        SCRIPT.replace("return work(x)", 'return work("a#b")'),
        SCRIPT.replace("return work(x)", 'return work("a #b")'),
        SCRIPT.replace('"""Do it."""\n', '"""Do it."""\n    "no docstring"\n'),
    ],
    ids=["term", "sign", "statement", "default", "decorator", "string", "space in string", "second string"],
)
def test_what_python_executes_counts(fingerprint: Callable[..., str], text: str) -> None:
    assert text != SCRIPT
    assert fingerprint(**{"script.py": text}) != fingerprint()


def test_every_edit_has_a_fingerprint_of_its_own(fingerprint: Callable[..., str]) -> None:
    variants = {fingerprint(**{"homolog/beside.py": f"number = {n}\n"}) for n in range(20)}
    assert len(variants) == 20
    # Code that moves from one file to another is another program.
    moved = {"homolog/beside.py": PACKAGE["homolog/late.py"], "homolog/late.py": PACKAGE["homolog/beside.py"]}
    assert fingerprint(**moved) != fingerprint()


@pytest.mark.parametrize("name", REACHED)
def test_what_is_reached_counts(fingerprint: Callable[..., str], name: str) -> None:
    # Through nested and relative imports, imports inside functions, packages on the way, and names in the spec.
    assert fingerprint(**{name: PACKAGE[name] + "\nCHANGED = True\n"}) != fingerprint()


def test_what_is_not_reached_does_not_count(fingerprint: Callable[..., str]) -> None:
    unused = "homolog/unused.py"
    assert fingerprint(**{unused: PACKAGE[unused] + "\nCHANGED = True\n"}) == fingerprint()
    assert fingerprint(**{unused: "this is not even (Python"}) == fingerprint()
    assert fingerprint(**{"homolog/methods/another.py": "class Another:\n    pass\n"}) == fingerprint()


@pytest.mark.parametrize("name", ["homolog/methods/named.py", "homolog/methods/helper.py"])
def test_a_method_counts_only_where_the_spec_names_it(fingerprint: Callable[..., str], name: str) -> None:
    change = {name: PACKAGE[name] + "\nCHANGED = True\n"}
    other = SPEC.replace("homolog.methods.named:Named", "homolog.beside:number")
    assert fingerprint(spec=other, **change) == fingerprint(spec=other)
    for spelled in (SPEC, SPEC.replace(":Named", ""), f'{{"views":["homolog.beside:number",{SPEC}]}}'):
        assert fingerprint(spec=spelled, **change) != fingerprint(spec=spelled)


def test_values_of_the_spec_are_no_code(fingerprint: Callable[..., str]) -> None:
    assert fingerprint(spec=SPEC.replace("4", "5")) == fingerprint()


def test_a_module_that_a_star_or_an_alias_brings_in_counts(fingerprint: Callable[..., str]) -> None:
    for statement in ("from homolog.unused import *", "import homolog.unused as u", "from homolog import unused as u"):
        script = f"{statement}\n{SCRIPT}"
        change = {"homolog/unused.py": "number = 7\n"}
        assert fingerprint(**{"script.py": script}) != fingerprint(**{"script.py": script}, **change)


def test_circles_of_imports_end(fingerprint: Callable[..., str]) -> None:
    circle = {"homolog/beside.py": "import homolog.first\nimport homolog.beside\n\nnumber = 4\n"}
    assert fingerprint(**circle) != fingerprint()


def test_a_syntax_error_is_told_with_its_place(fingerprint: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=r"beside\.py, line 2: .*can't be told what depends .*: mend the syntax\.$"):
        fingerprint(**{"homolog/beside.py": "number = 4\nnumber = = 5\n"})


def test_equal_values_are_one_string_and_a_swap_is_another() -> None:
    assert canonical_json({"b": [1, 2.5], "a": None}) == canonical_json({"a": None, "b": [1, 2.5]})
    assert canonical_json({"lr": 0.01, "decay": 0.1}) != canonical_json({"lr": 0.1, "decay": 0.01})
    assert "\n" not in canonical_json({"a": ["b", {"c": 1}]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"lr": float("nan")})


# The library itself.

SOURCES = ROOT / "src"
NAMED = [*METHODS.values(), *FIGURES.values(), *VIEWS.values(), *ANALYSES.values(), *TASKS.values()]


def reached(stage: str, *targets: str) -> set[str]:
    """Modules that a script reaches, with those that its spec names."""
    named = [path for target in targets for path in module_files(target.partition(":")[0], SOURCES)]
    files = closure([ROOT / "workflow" / "scripts" / f"{stage}.py", *named], SOURCES)
    return {str(path.relative_to(SOURCES)) for path in files if path.is_relative_to(SOURCES)}


@pytest.mark.parametrize("target", [*NAMED, *ARCHITECTURES.values()])
def test_every_name_of_the_registry_leads_to_a_file(target: str) -> None:
    name = target.partition(":")[0]
    files = list(module_files(name, SOURCES))
    assert files
    assert files[-1].relative_to(SOURCES).with_suffix("").parts == tuple(name.split("."))


@pytest.mark.parametrize("stage", [*STAGES, *JOINT, *TAKEN])
def test_no_job_reaches_the_configuration_or_the_registry(stage: str) -> None:
    # Else a new option or a new name would make everything stale. Jobs get what they need as arguments.
    files = reached(stage, *NAMED)
    assert "homolog/stage.py" in files
    outside = {"homolog/registry.py", "homolog/sources.py", "homolog/provenance.py", "homolog/__main__.py"}
    assert files.isdisjoint(outside)
    assert not [name for name in files if name.startswith(("homolog/config", "homolog/planning"))]


# Methods that are another one with something on top.
KIND_OF = {"svcca": "cca", "matryoshka_sae": "batch_topk_sae", "crosscoder": "batch_topk_sae"}


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reaches_another_one(method: str) -> None:
    files = {
        name: next(reversed(list(module_files(target.partition(":")[0], SOURCES)))) for name, target in METHODS.items()
    }
    own = {files[method], files[KIND_OF.get(method, method)]}
    others = {str(path.relative_to(SOURCES)) for path in files.values() if path not in own}
    found = reached("decompose", METHODS[method])
    assert str(files[method].relative_to(SOURCES)) in found
    assert found.isdisjoint(others)


def test_later_stages_are_out_of_reach_of_earlier_ones() -> None:
    for stage in ("train", "dump_activations", "decompose"):
        assert not [name for name in reached(stage) if "analyses" in name or "figures/" in name], stage
    for stage in ("train", "dump_activations"):
        assert not [name for name in reached(stage) if "decompositions" in name], stage
    assert "homolog/training.py" not in reached("plot", *FIGURES.values())
