"""Do sparse autoencoders find what is planted, shrink as their penalties say, and hold what they are told to hold?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from making import SPARSE, gaussian, make_member, marked, method_of, mixed, one_of_each, seeded
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from homolog.alignment.nulls import haar_rotation
from homolog.alignment.similarity import cosine
from homolog.decompositions.sae.initial import initial_directions, initialise, unit
from homolog.decompositions.sae.optimiser import after_step, plain_step
from homolog.decompositions.samples import geometric_median
from homolog.tasks.digits import Digits

# Shapes are checked in tests of the steps; here they would take most of the time.
pytestmark = pytest.mark.usefixtures("no_shape_checks")


def fit_one(name, x, **changes):
    return method_of(name).fit([make_member(name, x, **changes)])[0]


# What is planted


def planted(samples=2000, features=16, active=2):
    """The easy case: orthonormal features, as many as dimensions, always two at once, sizes from 0.5 to 1.5."""
    generator = seeded(0)
    directions = haar_rotation(features, generator).float()
    chosen = torch.rand(samples, features, generator=generator).topk(active).indices
    sizes = 0.5 + torch.rand(samples, active, generator=generator)
    return directions, torch.zeros(samples, features).scatter_(1, chosen, sizes) @ directions


EASY = {"n_latents": 24, "steps": 500, "batch_size": 128, "dead_after": 2000}
FINDS = {
    "relu_sae": {"coefficient": 0.2},
    "topk_sae": {"k": 2},
    "batch_topk_sae": {"k": 2},
    "crosscoder": {"k": 2},
    "jumprelu_sae": {"coefficient": None, "target_l0": 2.0, "threshold_init": 0.3, "bandwidth": 0.1},
    "gated_sae": {"coefficient": 0.2},
    "matryoshka_sae": {"k": 2, "levels": 2},
    "matching_pursuit_sae": {"k": 2},
    "archetypal_sae": {"k": 2, "candidates": 256},
}


def test_every_sparse_autoencoder_is_tried():
    assert FINDS.keys() == set(SPARSE)


@pytest.mark.parametrize("name", one_of_each(SPARSE))
def test_planted_orthogonal_features_are_found_again(name):
    """Easy by design: known sparsity, half as many latents again as features, no noise. Harder ones: benchmarks."""
    directions, x = planted()
    d = fit_one(name, x, **EASY | FINDS[name])
    assert cosine(directions, d.directions).max(1).values.mean() > 0.9


@pytest.mark.parametrize("target", [2.0, 4.0])
def test_jumprelu_ends_near_the_l0_that_it_is_told(target):
    """A sample has two features; with 4 it must use more. Measured on the rows that it is fitted to."""
    d = fit_one("jumprelu_sae", planted()[1], **EASY | FINDS["jumprelu_sae"] | {"target_l0": target})
    assert d.member["l0"] == pytest.approx(target, rel=0.1)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("relu_sae", {"decoder": "norm_weighted"}),
        ("jumprelu_sae", {"coefficient": 0.02, "target_l0": None}),
    ],
)
def test_a_penalty_of_fixed_weight_finds_them_too(name, changes):
    directions, x = planted()
    d = fit_one(name, x, **EASY | FINDS[name] | changes)
    assert cosine(directions, d.directions).max(1).values.mean() > 0.9
    assert 1 < d.member["l0"] < 4


@pytest.mark.parametrize("name", ["topk_sae", "jumprelu_sae"])
def test_a_free_decoder_finds_them_too_and_is_stored_with_directions_of_unit_norm(name):
    directions, x = planted()
    d = fit_one(name, x, **EASY | FINDS[name] | {"decoder": "norm_weighted"})
    assert cosine(directions, d.directions).max(1).values.mean() > 0.9
    assert_close(d.directions.norm(dim=1), torch.ones(24))


@pytest.mark.parametrize("penalty", ["lp", "sqrt", "tanh"])
def test_concave_penalties_find_them_too(penalty):
    """In the same easy case, at one coefficient for all."""
    directions, x = planted()
    d = fit_one("relu_sae", x, **EASY | {"coefficient": 0.2, "penalty": penalty})
    assert cosine(directions, d.directions).max(1).values.mean() > 0.9


@pytest.mark.parametrize("seed", range(2))
def test_multi_topk_reconstructs_at_four_times_its_k_and_topk_does_not(seed):
    """Its claim (Gao et al., 2024, section 5.3): codes may be cut at another k than the one trained with.

    Easy: the case above and a little noise, of which latents beyond the features can only write what is noise. With k
    at 8 instead of 2 TopK gets worse than at 2, MultiTopK better.
    """
    x = planted()[1] + 0.05 * gaussian(2000, 16, seed=5).float()
    left = {}
    for multi in (False, True):
        d = fit_one("topk_sae", x, seed=seed, **EASY | {"k": 2, "multi": multi})
        for k in (2, 8):
            cut = replace(d, k=k)
            left[multi, k] = float((x - cut.reconstruct(cut.codes(x))).square().sum() / (x - x.mean(0)).square().sum())
    assert left[False, 8] > 1.3 * left[False, 2]
    assert left[True, 8] < 0.9 * left[True, 2]
    assert left[True, 8] < left[False, 8] / 2


@pytest.mark.parametrize("seed", range(2))
def test_matching_pursuit_finds_features_that_lie_close_and_one_product_does_not_read_them(seed):
    """Its claim (Costa et al., 2025): once one of two correlated features is written, the other is still to be seen.

    Easy: 16 features in 16 dimensions, in pairs of cosine 0.8, any two on at once, known sparsity, no noise.
    """
    basis, generator = haar_rotation(16, seeded(10)).float(), seeded(11)
    directions = torch.cat([basis[:8], 0.8 * basis[:8] + 0.6 * basis[8:]])
    chosen = torch.rand(2000, 16, generator=generator).topk(2).indices
    x = torch.zeros(2000, 16).scatter_(1, chosen, 0.5 + torch.rand(2000, 2, generator=generator)) @ directions
    pursuit, one_shot = (
        fit_one(name, x, seed=seed, **EASY | {"k": 2}) for name in ("matching_pursuit_sae", "topk_sae")
    )
    found = [cosine(directions, d.directions).max(1).values for d in (pursuit, one_shot)]
    assert found[0].mean() > 0.98
    assert found[0].mean() > found[1].mean()
    assert pursuit.member["fvu"] < one_shot.member["fvu"] / 3


def families(samples=2000, parents=8, children=3):
    """Orthonormal parents, each on in a fifth of the samples, and in three of five of these one of its children."""
    generator = seeded(0)
    directions = haar_rotation(parents * (1 + children), generator).float()
    on = torch.rand(samples, parents, generator=generator) < 0.2
    sizes = 0.8 + 0.4 * torch.rand(samples, 1 + children, parents, generator=generator)
    child = torch.randint(children, (samples, parents), generator=generator)
    child = torch.where(torch.rand(samples, parents, generator=generator) < 0.6, child, -1)
    codes = torch.stack([on, *(on & (child == c) for c in range(children))], 1) * sizes
    return directions.unflatten(0, (1 + children, parents)), codes, codes.flatten(1) @ directions


def absorbed(d, directions, codes, x):
    """How often a parent's latent is off though a child is on, and how far the children's latents lean on the parent.

    A feature's latent is the one whose direction is nearest to it.
    """
    nearest = cosine(directions.flatten(0, 1), d.directions).argmax(1).view(directions.shape[:2])
    with_child, fires = codes[:, 1:].sum(1) > 0, d.codes(x)[:, nearest[0]] > 0
    leaning = cosine(directions[0], d.directions)[:, nearest[1:]].diagonal(dim1=0, dim2=2)
    return torch.tensor([(~fires)[with_child].float().mean(), leaning.mean()])


def test_matryoshka_absorbs_fewer_parents_into_their_children():
    """Its claim (Bussmann et al., 2025; absorption: Chanin et al., 2024), in the mean over seeds, paired.

    Easy: as many latents as features, the shortest prefix as long as there are parents, no noise. k lies between the
    mean number of parents that are on, 1.6, and that of features, 2.5: a latent for "parent and child" saves one code
    of two, so that sparsity pays for absorption, and there is room to do without.
    """
    directions, codes, x = families()
    shared = EASY | {"n_latents": 32, "k": 2, "steps": 300}
    found = []
    for name, own in (("batch_topk_sae", {}), ("matryoshka_sae", {"levels": 3})):
        members = [make_member(name, x, seed=seed, **shared | own) for seed in range(4)]
        found.append(torch.stack([absorbed(d, directions, codes, x) for d in method_of(name).fit(members)]))
    fewer = found[0] - found[1]
    assert (fewer.mean(0) > 0.1).all()
    assert (fewer.mean(0) > 4 * fewer.std(0) / 4**0.5).all()


CROWDED = EASY | {"n_latents": 48, "k": 3, "steps": 300}


def noisy():
    return planted(1500)[1] + 0.3 * gaussian(1500, 16, seed=5).float()


def matched(a, b):
    """Mean cosine of the best matching, one to one."""
    similarity = cosine(a, b).numpy()
    return float(similarity[linear_sum_assignment(similarity, maximize=True)].mean())


@pytest.mark.parametrize("seed", range(2))
def test_archetypal_directions_lie_nearer_to_the_data(seed):
    """Half of its claim (Fel et al., 2025), in an easy case: noisy samples, and three latents for each feature."""
    x = noisy()
    within, free = (
        fit_one(name, x, seed=seed, **CROWDED | given)
        for name, given in (("archetypal_sae", {"candidates": 128, "relaxation": 0.0}), ("topk_sae", {}))
    )
    to_data = [cosine(d.directions, x - x.mean(0)).max(1).values.mean() for d in (within, free)]
    assert to_data[0] > to_data[1] + 0.04


def test_archetypal_members_are_steadier_over_seeds_by_what_they_share():
    """The other half, in the same case with few candidates: by the matched cosine of two seeds, at a similar FVU.

    What is steady was so from the start, since members of one run share their candidates: TopK's come together in
    training, and these don't.
    """
    x, start, end, fvu = noisy(), {}, {}, {}
    for name, given in (("archetypal_sae", {"candidates": 64, "relaxation": 0.0}), ("topk_sae", {})):
        members = [make_member(name, x, seed=seed, **CROWDED | given) for seed in range(2)]
        start[name] = matched(*(initialise(method_of(name), [m]).start[0] for m in members))
        fitted = method_of(name).fit(members)
        end[name] = matched(*(d.directions for d in fitted))
        fvu[name] = sum(d.member["fvu"] for d in fitted) / 2
    assert end["archetypal_sae"] > end["topk_sae"] + 0.1
    assert fvu["archetypal_sae"] < 1.3 * fvu["topk_sae"]
    assert end["archetypal_sae"] < start["archetypal_sae"] + 0.05
    assert end["topk_sae"] > start["topk_sae"] + 0.1


def test_archetypal_latents_beyond_the_candidates_start_apart():
    """Equal ones would stay equal: 5 start at a candidate each, 7 between two."""
    member = make_member("archetypal_sae", mixed(), n_latents=12, candidates=5)
    start = initialise(method_of("archetypal_sae"), [member]).start[0]
    assert cosine(start, start).fill_diagonal_(0).max() < 1 - 1e-3


# Shrinkage

STRENGTH, SHARE = 2.0, 0.2
SHRINKS = {"l1": lambda z: 1.0, "sqrt": lambda z: 0.5 * z**-0.5, "tanh": lambda z: 1 / math.cosh(z) ** 2}
ALONE = {"n_latents": 1, "input_scale": "none", "bias_init": "zero", "steps": 800, "batch_size": 200, "dead": "none"}


def single_feature():
    """A feature of one strength, on in a fifth of the samples; nothing else."""
    direction = torch.tensor([0.6, 0.8])
    on = torch.arange(1000) < 1000 * SHARE
    return direction, on, STRENGTH * on[:, None] * direction


def residual_of_feature(name, **changes):
    """How much of the strength isn't written back, and the code, of the first seed that starts on the right side."""
    direction, on, x = single_feature()
    starts = (make_member(name, x, seed=seed, **ALONE | changes) for seed in range(20))
    member = next(m for m in starts if initialise(method_of(name), [m]).start[0, 0] @ direction > 0.5)
    (d,) = method_of(name).fit([member])
    codes = d.codes(x[on][:1])
    return float((x[on][0] - d.reconstruct(codes)[0]) @ direction), float(codes)


