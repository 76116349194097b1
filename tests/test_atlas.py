"""Is what an atlas tells of each latent what a slow and obvious reading of the same activations tells?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from making import CLASSES, INPUTS, gaussian, make_network, seeded
from matplotlib.image import imread

from homolog.alignment.gauge import no_gauge
from homolog.atlas import activity
from homolog.atlas.activity import BINS, SAMPLE, TOP, ActiveCodes, Kept, observe
from homolog.atlas.around import codes_around
from homolog.atlas.build import _headlines
from homolog.atlas.effects import added_to_logits, maps
from homolog.atlas.fates import fates
from homolog.atlas.neighbours import NEAREST, by_chance, nearest
from homolog.atlas.network_effects import STRONGEST, Added, added_of
from homolog.atlas.pages import short
from homolog.atlas.pictures import grid_of, shrunk
from homolog.atlas.sheets import COLUMNS, write_sheet
from homolog.atlas.site import content_of, new_site
from homolog.atlas.strongest import largest_by_chance, strongest_effect, strongest_on
from homolog.atlas.texts import texts_of, visible
from homolog.corpora.tokenizers import Words
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.models.mlp import MLP

UNITS = 6


def make_dictionary(latents: int, units: int = UNITS, seed: int = 0, **changes) -> Dictionary:
    directions = gaussian(latents, units, seed=seed, dtype=torch.float32)
    ones = torch.ones(latents)
    whole = Dictionary(directions, directions, 0 * ones, torch.zeros(units), ones, ones, activation="relu")
    return replace(whole, **changes)


def made_whole(latents: int, rows: int) -> tuple[Dictionary, torch.Tensor]:
    """A dictionary and inputs of whole numbers: products are exact, however rows are blocked."""
    whole = torch.randint(-5, 6, (latents, UNITS), generator=seeded(2)).float()
    return make_dictionary(latents, encoder=whole), torch.randint(-5, 6, (rows, UNITS), generator=seeded(3)).float()


def sample_of(rows: list[list[int]], codes: torch.Tensor) -> Kept:
    """The rows that are listed of each latent, with their codes."""
    width = max(map(len, rows))
    padded = np.array([[*of, *[-1] * (width - len(of))] for of in rows])
    latent = np.arange(len(rows))[:, None]
    return Kept(padded, np.where(padded >= 0, codes.numpy()[padded, latent], 0).astype(np.float32))


# Activity


@pytest.mark.parametrize("name", ["relu", "topk", "identity"])
@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_activity_is_what_all_codes_at_once_tell(name, at_once, monkeypatch):
    # Whole numbers and powers of two: products are exact, however rows are blocked.
    whole = torch.randint(-5, 6, (9, UNITS), generator=seeded(2)).float()
    dictionary = make_dictionary(9, activation=name, k=2, encoder=whole, encoder_bias=torch.arange(-6.0, 3))
    scale = 2.0 ** (torch.arange(150) % 17 - 8)
    x = torch.randint(-5, 6, (150, UNITS), generator=seeded(3)) * scale[:, None]
    priority = torch.randperm(150, generator=seeded(1)).numpy()
    monkeypatch.setattr(activity, "CODES", at_once * 9)
    read = ActiveCodes(dictionary, InMemory(x))
    found = observe(read, priority)
    codes = dictionary.codes(x).numpy()
    assert found.rows == 150
    assert (found.active == (codes != 0).sum(0)).all()
    assert 0 < found.active.min() < found.active.max() or name == "identity"
    for latent in range(9):
        active = np.flatnonzero(codes[:, latent])
        top = active[np.argsort(-np.abs(codes[active, latent]), kind="stable")][:TOP]
        drawn = active[np.argsort(priority[active])][:SAMPLE]
        for kept, rows in ((found.top, top), (found.sample, drawn)):
            assert kept.row[latent].tolist() == [*rows, *[-1] * (kept.row.shape[1] - len(rows))]
            assert kept.code[latent, : len(rows)].tolist() == codes[rows, latent].tolist()
        largest = np.abs(codes[:, latent]).max(initial=0)
        end = 2.0 ** found.exponent[latent]
        assert largest < end <= 2 * largest or not largest
        counts, _ = np.histogram(codes[active, latent].astype(float), 2 * BINS, (-end, end))
        assert found.histogram[latent].tolist() == counts.tolist()


@pytest.mark.parametrize("remembered", [0, 2**24])
@pytest.mark.parametrize("at_once", [7, 1000])
def test_a_second_reading_gives_the_same_whether_or_not_it_is_remembered(at_once, remembered, monkeypatch):
    monkeypatch.setattr(activity, "CODES", at_once * 5)
    monkeypatch.setattr(activity, "REMEMBERED", remembered)
    dictionary, x = made_whole(5, 60)
    read = ActiveCodes(dictionary, InMemory(x))
    whole = np.zeros((2, 60, 5), np.float32)
    for reading in whole:
        for latent, row, code in read:
            reading[row, latent] = code
    assert (whole[0] == whole[1]).all()
    assert (whole[0] == dictionary.codes(x).numpy()).all()
    assert 0 < (whole[0] != 0).mean() < 1


@pytest.mark.parametrize("at_once", [3, 11, 1000])
def test_of_an_input_with_several_rows_only_the_strongest_is_among_the_strongest(at_once, monkeypatch):
    monkeypatch.setattr(activity, "CODES", at_once * 9)
    dictionary, x = made_whole(9, 150)
    unit = torch.randint(25, (150,), generator=seeded(5)).numpy()
    found = observe(ActiveCodes(dictionary, InMemory(x)), np.arange(150), unit)
    codes = np.abs(dictionary.codes(x).numpy())
    for latent in range(9):
        best = {one: max((row for row in np.flatnonzero(unit == one)), key=lambda row: codes[row, latent])
                for one in range(25)}  # fmt: skip
        active = [row for row in best.values() if codes[row, latent] > 0]
        wanted = sorted(active, key=lambda row: (-codes[row, latent], row))[:TOP]
        assert found.top.row[latent].tolist() == [*wanted, *[-1] * (TOP - len(wanted))]
        assert found.top.code[latent, : len(wanted)].tolist() == codes[wanted, latent].tolist()


@pytest.mark.parametrize("at_once", [3, 1000])
def test_the_codes_around_a_row_are_those_of_all_rows_of_its_input(at_once, monkeypatch):
    monkeypatch.setattr(activity, "CODES", at_once * 4)
    dictionary, x = made_whole(4, 60)
    # Ten inputs of six places, whose rows lie anywhere; of some there is no row.
    place_of_all = torch.randperm(70, generator=seeded(1))[:60].numpy()
    unit, place = np.divmod(place_of_all, 7)
    row = torch.randint(-1, 60, (4, 5), generator=seeded(2)).numpy()
    found = codes_around(ActiveCodes(dictionary, InMemory(x)), row, unit, place)
    codes = dictionary.codes(x).numpy()
    for latent in range(4):
        for shown, at in enumerate(row[latent]):
            places, values = found.of(latent, shown)
            there = [] if at < 0 else [r for r in range(60) if unit[r] == unit[at] and codes[r, latent] != 0]
            there.sort(key=lambda r: place[r])
            assert places.tolist() == [place[r] for r in there]
            assert values.tolist() == [codes[r, latent] for r in there]


# Effects and maps


def test_what_a_latent_adds_to_logits_that_are_linear_is_its_direction_through_their_weights():
    network = make_network([UNITS])
    x = gaussian(20, UNITS, dtype=torch.float32).relu()
    dictionary = make_dictionary(2, directions=torch.tensor([[3.0, 0, 0, 0, 0, 0], [0, 1.0, 1, 0, 0, 0]]))
    codes = dictionary.codes(x)
    rows = [[0, 3, 7], [5]]
    own, null = added_to_logits(
        network, "hidden_0", no_gauge(UNITS), InMemory(x), dictionary, sample_of(rows, codes), seeded(0)
    )
    weights = network.linear("logits").weight.detach().double()
    through = dictionary.directions.double() @ (weights - weights.mean(0)).T
    mean = torch.stack([codes[of, latent].double().mean() for latent, of in enumerate(rows)])
    np.testing.assert_allclose(own, (mean[:, None] * through).numpy(), atol=1e-6)
    # Two latents are each other's partner, and of the other's direction there is as much as of the own.
    unit = through / dictionary.directions.double().norm(dim=1, keepdim=True)
    amount = mean * dictionary.directions.double().norm(dim=1)
    np.testing.assert_allclose(null, (amount[:, None] * unit.flip(0)).numpy(), atol=1e-6)


def test_a_latent_that_is_never_active_has_no_effect_and_one_alone_no_null():
    network, x = make_network([UNITS]), gaussian(5, UNITS, dtype=torch.float32)
    dictionary = make_dictionary(1)
    never = Kept(np.full((1, 3), -1), np.zeros((1, 3), np.float32))
    own, null = added_to_logits(network, "hidden_0", no_gauge(UNITS), InMemory(x), dictionary, never, seeded(0))
    assert np.isnan(own).all()
    assert np.isnan(null).all()
    found = maps(network.float(), "hidden_0", no_gauge(UNITS), torch.zeros(5, INPUTS), dictionary, never)
    assert np.isnan(found).all()


def test_a_map_is_the_slope_of_the_pre_activation_along_each_input():
    network = MLP(INPUTS, CLASSES, [5, UNITS], "tanh").double()
    network.initialise(seeded(3))
    inputs = gaussian(10, INPUTS)
    gauge = replace(no_gauge(UNITS), order=torch.randperm(UNITS, generator=seeded(1)), scale=torch.rand(UNITS) + 0.5)
    dictionary = make_dictionary(3).to(torch.float64)
    rows = [[0, 4], [2], [9, 1, 3]]
    kept = sample_of(rows, torch.ones(10, 3))

    def pre(x):
        hidden = network.hidden_1(network.hidden_0(x))
        return (gauge.canonical(hidden) @ dictionary.encoder.T).detach()

    step = 1e-5
    slopes = torch.stack(
        [(pre(inputs + step * d) - pre(inputs - step * d)) / (2 * step) for d in torch.eye(INPUTS).double()], dim=2
    )
    wanted = torch.stack([slopes[of, latent].mean(0) for latent, of in enumerate(rows)])
    found = maps(network, "hidden_1", gauge, inputs, dictionary, kept)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)


def added_at_random(latents: int, classes: int, seed: int) -> Added:
    own, null = (gaussian(latents, classes, seed=seed + more).numpy() for more in (0, 1))
    own[-1] = null[-1] = np.nan
    return added_of(3, own, null)


def test_the_strongest_effect_of_a_feature_is_that_of_the_mean_over_its_members():
    """Where all changes are known, and where only the largest ones are, which here are all: two ways to one number."""
    classes = 2 * STRONGEST
    members = np.array([[0, 1, 2], [3, -1, 4], [-1, 5, -1], [5, 5, -1]])
    effects = [added_at_random(6, classes, seed) for seed in (0, 10, 20)]
    largest = [replace(one, own=None, null=None) for one in effects]
    told = strongest_effect(members, effects)
    for item, (effect, of_class) in enumerate(zip(*told, strict=True)):
        mine = [one.own[m] for one, m in zip(effects, members[item], strict=True) if m >= 0]
        known = [one for one in mine if not np.isnan(one).any()]
        if not known:
            assert np.isnan(effect)
            assert of_class == -1
            continue
        mean = np.mean(known, axis=0)
        assert of_class == np.abs(mean).argmax()
        assert effect == pytest.approx(mean[of_class])
    for whole, part in zip(told, strongest_effect(members, largest), strict=True):
        np.testing.assert_allclose(whole, part)
    assert np.isnan(strongest_effect(members, [*effects[:2], None])[0]).all()


def test_chance_does_not_fall_with_the_number_of_runs():
    """Partners of different runs don't agree: the largest change of their mean is sqrt(R) times smaller."""
    few, many = ([added_at_random(41, 10, 2 * seed) for seed in range(runs)] for runs in (1, 16))
    by_chance = [
        largest_by_chance(np.repeat(np.arange(40)[:, None], len(effects), 1), effects).mean() for effects in (few, many)
    ]
    assert by_chance[1] == pytest.approx(by_chance[0], rel=0.1)
    one = few[0]
    assert largest_by_chance(np.array([[3]]), few)[0] == pytest.approx(np.abs(one.null[3]).max())
    assert np.isnan(largest_by_chance(np.array([[40], [-1]]), few)).all()
    assert np.isnan(largest_by_chance(np.array([[3, 3]]), [one, None])).all()


