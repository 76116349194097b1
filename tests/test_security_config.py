"""Does a text in config.yaml, or the name of a folder, become a command, or a path outside results/?"""

from __future__ import annotations

import re
import shlex
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake_interface_executor_plugins.utils import format_cli_arg
from workspace import ROOT, Workspace, environment

from homolog.config import ConfigError, parse_config
from homolog.config.base import LONGEST_HOOK_POINT, LONGEST_NAME
from homolog.config.check_files import check_files
from homolog.config.check_names import TAKEN
from homolog.config.root import RESERVED
from homolog.jobs.command_lines import READ_BY_SHELLS, check_checkout, check_command_lines
from homolog.planning import Plan

# Texts that mean something somewhere on the way: to a shell, to Snakemake, to YAML, to a file system, to a reader.
NASTY = {
    "single quote": "it's", "quotes": "a'b\"c", "command": "$(touch was_run)", "backquotes": "`touch was_run`",
    "semicolon": "a; touch was_run", "quoted command": "'; touch was_run; '", "ampersand": "a && touch was_run",
    "newline": "a\ntouch was_run", "NUL": "a\0b", "backslash": "a\\", "variable": "$HOME", "tilde": "~root",
    "up": "../../up", "absolute": "/tmp/up", "dots": "..", "dot": ".", "dash": "--help", "wildcard": "{model}",
    "format": "{wildcards.__class__}", "brace": "a{b", "long": "n" * 300, "longest": "n" * 5000, "comma": "a,seed=1",
    "percent": "%j", "star": "*", "emoji": "\U0001f642", "right to left": "\u05d0\u05d1", "override": "a\u202eb",
    "line separator": "a\u2028b", "decomposed": "e\u0301", "markup": "</script><script>", "comment": "<!--<script>",
    "empty": "", "space": " ", "tag": "!!python/object/apply:os.system [touch was_run]", "surrogate": "\ud800",
}  # fmt: skip


def mapping() -> dict[str, Any]:
    analysis: dict[str, Any] = {"name": "stability", "null_draws": 2}
    common = {"figure": "stability", "decompositions": ["pca"]}
    return {
        "models": {
            "net": {
                "task": {"name": "fashion_mnist", "path": "images"},
                "architecture": {"name": "mlp", "widths": [8, 8]},
                "training": {"steps": 10},
                "activations": {"hook_points": ["hidden_0", "hidden_1"]},
            },
            "again": {"parent": {"model": "net", "seed": 0}, "reinitialise": ["hidden_1"], "widen": {"hidden_1": 9}},
            "mine": {"external": {"activations": "data/{seed}.npz", "hook_points": ["resid"]}},
        },
        "decompositions": {
            "pca": {"method": "pca", "n_latents": 2},
            "cca": {"method": "cca", "n_latents": 2, "partner": "hidden_0"},
            "theirs": {"method": "given", "path": "saes/{seed}"},
            "named": {"method": "given", "by_run": {"mine/seed_0": "saes/0", "mine/seed_1": "saes/1"}},
        },
        "experiments": {
            "ours": {
                **common,
                "analysis": dict(analysis),
                "decompositions": ["pca", "cca"],
                "hook_points": ["hidden_1"],
                "conditions": {"again": {"models": ["again"], "seeds": [0, 1]}},
            },
            "others": {
                **common,
                "analysis": dict(analysis),
                "hook_points": ["resid"],
                "conditions": {"mine": {"models": ["mine"], "seeds": [0, 1]}},
            },
        },
    }


# Every place where config.yaml gives a text: keys down to it. A last key that starts with "=" is itself the text.
PLACES = [
    "models.=", "decompositions.=", "experiments.=", "experiments.ours.conditions.=", "models.again.widen.=",
    "decompositions.named.by_run.=", "=", "models.net.=", "device", "threads", "models.net.task.name",
    "models.net.task.path", "models.net.architecture.name", "models.net.architecture.activation",
    "models.net.training.optimizer", "models.net.training.steps", "models.net.activations.dtype",
    "models.net.activations.hook_points.0", "models.again.parent.model", "models.again.parent.seed",
    "models.again.reinitialise.0", "models.mine.external.activations", "models.mine.external.hook_points.0",
    "decompositions.pca.method", "decompositions.pca.gauge", "decompositions.pca.n_latents",
    "decompositions.cca.partner", "decompositions.theirs.path", "decompositions.named.by_run.mine/seed_0",
    "experiments.ours.figure", "experiments.ours.analysis.name", "experiments.ours.analysis.conditional_on",
    "experiments.ours.analysis.documents", "experiments.ours.analysis.views", "experiments.ours.analysis.matchings",
    "experiments.ours.hook_points.0", "experiments.ours.decompositions.0", "experiments.ours.optional",
    "experiments.ours.conditions.again.models.0", "experiments.ours.conditions.again.seeds.0",
]  # fmt: skip
# Those that are paths to read, or shown, or looked up in a file: never part of a path that is written.
FREE = {
    "models.net.task.path", "models.mine.external.activations", "decompositions.theirs.path",
    "decompositions.named.by_run.=", "decompositions.named.by_run.mine/seed_0", "experiments.ours.conditions.=",
    "experiments.ours.analysis.conditional_on", "experiments.ours.analysis.documents",
}  # fmt: skip


