"""How does a dictionary come in from a folder of the library dictionary_learning (Marks, Karvonen & Mueller)?"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from homolog.dictionary import Dictionary, fold_norms
from homolog.store.foreign import check_k, read_config, take, unmeasured

CONFIG, WEIGHTS = "config.json", "ae.pt"
# Classes by how their arrays are called; what is behind the name is "latent, unit", "unit, latent" or one axis.
_LINEAR = {"encoder.weight": "lu", "decoder.weight": "ul"}
_PLAIN = {"W_enc": "ul", "b_enc": "l", "W_dec": "lu", "b_dec": "u"}
_ARRAYS: dict[str, dict[str, str]] = {
    "AutoEncoder": _LINEAR | {"encoder.bias": "l", "bias": "u"},
    "AutoEncoderNew": _LINEAR | {"encoder.bias": "l", "decoder.bias": "u"},
    "GatedAutoEncoder": _LINEAR | {"decoder_bias": "u", "r_mag": "l", "gate_bias": "l", "mag_bias": "l"},
    "JumpReluAutoEncoder": _PLAIN | {"threshold": "l"},
    "AutoEncoderTopK": _LINEAR | {"encoder.bias": "l", "b_dec": "u"},
    "BatchTopKSAE": _LINEAR | {"encoder.bias": "l", "b_dec": "u", "threshold": ""},
    "MatryoshkaBatchTopKSAE": _PLAIN | {"threshold": ""},
}


def read_dictionary_learning(folder: str | Path) -> Dictionary:
    """Read `config.json` and `ae.pt` of one trainer, for every class that the library's ``load_dictionary`` knows.

    Layout and codes: `dictionary_learning/utils.py`, `dictionary.py` and `trainers/` of
    github.com/saprmarks/dictionary_learning (August 2025). Only tensors are read of `ae.pt` (``weights_only``): no
    pickle is run. Codes are those of ``encode``: TopK by its k, BatchTopK and Matryoshka by their threshold.
    Directions get unit norm, and codes take the norm over, but for TopK, which is left as stored. ``AutoEncoderNew``
    and ``JumpReluAutoEncoder`` don't take the decoder's bias off what they read; that comes out in the encoder's bias.
    Firing rates and `importance` are NaN. Raises ValueError, one line, when files are absent, cut off or don't fit
    together, for other classes, and where `ae.pt` holds more than tensors.
    """
    folder = Path(folder)
    config = read_config(folder, CONFIG, WEIGHTS, "dictionary_learning")
    trainer = config["trainer"] if isinstance(config.get("trainer"), dict) else {}
    name = str(trainer.get("dict_class"))
    if name not in _ARRAYS:
        raise ValueError(f"{folder / CONFIG}: dict_class {name!r} can't be read; what can is {', '.join(_ARRAYS)}.")
    path = folder / WEIGHTS
    found = _read_tensors(path)
    # Not every trainer writes its sizes into the config.
    first, axes = next(iter(_ARRAYS[name].items()))
    sizes = dict(zip(axes, getattr(found.get(first), "shape", (0, 0)), strict=False))
    shapes = {array: tuple(sizes.get(axis, 0) for axis in axes) for array, axes in _ARRAYS[name].items()}
    w = take(path, found, shapes, f"{name} of {sizes.get('l', 0)} latents and {sizes.get('u', 0)} units")
    k = check_k(folder / CONFIG, trainer.get("k"), sizes["l"]) if name == "AutoEncoderTopK" else 0
    return fold_norms(_dictionary(name, w, k, folder.name))


def _read_tensors(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} can't be read as tensors alone: it is truncated, or holds objects that would have to be run "
            f"({reason[:150]})."
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, but a mapping of names and tensors is needed.")
    return found


def _dictionary(name: str, w: dict[str, Tensor], k: int, label: str) -> Dictionary:
    """A dictionary with the norms as they are stored."""
    plain = "W_enc" in w
    rows = (w["W_enc"].T if plain else w["encoder.weight"]).contiguous()
    directions = (w["W_dec"] if plain else w["decoder.weight"].T).contiguous()
    bias = next(w[key] for key in ("bias", "b_dec", "decoder_bias", "decoder.bias") if key in w)
    shift = next(w[key] for key in ("b_enc", "encoder.bias", "mag_bias") if key in w)
    activation, threshold = "relu", None
    if name == "GatedAutoEncoder":
        # The gate, W x + gate_bias > 0, says of the magnitude, e^r W x + mag_bias, that it lies above a threshold.
        rescale = w["r_mag"].exp()
        activation, threshold = "jumprelu", (w["mag_bias"] - rescale * w["gate_bias"]).clamp_min(0)
        rows = rows * rescale[:, None]
    elif "threshold" in w:
        activation, threshold = "jumprelu", w["threshold"].clamp_min(0).expand(len(rows)).clone()
    elif k:
        activation = "topk"
    if name in {"AutoEncoderNew", "JumpReluAutoEncoder"}:
        shift = shift + rows @ bias
    return Dictionary(
        directions=directions,
        encoder=rows,
        encoder_bias=shift,
        bias=bias,
        firing_rate=unmeasured(len(rows)),
        importance=unmeasured(len(rows)),
        activation=activation,
        k=k,
        signed=True,
        threshold=threshold,
        member={"label": label},
    )
