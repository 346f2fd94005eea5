"""Francis's QR steps with two shifts at once, in real arithmetic, on a small Hessenberg matrix."""

from __future__ import annotations

import numpy as np
from numba import njit

EPS = 2.220446049250313e-16
TINY = 1e-300  # of a matrix whose largest entry is 1
PATIENCE = 20  # sweeps after which rounding of the whole matrix, not of the neighbours, is what is negligible


@njit(cache=True, nogil=True, error_model="numpy")
def reflector(x, y, z):
    """tau, v, w and alpha such that I - tau [1 v w]^T [1 v w] takes (x, y, z) to (alpha, 0, 0)."""
    if y == 0.0 and z == 0.0:
        return 0.0, 0.0, 0.0, x
    scale = 1.0
    squares = x * x + y * y + z * z
    if squares < 1e-250:  # an entry may have lost digits below the smallest normal number
        scale = max(abs(x), abs(y), abs(z))
        x, y, z = x / scale, y / scale, z / scale
        squares = x * x + y * y + z * z
    alpha = -np.copysign(np.sqrt(squares), x)
    inverse = 1 / (x - alpha)
    return (alpha - x) / alpha, y * inverse, z * inverse, alpha * scale


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def reflect_rows(T, k, size, first, tau, v, w):
    """Rows k.. of T, two or three as size says, from column `first` on."""
    a, b, c = T[k, first:], T[k + 1, first:], T[k + size - 1, first:]
    if size == 3:
        for j in range(len(a)):
            t = tau * (a[j] + v * b[j] + w * c[j])
            a[j] -= t
            b[j] -= v * t
            c[j] -= w * t
    else:
        for j in range(len(a)):
            t = tau * (a[j] + v * b[j])
            a[j] -= t
            b[j] -= v * t


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def reflect_columns(T, k, size, stop, tau, v, w):
    """Columns k.. of T, two or three as size says, rows before `stop`."""
    block = T[:stop, k : k + size]
    if size == 3:
        for i in range(stop):
            t = tau * (block[i, 0] + v * block[i, 1] + w * block[i, 2])
            block[i, 0] -= t
            block[i, 1] -= v * t
            block[i, 2] -= w * t
    else:
        for i in range(stop):
            t = tau * (block[i, 0] + v * block[i, 1])
            block[i, 0] -= t
            block[i, 1] -= v * t


@njit(cache=True, nogil=True, error_model="numpy")
def start_bulge(T, k, size, s1, s2, im):
    """First column of (T - s1 I)(T - s2 I) + im^2 I at row k up to a factor: of the shifts s1, s2 or s1 +- i im."""
    a, d, below = T[k, k], T[k + 1, k + 1], T[k + 1, k]
    scale = abs(below) + abs(a - s1) + abs(a - s2) + abs(im)
    x = (a - s1) * ((a - s2) / scale) + im * (im / scale) + below / scale * T[k, k + 1]
    y = below / scale * ((a - s1) + (d - s2))
    z = below / scale * T[k + 2, k + 1] if size == 3 else 0.0
    return x, y, z


@njit(cache=True, nogil=True, error_model="numpy")
def move_bulge(T, k, start, size, s1, s2, im):
    """One step of a bulge: reflect rows and columns k.. of T, two or three as size says; returns tau, v, w.

    At k = start the bulge comes into being; what stands left of it there is so small that its second and third row,
    which would be new, are 0 to rounding.
    """
    if k == start:
        x, y, z = start_bulge(T, k, size, s1, s2, im)
        tau, v, w, _ = reflector(x, y, z)
        if k > 0:
            T[k, k - 1] *= 1 - tau
    else:
        z = T[k + 2, k - 1] if size == 3 else 0.0
        tau, v, w, alpha = reflector(T[k, k - 1], T[k + 1, k - 1], z)
        T[k, k - 1], T[k + 1, k - 1] = alpha, 0.0
        if size == 3:
            T[k + 2, k - 1] = 0.0
    reflect_rows(T, k, size, k, tau, v, w)
    reflect_columns(T, k, size, min(k + 4, T.shape[0]), tau, v, w)
    return tau, v, w


@njit(cache=True, nogil=True, error_model="numpy")
def bulge_from(T, first, stop, s1, s2, im):
    """Row at which a bulge may start: past two small subdiagonal entries in a row, which would drown the shifts."""
    for k in range(stop - 3, first, -1):
        x, y, z = start_bulge(T, k, 3, s1, s2, im)
        near = abs(T[k - 1, k - 1]) + abs(T[k, k]) + abs(T[k + 1, k + 1])
        if abs(T[k, k - 1]) * (abs(y) + abs(z)) <= EPS * abs(x) * near:
            return k
    return first


