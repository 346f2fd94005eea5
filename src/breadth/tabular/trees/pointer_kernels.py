"""Calling a compiled function by its address, so that a kernel can be given another one at run time.

Numba compiles a function that it calls again into each of its callers. `grow_tree` gets its two largest parts as
addresses instead: they are compiled once, and a fit with categorical features needs no second `grow_tree`. An address
is an integer; Numba's own function arguments would be looked up anew at every call, which takes longer than a small
tree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import cfunc, types
from numba.core import cgutils
from numba.core.types import FunctionType
from numba.extending import intrinsic

from breadth.tabular.trees.options_kernels import search_any
from breadth.tabular.trees.split_kernels import row_adder_of, search_ordered

_INT = types.int64
_BYTES, _SIGNS = types.uint8[::1], types.int8[::1]
_INTS, _FLOATS, _WORDS = types.int64[::1], types.float64[::1], types.uint64[::1]

ADD_ROWS = types.void(
    _WORDS, _INT, _INTS, types.uint32[::1], _INT, _INT, types.boolean, _INTS, _INT, _INT,
)  # fmt: skip
SEARCH = types.void(
    _INT, _INT, _INTS, _INT, _INT, _INTS, _BYTES, _BYTES, _SIGNS, _FLOATS, _FLOATS, _INTS, _FLOATS, _FLOATS, _WORDS,
    _FLOATS, _WORDS,
)  # fmt: skip


def _function_at(signature: Any) -> Any:
    """An intrinsic that turns an address into a callable of the signature."""
    function_type = FunctionType(signature)

    @intrinsic
    def at(typingctx, address):
        def codegen(context, builder, _, args):
            function = cgutils.create_struct_proxy(function_type)(context, builder)
            nothing = cgutils.get_null_value(cgutils.voidptr_t)
            function.c_addr = builder.inttoptr(args[0], cgutils.voidptr_t)
            function.py_addr = nothing
            function.jit_addr = nothing
            return function._getvalue()

        return function_type(types.int64), codegen

    return at


add_rows_at = _function_at(ADD_ROWS)
search_at = _function_at(SEARCH)


def _compiled(function: Callable[..., None], signature: Any) -> Any:
    compiler: Any = cfunc
    return compiler(signature, cache=True, error_model="numpy")(function)


@cache
def _row_adder(lanes: int) -> Any:
    return _compiled(row_adder_of(lanes), ADD_ROWS)


@cache
def _searcher(options: bool) -> Any:
    return _compiled(search_any if options else search_ordered, SEARCH)


def row_adder(lanes: int) -> int:
    """Address of `add_rows` for words of `lanes` codes."""
    return int(_row_adder(lanes).address)


def searcher(*, options: bool) -> int:
    """Address of the split search; with `options` the one that knows categories and monotone constraints."""
    return int(_searcher(options).address)
