"""Numba kernel of the lasso and of whatever has an absolute value in its penalty: coordinate descent on a quadratic."""

from __future__ import annotations

import numpy as np
from numba import njit

_RESTED_SWEEPS = 20  # over the non-zero coordinates, between two over all


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _step(G, q, w, l1, positive, j):
    """Take w_j to the optimum of its own variable; the change in units of sqrt(objective)."""
    if G[j, j] <= 0.0:  # a column of zeros
        return 0.0
    pull = q[j] + G[j, j] * w[j]
    new = 0.0
    if pull > l1[j]:
        new = (pull - l1[j]) / G[j, j]
    elif pull < -l1[j] and not positive:
        new = (pull + l1[j]) / G[j, j]
    change = new - w[j]
    if change == 0.0:
        return 0.0
    w[j] = new
    for i in range(q.shape[0]):
        q[i] -= change * G[j, i]
    return change * change * G[j, j]


@njit(cache=True, nogil=True, error_model="numpy")
def duality_gap(q, w, pulls, l1, positive, square):
    """Objective minus the dual's value at the best multiple of the residual that is feasible.

    The objective is |y - X w|^2 / 2 + l1 . |w|, and q = X'(y - X w), pulls = X'y, square = y'y.
    """
    residual_square, along, absolute, most = square, square, 0.0, np.inf
    for j in range(w.shape[0]):
        residual_square -= w[j] * (pulls[j] + q[j])
        along -= w[j] * pulls[j]  # y'(y - X w)
        absolute += l1[j] * abs(w[j])
        size = q[j] if positive else abs(q[j])
        if size * most > l1[j]:
            most = l1[j] / size
    residual_square = max(residual_square, 0.0)
    scale = min(along / residual_square, most) if residual_square > 0.0 else 0.0
    if not positive:
        scale = max(scale, -most)
    return max(residual_square * (1.0 + scale * scale) / 2.0 + absolute - scale * along, 0.0)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _violation(q, w, l1, positive):
    """Largest distance of a coordinate's gradient from where it may be."""
    worst = 0.0
    for j in range(w.shape[0]):
        if w[j] > 0.0:
            off = abs(q[j] - l1[j])
        elif w[j] < 0.0:
            off = abs(q[j] + l1[j])
        elif positive:
            off = q[j] - l1[j]
        else:
            off = abs(q[j]) - l1[j]
        worst = max(worst, off)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def descend(G, q, w, pulls, l1, positive, square, gap_tol, violation_tol, max_epochs):
    """Minimise w'G w / 2 - pulls.w + l1 . |w| (w >= 0 if positive); w and q = pulls - G w are kept up to date.

    A sweep visits every coordinate in order, and up to twenty between two of them only those that are not 0. It ends
    when the duality gap (square is y'y) is at most gap_tol, when no gradient is further than violation_tol from where
    it may be, or when a sweep moves nothing.

    Returns:
        Sweeps over all coordinates and over those not 0, together.
    """
    p = w.shape[0]
    kept, inner, inner_q = np.empty(p, dtype=np.int64), np.empty((p // 3 + 1, p // 3 + 1)), np.empty(p)
    inner_w, inner_l1 = np.empty(p), np.empty(p)
    epochs, copied = 0, 0
    while epochs < max_epochs:
        most = 0.0
        for j in range(p):
            most = max(most, _step(G, q, w, l1, positive, j))
        epochs += 1
        if most == 0.0 or _violation(q, w, l1, positive) <= violation_tol:
            break
        if gap_tol >= 0.0 and duality_gap(q, w, pulls, l1, positive, square) <= gap_tol:
            break
        k, same = 0, True
        for j in range(p):
            if w[j] != 0.0:
                same = same and k < copied and kept[k] == j
                kept[k] = j
                k += 1
        small = 3 * k < p  # then a copy is made, in which a step moves k gradients, not p
        if small:
            for a in range(k):
                inner_w[a], inner_q[a], inner_l1[a] = w[kept[a]], q[kept[a]], l1[kept[a]]
            if not (same and k == copied):
                for a in range(k):
                    for b in range(k):
                        inner[a, b] = G[kept[a], kept[b]]
            copied = k
        else:
            copied = 0
        for _ in range(_RESTED_SWEEPS):
            if epochs >= max_epochs:
                break
            moved = 0.0
            for a in range(k):
                if small:
                    moved = max(moved, _step(inner, inner_q[:k], inner_w, inner_l1, positive, a))
                else:
                    moved = max(moved, _step(G, q, w, l1, positive, kept[a]))
            epochs += 1
            if moved <= 0.01 * most:
                break
        if small:
            for a in range(k):
                j = kept[a]
                change = inner_w[a] - w[j]
                if change != 0.0:
                    w[j] = inner_w[a]
                    for i in range(p):
                        q[i] -= change * G[j, i]
    return epochs
