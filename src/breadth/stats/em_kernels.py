"""Kernels of expectation maximisation: E step and the sums of the M step, a block of rows side by side."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_NUMBERS = 2**14  # whitened numbers of a block: 128 KB, which stays in the second cache


@njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"},
    no_cpython_wrapper=True, no_cfunc_wrapper=True,
)  # fmt: skip
def _share_out(logs, w, total):
    """Turn log joint densities (k, m) into responsibilities times weight (m,), in place; returns the log-likelihood.

    total: scratch (m,).
    """
    k, m = logs.shape
    top = total
    for b in range(m):
        top[b] = logs[0, b]
    for c in range(1, k):
        for b in range(m):
            top[b] = max(top[b], logs[c, b])
    likelihood = 0.0
    for b in range(m):
        likelihood += w[b] * top[b]
    for c in range(k):
        for b in range(m):
            gap = logs[c, b] - top[b]
            logs[c, b] = math.exp(gap) if gap > -745.0 else 0.0
    for b in range(m):
        total[b] = 0.0
    for c in range(k):
        for b in range(m):
            total[b] += logs[c, b]
    for b in range(m):
        likelihood += w[b] * math.log(total[b])
        total[b] = w[b] / total[b]
    for c in range(k):
        for b in range(m):
            logs[c, b] *= total[b]
    return likelihood


@njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"},
    no_cpython_wrapper=True, no_cfunc_wrapper=True,
)  # fmt: skip
def _whiten_block(rows, means, inverse, constant, x, z, logs):
    """z_c = L_c^-1 (x - mu_c), shape (d, m) of each c, and constant_c - |z_c|^2 / 2 for one block of rows.

    x: scratch (2 d + 1, block). z (k, d, block), logs (k, m): written.
    """
    m, d = rows.shape
    for b in range(m):
        for j in range(d):
            x[j, b] = rows[b, j]
    square = x[2 * d]
    for c in range(means.shape[0]):
        for j in range(d):
            mean = means[c, j]
            for b in range(m):
                x[d + j, b] = x[j, b] - mean
        for b in range(m):
            square[b] = 0.0
        for i in range(d):
            out = z[c, i]
            own = inverse[c, i, i]
            for b in range(m):
                out[b] = own * x[d + i, b]
            for j in range(0, i - 3, 4):
                a0, a1, a2, a3 = inverse[c, i, j], inverse[c, i, j + 1], inverse[c, i, j + 2], inverse[c, i, j + 3]
                x0, x1, x2, x3 = x[d + j], x[d + j + 1], x[d + j + 2], x[d + j + 3]
                for b in range(m):
                    out[b] += (a0 * x0[b] + a1 * x1[b]) + (a2 * x2[b] + a3 * x3[b])
            for j in range(i - i % 4, i):
                a0, x0 = inverse[c, i, j], x[d + j]
                for b in range(m):
                    out[b] += a0 * x0[b]
            for b in range(m):
                square[b] += out[b] * out[b]
        for b in range(m):
            logs[c, b] = constant[c] - 0.5 * square[b]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def full_sums(rows, w, means, inverse, constant, mass, first, second):
    """Add to the sums of a pass those of these rows, and return their log-likelihood.

    rows (n, d); w (n,); means (k, d); inverse (k, d, d): of the Cholesky factors; constant (k,): log pi_k - log|L_k| -
    d log(2 pi) / 2; mass (k,), first (k, d), second (k, d, d): grown.
    """
    n, d = rows.shape
    k = means.shape[0]
    block = min(max(16, _NUMBERS // (k * d) // 8 * 8), 256)
    x = np.empty((2 * d + 1, block))
    z = np.empty((k, d, block))
    total = np.empty(block)
    weighted = np.empty(block)
    likelihood = 0.0
    for start in range(0, n, block):
        m = min(block, n - start)
        logs = np.empty((k, m))
        _whiten_block(rows[start : start + m], means, inverse, constant, x, z, logs)
        likelihood += _share_out(logs, w[start : start + m], total[:m])
        for c in range(k):
            r = logs[c]
            whole = 0.0
            for b in range(m):
                whole += r[b]
            mass[c] += whole
            for i in range(d):
                zi = z[c, i]
                whole = 0.0
                for b in range(m):
                    weighted[b] = r[b] * zi[b]
                    whole += weighted[b]
                first[c, i] += whole
                for j in range(0, i - 2, 4):
                    z0, z1, z2, z3 = z[c, j], z[c, j + 1], z[c, j + 2], z[c, j + 3]
                    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                    for b in range(m):
                        s0 += weighted[b] * z0[b]
                        s1 += weighted[b] * z1[b]
                        s2 += weighted[b] * z2[b]
                        s3 += weighted[b] * z3[b]
                    second[c, i, j] += s0
                    second[c, i, j + 1] += s1
                    second[c, i, j + 2] += s2
                    second[c, i, j + 3] += s3
                for j in range((i + 1) // 4 * 4, i + 1):
                    z0, s0 = z[c, j], 0.0
                    for b in range(m):
                        s0 += weighted[b] * z0[b]
                    second[c, i, j] += s0
    for c in range(k):
        for i in range(d):
            for j in range(i):
                second[c, j, i] = second[c, i, j]
    return likelihood


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def diagonal_sums(rows, w, means, inverse, constant, mass, first, second):
    """`full_sums` where factors are deviations: inverse (k, d) and second (k, d) of squares."""
    n, d = rows.shape
    k = means.shape[0]
    block = 256
    x = np.empty((d, block))
    total = np.empty(block)
    square = np.empty(block)
    likelihood = 0.0
    for start in range(0, n, block):
        m = min(block, n - start)
        logs = np.empty((k, m))
        for b in range(m):
            for j in range(d):
                x[j, b] = rows[start + b, j]
        for c in range(k):
            for b in range(m):
                square[b] = 0.0
            for j in range(d):
                mean, by, xj = means[c, j], inverse[c, j], x[j]
                for b in range(m):
                    z = (xj[b] - mean) * by
                    square[b] += z * z
            for b in range(m):
                logs[c, b] = constant[c] - 0.5 * square[b]
        likelihood += _share_out(logs, w[start : start + m], total[:m])
        for c in range(k):
            r = logs[c]
            whole = 0.0
            for b in range(m):
                whole += r[b]
            mass[c] += whole
            for j in range(d):
                mean, by, xj = means[c, j], inverse[c, j], x[j]
                s1, s2 = 0.0, 0.0
                for b in range(m):
                    z = (xj[b] - mean) * by
                    s1 += r[b] * z
                    s2 += r[b] * z * z
                first[c, j] += s1
                second[c, j] += s2
    return likelihood
