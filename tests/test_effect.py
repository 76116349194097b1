"""Do `effect` and `substitution` measure what ablating and replacing a latent does, by closed forms and by hand?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from making import CLASSES, fit_to, gaussian, make_inputs, make_layer, make_network, make_rows, record, seeded
from scipy import stats
from torch.nn import functional
from torch.testing import assert_close

from homolog.alignment import rest as rest_module
from homolog.alignment.layer import FOLDS
from homolog.alignment.matching import MATCHINGS, match_values
from homolog.alignment.rest import Rest
from homolog.alignment.similarity import cosine
from homolog.alignment.views.base import unit_rows
from homolog.alignment.views.effect import Effect
from homolog.alignment.views.score import ranks
from homolog.alignment.views.substitution import Substitution
from homolog.analyses.comparison import CONDITIONAL, NULL, Fitted, compare
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.registry import VIEWS
from homolog.streams import stream

WIDTHS, UNITS, SAMPLES = [10, 8, 9], 8, 600
EFFECTS = [name for name in VIEWS if name.startswith("effect")]
KEY = ("all", 0)


def view_of(name):
    return load(VIEWS[name])()


def linear(directions, encoder=None, bias=None, **changes):
    """Latents whose codes are inner products."""
    directions = directions.double()
    latents, units = directions.shape
    encoder = directions if encoder is None else encoder.double()
    zeros = torch.zeros(latents).double()
    bias = torch.zeros(units).double() if bias is None else bias
    return Dictionary(directions, encoder, zeros, bias, zeros + 1, zeros.clone(), **changes)


@pytest.fixture(scope="module")
def world():
    """A network, its layers by hook point, and a network that shares nothing with it."""
    network, other, inputs, rows = (
        make_network(WIDTHS),
        make_network(WIDTHS, seed=1),
        make_inputs(SAMPLES),
        make_rows(600),
    )
    layers = {name: make_layer(network, inputs, rows, name) for name in network.hook_points()}
    elsewhere = {name: make_layer(other, inputs, rows, name) for name in other.hook_points()}
    return network, layers, elsewhere, inputs, rows


@pytest.fixture(scope="module")
def fitted(world):
    """Some methods fitted to hidden_1 of both networks."""
    network, layers, elsewhere, inputs, rows = world
    other = make_network(WIDTHS, seed=1)
    found = []
    for one, layer in ((network, layers["hidden_1"]), (other, elsewhere["hidden_1"])):
        activations = record(one, inputs, rows, "hidden_1")
        found.append({name: fit_to(layer, activations, activations, name)[0] for name in ("pca", "topk_sae")})
    return found


def spliced_logits(network, inputs, hook_point, change):
    """Centred logits when a hook point's activations are changed, by a hook on the whole network."""
    handle = network.get_submodule(hook_point).register_forward_hook(lambda _m, _i, output: output + change)
    try:
        with torch.no_grad():
            logits = network(inputs)
    finally:
        handle.remove()
    return logits - logits.mean(1, keepdim=True)


# Effect


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("hook_point", ["hidden_2", "logits"])
def test_behind_a_linear_rest_an_effect_is_the_code_times_what_is_written(world, name, hook_point):
    """Mean ablation: minus the centred code times W d, exactly; zero and resampling likewise; also of projections."""
    layer, view = world[1][hook_point], view_of(name)
    d = linear(gaussian(3, layer.units, seed=1), gaussian(3, layer.units, seed=2))
    w = torch.eye(CLASSES).double() - 1 / CLASSES if hook_point == "logits" else layer.write_out
    for fold in FOLDS:
        x = layer.activations[fold]
        directions = unit_rows(d.directions) if view.taken == "projection" else d.directions
        amounts = x @ directions.T if view.taken == "projection" else d.codes(x)
        put = {
            "mean": amounts.mean(0),
            "zero": torch.zeros(()),
            "resample": amounts[torch.randperm(len(x), generator=stream("resample", fold))],
        }[view.put]
        expected = torch.einsum("rf,fc->frc", put - amounts, directions @ w.T)
        assert_close(getattr(view.signatures(layer, d), fold), unit_rows(expected.flatten(1)))
        if view.taken == "code":
            assert_close(layer.rest[fold].effects(d.directions, (put - amounts).T), expected)


