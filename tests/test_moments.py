"""Are the streamed moments those of the whole array, whatever the source, in little memory and to all digits?"""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from making import gaussian
from torch.testing import assert_close

from homolog.decompositions import moments as module
from homolog.decompositions.moments import PART, moments, shifted
from homolog.decompositions.samples import BLOCK, InMemory, Samples


class Made(Samples):
    """Rows that are made as they are read, as from a file larger than memory; it counts what of them is still held."""

    def __init__(self, samples: int, units: int, scale: float = 1.0, mean: float = 0.0) -> None:
        self.samples, self.units, self.device = samples, units, torch.device("cpu")
        self.scale, self.shift = scale, mean
        self.held = self.most = self.reads = 0

    def read(self, start: int, stop: int) -> torch.Tensor:
        assert stop - start <= BLOCK
        self.reads += stop - start
        # Row 3000 is the same whichever block it is read in.
        rows = torch.cat([gaussian(1000, self.units, seed=i) for i in range(start // 1000, -(-stop // 1000))])
        rows = (rows[start % 1000 :][: stop - start] * self.scale + self.shift).float()
        self.held += len(rows)
        self.most = max(self.most, self.held)
        weakref.finalize(rows, self._drop, len(rows))
        return rows

    def _drop(self, rows: int) -> None:
        self.held -= rows

    def all(self) -> torch.Tensor:
        return torch.cat(list(self.blocks()))


@pytest.mark.parametrize("samples", [1, 2, PART - 1, PART, PART + 1, BLOCK, BLOCK + 1, 2 * BLOCK + PART + 5])
def test_moments_are_those_of_the_whole_array(samples):
    x = gaussian(samples, 5, seed=samples).float() + torch.arange(5)
    seen = moments(InMemory(x))
    assert_close(seen.mean, x.double().mean(0))
    centred = x.double() - x.double().mean(0)
    assert_close(seen.covariance, centred.T @ centred / samples)
    assert torch.equal(seen.covariance, seen.covariance.T)
    assert seen.samples == samples


def test_parts_are_the_rows_in_order_sides_side_by_side():
    x, y = gaussian(BLOCK + 300, 3).float(), gaussian(BLOCK + 300, 2, seed=1).float()
    shift = torch.arange(5.0).double()
    parts = [rows.clone() for rows in shifted(InMemory(x), InMemory(y), shift=shift)]
    assert torch.equal(torch.cat(parts), torch.cat([x, y], 1).double() - shift)


def test_sides_give_each_their_own_moments_and_the_cross_covariance():
    x, y = gaussian(9000, 4).float(), gaussian(9000, 3, seed=1).float()
    joint = moments(InMemory(x), InMemory(y))
    for own, side in ((joint.of(slice(4)), x), (joint.of(slice(4, None)), y)):
        assert_close(own.mean, moments(InMemory(side)).mean)
        assert_close(own.covariance, moments(InMemory(side)).covariance)
    cross = (x.double() - x.double().mean(0)).T @ (y.double() - y.double().mean(0)) / len(x)
    assert_close(joint.covariance[:4, 4:], cross)


def test_bits_do_not_depend_on_where_the_rows_come_from():
    streamed = Made(2 * BLOCK + 77, 6, mean=3.0)
    first, second = moments(streamed), moments(InMemory(streamed.all()))
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.covariance, second.covariance)


@pytest.mark.parametrize("mean", [1e3, 1e6, -1e9])
def test_a_large_mean_costs_no_digits(mean):
    """Rows of whole numbers, exact in float32 or float64 wherever they lie; the obvious formula loses them all."""
    x = gaussian(5000, 4).mul(50).round()
    x[0] = 0
    far = x + mean
    plain, seen = moments(InMemory(x)), moments(InMemory(far))
    assert_close(seen.covariance, plain.covariance, rtol=1e-12, atol=0)
    assert_close(seen.mean - mean, plain.mean, rtol=1e-6, atol=1e-6)
    if abs(mean) == 1e9:
        naive = far.T @ far / len(far) - torch.outer(far.mean(0), far.mean(0))
        assert not torch.allclose(naive, plain.covariance, rtol=0.1)


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_off_the_cpu_the_moments_are_the_same(mean, monkeypatch):
    """By what other devices take, on the CPU: against the array in float64 at once, and against the CPU's own way."""
    x, y = gaussian(2 * BLOCK + 77, 5).mul(50).round() + mean, gaussian(2 * BLOCK + 77, 3, seed=1)
    sides = InMemory(x.float()), InMemory(y.float())
    own = moments(*sides)
    monkeypatch.setattr(module, "_add_up_on_cpu", module._add_up)
    seen, both = moments(*sides), torch.cat([x.float(), y.float()], 1).double()
    assert_close(seen.mean, both.mean(0), rtol=1e-12, atol=1e-12)
    centred = both - both.mean(0)
    assert_close(seen.covariance, centred.T @ centred / len(both), rtol=1e-9, atol=1e-9)
    assert_close(seen.covariance, own.covariance, rtol=1e-12, atol=1e-12)
    assert torch.equal(seen.covariance, seen.covariance.T)


@pytest.mark.parametrize("samples", [1, BLOCK // 2, BLOCK // 2 + PART + 3, 2 * BLOCK + 77])
def test_threads_change_no_bit(samples):
    x, threads, seen = gaussian(samples, 40).float(), torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            seen.append(moments(InMemory(x)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(seen[0].mean, seen[1].mean)
    assert torch.equal(seen[0].covariance, seen[1].covariance)


def test_a_first_block_that_is_not_like_the_rest_does_no_harm():
    x = gaussian(3 * BLOCK, 4)
    x[:BLOCK] += 1e4
    centred = x - x.mean(0)
    assert_close(moments(InMemory(x)).covariance, centred.T @ centred / len(x), rtol=1e-9, atol=1e-9)


def test_the_order_of_rows_does_not_matter_but_for_rounding():
    x = gaussian(9000, 4)
    order = torch.randperm(9000, generator=torch.Generator().manual_seed(0))
    assert_close(moments(InMemory(x)).covariance, moments(InMemory(x[order])).covariance, rtol=1e-12, atol=1e-14)


def test_more_rows_than_may_be_held():
    """Two blocks at most: the one that is read, and the one that has just been used."""
    x, y = Made(12 * BLOCK, 3), Made(12 * BLOCK, 2)
    moments(x, y)
    assert x.reads == y.reads == 13 * BLOCK  # One pass, and the first block for the provisional mean.
    assert max(x.most, y.most) <= 2 * BLOCK


def test_deviations_and_directions_are_numpys():
    x = gaussian(500, 6) @ gaussian(6, 6, seed=1) + 5
    seen = moments(InMemory(x))
    for (deviations, directions), rows in ((seen.principal, x - x.mean(0)), (seen.singular, x)):
        _, singular, right = np.linalg.svd(rows.numpy(), full_matrices=False)
        assert_close(deviations, torch.as_tensor(singular) / 500**0.5)
        assert_close((directions @ torch.as_tensor(right).T).abs(), torch.eye(6).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("rank", [1, 3, 7])
def test_rank_of_units_that_depend_on_each_other_up_to_rounding(rank, mean):
    x = (gaussian(3000, rank) @ gaussian(rank, 9, seed=1) + mean).float()
    assert moments(InMemory(x)).rank == rank


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("row", [0, BLOCK + 5])
def test_one_pass_shows_whether_all_values_are_finite(bad, row):
    x, y = gaussian(2 * BLOCK, 3).float(), InMemory(gaussian(2 * BLOCK, 2).float())
    x[row, 1] = bad
    broken = InMemory(x)
    moments(broken, y)
    assert not broken.finite
    assert y.finite
    assert not InMemory(x).finite  # The same answer as that of a pass of its own.


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_nothing_to_read_is_no_error_here(shape):
    """The methods refuse it, in their own words."""
    assert moments(InMemory(torch.zeros(shape))).covariance.shape == (shape[1], shape[1])
