"""Does the benchmark of antilearning name pairs and recipes that go together?"""

from __future__ import annotations

from collections.abc import Iterator

from homolog.config.antilearning import AntilearningOptions, RotatedImagesOptions
from homolog.config.problems import Path, Problem, listed

# How its anchors are called, beside which recipes stand.
ANCHORS = ("random init", "X only", "X and Y", "Y from scratch")


def check_antilearning(path: Path, analysis: AntilearningOptions) -> Iterator[Problem]:
    """Parts are for pairs that are there, recipes aren't called like anchors, and Y doesn't overlap X."""
    for label in analysis.recipes:
        if label in ANCHORS:
            yield (
                (*path, "analysis", "recipes", label),
                f"{label}, which is an anchor of every pair; allowed: any other label; call it otherwise",
            )
    for label, parts in analysis.recipes.items():
        for number, part in enumerate(parts):
            unknown = [name for name in part.pairs or [] if name not in analysis.pairs]
            if unknown:
                yield (
                    (*path, "analysis", "recipes", label, number, "pairs"),
                    f"{listed(unknown)}, which no pair is called; allowed: {listed(analysis.pairs)}; name one of these",
                )
    for label, pair in analysis.pairs.items():
        if isinstance(pair, RotatedImagesOptions) and pair.degrees + 2 * pair.margin >= 360:
            yield (
                (*path, "analysis", "pairs", label, "degrees"),
                f"{pair.degrees:g}, with a margin of {pair.margin:g} on either side, so that Y's test overlaps X; "
                f"allowed: less than {360 - 2 * pair.margin:g}; lower degrees or margin",
            )
