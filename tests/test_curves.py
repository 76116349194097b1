"""Are the losses of runs read back, drawn and told as they were?"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from matplotlib.text import Text

from homolog.figures.curves import draw_runs, headline
from homolog.store.curves import read_final_loss, read_runs_curves, write_curve
from homolog.training import Curve


def curve(steps, losses, parent=None):
    accuracy = [(1.0 - loss / 10, 0.9 - loss / 10) for loss in losses]
    return Curve(list(steps), [(loss, loss + 0.5) for loss in losses], accuracy, parent)


@pytest.fixture
def paths(tmp_path):
    made = {
        "base/seed_0": curve([0, 10, 20], [4, 2, 1]),
        "again/seed_0": curve([0, 10], [3, 1.5], (1.0, 1.5)),
        "base-untrained/seed_0": curve([0], [4]),
    }
    for i, (run, one) in enumerate(made.items()):
        write_curve(tmp_path / f"{i}.nc", one, {"run": run})
    return [tmp_path / f"{i}.nc" for i in range(len(made))]


def test_curves_of_several_lengths_stand_beside_each_other(paths):
    found = read_runs_curves(paths)
    assert found.run.values.tolist() == ["base/seed_0", "again/seed_0", "base-untrained/seed_0"]
    assert found.model.values.tolist() == ["base", "again", "base-untrained"]
    np.testing.assert_array_equal(found.step.values, [[0, 10, 20], [0, 10, math.nan], [0, math.nan, math.nan]])
    np.testing.assert_array_equal(found.loss.sel(split="test").values[1], [3.5, 2.0, math.nan])
    np.testing.assert_array_equal(found.parent_loss.values, [[math.nan] * 2, [1.0, 1.5], [math.nan] * 2])
    assert read_final_loss(paths[1]).parent == 1.5
    assert math.isnan(read_final_loss(paths[0]).parent)


def test_what_was_trained_is_drawn_and_its_ends_are_told(paths):
    (figure,) = draw_runs(read_runs_curves(paths))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    shown = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "base 4.5 to 1.5 (1.5 to 1.5, 80% right)" in shown.replace("\n", " ")
    assert "untrained" not in shown
    lines = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    assert [list(line.get_ydata())[:2] for line in lines] == [[4.5, 2.5], [3.5, 2.0]]


def test_nothing_is_drawn_where_nothing_was_trained(paths):
    assert draw_runs(read_runs_curves(paths[2:])) == []
    assert draw_runs(read_runs_curves([])) == []


def test_a_loss_without_right_answers_is_told_alone(tmp_path):
    one = curve([0, 5], [0.5, 0.1], (0.0, 0.0))
    one.accuracy = [(math.nan, math.nan)] * 2
    write_curve(tmp_path / "a.nc", one, {"run": "again/seed_3"})
    found = read_runs_curves([tmp_path / "a.nc"])
    assert headline(found).endswith("again 1 to 0.6 (0.6 to 0.6).")
    assert len(draw_runs(found)[0].axes) == 1
