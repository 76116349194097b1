"""What may be said of sparse autoencoders: of all of them, and of each?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from homolog.config.base import (
    Amount,
    Count,
    Fraction,
    Grid,
    NonNegative,
    Positive,
    PositiveFraction,
    ProperFraction,
    Seed,
)
from homolog.config.methods import DecompositionOptions, OvercompleteOptions, SeededOptions, at_most


class SparseAutoencoderOptions(SeededOptions, OvercompleteOptions):
    """Options of every sparse autoencoder. "Fraction" is of `steps`, "dead" is counted in samples."""

    UNUSED: ClassVar[dict[str, str]] = {}
    """Keys that do nothing in the method, and why: left at their defaults, so that no grid over them compares seeds."""
    ONLY_WITH: ClassVar[dict[str, tuple[str, str | None]]] = {
        "aux_k": ("dead", "auxk"),
        "aux_coefficient": ("dead", "auxk"),
        "fixed_source": ("fixed", None),
        "fixed_cosine": ("fixed", None),
    }
    """Keys that do nothing but beside this value of another key; None is any but its default. Else as UNUSED."""

    order_seed: Grid[Seed] | None = None
    """Seed of the order of the data alone; null takes the member's own seed, which always draws the start."""
    steps: Grid[Count] = 2000
    """Optimiser steps, each on one batch."""
    batch_size: Grid[Count] = 256
    """Samples per step."""
    lr: Grid[Positive] | None = None
    """Learning rate; null means the method's default, for TopK 2e-4 / sqrt(n_latents / 2**14) (Gao et al., 2024)."""
    lr_warmup: Grid[ProperFraction] = 0.0
    """Fraction of steps over which the learning rate rises from zero."""
    lr_decay: Grid[Fraction] = 0.2
    """Last fraction of steps, over which the learning rate falls to zero."""
    directions_init: Grid[Literal["sphere", "data"]] = "sphere"
    """Directions start uniform on the sphere, or as those of randomly chosen, centred samples."""
    encoder_init: Grid[Literal["tied", "independent"]] = "tied"
    """The encoder starts as a copy of the directions (Gao et al., 2024), or from a draw of its own."""
    encoder_norm: Grid[Positive] = 1.0
    """Norm of the encoder's rows at the start; a small one keeps many active latents from overshooting together."""
    bias_init: Grid[Literal["geometric_median", "mean", "zero"]] = "geometric_median"
    """Where the decoder's bias starts (the geometric median: Bricken et al., 2023)."""
    input_scale: Grid[Literal["unit_mean_square", "sqrt_units", "none"]] = "unit_mean_square"
    """Inputs are scaled in training to a root mean square norm of one, or of the root of units, or not at all."""
    decoder: Grid[Literal["unit_norm", "norm_weighted"]] = "unit_norm"
    """Directions of unit norm (Bricken et al., 2023), or free ones, whose norms weigh codes (Conerly et al., 2024)."""
    aux_k: Grid[Count] | None = None
    """With dead: auxk, dead latents that model the residual; null: half of the units (Gao et al., 2024, app. A.2)."""
    aux_coefficient: Grid[NonNegative] = 1 / 32
    """With dead: auxk, the weight of the auxiliary loss (Gao et al., 2024, app. A.2); 0 switches it off."""
    dead_after: Grid[Count] = 10_000
    """Samples without activity after which a latent counts as dead."""
    dense: Grid[Amount] = 0
    """First latents that stand outside the sparsity penalty or selection: a hybrid dictionary."""
    fixed: Grid[Amount] = 0
    """Last latents whose direction and encoder row stay at their start, while their biases are learned."""
    fixed_source: Grid[Literal["sphere", "covariance", "data"]] = "sphere"
    """Where fixed directions come from: uniform on the sphere, normal with the data's covariance, or samples."""
    fixed_cosine: Grid[PositiveFraction] = 1.0
    """Least cosine of a fixed direction to its start: 1 is frozen, below it may move so far (soft-frozen)."""
    log_points: Grid[Count] = 100
    """Points of the training curve."""
    engine: Grid[Literal["auto", "plain"]] = "auto"
    """Fast kernels where they exist, or the plain path in torch, which is their reference."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        fewest, dense = min(self.choices("n_latents")), max(self.choices("dense"))
        if dense >= fewest:
            yield (
                "dense",
                f"{dense}, of n_latents = {fewest}; allowed: fewer than n_latents; lower dense or raise n_latents",
            )
        else:
            yield from self.contradictions_of_sparsity(fewest - dense, "n_latents - dense" if dense else "n_latents")
        for key, reason in self.UNUSED.items():
            default = type(self).model_fields[key].default
            if self.choices(key) != [default]:
                yield key, f"{getattr(self, key)}, of {reason}; allowed: {default}; take it away"
        yield from self._without_use()
        for key in ("aux_k", "fixed"):
            most = max(value or 0 for value in self.choices(key))
            yield from at_most(key, most, fewest, "n_latents")

    def _without_use(self) -> Iterator[tuple[str, str]]:
        """Values that do nothing at some grid point, and would there be other draws of the same."""
        for key, (other, value) in self.ONLY_WITH.items():
            default, off = (type(self).model_fields[name].default for name in (key, other))
            idle = [one for one in self.choices(other) if (one == off if value is None else one != value)]
            always, choices = idle == self.choices(other), self.choices(key)
            if idle and (len(choices) > 1 or (always and choices != [default])):
                allowed = ("null" if default is None else default) if always else "one value"
                beside = f"{other} = {'null' if idle[0] is None else idle[0]}, where it does nothing"
                yield key, f"{getattr(self, key)}, of {beside}; allowed: {allowed}; take it away"

    def contradictions_of_sparsity(self, sparse: int, name: str) -> Iterator[tuple[str, str]]:
        """The same for what makes codes sparse; `sparse` latents, called `name`, are the fewest at any grid point."""
        yield from ()


class SelectingOptions(SparseAutoencoderOptions):
    """A sparse autoencoder that selects a number of latents."""

    ONLY_WITH = SparseAutoencoderOptions.ONLY_WITH | {"k_warmup": ("k_start", None)}

    decoder: Grid[Literal["unit_norm", "norm_weighted", "free"]] = "unit_norm"  # type: ignore[assignment]
    """Directions of unit norm, free ones whose norms weigh codes in the selection, or free ones that don't."""

    k: Grid[Count]
    """Latents that are active on each sample."""
    k_start: Grid[Count] | None = None
    """Where k starts in training, to fall linearly to its value and stay there (Makhzani & Frey, 2013); null: at k."""
    k_warmup: Grid[Fraction] = 0.5
    """With k_start, fraction of steps over which k falls."""

    def contradictions_of_sparsity(self, sparse: int, name: str) -> Iterator[tuple[str, str]]:
        yield from at_most("k", max(self.choices("k")), sparse, name)
        if self.k_start is not None:
            yield from at_most("k_start", max(self.choices("k_start")), sparse, name)
            least, k = min(self.choices("k_start")), max(self.choices("k"))
            if least < k:
                yield (
                    "k_start",
                    f"{least}, of k = {k}; allowed: at least k, since it falls to k; raise k_start or lower k",
                )