def put(place: str, text: str) -> dict[str, Any]:
    """The configuration with a text in one place; an entry under a new key is that of the first."""
    config = mapping()
    *way, last = place.split(".")
    below: Any = config
    for key in way:
        below = below[key]
    if last == "=":
        below[text] = next(iter(below.values()), 1)
    elif isinstance(below, list):
        below[int(last)] = text
    else:
        below[last] = text
    return config


def check_told(place: str, text: str) -> bool:
    """Whether a text is refused: in lines that can be read, one of which names the place."""
    try:
        parse_config(put(place, text))
    except ConfigError as error:
        told = error.problems
    else:
        return False
    assert all(line.startswith("config.yaml: ") and line.isprintable() for line in told), told
    where = place.rstrip("=.").split(".conditions")[0].removesuffix(".0")
    assert any(where in line.replace("'", "") or "cca: partner" in line for line in told), told
    return True


def test_the_configuration_is_right_but_for_what_is_put_in() -> None:
    assert set(FREE) <= set(PLACES)
    parse_config(mapping())


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a_text_is_refused_where_it_would_become_a_path_or_a_command(text: str) -> None:
    assert [place for place in PLACES if place not in FREE and not check_told(place, text)] == []


@given(st.sampled_from([place for place in PLACES if place.endswith("=") and place not in FREE]), st.text())
def test_no_other_name_is_taken_than_one_of_letters_digits_and_underscores(place: str, text: str) -> None:
    plain = re.fullmatch(r"[A-Za-z]\w{0,49}", text, re.ASCII)
    assert check_told(place, text) or (plain and len(text) <= LONGEST_NAME)


@pytest.mark.parametrize("place", sorted(FREE))
def test_a_free_text_ends_no_line_and_reaches_no_path_that_is_written(place: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    taken = [text for text in NASTY.values() if not check_told(place, text)]
    assert {NASTY[name] for name in ("single quote", "semicolon", "emoji", "dash", "comma")} <= set(taken)
    for text in taken:
        config = parse_config(put(place, text))
        assert "\n" not in "".join(check_files(config))
        plan = Plan(config)
        runs = list(chain.from_iterable(plan.experiment(name).runs for name in config.experiments))
        assert all(re.fullmatch(r"(net|again|mine)[\w-]*/seed_\d", str(one), re.ASCII) for one in runs)
        for one in dict.fromkeys(runs):
            plan.spec("take_activations" if one.model == "mine" else "train", run=one)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["models", "decompositions", "experiments"])
def test_two_names_that_differ_only_in_case_would_be_one_folder_somewhere(kind: str) -> None:
    config = mapping()
    name, entry = next(iter(config[kind].items()))
    config[kind][name.upper()] = entry
    with pytest.raises(ConfigError) as caught:
        parse_config(config)
    assert f"config.yaml: {kind}.{name.upper()}: differs from '{name}' by its case alone" in str(caught.value)


def test_two_hook_points_or_labels_that_a_reader_takes_for_one_are_told() -> None:
    config = mapping()
    config["models"]["mine"]["external"]["hook_points"] = ["resid", "Resid"]
    condition = config["experiments"]["ours"]["conditions"].pop("again")
    config["experiments"]["ours"]["conditions"] = {"caf\u00e9": condition, "cafe\u0301": condition}
    with pytest.raises(ConfigError) as caught:
        parse_config(config)
    assert "hook_points.Resid: differs from 'resid' by its case alone" in str(caught.value)
    assert "by its Unicode form alone" in str(caught.value)


