"""Kernels of the exact search among sparse rows: products column by column, then differences of what they leave."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.neighbors.index_kernels import _CHUNK, _cosine_distance, _replace_worst

EUCLIDEAN, MANHATTAN, COSINE = range(3)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _apart(manhattan, x, at_x, y, at_y):
    """Sum of |x - y| or of (x - y)^2 over the columns that either row has, in their order. at_x, at_y: columns."""
    i, j, total = 0, 0, 0.0
    while i < x.shape[0] or j < y.shape[0]:
        if j == y.shape[0] or (i < x.shape[0] and at_x[i] < at_y[j]):
            step = x[i]
            i += 1
        elif i == x.shape[0] or at_y[j] < at_x[i]:
            step = y[j]
            j += 1
        else:
            step = x[i] - y[j]
            i += 1
            j += 1
        total += abs(step) if manhattan else step * step
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def keep_nearest_sparse(
    kind, x, at_x, start_x, y, at_y, start_y, z, at_z, start_z, size, sizes, base, factor, slack, shared,
    heap_distance, heap_index,
):  # fmt: skip
    """Fill each query's heap with the rows nearest to it, by squared Euclidean, Manhattan or cosine distance.

    x, at_x, start_x: queries as values, columns and starts of rows (CSR); y, at_y, start_y: the n rows, z, at_z,
    start_z: the same by column (CSC); columns and rows ascend. size (q,), sizes (n,): |x|^2, or sum |x| (Manhattan).
    base, factor (n,): of every row j, base - factor x (what it shares with the query) is screened, and too large above
    worst - size + slack, slack (q,); for cosines above (worst - 1 + slack) |x|. shared: (n,) scratch.
    """
    n = shared.shape[0]
    for i in range(size.shape[0]):
        distance = heap_distance[i]
        index = heap_index[i]
        shared[:] = 0.0
        for t in range(start_x[i], start_x[i + 1]):
            own = x[t]
            first, last = start_z[at_x[t]], start_z[at_x[t] + 1]
            if kind == MANHATTAN:
                for u in range(np.uint64(first), np.uint64(last)):
                    shared[np.uint32(at_z[u])] += abs(own) + abs(z[u]) - abs(own - z[u])
            else:
                for u in range(np.uint64(first), np.uint64(last)):
                    shared[np.uint32(at_z[u])] += own * z[u]
        length = np.sqrt(size[i])
        limit = np.inf
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            below = 0
            for j in range(start, stop):
                below |= base[j] - factor[j] * shared[j] <= limit
            if below == 0:
                continue
            for j in range(start, stop):
                if base[j] - factor[j] * shared[j] <= limit:
                    if kind == COSINE:
                        d = _cosine_distance(shared[j], size[i], sizes[j])
                    else:
                        lo, hi = start_x[i], start_x[i + 1]
                        a, b = start_y[j], start_y[j + 1]
                        d = _apart(kind == MANHATTAN, x[lo:hi], at_x[lo:hi], y[a:b], at_y[a:b])
                    if d < distance[0]:
                        _replace_worst(distance, index, d, j)
                        if kind != COSINE:
                            limit = distance[0] - size[i] + slack[i]
                        elif length > 0 and distance[0] < np.inf:
                            limit = (distance[0] - 1.0 + slack[i]) * length