@pytest.mark.parametrize("penalty", SHRINKS)
@pytest.mark.parametrize("coefficient", [0.4, 0.8])
def test_a_penalty_shrinks_a_feature_by_half_its_slope(penalty, coefficient):
    """From d/dz of (t - z)^2 + coefficient f(z): L1 writes t - coefficient / 2, concave penalties more."""
    missing, code = residual_of_feature("relu_sae", penalty=penalty, coefficient=coefficient)
    assert missing == pytest.approx(coefficient / 2 * SHRINKS[penalty](code), abs=0.01)
    if penalty != "l1":
        assert missing < 0.5 * coefficient / 2


def test_lp_ends_with_the_slope_of_its_last_exponent():
    missing, code = residual_of_feature("relu_sae", penalty="lp", p_end=0.5, coefficient=0.8)
    assert missing == pytest.approx(0.4 * SHRINKS["sqrt"](code), abs=0.02)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("topk_sae", {"k": 1}),
        ("batch_topk_sae", {"k": 1}),
        ("jumprelu_sae", {"coefficient": 0.8, "threshold_init": 0.2, "bandwidth": 0.1}),
        ("gated_sae", {"coefficient": 0.8}),
        ("matching_pursuit_sae", {"k": 1}),
        ("matryoshka_sae", {"k": 1, "levels": 1}),
        ("archetypal_sae", {"k": 1, "candidates": 64}),
    ],
)
def test_selection_and_thresholds_do_not_shrink(name, changes):
    """Where L1 of the same weight takes 0.4 of 2."""
    missing, _ = residual_of_feature(name, **changes)
    assert abs(missing) < 0.02


