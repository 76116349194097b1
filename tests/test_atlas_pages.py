"""Does an atlas work in a real browser, from disk: lists, pages, keys, colours, and names that are no markup?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.image import imread, imsave
from workspace import Workspace

from benchmarks.atlas import HOOK_POINT, PROVENANCE, Sizes, make_results
from benchmarks.browser import CHROMIUM, Browser
from homolog.atlas import network_effects, site
from homolog.atlas.build import PER_PAGE, build
from homolog.atlas.reading import Source
from homolog.atlas.site import content_of, read_header
from homolog.corpora.images import ImageCorpus
from homolog.corpora.text import Text
from homolog.loading import build as build_from
from homolog.results.planned import PlannedJob
from homolog.results.prune import unwanted
from homolog.results.verify import verify
from homolog.store.activations import read_activations
from homolog.store.dictionaries import read_dictionaries

SIZES = Sizes(runs=4, tracks=70, latents=90, rows=300, units=12, active=5)
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
READY = "document.documentElement.dataset.ready"

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")


@dataclass(frozen=True)
class Made:
    """An atlas, and what it was made of."""

    folder: Path
    spec: dict[str, Any]
    tracks: xr.Dataset
    paths: list[str]
    source: Source

    def page(self, name: str) -> str:
        return f"{self.folder.as_uri()}/{name}"

    def data(self, name: str) -> Any:
        """What a script of data hands over."""
        told = (self.folder / "data" / f"{name}.js").read_text()
        return json.loads(told.partition(",")[2].removesuffix(");\n"))

    def again(self, folder: Path, **changed: Any) -> Made:
        """The same from the same, but for some of the spec."""
        spec = {**self.spec, **changed}
        source = None if spec["shown"]["kind"] == "numbers" else self.source
        build(folder, spec, self.tracks, self.paths, source, PROVENANCE)
        return Made(folder, spec, self.tracks, self.paths, source)


def make(root: Path, shown: str = "task", fed: dict[str, Any] | None = None) -> Made:
    """An atlas in which all names that may be anything are hostile."""
    spec, tracks, paths, source = make_results(root / "models", SIZES, shown, fed, effects=True)
    spec["experiment"] = HOSTILE
    tracks = tracks.assign_coords(group=["base", HOSTILE])
    tracks = tracks.assign(change_group=("change", np.full(tracks.sizes["change"], HOSTILE, object)))
    provenance = {**PROVENANCE, "spec": json.dumps(spec)}
    with pytest.MonkeyPatch.context() as patch:
        # Two rows of each latent, so that few passes are made.
        patch.setattr(network_effects, "POSITIONS", 0)
        build(root / "atlas", spec, tracks, paths, source, provenance)
    return Made(root / "atlas", spec, tracks, paths, source)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Of documents that would do harm, as sequences that begin and end within them."""
    root = tmp_path_factory.mktemp("text")
    words = [HOSTILE, "the", "of\n", "\u202e", "light", "\t"]
    generator = np.random.default_rng(0)
    for number in range(40):
        (root / f"{number:02}.txt").write_text(" ".join(generator.choice(words, 60)))
    fed = {"target": "homolog.corpora.text_files:TextFiles", "path": str(root), "length": 200, "test_fraction": 0.25}
    return make(root, "text", fed)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Colour pictures in folders, of which a convolution reads places."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number in range(60):
        path = root / "images" / f"class {number % 2} & <b>" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, generator.integers(0, 256, (8, 12, 3)).astype(np.uint8))
    fed = {"target": "homolog.corpora.images:Images", "path": str(root / "images"), "mean": [0.5] * 3, "std": [0.2] * 3}
    return make(root, "images", fed | {"test_fraction": 0.4})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(autouse=True)
