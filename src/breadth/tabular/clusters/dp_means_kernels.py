"""Kernel of DP-means: a pass that opens clusters as it goes."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def assign_or_open(rows, centres, penalty, labels):
    """Label each row by its nearest centre, or open a cluster at the row where that is too far; returns the centres.

    rows (n, p); centres (k, p); labels (n,) int32: written. A centre that is opened is seen by the rows after it.
    """
    n, p = rows.shape
    k = centres.shape[0]
    grown = np.empty((max(2 * k, 16), p))
    grown[:k] = centres
    for i in range(n):
        least, label = np.inf, 0
        for j in range(k):
            centre = grown[j]
            square = 0.0
            for f in range(p):
                step = rows[i, f] - centre[f]
                square += step * step
                if f % 8 == 7 and square >= least:
                    break
            if square < least:
                least, label = square, j
        if least > penalty:
            if k == grown.shape[0]:
                larger = np.empty((2 * k, p))
                larger[:k] = grown
                grown = larger
            for f in range(p):
                grown[k, f] = rows[i, f]
            label = k
            k += 1
        labels[i] = label
    return grown[:k].copy()
