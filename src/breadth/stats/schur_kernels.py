"""Eigenvectors of a real Schur form."""

from __future__ import annotations

import numpy as np
from numba import njit

ROWS = 32  # of a block whose products with what is known already are one call of BLAS
FAR = 1e100  # magnitude at which a vector is made shorter, long before it overflows


@njit(cache=True, nogil=True, error_model="numpy")
def schur_vectors(T, values, least):
    """Eigenvectors Y (n, n) of the quasi-triangular T (n, n) by back substitution, a row of all at a time.

    Column k is the vector of the real values[k]; of a complex pair values[k], values[k + 1], columns k and k + 1 are
    the real and the imaginary part of the first's. A divisor below `least` in magnitude, of (nearly) equal eigenvalues,
    becomes `least`.
    """
    n = T.shape[0]
    Y = np.zeros((n, n))
    stop = n
    while stop > 0:
        start = max(0, stop - ROWS)
        if start > 0 and T[start, start - 1] != 0.0:
            start -= 1
        G = np.zeros((stop - start, n))  # T Y without the terms of the rows to be found
        if stop < n:
            G[:] = np.dot(np.ascontiguousarray(T[start:stop, stop:]), Y[stop:])
        last = stop - 1
        while last >= start:
            size = 2 if last > 0 and T[last, last - 1] != 0.0 else 1
            top = last - size + 1
            for r in range(top, last + 1):
                for j in range(last + 1, stop):  # from j - 1: a pair's second row has an entry before column j
                    _add(G[r - start, j - 1 :], T[r, j], Y[j, j - 1 :])
            _own_vector(T, top, size, values[top], Y)
            k = last + 1
            while k < n:
                width = 2 if values[k].imag != 0.0 else 1
                largest = _solve(T, top, size, values[k], G[top - start :, k:], Y[top:, k:], width, least)
                if largest > FAR:
                    Y[top:, k : k + width] /= largest
                    G[: top - start, k : k + width] /= largest
                k += width
            last = top - 1
        stop = start
    return Y


@njit(cache=True, nogil=True, error_model="numpy")
def _own_vector(T, top, size, value, Y):
    """The vector of the diagonal block at top within that block: 1, or of a pair 1 and a complex number."""
    if size == 1:
        Y[top, top] = 1.0
        return
    b, c = T[top, top + 1], T[top + 1, top]
    if abs(b) >= abs(c):
        Y[top, top] = 1.0
        Y[top + 1, top] = (value.real - T[top, top]) / b
        Y[top + 1, top + 1] = value.imag / b
    else:
        Y[top + 1, top] = 1.0
        Y[top, top] = (value.real - T[top + 1, top + 1]) / c
        Y[top, top + 1] = value.imag / c


@njit(cache=True, nogil=True, error_model="numpy")
def _two_by_two(a, b, c, d, g0, g1, least):
    """y with [a b; c d] y = g, by elimination with complete pivoting; a pivot below `least` becomes it."""
    swapped = max(abs(b), abs(d)) > max(abs(a), abs(c))
    if swapped:
        a, b, c, d = b, a, d, c
    if abs(c) > abs(a):
        a, b, c, d, g0, g1 = c, d, a, b, g1, g0
    if abs(a) < least:
        a = complex(least, 0.0)
    factor = c / a
    rest = d - factor * b
    if abs(rest) < least:
        rest = complex(least, 0.0)
    y1 = (g1 - factor * g0) / rest
    y0 = (g0 - b * y1) / a
    if swapped:
        y0, y1 = y1, y0
    return y0, y1


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(T, top, size, value, G, Y, width, least):
    """(T_block - value) y = -g for one or two rows; g and y are real, or columns of real and imaginary parts.

    Returns y's magnitude, |re| + |im| of the larger entry.
    """
    g0 = complex(G[0, 0], G[0, 1] if width == 2 else 0.0)
    a = T[top, top] - value
    size_1 = 0.0
    if size == 1:
        if abs(a) < least:
            a = complex(least, 0.0)
        y0 = -g0 / a
    else:
        g1 = complex(G[1, 0], G[1, 1] if width == 2 else 0.0)
        y0, y1 = _two_by_two(
            a,
            complex(T[top, top + 1], 0.0),
            complex(T[top + 1, top], 0.0),
            T[top + 1, top + 1] - value,
            -g0,
            -g1,
            least,
        )
        size_1 = abs(y1.real) + abs(y1.imag)
        Y[1, 0] = y1.real
        if width == 2:
            Y[1, 1] = y1.imag
    Y[0, 0] = y0.real
    if width == 2:
        Y[0, 1] = y0.imag
    return max(abs(y0.real) + abs(y0.imag), size_1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _add(total, factor, row):
    for j in range(len(row)):
        total[j] += factor * row[j]
