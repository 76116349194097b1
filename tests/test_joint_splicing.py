"""Is a joint dictionary's loss recovered that of its parts, each in its own run's network, however rows are paired?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from making import CLASSES, gaussian, make_inputs, make_network, make_rows, record, seeded
from torch.testing import assert_close

from homolog import joint_splicing
from homolog.decompositions.fit import choose_gauge
from homolog.decompositions.joint import COPIES, RUNS, SHUFFLED, WITHIN_CLASS, JointDictionary, pairing
from homolog.dictionary import Dictionary
from homolog.joint_splicing import joint_loss_recovered, read_network, with_joint_loss_recovered
from homolog.splicing import loss_recovered
from homolog.store.models import SavedModel
from homolog.tasks.base import TEST, TRAIN, Data

SAMPLES, HOOK_POINT, WIDTHS, FACTORS = 300, "hidden_1", [9, 7], [0.5, 3.0]
KEY = ("made", HOOK_POINT, "cross")
LOSSES = {"loss_original", "loss_ablated", "loss_spliced", "loss_recovered"}


class World:
    """Two networks of unequal width that know something of the labels, by a fitted last layer, and what they read."""

    def __init__(self):
        rows, inputs = make_rows(SAMPLES), make_inputs(SAMPLES)
        self.models = [make_network([8, width], seed) for seed, width in enumerate(WIDTHS)]
        rows = replace(rows, label=(inputs @ gaussian(12, CLASSES, seed=9)).argmax(1))
        with torch.no_grad():
            for i, model in enumerate(self.models):
                read = record(model, inputs, rows, HOOK_POINT, f"made/seed_{i}").values
                wanted = 4 * torch.nn.functional.one_hot(rows.label, CLASSES).double()
                model.linear("logits").weight.copy_(torch.linalg.lstsq(read, wanted - wanted.mean(0)).solution.T)
        self.rows, self.data = rows, Data(inputs, rows.label, rows.split, rows.half, CLASSES)
        self.activations = [record(m, inputs, rows, HOOK_POINT, f"made/seed_{i}") for i, m in enumerate(self.models)]
        self.gauges = [choose_gauge("write_out_norm", a) for a in self.activations]
        self.means = [a.values[rows.where(TRAIN)].mean(0) for a in self.activations]
        self.labels = rows.label[rows.where(TEST)]
        self.networks = [
            read_network(model, self.data, HOOK_POINT, gauge, mean)
            for model, gauge, mean in zip(self.models, self.gauges, self.means, strict=True)
        ]

    def facts(self, member, orders=None):
        orders = orders or pairing(member.control, self.labels, (*KEY, member.control, "test"), 2)
        return joint_loss_recovered(member, self.networks, orders, self.data)

    def alone(self, run, dictionary):
        """What the splicing of one run says."""
        given = (self.models[run], self.data, HOOK_POINT, self.gauges[run], self.means[run], [dictionary])
        return loss_recovered(*given)[0]


@pytest.fixture(scope="module")
def world():
    return World()


def joint(encoder, directions, bias, control=RUNS, widths=WIDTHS, factors=FACTORS):
    latents = torch.zeros(len(directions)).double()
    dictionary = Dictionary(directions, encoder, latents, bias, latents + 1, latents + 1, member={"control": control})
    return JointDictionary(dictionary, widths, factors, torch.zeros(2), torch.zeros(2))


def everything(control, widths=WIDTHS):
    """A latent for each unit of each run: nothing is lost, and the bias doesn't matter."""
    units = sum(widths)
    return joint(torch.eye(units).double(), torch.eye(units).double(), gaussian(units), control, widths)


@pytest.mark.parametrize("control", [RUNS, SHUFFLED, WITHIN_CLASS, COPIES])
def test_nothing_lost_is_1_in_every_run_however_rows_were_paired(world, control):
    copies = control == COPIES
    facts = world.facts(everything(control, [9, 9] if copies else WIDTHS))
    assert facts.keys() == LOSSES
    assert_close(facts["loss_recovered"], torch.ones(2).double())
    own = [float(n.original.mean()) for n in world.networks]
    assert_close(facts["loss_spliced"], torch.tensor([own[0]] * 2 if copies else own).double())
    assert own[0] != pytest.approx(own[1], rel=1e-3)


def test_the_mean_alone_is_0_in_every_run(world):
    scaled = [g.fix(m[None])[0] * f for g, m, f in zip(world.gauges, world.means, FACTORS, strict=True)]
    member = joint(torch.zeros(2, 16).double(), torch.eye(2, 16).double(), torch.cat(scaled))
    facts = world.facts(member)
    assert_close(facts["loss_spliced"], facts["loss_ablated"])
    assert facts["loss_recovered"].abs().max() < 1e-12


