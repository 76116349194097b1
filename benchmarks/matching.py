"""How fast and lean is an exact one-to-one matching of two large dictionaries, beside scipy's solvers?

End to end: from two dictionaries (latents, units) in float32 to the matching with the largest sum of cosines. Each way
runs in a process of its own, in turn; times are those of the matching without imports, compilation and reading. Kinds:
`planted` (the second is the first in another order, with noise), `independent` (both Gaussian), and two TopK
autoencoders of two seeds that homolog.fit trains on the same rows: patches of photographs (`real`: 507 units whatever
`--units` says; needs pillow) or sums of planted features (`trained`). `scipy sparse` is
min_weight_full_bipartite_matching on the first candidates of ours: no bound, hence no proof that it is the best one.
Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from homolog.alignment.assignment.assign import ROOM, sparse_assignment
from homolog.alignment.assignment.candidates import Candidates
from homolog.alignment.assignment.pairs import Cosine

Facts = dict[str, Any]
# Active latents of the autoencoders; photographs' patches, and their edge in pixels.
K, PATCHES, SIDE = 16, 2**17, 13


def ours(a: torch.Tensor, b: torch.Tensor) -> Facts:
    found = sparse_assignment(Cosine(a, b))
    return {"value": found.value, "gap": found.gap, "rounds": found.rounds, "candidates": found.candidates}


def scipy(a: torch.Tensor, b: torch.Tensor) -> Facts:
    """All cosines by one product in float32, then linear_sum_assignment."""
    from scipy.optimize import linear_sum_assignment

    similarity = (torch.nn.functional.normalize(a) @ torch.nn.functional.normalize(b).T).numpy()
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return {"rows": rows, "columns": columns}


def scipy_sparse(a: torch.Tensor, b: torch.Tensor) -> Facts:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    candidates = Candidates(Cosine(a, b))
    candidates.extend(np.arange(len(a)), np.zeros(len(b)), np.full(len(a), -np.inf), ROOM)
    start, other, value = candidates.by_row()
    graph = csr_array((value + 2, other, start), shape=(len(a), len(b)))
    try:
        rows, columns = min_weight_full_bipartite_matching(graph, maximize=True)
    except ValueError:
        return {}
    return {"rows": rows, "columns": columns}


WAYS = {"ours": ours, "scipy sparse": scipy_sparse, "scipy": scipy}


def make(kind: str, latents: int, units: int, steps: int, path: Path) -> None:
    """Two dictionaries into a file."""
    generator = torch.Generator().manual_seed(0)
    if kind in ROWS:
        a, b = trained(ROWS[kind](latents, units, generator), latents, steps)
    else:
        a = torch.randn(latents, units, generator=generator)
        b = torch.randn(latents, units, generator=generator)
        if kind == "planted":
            b = a[torch.randperm(latents, generator=generator)] + 0.5 * b
    np.savez(path, a=a.numpy(), b=b.numpy())


def photographs(latents: int, units: int, generator: torch.Generator) -> torch.Tensor:
    """Patches of 13 x 13 pixels at random places of the two photographs that scikit-learn ships.

    Each patch's own mean in each of the three colours is taken off: else most of the variance is brightness.
    """
    from sklearn.datasets import load_sample_images

    patches = torch.cat(
        [
            torch.tensor(photograph).unfold(0, SIDE, 1).unfold(1, SIDE, 1).flatten(0, 1)  # (place, colour, y, x)
            for photograph in load_sample_images().images
        ]
    )
    chosen = patches[torch.randperm(len(patches), generator=generator)[:PATCHES]] / 255
    return (chosen - chosen.mean((2, 3), keepdim=True)).flatten(1)


def sums_of_features(latents: int, units: int, generator: torch.Generator) -> torch.Tensor:
    """Activations with as many planted features as there are latents, K of them in each row."""
    features = torch.nn.functional.normalize(torch.randn(latents, units, generator=generator), dim=1)
    samples = 2**16
    activations = torch.zeros(samples, units)
    for _ in range(K):
        strength = 1 + torch.rand(samples, 1, generator=generator)
        activations += strength * features[torch.randint(latents, (samples,), generator=generator)]
    return activations


ROWS = {"real": photographs, "trained": sums_of_features}


def trained(rows: torch.Tensor, latents: int, steps: int) -> list[torch.Tensor]:
    """Directions of two TopK autoencoders on the same rows."""
    import homolog

    spec = {
        "method": "topk_sae",
        "n_latents": latents,
        "k": K,
        "seeds": [0, 1],
        "steps": steps,
        "batch_size": 2048,
    }
    both = homolog.fit(rows, spec, threads=torch.get_num_threads())
    quality = ", ".join(f"FVU {one.member['fvu']:.3f}, dead {one.member['dead_fraction']:.1%}" for one in both)
    print(f"Trained on {len(rows)} rows of {rows.shape[1]} units: {quality}", file=sys.stderr, flush=True)
    return [one.directions for one in both]


def work(name: str, path: Path) -> None:
    """What a process of its own does: the matching, its time, and the most memory it held (VmHWM)."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    arrays = np.load(path)
    a, b = torch.from_numpy(arrays["a"]), torch.from_numpy(arrays["b"])
    if name != "scipy":
        for m in (64, 48):  # Compiles what is compiled once.
            WAYS["ours"](a[:m], b[:64])
            WAYS["ours"](torch.zeros(m, 2), torch.ones(64, 2))
    before, cpu, start = peak_megabytes(), time.process_time(), time.perf_counter()
    facts = WAYS[name](a, b)
    facts |= {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    facts |= {"before": before, "peak": peak_megabytes()}
    # The sum of what was found, in float64.
    pairs = facts.pop("rows", None), facts.pop("columns", None)
    facts.setdefault("value", float("nan") if pairs[0] is None else float(Cosine(a, b).exact(*pairs).sum()))
    print(json.dumps(facts))


def peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def measure(name: str, path: Path, threads: int) -> Facts:
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, __file__, "--work", name, str(path)]
    done = subprocess.run(command, env={**os.environ, **count}, stdout=subprocess.PIPE, text=True, check=True)
    facts: Facts = json.loads(done.stdout)
    return facts


