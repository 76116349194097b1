"""What every fitted decomposition is: directions to write with, an encoder to read with, and the codes they give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from homolog import encoding

ALONG_LATENT = ("directions", "encoder", "encoder_bias", "threshold", "gain", "firing_rate", "importance", "moved")

# Rows that are measured at a time, so that their codes stay near the processor.
CACHED = 1024


@dataclass(frozen=True)
class Dictionary:
    """Latents of one fitted member.

    ``codes = activation((x - bias) @ encoder.T + encoder_bias)``, ``x^ = codes @ directions + bias``; the activations
    are listed in `homolog.encoding`. `k` and `threshold` belong to those that use them. Where a top-k compares its
    pre-activations without the norms of free directions, these stand in `gain` (see `fold_norms`). The first `dense`
    latents stand outside the selection of the `k` (hybrid dictionaries). `ordered`: latents have a canonical order
    (rank), with `importance` falling. `signed`: a latent's sign means something, so that similarities are not absolute.
    `firing_rate` is measured on the rows it was fitted on. `moved` is one minus the cosine between each direction and
    its own initialisation, and `curves` hold what was logged in training (by ``step``); both only where there was a
    training.
    """

    directions: Float[Tensor, "latents units"]
    encoder: Float[Tensor, "latents units"]
    encoder_bias: Float[Tensor, " latents"]
    bias: Float[Tensor, " units"]
    firing_rate: Float[Tensor, " latents"]
    importance: Float[Tensor, " latents"]
    activation: str = "identity"
    k: int = 0
    dense: int = 0
    ordered: bool = False
    signed: bool = False
    threshold: Float[Tensor, " latents"] | None = None
    gain: Float[Tensor, " latents"] | None = None
    moved: Float[Tensor, " latents"] | None = None
    curves: dict[str, Float[Tensor, " points"]] = field(default_factory=dict)
    member: dict[str, str | int | float] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether its training exploded: then it activates nothing, and no figure says how good it is."""
        return self.member.get("diverged", -1) != -1

    def codes(self, activations: Float[Tensor, "samples units"]) -> Float[Tensor, "samples latents"]:
        """How active each latent is for each sample."""
        return encoding.encode(self, activations)

    def gate(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "samples latents"]:
        """Derivative of each code with respect to its pre-activation: 1 where the latent is on, else 0.

        0 throughout where codes aren't a function of their own pre-activation (matching pursuit and the like): a view
        through the gate then sees nothing of the latent.
        """
        if self.activation == "identity":
            return torch.ones_like(codes)
        return (codes != 0).to(codes) if self.activation in encoding.GATED else torch.zeros_like(codes)

    def reconstruct(self, codes: Float[Tensor, "samples latents"]) -> Float[Tensor, "samples units"]:
        """Activations as the dictionary writes them."""
        return codes @ self.directions + self.bias

    def rotated(self, rotation: Float[Tensor, "units units"]) -> Dictionary:
        """The dictionary with every direction and encoder row turned by `rotation`."""
        return replace(self, directions=self.directions @ rotation, encoder=self.encoder @ rotation)

    def to(self, *where: torch.dtype | torch.device | str) -> Dictionary:
        """The dictionary with its arrays in another floating type or on another device."""
        arrays = {name: getattr(self, name) for name in (*ALONG_LATENT, "bias")}
        return replace(self, **{name: array.to(*where) for name, array in arrays.items() if array is not None})


def fold_norms(dictionary: Dictionary) -> Dictionary:
    """The same reconstructions from directions of unit norm: codes, encoder and thresholds take the norms over.

    A top-k goes on choosing by its pre-activations as they were, which are now those over `gain`, the norms.
    """
    norms = dictionary.directions.norm(dim=1)
    norms = torch.where(norms > 0, norms, 1.0)
    gain = norms if dictionary.gain is None else norms * dictionary.gain
    return replace(
        dictionary,
        directions=dictionary.directions / norms[:, None],
        encoder=dictionary.encoder * norms[:, None],
        encoder_bias=dictionary.encoder_bias * norms,
        threshold=None if dictionary.threshold is None else dictionary.threshold * norms,
        gain=gain if dictionary.activation == "topk" else None,
    )


@dataclass(frozen=True)
class Quality:
    """How well a dictionary describes some rows: FVU, L0; by latent the firing rate and the root mean square code."""

    fvu: float
    l0: float
    firing_rate: Float[Tensor, " latents"]
    root_mean_square: Float[Tensor, " latents"]


def quality(
    dictionary: Dictionary,
    blocks: Iterable[Float[Tensor, "rows units"]],
    mean: Float[Tensor, " units"],
) -> Quality:
    """Measure `dictionary` on the rows of `blocks`, of which the mean is known; one block is in memory at a time."""
    latents = len(dictionary.directions)
    residual = total = torch.zeros((), dtype=torch.float64, device=mean.device)
    fired, squares = (torch.zeros(latents, dtype=torch.float64, device=mean.device) for _ in range(2))
    count = 0
    for block in blocks:
        for part in block.to(dictionary.encoder).split(CACHED):  # type: ignore[no-untyped-call]
            codes = dictionary.codes(part)
            residual = residual + (part - dictionary.reconstruct(codes)).square().sum().double()
            total = total + (part.double() - mean).square().sum()
            fired += torch.count_nonzero(codes, 0)
            squares += codes.square().sum(0).double()
            count += len(part)
    return Quality(float(residual / total), float(fired.sum() / count), fired / count, (squares / count).sqrt())
