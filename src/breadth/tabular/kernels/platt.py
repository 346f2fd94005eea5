"""Probabilities from scores: Platt's sigmoid, and one distribution out of those of all pairs of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

_STEPS, _GRADIENT, _SMALLEST_STEP, _RIDGE = 100, 1e-5, 1e-10, 1e-12
_LEAST = 1e-7  # pairwise probabilities are kept from 0 and 1 by this much before they are coupled


def fit_sigmoid(scores: ArrayLike, positive: ArrayLike, sample_weight: ArrayLike | None = None) -> tuple[float, float]:
    """A and B of P(positive | score f) = 1 / (1 + exp(A f + B)), of greatest likelihood with smoothed targets.

    Targets are (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, as the counts of an unseen sample with a
    uniform prior would have it; so a separable sample has a finite answer.

    Args:
        scores: f, finite, shape (n,); of rows that the scorer has not been fitted on, or the answer is overconfident.
        positive: whether each row belongs to the positive class, shape (n,).
        sample_weight: weight per row, >= 0, shape (n,); None means 1.

    Returns:
        A, negative where larger scores mean the positive class, and B.

    Raises:
        ValueError: if shapes differ, or a score is not finite.

    Cost: some ten Newton steps of O(n).
    References: Platt 1999, Probabilistic outputs for support vector machines, section 2; Lin, Lin & Weng 2007,
        Machine Learning 68(3), algorithm 1 (Newton with backtracking).
    Peer: scikit-learn's calibration._sigmoid_calibration, float64, 1e-4 (A).
    In production: use it for scores of few rows; with thousands, isotonic regression asks less of their shape.
    """
    f = np.asarray(scores, dtype=np.float64)
    yes = np.asarray(positive, dtype=bool)
    weight = np.ones(len(f)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if f.ndim != 1 or yes.shape != f.shape or weight.shape != f.shape:
        raise ValueError(
            f"scores, positive and sample_weight must have one shape (n,), got {f.shape}, {yes.shape}, {weight.shape}"
        )
    if not np.isfinite(f).all():
        raise ValueError("scores must be finite; they hold NaN or infinity")
    many, few = float(weight[yes].sum()), float(weight[~yes].sum())
    target = np.where(yes, (many + 1) / (many + 2), 1 / (few + 2))

    def loss(a: float, b: float) -> float:
        z = a * f + b
        return float(weight @ (np.logaddexp(0.0, z) - (1 - target) * z))

    a, b = 0.0, float(np.log((few + 1) / (many + 1)))
    value = loss(a, b)
    for _ in range(_STEPS):
        p = expit(-(a * f + b))
        slope = weight * (target - p)
        curve = weight * p * (1 - p)
        g1, g2 = float(slope @ f), float(slope.sum())
        if max(abs(g1), abs(g2)) < _GRADIENT:
            break
        h11, h21, h22 = float(curve @ (f * f)) + _RIDGE, float(curve @ f), float(curve.sum()) + _RIDGE
        determinant = h11 * h22 - h21 * h21
        da, db = -(h22 * g1 - h21 * g2) / determinant, -(h11 * g2 - h21 * g1) / determinant
        down, step = g1 * da + g2 * db, 1.0
        while step >= _SMALLEST_STEP:
            candidate = loss(a + step * da, b + step * db)
            if candidate < value + 1e-4 * step * down:
                a, b, value = a + step * da, b + step * db, candidate
                break
            step /= 2
        else:
            break  # no digits left to gain
    return a, b


def couple_pairs(pairwise: NDArray[np.float64], n_classes: int) -> NDArray[np.float64]:
    """The distribution p closest to r_ij = P(i | i or j): it minimises sum over pairs of (r_ji p_i - r_ij p_j)^2.

    Args:
        pairwise: r_ij for i < j in the order (0, 1), (0, 2), ..., (1, 2), ..., shape (rows, pairs).
        n_classes: classes, >= 2.

    Returns:
        Probabilities, shape (rows, classes), that sum to 1.

    References: Wu, Lin & Weng 2004, JMLR 5, second approach.
    """
    r = np.clip(pairwise, _LEAST, 1 - _LEAST)
    if n_classes == 2:
        return np.column_stack([r[:, 0], 1 - r[:, 0]])
    n = len(r)
    R = np.zeros((n, n_classes, n_classes))
    i, j = np.triu_indices(n_classes, 1)
    R[:, i, j], R[:, j, i] = r, 1 - r
    Q = np.zeros((n, n_classes + 1, n_classes + 1))  # the optimum's equations, bordered by sum p = 1
    Q[:, :-1, :-1] = -np.swapaxes(R, 1, 2) * R  # off the diagonal -r_ji r_ij
    diagonal = np.arange(n_classes)
    Q[:, diagonal, diagonal] = np.square(R).sum(axis=1)  # sum over j of r_ji^2
    Q[:, :-1, -1] = Q[:, -1, :-1] = 1.0
    right = np.zeros((n, n_classes + 1, 1))
    right[:, -1] = 1.0
    p = np.maximum(np.linalg.solve(Q, right)[:, :-1, 0], 0.0)
    return p / p.sum(axis=1, keepdims=True)
