"""Correlations and overlaps of codes from their non-zeros are those of the dense codes."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from peaks import PEAK, needs_peak
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from homolog.alignment.assignment.assign import sparse_assignment
from homolog.alignment.similarity import standardise
from homolog.alignment.sparse_codes import Correlation, Jaccard, SparseCodes


def codes_of(samples, latents, seed=0, rate=0.2, dtype=torch.float64):
    """Sparse codes, among them a dead latent, two that are always on, of which one is constant, and one often on."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(samples, latents, generator=generator, dtype=torch.float64).abs()
    codes *= torch.rand(samples, latents, generator=generator) < rate
    codes[:, 0] = 0
    if latents > 3:
        codes[:, 1] = 1e3 + torch.randn(samples, generator=generator)
        codes[:, 2] = 0.1
        codes[:, 3] = torch.rand(samples, generator=generator).round(decimals=1)
    return codes.to(dtype)


def whole(pairs):
    (_, blocks), *more = pairs.exact_blocks(np.arange(pairs.shape[0]))
    assert not more
    return torch.from_numpy(blocks)


def each(pairs):
    """All pairs by themselves, as a matrix."""
    rows, columns = np.divmod(np.arange(pairs.shape[0] * pairs.shape[1]), pairs.shape[1])
    return torch.from_numpy(pairs.exact(rows, columns)).reshape(pairs.shape)


def supports_overlap(a, b):
    """Jaccard's index by counting."""
    on_a, on_b = a != 0, b != 0
    both = (on_a[:, :, None] & on_b[:, None, :]).sum(0)
    either = (on_a[:, :, None] | on_b[:, None, :]).sum(0)
    return torch.where(either > 0, both.double() / either, 0.0)


@pytest.mark.every
@given(
    samples=st.integers(1, 60), m=st.integers(1, 12), n=st.integers(1, 12), seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.02, 0.2, 0.9]), dtype=st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_correlations_are_those_of_the_dense_codes(samples, m, n, seed, rate, dtype):
    a, b = codes_of(samples, m, seed, rate, dtype), codes_of(samples, n, seed + 1, rate, dtype)
    dense = standardise(a) @ standardise(b).T
    pairs = Correlation(SparseCodes.stack([a]), SparseCodes.stack([b]))
    assert_close(whole(pairs), dense, rtol=0, atol=1e-12)
    assert_close(each(pairs), dense, rtol=0, atol=1e-12)
    assert_close(each(pairs.swapped()), dense.T, rtol=0, atol=1e-12)
    assert_close(each(Correlation(SparseCodes.stack([a]), SparseCodes.stack([b]), signed=False)), dense.abs())
    (_, bits), *_ = pairs.blocks(np.arange(m))
    error = (torch.from_numpy(bits.view(np.float32)).double() - dense).abs()
    assert (error <= pairs.error + pairs.relative * dense.abs()).all()


@given(
    samples=st.integers(1, 40), m=st.integers(1, 8), n=st.integers(1, 8), seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.02, 0.2, 0.9]),
)  # fmt: skip
def test_overlaps_of_supports_are_counted(samples, m, n, seed, rate):
    a, b = codes_of(samples, m, seed, rate), codes_of(samples, n, seed + 1, rate)
    pairs = Jaccard(SparseCodes.stack([a]), SparseCodes.stack([-b]))
    for found in (whole(pairs), each(pairs), each(pairs.swapped()).T):
        assert_close(found, supports_overlap(a, b), rtol=0, atol=1e-15)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("form", ["csr", "csc", "torch_csr", "dense", "array"])
