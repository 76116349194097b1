"""Do README and docs name what is there: targets, files, variables, dependencies, and do their examples work?"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import jinja2
import pytest
import xarray as xr
import yaml
from docutils.core import publish_parts
from packaging.requirements import Requirement
from workspace import ROOT, Workspace, run

from homolog.__main__ import main
from homolog.alignment.matching import MATCHINGS
from homolog.config import parse_config, parse_decomposition
from homolog.figures.report import COLUMNS, KEYS
from homolog.registry import ANALYSES, ARCHITECTURES, CORPORA, FIGURES, METHODS, TASKS, VIEWS

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FILES = (ROOT / "docs" / "files.md").read_text()
SCIENCE = (ROOT / "docs" / "science.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
# Where a package has another name in conda's channels.
CONDA_NAMES = {"torch": "pytorch"}
# What conda's way in needs besides: the interpreter, and what `pip install --no-deps -e .` builds with.
CONDA_ONLY = {"python": ">=3.11", "pip": "", "setuptools": ">=77"}
DICTIONARY = "models/digits_mlp/seed_0/hidden_1/topk.h5"
ACTIVATIONS = "models/digits_mlp/seed_0/activations.h5"


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def code(text: str) -> list[str]:
    """Every piece of code that a reader may type: lines of shell blocks, and code in running text."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*"".join(blocks(text, "sh")).splitlines(), *re.findall(r"`([^`\n]+)`", outside)]


def arguments(command: str) -> set[str]:
    """The first argument of `command` wherever the documents say to run it, options left out."""
    found = (
        re.match(rf"{command} (?:--cores \d+ |-n )?([\w.][\w./-]*)", line)
        for page in PAGES
        for line in code(page.read_text())
    )
    return {match[1] for match in found if match}


def mentioned(names: Iterable[str], text: str) -> set[str]:
    """The `names` that stand in `text` as code."""
    words = set(re.findall(r"[\w.]+", " ".join(re.findall(r"`([^`\n]+)`", text))))
    return {str(name) for name in names} & words


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def example() -> dict[str, Any]:
    (text,) = blocks(README, "yaml")
    return dict(yaml.safe_load(text))


# README


def test_the_example_is_a_right_config():
    assert list(parse_config(example()).experiments) == ["narrow"]


def test_the_example_is_planned_from_training_to_figure(tmp_path):
    workspace = Workspace.fresh(tmp_path)
    (workspace.folder / "config.yaml").write_text(blocks(README, "yaml")[0])
    planned = workspace.planned("narrow")
    last = {"analyse narrow", "plot narrow", "plot_training narrow"}
    assert {"train small/seed_0", "train small_retrained/seed_2", *last} <= planned


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    named = {name for page in PAGES for line in code(page.read_text()) for name in re.findall(r"^make ([\w-]+)$", line)}
    assert named >= {"stability", "test", "all", "lock", "schema", "image"}
    assert named <= targets


def test_every_snakemake_target_that_is_named_exists():
    experiments = {*CONFIG["experiments"], *example()["experiments"]}
    targets = experiments | {f"results/figures/{name}.pdf" for name in experiments}
    targets |= {"atlases", *(f"results/atlas/{name}/index.html" for name in experiments)}
    targets |= {name for one in CONFIG["experiments"].values() for name in one.get("collections", [])}
    targets |= {f"results/export/{name}/tracks.{kind}" for name in experiments for kind in ("csv", "parquet")}
    targets |= {
        f"results/export/{name}/{model}/seed_{seed}/{hook_point}/{decomposition}/README.md"
        for name, experiment in {**CONFIG["experiments"], **example()["experiments"]}.items()
        for condition in experiment.get("conditions", {}).values()
        for model, seed in product(condition["models"], condition["seeds"])
        for hook_point, decomposition in product(experiment["hook_points"], experiment["decompositions"])
    }
    named = arguments("snakemake")
    assert {"results/figures/stability.pdf", "narrow"} <= named <= targets
    assert set(CONFIG["experiments"]) - {"stability"} <= named, "an experiment isn't named in the documents"


# What the founding documents ask.
AGENDA = (
    "animals",
    "arrangement",
    "arrangement_layers",
    "arrangement_stream",
    "causal_features",
    "data_init",
    "double_descent",
    "fixed_features",
    "grokking",
    "how_many",
    "hybrid",
    "known_circuit",
    "l1_collapse",
    "no_features",
    "recovery",
    "red_triangle",
    "residual_directions",
    "reuse",
    "sae_twice",
    "scales",
    "self_simulation",
    "shrinkage",
    "superposition",
    "tails",
    "top_m",
    "tuning",
    "weight_sparsity",
    "which_method",
)


def test_every_question_of_the_agenda_has_a_target_and_is_in_the_collection_and_the_docs():
    held = {name for name, one in CONFIG["experiments"].items() if "seeds" in one.get("collections", [])}
    assert held >= {*AGENDA}
    page = (ROOT / "docs" / "experiments.md").read_text()
    assert {name for name in held if f"snakemake {name}\n" not in page or f"- **{name}**:" not in page} == set()


def test_every_subcommand_that_is_named_exists():
    named = arguments("python -m homolog")
    assert "check" in named
    for name in named:
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])


