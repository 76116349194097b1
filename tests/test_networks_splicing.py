"""Is the loss that a network from outside recovers the one that our own recovers, and what hand and algebra say?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from making import make_inputs, make_network, make_rows, record
from test_networks_training import MODULE, config, write_all
from test_networks_training import here as here  # a fixture
from test_splicing import keep_all, keep_none, linear
from torch import Tensor, nn
from torch.testing import assert_close
from workspace import Workspace

from homolog.alignment.gauge import Gauge, no_gauge
from homolog.config import parse_config
from homolog.corpora.base import Corpus
from homolog.decompositions.fit import choose_gauge, fit
from homolog.decompositions.given import read_given
from homolog.loading import build
from homolog.networks import splicing
from homolog.networks.bases import to_text
from homolog.networks.gpt import gpt
from homolog.networks.learning import Lesson
from homolog.networks.network import Network
from homolog.networks.reading import Reader
from homolog.networks.restoring import restore_network
from homolog.networks.splicing import loss_recovered, measured
from homolog.networks.training import train_network
from homolog.planning import Plan, Run
from homolog.splicing import facts_of, with_losses
from homolog.splicing import loss_recovered as own_loss_recovered
from homolog.store.activation_samples import open_activations
from homolog.store.activations import write_blocks
from homolog.store.models import write_model
from homolog.tasks.base import TEST, TRAIN, Data

SAMPLES, UNITS, VOCABULARY, LENGTH = 400, 9, 11, 6


class Rows(Corpus):
    """The inputs of a task of our own, each a row, with their labels and split."""

    positions = None

    def __init__(self, data: Data) -> None:
        self.inputs_given, self.split, self.half, self.label = data.inputs, data.split, data.half, data.labels

    def batches(self, inputs: Tensor) -> Tensor:
        return self.inputs_given[inputs]


class Tokens(Corpus):
    """Random tokens, the ends of sequences padding; token 0 is special, no row, and never predicted."""

    positions, vocabulary = LENGTH, VOCABULARY

    def __init__(self, inputs: int = 24) -> None:
        draw = torch.Generator().manual_seed(1)
        self.tokens = torch.randint(0, VOCABULARY, (inputs, LENGTH), generator=draw)
        lengths = torch.randint(3, LENGTH + 1, (inputs, 1), generator=draw)
        self.mask = (torch.arange(LENGTH) < lengths).long()
        self.split = (torch.arange(inputs) % 3 == 0).to(torch.int8)
        self.half = (torch.arange(inputs) % 2).to(torch.int8)
        self.label = torch.full((inputs,), -1)

    def batches(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[inputs], "attention_mask": self.mask[inputs]}

    def keep(self, inputs: Tensor) -> Tensor:
        return (self.mask[inputs] == 1) & (self.tokens[inputs] > 0)

    def named(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"token_id": self.tokens[inputs]}

    def as_said_by(self, network: Network) -> Tokens:
        """With the tokens that a network expects, each from those before it."""
        for place in range(LENGTH - 1):
            with torch.no_grad():
                self.tokens[:, place + 1] = network(self.batches(torch.arange(self.inputs)))[:, place].argmax(-1)
        return self


def knowing(seed: int = 0) -> tuple[Any, Data, Any]:
    """A network of our own that knows its labels, and its data."""
    rows, inputs = make_rows(SAMPLES, seed), make_inputs(SAMPLES, seed)
    model = make_network([8, UNITS], seed)
    with torch.no_grad():
        model.linear("logits").weight *= 20
        labels = model(inputs).argmax(1)
    return model, Data(inputs, labels, rows.split, rows.half, 5), rows


def language(seed: int = 0) -> Network:
    """A language model in float64, whose logits are far apart."""
    torch.manual_seed(seed)
    module = gpt(vocabulary=VOCABULARY, length=LENGTH, width=8, blocks=2, heads=2).double()
    with torch.no_grad():
        module.logits.weight *= 20
    return Network(module, "gpt")


# Two ways to one number


@pytest.mark.parametrize("hook_point", ["hidden_0", "hidden_1", "logits"])
@pytest.mark.parametrize("gauge_name", ["write_out_norm", "none"])
def test_our_own_network_wrapped_as_one_from_outside_recovers_the_same(hook_point: str, gauge_name: str) -> None:
    model, data, rows = knowing()
    activations = record(model, data.inputs, rows, hook_point)
    gauge, mean = choose_gauge(gauge_name, activations), activations.values[rows.where(TRAIN)].mean(0)
    units = len(mean)
    directions = torch.linalg.qr(torch.randn(units, units, generator=torch.Generator().manual_seed(3)).double()).Q
    dictionaries = [linear(directions[:3], gauge.fix(mean[None])[0]), keep_all(mean), keep_none(0 * mean)]
    own = own_loss_recovered(model, data, hook_point, gauge, mean, dictionaries)
    lesson = Lesson(Rows(data), "label")
    outside = loss_recovered(lesson, Network(model, "mlp"), hook_point, gauge, mean, dictionaries)
    for one, other in zip(own, outside, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            # Batches are of other sizes, and torch's products of other last bits then.
            assert one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12, nan_ok=True), name


# Both ends of the scale, in a language model


@pytest.mark.parametrize("point", ["blocks.0", "blocks.1.mlp.act", "blocks.0.attention", "blocks.1:in"])
def test_nothing_lost_is_1_the_mean_alone_is_0(point: str) -> None:
    network, units = language(), 32 if point.endswith("act") else 8
    corpus, mean = Tokens().as_said_by(network), torch.linspace(-1, 1, units).double()
    lesson = Lesson(corpus, "next_token")
    whole, alone = loss_recovered(lesson, network, point, no_gauge(units), mean, [keep_all(mean), keep_none(mean)])
    assert_close(whole["loss_spliced"], whole["loss_original"])
    assert_close(alone["loss_spliced"], alone["loss_ablated"])
    assert (whole["loss_recovered"], alone["loss_recovered"]) == pytest.approx((1, 0))
    test = torch.nonzero(corpus.split == TEST).squeeze(1)
    logits = network(corpus.batches(test))
    wanted, keep = corpus.tokens[test], corpus.keep(test)
    each = [
        -float(logits[i, p].log_softmax(0)[wanted[i, p + 1]])
        for i in range(len(test)) for p in range(LENGTH - 1) if keep[i, p + 1]
    ]  # fmt: skip
    assert_close(whole["loss_original"], sum(each) / len(each))


def test_it_is_the_loss_that_training_reports() -> None:
    network, corpus = language(), Tokens()
    lesson = Lesson(corpus, "next_token")
    (facts,) = loss_recovered(
        lesson, network, "blocks.0", no_gauge(8), torch.zeros(8).double(), [keep_all(torch.ones(8))]
    )
    (_, reported), _ = lesson.measure(network)
    assert facts["loss_original"] == pytest.approx(reported, rel=1e-5)


def test_batches_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, mean = Lesson(Tokens(60).as_said_by(language()), "next_token"), torch.zeros(8).double()
    found, dictionary = [], linear(torch.eye(3, 8).double(), mean)
    for positions in (2**11, LENGTH, 3 * LENGTH):
        monkeypatch.setitem(splicing.POSITIONS_AT_ONCE, "cpu", positions)
        found.append(loss_recovered(lesson, language(), "blocks.1", no_gauge(8), mean, [dictionary])[0])
    assert found[0]["loss_recovered"] < 0.99
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[0] == pytest.approx(found[2], rel=1e-9)


def test_inputs_that_are_measured_are_drawn_from_the_test_split_and_the_same_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = Tokens(600)
    assert torch.equal(measured(corpus), torch.nonzero(corpus.split == TEST).squeeze(1))
    monkeypatch.setattr(splicing, "POSITIONS", 50 * LENGTH)
    assert len(measured(corpus)) == 50
    assert bool((corpus.split[measured(corpus)] == TEST).all())
    assert torch.equal(measured(corpus), measured(Tokens(600)))
    monkeypatch.setattr(splicing, "POSITIONS", LENGTH)
    assert len(measured(corpus)) == splicing.FEWEST


# Where there is no scale


def test_the_standard_error_is_that_over_inputs() -> None:
    """Tokens of an input that all say the same are one observation: as many copies of each row change nothing."""
    draw = torch.Generator().manual_seed(0)
    original = torch.rand(12, generator=draw).double()
    ablated = original + torch.randn(12, generator=draw).double().abs() * 0.2 - 0.05
    spliced = torch.rand(12, generator=draw).double()
    for scale in torch.linspace(-0.3, 0.3, 41).tolist():
        rows = facts_of(original, ablated + scale, spliced)
        copies = [one.repeat_interleave(7) for one in (original, ablated + scale, spliced)]
        told = facts_of(*copies, torch.arange(12).repeat_interleave(7))
        assert told == pytest.approx(rows, nan_ok=True)
        assert facts_of(original, ablated + scale, spliced, torch.arange(12) * 3) == pytest.approx(rows, nan_ok=True)
    # Taken for observations of their own, copies would tell from 0 what isn't.
    harm = ablated - original
    short = ablated - harm.mean() + 1.5 * harm.std() / 12**0.5
    copies = [one.repeat_interleave(7) for one in (original, short, spliced)]
    assert not math.isnan(facts_of(*copies)["loss_recovered"])
    assert math.isnan(facts_of(*copies, torch.arange(12).repeat_interleave(7))["loss_recovered"])
    assert math.isnan(facts_of(original, ablated + 9, spliced, torch.zeros(12, dtype=torch.int64))["loss_recovered"])


class Aside(nn.Module):
    """A part that nothing reads, and one that gives a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.aside, self.still = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.logits = nn.Linear(8, VOCABULARY)
        with torch.no_grad():
            self.still.weight.zero_()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden = self.embed(input_ids)
        self.aside(hidden)
        return {"logits": self.logits(hidden + self.still(hidden))}


