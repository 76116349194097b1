"""What is a repetition made of? Dictionaries of two or more runs, the rows they read, which latents they share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.dictionary import Dictionary
from homolog.encoding import top_k

Given = Dictionary | Tensor


@dataclass(frozen=True)
class Stack:
    """Dictionaries of equal shape and kind, one for each repetition, in float32."""

    directions: Float[Tensor, "repetitions latents units"]
    encoder: Float[Tensor, "repetitions latents units"]
    encoder_bias: Float[Tensor, "repetitions latents"]
    bias: Float[Tensor, "repetitions units"]
    activation: str = "relu"
    k: int = 0
    signed: bool = True
    moved: Float[Tensor, "repetitions latents"] | None = None
    draws: int = 1
    """Dictionaries of a repetition, one after the other on the axis of latents: draws of a null."""

    @property
    def latents(self) -> int:
        return self.directions.shape[1]

    @property
    def tied(self) -> bool:
        """Latents read by the directions that they write."""
        return self.encoder is self.directions

    def pre_activations(
        self, rows: Float[Tensor, "repetitions rows units"]
    ) -> Float[Tensor, "repetitions latents rows"]:
        centred = rows - self.bias[:, None]
        return self.encoder @ centred.mT + self.encoder_bias[..., None]

    def activate(self, pre: Float[Tensor, "repetitions latents rows"]) -> Float[Tensor, "repetitions latents rows"]:
        """Codes; in top-k those of one dictionary compete, of a stack of draws those of each draw."""
        if self.activation == "relu":
            return pre.relu()
        if self.activation == "identity":
            return pre
        size = self.latents // self.draws
        by_draw = pre.reshape(len(pre), self.draws, size, -1).transpose(2, 3)
        return top_k(by_draw, self.k).transpose(2, 3).flatten(1, 2)

    def turned(self, turn: Float[Tensor, "repetitions draws units units"]) -> Stack:
        """All draws of every repetition, latents of one draw after those of the other."""
        draws = turn.shape[1]

        def rotate(rows: Tensor) -> Tensor:
            return (rows[:, None] @ turn).flatten(1, 2)

        directions = rotate(self.directions)
        return replace(
            self,
            directions=directions,
            encoder=directions if self.tied else rotate(self.encoder),
            encoder_bias=self.encoder_bias.repeat(1, draws),
            moved=None,
            draws=draws,
        )

    def take(self, chosen: Int[Tensor, " few"]) -> Stack:
        directions = self.directions[chosen]
        encoder = directions if self.tied else self.encoder[chosen]
        return replace(
            self,
            directions=directions,
            encoder=encoder,
            encoder_bias=self.encoder_bias[chosen],
            bias=self.bias[chosen],
            moved=None if self.moved is None else self.moved[chosen],
        )

    def one(self, repetition: int) -> Dictionary:
        """One of them as `homolog.compare` takes it."""
        latents = self.latents
        return Dictionary(
            directions=self.directions[repetition],
            encoder=self.encoder[repetition],
            encoder_bias=self.encoder_bias[repetition],
            bias=self.bias[repetition],
            firing_rate=torch.full((latents,), torch.nan),
            importance=torch.full((latents,), torch.nan),
            activation=self.activation,
            k=self.k,
            signed=self.signed,
            moved=None if self.moved is None else self.moved[repetition],
        )


@dataclass(frozen=True)
class Pair:
    """Two runs in every repetition. Latents of a, then those of b, stand on one axis where both are meant."""

    a: Stack
    b: Stack
    rows_a: Float[Tensor, "repetitions rows units"]
    rows_b: Float[Tensor, "repetitions rows units"]
    stable: Bool[Tensor, "repetitions latents"]
    """What is known: whether the other run has this latent too."""
    one_basis: bool = True
    """Both read the same activations, of one network."""
    projected: bool = False
    """Directions alone are given to `compare`, so that codes are projections."""
    copies: bool = False
    """The stable latents of a dictionary are copies of one, which counts once."""

    def take(self, chosen: Int[Tensor, " few"]) -> Pair:
        """Some of the repetitions."""
        return replace(
            self,
            a=self.a.take(chosen),
            b=self.b.take(chosen),
            rows_a=self.rows_a[chosen],
            rows_b=self.rows_b[chosen],
            stable=self.stable[chosen],
        )

    def given(self, repetition: int) -> tuple[list[Given], list[Tensor]]:
        """Dictionaries and activations of one repetition, as `homolog.compare` takes them."""
        rows = [self.rows_a[repetition], (self.rows_a if self.one_basis else self.rows_b)[repetition]]
        if self.projected:
            return [self.a.directions[repetition], self.b.directions[repetition]], rows
        return [self.a.one(repetition), self.b.one(repetition)], rows


@dataclass(frozen=True)
class Network:
    """What lies around a ReLU layer of one run in every repetition, biases zero: x, relu(W x), relu(V .), then U."""

    below: Float[Tensor, "repetitions rows below_units"]
    into: Float[Tensor, "repetitions units below_units"]
    out: Float[Tensor, "repetitions next_units units"]
    logits: Float[Tensor, "repetitions classes next_units"]

    def take(self, chosen: Int[Tensor, " few"]) -> Network:
        """Some of the repetitions."""
        return Network(self.below[chosen], self.into[chosen], self.out[chosen], self.logits[chosen])


@dataclass(frozen=True)
class Runs:
    """Two runs or more of one world, in every repetition; `stable` says of each run's latents what `Pair` says."""

    stacks: tuple[Stack, ...]
    rows: tuple[Float[Tensor, "repetitions rows units"], ...]
    stable: tuple[Bool[Tensor, "repetitions latents"], ...]
    one_basis: bool = True
    copies: bool = False
    networks: tuple[Network, ...] = ()

    @property
    def pair(self) -> Pair:
        """The first two."""
        (a, b), (rows_a, rows_b), stable = self.stacks[:2], self.rows[:2], torch.cat(self.stable[:2], 1)
        return Pair(a, b, rows_a, rows_b, stable, one_basis=self.one_basis, copies=self.copies)

    def take(self, chosen: Int[Tensor, " few"]) -> Runs:
        """Some of the repetitions."""
        return replace(
            self,
            stacks=tuple(one.take(chosen) for one in self.stacks),
            rows=tuple(one[chosen] for one in self.rows),
            stable=tuple(one[chosen] for one in self.stable),
            networks=tuple(one.take(chosen) for one in self.networks),
        )
