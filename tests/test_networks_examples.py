"""Are the networks of config.yaml what they are said to be, in their large form too?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from snakemake.utils import update_config

from homolog.config import load_config, parse_config
from homolog.corpora.paths import packaged
from homolog.corpora.text_files import TextFiles
from homolog.loading import build
from homolog.networks.network import Network
from homolog.networks.reading import Reader
from homolog.networks.training import train_network
from homolog.planning import Plan, Run

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ("language_model", "vision", "minilm")


def mapping(*files: str) -> dict[str, Any]:
    """As Snakemake puts them together."""
    found: dict[str, Any] = {}
    for file in files:
        update_config(found, yaml.safe_load((ROOT / file).read_text()))
    return found


def test_the_large_forms_are_whole_configs_of_the_same_experiments() -> None:
    small, large = (parse_config(mapping("config.yaml", *more)) for more in ([], ["config/large.yaml"]))
    assert list(small.experiments) == list(large.experiments)
    for name in EXPERIMENTS:
        runs = [len(Plan(config).experiment(name).runs) for config in (small, large)]
        assert runs[0] < runs[1]


@pytest.mark.every
@pytest.mark.parametrize("model", ["gpt", "convnet"])
def test_a_network_of_the_config_fits_its_data_and_its_fallback(model: str) -> None:
    """Two inputs through it: sizes, objective and hook points belong together."""
    config = load_config(ROOT / "config.yaml")
    entry: Any = config.models[model]
    for data in (entry.data, entry.fallback):
        if data is entry.data and not data.files():
            continue
        if data is entry.data and model == "convnet":
            continue  # All of Fashion-MNIST would be read.
        changed = entry.model_copy(update={"data": data, "fallback": None})
        plan = Plan(config.model_copy(update={"models": {**config.models, model: changed}}))
        spec = json.loads(plan.spec("train_network", run=Run(f"{model}-untrained", 0)))
        spec["corpus"] |= {"characters": 60_000} if data.name == "world_english_bible" else {}
        found = train_network(spec)
        assert found.curve.loss[0][1] > 2  # As much as chance: log 10 and more.
        dump = json.loads(plan.spec("dump_network", run=Run(model, 0)))
        reader = Reader(build(spec["network"]), build(spec["corpus"]).corpus(), dump["points"])
        assert {point.name for point in reader.hook_points} == set(config.network(model).hook_points)  # type: ignore[union-attr]


def minilm() -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(
        Plan(load_config(ROOT / "config.yaml")).spec("dump_network", run=Run("minilm", 0))
    )
    try:
        packaged(spec["network"]["name"])
    except ValueError as error:
        pytest.skip(str(error))
    return spec


def test_what_is_read_of_minilm_are_its_hidden_states_bit_for_bit(tmp_path: Path) -> None:
    spec, fed = minilm(), []
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(f"In the {number}th year the king spoke to his people. " * 7)
    options = {name: spec["corpus"][name] for name in ("tokenizer", "length", "special_tokens")}
    corpus = TextFiles(path=str(tmp_path), test_fraction=0.5, **options).corpus()
    network = build(spec["network"])

    def call(batch: Any) -> Any:
        fed.append(batch)
        return network.module(**batch)

    (block,) = Reader(Network(network.module, "minilm", call), corpus, spec["points"]).blocks()
    # The last batch holds all inputs, in the reader's order.
    states = network.module(**fed[-1], output_hidden_states=True).hidden_states
    every = corpus.batches(torch.arange(corpus.inputs))["input_ids"]
    place_of = {tuple(tokens): place for place, tokens in enumerate(fed[-1]["input_ids"].tolist())}
    assert len(place_of) == corpus.inputs
    inputs, position = block.numbers["input_id"] // corpus.positions, block.numbers["position"]
    inputs = torch.tensor([place_of[tuple(tokens)] for tokens in every.tolist()])[inputs]
    for name, number in (("block_1", 2), ("block_3", 4), ("block_5", 6)):
        assert torch.equal(block.activations[name], states[number][inputs, position]), name
