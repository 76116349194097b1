"""Do dictionaries come in from the folders of sparsify and of dictionary_learning with the codes that these compute?

The folders are written here by hand, array by array, in the layout of the two libraries' sources; what they compute
from them stands here as formulas: sparsify/sparse_coder.py, fused_encoder.py (EleutherAI/sparsify, June 2026), and
dictionary_learning/dictionary.py, utils.py, trainers/*.py (saprmarks/dictionary_learning, August 2025).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from making import gaussian
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

import homolog

UNITS, LATENTS, K = 6, 10, 3
X = gaussian(200, UNITS, seed=9, dtype=torch.float32)


def made(*shape: int, seed: int) -> Tensor:
    return gaussian(*shape, seed=seed, dtype=torch.float32)


def top(pre: Tensor, k: int) -> Tensor:
    values, indices = pre.relu().topk(k)
    return torch.zeros_like(pre).scatter(1, indices, values)


# sparsify


def sparse_coder() -> dict[str, Tensor]:
    return {
        "encoder.weight": made(LATENTS, UNITS, seed=1),
        "encoder.bias": made(LATENTS, seed=2),
        "W_dec": torch.nn.functional.normalize(made(LATENTS, UNITS, seed=3), dim=1),
        "b_dec": made(UNITS, seed=4),
    }


def write_sparsify(folder: Path, w: dict[str, Tensor] | None = None, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    config = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": LATENTS, "k": K}
    config |= {"multi_topk": False, "skip_connection": False, "transcode": False, "d_in": UNITS} | changes
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(sparse_coder() if w is None else w, folder / "sae.safetensors")
    return folder


def test_a_sparse_coder_of_sparsify_gives_its_codes_and_reconstructions(tmp_path):
    found = homolog.read_sparsify(write_sparsify(tmp_path / "layers.3"))
    w = {name: value.double() for name, value in sparse_coder().items()}
    codes = top((X.double() - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"], K)
    assert_close(found.codes(X).double(), codes, rtol=1e-5, atol=1e-5)
    assert_close(found.reconstruct(found.codes(X)).double(), codes @ w["W_dec"] + w["b_dec"], rtol=1e-5, atol=1e-5)
    assert (found.member["label"], found.signed, found.k) == ("layers.3", True, K)
    assert found.firing_rate.isnan().all()


def test_a_config_of_before_the_activations_and_half_precision_are_read(tmp_path):
    folder = write_sparsify(tmp_path, {name: one.bfloat16() for name, one in sparse_coder().items()})
    config = json.loads((folder / "cfg.json").read_text())
    del config["activation"], config["transcode"]
    (folder / "cfg.json").write_text(json.dumps(config | {"signed": False}))
    assert homolog.read_sparsify(folder).encoder.dtype == torch.float32


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "transcoder": ({"transcode": True}, "transcode is true: it predicts another module's output"),
    "skip": ({"skip_connection": True}, "skip_connection is true"),
    "signed": ({"signed": True}, "signed is true"),
    "groupmax": ({"activation": "groupmax"}, "'groupmax' can't be read; what can is topk"),
    "no k": ({"k": None}, "k is None, but a top-k needs a whole number from 1 to 10"),
    "k above F": ({"k": 11}, "k is 11"),
    "other width": ({"d_in": 7}, r"encoder.weight is \(10, 6\).*needs the shape \(10, 7\)"),
    "no width": ({"d_in": None}, r"needs the shape \(10, 0\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_sparsify_wrote_and_cant_be_read_is_told(case, tmp_path):
    changes, text = BAD[case]
    with pytest.raises(ValueError, match=text) as caught:
        homolog.read_sparsify(write_sparsify(tmp_path, **changes))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_array_that_is_absent_or_not_finite_is_told(tmp_path):
    w = sparse_coder()
    del w["W_dec"]  # As where only the encoder was kept.
    with pytest.raises(ValueError, match="W_dec is absent"):
        homolog.read_sparsify(write_sparsify(tmp_path, w))
    w = sparse_coder()
    w["b_dec"][1] = torch.inf
    with pytest.raises(ValueError, match="b_dec holds values that aren't finite"):
        homolog.read_sparsify(write_sparsify(tmp_path, w))


# dictionary_learning


def linear(bias: str, *more: str) -> dict[str, Tensor]:
    w = {
        "encoder.weight": made(LATENTS, UNITS, seed=11),
        "decoder.weight": made(UNITS, LATENTS, seed=12),
        bias: made(UNITS, seed=13),
    }
    return w | {name: made(LATENTS, seed=20 + i) for i, name in enumerate(more)}


def plain(**more: Tensor) -> dict[str, Tensor]:
    w = {"W_enc": made(UNITS, LATENTS, seed=11), "W_dec": made(LATENTS, UNITS, seed=12)}
    return w | {"b_enc": made(LATENTS, seed=20), "b_dec": made(UNITS, seed=13), **more}


NUMBER = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(0.6)}
STATES: dict[str, dict[str, Tensor]] = {
    "AutoEncoder": linear("bias", "encoder.bias"),
    "AutoEncoderNew": linear("decoder.bias", "encoder.bias"),
    "GatedAutoEncoder": linear("decoder_bias", "r_mag", "gate_bias", "mag_bias"),
    "JumpReluAutoEncoder": plain(threshold=made(LATENTS, seed=30)),  # Some below zero.
    "AutoEncoderTopK": linear("b_dec", "encoder.bias") | NUMBER,
    "BatchTopKSAE": linear("b_dec", "encoder.bias") | NUMBER,
    "MatryoshkaBatchTopKSAE": plain(**NUMBER, group_sizes=torch.tensor([4, 6])),
}


def by_formula(name: str, w: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and reconstructions of the library in float64."""
    w, x = {key: value.double() for key, value in w.items()}, x.double()
    rows = w["W_enc"].T if "W_enc" in w else w["encoder.weight"]
    directions = w["W_dec"] if "W_dec" in w else w["decoder.weight"].T
    bias = next(w[key] for key in ("bias", "decoder.bias", "decoder_bias", "b_dec") if key in w)
    read = (x if name in ("AutoEncoderNew", "JumpReluAutoEncoder") else x - bias) @ rows.T
    match name:
        case "AutoEncoder" | "AutoEncoderNew":
            codes = (read + w["encoder.bias"]).relu()
        case "GatedAutoEncoder":
            codes = (read + w["gate_bias"] > 0) * (w["r_mag"].exp() * read + w["mag_bias"]).relu()
        case "JumpReluAutoEncoder":
            pre = read + w["b_enc"]
            codes = (pre * (pre > w["threshold"])).relu()
        case "AutoEncoderTopK":
            codes = top(read + w["encoder.bias"], K)
        case _:
            pre = (read + w.get("b_enc", w.get("encoder.bias"))).relu()
            codes = pre * (pre > w["threshold"])
    return codes, codes @ directions + bias


