"""Do networks of others come here as they are, and are their activations those of the slow, obvious way, row by row?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.testing import assert_close

from homolog.corpora.base import Corpus
from homolog.networks import reading
from homolog.networks.files import checkpoint_folder
from homolog.networks.network import Network, from_python, from_transformers
from homolog.networks.places import as_places
from homolog.networks.points import Point
from homolog.networks.reading import Reader
from homolog.store.activations import read_activations, write_blocks
from homolog.tasks.base import UNKNOWN

VOCABULARY, UNITS, LENGTH = 40, 8, 7


class Tokens(Corpus):
    """Random tokens in sequences of which the ends are padding; tokens below 2 are special, and no rows."""

    positions = LENGTH

    def __init__(self, inputs: int = 30, key: int = 0) -> None:
        generator = torch.Generator().manual_seed(key)
        self.tokens = torch.randint(0, VOCABULARY, (inputs, LENGTH), generator=generator)
        lengths = torch.randint(3, LENGTH + 1, (inputs, 1), generator=generator)
        self.mask = (torch.arange(LENGTH) < lengths).long()
        self.split = (torch.arange(inputs) % 3 == 0).to(torch.int8)
        self.half = (torch.arange(inputs) % 2).to(torch.int8)
        self.label = torch.full((inputs,), UNKNOWN)
        self.vocabulary = int(self.tokens.max()) + 1

    def batches(self, inputs: Int[Tensor, " inputs"]) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[inputs], "attention_mask": self.mask[inputs]}

    def keep(self, inputs: Int[Tensor, " inputs"]) -> Bool[Tensor, "inputs positions"]:
        return (self.mask[inputs] == 1) & (self.tokens[inputs] > 1)

    def named(self, inputs: Int[Tensor, " inputs"]) -> dict[str, Int[Tensor, "inputs positions"]]:
        return {"token_id": self.tokens[inputs], "document": inputs[:, None].expand(-1, LENGTH) // 2}


class Images(Corpus):
    """Random images, fed alone; an input is one row, unless the network has positions."""

    positions = None

    def __init__(self, inputs: int = 9) -> None:
        self.images = torch.randn(inputs, 1, 6, 6, generator=torch.Generator().manual_seed(3))
        self.split = (torch.arange(inputs) % 3 == 0).to(torch.int8)
        self.half = (torch.arange(inputs) % 2).to(torch.int8)
        self.label = torch.arange(inputs) % 4

    def batches(self, inputs: Int[Tensor, " inputs"]) -> Tensor:
        return self.images[inputs]


class Mini(nn.Module):
    """An embedding and two blocks that mix the tokens of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, UNITS)
        self.blocks = nn.ModuleList(nn.Linear(UNITS, UNITS) for _ in range(2))
        self.seen: list[int] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.seen.append(len(input_ids))
        hidden = self.embed(input_ids)
        for block in self.blocks:
            mean = (hidden * attention_mask[..., None]).sum(1, keepdim=True) / attention_mask.sum(1)[:, None, None]
            hidden = hidden + torch.tanh(block(hidden + mean))
        return hidden


