"""Are texts cut as they should be: tokens that lose nothing, packing, padding, what stands around, real sources?"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_corpora import chapter, sentences, write_module, write_saved

from homolog.corpora import text_files, text_source
from homolog.corpora.python_topics import PythonTopics
from homolog.corpora.saved_dataset import SavedText
from homolog.corpora.split import PARTS, draw_split
from homolog.corpora.text_files import TextFiles
from homolog.corpora.text_source import TextSource
from homolog.corpora.tokenizers import Given, Tokenizer, Words
from homolog.corpora.world_english_bible import WorldEnglishBible
from homolog.tasks.base import TRAIN

CLS, SEP = 1, 2  # bytes that stand in no text


class Framed(Words):
    """Bytes, with a token before and one behind a text."""

    def __init__(self) -> None:
        super().__init__()
        self.prefix, self.suffix, self.special = (CLS,), (SEP,), frozenset({CLS, SEP, 256})


@dataclass(frozen=True, kw_only=True)
class Sentences(TextSource):
    """Documents that are given."""

    name: ClassVar[str] = "sentences"
    texts: tuple[str, ...]

    @property
    def origin(self) -> str:
        return "a list"

    def documents(self) -> Iterator[str]:
        return iter(self.texts)


def slowly(source: Sentences, tokenizer: Tokenizer) -> list[tuple[list[int], list[int], list[int]]]:
    """Inputs one by one: token ids, 1 for all but padding, 1 for text."""
    texts = [text.strip() for text in source.texts if text.strip()]
    first_seen = [texts.index(text) for text in texts]
    part = draw_split(np.array(first_seen), np.array([len(text) for text in texts]), source.test_fraction, source.name)
    around_documents = source.special_tokens == "documents"
    around_sequences = source.special_tokens == "sequences"
    before, behind = list(tokenizer.prefix), list(tokenizer.suffix)
    room = source.length - (len(before) + len(behind) if around_sequences else 0)
    inputs = []
    for index in range(len(PARTS)):
        documents = [list(text.encode()) for text, where in zip(texts, part, strict=True) if where == index]
        if around_documents:
            documents = [before + document + behind for document in documents]
        if source.packed:
            whole = [token for document in documents for token in document]
            pieces = [whole[i : i + room] for i in range(0, len(whole) - room + 1, room)]
        else:
            pieces = [document[i : i + room] for document in documents for i in range(0, len(document), room)]
        for piece in pieces:
            tokens = before + piece + behind if around_sequences else piece
            padding = source.length - len(tokens)
            text = [int(token not in tokenizer.special) for token in tokens] + [0] * padding
            inputs.append((tokens + [tokenizer.padding] * padding, [1] * len(tokens) + [0] * padding, text))
    return inputs


@pytest.mark.parametrize("special_tokens", ["documents", "sequences", "none"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("length", [7, 32])
def test_sequences_are_those_of_the_slow_way(monkeypatch, special_tokens, packed, length):
    monkeypatch.setattr(text_source, "tokenizer_of", lambda *_: Framed())
    monkeypatch.setattr(text_source, "AT_ONCE", 100)
    texts = (*sentences(30), "", " ", *sentences(3), "é")
    source = Sentences(texts=texts, length=length, packed=packed, special_tokens=special_tokens)
    corpus, wanted = source.corpus(), slowly(source, Framed())
    every = torch.arange(corpus.inputs)
    ids, seen, text = (torch.tensor(values) for values in zip(*wanted, strict=True))
    assert torch.equal(corpus.batches(every)["input_ids"], ids)
    assert torch.equal(corpus.batches(every)["attention_mask"], seen)
    assert torch.equal(corpus.keep(every), text.bool())


def test_each_token_of_text_knows_its_document():
    texts = tuple(sentences(40))
    corpus = Sentences(texts=texts, length=9, packed=False).corpus()
    rows = corpus.places(torch.arange(corpus.inputs)).rows()
    pieces = corpus.tokenizer.pieces()
    for number, text in enumerate(texts):
        tokens = rows["token_id"][rows["document"] == number]
        assert b"".join(pieces[token] for token in tokens).decode() == text


def test_tokens_may_be_fed_alone():
    corpus = Sentences(texts=tuple(sentences(40)), length=8, feed="tokens").corpus()
    tokens = corpus.batches(torch.tensor([3, 0]))
    assert isinstance(tokens, torch.Tensor)
    assert torch.equal(tokens, corpus.places(torch.tensor([3, 0])).numbers["token_id"])


@given(st.text(" theaéß12.-_\n\u3000😀"), st.lists(st.sampled_from([" the", "the", "  ", "é", "12", "."]), unique=True))
def test_words_and_bytes_lose_nothing(text, words):
    for tokenizer in (Words(), Words(words)):
        (tokens,) = tokenizer.encode([text])
        pieces = tokenizer.pieces()
        assert len(pieces) == tokenizer.vocabulary
        assert b"".join(pieces[token] for token in tokens) == text.encode()


def test_words_are_the_most_frequent_ones_of_the_training_documents_alone():
    rare = [f"rare{chr(97 + number // 10)}{chr(97 + number % 10)}" for number in range(40)]
    texts = tuple(f"{text} {word} {word} {word}" for text, word in zip(sentences(40), rare, strict=True))
    corpus = Sentences(texts=texts, tokenizer="words", vocabulary=257 + 11, length=8).corpus()
    inputs = torch.arange(corpus.inputs)
    rows = corpus.places(inputs).rows()
    training = {int(number) for number in rows["document"][rows["split"] == TRAIN].unique()}
    words = corpus.tokenizer.pieces()[257:]
    counts = Counter(word for number in training for word in texts[number].split(" ")[1:])
    assert {word.decode().strip() for word in words[:10]} == {word for word, _ in counts.most_common(10)}
    learnt = Words.learn((texts[number] for number in sorted(training)), 10_000).pieces()
    assert not any(rare[number].encode() in b" ".join(learnt) for number in set(range(40)) - training)


def test_a_vocabulary_without_words_is_told():
    with pytest.raises(ValueError, match="vocabulary: 257, but 257 ids are for bytes"):
        Words.learn(["text"], 257)


@pytest.mark.parametrize("at_once", [1, 3, 2**20])
def test_documents_of_a_file_end_at_the_separator_however_it_is_read(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(text_files, "AT_ONCE", at_once)
    (tmp_path / "a.txt").write_text("one--two-\n-three----")
    assert list(TextFiles(path=str(tmp_path / "a.txt"), separator="--").documents()) == ["one", "two-\n-three", "", ""]


def test_text_files_are_read_in_the_order_of_their_names(tmp_path):
    for name in ("b.txt", "a/c.txt", "a/d.md", "e.txt", ".kept/f.txt", ".g.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8-sig")  # with a byte order mark
    assert list(TextFiles(path=str(tmp_path)).documents()) == ["a/c.txt", "b.txt", "e.txt"]
    assert list(TextFiles(path=str(tmp_path / "**" / "*.md")).documents()) == ["a/d.md"]
    assert list(TextFiles(path=str(tmp_path / "a" / "d.md")).documents()) == ["a/d.md"]


def test_saved_text_is_read_row_by_row(tmp_path):
    folder = write_saved(tmp_path / "saved", {"text": sentences(30), "label": list(range(30))})
    assert list(SavedText(path=str(folder)).documents()) == sentences(30)
    with pytest.raises(ValueError, match="has no column body; it has text, label"):
        list(SavedText(path=str(folder), column="body").documents())
    with pytest.raises(ValueError, match="column label holds int, but text is needed"):
        list(SavedText(path=str(folder), column="label").documents())
    (folder / "data-00001-of-00002.arrow").write_bytes(b"\0" * 50)
    with pytest.raises(ValueError, match=r"00001-of-00002.arrow can't be read as an Arrow stream"):
        list(SavedText(path=str(folder)).documents())


def test_several_saved_data_sets_in_one_folder_are_told(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow, which reads saved data sets, isn't installed")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match=r"several data sets, train, test: set `path` to one, such as .*/train"):
        SavedText(path=str(tmp_path)).corpus()


def test_chapters_lose_markup_footnotes_and_headings(tmp_path):
    first = (
        '<title type="main">Heading</title><div sID="1" type="x-p"/><w lemma="strong:G2424">The</w> <w>son</w> of'
        '<note placement="foot"><reference>1:1 </reference>Or: child</note><w>Ab &amp; ra</w>ham <note>x</note>.'
        '<div eID="1" type="x-p"/><div sID="2" type="x-p"/>“Then.<note>y</note>”'
        '<lg sID="3"/><l level="1" sID="4"/>a line<l eID="4" level="1"/><l sID="5"/>another<l eID="5"/><lg eID="3"/>'
    )
    book = "<title>Book</title>before" + chapter("A.1", first) + "<title>between</title>" + chapter("A.2", "two")
    folder = write_module(tmp_path / "web", {"ot": ["<milestone/>", book], "nt": [chapter("B.1", "three")]})
    assert list(WorldEnglishBible(path=str(folder)).documents()) == [
        "The son of Ab & raham.\n“Then.”\na line\nanother",
        "two",
        "three",
    ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: (folder / "nt.bzs").unlink(),
            r"nt.bzs isn't there: .*apt-get install sword-text-web.*python_topics",
        ),
        (lambda folder: (folder / "ot.bzz").write_bytes(b"\0\0"), r"ot.bzz can't be read as a SWORD zText module"),
        (lambda folder: (folder / "ot.bzs").write_bytes(b"\0" * 13), r"ot.bzz can't be read as a SWORD zText module"),
    ],
)
def test_a_module_that_is_absent_or_damaged_is_told(tmp_path, damage, said):
    folder = write_module(tmp_path / "web", {"ot": ["x"], "nt": ["y"]})
    damage(folder)
    with pytest.raises(ValueError, match=said):
        WorldEnglishBible(path=str(folder)).corpus()


def test_the_real_bible_if_it_is_installed_and_pythons_topics_hold_what_they_should():
    topics = list(PythonTopics().documents())
    assert any(text.startswith('The "if" statement') for text in topics)
    assert sum(map(len, topics)) > 300_000
    if not Path(WorldEnglishBible().path).exists():
        pytest.skip("the Debian package sword-text-web isn't installed")
    chapters = [text for text in WorldEnglishBible().documents() if text]
    assert chapters[0].startswith("In the beginning, God created the heavens and the earth. The earth was")
    assert sum(map(len, chapters)) > 4_500_000
    assert not set("<>&") & set("".join(chapters))


@pytest.fixture
def given_tokenizer(tmp_path: Path) -> Any:
    """A tokenizer.json like BERT's: pieces of words, [CLS] and [SEP] around, and a truncation that must not act."""
    library = pytest.importorskip("tokenizers", reason="the library `tokenizers` isn't installed")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ":", *"0123456789", *(f"##{digit}" for digit in "0123456789")]
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "te", "##n", "a"]
    pieces = {name: number for number, name in enumerate([*names, *words])}
    made = library.Tokenizer(library.models.WordPiece(pieces, unk_token="[UNK]"))
    made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    made.decoder = library.decoders.WordPiece()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    made.post_processor = library.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    made.enable_truncation(5)
    made.enable_padding(length=5)
    made.save(str(tmp_path / "cut.json"))
    return library.Tokenizer.from_file(str(path)), tmp_path


