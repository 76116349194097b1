"""How does a dictionary come in from a folder that sae-lens has written: which architectures, and what is folded?"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from homolog.dictionary import Dictionary, fold_norms, quality
from homolog.store.arrays import samples_of
from homolog.store.foreign import read_safetensors
from homolog.store.saelens import CONFIG, SMALLEST, SPARSITY, WEIGHTS

# What each architecture has beside W_enc, W_dec and b_dec.
OWN = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
    "batchtopk": ("b_enc", "topk_threshold"),
    "matryoshka_batchtopk": ("b_enc", "topk_threshold"),
}


def read_saelens(
    folder: str | Path, activations: Tensor | np.ndarray | str | Path | None = None, hook_point: str | None = None
) -> Dictionary:
    """Read a folder of sae-lens, of training or inference: standard, topk, jumprelu, gated, batchtopk, Matryoshka.

    Reconstructions are those of sae-lens. Directions get unit norm, and codes, encoder and thresholds take the norm
    over, as by its ``fold_W_dec_norm``; a topk that compares codes without these norms goes on doing so, by its `gain`.
    ``apply_b_dec_to_input: false`` and a gate come out in the encoder's bias and thresholds. Firing rates are NaN where
    the folder holds none, and so is `importance`, unless `activations` are given (as to `homolog.fit`): then both, FVU,
    L0 and the dead fraction are measured on them.

    Raises ValueError when files are absent or don't fit together, and for what isn't affine on the way in.
    """
    folder = Path(folder)
    config = _read_config(folder)
    _check_readable(folder, config)
    weights = _read_weights(folder, config)
    encoder = _encoder_of(config, weights)
    shift = 0.0 if config.get("apply_b_dec_to_input", True) else encoder.rows @ weights["b_dec"]
    latents = len(encoder.rows)
    stored = Dictionary(
        directions=weights["W_dec"],
        encoder=encoder.rows,
        encoder_bias=encoder.bias + shift,
        bias=weights["b_dec"],
        firing_rate=_read_rates(folder, latents),
        importance=torch.full((latents,), torch.nan),
        activation=encoder.activation,
        k=int(config["k"]) if encoder.activation == "topk" else 0,
        signed=True,
        threshold=encoder.threshold,
        member={"label": folder.name, **(config.get("metadata") or {}).get("homolog", {})},
    )
    dictionary = fold_norms(stored)
    if config.get("rescale_acts_by_decoder_norm"):
        # It chooses with the norms folded in: by codes as they are now, or by one threshold that holds the norms.
        holds = "topk_threshold" in OWN[config["architecture"]]
        dictionary = replace(dictionary, gain=None, threshold=stored.threshold if holds else dictionary.threshold)
    return dictionary if activations is None else _measured(dictionary, activations, hook_point)


@dataclass(frozen=True)
class _Encoder:
    """``pre = rows @ (x - b_dec) + bias`` and what is made of it, before norms are folded."""

    rows: Float[Tensor, "latents units"]
    bias: Float[Tensor, " latents"]
    activation: str
    threshold: Float[Tensor, " latents"] | None = None


def _encoder_of(config: dict[str, Any], w: dict[str, Tensor]) -> _Encoder:
    rows = w["W_enc"].T.contiguous()
    match config["architecture"]:
        case "standard":
            return _Encoder(rows, w["b_enc"], "relu")
        case "topk":
            return _Encoder(rows, w["b_enc"], "topk")
        case "jumprelu":
            return _Encoder(rows, w["b_enc"], "jumprelu", w["threshold"].clamp_min(0))
        case "gated":
            # The gate, W x + b_gate > 0, says of the magnitude, e^r W x + b_mag, that it lies above b_mag - e^r b_gate.
            rescale = w["r_mag"].exp()
            threshold = (w["b_mag"] - rescale * w["b_gate"]).clamp_min(0)
            return _Encoder(rows * rescale[:, None], w["b_mag"], "jumprelu", threshold)
        case _:
            # One threshold for all latents, as when sae-lens saves these for inference.
            return _Encoder(rows, w["b_enc"], "jumprelu", w["topk_threshold"].clamp_min(0).expand(len(rows)).clone())


def _read_config(folder: Path) -> dict[str, Any]:
    """`cfg.json`, its architecture as releases since 6 call it."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}: give a folder that sae-lens or write_saelens has written.")
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (ValueError, OSError) as error:
        raise ValueError(f"{folder / CONFIG} can't be read as JSON ({error}).") from error
    if not isinstance(config, dict):
        raise ValueError(f"{folder / CONFIG} holds {type(config).__name__}, but a mapping is needed.")
    config.setdefault("architecture", "standard")
    if config.get("activation_fn", config.get("activation_fn_str")) == "topk":
        config |= {"architecture": "topk", "k": (config.get("activation_fn_kwargs") or {}).get("k", config.get("k"))}
    return config