# What is active


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", ["topk_sae", "archetypal_sae", "matching_pursuit_sae"])
def test_at_most_k_latents_are_on_and_none_is_negative(name, k):
    codes = fit_one(name, mixed(), k=k).codes(mixed(500, seed=4))
    assert (codes >= 0).all()
    assert (codes != 0).sum(1).max() <= k


@pytest.mark.parametrize("name", ["batch_topk_sae", "matryoshka_sae"])
def test_batch_selection_has_k_in_the_mean_and_its_threshold_about_k_elsewhere(name):
    _, x = planted(3000)
    x = x + 0.1 * gaussian(*x.shape, seed=5).float()
    d = fit_one(name, x[:2000], **EASY | {"k": 2, "log_points": 500, "steps": 500})
    # Never more than k; fewer only where fewer are positive.
    assert d.curves["l0"].max() <= 2
    assert d.curves["l0"][-100:].mean() == pytest.approx(2, abs=0.01)
    held_out = (d.codes(x[2000:]) != 0).sum(1).double()
    assert held_out.mean() == pytest.approx(2, rel=0.15)
    # Not the same number for every sample, which is what it is for; nor does any sample depend on others.
    assert held_out.std() > 0
    one_by_one = torch.cat([d.codes(row[None]) for row in x[2000:2100]])
    assert_close(one_by_one, d.codes(x[2000:2100]))


