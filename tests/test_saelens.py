"""Do dictionaries go out to sae-lens's folders and come in again with equal codes and reconstructions?

What sae-lens computes from a folder is written out here as formulas, so that it needn't be installed;
benchmarks/peers/check_saelens.py compares with sae-lens itself.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from making import GIVEN, SPARSE, gaussian, mixed
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

import homolog
from homolog.dictionary import Dictionary

UNITS, LATENTS, K = 6, 10, 3
X = gaussian(300, UNITS, seed=9, dtype=torch.float32)
NONE = {"normalize_activations": "none", "apply_b_dec_to_input": True, "metadata": {"sae_lens_version": "6.54.12"}}


def made(*shape: int, seed: int) -> Tensor:
    return gaussian(*shape, seed=seed, dtype=torch.float32)


def dictionary(activation: str, **changes: Any) -> Dictionary:
    """A dictionary without any symmetry to hide behind: encoder, directions and all biases are drawn apart."""
    directions = made(LATENTS, UNITS, seed=1)
    fields = {
        "directions": directions / directions.norm(dim=1, keepdim=True),
        "encoder": made(LATENTS, UNITS, seed=2),
        "encoder_bias": made(LATENTS, seed=3),
        "bias": made(UNITS, seed=4),
        "firing_rate": torch.linspace(0, 0.9, LATENTS),
        "importance": torch.ones(LATENTS),
        "activation": activation,
        "signed": True,
        "member": {"label": "made", "seed": 1, "rows": "all", "fvu": 0.25},
    }
    fields |= {"k": K} if activation == "topk" else {}
    fields |= {"threshold": made(LATENTS, seed=5).abs()} if activation == "jumprelu" else {}
    return Dictionary(**fields | changes)


def weights(architecture: str) -> dict[str, Tensor]:
    """Weights of an SAE that sae-lens might have written; directions of unequal norm."""
    w = {
        "W_enc": made(UNITS, LATENTS, seed=11),
        "W_dec": made(LATENTS, UNITS, seed=12),
        "b_dec": made(UNITS, seed=13),
    }
    own = ["b_gate", "b_mag", "r_mag"] if architecture == "gated" else ["b_enc"]
    w |= {name: made(LATENTS, seed=20 + i) for i, name in enumerate(own)}
    if architecture == "jumprelu":
        w["threshold"] = made(LATENTS, seed=30)  # Some below zero, which sae-lens reads as zero.
    if "batchtopk" in architecture:
        w["topk_threshold"] = torch.tensor(0.7, dtype=torch.float64)
    return w


def write(folder, architecture: str, w: dict[str, Tensor] | None = None, **changes: Any):
    folder.mkdir(exist_ok=True)
    config = NONE | {"architecture": architecture, "d_in": UNITS, "d_sae": LATENTS, "k": K} | changes
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(weights(architecture) if w is None else w, folder / "sae_weights.safetensors")
    return folder


def by_formula(architecture: str, w: dict[str, Tensor], x: Tensor, config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Codes and reconstructions of sae-lens 6.54.12 in float64."""
    w, x = {name: value.double() for name, value in w.items()}, x.double()
    norms = w["W_dec"].norm(dim=1)
    x = x - w["b_dec"] if config.get("apply_b_dec_to_input", True) else x
    rescale = norms if config.get("rescale_acts_by_decoder_norm") else torch.ones_like(norms)
    if architecture == "gated":
        on = (x @ w["W_enc"] + w["b_gate"] > 0).double()
        codes = on * (x @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"]).relu()
    else:
        pre = (x @ w["W_enc"] + w["b_enc"]) * rescale
        if architecture == "standard":
            codes = pre.relu()
        elif architecture == "topk":
            values, indices = pre.topk(config.get("k", K))
            codes = torch.zeros_like(pre).scatter(1, indices, values.relu())
        else:
            threshold = w["threshold"] if architecture == "jumprelu" else w["topk_threshold"]
            codes = pre.relu() * (pre > threshold)
    return codes, (codes / rescale) @ w["W_dec"] + w["b_dec"]


# Out and in again


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_a_round_trip_keeps_codes_reconstructions_and_facts(activation, tmp_path):
    one = dictionary(activation)
    homolog.write_saelens(tmp_path / "sae", one)
    again = homolog.read_saelens(tmp_path / "sae")
    assert_close(again.codes(X), one.codes(X))
    assert_close(again.reconstruct(again.codes(X)), one.reconstruct(one.codes(X)))
    assert (again.codes(X) != 0).any()
    assert again.member == one.member
    assert_close(again.firing_rate, one.firing_rate)
    assert float(again.firing_rate[0]) == 0, "a latent that never fires is known as one"
    assert (again.activation, again.k, again.signed) == (one.activation, one.k, True)


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_what_is_written_says_by_formula_what_the_dictionary_says(activation, tmp_path):
    one = dictionary(activation)
    homolog.write_saelens(tmp_path, one)
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (UNITS, LATENTS, "float32")
    found = by_formula(config["architecture"], load_file(tmp_path / "sae_weights.safetensors"), X, config)
    codes = one.codes(X)
    assert_close(found[0].float(), codes)
    assert_close(found[1].float(), one.reconstruct(codes))


@pytest.mark.parametrize(
    ("name", "more"),
    [(name, {}) for name in SPARSE if name != "matching_pursuit_sae"]
    + [(name, {"decoder": "free"}) for name in ("topk_sae", "batch_topk_sae")],
)
def test_every_sparse_autoencoder_is_written(name, more, tmp_path):
    x = mixed(300, UNITS)
    (one,) = homolog.fit(x, {"method": name, "n_latents": 16, **GIVEN[name], **more}, threads=1, progress=False)
    homolog.write_saelens(tmp_path, one)
    again = homolog.read_saelens(tmp_path, x)
    assert_close(again.codes(x), one.codes(x))
    for fact in ("fvu", "l0", "dead_fraction"):
        assert again.member[fact] == pytest.approx(one.member[fact], rel=1e-5)
    assert_close(again.importance, one.importance)


def test_metadata_stands_where_sae_lens_looks_for_it(tmp_path):
    homolog.write_saelens(tmp_path, dictionary("relu"), {"model_name": "made", "hook_name": "blocks.0.hook"})
    metadata = json.loads((tmp_path / "cfg.json").read_text())["metadata"]
    assert (metadata["model_name"], metadata["hook_name"]) == ("made", "blocks.0.hook")
    assert metadata["homolog"]["label"] == "made"
    assert metadata["sae_lens_version"] == "6.54.12", "without it the config is read as one of before version 6"


def test_tied_weights_and_other_float_types_are_written(tmp_path):
    tied = made(LATENTS, UNITS, seed=2).double()
    one = dictionary("relu", directions=tied, encoder=tied).to(torch.float64)
    homolog.write_saelens(tmp_path, one)
    assert_close(homolog.read_saelens(tmp_path).reconstruct(one.codes(X.double()).float()).shape, X.shape)


# In

SELECTING = ["topk", "batchtopk", "matryoshka_batchtopk"]  # These may rescale by the norms before they compare.
ARCHITECTURES = [(name, False) for name in ["standard", "jumprelu", "gated", *SELECTING]]
ARCHITECTURES += [(name, True) for name in SELECTING]


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize(("architecture", "rescale"), ARCHITECTURES)
def test_every_architecture_reconstructs_as_by_formula(architecture, rescale, subtract, tmp_path):
    config = {"rescale_acts_by_decoder_norm": rescale, "apply_b_dec_to_input": subtract}
    folder = write(tmp_path, architecture, **config)
    found = homolog.read_saelens(folder)
    w = weights(architecture)
    codes, reconstruction = by_formula(architecture, w, X, config)
    seen = found.codes(X)
    assert_close(found.reconstruct(seen), reconstruction.float(), rtol=1e-4, atol=1e-4)
    assert torch.equal(seen != 0, codes != 0)
    norms = w["W_dec"].norm(dim=1)
    assert_close(found.directions.norm(dim=1), torch.ones(LATENTS))
    # Codes take the norm over, once: where sae-lens rescales they hold it already.
    assert_close(seen, (codes * (1 if rescale else norms)).float(), rtol=1e-4, atol=1e-4)


def test_norms_in_the_comparison_would_change_what_a_topk_chooses():
    """Why a dictionary has a gain: without it other latents win."""
    plain, _ = by_formula("topk", weights("topk"), X, {})
    folded, _ = by_formula("topk", weights("topk"), X, {"rescale_acts_by_decoder_norm": True})
    assert ((plain != 0) != (folded != 0)).any()


def test_older_folders_are_read(tmp_path):
    """A topk of before version 6 is a standard one with an activation function; thresholds were logarithms."""
    old = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}, "k": None, "metadata": None}
    found = homolog.read_saelens(write(tmp_path / "topk", "standard", **old))
    codes, reconstruction = by_formula("topk", weights("topk"), X, {"k": 2})
    assert torch.equal(found.codes(X) != 0, codes != 0)
    assert_close(found.reconstruct(found.codes(X)), reconstruction.float(), rtol=1e-4, atol=1e-4)
    w = weights("jumprelu")
    w["threshold"] = w["threshold"].abs()
    newer = homolog.read_saelens(write(tmp_path / "new", "jumprelu", w))
    w["log_threshold"] = w.pop("threshold").log()
    assert_close(homolog.read_saelens(write(tmp_path / "log", "jumprelu", w)).threshold, newer.threshold)


