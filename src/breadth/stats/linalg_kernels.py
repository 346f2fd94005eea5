"""Kernels of the QR algorithm: reduction to Hessenberg form, and shifted QR steps on it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def hessenberg(H, Q):
    """Reduce H (n, n) in place to upper Hessenberg form Q^T H Q by Householder reflections; Q starts as the identity.

    Entries below the first subdiagonal are set to 0.
    """
    n = H.shape[0]
    v = np.empty(n)
    w = np.empty(n)
    for k in range(n - 2):
        largest = 0.0
        for i in range(k + 1, n):
            largest = max(largest, abs(H[i, k]))
        below = 0.0
        for i in range(k + 2, n):
            below = max(below, abs(H[i, k]))
        if below == 0.0:
            continue
        total = 0.0
        for i in range(k + 1, n):
            v[i] = H[i, k] / largest
            total += v[i] * v[i]
        alpha = -np.copysign(np.sqrt(total), v[k + 1])
        v[k + 1] -= alpha
        beta = 0.0
        for i in range(k + 1, n):
            beta += v[i] * v[i]
        beta = 2.0 / beta
        w[k:] = 0.0  # rows: H -= beta v (v^T H)
        for i in range(k + 1, n):
            for j in range(k, n):
                w[j] += v[i] * H[i, j]
        for i in range(k + 1, n):
            factor = beta * v[i]
            for j in range(k, n):
                H[i, j] -= factor * w[j]
        for A in (H, Q):  # columns: A -= beta (A v) v^T
            for i in range(n):
                total = 0.0
                for j in range(k + 1, n):
                    total += A[i, j] * v[j]
                total *= beta
                for j in range(k + 1, n):
                    A[i, j] -= total * v[j]
        for i in range(k + 2, n):
            H[i, k] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def shifted_qr(T, Zt, band, max_sweeps):
    """Turn the Hessenberg matrix T (n, n) into its Schur form in place, and Z into Z times the rotations.

    Zt (n, rows) is Z^T. T is complex with band n, or float64 with band 2 where it is tridiagonal and symmetric, so that
    shifts and rotations are real. Each sweep takes the eigenvalue of the last two by two block that lies nearer its
    last entry (Wilkinson's shift) off the active block, factors it by Givens rotations and multiplies these from the
    right. Returns sweeps taken, or -1 if an eigenvalue took over max_sweeps.
    """
    n = T.shape[0]
    eps = 2.220446049250313e-16
    cosines = np.empty(n)
    sines = np.empty(n, T.dtype)
    last = n - 1
    sweeps = 0
    since = 0
    while last > 0:
        first = last
        while first > 0:  # a subdiagonal entry below the rounding of its neighbours is 0
            near = abs(T[first, first]) + abs(T[first - 1, first - 1])
            if abs(T[first, first - 1]) <= eps * near or abs(T[first, first - 1]) < 1e-300:
                T[first, first - 1] = 0.0
                break
            first -= 1
        if first == last:
            last -= 1
            since = 0
            continue
        if since >= max_sweeps:
            return -1
        sweeps += 1
        since += 1
        half = (T[last - 1, last - 1] - T[last, last]) / 2
        product = T[last, last - 1] * T[last - 1, last]
        root = np.sqrt(half * half + product)
        if abs(half - root) > abs(half + root):
            root = -root
        shift = T[last, last]
        if abs(half + root) > 0:
            shift = T[last, last] - product / (half + root)
        if since % 10 == 0:  # a shift off the usual ones leaves a cycle
            shift = shift + abs(T[last, last - 1])
        for i in range(first, last + 1):
            T[i, i] -= shift
        for k in range(first, last):  # rotate rows k, k + 1: c real, [c s; -conj(s) c]
            a, b = T[k, k], T[k + 1, k]
            size = np.hypot(abs(a), abs(b))
            if size == 0.0:
                cosines[k], sines[k] = 1.0, 0.0
                continue
            if abs(a) == 0.0:
                c = 0.0
                s = np.conj(b) / abs(b)
            else:
                c = abs(a) / size
                s = (a / abs(a)) * np.conj(b) / size
            cosines[k], sines[k] = c, s
            conj = np.conj(s)
            for j in range(k, min(k + 1 + band, n)):
                upper, lower = T[k, j], T[k + 1, j]
                T[k, j] = c * upper + s * lower
                T[k + 1, j] = c * lower - conj * upper
            T[k + 1, k] = 0.0
        for k in range(first, last):
            c, s = cosines[k], sines[k]
            conj = np.conj(s)
            for i in range(max(0, k - band), k + 2):
                left, right = T[i, k], T[i, k + 1]
                T[i, k] = c * left + conj * right
                T[i, k + 1] = c * right - s * left
            for i in range(Zt.shape[1]):
                left, right = Zt[k, i], Zt[k + 1, i]
                Zt[k, i] = c * left + conj * right
                Zt[k + 1, i] = c * right - s * left
        for i in range(first, last + 1):
            T[i, i] += shift
    return sweeps


@njit(cache=True, nogil=True, error_model="numpy")
def triangular_vectors(T, Z):
    """Eigenvectors of Z T Z^H for upper triangular T (n, n), complex, by back substitution; columns of length 1."""
    n = T.shape[0]
    largest = 0.0
    for i in range(n):
        for j in range(i, n):
            largest = max(largest, abs(T[i, j]))
    least = max(2.220446049250313e-16 * largest, 1e-300)
    vectors = np.zeros_like(T)
    y = np.empty(n, T.dtype)
    for k in range(n):
        y[k] = 1.0
        for i in range(k - 1, -1, -1):
            total = -T[i, k]
            for j in range(i + 1, k):
                total -= T[i, j] * y[j]
            gap = T[i, i] - T[k, k]
            if abs(gap) < least:  # equal eigenvalues: a neighbour within rounding gives a vector of the same space
                gap = gap * 0 + least
            y[i] = total / gap
        for i in range(n):
            total = y[0] * 0
            for j in range(k + 1):
                total += Z[i, j] * y[j]
            vectors[i, k] = total
        size = 0.0
        for i in range(n):
            size = np.hypot(size, abs(vectors[i, k]))
        for i in range(n):
            vectors[i, k] /= size
    return vectors
