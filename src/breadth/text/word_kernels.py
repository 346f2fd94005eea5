"""Eight bytes at once, at any place of an array of bytes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _address(context, builder, array_type, array, i):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(cgutils.gep_inbounds(builder, data, i), ir.IntType(64).as_pointer())


@intrinsic
def load_word(typingctx, data, i):
    """data[i : i + 8] as uint64; `data` must have them."""

    def codegen(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=1)

    return types.uint64(data, i), codegen


@intrinsic
def store_word(typingctx, data, i, word):
    """Write a uint64 to data[i : i + 8], which must be there."""

    def codegen(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]), align=1)
        return context.get_dummy_value()

    return types.void(data, i, types.uint64), codegen
