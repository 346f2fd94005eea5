"""Kernels of k-means on sparse rows: labels, sums and squared distances from the entries that are stored.

Rows are CSR: data (entries,) float32 or float64, indices (entries,) uint32, starts (n + 1,) uint64; in each row the
columns rise. Centres stand column by column, (p, k), so that an entry meets all k of them side by side in memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def assign_sparse(data, indices, starts, first, last, columns, half_square, labels):
    """Give rows first to last - 1 the label of their nearest centre, of equally near ones the first.

    columns (p, k); half_square: |c|^2 / 2 (k,); labels (n,) int32: argmax_j x.c_j - |c_j|^2 / 2.
    """
    k = columns.shape[1]
    one = np.uint64(1)
    score = np.empty(k, data.dtype)
    for i in range(np.uint64(first), np.uint64(last)):
        for j in range(k):
            score[j] = -half_square[j]
        t, end = starts[i], starts[i + one]
        while t + np.uint64(4) <= end:  # four entries a pass: the scores are read and written once for all of them
            v0, v1, v2, v3 = data[t], data[t + one], data[t + np.uint64(2)], data[t + np.uint64(3)]
            c0, c1 = columns[indices[t]], columns[indices[t + one]]
            c2, c3 = columns[indices[t + np.uint64(2)]], columns[indices[t + np.uint64(3)]]
            for j in range(k):
                score[j] = (((score[j] + v0 * c0[j]) + v1 * c1[j]) + v2 * c2[j]) + v3 * c3[j]
            t += np.uint64(4)
        while t < end:
            v, c = data[t], columns[indices[t]]
            for j in range(k):
                score[j] += v * c[j]
            t += one
        best, label = score[0], 0
        for j in range(1, k):
            if score[j] > best:
                best, label = score[j], j
        labels[i] = label


@njit(cache=True, nogil=True, error_model="numpy")
def mean_columns(data, rows, starts, first, last, weight, labels, mass, columns, moved, shift, length):
    """Columns first to last - 1 of every cluster's mean; where a cluster has no weight, of its centre as it was.

    Args:
        data, rows, starts: the same entries column by column (CSC): rows (entries,), starts (p + 1,).
        first, last: which columns.
        weight, labels: of rows, (n,).
        mass: weight of each cluster, (k,).
        columns, moved: the centres before, and room for those after, (p, k).
        shift, length: grown by the squares of what these columns moved, and of what they are now, (k,).
    """
    k = columns.shape[1]
    total = np.empty(k)
    for f in range(np.uint64(first), np.uint64(last)):
        for j in range(k):
            total[j] = 0.0
        for t in range(starts[f], starts[f + np.uint64(1)]):
            i = rows[t]
            total[labels[i]] += np.float64(weight[i]) * np.float64(data[t])
        before, after = columns[f], moved[f]
        for j in range(k):
            mean = total[j] / mass[j]
            after[j] = mean if mass[j] > 0 else before[j]
            now = np.float64(after[j])
            step = now - np.float64(before[j])
            shift[j] += step * step
            length[j] += now * now


@njit(cache=True, nogil=True, error_model="numpy")
def add_sparse(data, indices, starts, weight, labels, total, mass):
    """Add each row, times its weight, to the total (k, p) of its cluster, and its weight to the mass (k,)."""
    for i in range(np.uint64(weight.shape[0])):
        w = np.float64(weight[i])
        at = total[labels[i]]
        mass[labels[i]] += w
        for t in range(starts[i], starts[i + np.uint64(1)]):
            at[indices[t]] += w * np.float64(data[t])


# The squared distances below are |x|^2 + |c|^2 - 2 x.c, each of the three summed from left to right in float64: equal
# rows are at distance 0 exactly.


@njit(cache=True, nogil=True, error_model="numpy")
def squares(values, out):
    """|c|^2 of dense rows, from left to right: values (k, p), out (k,)."""
    for j in range(values.shape[0]):
        total = 0.0
        for f in range(values.shape[1]):
            total += np.float64(values[j, f]) * np.float64(values[j, f])
        out[j] = total


@njit(cache=True, nogil=True, error_model="numpy")
def squares_sparse(data, starts, out):
    """|x|^2 of each row: out (n,)."""
    for i in range(np.uint64(out.shape[0])):
        total = 0.0
        for t in range(starts[i], starts[i + np.uint64(1)]):
            total += np.float64(data[t]) * np.float64(data[t])
        out[i] = total


@njit(cache=True, nogil=True, error_model="numpy")
def squares_from_own(data, indices, starts, centres, length, labels, out):
    """|x - c|^2 of each row from the centre of its label: centres (k, p), length: |c|^2 (k,), out (n,)."""
    for i in range(np.uint64(out.shape[0])):
        centre = centres[labels[i]]
        square, product = 0.0, 0.0
        for t in range(starts[i], starts[i + np.uint64(1)]):
            value = np.float64(data[t])
            square += value * value
            product += value * np.float64(centre[indices[t]])
        out[i] = max(square + length[labels[i]] - 2.0 * product, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def squares_from_all(data, indices, starts, first, last, columns, length, out):
    """|x - c_j|^2 of rows first to last - 1 from every centre: columns (p, k), length: |c|^2 (k,), out (n, k)."""
    k = columns.shape[1]
    product = np.empty(k)
    for i in range(np.uint64(first), np.uint64(last)):
        square = 0.0
        for j in range(k):
            product[j] = 0.0
        for t in range(starts[i], starts[i + np.uint64(1)]):
            value, c = np.float64(data[t]), columns[indices[t]]
            square += value * value
            for j in range(k):
                product[j] += value * np.float64(c[j])
        for j in range(k):
            out[i, j] = max(square + length[j] - 2.0 * product[j], 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def squares_from_row(data, rows, starts, values, columns, square, row, out):
    """|x_i - x_row|^2 of every row, by the columns of one: work only where two rows share a column.

    Args:
        data, rows, starts: all entries column by column (CSC).
        values, columns: the entries of that one row.
        square: |x|^2 of every row, (n,).
        row: its index.
        out: (n,).
    """
    n = np.uint64(out.shape[0])
    for i in range(n):
        out[i] = 0.0
    for e in range(np.uint64(values.shape[0])):
        value, f = np.float64(values[e]), np.uint64(columns[e])
        for t in range(starts[f], starts[f + np.uint64(1)]):
            out[rows[t]] += value * np.float64(data[t])
    for i in range(n):
        out[i] = max(square[i] + square[row] - 2.0 * out[i], 0.0)