def test_a_hook_point_that_the_logits_dont_depend_on_is_refused_and_a_constant_one_isnt() -> None:
    torch.manual_seed(0)
    network, lesson, mean = Network(Aside(), "aside"), Lesson(Tokens(), "next_token"), torch.zeros(8)
    text = "aside: what it predicts doesn't depend on hook point aside, so that no loss is recovered there: choose one"
    with pytest.raises(ValueError, match=text):
        loss_recovered(lesson, network, "aside", no_gauge(8), mean, [])
    constant = network.module.still.bias.detach()
    (facts,) = loss_recovered(lesson, network, "still", no_gauge(8), constant, [keep_none(constant)])
    assert facts["loss_original"] == facts["loss_ablated"]
    assert math.isnan(facts["loss_recovered"])


def test_other_mistakes_are_told() -> None:
    lesson, mean = Lesson(Tokens(), "next_token"), torch.zeros(8)
    hidden = Network(nn.Embedding(VOCABULARY, 8), "hidden", lambda batch: (hidden.module(batch["input_ids"]),))
    with pytest.raises(ValueError, match="the network returned tuple without logits"):
        loss_recovered(lesson, hidden, "", no_gauge(8), mean, [])
    with pytest.raises(ValueError, match=r"hook point 'blocks.\*' means 2 \(blocks.0, blocks.1\), and one is needed"):
        loss_recovered(lesson, language(), "blocks.*", no_gauge(8), mean, [])
    with pytest.raises(ValueError, match="nothing is to be predicted of"):
        loss_recovered(Lesson(Tokens(), "label"), Network(Whole(), "whole"), "embed", no_gauge(8), mean, [])


