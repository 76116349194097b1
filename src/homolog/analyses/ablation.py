"""Does ablating a direction split the inputs: some on which the answer is lost, and the rest untouched?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from homolog.alignment.rest import Rest

# Shares of the right answer's probability that are lost: above the first an input is destroyed, below the second it's
# untouched.
DESTROYED, UNTOUCHED = 0.5, 0.1
# A latent splits the inputs if it destroys so many of them at least, leaves at least half untouched, and damages no
# more of them by halves than it destroys.
FEWEST_DESTROYED, FEWEST_UNTOUCHED, CLEAR = 0.02, 0.5, 0.5
# Mean losses below this are rounding, of which no share means anything.
NOTHING = 1e-6


@torch.no_grad()
def lost(
    rest: Rest, directions: Float[Tensor, "latents units"], amounts: Float[Tensor, "rows latents"]
) -> Float[Tensor, "latents answered"]:
    """The share of the right answer's probability that is lost when each amount is put at its mean, by input.

    Of the inputs that the network answers rightly; 0 where the probability rises.
    """
    changes = (amounts.mean(0) - amounts).T
    after = (rest.logits + rest.effects(directions, changes)).softmax(-1)
    rows = torch.arange(rest.rows, device=after.device)
    before = rest.logits.softmax(-1)[rows, rest.labels]
    share = 1 - after[:, rows, rest.labels] / before
    return share[:, answered(rest)].clamp(min=0)


def answered(rest: Rest) -> Bool[Tensor, " rows"]:
    """The inputs that the network answers rightly."""
    return rest.logits.argmax(-1) == rest.labels


def splits(
    share: Float[Tensor, "latents rows"], labels: Int[Tensor, " rows"] | None = None
) -> dict[str, Float[Tensor, " latents"]]:
    """What the shares lost say of each latent.

    ``destroyed``, ``between`` and ``untouched`` are shares of the inputs. ``separation``: of those that aren't
    untouched, the destroyed ones. ``spill``: of all that is lost, what is lost on inputs that aren't destroyed.
    ``bimodality``: `between_variance`. ``one_class``, with labels: of the destroyed, those of the commonest class. NaN
    where nothing is lost. ``splits``: 1 where the inputs fall apart into destroyed and untouched ones, else 0.
    """
    gone, kept = share > DESTROYED, share < UNTOUCHED
    destroyed, untouched = gone.double().mean(1), kept.double().mean(1)
    between = 1 - destroyed - untouched
    total = share.mean(1)
    harmed = total > NOTHING
    separation = destroyed / (destroyed + between)
    found = {
        "destroyed": destroyed,
        "between": between.clamp(min=0),
        "untouched": untouched,
        "separation": torch.where(destroyed + between > NOTHING, separation, torch.nan),
        "spill": torch.where(harmed, (share * ~gone).mean(1) / total, torch.nan),
        "bimodality": torch.where(harmed, between_variance(share), torch.nan),
        "splits": (
            (destroyed >= FEWEST_DESTROYED) & (untouched >= FEWEST_UNTOUCHED) & (separation.nan_to_num() >= CLEAR)
        ).double(),
    }
    if labels is not None:
        by_class = torch.stack([gone[:, labels == one].sum(1) for one in torch.unique(labels)])
        count = gone.sum(1)
        found["one_class"] = torch.where(count > 0, by_class.amax(0) / count.clamp(min=1), torch.nan).double()
    return found


def between_variance(values: Float[Tensor, "latents rows"]) -> Float[Tensor, " latents"]:
    """How bimodal: the share of the variance between two groups that one threshold parts best (Otsu, 1979).

    1 for two values, 3/4 for an even distribution, 2/pi for a normal one; 0 where nothing varies.
    """
    ordered = (values - values.mean(1, keepdim=True)).sort(1).values
    rows = ordered.shape[1]
    below = torch.arange(1, rows, device=values.device)
    # Means are 0 over all, so that the sum of the lower group says all of both.
    between = ordered.cumsum(1)[:, :-1].square() * (1 / below + 1 / (rows - below)) if rows > 1 else ordered * 0
    whole = ordered.square().sum(1)
    return torch.where(whole > 0, between.amax(1) / whole.clamp(min=torch.finfo(whole.dtype).tiny), 0.0)
