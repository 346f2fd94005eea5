"""Kernels of discounted gain: the k best of each row found without sorting the rest."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _insert(values, gains, filled, k, value, gain):
    """Keep the k greatest values in descending order with their gains; an equal one stays behind those before it."""
    at = filled if filled < k else k - 1
    while at > 0 and values[at - 1] < value:
        values[at] = values[at - 1]
        gains[at] = gains[at - 1]
        at -= 1
    values[at] = value
    gains[at] = gain


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def gains_by_order(score, gain, discount, dcg, ideal):
    """Sum of discounted gains of each row's k best scores, ties in the order of columns, and of its k best gains.

    score, gain: (n, m); discount (k,), k <= m; dcg, ideal: (n,).
    """
    n, m = score.shape
    k = discount.shape[0]
    for i in prange(n):
        values = np.empty(k)
        carried = np.empty(k)
        best = np.empty(k)
        filled = 0
        for j in range(m):
            if filled < k or score[i, j] > values[k - 1]:
                _insert(values, carried, filled, k, score[i, j], gain[i, j])
            if filled < k or gain[i, j] > best[k - 1]:
                _insert(best, best, filled, k, gain[i, j], gain[i, j])
            if filled < k:
                filled += 1
        a = 0.0
        b = 0.0
        for r in range(k):
            a += carried[r] * discount[r]
            b += best[r] * discount[r]
        dcg[i] = a
        ideal[i] = b


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def gains_by_ties(score, gain, best, cumulative, dcg, ideal):
    """The same with tied scores sharing their mean gain: the mean over all orders of the ties.

    score, gain: (n, m), each row descending in its scores; best (n, m): each row's gains ascending.
    cumulative (m + 1,): sum of the first r discounts, constant from k on.
    """
    n, m = score.shape
    for i in prange(n):
        a = 0.0
        first = 0
        while first < m and cumulative[m] > cumulative[first]:
            last = first
            total = 0.0
            while last < m and score[i, last] == score[i, first]:
                total += gain[i, last]
                last += 1
            a += total / (last - first) * (cumulative[last] - cumulative[first])
            first = last
        b = 0.0
        for r in range(m):
            b += best[i, m - 1 - r] * (cumulative[r + 1] - cumulative[r])
        dcg[i] = a
        ideal[i] = b