@pytest.mark.parametrize("name", ["topk_sae", "batch_topk_sae"])
def test_a_k_that_falls_is_the_l0_of_every_step_and_ends_at_k(name):
    d = fit_one(name, planted()[1], **EASY | {"k": 2, "k_start": 5, "k_warmup": 0.5, "steps": 60, "log_points": 60})
    falls = torch.tensor([max(2, round(5 - 3 * (step + 1) / 30)) for step in range(60)]).float()
    assert (d.curves["l0"] <= falls).all()  # Fewer where fewer are positive.
    assert (d.curves["l0"] > 0.9 * falls).all()
    assert d.k == (2 if name == "topk_sae" else 0)


def test_auxk_revives_dead_latents():
    """Real images, twice as many latents as pixels: under half as many dead ones in each of two members.

    On clouds without structure few latents die, and AuxK may even silence rare ones: it is no gain everywhere.
    """
    x = Digits().data().inputs[:640]
    changes = {"n_latents": 128, "k": 4, "lr": 3e-3, "steps": 300, "batch_size": 128, "dead_after": 2000}
    dead = {}
    for how in ("none", "auxk"):
        members = [make_member("topk_sae", x, seed=s, **changes, dead=how) for s in range(2)]
        dead[how] = [int((d.firing_rate == 0).sum()) for d in method_of("topk_sae").fit(members)]
    assert all(revived < left / 2 for revived, left in zip(dead["auxk"], dead["none"], strict=True)), dead


