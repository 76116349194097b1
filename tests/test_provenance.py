"""What changes the fingerprint of a job's code: all that can change its output, and nothing else?"""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import BROWSED, EXPORTED, JOINT, ROOT, STAGES, TAKEN

from homolog.__main__ import main
from homolog.provenance import Code, canonical_json, libraries, planned_code
from homolog.provenance.code import VARIABLE
from homolog.provenance.reach import Reach
from homolog.provenance.uses import _DYNAMIC as DYNAMIC
from homolog.registry import ANALYSES, ARCHITECTURES, CORPORA, FIGURES, METHODS, TASKS, VIEWS

SCRIPT = '''"""What the script does."""

from homolog.first import work


def job(x):
    """Do it."""
    return work(x)
'''
PACKAGE = {
    "script.py": SCRIPT,
    "homolog/__init__.py": '"""The package."""\n',
    "homolog/first.py": "from homolog.deep.second import value\n\n\ndef work(x):\n    return x + value()\n",
    "homolog/deep/__init__.py": "",
    "homolog/deep/second.py": (
        "from . import third\nfrom .. import beside\n\n\n"
        "def value():\n    return third.later() + third.number + beside.number\n"
    ),
    "homolog/deep/third.py": (
        "def later():\n    import homolog.late\n\n    return homolog.late.number\n\n\nnumber = 3\n\n\n"
        "def never():\n    import homolog.unused\n"
    ),
    "homolog/beside.py": "number = 4\n",
    "homolog/late.py": "number = 5\n",
    "homolog/methods/__init__.py": "",
    "homolog/methods/named.py": (
        "from homolog.methods.helper import help_out\n\n\nclass Named:\n    pass\n\n"
        "    def f(self):\n        help_out()\n"
    ),
    "homolog/methods/helper.py": "def help_out():\n    return 1\n",
    "homolog/unused.py": "number = 6\n",
}
SPEC = '{"grid":[{"n_latents":4}],"method":"homolog.methods.named:Named"}'
REACHED = [name for name in PACKAGE if name not in {"homolog/unused.py", "script.py"}]


@pytest.fixture
def fingerprint(tmp_path: Path) -> Callable[..., str]:
    """The fingerprint of the small package with some of its files replaced."""
    numbers = itertools.count()

    def make(spec: str = SPEC, **changed: str) -> str:
        root = tmp_path / str(next(numbers))
        for name, text in (PACKAGE | changed).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return Code.read(root, [root / "script.py"]).fingerprint("script.py", spec)

    return make


def test_equal_code_has_an_equal_fingerprint_wherever_it_lies(fingerprint: Callable[..., str]) -> None:
    assert fingerprint() == fingerprint()
    assert re.fullmatch(r"[0-9a-f]{16} python==3\.\d+", fingerprint())


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
    plain = "class number:\n    x = 1\n\n    async def f(self):\n        return 1\n\n\nclass B:\n    pass\n"
    described = (
        'class number:\n    """A."""\n    x = 1\n\n    async def f(self):\n        """F."""\n        return 1\n\n\n'
        'class B:\n    """B."""\n'
    )
    assert fingerprint(**{"homolog/beside.py": plain}) == fingerprint(**{"homolog/beside.py": described})
    assert fingerprint(**{"homolog/beside.py": plain}) != fingerprint()


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
def test_what_imports_run_counts(fingerprint: Callable[..., str], name: str) -> None:
    # Through nested and relative imports, imports inside functions, packages on the way, and names in the spec.
    assert fingerprint(**{name: PACKAGE[name] + "\nprint()\n"}) != fingerprint()


@pytest.mark.parametrize("name", REACHED)
def test_a_definition_that_nothing_uses_does_not_count(fingerprint: Callable[..., str], name: str) -> None:
    unused = (
        '\n\nCONSTANT = {"a": (1, -2.5)}\n\n\ndef function(x=CONSTANT):\n    return x\n\n\n'
        "class A(Exception):\n    y = 1\n"
    )
    assert fingerprint(**{name: PACKAGE[name] + unused}) == fingerprint()


