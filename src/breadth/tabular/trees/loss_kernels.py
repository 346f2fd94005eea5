"""The gradient pass: one sweep over the rows that adds the last tree and packs each row's gradient and hessian.

A loss is a named tuple, and `derivatives` is compiled for its type: the pass is written once and compiled for the
losses that are used. Thread `t` of `n_threads` takes its share of the rows, adds the last tree's leaf values to
`score`, and writes `(gradient << 32) + hessian`, rounded to fixed point by `scales`, into `packed`. It leaves the sums
of |gradient|, gradient and hessian in sums[8 t : 8 t + 3]; they are sums of integers, exact in any order. A gradient
that does not fit saturates, and then the sum exceeds its limit, so that the caller repeats the pass more coarsely.

Of fast-math only the promise that nothing is NaN: reordering or fusing would let the compiler round differently in the
vectorised part of a loop and in its remainder, and which rows fall there depends on the threads and the rows' order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

MOST_GRADIENT = np.float32((1 << 31) - 128)  # the largest float32 that an int32 holds
LEAST_HESSIAN = np.float32(1e-16)
NO_NAN = {"nnan", "nsz"}


class Logistic(NamedTuple):
    """Cross entropy of sigmoid(score); g = p - y, h = p (1 - p); Friedman 2001, section 4.5."""

    parameter: float = 0.0


class Focal(NamedTuple):
    """(1 - p)^gamma (-log p) in the margin; Lin et al. 2017, eq. 4."""

    parameter: float  # gamma


class Squared(NamedTuple):
    """(score - y)^2 / 2; g = score - y, h = 1."""

    parameter: float = 0.0


class Pinball(NamedTuple):
    """Quantile loss. h = 1 only ranks the splits: leaves take the residuals' quantile (Friedman 2001, section 4.3)."""

    parameter: float  # quantile


class Poisson(NamedTuple):
    """exp(score) - y score; g = exp(score) - y, h = exp(score)."""

    parameter: float = 0.0


class Softmax(NamedTuple):
    """Cross entropy of one class's probability, given as the score; target 1 or 0; Friedman 2001, algorithm 6."""

    parameter: float  # K / (K - 1)


def derivatives(loss, score, target):
    """(gradient, hessian) of one row in float32; compiled code only, see the overload."""
    raise TypeError("derivatives is called from compiled code only")


