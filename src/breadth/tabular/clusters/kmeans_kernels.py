"""Kernels of k-means: assign rows to centres, all of them or those that bounds leave open, and sum each cluster."""

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


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _score_two(rows, centres, half_square, best, second, label, product):
    """`_score_block` that also keeps the second largest value, of another centre: second (m,)."""
    m = rows.shape[0]
    np.dot(centres, rows.T, product)
    for i in range(m):
        best[i] = product[0, i] - half_square[0]
        second[i] = -np.inf
        label[i] = 0
    for j in range(1, centres.shape[0]):
        less, this = half_square[j], label.dtype.type(j)
        values = product[j]
        for i in range(m):
            value, most = values[i] - less, best[i]
            better = value > most
            loser = most if better else value
            best[i] = value if better else most
            label[i] = this if better else label[i]
            second[i] = loser if loser > second[i] else second[i]


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _scan(rows, weight, square, centres, half_square, slack, which, scratch, state):
    """Look at every centre for some rows, and move those whose label changes to the sums of another cluster.

    which (m,): their indices. scratch: gathered (m, p), best, second, label (m,), product (k, m). state: labels, upper,
    lower (n,), total (k, p), mass, count (k,). slack: error of a squared distance, relative to (|x| + largest |c|)^2.
    """
    gathered, best, second, label, product, largest = scratch
    labels, upper, lower, total, mass, count = state
    p = rows.shape[1]
    for i in range(which.shape[0]):
        for f in range(p):
            gathered[i, f] = rows[which[i], f]
    _score_two(gathered, centres, half_square, best, second, label, product)
    for i in range(which.shape[0]):
        at = which[i]
        error = slack * (np.sqrt(square[at]) + largest) ** 2
        upper[at] = np.sqrt(max(square[at] - 2.0 * best[i], 0.0) + error)
        lower[at] = np.sqrt(max(square[at] - 2.0 * second[i] - error, 0.0))
        old, new = labels[at], np.int32(label[i])
        if old == new:
            continue
        w = np.float64(weight[at])
        counted = np.int64(1 if w > 0 else 0)
        if old >= 0:
            mass[old] -= w
            count[old] -= counted
            for f in range(p):
                total[old, f] -= w * rows[at, f]
            if count[old] == 0:  # what is left is rounding
                mass[old] = 0.0
                total[old] = 0.0
        mass[new] += w
        count[new] += counted
        for f in range(p):
            total[new, f] += w * rows[at, f]
        labels[at] = new


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def assign_where_open(
    rows,
    weight,
    square,
    centres,
    half_square,
    largest,
    slack,
    moves,
    half_gap,
    labels,
    upper,
    lower,
    total,
    mass,
    count,
):
    """Assign rows to centres as `assign` does, but look only at rows whose bounds leave their label open.

    Args:
        rows, weight, square: (n, p), (n,), and |x|^2 as float64 (n,).
        centres, half_square, largest: (k, p), |c|^2 / 2 (k,), and the largest |c|.
        slack: error of a squared distance that comes from products, relative to (|x| + largest)^2.
        moves: (2, k): how far each centre has moved, and the largest move of another.
        half_gap: (k,): at most half the distance from the nearest other centre.
        labels, upper, lower: (n,): -1 where nothing is known; at least the distance from the own centre; at most that
            from any other.
        total, mass, count: (k, p), (k,), (k,): weighted rows, weights, and rows with a weight, of each cluster.

    Returns:
        How many rows were compared with all centres.
    """
    n, p = rows.shape
    k = centres.shape[0]
    eps = rows.dtype.type(np.finfo(rows.dtype).eps)
    loose = 1.0 + 2.0 * (p + 8) * np.float64(eps)
    which = np.empty(_BLOCK, np.int64)
    gathered, product = np.empty((_BLOCK, p), rows.dtype), np.empty((k, _BLOCK), rows.dtype)
    best, second, label = np.empty(_BLOCK, rows.dtype), np.empty(_BLOCK, rows.dtype), np.empty(_BLOCK, rows.dtype)
    state = (labels, upper, lower, total, mass, count)
    pending, scanned = 0, 0
    for i in range(n):
        own = labels[i]
        if own >= 0:
            upper[i] += moves[0, own]
            lower[i] -= moves[1, own]
            bound = max(lower[i], half_gap[own])
            if upper[i] < bound:
                continue
            far = rows.dtype.type(0)
            for f in range(p):
                step = rows[i, f] - centres[own, f]
                far += step * step
            upper[i] = np.sqrt(np.float64(far)) * loose
            if upper[i] < bound:
                continue
        which[pending] = i
        pending += 1
        if pending == _BLOCK:
            scanned += pending
            scratch = (gathered, best, second, label, product, largest)
            _scan(rows, weight, square, centres, half_square, slack, which, scratch, state)
            pending = 0
    if pending:
        scanned += pending
        part = (
            gathered[:pending],
            best[:pending],
            second[:pending],
            label[:pending],
            np.empty((k, pending), rows.dtype),
        )
        scratch = (part[0], part[1], part[2], part[3], part[4], largest)
        _scan(rows, weight, square, centres, half_square, slack, which[:pending], scratch, state)
    return scanned
