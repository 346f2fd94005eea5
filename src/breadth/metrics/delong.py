"""How sure an area under the ROC curve is, and whether two of them differ: DeLong's variance in O(n log n)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.roc_kernels import placements
from breadth.metrics.score import Score, signature


class DeLong(NamedTuple):
    """Two areas on the same rows, and the test that they are equal."""

    first: float
    second: float
    difference: float  # first - second
    low: float
    high: float
    z: float
    p: float  # two-sided


def roc_auc_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Any = None,
    confidence: float = 0.95,
    scale: Literal["logit", "plain"] = "logit",
) -> Score:
    """Area under the ROC curve with DeLong's confidence interval.

    var(AUC) = var(V) / n+ + var(W) / n-, with V_i the share of negatives that positive i outranks and W_j the share of
    positives that outrank negative j, ties counting half. "plain" is AUC +- z se; "logit" does that on the scale of
    log(AUC / (1 - AUC)) and stays inside (0, 1).

    Args:
        y_true: labels (n,), two of them, each on at least two rows.
        y_score: scores (n,), greater for positive; infinities are allowed.
        pos_label: the positive label; None takes the greater one.
        confidence: coverage aimed at, in (0, 1).
        scale: on which the normal approximation is made.

    Returns:
        Score: value, low, high, signature.

    Raises:
        ValueError: if a class has fewer than two rows, scores hold NaN, or an argument is out of range.

    Cost: O(n log n).
    Deviations: at an AUC of exactly 1 or 0, where that variance is zero, the far end is (alpha/2)^(1/m), m the smaller
        class: so many disjoint pairs were all in order, which Clopper and Pearson bound.
    References: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, eq. 4-7; Sun & Xu 2014, IEEE Signal Processing
        Letters 21 (ranks in place of pairs); Clopper & Pearson 1934.
    Peer: the structural components by brute force over all pairs, 1e-12; coverage by simulation (B).
    In production: print it beside every AUC; below about 20 rows of a class no interval is worth much.
    """
    checks.share("confidence", confidence)
    checks.one_of("scale", scale, ("logit", "plain"))
    positive, score = _checked(y_true, y_score, "y_score", pos_label)
    v, w = _components(positive, score)
    area = float(v.mean())
    se = float(np.sqrt(v.var(ddof=1) / len(v) + w.var(ddof=1) / len(w)))
    z = float(norm.ppf((1 + confidence) / 2))
    line = signature(
        "roc_auc_score", n_pos=len(v), n_neg=len(w), ties="half", ci=f"{100 * confidence:g}% DeLong {scale}"
    )  # fmt: skip
    if area in (0.0, 1.0):
        bound = float(((1 - confidence) / 2) ** (1 / min(len(v), len(w))))
        return Score(area, bound, 1.0, line) if area == 1 else Score(area, 0.0, 1 - bound, line)
    if scale == "plain":
        return Score(area, area - z * se, area + z * se, line)
    half = z * se / (area * (1 - area))
    return Score(area, float(expit(logit(area) - half)), float(expit(logit(area) + half)), line)


def delong_test(
    y_true: ArrayLike, first: ArrayLike, second: ArrayLike, *, pos_label: Any = None, confidence: float = 0.95
) -> DeLong:
    """Test that two scorings of the same rows have equal areas under the ROC curve.

    z = (AUC_1 - AUC_2) / se with se^2 = var(V_1 - V_2) / n+ + var(W_1 - W_2) / n-: the components of `roc_auc_interval`
    are paired by row, so that what makes a row hard for both cancels.

    Args:
        y_true: labels (n,), two of them, each on at least two rows.
        first, second: scores (n,), greater for positive; infinities are allowed.
        pos_label: the positive label; None takes the greater one.
        confidence: coverage of the difference's interval, in (0, 1).

    Returns:
        DeLong. Scorings that order all pairs alike have p = 1.

    Raises:
        ValueError: if a class has fewer than two rows, scores hold NaN, or an argument is out of range.

    Cost: O(n log n).
    References: DeLong, DeLong & Clarke-Pearson 1988, eq. 8.
    Peer: the same by brute force over all pairs, 1e-12; level by simulation (B).
    In production: it assumes scorings that do not depend on these rows; not for nested models fitted on them
        (Demler, Pencina & D'Agostino 2012).
    """
    checks.share("confidence", confidence)
    positive, one = _checked(y_true, first, "first", pos_label)
    _, other = _checked(y_true, second, "second", pos_label)
    v1, w1 = _components(positive, one)
    v2, w2 = _components(positive, other)
    v, w = v1 - v2, w1 - w2
    difference = float(v1.mean() - v2.mean())
    se = float(np.sqrt(v.var(ddof=1) / len(v) + w.var(ddof=1) / len(w)))
    if not v.any() and not w.any():
        return DeLong(float(v1.mean()), float(v2.mean()), 0.0, 0.0, 0.0, 0.0, 1.0)
    z = difference / se if se else float(np.copysign(np.inf, difference))
    half = float(norm.ppf((1 + confidence) / 2)) * se
    p = float(2 * norm.sf(abs(z)))
    return DeLong(float(v1.mean()), float(v2.mean()), difference, difference - half, difference + half, z, p)


def _checked(y_true: ArrayLike, scores: ArrayLike, name: str, pos_label: Any) -> tuple[NDArray[np.bool_], NDArray]:
    (true,) = checks.columns(y_true=y_true)
    score = checks.numbers(name, scores, finite=False)
    if len(score) != len(true):
        raise ValueError(f"{name} has {len(score)} rows and y_true {len(true)}; they must be alike")
    positive = checks.positives(true, pos_label, greater=True)
    if min(checks.both_classes(positive, "the area under the ROC curve")) < 2:
        raise ValueError("y_true needs at least two rows of each class: one row has no variance")
    return positive, score


def _components(positive: NDArray[np.bool_], score: NDArray) -> tuple[Floats, Floats]:
    """V (n+,) and W (n-,): shares of the other class that a row stands right with, ties counting half."""
    pos, neg = score[positive], score[~positive]
    by_pos, by_neg = np.argsort(pos), np.argsort(neg)
    above, below = np.empty(len(pos), np.int64), np.empty(len(neg), np.int64)
    placements(pos, by_pos, neg[by_neg], above)
    placements(neg, by_neg, pos[by_pos], below)
    return above / (2 * len(neg)), 1 - below / (2 * len(pos))
