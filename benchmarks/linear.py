"""How do ICA and dictionary learning fare beside scikit-learn, which they use inside, and beside our TopK SAE?

All see the same planted activations (d = 64, as in `benchmarks/peers`), one after the other, round after round, in one
process. Ours of the two call scikit-learn: the ratio of times says what our part around it costs or saves. The SAE
reads as many rows as dictionary learning; both reconstruct held-out rows with k latents of each. Prints tables in
Markdown: medians over the rounds, each with a seed of its own (lowest to highest).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from sklearn.decomposition import FastICA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import orthogonal_mp_gram
from torch import Tensor

from benchmarks.peers.ours import COMMON
from benchmarks.peers.task import held_out, planted
from homolog.decompositions.base import Member
from homolog.decompositions.dictionary_learning import DictionaryLearning
from homolog.decompositions.ica import ICA
from homolog.decompositions.sae.topk import TopK
from homolog.decompositions.samples import InMemory
from homolog.dictionary import Dictionary

UNITS, LATENTS, K, BATCH, ALPHA = 64, 128, 8, 256, 1.2
SOURCES, ITERATIONS, TOLERANCE = 32, 50, 1e-4
HELD_OUT = 8192

# What one fit is judged by: name, then value; FVU and L0 on held-out rows, or an error.
Facts = dict[str, float]
Fit = Callable[[int], tuple[float, Facts]]


def timed(fit: Callable[[], object]) -> tuple[float, object]:
    """Seconds of a fit, and what it gives."""
    start = time.perf_counter()
    found = fit()
    return time.perf_counter() - start, found


def member(x: Tensor, seed: int, **options: object) -> Member:
    return Member(options, seed, "all", InMemory(x), None, ("benchmark",))


def quality(dictionary: Dictionary, x: Tensor) -> Facts:
    def read(rows: Tensor) -> tuple[Tensor, Tensor]:
        codes = dictionary.codes(rows)
        return dictionary.reconstruct(codes), (codes != 0).sum(1)

    return dict(zip(("FVU", "L0"), held_out(read, x), strict=True))


def our_ica(x: Tensor, seed: int) -> tuple[float, Facts]:
    options = {"n_latents": SOURCES, "max_iterations": ITERATIONS, "tolerance": TOLERANCE}
    seconds, (fitted,) = timed(lambda: ICA().fit([member(x, seed, **options)]))
    return seconds, {"iterations": fitted.member["iterations"]}


def their_ica(x: Tensor, seed: int) -> tuple[float, Facts]:
    ica = FastICA(SOURCES, whiten="unit-variance", max_iter=ITERATIONS, tol=TOLERANCE, random_state=seed)
    seconds, _ = timed(lambda: ica.fit(x.double().numpy()))
    return seconds, {"iterations": ica.n_iter_}


def our_dictionary_learning(x: Tensor, test: Tensor, steps: int, seed: int) -> tuple[float, Facts]:
    options = {"n_latents": LATENTS, "k": K, "alpha": ALPHA, "steps": steps, "batch_size": BATCH}
    seconds, (fitted,) = timed(lambda: DictionaryLearning().fit([member(x, seed, **options)]))
    return seconds, quality(fitted, test)


def their_dictionary_learning(x: Tensor, test: Tensor, steps: int, seed: int) -> tuple[float, Facts]:
    """The same batches' size, number and penalty; held-out codes by its own orthogonal matching pursuit."""
    mean, scale = x.mean(0), float((x.shape[1] / (x - x.mean(0)).square().sum(1).mean()) ** 0.5)
    rows, rng = ((x - mean) * scale).double().numpy(), np.random.default_rng(seed)
    learner = MiniBatchDictionaryLearning(LATENTS, alpha=ALPHA, fit_algorithm="cd", random_state=seed)

    def fit() -> None:
        order = rng.permutation(len(rows))
        for step in range(steps):
            learner.partial_fit(rows[order[np.arange(step * BATCH, (step + 1) * BATCH) % len(rows)]])

    seconds, _ = timed(fit)
    directions = learner.components_ / np.linalg.norm(learner.components_, axis=1, keepdims=True)

    def read(held: Tensor) -> tuple[Tensor, Tensor]:
        centred = ((held - mean) * scale).double().numpy()
        codes = orthogonal_mp_gram(directions @ directions.T, directions @ centred.T, n_nonzero_coefs=K)
        return torch.from_numpy((directions.T @ codes).T) / scale + mean, torch.from_numpy((codes != 0).sum(0))

    return seconds, dict(zip(("FVU", "L0"), held_out(read, test), strict=True))


def our_topk(x: Tensor, test: Tensor, steps: int, seed: int) -> tuple[float, Facts]:
    own = {"n_latents": LATENTS, "k": K, "multi": False, "steps": steps, "batch_size": BATCH}
    rate = 8e-4 / (LATENTS / 2**14) ** 0.5
    recipe = TopK(threads=torch.get_num_threads())
    seconds, (fitted,) = timed(lambda: recipe.fit([member(x, seed, **COMMON, **own, lr=rate)]))
    return seconds, quality(fitted, test)


def table(fits: dict[str, Fit], rounds: int) -> list[str]:
    """A line for each way, with the ratio of its time to that of the first, round by round."""
    found = [{name: fit(seed) for name, fit in fits.items()} for seed in range(rounds)]
    first = next(iter(fits))
    text = ["| what | seconds | times the first | found |", "|---|---|---|---|"]
    for name in fits:
        seconds = [each[name][0] for each in found]
        ratios = [each[name][0] / each[first][0] for each in found]
        facts = ", ".join(
            f"{fact} {spread([each[name][1][fact] for each in found], '.4g')}" for fact in found[0][name][1]
        )
        text.append(f"| {name} | {spread(seconds, '.2f')} | {spread(ratios, '.2f')} | {facts} |")
    return [*text, ""]


def spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32_768)
    parser.add_argument("--steps", type=int, default=64, help="of dictionary learning and of the SAE beside it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch; BLAS goes by OMP_NUM_THREADS")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)
    both = planted(options.rows + HELD_OUT, UNITS, LATENTS, K)
    x, test = both[HELD_OUT:].clone(), both[:HELD_OUT]
    steps = options.steps
    our_topk(x, test, 32, 0)  # Compiles what is compiled once.
    print(f"{len(x)} rows of {UNITS} units, {options.threads} thread(s), {options.rounds} rounds\n")
    print(f"ICA, {SOURCES} latents, at most {ITERATIONS} iterations\n")
    ica = {"ours": lambda seed: our_ica(x, seed), "scikit-learn's FastICA": lambda seed: their_ica(x, seed)}
    print("\n".join(table(ica, options.rounds)))
    print(f"{LATENTS} latents, k = {K}, {steps} batches of {BATCH} rows\n")
    sparse: dict[str, Fit] = {
        "our dictionary learning": lambda seed: our_dictionary_learning(x, test, steps, seed),
        "scikit-learn's MiniBatchDictionaryLearning": lambda seed: their_dictionary_learning(x, test, steps, seed),
        "our TopK SAE, as many steps": lambda seed: our_topk(x, test, steps, seed),
        "our TopK SAE, 64 times as many": lambda seed: our_topk(x, test, 64 * steps, seed),
    }
    print("\n".join(table(sparse, options.rounds)))


if __name__ == "__main__":
    main()
