"""Kernel of Kendall's tau: discordant pairs counted while merging, in O(n log n)."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def exchanges(y):
    """Number of pairs i < j with y[i] > y[j]: the exchanges of neighbours that sorting y would take.

    y (n,), left as it is. Bottom-up merge sort; an element taken from the right passes all that are left on the left.
    """
    n = y.shape[0]
    source, target = y.copy(), np.empty_like(y)
    count = np.int64(0)
    width = 1
    while width < n:
        for start in range(0, n, 2 * width):
            middle, end = min(start + width, n), min(start + 2 * width, n)
            left, right, k = start, middle, start
            while left < middle and right < end:
                one, other = source[left], source[right]
                passes = np.int64(other < one)  # no branch: which is less cannot be foretold
                target[k] = other if other < one else one
                count += passes * (middle - left)
                left += 1 - passes
                right += passes
                k += 1
            while left < middle:
                target[k] = source[left]
                left, k = left + 1, k + 1
            while right < end:
                target[k] = source[right]
                right, k = right + 1, k + 1
        source, target = target, source
        width *= 2
    return count