class Whole(nn.Module):
    """One answer for an input."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.embed(input_ids).mean(1)


def test_a_gauge_is_undone() -> None:
    """Units twice as large in the gauge, and in another order: the network sees what it would have seen."""
    lesson, order = Lesson(Tokens().as_said_by(language()), "next_token"), torch.randperm(8)
    gauge = Gauge(torch.full((8,), 2.0).double(), order)
    mean = torch.zeros(8).double()
    one = linear(torch.eye(8).double()[:4], mean)
    (plain,) = loss_recovered(lesson, language(), "blocks.0", no_gauge(8), mean, [one])
    (scaled,) = loss_recovered(lesson, language(), "blocks.0", gauge, mean, [one])
    assert plain == pytest.approx(scaled)
    assert 0 < plain["loss_recovered"] < 1


# From a spec, and in the files


@pytest.fixture
def built_run(here: Path) -> tuple[Any, dict[str, Any], str]:
    """A run that is trained here, its activations in a file, and a plan."""
    mapping = config()
    mapping["models"]["again"] = {
        "parent": {"model": "net", "seed": 0}, "reinitialise": ["first.0"], "objective": "imitate",
    }  # fmt: skip
    plan = Plan(parse_config(mapping))
    base = train_network(json.loads(plan.spec("train_network", run=Run("net", 0))))
    found = {}
    for name in ("net", "again"):
        run = Run(name, 0)
        spec = json.loads(plan.spec("train_network", run=run))
        trained = base if name == "net" else train_network(spec, found["net"][0])
        weights, activations = f"{name}.safetensors", f"{name}.h5"
        write_model(weights, trained.state, None, {"lineage": to_text(trained.lineage)})
        given = json.loads(plan.spec("dump_network", run=run))
        reader = Reader(restore_network(given["network"], weights), build(given["corpus"]).corpus(), given["points"])
        facts = {"run": str(run), "data": reader.digest}
        write_blocks(activations, reader.hook_points, reader.blocks(), reader.rows, "float32", facts)
        found[name] = weights, activations
    return plan, found, "second"


def decomposed(built_run: tuple[Any, dict[str, Any], str], name: str, **changes: Any) -> tuple[dict[str, Any], Any]:
    plan, files, point = built_run
    spec = json.loads(plan.spec("decompose", run=Run(name, 0), hook_point=point, decomposition="pca"))
    weights, path = files[name]
    activations = open_activations(path, point)
    fitted = fit(spec, activations)
    return spec, with_losses(fitted, spec | changes, activations, weights, files["net"][0])


@pytest.mark.parametrize("name", ["net", "again"])
def test_members_of_a_run_have_the_facts_of_its_own_network(built_run: Any, name: str) -> None:
    spec, found = decomposed(built_run, name)
    weights = built_run[1][name][0]
    network = restore_network(spec["spliced"]["network"], weights)
    corpus = build(spec["spliced"]["corpus"]).corpus()
    test = torch.nonzero(corpus.split == TEST).squeeze(1)
    logits = network.to("cpu")(corpus.batches(test)).double()
    if name == "again":
        teacher = restore_network(spec["spliced"]["network"], built_run[1]["net"][0]).to("cpu")
        own = float((logits - teacher(corpus.batches(test))).square().mean())
    else:
        own = float(nn.functional.cross_entropy(logits, corpus.label[test]))
    for one in found:
        assert one.member["loss_original"] == pytest.approx(own, rel=1e-5)
        assert one.member["loss_ablated"] > one.member["loss_original"]
        share = (one.member["loss_ablated"] - one.member["loss_spliced"]) / (one.member["loss_ablated"] - own)
        expected = share if one.member["rows"] == "all" else math.nan
        assert one.member["loss_recovered"] == pytest.approx(expected, rel=1e-4, nan_ok=True)
    # A latent for each of three classes' directions keeps most of it.
    assert max(one.member["loss_recovered"] for one in found if one.member["rows"] == "all") > 0.8


def test_given_dictionaries_are_spliced_too(built_run: Any, here: Path) -> None:
    _, files, point = built_run
    mapping = config()
    mapping["decompositions"]["theirs"] = {"method": "given", "path": "theirs.npz"}
    # Others trained it: of networks that are trained here given dictionaries are refused, which step 0 would lack.
    del mapping["models"]["net"]["training"], mapping["models"]["again"]
    mapping["experiments"]["trained"] |= {
        "decompositions": ["theirs"], "conditions": {"independent": {"models": ["net"], "seeds": [0, 1]}},
    }  # fmt: skip
    spec = json.loads(
        Plan(parse_config(mapping)).spec(
            "take_dictionaries", run=Run("net", 0), hook_point=point, decomposition="theirs"
        )
    )
    np.savez("theirs.npz", directions=np.eye(8, dtype=np.float32))
    weights, path = files["net"]
    activations = open_activations(path, point)
    (given,) = with_losses(read_given(spec, activations), spec, activations, weights)
    # A direction for each unit loses nothing.
    assert given.member["loss_recovered"] == pytest.approx(1, abs=1e-5)
    assert given.member["source"] == "theirs.npz"


def test_without_an_objective_nothing_is_measured_and_another_corpus_is_told(built_run: Any, here: Path) -> None:
    _, found = decomposed(built_run, "net", spliced=None)
    assert all("loss_recovered" not in one.member for one in found)
    held = dict(np.load("points.npz"))
    np.savez("points.npz", x=held["x"] + 1, label=held["label"])
    with pytest.raises(
        ValueError, match="net/seed_0 was read on another corpus than the one that is there now: delete"
    ):
        decomposed(built_run, "net")


@pytest.mark.slow
def test_the_workflow_measures_runs_before_and_after_their_training(tmp_path: Path) -> None:
    workspace, mapping = Workspace.fresh(tmp_path), config()
    experiment = mapping["experiments"]["trained"]
    experiment |= {"hook_points": ["second"], "conditions": {"retrained": {"models": ["again"], "seeds": [0, 1]}}}
    write_all(workspace.folder)
    (workspace.folder / "config.yaml").write_text(yaml.safe_dump(mapping))
    workspace.build("--cores", "2", "results/experiments/trained/stability.nc")
    found = xr.load_dataset(workspace.results / "experiments/trained/stability.nc")
    assert bool((found.loss_recovered > 0.3).all())
    assert found.loss_recovered.sizes["run"] == 3
    # What the redrawn layer gives before it is trained says less of the classes.
    with h5py.File(workspace.results / "models/again-untrained/seed_0/second/pca.h5") as file:
        before = file["loss_original"][:]
    with h5py.File(workspace.results / "models/again/seed_0/second/pca.h5") as file:
        inputs = {Path(path).name for path in json.loads(file.attrs["inputs"])}
        assert bool((file["loss_original"][:] < before).all())
        assert {"loss_ablated", "loss_spliced", "loss_recovered"} <= set(file)
    assert inputs == {"model.safetensors", "activations.h5", "trainable.py", "points.npz"}
    # Its network is what is measured: where that changes, all of it is stale.
    (workspace.folder / "trainable.py").write_text(MODULE.replace("Dropout(0.2)", "Dropout(0.1)"))
    assert "decompose again/seed_0/second/pca" in workspace.planned("results/experiments/trained/stability.nc")