class ReLUOptions(SparseAutoencoderOptions):
    """ReLU with a penalty on the codes: L1 (Bricken et al., 2023), or concave ones, which shrink less."""

    ONLY_WITH = SparseAutoencoderOptions.ONLY_WITH | {"p_end": ("penalty", "lp")}

    method: Literal["relu_sae"]
    """The method."""
    encoder_norm: Grid[Positive] = 0.1
    """Norm of the encoder's rows at the start (Conerly et al., 2024, start at 0.1)."""
    coefficient: Grid[Positive]
    """Weight of the penalty."""
    penalty: Grid[Literal["l1", "lp", "tanh", "sqrt"]] = "l1"
    """L1 (Bricken et al., 2023), Lp with falling p (Karvonen et al., 2024), tanh (Jermyn et al., 2024), or sqrt."""
    p_end: Grid[PositiveFraction] = 0.5
    """With penalty: lp, where its exponent ends; it starts at 1 and falls linearly (Karvonen et al., 2024)."""
    penalty_warmup: Grid[Fraction] = 0.05
    """Fraction of steps over which the penalty's weight rises from zero."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "resample"
    """Dead latents are drawn anew (resample: Bricken et al., 2023), model the residual (auxk), or are left dead."""


class TopKOptions(SelectingOptions):
    """The k largest of each sample, with an auxiliary loss that revives dead latents (Gao et al., 2024)."""

    method: Literal["topk_sae"]
    """The method."""
    multi: Grid[bool] = False
    """MultiTopK: the loss adds the FVU with 4k latents, over 8 (Gao et al., 2024)."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "auxk"
    """Dead latents model the residual (auxk: Gao et al., 2024), are drawn anew (resample), or are left dead."""

    def contradictions_of_sparsity(self, sparse: int, name: str) -> Iterator[tuple[str, str]]:
        yield from super().contradictions_of_sparsity(sparse, name)
        key = "k" if self.k_start is None else "k_start"
        most = max(self.choices(key))
        if any(self.choices("multi")) and most <= sparse < 4 * most:
            yield (
                "multi",
                f"true, of {key} = {most} and {name} = {sparse}; allowed: true if 4 {key} is at most {name}, else "
                f"false; lower {key} or raise n_latents",
            )


