"""Resampling with replacement."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bootstrap_indices(
    n: int, rng: np.random.Generator, size: int | None = None, *, weight: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Row numbers drawn independently with replacement: P(row i) = w_i / sum_j w_j, 1 / n without weights.

    A draw of size n leaves a given row out with probability (1 - 1/n)^n, which tends to 1/e = 0.368.

    Args:
        n: rows to draw from, >= 1.
        rng: source of randomness; the same state gives the same rows.
        size: draws, >= 0; None means n.
        weight: w, >= 0 and finite with a positive sum, shape (n,); None draws every row with equal probability.

    Returns:
        Row numbers in [0, n), int64 (size,), in the order drawn.

    Raises:
        ValueError: if n, size or weight is out of range.

    Cost: O(size), with weights O(n + size log n).
    References: Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), section 2.
    Peer: the multinomial distribution of the counts, its mean, variance and the share left out within 5 standard errors
        (B).
    In production: use it for bagging and for the sampling distribution of a statistic; rows that depend on each other
        (time, groups) need blocks or groups drawn whole.
    """
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n must be an integer >= 1, got {n!r}")
    if size is None:
        size = n
    elif not isinstance(size, Integral) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size must be an integer >= 0 or None for n, got {size!r}")
    if weight is None:
        return rng.integers(n, size=size)
    w = np.asarray(weight, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"weight must hold one number for each of {n} rows, got shape {w.shape}")
    if not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise ValueError(f"weight must be finite and >= 0 with a positive sum, got {weight!r}")
    cumulative = np.cumsum(w / w.max())  # relative to the largest: no sum of finite weights overflows
    drawn = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    last = np.flatnonzero(w)[-1]  # rounding up may take the product to the very end
    return np.minimum(drawn, last)
