"""Do globs of hook points mean what is there, are networks asked only once, and is every mistake told before a job?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from workspace import ROOT, Workspace

from homolog.config import Config, ConfigError, parse_config
from homolog.networks import asking
from homolog.networks.points import chosen, filled_in, find
from homolog.planning import Plan, Run

Change = Callable[[dict[str, Any]], object]
PARTS = """
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return x + self.mlp(self.norm(x))
"""
NETWORK = """
import torch
from torch import nn
from mine.parts import Block

print("code of others prints what it likes")

class Network(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(Block(6) for _ in range(blocks))
        self.heads = nn.ModuleDict({"a-b": nn.Linear(6, 2)})
        self.norm = nn.LayerNorm(6)
        self.spare = nn.Linear(6, 6)

    def forward(self, x):
        for block in self.blocks:
            x = block(self.norm(x))
        return self.heads["a-b"](x)

def network(seed, blocks=3, scripted=False):
    torch.manual_seed(seed)
    made = Network(blocks)
    if scripted:
        made.blocks[1] = torch.jit.trace(made.blocks[1], torch.ones(1, 6))
    return made
"""


def config(points: Any = None, experiment: list[str] | None = None) -> dict[str, Any]:
    """A family of networks of three blocks, and one trained here."""
    return {
        "device": "cpu",
        "models": {
            "family": {
                "network": {"python": "mine.networks:network", "arguments": {"seed": "{seed}"}},
                "data": {"name": "arrays", "path": "rows.npy"},
                "activations": {"hook_points": points or {"mlp_*": "blocks.*.mlp", "into_*": "blocks.*.mlp:in"}},
            },
            "ours": {
                "task": {"name": "digits"},
                "architecture": {"name": "mlp", "widths": [8, 8]},
                "training": {"steps": 3},
            },
            "again": {"parent": {"model": "ours", "seed": 0}, "reinitialise": ["hidden_1"]},
        },
        "decompositions": {"pca": {"method": "pca", "n_latents": 3}},
        "experiments": {
            "of_mlps": {
                "analysis": {"name": "stability", "null_draws": 4, "views": ["score"]},
                "figure": "stability",
                "hook_points": experiment or ["mlp_*"],
                "decompositions": ["pca"],
                "conditions": {"seeds": {"models": ["family"], "seeds": [4, 7]}},
            }
        },
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_all(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "parts.py").write_text(PARTS)
    (folder / "mine" / "networks.py").write_text(NETWORK)
    np.save(folder / "rows.npy", np.random.default_rng(0).standard_normal((120, 6), np.float32))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every question that is asked anew; they are answered in this process, which has torch already."""
    questions: list[dict[str, Any]] = []

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        from homolog.networks.answering import answer

        questions.append(question)
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            monkeypatch.delitem(sys.modules, name)
        found = answer(question)
        if "problem" in found:
            raise ValueError(found["problem"])
        return {**found, "files": [path for path in found["files"] if "/mine/" in path]}

    monkeypatch.setattr(asking, "_ask", answer)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return questions


def points_of(config: Config) -> dict[str, str]:
    model = config.network("family")
    assert model is not None
    return model.activations.named()


# What they mean


def test_stars_in_a_name_take_what_those_of_the_glob_stand_for(here: Path, asked: list[Any]) -> None:
    plan = Plan(parse_config(config()))
    expected = {f"mlp_{i}": f"blocks.{i}.mlp" for i in range(3)} | {f"into_{i}": f"blocks.{i}.mlp:in" for i in range(3)}
    assert points_of(plan.config) == expected
    assert json.loads(plan.spec("dump_network", run=Run("family", 7)))["points"] == expected
    assert plan.experiment("of_mlps").hook_points == ["mlp_0", "mlp_1", "mlp_2"]
    assert [question["network"]["arguments"] for question in asked] == [{"seed": 4}]


def test_modules_of_a_list_go_by_their_own_names(here: Path, asked: list[Any]) -> None:
    found = parse_config(config(["blocks.?.mlp", "blocks.2.*"], ["blocks.2.**", "blocks.0.mlp"]))
    assert list(points_of(found)) == [*(f"blocks.{i}.mlp" for i in range(3)), "blocks.2.norm"]
    experiment = Plan(found).experiment("of_mlps")
    assert experiment.hook_points == ["blocks.2.mlp", "blocks.2.norm", "blocks.0.mlp"]


def test_containers_and_the_network_itself_are_none(here: Path, asked: list[Any]) -> None:
    """Two stars stand for any number of parts: what isn't called is left out."""
    found = points_of(parse_config(config({"all_**": "blocks.**"}, ["all_0"])))
    assert found["all_1.mlp.0"] == "blocks.1.mlp.0"
    assert len(found) == 3 * 5  # each block, its two parts, and the two within one of them
    assert "" not in [point.module for point in find("**", ["", "a", "a.b"])]


def test_several_stars_are_taken_over_in_their_order(here: Path, asked: list[Any]) -> None:
    found = points_of(parse_config(config({"of_*_the_*": "blocks.*.m*p"}, ["of_**"])))
    assert found == {f"of_{i}_the_l": f"blocks.{i}.mlp" for i in range(3)}
    assert filled_in("a_*.**_?", ["x", "y.z", "1"]) == "a_x.y.z_1"


def test_experiments_choose_among_the_names_of_models_that_are_trained_here(tmp_path: Path) -> None:
    mapping = config(experiment=["hidden_*"])
    del mapping["models"]["family"]
    mapping["experiments"]["of_mlps"]["conditions"] = {"again": {"models": ["again"], "seeds": [0, 1]}}
    assert parse_config(mapping).experiments["of_mlps"].hook_points == ["hidden_0", "hidden_1"]
    assert chosen("hidden_?", ["hidden_1", "hidden_10", "logits"]) == ["hidden_1"]


def test_what_is_said_of_hook_points_and_what_was_retrained_follow(here: Path, asked: list[Any]) -> None:
    mapping = config(experiment=["mlp_?"])
    family = mapping["models"]["family"]
    family |= {"objective": "label", "training": {"steps": 1, "batch_size": 8}}
    family["activations"]["streams"] = ["into_*"]
    mapping["models"]["block"] = {"parent": {"model": "family", "seed": 5}, "reinitialise": ["blocks.1"]}
    mapping["experiments"]["of_mlps"]["conditions"] = {"again": {"models": ["block"], "seeds": [0, 1]}}
    plan = Plan(parse_config(mapping))
    assert [question["network"]["arguments"] for question in asked] == [{"seed": 5}]
    family_read = plan.config.network("block")
    assert family_read is not None
    assert family_read.activations.streams == ["into_0", "into_1", "into_2"]
    assert plan.experiment("of_mlps").hook_points == ["mlp_0", "mlp_1", "mlp_2"]
    where = {"run": Run("block", 1), "hook_point": "mlp_1", "decomposition": "pca"}
    about = json.loads(plan.spec("export", experiment="of_mlps", **where))["about"]
    assert (about["network"], about["module"]) == ("mine.networks:network", "blocks.1.mlp")
    assert (about["given"], about["drawn anew"]) == ({"arguments": {"seed": 5}}, ["blocks.1"])


# They are asked once


def test_only_what_can_change_the_answer_makes_networks_be_asked_again(here: Path, asked: list[Any]) -> None:
    def times(mapping: dict[str, Any] | None = None) -> int:
        asked.clear()
        parse_config(mapping or config())
        return len(asked)

    assert [times(), times()] == [1, 0]
    other = config({"norm_*": "blocks.*.norm"}, ["norm_1"])
    assert times(other) == 0  # Other globs choose among the same modules.
    other["models"]["family"]["network"]["arguments"]["blocks"] = 2
    assert [times(other), times(other)] == [1, 0]
    assert list(points_of(parse_config(other))) == ["norm_0", "norm_1"]
    module, parts = here / "mine" / "networks.py", here / "mine" / "parts.py"
    os.utime(module)
    assert times() == 0
    module.write_text(NETWORK.replace("range(blocks)", "range(blocks + 1)"))
    assert [times(), times()] == [1, 0]
    # What the module imports in its turn.
    parts.write_text(PARTS.replace("self.norm", "self.layer_norm"))
    assert [times(), times()] == [1, 0]
    for kept in (here / asking.KEPT).glob("*.json"):
        kept.write_text("{")
    assert [times(), times()] == [1, 0]


def test_without_a_glob_nothing_is_asked(here: Path, asked: list[Any]) -> None:
    parse_config(config(["blocks.0.mlp"], ["blocks.0.mlp"]))
    assert asked == []
    assert not (here / ".snakemake").exists()


def test_large_files_are_told_by_size_and_time_and_small_ones_by_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"a" * 100)
    first = asking._stamp(str(file))
    os.utime(file, (1, 1))
    assert asking._stamp(str(file)) == first
    file.write_bytes(b"b" * 100)
    assert asking._stamp(str(file)) != first
    monkeypatch.setattr(asking, "_READ_WHOLE", 99)
    told = asking._stamp(str(file))
    os.utime(file, (1, 1))
    assert asking._stamp(str(file)) != told
    assert asking._stamp(str(tmp_path / "nothing")) == "absent"