def test_half_precision_is_read_as_float32(tmp_path):
    w = {name: value.bfloat16() for name, value in weights("standard").items()}
    found = homolog.read_saelens(write(tmp_path, "standard", w, dtype="bfloat16"))
    assert found.encoder.dtype == torch.float32
    assert_close(found.reconstruct(found.codes(X)), by_formula("standard", w, X, {})[1].float(), rtol=1e-4, atol=1e-4)


def test_a_direction_of_norm_zero_stays_zero(tmp_path):
    w = weights("standard")
    w["W_dec"][4] = 0
    found = homolog.read_saelens(write(tmp_path, "standard", w))
    assert float(found.directions[4].abs().max()) == 0
    assert_close(found.reconstruct(found.codes(X)), by_formula("standard", w, X, {})[1].float(), rtol=1e-4, atol=1e-4)


def test_rates_are_unknown_until_they_are_measured(tmp_path):
    folder = write(tmp_path, "standard")
    assert homolog.read_saelens(folder).firing_rate.isnan().all()
    found = homolog.read_saelens(folder, X.numpy())
    codes, _ = by_formula("standard", weights("standard"), X, {})
    assert_close(found.firing_rate, (codes > 0).double().mean(0).float())
    assert found.member["l0"] == pytest.approx(float((codes > 0).double().sum(1).mean()))
    with pytest.raises(ValueError, match="activations have 2 units, but the dictionary 6"):
        homolog.read_saelens(folder, X[:, :2])


