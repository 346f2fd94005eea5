"""Kernel of the exact search by metrics that no matrix product screens: a tile of points is compared side by side."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.neighbors.index_kernels import _replace_worst

CHEBYSHEV, MINKOWSKI, POWERS, CANBERRA, BRAYCURTIS, HAMMING = range(6)  # MINKOWSKI: any p; POWERS: 2 p in [1, 32]
_TINY = 1e-280  # a sum of powers below this may have lost terms to underflow


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _minkowski(x, y, p, limit):
    """m (sum (|x - y| / m)^p)^(1 / p), with m = max |x - y|; infinity where it cannot be below limit."""
    m = 0.0
    for f in range(x.shape[0]):
        m = max(m, abs(x[f] - y[f]))
    if m == 0.0:
        return 0.0
    total, most = 0.0, (limit / m) ** p * (1 + 1e-9)
    for f in range(x.shape[0]):
        total += (abs(x[f] - y[f]) / m) ** p
        if total > most:
            return np.inf
    return m * total ** (1 / p)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _fill_tile(kind, twice, scale, x, columns, start, total, second):
    """What `kind` sums (of which it takes the maximum) over the features, for a tile of points: total, and second."""
    p = columns.shape[0]
    size = total.shape[0]
    total[:] = 0.0
    second[:] = 0.0
    if kind in (CHEBYSHEV, MINKOWSKI):
        for f in range(0, p - 3, 4):  # four columns a pass
            x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
            for j in range(size):
                at = start + j
                a, b = abs(x0 - columns[f, at]), abs(x1 - columns[f + 1, at])
                c, d = abs(x2 - columns[f + 2, at]), abs(x3 - columns[f + 3, at])
                a = b if b > a else a
                c = d if d > c else c
                a = c if c > a else a
                total[j] = a if a > total[j] else total[j]
        for f in range(p - p % 4, p):
            for j in range(size):
                a = abs(x[f] - columns[f, start + j])
                total[j] = a if a > total[j] else total[j]
    for f in range(p):
        own = x[f]
        if kind == POWERS:
            whole = twice % 2 == 0
            for j in range(size):
                a = abs(own - columns[f, start + j]) * scale
                second[j] = a if whole else np.sqrt(a)
            if twice == 6:
                for j in range(size):
                    total[j] += second[j] * second[j] * second[j]
            elif twice == 8:
                for j in range(size):
                    square = second[j] * second[j]
                    total[j] += square * square
            else:
                times = twice // 2 if whole else twice
                for j in range(size):
                    a = second[j]
                    power = a
                    for _ in range(times - 1):
                        power *= a
                    total[j] += power
        elif kind == CANBERRA:
            for j in range(size):
                y = columns[f, start + j]
                both = abs(own) + abs(y)
                total[j] += abs(own - y) / (both if both > 0 else 1.0)
        elif kind == BRAYCURTIS:
            for j in range(size):
                y = columns[f, start + j]
                total[j] += abs(own - y)
                second[j] += abs(own) + abs(y)
        elif kind == HAMMING:
            for j in range(size):
                total[j] += 1.0 if own != columns[f, start + j] else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def keep_nearest_tiled(kind, power, scales, queries, points, columns, total, second, heap_distance, heap_index):
    """Fill each query's heap with the points nearest in the metric `kind`.

    power: p of MINKOWSKI and POWERS. scales (q,): powers of 4 that bring differences to about 1, for POWERS.
    queries (q, p); points (n, p), columns (p, n): the same. total, second: (tile,) scratch. heap_distance (q, k),
    heap_index (q, k): max-heaps, infinite while not full.
    """
    p, n = columns.shape
    tile = total.shape[0]
    twice = np.int64(2 * power)
    for i in range(queries.shape[0]):
        distance = heap_distance[i]
        index = heap_index[i]
        scale = scales[i]
        limit = distance[0]
        for start in range(0, n, tile):
            size = min(tile, n - start)
            own, other = total[:size], second[:size]
            _fill_tile(kind, twice, scale, queries[i], columns, start, own, other)
            for j in range(size):
                d = own[j]
                if kind == BRAYCURTIS:
                    d = d / other[j] if other[j] > 0 else 0.0
                elif kind == HAMMING:
                    d /= p
                if d < limit:
                    if kind == MINKOWSKI or (kind == POWERS and d < _TINY):  # the largest difference is no farther
                        d = _minkowski(queries[i], points[start + j], power, distance[0])
                    elif kind == POWERS:
                        d = d ** (1 / power) / scale
                    if d < distance[0]:
                        _replace_worst(distance, index, d, start + j)
                        limit = distance[0]
                        if kind == POWERS:
                            limit = (limit * scale) ** power * (1 + 1e-9) + _TINY
