"""How are the kernels of the fast path compiled, and which few loops are all of them made of?

Per step, a dense autoencoder of F latents spends 10 B d F flops on B samples of d units. With k << F active latents
only the encoder's product (2 B d F) has to be dense; decoding and all gradients cost 8 B d k. `proposing` says which
latents may be active, `choosing` which are, `going_back` what follows for the gradients, `adam` takes the step.

Wide rows are cut into blocks, so that all rows' part of a block stays in the second-level cache: what is fetched row by
row in no order is stored as `(block, row, column)`. Lists of latents by sample hold those of sample r from ``start[r]``
up to ``start[r + 1]``, in ascending order. Loops run in a fixed order: bits don't depend on threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from homolog.compiling import kept

# Not `nnan`: a member that diverges must show it.
FAST = {"reassoc", "contract", "nsz", "arcp"}
kernel = kept(Path(__file__).parent, fastmath=FAST)
# A call costs as much as what these do.
part_of_kernel = numba.njit(fastmath=FAST, boundscheck=False, error_model="numpy", inline="always")
# Columns of a block at most.
BLOCK = 128
# Values that `append_reaching` takes at a time.
LANES = 16
Array = np.ndarray[Any, np.dtype[Any]]


def empty(*shape: int) -> Array:
    """Room for float32 numbers that begins with a cache line: torch sees to it, numpy doesn't."""
    array: Array = torch.empty(shape).numpy()
    return array


def in_blocks(array: Array) -> Array:
    """`(..., unit)` seen as `(..., block, column)`: one block where none of half `BLOCK` columns or more fits."""
    units = array.shape[-1]
    fitting = [columns for columns in range(BLOCK // 2, BLOCK + 1) if units % columns == 0]
    return array.reshape(*array.shape[:-1], -1, max(fitting, default=units))


def by_block(array: Array) -> Array:
    """`(row, unit)` as `(block, row, column)`: the same memory where there is one block, else a copy."""
    blocks: Array = np.ascontiguousarray(in_blocks(array).swapaxes(0, 1))
    return blocks


@part_of_kernel
def add_rows(rows: Array, index: Array, weight: Array, first: int, last: int, out: Array) -> None:
    """Add the rows of a list, ``weight[c] * rows[index[c]]``; four at a time, to load and store `out` less."""
    c = first
    while c + 4 <= last:
        row_0, row_1 = rows[index[c]], rows[index[c + 1]]
        row_2, row_3 = rows[index[c + 2]], rows[index[c + 3]]
        w_0, w_1, w_2, w_3 = weight[c], weight[c + 1], weight[c + 2], weight[c + 3]
        for t in range(len(out)):
            out[t] += w_0 * row_0[t] + w_1 * row_1[t] + w_2 * row_2[t] + w_3 * row_3[t]
        c += 4
    while c < last:
        row_0, w_0 = rows[index[c]], weight[c]
        for t in range(len(out)):
            out[t] += w_0 * row_0[t]
        c += 1


@part_of_kernel
def add_products(rows: Array, index: Array, first: int, last: int, vector: Array, out: Array) -> None:
    """Add ``rows[index[c]] . vector`` to ``out[c]``; four at a time, so that none waits for another.

    The last one is taken several times where fewer are left: a loop of its own would sum in another order on some
    processors, and then a product's bits would depend on its place in the list.
    """
    for c in range(first, last, 4):
        c_1, c_2, c_3 = min(c + 1, last - 1), min(c + 2, last - 1), min(c + 3, last - 1)
        row_0, row_1, row_2, row_3 = rows[index[c]], rows[index[c_1]], rows[index[c_2]], rows[index[c_3]]
        sum_0, sum_1, sum_2, sum_3 = out[c], out[c_1], out[c_2], out[c_3]
        for t in range(len(vector)):
            sum_0 += row_0[t] * vector[t]
            sum_1 += row_1[t] * vector[t]
            sum_2 += row_2[t] * vector[t]
            sum_3 += row_3[t] * vector[t]
        out[c], out[c_1], out[c_2], out[c_3] = sum_0, sum_1, sum_2, sum_3


def _in_all(builder: Any, value: Any, lanes: int) -> Any:
    """A vector that holds one value throughout."""
    kind, places = ir.VectorType(value.type, lanes), ir.VectorType(ir.IntType(32), lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(places, [0] * lanes))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, lanes: Any) -> Any:
    """Where in an array a vector begins."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), lanes.as_pointer())


def _reaching(context: Any, builder: Any, kind: Any, row: Any, bound: Any, at: Any, lanes: int) -> Any:
    """Which of ``row[at : at + lanes]`` reach a bound, a bit for each, and how many."""
    where = _pointer(context, builder, kind, row, at, ir.VectorType(ir.IntType(16), lanes))
    flags = builder.icmp_signed(">=", builder.load(where, align=2), _in_all(builder, bound, lanes))
    return flags, builder.zext(builder.ctpop(builder.bitcast(flags, ir.IntType(lanes))), ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def reaching(typing: Any, row: Any, bound: Any, at: Any) -> Any:
    """How many of ``row[at : at + 2 * LANES]``, int16, reach `bound`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _reaching(context, builder, signature.args[0], *arguments, 2 * LANES)[1]

    return types.int64(row, types.int16, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def append_reaching(typing: Any, row: Any, bound: Any, at: Any, out: Any, place: Any) -> Any:
    """Write to ``out[place:]`` which of ``row[at : at + LANES]``, int16, reach `bound`; returns where the next go.

    Compilers don't find the instruction for it (compress) in a loop; without it each value costs as much as a whole
    register does here. As many places as there are `LANES` are written to, whatever they hold.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, bound, at, out, place = arguments
        flags, found = _reaching(context, builder, signature.args[0], row, bound, at, LANES)
        words = ir.VectorType(ir.IntType(32), LANES)
        first = _in_all(builder, builder.trunc(at, ir.IntType(32)), LANES)
        positions = builder.add(first, ir.Constant(words, list(range(LANES))))
        kind = ir.FunctionType(words, [words, flags.type, words])
        name = f"llvm.experimental.vector.compress.v{LANES}i32"
        compress = cgutils.get_or_insert_function(builder.module, kind, name)
        packed = builder.call(compress, [positions, flags, positions])
        builder.store(packed, _pointer(context, builder, signature.args[3], out, place, words), align=4)
        return builder.add(place, found)

    return types.int64(row, types.int16, types.int64, out, types.int64), generate
