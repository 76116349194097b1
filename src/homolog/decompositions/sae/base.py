"""What sets one recipe of sparse autoencoder apart from another: its parameters, its codes and its loss."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations
from homolog.dictionary import Dictionary, fold_norms

log = logging.getLogger(__name__)
Parameters = dict[str, Tensor]
# What the option `decoder` may be for recipes that select latents by the order of their pre-activations.
SELECTING: tuple[str, ...] = ("unit_norm", "norm_weighted", "free")


@dataclass
class Losses:
    """Of each member on one batch: `total` is what is minimised; `terms` are what is logged, each apart.

    `fired`: which latents were active on any sample; `residual`: what the reconstruction leaves of the batch.
    """

    total: Float[Tensor, " members"]
    terms: dict[str, Float[Tensor, " members"]]
    fired: Bool[Tensor, "members latents"]
    residual: Float[Tensor, "members batch units"]

    @classmethod
    def of(
        cls,
        total: Float[Tensor, " members"],
        terms: dict[str, Float[Tensor, " members"]],
        codes: Float[Tensor, "members batch latents"],
        residual: Float[Tensor, "members batch units"],
    ) -> Losses:
        """With L0, the mean number of codes that aren't zero, as the last term, and what fired: both from `codes`."""
        l0 = (codes != 0).to(codes.dtype).sum(2).mean(1)
        return cls(total, terms | {"l0": l0}, (codes > 0).any(1), residual)


@dataclass
class Stack:
    """Members of equal shape and options in training as one tensor program, their tensors stacked along the first axis.

    `silent` counts samples since a latent last fired; `memory` are the recipe's running numbers; `start` are the
    directions before training, and `held` marks latents that keep close to theirs (None when there are none); `scale`
    is the factor on each member's inputs, and `variance` their mean square about the mean after it; `diverged`, on
    the CPU, is the step by which a member had, or -1.
    """

    members: list[Member]
    scale: Float[Tensor, " members"]
    variance: Float[Tensor, " members"]
    parameters: Parameters
    first: Parameters
    second: Parameters
    silent: Tensor
    memory: dict[str, Tensor]
    held: Bool[Tensor, "members latents"] | None
    start: Float[Tensor, "members latents units"]
    diverged: Int[Tensor, " members"]
    curves: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """Options of the members, equal for all but the seed."""
        return self.members[0].options

    def total_variance(self, x: Float[Tensor, "members batch units"]) -> Float[Tensor, " members"]:
        """What the sum of squared residuals of a batch is over to be its FVU: the data's variance, not the batch's.

        As in Gao et al. (2024), whose baseline predicts the mean of the data. It is the same for every batch.
        """
        return x.shape[1] * self.variance

    def fvu(self, residual: Float[Tensor, "members batch units"]) -> Float[Tensor, " members"]:
        """What a reconstruction leaves of a batch, over the data's variance."""
        return sum_of_squares(residual) / self.total_variance(residual)

    def arrays(self) -> dict[str, Tensor]:
        """All that training changes, by name: what a checkpoint holds."""
        groups = {"parameter": self.parameters, "first": self.first, "second": self.second, "memory": self.memory}
        named = {f"{group}.{name}": tensor for group, held in groups.items() for name, tensor in held.items()}
        curves = {f"curve.{name}": curve for name, curve in self.curves.items()}
        return named | {"silent": self.silent, "diverged": self.diverged} | curves


