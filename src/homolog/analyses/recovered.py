"""How much of a world's truth does a dictionary hold: its features, their codes, and what could be had at best?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor

from homolog.alignment.matching import match
from homolog.alignment.similarity import cosine, standardise
from homolog.dictionary import Dictionary, quality
from homolog.worlds.base import Drawn, unit

# Keeps least squares on a support defined that holds more features than there are dimensions.
RIDGE = 1e-4
# Rows of which the codes are found by least squares.
READ = 512


def live(dictionary: Dictionary, test: Drawn) -> Bool[Tensor, " latents"]:
    """Latents that are active on any row."""
    return (dictionary.codes(test.rows) != 0).any(0)


def features_found(
    features: Float[Tensor, "features units"], directions: Float[Tensor, "latents units"], true_cosine: float
) -> dict[str, float]:
    """F1 of features and latents matched one to one, and the mean of the largest cosine (MMCS) both ways.

    A pair counts from `true_cosine` on. `f1` and the means take cosines without their sign, `f1_signed` with it; F1 is
    2 pairs / (features + latents). NaN where there are no features, 0 where there are no latents.
    """
    names = "f1", "f1_signed", "mmcs", "mmcs_back"
    if not len(features):
        return dict.fromkeys(names, float("nan"))
    if not len(directions):
        return dict.fromkeys(names, 0.0)
    signed = cosine(features, directions)
    near = signed.abs()
    both = len(features) + len(directions)
    pairs = {
        "f1": match(near, near, "hungarian").per_latent,
        "f1_signed": match(signed, signed, "hungarian").per_latent,
    }
    f1 = {name: 2 * int((found >= true_cosine).sum()) / both for name, found in pairs.items()}
    return f1 | {"mmcs": float(near.amax(1).mean()), "mmcs_back": float(near.amax(0).mean())}


def codes_found(
    truth: Drawn, features: Float[Tensor, "features units"], codes: Tensor, directions: Float[Tensor, "latents units"]
) -> float:
    """Mean correlation of a feature's true code with that of the latent matched to its direction, 0 without one."""
    if not len(features):
        return float("nan")
    if not len(directions):
        return 0.0
    near = cosine(features, directions).abs()
    index = match(near, near, "hungarian").index
    matched = index >= 0
    own, its = standardise(truth.codes[:, matched]), standardise(codes[:, index[matched]])
    return float((own * its).sum(1).abs().sum() / len(features))


def shortfall(
    test: Drawn, features: Float[Tensor, "features units"], dictionary: Dictionary, weight: float, true_cosine: float
) -> dict[str, float]:
    """By how much codes of found features are below the true ones, where both are on; NaN where none is.

    `short` is measured. `short_predicted` is what codes that minimise ``|x - x^|^2 + weight * sum of codes`` on the
    same support would give, with the dictionary's own directions D, Gram matrix G and bias b: ``G^-1 (D (x - b)) -
    (weight / 2) G^-1 1``. Found: matched one to one, by a cosine of `true_cosine` or more.
    """
    rows, true = test.rows[:READ], test.codes[:READ]
    codes, directions = dictionary.codes(rows), dictionary.directions
    near = cosine(features, directions)
    index = torch.as_tensor(match(near, near, "hungarian").index)
    found = (index >= 0) & (near.gather(1, index.clamp_min(0)[:, None])[:, 0] >= true_cosine)
    own, latent = true[:, found], index[found]
    both = (own != 0) & (codes[:, latent] != 0)
    best = penalised_codes(rows - dictionary.bias, codes != 0, directions, weight)
    names = {"short": codes, "short_predicted": best}
    return {name: float((own - value[:, latent])[both].double().mean()) for name, value in names.items()}