@pytest.mark.parametrize("name", [*TAKEN, "Logs", "..", ".hidden", "a..b", "n" * 101])
def test_a_hook_point_that_would_fall_on_something_else_is_refused(name: str) -> None:
    config = mapping()
    config["models"]["mine"]["external"]["hook_points"] = config["experiments"]["others"]["hook_points"] = [name]
    with pytest.raises(ConfigError, match=r"models.mine.external.hook_points: '.*; allowed: "):
        parse_config(config)


def test_what_stands_beside_hook_points_is_known(built: Workspace) -> None:
    folder = built.results / "models" / "digits_mlp" / "seed_0"
    points = {"hidden_0", "hidden_1", "hidden_2", "logits"}
    with h5py.File(folder / "activations.h5") as file:
        there = set(file) - points
    there |= {path.name for path in folder.iterdir()} - points
    # What only networks from outside have.
    of_corpora = {"position", "token_id", "document"}
    assert there - {"model.safetensors", "training.nc"} == set(TAKEN) - of_corpora


@pytest.mark.parametrize(
    "place", ["models.net.task.path", "models.mine.external.activations", "decompositions.theirs.path"]
)
def test_braces_that_nothing_fills_in_would_be_wildcards(place: str) -> None:
    assert check_told(place, "data/{run}")
    assert check_told(place, "data/{seed")
    assert check_told(place, "data/{seed}") == place.startswith("models.net")


def test_every_rule_is_reserved() -> None:
    texts = [path.read_text() for path in (*(ROOT / "workflow" / "rules").glob("*.smk"), ROOT / "Snakefile")]
    rules = [name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)]
    assert sorted(RESERVED) == sorted(rules)


def test_the_longest_names_make_no_path_that_is_too_long(tmp_path: Path) -> None:
    name, point, seed = "n" * LONGEST_NAME, "n" * LONGEST_HOOK_POINT, str(2**31 - 1)
    for part in (f"{name}-regauged-hidden_999", f".{name}.h5.training.partial", f"{name}_{seed}_{point}_{name}.log"):
        (tmp_path / part).touch()


# Command lines


def printed(command: str, folder: Path) -> str:
    """What arrives behind a command line, as ``printf``'s arguments."""
    done = subprocess.run(["sh", "-c", f"printf '%s|' {command}"], cwd=folder, capture_output=True, text=True)
    return done.stdout


def wrapped(command: str) -> str:
    """As the plugin for SLURM submits it."""
    escaped = command.replace('"', '\\"')
    return f'"$(sh -c "printf \'%s|\' {escaped}")"'


PIECES = st.sampled_from(
    [*"'\"`$\\(){}[]<>;&|*?!#~%=, \n\t\u202e\u00a0\u00e9ab", "$(touch was_run)", "`touch was_run`"]
)


@given(st.lists(PIECES, max_size=6).map("".join))
def test_a_folder_is_refused_or_arrives_as_it_is_through_every_quoting(tmp_path_factory, name: str) -> None:
    here = tmp_path_factory.getbasetemp()
    folder = f"/study/{name}"
    if check_command_lines(folder, "/homolog", "/usr/bin/python3"):
        assert READ_BY_SHELLS & set(name) or not name.isprintable()
        return
    # As an argument of Snakemake's own, in a `cd`, as a job script's path, and all of it in `sbatch --wrap="..."`.
    assert printed(format_cli_arg("--directory", folder), here) == f"--directory|{folder}|"
    assert printed(f'"{folder}"', here) == f"{folder}|"
    for command in (format_cli_arg("--directory", folder), f"--directory {shlex.quote(folder)}"):
        assert printed(wrapped(command), here) == f"--directory|{folder}||"
    assert not (here / "was_run").exists()


@pytest.mark.parametrize("name", ["it's $(touch was_run)", "it's `touch was_run`"])
def test_what_is_refused_would_be_run(name: str, tmp_path: Path) -> None:
    (line,) = check_command_lines(f"/study/{name}", "/homolog", "/usr/bin/python3")
    assert line.startswith(f"the folder {f'/study/{name}'!r} can't stand on the command line of a job")
    printed(format_cli_arg("--directory", f"/study/{name}"), tmp_path)
    assert (tmp_path / "was_run").exists()


