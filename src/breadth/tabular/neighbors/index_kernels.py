"""Kernels of the exact nearest-neighbour search: keep the k smallest of (distance, index), compared in that order."""

from __future__ import annotations

import numpy as np
from numba import njit

_CHUNK = 32  # screened distances compared at once


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _replace_worst(distance, index, d, j):
    """Replace the root of a max-heap on (distance, index) by (d, j)."""
    k = distance.shape[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= k:
            break
        right = child + 1
        if right < k and (
            distance[right] > distance[child] or (distance[right] == distance[child] and index[right] > index[child])
        ):
            child = right
        if d > distance[child] or (d == distance[child] and j > index[child]):
            break
        distance[at] = distance[child]
        index[at] = index[child]
        at = child
    distance[at] = d
    index[at] = j


@njit(cache=True, nogil=True, error_model="numpy")
def keep_nearest_euclidean(screen, first, queries, points, offset, heap_distance, heap_index):
    """Update each query's heap with the points of one block whose screened distance could be small enough.

    screen: (q, m) float32, approximate |y|^2 - 2 x.y of centred, scaled rows.
    first: index of the block's first point. queries (q, p), points (n, p): float64, as given.
    offset: (q, 2): a screened value s is too large when s > offset[i, 0] x worst + offset[i, 1].
    heap_distance (q, k), heap_index (q, k): max-heaps of squared distances, infinite while not full.
    """
    m = screen.shape[1]
    p = points.shape[1]
    for i in range(screen.shape[0]):
        distance = heap_distance[i]
        index = heap_index[i]
        limit = np.float32(offset[i, 0] * distance[0] + offset[i, 1])
        for start in range(0, m, _CHUNK):
            stop = min(start + _CHUNK, m)
            below = 0
            for j in range(start, stop):
                below |= screen[i, j] <= limit
            if below == 0:
                continue
            for j in range(start, stop):
                if screen[i, j] <= limit:
                    d = 0.0
                    for f in range(p):
                        step = queries[i, f] - points[first + j, f]
                        d += step * step
                    if d < distance[0]:  # an equal distance has a larger index, so it never displaces
                        _replace_worst(distance, index, d, first + j)
                        limit = np.float32(offset[i, 0] * distance[0] + offset[i, 1])


@njit(cache=True, nogil=True, error_model="numpy")
def keep_nearest_manhattan(queries, columns, total, heap_distance, heap_index):
    """Fill each query's heap with the points nearest in sum |x - y|.

    queries (q, p); columns (p, n): the points by column, so that a tile of points is summed side by side.
    total: (tile,) scratch. heap_distance (q, k), heap_index (q, k): max-heaps, infinite while not full.
    """
    p, n = columns.shape
    tile = total.shape[0]
    for i in range(queries.shape[0]):
        distance = heap_distance[i]
        index = heap_index[i]
        for start in range(0, n, tile):
            size = min(tile, n - start)
            for j in range(size):
                total[j] = 0.0
            for f in range(0, p - 3, 4):  # four columns a pass, added in the order of the columns
                x0, x1, x2, x3 = queries[i, f], queries[i, f + 1], queries[i, f + 2], queries[i, f + 3]
                for j in range(size):
                    at = start + j
                    sum2 = (total[j] + abs(x0 - columns[f, at])) + abs(x1 - columns[f + 1, at])
                    total[j] = (sum2 + abs(x2 - columns[f + 2, at])) + abs(x3 - columns[f + 3, at])
            for f in range(p - p % 4, p):
                x = queries[i, f]
                for j in range(size):
                    total[j] += abs(x - columns[f, start + j])
            for j in range(size):
                if total[j] < distance[0]:
                    _replace_worst(distance, index, total[j], start + j)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _cosine_distance(product, square_x, square_y):
    """1 - x.y / (|x| |y|), in [0, 2]; 1 if a row is 0. The root of s times s is s, so a row is at 0 from its copies."""
    squares = square_x * square_y
    return min(max(1.0 - product / np.sqrt(squares), 0.0), 2.0) if squares > 0 else 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def keep_nearest_cosine(screen, first, queries, points, square, squares, offset, heap_distance, heap_index):
    """As `keep_nearest_euclidean`, for cosine distances: screened are the differences of rows of length 1.

    queries (q, p), points (n, p): rows of any length; square (q,), squares (n,): |x|^2 of each, summed in order.
    """
    m = screen.shape[1]
    p = points.shape[1]
    for i in range(screen.shape[0]):
        distance = heap_distance[i]
        index = heap_index[i]
        limit = np.float32(offset[i, 0] * distance[0] + offset[i, 1])
        for start in range(0, m, _CHUNK):
            stop = min(start + _CHUNK, m)
            below = 0
            for j in range(start, stop):
                below |= screen[i, j] <= limit
            if below == 0:
                continue
            for j in range(start, stop):
                if screen[i, j] <= limit:
                    product = 0.0
                    for f in range(p):
                        product += queries[i, f] * points[first + j, f]
                    d = _cosine_distance(product, square[i], squares[first + j])
                    if d < distance[0]:
                        _replace_worst(distance, index, d, first + j)
                        limit = np.float32(offset[i, 0] * distance[0] + offset[i, 1])


@njit(cache=True, nogil=True, error_model="numpy")
def keep_smallest(values, heap_distance, heap_index):
    """Fill each query's heap with the smallest of its distances, values (q, n)."""
    n = values.shape[1]
    for i in range(values.shape[0]):
        distance = heap_distance[i]
        index = heap_index[i]
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            below = 0
            for j in range(start, stop):
                below |= values[i, j] < distance[0]
            if below == 0:
                continue
            for j in range(start, stop):
                if values[i, j] < distance[0]:
                    _replace_worst(distance, index, values[i, j], j)