def mini(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(Mini(), "mini")


def all_rows(reader: Reader) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Everything that a reader gives, its blocks joined."""
    blocks = list(reader.blocks())
    assert [block.start for block in blocks] == [
        sum(len(b.numbers["split"]) for b in blocks[:i]) for i in range(len(blocks))
    ]
    values = {name: torch.cat([block.activations[name] for block in blocks]) for name in blocks[0].activations}
    return values, {name: torch.cat([block.numbers[name] for block in blocks]) for name in blocks[0].numbers}


# Rows


@pytest.mark.parametrize(("batch_size", "mixed"), [(None, 2**15), (1, 50), (4, 7), (7, 1000)])
def test_rows_are_those_of_one_input_after_the_other(
    monkeypatch: pytest.MonkeyPatch, batch_size: int | None, mixed: int
) -> None:
    """However they are cut: each row is its place in its input, computed with no other input beside it."""
    monkeypatch.setattr(reading, "MIXED_ROWS", mixed)
    network, corpus = mini(), Tokens()
    reader = Reader(network, corpus, {"embed": "embed", "second": "blocks.1:in"}, batch_size)
    values, numbers = all_rows(reader)
    whole = {"embed": [], "second": []}  # type: dict[str, list[Tensor]]
    for tokens, mask in zip(corpus.tokens, corpus.mask, strict=True):
        hidden = network.module.embed(tokens)
        whole["embed"].append(hidden)
        weights = mask[:, None] / mask.sum()
        hidden = hidden + torch.tanh(network.module.blocks[0](hidden + (weights * hidden).sum(0)))
        whole["second"].append(hidden + (weights * hidden).sum(0))
    place = numbers["input_id"]
    for name, parts in whole.items():
        assert_close(values[name], torch.cat(parts)[place], rtol=1e-5, atol=1e-6)
    assert torch.equal(values["embed"], network.module.embed.weight[numbers["token_id"]])
    kept = corpus.keep(torch.arange(30)).flatten().nonzero().squeeze(1)
    assert torch.equal(place.sort().values, kept)
    assert reader.rows == len(kept)
    for name, given in {"token_id": corpus.tokens, "position": torch.arange(LENGTH).expand(30, -1)}.items():
        assert torch.equal(numbers[name], given.flatten()[place])
    for name in ("split", "half"):
        assert torch.equal(numbers[name], getattr(corpus, name)[place // LENGTH])
    assert torch.equal(numbers["document"], place // LENGTH // 2)


def test_rows_stand_in_an_order_that_only_the_corpus_decides() -> None:
    """Random, so that neighbours aren't of one text; and equal for runs that are compared."""
    orders = [
        all_rows(Reader(mini(seed), Tokens(key=key), {"x": point}, batch_size))[1]["input_id"]
        for seed, key, point, batch_size in [(0, 0, "embed", 4), (1, 0, "blocks.1", None), (0, 1, "embed", 4)]
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0].sort().values, orders[2].sort().values)
    inputs = orders[0] // LENGTH
    assert float((inputs.diff() == 0).float().mean()) < 0.2  # By chance 1 of 30; in order more than 3 of 4.
    ranks = torch.stack([torch.arange(len(inputs)).float(), inputs.float()])
    assert abs(float(torch.corrcoef(ranks)[0, 1])) < 0.4  # 4 standard errors of 100 rows.


def test_the_network_is_only_ahead_by_some_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory doesn't grow with the corpus."""
    monkeypatch.setattr(reading, "MIXED_ROWS", 8)
    network = mini()
    reader = Reader(network, Tokens(inputs=400), {"embed": "embed"}, batch_size=4)
    network.module.seen.clear()
    blocks = reader.blocks()
    assert len(next(blocks).activations["embed"]) == 8
    assert sum(network.module.seen) <= 4 * 6
    blocks.close()  # As when writing fails: what isn't begun isn't computed.
    assert sum(network.module.seen) <= 4 * 7
    assert not any(module._forward_hooks for module in network.module.modules())


