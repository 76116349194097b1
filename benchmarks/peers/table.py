"""The measurements as a table in Markdown."""

from __future__ import annotations

from statistics import mean, median
from typing import Any

from benchmarks.peers.equal import Equal, Trainings, compare

HEAD = (
    "| library | ms per SAE-step, one core | SAE-samples/s, one core | SAE-samples/s, machine | how "
    "| ours / it, one core | ours / it, machine | MB at start, at peak | held-out FVU at L0 "
    "| equal at FVU (L0) | samples to it, its / ours | time to it, its / ours, machine |"
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
    return found | {"machine": found[best], "how": best.replace("_", " ")}


def trainings(answer: dict[str, Any]) -> Trainings:
    """What was found of one seed, by number of steps."""
    return {int(steps): [(fvu, l0) for fvu, l0 in points] for steps, points in answer["trainings"].items()}


def finished(seeds: list[Trainings]) -> str:
    """FVU at L0 of each judged member after the longest training, means over seeds."""
    by_member = zip(*(each[max(each)] for each in seeds), strict=True)
    return ", ".join(f"{mean(f for f, _ in m):.4f} at {mean(l0 for _, l0 in m):.1f}" for m in by_member)


def equal_cells(equals: list[Equal | None], faster: float) -> tuple[str, str, str]:
    """Where it is compared at equal FVU, and how it fares there; `faster` is our throughput over its."""
    found = [equal for equal in equals if equal is not None]
    if len(found) < len(equals):
        return "no common L0", "", ""
    bound = next((equal.bound for equal in found if equal.bound), "")
    where = f"{mean(e.fvu for e in found):.4f} ({mean(e.l0 for e in found):.1f})"
    samples = [equal.ratio for equal in found]
    return where, bound + spread(samples, ".2f"), bound + spread([faster * ratio for ratio in samples], ".1f")


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
        judged, ours = ([trainings(seed) for seed in measured["quality"][name]] for name in (library, "ours"))
        equals = [compare(we, it) for we, it in zip(ours, judged, strict=True)]
        peak = max(seed["peak_memory"] for seed in measured["quality"][library])
        cells = (
            library,
            spread([1e3 * batch / value for value in rate["one_core"]], ".2f"),
            spread(rate["one_core"], ",.0f"),
            spread(rate["machine"], ",.0f"),
            str(rate["how"]),
            spread(ratios["one_core"], ".1f"),
            spread(ratios["machine"], ".1f"),
            f"{measured['memory_at_start'][library]:.0f}, {peak:.0f}",
            finished(judged),
            *(("", "1", "1") if library == "ours" else equal_cells(equals, median(ratios["machine"]))),
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
