"""Kernels that turn rows of a matrix by the rotations and reflections of QR sweeps, many at a time.

The matrix is cut into slabs of LANES columns, (slabs, rows + 2 PAD, LANES): a slab stays in a core's cache while all
sweeps pass over it, its row stride is known to the compiler, and slabs are independent of each other.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

LANES = 32  # columns of a slab
PAD = 8  # rows above and below, which the ends of a sweep's groups of rotations may touch
FUSED = 4  # sweeps of rotations in one pass
FEW = 16  # slabs below which one thread turns them all before another would have woken


def cut(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix (n, columns) in slabs, padded with zeros."""
    n, columns = rows.shape
    slabs = np.zeros((-(-columns // LANES), n + 2 * PAD, LANES))
    for k, slab in enumerate(slabs):
        part = rows[:, k * LANES : (k + 1) * LANES]
        slab[PAD : PAD + n, : part.shape[1]] = part
    return slabs


def joined(slabs: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """The matrix (n, columns) that `cut` cut."""
    inner = slabs[:, PAD:-PAD]
    return np.ascontiguousarray(inner.transpose(1, 0, 2)).reshape(inner.shape[1], -1)[:, :columns]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def rotate(slab, C, S, first, stop):
    """FUSED sweeps of rotations [c -s; s c] of rows k, k + 1 for k = stop - 1, ..., first on a flat slab.

    C, S (FUSED, n + 2 PAD) hold the rotation of row k at k + PAD, and 1 and 0 where a sweep has none. Sweep j runs j
    rows behind the one before it; eight rotations are applied to six rows while these are in registers.
    """
    for k in range(stop - 2 + PAD, first - FUSED - 1 + PAD, -2):
        c0, s0, c1, s1 = C[0, k + 1], S[0, k + 1], C[0, k], S[0, k]
        c2, s2, c3, s3 = C[1, k + 2], S[1, k + 2], C[1, k + 1], S[1, k + 1]
        c4, s4, c5, s5 = C[2, k + 3], S[2, k + 3], C[2, k + 2], S[2, k + 2]
        c6, s6, c7, s7 = C[3, k + 4], S[3, k + 4], C[3, k + 3], S[3, k + 3]
        Y = slab[k * LANES : (k + 6) * LANES]
        for j in range(LANES):
            y0, y1, y2 = Y[j], Y[j + LANES], Y[j + 2 * LANES]
            y3, y4, y5 = Y[j + 3 * LANES], Y[j + 4 * LANES], Y[j + 5 * LANES]
            y1, y2 = c0 * y1 - s0 * y2, s0 * y1 + c0 * y2
            y0, y1 = c1 * y0 - s1 * y1, s1 * y0 + c1 * y1
            y2, y3 = c2 * y2 - s2 * y3, s2 * y2 + c2 * y3
            y1, y2 = c3 * y1 - s3 * y2, s3 * y1 + c3 * y2
            y3, y4 = c4 * y3 - s4 * y4, s4 * y3 + c4 * y4
            y2, y3 = c5 * y2 - s5 * y3, s5 * y2 + c5 * y3
            y4, y5 = c6 * y4 - s6 * y5, s6 * y4 + c6 * y5
            y3, y4 = c7 * y3 - s7 * y4, s7 * y3 + c7 * y4
            Y[j], Y[j + LANES], Y[j + 2 * LANES] = y0, y1, y2
            Y[j + 3 * LANES], Y[j + 4 * LANES], Y[j + 5 * LANES] = y3, y4, y5


@njit(cache=True, nogil=True, error_model="numpy")
def _rotate_slab(slab, C, S, spans, n_sweeps):
    for t in range(0, n_sweeps, FUSED):
        end = min(t + FUSED, n_sweeps)
        rotate(slab, C[t : t + FUSED], S[t : t + FUSED], spans[t:end, 0].min(), spans[t:end, 1].max())


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def rotate_slabs(slabs, C, S, spans, n_sweeps):
    """Sweeps 0..n_sweeps - 1 of rotations, sweep t of the rows spans[t] = (first, stop), on every flat slab."""
    if len(slabs) < FEW:
        for b in range(len(slabs)):
            _rotate_slab(slabs[b], C, S, spans, n_sweeps)
    else:
        for b in prange(len(slabs)):
            _rotate_slab(slabs[b], C, S, spans, n_sweeps)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def reflect(slab, R, first, stop, row):
    """Reflections I - tau [1 v w]^T [1 v w] of three rows, first..stop - 1 of R (3, n), on a flat slab, four at a time.

    The first turns rows row, row + 1, row + 2 of the slab, the next those one further down. R is (tau, v, w), and 0
    for the three that follow the last.
    """
    for k in range(first, stop, 4):
        a0, v0, w0 = R[0, k], R[1, k], R[2, k]
        a1, v1, w1 = R[0, k + 1], R[1, k + 1], R[2, k + 1]
        a2, v2, w2 = R[0, k + 2], R[1, k + 2], R[2, k + 2]
        a3, v3, w3 = R[0, k + 3], R[1, k + 3], R[2, k + 3]
        Y = slab[row * LANES : (row + 6) * LANES]
        for j in range(LANES):
            y0, y1, y2 = Y[j], Y[j + LANES], Y[j + 2 * LANES]
            y3, y4, y5 = Y[j + 3 * LANES], Y[j + 4 * LANES], Y[j + 5 * LANES]
            t = a0 * (y0 + v0 * y1 + w0 * y2)
            y0, y1, y2 = y0 - t, y1 - v0 * t, y2 - w0 * t
            t = a1 * (y1 + v1 * y2 + w1 * y3)
            y1, y2, y3 = y1 - t, y2 - v1 * t, y3 - w1 * t
            t = a2 * (y2 + v2 * y3 + w2 * y4)
            y2, y3, y4 = y2 - t, y3 - v2 * t, y4 - w2 * t
            t = a3 * (y3 + v3 * y4 + w3 * y5)
            y3, y4, y5 = y3 - t, y4 - v3 * t, y5 - w3 * t
            Y[j], Y[j + LANES], Y[j + 2 * LANES] = y0, y1, y2
            Y[j + 3 * LANES], Y[j + 4 * LANES], Y[j + 5 * LANES] = y3, y4, y5
        row += 4


@njit(cache=True, nogil=True, error_model="numpy")
def turn_slabs(slabs, V, at, R, first, stop, n_sweeps):
    """V (size, size) times rows at.. of every flat slab, then n_sweeps sweeps of reflections of rows first..stop."""
    size = len(V)
    for b in range(len(slabs)):
        if size > 0:
            rows = slabs[b, (PAD + at) * LANES : (PAD + at + size) * LANES].reshape(size, LANES)
            rows[:] = np.dot(V, rows)
        for t in range(n_sweeps):
            reflect(slabs[b], R[t], first, stop - 1, PAD + first)
