"""How does a dictionary go out to sae-lens: a folder of `cfg.json` and `sae_weights.safetensors`?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from homolog.dictionary import Dictionary
from homolog.store.files import atomic

CONFIG, WEIGHTS, SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
# The release whose format this is; sae-lens reads a config without a version, or with one before 6, in another way.
VERSION = "6.54.12"
WRITTEN = {"relu": "standard", "topk": "topk", "jumprelu": "jumprelu"}
# As sae-lens does, so that the logarithm of a rate of zero is a number.
SMALLEST = 1e-10


def write_saelens(folder: str | Path, dictionary: Dictionary, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a dictionary so that ``SAE.load_from_disk(folder)`` gives its codes and reconstructions, in float32.

    `metadata` says what sae-lens should know besides, as ``{"model_name": ..., "hook_name": ...}``; the member's facts
    stand there too, as ``homolog``. Firing rates, where they are known, go to ``sparsity.safetensors``, as base-10
    logarithms. A folder of an earlier dictionary is overwritten; at no moment does a ``cfg.json`` stand beside weights
    that it doesn't belong to. Raises ValueError for what this format can't say, OSError when it can't be written.
    """
    _check_writable(dictionary)
    config = _config_of(dictionary, metadata or {})
    folder = Path(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    _write(folder / WEIGHTS, save(_weights_of(dictionary)))
    if bool(dictionary.firing_rate.isfinite().all()):
        _write(folder / SPARSITY, save({"sparsity": (dictionary.firing_rate.float().cpu() + SMALLEST).log10()}))
    else:
        (folder / SPARSITY).unlink(missing_ok=True)
    _write(folder / CONFIG, config.encode())


def _check_writable(d: Dictionary) -> None:
    if d.activation not in WRITTEN:
        raise ValueError(
            f"a dictionary whose codes are {d.activation} can't be written for sae-lens; what can is "
            f"{', '.join(WRITTEN)}, so every sparse autoencoder but those of matching pursuit."
        )
    if d.dense and d.activation == "topk":
        raise ValueError(
            f"{d.dense} dense latents stand outside the selection of the k, which a topk of sae-lens can't say: fit "
            "with dense = 0, or by a method whose codes are relu or jumprelu."
        )
    if d.activation == "jumprelu" and d.threshold is None:
        raise ValueError("a dictionary whose codes are jumprelu has no threshold, so nothing was written: give it one.")
    for name in ("directions", "encoder", "encoder_bias", "bias", "threshold"):
        array = getattr(d, name)
        if array is not None and not bool(array.isfinite().all()):
            raise ValueError(f"{name} holds values that aren't finite, so nothing was written: look at its training.")
    if d.threshold is not None and bool((d.threshold < 0).any()):
        raise ValueError(
            f"thresholds reach down to {float(d.threshold.min()):.3g}, and sae-lens takes no code below zero: raise "
            "them to zero first."
        )


def _config_of(d: Dictionary, metadata: Mapping[str, Any]) -> str:
    latents, units = d.directions.shape
    # JSON has no NaN: what isn't known is left out.
    known = {name: value for name, value in d.member.items() if not (isinstance(value, float) and math.isnan(value))}
    config: dict[str, Any] = {
        "architecture": WRITTEN[d.activation],
        "d_in": units,
        "d_sae": latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": VERSION, "homolog": known, **metadata},
    }
    if d.activation == "topk":
        config |= {"k": d.k, "rescale_acts_by_decoder_norm": False}
    try:
        return json.dumps(config, indent=2)
    except TypeError as error:
        raise ValueError(f"metadata isn't JSON ({error}): give text, numbers, lists and dicts.") from error


def _weights_of(d: Dictionary) -> dict[str, Tensor]:
    gain = torch.ones_like(d.encoder_bias) if d.gain is None else d.gain
    rows, directions = d.encoder / gain[:, None], d.directions * gain[:, None]
    arrays = {"W_enc": rows.T, "W_dec": directions, "b_enc": d.encoder_bias / gain, "b_dec": d.bias}
    if d.activation == "jumprelu" and d.threshold is not None:
        arrays["threshold"] = d.threshold
    # Copies: safetensors refuses arrays that share memory, as tied weights do.
    return {
        name: array.detach().to("cpu", torch.float32).clone(memory_format=torch.contiguous_format)
        for name, array in arrays.items()
    }


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)
