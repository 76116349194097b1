"""Is a network of others declared, checked, listed and read like any run, and read again when it changes?"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from making import problems
from safetensors.torch import load_file, save_file
from workspace import ROOT, Workspace

from homolog.__main__ import main
from homolog.config import load_config, parse_config
from homolog.config.check_files import check_files, check_network_files
from homolog.config.networks import PythonNetwork
from homolog.loading import build
from homolog.networks.files import module_file
from homolog.networks.points import parse
from homolog.networks.reading import Reader
from homolog.planning import Plan, Run
from homolog.planning.run_specs import fed_files, network_files
from homolog.store.activations import read_activations, write_blocks

Change = Callable[[dict[str, Any]], object]
MODULE = """
from safetensors.torch import load_file
from torch import nn

def network(weights, seed, widths):
    made = nn.Sequential(nn.Linear(*widths), nn.ReLU())
    made.load_state_dict(load_file(weights))
    return made, lambda batch: made(batch["x"])
"""


def config() -> dict[str, Any]:
    """A family of small networks, one a file, on rows of an array."""
    return {
        "device": "cpu",
        "models": {
            "family": {
                "network": {
                    "python": "mine.networks:network",
                    "arguments": {"weights": "weights/step_{step}.safetensors", "seed": "{seed}", "widths": [5, 6]},
                    "files": ["weights/step_{step}.safetensors"],
                },
                "data": {"name": "arrays", "path": "rows.npz", "test_fraction": 0.5},
                "activations": {"hook_points": {"hidden": "1:out", "0": "0"}},
            },
        },
        "decompositions": {"pca": {"method": "pca", "n_latents": 3}},
        "experiments": {
            "steps": {
                "analysis": {"name": "stability", "null_draws": 4, "views": ["score"]},
                "figure": "stability",
                "hook_points": ["hidden"],
                "decompositions": ["pca"],
                "conditions": {"steps": {"models": ["family"], "seeds": [10, 20]}},
            }
        },
    }


def write_all(folder: Path) -> None:
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "networks.py").write_text(MODULE)
    (folder / "weights").mkdir()
    for step in (10, 20):
        torch.manual_seed(step)
        layer = torch.nn.Linear(5, 6)
        save_file({f"0.{name}": value for name, value in layer.state_dict().items()}, weights_of(folder, step))
    np.savez(folder / "rows.npz", x=np.random.default_rng(0).standard_normal((200, 5), np.float32))


def weights_of(folder: Path, step: int) -> Path:
    return folder / "weights" / f"step_{step}.safetensors"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mine", "mine.networks"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # Another test's.
    return tmp_path


def test_each_checkpoint_of_a_family_is_a_run_with_its_own_files(here: Path) -> None:
    plan, run = Plan(parse_config(config())), Run("family", 20)
    spec = json.loads(plan.spec("dump_network", run=run))
    assert spec["network"] == {
        "target": "homolog.networks.network:from_python",
        "function": "mine.networks:network",
        "arguments": {"weights": "weights/step_20.safetensors", "seed": 20, "widths": [5, 6]},
    }
    assert spec["points"] == {"hidden": "1:out", "0": "0"}
    assert network_files(plan.config, run) == [str(here / "mine" / "networks.py"), "weights/step_20.safetensors"]
    assert fed_files(plan.config, run) == ["rows.npz"]
    planned = plan.experiment("steps")
    assert [str(one) for one in planned.runs] == ["family/seed_10", "family/seed_20"]
    assert planned.controls == {}
    assert json.loads(plan.spec("decompose", run=run, hook_point="hidden", decomposition="pca"))["task"] is None


def test_a_spec_is_read_by_the_names_that_it_gives_hook_points(here: Path) -> None:
    spec = json.loads(Plan(parse_config(config())).spec("dump_network", run=Run("family", 10)))
    reader = Reader(build(spec["network"]), build(spec["corpus"]).corpus(), spec["points"], spec["batch_size"])
    write_blocks("activations.h5", reader.hook_points, reader.blocks(), reader.rows, spec["dtype"], {"run": "a/seed_1"})
    below, above = (read_activations("activations.h5", name) for name in ("0", "hidden"))
    assert torch.equal(above.values, below.values.relu())
    weights = load_file(weights_of(here, 10))
    x = torch.from_numpy(np.load("rows.npz")["x"])[above.rows.input_id]
    torch.testing.assert_close(below.values, x @ weights["0.weight"].T + weights["0.bias"])


def test_runs_may_be_listed_or_named_by_a_pattern() -> None:
    mapping = config()
    mapping["models"]["family"]["network"] = {"transformers": ["a", "b"], "revision": "step{step}000"}
    mapping["experiments"]["steps"]["conditions"]["steps"]["seeds"] = [0, 1]
    plan = Plan(parse_config(mapping))
    found = [json.loads(plan.spec("dump_network", run=Run("family", seed)))["network"] for seed in (0, 1)]
    assert [(one["name"], one["revision"]) for one in found] == [("a", "step0000"), ("b", "step1000")]


def test_a_module_is_found_without_being_imported(here: Path) -> None:
    (here / "mine" / "broken.py").write_text("raise RuntimeError")
    (here / "mine" / "__init__.py").write_text("raise RuntimeError")
    assert module_file("mine.broken") == here / "mine" / "broken.py"
    assert module_file("mine.absent") is None
    assert module_file("mine.broken.further") is None
    assert module_file("homolog.config.networks") == ROOT / "src" / "homolog" / "config" / "networks.py"


# What can't be, a line each


def of_network(**options: Any) -> Change:
    return lambda c: c["models"]["family"].update(network=options)


def of_activations(**options: Any) -> Change:
    return lambda c: c["models"]["family"].update(activations=options)


CONFIGS: dict[str, tuple[Change, str]] = {
    "neither": (of_network(revision="main"), "models.family.network.transformers: missing; "),
    "no function": (of_network(python="mine.networks"), "models.family.network.python: the text 'mine.networks'; "),
    "a key too many": (
        of_network(transformers="x", files=["y"]),
        "models.family.network.files: unknown key; allowed here: transformers, revision, kind, sha256; ",
    ),
    "a hook point of another form": (
        of_activations(hook_points=["transformer.h.0:in"]),
        "models.family.activations.hook_points: 'transformer.h.0:in'; allowed: letters, digits, underscores and dots, "
        "as results go by it; write a mapping, such as {my_name: 'transformer.h.0:in'}",
    ),
    "a name of one's own of another form": (
        of_activations(hook_points={"block/0": "0"}),
        "'block/0'; allowed: letters, digits, underscores and dots, as results go by it; rename it",
    ),
    "a name that rows have": (
        of_activations(hook_points={"position": "0"}),
        "hook_points: 'position'; allowed: any other name than activations.h5, ",
    ),
    "names that differ in their case": (
        of_activations(hook_points={"hidden": "0", "Hidden": "1"}),
        "models.family.activations.hook_points.Hidden: differs from 'hidden' by its case alone",
    ),
    "braces": (
        of_network(transformers="{model}"),
        "models.family.network: '{model}'; allowed: no braces but {seed}, {step}",
    ),
    "a line break in a path": (
        of_network(transformers="a\nb"),
        "models.family.network.transformers: the text 'a\\nb'; allowed: ",
    ),
    "views that take its layers apart": (
        lambda c: c["experiments"]["steps"]["analysis"].update(views=["score", "effect", "substitution"]),
        "experiments.steps.analysis.views: effect, substitution, of networks by their modules, of which nobody knows",
    ),
    "an unknown hook point": (
        lambda c: c["experiments"]["steps"].update(hook_points=["hiden"]),
        "experiments.steps.hook_points: 'hiden' isn't a hook point of family; it has: hidden, 0; did you mean hidden?",
    ),
    "a seed that isn't listed": (
        of_network(transformers=["a", "b"]),
        "experiments.steps.conditions.steps.seeds: 20, of family, which has 2 paths; allowed: 0 to 1; add a path to "
        "models.family.network",
    ),
    "other data": (
        lambda c: [
            c["models"].update(other={**c["models"]["family"], "data": {"name": "arrays", "path": "others.npy"}}),
            c["experiments"]["steps"]["conditions"]["steps"].update(models=["family", "other"]),
        ],
        "experiments.steps.conditions: models that are fed different data (family, other); allowed: networks with",
    ),
    "options of data that contradict": (
        lambda c: c["models"]["family"].update(data={"name": "arrays", "path": "rows.csv"}),
        "models.family.data.path: rows.csv; allowed: a file that ends in .npy or .npz",
    ),
    "retrained from it": (
        lambda c: c["models"].update(again={"parent": {"model": "family", "seed": 10}, "reinitialise": ["hidden"]}),
        "models.again.objective: nothing, nor with family; allowed: next_token, label, or imitate, which is to ",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_what_cant_be_is_told_in_one_line(case: str) -> None:
    change, text = CONFIGS[case]
    mapping = config()
    change(mapping)
    assert text in problems(mapping)[0]


def hugging_face(*shapes: tuple[int, ...]) -> Change:
    """A folder for each run, as save_pretrained writes them, with one weight of a shape."""

    def change(mapping: dict[str, Any]) -> None:
        for number, shape in zip((10, 20), shapes, strict=False):
            folder = Path(f"saved_{number}")
            folder.mkdir()
            (folder / "config.json").write_text("{}")
            save_file({"weight": torch.zeros(shape)}, folder / "model.safetensors")
        mapping["models"]["family"]["network"] = {"transformers": "saved_{seed}"}

    return change


FILES: dict[str, tuple[Change, str]] = {
    "no weights": (
        lambda c: weights_of(Path(), 20).unlink(),
        "models.family.network: seed 20: weights/step_20.safetensors isn't there; allowed: files that the function",
    ),
    "no module": (
        lambda c: Path("mine/networks.py").unlink(),
        "models.family.network: seed 10: there is no module mine.networks, neither installed nor in /",
    ),
    "no folder": (
        hugging_face((2, 3)),
        "models.family.network: seed 20: saved_20 is no folder, and no model that has been downloaded",
    ),
    "not installed": (
        of_network(transformers="package:no-such-package/model"),
        "seed 10: package:no-such-package/model: the package no-such-package isn't installed: pip install --no-deps",
    ),
    "pickles": (
        lambda c: [hugging_face((2, 3), (2, 3))(c), Path("saved_20/model.safetensors").rename("saved_20/model.bin")],
        "seed 20: saved_20 lacks a config.json or weights in .safetensors; allowed: what save_pretrained writes, and",
    ),
    "no safetensors": (
        lambda c: weights_of(Path(), 20).write_text("version https://git-lfs.github.com/spec/v1"),
        "models.family.network: seed 20: weights/step_20.safetensors is no safetensors file: give what save_pretrained",
    ),
    "other shapes of a function's files": (
        lambda c: save_file({"0.weight": torch.zeros(7, 5)}, weights_of(Path(), 20)),
        "seed 20: 0.bias has shape None, and that of seed 10 [6]; allowed: checkpoints of one architecture",
    ),
    "other shapes": (
        hugging_face((2, 3), (2, 4)),
        "seed 20: weight has shape [2, 4], and that of seed 10 [2, 3]; allowed: checkpoints of one architecture",
    ),
}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("words", "words, beside a model that brings saved_20/tokenizer.json; allowed: that one; set it to saved_20"),
        ("other", "other has other tokens than saved_20/tokenizer.json, which the model brings; allowed: that one"),
        ("saved_10", None),
        ("saved_20/tokenizer.json", None),
    ],
)
def test_a_tokenizer_that_isnt_the_models_own_is_told_before_the_first_job(
    named: str, said: str | None, here: Path
) -> None:
    """A smaller vocabulary would fit the embeddings, and mean other words."""
    mapping = config()
    hugging_face((2, 3), (2, 3))(mapping)
    Path("other").mkdir()
    for folder, words in (("saved_10", ["a", "b"]), ("saved_20", ["a", "b"]), ("other", ["b", "a"])):
        vocabulary = {word: number for number, word in enumerate(words)}
        told = {"model": {"type": "WordLevel", "vocab": vocabulary}, "truncation": {"max_length": len(folder)}}
        Path(folder, "tokenizer.json").write_text(json.dumps(told))
    Path("text.txt").write_text("a b")
    mapping["models"]["family"]["data"] = {"name": "text_files", "path": "text.txt", "tokenizer": named}
    found = check_files(parse_config(mapping))
    assert [line for line in found if "seed 20" in line] == (
        [] if said is None else [line for line in found if f"models.family.data.tokenizer: seed 20: {said}" in line]
    )
    assert bool(found) == (said is not None)


@pytest.mark.parametrize("case", FILES)
def test_what_is_wrong_with_a_file_is_told_before_the_first_job(
    case: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(here / "cache"))
    change, text = FILES[case]
    mapping = config()
    assert check_files(parse_config(mapping)) == []
    change(mapping)
    told = check_files(parse_config(mapping))
    assert text in told[0]
    assert all("\n" not in line for line in told)
    Path("config.yaml").write_text(yaml.safe_dump(mapping))
    assert main(["check"]) == 1
    assert text in capsys.readouterr().err


def with_an_optional_network_that_is_absent(mapping: dict[str, Any]) -> None:
    absent = {"transformers": "package:no-such-package/model"}
    mapping["models"]["elsewhere"] = mapping["models"]["family"] | {"network": absent}
    conditions = {"one": {"models": ["elsewhere"], "seeds": [0, 1]}}
    mapping["experiments"]["more"] = mapping["experiments"]["steps"] | {"conditions": conditions, "optional": True}


def test_a_network_of_optional_experiments_may_be_absent_until_it_is_asked_for(here: Path) -> None:
    mapping = config()
    with_an_optional_network_that_is_absent(mapping)
    known = parse_config(mapping)
    assert check_files(known) == []
    told = check_network_files(known, "elsewhere")
    assert (
        "models.elsewhere.network: seed 0: package:no-such-package/model: the package no-such-package isn't" in told[0]
    )
    mapping["experiments"]["more"]["optional"] = False
    assert check_files(parse_config(mapping)) == told


def test_the_configuration_that_comes_along_asks_for_no_further_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", absent)
    assert check_files(load_config(ROOT / "config.yaml")) == []


@pytest.mark.slow
def test_other_experiments_are_planned_without_it(tmp_path: Path) -> None:
    workspace = Workspace.fresh(tmp_path)
    write_all(workspace.folder)
    mapping = config()
    with_an_optional_network_that_is_absent(mapping)
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(mapping))
    assert "dump_network family/seed_10" in workspace.planned()
    # Commands that plan all experiments can do so.
    assert "dump_network elsewhere/seed_0" in workspace.planned("more")
    done = workspace.snakemake("--cores", "1", "more")
    assert done.returncode != 0
    told = [line for line in done.stdout.splitlines() if line.startswith("homolog: error: ")]
    assert len(told) == 2  # One for each of its runs.
    assert "config.yaml: models.elsewhere.network: seed 0: package:no-such-package/model: the package" in told[0]
    assert "Traceback" not in done.stdout


# hook-points


def table(text: str) -> list[list[str]]:
    return [line.split("  ") for line in text.splitlines()[1:]]


def test_hook_points_are_listed_of_a_network_and_of_a_model_of_ours(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = config()
    mapping["experiments"]["steps"]["hook_points"] = ["not looked up yet"]  # Which is what the command is for.
    Path("config.yaml").write_text(yaml.safe_dump(mapping))
    assert main(["hook-points", "family", "--seed", "10"]) == 0
    rows = [[cell.strip() for cell in row if cell.strip()] for row in table(capsys.readouterr().out)]
    assert rows == [
        [":out", "Sequential", "(2, 6)", "(2, 5)"],
        ["0", "Linear", "(2, 6)", "(2, 5)"],
        ["1", "ReLU", "(2, 6)", "(2, 6)"],
    ]
    assert main(["hook-points", "digits_mlp", "hidden_*", "logits", "--config", str(ROOT / "tests" / "tiny.yaml")]) == 0
    names = [row[0].strip() for row in table(capsys.readouterr().out)]
    widths = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())["models"]["digits_mlp"]["architecture"][
        "widths"
    ]
    assert names == [*(f"hidden_{i}" for i in range(len(widths))), "logits"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["family", "2", "--seed", "10"], "homolog: error: hook point '2' isn't a module of the network"),
        (
            ["famly"],
            "homolog: error: config.yaml: models: 'famly' isn't defined; defined in models: family; did you mean",
        ),
        (["family", "--seed", "30"], "mine.networks:network failed with FileNotFoundError"),
        (["family", "--config", "absent.yaml"], "homolog: error: absent.yaml: no such file"),
    ],
)
def test_what_cant_be_listed_is_told(
    here: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(config()))
    assert main(["hook-points", *arguments]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


# The page


PAGE = (ROOT / "docs" / "networks.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_pages_model_is_one(here: Path) -> None:
    mapping = config()
    for block in blocks("yaml"):
        mapping["models"] |= yaml.safe_load(block)["models"]
    mapping["experiments"]["steps"] |= {"hook_points": ["block_3"]}
    mapping["experiments"]["steps"]["conditions"]["steps"] |= {"models": ["multiberts"], "seeds": [0, 1]}
    plan = Plan(parse_config(mapping))
    spec = json.loads(plan.spec("dump_network", run=Run("multiberts", 1)))
    assert spec["network"]["name"] == "checkpoints/multibert_1"
    assert spec["points"] == {"block_3": "bert.encoder.layer.3", "mlp_3": "bert.encoder.layer.3.intermediate"}
    again = json.loads(plan.spec("train_network", run=Run("gpt_retrained", 1)))
    assert (again["parent"], again["objective"], again["training"]["steps"]) == ("gpt/seed_0", "next_token", 800)


def test_the_pages_examples_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replaced: dict[str, Any] = {}
    replacing, reading = blocks("python")
    exec(compile(replacing, "docs/networks.md", "exec"), replaced)
    assert replaced["logits"].shape == (4, 64, 256)
    assert replaced["change"].shape == (1, 1, 256)
    assert float(replaced["change"].abs().max()) > 0
    exec(compile(reading, "docs/networks.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0 torch.Size([1000, 16]) tensor([")
    assert read_activations("activations.h5", "read").rows.label.tolist() == [-1] * 1000


def test_every_form_of_a_hook_point_on_the_page_is_one() -> None:
    forms = re.findall(r"`([^`]*)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.split("| form |")[1], re.MULTILINE)))
    assert len(forms) >= 8
    for form in forms:
        assert str(parse(str(parse(form)))) == str(parse(form))


# The workflow


@pytest.mark.slow
def test_a_family_is_built_like_any_other_and_changed_weights_make_what_depends_on_them_stale(tmp_path: Path) -> None:
    workspace = Workspace.fresh(tmp_path)
    write_all(workspace.folder)
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(config()))
    workspace.build("--cores", "2", "steps")
    with h5py.File(workspace.results / "models/family/seed_10/activations.h5") as file:
        inputs = json.loads(file.attrs["inputs"])
    assert {Path(path).name for path in inputs} == {"networks.py", "step_10.safetensors", "rows.npz"}
    assert all(inputs.values())
    assert workspace.planned("steps") == set()
    weights = weights_of(workspace.folder, 20)
    weights.touch()
    assert workspace.planned("steps") == set()
    save_file({name: 2 * value for name, value in load_file(weights).items()}, weights)
    after = {f"{stage} steps" for stage in ("analyse", "plot", "plot_waterfall", "plot_training")}
    assert workspace.planned("steps") == {"dump_network family/seed_20", "decompose family/seed_20/hidden/pca"} | after
    (workspace.folder / "mine" / "networks.py").write_text(MODULE.replace("ReLU", "GELU"))
    assert {f"dump_network family/seed_{step}" for step in (10, 20)} <= workspace.planned("steps")


def test_arguments_are_filled_in_where_they_are_texts() -> None:
    made = PythonNetwork(python="a:b", arguments={"x": "{seed}", "y": "s{seed}/{step}", "z": [1], "w": None})
    assert made.spec(7)["arguments"] == {"x": 7, "y": "s7/7", "z": [1], "w": None}
