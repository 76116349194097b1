"""A small transformer that copies: values, then a pointer, which says whose value is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel

from homolog.networks.drawing import drawn_by
from homolog.networks.gpt import GPT
from homolog.streams import stream
from homolog.toys.training import Parameters, Progress, cross_entropies, train_members


@dataclass(frozen=True)
class Pointing:
    """Sequences of so many places, each with one of so many values, and a last token that names a place.

    The answer is the value at that place, so that it must be carried from there to the end of the sequence.
    """

    places: int
    values: int

    @property
    def vocabulary(self) -> int:
        """Values, then pointers."""
        return self.values + self.places

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Int[Tensor, "rows length"], Int[Tensor, " rows"]]:
        """Sequences and their answers."""
        values = torch.randint(self.values, (rows, self.places), generator=generator)
        pointer = torch.randint(self.places, (rows, 1), generator=generator)
        return torch.cat([values, self.values + pointer], 1), values.gather(1, pointer)[:, 0]


def train_pointing(
    task: Pointing,
    replicates: int,
    width: int,
    heads: int,
    blocks: int,
    steps: int,
    lr: float,
    batch_size: int,
    progress: Progress = iter,
) -> list[GPT]:
    """Transformers that learn the task, each with a start and with sequences of its own, as one tensor program."""
    models = []
    for replicate in range(replicates):
        with drawn_by("pointing", "start", replicate):
            models.append(GPT(task.vocabulary, task.places + 1, width, blocks, heads))
    begun, _ = stack_module_state(models)
    draws = [stream("pointing", "rows", replicate) for replicate in range(replicates)]

    def logits(parameters: Parameters, rows: Tensor) -> Tensor:
        found: Tensor = functional_call(models[0], parameters, (rows,))
        return found[:, -1]

    def losses(parameters: Parameters, step: int) -> Float[Tensor, " members"]:
        drawn = [task.draw(batch_size, one) for one in draws]
        rows, answers = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return cross_entropies(torch.vmap(logits)(parameters, rows), answers)

    # The fused attention has no rule for stacked members.
    with sdpa_kernel(SDPBackend.MATH):
        trained = train_members(begun, losses, steps, lr, warm_up=0.05, progress=progress)
    for place, model in enumerate(models):
        model.load_state_dict({name: value[place] for name, value in trained.items()})
        model.eval()
    return models


def sites(model: GPT) -> list[str]:
    """Places along the stream: behind the embedding, and behind each attention and each perceptron."""
    return ["embedding"] + [f"{part} {block}" for block in range(len(model.blocks)) for part in ("attention", "mlp")]


def streams(model: GPT, sequences: Int[Tensor, "rows length"]) -> list[Float[Tensor, "rows length width"]]:
    """The stream at each of `sites`."""
    found = [model.tokens(sequences) + model.places.weight[: sequences.shape[1]]]
    for part in _parts(model):
        found.append(part(found[-1]))
    return found


def answers_from(
    model: GPT, stream_there: Float[Tensor, "rows length width"], site: int
) -> Float[Tensor, "rows vocabulary"]:
    """Logits at the end of each sequence, of what stands in the stream at one of `sites`, by its number."""
    x = stream_there
    for part in _parts(model)[site:]:
        x = part(x)
    logits: Tensor = model.logits(model.norm(x[:, -1]))
    return logits


def _parts(model: GPT) -> list[Callable[[Tensor], Tensor]]:
    """What leads from each site to the next."""
    found: list[Callable[[Tensor], Tensor]] = []
    for block in model.blocks:
        found += [partial(_attend, block), partial(_think, block)]
    return found


def _attend(block: Any, x: Tensor) -> Tensor:
    attended: Tensor = x + block.attention(block.norm_1(x))
    return attended


def _think(block: Any, x: Tensor) -> Tensor:
    thought: Tensor = x + block.mlp(block.norm_2(x))
    return thought
