"""Are the characters of Z_n, A5 and S5 right, do their projectors split functions, and do networks find operations?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from homolog.analyses.grokking import grokking
from homolog.figures import grokking as grokking_figure
from homolog.groups.base import energies, logit_energies
from homolog.groups.named import named
from homolog.streams import stream
from homolog.toys.composing import Composing, all_pairs, distinct_pairs, reached_at, split_pairs

GROUPS = ("Z2", "Z7", "Z12", "A5", "S5")


@pytest.mark.parametrize("name", GROUPS)
def test_tables_are_groups(name):
    group = named(name)
    order, table = group.order, group.table
    assert torch.equal(table.sort(1).values, torch.arange(order).expand(order, -1))
    assert torch.equal(table.sort(0).values, torch.arange(order)[:, None].expand(-1, order))
    some = torch.randint(order, (3, 500), generator=stream("associative"))
    a, b, c = some
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    assert (table[torch.arange(order), group.inverse] == group.identity).all()
    assert group.commutative == name.startswith("Z")


@pytest.mark.parametrize("name", GROUPS)
def test_characters_are_orthogonal_class_functions(name):
    group = named(name)
    conjugated = group.table[group.table, group.inverse[:, None]]
    assert_close(group.characters[:, conjugated], group.characters[:, None, :].expand(-1, group.order, -1))
    # Orthogonal, with norm 1, or 2 where an irrep stands with its conjugate.
    gram = group.characters @ group.characters.T / group.order
    assert_close(gram, gram.diagonal().diag(), atol=1e-9, rtol=0)
    at_identity = group.characters[:, group.identity]
    assert_close(gram.diagonal(), at_identity / torch.tensor(group.dims, dtype=torch.float64))


@pytest.mark.parametrize("name", GROUPS)
def test_projectors_split_the_functions_on_the_group(name):
    group = named(name)
    projectors = torch.stack([group.projector(irrep) for irrep in group.irreps])
    assert_close(projectors @ projectors, projectors)
    assert_close(projectors.sum(0), torch.eye(group.order, dtype=torch.float64))
    ranks = projectors.diagonal(dim1=1, dim2=2).sum(1)
    assert_close(ranks / group.order, group.random_shares)
    if not group.commutative:
        assert_close(ranks, torch.tensor(group.dims, dtype=torch.float64) ** 2)
    # They commute with multiplication from the left.
    shifted = projectors[:, group.table[3 % group.order]][:, :, group.table[3 % group.order]]
    assert_close(shifted, projectors)


def test_irreps_of_s5_restrict_to_a5_as_is_known():
    """Neither 3-dimensional irrep of A5 is the restriction of one of S5; their sum is, of the 6-dimensional one."""
    a5, s5 = named("A5"), named("S5")
    restricted = s5.characters[:, : a5.order] @ a5.characters.T / a5.order
    expected = torch.zeros(7, 5, dtype=torch.float64)
    for row, columns in enumerate(((0,), (0,), (3,), (3,), (4,), (4,), (1, 2))):
        expected[row, list(columns)] = 1
    assert_close(restricted, expected, atol=1e-9, rtol=0)
    assert torch.equal(s5.table[:60, :60], a5.table)


@pytest.mark.parametrize("name", GROUPS)
def test_energies_are_those_of_projected_functions(name):
    group = named(name)
    vectors = torch.randn(2, group.order, 5, generator=stream("energies"), dtype=torch.float64)
    direct = torch.stack([(group.projector(irrep) @ vectors).pow(2).sum((1, 2)) for irrep in group.irreps], -1)
    found = energies(group, vectors)
    assert_close(found, direct / vectors.pow(2).sum((1, 2))[:, None])
    assert_close(found.sum(-1), torch.ones(2, dtype=torch.float64))
    for index, irrep in enumerate(group.irreps):
        alone = energies(group, group.projector(irrep) @ vectors)
        assert_close(alone[:, index], torch.ones(2, dtype=torch.float64))


def test_logits_along_one_character_have_its_energy_alone():
    for name in ("Z7", "A5"):
        group = named(name)
        answers = group.quotient.T[group.table]
        for index in range(1, len(group.irreps)):
            found = logit_energies(group, group.characters[index][answers][None] + 3.0)
            assert_close(found[0], torch.eye(len(group.irreps), dtype=torch.float64)[index], atol=1e-9, rtol=0)


def test_the_answer_of_a_pair_is_where_every_character_is_largest():
    group = named("S5")
    answers = group.quotient.T[group.table]
    best = group.characters[3][answers].argmax(-1)
    assert torch.equal(best, group.table)


def test_an_unknown_group_or_irrep_is_told():
    with pytest.raises(ValueError, match="group M11 isn't known; allowed: S5, A5, and Z"):
        named("M11")
    with pytest.raises(ValueError, match="addition modulo 1 is no group"):
        named("Z1")
    with pytest.raises(ValueError, match="A5 has no irrep 6; it has 1, 3, 3', 4, 5"):
        named("A5").projector("6")


def test_mirror_images_of_a_commutative_pair_are_never_on_both_sides():
    group = named("Z12")
    assert len(distinct_pairs(group)) == 12 * 13 // 2
    split = split_pairs(group, 0.5, 3, "split")
    for member in range(3):
        train, test = (
            {tuple(sorted(pair)) for pair in part.pairs[member].tolist()} for part in (split.train, split.test)
        )
        assert not train & test
        assert len(train | test) == 78
    for part in (split.train, split.test):
        assert torch.equal(group.table[part.pairs[..., 0], part.pairs[..., 1]], part.labels)
    assert len(distinct_pairs(named("A5"))) == 3600
    with pytest.raises(ValueError, match=r"Z2: a share of 0\.1 of 3 distinct pairs leaves 0 for training"):
        split_pairs(named("Z2"), 0.1, 1, "split")


def test_shuffled_results_are_a_table_without_a_rule():
    group = named("Z12")
    split, shuffled = (split_pairs(group, 0.5, 2, "split", shuffled=one) for one in (False, True))
    assert torch.equal(split.train.pairs, shuffled.train.pairs)
    assert not torch.equal(split.train.labels, shuffled.train.labels)
    for member in range(2):
        whole = (
            torch.cat([one.train.labels[member], one.test.labels[member]]).sort().values for one in (split, shuffled)
        )
        assert torch.equal(*whole)


@pytest.mark.parametrize("combine", ["relu", "square", "product"])
def test_a_tied_network_cannot_tell_mirror_images_apart(combine):
    network = Composing(7, 7, 5, combine, tied=True)
    parameters = network.start(2, stream("tied", combine))
    pairs = all_pairs(named("Z7"), 2)
    assert_close(network.logits(parameters, pairs), network.logits(parameters, pairs.flip(-1)))
    alone = {name: value[1:] for name, value in parameters.items()}
    assert_close(network.logits(parameters, pairs)[1:], network.logits(alone, pairs[1:]))


def test_reaching_counts_from_where_it_stays():
    accuracy = np.array([[0.1, 1.0, 0.5, 1.0, 1.0], [0.1] * 5, [1.0] * 5])
    np.testing.assert_array_equal(reached_at(accuracy, np.arange(5) * 10, 0.99), [30, np.nan, 0])


def test_addition_is_found_and_a_table_without_rule_is_not():
    own = {"combine": "product", "width": 64, "share": 0.6, "lr": 0.02, "weight_decay": 1.0}
    options = {"groups": {"Z31": own}, "replicates": 3, "steps": 200, "every": 50}
    whole = grokking({"experiment": "small", "options": options}, {})
    found = whole.sel(group="Z31")
    assert grokking_figure.headline(whole).startswith("Z31: 99 % of the")
    end = found.isel(step=-1)
    assert (end.train_accuracy > 0.98).all()
    assert end.test_accuracy.sel(table="operation") > 0.8
    # 198 held-out pairs of each of three: chance is 1/31.
    assert end.test_accuracy.sel(table="no rule") < 0.12
    assert found.isel(step=0).test_accuracy.max() < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Z113", "S5"])
def test_operations_are_found_on_held_out_pairs(name):
    from homolog.config.groups import GrokkingOptions

    options = GrokkingOptions(name="grokking").model_dump(mode="json")
    options |= {"groups": {name: options["groups"][name]}, "every": options["steps"]}
    found = grokking({"experiment": "shipped", "options": options}, {}).sel(group=name, table="operation")
    order = named(name).order
    assert found.test_accuracy.isel(step=0) < 3 / order
    assert found.test_accuracy.isel(step=-1) >= 0.99
