"""Are weights of any network drawn anew by a key alone, and nothing beside them?"""

from __future__ import annotations

import re

import pytest
import torch
import transformers
from torch import nn

from homolog.networks.drawing import drawn_by, redraw
from homolog.networks.gpt import gpt
from homolog.networks.network import Network


def small() -> Network:
    with drawn_by("test", 0):
        return Network(gpt(vocabulary=7, length=5, width=8, blocks=2, heads=2), "small")


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in network.module.named_parameters()}


def changed(before: dict[str, torch.Tensor], network: Network) -> set[str]:
    return {name for name, one in network.module.named_parameters() if not torch.equal(one, before[name])}


def test_a_network_is_drawn_by_its_key_and_torchs_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, second = small(), small()
    assert torch.equal(torch.rand(2), expected)
    assert changed(weights(first), second) == set()
    with drawn_by("test", 1):
        other = Network(gpt(vocabulary=7, length=5, width=8, blocks=2, heads=2), "other")
    assert "tokens.weight" in changed(weights(first), other)


def test_a_block_is_drawn_anew_and_all_else_stays():
    network = small()
    before = weights(network)
    drawn = redraw(network, ["blocks.1.mlp"], "init", "again", 0)
    assert drawn == {f"blocks.1.mlp.{part}.{kind}" for part in ("up", "down") for kind in ("weight", "bias")}
    assert changed(before, network) == drawn
    again = small()
    redraw(again, ["blocks.1.mlp"], "init", "again", 0)
    assert changed(weights(network), again) == set()
    # As the module draws itself at its start: uniformly, up to 1 / sqrt(fan in).
    assert float(weights(network)["blocks.1.mlp.up.weight"].abs().max()) <= 8**-0.5


def test_one_parameter_of_a_module_may_be_drawn_alone_and_globs_mean_several():
    network = small()
    before = weights(network)
    assert redraw(network, ["blocks.0.mlp.down.weight"], "a") == {"blocks.0.mlp.down.weight"}
    assert changed(before, network) == {"blocks.0.mlp.down.weight"}
    before = weights(network)
    assert len(redraw(network, ["blocks.*.mlp.up"], "b")) == 4 == len(changed(before, network))


def test_statistics_begin_anew_with_their_module_alone():
    def normed() -> Network:
        norm = nn.BatchNorm1d(3)
        with torch.no_grad():
            for number, one in enumerate((norm.weight, norm.bias, norm.running_mean, norm.running_var)):
                one.fill_(number + 5)
            norm.num_batches_tracked.fill_(9)
        return Network(nn.Sequential(norm), "normed")

    def tensors(network: Network) -> dict[str, float]:
        return {name.removeprefix("0."): float(one.flatten()[0]) for name, one in network.module.state_dict().items()}

    before = {"weight": 5, "bias": 6, "running_mean": 7, "running_var": 8, "num_batches_tracked": 9}
    network = normed()
    assert tensors(network) == before
    assert redraw(network, ["0.weight"], "a") == {"0.weight"}
    assert tensors(network) == before | {"weight": 1}
    network = normed()
    assert redraw(network, ["0"], "a") == {"0.weight", "0.bias"}
    fresh = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    assert tensors(network) == fresh


def test_a_network_of_transformers_is_drawn_as_it_draws_itself(tmp_path):
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    read = transformers.BertModel.from_pretrained(tmp_path)
    network = Network(read, "bert")
    before = weights(network)
    drawn = redraw(network, ["encoder.layer.0.intermediate"], "init", "bert", 0)
    assert drawn == {f"encoder.layer.0.intermediate.dense.{kind}" for kind in ("weight", "bias")}
    # Its biases are zero at the start, and after.
    assert changed(before, network) == {"encoder.layer.0.intermediate.dense.weight"}
    deviation = float(read.encoder.layer[0].intermediate.dense.weight.std())
    assert deviation == pytest.approx(config.initializer_range, rel=0.15), "not torch's, of 0.2"


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.act = nn.ReLU()


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bare = Bare()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bare", "made: bare is a Bare, which has no reset_parameters()"),
        ("bare.act", "bare.act has no parameters"),
        ("bear", "bear"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(name, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        redraw(Network(Holder(), "made"), [name], "x")
