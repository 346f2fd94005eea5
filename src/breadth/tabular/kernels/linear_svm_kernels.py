"""Numba kernel of the linear support vector machine: dual coordinate descent."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "nsz"},
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
def _dense_product(x, w):
    total = 0.0
    for f in range(x.shape[0]):
        total += x[f] * w[f]
    return total


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _sparse_product(values, indices, w):
    """Two sums, one after another: gathering several entries of w at a time is slower."""
    even, odd = 0.0, 0.0
    at = 0
    while at + 1 < values.shape[0]:
        even += values[at] * w[indices[at]]
        odd += values[at + 1] * w[indices[at + 1]]
        at += 2
    if at < values.shape[0]:
        even += values[at] * w[indices[at]]
    return even + odd


@njit(cache=True, nogil=True, error_model="numpy")
def descend(values, indices, starts, sign, upper, ridge, size, bias, w, alpha, order, state, tol, max_epochs):
    """Minimise a.(Q + diag(ridge)) a / 2 - sum a over 0 <= a_i <= upper_i, Q_ij = s_i s_j (x_i.x_j + bias^2).

    Each epoch visits the rows in a random order, and takes each to the optimum of its own variable; w (p + 1,) is kept
    at sum_i s_i a_i (x_i, bias). Rows at a bound whose gradient is beyond the last epoch's range rest, until the
    others agree within tol. size is x_i.x_i + bias^2 + ridge_i; state (1,) the uint64 of the order.

    Returns:
        Epochs, and the range of the projected gradient in the last one.
    """
    n, p = sign.shape[0], w.shape[0] - 1
    active, sparse = n, indices.shape[0] > 0
    above, below = np.inf, -np.inf  # of the last epoch's range, for rests
    spread = np.inf
    for epoch in range(max_epochs):
        highest, lowest = -np.inf, np.inf
        for k in range(active):  # Fisher & Yates, by xorshift64
            v = state[0]
            v ^= v << np.uint64(13)
            v ^= v >> np.uint64(7)
            v ^= v << np.uint64(17)
            state[0] = v
            other = k + np.int64((v >> np.uint64(11)) % np.uint64(active - k))
            order[k], order[other] = order[other], order[k]
        k = 0
        while k < active:
            i = order[k]
            x = values[starts[i] : starts[i + 1]]
            if sparse:
                places = indices[starts[i] : starts[i + 1]]
                product = _sparse_product(x, places, w)
            else:
                places = indices
                product = _dense_product(x, w[:p])
            gradient = sign[i] * (product + w[p] * bias) - 1.0 + ridge[i] * alpha[i]
            projected = gradient
            if alpha[i] == 0.0:
                if gradient > above:
                    active -= 1
                    order[k], order[active] = order[active], order[k]
                    continue
                projected = min(gradient, 0.0)
            elif alpha[i] == upper[i]:
                if gradient < below:
                    active -= 1
                    order[k], order[active] = order[active], order[k]
                    continue
                projected = max(gradient, 0.0)
            highest, lowest = max(highest, projected), min(lowest, projected)
            if abs(projected) > 1e-12:
                before = alpha[i]
                alpha[i] = min(max(before - gradient / size[i], 0.0), upper[i])
                step = (alpha[i] - before) * sign[i]
                if step != 0.0:
                    if sparse:
                        for at in range(x.shape[0]):
                            w[places[at]] += step * x[at]
                    else:
                        for f in range(p):
                            w[f] += step * x[f]
                    w[p] += step * bias
            k += 1
        spread = max(highest - lowest, 0.0)
        if spread <= tol:
            if active == n:
                return epoch + 1, spread
            active, above, below = n, np.inf, -np.inf
            continue
        above = highest if highest > 0.0 else np.inf
        below = lowest if lowest < 0.0 else -np.inf
    return max_epochs, spread