def test_images_give_a_row_for_each_or_for_each_place_of_a_map() -> None:
    corpus = Images()
    network = Network(nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(2), nn.Flatten(), nn.Linear(48, 5)), "convolution")
    maps, numbers = all_rows(Reader(network, corpus, {"maps": "0"}, 2))
    reference = network.module[0](corpus.images).flatten(2).mT.reshape(-1, 3)
    assert_close(maps["maps"], reference[numbers["input_id"]])
    assert torch.equal(numbers["position"], numbers["input_id"] % 16)
    assert torch.equal(numbers["label"], corpus.label[numbers["input_id"] // 16])
    whole, numbers = all_rows(Reader(network, corpus, {"logits": "3"}))
    assert_close(whole["logits"], network.module(corpus.images)[numbers["input_id"]])
    with pytest.raises(ValueError, match=r"different numbers of positions for each input \(maps: 16, logits: 1\)"):
        Reader(network, corpus, {"maps": "0", "logits": "3"})


@pytest.mark.parametrize(
    ("shape", "positions", "expected"),
    [
        ((4, 5, 6), 5, (4, 5, 6)),
        ((4, 5, 2, 3), 5, (4, 5, 6)),
        ((20, 6), 5, (4, 5, 6)),
        ((4, 6), None, (4, 1, 6)),
        ((4, 9, 6), None, (4, 9, 6)),
        ((4, 6, 3, 3), None, (4, 9, 6)),
    ],
)
def test_units_are_behind_inputs_and_positions(
    shape: tuple[int, ...], positions: int | None, expected: tuple[int, ...]
) -> None:
    value = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    assert tuple(as_places(value, 4, positions, Point("x")).shape) == expected


@pytest.mark.parametrize(
    ("shape", "positions"),
    [((4, 6), 5), ((5, 4, 6), 5), ((4, 4, 6), 5), ((3, 6), None), ((4,), None), ((4, 1, 2, 3, 4), None)],
)
def test_other_shapes_are_told(shape: tuple[int, ...], positions: int | None) -> None:
    with pytest.raises(ValueError, match=r"hook point x has shape .* of a batch of 4 inputs.*; allowed: \(4, "):
        as_places(torch.zeros(shape), 4, positions, Point("x"))


def test_batches_shrink_where_memory_runs_out() -> None:
    """By halves, and what had been too much is read again."""
    network, whole = mini(), all_rows(Reader(mini(), Tokens(), {"x": "blocks.1"}))

    def call(batch: Any) -> Tensor:
        if len(batch["input_ids"]) > 3:
            raise torch.OutOfMemoryError("too much")
        return network.module(**batch)

    small = all_rows(Reader(Network(network.module, "small", call), Tokens(), {"x": "blocks.1"}))
    assert_close(small[0], whole[0])
    assert torch.equal(small[1]["input_id"], whole[1]["input_id"])
    assert max(network.module.seen) <= 3

    def never(batch: Any) -> Tensor:
        return call({"input_ids": range(4)}) if network.module.seen else network.module(**batch)

    network.module.seen.clear()
    with pytest.raises(torch.OutOfMemoryError):
        Reader(Network(network.module, "none", never), Tokens(), {"x": "blocks.1"})


def test_bfloat16_rounds_products_and_float32_nothing() -> None:
    exact, half = (
        all_rows(Reader(mini(), Tokens(), {"x": "blocks.0"}, precision=p))[0]["x"] for p in (None, "bfloat16")
    )
    difference = (exact - half).abs().max()
    # Products of 8 numbers below 4, each rounded to 8 bits.
    assert 0 < float(difference) < 8 * 4 * 2**-8
    with pytest.raises(ValueError, match="precision = 'float8'; allowed: float32, bfloat16"):
        Reader(mini(), Tokens(), {"x": "blocks.0"}, precision="float8")


def test_gradients_and_dropout_are_off_and_grad_mode_stays_as_it_was() -> None:
    network = Network(nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)), "noisy", lambda batch: network.module(batch))
    network.module.train()
    rows = Reader(network, Images(), {"x": "1"}).blocks()
    block = next(rows)
    assert torch.is_grad_enabled()
    assert not block.activations["x"].requires_grad
    assert bool((block.activations["x"] != 0).all())


# The file


def dump(path: Path, network: Network, corpus: Corpus, dtype: str = "float32", **options: Any) -> Reader:
    reader = Reader(network, corpus, {"embed": "embed", "blocks.1": "blocks.1"}, **options)
    write_blocks(path, reader.hook_points, reader.blocks(), reader.rows, dtype, {"run": "mini/seed_0"})
    return reader


def test_a_file_holds_the_rows_and_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MIXED_ROWS", 16)
    network, corpus = mini(), Tokens()
    values, numbers = all_rows(dump(tmp_path / "activations.h5", network, corpus))
    for name in ("embed", "blocks.1"):
        back = read_activations(tmp_path / "activations.h5", name)
        assert torch.equal(back.values, values[name])
        assert torch.equal(back.gauge.canonical(back.values), back.values)  # None is known of it.
    rows = back.rows
    for known, name in ((rows.split, "split"), (rows.half, "half"), (rows.label, "label"), (rows.input_id, "input_id")):
        assert torch.equal(known, numbers[name])
    for name in ("token_id", "position", "document"):
        assert torch.equal(rows.named(name), numbers[name])


