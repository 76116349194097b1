"""K-means: around which points do the activations gather?"""

from __future__ import annotations

import warnings

import torch
from torch.nn.functional import normalize

from homolog.decompositions.base import Decomposition, Member, Progress, check_activations
from homolog.decompositions.classical import measured, random_state
from homolog.dictionary import Dictionary


class KMeans(Decomposition):
    """Clusters (Lloyd, 1982; started as by Arthur & Vassilvitskii, 2007): the latent of the nearest centroid is on.

    The bias is the mean, and a direction points from it to its centroid c, counted from the mean. The encoder's row is
    c itself and its bias -|c|^2 / 2: the largest pre-activation ``x.c - |c|^2 / 2`` is then that of the nearest
    centroid, and the code is ``|c| = sqrt(-2 encoder_bias)``, so that the reconstruction is the centroid. A cluster at
    the mean itself has a direction of zeros. `importance` is the root mean square code. The facts of the member say
    `iterations`, and `converged` (0 or 1). One start for each member seed: how far starts differ is what is asked.
    Loads all rows, and uses one thread, since scikit-learn's sums depend on the order in which threads end.
    """

    def fit(self, members: list[Member], progress: Progress = iter) -> list[Dictionary]:
        return [self._fit(member) for member in members]

    def _fit(self, member: Member) -> Dictionary:
        from sklearn.cluster import KMeans as ScikitKMeans
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        x, n_latents = member.activations, member.options["n_latents"]
        check_activations("K-means", x, n_latents, x.samples)
        mean = x.mean.to(x.read(0, 1))
        kmeans = ScikitKMeans(
            n_latents, n_init=1, max_iter=member.options["max_iterations"], random_state=random_state(member)
        )
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # Fewer distinct rows than clusters: some are empty.
            kmeans.fit((x.whole() - mean).cpu().numpy())
        centroids = torch.from_numpy(kmeans.cluster_centers_).to(mean)
        dictionary = Dictionary(
            directions=normalize(centroids, dim=1),
            encoder=centroids,
            encoder_bias=-centroids.square().sum(1) / 2,
            bias=mean,
            firing_rate=centroids.new_ones(n_latents),
            importance=centroids.new_ones(n_latents),
            activation="nearest",
            signed=True,
            member={
                "iterations": int(kmeans.n_iter_),
                "converged": int(kmeans.n_iter_ < member.options["max_iterations"]),
            },
        )
        return measured(dictionary, x)
