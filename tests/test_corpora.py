"""Does every corpus keep its word: the same inputs by number in any order, one side of the split each, ids, a hash?"""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from workspace import ROOT

from homolog.config.corpora import Corpus as Options
from homolog.corpora import base
from homolog.corpora.base import check_vocabulary
from homolog.corpora.paths import packaged
from homolog.corpora.split import LEFT_OUT, PARTS, draw_split
from homolog.corpora.spool import Spool
from homolog.loading import build
from homolog.registry import CORPORA

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def sentences(count: int, seed: int = 0) -> list[str]:
    """Different texts of some words each."""
    rng = np.random.default_rng(seed)
    return [f"{number}: " + " ".join(rng.choice(WORDS, rng.integers(4, 30))) for number in range(count)]


def batches(count: int = 3, inputs: int = 8) -> Any:
    """A function such as a user writes: one dict of tensors after the other."""
    for number in range(count):
        ids = torch.arange(inputs * 5).reshape(inputs, 5) + number
        yield {"input_ids": ids, "attention_mask": (ids % 5 != 4).int(), "document": torch.arange(inputs) + 8 * number}


def write_images(folder: Path, count: int = 12, mode: str = "RGB") -> Path:
    """Different images of 5x4 (height, width) in two folders."""
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        path = folder / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert(mode).save(path)
    return folder