def stable_and_true(
    one: Float[Tensor, "latents units"],
    other: Float[Tensor, "others units"],
    features: Float[Tensor, "features units"],
    true_cosine: float,
) -> dict[str, float]:
    """What returns in a dictionary of another seed, and how much of it is true: `stable`, the share of latents that
    have a match there from `true_cosine` on, and of these and of all others the share near a feature.
    """
    if not len(one) or not len(other):
        return {"stable": 0.0, "true_if_stable": float("nan"), "true_if_not": float("nan")}
    near = cosine(one, other).abs()
    stable = match(near, near, "hungarian").per_latent.nan_to_num(0.0) >= true_cosine
    true = torch.zeros_like(stable)
    if len(features):
        true = cosine(one, features).abs().amax(1) >= true_cosine
    return {
        "stable": float(stable.double().mean()),
        "true_if_stable": float(true[stable].double().mean()),
        "true_if_not": float(true[~stable].double().mean()),
    }


def described(dictionary: Dictionary, test: Drawn) -> dict[str, float]:
    """FVU, L0 and the share of dead latents on other rows than those that were fitted."""
    measured = quality(dictionary, [test.rows], test.rows.double().mean(0))
    dead = (measured.firing_rate == 0).double().mean()
    return {"fvu": measured.fvu, "l0": measured.l0, "dead": float(dead)}


def captured(axes: Float[Tensor, "dims units"] | None, directions: Float[Tensor, "latents units"]) -> dict[str, float]:
    """Share of the dense part's dimensions that lies in the span of some directions; nothing without such a part.

    The part is defined up to an invertible map, so that subspaces are compared: the overlap of projectors over the
    dimensions of the part. Of uniformly random directions that is their number over all dimensions.
    """
    if axes is None:
        return {}
    overlap = 0.0
    if len(directions):
        basis = torch.linalg.qr(directions.double().T).Q
        overlap = float((axes.double() @ basis).square().sum() / len(axes))
    return {"captured": overlap}


def probed(train: Drawn, test: Drawn, codes: Tensor, own: Tensor) -> dict[str, float]:
    """How well do single latents tell known labels (1-sparse probes: Gurnee et al., 2023)? Mean ROC-AUC, by label.

    Labels are whether a sparse feature is on, and the sign of each dense coordinate. `codes` are of train rows, on
    which each label's latent is chosen, by the difference of its means over its deviation; `own` of test rows, on which
    the choice is measured. `probe` is the mean of both kinds. Nothing where the world has no dense part.
    """
    if train.dense is None or test.dense is None:
        return {}
    known = [(train.codes != 0, test.codes != 0), (train.dense > 0, test.dense > 0)]
    sparse, dense = (_best_single(codes, own, one, other) for one, other in known)
    return {"probe_sparse": sparse, "probe_dense": dense, "probe": (sparse + dense) / 2}


def _best_single(codes: Tensor, own: Tensor, labels: Tensor, test_labels: Tensor) -> float:
    if not codes.shape[1]:
        return 0.5
    on, off = labels.double(), 1 - labels.double()
    x = codes.double()
    # Of labels by latents; a latent that never varies tells nothing.
    gap = on.T @ x / on.sum(0).clamp_min(1)[:, None] - off.T @ x / off.sum(0).clamp_min(1)[:, None]
    told = gap / x.std(0).clamp_min(1e-12)
    best = told.abs().argmax(1)
    sign = told.gather(1, best[:, None])[:, 0].sign()
    return float(auc(own[:, best].double() * sign, test_labels).nanmean())


def auc(scores: Float[Tensor, "samples labels"], labels: Bool[Tensor, "samples labels"]) -> Float[Tensor, " labels"]:
    """Area under the ROC curve of each column, ties counted half; NaN where a label has one value alone."""
    ranks = torch.from_numpy(rankdata(scores.numpy(), axis=0)).double()
    on = labels.double()
    positive, negative = on.sum(0), (1 - on).sum(0)
    found: Tensor = ((ranks * on).sum(0) - positive * (positive + 1) / 2) / (positive * negative)
    return torch.where(positive * negative > 0, found, torch.nan)