# Whole or not at all


def test_a_folder_is_overwritten_whole(tmp_path):
    homolog.write_saelens(tmp_path, dictionary("topk"))
    unknown = dictionary("relu", firing_rate=torch.full((LATENTS,), torch.nan))
    homolog.write_saelens(tmp_path, unknown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    assert homolog.read_saelens(tmp_path).activation == "relu"


def test_after_a_failed_write_there_is_no_config_and_no_part(tmp_path, monkeypatch):
    homolog.write_saelens(tmp_path, dictionary("topk"))

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="disk is full"):
        homolog.write_saelens(tmp_path, dictionary("relu"))
    assert not (tmp_path / "cfg.json").exists()
    assert not list(tmp_path.glob(".*"))


# What can't be said


@pytest.mark.parametrize(
    ("one", "parts"),
    [
        (dictionary("identity"), ("identity", "relu, topk, jumprelu")),
        (dictionary("matching_pursuit"), ("matching_pursuit", "relu, topk, jumprelu")),
        (dictionary("topk", dense=2), ("2 dense latents", "dense = 0")),
        (dictionary("relu", encoder=torch.full((LATENTS, UNITS), torch.nan)), ("encoder", "finite")),
        (dictionary("jumprelu", threshold=None), ("jumprelu", "no threshold", "give it one")),
        (dictionary("jumprelu", threshold=torch.full((LATENTS,), -0.5)), ("thresholds", "-0.5", "zero")),
    ],
    ids=["linear", "matching pursuit", "dense", "not finite", "no threshold", "negative threshold"],
)
def test_what_cant_be_written_is_refused_and_nothing_is_left(one, parts, tmp_path):
    with pytest.raises(ValueError, match=r".") as caught:
        homolog.write_saelens(tmp_path / "sae", one)
    assert [part for part in parts if part not in str(caught.value)] == []
    assert not (tmp_path / "sae").exists()


