"""Is a network trained by its modules: as a whole or in parts, stopped and continued, to the same bits?"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml
from making import problems
from torch import Tensor
from workspace import Workspace

from homolog.alignment.layer import build_layer
from homolog.alignment.views.neuron import Neuron
from homolog.analyses.admission import acceptance
from homolog.config import parse_config
from homolog.config.check_files import fallbacks
from homolog.config.globs import expand_globs
from homolog.loading import build
from homolog.networks.bases import Ancestor, from_text, to_text, weights_digest
from homolog.networks.network import Network, from_transformers
from homolog.networks.reading import Reader
from homolog.networks.restoring import restore_network
from homolog.networks.training import Trained, train_network
from homolog.planning import Plan, Run
from homolog.planning.run_specs import network_files
from homolog.store.activations import Activations, read_activations, write_blocks
from homolog.store.curves import FinalLoss
from homolog.store.models import read_model, write_model
from homolog.store.runs import StoredRun

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width, tied=False):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2))
        self.second = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())
        self.logits = nn.Linear(width, 3)
        if tied:
            self.second[0].weight = nn.Linear(width, width).weight
            self.third = nn.Linear(width, width)
            self.third.weight = self.second[0].weight

    def forward(self, x):
        return self.logits(self.second(self.first(x)))

def net(width=8, tied=False):
    return Net(width, tied)
"""
TRAINING = {"steps": 12, "batch_size": 16, "lr": 1e-2, "log_every": 5}


def config() -> dict[str, Any]:
    """A network of one's own, trained on classes of points, and one of which a layer is trained again."""
    return {
        "device": "cpu",
        "models": {
            "net": {
                "network": {"python": "trainable:net", "arguments": {"width": 8}},
                "data": {"name": "arrays", "path": "points.npz", "test_fraction": 0.25},
                "objective": "label",
                "training": TRAINING,
                "activations": {"hook_points": {"first": "first", "second": "second"}, "streams": ["second"]},
            },
            "again": {"parent": {"model": "net", "seed": 0}, "reinitialise": ["first.0"]},
        },
        "decompositions": {"pca": {"method": "pca", "n_latents": 3}},
        "experiments": {
            "trained": {
                "analysis": {"name": "stability", "null_draws": 4, "views": ["score", "neuron"]},
                "figure": "stability",
                "hook_points": ["first", "second"],
                "decompositions": ["pca"],
                "conditions": {
                    "retrained": {"models": ["again"], "seeds": [0, 1, 2]},
                    "training": {"models": ["net"], "seeds": [0, 1], "steps": [0, 5]},
                },
            }
        },
    }


def write_all(folder: Path) -> None:
    (folder / "trainable.py").write_text(MODULE)
    drawn = np.random.default_rng(0)
    label = drawn.integers(0, 3, 400)
    centres = drawn.standard_normal((3, 6))
    points = (centres[label] + 0.6 * drawn.standard_normal((400, 6))).astype(np.float32)
    np.savez(folder / "points.npz", x=points, label=label)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "trainable", raising=False)
    return tmp_path


def spec(run: Run, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Plan(parse_config(config())).spec("train_network", run=run))
    return found | changes


def saved(trained: Trained, name: str = "net.safetensors") -> str:
    write_model(name, trained.state, None, {"lineage": to_text(trained.lineage)})
    return name