class BatchTopKOptions(SelectingOptions):
    """The k largest per sample on average over a batch; a threshold when it is read (Bussmann et al., 2024)."""

    method: Literal["batch_topk_sae"]
    """The method."""
    k: Grid[Count]
    """Latents that are active on a sample, in the mean over the batch."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "auxk"
    """Dead latents model the residual (auxk: Gao et al., 2024), are drawn anew (resample), or are left dead."""
    threshold_momentum: Grid[ProperFraction] = 0.99
    """Share of the running threshold that each step keeps; the rest comes from the step's least active latent."""


class JumpReLUOptions(SparseAutoencoderOptions):
    """A learned threshold for each latent; coefficient or target_l0 says how sparse (Rajamanoharan et al., 2024b)."""

    ONLY_WITH = SparseAutoencoderOptions.ONLY_WITH | {"target_coefficient": ("target_l0", None)}

    method: Literal["jumprelu_sae"]
    """The method."""
    coefficient: Grid[Positive] | None = None
    """Weight of the L0 penalty; give this or target_l0."""
    target_l0: Grid[Positive] | None = None
    """Active latents per sample towards which a quadratic penalty draws; give this or coefficient."""
    target_coefficient: Grid[Positive] = 1.0
    """With target_l0, the weight of its penalty."""
    bandwidth: Grid[Positive] = 0.001
    """Width of the straight-through kernel on the pre-activations (Rajamanoharan et al., 2024b)."""
    threshold_init: Grid[Positive] = 0.001
    """Where thresholds start (Rajamanoharan et al., 2024b)."""
    penalty_warmup: Grid[Fraction] = 0.05
    """Fraction of steps over which the penalty's weight rises from zero."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "none"
    """Dead latents are left dead, model the residual (auxk: Gao et al., 2024), or are drawn anew (resample)."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        allowed = "allowed: exactly one of coefficient and target_l0"
        if self.coefficient is None and self.target_l0 is None:
            yield "coefficient", f"missing, and so is target_l0; {allowed}; add one of them"
        if self.coefficient is not None and self.target_l0 is not None:
            yield "target_l0", f"{self.target_l0}, beside coefficient; {allowed}; take one away"
        yield from super().contradictions()

    def contradictions_of_sparsity(self, sparse: int, name: str) -> Iterator[tuple[str, str]]:
        yield from at_most("target_l0", max(value or 0 for value in self.choices("target_l0")), sparse, name)


