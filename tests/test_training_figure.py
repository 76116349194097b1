"""Are all members of an experiment's dictionaries collected, and does their figure draw whatever they logged?"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from docutils.core import publish_parts
from making import gaussian
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from workspace import ROOT

from homolog.dictionary import Dictionary
from homolog.figures import training
from homolog.figures.trade import LEAST, NAMED, WORST
from homolog.figures.training import draw
from homolog.figures.training_findings import say_ends, say_training
from homolog.store.dictionaries import write_dictionaries
from homolog.store.figures import write_figures
from homolog.store.members import read_members

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
QUALITY = ("fvu", "l0", "dead_fraction", "loss_recovered")
LOGGED = ("fvu", "l0", "dead_fraction", "penalty", "auxiliary", "lr")
RUNS = {"net/seed_0": False, "net/seed_1": False, "net-untrained/seed_0": True}


def made_curves(k: int, points: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What a member might log: FVU falls to about 1 / k, with noise."""
    share = np.arange(points) / max(1, points - 1)
    noise = np.exp(0.05 * rng.standard_normal((len(LOGGED), points)))
    shapes = [1 / k + np.exp(-6 * share), k + 20 * np.exp(-8 * share), 0.3 * share, 0.1 * share, 0.02 + 0 * share]
    shapes.append(1e-3 * (1 - 0.99 * share))
    return {"step": 20.0 * np.arange(points), **dict(zip(LOGGED, noise * np.array(shapes), strict=True))}


def made_members(
    ks: tuple[int, ...] = (2, 4, 8), seeds: int = 2, runs: dict[str, bool] | None = None, points: int = 30
) -> xr.Dataset:
    """Members of a grid over k, and of a linear method, which logs nothing, of every run; rows all, a, b."""
    rng, rows = np.random.default_rng(0), []
    for run, untrained in (RUNS if runs is None else runs).items():
        for seed in range(seeds):
            for part in ("all", "a", "b"):
                for i, k in enumerate(ks):
                    curves = made_curves(k, max(1, points - i % 8), rng)
                    label = f"topk[k={k}]" if len(ks) > 1 else "topk"
                    ends = {name: curves[name][-1] for name in ("fvu", "l0", "dead_fraction")}
                    ends["loss_recovered"] = np.nan if untrained else 1 - 0.1 * ends["fvu"]
                    rows.append((run, "topk", label, seed, part, untrained, ends, curves))
                if seed == 0:
                    ends = {"fvu": 0.3, "l0": 4.0, "dead_fraction": 0.0, "loss_recovered": 0.875}
                    rows.append((run, "pca", "pca", seed, part, untrained, ends, {}))
    return labelled(rows, points)


def labelled(rows: list[Any], points: int) -> xr.Dataset:
    names = ("run", "decomposition", "label", "seed", "rows", "untrained")
    along = {name: ("member", [row[i] for row in rows]) for i, name in enumerate(names)}
    ends = {name: ("member", [row[6][name] for row in rows]) for name in QUALITY}
    curves = {name: np.full((len(rows), points), np.nan) for name in ("step", *LOGGED)}
    for index, row in enumerate(rows):
        for name, values in row[7].items():
            curves[name][index, : len(values)] = values
    padded = {f"curve_{name}": (("member", "point"), array) for name, array in curves.items()}
    return xr.Dataset(ends | padded, along | {"hook_point": ("member", ["hidden_1"] * len(rows))})