@njit(cache=True, nogil=True, error_model="numpy")
def active_from(T, stop, least):
    """First row of the block that ends before `stop` and has no negligible subdiagonal entry; the one found becomes 0.

    An entry below `least` is negligible, and one below the rounding of its neighbours on the diagonal if dropping it
    moves no eigenvalue of the two by two block around it by more either (Ahues and Tisseur's condition, which graded
    matrices need).
    """
    k = stop - 1
    while k > 0:
        below, across = abs(T[k, k - 1]), abs(T[k - 1, k])
        here, before = abs(T[k, k]), abs(T[k - 1, k - 1])
        if below < least:
            break
        if below <= EPS * (here + before):
            gap = abs(T[k - 1, k - 1] - T[k, k])
            large, small = max(below, across), min(below, across)
            far, near = max(here, gap), min(here, gap)
            if small * (large / (far + large)) <= max(TINY, EPS * near * (far / (far + large))):
                break
        k -= 1
    if k > 0:
        T[k, k - 1] = 0.0
    return k


@njit(cache=True, nogil=True, error_model="numpy")
def shift_pair(T, stop, exceptional):
    """Two shifts s1, s2, im from the last two by two block before `stop`: its eigenvalues s1 +- i im.

    Real eigenvalues give the one nearer the last entry twice. An exceptional pair leaves a cycle.
    """
    a, b, c, d = T[stop - 2, stop - 2], T[stop - 2, stop - 1], T[stop - 1, stop - 2], T[stop - 1, stop - 1]
    if exceptional:
        size = abs(c) + abs(T[stop - 2, stop - 3])
        return 0.75 * size + d, 0.75 * size + d, 0.66 * size
    half = (a - d) / 2
    root = half * half + b * c
    if root < 0.0:
        return d + half, d + half, np.sqrt(-root)
    far = half + np.copysign(np.sqrt(root), half)
    near = d - b * c / far if far != 0.0 else d
    return near, near, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def split_pair(T, Zt, k):
    """Make the two by two block at k upper triangular by a rotation if its eigenvalues are real."""
    half = (T[k, k] - T[k + 1, k + 1]) / 2
    b, c = T[k, k + 1], T[k + 1, k]
    scale = max(abs(half), np.sqrt(abs(b)) * np.sqrt(abs(c)))
    if scale == 0.0:
        x, y = 0.0, 1.0  # b = 0 < |c| and equal diagonal entries: exchange them
    else:
        root = (half / scale) * (half / scale) + (b / scale) * (c / scale)
        if root < 0.0:
            return
        x, y = half + np.copysign(np.sqrt(root) * scale, half), c  # the eigenvector of T[k + 1, k + 1] + x
    size = np.hypot(x, y)
    x, y = x / size, y / size
    for j in range(k, T.shape[1]):
        T[k, j], T[k + 1, j] = x * T[k, j] + y * T[k + 1, j], x * T[k + 1, j] - y * T[k, j]
    for j in range(Zt.shape[1]):
        Zt[k, j], Zt[k + 1, j] = x * Zt[k, j] + y * Zt[k + 1, j], x * Zt[k + 1, j] - y * Zt[k, j]
    for i in range(k + 2):
        T[i, k], T[i, k + 1] = x * T[i, k] + y * T[i, k + 1], x * T[i, k + 1] - y * T[i, k]
    T[k + 1, k] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def francis(T, Zt, max_sweeps):
    """Turn the Hessenberg matrix T (n, n) into its real Schur form Q^T T Q in place, and Zt (n, rows) into Q^T Zt.

    Two by two blocks on the diagonal are left for complex pairs alone. Returns sweeps, or -1 if an eigenvalue took over
    max_sweeps.
    """
    stop, since, sweeps = T.shape[0], 0, 0
    rounding = max(TINY, EPS * np.abs(T).max())
    while stop > 0:
        first = active_from(T, stop, rounding if since > PATIENCE else TINY)
        if first >= stop - 2:
            if first == stop - 2:
                split_pair(T, Zt, first)
            stop, since = first, 0
            continue
        if since == max_sweeps:
            return -1
        since += 1
        sweeps += 1
        s1, s2, im = shift_pair(T, stop, since % 10 == 0)
        start = bulge_from(T, first, stop, s1, s2, im)
        for k in range(start, stop - 1):
            size = min(3, stop - k)
            tau, v, w = move_bulge(T, k, start, size, s1, s2, im)
            reflect_rows(Zt, k, size, 0, tau, v, w)
    return sweeps