def test_behind_a_linear_rest_the_similarity_is_that_of_codes_times_that_of_directions(world):
    """r of the codes times the cosine of what is written: both must agree, the sign of a latent cancels."""
    a, b = world[1]["hidden_2"], world[2]["hidden_2"]
    d, e = (
        linear(gaussian(4, 9, seed=1), gaussian(4, 9, seed=2)),
        linear(gaussian(4, 9, seed=3), gaussian(4, 9, seed=4)),
    )
    _, found = view_of("effect").similarities(
        *(view_of("effect").signatures(*pair) for pair in ((a, d), (b, e))), None, False, ["best"]
    )
    codes = [x.codes(layer.activations["score"]) for x, layer in ((d, a), (e, b))]
    r = torch.corrcoef(torch.cat(codes, 1).T)[:4, 4:]
    assert_close(found, r * cosine(d.directions @ a.write_out.T, e.directions @ b.write_out.T))
    assert (found < -0.01).any()
    flipped = replace(e, directions=-e.directions, encoder=-e.encoder)
    assert_close(view_of("effect").signatures(b, flipped).score, view_of("effect").signatures(b, e).score)


@pytest.mark.parametrize("hook_point", ["hidden_0", "hidden_1", "hidden_2"])
def test_effects_are_those_of_the_whole_network_with_the_change_spliced_in(world, hook_point):
    network, layers, _, inputs, rows = world
    layer, gauge = layers[hook_point], layers[hook_point].gauge
    chosen = (rows.split == 1) & (rows.half == 1)
    d = linear(gaussian(3, layer.units, seed=5))
    amounts = gaussian(3, int(chosen.sum()), seed=6)
    found = layer.rest["score"].effects(d.directions, amounts)
    # Out of the gauge by its definition: a unit of scale s and place i holds 1 / s of what stands at order[i].
    own = torch.zeros_like(d.directions)
    own[:, gauge.order] = d.directions
    own = own / gauge.scale
    before = spliced_logits(network, inputs[chosen], hook_point, 0)
    assert_close(layer.rest["score"].logits, before)
    for latent in range(3):
        changed = spliced_logits(network, inputs[chosen], hook_point, amounts[latent][:, None] * own[latent])
        assert_close(found[latent], changed - before)


def test_a_direction_that_nothing_reads_along_has_no_effect_by_its_code_but_one_by_its_projection(world):
    layer = world[1]["hidden_1"]
    deaf = linear(gaussian(3, UNITS), torch.zeros(3, UNITS))
    assert not view_of("effect").signatures(layer, deaf).score.any()
    assert view_of("effect_projection").signatures(layer, deaf).score.any(1).all()


def test_an_input_whose_latent_is_off_is_not_touched_by_zero_ablation(world, fitted, monkeypatch):
    """And costs no pass through the network; the number of those at once is bounded."""
    layer, sae = world[1]["hidden_1"], fitted[0]["topk_sae"]
    off = (sae.codes(layer.activations["score"]) == 0).T
    effects = view_of("effect_zero").signatures(layer, sae).score.reshape(*off.shape, -1)
    assert not effects[off].any()
    assert off.double().mean() > 0.5
    rest = layer.rest["score"]
    passed, tail = [], rest._tail
    monkeypatch.setattr(rest, "_tail", lambda x: passed.append(len(x)) or tail(x))
    monkeypatch.setattr(rest_module, "NEAR", 64 * 9)
    again = view_of("effect_zero").signatures(layer, sae).score.reshape(*off.shape, -1)
    assert_close(again, effects)
    assert sum(passed) == int((~off).sum())
    assert max(passed) <= 64


def test_pairs_that_mostly_count_pass_latent_by_latent_to_the_same_effects(world, monkeypatch):
    """The few amounts of 0 among them change nothing; by pairs, as where most are 0, the rest is the same."""
    rest = world[1]["hidden_1"].rest["score"]
    amounts = gaussian(5, rest.rows).where(gaussian(5, rest.rows, seed=1) < 1, torch.zeros(()).double())
    directions = gaussian(5, UNITS, seed=2)
    monkeypatch.setattr(rest_module, "NEAR", 2 * rest._entrance.numel())
    found = rest.effects(directions, amounts)
    assert not found[amounts == 0].any()
    assert 0.05 < (amounts == 0).double().mean() < 0.5
    padded = torch.cat([amounts, torch.zeros(10, rest.rows).double()])
    by_pairs = rest.effects(torch.cat([directions, gaussian(10, UNITS, seed=3)]), padded)
    assert_close(found, by_pairs[:5])


