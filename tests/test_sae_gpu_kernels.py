"""Do the Triton kernels do what the obvious versions do? On a GPU, or else on the CPU by Triton's interpreter."""

from __future__ import annotations

import os

import pytest
import torch
from making import gaussian
from torch.testing import assert_close

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # Read when a kernel is defined.
pytest.importorskip("triton", reason="Triton comes with the CUDA builds of torch only")

from homolog.decompositions.sae.gpu import operations  # noqa: E402
from homolog.decompositions.sae.gpu.kernels import adam, cut, decode, gradients, select  # noqa: E402

SHAPES = pytest.mark.parametrize(("batch", "latents", "units"), [(6, 40, 24), (4, 64, 16), (2, 130, 7), (2, 33, 130)])
HALF = pytest.mark.parametrize("half", [torch.float32, torch.bfloat16])


@pytest.fixture(autouse=True)
def obvious(monkeypatch):
    """What `operations` does where there is no Triton."""
    monkeypatch.setattr(operations, "by_kernel", lambda x: False)


def normal(*shape, seed=0):
    return gaussian(*shape, seed=seed).float().to(DEVICE)


def whole(*values):
    return torch.tensor(values, dtype=torch.int32, device=DEVICE)


def lists(batch, latents, room=9):
    """Active latents of three members with unequal numbers of them, as `largest` gives them."""
    return operations.largest(normal(3, batch, latents), whole(4, room, 1), room)


def in_order(index, code):
    """Lists by latent, unused places last."""
    order = torch.where(code == 0, torch.iinfo(torch.int32).max, index).argsort(dim=2, stable=True)
    return index.gather(2, order), code.gather(2, order)


@SHAPES
@pytest.mark.parametrize("masked", [False, True])
def test_the_largest_are_the_largest(batch, latents, units, masked):
    pre, k = normal(3, batch, latents), whole(4, 30, 1)
    allowed = normal(3, latents, seed=1) > 1 if masked else None  # Few, so that some samples have less than k.
    seen, wanted = (f(pre, k, 30, allowed) for f in (select.largest, operations.largest))
    for a, b in zip(in_order(*seen), in_order(*wanted), strict=True):
        assert torch.equal(a, b)


def test_of_equal_ones_as_many_are_taken_as_are_asked_for():
    pre = torch.ones(1, 4, 50, device=DEVICE)
    pre[0, 1] = -1
    pre[0, 2] = 0
    pre[0, 3, 7] = 2
    index, code = select.largest(pre, whole(3), 8)
    assert (code > 0).sum(2).tolist() == [[3, 0, 0, 3]]
    assert index[0].tolist() == [[0, 1, 2, *[0] * 5], [0] * 8, [0] * 8, [0, 1, 7, *[0] * 5]]


def test_what_is_not_a_number_is_not_hidden():
    pre = normal(1, 4, 50)
    pre[0, 1, 3], pre[0, 2, 4], pre[0, 3, 5] = torch.nan, -torch.nan, torch.inf
    code = select.largest(pre, whole(2), 2)[1]
    assert code.isnan().any(2).tolist() == [[False, True, True, False]]
    assert code[0, 3].isinf().any()
    assert not torch.isfinite(cut.cut(pre, whole(2).long())).all()


@SHAPES
@pytest.mark.parametrize("spread", [1.0, 1e-6, 1e6])
def test_the_cut_is_the_smallest_of_the_largest(batch, latents, units, spread):
    pre = normal(4, batch, latents) * spread
    pre[2] = -pre[2].abs()
    pre[3, 0, :5] = 3 * spread  # Ties.
    for wanted in ([1, 7, 5, 3], [batch, 2 * batch, batch, 4], [batch * latents] * 4):
        counts = torch.tensor(wanted, device=DEVICE)
        assert torch.equal(cut.cut(pre, counts), operations.cut(pre, counts))


@SHAPES
@HALF
def test_decode_leaves_what_a_dense_product_leaves(batch, latents, units, half):
    x, decoder, factor = normal(3, batch, units), normal(3, latents, units, seed=1).to(half), normal(3, seed=2)
    given = x, decoder, *lists(batch, latents), factor
    tolerance = {} if half == torch.float32 else {"rtol": 2e-2, "atol": 5e-2}
    for seen, wanted in zip(decode.decode(*given), operations.decode(*given), strict=True):
        assert seen.dtype == wanted.dtype
        assert_close(seen, wanted, **tolerance or {"rtol": 1e-4, "atol": 1e-5})


@SHAPES
@HALF
def test_gradients_are_those_of_dense_products(batch, latents, units, half):
    x, pull = normal(3, batch, units).to(half), normal(3, batch, units, seed=1).to(half)
    index, code = lists(batch, latents)
    by_code = normal(*code.shape, seed=2).masked_fill(code == 0, 0)
    given = x, pull, index, code, by_code, latents
    tolerance = {} if half == torch.float32 else {"rtol": 2e-2, "atol": 5e-2}
    for seen, wanted in zip(gradients.gradients(*given), operations.gradients(*given), strict=True):
        assert seen.dtype == torch.float32
        assert_close(seen, wanted, **tolerance or {"rtol": 1e-4, "atol": 1e-5})


def test_lists_may_be_longer_for_the_sake_of_others():
    """Bit for bit the same, so that a member doesn't depend on who shares its block."""
    x, decoder, factor = normal(1, 5, 24), normal(1, 40, 24, seed=1), normal(1, seed=2)
    pre, found = normal(1, 5, 40), []
    for room in (5, 32):
        index, code = select.largest(pre, whole(5), room)
        residual, pull, by_code = decode.decode(x, decoder, index, code, factor)
        found.append([residual, pull, *gradients.gradients(x, pull, index, code, by_code, 40)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("on_sphere", [False, True])
@pytest.mark.parametrize("shape", [(3, 9, 24), (2, 1, 300), (2, 5, 16)])
def test_adam_is_adam(on_sphere, shape):
    p = normal(*shape) / normal(*shape).norm(dim=2, keepdim=True)
    state = [[p.clone(), torch.zeros_like(p), torch.zeros_like(p)] for _ in range(2)]
    for t in range(1, 4):
        gradient, rate = normal(*shape, seed=t), normal(shape[0], seed=9).abs() / 100 / (1 - 0.9**t)
        correction = torch.full_like(rate, (1 - 0.999**t) ** -0.5)
        for f, (w, m, v) in zip((adam.adam, operations.adam), state, strict=True):
            f(w, gradient, m, v, rate, correction, on_sphere)
    for seen, wanted in zip(*state, strict=True):
        assert_close(seen, wanted, rtol=1e-5, atol=1e-6)
    if on_sphere:
        assert_close(state[0][0].norm(dim=2), torch.ones(shape[:2], device=DEVICE))