def drawn(members: xr.Dataset) -> list[Figure]:
    """Pages laid out as for a reader; a warning of matplotlib's (no room, a missing letter) is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = draw(members)
        for figure in figures:
            figure.draw_without_rendering()
    return figures


def shown(figure: Figure) -> str:
    return re.sub(r"\s+", " ", " ".join(text.get_text() for text in figure.findobj(Text)))


def lines_of(figure: Figure) -> list[list[np.ndarray]]:
    """The curves of each panel that has any."""
    panels = [[c for c in axes.collections if isinstance(c, LineCollection)] for axes in figure.axes]
    return [[segment for part in panel for segment in part.get_segments()] for panel in panels if panel]


# The figure


@pytest.mark.parametrize(
    "members",
    [
        made_members((4,), 1, {"net/seed_0": False}).isel(member=[0]),
        made_members((4,), 1, {"net-untrained/seed_0": True}),
        made_members(),
        made_members(points=1),
        # 201 trained members: more grid points than there are colours, and than the legend names.
        made_members(tuple(range(2, 2 + NAMED + 3)), 2, {"net/seed_0": False}),
    ],
    ids=["one member", "untrained networks alone", "some", "curves of one point", "two hundred"],
)
def test_every_member_has_a_line_in_every_panel_and_all_axes_say_what_they_are(members):
    ends, grid = drawn(members)
    trained = int((members.decomposition == "topk").sum())
    assert [len(panel) for panel in lines_of(grid)] == [trained] * 5
    labelled = [axes for axes in grid.axes if axes.axison]
    recovered = bool(np.isfinite(members.loss_recovered).any())
    assert len(labelled) == 6 + recovered
    assert len([axes for axes in ends.axes if axes.axison]) == 1 + recovered
    assert ("loss recovered" in shown(ends)) == ("loss recovered" in shown(grid)) == recovered
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in [*labelled, ends.axes[0]])
    for text in map(shown, (ends, grid)):
        assert "hidden_1" in text
        assert "topk" in text
        assert "nan" not in text
    for wanted in (
        "FVU of the batch",
        "L0 (latents in use per sample)",
        "dead latents",
        "penalty",
        "auxiliary",
        "step",
    ):
        assert wanted in shown(grid)


def test_a_line_holds_what_was_logged_and_ends_where_its_curve_does():
    members = made_members((2, 8), 1, {"net/seed_0": False})
    chosen = members.isel(member=(members.decomposition == "topk").values & (members["rows"] == "all").values)
    _, grid = drawn(chosen)
    for lines, name in zip(lines_of(grid), ("fvu", "l0", "dead_fraction", "penalty", "auxiliary"), strict=True):
        for line, step, values in zip(lines, chosen.curve_step.values, chosen[f"curve_{name}"].values, strict=True):
            there = np.isfinite(step)
            np.testing.assert_array_equal(line, np.column_stack([step[there], values[there]]))
    assert {len(line) for line in lines_of(grid)[0]} == {29, 30}


def test_the_bold_line_is_the_median_of_those_on_all_rows_of_trained_networks():
    members = made_members((4,), 5)
    _, grid = drawn(members)
    counted = members.isel(
        member=(members.decomposition == "topk").values & (members["rows"] == "all").values & ~members.untrained.values
    )
    (bold,) = grid.axes[0].lines
    np.testing.assert_allclose(bold.get_ydata(), np.median(counted.curve_fvu, axis=0))
    np.testing.assert_array_equal(bold.get_xdata(), counted.curve_step[0])


def test_decompositions_without_training_have_a_mark_but_no_page():
    members = made_members()
    linear = members.isel(member=(members.decomposition == "pca").values)
    assert len(drawn(linear)) == 1
    assert len(drawn(linear.drop_vars([name for name in linear if str(name).startswith("curve_")]))) == 1
    ends, grid = drawn(members)
    for figure in (ends, grid):
        assert "pca" in shown(figure)
        # Marks stand at (L0, FVU): those of the linear method are where it was put.
        assert any([4.0, 0.3] in line.get_xydata().tolist() for axes in figure.axes for line in axes.lines)


def test_loss_recovered_stands_against_fvu_within_limits_and_is_said_beside_the_untrained_networks():
    members = made_members((4,), 1)
    topk, whole = (members.decomposition == "topk").values, (members["rows"] == "all").values
    recovered, untrained = members.loss_recovered.values, members.untrained.values
    recovered[topk & whole & ~untrained] = 0.5, -40.0
    recovered[topk & whole & untrained] = 0.25
    for figure in drawn(members):
        (panel,) = (axes for axes in figure.axes if axes.get_ylabel().startswith("loss recovered"))
        marks = {tuple(point) for line in panel.lines for point in line.get_xydata().tolist()}
        shown_there = topk & np.isfinite(recovered)
        wanted = zip(members.fvu.values[shown_there], recovered[shown_there].clip(LEAST), strict=True)
        assert set(wanted) <= marks
        assert "(below -0.25: drawn there)" in panel.get_ylabel()
        assert LEAST - 0.2 < panel.get_ylim()[0] < LEAST
        assert 1 < panel.get_ylim()[1] < 1.2
    said = say_ends(members)
    assert "Loss recovered: topk -19.8 (-40 to 0.5), untrained 0.25; pca 0.875, untrained 0.875." in said
    recovered[untrained] = np.nan
    assert "pca 0.875, untrained – (–: the mean in place of the activations does no harm)." in say_ends(members)


def test_hook_points_have_pages_of_their_own():
    members = made_members()
    both = xr.concat([members, members.assign_coords(hook_point=("member", ["hidden_2"] * 63))], "member")
    titles = [shown(figure) for figure in drawn(both)]
    assert [("hidden_1" in title, "hidden_2" in title) for title in titles] == [(True, False)] * 2 + [(False, True)] * 2


def test_a_curve_that_only_some_methods_log_has_a_panel_with_them_alone():
    members = made_members((4,)).drop_vars(["curve_auxiliary", "curve_penalty"])
    _, grid = drawn(members.assign(curve_bandwidth=members.curve_fvu))
    assert "bandwidth" in shown(grid)
    assert "auxiliary" not in shown(grid)
    assert len(lines_of(grid)) == 4
    _, grid = drawn(members.assign(curve_bandwidth=members.curve_fvu * np.nan))
    assert "bandwidth" not in shown(grid)


def test_a_member_that_diverged_is_named_and_does_not_hide_the_others():
    members = made_members((4,), 1)
    members.curve_fvu[0, 10:] = np.nan
    members.curve_l0[0, 5:] = np.inf
    members.fvu[0] = np.nan
    members.fvu[4] = 1e9
    ends, grid = drawn(members)
    assert "8 of 9 members end with a lower FVU than they began with, unlike topk, seed 0, rows all of net/seed_0." in (
        shown(grid)
    )
    for axes in (ends.axes[0], grid.axes[5]):
        assert axes.get_ylim()[1] < 2 * WORST
        assert f"above {WORST}: drawn there" in axes.get_ylabel()


@pytest.mark.every
def test_colours_tell_grid_points_apart_and_the_legend_says_how_many_there_are():
    few = drawn(made_members((2, 4, 8), 1, {"net/seed_0": False}))[1]
    assert {"k=2", "k=4", "k=8"} <= {text.get_text() for text in few.findobj(Text)}
    colours = {tuple(colour) for collection in few.axes[0].collections for colour in collection.get_colors()}
    assert len({colour[:3] for colour in colours}) == 3
    many = drawn(made_members(tuple(range(2, 2 + NAMED + 3)), 1, {"net/seed_0": False}))[1]
    assert f"({NAMED + 3} grid points in all)" in shown(many)
    assert sum(text.get_text().startswith("k=") for text in many.findobj(Text)) == NAMED - 1


def test_nothing_on_a_page_covers_anything_else():
    for figure in drawn(made_members(tuple(range(2, 2 + NAMED + 3)), 1)):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
        legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
        boxes[[axes.get_legend() for axes in figure.axes].index(legend)] = legend.get_window_extent(renderer)
        boxes += [text.get_window_extent(renderer) for text in figure.texts]
        page = figure.bbox
        for i, box in enumerate(boxes):
            assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1
            assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1
            assert not [j for j, other in enumerate(boxes[:i]) if overlap(box, other) > 1]


def overlap(a: Any, b: Any) -> float:
    """Pixels by which two boxes lie on each other, in the direction where they do so least."""
    return min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0))


def test_the_sentences_say_what_the_numbers_say():
    members = made_members((4,), 1, {"net/seed_0": False}).isel(member=[0, 1])
    members = members.assign(curve_fvu=(members.curve_fvu.dims, np.geomspace(1, 0.1, 30) * np.ones((2, 1))))
    ends = {"fvu": [0.25, 0.3], "l0": [4.0, 0.4], "dead_fraction": [0.5, 0.0]}
    members = members.assign({name: ("member", values) for name, values in ends.items()})
    members["decomposition"], members["label"] = ("member", ["topk", "pca"]), ("member", ["topk", "pca"])
    members["rows"] = ("member", ["all", "all"])
    assert "topk 0.25 at L0 4; pca 0.3 at L0 0.4." in say_ends(members)
    said = say_training(members.isel(member=[0]))
    assert said.startswith("1 of 1 members end with a lower FVU than they began with.")
    assert "FVU 0.25, L0 4, dead latents 50%." in said
    # 30 points from 1 to 0.1: the last tenth of the steps begins at point 26 of 29.
    assert f"batch FVU changed by {10 ** (-3 / 29) - 1:+.1%}." in said


@pytest.mark.parametrize("most", [54, 53])
def test_equal_members_give_equal_bytes_and_lines_become_a_picture_where_they_are_too_many(tmp_path, monkeypatch, most):
    monkeypatch.setattr(training, "MANY", most)
    members = made_members(points=9)
    assert int((members.decomposition == "topk").sum()) == 54
    for name in ("a.pdf", "b.pdf"):
        provenance = {"homolog_version": "0.0", "git_commit": "abc", "code": "def", "spec": "{}", "inputs": "{}"}
        write_figures(tmp_path / name, draw(members), provenance)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", content)) == 2
    assert (b"/Subtype /Image" in content) == (most < 54)


@pytest.mark.parametrize("name", [name for name, one in CONFIG["experiments"].items() if "conditions" in one])
def test_the_caption_of_a_report_is_right_for_every_experiment(name):
    source = (ROOT / "workflow" / "report" / "training.rst").read_text()
    seen = SimpleNamespace(wildcards=SimpleNamespace(experiment=name), config=CONFIG)
    # A StrictUndefined name or a mistake in the markup (severity 2) raises.
    text = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source).render(snakemake=seen)
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]
    assert all(word in body for word in (name, *CONFIG["experiments"][name]["decompositions"]))


# The collection


def dictionary(label: str, seed: int, rows: str, curves: dict[str, Any], fvu: float) -> Dictionary:
    member = {"label": label, "seed": seed, "rows": rows, "k": 2, "fvu": fvu, "l0": 2.0, "dead_fraction": 0.5}
    return Dictionary(
        directions=gaussian(3, 4),
        encoder=gaussian(3, 4),
        encoder_bias=gaussian(3),
        bias=gaussian(4),
        firing_rate=gaussian(3).abs(),
        importance=gaussian(3).abs(),
        curves={name: torch.tensor(values) for name, values in curves.items()},
        member=member,
    )


def write(folder: Path, path: str, dictionaries: list[Dictionary]) -> Path:
    write_dictionaries(folder / path, dictionaries, {"spec": "{}"})
    return folder / path


def test_members_of_all_files_stand_under_their_own_names(tmp_path):
    long, short = {"step": [0.0, 5.0, 9.0], "fvu": [1.0, 0.5, 0.25]}, {"step": [0.0, 2.0], "fvu": [1.0, float("nan")]}
    paths = [
        write(tmp_path, "models/net/seed_3/hidden_1/topk.h5",
              [dictionary("topk[k=2]", 0, "all", long, 0.4), dictionary("topk[k=4]", 1, "a", short, 0.3)]),
        write(tmp_path, "models/net-untrained/seed_3/hidden_2/pca.h5", [dictionary("pca", 0, "b", {}, 0.2)]),
        write(tmp_path, "models/net-regauged-hidden_1/seed_3/hidden_1/topk.h5",
              [dictionary("topk", 0, "all", long, 0.1)]),
        write(tmp_path, "models/other/seed_0/hidden_1/relu.h5",
              [dictionary("relu", 0, "all", {"step": [1.0], "penalty": [7.0]}, 0.1)]),
    ]  # fmt: skip
    members = read_members(paths, {"net/seed_3": False, "net-untrained/seed_3": True, "other/seed_0": False})
    expected = {
        "run": ["net/seed_3", "net/seed_3", "net-untrained/seed_3", "other/seed_0"],
        "hook_point": ["hidden_1", "hidden_1", "hidden_2", "hidden_1"],
        "decomposition": ["topk", "topk", "pca", "relu"],
        "label": ["topk[k=2]", "topk[k=4]", "pca", "relu"],
        "seed": [0, 1, 0, 0],
        "rows": ["all", "a", "b", "all"],
        "untrained": [False, False, True, False],
        "fvu": [0.4, 0.3, 0.2, 0.1],
    }
    assert {name: members[name].values.tolist() for name in expected} == expected
    assert set(expected) - {"fvu"} == set(members.coords)
    nan = np.nan
    steps, fvu = ([[0, 5, 9], [0, 2, nan], [nan] * 3, [1, nan, nan]], [[1, 0.5, 0.25], [1, nan, nan], *[[nan] * 3] * 2])
    np.testing.assert_array_equal(members.curve_step, steps)
    np.testing.assert_array_equal(members.curve_fvu, np.float64(fvu))
    np.testing.assert_array_equal(members.curve_penalty, [*[[nan] * 3] * 3, [7, nan, nan]])
    assert members.curve_fvu.dims == ("member", "point")
    assert len(drawn(members)) == 4


def test_members_of_linear_methods_alone_have_no_curves(tmp_path):
    path = write(tmp_path, "models/net/seed_0/hidden_1/pca.h5", [dictionary("pca", 0, "all", {}, 0.2)])
    members = read_members([path], {"net/seed_0": False})
    assert set(members.data_vars) == set(QUALITY)
    assert np.isnan(members.loss_recovered).all()
    assert len(drawn(members)) == 1


def test_no_file_of_a_run_that_is_asked_for_is_one_clear_error(tmp_path):
    path = write(tmp_path, "models/net/seed_0/hidden_1/pca.h5", [dictionary("pca", 0, "all", {}, 0.2)])
    with pytest.raises(ValueError, match="no dictionary of the runs net/seed_1 was given: give the path of one"):
        read_members([path], {"net/seed_1": False})
    with pytest.raises(ValueError, match="isn't there: build it with"):
        read_members([path.with_name("svd.h5")], {"net/seed_0": False})
