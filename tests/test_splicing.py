"""Is loss recovered 1 where nothing is lost, 0 where the mean is left, and what the algebra says between them?"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from making import CLASSES, gaussian, make_inputs, make_network, make_rows, record, seeded
from test_training import write_idx
from torch import Tensor
from torch.testing import assert_close
from workspace import Workspace

from homolog import splicing
from homolog.alignment.gauge import Gauge, canonical_gauge, no_gauge
from homolog.decompositions.fit import choose_gauge
from homolog.dictionary import Dictionary
from homolog.loading import build
from homolog.models.mlp import MLP
from homolog.registry import TASKS
from homolog.splicing import loss_recovered, out_of_gauge, with_loss_recovered
from homolog.store.activations import Rows
from homolog.store.models import SavedModel
from homolog.tasks.base import TEST, TRAIN, Data
from homolog.training import train

SAMPLES, UNITS = 400, 9
ARCHITECTURE = {"target": "homolog.models.mlp:MLP", "widths": [UNITS]}
POINTS = pytest.mark.parametrize("hook_point", ["hidden_0", "hidden_1", "logits"])
GAUGES = pytest.mark.parametrize("gauge", ["write_out_norm", "none"])


def linear(directions, bias):
    """A dictionary that writes its codes along orthonormal `directions`."""
    latents = torch.zeros(len(directions)).to(directions)
    return Dictionary(directions, directions, latents, bias, latents + 1, latents + 1)


def keep_all(bias):
    """A latent for each unit: nothing is lost."""
    return linear(torch.eye(len(bias)).to(bias), bias)


def keep_none(bias):
    """No code is ever other than 0: the bias is left."""
    units = len(bias)
    zeros = torch.zeros(2, units).to(bias)
    return replace(linear(torch.eye(2, units).to(bias), bias), encoder=zeros, activation="topk", k=1)


class Case:
    """A network that knows its labels (they are its own answers), its data, and what a hook point of it reads."""

    def __init__(self, hook_point, gauge="write_out_norm", seed=0, dtype=torch.float64):
        rows, inputs = make_rows(SAMPLES, seed), make_inputs(SAMPLES, seed)
        self.model = make_network([8, UNITS], seed)
        with torch.no_grad():
            self.model.linear("logits").weight *= 20
            rows = replace(rows, label=self.model(inputs).argmax(1))
        self.model.to(dtype)
        self.data = Data(inputs.to(dtype), rows.label, rows.split, rows.half, CLASSES)
        self.rows, self.hook_point, self.gauge_name = rows, hook_point, gauge

    def activations(self):
        return record(self.model, self.data.inputs, self.rows, self.hook_point)

    @property
    def gauge(self):
        return choose_gauge(self.gauge_name, self.activations())

    @property
    def mean(self):
        return self.activations().values[self.rows.where(TRAIN)].mean(0)

    @property
    def mean_in_gauge(self):
        return self.gauge.fix(self.mean[None])[0]

    def facts(self, *dictionaries):
        return loss_recovered(self.model, self.data, self.hook_point, self.gauge, self.mean, list(dictionaries))


# Both ends of the scale


@POINTS
@GAUGES
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_lost_is_1_and_the_mean_alone_is_0(hook_point, gauge, seed):
    case = Case(hook_point, gauge, seed)
    # The bias of a dictionary that loses nothing doesn't matter.
    whole, mean = case.facts(keep_all(gaussian(len(case.mean), seed=seed)), keep_none(case.mean_in_gauge))
    assert_close([whole["loss_spliced"], whole["loss_recovered"]], [whole["loss_original"], 1.0])
    assert_close(mean["loss_spliced"], mean["loss_ablated"])
    assert abs(mean["loss_recovered"]) < 1e-12
    assert whole["loss_original"] < whole["loss_ablated"] == mean["loss_ablated"]


@POINTS
def test_the_original_loss_is_the_one_of_the_network_on_the_test_rows(hook_point):
    case = Case(hook_point)
    (facts,) = case.facts(keep_none(case.mean_in_gauge))
    rows = case.data.rows(TEST)
    with torch.no_grad():
        chosen = case.model(case.data.inputs[rows]).log_softmax(1).gather(1, case.data.labels[rows][:, None])
    assert_close(facts["loss_original"], -float(chosen.mean()))


def test_it_is_the_loss_that_training_reports():
    case = Case("hidden_1")
    data = replace(case.data, inputs=case.data.inputs.float())
    training = {"optimizer": "adamw", "steps": 30, "batch_size": 50, "lr": 1e-2, "weight_decay": 0.0, "log_every": 30}
    spec = {"run": {"model": "made", "seed": 0}, "training": training, "reinitialise": [], "symmetry": []}
    model, curve = train(spec | {"architecture": {"target": "homolog.models.mlp:MLP", "widths": [8, UNITS]}}, data)
    units = torch.zeros(UNITS)
    (facts,) = loss_recovered(model, data, "hidden_1", no_gauge(UNITS), units.double(), [keep_all(units)])
    assert_close(facts["loss_original"], curve.loss[-1][1], rtol=1e-5, atol=0)


def test_a_dictionary_that_diverged_recovers_no_number_and_the_others_keep_theirs():
    """What is left of it, a bias of zeros, has a loss like any other; of the network's own losses all is known."""
    case = Case("hidden_1")
    good = keep_all(case.mean_in_gauge)
    wild = replace(keep_none(torch.zeros_like(case.mean)), member={"diverged": 7})
    before, diverged, after = case.facts(good, wild, good)
    assert before == after == case.facts(good)[0]
    assert math.isnan(diverged["loss_spliced"])
    assert math.isnan(diverged["loss_recovered"])
    assert diverged["loss_ablated"] == before["loss_ablated"]
    assert not math.isnan(case.facts(replace(wild, member={"diverged": -1}))[0]["loss_recovered"])


