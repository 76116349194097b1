"""Does every figure draw whatever an analysis may find, and say in words what the numbers say?"""

from __future__ import annotations

import re
import warnings
from io import StringIO
from itertools import pairwise, product

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from making import one_of_each
from matplotlib.figure import Figure
from matplotlib.table import Table
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from planted import PAIRS, RETRAINED, codes_of, make_members, make_pair, make_runs, spec_of

from homolog.analyses.stability import stability
from homolog.config.experiments import FIGURE_NEEDS
from homolog.figures import latents, waterfall
from homolog.figures.report import COLUMNS, KEYS, drawn, headlines, pages, runs_table, summary, table
from homolog.figures.scale import draw_legend
from homolog.figures.style import new_figure
from homolog.loading import load
from homolog.registry import FIGURES
from homolog.store.figures import write_figures

# Those of the analysis `stability`.
FIGURE = pytest.mark.parametrize("name", one_of_each(FIGURE_NEEDS, {"stability"}))
SOME_VIEWS = ("score", "write_out", "neuron_procrustes")
PROVENANCE = {"homolog_version": "0.0", "git_commit": "abc", "code": "def", "spec": "{}", "inputs": "{}"}


def analysed(names=("planted", "sparse"), pairs=PAIRS, losses=None, hook_points=("hidden_1",), views=SOME_VIEWS):
    """What the analysis finds in planted runs that share their layer in part; `sparse` members have no order."""

    def codes(i):
        return codes_of(0) + (0.3 + 0.05 * i) * codes_of(i)

    def members(i):
        return {
            "planted": make_members(0.2, seed=i),
            "other": make_members(0.4, label="other", seed=i),
            "sparse": make_members(0.5, (0, 1), "sparse", i, ordered=False, signed=True),
        }

    spec = spec_of(pairs, views=views, names=names, null_draws=2) | {"hook_points": list(hook_points)}
    spec["controls"] = {name: ["base", "base-regauged"] for name in hook_points}
    return stability(spec, make_runs(codes, members, losses))


# Three retrainings against their base, and one pair of them.
FEW = PAIRS[:3] + PAIRS[4:5]
FORMS = {
    "one comparison": {"pairs": PAIRS[:4]},
    "two kinds of pair": {},
    "several conditions": {"pairs": [p | {"condition": c} for c in ("narrow", "wide", "all") for p in FEW]},
    "a rejected run": {"pairs": PAIRS[:4], "losses": {RETRAINED[1]: (2.0, 1.0)}},
    "all runs rejected": {"pairs": PAIRS[:4], "losses": dict.fromkeys(RETRAINED, (2.0, 1.0))},
    "one retraining, no interval": {"pairs": PAIRS[:1]},
    "unordered methods only": {"pairs": FEW, "names": ("sparse",)},
    "ordered methods only": {"pairs": FEW, "names": ("planted", "other")},
    "several hook points": {"pairs": FEW, "hook_points": ("hidden_1", "hidden_2")},
    "the primary view alone": {"pairs": FEW, "views": ("score",)},
}


@pytest.fixture(scope="module")
def found():
    """Each form once, when it is asked for. Only for reading: change a copy."""
    made: dict[str, xr.Dataset] = {}

    def form(name):
        if name not in made:
            made[name] = analysed(**FORMS[name])
        return made[name]

    return form


