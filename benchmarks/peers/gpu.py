"""How fast are SAE libraries on one GPU: `python -m benchmarks.peers.gpu` prints throughput, ratios and the floor.

TopK with d = 512, F = 4096, k = 32, B = 4096: a grid of 64 seeds, and one SAE. Peers train one by one, so a few steps
of one SAE tell their throughput; ours is timed on the whole grid. A peer that isn't installed is left out, and said to
be. Needs torch, numpy, scipy, scikit-learn, numba and jaxtyping beside the peers, and `src` on the path; no config.
FVU is that of seed 0 on held-out rows after equally many steps of each library.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from benchmarks.peers import ours
from benchmarks.peers.floor import ADAM_BYTES
from benchmarks.peers.task import Clock, Member, Reader, batches, held_out, planted

UNITS, LATENTS, K, BATCH, GRID = 512, 4096, 32, 4096, 64
TRAIN_ROWS, HELD_OUT_ROWS = 131_072, 16_384
WARMUP, PEER_STEPS, OUR_STEPS, QUALITY_STEPS = 64, 200, 256, 1000

Fit = Callable[[Member, Tensor, Clock], Reader]


class DeviceClock(Clock):
    """A clock that waits for the GPU before it starts and before it stops."""

    def ticks(self, steps: Iterable[int]) -> Iterator[int]:
        steps = list(steps)
        first, timed = next((step for step in steps if step >= self.warmup), None), super().ticks(steps)
        for step in steps:
            if step in (first, steps[-1]) and torch.cuda.is_available():
                torch.cuda.synchronize()
            yield next(timed)


# Peers, on the device of `x`


def _sparsify() -> Fit:
    importlib.import_module("sparsify")  # Before its driver, which turns its Triton decoder off.
    return importlib.import_module("benchmarks.peers.sparsify")._fit


def _dictionary_learning() -> Fit:
    from dictionary_learning.trainers import TopKTrainer

    def fit(member: Member, x: Tensor, clock: Clock) -> Reader:
        trainer = TopKTrainer(
            steps=member.steps, activation_dim=x.shape[1], dict_size=member.n_latents, layer=0, lm_name="none",
            lr=member.lr, warmup_steps=0, decay_start=member.steps - member.decay_steps, seed=member.seed,
            device=str(x.device), threshold_start_step=member.steps // 2, k=member.k,
        )  # fmt: skip
        for step, batch in enumerate(batches(x, member, clock)):
            trainer.update(step, batch)

        def read(rows: Tensor) -> tuple[Tensor, Tensor]:
            reconstruction, codes = trainer.ae(rows, output_features=True)
            return reconstruction, (codes != 0).sum(1)

        return read

    return fit


def _saelens() -> Fit:
    driver = importlib.import_module("benchmarks.peers.saelens")

    def fit(member: Member, x: Tensor, clock: Clock) -> Reader:
        sae = driver._sae(member, x.shape[1]).to(x.device)
        driver.SAETrainer(
            replace(driver._config(member), device=str(x.device)), sae, driver._stream(x, member, clock)
        ).fit()
        read = driver._reader(sae.to("cpu"))
        return lambda rows: tuple(part.to(rows.device) for part in read(rows.cpu()))

    return fit


def _overcomplete() -> Fit:
    driver = importlib.import_module("benchmarks.peers.overcomplete")

    def fit(member: Member, x: Tensor, clock: Clock) -> Reader:
        torch.manual_seed(member.seed)
        sae = driver._sae(member, x.shape[1]).untied(bias=True).to(x.device)
        optimizer = torch.optim.Adam(sae.parameters(), lr=member.lr)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, member.lr_factor)
        loop = driver.train_sae_amp if x.is_cuda else driver.train_sae
        given = batches(x, member, clock), driver._criterion(member, sae), optimizer, scheduler
        loop(sae, *given, nb_epochs=1, monitoring=0, device=str(x.device))

        def read(rows: Tensor) -> tuple[Tensor, Tensor]:
            _, codes, reconstruction = sae.eval()(rows)
            return reconstruction, (codes != 0).sum(1)

        return read

    return fit


PEERS: dict[str, Callable[[], Fit]] = {
    "eai-sparsify": _sparsify,
    "dictionary-learning": _dictionary_learning,
    "sae-lens": _saelens,
    "overcomplete": _overcomplete,
}


# The floor


def seconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Median time of `work` on the GPU, by its own clock, after three runs that aren't counted."""
    times = []
    for i in range(repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end) / 1e3)
    return median(times)


