"""Classical dictionary learning: of which few directions is each sample a sum, with coefficients of either sign?"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations, fix_signs
from homolog.decompositions.classical import measured, random_state
from homolog.decompositions.samples import Shuffled
from homolog.dictionary import Dictionary
from homolog.streams import stream


class DictionaryLearning(Decomposition):
    """Online dictionary learning (Mairal, Bach, Ponce & Sapiro, 2009) by scikit-learn, from random unit directions.

    Each of `steps` codes one batch of shuffled rows by the lasso, ``|x - z D|^2 / 2 + alpha |z|_1``, and then improves
    the directions. For `alpha`, activations are counted from the mean and divided by their root mean square, over all
    samples and units: it has no unit, and Mairal et al.'s 1.2 / sqrt(units) for samples of norm 1 is 1.2 here. The
    finished dictionary is read with `k` latents of each sample, by orthogonal matching pursuit, so the encoder takes no
    part in the codes: it holds the directions. `importance` is the root mean square code. Reads batches only, never
    all rows at once.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        return [self._fit(member) for member in members]

    def _fit(self, member: Member) -> Dictionary:
        x, options = member.activations, member.options
        n_latents, k = options["n_latents"], options["k"]
        check_activations("dictionary learning", x, n_latents)
        if k > n_latents:
            raise ValueError(
                f"dictionary learning: k = {k} latents of a sample can't be more than n_latents = {n_latents}: lower k "
                "or raise n_latents."
            )
        directions = normalize(self._learn(member), dim=1)
        dictionary = Dictionary(
            directions=directions,
            encoder=directions,
            encoder_bias=directions.new_zeros(n_latents),
            bias=x.mean.to(directions),
            firing_rate=directions.new_ones(n_latents),
            importance=directions.new_ones(n_latents),
            activation="omp",
            k=k,
        )
        return measured(dictionary, x)

    def _learn(self, member: Member) -> Float[Tensor, "latents units"]:
        from sklearn.decomposition import MiniBatchDictionaryLearning
        from sklearn.exceptions import ConvergenceWarning

        x, options = member.activations, member.options
        who = (*member.key, member.seed, member.rows)
        start = torch.randn(options["n_latents"], x.units, generator=stream("init", *who))
        learner = MiniBatchDictionaryLearning(
            options["n_latents"],
            alpha=options["alpha"],
            fit_algorithm="cd",
            dict_init=normalize(start, dim=1).double().numpy(),
            random_state=random_state(member),
        )
        variance = x.sum_of_squares / x.samples - float(x.mean.square().sum())
        scale = (x.units / variance) ** 0.5
        batches = Shuffled(x, ("order", *who), min(options["batch_size"], x.samples))
        with warnings.catch_warnings():
            # The lasso of one batch may end a little early: the next batch goes on from there.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for step in range(options["steps"]):
                # Float64: in float32 the lasso can't reach the tolerance that it asks for.
                learner.partial_fit(((batches.batch(step) - x.mean) * scale).cpu().numpy())
        directions = torch.from_numpy(learner.components_).to(x.read(0, 1))
        return directions * fix_signs(directions)
