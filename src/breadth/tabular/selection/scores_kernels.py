"""Kernels of mutual information: neighbours on a line of sorted values."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def kth_distances(x, k, out):
    """Distance of each value from its k-th nearest other one; x ascending (n,), 1 <= k < n.

    The k + 1 nearest values are consecutive, so a window that slides to the right as i does holds them.
    """
    n = x.shape[0]
    start = 0
    for i in range(n):
        if start < i - k:
            start = i - k
        while start + k + 1 < n and start < i and x[start + k + 1] - x[i] < x[i] - x[start]:
            start += 1
        out[i] = max(x[i] - x[start], x[start + k] - x[i])


@njit(cache=True, nogil=True, error_model="numpy")
def counts_within(x, radius, out):
    """How many values, itself among them, are at most radius[i] from x[i]; x ascending (n,)."""
    n = x.shape[0]
    for i in range(n):
        r = radius[i]
        # doubling steps, then halving ones: few values are near, and those lie close by in memory
        step, low = 1, i
        while low - step >= 0 and x[i] - x[low - step] <= r:
            low -= step
            step *= 2
        while step > 0:
            if low - step >= 0 and x[i] - x[low - step] <= r:
                low -= step
            else:
                step //= 2
        step, high = 1, i
        while high + step < n and x[high + step] - x[i] <= r:
            high += step
            step *= 2
        while step > 0:
            if high + step < n and x[high + step] - x[i] <= r:
                high += step
            else:
                step //= 2
        out[i] = high - low + 1
