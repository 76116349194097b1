"""Do all pairs of many runs, streamed, have the similarities of each pair in memory, in bounded memory and passes?"""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
import torch
from making import gaussian
from peaks import PEAK, needs_peak
from torch.testing import assert_close

from homolog import alignment
from homolog.activations import FREE, HookPoint
from homolog.alignment import FewSamplesWarning, RepresentationSet, canonical_correlations
from homolog.alignment.representations.pairs import DIRECTED, MEASURES, nuclear_norm
from homolog.decompositions.samples import BLOCK, InMemory, Samples
from homolog.store.activations import write_activations
from homolog.tasks.base import Data

# In memory, by other formulas: decompositions of the samples, where the set has moments alone.
IN_MEMORY = {
    "cca_r2": lambda x, y: float(canonical_correlations(x, y).square().mean()),
    "cca_mean": lambda x, y: float(canonical_correlations(x, y).mean()),
    "svcca": alignment.svcca,
    "pwcca": alignment.pwcca,
    "linear_cka": lambda x, y: alignment.linear_cka(x, y).value,
    "largest_row_share": lambda x, y: alignment.linear_cka(x, y).largest_row_share,
    "debiased_cka": lambda x, y: alignment.debiased_cka(x, y).value,
    "procrustes_similarity": alignment.procrustes_similarity,
    "angular_distance": alignment.angular_distance,
    "transfer_fvu": alignment.transfer_fvu,
    "unit_matching": lambda x, y: alignment.unit_matching(x, y).value,
    "soft_matching_distance": alignment.soft_matching_distance,
}
WIDTHS = [5, 8, 3, 8, 6]


class Counted(InMemory):
    """It counts how often it is read from the start."""

    passes = 0

    def blocks(self):
        self.passes += 1
        return super().blocks()


@pytest.fixture(scope="module")
def runs():
    """Of different widths and spectra, related to each other, with a mean far from 0, in float32."""
    shared = gaussian(2 * BLOCK + 100, 4)
    return [
        (
            shared @ gaussian(4, width, seed=k) * torch.linspace(0.1, 2, width)
            + 0.3 * gaussian(2 * BLOCK + 100, width, seed=10 + k)
            + 20
        ).float()
        for k, width in enumerate(WIDTHS)
    ]


def test_every_measure_has_a_function_that_it_is_held_to():
    assert set(IN_MEMORY) | {"cca_r2_null"} == set(MEASURES)


@pytest.fixture(scope="module")
def each_pair(runs):
    """Every measure of each pair in memory."""
    return {
        name: torch.tensor([[float(measure(x, y)) for y in runs] for x in runs], dtype=torch.float64)
        for name, measure in IN_MEMORY.items()
    }


@pytest.mark.parametrize("memory", [2**30, 1])
def test_all_pairs_are_those_of_each_pair_in_memory(runs, each_pair, memory):
    names = ["a", "b", "c", "d", "e"]
    found = RepresentationSet(dict(zip(names, runs, strict=True)), memory_bytes=memory).compare(*IN_MEMORY)
    assert found.attrs == {"samples": 2 * BLOCK + 100, "samples_per_unit": (2 * BLOCK + 100) / 8}
    assert found.run_a.values.tolist() == found.run_b.values.tolist() == names
    assert found.units.values.tolist() == found["rank"].values.tolist() == WIDTHS
    for name, expected in each_pair.items():
        # Roots near 0 (a run with itself) keep half of the digits, of norms of about 400.
        digits = 3e-5 if name in ("angular_distance", "soft_matching_distance") else 1e-9
        assert_close(torch.tensor(found[name].values), expected, rtol=1e-9, atol=digits)
    assert not np.array_equal(found.pwcca, found.pwcca.T)
    assert float(found.cca_r2_null[0, 1]) == 8 / (2 * BLOCK + 99)