class SparseAutoencoder(Decomposition):
    """``z = act(W_enc (x - b_dec) + b_enc)``, ``x^ = W_dec' z + b_dec``: what all recipes share.

    Parameters are stacked: ``encoder`` and ``decoder`` `(member, latent, unit)`, ``encoder_bias`` `(member, latent)`,
    ``bias`` `(member, unit)`, and a recipe's own. Rows of the decoder are directions of unit norm, or, for the option
    `decoder` ``norm_weighted``, free: see `on_unit_directions`; for ``free``, which recipes allow that select by rank,
    they are free and weigh nothing in training. Inputs are scaled as `input_scale` says, and the scale is folded back
    at the end.
    """

    name: str
    default_lr: float | None = None
    # What the options `dead` and `decoder` may be.
    dead: tuple[str, ...] = ("auxk", "resample", "none")
    decoders: tuple[str, ...] = ("unit_norm", "norm_weighted")
    # Options that do nothing in the recipe but would be part of what draws are keyed by, each with its default.
    unused: ClassVar[dict[str, str | float]] = {}

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        from homolog.decompositions.sae.training import train  # the trainer takes recipes, and they it

        for member in members:
            check_activations(self.name, member.activations, member.options["n_latents"])
            self.check(member.options)
            self.check_start(member)
        self.tell_few_samples(members)
        return train(self, members, progress)

    def tell_few_samples(self, members: list[Member]) -> None:
        """Warn of latents that outnumber the samples: sound to fit, but each sample can have a latent of its own."""
        few = [m for m in members if m.activations.samples < m.options["n_latents"]]
        if few:
            worst = max(few, key=lambda m: m.options["n_latents"] / m.activations.samples)
            log.warning(
                f"{self.name}: {worst.activations.samples} samples (rows {worst.rows}) for n_latents = "
                f"{worst.options['n_latents']}: samples can be learned by heart; lower n_latents or give more samples."
            )

    def check(self, options: dict[str, Any]) -> None:
        """Raise ValueError when options contradict each other."""
        latents, dense, k = options["n_latents"], options["dense"], options.get("k", 0)
        for key, allowed in (("dead", self.dead), ("decoder", self.decoders)):
            if options[key] not in allowed:
                raise ValueError(f"{self.name}: {key} = {options[key]!r}, but allowed is {' or '.join(allowed)}.")
        for key, default in self.unused.items():
            if options[key] != default:
                raise ValueError(
                    f"{self.name}: {key} = {options[key]!r}, which does nothing here, but allowed is {default}: leave "
                    f"{key} out."
                )
        if latents < 1:
            raise ValueError(f"{self.name}: n_latents = {latents}, but at least 1 is needed.")
        if options["fixed"] > latents:
            raise ValueError(
                f"{self.name}: fixed = {options['fixed']} latents can't be among n_latents = {latents}: lower fixed."
            )
        if k + dense > latents:
            besides = f" besides {dense} dense ones" if dense else ""
            raise ValueError(
                f"{self.name}: k = {k} latents can't be active{besides} among n_latents = {latents}: lower k."
            )
        start = options.get("k_start")
        if start is not None and not k <= start <= latents - dense:
            raise ValueError(
                f"{self.name}: k_start = {start}, from which k falls to {k}, but allowed is {k} to {latents - dense}: "
                "change k_start."
            )

    def check_start(self, member: Member) -> None:
        """Raise ValueError when directions are given to start at, but can't be taken."""
        if member.start is None:
            return
        shape, needed = tuple(member.start.shape), (member.options["n_latents"], member.activations.units)
        if "directions_init" in self.unused:
            raise ValueError(f"{self.name}: a start is given, but it starts at candidates: leave start out.")
        if shape != needed or not bool(member.start.isfinite().all()):
            raise ValueError(
                f"{self.name}: start has shape {shape}, but a finite one of shape {needed} (n_latents, units) is "
                "needed: give a direction for each latent."
            )

    def learning_rate(self, options: dict[str, Any]) -> float:
        """The option `lr`, or 2e-4 / sqrt(latents / 2^14) (Gao et al., 2024), or the recipe's own."""
        return options["lr"] or self.default_lr or 2e-4 / (options["n_latents"] / 2**14) ** 0.5

    def memory(self, members: list[Member], scale: Float[Tensor, " members"]) -> dict[str, Tensor]:
        """What the recipe keeps beside its parameters, e.g. a running threshold; stacked along the members."""
        return {}

    def own_parameters(self, common: Parameters, memory: dict[str, Tensor], options: dict[str, Any]) -> Parameters:
        """The parameters that the recipe trains, made from the common ones."""
        return common

    def losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        """Losses on one batch at step `stack.step`; may update ``stack.memory``, on which no gradient depends."""
        return self.own_losses(on_unit_directions(p, stack.options), x, stack)

    @abstractmethod
    def own_losses(self, p: Parameters, x: Float[Tensor, "members batch units"], stack: Stack) -> Losses:
        """The same, of parameters whose directions have unit norm."""

    def fast_step(self, options: dict[str, Any]) -> Any:
        """The class of the fast step (`fast.base.FastStep`), or None where the kernels don't cover `options`."""
        return None

    def gpu_step(self, options: dict[str, Any]) -> Any:
        """The class of the stacked step (`gpu.step.StackedStep`), or None where it doesn't cover `options`."""
        return None

    def constrain(self, p: Parameters) -> None:
        """Bring parameters of the recipe's own back to where they may lie, in place, after each step."""

    def on_sphere(self, options: dict[str, Any]) -> bool:
        """Whether directions keep unit norm, so that only the gradient off them counts."""
        return bool(options["decoder"] == "unit_norm")

    def weighs(self, options: dict[str, Any]) -> bool:
        """Whether gradients run through the norms of directions, which the kernels don't do."""
        return bool(options["decoder"] == "norm_weighted")

    def dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        """The first member as a dictionary, in the scale of training; `finish` brings it back to the activations'."""
        made = self.own_dictionary(on_unit_directions(p, stack.options), stack)
        return fold_norms(made) if stack.options["decoder"] == "free" else made

    @abstractmethod
    def own_dictionary(self, p: Parameters, stack: Stack) -> Dictionary:
        """The same, of parameters whose directions have unit norm."""


