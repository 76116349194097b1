"""What should somebody know who is given a dictionary: what it is, how good it is, which of its latents come back?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from homolog.dictionary import Dictionary
from homolog.export.returns import CONFIDENCE, Place, Returns

# Of `Dictionary.member`: how a card calls it, and what it means.
_MEASURED = {
    "fvu": "FVU on the rows it was fitted to",
    "fvu_test": "FVU on held-out rows",
    "l0": "active latents for each row (L0)",
    "dead_fraction": "share of latents that never fire",
    "loss_recovered": "share of the network's loss that its reconstruction keeps, beside the mean",
}
_NOT_OPTIONS = {*_MEASURED, "label", "seed", "rows", "diverged", "loss_original", "loss_ablated", "loss_spliced"}


def card(
    place: Place,
    dictionary: Dictionary,
    about: dict[str, Any],
    returns: Returns | None,
    similarities: list[dict[str, Any]],
    files: dict[str, str],
) -> str:
    """The text of a README.md in Markdown. `about` says what the network is and what it was fed, `files` each."""
    parts = [
        f"# {place.label} at {place.hook_point} of {place.run}",
        _what(dictionary, about),
        _files(files),
        "## How good it is",
        _table(("measure", "value"), [(text, number(dictionary.member.get(key))) for key, text in _MEASURED.items()]),
        "## Which of its latents come back",
        *_stability(place, returns),
        *_similar(similarities),
    ]
    return "\n\n".join(parts) + "\n"


def number(value: Any) -> str:
    """Three digits; a dash for what isn't known."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """A share in percent; a dash for what isn't known."""
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _what(dictionary: Dictionary, about: dict[str, Any]) -> str:
    latents, units = dictionary.directions.shape
    options = {name: value for name, value in dictionary.member.items() if name not in _NOT_OPTIONS}
    rows = [
        ("latents, units", f"{latents}, {units}"),
        ("codes", dictionary.activation),
        (
            "fitted with",
            ", ".join(f"{name} {number(value)}" for name, value in options.items() if number(value) != "–"),
        ),
        ("seed of the fit", number(dictionary.member.get("seed"))),
        *((name, _words(about[name])) for name in sorted(about, key=_first) if about[name] is not None),
    ]
    return _table(("", ""), rows)


def _first(name: str) -> int:
    order = ("network", "revision", "given", "module")
    return order.index(name) if name in order else len(order)


def _files(files: dict[str, str]) -> str:
    return _table(("file", "what it holds"), [(f"`{name}`", text) for name, text in files.items()])


def _stability(place: Place, returns: Returns | None) -> list[str]:
    if returns is None:
        return [
            "Not known: latents are followed through three runs or more that count (whose loss is that of the others), "
            f"and of {place.run} there are none."
        ]
    found = [
        f"Of {returns.live} live latents, by the runs (of {returns.runs}, this one included) in which their track has "
        "a member. A track is the same latent in several runs, by the correlation of codes on the same inputs; "
        "`latents.csv` names the track of each. By chance: the same where inputs are shuffled, and where they are "
        "shuffled within their class or token.",
        _table(
            ("in at least", "latents", "share", "by chance", "by chance within class"),
            [
                (
                    f"{one['r']} of {returns.runs}",
                    str(one["latents"]),
                    *(percent(one[name]) for name in ("share", "null", "conditional_null")),
                )
                for one in returns.at_least
            ],
        ),
        _table(
            ("group of runs", "others in it", "latents found in all of these", "such a latent is in at least"),
            [
                (
                    one["group"],
                    str(one["others"]),
                    str(one["latents"]),
                    percent(one["bound"]) + (" of such runs" if math.isfinite(one["bound"]) else ""),
                )
                for one in returns.by_group
            ],
        ),
        f"The last column is the exact one-sided {CONFIDENCE:.0%} bound (Clopper & Pearson, 1934) of so many successes "
        "in so many trials, for a single latent that was named before these runs were looked at; of latents chosen for "
        "being found it is too high.",
    ]
    if returns.ceiling is not None:
        share, fits = percent(returns.ceiling["share"]), returns.ceiling["fits"]
        found.append(
            f"Ceiling: {share} of the latents of one run are found in all of {fits} fits to that run's own data."
        )
    return found


def _similar(similarities: list[dict[str, Any]]) -> list[str]:
    if not similarities:
        return []
    columns = ("observed_mean", "null", "conditional_null", "initial", "ceiling")
    rows = []
    for one in similarities:
        interval = f" [{number(one['observed_low'])}, {number(one['observed_high'])}]"
        values = [number(one.get(name)) for name in columns]
        rows.append((one["comparison"], values[0] + (interval if "–" not in interval else ""), *values[1:]))
    return [
        "Mean similarity of all latents (correlation of codes, matched one to one), between runs of the experiment:",
        _table(("runs", "observed", "shuffled", "shuffled within class", "before training", "refitted"), rows),
    ]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items() if one is not None)
    if isinstance(value, list):
        return " ".join(map(_words, value))
    return str(value)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
