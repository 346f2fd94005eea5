"""Kernels over a suffix array: shared prefixes of neighbours, and the substrings that branch."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def adjacent_prefixes(symbols, order, longest):
    """Symbols that each suffix shares with the one before it, at most `longest`."""
    n = symbols.shape[0]
    shared = np.zeros(n, np.int32)
    for k in range(1, n):
        a = order[k - 1]
        b = order[k]
        most = min(longest, n - max(a, b))
        length = 0
        while length < most and symbols[a + length] == symbols[b + length]:
            length += 1
        shared[k] = length
    return shared


@njit(cache=True, nogil=True, error_model="numpy")
def branching_substrings(shared, order, weight, longest):
    """Substrings of 2 to `longest` symbols that occur with two different symbols after them.

    They are the inner nodes of the suffix tree: intervals of the suffix array whose suffixes share a prefix that no
    wider interval shares. weight: int64, what an occurrence that begins at each place counts.

    Returns, a row each: start of one occurrence, length, summed weight.
    """
    n = order.shape[0]
    found = np.empty((max(n, 1), 3), np.int64)
    k = 0
    left = np.empty(n + 1, np.int64)  # a stack of open intervals: first suffix, depth, weight so far
    depth = np.empty(n + 1, np.int64)
    total = np.empty(n + 1, np.int64)
    top = -1
    for i in range(n + 1):
        here = np.int64(shared[i]) if i < n else 0
        begin = np.int64(i - 1)
        carried = weight[order[i - 1]] if i > 0 else np.int64(0)  # of suffix i - 1, the last of what closes now
        while top >= 0 and depth[top] > here:
            carried += total[top]
            if 2 <= depth[top] <= longest:
                found[k, 0] = order[left[top]]
                found[k, 1] = depth[top]
                found[k, 2] = carried
                k += 1
            begin = left[top]
            top -= 1
        if i == 0:
            continue
        if top >= 0 and depth[top] == here:
            total[top] += carried
        elif here > 0:
            top += 1
            left[top] = begin
            depth[top] = here
            total[top] = carried
    return found[:k].copy()
