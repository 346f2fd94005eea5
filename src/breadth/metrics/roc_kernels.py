"""Kernels of score rankings: two sorted samples merged, and what is counted on the way. Ties are exact throughout."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def wins(pos, neg):
    """Twice the number of pairs that the positive wins, a tie counting half: an integer, so exact.

    pos (m,), neg (n,): sorted ascending, without NaN.
    """
    total = 0
    below = 0  # negatives < pos[i]
    through = 0  # negatives <= pos[i]
    n = neg.shape[0]
    for i in range(pos.shape[0]):
        x = pos[i]
        while below < n and neg[below] < x:
            below += 1
        if through < below:
            through = below
        while through < n and neg[through] <= x:
            through += 1
        total += below + through
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def placements(x, order, other, place):
    """place[i]: twice the number of `other` below x[i], a tie counting half.

    x (m,); order (m,): ascending in x; other (n,): sorted ascending.
    """
    below = 0
    through = 0
    n = other.shape[0]
    for i in order:
        v = x[i]
        while below < n and other[below] < v:
            below += 1
        if through < below:
            through = below
        while through < n and other[through] <= v:
            through += 1
        place[i] = below + through


@njit(cache=True, nogil=True, error_model="numpy")
def curve(pos, neg, threshold, tps, fps):
    """Counts at or above each distinct score, descending; returns how many there are.

    pos (m,), neg (n,): sorted ascending; threshold, tps, fps: (m + n,) to be written.
    """
    i = pos.shape[0] - 1
    j = neg.shape[0] - 1
    tp = 0
    fp = 0
    size = 0
    while i >= 0 or j >= 0:
        v = pos[i] if j < 0 or (i >= 0 and pos[i] > neg[j]) else neg[j]
        while i >= 0 and pos[i] == v:
            i -= 1
            tp += 1
        while j >= 0 and neg[j] == v:
            j -= 1
            fp += 1
        threshold[size] = v
        tps[size] = tp
        fps[size] = fp
        size += 1
    return size


@njit(cache=True, nogil=True, error_model="numpy")
def weighted_curve(score, positive, weight, order, threshold, tps, fps):
    """Sums of weights at or above each distinct score, descending; returns how many there are.

    Rows of weight 0 are left out. score, positive, weight: (n,); order (n,): ascending in score.
    """
    tp = 0.0
    fp = 0.0
    size = 0
    for at in range(order.shape[0] - 1, -1, -1):
        i = order[at]
        if weight[i] == 0:
            continue
        if size == 0 or score[i] != threshold[size - 1]:
            threshold[size] = score[i]
            size += 1
        if positive[i]:
            tp += weight[i]
        else:
            fp += weight[i]
        tps[size - 1] = tp
        fps[size - 1] = fp
    return size
