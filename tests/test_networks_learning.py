"""Does training on a corpus see what is to be predicted, and nothing else? Closed forms of loss and accuracy."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor, nn

from homolog.corpora.base import Corpus
from homolog.networks.convnet import Quarters, convnet
from homolog.networks.gpt import gpt
from homolog.networks.learning import Lesson, logits_of


class Counting(Corpus):
    """Each input counts on from its own number, modulo 5; the last two places are padding."""

    positions, vocabulary = 8, 5

    def __init__(self, inputs: int = 40) -> None:
        self.tokens = (torch.arange(inputs)[:, None] + torch.arange(8)) % 5
        self.split = (torch.arange(inputs) % 4 == 0).to(torch.int8)
        self.half = torch.zeros(inputs, dtype=torch.int8)
        self.label = self.tokens[:, 0]

    def batches(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[inputs]}

    def keep(self, inputs: Tensor) -> Tensor:
        return (torch.arange(8) < 6).expand(len(inputs), 8)

    def named(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"token_id": self.tokens[inputs]}


def oracle(batch: dict[str, Tensor], wrong: int = 0, height: float = 50.0) -> Tensor:
    """Logits that name the next token, or one beside it."""
    return height * nn.functional.one_hot((batch["input_ids"] + 1 + wrong) % 5, 5).float()


def test_the_next_token_is_that_of_the_next_place_and_padding_is_none():
    corpus = Counting()
    lesson, every = Lesson(corpus, "next_token"), torch.arange(40)
    assert float(lesson.loss(oracle, every)) == pytest.approx(0, abs=1e-6)
    assert float(lesson.loss(lambda batch: 0 * oracle(batch), every)) == pytest.approx(math.log(5))
    assert float(lesson.loss(lambda batch: oracle(batch, wrong=1), every)) == pytest.approx(50)
    # What is said of padding, or of what follows the last token, counts nothing.
    spoilt = corpus.tokens.clone()
    corpus.tokens[:, 6:] = 0
    told = lesson.loss(lambda batch: oracle({"input_ids": spoilt}), every)
    assert float(told) == pytest.approx(0, abs=1e-6)


def test_loss_and_accuracy_are_told_of_each_split_apart():
    corpus = Counting()
    counting = (torch.arange(40)[:, None] + torch.arange(8)) % 4
    corpus.tokens = torch.where((corpus.split == 1)[:, None], 4, counting)

    def repeats(batch: dict[str, Tensor]) -> Tensor:
        return oracle(batch, wrong=-1)

    loss, accuracy = Lesson(corpus, "next_token").measure(repeats)
    assert loss == pytest.approx((50, 0), abs=1e-6)
    assert accuracy == (0, 1)


def test_a_label_is_predicted_of_inputs_whose_class_is_known():
    corpus = Counting()
    corpus.label = torch.where(torch.arange(40) < 20, corpus.label, -1)
    lesson = Lesson(corpus, "label")

    def says_its_first_token(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": 50.0 * nn.functional.one_hot(batch["input_ids"][:, 0], 5)}

    assert float(lesson.loss(says_its_first_token, torch.arange(40))) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"nothing is to be predicted of 20 inputs"):
        lesson.loss(says_its_first_token, torch.arange(20, 40))


def test_a_gpt_reads_no_later_token_and_learns_to_count():
    torch.manual_seed(0)
    network = gpt(vocabulary=5, length=8, width=16, blocks=1, heads=2)
    tokens = Counting().tokens[:4]
    changed = tokens.clone()
    changed[:, 5:] = 3
    torch.testing.assert_close(network(tokens)[:, :5], network(changed)[:, :5])
    lesson = Lesson(Counting(), "next_token")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        lesson.loss(lambda batch: network(**batch), lesson.rows(0)).backward()
        optimizer.step()
    (_, loss), (_, accuracy) = lesson.measure(lambda batch: network(**batch))
    assert loss < 0.05 < 1 == accuracy


def test_a_convnet_gives_logits_of_square_images():
    torch.manual_seed(0)
    network = convnet(channels=1, classes=3, widths=[4, 6], hidden=10)
    found = network(torch.randn(5, 1, 8, 8))
    assert found.shape == (5, 3)
    moved = network(torch.zeros(1, 1, 8, 8))
    torch.testing.assert_close(moved, network(torch.zeros(1, 1, 8, 8)))
    assert network.stages[1](network.stages[0](torch.zeros(1, 1, 8, 8))).shape == (1, 6, 2, 2)
    assert network(torch.zeros(1, 1, 28, 28)).shape == (1, 3)


def test_quarters_are_means_in_the_order_of_reading():
    image = torch.tensor([[1.0, 1, 2], [1, 1, 2], [3, 3, 4]])
    found = Quarters()(torch.stack([image, -image])[None])
    torch.testing.assert_close(found, torch.tensor([[1.0, -1, 2, -2, 3, -3, 4, -4]]))


BAD = {
    "too few outputs": (lambda b: oracle(b)[..., :3], "next_token", "4 is to be predicted, and the network tells 3"),
    "other shape": (lambda b: oracle(b)[:, 0], "next_token", "gave (40, 5), and (40, 8) with logits behind is needed"),
    "no logits": (lambda b: ("x",), "next_token", "returned tuple without logits"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_learned_is_one_clear_line(case):
    call, objective, text = BAD[case]
    with pytest.raises(ValueError, match=re.escape(text)):
        Lesson(Counting(), objective).loss(call, torch.arange(40))


def test_sizes_that_dont_fit_are_told():
    with pytest.raises(ValueError, match=r"width = 10 isn't a multiple of heads = 4"):
        gpt(width=10)
    with pytest.raises(ValueError, match=r"inputs have 9 tokens, the network places for 8"):
        gpt(length=8, width=8)(torch.zeros(1, 9, dtype=torch.int64))
    with pytest.raises(
        ValueError, match=r"images of \(7, 9\) pixels can't be halved 2 times and quartered, which takes 8"
    ):
        convnet()(torch.zeros(1, 1, 7, 9))
    assert logits_of(torch.ones(2, 3)).shape == (2, 3)