@pytest.mark.parametrize("hook_point", ["hidden_0", "hidden_1"])
def test_worse_than_the_mean_is_below_0(hook_point):
    case = Case(hook_point)
    backwards = replace(keep_all(case.mean_in_gauge), encoder=-5 * torch.eye(len(case.mean)).double())
    (facts,) = case.facts(backwards)
    assert facts["loss_recovered"] < 0


# By hand: two inputs, one unit, two classes


def by_hand(weight, dtype=torch.float64, wrong=0):
    """Logits (weight (h - 2), 0) with h = x; inputs 1 and 3 of classes 1 and 0, but for so many of 40 test labels."""
    model = MLP(1, 2, [1]).to(dtype)
    with torch.no_grad():
        for name, value in {"hidden_0.weight": [[1.0]], "hidden_0.bias": [0.0]}.items():
            model.get_parameter(name.replace(".", ".linear.")).copy_(torch.tensor(value))
        model.linear("logits").weight.copy_(torch.tensor([[weight], [0.0]]))
        model.linear("logits").bias.copy_(torch.tensor([-2 * weight, 0.0]))
    labels, place = torch.arange(80) % 2, torch.arange(80)
    split, half = (place < 40).to(torch.int8), (place // 2 % 2).to(torch.int8)
    inputs = (3 - 2 * labels[:, None]).to(dtype)
    labels = torch.where(place < wrong, 1 - labels, labels)  # The first 40 are the test rows.
    return model, Data(inputs, labels, split, half, 2)


@pytest.mark.parametrize("weight", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, -0.5])
def test_a_unit_that_is_shrunk_towards_its_mean_loses_what_the_algebra_says(weight, share):
    model, data = by_hand(weight)
    # The mean of the two logits' weights is taken off: (weight / 2, -weight / 2).
    gauge = Gauge(torch.tensor([weight / math.sqrt(2)]).double(), torch.tensor([0]))
    mean = torch.tensor([2.0]).double()
    shrunk = replace(keep_all(mean * gauge.scale), encoder=torch.tensor([[share]]).double())
    (facts,) = loss_recovered(model, data, "hidden_0", gauge, mean, [shrunk])

    def loss(share):
        return math.log1p(math.exp(-share * weight))

    assert_close(facts["loss_original"], loss(1))
    assert_close(facts["loss_ablated"], math.log(2))
    assert_close(facts["loss_spliced"], loss(share))
    assert_close(facts["loss_recovered"], (math.log(2) - loss(share)) / (math.log(2) - loss(1)))