@pytest.mark.parametrize(
    ("spoil", "dtype", "message"),
    [
        (torch.inf, "float32", r"activations at embed hold \d+ values that aren't finite .*set `precision: float32`"),
        (1e6, "float16", "activations at embed reach 1e.06, and float16 reaches only to 65504"),
    ],
)
def test_values_that_dont_fit_are_told_and_nothing_is_left(
    tmp_path: Path, spoil: float, dtype: str, message: str
) -> None:
    network = mini()
    network.module.embed.weight.data[5, 2] = spoil
    with pytest.raises(ValueError, match=message):
        dump(tmp_path / "activations.h5", network, Tokens(), dtype)
    assert list(tmp_path.iterdir()) == []


def test_a_hook_point_that_a_later_batch_doesnt_reach_is_told(tmp_path: Path) -> None:
    network = mini()

    def call(batch: Any) -> Tensor:
        many = len(network.module.seen) > 3
        return network.module.embed(batch["input_ids"]) if many else network.module(**batch)

    with pytest.raises(ValueError, match=r"hook point blocks.1 wasn't reached in the forward pass"):
        dump(tmp_path / "activations.h5", Network(network.module, "changing", call), Tokens(), batch_size=4)
    assert list(tmp_path.iterdir()) == []


def test_other_positions_in_a_later_batch_are_told(tmp_path: Path) -> None:
    """Of images the network makes the positions: nothing else knows how many there are."""
    module, calls = nn.Linear(4, 3), []

    def patches(batch: Tensor) -> Tensor:
        calls.append(len(batch))
        found: Tensor = module(nn.functional.unfold(batch, 2, stride=2 if len(calls) < 5 else 4).mT)
        return found

    reader = Reader(Network(module, "patches", patches), Images(), {"x": ":out"}, batch_size=2)
    with pytest.raises(ValueError, match=r"has \(4, 3\) positions and units in a batch, and \(9, 3\) in the first one"):
        write_blocks(tmp_path / "activations.h5", reader.hook_points, reader.blocks(), reader.rows, "float32", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [IndexError("index out of range\nin self"), ValueError("too long")])
def test_a_network_that_fails_on_a_later_batch_is_told_as_such(tmp_path: Path, error: Exception) -> None:
    network = mini()

    def call(batch: Any) -> Tensor:
        if len(network.module.seen) > 3:
            raise error
        found: Tensor = network.module(**batch)
        return found

    with pytest.raises(
        ValueError, match=r"changing fails on a batch of input_ids \(4, 7\), attention_mask .*feed it what"
    ):
        dump(tmp_path / "activations.h5", Network(network.module, "changing", call), Tokens(), batch_size=4)
    assert list(tmp_path.iterdir()) == []


# What doesn't fit together


def test_a_corpus_that_doesnt_fit_is_told() -> None:
    with pytest.raises(ValueError, match=r"pictures: its forward takes input, and it is fed input_ids, attention_mask"):
        Reader(Network(nn.Linear(3, 3), "pictures"), Tokens(), {"x": ""})
    small = mini()
    small.module.get_input_embeddings = lambda: nn.Embedding(9, 3)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="mini: the tokenizer doesn't fit the model: token ids reach 39"):
        Reader(small, Tokens(), {"x": "embed"})
    with pytest.raises(
        ValueError,
        match=r"short fails on a batch of input_ids \(2, 7\), .* \(IndexError: index out of.* set `tokenizer` to",
    ):
        Reader(
            Network(nn.Sequential(nn.Embedding(9, 3)), "short", lambda b: nn.Embedding(9, 3)(b["input_ids"])),
            Tokens(),
            {"x": "0"},
        )
    with pytest.raises(ValueError, match=r"'blocks.\*' means 2 \(blocks.0, blocks.1\), and one is needed here"):
        Reader(mini(), Tokens(), {"x": "blocks.*"})
    means = nn.Sequential(nn.Embedding(VOCABULARY, 8), nn.AdaptiveAvgPool2d((1, 8)), nn.Flatten())
    with pytest.raises(ValueError, match=r"hook point 2 has shape \(2, 8\) of a batch of 2 inputs of 7 positions"):
        Reader(Network(means, "means", lambda batch: means(batch["input_ids"])), Tokens(), {"x": "2"})
    with pytest.raises(ValueError, match=r"hook point blocks.1 wasn't reached"):
        Reader(Network(mini().module, "still", lambda batch: None), Tokens(), {"x": "blocks.1"})


