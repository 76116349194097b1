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
from homolog.atlas.activity import BINS, SAMPLE, TOP, Kept, codes_at, observe
from homolog.atlas.effects import added_to_logits, maps
from homolog.atlas.fates import fates
from homolog.atlas.neighbours import NEAREST, by_chance, nearest
from homolog.atlas.pages import short
from homolog.atlas.sheets import COLUMNS, write_sheets
from homolog.atlas.shown import neighbouring
from homolog.atlas.site import content_of, new_site
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary
from homolog.models.mlp import MLP

UNITS = 6


def make_dictionary(latents: int, units: int = UNITS, seed: int = 0, **changes) -> Dictionary:
    directions = gaussian(latents, units, seed=seed, dtype=torch.float32)
    ones = torch.ones(latents)
    whole = Dictionary(directions, directions, 0 * ones, torch.zeros(units), ones, ones, activation="relu")
    return replace(whole, **changes)


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
    found = observe(dictionary, InMemory(x), priority)
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


def test_codes_are_looked_up_by_latent_and_row(monkeypatch):
    monkeypatch.setattr(activity, "CODES", 5 * 4)
    dictionary, x = make_dictionary(4), gaussian(23, UNITS, dtype=torch.float32)
    latent, row = (torch.randint(-1 if n == 23 else 0, n, (50,), generator=seeded(n)).numpy() for n in (4, 23))
    wanted = np.where(row >= 0, dictionary.codes(x).numpy()[row, latent], 0)
    assert codes_at(dictionary, InMemory(x), latent, row).tolist() == pytest.approx(wanted.tolist())


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


def test_a_place_on_a_sheet_is_its_image(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (23, 3, 5)) / 255
    write_sheets(tmp_path, images, 12, "gray", (0, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png"]
    for number, image in enumerate(images):
        sheet, place = divmod(number, 12)
        line, column = divmod(place, COLUMNS)
        pixels = imread(tmp_path / f"{sheet}.png")[3 * line : 3 * line + 3, 5 * column : 5 * column + 5, 0]
        np.testing.assert_allclose(pixels, image, atol=1 / 255)


def test_the_rows_around_a_token_are_those_of_its_document():
    generator = np.random.default_rng(0)
    places = [(document, position) for document in range(4) for position in range(30) if generator.random() < 0.7]
    document, position = generator.permutation(places).T
    found = neighbouring(document, position, around=3)
    row_of = {place: row for row, place in enumerate(zip(document.tolist(), position.tolist(), strict=True))}
    for row, (d, p) in enumerate(zip(document.tolist(), position.tolist(), strict=True)):
        assert found[row].tolist() == [row_of.get((d, p + away), -1) for away in range(-3, 4)]
    assert neighbouring(np.empty(0, int), np.empty(0, int)).shape[0] == 0


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
