"""Pointers to compiled functions, so that a kernel can be given another one at run time.

Numba compiles a function that it calls again into each of its callers. `grow_tree` gets its two largest parts as
pointers instead: they are compiled once, and a fit with categorical features needs no second `grow_tree`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import cfunc, types
from numba.core.types import WrapperAddressProtocol

from breadth.tabular.trees.options_kernels import search_any
from breadth.tabular.trees.split_kernels import add_rows, search_ordered

_INT = types.int64
_BYTES, _SIGNS = types.uint8[::1], types.int8[::1]
_INTS, _FLOATS, _WORDS = types.int64[::1], types.float64[::1], types.uint64[::1]

ADD_ROWS = types.void(
    _WORDS, _INT, _INTS, types.uint32[::1], _INT, _INT, types.boolean, _INTS, _INT, _INT,
)  # fmt: skip
SEARCH = types.void(
    _INT, _INTS, _INT, _INT, _INTS, _BYTES, _BYTES, _SIGNS, _FLOATS, _FLOATS, _INTS, _FLOATS, _FLOATS, _WORDS,
    _FLOATS, _WORDS,
)  # fmt: skip


class Pointer(WrapperAddressProtocol):  # numba asks for these two methods
    """A compiled function as an argument of another."""

    def __init__(self, function: Callable[..., None], signature: Any) -> None:
        # error_model="numpy" as everywhere; fastmath stays off, `ordered_split` has its own
        compiler: Any = cfunc
        self._compiled = compiler(signature, cache=True, nopython=True, error_model="numpy")(function)
        self._signature = signature

    def __wrapper_address__(self) -> int:
        return int(self._compiled.address)

    def signature(self) -> Any:
        return self._signature


@cache
def row_adder() -> Pointer:
    return Pointer(add_rows, ADD_ROWS)


@cache
def searcher(*, options: bool) -> Pointer:
    """The split search; with `options` the one that knows categories and monotone constraints."""
    return Pointer(search_any if options else search_ordered, SEARCH)