def tree() -> list[Path]:
    """Paths of the tree under "What is where": two spaces deeper is inside the folder above."""
    (text,) = (block for block in blocks(README, "") if "Snakefile" in block)
    folder, paths = Path(), []
    for line in text.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        folder = Path() if not indent else folder
        paths.append(folder / name)
        folder = Path(name) if not indent else folder
    return paths


def test_every_path_of_the_tree_exists():
    paths = tree()
    assert len(paths) > 30
    assert [str(path) for path in paths if path.name != "results" and not (ROOT / path).exists()] == []


def test_the_tree_names_every_module_and_folder_of_the_library():
    library = {
        path.name for path in (ROOT / "src" / "homolog").iterdir() if not path.name.startswith(("__init__", "__py"))
    }
    assert {path.name for path in tree() if path.parent.name == "homolog"} == library


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


# Environments


def lower_bounds(requirements: Iterable[str]) -> dict[str, str]:
    parsed = [Requirement(text) for text in requirements]
    return {CONDA_NAMES.get(one.name, one.name).lower(): str(one.specifier) for one in parsed}


def test_the_conda_environment_is_in_step_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = lower_bounds([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    found = lower_bounds(environment["dependencies"])
    assert found == {**wanted, **CONDA_ONLY}
    assert CONDA_ONLY["python"] == project["requires-python"]
    assert environment["channels"] == ["conda-forge", "bioconda"]


def test_every_dependency_is_pinned_and_torch_alike_in_lock_and_makefile():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line]
    pins = {one.name.lower().replace("_", "-"): one.specifier for one in lock}
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(text)
        (pin,) = pins[wanted.name.lower()]
        assert pin.operator == "==", f"{wanted.name} isn't pinned"
        assert wanted.specifier.contains(pin.version), f"{wanted} in pyproject.toml, {pin} in requirements.lock"
    assert f"torch{pins['torch']}" in MAKEFILE


# Files and variables


def variables(dataset: xr.Dataset) -> set[str]:
    return {str(name) for name in dataset.variables}


def test_every_variable_of_an_experiment_is_documented_and_no_other(built):
    text = section(FILES, "stability.nc")
    with xr.open_dataset(built.results / "experiments/stability/stability.nc", engine="h5netcdf") as dataset:
        assert variables(dataset) - mentioned(variables(dataset), text) == set()
        first_columns = " ".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE))
        assert set(re.findall(r"`(\w+)`", first_columns)) - variables(dataset) == set()


def test_the_dims_of_an_experiment_are_documented(built):
    with xr.open_dataset(built.results / "experiments/stability/stability.nc", engine="h5netcdf") as dataset:
        above: tuple[str, ...] = ()
        for names, dims in re.findall(r"^\| (`.*?) \| ([a-z_, ]+?) \|", section(FILES, "stability.nc"), re.MULTILINE):
            above = above if dims == "the same" else tuple(dims.split(", "))
            for name in re.findall(r"`(\w+)`", names):
                assert dataset[name].dims == ((name,) if dims == "each its own" else above), name


def test_every_variable_of_a_run_is_documented(built):
    with xr.open_dataset(built.results / DICTIONARY, engine="h5netcdf") as dataset:
        given = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())["decompositions"]["topk"]
        undocumented = variables(dataset) - set(parse_decomposition(given).expand()[0])
        assert undocumented - mentioned(undocumented, section(FILES, "`<decomposition>.h5`")) == set()
    with h5py.File(built.results / ACTIVATIONS) as file:
        found = {name for group in [file, *file.values()] if isinstance(group, h5py.Group) for name in group}
    found -= {"sample", "unit", "next_unit", "hidden_0", "hidden_1", "hidden_2", "logits"}
    assert found - mentioned(found, section(FILES, "activations.h5")) == set()


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("experiments/stability/stability.nc", "stability.nc"),
        (DICTIONARY, "`<decomposition>.h5`"),
        (ACTIVATIONS, "activations.h5"),
        ("models/digits_mlp/seed_0/training.nc", "training.nc"),
    ],
)
def test_every_attribute_is_documented(built, path, where):
    text = section(FILES, "Attributes that all array files carry") + section(FILES, where)
    with h5py.File(built.results / path) as file:
        names = {name for name in file.attrs if not name.startswith("_")}
    assert names - mentioned(names, text) == set()


