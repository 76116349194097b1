"""What small networks, activations and fitted runs do several tests build in memory?"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from homolog.activations import Totals, describe_hook_points, stream_activations
from homolog.alignment.layer import Layer, build_layer
from homolog.config import ConfigError, parse_config
from homolog.config.decompositions import Decomposition
from homolog.decompositions.base import Member
from homolog.decompositions.fit import choose_gauge, fit
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.models.mlp import MLP
from homolog.registry import METHODS
from homolog.store.activations import Activations, Rows
from homolog.store.curves import FinalLoss
from homolog.store.runs import StoredRun, _in_order_of
from homolog.streams import stream
from homolog.tasks.base import TRAIN

INPUTS, CLASSES = 12, 5
# Methods that read a second hook point; those whose codes follow no rank and are never negative.
PAIRED = ["cca", "svcca"]
SPARSE = [name for name in METHODS if name.endswith("_sae") or name == "crosscoder"]
# One of each kind: of fixed moments, of pairs, by rotation, by clusters, by rank, by thresholds, of several runs.
FEW = {"pca", "cca", "ica", "kmeans", "topk_sae", "jumprelu_sae", "crosscoder"}
# Enough training for latents that differ from their start, in a tenth of a second.
TRAINED = {"n_latents": 16, "lr": 1e-2, "steps": 40, "batch_size": 64, "dead_after": 1000}


def one_of_each(cases: Iterable[Any], few: Collection[Any] = FEW) -> list[Any]:
    """Cases of a test: some stand for all in `make test`, `make test-every` takes the others."""
    return [case if case in few else marked(case) for case in cases]


def marked(case: Any) -> Any:
    """A case that `make test-every` takes."""
    return pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.every)


def complete(name: str, **given: Any) -> dict[str, Any]:
    """Options of one grid point as planning hands them to a method: what isn't given has its default."""
    adapter: TypeAdapter[Any] = TypeAdapter(Decomposition)
    partner = {"partner": "hidden_2"} if name in PAIRED else {}
    return dict(adapter.validate_python({"method": name, "n_latents": 4} | partner | given).expand()[0])


# Of every method in the registry, what differs from its defaults, so that it is done in no time.
GIVEN: dict[str, dict[str, Any]] = {
    "svcca": {"variance": 1.0},
    "dictionary_learning": {"k": 2, "steps": 50, "batch_size": 64},
    "relu_sae": TRAINED | {"coefficient": 0.05},
    "topk_sae": TRAINED | {"k": 3},
    "batch_topk_sae": TRAINED | {"k": 3, "threshold_momentum": 0.9},
    "jumprelu_sae": TRAINED | {"coefficient": 0.01, "bandwidth": 0.05, "threshold_init": 0.05},
    "gated_sae": TRAINED | {"coefficient": 0.05},
    "matryoshka_sae": TRAINED | {"k": 3, "levels": 3, "threshold_momentum": 0.9},
    "matching_pursuit_sae": TRAINED | {"k": 3},
    "archetypal_sae": TRAINED | {"k": 3, "candidates": 64},
    "crosscoder": TRAINED | {"k": 3, "threshold_momentum": 0.9},
}
OPTIONS = {name: complete(name, **GIVEN.get(name, {})) for name in METHODS}


