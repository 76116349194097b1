"""How do the encoders of the different methods turn activations into codes?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def encode(dictionary: Any, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples latents"]:
    """Codes of a `homolog.dictionary.Dictionary` for some activations; a ValueError lists the known activations."""
    if dictionary.activation not in ENCODERS:
        raise ValueError(
            f"codes: activation {dictionary.activation!r} isn't known; known are {', '.join(sorted(ENCODERS))}."
        )
    return ENCODERS[dictionary.activation](dictionary, activations - dictionary.bias)


def pre_activations(d: Any, centred: Float[Tensor, "samples units"]) -> Float[Tensor, "samples latents"]:
    """``(x - bias) @ encoder.T + encoder_bias``, which is the code itself in linear methods."""
    return centred @ d.encoder.T + d.encoder_bias


def _relu(d: Any, centred: Tensor) -> Tensor:
    return pre_activations(d, centred).relu()


def _top_k(d: Any, centred: Tensor) -> Tensor:
    pre = pre_activations(d, centred)
    return top_k(pre, d.k, d.dense) if d.gain is None else top_k(pre / d.gain, d.k, d.dense) * d.gain


def _jump(d: Any, centred: Tensor) -> Tensor:
    pre = pre_activations(d, centred)
    return torch.where(pre > d.threshold, pre, 0)


def _matching_pursuit(d: Any, centred: Tensor) -> Tensor:
    return matching_pursuit(centred, d.directions, d.k)


def top_k(pre: Float[Tensor, "... latents"], k: int, dense: int = 0) -> Float[Tensor, "... latents"]:
    """Keep the ReLU of the `k` largest of the last axis, zero elsewhere; the first `dense` are always kept."""
    values, indices = pre[..., dense:].topk(k, dim=-1, sorted=False)
    kept = torch.zeros_like(pre)
    kept[..., dense:].scatter_(-1, indices, values.relu())
    kept[..., :dense] = pre[..., :dense].relu()
    return kept


def matching_pursuit(
    centred: Float[Tensor, "... samples units"], directions: Float[Tensor, "... latents units"], k: int
) -> Float[Tensor, "... samples latents"]:
    """`k` times, take the latent nearest to what is left, its inner product as its code (Mallat & Zhang, 1993).

    Only positive inner products count, so that codes aren't negative. Directions have unit norm.
    """
    residual = centred
    codes = torch.zeros(*centred.shape[:-1], directions.shape[-2], dtype=centred.dtype, device=centred.device)
    for _ in range(k):
        value, index = (residual @ directions.mT).max(-1, keepdim=True)
        step = torch.zeros_like(codes).scatter(-1, index, value.relu())
        codes = codes + step
        residual = residual - step @ directions
    return codes


def _nearest(d: Any, centred: Tensor) -> Tensor:
    """One code: of the latent of the largest pre-activation, ``(x - bias) @ c - |c|^2 / 2``, whose centroid is nearest.

    The code is |c|, which the encoder's bias holds, so that the reconstruction is the centroid.
    """
    pre = pre_activations(d, centred)
    nearest = pre.argmax(-1, keepdim=True)
    return torch.zeros_like(pre).scatter(-1, nearest, (-2 * d.encoder_bias).clamp(min=0).sqrt()[nearest])


def _non_negative(d: Any, centred: Tensor) -> Tensor:
    return non_negative_least_squares(centred, d.directions)


def _omp(d: Any, centred: Tensor) -> Tensor:
    return orthogonal_matching_pursuit(centred, d.directions, d.k)


def non_negative_least_squares(
    centred: Float[Tensor, "samples units"], directions: Float[Tensor, "latents units"]
) -> Float[Tensor, "samples latents"]:
    """Codes >= 0 that minimise ``|centred - codes @ directions|``, by accelerated projected gradients.

    FISTA (Beck & Teboulle, 2009), with momentum restarted where it points uphill (O'Donoghue & Candès, 2015), in
    float64. A sample is done when a step moves none of its codes by more than 1e-8 of the largest, or after 1000
    steps. A direction of norm 0 gets the code 0.
    """
    directions, inner = directions.double(), centred.double() @ directions.double().T
    gram = directions @ directions.T
    rate = 1 / torch.linalg.matrix_norm(gram, 2).clamp(min=torch.finfo(gram.dtype).tiny)
    result = torch.zeros_like(inner)
    moving = torch.arange(len(inner), device=inner.device)
    codes, ahead, pace = result.clone(), result.clone(), torch.ones_like(inner[:, :1])
    for _ in range(1000):
        new = (ahead + rate * (inner - ahead @ gram)).relu()
        uphill = ((ahead - new) * (new - codes)).sum(1, keepdim=True) > 0
        pace = torch.where(uphill, 1, pace)
        faster = (1 + (1 + 4 * pace.square()).sqrt()) / 2
        result[moving] = new
        on = (new - ahead).abs().amax(1) > 1e-8 * new.amax(1)
        if not on.any():
            break
        ahead = (new + (pace - 1) / faster * (new - codes))[on]
        moving, codes, pace, inner = moving[on], new[on], faster[on], inner[on]
    return result.to(centred)


def orthogonal_matching_pursuit(
    centred: Float[Tensor, "samples units"], directions: Float[Tensor, "latents units"], k: int
) -> Float[Tensor, "samples latents"]:
    """`k` times: add the latent that lies nearest to what is left, then fit all chosen ones anew (Pati et al., 1993).

    Codes have either sign. A sample of which less than 1e-6 is left gets no further latent. Directions have unit norm
    (or 0: these are never chosen). The small systems of the chosen latents are solved in float64.
    """
    gram, inner = (directions @ directions.T).double(), (centred @ directions.T).double()
    enough = 1e-6 * centred.norm(dim=1, keepdim=True)
    codes = torch.zeros_like(inner).to(centred)
    chosen = torch.empty(len(centred), 0, dtype=torch.int64, device=centred.device)
    on = chosen.bool()
    for _ in range(k):
        left = ((centred - codes @ directions) @ directions.T).abs().scatter(1, chosen, 0)
        value, latent = left.max(1, keepdim=True)
        chosen, on = torch.cat([chosen, latent], 1), torch.cat([on, value > enough], 1)
        # What isn't on stands apart as an equation of its own, 1 * code = 0.
        pairs = on[:, :, None] & on[:, None, :]
        system = torch.where(pairs, gram[chosen[:, :, None], chosen[:, None, :]], torch.eye(len(on[0])).to(gram))
        solved = torch.linalg.solve(system, torch.where(on, inner.gather(1, chosen), 0))
        codes = torch.zeros_like(codes).scatter_add(1, chosen, solved.to(codes))
    return codes


# Encoders in which a latent is active above a threshold of its own, which a bias can move.
THRESHOLDED = ("relu", "jumprelu")
# Those in which a code is its pre-activation or 0.
GATED = frozenset({"relu", "topk", "jumprelu"})
ENCODERS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "identity": pre_activations,
    "relu": _relu,
    "topk": _top_k,
    "jumprelu": _jump,
    "matching_pursuit": _matching_pursuit,
    "nearest": _nearest,
    "non_negative": _non_negative,
    "omp": _omp,
}


def with_rates(dictionary: Any, rates: Float[Tensor, " latents"], rows: Float[Tensor, "rows units"]) -> Any:
    """The dictionary with biases moved so that each latent is active on its share `rates` of `rows`.

    A dictionary that was rotated reads directions in which the data are less extreme: with the thresholds of the
    trained ones its latents would fall silent, and a null of silent latents is too low. Where latents compete (top-k,
    pursuits) the number of active ones is fixed anyway, and nothing is changed.
    """
    if dictionary.activation not in THRESHOLDED:
        return dictionary
    pre = dictionary.encoder @ (rows - dictionary.bias).T + dictionary.encoder_bias[:, None]
    place = ((1 - rates) * (len(rows) - 1)).round().long().clamp(0, len(rows) - 1)
    level = pre.sort(dim=1).values.gather(1, place[:, None])[:, 0]
    # A latent that never fires stays silent, whatever rounding does to its largest pre-activation.
    level = torch.where(rates > 0, level, torch.inf)
    threshold = torch.zeros_like(level) if dictionary.threshold is None else dictionary.threshold
    return replace(dictionary, encoder_bias=dictionary.encoder_bias + (threshold - level))