class GatedOptions(SparseAutoencoderOptions):
    """A gate says which latents are active, a second path how much (Rajamanoharan et al., 2024a)."""

    method: Literal["gated_sae"]
    """The method."""
    encoder_norm: Grid[Positive] = 0.1
    """Norm of the encoder's rows at the start (Conerly et al., 2024, start at 0.1)."""
    coefficient: Grid[Positive]
    """Weight of the L1 penalty on the gate."""
    penalty_warmup: Grid[Fraction] = 0.05
    """Fraction of steps over which the penalty's weight rises from zero."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "none"
    """Dead latents are left dead, model the residual (auxk: Gao et al., 2024), or are drawn anew (resample)."""


class MatryoshkaOptions(SelectingOptions):
    """Nested prefixes of the latents, each of which reconstructs; one selection for all (Bussmann et al., 2025)."""

    method: Literal["matryoshka_sae"]
    """The method."""
    k: Grid[Count]
    """Latents that are active on a sample, in the mean over the batch."""
    levels: Grid[Count] = 5
    """Prefixes, each twice as long as the one before; the last holds all latents."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "auxk"
    """Dead latents model the residual (auxk: Gao et al., 2024), are drawn anew (resample), or are left dead."""
    threshold_momentum: Grid[ProperFraction] = 0.99
    """Share of the running threshold that each step keeps; the rest comes from the step's least active latent."""
    dense: Literal[0] = 0
    """None: the first latents are the shortest prefix."""

    def contradictions_of_sparsity(self, sparse: int, name: str) -> Iterator[tuple[str, str]]:
        yield from super().contradictions_of_sparsity(sparse, name)
        most = max(self.choices("levels"))
        if most > sparse.bit_length():  # 2**(levels - 1) > n_latents, without numbers of 2**31 digits.
            yield (
                "levels",
                f"{most}, of n_latents = {sparse}; allowed: at most {sparse.bit_length()}, so that the shortest "
                "prefix has a latent; lower levels or raise n_latents",
            )


class MatchingPursuitOptions(SelectingOptions):
    """An encoder that takes one latent after the other from what is left (Mallat & Zhang, 1993; Costa et al., 2025)."""

    UNUSED = dict.fromkeys(("encoder_init", "encoder_norm"), "matching_pursuit_sae, whose encoder is its directions")

    method: Literal["matching_pursuit_sae"]
    """The method."""
    dense: Literal[0] = 0
    """Every latent is found in its turn."""
    dead: Grid[Literal["resample", "none"]] = "none"
    """Dead latents are left dead, or are drawn anew (resample: Bricken et al., 2023)."""
    decoder: Literal["unit_norm"] = "unit_norm"
    """Directions have unit norm: a code is the inner product with one."""


class ArchetypalOptions(SelectingOptions):
    """Directions in the convex hull of the data, or near to it (Fel et al., 2025)."""

    UNUSED = dict.fromkeys(
        ("directions_init", "encoder_init", "encoder_norm"), "archetypal_sae, which starts at candidates"
    )

    method: Literal["archetypal_sae"]
    """The method."""
    candidates: Grid[Count] = 512
    """Samples that span the hull."""
    relaxation: Grid[NonNegative] = 1.0
    """How far a direction may stand off the hull (Fel et al., 2025)."""
    dead: Grid[Literal["auxk", "none"]] = "none"
    """Dead latents are left dead, or model the residual (auxk: Gao et al., 2024)."""
    decoder: Literal["unit_norm"] = "unit_norm"
    """Directions have unit norm: they follow from the hull."""
    dense: Literal[0] = 0
    """None: all latents are selected from."""
    fixed: Literal[0] = 0
    """None: all directions follow from the hull."""


class JointOptions(DecompositionOptions):
    """A method that decomposes all runs which an experiment compares together; it belongs to the experiment."""


class CrosscoderOptions(JointOptions, SelectingOptions):
    """BatchTopK over all runs side by side, which says what they share (Lindsey et al., 2024; Minder et al., 2025)."""

    method: Literal["crosscoder"]
    """The method."""
    decoder: Grid[Literal["unit_norm", "norm_weighted"]] = "unit_norm"  # type: ignore[assignment]
    """Directions over all runs together of unit norm, or free ones whose norms weigh codes (Conerly et al., 2024)."""
    k: Grid[Count]
    """Latents that are active on an input, in the mean over the batch."""
    dead: Grid[Literal["auxk", "resample", "none"]] = "auxk"
    """Dead latents model the residual (auxk: Gao et al., 2024), are drawn anew (resample), or are left dead."""
    threshold_momentum: Grid[ProperFraction] = 0.99
    """Share of the running threshold that each step keeps; the rest comes from the step's least active latent."""