def write_saved(folder: Path, columns: dict[str, list[Any]]) -> Path:
    """A folder such as `save_to_disk` writes, of two Arrow files."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow, which reads saved data sets, isn't installed")
    folder.mkdir(parents=True)
    names = [f"data-0000{number}-of-00002.arrow" for number in range(2)]
    half = len(next(iter(columns.values()))) // 2
    for name, rows in zip(names, (slice(None, half), slice(half, None)), strict=True):
        table = pyarrow.table({key: values[rows] for key, values in columns.items()})
        with pyarrow.OSFile(str(folder / name), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def write_module(folder: Path, books: dict[str, list[str]]) -> Path:
    """A SWORD zText module: testaments of books, each a block of OSIS."""
    folder.mkdir(parents=True)
    for testament, blocks in books.items():
        packed = [zlib.compress(block.encode()) for block in blocks]
        begins = np.cumsum([0, *map(len, packed)])
        index = [
            struct.pack("<III", int(begin), len(block), 0) for begin, block in zip(begins[:-1], packed, strict=True)
        ]
        (folder / f"{testament}.bzs").write_bytes(b"".join(index))
        (folder / f"{testament}.bzz").write_bytes(b"".join(packed))
    return folder


def write_garments(folder: Path) -> Path:
    """Fashion-MNIST's four files, with few images."""
    folder.mkdir(parents=True)
    for prefix, count in (("train", 12), ("t10k", 6)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder


def chapter(name: str, text: str) -> str:
    return f'<chapter osisID="{name}" sID="{name}"/>{text}<chapter eID="{name}"/>'


def options(name: str, folder: Path) -> dict[str, Any]:
    """A small corpus of each name, as config.yaml declares it."""
    texts = sentences(30)
    if name == "text_files":
        (folder / "all.txt").write_text("\n\n".join(texts))
        return {"path": str(folder / "all.txt"), "separator": "\n\n", "length": 16}
    if name == "saved_text":
        return {"path": str(write_saved(folder / "saved", {"text": texts})), "length": 16}
    if name == "world_english_bible":
        book = "".join(chapter(f"Gen.{number}", text) for number, text in enumerate(texts))
        return {"path": str(write_module(folder / "web", {"ot": [book], "nt": [book[:0]]})), "length": 16}
    if name == "python_topics":
        return {"tokenizer": "words", "vocabulary": 300, "length": 32}
    if name == "images":
        return {"path": str(write_images(folder))}
    if name == "arrays":
        np.save(folder / "rows.npy", np.random.default_rng(0).normal(size=(20, 3, 2)))
        return {"path": str(folder / "rows.npy")}
    if name == "saved_arrays":
        ids = np.arange(90).reshape(30, 3).tolist()
        return {"path": str(write_saved(folder / "saved", {"input_ids": ids})), "columns": ["input_ids"]}
    if name == "digits":
        return {"n_test": 100}
    if name == "fashion_mnist":
        return {"path": str(write_garments(folder / "garments"))}
    return {"function": f"{__name__}:batches", "arguments": {"count": 4}}


def parsed(declared: dict[str, Any]) -> Any:
    return TypeAdapter(Options).validate_python(declared)


def made(name: str, declared: dict[str, Any]) -> base.Corpus:
    """The corpus of a declaration, by the same way as a job makes it."""
    given = parsed({"name": name, **declared}).model_dump(exclude={"name"})
    corpus = build({"target": CORPORA[name], **given}).corpus()
    assert isinstance(corpus, base.Corpus)
    return corpus


@pytest.fixture(params=list(CORPORA))
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> base.Corpus:
    return made(request.param, options(request.param, tmp_path))


def fed(corpus: base.Corpus, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    given = corpus.batches(inputs)
    return given if isinstance(given, dict) else {"": given}


def test_there_are_corpora():
    assert len(CORPORA) == 10


def test_inputs_come_by_number_in_any_order(corpus):
    assert corpus.inputs >= 8
    every, order = torch.arange(corpus.inputs), torch.randperm(corpus.inputs)[:7]
    whole, asked = fed(corpus, every), fed(corpus, order)
    assert whole
    assert all(torch.equal(whole[name][order], asked[name]) for name in whole)
    places, some = corpus.places(every), corpus.places(order)
    assert torch.equal(places.keep[order], some.keep)
    assert all(torch.equal(places.numbers[name][order], some.numbers[name]) for name in places.numbers)


def test_every_place_has_an_id_of_its_own_and_one_side_of_the_split(corpus):
    places = corpus.places(torch.arange(corpus.inputs))
    assert places.keep.shape == (corpus.inputs, corpus.positions or 1)
    rows = places.rows()
    assert {"input_id", "position", "split", "half", "label"} <= set(rows)
    assert len(rows["input_id"].unique()) == len(rows["input_id"]) == int(places.keep.sum()) > 0
    assert torch.equal(rows["position"], rows["input_id"] % (corpus.positions or 1))
    assert torch.equal(rows["split"], corpus.split[rows["input_id"] // (corpus.positions or 1)].long())
    assert {
        (split, half) for split, half in zip(*map(torch.Tensor.tolist, (corpus.split, corpus.half)), strict=True)
    } == {*PARTS}


def test_no_document_is_on_two_sides(corpus):
    rows = corpus.places(torch.arange(corpus.inputs)).rows()
    if "document" in rows:
        sides = set(zip(*(rows[name].tolist() for name in ("document", "split", "half")), strict=True))
        assert len(sides) == len({document for document, *_ in sides}) >= 4


def test_token_ids_are_what_is_fed(corpus):
    every = torch.arange(corpus.inputs)
    if corpus.vocabulary is None:
        assert "input_ids" not in fed(corpus, every)
        return
    ids = fed(corpus, every)["input_ids"]
    assert torch.equal(corpus.places(every).numbers["token_id"], ids)
    assert corpus.vocabulary == int(ids.max()) + 1


def test_a_corpus_made_anew_has_the_same_hash_whatever_is_hashed_at_once(tmp_path, monkeypatch):
    for name in ("text_files", "images", "python"):
        folder = tmp_path / name
        folder.mkdir()
        declared = options(name, folder)
        digest = made(name, declared).digest()
        monkeypatch.setattr(base, "BLOCK", 5)
        assert made(name, declared).digest() == digest
        monkeypatch.undo()


def test_the_page_about_corpora_names_them_all_and_its_example_runs():
    page = (ROOT / "docs" / "corpora.md").read_text()
    table = page.partition("## Text")[0]
    named = [name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert named == ["name", *CORPORA]
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)
    assert found["batch"]["input_ids"].shape == (2, 64)
    assert {"token_id", "position", "document", "split"} <= set(found["rows"])


def test_the_split_does_not_depend_on_where_the_data_lie(tmp_path):
    corpora = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        corpora.append(made("images", options("images", tmp_path / name)))
    assert corpora[0].digest() == corpora[1].digest()


def test_the_hash_sees_one_number_and_the_order(tmp_path):
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    digests = set()
    for changed in (rows, rows[::-1], np.where(np.arange(60).reshape(20, 3) == 31, rows + 1e-6, rows)):
        np.save(tmp_path / "rows.npy", changed)
        digests |= {
            made("arrays", {"path": str(tmp_path / "rows.npy"), "positions": one}).digest() for one in (None, 2)
        }
    assert len(digests) == 6


def test_files_are_those_that_are_read(tmp_path):
    for name in CORPORA:
        folder = tmp_path / name
        folder.mkdir()
        files = parsed({"name": name, **options(name, folder)}).files()
        assert files or name == "digits"  # which come with a library
        assert all(Path(file).is_file() for file in files), name
        declared = {
            "text_files": "all.txt",
            "arrays": "rows.npy",
            "world_english_bible": "ot.bzz",
            "python": "test_corpora.py",
        }
        assert name not in declared or declared[name] in [Path(file).name for file in files]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"name": "text_files", "path": "x", "vocabulary": 300}, "vocabulary: 300"),
        ({"name": "text_files", "path": "x", "tokenizer": "words", "end_of_document": "</s>"}, "end_of_document: </s>"),
        (
            {
                "name": "text_files",
                "path": "x",
                "tokenizer": "a.json",
                "end_of_document": "</s>",
                "special_tokens": "none",
            },
            "special_tokens: none; leave one out",
        ),
        ({"name": "images", "path": "x", "mode": "L", "mean": [0.1, 0.2, 0.3]}, "mean: 3 values; allowed: 1"),
        ({"name": "arrays", "path": "x.csv"}, "path: x.csv; allowed: a file that ends in .npy or .npz"),
        ({"name": "arrays", "path": "x.npz", "keyword": "x"}, "keyword: x; allowed: null"),
    ],
)
def test_options_that_do_not_fit_together_are_told(declared, said):
    assert said in "; ".join(f"{key}: {text}" for key, text in parsed(declared).contradictions())