def on_unit_directions(p: Parameters, options: dict[str, Any]) -> Parameters:
    """The same autoencoder with directions of unit norm: a free norm moved to the encoder, and so into the code.

    ``z_i = act(w_i x + b_i)`` times ``d_i`` writes what ``act(|d_i| (w_i x + b_i))`` times ``d_i / |d_i|`` does, for a
    ReLU. So a free decoder is trained as one of unit norm whose codes and pre-activations are weighted by the norms:
    by them latents are penalised (Conerly et al., 2024), selected, gated, and held against their thresholds, which
    keeps all of it from depending on how a latent's scale is shared out between encoder and decoder. Gradients run
    through the norms. With ``unit_norm`` the parameters as they are, since even a division by 1 would round; and with
    ``free``, where the selection looks at pre-activations alone, so that a latent's norm is a gain that it learns
    besides, and is folded when training ends (`homolog.dictionary.fold_norms`).
    """
    if options["decoder"] != "norm_weighted":
        return p
    norm = p["decoder"].norm(dim=2).clamp_min(1e-12)
    biases = {name: p[name] * norm for name in ("encoder_bias", "magnitude_bias") if name in p}
    return p | biases | {"encoder": p["encoder"] * norm[..., None], "decoder": p["decoder"] / norm[..., None]}


def k_at(options: dict[str, Any], step: int) -> int:
    """How many latents are selected at a step: falls from `k_start`, if there is one, to `k`, and stays there.

    Linearly over the first `k_warmup` of all steps, which keeps latents from dying early (Makhzani & Frey, 2013).
    """
    k, start = options["k"], options["k_start"]
    if start is None:
        return int(k)
    return round(start + (k - start) * warmup(step, options["steps"], options["k_warmup"]))


def pre_activations(p: Parameters, x: Float[Tensor, "members batch units"]) -> Float[Tensor, "members batch latents"]:
    """``W_enc (x - b_dec) + b_enc``."""
    return torch.baddbmm(p["encoder_bias"][:, None], x - p["bias"][:, None], p["encoder"].mT)


def decode(
    codes: Float[Tensor, "members batch latents"], decoder: Float[Tensor, "members latents units"], bias: Tensor
) -> Float[Tensor, "members batch units"]:
    """``W_dec' z + b_dec``."""
    return torch.baddbmm(bias[:, None], codes, decoder)


def sum_of_squares(x: Float[Tensor, "members batch units"]) -> Float[Tensor, " members"]:
    """Over samples and units."""
    return x.square().sum((1, 2))


def warmup(step: int, steps: int, fraction: float) -> float:
    """A factor that rises from 0 to 1 over the first `fraction` of all steps."""
    return min(1.0, (step + 1) / (fraction * steps)) if fraction > 0 else 1.0


def as_dictionary(p: Parameters, decoder: Tensor, **fields: Any) -> Dictionary:
    """The first member's parameters as a dictionary of non-negative codes, its rates not yet measured."""
    zeros = torch.zeros_like(decoder[0, :, 0])
    encoder, encoder_bias = (
        p[name][0] if name in p else default for name, default in (("encoder", decoder[0]), ("encoder_bias", zeros))
    )
    return Dictionary(decoder[0], encoder, encoder_bias, p["bias"][0], zeros, zeros.clone(), signed=True, **fields)
