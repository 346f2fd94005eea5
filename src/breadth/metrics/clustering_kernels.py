"""Kernels of the silhouette: each row's summed distance to the rows of every cluster."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_TILE = 256  # rows whose distances are summed side by side


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def summed_distances(points, columns, start, sums):
    """sums[i, c]: sum of Euclidean distances from row i to the rows of cluster c.

    points (n, p) and columns (p, n), rows in the order of their clusters; start (k + 1,): first row of each cluster.
    """
    n, p = points.shape
    k = start.shape[0] - 1
    for i in prange(n):
        square = np.empty(_TILE)
        for c in range(k):
            total = 0.0
            for first in range(start[c], start[c + 1], _TILE):
                size = min(_TILE, start[c + 1] - first)
                for j in range(size):
                    square[j] = 0.0
                for f in range(p):
                    x = points[i, f]
                    for j in range(size):
                        step = x - columns[f, first + j]
                        square[j] += step * step
                for j in range(size):
                    square[j] = np.sqrt(square[j])
                for j in range(size):
                    total += square[j]
            sums[i, c] = total