def test_programs_that_need_quotes_and_an_option_with_a_command_are_told() -> None:
    options = ["threads=1", "models={'a': '$(b)'}"]
    told = check_command_lines("/my study", "/my homolog; touch was_run", "/my study/.venv/bin/python", options)
    assert [line.split(" can't stand on the command line of a job")[0] for line in told] == [
        "the option --config \"models={'a': '$(b)'}\"",
        "the Python '/my study/.venv/bin/python'",
        "the checkout '/my homolog; touch was_run'",
    ]


def test_a_checkout_whose_path_is_a_pattern_is_told() -> None:
    assert check_checkout("/homolog (2)") == []
    assert len(check_checkout("/{name}/homolog")) == 1


# Through Snakemake

# Each part would do something if a shell, a glob or YAML read it.
ODD = 'it\'s `touch was_run` $(touch was_run) "a"; touch was_run; *# %j \u05d0 \U0001f642'


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study in a folder of such a name, with data of such names and such labels; one of its two runs is unfit."""
    workspace = Workspace(ROOT, tmp_path_factory.mktemp("odd") / f"{ODD} {{model}} {{x")
    (workspace.folder / ODD).mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(2, 60, 6)).astype("float32")
    values[1, 3] = np.nan
    for seed in (0, 1):
        np.save(workspace.folder / ODD / f"{ODD} {seed}.npy", values[seed])
    experiment = {
        "analysis": {"name": "stability", "null_draws": 2, "views": ["score"]},
        "figure": "stability",
        "hook_points": ["resid"],
        "decompositions": ["pca"],
        "conditions": {ODD.replace("$", ""): {"models": ["mine"], "seeds": [0, 1]}},
    }
    config = {
        "models": {"mine": {"external": {"activations": f"{ODD}/{ODD} {{seed}}.npy", "hook_points": ["resid"]}}},
        "decompositions": {"pca": {"method": "pca", "n_latents": 2}},
        "experiments": {"theirs": experiment},
    }
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return workspace


@pytest.fixture(scope="module")
def done(odd: Workspace) -> subprocess.CompletedProcess[str]:
    """Both runs' activations are asked for, with a logger plugin; Snakemake's own messages go to its log."""
    known = environment() | {"PYTHONPATH": str(ROOT / "tests" / "plugins")}
    targets = [f"results/models/mine/seed_{seed}/activations.h5" for seed in (0, 1)]
    return odd.snakemake("--cores", "1", "--keep-going", "--logger", "lines", "--", *targets, env=known)


def test_odd_folders_paths_and_labels_are_taken_as_they_are(odd: Workspace, done: Any) -> None:
    with h5py.File(odd.results / "models" / "mine" / "seed_0" / "activations.h5") as file:
        assert file["resid/activations"].shape == (60, 6)
    assert [path for path in odd.folder.parent.rglob("*") if path.name == "was_run"] == []


def test_a_logger_plugin_hears_what_the_default_logger_says(odd: Workspace, done: Any) -> None:
    (log,) = (odd.folder / ".snakemake" / "log").iterdir()
    ours, default = done.stdout.splitlines(), log.read_text()
    message = "take activations of mine, seed {}"
    for seed in (0, 1):
        assert f"job_info| take_activations: {message.format(seed)}" in ours
        assert re.search(rf"^Job \d+: {message.format(seed)}$", default, re.MULTILINE)
    logs = "results/models/mine/seed_1/logs/take_activations.log"
    assert f"job_error| take_activations: see {logs}" in ours
    assert "Error in rule take_activations:" in default
    assert f"    log: {logs} (check log file(s) for error details)" in default
    # What the job itself says goes by no logger.
    (told,) = (line for line in ours if line.startswith("homolog: error: "))
    assert told.endswith("leave out the rows that hold them.")
    assert ours[ours.index("progress| 1 of 2") + 1].startswith("message| left: 1 take_activations; about ")
    assert "1 of 2 steps (50%) done\nleft: 1 take_activations; about" in default
    assert "Traceback" not in done.stdout + default


@pytest.mark.parametrize("executor", ["cluster-generic", pytest.param("slurm", marks=pytest.mark.slow)])
def test_nothing_is_submitted_from_a_folder_that_shells_would_read(odd: Workspace, executor: str) -> None:
    profile = ROOT / "profiles" / executor
    told = odd.snakemake("--workflow-profile", profile, "results/models/mine/seed_0/resid/pca.h5")
    assert told.returncode != 0
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("homolog: error: ")]
    assert line.startswith(f"homolog: error: the folder {str(odd.folder)!r} can't stand on the command line of a job")
    assert [path for path in odd.folder.parent.rglob("*") if path.name == "was_run"] == []
