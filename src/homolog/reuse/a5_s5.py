"""Does a circuit of A5 extend to S5, by which irreps it is made of?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from homolog.groups.base import Group, energies
from homolog.groups.named import named
from homolog.reuse.base import ReusePair, Stage
from homolog.reuse.pairs_of_tokens import common_pairs, trained_by
from homolog.streams import stream
from homolog.toys.composing import Composing, Examples, distinct_pairs, split_orders, split_pairs
from homolog.toys.training import Parameters, accuracies, cross_entropies

# Parameters by the dim along which group elements stand.
ALONG = {"left": 1, "right": 1, "out": 2, "out_bias": 1}


def pair(options: Mapping[str, Any], members: int, *key: str | int) -> ReusePair:
    """First composition of even permutations of five things, by embeddings and a read-out that are confined to some
    irreps of A5 by their projectors (null: free); then that of pairs with an odd one.

    What belongs to even elements is handed on; that of odd ones is new. The circuit: energy of even elements' left
    embeddings in those irreps. Raises ValueError for an irrep that A5 doesn't have.
    """
    even, whole = named("A5"), named("S5")
    irreps = options["irreps"] or [one for one in even.irreps if one != "1"]
    projector = even.projector_onto(irreps).float() if options["irreps"] else None
    common = common_pairs(even.order, members, *key)
    network = Composing(whole.order, whole.order, options["width"], "product")

    def confined(parameters: Parameters) -> Parameters:
        return parameters if projector is None else projected(parameters, projector)

    def begun(generator: torch.Generator) -> Parameters:
        drawn = network.start(members, generator)
        return {
            f"{name}_{kind}": part
            for name, value in drawn.items()
            for kind, part in zip(("even", "odd"), value.tensor_split([even.order], ALONG[name]), strict=True)
        }

    split = split_pairs(even, options["share"], members, *key, "even")
    train, test = odd_pairs(whole, even.order, options, members, *key, "odd")
    batches = stream(*key, "batches")

    def batch() -> Examples:
        chosen = torch.randint(train.labels.shape[1], (members, options["batch"]), generator=batches)
        return Examples(train.pairs[torch.arange(members)[:, None], chosen], train.labels.gather(1, chosen))

    def told(parameters: Parameters, examples: Examples, measure: Any) -> Float[Tensor, " members"]:
        found: Tensor = measure(network.logits(joined(parameters), examples.pairs), examples.labels)
        return found

    def units(parameters: Parameters) -> Float[Tensor, "members pairs width"]:
        return network.hidden(joined(parameters), common)

    first = Stage(
        start=lambda generator: {name: one for name, one in begun(generator).items() if name.endswith("_even")},
        losses=lambda now: told(confined(now), split.train, cross_entropies),
        score=lambda now: told(now, split.test, accuracies),
        latents=units,
        finish=confined,
        **trained_by(options) | {"steps": options["first_steps"]},
    )
    second = Stage(
        start=begun,
        losses=lambda now: told(now, batch(), cross_entropies),
        score=lambda now: told(now, test, accuracies),
        latents=units,
        **trained_by(options),
    )
    return ReusePair(
        first=first,
        second=second,
        core=tuple(f"{name}_even" for name in ALONG),
        chance=1 / whole.order,
        learned=options["learned"],
        circuit=lambda _, now: energies(even, now["left_even"])[:, [even.place(one) for one in irreps]].sum(1),
        circuit_null=float(sum(even.random_shares[even.place(one)] for one in irreps)),
    )


def projected(parameters: Parameters, projector: Float[Tensor, "elements elements"]) -> Parameters:
    """Even elements' embeddings and read-out, as functions on the group, by a projector; a bias adds the irrep 1."""
    found = {name: projector @ parameters[name] for name in ("left_even", "right_even")}
    found["out_even"] = parameters["out_even"] @ projector
    return parameters | found | {"out_bias_even": torch.zeros_like(parameters["out_bias_even"])}


def joined(parameters: Parameters) -> Parameters:
    """Parameters by the names of `Composing`, of even elements alone where there are no others."""
    kinds = [kind for kind in ("even", "odd") if f"left_{kind}" in parameters]
    return {name: torch.cat([parameters[f"{name}_{kind}"] for kind in kinds], dim) for name, dim in ALONG.items()}


def odd_pairs(
    whole: Group, even: int, options: Mapping[str, Any], members: int, *key: str | int
) -> tuple[Examples, Examples]:
    """Pairs of S5 with an odd element, a share to be trained on and at most `test_rows` of the others."""
    rows = distinct_pairs(whole)
    rows = rows[(rows >= even).any(1)]
    generators = [stream(*key, member) for member in range(members)]
    train, test = split_orders("S5 without A5", len(rows), options["new_share"], generators)
    labels = whole.table[rows[:, 0], rows[:, 1]]
    test = test[:, : options["test_rows"]]
    return Examples(rows[train], labels[train]), Examples(rows[test], labels[test])