def test_one_document_a_sequence_is_what_the_tokenizer_itself_makes_of_it(given_tokenizer):
    library, folder = given_tokenizer
    texts = tuple(sentences(40))
    corpus = Sentences(
        texts=texts, tokenizer=str(folder / "cut.json"), length=64, packed=False, special_tokens="sequences"
    ).corpus()
    batch, places = (what(torch.arange(corpus.inputs)) for what in (corpus.batches, corpus.places))
    assert corpus.inputs == 40
    for ids, seen, keep, document in zip(
        batch["input_ids"], batch["attention_mask"], places.keep, places.numbers["document"], strict=True
    ):
        wanted = library.encode(texts[int(document.max())])
        assert ids[seen.bool()].tolist() == wanted.ids
        assert not ids[~seen.bool()].any()
        assert keep[seen.bool()].tolist() == [not special for special in wanted.special_tokens_mask]


def test_a_tokenizer_is_found_in_the_cache_by_its_name_and_nowhere_else(given_tokenizer, monkeypatch):
    hub = pytest.importorskip(
        "huggingface_hub.constants", reason="huggingface_hub, which knows the cache, isn't installed"
    )
    _, folder = given_tokenizer
    stored = folder / "models--some--model" / "snapshots" / ("0" * 40)
    stored.mkdir(parents=True)
    (folder / "tokenizer.json").rename(stored / "tokenizer.json")
    (stored.parents[1] / "refs").mkdir()
    (stored.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(folder))
    assert Given("some/model").suffix == (3,)
    with pytest.raises(ValueError, match=r"tokenizer other/model: no other/model, and no tokenizer.json of that name"):
        Given("other/model")