# The gauge


@pytest.mark.parametrize("seed", range(4))
def test_a_permuted_and_rescaled_network_gives_the_same_facts(seed):
    plain, moved = Case("hidden_1", seed=seed), Case("hidden_1", seed=seed)
    permutation = torch.randperm(UNITS, generator=seeded(seed))
    moved.model.apply_symmetry("hidden_1", permutation, 10 ** (gaussian(UNITS, seed=seed)))
    directions = torch.linalg.qr(gaussian(UNITS, UNITS, seed=seed + 9)).Q[:5]
    canonical = replace(linear(directions, gaussian(UNITS, seed=seed)), activation="topk", k=2)

    def facts_of(case):
        order = case.gauge.to_model_order
        own = {"directions": order(directions), "encoder": order(directions), "bias": order(canonical.bias[None])[0]}
        return case.facts(replace(canonical, **own))

    assert_close(facts_of(moved), facts_of(plain), rtol=1e-9, atol=1e-12)
    # The gauge matters: without it the same dictionary would see another cloud.
    moved.gauge_name = plain.gauge_name = "none"
    assert abs(facts_of(moved)[0]["loss_spliced"] - facts_of(plain)[0]["loss_spliced"]) > 1e-4


@pytest.mark.parametrize("case", [Case("hidden_0"), Case("hidden_1"), Case("logits")], ids=lambda c: c.hook_point)
def test_out_of_the_gauge_undoes_it(case):
    x = case.activations().values
    assert_close(out_of_gauge(case.gauge, case.gauge.fix(x), x), x)


@pytest.mark.parametrize("symmetry", ["permute", "permute_sign", "rotate", "rotate_fix_ones"])
def test_out_of_the_gauge_undoes_signs_and_axes_too(symmetry):
    """What is stored lies over the model's own units, so it is there that the gauge is undone."""
    x = gaussian(50, UNITS)
    gauge = canonical_gauge(x.mean(0), gaussian(3, UNITS, seed=1), symmetry, torch.cov(x.T, correction=0))
    assert_close(out_of_gauge(gauge, gauge.fix(x), x), x)
    assert_close(out_of_gauge(gauge, gauge.to_model_order(gauge.canonical(x)), x), x)
    assert (symmetry == "permute_sign") == bool((gauge.scale < 0).any())


def test_a_unit_that_nothing_reads_needs_no_division_by_zero():
    case = Case("hidden_1", dtype=torch.float32)
    with torch.no_grad():
        case.model.linear("logits").weight[:, [2, 5]] = 0
        case.model.linear("logits").weight[0, 5] = 1e-40
    assert case.gauge.scale[2] == 0 < case.gauge.scale[5]
    # The second of these dictionaries never writes to the two units: the loss can't tell.
    blind = torch.eye(UNITS)[[i for i in range(UNITS) if i not in (2, 5)]]
    for facts in case.facts(keep_all(torch.zeros(UNITS)), linear(blind, torch.zeros(UNITS))):
        assert_close([facts["loss_spliced"], facts["loss_recovered"]], [facts["loss_original"], 1.0], rtol=1e-5, atol=0)
    (facts,) = case.facts(keep_none(torch.ones(UNITS)))
    assert math.isfinite(facts["loss_spliced"])  # 1 / 1e-40 isn't.


def test_a_constant_for_each_row_of_logits_is_no_loss():
    case = Case("logits")
    everything_and_more = replace(keep_all(torch.zeros(CLASSES).double()), bias=torch.full((CLASSES,), 3.0).double())
    everything_and_more = replace(everything_and_more, encoder_bias=torch.full((CLASSES,), 2.0).double())
    (facts,) = case.facts(everything_and_more)
    assert_close([facts["loss_spliced"], facts["loss_recovered"]], [facts["loss_original"], 1.0])


# Where there is no scale to measure on