def test_of_many_classes_a_member_counts_as_none_where_a_change_is_not_among_its_largest():
    own = np.zeros((1, 65))
    own[0, :3] = [5, 3, 2]
    one = added_of(1, own, 0 * own)
    assert one.own is None
    assert one.strongest.which[0, :3].tolist() == [0, 1, 2]
    other = added_of(1, -np.eye(1, 65), np.zeros((1, 65)))
    effect, of_class = strongest_effect(np.array([[0, 0]]), [one, other])
    assert (effect.tolist(), of_class.tolist()) == ([2.0], [0])


def test_what_a_feature_is_strongest_on_are_the_words_that_its_strongest_rows_share():
    rows = [np.array([[0, 1, 2], [3, -1, -1]]), np.array([[4, 5, 6]])]
    words = ["a", "b", None, "c", "d", "b", "b"]
    found, counts = strongest_on(np.array([[0, 0], [1, -1], [-1, 0], [-1, -1]]), rows, words)
    assert found == [["b", "a", "d"], ["c"], ["b", "d"], []]
    assert counts == [[3, 1, 1, 5], [1, 1], [2, 1, 3], []]


# Neighbours


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("at_once", [1, 10**6])
def test_neighbours_are_those_of_a_loop_over_all_pairs(signed, at_once, monkeypatch):
    monkeypatch.setattr("homolog.atlas.neighbours.AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    directions = [gaussian(12, units, seed=units, dtype=torch.float32) for units in (4, 5, 6)]
    items = np.stack([generator.permutation(12) for _ in directions], axis=1)
    items[generator.random(items.shape) < 0.4] = -1
    items = np.vstack([items[(items >= 0).any(1)], [[3, -1, -1]]])
    tracks = items[:9]
    index, cosine = nearest(items, tracks, directions, signed)
    unit = [one / one.norm(dim=1, keepdim=True) for one in directions]
    for item, members in enumerate(items):
        means = {}
        for other, theirs in enumerate(tracks):
            both = [run for run in range(3) if members[run] >= 0 and theirs[run] >= 0]
            cosines = [float(unit[run][members[run]] @ unit[run][theirs[run]]) for run in both]
            if both and other != item:
                means[other] = np.mean(cosines if signed else np.abs(cosines))
        order = sorted(means, key=lambda other: -means[other])[:NEAREST]
        assert index[item].tolist() == [*order, *[-1] * (NEAREST - len(order))]
        np.testing.assert_allclose(cosine[item, : len(order)], [means[other] for other in order], atol=1e-6)


def test_a_random_direction_exceeds_the_null_of_neighbours_as_often_as_it_says():
    """In two dimensions: 10 tracks, one run. 5 % of further directions exceed it, give or take what 200 draws allow.

    The share's standard error is 0.015: five of them.
    """
    directions = [gaussian(10, 2, dtype=torch.float32)]
    tracks = np.arange(10)[:, None]
    level = by_chance(tracks, directions, True, seeded(0))
    fresh = gaussian(2000, 2, seed=7, dtype=torch.float32)
    cosines = torch.nn.functional.cosine_similarity(fresh[:, None], directions[0][None], dim=2).amax(1)
    assert 0 <= float((cosines > level).double().mean()) < 0.13
    assert np.isnan(by_chance(tracks[:0], directions, True, seeded(0)))


# Fates


def test_fates_are_those_that_were_planted():
    """Before: 0 is kept as 3, 1 splits into 0 and 1, 2 and 3 merge into 2, 4 goes; after: 4 is born. 5 isn't live."""
    child = [3, 0, 2, 2, -1, -1]
    parent = [1, 1, 2, 0, -1, -1]
    alive = [0.9, 0.8, 0.7, 0.6, 0.1, np.nan]
    change = {"kind": "retrained", "group": "g", "hook_point": "h", "before": "a", "after": "b"}
    change |= {"decomposition_before": "topk", "decomposition_after": "topk"}
    tracks = xr.Dataset(
        {
            **{f"change_{name}": ("change", [value]) for name, value in change.items()},
            "child": (("change", "latent_before"), [child]),
            "parent": (("change", "latent_after"), [parent]),
            **{f"{side}_{what}": (("change", f"latent_{where}"), [alive]) for what in ("similarity", "p_value")
               for side, where in (("child", "before"), ("parent", "after"))},
        }
    )  # fmt: skip
    found = fates(tracks)
    told = {(run, latent): (one.outcome, one.others) for (run, _, _, latent), (one,) in found.items()}
    assert told == {
        ("a", 0): ("kept", [3]), ("a", 1): ("split", [0, 1]), ("a", 2): ("matched", [2]), ("a", 3): ("matched", [2]),
        ("a", 4): ("gone", []), ("b", 0): ("matched", [1]), ("b", 1): ("matched", [1]), ("b", 2): ("merged", [2, 3]),
        ("b", 3): ("kept", [0]), ("b", 4): ("born", []),
    }  # fmt: skip
    assert found["a", "h", "topk", 3][0].similarity == 0.6
    assert fates(xr.Dataset()) == {}


# What pages are made of


def test_numbers_have_three_significant_digits():
    values = np.array([0, 1, -0.123456, 123456, 9.996, 1e-30, -2.5e20, np.nan, np.inf])
    told = short(values)
    wanted = [float(f"{value:.3g}") for value in values]
    np.testing.assert_allclose(told, wanted, rtol=1e-12)
    numbers = np.random.default_rng(0).lognormal(0, 4, 2000)
    assert max(len(repr(one)) for one in short(numbers[(numbers > 1e-4) & (numbers < 1e4)]).tolist()) <= 8


@pytest.mark.parametrize("channels", [1, 3])
def test_a_place_on_a_sheet_is_its_image(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (23, 3, 5, channels)) / 255
    write_sheet(tmp_path / "sheet.png", images, "gray", (0, 1))
    whole = imread(tmp_path / "sheet.png")[..., :channels]
    for number, image in enumerate(images):
        line, column = divmod(number, COLUMNS)
        pixels = whole[3 * line : 3 * line + 3, 5 * column : 5 * column + 5]
        np.testing.assert_allclose(pixels, image, atol=1 / 255)


@pytest.mark.parametrize(
    ("places", "size", "grid"),
    [
        (49, (28, 28), [7, 7, 0]), (197, (224, 224), [14, 14, 1]), (201, (224, 224), [14, 14, 5]),
        (70, (30, 40), [7, 10, 0]), (70, (40, 30), [10, 7, 0]), (50, (32, 32), [7, 7, 1]), (1, (8, 8), None),
        (7, (70, 10), [7, 1, 0]), (3, (28, 28), None), (11, (28, 28), [3, 3, 2]), (13, (100, 1), None),
    ],
)  # fmt: skip
def test_places_make_the_grid_that_is_shaped_like_the_picture(places, size, grid):
    assert grid_of(places, size) == grid


def test_pictures_shrink_in_proportion_and_never_grow():
    assert shrunk((28, 28)) == (28, 28)
    assert shrunk((224, 448)) == (56, 112)
    assert shrunk((2, 4000)) == (1, 112)


def test_what_cannot_be_seen_of_a_token_is_told():
    told = {" the": " the", "\n\t": "↵⇥", "\x00": "⟨0⟩", "\u202e<b>": "⟨202e⟩<b>", "\u200b": "⟨200b⟩", "\xa0": "⟨a0⟩",
            "\u0301": "◌\u0301", "é": "é", "日本": "日本"}  # fmt: skip
    assert {text: visible(text.encode()) for text in told} == told
    assert visible("é".encode()[:1]) == "⟨c3⟩"
    shown = texts_of(Words([" the", "word"]))
    assert shown[256:] == ["<end>", " the", "word"]
    assert all(shown)


def test_a_folder_that_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    with new_site(tmp_path / "site") as new:
        (new / "index.html").write_text("first")

    def write_half() -> None:
        with new_site(tmp_path / "site") as new:
            (new / "index.html").write_text("second")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site" / "index.html").read_text() == "first"
    with new_site(tmp_path / "site") as new:
        (new / "other.html").write_text("third")
    # Without a first page it is no atlas: the old one isn't taken for the new one's.
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["other.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file.site can't be written"), new_site(tmp_path / "file" / "site"):
        pass


def test_the_content_of_a_site_changes_with_any_byte_of_its_data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.js").write_text("1")
    first = content_of(tmp_path)
    (tmp_path / "index.html").write_text("it holds the hash itself")
    assert content_of(tmp_path) == first
    (tmp_path / "data" / "a.js").write_text("2")
    assert content_of(tmp_path) != first


def test_what_tracks_come_to_is_told_by_hook_point_where_there_are_several():
    tracks = xr.Dataset({"accepted_run": ("run", [True, False])}, {"run": ["a", "b"]})
    (alone,) = _headlines(tracks, ["mlp_0"])
    assert alone.startswith("No tracks: of 2 runs only 1 count")
    assert _headlines(tracks, ["mlp_0", "mlp_1"]) == [f"mlp_0: {alone}", f"mlp_1: {alone}"]
