"""Moments of columns, and loss and gradient of binary logistic regression, in one reading of the rows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def pull_chunks(
    X: NDArray,
    sign: NDArray,
    weight: NDArray,
    coef: NDArray,
    intercept: float,
    size: int,
    first: int,
    step: int,
    out: NDArray,
) -> None:
    """For each step-th chunk of `size` rows: slopes @ X, the sum of slopes and the loss, into out (chunks, p + 2).

    A row's logit, its loss log(1 + exp(-m)) with m = sign x logit, and its share of the gradient are made while the
    row is in the first-level cache; four rows share one reading and writing of the sums.
    """
    n, p = X.shape
    slope = np.zeros(4)
    for chunk in range(first, len(out), step):
        pull = out[chunk]
        for j in range(p + 2):
            pull[j] = 0.0
        begin, end = chunk * size, min((chunk + 1) * size, n)
        loss, total = 0.0, 0.0
        for i in range(begin, end, 4):
            rows = min(4, end - i)
            for k in range(rows):
                r = i + k
                logit = 0.0
                for j in range(p):
                    logit += X[r, j] * coef[j]
                margin = sign[r] * (logit + intercept)
                e = math.exp(-abs(margin))
                wrong = (1.0 if margin <= 0.0 else e) / (1.0 + e)  # sigmoid(-m), with all its digits on both sides
                loss += weight[r] * (math.log1p(e) - min(margin, 0.0))
                slope[k] = -sign[r] * weight[r] * wrong
                total += slope[k]
            if rows == 4:
                a, b, c, d = slope[0], slope[1], slope[2], slope[3]
                for j in range(p):
                    pull[j] += (a * X[i, j] + b * X[i + 1, j]) + (c * X[i + 2, j] + d * X[i + 3, j])
            else:
                for k in range(rows):
                    for j in range(p):
                        pull[j] += slope[k] * X[i + k, j]
        pull[p], pull[p + 1] = total, loss


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
def chunk_moments(
    X: NDArray, weight: NDArray, size: int, first: int, step: int, mass: NDArray, mean: NDArray, spread: NDArray
) -> None:
    """For each step-th chunk of `size` rows: its weight (chunks,), means and squares about them (chunks, p)."""
    n, p = X.shape
    for chunk in range(first, len(mass), step):
        begin, end = chunk * size, min((chunk + 1) * size, n)
        centre, square = mean[chunk], spread[chunk]
        total = 0.0
        for j in range(p):
            centre[j] = 0.0
            square[j] = 0.0
        for i in range(begin, end):
            w = weight[i]
            total += w
            for j in range(p):
                centre[j] += w * (X[i, j] - X[begin, j])  # what a large mean has no part in
        mass[chunk] = total
        for j in range(p):
            centre[j] = X[begin, j] + (centre[j] / total if total > 0.0 else 0.0)
        for i in range(begin, end):
            w = weight[i]
            for j in range(p):
                off = X[i, j] - centre[j]
                square[j] += w * off * off
