"""Distances between 7 x 7 RGB patches straight from the pictures, as vector instructions numba cannot find by itself.

Layout: a picture is an int16 array (h, 3 w + 8), colours interleaved, the last 8 values of each row padding. The 21
values of a patch row are then read as 16 + 8 lanes of which the last three are masked out, and squares are summed in
32 bits. The IR is generic: LLVM turns it into pmaddwd on x86, into smlal on ARM. `gpnncam.plain` holds the same sums as
loops; GPNNCAM_PLAIN=1 in the environment puts them in the place of the vector code.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from gpnncam import plain
from gpnncam.pyramid import PATCH

PADDING = 8
PLAIN = os.environ.get("GPNNCAM_PLAIN", "0") != "0"
_I16, _I32 = ir.IntType(16), ir.IntType(32)
_WIDE, _TAIL = ir.VectorType(_I16, 16), ir.VectorType(_I16, 8)
_MASK = ir.Constant(_TAIL, [-1] * (3 * PATCH - 16) + [0] * (24 - 3 * PATCH))


# numba looks for stale machine code only in the file of the compiled function itself; what it uses from these files is
# compiled into it all the same, so their contents go into the name under which it is kept.
_FILES = ("patches", "plain", "pyramid", "levels")
_USED = zlib.crc32(bytes([PLAIN]) + b"".join(Path(__file__).with_name(f"{n}.py").read_bytes() for n in _FILES))


def kernel(function):
    """Compile without the GIL and keep the machine code on disk, or in memory only where no folder can be written."""
    function.__qualname__ += f"_{_USED:08x}"
    options = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # numba found no writable folder: neither beside this file nor in the user's cache
        return njit(function, **options)


def to_rows(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) whole values -> the padded int16 layout (h, 3 w + 8)."""
    h, w, _ = image.shape
    rows = np.zeros((h, 3 * w + PADDING), np.int16)
    rows[:, : 3 * w] = image.reshape(h, 3 * w)
    return rows


def from_rows(rows: np.ndarray) -> np.ndarray:
    """The padded layout -> (h, w, 3) uint8."""
    h = rows.shape[0]
    return rows[:, :-PADDING].reshape(h, -1, 3).astype(np.uint8)


def _row(context, builder, array_type, array, offset, row):
    """Addresses of the 16 and the 8 lanes of row `row` of the patch that starts at flat position `offset`."""
    struct = context.make_array(array_type)(context, builder, array)
    stride = cgutils.unpack_tuple(builder, struct.shape)[1]
    start = builder.add(offset, builder.mul(stride, ir.Constant(stride.type, row)))
    wide = builder.gep(struct.data, [start], source_etype=_I16)
    tail = builder.gep(struct.data, [builder.add(start, ir.Constant(start.type, 16))], source_etype=_I16)
    return builder.bitcast(wide, _WIDE.as_pointer()), builder.bitcast(tail, _TAIL.as_pointer())