@pytest.mark.parametrize(
    "name", ["relu_sae", "topk_sae", "batch_topk_sae", "matching_pursuit_sae", "jumprelu_sae", "gated_sae"]
)
def test_resampling_revives_latents_that_can_never_fire(name):
    """They are set to point away from all samples: left alone they stay dead for ever."""
    x = planted()[1]
    fired = {}
    for how in ("none", "resample"):
        member = make_member(name, x, **EASY | FINDS[name] | {"dead": how, "dead_after": 500})
        recipe, stack = method_of(name), initialise(method_of(name), [member])
        for key in ("encoder", "decoder"):
            if key in stack.parameters:
                stack.parameters[key][0, :6] = unit(-x.mean(0) + 0.01 * gaussian(6, 16, seed=8).float())
        if "encoder_bias" in stack.parameters:
            stack.parameters["encoder_bias"][0, :6] = -100.0
        fired[how] = torch.zeros(24, dtype=torch.bool)
        for step in range(60):
            at = x[torch.randperm(len(x), generator=seeded(step))[:128]] * stack.scale[:, None, None]
            losses = plain_step(recipe, stack, at)
            after_step(stack, at, losses)
            fired[how] |= losses.fired[0] if step > 40 else False
    # A new encoder row is short at first, so that among the k largest it is rarely.
    enough = torch.any if "topk" in name else torch.all
    assert enough(fired["resample"][:6])
    if name != "matching_pursuit_sae":
        assert not fired["none"][:6].any()


# Hybrid: dense latents


@pytest.mark.parametrize("seed", [0, marked(1)])
def test_dense_latents_take_the_dense_direction_and_leave_the_sparse_features_alone(seed):
    """A strong Gaussian direction beside 15 sparse ones: what two dense latents write together lies along it."""
    directions, x = planted()
    dense, sparse = directions[0], directions[1:]
    x = x + (2 * gaussian(len(x), 1, seed=3).float() - (x @ dense)[:, None]) * dense
    hybrid, plain = (fit_one("topk_sae", x, seed=seed, **EASY | {"k": 2, "dense": n, "steps": 1500}) for n in (2, 0))
    codes = hybrid.codes(x)
    written = codes[:, :2] @ hybrid.directions[:2]
    assert (written @ dense).var() > 0.9 * written.var(0).sum()
    assert ((x - written) @ dense).var() < 0.1 * (x @ dense).var()
    assert (codes[:, 2:] != 0).sum(1).max() <= 2
    assert (codes[:, :2] != 0).double().mean() > 0.9
    assert cosine(sparse, hybrid.directions).max(1).values.mean() > 0.8
    assert hybrid.member["fvu"] < 0.1 * plain.member["fvu"]


@pytest.mark.parametrize("name", ["relu_sae", "gated_sae", "jumprelu_sae"])
def test_dense_latents_are_not_penalised(name):
    """With a penalty that silences all that it reaches, only they are left."""
    d = fit_one(name, mixed(400), dense=3, coefficient=50.0, steps=300, dead="none")
    assert (d.firing_rate[:3] > 0).any()
    assert (d.firing_rate[3:] < 0.05).all()


# Fixed directions

HOLDING = [name for name in SPARSE if name != "archetypal_sae"]


@pytest.mark.parametrize("fixed", [5, 16])
@pytest.mark.parametrize("name", one_of_each(HOLDING))
def test_fixed_rows_do_not_move_by_a_bit_and_biases_do(name, fixed):
    member = make_member(name, mixed(), fixed=fixed)
    start = initialise(method_of(name), [member]).parameters
    (d,) = method_of(name).fit([member])
    assert torch.equal(d.directions[16 - fixed :], start["decoder"][0, 16 - fixed :])
    if name != "gated_sae" and "encoder" in start:  # A gated one's is rescaled for each latent.
        assert torch.equal(d.encoder[16 - fixed :], start["encoder"][0, 16 - fixed :])
        assert (d.encoder_bias[16 - fixed :] != 0).any()
    assert cosine(d.encoder, start["decoder"][0]).diagonal()[16 - fixed :].min() > 1 - 1e-6
    assert not torch.equal(d.directions[: 16 - fixed], start["decoder"][0, : 16 - fixed]) or fixed == 16
    assert not torch.equal(d.bias, start["bias"][0])


