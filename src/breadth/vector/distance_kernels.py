"""Distances between coded vectors: eight-bit codes multiplied sixteen at a time, or float32 as given.

A stored vector x is represented by codes c and a pair (scale, bias), so that its distance from a query with codes e and
scale t is, up to a constant of the query, bias - w t scale <c, e>: w = 2 and bias = |scale c|^2 give the squared
Euclidean distance, w = 1 and bias = 0 the negative inner product. For float32 codes and Euclidean distance, where that
difference of large numbers would lose digits, w = -1 and squared differences stand in the product's place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK = 32  # entries that one pass of the loop multiplies; rows of codes are padded with zeros to a multiple of it
_LANES = 16
_LINE = 64  # bytes of a cache line


class Coded(NamedTuple):
    """Stored vectors as the kernels see them."""

    codes: np.ndarray  # int8 or float32 (slots, padded): dim entries and zeros
    affine: np.ndarray  # float32 (slots, 2): scale and bias
    weight: np.float32  # w: 2 for Euclidean distance, -1 for it on float32, 1 for the inner product


@intrinsic
def dot(typingctx, codes, row, query, n_blocks, squared):
    """<codes[row], query> over n_blocks x BLOCK entries, in int32 for integers and in float32 for floats.

    squared: of floats, the sum of squared differences in its place; not for integers.

    Written as vectors of LLVM because Numba multiplies integers as int64, eight times slower. The sum of neighbouring
    products is what x86 does in one instruction (vpmaddwd); other processors get what LLVM makes of it. The order of
    the sum is fixed.
    """
    is_float = isinstance(codes.dtype, types.Float)

    def codegen(context, builder, signature, args):
        stored = context.make_array(signature.args[0])(context, builder, args[0])
        asked = context.make_array(signature.args[2])(context, builder, args[2])
        width = cgutils.unpack_tuple(builder, stored.shape)[1]
        intp = context.get_value_type(types.intp)
        element = ir.FloatType() if is_float else ir.IntType(32)
        lanes = ir.VectorType(element, _LANES)
        half = ir.VectorType(element, _LANES // 2)
        zero = ir.Constant(half, [0.0 if is_float else 0] * (_LANES // 2))
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(4 if is_float else 2)]

        def picked(first, step):
            return ir.Constant(
                ir.VectorType(ir.IntType(32), _LANES // 2), [first + step * j for j in range(_LANES // 2)]
            )

        def load(array, offset):
            kind = array.data.type.pointee
            address = builder.bitcast(builder.gep(array.data, [offset]), ir.VectorType(kind, _LANES).as_pointer())
            loaded = builder.load(address, align=1)
            return loaded if is_float else builder.sext(loaded, lanes)

        start = builder.mul(args[1], width)
        undefined = ir.Constant(lanes, ir.Undefined)
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(half, [half, half, half]), f"llvm.fmuladd.v{_LANES // 2}f32"
        )
        with cgutils.for_range(builder, args[3]) as loop:
            at = builder.mul(loop.index, ir.Constant(intp, BLOCK))
            for part in range(BLOCK // _LANES):
                offset = builder.add(at, ir.Constant(intp, part * _LANES))
                x, y = load(stored, builder.add(start, offset)), load(asked, offset)
                if is_float:
                    difference = builder.fsub(x, y)
                    x, y = (builder.select(args[4], difference, v) for v in (x, y))
                    for side in range(2):
                        pick = picked(side * _LANES // 2, 1)
                        total = sums[2 * part + side]
                        halves = [builder.shuffle_vector(v, undefined, pick) for v in (x, y)]
                        builder.store(builder.call(fused, [*halves, builder.load(total)]), total)
                else:
                    product = builder.mul(x, y)
                    even, odd = (builder.shuffle_vector(product, undefined, picked(side, 2)) for side in range(2))
                    builder.store(builder.add(builder.load(sums[part]), builder.add(even, odd)), sums[part])
        total = builder.load(sums[0])
        for other in sums[1:]:
            total = (builder.fadd if is_float else builder.add)(total, builder.load(other))
        for width in (4, 2, 1):  # a tree over the lanes: the same order everywhere
            rolled = ir.Constant(
                ir.VectorType(ir.IntType(32), _LANES // 2), [(j + width) % (_LANES // 2) for j in range(_LANES // 2)]
            )
            moved = builder.shuffle_vector(total, ir.Constant(half, ir.Undefined), rolled)
            total = (builder.fadd if is_float else builder.add)(total, moved)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    result = types.float32 if is_float else types.int32
    return result(codes, types.intp, query, types.intp, types.boolean), codegen


@intrinsic
def prefetch_row(typingctx, array, row):
    """Ask the processor to fetch the whole of a row of a C-ordered matrix; reads nothing."""

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        stride = cgutils.unpack_tuple(builder, view.strides)[0]
        byte_pointer, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        start = builder.gep(builder.bitcast(view.data, byte_pointer), [builder.mul(args[1], stride)])
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, int32, int32, int32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        read, keep_in_all_caches, data = ir.Constant(int32, 0), ir.Constant(int32, 3), ir.Constant(int32, 1)
        line = ir.Constant(stride.type, _LINE)
        n_lines = builder.udiv(builder.add(stride, ir.Constant(stride.type, _LINE - 1)), line)
        with cgutils.for_range(builder, n_lines) as loop:
            address = builder.gep(start, [builder.mul(loop.index, line)])
            builder.call(function, [address, read, keep_in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def bits_of(typingctx, value):
    """The int32 that has the bits of a float32."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def distance(coded, slot, query, factor):
    """Distance of a slot from a query, up to a constant of the query; factor is -weight x the query's scale."""
    product = np.float32(dot(coded.codes, np.int64(slot), query, query.shape[0] // BLOCK, coded.weight < 0))
    # in this order nothing leaves float32's range on the way, where the product of two scales could
    return coded.affine[np.uint64(slot), 1] + factor * product * coded.affine[np.uint64(slot), 0]


@njit(cache=True, nogil=True, error_model="numpy")
def encode_rows(vectors, centre, levels, weight, codes, affine):
    """Write the codes of vectors - centre, and (scale, bias) of each row.

    vectors (n, dim) float32; codes (n, padded), zero beyond dim; affine (n, 2) float32.
    levels: the largest code, a vector's largest entry; 0: codes are float32 and take the entries as they are.
    """
    dim = vectors.shape[1]
    for i in range(vectors.shape[0]):
        largest = np.float32(0)
        for f in range(dim):
            largest = max(largest, abs(vectors[i, f] - centre[f]))
        scale = np.float32(1)
        if levels:
            scale = largest / np.float32(levels)
        square = np.float32(0)
        for f in range(dim):
            value = vectors[i, f] - centre[f]
            if levels and largest > 0:
                value = np.rint(value / largest * np.float32(levels))
            codes[i, f] = value
            square += value * value
        affine[i, 0] = scale
        affine[i, 1] = scale * square * scale if weight == 2 else np.float32(0)