def test_every_column_of_the_table_is_documented(built):
    header = (built.results / "figures" / "stability.csv").read_text().splitlines()[0].split(",")
    assert {*KEYS, *COLUMNS} - {"observed_mean"} <= set(header)
    assert set(header) - mentioned(header, section(FILES, "The figures' text and CSV")) == set()


def test_every_path_under_results_is_documented(built):
    patterns = re.findall(r"`(results/[^`]+)`", FILES)
    kinds = [re.sub(r"<\w+>", "*", pattern) for pattern in patterns if not pattern.endswith("/")]
    known = {path for kind in kinds for path in built.folder.glob(kind)}
    known |= {path.with_suffix(end) for path in known if path.suffix == ".pdf" for end in (".txt", ".csv")}
    written = {path for path in built.results.rglob("*") if path.is_file() and path.suffix not in (".log", ".tsv")}
    assert written - known == set()


# Names


@pytest.mark.parametrize("registry", [METHODS, VIEWS, MATCHINGS], ids=["methods", "views", "matchings"])
def test_every_name_is_explained_in_the_science(registry):
    assert set(registry) - mentioned(registry, SCIENCE) == set()


def test_every_registry_is_explained_in_contributing():
    names = ["TASKS", "CORPORA", "ARCHITECTURES", "METHODS", "VIEWS", "ANALYSES", "FIGURES", "MATCHINGS"]
    assert mentioned(names, CONTRIBUTING) == set(names)


def test_every_name_is_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    names = {*TASKS, *CORPORA, *ARCHITECTURES, *METHODS, *VIEWS, *ANALYSES, *FIGURES, *MATCHINGS}
    assert names - mentioned(names, text) == set()


@pytest.mark.parametrize("name", [*CONFIG["experiments"], "narrow"])
def test_the_caption_of_a_report_is_right_for_every_experiment(name):
    source = (ROOT / "workflow" / "report" / "experiment.rst").read_text()
    config = {part: {**CONFIG[part], **example()[part]} for part in ("models", "decompositions", "experiments")}
    seen = SimpleNamespace(
        wildcards=SimpleNamespace(experiment=name), config=config, input=SimpleNamespace(data=f"{name}.nc")
    )
    # A StrictUndefined name or a mistake in the markup (severity 2) raises.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(source).render(snakemake=seen)
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]
    assert name in body
    assert all(label in body for label in config["experiments"][name].get("conditions", {}))


def test_the_caption_of_tracks_leads_to_the_atlas():
    source = (ROOT / "workflow" / "report" / "tracks.rst").read_text()
    seen = SimpleNamespace(wildcards=SimpleNamespace(experiment="some"), input=SimpleNamespace(tracks="tracks.nc"))
    text = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source).render(snakemake=seen)
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]
    # From where `snakemake --report report.html` puts it, beside results/.
    assert 'href="results/atlas/some/index.html"' in body
    # The path that the rule makes.
    assert 'index="results/atlas/{experiment}/index.html"' in (ROOT / "workflow" / "rules" / "atlas.smk").read_text()


def test_no_text_of_a_config_is_markup_in_a_caption():
    """Else it could put what it likes into the report, scripts too."""
    source = (ROOT / "workflow" / "report" / "experiment.rst").read_text()
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    label = "`a <javascript:b>`_ *c* |d| e_ <b> \\ .. raw:: html"
    conditions = config["experiments"]["stability"]["conditions"]
    config["experiments"]["stability"]["conditions"] = {label: next(iter(conditions.values()))}
    config["models"]["digits_mlp"]["task"]["path"] = "</script><script>\\ .. raw:: html"
    seen = SimpleNamespace(
        wildcards=SimpleNamespace(experiment="stability"), config=config, input=SimpleNamespace(data="x")
    )
    text = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source).render(snakemake=seen)
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]
    assert f"runs of {html.escape(label, quote=False)} (" in body
    assert "<a " not in body
    assert "script>" not in body


def test_the_graph_of_rules_is_what_snakemake_says(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "config.yaml", tmp_path)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    done = run([*command, "--cores", "1", "--rulegraph", "mermaid-js", "--", "crosscoder"], stderr=subprocess.DEVNULL)
    named = dict(re.findall(r"(id\d+)\[(\w+)\]", done.stdout))
    said = {(named[a], named[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", done.stdout)}
    (graph,) = blocks((ROOT / "docs" / "architecture.md").read_text(), "mermaid")
    assert set(re.findall(r"(\w+) --> (\w+)", graph)) == said