@pytest.mark.parametrize(
    "more",
    [
        "import numpy as np\n\nnp.random.seed(1)",
        "CONSTANT = len('abc')",
        "def function(x=print()):\n    return x",
        "@print\ndef function(x):\n    return x",
        "import functools\n\n\n@functools.partial(print, 1)\ndef function(x):\n    return x",
        "import abc\n\n\nclass A(metaclass=abc.ABCMeta):\n    pass",
        "class A:\n    print()",
        "class A:\n    x = sorted([1])",
        "for i in range(3):\n    pass",
        "if number:\n    number = 5",
        "number += 1",
        "del number",
        "print.something = 1",
        "def function(x: print()):\n    return x",
        "class A:\n    def __init_subclass__(cls):\n        print(cls)\n\n\nclass B(A):\n    pass",
        "class A:\n    def __init_subclass__(cls):\n        0\n\n\nclass B(A):\n    x = 1\n\n\nclass C(B):\n    x = 2",
    ],
)
def test_what_does_something_when_its_module_is_imported_counts(fingerprint: Callable[..., str], more: str) -> None:
    assert fingerprint(**{"homolog/beside.py": f"number = 4\n{more}\n"}) != fingerprint()


@pytest.mark.parametrize(
    "more",
    [
        "import functools\n\n\n@functools.lru_cache(maxsize=None)\ndef function(x):\n    return x",
        "from dataclasses import dataclass, field\n\n\n@dataclass(frozen=True)\nclass A:\n"
        "    x: int = 1\n    y: list = field(default_factory=list)",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from homolog.unused import number as other",
        "class A:\n    @property\n    def x(self):\n        return 1\n\n    @x.setter\n    def x(self, y):\n        0",
        "import numpy as np\n\nTYPE = np.float32",
    ],
)
def test_wrappers_that_only_wrap_do_not_count(fingerprint: Callable[..., str], more: str) -> None:
    assert fingerprint(**{"homolog/beside.py": f"number = 4\n{more}\n"}) == fingerprint()


def test_the_order_of_what_imports_do_counts(fingerprint: Callable[..., str]) -> None:
    acting = {name: PACKAGE[name] + "\nprint()\n" for name in ("homolog/beside.py", "homolog/deep/third.py")}
    imports = ["import homolog.beside\n", "import homolog.deep.third\n"]
    orders = [{"homolog/first.py": f"{a}{b}{PACKAGE['homolog/first.py']}"} for a, b in (imports, imports[::-1])]
    assert fingerprint(**orders[0]) == fingerprint(**orders[1]) == fingerprint()
    assert fingerprint(**acting, **orders[0]) != fingerprint(**acting, **orders[1])


def test_which_name_an_import_gives_counts(fingerprint: Callable[..., str]) -> None:
    two = {"homolog/beside.py": "number = 4\nother = 5\n"}
    first = PACKAGE["homolog/first.py"].replace("value()", "a - b")
    ways = [f"from homolog.beside import {x} as a\nfrom homolog.beside import {y} as b\n" for x, y in
            (("number", "other"), ("other", "number"))]  # fmt: skip
    assert fingerprint(**two, **{"homolog/first.py": ways[0] + first}) != fingerprint(
        **two, **{"homolog/first.py": ways[1] + first}
    )


# What can't be followed by name counts whole, and says why.

WHOLE = {
    "getattr(beside, 'num' + 'ber')": "handed on as a value",
    "beside.absent": "asked for absent",
    "globals()['first']": "uses globals",
}


@pytest.mark.parametrize("expression", WHOLE)
def test_what_names_do_not_tell_counts_whole_and_says_so(tmp_path: Path, expression: str) -> None:
    prints = []
    for i, unused in enumerate(("", "UNUSED = 1\n")):
        root = tmp_path / str(i)
        own = "globals" in expression
        work = f"def work(x):\n    return {expression}\n"
        files = {"homolog/first.py": work + unused} if own else {
            "homolog/first.py": "from homolog import beside\n\n\n" + work, "homolog/beside.py": unused
        }  # fmt: skip
        for name, text in (PACKAGE | files).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        code = Code.read(root, [root / "script.py"])
        prints.append(code.fingerprint("script.py"))
        whole = code.reach("script.py").whole
        assert list(whole) == ["homolog.first" if own else "homolog.beside"]
        assert WHOLE[expression] in next(iter(whole.values()))
    assert prints[0] != prints[1]


