"""What may networks from outside be read on: texts, images, arrays, and how are they cut into inputs?"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from homolog.config.base import Count, FilePath, Options, Positive, Reference
from homolog.config.tasks import DigitsOptions, FashionMNISTOptions
from homolog.corpora.paths import BUILT_IN_TOKENIZERS, IMAGE_SUFFIXES, TEXT_SUFFIXES, files_of, tokenizer_file

# 256 bytes and the end of a document come before the first word.
LEAST_VOCABULARY = 258


class CorpusOptions(Options):
    """Inputs in a fixed order, split into training and test rows and halves of each."""

    shown: ClassVar[Literal["text", "images", "numbers"]] = "numbers"
    """What one sees of an input in an atlas."""
    brought: ClassVar[bool] = False
    """Whether a library that homolog needs brings the data along, so that they can't be absent."""

    def files(self) -> list[str]:
        """Files that hold the data, as far as they are there; none where a library brings them along."""
        return []

    def is_there(self) -> bool:
        """Whether files that hold the data are there, or a library brings them."""
        return self.brought or bool(self.files())

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Options that don't fit together: key, and what is wrong with it."""
        return iter(())


class _SplitOptions(CorpusOptions):
    """Inputs of which the split is drawn."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of all that is for testing, drawn at random by whole documents (texts) or inputs."""


class TextOptions(_SplitOptions):
    """Documents as tokens; no document is on two sides of the split."""

    shown = "text"
    tokenizer: Reference = "bytes"
    """bytes; words (frequent ones of the training documents, other text in bytes); a tokenizer.json or its folder, in
    an installed package too (package:<distribution>/<path>); or a name in Hugging Face's cache."""
    vocabulary: Annotated[int, Field(ge=LEAST_VOCABULARY, le=2**24)] | None = None
    """Token ids of tokenizer: words, 257 of which are for bytes and the end of a document; null: 4096."""
    length: Count = 128
    """Tokens of each sequence, special ones included."""
    packed: bool = True
    """Documents one behind the other, cut into sequences; false: each sequence holds one document or a part of it, and
    is filled up with padding."""
    special_tokens: Literal["documents", "sequences", "none"] = "documents"
    """Around what the tokenizer's special tokens stand; models like BERT were trained with them around sequences."""
    end_of_document: Reference | None = None
    """A token, such as <|endoftext|>, to stand behind each text, for tokenizers that put none there themselves."""
    feed: Literal["keywords", "tokens"] = "keywords"
    """What the model is called with: input_ids and attention_mask by keyword, or the token ids alone."""
    characters: Count | None = None
    """About so many characters: documents are drawn at random until they have them; null: all documents."""

    def files(self) -> list[str]:
        if self.tokenizer in BUILT_IN_TOKENIZERS:
            return self.text_files()
        try:
            return [*self.text_files(), str(tokenizer_file(self.tokenizer))]
        except ValueError:
            return self.text_files()

    def text_files(self) -> list[str]:
        """Files that hold the documents, as far as they are there."""
        return []

    def is_there(self) -> bool:
        # A tokenizer alone is no text.
        return bool(self.text_files())

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.vocabulary is not None and self.tokenizer != "words":
            yield (
                "vocabulary",
                f"{self.vocabulary}; allowed: null, for tokenizer {self.tokenizer} has its own; leave it out",
            )
        if self.end_of_document is not None and self.tokenizer in BUILT_IN_TOKENIZERS:
            yield (
                "end_of_document",
                f"{self.end_of_document}; allowed: null, for {self.tokenizer} has a token for it; leave it out",
            )
        elif self.end_of_document is not None and self.special_tokens == "none":
            yield "end_of_document", f"{self.end_of_document}; allowed: null with special_tokens: none; leave one out"


class TextFilesOptions(TextOptions):
    """UTF-8 files, a document each, or several with a separator between them."""

    name: Literal["text_files"]
    """The corpus."""
    path: FilePath
    """A file, a glob such as texts/**/*.txt, or a folder of .txt files."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands between documents of one file, such as "\\n\\n", a blank line; null: a document is a file."""

    def text_files(self) -> list[str]:
        return [str(file) for file in files_of(self.path, TEXT_SUFFIXES)]


class SavedTextOptions(TextOptions):
    """A data set that Hugging Face's save_to_disk wrote, a document each row. Needs pyarrow."""

    name: Literal["saved_text"]
    """The corpus."""
    path: FilePath
    """The folder of one data set."""
    column: Reference = "text"
    """The column that holds the text."""

    def text_files(self) -> list[str]:
        return _saved(self.path)


