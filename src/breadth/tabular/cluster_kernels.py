"""Kernels of k-means: assign rows to centres, and sum the rows of each cluster."""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCK = 256  # rows whose products with all centres are computed, and stay in cache, at a time


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _score_block(rows, centres, half_square, best, label, product):
    """For each row the largest x.c_j - |c_j|^2 / 2, and the first j that reaches it.

    rows (m, p); centres (k, p); best and label (m,), of the rows' dtype so that both fill the same vector registers;
    product: scratch (k, m).
    """
    m = rows.shape[0]
    np.dot(centres, rows.T, product)
    for i in range(m):
        best[i] = product[0, i] - half_square[0]
        label[i] = 0
    for j in range(1, centres.shape[0], 2):  # two a pass, and no branch: so the compiler compares a register at a time
        last = min(j + 1, centres.shape[0] - 1)  # of an even number of centres the last is compared with itself
        first_product, second_product = product[j], product[last]
        first_less, second_less = half_square[j], half_square[last]
        first, second = label.dtype.type(j), label.dtype.type(last)
        for i in range(m):
            most, at = best[i], label[i]
            value = first_product[i] - first_less
            better = value > most
            most = value if better else most
            at = first if better else at
            value = second_product[i] - second_less
            better = value > most
            best[i] = value if better else most
            label[i] = second if better else at


@njit(cache=True, nogil=True, error_model="numpy")
def assign(rows, centres, half_square, labels):
    """Give each row the label of its nearest centre, of equally near ones the first: argmax_j x.c_j - |c_j|^2 / 2.

    rows (n, p); centres (k, p); half_square (k,); labels (n,) int32.
    """
    best = np.empty(_BLOCK, dtype=rows.dtype)
    label = np.empty(_BLOCK, dtype=rows.dtype)
    product = np.empty((centres.shape[0], _BLOCK), dtype=rows.dtype)
    for start in range(0, rows.shape[0], _BLOCK):
        m = min(_BLOCK, rows.shape[0] - start)
        if m < _BLOCK:
            product = np.empty((centres.shape[0], m), dtype=rows.dtype)
        _score_block(rows[start : start + m], centres, half_square, best, label, product)
        for i in range(m):
            labels[start + i] = label[i]


@njit(cache=True, nogil=True, error_model="numpy")
def assign_and_sum(rows, weight, centres, half_square, labels, total, mass):
    """Assign rows as `assign` does, and add each, times its weight, to the total of its cluster.

    weight (n,); total (k, p) and mass (k,), float64: grown by the weighted rows and by the weights.
    """
    assign(rows, centres, half_square, labels)
    for i in range(rows.shape[0]):
        w = np.float64(weight[i])
        at = total[labels[i]]
        mass[labels[i]] += w
        for f in range(rows.shape[1]):
            at[f] += w * rows[i, f]


@njit(cache=True, nogil=True, error_model="numpy")
def squared_distances(rows, centres, labels, out):
    """|x - c|^2 of each row from the centre of its label, from differences: rows (n, p), centres (k, p), out (n,)."""
    for i in range(rows.shape[0]):
        centre = centres[labels[i]]
        total = 0.0
        for f in range(rows.shape[1]):
            step = np.float64(rows[i, f]) - np.float64(centre[f])
            total += step * step
        out[i] = total
