"""How does a dictionary come in from a folder that EleutherAI's sparsify has written?"""

from __future__ import annotations

from pathlib import Path

from homolog.dictionary import Dictionary, fold_norms
from homolog.store.foreign import check_k, read_config, read_safetensors, take, unmeasured

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
# What a config may ask for that x^ = TopK(ReLU((x - b) E' + e)) D + b can't say.
_BEYOND = {
    "transcode": "it predicts another module's output, so that its directions lie elsewhere than what it reads",
    "skip_connection": "it adds a linear map of the input",
    "signed": "it selects codes of both signs",
}


def read_sparsify(folder: str | Path) -> Dictionary:
    """Read `cfg.json` and `sae.safetensors` of one hook point, as ``SparseCoder.save_to_disk`` writes them.

    Layout and codes: `sparsify/sparse_coder.py` and `fused_encoder.py` of github.com/EleutherAI/sparsify (June 2026):
    ``encoder.weight (latent, unit)``, ``encoder.bias``, ``W_dec (latent, unit)``, ``b_dec``, and the k largest of
    ReLU((x - b_dec) W' + bias). Directions get unit norm (`homolog.dictionary.fold_norms`). Firing
    rates and `importance` are NaN.
    Raises ValueError, one line, when files are absent, cut off or don't fit together, for transcoders, skip
    connections, codes of both signs, and for the activation ``groupmax``.
    """
    folder = Path(folder)
    config = read_config(folder, CONFIG, WEIGHTS, "sparsify")
    for option, why in _BEYOND.items():
        if config.get(option):
            raise ValueError(f"{folder / CONFIG}: {option} is true: {why}, which a dictionary can't hold.")
    if config.get("activation", "topk") != "topk":
        raise ValueError(f"{folder / CONFIG}: activation {config['activation']!r} can't be read; what can is topk.")
    path = folder / WEIGHTS
    found = read_safetensors(path)
    units, latents = int(config.get("d_in") or 0), len(found.get("encoder.bias", ()))
    shapes = {"encoder.weight": (latents, units), "encoder.bias": (latents,), "W_dec": (latents, units)}
    w = take(path, found, shapes | {"b_dec": (units,)}, f"a sparse coder with d_in = {units}")
    stored = Dictionary(
        directions=w["W_dec"],
        encoder=w["encoder.weight"],
        encoder_bias=w["encoder.bias"],
        bias=w["b_dec"],
        firing_rate=unmeasured(len(w["W_dec"])),
        importance=unmeasured(len(w["W_dec"])),
        activation="topk",
        k=check_k(folder / CONFIG, config.get("k"), len(w["W_dec"])),
        signed=True,
        member={"label": folder.name},
    )
    return fold_norms(stored)