class WorldEnglishBibleOptions(TextOptions):
    """The World English Bible, in the public domain: a document each chapter, five million characters in all."""

    name: Literal["world_english_bible"]
    """The corpus."""
    path: FilePath = "/usr/share/sword/modules/texts/ztext/engWEB2015eb"
    """Folder of the SWORD module; the default is where the Debian package sword-text-web puts it."""

    def text_files(self) -> list[str]:
        return [str(file) for file in files_of(self.path, (".bzs", ".bzz"))]


class PythonTopicsOptions(TextOptions):
    """What Python's help() tells of its topics: half a million characters that need no installation."""

    name: Literal["python_topics"]
    """The corpus."""

    def text_files(self) -> list[str]:
        return _module("pydoc_data.topics")


class _RowsOptions(_SplitOptions):
    """Inputs that aren't text."""

    positions: Count | None = None
    """Rows that hook points hold of each input, such as patches; null: as many as the model gives."""


class ImagesOptions(_RowsOptions):
    """Images, fed as (image, channel, height, width) in [0, 1]; where they lie in several folders, each is a class."""

    shown = "images"
    name: Literal["images"]
    """The corpus."""
    path: FilePath
    """A folder, with all folders below it, or a glob."""
    mode: Literal["RGB", "L"] = "RGB"
    """Three channels, or one of grey."""
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    """Height and width to which all are brought; null: they have one size already."""
    mean: Annotated[list[float], Field(min_length=1)] | None = None
    """What is taken from each channel; null: nothing."""
    std: Annotated[list[Positive], Field(min_length=1)] | None = None
    """By what each channel is divided then; null: nothing."""
    keyword: Reference | None = None
    """The model's argument, such as pixel_values; null: images are its only one."""

    def files(self) -> list[str]:
        return [str(file) for file in files_of(self.path, IMAGE_SUFFIXES)]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        channels = len(self.mode)
        for key, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != channels:
                yield key, f"{len(values)} values; allowed: {channels}, one for each channel of mode: {self.mode}"


class ArraysOptions(_RowsOptions):
    """An .npy, or an .npz; the latter's document, label, split, half and keep say what inputs are, and aren't fed."""

    name: Literal["arrays"]
    """The corpus."""
    path: FilePath
    """The file."""
    keyword: Reference | None = None
    """The model's argument for an .npy; null: it is the only one. Arrays of an .npz are fed by their names."""

    def files(self) -> list[str]:
        return [str(file) for file in files_of(self.path, ())]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.path.endswith((".npy", ".npz")):
            yield "path", f"{self.path}; allowed: a file that ends in .npy or .npz; save the arrays by numpy"
        elif self.keyword is not None and self.path.endswith(".npz"):
            yield "keyword", f"{self.keyword}; allowed: null for an .npz, whose arrays have names; leave it out"


class SavedArraysOptions(_RowsOptions):
    """A data set that Hugging Face's save_to_disk wrote, an input each row. Needs pyarrow."""

    name: Literal["saved_arrays"]
    """The corpus."""
    path: FilePath
    """The folder of one data set."""
    columns: Annotated[list[Reference], Field(min_length=1)]
    """The columns that are fed, by their names, such as input_ids and attention_mask; all of one shape in each row."""

    def files(self) -> list[str]:
        return _saved(self.path)


class DigitImagesOptions(DigitsOptions, CorpusOptions):
    """scikit-learn's digits, fed as (image, 1, 8, 8), with labels and the split of the task of this name."""

    shown = "images"
    brought = True
    keyword: Reference | None = None
    """The model's argument, such as pixel_values; null: images are its only one."""


class FashionMNISTImagesOptions(FashionMNISTOptions, CorpusOptions):
    """Fashion-MNIST, fed as (image, 1, 28, 28), with labels and the publisher's split."""

    shown = "images"
    keyword: Reference | None = None
    """The model's argument, such as pixel_values; null: images are its only one."""


class PythonOptions(_RowsOptions):
    """Batches from a function: an iterable of dicts of tensors, fed by their keys."""

    name: Literal["python"]
    """The corpus."""
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """package.module:function, in a folder on PYTHONPATH."""
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]
    """What it is called with, by keyword."""

    def files(self) -> list[str]:
        return _module(self.function.partition(":")[0])


def _saved(path: str) -> list[str]:
    return [str(file) for file in files_of(path, (".arrow", ".json"))]


def _module(name: str) -> list[str]:
    """The file of a module, if it is there; the packages around it are imported."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    return [spec.origin] if spec is not None and spec.origin is not None and Path(spec.origin).is_file() else []


TextCorpus: TypeAlias = TextFilesOptions | SavedTextOptions | WorldEnglishBibleOptions | PythonTopicsOptions
Corpus: TypeAlias = Annotated[
    TextCorpus
    | ImagesOptions
    | ArraysOptions
    | SavedArraysOptions
    | DigitImagesOptions
    | FashionMNISTImagesOptions
    | PythonOptions,
    Field(discriminator="name"),
]
