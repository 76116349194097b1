"""Do pairs of tasks hand on what they say, and is what returns measured as it was planted?"""

from __future__ import annotations

import math

import pytest
import torch
from matplotlib import pyplot as plt
from torch.testing import assert_close

from homolog.analyses.reuse import STARTS, returning, reuse
from homolog.config.reuse import (
    AutoencoderChainOptions,
    CompositionOptions,
    ObjectsAfterStrokesOptions,
    PQPQOptions,
    ReuseA5S5Options,
    ReuseSecondTokensOptions,
    RotatedAfterUprightOptions,
)
from homolog.figures import reuse as figure
from homolog.groups.named import named
from homolog.loading import load
from homolog.registry import REUSE_PAIRS
from homolog.reuse.a5_s5 import joined, projected
from homolog.reuse.autoencoder_chain import explained, principal_share
from homolog.reuse.composition import BRANCHES, between, branch_of, composed
from homolog.reuse.objects_after_strokes import CELL, EMPTY, OBJECTS, STROKES, pictured, stroke_looks
from homolog.streams import stream
from homolog.toys.composing import Composing

QUICK = {"steps": 2}
SMALL = {
    "second_tokens": (ReuseSecondTokensOptions, {"group": "Z11", "width": 8}),
    "p_q_pq": (PQPQOptions, {"p": 3, "q": 5, "width": 8, "first_steps": 2}),
    "composition": (
        CompositionOptions,
        {"n": 5, "width": 8, "joined": 6, "rows": 50, "test_rows": 40, "first_steps": 2},
    ),
    "rotated_after_upright": (RotatedAfterUprightOptions, {"channels": [2, 3], "images": 20}),
    "objects_after_strokes": (
        ObjectsAfterStrokesOptions,
        {"channels": [2, 3], "first_images": 20, "images": 20, "test_images": 20, "first_steps": 2},
    ),
    "autoencoder_chain": (AutoencoderChainOptions, {"first_steps": 2}),
    "a5_s5": (
        ReuseA5S5Options,
        {"irreps": ["3"], "width": 6, "new_share": 0.1, "batch": 30, "test_rows": 50, "first_steps": 2},
    ),
}


def options_of(name, **changed):
    kind, small = SMALL[name]
    return {"label": name, "target": REUSE_PAIRS[name], **kind(pair=name, **QUICK | small | changed).model_dump()}


def made(name, members=2, **changed):
    return load(REUSE_PAIRS[name])(options_of(name, **changed), members, "tests", name)


def found_of(*pairs, moments=3, replicates=3):
    options = {"replicates": replicates, "moments": moments}
    return reuse({"experiment": "small", "options": options, "pairs": list(pairs)}, {})


def test_every_pair_is_tried():
    assert set(SMALL) == set(REUSE_PAIRS)


@pytest.mark.parametrize("name", SMALL)
def test_the_core_is_in_both_and_stays_where_it_is_frozen(name):
    pair = made(name)
    first, new = (stage.start(stream("tests", name)) for stage in (pair.first, pair.second))
    assert {key: first[key].shape for key in pair.core} == {key: new[key].shape for key in pair.core}
    assert set(pair.core) < set(new)
    trained = pair.second.train(new, frozen=pair.core)
    assert all(torch.equal(trained[key], new[key]) for key in pair.core)
    assert any(not torch.equal(trained[key], new[key]) for key in set(new) - set(pair.core))
    free = pair.second.train(new)
    assert any(not torch.equal(free[key], new[key]) for key in pair.core)
    assert pair.first.latents(first).shape == pair.second.latents(new).shape
    for stage, parameters in ((pair.first, first), (pair.second, new)):
        assert stage.score(parameters).shape == (2,)
        assert stage.losses(parameters).isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_members_stand_alone(name):
    pair = made(name)
    parameters = pair.second.start(stream("tests", "alone"))
    parameters = {key: value.requires_grad_() for key, value in parameters.items()}
    pair.second.losses(parameters)[0].backward()
    assert all(not value.grad[1].any() for value in parameters.values())