def test_where_there_is_no_network_there_is_no_effect(world):
    layer = world[1]["hidden_1"]
    blind = replace(layer, model=None)
    for name in [*EFFECTS, "substitution"]:
        assert view_of(name).defined(layer, layer)
        assert not view_of(name).defined(blind, layer)
    assert not view_of("effect").defined(layer, blind)


def test_no_more_than_a_thousand_inputs_pass(world):
    network = world[0]
    layer = make_layer(network, make_inputs(9000), make_rows(9000), "hidden_1")
    assert len(layer.activations["score"]) > 1000 == layer.rest["score"].rows
    d = linear(gaussian(2, UNITS))
    assert view_of("effect").signatures(layer, d).score.shape == (2, 1000 * CLASSES)
    assert view_of("substitution").signatures(layer, d).score.shape == (2, 1000)


@pytest.mark.parametrize("name", ["effect", "effect_projection_resample"])
def test_the_conditional_null_moves_effects_within_classes(world, name):
    layer, view = world[1]["hidden_1"], view_of(name)
    d = linear(gaussian(3, UNITS))
    plain, null = view.signatures(layer, d), view.conditional_null(layer, d, seeded(0))
    for fold in FOLDS:
        labels = layer.rest[fold].labels
        before, after = (getattr(s, fold).reshape(3, len(labels), -1) for s in (plain, null))
        assert not torch.equal(before, after)
        for label in range(CLASSES):
            ours, theirs = (x[:, labels == label].transpose(0, 1).flatten(1) for x in (before, after))
            # The same rows, in another order.
            assert torch.cdist(ours, theirs).min(1).values.max() < 1e-7


# Substitution


def run_of(layer, dictionary):
    return Fitted(layer, "planted", {KEY: dictionary})


def substituted(a, b, matchings=("hungarian",), kind="observed", draws=1):
    return compare(Substitution(), a, b, [(KEY, KEY)], list(matchings), 3, kind, draws).by_matching


@pytest.fixture(scope="module")
def harmful():
    """A network that was trained for a moment, so that it knows its labels, and its layer."""
    network, inputs, rows = make_network(WIDTHS), make_inputs(SAMPLES), make_rows(SAMPLES)
    labels = (inputs @ gaussian(12, CLASSES, seed=9)).argmax(1)
    rows = replace(rows, label=labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    layer = make_layer(network, inputs, rows, "hidden_1")
    _, _, directions = torch.linalg.svd(layer.activations["match"] - layer.activations["match"].mean(0))
    return layer, linear(directions[:4])


def test_a_latent_stands_in_for_itself_exactly(harmful):
    layer, d = harmful
    a = run_of(layer, d)
    assert substituted(a, a, [*MATCHINGS]) == pytest.approx([np.nan, *[1] * 6], abs=1e-12, nan_ok=True)
    ordered = run_of(layer, replace(d, ordered=True))
    found = compare(Substitution(), ordered, ordered, [(KEY, KEY)], ["rank"], 3)
    assert found.by_matching == pytest.approx([1], abs=1e-12)
    # Of a single latent the harm is seldom told from 0: none is claimed.
    assert np.isnan(found.by_rank).all()


def test_scale_offset_and_sign_of_the_others_codes_do_not_matter(harmful):
    layer, d = harmful
    factors = torch.tensor([3.0, -0.2, 5.0, -1.0]).double()[:, None]
    other = replace(d, encoder=d.encoder * factors, encoder_bias=torch.arange(4.0).double())
    assert substituted(run_of(layer, d), run_of(layer, other)) == pytest.approx([1], abs=1e-9)
    signed = replace(d, signed=True)
    # Where signs mean something, a latent that is off where the other is on is worth the mean.
    mirrored = replace(signed, encoder=-d.encoder)
    pair = [run_of(layer, replace(x, ordered=True)) for x in (signed, mirrored)]
    assert substituted(*pair, ["rank"]) == pytest.approx([0], abs=1e-12)


def test_an_independent_latent_is_worth_the_mean(harmful):
    layer, d = harmful
    n = len(layer.activations["match"])
    noise = replace(layer, activations={fold: gaussian(n, UNITS, seed=i) for i, fold in enumerate(FOLDS)})
    # r of 75 inputs chosen as the largest of 4 is about 0.2, its square what it may cost: 0 within a tenth.
    assert abs(substituted(run_of(layer, d), run_of(noise, d))[0]) < 0.1
    null = substituted(run_of(layer, d), run_of(layer, d), ["hungarian"], NULL, 20)[0]
    assert abs(null) < 0.1
    conditional = substituted(run_of(layer, d), run_of(layer, d), ["hungarian"], CONDITIONAL, 20)[0]
    assert null < conditional < 1


def test_the_more_of_a_latent_the_match_knows_the_better_it_stands_in(harmful):
    layer, d = harmful
    found = []
    for noise in (0.0, 0.5, 2.0, 20.0):
        x = {
            fold: layer.activations[fold] + noise * layer.activations[fold].std() * gaussian(75, UNITS, seed=i)
            for i, fold in enumerate(FOLDS)
        }
        found.append(substituted(run_of(layer, d), run_of(replace(layer, activations=x), d))[0])
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1)
    assert found[1] < 0.99
    assert found[-1] < 0.2