def auc_between(one: Float[Tensor, " n"], other: Float[Tensor, " m"]) -> float:
    """How often one of `one` is above one of `other`, ties half (Hanley & McNeil, 1982): the same area."""
    labels = torch.cat([torch.ones_like(one, dtype=torch.bool), torch.zeros_like(other, dtype=torch.bool)])
    return float(auc(torch.cat([one, other])[:, None], labels[:, None]))


def oracle_features(train: Drawn) -> tuple[Float[Tensor, "features units"], Float[Tensor, " units"]]:
    """Features by least squares from the rows' true codes, and what is there without them: the best that any encoder
    could have had these rows teach. The axes of a dense part stand behind the features.
    """
    codes = torch.cat([train.codes, *_dense(train), torch.ones(len(train.codes), 1)], 1).double()
    # Rows have few features each.
    gram = torch.sparse.mm(codes.T.to_sparse(), codes)
    gram.diagonal().add_(RIDGE)
    solved = torch.linalg.solve(gram, codes.T @ train.rows.double()).float()
    return solved[:-1], solved[-1]


def oracle_codes(
    rows: Float[Tensor, "samples units"],
    on: Bool[Tensor, "samples features"],
    directions: Float[Tensor, "features units"],
) -> Float[Tensor, "samples features"]:
    """Codes by least squares on the true support of each row."""
    return penalised_codes(rows, on, directions, 0.0)


def penalised_codes(
    rows: Float[Tensor, "samples units"],
    on: Bool[Tensor, "samples latents"],
    directions: Float[Tensor, "latents units"],
    weight: float,
) -> Float[Tensor, "samples latents"]:
    """Codes that minimise ``|x - codes D|^2 + weight * sum(codes)`` on the support of each row, whatever their sign.

    Half of the derivative is ``G codes - D x + weight / 2``, with the Gram matrix G of the directions that are on.
    """
    wide, on = directions.double(), on.double()
    gram = (wide @ wide.T)[None] * on[:, :, None] * on[:, None, :]
    gram = gram + torch.diag_embed(1 - on + RIDGE)
    solved: Tensor = torch.linalg.solve(gram, on * (rows.double() @ wide.T - weight / 2))
    return solved


def at_best(train: Drawn, test: Drawn, features: Tensor, true_cosine: float) -> dict[str, float]:
    """The ceiling of every measure: features from true codes, and codes on the true support of other rows."""
    if not len(features):
        return {}
    drawn, offset = oracle_features(train)
    test = Drawn(test.rows[:READ], test.codes[:READ], dense=None if test.dense is None else test.dense[:READ])
    rows, directions, count = test.rows - offset, unit(drawn), len(features)
    on = torch.cat([test.codes != 0, *(torch.ones_like(one, dtype=torch.bool) for one in _dense(test))], 1)
    codes = oracle_codes(rows, on, directions)
    left = rows.double() - codes @ directions.double()
    spread = rows.double() - rows.double().mean(0)
    return {
        **features_found(features, directions[:count], true_cosine),
        "codes": codes_found(test, features, codes[:, :count], directions[:count]),
        "fvu": float(left.square().sum() / spread.square().sum()),
        "l0": float(on.double().sum(1).mean()),
        **captured_at_best(test, codes[:, count:]),
    }


def captured_at_best(test: Drawn, coordinates: Tensor) -> dict[str, float]:
    """Of a world with a dense part: known axes span it, known supports tell sparse labels, coordinates their signs."""
    if test.dense is None:
        return {}
    dense = float(auc(coordinates.double(), test.dense > 0).nanmean())
    return {"captured": 1.0, "probe_sparse": 1.0, "probe_dense": dense, "probe": (1 + dense) / 2}


def _dense(drawn: Drawn) -> list[Tensor]:
    return [] if drawn.dense is None else [drawn.dense]
