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
    stop = start + size
    if kind in (CHEBYSHEV, MINKOWSKI):
        for f in range(0, p - 3, 4):  # four columns a pass
            x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
            y0, y1, y2, y3 = (
                columns[f, start:stop],
                columns[f + 1, start:stop],
                columns[f + 2, start:stop],
                columns[f + 3, start:stop],
            )
            for j in range(np.uint64(size)):
                a, b = abs(x0 - y0[j]), abs(x1 - y1[j])
                c, d = abs(x2 - y2[j]), abs(x3 - y3[j])
                a = b if b > a else a
                c = d if d > c else c
                a = c if c > a else a
                total[j] = a if a > total[j] else total[j]
    for f in range(p):
        own, y = x[f], columns[f, start:stop]
        if kind in (CHEBYSHEV, MINKOWSKI) and f >= p - p % 4:
            for j in range(np.uint64(size)):
                a = abs(own - y[j])
                total[j] = a if a > total[j] else total[j]
        if kind == POWERS:
            whole = twice % 2 == 0
            for j in range(np.uint64(size)):
                a = abs(own - y[j]) * scale
                second[j] = a if whole else np.sqrt(a)
            if twice == 6:
                for j in range(np.uint64(size)):
                    total[j] += second[j] * second[j] * second[j]
            elif twice == 8:
                for j in range(np.uint64(size)):
                    square = second[j] * second[j]
                    total[j] += square * square
            else:
                times = twice // 2 if whole else twice
                for j in range(np.uint64(size)):
                    a = second[j]
                    power = a
                    for _ in range(times - 1):
                        power *= a
                    total[j] += power
        elif kind == CANBERRA:
            for j in range(np.uint64(size)):
                both = abs(own) + abs(y[j])
                total[j] += abs(own - y[j]) / (both if both > 0 else 1.0)
        elif kind == BRAYCURTIS:
            for j in range(np.uint64(size)):
                total[j] += abs(own - y[j])
            size_own = abs(own)
            for j in range(np.uint64(size)):
                second[j] += size_own + abs(y[j])
        elif kind == HAMMING:
            for j in range(np.uint64(size)):
                total[j] += np.float64(own != y[j])


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _limit(kind, power, scale, worst):
    """From where on what `_fill_tile` summed is no nearer than worst."""
    return (worst * scale) ** power * (1 + 1e-9) + _TINY if kind == POWERS else worst


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
    for start in range(0, n, tile):  # a tile stays in the cache while all queries look at it
        size = min(tile, n - start)
        own, other = total[:size], second[:size]
        for i in range(queries.shape[0]):
            distance = heap_distance[i]
            index = heap_index[i]
            scale = scales[i]
            limit = _limit(kind, power, scale, distance[0])
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
                        limit = _limit(kind, power, scale, distance[0])
