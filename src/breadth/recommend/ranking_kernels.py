"""Kernels of recommendation: the best items of each row of scores."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(score, indptr, indices, best, item):
    """The largest scores of each row, largest first, of equal ones the lower item first; seen items left out.

    score (n, m): overwritten. indptr, indices: CSR of the items to leave out, one row each. best (n, k), item (n, k):
    filled; where fewer than k items are left, with -inf and -1.
    """
    k = best.shape[1]
    for u in range(score.shape[0]):
        row, top, at = score[u], best[u], item[u]
        for s in range(indptr[u], indptr[u + 1]):
            row[indices[s]] = -np.inf
        top[:] = -np.inf
        at[:] = -1
        for i in range(row.shape[0]):
            value = row[i]
            if value > top[k - 1]:
                place = k - 1
                while place > 0 and value > top[place - 1]:
                    top[place] = top[place - 1]
                    at[place] = at[place - 1]
                    place -= 1
                top[place] = value
                at[place] = i
