"""Crosscoders: one sparse autoencoder over the activations of several runs side by side (Lindsey et al., 2024)."""

from __future__ import annotations

from homolog.decompositions.sae.base import SparseAutoencoder
from homolog.decompositions.sae.batch_topk import BatchTopK


class Crosscoder(BatchTopK):
    """BatchTopK on ``x = [x_1 ... x_R]``, the activations of R runs on one input (`homolog.decompositions.joint`).

    One code for all runs, ``z = act(sum_r W_r x_r + b)``, and for each run a part of its own of every decoder row,
    ``x^_r = sum_l z_l d_lr + b_r``. The row as a whole has unit norm, so that ``share_lr = |d_lr|^2`` sums to 1 over
    the runs: equal shares are a latent that all runs have, 1 in one run is a latent of that run alone.

    Lindsey et al. (2024) weigh an L1 penalty by the sum over runs of |d_lr|, in which a latent of two runs costs up to
    sqrt 2 times as much as one that writes equally strongly in one run alone: the penalty itself favours latents of
    one run. Minder et al. (2025) show two false kinds of "specific" latents that come of it, complete shrinkage (the
    part in the run where the feature is weaker is driven to zero) and latent decoupling (a feature that runs share is
    read by one latent for each), find fewer under BatchTopK, which selects by z times that sum, and test a latent by
    regressing what each run has left on its code (latent scaling). Here the selection is by z alone, the joint norm
    being 1: how a latent's norm is spread over the runs costs nothing, and a shared feature costs one latent instead
    of R. So errors lean to the other side: features of different runs that go together share a latent.

    What still fools it: where k is too small, a feature that is weak in a run isn't written there, so its latent looks
    specific; where n_latents is too large, a shared feature may be split into latents of one run each; a latent that
    fires on a handful of samples has the shares of its few samples. Shares are of decoder norms, in each run's own
    scale of unit variance, and say nothing about whether the network uses what is written. Hence the controls
    that are fitted beside every crosscoder: inputs paired at random (the floor), or at random within a class, and
    copies of one run (the ceiling).
    """

    name = "Crosscoder"
    decoders = SparseAutoencoder.decoders