@pytest.mark.parametrize(
    ("library", "use"), [("tokenizers", lambda: Given("x")), ("pyarrow", SavedText(path="x").corpus)]
)
def test_a_library_that_is_not_installed_is_told_with_what_brings_it(monkeypatch, library, use):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf"{library}.* isn't installed: pip install 'homolog\[corpora\]'"):
        use()


def test_pieces_show_the_space_before_words(given_tokenizer):
    _, folder = given_tokenizer
    tokenizer = Given(str(folder))
    assert tokenizer.prefix + tokenizer.suffix == (2, 3)
    pieces = tokenizer.pieces()
    (tokens,) = tokenizer.encode(["one ten 23"])
    assert b"".join(pieces[token] for token in tokens) == b" one ten 23"
    assert pieces[2] == b""


def test_a_token_may_be_named_to_end_documents(given_tokenizer):
    _, folder = given_tokenizer
    assert Given(str(folder), "[PAD]").suffix == (3, 0)
    with pytest.raises(ValueError, match=r"has no token '<eos>': set `end_of_document`"):
        Given(str(folder), "<eos>")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"texts": ()}, "sentences: no text in a list"),
        ({"texts": (" ", "\n")}, "sentences: no text in a list"),
        ({"length": 10_000}, r"tokens in one of four parts \(a list\), less than one sequence of length 10000"),
        ({"length": 1, "special_tokens": "sequences"}, "length: 1, of which special tokens leave 0 for text"),
        ({"tokenizer": "no/such.json"}, "no/such.json|`tokenizers` isn't installed"),
    ],
)
def test_what_makes_no_corpus_is_told(options, said):
    with pytest.raises(ValueError, match=said):
        Sentences(**{"texts": tuple(sentences(30)), **options}).corpus()


def test_a_tokenizer_without_special_tokens_is_told(monkeypatch):
    bare = Words()
    bare.suffix = ()
    monkeypatch.setattr(text_source, "tokenizer_of", lambda *_: bare)
    with pytest.raises(ValueError, match=r"special_tokens is documents: name one with `end_of_document`"):
        Sentences(texts=tuple(sentences(30))).corpus()
    assert Sentences(texts=tuple(sentences(30)), special_tokens="none", length=8).corpus().vocabulary < 256


def test_files_that_are_absent_or_no_text_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"text_files: no file at .*nowhere: give a file, a glob"):
        TextFiles(path=str(tmp_path / "nowhere")).corpus()
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.txt isn't UTF-8 \(.* at byte 3\): convert it"):
        TextFiles(path=str(tmp_path)).corpus()
    pytest.importorskip("tokenizers", reason="the library `tokenizers` isn't installed")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"can't be read as a tokenizer.json"):
        Given(str(tmp_path))
    with pytest.raises(ValueError, match=r"pyarrow, which|isn't a folder that save_to_disk has written"):
        SavedText(path=str(tmp_path)).corpus()
