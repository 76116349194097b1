"""How figures look: a small set of marks and colours that stay apart in print and for colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

# Okabe & Ito (2008): distinguishable under the common colour-vision deficiencies, and of different lightness in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GREY, PALE = "#222222", "#8C8C8C", "#EFEFEF"
SHAPES = ("o", "s", "D", "^", "v", "P")

VIEW_TITLES = {
    "score": "score\ncodes on the same inputs",
    "score_spearman": "score, ranks\nof the codes",
    "score_jaccard": "score, supports\ninputs that are on",
    "effect": "effect\non the logits if ablated",
    "effect_zero": "effect\nof code set to 0",
    "effect_resample": "effect\nof code resampled",
    "effect_projection": "effect, projection\nset to its mean",
    "effect_projection_zero": "effect, projection\nset to 0",
    "effect_projection_resample": "effect, projection\nresampled",
    "substitution": "substitution\nloss with the match",
    "write_out": "write-out\ninto the next layer",
    "read_in": "read-in\nfrom the layer below",
    "neuron": "neuron\ndirections as they stand",
    "neuron_permuted": "neuron, permuted\nbest order of units",
    "neuron_procrustes": "neuron, rotated\nbest rotation of units",
}
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
}
in_house_style = rc_context(STYLE)  # type: ignore[arg-type]  # matplotlib types its keys as literals


# A PDF's letters, which aren't rounded to pixels, may be wider than those that are measured here.
SURE = 0.92
# Letters to an inch of the lines above the panels, on average, in 9 points and in bold 12 points.
ANSWER_LETTERS, QUESTION_LETTERS = 13.5, 9.5


def new_figure(width: float, height: float, question: str, answer: str) -> Figure:
    """A figure of so many inches: the question in bold, under it what was found, and room for the panels below."""
    figure = Figure(figsize=(width, height), layout="constrained")
    asked, found = fill(question, int(width * QUESTION_LETTERS)), fill(answer, int(width * ANSWER_LETTERS))
    above = 0.15 + 0.21 * (asked.count("\n") + 1)
    taken = (above + 0.06 + 0.17 * (found.count("\n") + 1)) / height
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - taken), w_pad=0.04, h_pad=0.04)  # type: ignore[union-attr,call-arg]  # typed as the base class
    figure.text(0.012, 1 - 0.1 / height, asked, fontsize=12, fontweight="bold", va="top")
    figure.text(0.012, 1 - above / height, found, fontsize=9, va="top")
    return figure


def draw_marks_that_fit(axes: Axes, marks: Sequence[Artist], most: int = 4) -> None:
    """A legend in as many columns, up to `most`, as the width of its figure has room for."""
    room = SURE * axes.figure.get_window_extent().width
    for columns in range(most, 0, -1):
        legend = axes.legend(
            handles=marks, loc="center", ncols=columns, frameon=False, columnspacing=1.4, handletextpad=0.5
        )
        if legend.get_window_extent().width <= room:
            return


def draw_row_of_marks(
    figure: Figure, where: SubplotSpec, marks: Sequence[Artist], columns: int, spacing: float = 2.0
) -> None:
    """A part of the grid that holds nothing but a legend, so many marks a row, so many letters apart."""
    axes = figure.add_subplot(where)
    axes.axis("off")
    axes.legend(handles=marks, loc="center", ncols=columns, frameon=False, columnspacing=spacing)


def mark_not_identified(axes: Axes) -> None:
    """Grey out a panel whose comparison the symmetries leave without a meaning."""
    axes.set_facecolor(PALE)
    axes.text(
        0.5, 0.99, "not identified", transform=axes.transAxes, ha="center", va="top", style="italic", color="#555555"
    )