def _squares(builder, value, lanes):
    """<2n x i16> -> <n x i32>: sums of neighbouring squares, in the form that LLVM knows as a multiply-add."""
    wide = builder.sext(value, ir.VectorType(_I32, lanes))
    product = builder.mul(wide, wide)
    undefined = ir.Constant(product.type, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(
            product, undefined, ir.Constant(ir.VectorType(_I32, lanes // 2), list(range(k, lanes, 2)))
        )
        for k in (0, 1)
    )
    return builder.add(even, odd)


def _distance_of_rows(first: int, last: int):
    """An intrinsic: sum of squared differences over rows first..last-1 of two patches, int32."""

    @intrinsic
    def distance(typingctx, a, at_a, b, at_b):
        if not all(isinstance(t, types.Array) and t.dtype == types.int16 and t.layout == "C" for t in (a, b)):
            return None

        def codegen(context, builder, signature, arguments):
            a, at_a, b, at_b = arguments
            wide = tail = None
            for row in range(first, last):
                a0, a1 = _row(context, builder, signature.args[0], a, at_a, row)
                b0, b1 = _row(context, builder, signature.args[2], b, at_b, row)
                head = builder.sub(builder.load(a0, align=2), builder.load(b0, align=2))
                rest = builder.and_(builder.sub(builder.load(a1, align=2), builder.load(b1, align=2)), _MASK)
                head, rest = _squares(builder, head, 16), _squares(builder, rest, 8)
                wide = head if wide is None else builder.add(wide, head)
                tail = rest if tail is None else builder.add(tail, rest)
            eight, four = ir.VectorType(_I32, 8), ir.VectorType(_I32, 4)
            low, high = (
                builder.shuffle_vector(wide, ir.Constant(eight, ir.Undefined), ir.Constant(four, list(range(k, k + 4))))
                for k in (0, 4)
            )
            total = builder.add(builder.add(low, high), tail)
            add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(_I32, [four]), "llvm.vector.reduce.add.v4i32"
            )
            return builder.call(add, [total])

        return types.int32(a, types.int64, b, types.int64), codegen

    return distance


distance_of_rows = plain.distance_of_rows if PLAIN else _distance_of_rows
distance_head = distance_of_rows(0, 3)
distance_tail = distance_of_rows(3, PATCH)
distance_full = distance_of_rows(0, PATCH)


def _patch_onto(operation: str):
    """An intrinsic: total[at_total] = total[at_total] operation values[at_values], for the pixels of a patch, int16."""

    @intrinsic
    def onto(typingctx, total, at_total, values, at_values):
        def codegen(context, builder, signature, arguments):
            total, at_total, values, at_values = arguments
            apply = getattr(builder, operation)
            for row in range(PATCH):
                to0, to1 = _row(context, builder, signature.args[0], total, at_total, row)
                from0, from1 = _row(context, builder, signature.args[2], values, at_values, row)
                head = apply(builder.load(to0, align=2), builder.load(from0, align=2))
                rest = apply(builder.load(to1, align=2), builder.and_(builder.load(from1, align=2), _MASK))
                builder.store(head, to0, align=2)
                builder.store(rest, to1, align=2)
            return context.get_dummy_value()

        return types.void(total, types.int64, values, types.int64), codegen

    return onto


add_patch = plain.add_patch if PLAIN else _patch_onto("add")
take_patch = plain.take_patch if PLAIN else _patch_onto("sub")


BLOCK = 32
"""Keys whose lower bounds are computed together."""
SUMS = 12
"""Block sums of a patch: its four quarters in three colours."""
_FLOAT = ir.FloatType()
_BOUNDS = ir.VectorType(_FLOAT, BLOCK)


@intrinsic
def _below(typingctx, terms, at, keys, block, limit):
    """Bit i of the int64 says whether key 32 block + i has a lower bound below `limit`.

    terms (n,13), keys (blocks,14,32) float32, both contiguous: the bound is
    keys[block, 13] (terms[at, 12] + keys[block, 12] + sum over k < 12 of terms[at, k] keys[block, k]).
    """

    def codegen(context, builder, signature, arguments):
        terms, at, keys, block, limit = arguments

        def address(kind, array, index, width, offset):
            data = context.make_array(signature.args[kind])(context, builder, array).data
            start = builder.mul(index, ir.Constant(index.type, width))
            return builder.gep(data, [builder.add(start, ir.Constant(index.type, offset))], source_etype=_FLOAT)

        def everywhere(value):
            undefined = ir.Constant(_BOUNDS, ir.Undefined)
            one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
            return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, BLOCK), [0] * BLOCK))

        def row(k):
            pointer = address(2, keys, block, (SUMS + 2) * BLOCK, k * BLOCK)
            return builder.load(builder.bitcast(pointer, _BOUNDS.as_pointer()), align=4)

        def term(k):
            return everywhere(builder.load(address(0, terms, at, SUMS + 1, k)))

        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_BOUNDS, [_BOUNDS] * 3), f"llvm.fmuladd.v{BLOCK}f32"
        )
        total = builder.fadd(row(SUMS), term(SUMS))
        for k in range(SUMS):
            total = builder.call(multiply_add, [term(k), row(k), total])
        bits = builder.fcmp_ordered("<", builder.fmul(total, row(SUMS + 1)), everywhere(limit))
        return builder.zext(builder.bitcast(bits, ir.IntType(BLOCK)), ir.IntType(64))

    return types.int64(terms, types.int64, keys, types.int64, types.float32), codegen


@intrinsic
def _lowest_bit(typingctx, bits):
    """The place of the lowest bit that is set; `bits` int64, not 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


below = plain.below if PLAIN else _below
lowest_bit = plain.lowest_bit if PLAIN else _lowest_bit