@pytest.mark.parametrize("seed", range(20))
def test_no_ratio_where_the_network_knows_nothing_of_the_labels(seed):
    """Labels at random: losing a network's confident guesses does the loss good."""
    case = Case("hidden_1", seed=seed)
    case.data = replace(case.data, labels=make_rows(SAMPLES, seed + 100).label)
    (facts,) = case.facts(keep_all(case.mean_in_gauge))
    assert math.isnan(facts["loss_recovered"])
    assert all(math.isfinite(facts[f"loss_{name}"]) for name in ("original", "ablated", "spliced"))


@pytest.mark.parametrize("wrong", [0, 5, 10, 12, 14, 16, 18])
def test_no_ratio_where_the_harm_is_under_2_of_its_standard_errors(wrong):
    weight, bias = 0.5, torch.tensor([2.0]).double()
    model, data = by_hand(weight, wrong=wrong)
    (facts,) = loss_recovered(model, data, "hidden_0", no_gauge(1), bias, [keep_all(bias)])
    # By row, log 2 less the loss of a right or of a wrong answer: two values that are `weight` apart.
    share, harms = wrong / 40, [math.log(2) - math.log1p(math.exp(sign * weight)) for sign in (-1, 1)]
    harm, error = (1 - share) * harms[0] + share * harms[1], weight * math.sqrt(share * (1 - share) / 39)
    assert_close(facts["loss_ablated"] - facts["loss_original"], harm)
    assert harm > 0 or wrong == 18
    assert math.isnan(facts["loss_recovered"]) == (harm < 2 * error)
    assert math.isnan(facts["loss_recovered"]) == (wrong > 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_ratio_where_nothing_further_on_reads_the_hook_point(dtype):
    case = Case("hidden_1", dtype=dtype)
    with torch.no_grad():
        case.model.linear("logits").weight *= 0
    (facts,) = case.facts(keep_all(case.mean_in_gauge))
    assert math.isnan(facts["loss_recovered"])


def test_no_ratio_from_rounding():
    """A layer that is nearly constant: by float32 the mean changes the loss in its last digits, always the same way."""
    model, data = by_hand(1.0, torch.float32)
    with torch.no_grad():
        model.linear("hidden_0").weight.fill_(1e-6)
        model.linear("hidden_0").bias.fill_(2.0)
    mean = torch.tensor([2.000002]).double()
    (facts,) = loss_recovered(model, data, "hidden_0", no_gauge(1), mean, [keep_all(torch.zeros(1))])
    assert 0 < facts["loss_ablated"] - facts["loss_original"] < 1e-5
    assert math.isnan(facts["loss_recovered"])


def test_a_member_that_isnt_finite_leaves_the_others_alone():
    case = Case("hidden_1")
    good = keep_all(case.mean_in_gauge)
    before, broken, after = case.facts(good, replace(good, bias=good.bias * math.nan), good)
    assert before == after
    assert math.isnan(broken["loss_spliced"])
    assert math.isnan(broken["loss_recovered"])


# How it is computed


def test_a_dictionary_in_float32_serves_a_network_in_float64_and_the_other_way_round():
    wide, narrow = Case("hidden_1"), Case("hidden_1", dtype=torch.float32)
    dictionary = linear(torch.eye(4, UNITS), wide.mean_in_gauge.float())
    expected = wide.facts(dictionary.to(torch.float64))
    assert_close(wide.facts(dictionary), expected, rtol=1e-5, atol=1e-6)
    assert_close(narrow.facts(dictionary.to(torch.float64)), expected, rtol=1e-5, atol=1e-6)


def test_batches_add_up_and_are_all_that_the_network_sees(monkeypatch):
    case = Case("hidden_1")
    dictionary = linear(torch.eye(4, UNITS).double(), case.mean_in_gauge)
    whole = case.facts(dictionary)
    seen = []
    case.model.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    monkeypatch.setattr(splicing, "BATCH", 7)
    gauge, mean = case.gauge, case.mean
    seen.clear()
    assert_close(loss_recovered(case.model, case.data, "hidden_1", gauge, mean, [dictionary]), whole)
    assert max(seen) == 7
    assert sum(seen) == 3 * len(case.data.rows(TEST))


def test_the_network_is_left_without_hooks():
    case = Case("hidden_1")
    before = case.model(case.data.inputs)
    case.facts(keep_none(case.mean_in_gauge))
    with pytest.raises(RuntimeError):
        case.facts(keep_all(torch.zeros(UNITS + 1).double()))
    assert torch.equal(case.model(case.data.inputs), before)


class Residual(torch.nn.Module):
    """A network by module names alone, where something passes the hook point by; one module never runs."""

    def __init__(self):
        super().__init__()
        self.block = torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.Tanh())
        self.unused = torch.nn.Linear(12, 12)
        self.head = torch.nn.Linear(12, CLASSES)

    def forward(self, x):
        return self.head(x + self.block(x))


