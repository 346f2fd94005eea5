"""Scores of all labels at once: accuracy, balanced accuracy, Matthews' correlation, log loss, and McNemar's test."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, chi2

from breadth.metrics import checks
from breadth.metrics.classification import confusion_matrix


class McNemar(NamedTuple):
    """Two classifiers on the same rows: rows that only one of them has right, and the test that they are as many."""

    only_first: int
    only_second: int
    statistic: float  # chi-square, or min(only_first, only_second) for the exact tests
    p: float


def accuracy_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, normalize: bool = True, sample_weight: ArrayLike | None = None
) -> float:
    """Share of rows whose label is the predicted one; of rows with several labels, all of them.

    Args:
        y_true, y_pred: labels (n,), or zeros and ones (n, labels).
        normalize: divide by the sum of weights; False gives the sum itself.
        sample_weight: weights >= 0, shape (n,).

    Returns:
        Float.

    Raises:
        ValueError: if the columns are empty, differ in shape or hold NaN, or weights sum to zero.

    Cost: O(n).
    References: Kohavi 1995, "A study of cross-validation and bootstrap for accuracy estimation", section 1.
    Peer: sklearn.metrics.accuracy_score, 1e-12 (A).
    In production: compare it with the share of the largest class; `proportion` gives its interval.
    """
    true, pred = checks.classes(y_true=y_true, y_pred=y_pred)
    if checks.is_text(true) != checks.is_text(pred):
        raise ValueError("y_true and y_pred mix text and numbers; give both as one kind")
    weight = checks.weights(sample_weight, len(true))
    right = true == pred if true.ndim == 1 else (true == pred).all(1)
    if weight is None:
        return float(np.count_nonzero(right) / len(right) if normalize else np.count_nonzero(right))
    return float(weight @ right / weight.sum() if normalize else weight @ right)


def balanced_accuracy_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None, adjusted: bool = False
) -> float:
    """Mean over the true labels of the share of each that is found.

    Args:
        y_true, y_pred: labels (n,).
        sample_weight: weights >= 0, shape (n,).
        adjusted: (score - 1/k) / (1 - 1/k), which is 0 for guessing and 1 at best.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN, weights sum to zero, or adjusted meets a
            single label.

    Cost: O(n + k^2).
    References: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution".
    Peer: sklearn.metrics.balanced_accuracy_score, 1e-12 (A).
    In production: use it where classes differ in size and matter alike.
    """
    matrix = confusion_matrix(y_true, y_pred, sample_weight=sample_weight)
    actual = matrix.sum(1)
    recalls = np.diag(matrix)[actual > 0] / actual[actual > 0]
    score = float(np.mean(recalls))
    if not adjusted:
        return score
    if len(recalls) < 2:
        raise ValueError("adjusted=True needs at least two labels in y_true: guessing one of one is always right")
    return (score - 1 / len(recalls)) / (1 - 1 / len(recalls))


def matthews_corrcoef(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Correlation of true and predicted labels; of two labels (TP TN - FP FN) / sqrt of the four marginal sums.

    (n c - sum_k t_k p_k) / sqrt((n^2 - sum p_k^2)(n^2 - sum t_k^2)), with c the number right, t_k and p_k how often
    label k is true and predicted.

    Args:
        y_true, y_pred: labels (n,).
        sample_weight: weights >= 0, shape (n,).

    Returns:
        Float in [-1, 1]; 0 where either column holds a single label.

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN, or weights sum to zero.

    Cost: O(n + k).
    References: Matthews 1975; Gorodkin 2004 for several labels, eq. 8.
    Peer: sklearn.metrics.matthews_corrcoef, 1e-12 (A). Counts are multiplied as integers, so that 10^8 rows lose
        nothing.
    In production: one number for two classes of unequal size, where F1 depends on which is called positive.
    """
    true, pred = checks.classes(y_true=y_true, y_pred=y_pred)
    if true.ndim != 1:
        raise ValueError(f"y_true must have shape (n,), got {true.shape}")
    weight = checks.weights(sample_weight, len(true))
    present, (t, p) = checks.encode(true, pred)
    k = len(present)
    ts, ps = (np.bincount(c, weight, minlength=k) for c in (t, p))
    right = int(np.count_nonzero(t == p)) if weight is None else float(weight @ (t == p))
    return correlation_of_counts(ts, ps, right)


def correlation_of_counts(actual: NDArray, predicted: NDArray, right: float) -> float:
    """Matthews' correlation from how often each label is true and predicted, and how often both."""
    n = actual.sum()
    together = n * right - actual @ predicted
    spread = [float(n * n - c @ c) for c in (actual, predicted)]
    if min(spread) <= 0:
        return 0.0
    return float(together / (np.sqrt(spread[0]) * np.sqrt(spread[1])))