# Networks from Python


MODULE = """
from torch import nn

class Two(nn.Module):
    def forward(self, x):
        return {"twice": 2 * x}

def module(units=3):
    return nn.Linear(units, units)

def called(factor):
    network = nn.Identity()
    return network, lambda batch: network(factor * batch)

def wrong():
    return 3

lacking = 4

def fails():
    raise KeyError("weights")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with modules of its user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "their_networks.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import not_installed_at_all")
    yield tmp_path
    for name in ("their_networks", "needs_more"):
        sys.modules.pop(name, None)


def test_a_function_returns_a_module_or_how_it_is_called(here: Path) -> None:
    plain = from_python("their_networks:module", {"units": 5})
    assert plain(torch.ones(2, 5)).shape == (2, 5)
    assert_close(from_python("their_networks:called", {"factor": 3})(torch.ones(2)), torch.full((2,), 3.0))
    assert_close(from_python("their_networks:Two")({"x": torch.ones(2)})["twice"], torch.full((2,), 2.0))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:module", "no_such_module:module: there is no such module, neither installed nor in /"),
        ("needs_more:module", "needs_more:module: it needs not_installed_at_all"),
        ("their_networks:modul", "their_networks has no function 'modul'; it has Two, module, called, wrong, fails"),
        ("their_networks:lacking", "their_networks has no function 'lacking'"),
        ("their_networks:fails", "their_networks:fails failed with KeyError: 'weights'; mend it"),
        ("their_networks:wrong", r"returned int; allowed: a torch.nn.Module, or \(module, call\)"),
    ],
)
def test_a_function_that_gives_no_network_is_told(here: Path, target: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_python(target)


# Networks of transformers


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks of three architectures, as users save them."""
    folder = tmp_path_factory.mktemp("transformers")
    torch.manual_seed(1)
    heads = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = transformers.BertConfig(**heads, intermediate_size=24, max_position_embeddings=LENGTH)
    gpt2 = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=16, n_layer=2, n_head=2)
    for name, network in {
        "bert": transformers.BertModel(bert),
        "masked": transformers.BertForMaskedLM(bert),
        "gpt2": transformers.GPT2LMHeadModel(gpt2),
    }.items():
        network.save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("bert", ["embeddings", "encoder.layer.0", "encoder.layer.1"]),
        ("masked", ["bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1"]),
        ("gpt2", ["transformer.drop", "transformer.h.0", "transformer.h[1].input"]),
    ],
)
def test_blocks_are_the_hidden_states_bit_for_bit(saved: Path, kind: str, points: list[str]) -> None:
    """As transformers itself gives them of the same batch. (Of GPT-2 the last one is normed, so it's left out.)"""
    network, fed = from_transformers(str(saved / kind)), []

    def call(batch: Any) -> Any:
        fed.append(batch)
        return network.module(**batch)

    corpus = Tokens(inputs=6)
    values, numbers = all_rows(Reader(Network(network.module, kind, call), corpus, {point: point for point in points}))
    states = network.module(**fed[-1], output_hidden_states=True).hidden_states
    # The batch's own order: where each of its places stands among the rows.
    where = [int((corpus.tokens == tokens).all(1).nonzero()) for tokens in fed[-1]["input_ids"]]
    place = (torch.tensor(where)[:, None] * LENGTH + torch.arange(LENGTH)).flatten()
    row_of = torch.full((6 * LENGTH,), -1).index_put((numbers["input_id"],), torch.arange(len(numbers["input_id"])))
    kept = row_of[place] >= 0
    for point, state in zip(points, states if kind != "gpt2" else [states[0], states[1], states[1]], strict=False):
        assert torch.equal(values[point][row_of[place][kept]], state.flatten(0, 1)[kept]), point