def _check_readable(folder: Path, config: dict[str, Any]) -> None:
    where = folder / CONFIG
    if config["architecture"] not in OWN:
        raise ValueError(
            f"{where}: architecture {config['architecture']!r} can't be read; what can is {', '.join(OWN)}."
        )
    k, latents = config.get("k"), config.get("d_sae")
    if config["architecture"] == "topk" and k not in range(1, int(latents or 0) + 1):
        raise ValueError(f"{where}: k is {k!r}, but a topk needs a whole number from 1 to d_sae = {latents}.")
    function = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    if function not in {"relu", "topk"}:
        raise ValueError(f"{where}: activation_fn {function!r} can't be read; what can is relu and topk.")
    normalised = config.get("normalize_activations") or "none"
    if normalised in {"expected_average_only_in", "covariance_whitening", True}:
        raise ValueError(
            f"{where}: normalize_activations is {normalised!r}, whose numbers don't stand in the folder: fold them in "
            "with sae-lens first (fold_activation_norm_scaling_factor or fold_activation_whitening), and save again."
        )
    if normalised != "none":
        raise ValueError(
            f"{where}: normalize_activations is {normalised!r}, which divides each sample by its own norm: a "
            "dictionary can't hold this; what it can is none."
        )


def _read_weights(folder: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    """The arrays of the architecture in float32, their shapes checked."""
    path = folder / WEIGHTS
    found = read_safetensors(path)
    if "log_threshold" in found:  # Of older releases.
        found["threshold"] = found.pop("log_threshold").exp()
    if "scaling_factor" in found and not bool((found["scaling_factor"] == 1).all()):
        raise ValueError(f"{path}: scaling_factor (of a fine-tuning) isn't 1: fold it into W_dec, and take it out.")
    units, latents = config.get("d_in"), config.get("d_sae")
    shapes = {"W_enc": (units, latents), "W_dec": (latents, units), "b_dec": (units,), "topk_threshold": ()}
    chosen = {}
    for name in ("W_enc", "W_dec", "b_dec", *OWN[config["architecture"]]):
        expected = shapes.get(name, (latents,))
        seen = tuple(found[name].shape) if name in found else "absent"
        if seen != expected:
            raise ValueError(
                f"{path}: {name} is {seen}, but {config['architecture']} with d_in = {units} and d_sae = {latents} "
                f"needs the shape {expected}."
            )
        chosen[name] = found[name].float()
    return chosen


def _read_rates(folder: Path, latents: int) -> Float[Tensor, " latents"]:
    path = folder / SPARSITY
    rates = read_safetensors(path).get("sparsity") if path.is_file() else None
    if rates is None or len(rates) != latents:
        return torch.full((latents,), torch.nan)
    # Half a power of ten above the smallest is below one in a billion samples: none.
    return torch.where(rates < math.log10(SMALLEST) + 0.5, 0, 10 ** rates.double()).float()


def _measured(dictionary: Dictionary, activations: Any, hook_point: str | None) -> Dictionary:
    samples = samples_of(activations, hook_point)
    if samples.units != dictionary.directions.shape[1]:
        raise ValueError(
            f"activations have {samples.units} units, but the dictionary {dictionary.directions.shape[1]}: give those "
            "of its hook point."
        )
    seen = quality(dictionary, samples.blocks(), samples.mean)
    dead = float((seen.firing_rate == 0).double().mean())
    return replace(
        dictionary,
        firing_rate=seen.firing_rate.float(),
        importance=seen.root_mean_square.float(),
        member={**dictionary.member, "fvu": seen.fvu, "l0": seen.l0, "dead_fraction": dead},
    )