def log_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    eps: float = 0.0,
) -> float:
    """Mean of -log p(true label), in nats.

    Args:
        y_true: labels (n,).
        y_proba: probabilities (n, k), columns in the order of the sorted labels; of two labels also (n,), of the
            greater.
        normalize: divide by the sum of weights.
        sample_weight: weights >= 0, shape (n,).
        labels: all labels, where some do not occur in y_true.
        eps: probabilities are kept inside [eps, 1 - eps]; 0 leaves them as they are.

    Returns:
        Float >= 0; infinite where a true label was given probability 0.

    Raises:
        ValueError: if probabilities lie outside [0, 1] or do not sum to 1, columns and labels differ in number, or an
            array is empty or holds NaN.

    Cost: O(n k).
    Deviations: scikit-learn clips at the machine epsilon of the probabilities' dtype without saying so; here it is done
        on request: eps=numpy.finfo(y_proba.dtype).eps gives its value. Rows that do not sum to 1 are refused.
    References: Good 1952, "Rational decisions"; Gneiting & Raftery 2007, "Strictly proper scoring rules", section 4.
    Peer: sklearn.metrics.log_loss, 1e-12 (A).
    In production: a proper score of probabilities; one row that was sure and wrong can decide it.
    """
    true, present, proba = probabilities(y_true, y_proba, labels)
    if not 0 <= eps < 0.5:
        raise ValueError(f"eps must be in [0, 0.5), got {eps!r}")
    weight = checks.weights(sample_weight, len(true))
    p = np.take_along_axis(proba, np.searchsorted(present, true)[:, None], 1)[:, 0]
    if eps:
        p = np.clip(p, eps, 1 - eps)
    with np.errstate(divide="ignore"):
        loss = -np.log(p)
    if weight is not None:
        loss = np.where(weight > 0, loss, 0) * weight
    total = float(loss.sum())
    return total / float(len(loss) if weight is None else weight.sum()) if normalize else total


def probabilities(y_true: ArrayLike, y_proba: ArrayLike, labels: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
    """The true labels, all labels sorted, and probabilities (n, k) that sum to 1.

    Raises:
        ValueError: as `log_loss`.
    """
    (true,) = checks.columns(y_true=y_true)
    proba = checks.numbers("y_proba", y_proba, ndim=(1, 2))
    if true.ndim != 1 or len(true) != len(proba):
        raise ValueError(f"y_true must have shape ({len(proba)},) as y_proba has rows, got {true.shape}")
    present = np.unique(true if labels is None else np.asarray(labels))
    if not np.isin(true, present).all():
        raise ValueError("y_true holds a label that is not among labels")
    if len(present) < 2:
        raise ValueError(f"y_true holds the single label {present.tolist()}; give all of them in labels")
    if proba.ndim == 1:
        proba = proba[:, None]
    if (proba < 0).any() or (proba > 1).any():
        raise ValueError(f"y_proba must lie in [0, 1], got values in [{proba.min():g}, {proba.max():g}]")
    if proba.shape[1] == 1:
        proba = np.hstack([1 - proba, proba])
    if proba.shape[1] != len(present):
        raise ValueError(f"y_proba has {proba.shape[1]} columns for the {len(present)} labels {present.tolist()[:10]}")
    off = np.abs(proba.sum(1, dtype=np.float64) - 1)
    if (off > np.sqrt(np.finfo(proba.dtype).eps)).any():
        raise ValueError(f"rows of y_proba must sum to 1; row {int(off.argmax())} is off by {off.max():.3g}")
    return true, present, proba


def mcnemar(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    method: Literal["exact", "mid-p", "chi2", "chi2-corrected"] = "exact",
) -> McNemar:
    """Test that two classifiers err alike often on the same rows.

    Of the b rows that only the first has right and the c that only the second has, b is Binomial(b + c, 1/2) if both
    err alike. "exact" is its two-sided tail; "mid-p" counts the observed value half; "chi2" is (b - c)^2 / (b + c) and
    "chi2-corrected" (|b - c| - 1)^2 / (b + c), each with one degree of freedom.

    Args:
        y_true, first, second: true labels and the two predictions, shape (n,).
        method: of the p value.

    Returns:
        McNemar. Without a row that tells them apart p is 1.

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN.

    Cost: O(n).
    References: McNemar 1947, Psychometrika 12; Dietterich 1998, "Approximate statistical tests"; Fagerland, Lydersen &
        Laake 2013 (mid-p).
    Peer: statsmodels.stats.contingency_tables.mcnemar, 1e-12 (A); mid-p by its formula (B).
    In production: use it for one fixed split; `stats.resampled_t` where training was repeated.
    """
    checks.one_of("method", method, ("exact", "mid-p", "chi2", "chi2-corrected"))
    true, one, other = checks.classes(y_true=y_true, first=first, second=second)
    b = int(np.count_nonzero((one == true) & (other != true)))
    c = int(np.count_nonzero((one != true) & (other == true)))
    if b + c == 0:
        return McNemar(b, c, 0.0, 1.0)
    if method in ("exact", "mid-p"):
        fewer = min(b, c)
        p = min(1.0, 2 * float(binom.cdf(fewer, b + c, 0.5)))
        if method == "mid-p":
            p = 2 * float(binom.cdf(fewer, b + c, 0.5)) - float(binom.pmf(fewer, b + c, 0.5))
        return McNemar(b, c, float(fewer), min(1.0, p))
    gap = abs(b - c) - (1 if method == "chi2-corrected" and b != c else 0)
    statistic = gap**2 / (b + c)
    return McNemar(b, c, float(statistic), float(chi2.sf(statistic, 1)))
