"""Kernel of the distance covariance of two real variables in O(n log n)."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def summed_products(x, y, rank):
    """sum over all i, j of |x_i - x_j| |y_i - y_j|, for x ascending.

    x, y (n,); rank (n,): 1-based place of y_i among the distinct y, ascending. For i < j the product is
    (x_j - x_i) times y_j - y_i or its negative; sums of 1, x, y and xy over the earlier i with y_i <= y_j lie in a
    binary indexed tree, those over all earlier i in four numbers.
    """
    n = x.shape[0]
    tree = np.zeros((n + 1, 4))
    below, all_ = np.zeros(4), np.zeros(4)
    total = 0.0
    for j in range(n):
        below[:] = 0.0
        at = rank[j]
        while at > 0:
            for m in range(4):
                below[m] += tree[at, m]
            at -= at & -at
        # sum over y_i <= y_j of (x_j - x_i)(y_j - y_i), less the same over the others
        near = x[j] * y[j] * below[0] - y[j] * below[1] - x[j] * below[2] + below[3]
        every = x[j] * y[j] * all_[0] - y[j] * all_[1] - x[j] * all_[2] + all_[3]
        total += 2 * near - every
        at = rank[j]
        while at <= n:
            tree[at, 0] += 1.0
            tree[at, 1] += x[j]
            tree[at, 2] += y[j]
            tree[at, 3] += x[j] * y[j]
            at += at & -at
        all_[0] += 1.0
        all_[1] += x[j]
        all_[2] += y[j]
        all_[3] += x[j] * y[j]
    return 2 * total