def test_units_return_whatever_their_order_and_none_of_another_network():
    first = torch.randn(3, 400, 12, generator=stream("units"))
    same = returning(first, -2 * first[..., torch.randperm(12, generator=stream("order"))] + 1)
    assert same["returned"] == pytest.approx(1)
    assert same["share_returned"] == pytest.approx(1)
    # Independent columns of 200 rows: correlations of order 1/14, a little more for being the best of twelve.
    assert (same["returned_null"] < 0.2).all()
    assert_close(torch.tensor(same["more"]), torch.tensor(same["returned"] - same["returned_null"]))
    other = returning(first, torch.randn(3, 400, 12, generator=stream("others")))
    assert (other["returned"] < 0.2).all()
    dead = returning(first, torch.zeros(3, 400, 12))
    assert (dead["returned"] == 0).all()


def test_frequencies_of_p_and_q_are_the_circuit():
    pair, group = made("p_q_pq"), named("Z15")
    # Period 3: multiples of 5. Period 5: multiples of 3. All others have period 15, and 0 is constant.
    for irreps, share in ((["5"], 1), (["3", "6"], 1), (["1", "2", "4", "7"], 0), (["0"], 0)):
        planted = {"left": group.projector_onto(irreps).float().expand(2, -1, -1)}
        assert_close(pair.circuit({}, planted), torch.full((2,), float(share), dtype=torch.float64), atol=1e-6, rtol=0)
    assert pair.circuit_null == pytest.approx((3 - 1 + 5 - 1) / 15)
    with pytest.raises(ValueError, match="p = 4 and q = 6 have the divisor 2 in common"):
        made("p_q_pq", p=4, q=6)


def test_new_tokens_in_the_same_irreps_are_the_circuit():
    pair, group = made("second_tokens", group="Z97"), named("Z97")
    planted, others = (
        {"left": group.projector_onto(irreps).float().expand(2, -1, -1)} for irreps in (["3", "5"], ["40", "41"])
    )
    assert_close(pair.circuit(planted, planted), torch.ones(2, dtype=torch.float64))
    assert (pair.circuit(planted, others) < 0.5).all()


def test_a_branch_that_computes_f_varies_between_values_of_f_alone():
    n = 7
    every = torch.cartesian_prod(torch.arange(n), torch.arange(n))[None]
    labels = every.sum(-1) % n
    exact = torch.nn.functional.one_hot(labels).float()
    assert_close(between(exact, labels, n), torch.ones(1))
    random = torch.randn(1, n * n, 5000, generator=stream("random"))
    assert float(between(random, labels, n)) == pytest.approx((n - 1) / (n * n - 1), rel=0.05)
    assert made("composition", n=n).circuit_null == pytest.approx((n - 1) / (n * n - 1))


def test_h_is_made_of_f_and_g_alone():
    rows = torch.tensor([[[1, 2, 6, 1], [0, 3, 5, 0], [4, 1, 3, 3]]])
    assert composed(rows, 7).tolist() == [[15 % 7, 15 % 7, 0]]
    pair = made("composition")
    first = pair.first.start(stream("branches"))
    branch = Composing(5, 5, 8, "product")
    assert set().union(*({f"{one}_{name}" for name in branch_of(first, one)} for one in BRANCHES)) == set(first)
    assert set(branch_of(first, "f")) == set(branch.start(1, stream("any")))


def test_confined_circuits_lie_in_their_irreps_and_extend_to_all_tokens():
    pair, group = made("a5_s5"), named("A5")
    first = pair.first.train(pair.first.start(stream("tests")))
    assert_close(pair.circuit({}, first), torch.ones(2, dtype=torch.float64))
    again = projected(first, group.projector("3").float())
    assert all(torch.allclose(again[name], first[name], atol=1e-6) for name in first)
    whole = joined(pair.second.start(stream("tests")))
    assert {name: value.shape[1:] for name, value in whole.items()} == {
        "left": (120, 6), "right": (120, 6), "out": (6, 120), "out_bias": (120,)
    }  # fmt: skip
    assert joined(first)["left"].shape == (2, 60, 6)
    assert pair.circuit_null == pytest.approx(9 / 60)
    # Trained on A5 alone, results that are odd are never among the answers.
    assert pair.chance == 1 / 120


