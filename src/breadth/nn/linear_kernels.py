"""Kernels that multiply a few vectors by a matrix, as fast as memory gives the matrix."""

from __future__ import annotations

import numpy as np
from numba import njit

# sums may run in any order, and NaN and infinity stay what they are
_SUMS = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def multiply(weight, x, y, first, last):
    """Write x W^T into y for rows first..last - 1 of W, which may be float32 or int8.

    Four rows far apart are read at once: the processor fetches ahead along each of them, and one alone leaves its
    memory waiting. Two vectors share what is read; the next two find it in the nearest cache.

    weight: (out, in). x: float32, (n, in). y: float32, (n, out).
    """
    quarter, n, width = (last - first) // 4, x.shape[0], weight.shape[1]
    for i in range(first, first + quarter):
        j, k, m = i + quarter, i + 2 * quarter, i + 3 * quarter
        for r in range(0, n - 1, 2):
            a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            e, f, g, h = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for t in range(width):
                u, v = x[r, t], x[r + 1, t]
                w_i, w_j = np.float32(weight[i, t]), np.float32(weight[j, t])
                w_k, w_m = np.float32(weight[k, t]), np.float32(weight[m, t])
                a, b, c, d = a + w_i * u, b + w_j * u, c + w_k * u, d + w_m * u
                e, f, g, h = e + w_i * v, f + w_j * v, g + w_k * v, h + w_m * v
            y[r, i], y[r, j], y[r, k], y[r, m] = a, b, c, d
            y[r + 1, i], y[r + 1, j], y[r + 1, k], y[r + 1, m] = e, f, g, h
        if n % 2:
            r = n - 1
            a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for t in range(width):
                u = x[r, t]
                a += np.float32(weight[i, t]) * u
                b += np.float32(weight[j, t]) * u
                c += np.float32(weight[k, t]) * u
                d += np.float32(weight[m, t]) * u
            y[r, i], y[r, j], y[r, k], y[r, m] = a, b, c, d
    for i in range(first + 4 * quarter, last):
        for r in range(n):
            a = np.float32(0)
            for t in range(width):
                a += np.float32(weight[i, t]) * x[r, t]
            y[r, i] = a