def test_any_network_whose_modules_have_names_will_do():
    torch.manual_seed(0)
    model, case = Residual().double(), Case("hidden_1")
    zero = torch.zeros(12).double()
    shown = loss_recovered(model, case.data, "block.1", no_gauge(12), zero, [keep_none(zero)])
    rows = case.data.rows(TEST)
    without = case.data.losses(model.head(case.data.inputs[rows]).detach(), case.data.labels[rows]).mean()
    assert_close(shown[0]["loss_spliced"], float(without))


def test_a_hook_point_that_isnt_there_or_never_runs_is_refused():
    case, zero = Case("hidden_1"), torch.zeros(12).double()
    with pytest.raises(ValueError, match=r"no module 'blocks'; it has block, .*head: choose one of these"):
        loss_recovered(Residual().double(), case.data, "blocks", no_gauge(12), zero, [])
    with pytest.raises(ValueError, match=r"'unused' ran 0 times in 1 passes .* choose a hook point"):
        loss_recovered(Residual().double(), case.data, "unused", no_gauge(12), zero, [])


# From a spec, and in the files


class Made:
    """A task whose data are `made`."""

    made: Data

    def data(self):
        return self.made


def from_spec(case, monkeypatch, dictionaries, data):
    monkeypatch.setattr(Made, "made", data, raising=False)
    monkeypatch.setattr(splicing, "build", lambda options: Made())
    spec = {"task": {}, "architecture": {"target": "homolog.models.mlp:MLP", "widths": [8, UNITS]}, "gauge": "none"}
    state = {name: tensor.float() for name, tensor in case.model.state_dict().items()}
    activations = record(case.model, case.data.inputs, case.rows, case.hook_point)
    return with_loss_recovered(dictionaries, spec, activations, SavedModel(state, (12, CLASSES), {}))


def test_facts_stand_beside_those_that_were_there(monkeypatch):
    case = Case("hidden_1", gauge="none")
    dictionary = replace(keep_all(case.mean.float()), member={"label": "made", "fvu": 0.0})
    (found,) = from_spec(case, monkeypatch, [dictionary], replace(case.data, inputs=case.data.inputs.float()))
    assert list(found.member) == ["label", "fvu", "loss_original", "loss_ablated", "loss_spliced", "loss_recovered"]
    assert_close(found.member["loss_recovered"], 1.0, rtol=1e-5, atol=0)


def test_other_data_than_those_recorded_are_refused(monkeypatch):
    case = Case("hidden_1")
    others = replace(case.data, labels=case.data.labels.roll(1))
    with pytest.raises(ValueError, match=rf"gives {SAMPLES} samples, whose labels or split differ .* build it again"):
        from_spec(case, monkeypatch, [], others)


# Every task


@dataclass(frozen=True)
class Values(Data):
    """A label is the number of a row of `targets`, real numbers that the outputs should be."""

    targets: Tensor | None = None

    def losses(self, outputs, labels):
        return (outputs - self.targets[labels].to(outputs)).square().sum(1)


class Bends:
    """A task of another kind than those of the registry: two real numbers are to be told, not a class."""

    __module__ = "homolog.tasks.bends"  # Specs name nothing else than homolog's own.

    def data(self):
        inputs, rows = make_inputs(SAMPLES).float(), make_rows(SAMPLES)
        targets = torch.stack([inputs[:, 0].abs(), inputs[:, 1] - inputs[:, 2]], 1)
        return Values(inputs, torch.arange(SAMPLES), rows.split, rows.half, 2, targets=targets)


