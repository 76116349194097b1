"""What does every corpus hand over: what a network is fed, in a fixed order, and which places of it become rows?"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Int, Int8
from torch import Tensor

# What a network is fed: tensors by keyword, or one that it gets alone. The first dim of each is the input.
Batch: TypeAlias = dict[str, Tensor] | Tensor
# Inputs that are hashed at once.
BLOCK = 256


@dataclass(frozen=True)
class Places:
    """The places of some inputs (tokens, patches; one place where an input is one row), and whole numbers of each.

    `keep` marks those that become rows: neither padding nor special tokens. `numbers` always has ``input_id`` (number
    of the place in the corpus, which no other has), ``split``, ``half``, ``label`` and ``position``; texts have
    ``token_id`` and ``document`` too.
    """

    keep: Bool[Tensor, "inputs positions"]
    numbers: dict[str, Int[Tensor, "inputs positions"]]

    def rows(self) -> dict[str, Int[Tensor, " rows"]]:
        """The numbers of the places that are kept, input by input."""
        kept = self.keep.nonzero(as_tuple=True)  # found once: a mask would be searched for every name
        return {name: values[kept] for name, values in self.numbers.items()}


class Corpus(ABC):
    """Inputs in a fixed order. `split`, `half` and `label` are of whole inputs, so that no input is on two sides."""

    split: Int8[Tensor, " inputs"]
    """`TRAIN` or `TEST`, as in `homolog.tasks.base`; by document, where documents are known."""
    half: Int8[Tensor, " inputs"]
    """`HALF_A` or `HALF_B`, likewise."""
    label: Int[Tensor, " inputs"]
    """Class of each input, `UNKNOWN` where there is none."""
    positions: int | None
    """Places of each input, of which rows are made; None where an input is one row."""
    vocabulary: int | None = None
    """One more than the largest token id that is fed; None where inputs aren't made of tokens."""

    @property
    def inputs(self) -> int:
        """Number of inputs: packed sequences, images, arrays."""
        return len(self.split)

    @abstractmethod
    def batches(self, inputs: Int[Tensor, " inputs"]) -> Batch:
        """What the network is fed of the inputs of these numbers, in the order in which they are asked for."""

    def keep(self, inputs: Int[Tensor, " inputs"]) -> Bool[Tensor, "inputs positions"]:
        """Which places of these inputs become rows: here all."""
        return torch.ones(len(inputs), self.positions or 1, dtype=torch.bool)

    def named(self, inputs: Int[Tensor, " inputs"]) -> dict[str, Int[Tensor, "inputs positions"]]:
        """Whole numbers of each place that this corpus has besides those that all have: here none."""
        return {}

    def places(self, inputs: Int[Tensor, " inputs"]) -> Places:
        """The places of the inputs of these numbers."""
        keep = self.keep(inputs)
        position = torch.arange(keep.shape[1]).expand(keep.shape)
        whole = {"split": self.split, "half": self.half, "label": self.label}
        numbers = {
            "input_id": inputs[:, None] * keep.shape[1] + position,
            "position": position,
            **{name: values[inputs, None].long().expand(keep.shape) for name, values in whole.items()},
            **self.named(inputs),
        }
        return Places(keep, numbers)

    def digest(self) -> str:
        """Hash of all that is fed, in order, and of what becomes of each place. It reads the corpus once."""
        digests: dict[str, Any] = {}
        for inputs in torch.split(torch.arange(self.inputs), BLOCK):
            fed, places = self.batches(inputs), self.places(inputs)
            named = {f"fed {name}": values for name, values in fed.items()} if isinstance(fed, dict) else {"fed": fed}
            for name, values in {**named, "keep": places.keep, **places.numbers}.items():
                # A hash for each name, so that it doesn't depend on the size of the blocks.
                digest = digests.setdefault(name, hashlib.sha256(f"{values.dtype} {tuple(values.shape[1:])}".encode()))
                digest.update(values.contiguous().numpy().tobytes())
        whole = "".join(f"{name} {digests[name].hexdigest()}" for name in sorted(digests))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


def check_vocabulary(corpus: Corpus, embeddings: int, what: str) -> None:
    """Do the corpus's token ids fit a network of so many `embeddings`? `what` names the network and its tokenizer.

    Raises ValueError where they don't: the network would fail far inside, or read another word's embedding.
    """
    if corpus.vocabulary is not None and corpus.vocabulary > embeddings:
        raise ValueError(
            f"{what}: the tokenizer doesn't fit the model: token ids reach {corpus.vocabulary - 1}, and the model has "
            f"{embeddings} embeddings, 0 to {embeddings - 1}: set `tokenizer` to the one that it was trained with."
        )