def counted() -> tuple[float, float]:
    """Flop and bytes of one SAE-step that no method can leave out.

    The encoder's product, 2 B d F; Adam's traffic over 2 d F + F + d parameters; the batch, read once. Selection,
    decoding and gradients are O(B k d) and left out, as on the CPU; so are the pre-activations, which a kernel that
    selects while it multiplies needn't write.
    """
    parameters = 2 * UNITS * LATENTS + LATENTS + UNITS
    return 2.0 * BATCH * UNITS * LATENTS, ADAM_BYTES * parameters + 4.0 * BATCH * UNITS


def floor() -> dict[str, float]:
    """Seconds of one SAE-step at this GPU's measured speeds: the larger of the times of `counted`, and their sum."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.randn(2**30, device="cuda")
    room = torch.empty_like(source)
    flop_per_second = 2 * 8192**3 / seconds(lambda: torch.mm(a, b))
    bytes_per_second = 8 * source.numel() / seconds(lambda: room.copy_(source))
    flop, moved = counted()
    times = flop / flop_per_second, moved / bytes_per_second
    speeds = {"tflops": flop_per_second / 1e12, "tbytes_per_second": bytes_per_second / 1e12}
    return {"floor": max(times), "floor_if_apart": sum(times)} | speeds


# What is measured


def our_speed(x: Tensor, members: int) -> float:
    """SAE-steps per second of a grid of so many."""
    clock = DeviceClock(WARMUP)
    ours.fit([Member("topk", LATENTS, K, seed, BATCH, OUR_STEPS) for seed in range(members)], x, clock, 1)
    return members * clock.steps / clock.seconds


def peer_speed(fit: Fit, x: Tensor) -> float:
    """The same of one SAE."""
    clock = DeviceClock(WARMUP)
    fit(Member("topk", LATENTS, K, 0, BATCH, WARMUP + PEER_STEPS), x, clock)
    return clock.steps / clock.seconds


def measure(rounds: int) -> None:
    """Print the table; libraries take turns in each round."""
    data = planted(TRAIN_ROWS + HELD_OUT_ROWS, UNITS, LATENTS, float(K)).cuda()
    x, test = data[HELD_OUT_ROWS:].contiguous(), data[:HELD_OUT_ROWS]
    fits: dict[str, Fit] = {}
    for name, make in PEERS.items():
        try:
            fits[name] = make()
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    speeds: dict[str, list[float]] = {name: [] for name in (f"ours, {GRID}", "ours, 1", *fits)}
    for _ in range(rounds):
        speeds[f"ours, {GRID}"].append(our_speed(x, GRID))
        speeds["ours, 1"].append(our_speed(x, 1))
        for name, fit in fits.items():
            speeds[name].append(peer_speed(fit, x))
    judged = Member("topk", LATENTS, K, 0, BATCH, QUALITY_STEPS)
    readers = {name: fit(judged, x, DeviceClock(WARMUP)) for name, fit in fits.items()}
    readers["ours, 1"] = ours.fit([judged], x, DeviceClock(WARMUP), 1)[0]
    quality = {name: held_out(read, test) for name, read in readers.items()}
    print(table(speeds, quality, floor()))


def table(speeds: dict[str, list[float]], quality: dict[str, tuple[float, float]], least: dict[str, float]) -> str:
    """In Markdown, from SAE-steps per second of each round, (FVU, L0), and the floor."""
    columns = ("library, SAEs", "SAE-samples per second", "ms per SAE-step", "x floor", "x best peer", "FVU", "L0")
    known = ", ".join(f"{name} {value:.3g}" for name, value in least.items())
    best = max((median(found) for name, found in speeds.items() if name in PEERS), default=float("nan"))
    lines = [f"torch {torch.__version__}; {known}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, found in speeds.items():
        speed, (fvu, l0) = median(found), quality.get(name, (float("nan"), float("nan")))
        times = f"{1e3 / speed:.3f} | {1 / speed / least['floor']:.2f} | {speed / best:.2f}"
        lines.append(f"| {name} | {speed * BATCH:.3g} | {times} | {fvu:.4f} | {l0:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.gpu", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="paired rounds (default 3)")
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        sys.exit("benchmarks.peers.gpu: torch sees no CUDA device, and there is nothing to measure without one.")
    measure(rounds)


if __name__ == "__main__":
    main()