def no_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does in the browser, nothing is thrown or missing, no name is run, and nothing else is loaded."""
    yield
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        errors, browser.errors[:] = list(browser.errors), []
        assert errors == []
        assert browser.get("window.hacked") is None
        loaded = browser.get("performance.getEntriesByType('resource').map((one) => one.name)")
        assert [name for name in loaded if not name.startswith(("file:", "data:"))] == []


def column(browser: Browser, title: str) -> list[str]:
    """What stands under a heading, on the page of the list that is shown."""
    return browser.get(
        f"""(() => {{ const heads = [...document.querySelectorAll("#list thead th")];
        const place = heads.findIndex((head) => head.innerText.trim() === {json.dumps(title)});
        return [...document.querySelectorAll("#list tbody tr")].map((row) => row.cells[place].innerText); }})()"""
    )


def number(text: str) -> float:
    return float(text.replace("−", "-").split(" ")[0])


def first_active(made: Made, places: int = 0) -> int:
    """The first feature of which the first member is active on some input, of which it is active on so many places."""
    return next(
        place
        for place, one in enumerate(made.data("items/0"))
        if (top := one["members"][0]["top"]) and (not places or len(top[0][2]) >= places)
    )


# The list


@needs_browser
def test_the_list_is_sorted_by_a_key_on_its_headings(made: Made, browser: Browser) -> None:
    browser.open(made.page("index.html"), READY)
    runs = [number(text) for text in column(browser, "runs of 4")]
    assert runs == sorted(runs, reverse=True)
    assert len(runs) == 25
    similarity = made.data("tracks")["similarity"]
    for order, wanted in (("descending", sorted(similarity, reverse=True)), ("ascending", sorted(similarity))):
        browser.get(
            """[...document.querySelectorAll("#list thead th")].find((head) => head.innerText.trim() === "similarity")
            .querySelector("[role=button]").focus()"""
        )
        browser.press("Enter", 13, "\r")
        browser.wait(f"document.querySelector('th[aria-sort={order}]')?.innerText.trim() === 'similarity'")
        assert [number(text) for text in column(browser, "similarity")] == pytest.approx(wanted[:25])


@needs_browser
def test_the_list_is_searched_and_filtered(made: Made, browser: Browser) -> None:
    browser.open(made.page("index.html"), READY)
    browser.get("document.querySelector('input[type=search]').focus()")
    browser.write("#6")
    browser.wait("document.querySelectorAll('#list tbody tr').length < 25")
    assert {text.removeprefix("#") for text in column(browser, "feature")} == {"6", *map(str, range(60, 70))}
    browser.open(made.page("index.html"), READY)
    found = made.data("tracks")["found"]
    browser.get("document.querySelector('.filters input').focus()")
    browser.write("4")
    browser.wait(f"document.body.innerText.includes('{found.count(4)} of {len(found)} features')")
    assert set(column(browser, "runs of 4")) == {"4"}
    assert 0 < found.count(4) < len(found)


@needs_browser
@pytest.mark.parametrize(
    ("label", "name", "limit", "keeps"),
    [
        ("similarity ≥", "similarity", 0.9, float.__ge__),
        ("p ≤", "adjusted_p_value", 0.05, float.__le__),
        ("effect on class", "effect_class", None, float.__eq__),
    ],
)
def test_each_filter_keeps_what_it_says(
    label: str, name: str, limit: float | None, keeps: Callable[[float, float], bool], made: Made, browser: Browser
) -> None:
    browser.open(made.page("index.html"), READY)
    values = [float("nan") if value is None else float(value) for value in made.data("tracks")[name]]
    limit = max(values) if limit is None else limit
    browser.get(
        f"""(() => {{ const one = [...document.querySelectorAll(".filters label")].find((label) =>
        label.innerText.startsWith({json.dumps(label)})).querySelector("input, select");
        one.value = "{limit:g}"; one.dispatchEvent(new Event("input", {{ bubbles: true }})); }})()"""
    )
    kept = sum(keeps(value, limit) for value in values)
    assert 0 < kept < len(values)
    browser.wait(f"document.body.innerText.includes('{kept} of {len(values)} features')")


@needs_browser
def test_a_page_says_what_became_of_a_feature_and_leads_there(made: Made, browser: Browser) -> None:
    places = range(len(made.data("tracks")["found"]))
    pages = {place: made.data(f"items/{place // PER_PAGE}")[place % PER_PAGE] for place in places}
    split = next(place for place, page in pages.items() if any(one[3] == "split" for one in page["fates"]))
    browser.open(made.page(f"feature.html#{split}"), f"{READY} === '{split}'")
    found = browser.get(
        """[...document.querySelectorAll(".outcome.split")].map((one) =>
        [...one.closest("tr").querySelectorAll("a")].map((link) => Number(link.hash.slice(1))))"""
    )
    children = [one[4] for one in pages[split]["fates"] if one[3] == "split"]
    assert all(len(one) > 1 for one in children)
    assert found == [[feature for _, feature in one if feature >= 0] for one in children]


@needs_browser
def test_what_did_not_come_back_is_listed_by_run(made: Made, browser: Browser) -> None:
    browser.open(made.page("alone.html"), READY)
    alone = made.data("alone")
    assert f"{len(alone['id'])} of {len(alone['id'])} features" in browser.get("document.body.innerText")
    tracked = made.tracks.latent.values
    for run, latent in zip(alone["run"], alone["latent"], strict=True):
        assert latent not in tracked[:, run]
    browser.get("document.querySelector('#list tbody a').focus()")
    browser.press("Enter", 13, "\r")
    browser.wait("document.title.startsWith('#')")
    assert "which did not come back" in browser.get("document.querySelector('h1').innerText")


@needs_browser
def test_twenty_thousand_features_are_drawn_a_page_at_a_time(made: Made, browser: Browser, tmp_path: Path) -> None:
    for path in made.folder.rglob("*"):
        if path.is_file() and path.parent.name != "items":
            copied = tmp_path / path.relative_to(made.folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    columns = made.data("tracks")
    many = {name: (values * 300)[:20_000] for name, values in columns.items()} | {"id": list(range(20_000))}
    (tmp_path / "data" / "tracks.js").write_text(f'atlas.take("tracks",{json.dumps(many)});\n')
    browser.open(f"{tmp_path.as_uri()}/index.html", READY)
    assert "20000 of 20000" in browser.get("document.body.innerText").replace(",", "")
    assert browser.get("document.querySelectorAll('#list tbody tr').length") == 25


# A page


@needs_browser
def test_a_page_shows_every_run_beside_the_others(made: Made, browser: Browser) -> None:
    feature = next(place for place, found in enumerate(made.data("tracks")["found"]) if found == 3)
    browser.open(made.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    members = made.data(f"items/{feature // PER_PAGE}")[feature % PER_PAGE]["members"]
    runs = made.data("about")["runs"]
    assert browser.get("[...document.querySelectorAll('.card h2')].map((one) => one.innerText)") == [
        runs[member["run"]] for member in members
    ]
    shown = browser.get("[...document.querySelectorAll('.card')].map((one) => one.querySelectorAll('.input').length)")
    assert shown == [len(member["top"]) + len(member["sample"]) for member in members]
    text = browser.get("document.querySelector('main').innerText")
    for words in ("by chance", "Nearest tracks", "What became of it", "What raises it", "Added to each class's logit"):
        assert words in text
    # Every sheet of pictures that is asked for is there.
    sheets = browser.get(
        "[...new Set([...document.querySelectorAll('.picture')].map((one) => one.style.backgroundImage))]"
    )
    assert len(sheets) > 1
    for sheet in sheets:
        assert (made.folder / sheet.removeprefix('url("').removesuffix('")')).is_file()


@needs_browser
def test_arrow_keys_lead_from_feature_to_feature(made: Made, browser: Browser) -> None:
    browser.open(made.page(f"feature.html#{PER_PAGE - 1}"), f"{READY} === '{PER_PAGE - 1}'")
    browser.press("ArrowRight", 39)
    browser.wait(f"{READY} === '{PER_PAGE}'")
    browser.press("ArrowLeft", 37)
    browser.wait(f"{READY} === '{PER_PAGE - 1}'")
    browser.open(made.page("feature.html#99999"))
    browser.wait("document.body.innerText.includes('There is no feature #99999')")


def pairs(row: list[Any]) -> dict[int, float]:
    return dict(zip(row[2], row[3], strict=True))


@needs_browser
def test_a_token_stands_in_its_sequence_as_deep_as_its_code(text: Made, browser: Browser) -> None:
    feature = first_active(text, places=3)
    browser.open(text.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    row, code, *_ = shown = text.data("items/0")[feature]["members"][0]["top"][0]
    about = text.data("about")["shown"]
    unit, place = divmod(row, about["places"])
    number, tokens, begins = text.data(f"inputs/{unit // about['per_page']}")[unit % about["per_page"]]
    told = """[...document.querySelector("%s").querySelectorAll(":scope > :is(.raises, .lowers)")]
      .map((one) => [one.textContent, one.style.getPropertyValue("--share"), one.matches(".middle"), one.title])"""
    short = browser.get(told % ".line summary")
    assert 1 < len(short) < len(tokens)
    browser.get("document.querySelector('.line summary').focus()")
    browser.press("Enter", 13, "\r")
    browser.wait("document.querySelector('.line .whole')")
    whole = browser.get(told % ".line .whole")
    assert [token.replace("·", " ") for token, *_ in whole] == tokens
    codes = pairs(shown)
    assert codes[place] == code
    assert [middle for *_, middle, _ in whole] == [at == place for at in range(len(tokens))]
    # What isn't 0, as a share of the strongest, which this is.
    wanted = [f"{round(100 * abs(codes[at]) / abs(code))}%" if at in codes else "" for at in range(len(tokens))]
    assert [share for _, share, *_ in whole] == wanted
    assert len({share for share in wanted if share}) > 1
    assert f"place {place} of its sequence, document" in whole[place][3]
    # A document that begins within the sequence is marked there.
    inside = [at for at, _ in begins if at]
    marks = "[...document.querySelectorAll('.line .whole > .begins')].length"
    assert browser.get(marks) == len(inside)
    # As the corpus has them: all bytes of the sequence, of which some can't be seen.
    assert isinstance(text.source, Text)
    ids = text.source.named(torch.tensor([number]))["token_id"][0, : len(tokens)].tolist()
    signs = {10: "↵", 9: "⇥", 256: "<end>"}
    assert tokens == [signs.get(one) or (chr(one) if one < 128 else f"⟨{one:02x}⟩") for one in ids]


def test_codes_around_a_token_are_those_of_the_dictionary(text: Made) -> None:
    """Two ways to one number: what pages say, and all rows encoded at once, found by the names of rows in the file."""
    about = text.data("about")["shown"]
    feature = first_active(text)
    member = text.data("items/0")[feature]["members"][0]
    path = Path(text.paths[member["run"]])
    (dictionary,) = read_dictionaries(path.parent / HOOK_POINT / "topk.h5")
    read = read_activations(path, HOOK_POINT)
    codes = dictionary.codes(read.values)[:, member["latent"]]
    row_of = {int(name): row for row, name in enumerate(read.rows.input_id)}
    assert isinstance(text.source, Text)
    for row, *_, places, values in member["top"] + member["sample"]:
        unit, place = divmod(row, about["places"])
        number = text.data(f"inputs/{unit // about['per_page']}")[unit % about["per_page"]][0]
        near = range(max(0, place - about["before"]), min(about["places"], place + about["behind"] + 1))
        rows = {at: row_of.get(number * about["places"] + at) for at in near}
        wanted = {at: float(codes[one]) for at, one in rows.items() if one is not None and codes[one] != 0}
        assert dict(zip(places, values, strict=True)) == pytest.approx(wanted, rel=5e-3)
        assert int(read.rows.split[rows[place]]) == 1


@needs_browser
def test_a_picture_is_under_the_codes_of_its_places(pictures: Made, browser: Browser) -> None:
    feature = first_active(pictures, places=3)
    browser.open(pictures.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    row, code, *_ = shown = pictures.data("items/0")[feature]["members"][0]["top"][0]
    about = pictures.data("about")["shown"]
    # A step of two pixels.
    assert about["grid"] == [4, 6, 0]
    unit, place = divmod(row, about["places"])
    codes = pairs(shown)
    heat = browser.get(
        """[...document.querySelector(".picture").querySelectorAll(".heat")].map((one) =>
        [Number(one.getAttribute("x")), Number(one.getAttribute("y")), Number(one.getAttribute("opacity"))])"""
    )
    assert len(heat) > 1
    wanted = [[at % 6, at // 6, 0.75 * round(100 * abs(one / code)) / 100] for at, one in codes.items()]
    assert heat == [pytest.approx(one) for one in wanted]
    own = "document.querySelector('.picture .own:last-child').getAttribute('%s')"
    assert [browser.get(own % name) for name in "xy"] == [str(place % 6), str(place // 6)]
    said = browser.get("document.querySelector('.picture').getAttribute('aria-label')")
    name, label = pictures.data("inputs/0")[unit]
    assert f"input {name}, class {label}, row {place // 6}, column {place % 6}, code" in said
    assert label.endswith("& <b>)")
    # The picture itself, before its mean was taken off.
    assert isinstance(pictures.source, ImageCorpus)
    sheet = imread(pictures.folder / "data" / "images" / f"{unit // 100}.png")[..., :3]
    line, column = divmod(unit % 100, 10)
    seen = sheet[8 * line : 8 * line + 8, 12 * column : 12 * column + 12]
    np.testing.assert_allclose(seen, imread(pictures.source.files[name])[..., :3], atol=1.5 / 255)
    # Without the codes, by a switch.
    browser.get("document.querySelector('.switch input').focus()")
    browser.press(" ", 32, " ")
    browser.wait("getComputedStyle(document.querySelector('.heat')).visibility === 'hidden'")
    assert browser.get("getComputedStyle(document.querySelector('.own')).visibility") == "visible"


@needs_browser
def test_of_many_logits_those_that_change_most_are_told_by_their_tokens(text: Made, browser: Browser) -> None:
    feature = first_active(text)
    member = text.data("items/0")[feature]["members"][0]
    names = text.data("names")
    browser.open(text.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    told = browser.get(
        """[...document.querySelector(".card").querySelectorAll(".changes tbody")].map((one) =>
        [...one.rows].map((row) => [...row.cells].map((cell) => cell.textContent)))"""
    )
    for rows, name, most, sign in zip(told, ("raised", "lowered"), (8, 5), (1, -1), strict=True):
        kept = member[name][:most]
        assert [row[0] for row in rows] == [f"“{names[str(int(one))]}”" for one, *_ in kept]
        changes = [sign * change for _, change, _ in kept]
        assert changes == sorted(changes, reverse=True)
        for row, (_, *values) in zip(rows, kept, strict=True):
            assert [number(cell) for cell in row[1:]] == pytest.approx(values, rel=0.06)
    # In the list, by the token's name, and what the strongest rows are.
    browser.open(text.page("index.html"), READY)
    listed = text.data("tracks")
    shown = [column(browser, title) for title in ("feature", "effect", "strongest on")]
    for name, effect, strongest in zip(*shown, strict=True):
        place = listed["id"].index(int(name.removeprefix("#")))
        of_class, words, counts = (listed[name][place] for name in ("effect_class", "words", "counts"))
        assert effect == "–" if of_class < 0 else f"on “{names[str(of_class)]}”" in effect
        said = [f"{one.replace(' ', '') or '␣'}×{count}" for one, count in zip(words, counts, strict=False)]
        assert strongest.replace(" ", "") == "·".join(said) + (f"of{counts[-1]}" if words else "")
        assert sum(counts[:-1]) <= sum(counts[-1:])
    assert max(listed["effect_class"]) > 0


@needs_browser
def test_loss_recovered_heads_the_list_and_stands_with_each_run(pictures: Made, browser: Browser) -> None:
    about = (pictures.folder / "data" / "about.js").read_text()
    browser.open(pictures.page("index.html"), READY)
    # These dictionaries don't say it.
    assert "Loss recovered" not in browser.get("document.querySelector('main').innerText")
    try:
        known = about.replace("[NaN,NaN,NaN,NaN]", "[0.9,0.5,NaN,0.75]")
        assert known != about
        (pictures.folder / "data" / "about.js").write_text(known)
        browser.open(pictures.page("index.html"), READY)
        assert "topk: 0.5 to 0.9, in 3 of 4 runs" in browser.get("document.querySelector('main').innerText")
        feature = first_active(pictures)
        browser.open(pictures.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
        runs = [member["run"] for member in pictures.data("items/0")[feature]["members"]]
        wanted = {0: "0.9", 1: "0.5", 3: "0.75"}
        told = browser.get("[...document.querySelectorAll('.card')].map((one) => one.innerText)")
        for run, card in zip(runs, told, strict=True):
            assert (f"{wanted[run]}, by its whole dictionary" in card) if run in wanted else "recovered" not in card
    finally:
        (pictures.folder / "data" / "about.js").write_text(about)


def test_a_corpus_that_is_another_one_by_now_is_told(text: Made, tmp_path: Path) -> None:
    other = build_from({**text.spec["corpus"], "length": 100}).corpus()
    with pytest.raises(ValueError, match="was read on another corpus than the one that is there now"):
        build(tmp_path / "atlas", text.spec, text.tracks, text.paths, other, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


@needs_browser
def test_inputs_of_others_are_told_by_their_numbers(made: Made, browser: Browser, tmp_path: Path) -> None:
    numbers = made.again(tmp_path / "atlas", shown={"kind": "numbers"})
    feature = first_active(numbers)
    browser.open(numbers.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    row, *_ = numbers.data("items/0")[feature]["members"][0]["top"][0]
    name, label, *_ = numbers.data("inputs/0")[row]
    assert f"input {name}, class {label}" in browser.get("document.querySelector('.named').innerText")


# Whoever reads it


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("which", "page"),
    [*(("made", f"{page}.html") for page in ("index", "alone", "feature")), ("text", "feature.html"),
     ("pictures", "feature.html")],
)  # fmt: skip
def test_pages_are_legible_light_and_dark_and_on_a_phone(
    which: str, page: str, scheme: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    atlas: Made = request.getfixturevalue(which)
    browser.look(400, 800, scheme)
    browser.open(atlas.page(f"{page}#1" if page == "feature.html" else page), READY)
    # Nothing but tables and cards, which scroll by themselves, is wider than the window.
    assert browser.get("document.documentElement.scrollWidth <= window.innerWidth")
    contrasts = browser.get(CONTRASTS)
    assert len(contrasts) > 10
    # WCAG 2, level AA.
    assert [one for one in contrasts if one[0] < 4.5] == []
    assert browser.get("luminance(getComputedStyle(document.body).backgroundColor) < 0.2") == (scheme == "dark")
    browser.look(1200, 800)


# Of every element with text of its own: the contrast of its colour to all backgrounds behind it, one over the other.
CONTRASTS = """(() => {
  // Mixed colours are told as shares of 1.
  const parts = (colour) => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4)
    .map((one, index) => index < 3 && colour.startsWith("color(") ? 255 * one : one);
  window.luminance = (colour) => {
    const linear = parts(colour).slice(0, 3).map((one) => one / 255)
      .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (one) => {
    const layers = [];
    for (; one; one = one.parentElement) layers.unshift(parts(getComputedStyle(one).backgroundColor));
    const over = (below, [r, g, b, a]) => [r, g, b].map((one, index) => a * one + (1 - a) * below[index]);
    return `rgb(${layers.reduce(over, [255, 255, 255]).join(", ")})`;
  };
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    // What can't be pressed is exempt, and pale so that one sees it.
    if (!own || !one.checkVisibility() || one.closest("svg, script, noscript, option, [aria-disabled=true]")) continue;
    const pair = [luminance(getComputedStyle(one).color), luminance(behind(one))].sort((a, b) => b - a);
    found.push([(pair[0] + 0.05) / (pair[1] + 0.05), one.outerHTML.slice(0, 150)]);
  }
  return found;
})()"""


@needs_browser
def test_the_keyboard_reaches_everything_and_shows_where_it_is(made: Made, browser: Browser) -> None:
    browser.open(made.page("index.html"), READY)
    seen = []
    for _ in range(60):
        browser.press("Tab", 9)
        about = browser.get(
            """(() => { const at = document.activeElement;
            return [at.tagName, at.innerText ?? "", getComputedStyle(at).outlineStyle]; })()"""
        )
        if about[0] == "BODY":
            break
        seen.append(about)
    assert seen[0][1] == "Skip to content"
    assert {tag for tag, _, _ in seen} >= {"A", "SUMMARY", "INPUT", "SELECT", "SPAN"}
    assert [about for about in seen if about[2] == "none"] == []


@needs_browser
def test_names_are_shown_as_they_are(made: Made, browser: Browser) -> None:
    browser.open(made.page("index.html"), READY)
    assert HOSTILE in browser.get("document.querySelector('header strong').innerText")
    assert any(
        HOSTILE in head for head in browser.get("[...document.querySelectorAll('th')].map((one) => one.innerText)")
    )
    browser.open(made.page("feature.html#1"), READY)
    assert HOSTILE in browser.get("document.querySelector('main').innerText")


# What it was made of


def test_an_atlas_says_what_it_was_made_of(made: Made, tmp_path: Path) -> None:
    said = read_header(made.folder / "index.html")
    assert said["homolog_artefact"] == "atlas"
    assert json.loads(said["spec"]) == made.spec
    assert said["content"] == content_of(made.folder)
    (tmp_path / "index.html").write_text("<p>another page</p>")
    with pytest.raises(ValueError, match="was not written by homolog"):
        read_header(tmp_path / "index.html")


def test_an_atlas_is_verified_with_all_its_files(made: Made, tmp_path: Path) -> None:
    provenance = {**PROVENANCE, "spec": json.dumps(made.spec)}
    folder = tmp_path / "results" / "atlas" / "some"
    build(folder, made.spec, made.tracks, made.paths, made.source, provenance)
    first = folder / "index.html"

    def status(**changed: str) -> tuple[str, str]:
        said = provenance | changed
        job = PlannedJob("atlas", said["spec"], said["code"], [], [str(first)], [], None)
        ((found,),) = verify([job])
        return found.status, found.reason

    assert status() == ("current", "")
    assert status(spec=json.dumps({**made.spec, "templates": "others"})) == ("stale", "spec: templates")
    assert status(code="other")[0] == "stale"
    # What others put there, hidden, isn't of it.
    (folder / "data" / ".DS_Store").touch()
    assert status() == ("current", "")
    for name in ("data/items/0.js", "data/images/0.png", "assets/style.css", "alone.html", "index.html"):
        whole = (folder / name).read_bytes()
        place = len(whole) // 2
        (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert status()[0] == "corrupt", name
        (folder / name).unlink()
        assert status()[0] == ("missing" if name == "index.html" else "corrupt"), name
        (folder / name).write_bytes(whole)
        assert status() == ("current", "")
    first.write_text("<p>another page</p>")
    assert status()[0] == "corrupt"
    # Of an atlas that is wanted all is, of another one nothing.
    job = PlannedJob("atlas", "", "", [], [str(first)], [], None)
    other = PlannedJob("atlas", "", "", [], [str(folder.with_name("other") / "index.html")], [], None)
    assert unwanted([job], tmp_path / "results") == []
    assert set(unwanted([other], tmp_path / "results")) == {path for path in folder.rglob("*") if path.is_file()}


def test_equal_results_make_an_equal_atlas(made: Made, tmp_path: Path) -> None:
    same = made.again(tmp_path / "atlas")
    assert content_of(same.folder) == content_of(made.folder)


def test_without_its_tables_the_way_out_is_told(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install itables"):
        made.again(tmp_path / "atlas", shown={"kind": "numbers"})
    assert list(tmp_path.iterdir()) == []


def test_where_too_few_runs_count_all_latents_are_alone(made: Made, tmp_path: Path) -> None:
    counted = made.tracks.isel(track=slice(0))[["latent", "similarity", "accepted_run", "runs_in"]]
    counted = counted.assign(accepted_run=("run", [True, True, False, False]), runs_in=("group", [1, 1]))
    build(tmp_path / "atlas", made.spec, counted.assign_attrs(made.tracks.attrs), made.paths, made.source, PROVENANCE)
    none = Made(tmp_path / "atlas", made.spec, counted, made.paths, made.source)
    assert none.data("tracks")["id"] == []
    active = SIZES.latents * 2 - sum(none.data("about")["series"][0]["silent"])
    assert none.data("alone")["id"] == list(range(active))
    assert "only 2 count" in (none.folder / "index.html").read_text()


def test_the_rule_is_planned_from_what_is_built(built: Workspace) -> None:
    assert built.planned("results/atlas/stability/index.html") == {"atlas stability"}


@pytest.mark.slow
def test_the_workflow_makes_an_atlas_once(copied: Workspace) -> None:
    copied.build("--cores", "1", "results/atlas/stability/index.html")
    folder = copied.results / "atlas" / "stability"
    said = read_header(folder / "index.html")
    assert said["content"] == content_of(folder)
    assert set(json.loads(said["inputs"])) >= {"results/experiments/stability/tracks.nc"}
    assert json.loads(said["spec"])["hook_points"] == [HOOK_POINT]
    assert copied.planned("results/atlas/stability/index.html") == set()
    template = copied.sources / "src/homolog/atlas/templates/style.css"
    template.write_text(template.read_text() + "\n")
    assert copied.planned("results/atlas/stability/index.html") == {"atlas stability"}
