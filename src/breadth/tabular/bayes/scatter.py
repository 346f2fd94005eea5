"""Scatter of rows around the means of their classes, for discriminant analysis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breadth.tabular.bayes.class_counts import row_blocks, sums_by_class

_CONSTANT = 16 * np.finfo(np.float64).eps  # spread below this share of a column's size is rounding


def class_means(X: NDArray, codes: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """Mean of each class, (classes, features), with the mean of what it leaves over added: exact for constants."""
    means = sums_by_class(X, codes, None, len(counts)) / counts[:, None]
    rest = np.zeros_like(means)
    for rows in row_blocks(*X.shape):
        rest += sums_by_class(X[rows] - means[codes[rows]], codes[rows], None, len(counts))
    return means + rest / counts[:, None]


def column_means(rows: NDArray) -> NDArray[np.float64]:
    """Mean of each column, with the mean of what it leaves over added: exact for constants."""
    mean = rows.mean(axis=0)
    rest = np.zeros_like(mean)
    for part in row_blocks(*rows.shape):
        rest += (rows[part] - mean).sum(axis=0)
    return mean + rest / len(rows)


def centre_rows(rows: NDArray) -> NDArray[np.float64]:
    """Subtract from rows, in place, their mean and what rounding left of it; returns both together, (features,)."""
    mean = rows.mean(axis=0)
    rows -= mean
    rest = rows.mean(axis=0)
    rows -= rest
    return mean + rest


def triangle(X: NDArray, centre: NDArray, codes: NDArray | None = None) -> tuple[NDArray, NDArray]:
    """R with R'R = sum (x - centre)(x - centre)', (min(n, p), p), and which columns do not spread at all.

    Args:
        X: rows, float64.
        centre: shape (features,), or (classes, features) with `codes` saying which is whose.
        codes: class of each row.
    """
    n, p = X.shape
    carried: NDArray[np.float64] = np.zeros((0, p))
    size = np.zeros(p)
    step = max(2048, 2 * p)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        own = centre if codes is None else centre[codes[rows]]
        size = np.maximum(size, np.abs(X[rows]).max(axis=0))
        block = X[rows] - own
        carried = np.asarray(np.linalg.qr(np.vstack([carried, block]) if start else block, mode="r"))
    return carried, is_flat(carried, size, n)


def is_flat(R: NDArray, size: NDArray, n: int) -> NDArray[np.bool_]:
    """Which columns of n rows spread no more than rounding: |R_j| against the largest number in the column."""
    return np.sqrt(np.einsum("ij,ij->j", R, R)) <= _CONSTANT * size * np.sqrt(n)


def covariance(rows: NDArray, shrinkage: float | str | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maximum-likelihood covariance of rows, shrunk by a share towards mean variance x identity, and their mean.

    Args:
        rows: float64 (n, p), overwritten.
        shrinkage: None for none, a number in [0, 1], or "auto" for the Ledoit-Wolf share of standardised columns.

    References: Ledoit & Wolf 2004, J. Multivariate Analysis 88(2), eq. 14 and lemmas 3.2-3.4.
    """
    n, p = rows.shape
    mean = centre_rows(rows)
    scale = np.ones(p)
    if shrinkage == "auto":
        scale = np.sqrt(np.einsum("ij,ij->j", rows, rows) / n)
        scale[scale <= _CONSTANT * np.abs(mean)] = 1.0
        rows /= scale
    S = rows.T @ rows / n
    share = 0.0 if shrinkage is None else _ledoit_wolf_share(rows, S) if shrinkage == "auto" else float(shrinkage)
    if share:
        mu = np.trace(S) / p
        S *= 1.0 - share
        S.flat[:: p + 1] += share * mu
    return (S if shrinkage != "auto" else S * scale * scale[:, None]), mean


def _ledoit_wolf_share(Z: NDArray, S: NDArray) -> float:
    """min(b^2, d^2) / d^2 with d^2 = |S - mu I|^2 and b^2 the mean of |z z' - S|^2 / n."""
    n, p = Z.shape
    mu = np.trace(S) / p
    square = float(np.vdot(S, S))
    lengths = np.einsum("ij,ij->i", Z, Z)  # |z z'|^2 = |z|^4
    b2 = (float(lengths @ lengths) / n - square) / n
    d2 = square - p * mu**2
    return 0.0 if d2 <= 0 or b2 <= 0 else min(b2 / d2, 1.0)
