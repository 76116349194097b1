"""The measurements as a table in Markdown."""

from __future__ import annotations

from statistics import mean, median
from typing import Any

HEAD = (
    "| library | ms per SAE-step, one core | SAE-samples/s, one core | SAE-samples/s, machine | how "
    "| ours / it, one core | ours / it, machine | MB at start, at peak | held-out FVU | L0 |"
)


def throughput(answers: list[dict[str, Any]], batch_size: int) -> float:
    """SAE-samples per second of processes that trained at the same time."""
    return sum(batch_size * a["sae_steps"] / a["seconds"] for a in answers)


def spread(values: list[float], form: str) -> str:
    """Median, minimum and maximum."""
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def rates(rounds: list[dict[str, Any]], batch_size: int) -> dict[str, list[float]]:
    """Throughput of each round by the way in which the machine was used; ``machine`` is the better one in median."""
    found = {way: [throughput(r[way], batch_size) for r in rounds] for way in rounds[0]}
    best = max(("two_processes", "two_threads"), key=lambda way: median(found[way]))
    return found | {"machine": found[best], "how": best.replace("_", " ")}  # type: ignore[dict-item]


def lines(measured: dict[str, Any]) -> list[str]:
    """One row of the comparison: a heading, a table with a line for each library, and the floor."""
    batch = measured["row"]["batch_size"]
    all_rates = {library: rates(rounds, batch) for library, rounds in measured["times"].items()}
    text = [f"## {measured['row']['title']}", "", HEAD, "|---" * HEAD.count(" |") + "|"]
    for library, rate in all_rates.items():
        ratios = {
            way: [ours / its for ours, its in zip(all_rates["ours"][way], rate[way], strict=True)]
            for way in ("one_core", "machine")
        }
        answers = measured["quality"][library]
        fvu, l0 = (mean(a["quality"][0][i] for a in answers) for i in (0, 1))
        cells = (
            library,
            spread([1e3 * batch / value for value in rate["one_core"]], ".2f"),
            spread(rate["one_core"], ",.0f"),
            spread(rate["machine"], ",.0f"),
            str(rate["how"]),
            spread(ratios["one_core"], ".1f"),
            spread(ratios["machine"], ".1f"),
            f"{measured['memory_at_start'][library]:.0f}, {max(a['peak_memory'] for a in answers):.0f}",
            f"{fvu:.4f}",
            f"{l0:.1f}",
        )
        text.append("| " + " | ".join(cells) + " |")
    return [*text, "", floor_line(measured["floor"]), ""]


def floor_line(floor: dict[str, float]) -> str:
    """The floor of one SAE-step, and the speeds it was computed from."""
    return (
        f"Floor of one SAE-step on one core (encoder GEMM + Adam's bytes): {floor['bf16']:.2f} ms in bf16 "
        f"({floor['bf16_gflops']:.0f} GFLOP/s), {floor['fp32']:.2f} ms in fp32 ({floor['fp32_gflops']:.0f} GFLOP/s); "
        f"of it Adam {floor['adam_ms']:.2f} ms at {floor['gbytes_per_second']:.1f} GB/s."
    )


def markdown(found: dict[str, Any]) -> str:
    """The whole report."""
    note = (
        f"torch {found['torch']}; {found['rounds']} paired rounds, medians (minimum-maximum); "
        f"{found['minutes']:.0f} minutes" + (", quick: FVUs are of unfinished trainings." if found["quick"] else ".")
    )
    return "\n".join([note, "", *(line for row in found["rows"].values() for line in lines(row))])