def test_where_nothing_can_be_kept_all_the_same_is_said(here: Path, asked: list[Any]) -> None:
    (here / ".snakemake").write_text("a file in the way")
    assert list(points_of(parse_config(config(["blocks.*"], ["blocks.0"])))) == [f"blocks.{i}" for i in range(3)]


# Mistakes


def of_network(**options: Any) -> Change:
    return lambda c: c["models"]["family"]["network"].update(options)


def reading(points: Any) -> Change:
    return lambda c: c["models"]["family"]["activations"].update(hook_points=points)


MISTAKES: dict[str, tuple[Change, str]] = {
    "nothing is meant": (
        reading({"mlp_*": "block.*.mlp"}),
        "models.family.activations.hook_points: hook point 'block.*.mlp' matches no module of the network; `python -m",
    ),
    "no star in the name": (
        reading({"mlp": "blocks.*.mlp"}),
        "'mlp' has 0 wildcards, and 'blocks.*.mlp' 1, which means 3 (blocks.0.mlp, blocks.1.mlp, blocks.2.mlp); "
        "allowed: as many in both, since the name takes over what each stands for; write for instance mlp_*",
    ),
    "a star in the name alone": (reading({"mlp_*": "norm@0"}), "'mlp_*' has 1 wildcards, and 'norm@0' 0, which means"),
    "two of one name": (
        reading({"mlp_*": "blocks.*.mlp", "mlp_1": "blocks.1.norm"}),
        "'mlp_1': both blocks.1.mlp and blocks.1.norm would go by the name mlp_1; allowed: a name for each; rename",
    ),
    "a form that names can't have": (
        reading(["blocks.*.mlp:in"]),
        "'blocks.*.mlp:in' means 'blocks.0.mlp:in'; allowed: letters, digits, underscores and dots, as results go by "
        "it; write a mapping, such as {my_name_*: 'blocks.*.mlp:in'}",
    ),
    "a module whose name paths can't have": (
        reading({"head_*": "heads.*"}),
        "'head_*', of 'heads.*', becomes 'head_a-b'; allowed: letters, digits, underscores and dots, as results go by "
        "it; name 'heads.a-b' by itself",
    ),
    "never called": (
        reading(["spa*"]),
        "hook point 'spa*' means spare, and none is called in a forward pass on such inputs: choose among those that",
    ),
    "called several times": (
        reading({"norm_*": "nor*"}),
        "hook point norm: the module is called 3 times in a forward pass, so it isn't clear which call is meant: write",
    ),
    "a script module": (
        lambda c: [
            of_network(arguments={"seed": 4, "scripted": True})(c),
            reading({"mlp_*": "blocks.*.mlp"})(c),
        ],
        "hook point 'blocks.*.mlp' means blocks.1.mlp, a ScriptModule, in which hooks don't run: give the module as it",
    ),
    "no name of a hook point": (
        reading(["blocks.*:up"]),
        "hook point 'blocks.*:up'; allowed: `module`, then if needed",
    ),
    "a network that can't be loaded": (
        of_network(arguments={"seed": 0, "colour": "red"}),
        "models.family.activations.hook_points: mlp_*, into_*: what is meant can't be told: mine.networks:network "
        "failed with TypeError: network() got an unexpected keyword argument 'colour'; mend it, or its arguments",
    ),
    "a network that isn't there": (
        of_network(python="mine.nothing:network"),
        "models.family.network: seed 4: there is no module mine.nothing, neither installed nor in",
    ),
    "data that aren't there": (
        lambda c: c["models"]["family"]["data"].update(path="absent.npy"),
        "what is meant can't be told: arrays: absent.npy can't be read as .npy or .npz of numbers",
    ),
    "an experiment's glob": (
        lambda c: c["experiments"]["of_mlps"].update(hook_points=["mpl_*"]),
        "experiments.of_mlps.hook_points: 'mpl_*' means no hook point of family; recorded: mlp_0, mlp_1, mlp_2, into_0",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cant_be_is_told_in_one_line_and_not_kept(here: Path, asked: list[Any], case: str) -> None:
    change, text = MISTAKES[case]
    mapping = config()
    change(mapping)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            parse_config(mapping)
        (told,) = caught.value.problems
        assert text in told
        assert "\n" not in told


def test_it_is_told_with_all_other_mistakes(here: Path, asked: list[Any]) -> None:
    mapping = config({"mlp_*": "block.*.mlp"}, ["mlp_0", "mlp_*"])
    mapping["decompositions"]["pca"]["n_latents"] = 0
    mapping["experiments"]["of_mlps"]["decompositions"] = ["pac"]
    with pytest.raises(ConfigError) as caught:
        parse_config(mapping)
    places = [problem.split(": ")[1] for problem in caught.value.problems]
    assert places == [
        "decompositions.pca.n_latents",
        "models.family.activations.hook_points",
        "experiments.of_mlps.decompositions",
    ]


def test_files_of_runs_that_nothing_asks_for_are_no_mistake(here: Path, asked: list[Any]) -> None:
    mapping = config()
    spare = {**mapping["models"]["family"], "network": {"python": "not.written:yet"}}
    mapping["models"]["spare"] = spare
    assert list(parse_config(mapping).models["spare"].hook_points) == ["mlp_*", "into_*"]


# As it is asked from outside


def test_check_asks_another_process_and_loads_no_torch_itself(here: Path) -> None:
    (here / "config.yaml").write_text(yaml.safe_dump(config()))
    (here / "random.py").write_text("raise RuntimeError('no library')")  # What lies here takes no library's place.
    code = (
        "import sys; from homolog.__main__ import main; status = main(['check']); print('torch' in sys.modules, status)"
    )
    command = [sys.executable, "-P", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.splitlines()[-1] == "False 0", done.stderr
    (kept,) = (here / asking.KEPT).glob("*.json")
    files = json.loads(kept.read_text())["files"]
    assert {str(here / "mine" / "networks.py"), str(here / "mine" / "parts.py")} <= set(files)
    assert str(ROOT / "src" / "homolog" / "networks" / "hooks.py") in files
    assert not any(Path(torch.__file__).parent in Path(file).parents for file in files)


def test_a_process_that_dies_is_told(here: Path) -> None:
    (here / "mine" / "networks.py").write_text("import os\nos._exit(3)")
    with pytest.raises(ConfigError, match=r"what is meant can't be told: the process that loads it ended \(exit stat"):
        parse_config(config())


@pytest.mark.slow
def test_the_workflow_records_what_globs_mean_and_no_more(tmp_path: Path) -> None:
    workspace = Workspace.fresh(tmp_path)
    write_all(workspace.folder)
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(config({"mlp_*": "blocks.*.mlp"})))
    workspace.build("--cores", "2", "of_mlps")
    made = {path.parent.name for path in (workspace.results / "models/family/seed_4").glob("*/pca.h5")}
    assert made == {"mlp_0", "mlp_1", "mlp_2"}
    assert workspace.planned("of_mlps") == set()
    (workspace.folder / "mine" / "networks.py").write_text(NETWORK.replace("range(blocks)", "range(blocks - 1)"))
    assert {f"dump_network family/seed_{seed}" for seed in (4, 7)} <= workspace.planned("of_mlps")
    workspace.configure(lambda c: c["experiments"]["of_mlps"].update(hook_points=["mlp_2"]))
    done = workspace.snakemake("of_mlps")
    assert done.returncode != 0
    assert "homolog: error: config.yaml: experiments.of_mlps.hook_points: 'mlp_2' isn't a hook point" in done.stdout
