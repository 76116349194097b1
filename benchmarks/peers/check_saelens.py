"""Do dictionaries mean the same in sae-lens 6.54.12? `python -m benchmarks.peers.check_saelens`

Every method that can be written is fitted, written and loaded by ``SAE.load_from_disk``; every architecture that can be
read is made by sae-lens with random weights, saved by its own ``save_model`` and ``save_inference_model``, and read.
Prints the largest difference in codes and reconstructions, over the largest value; ends with 1 if one is above 1e-5.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from typing import Any

import torch
from sae_lens import SAE
from sae_lens.registry import get_sae_class, get_sae_training_class
from torch import Tensor

import homolog
from benchmarks.peers.task import planted
from homolog.export.raw import in_pairs

LIMIT = 1e-5
UNITS, LATENTS, K = 64, 256, 8
COMMON = {"n_latents": LATENTS, "steps": 300, "lr": 3e-3}
METHODS = {
    "relu_sae": {"coefficient": 0.05},
    "topk_sae": {"k": K},
    "topk_sae, free": {"k": K, "decoder": "free"},
    "batch_topk_sae": {"k": K},
    "jumprelu_sae": {"target_l0": K, "bandwidth": 0.05},
    "gated_sae": {"coefficient": 0.05},
    "matryoshka_sae": {"k": K},
    "archetypal_sae": {"k": K},
    # Each latent twice, once for either sign.
    "pca": {"n_latents": 16},
}
INFERENCE = ("standard", "topk", "jumprelu", "gated")
TRAINING = (*INFERENCE, "batchtopk", "matryoshka_batchtopk")


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference over the largest value."""
    return float((a - b).abs().max() / b.abs().max())


def written(method: str, x: Tensor) -> tuple[float, float]:
    """Differences of codes and reconstructions after one of ours is written and loaded there."""
    common = {} if method == "pca" else COMMON
    (ours,) = homolog.fit(x, {"method": method.partition(",")[0], **common, **METHODS[method]})
    ours = in_pairs(ours) if ours.activation == "identity" else ours
    with tempfile.TemporaryDirectory() as folder:
        homolog.write_saelens(folder, ours, {"model_name": "made", "hook_name": "hidden"})
        theirs = SAE.load_from_disk(folder)
    codes, expected = theirs.encode(x), ours.codes(x)
    folded = codes * theirs.W_dec.norm(dim=1)
    return difference(folded, expected), difference(theirs.decode(codes), ours.reconstruct(expected))


def read(architecture: str, training: bool, x: Tensor, **options: Any) -> tuple[float, float]:
    """The same after one of theirs is saved there and read here. Its codes are taken with norms folded, as ours are."""
    sae_class, config_class = (get_sae_training_class if training else get_sae_class)(architecture)
    options |= {"k": K} if "topk" in architecture else {}
    options |= {"matryoshka_widths": [LATENTS // 4, LATENTS]} if "matryoshka" in architecture else {}
    theirs = at_random(sae_class(config_class(d_in=UNITS, d_sae=LATENTS, **options)))
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_model(folder)
        ours = homolog.read_saelens(folder)
        if training:
            # What they compute from new rows is what they save for inference.
            theirs.save_inference_model(folder)
            again = homolog.read_saelens(folder)
            assert difference(again.reconstruct(again.codes(x)), ours.reconstruct(ours.codes(x))) < LIMIT
            theirs = SAE.load_from_disk(folder)
    expected = theirs.encode(x)
    reconstruction = theirs.decode(expected)
    if not getattr(theirs.cfg, "rescale_acts_by_decoder_norm", False):
        # Codes of directions of unit norm. `fold_W_dec_norm` says as much but where codes were compared without norms.
        expected = expected * theirs.W_dec.norm(dim=1)
    codes = ours.codes(x)
    return difference(codes, expected), difference(ours.reconstruct(codes), reconstruction)


@torch.no_grad()
def at_random(sae: Any) -> Any:
    """The SAE with every parameter drawn anew, so that nothing is zero, tied or of unit norm."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in sae.named_parameters():
        scale = UNITS**-0.5 if name.startswith("W") else 0.1
        parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    for name, buffer in sae.named_buffers():
        if name == "topk_threshold":
            buffer.fill_(0.3)
    return sae


@torch.no_grad()
def main() -> None:
    warnings.simplefilter("ignore")
    x = planted(4096, UNITS, 2 * UNITS, K)
    found = {f"{method} written": written(method, x) for method in METHODS}
    for architecture, training in [*((name, False) for name in INFERENCE), *((name, True) for name in TRAINING)]:
        kinds: list[dict[str, Any]] = [{}, {"apply_b_dec_to_input": False}]
        kinds += [{"rescale_acts_by_decoder_norm": kind} for kind in (True, False) if "topk" in architecture]
        for options in kinds:
            said = "".join(f", {key} {value}" for key, value in options.items())
            name = f"{architecture} {'trained ' if training else ''}read{said}"
            found[name] = read(architecture, training, x, **options)
    for name, (codes, reconstruction) in found.items():
        print(f"{name:70} codes {codes:.1e}  reconstructions {reconstruction:.1e}")
    bad = [name for name, differences in found.items() if not max(differences) <= LIMIT]
    print(f"{len(found) - len(bad)} of {len(found)} agree to {LIMIT:.0e}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