@pytest.mark.parametrize("name", ["topk_sae", "relu_sae"])
def test_soft_frozen_directions_stay_within_their_cosine_at_every_step(name):
    changes = {"decoder": "norm_weighted"} if name == "relu_sae" else {}
    recipe, x = method_of(name), mixed()
    stack = initialise(recipe, [make_member(name, x, fixed=5, fixed_cosine=0.95, lr=3e-2, **changes)])
    least = []
    for _ in range(60):
        plain_step(recipe, stack, x[None] * stack.scale[:, None, None])
        stack.step += 1
        kept = cosine(stack.parameters["decoder"][0], stack.start[0]).diagonal()
        least.append(float(kept[-5:].min()))
    assert min(least) > 0.95 - 1e-6
    # They do move, up to the limit, and the others past it.
    assert least[-1] < 0.96
    assert kept[:-5].min() < 0.95


@pytest.mark.parametrize("name", ["topk_sae", "relu_sae", "matching_pursuit_sae"])
def test_a_dictionary_that_is_soft_frozen_as_a_whole_keeps_its_cosine(name):
    """All of its latents move, none by more than the limit, and of those that would go further the limit is reached."""
    member = make_member(name, mixed(), fixed=16, fixed_cosine=0.9, lr=3e-2, steps=60)
    start = initialise(method_of(name), [member]).start[0]
    (d,) = method_of(name).fit([member])
    kept = (d.directions * start).sum(1)
    assert kept.min() > 0.9 - 1e-6
    assert kept.max() < 1 - 1e-6
    assert (kept < 0.9 + 1e-4).any()
    assert_close(d.moved, 1 - kept, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(2))
def test_directions_drawn_with_the_datas_covariance_have_it(seed):
    """In two dimensions unit vectors of a normal with deviations a, b have second moments a / (a + b), b / (a + b).

    Each entry is a mean of 4000 numbers within [-1, 1] of deviation below 0.5: off by 0.04 is 5 sigma, below 1e-5.
    """
    rotation = haar_rotation(2, seeded(seed)).float()
    x = gaussian(20_000, 2, seed=seed).float()
    x = (x / x.std(0)) @ torch.tensor([3.0, 1.0]).diag() @ rotation + 10
    member = make_member("topk_sae", x, n_latents=4000, fixed=4000, fixed_source="covariance")
    drawn = initial_directions(member).double()
    expected = rotation.T @ torch.tensor([0.75, 0.25]).diag() @ rotation
    assert_close(drawn.T @ drawn / 4000, expected.double(), atol=0.04, rtol=0)
    on_sphere = initial_directions(make_member("topk_sae", x, n_latents=4000)).double()
    assert_close(on_sphere.T @ on_sphere / 4000, torch.eye(2).double() / 2, atol=0.04, rtol=0)


def test_directions_from_data_are_centred_samples():
    x = mixed()
    drawn = initial_directions(make_member("topk_sae", x, directions_init="data"))
    assert_close(cosine(drawn, x - x.mean(0)).max(1).values.float(), torch.ones(16))
    assert cosine(drawn, drawn).fill_diagonal_(0).max() < 1 - 1e-6  # Without replacement.


# Scales and starts


@pytest.mark.parametrize("name", one_of_each(SPARSE))
def test_scale_of_the_activations_scales_the_codes_alone(name):
    """By a power of two, which rounds nothing: what is learned has no unit."""
    x = mixed()
    d, scaled = fit_one(name, x), fit_one(name, 64 * x)
    assert torch.equal(d.directions, scaled.directions)
    assert_close(scaled.codes(64 * x), 64 * d.codes(x))


@pytest.mark.parametrize("seed", range(3))
def test_geometric_median_is_where_the_unit_vectors_to_all_samples_cancel(seed):
    """The gradient of the sum of distances is zero."""
    x = gaussian(60, 4, seed=seed).exp()
    assert unit(x - geometric_median(x)).sum(0).norm() < 1e-3 * len(x)


def test_geometric_median_shrugs_at_one_wild_sample_and_the_mean_does_not():
    x = gaussian(101, 3)
    wild = torch.cat([x, torch.full((1, 3), 1e6).double()])
    assert (geometric_median(wild) - geometric_median(x)).norm() < 0.1
    assert (wild.mean(0) - x.mean(0)).norm() > 1e4


def test_default_learning_rate_follows_the_number_of_latents():
    options = make_member("topk_sae", mixed(), lr=None).options
    assert method_of("topk_sae").learning_rate(options) == 2e-4 / math.sqrt(16 / 2**14)
    assert method_of("topk_sae").learning_rate(options | {"n_latents": 2**14}) == pytest.approx(2e-4)
    assert method_of("topk_sae").learning_rate(options | {"lr": 0.5}) == 0.5
