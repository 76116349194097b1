"""Does an atlas work in a real browser, from disk: lists, pages, keys, colours, and names that are no markup?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from workspace import Workspace

from benchmarks.atlas import HOOK_POINT, PROVENANCE, Sizes, make_results
from benchmarks.browser import CHROMIUM, Browser
from homolog.atlas import site
from homolog.atlas.build import PER_PAGE, build
from homolog.atlas.site import content_of, read_header

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
    images: torch.Tensor

    def page(self, name: str) -> str:
        return f"{self.folder.as_uri()}/{name}"

    def data(self, name: str) -> Any:
        """What a script of data hands over."""
        told = (self.folder / "data" / f"{name}.js").read_text()
        return json.loads(told.partition(",")[2].removesuffix(");\n"))

    def again(self, folder: Path, **shown: Any) -> Made:
        """The same with its inputs shown in another way."""
        spec = {**self.spec, "shown": shown}
        images = self.images if shown["kind"] == "images" else None
        build(folder, spec, self.tracks, self.paths, images, PROVENANCE)
        return Made(folder, spec, self.tracks, self.paths, self.images)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An atlas in which all names that may be anything are hostile."""
    root = tmp_path_factory.mktemp("made")
    spec, tracks, paths, images = make_results(root / "models", SIZES)
    spec["experiment"] = HOSTILE
    tracks = tracks.assign_coords(group=["base", HOSTILE])
    tracks = tracks.assign(change_group=("change", np.full(tracks.sizes["change"], HOSTILE, object)))
    provenance = {**PROVENANCE, "spec": json.dumps(spec)}
    build(root / "atlas", spec, tracks, paths, images, provenance)
    return Made(root / "atlas", spec, tracks, paths, images)


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


def first_active(made: Made) -> int:
    """The first feature of which the first member is active on some input."""
    return next(place for place, one in enumerate(made.data("items/0")) if one["members"][0]["top"])


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


@needs_browser
def test_a_token_is_as_deep_as_its_code(made: Made, browser: Browser, tmp_path: Path) -> None:
    vocabulary = ["the", HOSTILE, " of", "\n"]
    (tmp_path / "vocabulary.json").write_text(json.dumps(vocabulary))
    for path in made.paths:
        with h5py.File(path, "r+") as file:
            for name, values in (
                ("token_id", np.arange(SIZES.rows) % 4), ("document", np.arange(SIZES.rows) // 10),
                ("position", np.arange(SIZES.rows) % 10),
            ):  # fmt: skip
                if name not in file:
                    file.create_dataset(name, data=values)
    text = made.again(tmp_path / "atlas", kind="text", vocabulary=str(tmp_path / "vocabulary.json"))
    feature = first_active(text)
    browser.open(text.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    row, code, around = text.data("items/0")[feature]["members"][0]["top"][0]
    middle = len(around) // 2
    assert around[middle] == code
    told = browser.get(
        """[...document.querySelector("p.text").children]
        .map((one) => [one.textContent, one.style.getPropertyValue("--share")])"""
    )
    name, _, tokens = text.data("inputs/0")[row]
    assert [token for token, _ in told] == [token.replace("\n", "↵") for token in tokens]
    assert tokens[middle] == vocabulary[name % 4]
    assert told[middle][1] == "100%"
    assert [share for _, share in told] == [f"{round(100 * abs(one) / abs(code))}%" for one in around]
    # A vocabulary that is too small is told, and the atlas that stands stays.
    (tmp_path / "vocabulary.json").write_text("[]")
    before = content_of(text.folder)
    with pytest.raises(ValueError, match="token_id goes from 0 to 3, but the vocabulary has 0 tokens"):
        made.again(text.folder, kind="text", vocabulary=str(tmp_path / "vocabulary.json"))
    assert content_of(text.folder) == before


@needs_browser
def test_inputs_of_others_are_told_by_their_numbers(made: Made, browser: Browser, tmp_path: Path) -> None:
    numbers = made.again(tmp_path / "atlas", kind="numbers")
    feature = first_active(numbers)
    browser.open(numbers.page(f"feature.html#{feature}"), f"{READY} === '{feature}'")
    row, *_ = numbers.data("items/0")[feature]["members"][0]["top"][0]
    name, label, *_ = numbers.data("inputs/0")[row]
    assert f"input {name}, class {label}" in browser.get("document.querySelector('.named').innerText")


# Whoever reads it


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["index.html", "alone.html", "feature.html#1"])
def test_pages_are_legible_light_and_dark_and_on_a_phone(made: Made, browser: Browser, page: str, scheme: str) -> None:
    browser.look(400, 800, scheme)
    browser.open(made.page(page), READY)
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
  const parts = (colour) => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
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


def test_equal_results_make_an_equal_atlas(made: Made, tmp_path: Path) -> None:
    same = made.again(tmp_path / "atlas", **made.spec["shown"])
    assert content_of(same.folder) == content_of(made.folder)


def test_without_its_tables_the_way_out_is_told(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install itables"):
        made.again(tmp_path / "atlas", kind="numbers")
    assert list(tmp_path.iterdir()) == []


def test_where_too_few_runs_count_all_latents_are_alone(made: Made, tmp_path: Path) -> None:
    counted = made.tracks.isel(track=slice(0))[["latent", "similarity", "accepted_run", "runs_in"]]
    counted = counted.assign(accepted_run=("run", [True, True, False, False]), runs_in=("group", [1, 1]))
    build(tmp_path / "atlas", made.spec, counted.assign_attrs(made.tracks.attrs), made.paths, made.images, PROVENANCE)
    none = Made(tmp_path / "atlas", made.spec, counted, made.paths, made.images)
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