def test_a_quarter_turn_of_a_stroke_is_the_next_stroke():
    # The middle one of all looks is neither turned nor moved.
    middle = dict(zip(STROKES, stroke_looks()[:, stroke_looks().shape[1] // 2], strict=False))
    around = ("down right", "down left", "up left", "up right")
    for one, other in (("|", "-"), ("/", "\\"), *zip(around, around[1:] + around[:1], strict=True)):
        assert_close(middle[one].rot90(-1), middle[other])
    # An arc that is bent down right ends below and on the right.
    assert min(middle["down right"][-1, 2], middle["down right"][2, -1]) > 0.5
    assert max(middle["down right"][0, 2], middle["down right"][2, 0]) < 0.1


def test_objects_are_their_strokes_and_no_quarter_tells_them():
    shown = torch.tensor([[[EMPTY, 2, EMPTY, EMPTY]]])
    image = pictured(shown, 0.0, stream("strokes"))[0, 0]
    assert float(image[:CELL, CELL:].sum()) > 1
    assert float(image.sum()) == pytest.approx(float(image[:CELL, CELL:].sum()))
    assert len(set(OBJECTS.values())) == len(OBJECTS)
    for quarter in range(4):
        assert len({strokes[quarter] for strokes in OBJECTS.values()}) < len(OBJECTS)


def test_principal_components_are_the_ceiling_of_linear_maps():
    rows = torch.randn(60, 9, generator=stream("rows")) @ torch.diag(torch.arange(1.0, 10))
    assert principal_share(rows, rows, 9) == pytest.approx(1, abs=1e-5)
    variances = torch.linalg.svdvals(rows - rows.mean(0)) ** 2
    assert principal_share(rows, rows, 4) == pytest.approx(float(variances[:4].sum() / variances.sum()), abs=1e-5)
    assert float(explained(rows.mean(0).expand_as(rows), rows)) == pytest.approx(0, abs=1e-6)


def test_what_is_known_helps_with_new_tokens():
    found = found_of(options_of("second_tokens", group="Z31", width=64, share=0.6, new_share=0.6, steps=80), moments=6)
    at = found.isel(pair=0)
    # By its definition 0 for the curve that it is held against, and never above 1.
    assert float(at.area.sel(start="scratch")) == 0
    assert float(at.area.max()) <= 1
    assert float(at.area.sel(start="after the first")) > 0.2
    # A core that is frozen is as it was: the first tokens are as right as when they were learned, a random one isn't.
    assert float(at.first_score.sel(start="frozen core")) == pytest.approx(float(at.first_learned))
    assert float(at.first_learned) > 0.8
    assert float(at.first_score.sel(start="frozen random core")) < 0.2
    assert float(at.score_null) == pytest.approx(1 / 31)
    assert figure.headline(found).startswith("Faster than from scratch after the first task: second_tokens (1 of 1")


def test_figures_draw_pairs_with_and_without_a_circuit():
    names = [("autoencoder_chain", {}), ("a5_s5", {}), ("a5_s5", {"irreps": ["3", "3'"]}), ("composition", {})]
    pairs = [options_of(name, **changed) | {"label": f"{name} {place}"} for place, (name, changed) in enumerate(names)]
    found = found_of(*pairs)
    assert found.irreps.values.tolist() == ["", "3", "3 and 3'", ""]
    assert list(found.start.values) == list(STARTS)
    assert math.isnan(float(found.circuit.isel(pair=0, start=0)))
    assert not found.score.isnull().any()
    said = figure.headline(found)
    assert "(0 of 4 pairs of tasks)" in said or "Faster" in said
    assert "A frozen circuit of one 3-dimensional irrep of A5 extends to S5" in said
    assert "nan" not in said
    plt.close(figure.draw(found))


def test_more_moments_than_steps_are_told():
    with pytest.raises(ValueError, match="p_q_pq: 9 moments need 8 steps of the second task at least, not 2"):
        found_of(options_of("p_q_pq"), moments=9)