def garments(folder):
    """Files in the form of Fashion-MNIST, in which a bright line says the class."""
    generator = np.random.default_rng(0)
    for prefix, samples in (("train", 300), ("t10k", 100)):
        labels = generator.integers(0, 10, samples, dtype=np.uint8)
        images = generator.integers(0, 50, (samples, 28, 28), dtype=np.uint8)
        images[np.arange(samples), 2 * labels] += 200
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)


@pytest.fixture(params=[*TASKS, "bends"])
def trained(request, tmp_path, monkeypatch):
    """A task's options, its data, a small network after some training on them, and the test loss that it ended with."""
    monkeypatch.setitem(sys.modules, Bends.__module__, SimpleNamespace(Bends=Bends))
    task = {"target": TASKS.get(request.param, f"{Bends.__module__}:Bends")}
    if request.param == "fashion_mnist":  # Its data are a package of their own.
        garments(tmp_path)
        task["path"] = str(tmp_path)
    data = build(task).data()
    training = {"optimizer": "adamw", "steps": 60, "batch_size": 64, "lr": 1e-2, "weight_decay": 0.0, "log_every": 60}
    spec = {"run": {"model": "made", "seed": 0}, "training": training, "reinitialise": [], "symmetry": []}
    model, curve = train(spec | {"architecture": ARCHITECTURE}, data)
    return task, data, model, curve.loss[-1][1]


@GAUGES
def test_of_every_task_the_tasks_own_loss_is_recovered(trained, gauge):
    """A share s of every activation's distance from the mean: outputs then lie at s between theirs and the mean's."""
    task, data, model, test_loss = trained
    rows = Rows(data.split, data.half, data.labels, torch.arange(len(data.labels)))
    activations = record(model, data.inputs, rows, "hidden_0", dtype=torch.float32)
    test, mean = data.rows(TEST), activations.values[data.rows(TRAIN)].double().mean(0)
    at_mean = choose_gauge(gauge, activations).fix(mean[None])[0].float()
    whole = keep_all(at_mean)
    shares = (1.0, 0.0, 0.6)
    spec = {"task": task, "architecture": ARCHITECTURE, "gauge": gauge}
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    found = with_loss_recovered(
        [replace(whole, encoder=share * whole.encoder) for share in shares],
        spec, activations, SavedModel(state, data.sizes, {}),
    )  # fmt: skip

    def loss(share):
        outputs, middle = model(data.inputs[test]), model.linear("logits")(mean[None].float())
        return float(data.losses((middle + share * (outputs - middle)).double(), data.labels[test]).mean())

    with torch.no_grad():
        original, ablated, partly = (loss(share) for share in shares)
    facts = [dictionary.member for dictionary in found]
    assert_close([f["loss_original"] for f in facts], [test_loss] * 3, rtol=1e-5, atol=0)
    assert_close([f["loss_spliced"] for f in facts], [original, ablated, partly], rtol=1e-4, atol=0)
    expected = [1.0, 0.0, (ablated - partly) / (ablated - original)]
    assert_close([f["loss_recovered"] for f in facts], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("run", ["digits_mlp_retrained/seed_0", "digits_mlp_retrained-untrained/seed_0"])
@pytest.mark.parametrize("name", ["svd", "pca", "cca", "topk"])
def test_the_built_files_say_what_every_member_recovers(built: Workspace, run: str, name: str) -> None:
    folder = built.results / "models" / run
    with h5py.File(folder / "hidden_1" / f"{name}.h5") as file:
        facts = {key: file[key][...] for key in file if key.startswith("loss_")}
        assert set(facts) == {"loss_original", "loss_ablated", "loss_spliced", "loss_recovered"}
        assert all(len(values) == len(file["rows"]) for values in facts.values())
    with xr.open_dataset(folder / "training.nc", engine="h5netcdf") as curve:
        test_loss = float(curve["loss"].sel(split="test")[-1])
    assert_close(facts["loss_original"], facts["loss_original"] * 0 + test_loss, rtol=1e-5, atol=0)
    if "untrained" not in run:
        assert (facts["loss_recovered"] <= 1.05).all()  # A little above 1 where the reconstruction regularises.
        assert (facts["loss_recovered"] > 0).all()