def test_a_member_that_diverged_recovers_no_number_in_any_run(world):
    member = everything(RUNS)
    wild = replace(member.dictionary, member={**member.dictionary.member, "diverged": 3})
    facts = world.facts(replace(member, dictionary=wild))
    assert facts["loss_spliced"].isnan().all()
    assert facts["loss_recovered"].isnan().all()
    assert torch.equal(facts["loss_ablated"], world.facts(member)["loss_ablated"])


@pytest.mark.parametrize("seed", range(3))
def test_latents_of_one_run_each_lose_what_two_dictionaries_do(world, seed):
    """Nothing goes between the blocks, so each run has a dictionary of its own, in the scale of its factor."""
    blocks = [torch.linalg.qr(gaussian(w, w, seed=seed)).Q[:4] for w in WIDTHS]
    bias = [gaussian(w, seed=seed + 5) for w in WIDTHS]
    facts = world.facts(joint(torch.block_diag(*blocks), torch.block_diag(*blocks), torch.cat(bias)))
    for run, (block, b, factor) in enumerate(zip(blocks, bias, FACTORS, strict=True)):
        zeros = torch.zeros(4).double()
        expected = world.alone(run, Dictionary(block, block, zeros, b / factor, zeros + 1, zeros + 1))
        assert_close({name: float(value[run]) for name, value in facts.items()}, expected)


@pytest.mark.parametrize("control", [RUNS, SHUFFLED, WITHIN_CLASS])
def test_what_one_run_writes_into_the_other_is_of_the_row_that_stands_beside_it(world, control, monkeypatch):
    """Codes are the first run's units alone: by hand, row by row, in batches that don't divide the rows."""
    monkeypatch.setattr(joint_splicing, "BATCH", 13)
    into = gaussian(9, 7, seed=4)
    member = joint(
        torch.eye(9, 16).double(), torch.cat([torch.eye(9).double(), into], 1), torch.zeros(16).double(), control
    )
    orders = pairing(control, world.labels, (*KEY, control, "test"), 2)
    facts = world.facts(member, orders)
    beside = {int(mine): int(other) for other, mine in zip(*orders, strict=True)}
    (first, second), losses, last = world.networks, [], world.models[1].linear("logits")
    for i, row in enumerate(world.data.rows(TEST)):
        code = first.gauge.fix(first.values[[beside[i]]])[0] * FACTORS[0]
        written = code @ into / FACTORS[1] / second.gauge.scale
        logits = written @ last.weight.detach().T + last.bias.detach()
        losses.append(-logits.log_softmax(0)[world.data.labels[row]])
    assert_close(float(facts["loss_spliced"][1]), float(torch.stack(losses).mean()))
    assert_close(float(facts["loss_spliced"][0]), float(first.original.mean()))
    moved = control != RUNS
    assert any(mine != other for mine, other in beside.items()) == moved
    if control == WITHIN_CLASS:
        assert all(world.labels[mine] == world.labels[other] for mine, other in beside.items())


class MadeTask:
    """A task whose data are at hand."""

    def __init__(self, data):
        self.kept = data

    def data(self):
        return self.kept


def test_members_get_the_facts_of_each_runs_network(world, monkeypatch):
    monkeypatch.setattr(joint_splicing, "build", lambda spec: MadeTask(world.data))
    monkeypatch.setattr(joint_splicing, "restore_model", lambda _spec, state, _sizes: world.models[int(state["in"])])
    spec = {"task": {}, "architectures": [{}, {}], "gauge": "write_out_norm", "name": "cross"}
    saved = [SavedModel({"in": torch.tensor(i)}, (12, CLASSES), {}) for i in range(2)]
    members = [everything(RUNS), everything(SHUFFLED)]
    found = with_joint_loss_recovered(members, spec, world.activations, saved)
    for before, after in zip(members, found, strict=True):
        assert after.dictionary is before.dictionary
        assert_close(after.loss["loss_recovered"], torch.ones(2).double())
    other = replace(world.data, labels=world.data.labels[torch.randperm(SAMPLES, generator=seeded(0))])
    monkeypatch.setattr(joint_splicing, "build", lambda spec: MadeTask(other))
    with pytest.raises(ValueError, match=r"of made/seed_0 were recorded from: its data set has changed"):
        with_joint_loss_recovered(members, spec, world.activations, saved)