def test_the_losses_by_hand(harmful):
    """Every pair, one network pass at a time, by the definition; matched in every way, with unequal numbers."""
    layer, d = harmful
    other = replace(
        layer,
        activations={f: x + x.std() * gaussian(*x.shape, seed=i) for i, (f, x) in enumerate(layer.activations.items())},
    )
    e = linear(gaussian(6, UNITS, seed=3))
    gauge, network = layer.gauge, layer.model
    codes = {f: d.codes(x).numpy() for f, x in layer.activations.items()}
    others = {f: e.codes(x).numpy() for f, x in other.activations.items()}
    r = np.corrcoef(codes["match"].T, others["match"].T)[:4, 4:]

    def loss(latent, code):
        x = (
            layer.activations["score"]
            + torch.as_tensor(code - codes["score"][:, latent])[:, None] * d.directions[latent]
        )
        own = torch.zeros_like(x)
        own[:, gauge.order] = x
        with torch.no_grad():
            behind = network.logits(network.hidden_2(own / gauge.scale))
        return float(functional.cross_entropy(behind, layer.labels["score"]))

    gain, harm = np.zeros((4, 6)), np.zeros((4, 6))
    for f in range(4):
        code = codes["score"][:, f]
        mean = loss(f, np.full_like(code, code.mean()))
        harm[f] = mean - loss(f, code)
        for g in range(6):
            z = stats.zscore(others["score"][:, g])
            gain[f, g] = mean - loss(f, code.mean() + code.std() * r[f, g] * z)
    matchings = [m for m in MATCHINGS if m != "rank"]
    selection = torch.as_tensor(np.abs(r))
    expected = [
        float(match_values(selection, torch.as_tensor(gain), m) / match_values(selection, torch.as_tensor(harm), m))
        for m in matchings
    ]
    assert len(set(expected)) > 2
    assert substituted(run_of(layer, d), run_of(other, e), matchings) == pytest.approx(expected)


def test_only_pairs_that_a_matching_reads_pass_through_the_network(harmful, monkeypatch):
    layer, d = harmful
    e = linear(gaussian(30, UNITS, seed=3))
    passed, effects = [], Rest.effects
    monkeypatch.setattr(Rest, "effects", lambda *given: passed.append(len(given[2])) or effects(*given))
    substituted(run_of(layer, d), run_of(layer, e), ["hungarian", "best_a_to_b"])
    # Ablations of all 4, then at most two pairs for each.
    assert 8 <= sum(passed) <= 4 + 8


def test_where_ablation_does_no_harm_there_is_no_scale(world):
    """Labels at random: what the network's latents do to the loss is noise."""
    layer = world[1]["hidden_1"]
    idle = linear(1e-9 * gaussian(3, UNITS), gaussian(3, UNITS))
    a = run_of(layer, idle)
    assert np.isnan(substituted(a, a)).all()


# Relatives of score


