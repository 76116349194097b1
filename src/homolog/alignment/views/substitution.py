"""Can a latent's match from another run stand in for it: what does the network lose by it?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from homolog.alignment.layer import Layer
from homolog.alignment.matching import match_values
from homolog.alignment.rest import ROWS, Rest
from homolog.alignment.views.base import Signatures, Similarities
from homolog.alignment.views.score import Score
from homolog.dictionary import Dictionary

# As for loss recovered: below 2 standard errors, or 1e-5 of the loss, a harm isn't told from 0.
_HARM_ERRORS, _ROUNDING = 2.0, 1e-5
# Pairs of latents whose losses are held at once.
_PAIRS = 256


@dataclass(frozen=True)
class Replaceable(Signatures):
    """Standardised codes, and what it takes to write others in their place: `size` is the norm of a centred code."""

    rest: Rest
    directions: Float[Tensor, "latents units"]
    size: Float[Tensor, " latents"]

    def of(self, latents: Bool[Tensor, " latents"]) -> Replaceable:
        chosen = {name: getattr(self, name)[latents] for name in ("match", "score", "directions", "size")}
        return replace(self, **chosen)


class Substitution(Score):
    """Loss of run A's network with a latent's contribution replaced by its match's from run B, between two controls.

    The best control is the latent's own contribution, so the network as it is; the worst is its contribution's mean:
    ``(ablated - substituted) / (ablated - own)``, each summed over the matched latents, one of which is replaced at a
    time. 1: as good as its own; 0: worth no more than the mean; below 0: worse.

    What is carried over is the match's code on the same inputs, which needs no common basis; it is written in A's own
    direction, since a direction of B means nothing in A's units. The scale and offset of a code aren't identified
    either (nor, for some methods, its sign), so the code enters by its regression on A's: of both, the standard scores
    over the fold, times r. Pairs are selected, and r is taken, on the match fold by `score`; losses are of the other
    fold's first 1,000 inputs. So it asks whether the match is active when it matters to the loss; where it writes is
    asked by `write_out` and `effect`. Legal always. Directed: latents of A are replaced, in A's network.

    NaN where ablating A's latents does no harm, on average, that is told from 0, and by rank throughout: of one latent
    it seldom is. The null permutes B's codes, as in `score`.
    """

    name = "substitution"
    by_latent = False
    rows = ROWS

    def defined(self, a: Layer, b: Layer) -> bool:
        return bool(a.rest)

    def signatures(self, layer: Layer, dictionary: Dictionary) -> Signatures:
        plain = super().signatures(layer, dictionary)
        if not layer.rest:
            return plain
        codes = dictionary.codes(layer.activations["score"][: self.rows])
        size = (codes - codes.mean(0)).norm(dim=0)
        return Replaceable(plain.match, plain.score, layer.rest["score"], dictionary.directions, size)

    def similarities(
        self, own: Signatures, other: Signatures, transport: Tensor | None, signed: bool, matchings: list[str]
    ) -> Similarities:
        """Selection; gain over the mean; harm of the mean: the score is the ratio of the last two, each averaged."""
        if not isinstance(own, Replaceable):
            raise ValueError("substitution: run a has no network in which anything could be replaced: use score.")
        selection = own.match @ other.match.T
        selection = selection if signed else selection.abs()
        gain, harm = torch.zeros_like(selection), torch.zeros_like(selection)
        ablated = _losses(own, torch.arange(len(own.score)), -own.score)
        own_loss = own.rest.losses(torch.zeros_like(own.rest.logits)[None])
        if not selection.numel() or not _is_clear(ablated - own_loss, ablated):
            return selection, gain, harm
        means = ablated.mean(1)
        harm += (means - own_loss.mean())[:, None]
        for f, g in zip(*(torch.split(part, _PAIRS) for part in _read(selection, matchings)), strict=True):
            r = (own.match[f] * other.match[g]).sum(1, keepdim=True)
            standing_in = (r.clamp(min=0) if signed else r) * other.score[g]
            gain[f, g] = means[f] - _losses(own, f, standing_in - own.score[f]).mean(1)
        return selection, gain, harm


def _losses(own: Replaceable, latents: Tensor, change: Float[Tensor, "changes rows"]) -> Float[Tensor, "changes rows"]:
    """Losses of the inputs when the standardised codes of some latents change by so much."""
    parts = zip(torch.split(latents, _PAIRS), torch.split(change, _PAIRS), strict=True)
    found = [
        own.rest.losses(own.rest.effects(own.directions[index], own.size[index, None] * part)) for index, part in parts
    ]
    return torch.cat(found) if found else change


def _is_clear(harm: Float[Tensor, "latents rows"], ablated: Float[Tensor, "latents rows"]) -> bool:
    """Whether the mean harm is told from 0, its error taken over inputs."""
    by_input = harm.mean(0)
    error = float(by_input.std()) / math.sqrt(len(by_input))
    # Not `<`: a NaN is no harm that is told from 0.
    return float(by_input.mean()) > max(_HARM_ERRORS * error, _ROUNDING * float(ablated.mean()))


def _read(selection: Float[Tensor, "m n"], matchings: list[str]) -> tuple[Tensor, Tensor]:
    """The pairs that some matching scores. A value is linear in what it scores: its gradient shows what it reads."""
    read = torch.zeros_like(selection, dtype=torch.bool)
    for matching in matchings:
        scoring = torch.zeros_like(selection, requires_grad=True)
        with torch.enable_grad():
            value = match_values(selection, scoring, matching)
        (weights,) = torch.autograd.grad(value, scoring)
        read |= weights != 0
    rows, columns = read.nonzero(as_tuple=True)
    return rows, columns
