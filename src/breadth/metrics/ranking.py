"""Discounted cumulative gain of rankings, and its share of the best possible."""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.ranking_kernels import gains_by_order, gains_by_ties

Gain = Literal["linear", "exponential"]
_FEW = 64  # ranks up to which inserting each item among the best is quicker than sorting


def dcg_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    k: int | None = None,
    log_base: float = 2,
    sample_weight: ArrayLike | None = None,
    ignore_ties: bool = False,
    gain: Gain = "linear",
) -> float:
    """Gain of each row's items by their rank, later ones discounted: sum_r g_r / log_b(r + 1), averaged over rows.

    Args:
        y_true: relevance of the items, shape (n, items), finite; negative relevance is allowed.
        y_score: their scores, shape (n, items); infinities are allowed.
        k: ranks that count, >= 1; None takes all.
        log_base: b of the discount, > 1.
        sample_weight: weights of rows >= 0, shape (n,).
        ignore_ties: rank tied scores in the order of columns, which is faster; False averages over all their orders.
        gain: g = relevance, "linear", or 2^relevance - 1, "exponential".

    Returns:
        Float.

    Raises:
        ValueError: if arrays are empty, differ in shape or hold NaN, or an argument is out of range.

    Cost: O(n items log items); with ignore_ties O(n items) for items in random order and small k.
    Deviations: where it ignores ties, scikit-learn ranks them as its sorting happens to.
    References: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", section 2.2; Burges et
        al. 2005 (exponential gain); McSherry & Najork 2008 (ties).
    Peer: sklearn.metrics.dcg_score, 1e-12 (A).
    In production: `ndcg_score` compares across queries.
    """
    dcg, _, weight = _sums(y_true, y_score, k, log_base, sample_weight, ignore_ties, gain)
    return float(np.average(dcg, weights=weight))


def ndcg_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_ties: bool = False,
    gain: Gain = "linear",
) -> float:
    """Discounted cumulative gain over that of the best order of the same items, averaged over rows: DCG@k / IDCG@k.

    Args:
        y_true: relevance of the items, shape (n, items), >= 0, finite.
        y_score: their scores, shape (n, items); infinities are allowed.
        k: ranks that count, >= 1; None takes all.
        sample_weight: weights of rows >= 0, shape (n,).
        ignore_ties: rank tied scores in the order of columns, which is faster; False averages over all their orders.
        gain: g = relevance, "linear", or 2^relevance - 1, "exponential".

    Returns:
        Float in [0, 1]. A row without relevant items scores 0.

    Raises:
        ValueError: if there is a single item, relevance is negative, arrays are empty, differ in shape or hold NaN, or
            an argument is out of range.

    Cost: O(n items log items); with ignore_ties O(n items) for items in random order and small k.
    Deviations: where it ignores ties, scikit-learn ranks them as its sorting happens to.
    References: Järvelin & Kekäläinen 2002, section 2.3; Burges et al. 2005; McSherry & Najork 2008 (ties).
    Peer: sklearn.metrics.ndcg_score and ranx "ndcg", "ndcg_burges", 1e-12 (A).
    In production: say which gain and what k; with binary relevance both gains are one.
    """
    dcg, ideal, weight = _sums(y_true, y_score, k, 2, sample_weight, ignore_ties, gain, normalised=True)
    return float(np.average(np.divide(dcg, ideal, out=np.zeros(len(dcg)), where=ideal > 0), weights=weight))


def _sums(
    y_true: ArrayLike,
    y_score: ArrayLike,
    k: int | None,
    log_base: float,
    sample_weight: ArrayLike | None,
    ignore_ties: bool,
    gain: Gain,
    normalised: bool = False,
) -> tuple[Floats, Floats, Floats | None]:
    """Discounted gain of each row as ranked and at best, and the rows' weights."""
    checks.one_of("gain", gain, ("linear", "exponential"))
    relevance = checks.numbers("y_true", y_true, ndim=(2,)).astype(np.float64, copy=False)
    score = checks.numbers("y_score", y_score, ndim=(2,), finite=False).astype(np.float64, copy=False)
    if relevance.shape != score.shape:
        raise ValueError(f"y_score must have the shape of y_true, {relevance.shape}, got {score.shape}")
    m = relevance.shape[1]
    if k is not None and (not isinstance(k, Integral) or k < 1):
        raise ValueError(f"k must be a whole number >= 1 or None, got {k!r}")
    if not log_base > 1:
        raise ValueError(f"log_base must be > 1, got {log_base!r}")
    if normalised and m == 1:
        raise ValueError("y_true has a single item, of which every order is the best")
    if normalised and relevance.min() < 0:
        raise ValueError(f"y_true must hold relevance >= 0, got {relevance.min():g}")
    if gain == "exponential":
        relevance = np.exp2(relevance) - 1
        if not np.isfinite(relevance).all():
            raise ValueError("y_true is too great for gain='exponential': 2^relevance is infinite")
    discount = np.log(log_base) / np.log(np.arange(2, m + 2))
    discount[k if k is not None else m :] = 0
    dcg, ideal = np.empty(len(score)), np.empty(len(score))
    if ignore_ties and min(k or m, m) <= _FEW:
        gains_by_order(score, relevance, discount[: min(k or m, m)], dcg, ideal)
    elif ignore_ties:
        order = np.argsort(-score, axis=1, kind="stable")
        dcg = np.take_along_axis(relevance, order, 1) @ discount
        ideal = np.sort(relevance, axis=1)[:, ::-1] @ discount
    else:
        order = np.argsort(-score, axis=1)
        ranked, gained = (np.take_along_axis(a, order, 1) for a in (score, relevance))
        cumulative = np.concatenate(([0.0], np.cumsum(discount)))
        gains_by_ties(ranked, gained, np.sort(relevance, axis=1), cumulative, dcg, ideal)
    return dcg, ideal, checks.weights(sample_weight, len(score))