@njit(nogil=True, cache=True, error_model="numpy", fastmath=NO_NAN, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def sigmoid(x):
    """1 / (1 + exp(-x)) in float32 as 1/2 + 1/2 tanh(x / 2), a rational function that the compiler can vectorise.

    Absolute error below 2.4e-7, four units of float32 at 1/2; the odd rational function for tanh has degrees 13 and 6.
    """
    half = np.float32(0.5)
    bound = np.float32(7.905311)  # tanh is 1 to float32 beyond it
    z = min(max(half * x, -bound), bound)
    q = z * z
    p = np.float32(-2.76076847742355e-16)
    p = p * q + np.float32(2.00018790482477e-13)
    p = p * q + np.float32(-8.60467152213735e-11)
    p = p * q + np.float32(5.12229709037114e-08)
    p = p * q + np.float32(1.48572235717979e-05)
    p = p * q + np.float32(6.37261928875436e-04)
    p = p * q + np.float32(4.89352455891786e-03)
    d = np.float32(1.19825839466702e-06)
    d = d * q + np.float32(1.18534705686654e-04)
    d = d * q + np.float32(2.26843463243900e-03)
    d = d * q + np.float32(4.89352518554385e-03)
    return half + half * (z * p / d)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=NO_NAN, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def fixed_point(g, h, gradient_scale, hessian_scale):
    """Gradient and hessian as two int32, rounded to nearest; the hessian saturates like the gradient."""
    half = np.float32(0.5)
    a = np.int32(np.floor(min(max(g * gradient_scale, -MOST_GRADIENT), MOST_GRADIENT) + half))
    b = np.int32(np.floor(min(h * hessian_scale, MOST_GRADIENT) + half))
    return a, b


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def share(t, n_threads, n):
    """Rows lo..hi of thread t, in multiples of 64 rows; unsigned: indices without a sign let the loops vectorise."""
    chunk = ((n + n_threads - 1) // n_threads + 63) // 64 * 64
    lo = min(n, t * chunk)
    return np.uint64(lo), np.uint64(min(n, lo + chunk))


def _logistic(loss, score, target):
    p = sigmoid(score)
    return p - target, p * (np.float32(1) - p)


def _focal(loss, score, target):
    # In the margin z, with q = 1 - p: L' = q^gamma (gamma p log p - q) and
    # L'' = q^gamma p (q (1 + 2 gamma) + gamma log p (q - gamma p)), negative where a row is very wrong; there the
    # curvature of the weighted cross entropy, q^gamma p q, stands in.
    gamma = loss.parameter
    sign = 1.0 if target > 0 else -1.0
    z = sign * score
    e = np.exp(-abs(z))
    larger = 1.0 / (1.0 + e)
    p, q = (larger, e * larger) if z >= 0 else (e * larger, larger)
    log_p = min(z, 0.0) - np.log1p(e)
    focus = q**gamma
    g = sign * focus * (gamma * p * log_p - q)
    h = max(focus * p * (q * (1 + 2 * gamma) + gamma * log_p * (q - gamma * p)), focus * p * q)
    return np.float32(g), np.float32(h)


def _squared(loss, score, target):
    return score - target, np.float32(1)


def _pinball(loss, score, target):
    g = 1 - loss.parameter if score > target else (-loss.parameter if score < target else 0.0)
    return np.float32(g), np.float32(1)


def _poisson(loss, score, target):
    h = np.float32(np.exp(score))
    return h - target, h


def _softmax(loss, score, target):
    return score - target, np.float32(loss.parameter) * score * (np.float32(1) - score)


_FORMULAS = {
    Logistic: _logistic,
    Focal: _focal,
    Squared: _squared,
    Pinball: _pinball,
    Poisson: _poisson,
    Softmax: _softmax,
}


@overload(derivatives, jit_options={"error_model": "numpy", "fastmath": NO_NAN})
def _derivatives_of(loss, score, target):
    return _FORMULAS[loss.instance_class]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=NO_NAN, no_cfunc_wrapper=True)
def gradient_pass(t, n_threads, loss, target, weight, score, leaf_of_row, leaf_value, scales, packed, sums):
    """Pack the gradients of rows of thread `t` after adding the last tree to their scores."""
    lo, hi = share(t, n_threads, score.shape[0])
    gradient_scale = np.float32(scales[0])
    hessian_scale = np.float32(scales[1])
    magnitude = np.int64(0)
    total_g = np.int64(0)
    total_h = np.int64(0)
    if leaf_value is not None:
        for i in range(lo, hi):
            score[i] += leaf_value[leaf_of_row[i]]
    for i in range(lo, hi):
        g, h = derivatives(loss, score[i], target[i])
        h = max(h, LEAST_HESSIAN)
        if weight is not None:
            g *= weight[i]
            h *= weight[i]
        a, b = fixed_point(g, h, gradient_scale, hessian_scale)
        packed[i] = (np.int64(a) << 32) + np.int64(b)
        magnitude += abs(np.int64(a))
        total_g += a
        total_h += b
    sums[t * 8] = magnitude
    sums[t * 8 + 1] = total_g
    sums[t * 8 + 2] = total_h


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def softmax_probabilities(t, n_threads, score, leaf_of_row, leaf_value, probability):
    """Add each class's last tree, then probability = softmax(score); all arrays (classes, rows)."""
    n_classes, n = score.shape
    lo, hi = share(t, n_threads, n)
    for c in range(n_classes):
        for i in range(lo, hi):
            score[c, i] += leaf_value[c, leaf_of_row[c, i]]
    for i in range(lo, hi):
        highest = score[0, i]
        for c in range(1, n_classes):
            highest = max(highest, score[c, i])
        total = np.float32(0)
        for c in range(n_classes):
            e = np.float32(np.exp(score[c, i] - highest))
            probability[c, i] = e
            total += e
        for c in range(n_classes):
            probability[c, i] /= total