def compare(kind: str, path: Path, options: Any) -> None:
    make(kind, options.latents, options.units, options.steps, path)
    names = [name for name in WAYS if options.dense or name != "scipy"]
    rounds = [{name: measure(name, path, options.threads) for name in names} for _ in range(options.rounds)]
    for name in names:
        print(row_of(kind, name, [round_[name] for round_ in rounds]), flush=True)
    if options.dense:
        ratios = [round_["scipy"]["seconds"] / round_["ours"]["seconds"] for round_ in rounds]
        times = f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) times as fast"
        print(f"| {kind} | ours beside scipy: {times} | | | | | |")


def row_of(kind: str, name: str, measured: list[Facts]) -> str:
    seconds, cpu, peak, before = ([facts[fact] for facts in measured] for fact in ("seconds", "cpu", "peak", "before"))
    last = measured[-1]
    proof = f"{last['gap']:.1e}, {last['rounds']:.0f}, {last['candidates']:.1f}" if name == "ours" else ""
    times = f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
    memory = f"{max(peak):.0f} ({max(before):.0f})"
    return f"| {kind} | {name} | {times} | {median(cpu):.2f} | {memory} | {last['value']:.6f} | {proof} |"


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=int, default=16384, help="of each dictionary")
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--kinds", nargs="+", default=["planted", "independent", *ROWS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch and BLAS")
    parser.add_argument("--steps", type=int, default=200, help="of the autoencoders' training")
    parser.add_argument("--no-dense", dest="dense", action="store_false", help="without scipy's dense solver")
    options = parser.parse_args()
    print(f"{options.latents} latents, {options.units} units, {options.threads} thread(s)\n")
    print("| kind | what | seconds, median (range) | CPU s | peak MB (before) | sum | gap, rounds, candidates |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            compare(kind, Path(folder) / f"{kind}.npz", options)


if __name__ == "__main__":
    main()