def test_options_are_passed_on(runs):
    three = RepresentationSet(runs[:3])
    for name, options in (
        ("svcca", {"variance": 0.7}),
        ("angular_distance", {"alpha": 0.0}),
        ("angular_distance", {"alpha": 0.4}),
        ("transfer_fvu", {"scale": True}),
    ):
        found = three.compare(name, **options)[name]
        for i, j in ((0, 1), (1, 0), (1, 2)):
            assert float(found[i, j]) == pytest.approx(getattr(alignment, name)(runs[i], runs[j], **options))
    semi = three.compare("unit_matching", matching="semi").unit_matching
    assert float(semi[0, 2]) == pytest.approx(alignment.unit_matching(runs[0], runs[2], "semi").value)
    assert float(semi[2, 0]) == pytest.approx(alignment.unit_matching(runs[2], runs[0], "semi").value)
    assert "cca_r2_null" in three.compare("cca_r2")
    assert "largest_row_share" in three.compare("debiased_cka")


def test_only_directed_measures_depend_on_the_order_of_a_pair(runs):
    found = RepresentationSet(runs).compare(*IN_MEMORY)
    for name in IN_MEMORY:
        assert np.allclose(found[name], found[name].T) == (name not in DIRECTED - {"unit_matching"})


def test_n_runs_cost_two_passes_each_while_they_fit(runs):
    counted = [Counted(run) for run in runs]
    RepresentationSet(counted).compare("cca_r2", "linear_cka", "debiased_cka", "procrustes_similarity", "svcca")
    assert [side.passes for side in counted] == [2] * 5
    # In groups of one each run meets each other one: more reading, not more memory.
    counted = [Counted(run) for run in runs]
    RepresentationSet(counted, memory_bytes=1).compare("cca_r2")
    assert [side.passes for side in counted] == [6] * 5


def test_files_arrays_and_samples_give_the_same_bits(runs, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = runs[0].numpy()
    np.save(tmp_path / "b.npy", runs[1].numpy())
    mixed: list = [tmp_path / "a.h5", str(tmp_path / "b.npy"), InMemory(runs[2]), runs[3].numpy(), runs[4]]
    a, b = (RepresentationSet(side).compare("cca_mean", "debiased_cka", "pwcca") for side in (mixed, runs))
    assert a.identical(b)


def test_ill_conditioned_float32_loses_nothing_by_its_moments():
    """Deviations over five decades. Moments, float64 SVD and the rounding of the data itself, told apart.

    float32 rounding moves the correlation of a direction of share s by about eps32 / s: at 1e-5 about 1e-2. Moments
    add eps64 / s^2 = 1e-6, far less; an SVD adds nothing.
    """
    scales = torch.logspace(0, -5, 6).double()
    z = gaussian(5000, 6)
    x = (z * scales @ torch.linalg.qr(gaussian(6, 6, seed=1)).Q).double()
    y = (0.8 * z + 0.6 * gaussian(5000, 6, seed=2)) * scales.flip(0) @ torch.linalg.qr(gaussian(6, 6, seed=3)).Q
    exact = canonical_correlations(x, y)
    rounded = [side.float() for side in (x, y)]
    pairs = dict(RepresentationSet(rounded).pairs())
    streamed = pairs[0, 1].canonical_correlations
    by_moments = (streamed - canonical_correlations(*rounded)).abs().max()
    by_rounding = (canonical_correlations(*rounded) - exact).abs().max()
    assert by_moments < 1e-5
    assert by_moments < by_rounding
    # Of float64 arrays too, where an SVD would know them to more digits.
    assert_close(dict(RepresentationSet([x, y]).pairs())[0, 1].canonical_correlations, exact, rtol=0, atol=1e-5)


def test_directions_that_are_only_rounding_do_not_count():
    low = (gaussian(4000, 3) @ gaussian(3, 9, seed=1) + 10).float()
    constant = torch.full((4000, 2), 0.1)
    other = gaussian(4000, 5, seed=2).float()
    found = RepresentationSet({"low": low, "constant": constant, "other": other}).compare(*IN_MEMORY)
    assert found["rank"].values.tolist() == [3, 0, 5]
    assert float(found.cca_mean[0, 2]) == pytest.approx(float(canonical_correlations(low, other).mean()))
    for name in ("cca_r2", "cca_mean", "svcca", "pwcca", "linear_cka", "debiased_cka", "procrustes_similarity"):
        assert math.isnan(found[name][1, 2])
        assert not math.isnan(found[name][0, 2])
    assert float(found.transfer_fvu[1, 2]) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(9, 9), (7, 12), (12, 7), (5, 0)])
