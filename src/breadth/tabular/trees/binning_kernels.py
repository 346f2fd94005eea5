"""From columns to bin edges, and from values to bin codes."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def edges_of_sorted(values, counts, max_bins, min_rows, edges):
    """Upper edges of at most `max_bins` bins of near-equal weight for one sorted column; a value x <= edge goes below.

    A value as heavy as an average bin gets a bin of its own; the rest is shared out evenly. Bins lighter than
    `min_rows` are not closed, as long as there are others.

    Args:
        values: sorted, NaN at the end.
        counts: int64 weight of each value in fixed point, or empty when each counts 1.
        edges: output, at least max_bins long.

    Returns:
        (number of edges, whether there are NaN).
    """
    n = values.shape[0]
    while n > 0 and np.isnan(values[n - 1]):
        n -= 1
    weighted = counts.shape[0] > 0
    total = np.float64(n)
    if weighted:
        exact = np.int64(0)
        for i in range(n):
            exact += counts[i]
        total = np.float64(exact)
    distinct = 0
    for i in range(n):
        if i == 0 or values[i] != values[i - 1]:
            distinct += 1
    light_total = total
    light_bins = np.float64(max_bins)
    heavy = np.inf
    if distinct > max_bins:
        heavy = total / max_bins
        i = 0
        while i < n:
            weight = np.float64(0)
            j = i
            while j < n and values[j] == values[i]:
                weight += counts[j] if weighted else 1
                j += 1
            if weight >= heavy:
                light_total -= weight
                light_bins -= 1
            i = j
    n_edges = 0
    light_left = light_total
    bins_left = light_bins
    in_bin = np.float64(0)
    left_over = total
    i = 0
    while i < n and n_edges < max_bins - 1:
        weight = np.float64(0)
        j = i
        while j < n and values[j] == values[i]:
            weight += counts[j] if weighted else 1
            j += 1
        if j == n:
            break
        is_heavy = weight >= heavy
        in_bin += weight
        left_over -= weight
        if not is_heavy:
            light_left -= weight
        close = is_heavy
        if distinct <= max_bins:
            close = True
        elif not is_heavy:
            next_weight = np.float64(0)
            k = j
            while k < n and values[k] == values[j]:
                next_weight += counts[k] if weighted else 1
                k += 1
            target = (light_left + in_bin) / max(bins_left, 1.0)
            close = in_bin + 0.5 * min(next_weight, target) >= target or next_weight >= heavy
        if close and in_bin >= min_rows and left_over >= min_rows:
            low = values[i]
            high = values[j]
            middle = values.dtype.type(0.5) * low + values.dtype.type(0.5) * high
            edges[n_edges] = middle if low <= middle < high else low
            n_edges += 1
            in_bin = np.float64(0)
            if not is_heavy:
                bins_left -= 1
        i = j
    return n_edges, n < values.shape[0]


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def encode_rows(X, edges, n_bins, start, stop, spread, lanes, words, columns):
    """Bin codes of rows start..stop, in both layouts; NaN gets code n_bins. `edges` is (features, 256), padded.

    The unused codes of the last group take `row & spread`, so that updates of them do not wait for each other.
    """
    n_features = np.uint64(X.shape[1])
    one = np.uint64(1)
    for first in range(start, stop, 1024):
        lo = np.uint64(first)
        hi = np.uint64(min(stop, first + 1024))
        for f in range(np.uint64(words.shape[0] * 2 * lanes)):
            word = f // np.uint64(lanes)
            group = word >> one
            half = word & one
            shift = (f % np.uint64(lanes)) * np.uint64(8)
            if f >= n_features:
                for i in range(lo, hi):
                    code = i & np.uint64(spread)
                    words[group, i, half] = code if shift == 0 else words[group, i, half] | (code << shift)
                continue
            e = edges[f]
            missing = np.uint64(n_bins[f])
            for i in range(lo, hi):
                x = X[i, f]
                p = np.uint64(128) if e[127] < x else np.uint64(0)  # branchless lower bound: how many edges are below x
                p += np.uint64(64) if e[p + np.uint64(63)] < x else np.uint64(0)
                p += np.uint64(32) if e[p + np.uint64(31)] < x else np.uint64(0)
                p += np.uint64(16) if e[p + np.uint64(15)] < x else np.uint64(0)
                p += np.uint64(8) if e[p + np.uint64(7)] < x else np.uint64(0)
                p += np.uint64(4) if e[p + np.uint64(3)] < x else np.uint64(0)
                p += np.uint64(2) if e[p + one] < x else np.uint64(0)
                p += one if e[p] < x else np.uint64(0)
                code = missing if x != x else p
                columns[f, i] = np.uint8(code)
                words[group, i, half] = code if shift == 0 else words[group, i, half] | (code << shift)