def problems(mapping: Any) -> list[str]:
    """What is wrong with a configuration, which must be wrong."""
    with pytest.raises(ConfigError) as caught:
        parse_config(mapping)
    return caught.value.problems


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixed(samples: int = 120, units: int = 7, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Activations that are correlated, skewed, off centre: nothing that a method could lean on by accident."""
    x = gaussian(samples, units, seed=seed).exp() @ gaussian(units, units, seed=seed + 1) + torch.arange(units)
    return x.to(dtype)


def make_rows(samples: int, seed: int = 0) -> Rows:
    """Three quarters train, the rest test, halves of both; labels at random."""
    order, place = torch.randperm(samples, generator=seeded(seed)), torch.arange(samples)
    split, half = torch.empty(samples, dtype=torch.int8), torch.empty(samples, dtype=torch.int8)
    split[order], half[order] = (place >= samples * 3 // 4).to(torch.int8), (place % 2).to(torch.int8)
    return Rows(split, half, torch.randint(CLASSES, (samples,), generator=seeded(seed + 1)), place)


def make_network(widths: list[int], seed: int = 0) -> MLP:
    """An untrained network in float64, so that identities hold to rounding."""
    network = MLP(INPUTS, CLASSES, widths)
    network.initialise(stream("test", seed))
    return network.double()


def make_inputs(samples: int, seed: int = 0) -> Tensor:
    """Inputs of unequal variance, so that principal components are well apart."""
    return gaussian(samples, INPUTS, seed=seed) * torch.linspace(2, 0.5, INPUTS).double()


def record(
    network: MLP, inputs: Tensor, rows: Rows, hook_point: str, run: str = "made/seed_0", dtype: Any = torch.float64
) -> Activations:
    """What a hook point reads, as an activation file would give it back (which is float32)."""
    ((_, batch),) = stream_activations(network, inputs, [hook_point], len(inputs), "cpu")
    (described,) = describe_hook_points(network, [hook_point])
    values, train = batch[hook_point].to(dtype), rows.where(TRAIN)
    totals = Totals(described)
    totals.add(batch[hook_point][train])
    # A copy: what the network gives is a view of its weights, which a test may go on to change.
    write_out = None if described.write_out is None else described.write_out.clone()
    return Activations(run, hook_point, values, rows, totals.gauge(), write_out)


def spec_of(name: str, grid: list[dict[str, Any]], seeds: tuple[int, ...] = (0,), gauge: str = "write_out_norm") -> Any:
    """A decomposition's spec, as planning makes it."""
    labels = [f"{name}[{i}]" for i in range(len(grid))] if len(grid) > 1 else [name]
    run = {"model": "made", "seed": 0}
    return {
        "run": run, "name": name, "method": METHODS[name], "gauge": gauge,
        "grid": grid, "labels": labels, "seeds": list(seeds),
    }  # fmt: skip


def make_layer(network: MLP, inputs: Tensor, rows: Rows, hook_point: str, **recorded: Any) -> Layer:
    """A hook point prepared for comparing, with the layer below it where there is one."""
    activations = record(network, inputs, rows, hook_point, **recorded)
    below = network.below(hook_point)
    read = record(network, inputs, rows, below, **recorded) if below else None
    return build_layer(network, activations, read, choose_gauge("write_out_norm", activations))


def fit_to(layer: Layer, activations: Activations, partner: Activations, name: str) -> list[Dictionary]:
    """All members of a method of the registry, ready for comparing (canonical order, float64)."""
    if name in SPARSE:
        activations = replace(activations, values=activations.values.float())
    fitted = fit(spec_of(name, [OPTIONS[name]]), activations, partner if name in PAIRED else None)
    return [_in_order_of(layer, dictionary) for dictionary in fitted]


class MadeRun(StoredRun):
    """A run that lies in memory: its loss, its layers by hook point, and its members by decomposition."""

    def __init__(
        self, name: str, loss: tuple[float, float], layers: dict[str, Layer], members: dict[str, list[Dictionary]]
    ) -> None:
        super().__init__(Path("nowhere") / name)
        self.name, self.loss, self.layers, self.members = name, loss, layers, members
        self.others: dict[str, MadeRun] = {}
        self.starts: dict[str, list[Dictionary]] = {}

    def final_loss(self) -> FinalLoss:
        return FinalLoss(self.name, *self.loss, accuracy=0.9)

    def beside(self, name: str) -> MadeRun:
        return self.others[name]

    def layer(self, hook_point: str, gauge: str, device: str | torch.device = "cpu", *about_rows: str | None) -> Layer:
        return self.layers[hook_point]

    def dictionaries_at_start(
        self, layer: Layer, decomposition: str, device: str | torch.device = "cpu"
    ) -> list[Dictionary]:
        return self.starts[decomposition]

    def dictionaries(self, layer: Layer, decomposition: str) -> list[Dictionary]:
        return self.members[decomposition]


def method_of(name: str, **how: Any) -> Any:
    return load(METHODS[name])(**how)


def make_member(
    name: str,
    activations: Tensor,
    partner: Tensor | None = None,
    seed: int = 0,
    rows: str = "all",
    key: tuple[str | int, ...] = ("test",),
    start: Tensor | None = None,
    **changes: Any,
) -> Member:
    """One member on activations that lie in memory, with the options of `OPTIONS` but for `changes`."""
    unknown = changes.keys() - OPTIONS[name].keys()
    assert not unknown, f"{name} has no options {unknown}"
    beside = None if partner is None else InMemory(partner)
    return Member(OPTIONS[name] | changes, seed, rows, InMemory(activations), beside, key, start)