@pytest.mark.parametrize("cuts", [[], [1], [10, 10, 37]])
def test_blocks_of_samples_in_any_form_are_one_set_of_codes(form, cuts):
    codes, forms = (
        codes_of(50, 7),
        {
            "csr": lambda x: scipy.sparse.csr_array(x.numpy()),
            "csc": lambda x: scipy.sparse.csc_matrix(x.numpy()),
            "torch_csr": lambda x: x.to_sparse_csr(),
            "dense": lambda x: x,
            "array": lambda x: x.numpy(),
        },
    )
    stacked = SparseCodes.stack(forms[form](block) for block in codes.tensor_split(cuts) if len(block))
    once = SparseCodes.stack([codes])
    assert (stacked.samples, stacked.latents) == (50, 7)
    for one, other in zip(stacked.by_sample + stacked.by_latent, once.by_sample + once.by_latent, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(stacked.by_sample[2]) == int((codes != 0).sum())


def test_stored_zeros_are_no_activity():
    stored = scipy.sparse.csr_array((np.array([0.0, 2.0]), np.array([0, 1]), np.array([0, 1, 2])), shape=(2, 2))
    assert SparseCodes.stack([stored]).counts.tolist() == [0, 1]


@pytest.mark.parametrize("measure", [Correlation, Jaccard])
@pytest.mark.parametrize(("m", "n"), [(60, 60), (40, 70), (70, 40)])
def test_codes_are_matched_one_to_one_as_by_their_dense_similarities(measure, m, n):
    a, b = (SparseCodes.stack([codes_of(300, latents, seed)]) for latents, seed in ((m, 0), (n, 1)))
    found, dense = sparse_assignment(measure(a, b)), whole(measure(a, b))
    rows, columns = linear_sum_assignment(dense.numpy(), maximize=True)
    assert found.value == pytest.approx(float(dense[rows, columns].sum()), abs=1e-10)
    assert found.gap < 1e-8


def test_a_dictionary_in_another_order_is_found_by_its_codes():
    codes, order = (
        codes_of(2000, 300, rate=0.02)[:, 4:],
        torch.randperm(296, generator=torch.Generator().manual_seed(1)),
    )
    one, other = SparseCodes.stack([codes]), SparseCodes.stack([2 * codes[:, order]])
    for pairs in (Correlation(one, other), Jaccard(one, other)):
        found = sparse_assignment(pairs)
        assert found.index.equal(order.argsort())
        assert found.value == pytest.approx(296)


SPARSE = f"""{PEAK}
import numpy as np, scipy.sparse
from homolog.alignment.sparse_codes import Correlation, SparseCodes

samples, latents, active = 500_000, 5_000, 100_000
rng = np.random.default_rng(0)
where = rng.integers(samples, size=active), rng.integers(latents, size=active)
codes = SparseCodes.stack([scipy.sparse.csr_array((np.ones(active, np.float32), where), shape=(samples, latents))])
pairs = Correlation(codes, codes)
r = pairs.exact(np.arange(latents), np.arange(latents))
for _, block in pairs.blocks(np.arange(64)):
    diagonal = block.view(np.float32)[np.arange(64), np.arange(64)]
print(abs(r - 1).max() < 1e-12, abs(diagonal - 1).max() < 1e-6, peak() / 2**20)
"""


@needs_peak
def test_cost_grows_with_the_non_zeros() -> None:
    """Codes of 10 GB in float32, of which 100,000 aren't zero."""
    done = subprocess.run([sys.executable, "-c", SPARSE], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    exact, proposed, held = done.stdout.split()
    assert (exact, proposed) == ("True", "True")
    assert float(held) < 1000


def test_codes_that_can_not_be_compared_are_refused():
    with pytest.raises(ValueError, match=r"Blocks of codes have \[2, 3\] latents"):
        SparseCodes.stack([torch.ones(4, 2), torch.ones(4, 3)])
    with pytest.raises(ValueError, match=r"codes of b have shape \(0, 3\)"):
        SparseCodes.stack([torch.ones(0, 3)], "codes of b")
    with pytest.raises(ValueError, match=r"codes have shape \(0, 0\)"):
        SparseCodes.stack([])
    with pytest.raises(ValueError, match="2 of the 8 non-zero codes are NaN or infinite"):
        SparseCodes.stack([torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0]]), torch.ones(2, 2)])
    for measure in (Correlation, Jaccard):
        with pytest.raises(ValueError, match="a has 4 and b 5"):
            measure(SparseCodes.stack([torch.ones(4, 2)]), SparseCodes.stack([torch.ones(5, 2)]))