@pytest.mark.parametrize(
    "declared",
    [
        {"name": "text_files", "path": "x", "length": 0},
        {"name": "text_files", "path": "x", "test_fraction": 1.0},
        {"name": "text_files", "path": "x", "tokenizer": "words", "vocabulary": 257},
        {"name": "python", "function": "no_colon"},
        {"name": "images", "path": "x", "size": [3]},
        {"name": "tables", "path": "x"},
    ],
)
def test_options_out_of_range_are_refused(declared):
    with pytest.raises(ValidationError):
        parsed(declared)


def test_a_tokenizer_that_does_not_fit_the_model_is_told(tmp_path):
    corpus = made("text_files", options("text_files", tmp_path))
    check_vocabulary(corpus, corpus.vocabulary, "mine")
    with pytest.raises(ValueError, match=r"mine: the tokenizer doesn't fit the model: .* reach 256, .* 256 embeddings"):
        check_vocabulary(corpus, 256, "mine")


@pytest.mark.parametrize("test_fraction", [0.2, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_parts_have_their_share_of_the_text_and_equal_documents_one_side(test_fraction, seed):
    rng = np.random.default_rng(seed)
    identity, amount = rng.integers(0, 300, 400), rng.integers(1, 100, 400)
    amount = amount[identity]  # equal documents are equally long
    part = draw_split(identity, amount, test_fraction, "texts")
    assert all(len(set(part[identity == one])) == 1 for one in set(identity))
    shares = np.bincount(part, weights=amount, minlength=4) / amount.sum()
    wanted = np.repeat([1 - test_fraction, test_fraction], 2) / 2
    # No part is off by more than the documents that lie over its two bounds.
    largest = np.bincount(identity, weights=amount).max() / amount.sum()
    assert np.abs(shares - wanted).max() <= largest


def test_so_many_characters_are_drawn_and_the_rest_left_out():
    amount = np.full(200, 10)
    part = draw_split(np.arange(200), amount, 0.2, "texts", most=1000)
    assert (part == LEFT_OUT).sum() == 100
    assert not np.array_equal(np.nonzero(part != LEFT_OUT)[0], np.arange(100)), "drawn at random, not the first ones"


@pytest.mark.parametrize(("documents", "test_fraction"), [(3, 0.2), (40, 0.001)])
def test_too_few_documents_for_a_split_are_told(documents, test_fraction):
    with pytest.raises(ValueError, match=rf"texts: {documents} different documents .* `test_fraction`"):
        draw_split(np.arange(documents), np.ones(documents, int), test_fraction, "texts")


def test_one_document_that_is_nearly_all_is_told_with_its_share():
    with pytest.raises(ValueError, match="the largest with 99% of all"):
        draw_split(np.arange(5), np.array([396, 1, 1, 1, 1]), 0.2, "texts")


def test_a_spool_gives_back_what_was_appended_read_only():
    spool = Spool(np.float32, (2,))
    blocks = [np.random.default_rng(n).normal(size=(n, 2)).astype(np.float32) for n in (3, 0, 5)]
    for block in blocks:
        spool.append(block)
    array = spool.array()
    np.testing.assert_array_equal(array, np.concatenate(blocks))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    assert Spool(np.int32).array().shape == (0,)


def test_what_installed_packages_hold_is_found_without_importing_them():
    assert Path(packaged("package:numpy/numpy/__init__.py")) == Path(np.__file__)
    assert packaged("models/mine") == "models/mine"
    with pytest.raises(ValueError, match=r"pip install --no-deps no-such-package"):
        packaged("package:no-such-package/model")
    with pytest.raises(ValueError, match=r"the package numpy has no model"):
        packaged("package:numpy/model")