def test_a_class_can_be_named_and_weights_that_lack_are_told(saved: Path) -> None:
    base = from_transformers(str(saved / "gpt2"), kind="GPT2Model")
    assert type(base.module).__name__ == "GPT2Model"
    with pytest.raises(ValueError, match=r"BertForMaskedLM has weights that its file lacks \(cls\..* \(BertModel\)"):
        from_transformers(str(saved / "bert"), kind="BertForMaskedLM")
    with pytest.raises(ValueError, match="'Bert' is no class of transformers: set `kind`"):
        from_transformers(str(saved / "bert"), kind="Bert")


def test_a_revision_is_read_of_the_folders_that_downloads_make(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """models--<owner>--<name>/snapshots/<commit>, and refs/ that say which commit a branch or tag is."""
    cache, repository = tmp_path / "hub", tmp_path / "hub" / "models--somebody--small"
    commits = {"main": "a" * 40, "step7": "b" * 40}
    (repository / "refs").mkdir(parents=True)
    for number, (reference, commit) in enumerate(commits.items()):
        (repository / "refs" / reference).write_text(commit)
        network = transformers.AutoModel.from_pretrained(saved / "bert")
        torch.nn.init.constant_(network.pooler.dense.bias, number)
        network.save_pretrained(repository / "snapshots" / commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    for revision, reference in ((None, "main"), ("step7", "step7"), ("b" * 40, "step7")):
        commit = commits[reference]
        assert checkpoint_folder("somebody/small", revision) == repository / "snapshots" / commit
        network = from_transformers("somebody/small", revision=revision)
        assert network.revision == commit
        number = list(commits).index(reference)
        assert (network.module.state_dict()["pooler.dense.bias"] == number).all()
    assert checkpoint_folder("somebody/small", "step8") is None
    with pytest.raises(ValueError, match=r"run `hf download somebody/small --revision step8`"):
        from_transformers("somebody/small", revision="step8")


def test_a_model_is_fed_no_more_positions_than_it_knows(saved: Path) -> None:
    class Long(Tokens):
        positions = LENGTH + 1

    with pytest.raises(
        ValueError, match=r"bert: inputs have 8 positions, and the model embeddings for 7: set `length`"
    ):
        Reader(from_transformers(str(saved / "bert")), Long(), {"x": "embeddings"})


def test_weights_are_float32_however_they_are_saved(saved: Path, tmp_path: Path) -> None:
    network = from_transformers(str(saved / "bert")).module.half()
    network.save_pretrained(tmp_path)
    weights = from_transformers(str(tmp_path)).module.state_dict()
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_a_model_that_cant_be_read_is_told_in_one_line(saved: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        ValueError, match=r"nobody/nothing is no folder, and no .* `hf download nobody/nothing --revis"
    ) as told:
        from_transformers("nobody/nothing", revision="step7")
    assert "\n" not in str(told.value)
    unsafe = tmp_path / "unsafe"
    unsafe.mkdir()
    (unsafe / "config.json").write_text((saved / "bert" / "config.json").read_text())
    torch.save({}, unsafe / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"unsafe can't be read by transformers .* config.json and model.safetensors"):
        from_transformers(str(unsafe))
    other = json.loads((saved / "bert" / "config.json").read_text()) | {"hidden_size": 8}
    (unsafe / "config.json").write_text(json.dumps(other))
    (unsafe / "model.safetensors").write_bytes((saved / "bert" / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="unsafe can't be read by transformers"):
        from_transformers(str(unsafe))


def test_a_missing_extra_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("homolog.networks.network.import_module", absent)
    with pytest.raises(
        ValueError, match=r"transformers isn't installed, .*: run pip install 'homolog\[transformers\]'"
    ):
        from_transformers("anything")


def test_code_that_comes_with_weights_is_never_run(tmp_path: Path) -> None:
    """As transformers would, once somebody answers its question with yes."""
    folder, ran = tmp_path / "theirs", tmp_path / "ran"
    folder.mkdir()
    described = {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "theirs.py").write_text(f"open({str(ran)!r}, 'w')\n")
    with pytest.raises(ValueError, match="can't be read by transformers") as caught:
        from_transformers(str(folder))
    assert "\n" not in str(caught.value)
    assert not ran.exists()