def changed(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
    return {name for name in a if not torch.equal(a[name], b[name])}


def test_a_network_learns_repeats_itself_and_leaves_torchs_generator_alone(here: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first, second = train_network(spec(Run("net", 0))), train_network(spec(Run("net", 0)))
    assert torch.equal(torch.rand(2), expected)
    assert changed(first.state, second.state) == set()
    assert first.curve.step == [0, 5, 10, 12]
    assert first.curve.loss[-1][1] < 0.85 * first.curve.loss[0][1]
    assert first.curve.accuracy[-1][1] > 0.6 > first.curve.accuracy[0][1]
    other = train_network(spec(Run("net", 1)))
    assert "logits.weight" in changed(first.state, other.state)
    assert first.curve.parent_loss is None


def test_a_step_is_bitwise_the_beginning_of_the_whole_training(here: Path) -> None:
    whole = train_network(spec(Run("net", 0)))
    part = train_network(spec(Run("net-step_10", 0)))
    untrained = train_network(spec(Run("net-untrained", 0)))
    assert (part.curve.loss, part.curve.accuracy) == (whole.curve.loss[:3], whole.curve.accuracy[:3])
    longer = {**TRAINING, "steps": 12, "log_every": 4, "optimizer": "adamw", "weight_decay": 1e-2}
    assert changed(train_network(spec(Run("net", 0), training=longer)).state, whole.state) == set()
    begun = train_network(spec(Run("net-step_10", 0), training={**longer, "steps": 10}))
    assert changed(begun.state, part.state) == set()
    assert untrained.curve.loss == whole.curve.loss[:1]


@pytest.mark.parametrize("taken", [(0, 3), (5, 4), (11, 1)])
@pytest.mark.parametrize("retrained", [False, True])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    here: Path, taken: tuple[int, int], retrained: bool
) -> None:
    """With dropout and statistics of batches, which are no parameters."""
    parent = saved(train_network(spec(Run("net", 0)))) if retrained else None
    given, path = spec(Run("again" if retrained else "net", 1)), here / "state"

    class Broken(BaseException):
        pass

    def breaking(count: int) -> Any:
        def steps(numbers: Any) -> Any:
            yield from list(numbers)[:count]
            raise Broken

        return steps

    for count in taken:
        with pytest.raises(Broken):
            train_network(given, parent, progress=breaking(count), checkpoint=path, fingerprint="code")
    begun: list[int] = []

    def noting(numbers: Any) -> Any:
        begun.append(numbers.start)
        return numbers

    found = train_network(given, parent, progress=noting, checkpoint=path, fingerprint="code")
    undisturbed = train_network(given, parent)
    assert begun == [sum(taken) + 1]
    assert changed(found.state, undisturbed.state) == set()
    assert vars(found.curve) == vars(undisturbed.curve)
    assert not path.exists()


def test_retraining_draws_its_modules_anew_and_freezes_all_else(here: Path) -> None:
    base = train_network(spec(Run("net", 0)))
    parent = saved(base)
    drawn = {"first.0.weight", "first.0.bias"}
    before, after, other = (
        train_network(spec(Run(name, seed)), parent)
        for name, seed in (("again-untrained", 0), ("again", 0), ("again", 1))
    )
    # Statistics of a frozen norm are frozen, too.
    assert changed(base.state, before.state) == changed(base.state, after.state) == drawn
    assert changed(before.state, after.state) == changed(after.state, other.state) == drawn
    assert before.curve.loss == after.curve.loss[:1]
    assert after.curve.loss[-1][0] < after.curve.loss[0][0]
    # The parent is measured on the very inputs, so that its end and this are one number.
    assert after.curve.parent_loss == base.curve.loss[-1]
    digest = weights_digest(restore_network(spec(Run("net", 0))["network"], parent).module)
    assert base.lineage == ()
    assert before.lineage == after.lineage == (Ancestor(digest, tuple(sorted(drawn))),)


def test_to_imitate_is_to_give_what_the_parent_gives(here: Path) -> None:
    base = train_network(spec(Run("net", 0)))
    given = spec(Run("again", 0), objective="imitate")
    found = train_network(given, saved(base))
    assert found.curve.parent_loss == (0, 0)
    assert found.curve.loss[-1][1] < 0.5 * found.curve.loss[0][1]
    parent, own = (restore_network(given["network"], saved(one)).to("cpu") for one in (base, found))
    arrays = np.load("points.npz")["x"]
    # All inputs are measured, there being fewer than the limit.
    errors = (parent(torch.tensor(arrays)) - own(torch.tensor(arrays))).square().mean(1)
    low, high = sorted(found.curve.loss[-1])
    assert low - 1e-6 < float(errors.mean()) < high + 1e-6


def test_tied_weights_are_written_and_come_back(here: Path) -> None:
    given = spec(Run("net", 0))
    given["network"]["arguments"]["tied"] = True
    found = train_network(given)
    back = restore_network(given["network"], saved(found)).module
    assert back.second[0].weight is back.third.weight
    assert changed(found.state, dict(back.state_dict())) == set()
    assert from_text(read_model("net.safetensors").attributes["lineage"]) == found.lineage


def test_a_retrained_network_of_others_starts_from_their_weights(here: Path) -> None:
    """No file of weights is made of a parent that isn't trained here: its source is asked."""
    mapping = config()
    mapping["models"]["net"] |= {"training": None, "objective": None}
    mapping["models"]["again"] |= {"objective": "imitate", "training": TRAINING}
    del mapping["experiments"]["trained"]["conditions"]["training"]
    plan = Plan(parse_config(mapping))
    given = json.loads(plan.spec("train_network", run=Run("again", 0)))
    assert given["parent"] == "net/seed_0"
    found = train_network(given)
    assert found.curve.parent_loss == (0, 0)
    planned = plan.experiment("trained")
    assert planned.references == {
        "net/seed_0": [],
        **{f"again/seed_{seed}": ["net/seed_0"] for seed in range(3)},
    }
    first = planned.pairs[0]
    assert (str(first.a), str(first.initial_a), str(first.initial_b)) == (
        "net/seed_0", "net/seed_0", "again-untrained/seed_0",
    )  # fmt: skip


def dumped(trained: Trained, run: Run) -> Activations:
    """What the second hook point of a run holds, read through its file."""
    given = json.loads(Plan(parse_config(config())).spec("dump_network", run=run))
    network = restore_network(given["network"], saved(trained))
    reader = Reader(network, build(given["corpus"]).corpus(), given["points"], streams=given["streams"])
    write_blocks("a.h5", reader.hook_points, reader.blocks(), reader.rows, "float32", {"run": str(run)})
    return read_activations("a.h5", "second")


def test_units_of_a_stream_are_compared_where_the_frozen_rest_fixes_them(here: Path) -> None:
    base, other = (train_network(spec(Run("net", seed))) for seed in (0, 1))
    again = train_network(spec(Run("again", 0)), saved(base))
    found = {"base": base, "again": again, "other": other}
    layers = {}
    for name, trained in found.items():
        activations = dumped(trained, Run("again" if name == "again" else "net", 0))
        layers[name] = build_layer(None, activations, None, activations.gauge)
    view = Neuron(by_name=True)
    assert view.identified(layers["base"], layers["again"])
    assert not view.identified(layers["base"], layers["other"])
    # Of what isn't said to be a stream nothing is known.
    hidden = [read_activations("a.h5", "first"), dumped(base, Run("net", 0)) and read_activations("a.h5", "first")]
    a, b = (build_layer(None, one, None, one.gauge) for one in hidden)
    assert not view.identified(a, b)


class Curve(StoredRun):
    """A run of which the ends of the curve are known, and maybe the parent's loss; none of a network of others."""

    def __init__(self, first: float, last: float, parent: float = math.nan) -> None:
        self.told = FinalLoss("run", first, last, 0.5, parent)

    def final_loss(self) -> FinalLoss:
        return self.told


def test_a_run_counts_by_its_parents_loss_which_it_has_measured_itself() -> None:
    references = {"base/seed_0": [], "again/seed_0": ["base/seed_0"], "again/seed_1": ["base/seed_0"]}
    given = {"references": references, "options": {"tolerance": 0.05}}
    runs: dict[str, StoredRun] = {"again/seed_0": Curve(1.2, 0.24, 0.2), "again/seed_1": Curve(1.2, 0.3, 0.2)}
    found = acceptance(given, runs)
    assert found.accepted_run.values.tolist() == [True, True, False]
    assert found.reference_loss.values[1:].tolist() == [0.2, 0.2]
    assert np.isnan(found.reference_loss.values[0])


def test_a_run_with_another_objective_than_its_bases_must_reach_what_the_base_gives_by_its_own() -> None:
    """To imitate, the base's loss is 0, whatever it lost by what it was trained for itself."""
    references = {"net/seed_0": ["net/seed_0", "net/seed_1"], "net/seed_1": ["net/seed_0", "net/seed_1"]}
    references |= {"again/seed_0": ["net/seed_0"], "again/seed_1": ["net/seed_0"]}
    runs: dict[str, StoredRun] = {f"net/seed_{seed}": Curve(7.0, 5.0) for seed in (0, 1)}
    runs |= {"again/seed_0": Curve(0.8, 0.01, 0.0), "again/seed_1": Curve(0.8, 0.5, 0.0)}
    found = acceptance({"references": references, "options": {"tolerance": 0.05}}, runs)
    assert found.accepted_run.values.tolist() == [True, True, True, False]
    assert found.reference_loss.values.tolist() == [5.0, 5.0, 0.0, 0.0]


def test_a_run_at_a_step_is_taken_as_it_is() -> None:
    given = {"references": {"again-step_5/seed_0": ["again-step_5/seed_0"]}, "options": {"tolerance": 0.05}}
    assert acceptance(given, {"again-step_5/seed_0": Curve(0.8, 0.5, 0.0)}).accepted_run.all()


# What is planned


def test_runs_at_steps_stand_beside_their_end(here: Path) -> None:
    planned = Plan(parse_config(config())).experiment("trained")
    earlier = [one for one in planned.pairs if one.kind == "earlier-finished"]
    assert [(one.condition, str(one.a), str(one.b), str(one.initial_a), str(one.initial_b)) for one in earlier] == [
        (f"training, step {step}", *(f"{one}/seed_{seed}" for one in (name, "net", "net-untrained", "net")))
        for step, name in ((0, "net-untrained"), (5, "net-step_5"))
        for seed in (0, 1)
    ]
    references = planned.references
    assert references["net-step_5/seed_1"] == ["net-step_5/seed_1"]
    assert references["net/seed_0"] == ["net/seed_0", "net/seed_1"]
    assert references["again/seed_1"] == ["net/seed_0"]


def test_tracks_know_a_step_as_a_group_and_what_became_of_it(here: Path) -> None:
    spec = json.loads(Plan(parse_config(config())).spec("track", experiment="trained"))
    groups = {name: [one["run"] for one in members] for name, members in spec["groups"]}
    assert groups == {
        "base": ["net/seed_0"],
        "retrained": ["again/seed_0", "again/seed_1", "again/seed_2"],
        "training, step 0": ["net-untrained/seed_0", "net-untrained/seed_1"],
        "training, step 5": ["net-step_5/seed_0", "net-step_5/seed_1"],
        "finished": ["net/seed_1"],
    }
    assert {run for members in groups.values() for run in members} == set(spec["runs"])
    became = {(one["before"], one["after"]) for one in spec["changes"] if one["kind"] == "trained"}
    assert {("net-step_5/seed_1", "net/seed_1"), ("net-untrained/seed_1", "net-step_5/seed_1")} <= became
    assert all(one["before"] != one["after"] for one in spec["changes"])


def test_streams_may_be_named_by_globs(here: Path) -> None:
    mapping = config()
    mapping["models"]["net"]["activations"] = {"hook_points": {"at_1": "first", "at_2": "second"}, "streams": ["at_*"]}
    mapping["experiments"]["trained"]["hook_points"] = ["at_*"]
    config_of, told = expand_globs(parse_config(mapping))
    assert told == []
    assert json.loads(Plan(config_of).spec("dump_network", run=Run("again", 0)))["streams"] == ["at_1", "at_2"]


def test_models_with_a_task_have_steps_too() -> None:
    mapping = config()
    mapping["models"] = {
        "own": {
            "task": {"name": "digits"},
            "architecture": {"name": "mlp", "widths": [8]},
            "training": {"steps": 20},
        }
    }
    experiment = mapping["experiments"]["trained"]
    experiment |= {"hook_points": ["hidden_0"]}
    experiment["conditions"] = {"training": {"models": ["own"], "seeds": [0], "steps": [0, 7]}}
    plan = Plan(parse_config(mapping))
    whole, part, start = (
        json.loads(plan.spec("train", run=Run(name, 0))) for name in ("own", "own-step_7", "own-untrained")
    )
    assert part == {**whole, "training": {**whole["training"], "steps": 7}}
    assert start == {**whole, "training": {"steps": 0}}
    assert [str(one) for one in plan.experiment("trained").compared] == [
        "own-untrained/seed_0", "own/seed_0", "own-step_7/seed_0",
    ]  # fmt: skip


def test_a_fallback_is_fed_where_the_data_arent_there_and_goes_into_the_spec(here: Path) -> None:
    mapping = config()
    mapping["models"]["net"]["fallback"] = mapping["models"]["net"]["data"]
    mapping["models"]["net"]["data"] = {"name": "arrays", "path": "absent.npz"}
    plan = Plan(parse_config(mapping))
    assert json.loads(plan.spec("train_network", run=Run("net", 0)))["corpus"]["path"] == "points.npz"
    told = "net: arrays isn't there, so it is fed arrays, its fallback"
    assert fallbacks(plan.config, ["net", "net", "again"]) == [told]
    (here / "absent.npz").write_bytes((here / "points.npz").read_bytes())
    plan = Plan(parse_config(mapping))
    assert fallbacks(plan.config, ["net"]) == []
    for run in (Run("net", 0), Run("again", 0)):
        assert json.loads(plan.spec("dump_network", run=run))["corpus"]["path"] == "absent.npz"


def test_code_of_homolog_is_fingerprinted_and_no_input(here: Path) -> None:
    mapping = config()
    assert network_files(Plan(parse_config(mapping)).config, Run("net", 0)) == [str(here / "trainable.py")]
    mapping["models"]["net"]["network"] = {"python": "homolog.networks.convnet:convnet"}
    assert network_files(Plan(parse_config(mapping)).config, Run("net", 0)) == []


# What can't be


def of(model: str, **options: Any) -> Any:
    return lambda c: c["models"][model].update(options)


CONFIGS = {
    "no objective": (
        of("net", objective=None),
        "models.net.training: a training, and nothing that it is for; allowed: with an objective",
    ),
    "no tokens": (
        of("net", objective="next_token", data={"name": "digits"}),
        "models.net.objective: next_token, of digits, which has no tokens; allowed: label, or data of text",
    ),
    "no classes": (
        of("net", data={"name": "python_topics"}),
        "models.net.objective: label, of python_topics, which has no classes; allowed: next_token",
    ),
    "a fallback beside what is always there": (
        of("net", data={"name": "digits"}, fallback={"name": "arrays", "path": "points.npz"}),
        "models.net.fallback: arrays, beside digits, which a library brings, so that it is always there; allowed: none",
    ),
    "nothing to imitate": (of("net", objective="imitate"), "models.net.objective: the text 'imitate'; allowed: "),
    "no objective of the parent": (
        of("net", objective=None, training=None),
        "models.again.objective: nothing, nor with net; allowed: next_token, label, or imitate",
    ),
    "no training of the parent": (
        of("net", training=None),
        "models.again.training: nothing, nor with net, which others trained; needed: at least steps",
    ),
    "widened": (of("again", widen={"first.0": 9}), "models.again.widen: of a network by its modules; allowed: none"),
    "other activations": (
        of("again", activations={"dtype": "float16"}),
        "models.again.activations: of a network that is retrained; allowed: none",
    ),
    "a stream that isn't recorded": (
        of("net", activations={"hook_points": ["first"], "streams": ["frist"]}),
        "models.net.activations.streams: 'frist' isn't recorded; recorded: first; did you mean first?",
    ),
    "steps behind the end": (
        lambda c: c["experiments"]["trained"]["conditions"]["training"].update(steps=[5, 12]),
        "experiments.trained.conditions.training.steps: 12, of net, which is trained for 12 steps; allowed: less",
    ),
    "steps of others": (
        lambda c: [of("net", training=None)(c), of("again", training=TRAINING)(c)],
        "experiments.trained.conditions.training.steps: of net, which others trained; allowed: models that are",
    ),
    "given dictionaries": (
        lambda c: [
            c["decompositions"].update(mine={"method": "given", "path": "mine/{seed}"}),
            c["experiments"]["trained"].update(decompositions=["pca", "mine"]),
        ],
        "experiments.trained.decompositions: mine, of networks that are trained here (again, net), before their ",
    ),
    "an objective beside a task": (
        lambda c: c["models"].update(
            own={"task": {"name": "digits"}, "architecture": {"name": "mlp", "widths": [8]}, "training": {"steps": 2}},
            more={"parent": {"model": "own", "seed": 0}, "reinitialise": ["hidden_0"], "objective": "label"},
        ),
        "models.more.objective: label, of a model with a task; allowed: none, for it learns the labels",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_what_cant_be_is_told_in_one_line(case: str) -> None:
    change, text = CONFIGS[case]
    mapping = config()
    change(mapping)
    told = problems(mapping)
    assert any(text in problem for problem in told), told


def test_names_that_lead_nowhere_are_told(here: Path) -> None:
    parent = saved(train_network(spec(Run("net", 0), training={"steps": 0})))
    for name, text in (("frist.0", "did you mean"), ("first.2", "first.2 has no parameters")):
        with pytest.raises(ValueError, match=re.escape(text)):
            train_network(spec(Run("again", 0), reinitialise=[name]), parent)


def test_weights_of_another_network_are_told(here: Path) -> None:
    given = spec(Run("net", 0))
    weights = saved(train_network({**given, "training": {"steps": 0}}))
    given["network"]["arguments"]["width"] = 9
    with pytest.raises(ValueError, match=r"the saved weights don't fit the network \(first\.0\.bias: file \(8,\)"):
        restore_network(given["network"], weights)


def test_a_file_of_weights_is_held_against_its_sha256(tmp_path: Path) -> None:
    small = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(small).save_pretrained(tmp_path)
    right = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert isinstance(from_transformers(str(tmp_path), sha256=right), Network)
    with pytest.raises(ValueError, match=rf"isn't what was asked for: its SHA-256 is {right}, and that of the config"):
        from_transformers(str(tmp_path), sha256="0" * 64)
    (tmp_path / "more.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"sha256 is of one file of weights, and there are 2: leave it out"):
        from_transformers(str(tmp_path), sha256=right)


# The workflow


@pytest.mark.slow
def test_trainings_are_built_and_only_what_an_edit_reaches_is_built_again(tmp_path: Path) -> None:
    workspace = Workspace.fresh(tmp_path)
    write_all(workspace.folder)
    mapping = config()
    trained = mapping["experiments"]["trained"]
    trained["conditions"] = {"retrained": {"models": ["again"], "seeds": [0, 1]}}
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(mapping))
    workspace.build("--cores", "2", "trained")
    assert workspace.planned("trained") == set()
    parent = read_model(workspace.results / "models/net/seed_0/model.safetensors")
    child = read_model(workspace.results / "models/again/seed_1/model.safetensors")
    assert changed(parent.state, child.state) == {"first.0.weight", "first.0.bias"}
    assert json.loads(child.attributes["inputs"]).keys() >= {"results/models/net/seed_0/model.safetensors"}
    # What is trained again alone: its parent, and what that was before, stay.
    workspace.configure(lambda c: c["models"]["again"].update(reinitialise=["second.0"]))
    found = {job for job in workspace.planned("trained") if job.startswith("train_network ")}
    runs = {f"train_network again{step}/seed_{seed}" for step in ("", "-untrained") for seed in (0, 1)}
    assert found == runs
    # Of the parent's training all follows.
    workspace.configure(lambda c: c["models"]["net"]["training"].update(lr=2e-2))
    found = {job for job in workspace.planned("trained") if job.startswith("train_network ")}
    assert found == runs | {"train_network net/seed_0"}