def test_metadata_that_json_cant_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"metadata isn't JSON.*give text"):
        homolog.write_saelens(tmp_path / "sae", dictionary("relu"), {"hook": {1, 2}})
    assert not (tmp_path / "sae").exists()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "transcoder": ({"architecture": "transcoder"}, "'transcoder' can't be read; what can is standard, topk"),
    "layer norm": ({"normalize_activations": "layer_norm"}, "'layer_norm', which divides each sample by its own norm"),
    "expected average": ({"normalize_activations": "expected_average_only_in"}, "fold them in with sae-lens"),
    "whitening": ({"normalize_activations": "covariance_whitening"}, "fold_activation_whitening"),
    "other function": ({"activation_fn": "tanh-relu"}, "'tanh-relu' can't be read; what can is relu and topk"),
    "no k": ({"architecture": "topk", "k": None}, "k is None"),
    "k above F": ({"architecture": "topk", "k": 11}, "k is 11, but a topk needs a whole number from 1 to d_sae = 10"),
    "other shape": ({"d_sae": 12}, r"W_enc is \(6, 10\).*needs the shape \(6, 12\)"),
    "no array": ({"architecture": "jumprelu"}, "threshold is absent"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cant_be_read_is_told(case, tmp_path):
    changes, text = BAD[case]
    write(tmp_path, **{"architecture": "standard", "w": weights("standard")} | changes)
    with pytest.raises(ValueError, match=text) as caught:
        homolog.read_saelens(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_file_that_is_absent_or_cut_off_is_told(name, tmp_path):
    path = write(tmp_path, "standard") / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=f"{name} can't be read as"):
        homolog.read_saelens(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=f"has no {name}: give a folder"):
        homolog.read_saelens(tmp_path)


def test_a_fine_tuning_factor_is_told(tmp_path):
    w = weights("standard") | {"scaling_factor": torch.ones(LATENTS)}
    homolog.read_saelens(write(tmp_path, "standard", w))
    w["scaling_factor"] = 2 * torch.ones(LATENTS)
    with pytest.raises(ValueError, match="scaling_factor"):
        homolog.read_saelens(write(tmp_path, "standard", w))


def test_a_dictionary_of_another_scale_reads_the_same(tmp_path):
    """The norm of a direction and the size of its code trade off: what is read doesn't depend on the split."""
    w = weights("jumprelu")
    factor = torch.linspace(0.5, 3, LATENTS)
    other = w | {"W_dec": w["W_dec"] * factor[:, None], "W_enc": w["W_enc"] / factor}
    other |= {name: w[name] / factor for name in ("b_enc", "threshold")}
    one, two = (homolog.read_saelens(write(tmp_path / str(i), "jumprelu", v)) for i, v in enumerate((w, other)))
    for name in ("directions", "encoder", "encoder_bias", "threshold"):
        assert_close(getattr(one, name), getattr(two, name))
    assert replace(one, member={}).activation == two.activation