def laid_out(figure):
    """Lay the figure out as for a reader; a warning of matplotlib's (no room, a missing letter) is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()


def texts(figure):
    """All that can be read in a figure; a table does not list its cells among its parts."""
    cells = [cell.get_text() for table in figure.findobj(Table) for cell in table.get_celld().values()]
    return [text.get_text() for text in (*figure.findobj(Text), *cells) if text.get_text().strip()]


def plain(text):
    return re.sub(r"\s+", " ", text)


def change(dataset, **values):
    """A copy in which variables have another value wherever they had one."""
    return dataset.assign({k: dataset[k].where(dataset[k].isnull(), v) for k, v in values.items()})


# Every figure, every form


def test_there_are_figures():
    assert {"stability", "widening", "reinit_depth"} <= set(FIGURES)


def test_layers_stand_on_one_page_in_the_order_of_the_config(found):
    module, dataset = load(FIGURES["layers"]), found("several hook points")
    (figure,) = drawn(module, dataset)
    laid_out(figure)
    shown = plain(" ".join(texts(figure)))
    assert shown.index("hidden_1") < shown.index("hidden_2")
    said = headlines(module, dataset)
    assert "\n\n" not in said
    first = dataset.isel(comparison=0).sel(view="score", matching="hungarian", decomposition="planted")
    for one in (first.isel(hook_point=0), first.isel(hook_point=1)):
        told = f"{one.hook_point.item()} {float(one.ceiling):.2f} ({float(one.null):.2f}), {float(one.excess):.0%}"
        assert told in said


@pytest.mark.parametrize("series", [1, 2, 5])
@pytest.mark.parametrize("width", [7.0, 9.0, 11.0])
def test_a_legend_of_a_scale_fits_into_the_page(series, width):
    figure = new_figure(width, 3.0, "What?", "This.")
    draw_legend(figure, figure.add_gridspec(1, 1)[0], [f"topk_{i}" for i in range(series)], False, "token and class")
    laid_out(figure)
    legend = figure.axes[0].get_legend()
    # A PDF's letters are wider than those that are drawn here, whose widths are rounded to pixels.
    drawn = sum(text.get_window_extent().width for text in legend.get_texts()) / figure.dpi
    exact = (
        sum(
            TextPath((0, 0), text.get_text(), size=text.get_fontsize()).get_extents().width
            for text in legend.get_texts()
        )
        / 72
    )
    assert legend.get_window_extent().width / figure.dpi * max(1, exact / drawn) <= width


def test_many_layers_are_told_by_their_ends(found):
    module, dataset = load(FIGURES["layers"]), found("several hook points")
    two = dataset.isel(comparison=[0])
    many = xr.concat([two.isel(hook_point=[0]).assign_coords(hook_point=[f"at_{i}"]) for i in range(6)], "hook_point")
    rising = many.assign(ceiling=many.ceiling * 0 + xr.DataArray(np.linspace(0.3, 0.8, 6), dims="hook_point"))
    said = module.headline(rising)
    assert re.search(r"planted from at_5 0\.80 \(.*?\) ?, .*? to at_0 0\.30", said)
    assert "at_3" not in said
    laid_out(module.draw(rising))


@pytest.mark.parametrize(
    ("name", "form"), one_of_each(product(FIGURE_NEEDS, FORMS), {(name, "two kinds of pair") for name in FIGURE_NEEDS})
)
def test_every_figure_draws_every_form(found, name, form):
    module, dataset = load(FIGURES[name]), found(form)
    sentence = module.headline(dataset)
    assert len(sentence.split()) > 5
    assert sentence.rstrip().endswith(".")
    assert "nan" not in sentence
    assert len(pages(dataset)) == dataset.sizes["hook_point"]
    for page in pages(dataset):
        figure = module.draw(page)
        assert isinstance(figure, Figure)
        laid_out(figure)
        shown = plain(" ".join(texts(figure)))
        assert page.hook_point.item() in shown
        assert plain(module.headline(page.expand_dims("hook_point"))).strip() in shown
        assert "nan" not in shown
        for method in page.decomposition.values:
            assert method in shown


@pytest.mark.parametrize("form", ["one comparison", "all runs rejected", "unordered methods only"])
def test_the_waterfall_and_the_page_of_latents_draw_every_form(found, form):
    dataset = found(form)
    falls = drawn(waterfall, dataset)
    assert len(falls) == dataset.sizes["hook_point"] * dataset.sizes["comparison"]
    for figure in [*falls, *(latents.draw_latents(page) for page in pages(dataset))]:
        laid_out(figure)
        shown = plain(" ".join(texts(figure)))
        assert "nan" not in shown
        for method in dataset.decomposition.values:
            assert method in shown
    shown = [plain(" ".join(texts(figure))) for figure in falls]
    for comparison in dataset.comparison_condition.values:
        assert any(str(comparison) in text for text in shown)


def test_the_figure_of_stability_has_a_second_page_for_each_hook_point(found):
    module = load(FIGURES["stability"])
    assert len(drawn(module, found("several hook points"))) == 4
    assert len(drawn(load(FIGURES["widening"]), found("several hook points"))) == 2
    assert headlines(module, found("several hook points")).count("\n\n") == 1


def test_a_bar_of_the_waterfall_is_what_its_step_adds(found):
    """From what was reached before to the step itself; nothing where it adds nothing."""
    dataset = found("one comparison").isel(hook_point=0)
    given = {"null": 0.1, "isotropic": 0.3, "spectral": 0.2, "conditional_null": 0.4, "initial": 0.35, "ceiling": 0.9}
    page = change(dataset, **given, observed_mean=0.7)
    (figure,) = waterfall.draw_pages(page.sel(view=["score"], decomposition=["planted"]))
    (axes,) = [axes for axes in figure.axes if axes.patches]
    bars = [edge for bar in axes.patches for edge in (bar.get_x(), bar.get_x() + bar.get_width())]
    assert bars == pytest.approx([0, 0.1, 0.1, 0.3, 0.3, 0.4, 0.4, 0.7, 0.7, 0.9])
    assert "not defined here" in texts(figure)  # no Gaussian samples were asked for
    # Of a method that sees two moments alone, Gaussian samples are no null.
    for ordered, expected in ((True, 5), (False, 6)):
        flags = xr.full_like(page.ordered, ordered)
        other = page.assign(gaussian=page.gaussian.fillna(0.35), ordered=flags)
        (figure,) = waterfall.draw_pages(other.sel(view=["score"], decomposition=["planted"]))
        assert sum(len(axes.patches) for axes in figure.axes) == expected


def test_the_waterfall_shows_what_is_left_with_its_interval(found):
    page = found("one comparison").isel(hook_point=0).sel(view=["score"], decomposition=["planted"])
    given = {"left": 0.3, "left_low": 0.21, "left_high": 0.37}
    one = page.assign({name: xr.full_like(page.left, value) for name, value in given.items()})
    (figure,) = waterfall.draw_pages(change(one, observed_mean=0.7))
    lines = [line.get_xdata() for axes in figure.axes for line in axes.lines]
    assert any(len(line) == 2 and np.allclose(line, [0.21, 0.37]) for line in lines)
    assert "planted 0.70 (0.30 [0.21, 0.37])" in plain(" ".join(texts(figure)))
    none = change(one, observed_mean=0.7, left=-0.15, left_low=-0.2, left_high=-0.1).isel(comparison=0)
    assert "planted 0.70 (nothing [-0.20, -0.10])" in waterfall.headline(none)


def test_how_many_latents_return_is_said_in_words(found):
    dataset = found("one comparison")
    adjusted = xr.where(dataset.latent_found.notnull(), 0.5, np.nan)
    adjusted.loc[{"latent": [0, 2], "view": "score", "decomposition": "planted"}] = 0.01
    every = dataset.latent_found.where(dataset.latent_found.isnull(), 0.0)
    every.loc[{"latent": [2], "view": "score", "decomposition": "planted"}] = 4
    text = load(FIGURES["stability"]).headline(dataset.assign(latent_adjusted_p_value=adjusted, latent_found=every))
    assert "Latents of base that are clearly more alike" in text
    assert "planted 2 of 4 (1 in 4 of 4 runs)" in text


@FIGURE
def test_every_figure_draws_where_nothing_is_reliable(found, name):
    dataset = found("several conditions")
    nothing = dataset.assign({n: dataset[n] * np.nan for n in ("excess", "excess_low", "excess_high")})
    module = load(FIGURES[name])
    (page,) = pages(nothing)
    laid_out(module.draw(page))
    assert "nan" not in module.headline(nothing)
    # Trajectories are told as stabilisation, which has a meaning all the same.
    assert (module.headline(nothing) != module.headline(dataset)) == (name != "stabilisation")


@FIGURE
def test_what_is_not_identified_is_said_in_the_figure(found, name):
    dataset, module = found("several conditions"), load(FIGURES[name])
    for flag in (True, False):
        identified = dataset.identified.copy(data=np.full(dataset.identified.shape, flag))
        (page,) = pages(dataset.assign(identified=identified))
        said = [text for text in texts(module.draw(page)) if plain(text) == "not identified"]
        assert bool(said) != flag


@FIGURE
def test_drawing_does_not_change_what_is_drawn_nor_the_style_of_others(found, name):
    dataset = found("two kinds of pair")
    before, style = dataset.copy(deep=True), dict(mpl.rcParams)
    laid_out(load(FIGURES[name]).draw(pages(dataset)[0]))
    xr.testing.assert_identical(dataset, before)
    assert dict(mpl.rcParams) == style


# Along conditions, where some comparisons are missing


def test_a_condition_without_one_kind_of_pair_keeps_its_place():
    """One seed in the first condition: no pair of retrainings there, and none may be drawn there."""
    first = make_pair("base", RETRAINED[0], condition="first")
    dataset = analysed(pairs=[first, *(pair | {"condition": "second"} for pair in PAIRS)], views=("score",))
    (page,) = pages(dataset)
    figure = load(FIGURES["reinit_depth"]).draw(page)
    panel = figure.axes[0]
    hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white" and line.get_marker() != "^"]
    assert len(hollow) == 2
    assert all(0.5 < line.get_xdata()[0] < 1.5 for line in hollow)
    laid_out(figure)


@FIGURE
def test_a_condition_of_independent_runs_draws_beside_retrained_ones(name):
    independent = [make_pair(*RETRAINED[:2], "independent", "trained apart"), make_pair(*RETRAINED[1:3], "independent")]
    pairs = [*PAIRS, *(pair | {"condition": "trained apart"} for pair in independent)]
    dataset = analysed(pairs=pairs, views=("score", "write_out"))
    module = load(FIGURES[name])
    laid_out(module.draw(pages(dataset)[0]))
    assert "nan" not in module.headline(dataset)


# In words: stability


@pytest.fixture
def words(found):
    return load(FIGURES["stability"]).headline, found("two kinds of pair").copy(deep=True)


def reliable(dataset, **levels):
    """Reliability and ceiling of methods as stated, at a null of 0, and an excess of one half."""
    dataset = change(
        dataset, null=0.0, reliability_error=0.01, excess=0.5, excess_low=0.4, excess_high=0.6, initial=0.1
    )
    for name, level in levels.items():
        for variable in ("ceiling", "reliability"):
            dataset[variable].loc[{"decomposition": name}] = level
    return dataset


@pytest.mark.parametrize(("best", "other"), [("planted", "sparse"), ("sparse", "planted")])
def test_the_headline_names_the_most_reliable_method_first(words, best, other):
    headline, dataset = words
    sentence = headline(reliable(dataset, **{best: 0.9, other: 0.5}))
    assert sentence.startswith(best)
    assert other in sentence
    assert "50%" in sentence
    assert "40%" in sentence
    assert "60%" in sentence


def test_the_headline_follows_the_numbers(words):
    headline, dataset = words
    dataset = reliable(dataset, planted=0.9, sparse=0.5)
    said = headline(dataset)
    for variable, value, shown in (("excess", 0.77, "77%"), ("ceiling", 0.83, "0.83"), ("excess_low", 0.31, "31%")):
        assert shown not in said
        assert shown in headline(change(dataset, **{variable: value}))


def test_a_method_without_a_scale_is_not_called_reliable(words):
    headline, dataset = words
    dataset = reliable(dataset, planted=0.9, sparse=0.5)
    for name in ("excess", "excess_low", "excess_high"):
        dataset[name].loc[{"decomposition": "planted"}] = np.nan
    assert headline(dataset).startswith("sparse")


def test_without_enough_runs_the_headline_claims_nothing(found):
    headline = load(FIGURES["stability"]).headline
    for form in ("one retraining, no interval", "all runs rejected"):
        sentence = headline(found(form))
        assert "nothing can be said" in sentence
        assert "%" not in sentence


# In words: along conditions


@pytest.mark.parametrize("name", ["widening", "reinit_depth"])
def test_headlines_along_conditions_name_all_of_them_and_follow_the_numbers(found, name):
    headline, dataset = load(FIGURES[name]).headline, found("several conditions")
    said = headline(dataset)
    for word in ("narrow", "wide", "all", "planted", "sparse"):
        assert word in said
    assert headline(change(dataset, excess=0.123)) != said
    assert "12%" in headline(change(dataset, excess=0.123))


def test_reinit_depth_says_where_directions_stop_being_identified(found):
    dataset = found("several conditions")
    identified = dataset.identified.copy(deep=True)
    identified.loc[{"view": "write_out", "comparison": "all/base-retrained"}] = False
    said = load(FIGURES["reinit_depth"]).headline(dataset.assign(identified=identified))
    assert "in write_out after narrow, wide:" in said or "in write_out after narrow, wide " in said


# The marks


def test_marks_stand_where_the_numbers_are(found):
    """In the primary panel: a mark for each role of each method and comparison, at its value."""
    dataset = found("two kinds of pair")
    (page,) = pages(dataset)
    figure = load(FIGURES["stability"]).draw(page)
    panel = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith("score"))
    marked = {round(float(x), 9) for line in panel.lines for x in np.atleast_1d(line.get_xdata())}
    for role in ("observed_mean", "null", "conditional_null", "initial", "ceiling"):
        values = page[role].sel(view="score", matching="hungarian").values.ravel()
        assert {round(float(v), 9) for v in values} <= marked
    lows = page.observed_low.sel(view="score", matching="hungarian").values.ravel()
    assert {round(float(v), 9) for v in lows} <= marked


def test_rejected_runs_are_shown_even_where_not_all_fit(found):
    dataset = found("a rejected run")
    (page,) = pages(dataset)
    shown = texts(load(FIGURES["stability"]).draw(page))
    assert shown.count("REJECTED") == 1
    assert shown.count("accepted") == 3
    many = dataset.drop_dims("run").merge(
        xr.concat(
            [
                page.drop_dims([d for d in page.dims if d != "run"]).assign_coords(
                    run=[f"{r}{i}" for r in page.run.values]
                )
                for i in range(6)
            ],
            "run",
        ),
        compat="override",
    )
    shown = texts(load(FIGURES["stability"]).draw(pages(many.assign_attrs(dataset.attrs))[0]))
    assert shown.count("REJECTED") == 6
    assert any(text.startswith("18 of 24 runs count") for text in shown)


# Text and CSV


@pytest.mark.parametrize("form", FORMS)
def test_the_table_holds_every_number_that_there_is(found, form):
    dataset = found(form)
    rows = table(dataset)
    assert len(rows) == int(dataset.observed_mean.notnull().sum())
    assert not rows.duplicated(KEYS).any()
    for _, row in rows.sample(min(10, len(rows)), random_state=0).iterrows():
        cell = dataset.sel({key: row[key] for key in KEYS})
        for column in COLUMNS:
            expected = float(cell[column])
            seen = row["observed" if column == "observed_mean" else column]
            assert seen == pytest.approx(expected, nan_ok=True)
        assert row.gauge == pytest.approx(float(cell.gauge), nan_ok=True)
        assert row.identified == bool(cell.identified)


def test_the_csv_reads_back(found):
    rows = table(found("two kinds of pair"))
    again = pd.read_csv(StringIO(rows.to_csv(index=False)))
    assert list(again.columns) == list(rows.columns)
    assert again.observed.to_numpy() == pytest.approx(rows.observed.to_numpy())


def test_rows_stand_in_the_order_of_the_config(found):
    dataset = found("two kinds of pair")
    rows = table(dataset)
    for key in KEYS:
        assert list(rows[key].cat.categories) == list(dataset[key].values)
    codes = [tuple(row) for row in rows[KEYS].apply(lambda column: column.cat.codes).to_numpy()]
    assert all(a < b for a, b in pairwise(codes))


@pytest.mark.parametrize("form", FORMS)
def test_the_text_holds_the_sentence_every_row_and_every_run(found, form):
    dataset = found(form)
    text = summary(dataset, "This is the answer.")
    assert text.startswith("This is the answer.")
    for comparison in dataset.comparison.values:
        for hook_point in dataset.hook_point.values:
            assert f"{hook_point}, {comparison}" in text or dataset.observed_mean.isnull().all()
    shown = table(dataset)
    shown = shown[shown.matching.isin(["hungarian", "rank"])]
    for value in shown.observed:
        assert f"{value:.3f}" in text
    for run in dataset.run.values:
        assert run in text
    assert "nan" not in text
    assert ("NO" in text.split("identified NO")[0]) == bool((~shown.identified).any())


def test_the_runs_table_has_each_verdict(found):
    rows = runs_table(found("a rejected run")).set_index("run")
    assert rows.verdict.to_dict() == {run: "REJECTED" if run == RETRAINED[1] else "accepted" for run in RETRAINED}
    assert rows.test_loss[RETRAINED[1]] == 1.0


# The file


def test_equal_figures_give_equal_bytes_of_a_pdf_with_a_page_each(found, tmp_path):
    dataset, module = found("the primary view alone"), load(FIGURES["stability"])
    for name in ("a.pdf", "b.pdf"):
        write_figures(tmp_path / name, [module.draw(page) for page in pages(dataset) * 2], PROVENANCE)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", content)) == 2
    assert b"homolog 0.0, commit abc, code def" in content
    # Vector: no picture within, and text as text (TrueType), which can be searched.
    assert b"/Subtype /Image" not in content
    assert b"/Subtype /Type3" not in content
    assert b"/CIDFontType2" in content
    assert b"CreationDate" not in content


def test_another_number_gives_another_file(found, tmp_path):
    dataset, module = found("the primary view alone"), load(FIGURES["stability"])
    for name, data in (("a.pdf", dataset), ("b.pdf", change(dataset, ceiling=0.99))):
        write_figures(tmp_path / name, [module.draw(page) for page in pages(data)], PROVENANCE)
    assert (tmp_path / "a.pdf").read_bytes() != (tmp_path / "b.pdf").read_bytes()


def lengths(found, steps):
    """A form whose decompositions differ in their steps alone."""
    dataset = found("two kinds of pair")
    labels = [f"sparse[k=4,steps={step}]" for step in steps]
    trained = dataset.steps.copy(data=np.broadcast_to(np.asarray(steps)[:, None], dataset.steps.shape[1:])[None])
    start = dataset.step_0.copy(data=np.full(dataset.step_0.shape, 0.1))
    told = 1 - (1 - dataset.observed_mean) / (1 - start)
    return dataset.assign_coords(decomposition=labels).assign(
        steps=trained.assign_coords(decomposition=labels),
        **{
            name: value.assign_coords(decomposition=labels)
            for name, value in (("step_0", start), ("stabilisation", told))
        },
    )


def test_stabilisation_is_drawn_and_told_at_each_length_shortest_first(found):
    dataset, module = lengths(found, [300, 20]), load(FIGURES["stabilisation"])
    cell = dataset.isel(hook_point=0, comparison=0).sel(view="score", matching="hungarian")
    late, early = 1 - (1 - cell.observed_mean.values) / 0.9
    said = plain(module.headline(dataset))
    assert f"sparse[k=4] {early:.0%} at 20, {late:.0%} at 300, most at {20 if early > late else 300}" in said
    figure = module.draw(pages(dataset)[0])
    laid_out(figure)
    assert not [text for text in texts(figure) if "nan" in text]
    panel = next(axes for axes in figure.axes if axes.get_title("left").startswith("score"))
    drawn_at = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in panel.lines if line.get_marker() == "o"}
    assert drawn_at == {(20.0, 300.0): tuple(cell.observed_mean.values[::-1])}


def test_stabilisation_says_when_there_is_one_length_only(found):
    module = load(FIGURES["stabilisation"])
    assert "no trajectory" in module.headline(found("one comparison"))
    assert "no trajectory" in module.headline(lengths(found, [50, 50]))