def test_spearman_is_the_correlation_of_ranks_with_ties_shared(world, fitted):
    layer = world[1]["hidden_1"]
    codes = fitted[0]["topk_sae"].codes(layer.activations["score"])
    assert_close(ranks(codes), torch.as_tensor(stats.rankdata(codes.numpy(), axis=0)))
    on = codes.any(0)
    d = fitted[0]["topk_sae"]
    found = view_of("score_spearman").signatures(layer, d).score
    expected = stats.spearmanr(codes[:, on].numpy()).statistic
    assert_close((found @ found.T)[on][:, on], torch.as_tensor(expected))


def test_spearman_sees_no_monotone_function_and_pearson_does(world):
    layer = world[1]["hidden_1"]
    d = linear(torch.eye(UNITS)[:3].double())
    bent = replace(layer, activations={fold: x**3 for fold, x in layer.activations.items()})
    for name, same in (("score_spearman", True), ("score", False)):
        a, b = (view_of(name).signatures(one, d).score for one in (layer, bent))
        assert bool(((a * b).sum(1) > 1 - 1e-9).all()) == same


def test_jaccard_counts_inputs(world, fitted):
    a, b = world[1]["hidden_1"], world[2]["hidden_1"]
    d, e = fitted[0]["topk_sae"], fitted[1]["topk_sae"]
    view = view_of("score_jaccard")
    found = view.similarities(view.signatures(a, d), view.signatures(b, e), None, True, ["best"])
    for fold, matrix in zip(FOLDS, found, strict=True):
        own, other = (x.codes(layer.activations[fold]).numpy() != 0 for x, layer in ((d, a), (e, b)))
        for i, one in enumerate(own.T):
            for j, two in enumerate(other.T):
                expected = (one & two).sum() / max(1, (one | two).sum())
                told = not (one.all() or two.all())
                assert float(matrix[i, j]) == pytest.approx(expected if told else 0)


def test_supports_do_not_depend_on_how_strongly(world, fitted):
    layer, d = world[1]["hidden_1"], fitted[0]["topk_sae"]
    view = view_of("score_jaccard")
    bent = replace(layer, activations={fold: x.clone() for fold, x in layer.activations.items()})
    stronger = replace(d, directions=d.directions * 3)
    assert torch.equal(view.signatures(bent, stronger).score, view.signatures(layer, d).score)


def test_effect_names_say_what_they_do():
    seen = {(load(VIEWS[name])().taken, load(VIEWS[name])().put) for name in EFFECTS}
    assert seen == {(taken, put) for taken in ("code", "projection") for put in ("mean", "zero", "resample")}
    assert all(issubclass(type(view_of(name)), Effect) for name in EFFECTS)


def test_losses_are_the_tasks_whatever_the_conditional_null_keeps(world, fitted):
    """Other labels (a token's id) move the conditional null, and no loss; documents bound what the null permutes."""
    layer = world[1]["hidden_1"]
    tokens = {fold: labels % 2 + 40_000 for fold, labels in layer.labels.items()}
    documents = {fold: torch.arange(len(labels)) // 10 for fold, labels in layer.labels.items()}
    other = replace(layer, labels=tokens, documents=documents)
    view, sae = view_of("substitution"), fitted[0]["topk_sae"]
    assert layer.targets is not None
    for fold in FOLDS:
        assert torch.equal(other.rest[fold].labels, layer.targets[fold])
    plain, again = view.signatures(layer, sae), view.signatures(other, sae)
    unchanged = torch.zeros_like(plain.rest.logits)[None]
    assert_close(again.rest.losses(unchanged), plain.rest.losses(unchanged))
    null = view.null(other, sae, seeded(0))
    assert null.score.shape == plain.score.shape
    for name in ("effect", "substitution"):
        moved = [view_of(name).conditional_null(one, sae, seeded(0)).score for one in (layer, other)]
        assert not torch.equal(*moved)
    assert view_of("effect").conditional_null(replace(layer, labels={}), sae, seeded(0)) is None


def test_the_null_of_documents_fits_the_rows_that_are_looked_at(monkeypatch, world, fitted):
    layer, sae = world[1]["hidden_1"], fitted[0]["topk_sae"]
    monkeypatch.setattr(Substitution, "rows", 50)
    documents = {fold: torch.arange(len(labels)) // 10 for fold, labels in layer.labels.items()}
    null = view_of("substitution").null(replace(layer, documents=documents), sae, seeded(0))
    assert null.match.shape[1] == null.score.shape[1] == 50
