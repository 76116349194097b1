"""Circuits that are known by construction: irreps, terms that need no gauge, and what symmetries leave."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from homolog.analyses.circuit_terms import Terms, alike, best_purity, carried, needed, purity, same_circuits
from homolog.analyses.known_circuit import UNITS, known_circuit
from homolog.figures import known_circuit as figure
from homolog.groups.base import energies, logit_energies
from homolog.groups.harmonics import Harmonics
from homolog.groups.named import named
from homolog.groups.relabelling import relabelling
from homolog.registry import METHODS
from homolog.streams import stream

GROUPS = ("Z7", "Z10", "A5", "S5")


@pytest.mark.parametrize("name", GROUPS)
def test_harmonics_are_orthonormal_and_split_energy_as_projectors_do(name):
    group = named(name)
    harmonics = Harmonics.of(group)
    assert_close(harmonics.basis.T @ harmonics.basis, torch.eye(group.order), atol=1e-5, rtol=0)
    vectors = torch.randn(3, group.order, generator=stream("harmonics", name))
    shares = harmonics.functions(vectors).square() @ harmonics.member / vectors.square().sum(1, keepdim=True)
    assert_close(shares.double(), energies(group, vectors[..., None]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("draw", range(3))
def test_a_relabelled_table_is_the_same_table(name, draw):
    group = named(name)
    one = relabelling(group, stream("relabelled", name, draw))
    for moved in (one.left, one.right, one.results):
        assert torch.equal(moved.sort()[0], torch.arange(group.order))
    assert torch.equal(group.table[one.left[:, None], one.right], one.results[group.table])


@pytest.mark.parametrize(("name", "kept"), [("Z7", False), ("S5", True)])
def test_relabelling_moves_frequencies_and_keeps_irreps_of_permutations(name, kept):
    group = named(name)
    character = group.characters[3][group.quotient.T[group.table]]
    stays = []
    for draw in range(6):
        one = relabelling(group, stream("moved", name, draw))
        found = logit_energies(group, one.of_results(character[one.left[:, None], one.right]))
        assert_close(float(found.max()), 1.0)
        stays.append(int(found.argmax()) == 3)
    assert all(stays) == kept


def _waves(frequency: int, phases: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes cos(wa + p) cos(wb + p) and writes cos(wc + 2p): units of a circuit for addition, by phase."""
    angle = 2 * torch.pi * frequency / order * torch.arange(order) + phases[:, None]
    result = 2 * torch.pi * frequency / order * torch.arange(order) + 2 * phases[:, None]
    return angle.cos()[:, :, None] * angle.cos()[:, None, :], result.cos()


def test_units_of_one_frequency_are_pure_and_turned_ones_mix():
    group = named("Z11")
    parts = [_waves(frequency, torch.arange(4) * torch.pi / 4 + 0.1, 11) for frequency in (1, 3)]
    codes, writes = (torch.cat(both) for both in zip(*parts, strict=True))
    terms = Terms.of(codes, writes, Harmonics.of(group))
    assert_close(purity(terms.read_shares(), terms.variance), 1.0)
    assert_close(purity(terms.written_shares(), terms.variance), 1.0)
    assert_close(best_purity(terms)[[0, 2]], torch.ones(2), atol=1e-4, rtol=0)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=stream("turn")))[0]
    mixed = Terms.of(torch.einsum("ij,jab->iab", turn, codes), turn @ writes, Harmonics.of(group))
    assert purity(mixed.read_shares(), mixed.variance) < 0.9
    # A rotation moves nothing out of the sum.
    assert_close(same_circuits(terms.circuits(), mixed.circuits()), 1.0)


def test_a_circuit_needs_as_many_latents_as_carry_it():
    terms = Terms.of(*_waves(1, torch.arange(4) * torch.pi / 4, 11), Harmonics.of(named("Z11")))
    shares = carried(terms, terms.circuits())[:1]
    assert_close(shares.sum(1), torch.ones(1))
    # Four units that differ by their phase alone carry equal shares: half of it takes two.
    assert_close(needed(shares), torch.tensor([2.0]))
    assert needed(shares[:, :1]).isnan().all()


def test_phases_that_differ_make_other_units_and_the_same_circuit():
    """Three or more even phases sum to cos(w(a + b - c)), wherever they begin: what returns is the sum, not a term."""
    harmonics = Harmonics.of(named("Z11"))
    one, other = (
        Terms.of(*_waves(2, torch.arange(5) * 2 * torch.pi / 5 + begin, 11), harmonics) for begin in (0.0, 0.31)
    )
    assert_close(same_circuits(one.circuits(), other.circuits()), 1.0)
    assert alike(one, one)["terms"] > 0.999
    found = alike(one, other)
    assert found["terms"] < 0.95
    # A term's cosine is the product of that of its code and that of what it writes.
    assert found["terms"] <= found["codes"] + 1e-6
    wired = other.wired(torch.tensor([1, 2, 3, 4, 0]))
    assert same_circuits(one.circuits(), wired.circuits()) < 0.9


def _spec(**options):
    own = {"combine": "product", "width": 32, "share": 0.6, "lr": 0.02, "weight_decay": 1.0}
    options = {"groups": {"Z23": own}, "replicates": 3, "steps": 120, "rows": 200, "null_draws": 2} | options
    pca = {"name": "pca", "method": METHODS["pca"], "grid": [{"n_latents": 12, "solver": "exact"}]}
    return {"experiment": "small", "options": options, "decompositions": [pca | {"labels": ["pca"], "seeds": [0]}]}


def test_units_of_trained_networks_are_purer_than_turned_and_symmetries_change_nothing():
    found = known_circuit(_spec(), {}).sel(group="Z23")
    units = found.sel(basis=UNITS)
    assert float(units.purity) > 2 * float(units.purity_null)
    assert (found.purity <= found.purity_ceiling + 1e-5).all()
    assert float(units.codes_ceiling) == pytest.approx(1, abs=1e-4)
    assert float(units.reached) == pytest.approx(1, abs=1e-5)
    # In distribution a relabelled network is another training.
    assert abs(float(units.codes - units.codes_relabelled)) < 0.1
    assert float(found.circuits) > float(found.circuits_null) + 0.2
    assert np.isfinite(float(found.more_low))


def test_the_caption_says_what_is_purer_and_what_returns():
    found = known_circuit(_spec(), {})
    said = figure.headline(found)
    assert "as pure as units: none" in said
    assert "no more than symmetries of the group give" in said
    found["purity_low"].loc[{"basis": "pca"}] = 1.0
    assert "Easier to read off than in units: in pca." in figure.headline(found)


def test_too_many_rows_are_told():
    with pytest.raises(ValueError, match=r"rows = 300 are drawn twice of the 529 pairs of Z23.*up to 264; lower rows"):
        known_circuit(_spec(rows=300), {})