@pytest.mark.parametrize("rank", [1, 4, 20])
@pytest.mark.parametrize("decay", [0, 3, 12])
def test_the_nuclear_norm_is_a_sum_of_singular_values(shape, rank, decay):
    """Where eigenvalues would lose it (small singular values, and zeros), it isn't taken from them."""
    rank = min(rank, *shape)
    left, right = (torch.linalg.qr(gaussian(n, rank, seed=n)).Q for n in shape) if rank else (None, None)
    sigma = torch.logspace(0, -decay, rank).double()
    matrix = left @ sigma.diag() @ right.T if rank else torch.zeros(shape).double()
    assert nuclear_norm(matrix) == pytest.approx(float(sigma.sum()), rel=1e-9)


def test_few_samples_are_told(runs):
    few = [run[:40] for run in runs]
    with pytest.warns(FewSamplesWarning, match=r"40 samples for 8 directions are 5\.0 each.*permutation_null"):
        RepresentationSet(few).compare("svcca")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RepresentationSet(few).compare("linear_cka")


def test_wrong_sets_are_refused(runs):
    x = runs[0][:50]
    broken = x.clone()
    broken[3, 1] = math.nan
    for make, said in (
        (lambda: RepresentationSet([x]), "at least 2 runs .* samples are 0: 50"),
        (lambda: RepresentationSet([]), "samples are none"),
        (lambda: RepresentationSet({"a": x, "b": x[:49]}), "a: 50, b: 49: read all runs at the same inputs"),
        (lambda: RepresentationSet([x[:1], x[:1]]), "at least 2 of them"),
        (lambda: RepresentationSet({"a": x, "b": broken}), r"run b: activations of shape \(50, 5\) hold NaN"),
        (lambda: RepresentationSet([x, x[:, 0].numpy()]), r"run 1 has shape \(50,\)"),
        (lambda: RepresentationSet([x, "absent.h5"]), "absent.h5 isn't there"),
        (lambda: RepresentationSet([x, x]).compare(), "got none: choose among cca_r2"),
        (lambda: RepresentationSet([x, x]).compare("cka"), "got cka: choose among"),
        (lambda: RepresentationSet([x[:3], x[:3]]).compare("debiased_cka"), "at least 4 samples, but there are 3"),
        (lambda: RepresentationSet([x, x]).compare("svcca", variance=2.0), r"variance = 2\.0"),
        (lambda: RepresentationSet([x, x]).compare("angular_distance", alpha=-1.0), r"alpha = -1\.0"),
        (lambda: RepresentationSet([x, x]).compare("unit_matching", matching="x"), "'x': choose one of bipartite"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            make()
        assert "\n" not in str(error.value)


@pytest.fixture
def write(tmp_path):
    """Files of every kind that holds input ids: of each the rows of x that `samples_of` takes, and these rows' ids."""

    def file_of(name, kind, x, ids):
        path = tmp_path / f"{name}.{kind.removeprefix('pipeline.')}"
        if kind == "npz":
            np.savez(path, x=x.numpy(), input_id=ids)
        elif kind == "h5":
            with h5py.File(path, "w") as file:
                file["x"], file["input_id"] = x.numpy(), ids
        else:
            # Train rows are every second one; what the others are called makes no difference.
            split = (torch.arange(2 * len(x)) % 2).to(torch.int8)
            values = x.repeat_interleave(2, 0)
            named = torch.from_numpy(ids).repeat_interleave(2) + split * (len(name) * 10**6)
            data = Data(torch.empty(len(split), 0), split.long(), split, split, 2, named)
            point = HookPoint("x", x.shape[1], FREE, None)
            write_activations(path, [point], iter([(0, {"x": values})]), data, "float32", {"run": name})
        return path

    return file_of


@pytest.mark.parametrize("other", ["npz", "h5", "pipeline.h5"])
@pytest.mark.parametrize("kind", ["npz", "h5", "pipeline.h5"])
def test_files_that_name_their_inputs_are_held_together_by_the_names(runs, write, kind, other):
    a, b, ids = runs[0][:60], runs[1][:60], np.arange(60) + 7
    one, same = write("one", kind, a, ids), write("other", other, b, ids)
    expected = RepresentationSet({"one": a, "two": b}).compare("linear_cka")
    assert RepresentationSet({"one": one, "two": same}, "x").compare("linear_cka").identical(expected)
    swapped = ids.copy()
    swapped[[3, 50]] = swapped[[50, 3]]
    order = [*range(3), 50, *range(4, 50), 3, *range(51, 60)]
    wrong = write("in_another_order", other, b[order], swapped)
    said = (
        r"^2 of 60 rows of run two have another input_id than those of run one, first row 3 \(57, 10\): sort both by "
        r"input_id, and leave out rows that only one has\.$"
    )
    with pytest.raises(ValueError, match=said):
        RepresentationSet({"one": one, "array": a, "two": wrong}, "x")
    # Where one side doesn't say, nothing can be told.
    unseen = RepresentationSet({"one": a, "two": wrong}, "x").compare("linear_cka")
    assert float(unseen.linear_cka[0, 1]) < float(expected.linear_cka[0, 1])


def test_input_ids_that_are_not_one_for_each_row_are_refused(runs, write):
    paths = [write(name, "npz", runs[0][:60], np.arange(size)) for name, size in (("a", 60), ("b", 3))]
    with pytest.raises(ValueError, match=r"b\.npz: input_id has shape \(3,\).*each of the 60 rows"):
        RepresentationSet(paths, "x")


PAIR = f"""{PEAK}
import sys, h5py, numpy as np, torch
from homolog.alignment import RepresentationSet
torch.set_num_threads(1)
names = "cca_r2", "linear_cka", "debiased_cka", "procrustes_similarity", "pwcca"
few = np.random.default_rng(0).standard_normal((2, 500, 8)).astype(np.float32)
RepresentationSet([*few]).compare(*names)  # What imports is there before it counts.
before = peak()
RepresentationSet(sys.argv[1:]).compare(*names)
print((peak() - before) / 2**20)
"""


@pytest.mark.every
@needs_peak
def test_a_pair_from_files_takes_memory_for_blocks_not_for_samples(tmp_path):
    """Twice 128 MB of activations; held are blocks of each (8 MB in float64), a few at a time, and small matrices."""
    paths = []
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            data = file.create_dataset("x", (2**18, 128), np.float32)
            block = gaussian(2**15, 128, seed=len(paths)).float().numpy()
            for start in range(0, 2**18, 2**15):
                data[start : start + 2**15] = np.roll(block, start // 2**15, axis=1)
        paths.append(str(tmp_path / name))
    done = subprocess.run([sys.executable, "-c", PAIR, *paths], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 120


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives(runs):
    a, b = (RepresentationSet(runs, device=device).compare(*IN_MEMORY) for device in ("cpu", "cuda"))
    for name in IN_MEMORY:
        assert np.allclose(a[name], b[name], atol=3e-5)


def test_samples_of_ones_own_will_do(runs):
    class Reversed(Samples):
        device = torch.device("cpu")

        def __init__(self, values):
            self.values, (self.samples, self.units) = values, values.shape

        def read(self, start, stop):
            return self.values.flip(0)[start:stop]

    found = RepresentationSet([Reversed(run) for run in runs[:2]]).compare("linear_cka", "svcca")
    assert float(found.linear_cka[0, 1]) == pytest.approx(alignment.linear_cka(runs[0], runs[1]).value)