def write(folder: Path, name: str, w: Any = None, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    trainer = {"dict_class": name, "activation_dim": UNITS, "dict_size": LATENTS, "k": K, "lr": 1e-3} | changes
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"d_submodule": UNITS}}))
    torch.save(STATES[name] if w is None else w, folder / "ae.pt")
    return folder


@pytest.mark.parametrize("name", STATES)
def test_every_class_of_dictionary_learning_gives_its_codes_and_reconstructions(name, tmp_path):
    found = homolog.read_dictionary_learning(write(tmp_path / "trainer_0", name))
    codes, reconstruction = by_formula(name, STATES[name], X)
    seen = found.codes(X)
    assert torch.equal(seen != 0, codes != 0)
    assert (seen != 0).any()
    assert_close(found.reconstruct(seen).double(), reconstruction, rtol=1e-4, atol=1e-4)
    w = STATES[name]
    norms = w["W_dec"].norm(dim=1) if "W_dec" in w else w["decoder.weight"].norm(dim=0)
    assert_close(found.directions.norm(dim=1), torch.ones(LATENTS))
    assert_close(seen.double(), codes * norms, rtol=1e-4, atol=1e-4)
    assert found.member["label"] == "trainer_0"


def test_a_config_that_says_no_sizes_is_read(tmp_path):
    folder = write(tmp_path, "AutoEncoder")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": "AutoEncoder"}}))
    assert homolog.read_dictionary_learning(folder).directions.shape == (LATENTS, UNITS)


def test_what_dictionary_learning_wrote_and_cant_be_read_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"dict_class 'CrossCoder' can't be read; what can is AutoEncoder, "):
        homolog.read_dictionary_learning(write(tmp_path / "a", "CrossCoder", {}))
    with pytest.raises(ValueError, match=r"k is 0, but a top-k"):
        homolog.read_dictionary_learning(write(tmp_path / "b", "AutoEncoderTopK", k=0))
    resumed = {"step": 3, "ae": STATES["AutoEncoder"]}  # A state from which training would go on.
    with pytest.raises(ValueError, match=r"encoder.weight is absent"):
        homolog.read_dictionary_learning(write(tmp_path / "c", "AutoEncoder", resumed))
    with pytest.raises(ValueError, match=r"holds list, but a mapping of names and tensors"):
        homolog.read_dictionary_learning(write(tmp_path / "d", "AutoEncoder", [1]))


@pytest.mark.parametrize(
    ("read", "make", "weights"),
    [
        (homolog.read_sparsify, write_sparsify, "sae.safetensors"),
        (homolog.read_dictionary_learning, lambda folder: write(folder, "AutoEncoder"), "ae.pt"),
    ],
    ids=["sparsify", "dictionary_learning"],
)
def test_a_file_that_is_absent_or_cut_off_is_told(read, make, weights, tmp_path):
    config = "cfg.json" if weights == "sae.safetensors" else "config.json"
    for name in (config, weights):
        path = make(tmp_path) / name
        path.write_bytes(path.read_bytes()[:30])
        with pytest.raises(ValueError, match=f"{name} can't be read as") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)
        path.unlink()
        with pytest.raises(ValueError, match=f"has no {name}: give a folder"):
            read(tmp_path)
    make(tmp_path)
    (tmp_path / config).write_text("[1]")
    with pytest.raises(ValueError, match=r"holds list, but a mapping is needed"):
        read(tmp_path)