def test_what_finds_code_anywhere_counts_all_that_is_imported(fingerprint: Callable[..., str]) -> None:
    work = {"homolog/first.py": PACKAGE["homolog/first.py"] + "    return int.__subclasses__()\n"}
    unused = {"homolog/beside.py": PACKAGE["homolog/beside.py"] + "\nUNUSED = 1\n"}
    assert fingerprint(**unused) == fingerprint()
    assert fingerprint(**work, **unused) != fingerprint(**work)


@pytest.mark.parametrize("name", DYNAMIC)
def test_every_way_to_code_but_its_name_is_told(tmp_path: Path, name: str) -> None:
    work = f"from homolog import late\n\n\ndef work(x):\n    late\n    {name}()\n\n\ndef unused():\n    return 1\n"
    for path, text in (PACKAGE | {"homolog/first.py": work}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    whole = Code.read(tmp_path, [tmp_path / "script.py"]).reach("script.py").whole
    assert whole["homolog.first"] == f"it uses {name}"
    # From some of them all that is imported can be found.
    elsewhere = {module for module, reason in whole.items() if reason == f"homolog.first uses {name}"}
    assert elsewhere == ({"homolog"} if DYNAMIC[name] == "anywhere" else set())


# What planning keeps


def test_what_was_kept_gives_the_same_fingerprint(library: Code, tmp_path: Path) -> None:
    path = library.save(tmp_path)
    kept = Code.load(path)
    assert kept is not None
    assert kept.modules == library.modules
    assert kept.fingerprint("decompose.py", METHODS["pca"]) == library.fingerprint("decompose.py", METHODS["pca"])
    assert library.save(tmp_path) == path
    path.write_text("[")
    assert Code.load(path) is None
    assert Code.load(tmp_path / "absent.json") is None


def test_only_the_main_process_reads_files_and_jobs_get_what_was_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    for name, text in PACKAGE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setenv(VARIABLE, "of another run")
    planned = planned_code(root, root, kept, is_main=True).fingerprint("script.py")
    (root / "homolog" / "beside.py").write_text("number = 40\n")
    assert planned_code(root, root, kept, is_main=False).fingerprint("script.py") == planned
    edited = planned_code(root, root, kept, is_main=True).fingerprint("script.py")
    assert edited == Code.read(root, [root / "script.py"]).fingerprint("script.py") != planned
    assert len(list(kept.iterdir())) == 2
    monkeypatch.delenv(VARIABLE)
    assert planned_code(root, root, kept, is_main=False).fingerprint("script.py") == edited


# Libraries

USES = "from homolog.beside import number\nimport numpy as np\n\n\ndef work(x):\n    return np.sum(x) + number\n"


def test_the_version_of_a_library_counts_where_it_is_used(
    fingerprint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = {"homolog/beside.py": "import numpy as np\n\nnumber = 4\n\n\ndef unused():\n    return np.sum(1)\n"}
    used = {"homolog/first.py": USES}
    before = [fingerprint(**imported), fingerprint(**used)]
    assert "numpy" not in before[0]
    assert re.search(r" numpy==[\d.]+ python==3\.\d+$| python==3\.\d+ numpy==[\d.]+$", before[1])
    monkeypatch.setattr(libraries, "version", lambda name: f"another {name}")
    assert fingerprint(**imported) == before[0]
    assert fingerprint(**used) != before[1]


def test_a_library_that_is_asked_for_by_a_string_counts(fingerprint: Callable[..., str]) -> None:
    work = "def work(x):\n    return x.to_netcdf(engine='h5netcdf')\n"
    assert " h5netcdf==" in fingerprint(**{"homolog/first.py": work})
    assert "scikit-learn==" in fingerprint(**{"homolog/first.py": "def work(x):\n    from sklearn import svm\n"})
    assert " scipy==" in fingerprint(**{"homolog/first.py": "def work(x):\n    from sklearn import svm\n"})


def test_what_is_not_reached_does_not_count(fingerprint: Callable[..., str]) -> None:
    unused = "homolog/unused.py"
    assert fingerprint(**{unused: PACKAGE[unused] + "\nprint()\n"}) == fingerprint()
    assert fingerprint(**{unused: "this is not even (Python"}) == fingerprint()
    assert fingerprint(**{"homolog/methods/another.py": "class Another:\n    pass\n"}) == fingerprint()


@pytest.mark.parametrize("name", ["homolog/methods/named.py", "homolog/methods/helper.py"])
def test_a_method_counts_only_where_the_spec_names_it(fingerprint: Callable[..., str], name: str) -> None:
    change = {name: PACKAGE[name].replace("1", "2").replace("pass", "x = 1")}
    assert change[name] != PACKAGE[name]
    other = SPEC.replace("homolog.methods.named:Named", "homolog.beside:number")
    assert fingerprint(spec=other, **change) == fingerprint(spec=other)
    for spelled in (SPEC, SPEC.replace(":Named", ""), f'{{"views":["homolog.beside:number",{SPEC}]}}'):
        assert fingerprint(spec=spelled, **change) != fingerprint(spec=spelled)


def test_values_of_the_spec_are_no_code(fingerprint: Callable[..., str]) -> None:
    assert fingerprint(spec=SPEC.replace("4", "5")) == fingerprint()


def test_a_module_that_a_star_or_an_alias_brings_in_counts(fingerprint: Callable[..., str]) -> None:
    brought = ("from homolog.unused import *", "import homolog.unused as u", "from homolog import unused as u")
    for statement in brought:
        script = f"{statement}\n{SCRIPT}\n\ndef other():\n    return u.number\n"
        change = {"homolog/unused.py": "number = 7\n"}
        assert fingerprint(**{"script.py": script}) != fingerprint(**{"script.py": script}, **change)


def test_circles_of_imports_end(fingerprint: Callable[..., str]) -> None:
    circle = {"homolog/beside.py": "import homolog.first\nimport homolog.beside\n\nnumber = 4\n"}
    assert fingerprint(**circle) == fingerprint()
    edited = {"homolog/beside.py": circle["homolog/beside.py"].replace("4", "5")}
    assert fingerprint(**edited) != fingerprint(**circle)


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
NAMED = [target for names in (METHODS, FIGURES, VIEWS, ANALYSES, TASKS, CORPORA) for target in names.values()]


SCRIPTS = ROOT / "workflow" / "scripts"


@pytest.fixture(scope="module")
def library() -> Code:
    """The library and all scripts as they are."""
    return Code.read(SOURCES, SCRIPTS.glob("*.py"))


def reach(library: Code, stage: str, *targets: str) -> Reach:
    """What a script reaches, with what its spec names."""
    return library.reach(f"{stage}.py", list(targets))


def module_of(target: str) -> str:
    return target.partition(":")[0]


@pytest.mark.parametrize("target", [*NAMED, *ARCHITECTURES.values()])
def test_every_name_of_the_registry_is_bound(library: Code, target: str) -> None:
    module, _, name = target.partition(":")
    assert not name or name in library.modules[module].bound


@pytest.mark.parametrize("stage", [*STAGES, *JOINT, *TAKEN, *BROWSED, *EXPORTED])
def test_no_job_reaches_the_configuration_or_the_registry(library: Code, stage: str) -> None:
    # Else a new option or a new name would make everything stale. Jobs get what they need as arguments.
    modules = set(reach(library, stage, *NAMED).imported)
    assert "homolog.jobs.stage" in modules
    assert modules.isdisjoint({"homolog.registry", "homolog.provenance", "homolog.__main__"})
    assert not [name for name in modules if name.startswith(("homolog.config", "homolog.planning", "homolog.results"))]


def test_few_modules_are_taken_whole(library: Code) -> None:
    targets = [*NAMED, *ARCHITECTURES.values()]
    whole = {
        name
        for stage in [*STAGES, *JOINT, *TAKEN, *BROWSED, *EXPORTED]
        for name in reach(library, stage, *targets).whole
    }
    # Targets are found by their name, and figures are handed on as they are.
    figures = {module_of(target) for target in FIGURES.values()}
    figures |= {f"homolog.figures.{name}" for name in ("report", "traps_report", "numbers_report", "waterfall")}
    assert whole - figures == {"homolog.loading"}


def test_the_command_line_explains_what_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain-code", "decompose", METHODS["pca"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match("[0-9a-f]{16} .*torch==", lines[0])
    assert any(re.fullmatch(r"homolog\.decompositions\.pca: \d+ of \d+ statements", line) for line in lines)
    assert "homolog.loading: whole, since it uses import_module" in lines
    assert main(["explain-code", "nothing"]) == 1
    assert capsys.readouterr().out.startswith(
        "homolog: error: 'nothing' is no stage; there are analyse, atlas, decompose, "
    )


def test_a_stage_depends_on_the_libraries_that_it_uses(library: Code) -> None:
    def used(stage: str, *targets: str) -> set[str]:
        return {part.partition("==")[0] for part in library.fingerprint(f"{stage}.py", list(targets)).split()}

    assert {"torch", "numpy", "h5py"} <= used("decompose", METHODS["pca"])
    assert "matplotlib" in used("plot", *FIGURES.values())
    assert not {"matplotlib", "scikit-learn"} & used("decompose", METHODS["pca"])
    assert "scikit-learn" in used("train", TASKS["digits"])


@pytest.mark.parametrize(
    ("name", "stale", "spared"),
    [
        ("torch", {"train", "dump_activations", "decompose", "analyse"}, set()),
        ("numpy", {"train", "dump_activations", "decompose", "analyse"}, set()),
        ("scikit-learn", {"train", "dump_activations"}, {"decompose", "plot_tracks"}),
        ("matplotlib", {"plot_tracks"}, {"train", "dump_activations", "decompose", "analyse"}),
    ],
)
def test_another_version_reaches_the_stages_that_use_the_library(
    library: Code, monkeypatch: pytest.MonkeyPatch, name: str, stale: set[str], spared: set[str]
) -> None:
    named = {"train": [TASKS["digits"]], "dump_activations": [TASKS["digits"]], "decompose": [METHODS["pca"]]}
    named["analyse"] = [ANALYSES["stability"]]

    def fingerprints(code: Code) -> dict[str, str]:
        return {stage: code.fingerprint(f"{stage}.py", named.get(stage)) for stage in stale | spared}

    before, version = fingerprints(library), libraries.version
    monkeypatch.setattr(libraries, "version", lambda one: "0.0" if one == name else version(one))
    after = fingerprints(Code(library.modules))
    assert {stage for stage in before if before[stage] != after[stage]} == stale


# Methods that are another one with something on top.
KIND_OF = {"svcca": "cca", "matryoshka_sae": "batch_topk_sae", "crosscoder": "batch_topk_sae"}


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reaches_another_one(library: Code, method: str) -> None:
    own = {module_of(METHODS[name]) for name in (method, KIND_OF.get(method, method))}
    others = {module_of(target) for target in METHODS.values()} - own
    found = set(reach(library, "decompose", METHODS[method]).imported)
    assert module_of(METHODS[method]) in found
    assert found.isdisjoint(others)


def test_later_stages_are_out_of_reach_of_earlier_ones(library: Code) -> None:
    for stage in ("train", "dump_activations", "decompose"):
        assert not [n for n in reach(library, stage).imported if "analyses" in n or "figures" in n], stage
    for stage in ("train", "dump_activations"):
        assert not [name for name in reach(library, stage).imported if "decompositions" in name], stage
    assert "homolog.training" not in reach(library, "plot", *FIGURES.values()).imported
