"""The operating point of a scorer: the threshold that attains a required recall, and what it costs."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.score import Score, signature


class OperatingPoint(NamedTuple):
    """What a scorer does where it first attains a recall; rows with score >= threshold are called positive."""

    threshold: float
    recall: Score
    specificity: Score
    precision: Score


def operating_point(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    recall: float = 0.9,
    pos_label: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> OperatingPoint:
    """The greatest threshold with at least the required recall, and specificity and precision there.

    With recall = 0.9 its specificity is what is called specificity at 90 % sensitivity.
    With m positives and k = ceil(recall x m), the threshold is the k-th greatest positive score. The recall's interval
    is that of new rows: without ties the chance that a positive passes the k-th of m is Beta(k, m - k + 1) whatever the
    distribution. Intervals of specificity and precision are those of the bootstrap within classes that finds the
    threshold anew on each draw, so that they hold its uncertainty too.

    Args:
        y_true: labels (n,), two of them.
        y_score: scores (n,), greater for positive; infinities are allowed.
        recall: required, in (0, 1].
        pos_label: the positive label; None takes the greater one.
        confidence: coverage aimed at, in (0, 1).
        n_resamples: draws of the bootstrap, >= 100.
        seed: of the draws.

    Returns:
        OperatingPoint; each score has its interval and signature. Precision and its interval are those at the share of
        positives among these rows.

    Raises:
        ValueError: if a class is missing, scores hold NaN, or an argument is out of range.

    Cost: O(n log n) + O(n_resamples log n): the draws are made without drawing rows. The k-th greatest of a resample is
        the row at a Beta-distributed quantile, the further positives that tie with it and the negatives at or above it
        are binomial.
    References: Pepe 2003, The Statistical Evaluation of Medical Tests, section 5.2; Platt, Hanley & Yang 2000,
        "Bootstrap confidence intervals for the sensitivity of a quantitative diagnostic test"; Wilks 1941 (the Beta).
    Peer: sklearn.metrics.roc_curve searched for the recall (A); the bootstrap by drawing rows, and coverage by
        simulation (B).
    In production: choose the threshold on rows that are not the ones it is reported on.
    """
    (true,) = checks.columns(y_true=y_true)
    score = checks.numbers("y_score", y_score, finite=False)
    if len(score) != len(true):
        raise ValueError(f"y_score has {len(score)} rows and y_true {len(true)}; they must be alike")
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be in (0, 1], got {recall!r}")
    checks.share("confidence", confidence)
    if not isinstance(n_resamples, Integral) or n_resamples < 100:
        raise ValueError(f"n_resamples must be an integer >= 100, got {n_resamples!r}")
    positive = checks.positives(true, pos_label, greater=True)
    m, n = checks.both_classes(positive, "an operating point")
    pos, neg = np.sort(score[positive])[::-1], np.sort(score[~positive])
    k = _least_count(recall, m)
    threshold = pos[k - 1]
    tp = m - np.searchsorted(pos[::-1], threshold, "left")
    fp = n - np.searchsorted(neg, threshold, "left")
    tps, fps = _resampled(pos, neg, k, n_resamples, seed)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])

    def scored(name: str, value: float, ends: Floats, how: str) -> Score:
        line = signature(name, at=f"recall >= {recall:g}", n_pos=m, n_neg=n, ci=f"{100 * confidence:g}% {how}")
        return Score(float(value), float(ends[0]), float(ends[1]), line)

    drawn = f"stratified bootstrap, {n_resamples} resamples, seed {seed}"
    new_rows = np.array([beta.ppf(tails[0], tp, m - tp + 1), beta.ppf(tails[1], tp, m - tp + 1)])
    return OperatingPoint(
        float(threshold),
        scored("recall", tp / m, new_rows, "order statistic"),
        scored("specificity", 1 - fp / n, np.quantile(1 - fps / n, tails), drawn),
        scored("precision", tp / (tp + fp), np.quantile(tps / (tps + fps), tails), drawn),
    )


def _least_count(recall: float, m: int) -> int:
    """The least k with k / m >= recall, in floating point as a user computes it."""
    k = max(1, int(np.floor(recall * m)) - 1)
    while k / m < recall:
        k += 1
    return k


def _resampled(pos: Floats, neg: Floats, k: int, n_resamples: int, seed: int) -> tuple[Floats, Floats]:
    """True and false positives at the threshold of each resample; pos descending, neg ascending.

    A draw is the row at floor(m U), U uniform. The k-th least of m uniform numbers is Beta(k, m - k + 1), and given it
    the m - k that lie above are uniform there.
    """
    rng = np.random.default_rng(seed)
    m, n = len(pos), len(neg)
    u = rng.beta(k, m - k + 1, n_resamples)
    at = np.minimum((u * m).astype(np.intp), m - 1)
    threshold = pos[at]
    end = m - np.searchsorted(pos[::-1], threshold, "left")  # positives at or above the threshold
    tied = np.clip((end / m - u) / (1 - u), 0, 1)
    tps = k + rng.binomial(m - k, tied)
    fps = rng.binomial(n, 1 - np.searchsorted(neg, threshold, "left") / n)
    return tps.astype(np.float64), fps.astype(np.float64)
