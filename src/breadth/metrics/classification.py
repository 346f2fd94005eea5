"""Scores of predicted labels: the confusion matrix and what is read from it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.metrics import checks
from breadth.metrics.checks import Floats, ZeroDivision
from breadth.metrics.counts import Average, Counts, mean_ratio, per_label


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    normalize: Literal["true", "pred", "all"] | None = None,
) -> NDArray:
    """How often each true label met each predicted one: C_ij = sum of weights with true label i, predicted label j.

    Of two labels it is [[TN, FP], [FN, TP]].

    Args:
        y_true, y_pred: labels, shape (n,), numbers or text.
        labels: rows and columns wanted, in this order; None takes those that occur, sorted.
        sample_weight: weights >= 0, shape (n,).
        normalize: divide by the sum over "true" (rows), "pred" (columns), or "all"; a row without entries stays 0.

    Returns:
        Shape (k, k): int64, or float64 with weights that are no integers or with `normalize`.

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN, or no label of `labels` occurs in y_true.

    Cost: O(n + k^2).
    References: Provost & Kohavi 1998, "Glossary of terms", Machine Learning 30; Fawcett 2006, "An introduction to ROC
        analysis", section 2.
    Peer: sklearn.metrics.confusion_matrix, equal (A).
    In production: look at it before any single number; rows of rare classes say what averages hide.
    """
    checks.one_of("normalize", normalize, ("true", "pred", "all", None))
    true, pred = checks.classes(y_true=y_true, y_pred=y_pred)
    if true.ndim != 1:
        raise ValueError(f"y_true must have shape (n,), got {true.shape}; take one label column at a time")
    weight = checks.weights(sample_weight, len(true))
    whole = sample_weight is None or np.asarray(sample_weight).dtype.kind in "biu"
    present, (t, p) = checks.encode(true, pred)
    k = len(present)
    if labels is not None:
        wanted = np.asarray(labels)
        if wanted.ndim != 1 or wanted.size == 0:
            raise ValueError(f"labels must be a list of at least one label, got shape {wanted.shape}")
        place = {label: i for i, label in enumerate(wanted.tolist())}
        if len(place) != len(wanted):
            raise ValueError(f"labels holds a label twice: {wanted.tolist()}")
        k = len(wanted)
        code = np.array([place.get(label, -1) for label in present.tolist()])
        t, p = code[t], code[p]
        if (t < 0).all():
            raise ValueError("none of labels occurs in y_true")
        inside = (t >= 0) & (p >= 0)
        t, p, weight = t[inside], p[inside], None if weight is None else weight[inside]
    matrix = np.bincount(t * k + p, weight, minlength=k * k).reshape(k, k)
    if normalize is None:
        return np.rint(matrix).astype(np.int64) if whole else matrix.astype(np.float64)
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    total = matrix.sum(axis=axis, keepdims=True)
    return np.divide(matrix, total, out=np.zeros((k, k)), where=total != 0)


def precision_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Share of the rows called positive that are: TP / (TP + FP).

    Args:
        y_true, y_pred: labels (n,), or zeros and ones (n, labels) where a row has several.
        labels: those that the average is over; None takes all that occur. Not looked at for "binary".
        pos_label: the positive one for average="binary".
        average: "binary"; "micro", of the summed counts; "macro", the mean over labels; "weighted", that mean with the
            labels' frequencies in y_true; "samples", the mean over rows of (n, labels); None, one score a label.
        sample_weight: weights >= 0, shape (n,).
        zero_division: the score of a label that is never predicted: 0, 1, NaN (left out of means), "warn" for 0 and a
            warning.

    Returns:
        Float in [0, 1]; array (k,) for average=None.

    Raises:
        ValueError: if the columns are empty, differ in shape or hold NaN, weights sum to zero, or average="binary"
            meets more than two labels.

    Cost: O(n + k).
    References: van Rijsbergen 1979, Information Retrieval, ch. 7.
    Peer: sklearn.metrics.precision_score, 1e-12 (A).
    In production: read it where acting on a false alarm costs; always together with recall.
    """
    counts, weight = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return mean_ratio(counts.tp, counts.predicted, average, weight, zero_division, "precision")


def recall_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Share of the positive rows that are called so, also sensitivity or true-positive rate: TP / (TP + FN).

    Args:
        y_true, y_pred, labels, pos_label, average, sample_weight: as for `precision_score`.
        zero_division: the score of a label that never occurs in y_true.

    Returns:
        Float in [0, 1]; array (k,) for average=None.

    Raises:
        ValueError: as `precision_score`.

    Cost: O(n + k).
    References: van Rijsbergen 1979, ch. 7; Fawcett 2006, section 2. The denominator is TP + FN, all that are positive;
        it is sometimes misprinted as TP + TN.
    Peer: sklearn.metrics.recall_score, 1e-12 (A).
    In production: read it where a miss costs; `operating_point` finds the threshold that attains one.
    """
    counts, weight = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return mean_ratio(counts.tp, counts.actual, average, weight, zero_division, "recall")


def specificity_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Share of the negative rows that are called so, also true-negative rate: TN / (TN + FP).

    Of several labels, each in turn is the positive one and all others are negative.

    Args:
        y_true, y_pred, labels, pos_label, average, sample_weight: as for `precision_score`.
        zero_division: the score of a label that every row of y_true has.

    Returns:
        Float in [0, 1]; array (k,) for average=None.

    Raises:
        ValueError: as `precision_score`.

    Cost: O(n + k).
    References: Fawcett 2006, section 2.
    Peer: recall_score of the other label, for two labels, and sklearn.metrics.multilabel_confusion_matrix otherwise,
        1e-12 (A).
    In production: read it beside recall; neither depends on how many rows are positive, as precision does.
    """
    counts, weight = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return mean_ratio(counts.tn, counts.total - counts.actual, average, weight, zero_division, "specificity")


def false_positive_rate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Share of the negative rows that are called positive: FP / (FP + TN) = 1 - specificity.

    Args:
        y_true, y_pred, labels, pos_label, average, sample_weight: as for `precision_score`.
        zero_division: the rate of a label that every row of y_true has.

    Returns:
        Float in [0, 1]; array (k,) for average=None.

    Raises:
        ValueError: as `precision_score`.

    Cost: O(n + k).
    References: Fawcett 2006, section 2.
    Peer: sklearn.metrics.multilabel_confusion_matrix, 1e-12 (A).
    In production: the horizontal axis of `roc_curve`; where negatives are many, a small rate is still many alarms.
    """
    counts, weight = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    return mean_ratio(counts.fp, counts.total - counts.actual, average, weight, zero_division, "false-positive rate")


def fbeta_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    beta: float,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Weighted harmonic mean of precision P and recall R: (1 + b^2) P R / (b^2 P + R).

    In counts it is (1 + b^2) TP / (b^2 (TP + FN) + TP + FP), which is how it is computed.

    Args:
        beta: b >= 0, how many times as much recall counts; 0 is precision, infinity recall.
        y_true, y_pred, labels, pos_label, average, sample_weight: as for `precision_score`.
        zero_division: the score of a label that is neither true nor predicted anywhere.

    Returns:
        Float in [0, 1]; array (k,) for average=None.

    Raises:
        ValueError: if beta < 0, and as `precision_score`.

    Cost: O(n + k).
    References: van Rijsbergen 1979, ch. 7; Chinchor 1992, MUC-4 evaluation metrics.
    Peer: sklearn.metrics.fbeta_score, 1e-12 (A).
    In production: choose beta from what a miss costs beside a false alarm, not from what looks best.
    """
    if not beta >= 0:
        raise ValueError(f"beta must be >= 0, got {beta!r}")
    counts, weight = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    if np.isinf(beta):
        return mean_ratio(counts.tp, counts.actual, average, weight, zero_division, "F-beta")
    square = float(beta) ** 2
    denominator = square * counts.actual + counts.predicted
    return mean_ratio((1 + square) * counts.tp, denominator, average, weight, zero_division, "F-beta")


def f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = "binary",
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Args:
        y_true, y_pred, labels, pos_label, average, sample_weight: as for `precision_score`.
        zero_division: the score of a label that is neither true nor predicted anywhere.

    Returns:
        Float in [0, 1]; array (k,) for average=None.

    Raises:
        ValueError: as `precision_score`.

    Cost: O(n + k).
    References: van Rijsbergen 1979, ch. 7.
    Peer: sklearn.metrics.f1_score, 1e-12 (A).
    In production: it never looks at true negatives; `matthews_corrcoef` does.
    """
    how: dict[str, Any] = {"labels": labels, "pos_label": pos_label, "average": average}
    return fbeta_score(y_true, y_pred, beta=1.0, sample_weight=sample_weight, zero_division=zero_division, **how)


def precision_recall_fscore_support(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    beta: float = 1.0,
    labels: ArrayLike | None = None,
    pos_label: Any = 1,
    average: Average = None,
    sample_weight: ArrayLike | None = None,
    zero_division: ZeroDivision = "warn",
) -> tuple[Any, Any, Any, Floats | None]:
    """Precision, recall, F-beta and the labels' counts in y_true, from one pass.

    Args:
        y_true, y_pred, beta, labels, pos_label, average, sample_weight, zero_division: as for `fbeta_score`.

    Returns:
        Three floats and None, or four arrays (k,) for average=None.

    Raises:
        ValueError: as `fbeta_score`.

    Cost: O(n + k).
    References: van Rijsbergen 1979, ch. 7.
    Peer: sklearn.metrics.precision_recall_fscore_support, 1e-12 (A).
    In production: average=None is the table to print.
    """
    if not 0 <= beta < np.inf:
        raise ValueError(f"beta must be finite and >= 0, got {beta!r}")
    c, weight = _counts(y_true, y_pred, labels, pos_label, average, sample_weight)
    precision = mean_ratio(c.tp, c.predicted, average, weight, zero_division, "precision")
    recall = mean_ratio(c.tp, c.actual, average, weight, zero_division, "recall")
    square = float(beta) ** 2
    f = mean_ratio((1 + square) * c.tp, square * c.actual + c.predicted, average, weight, zero_division, "F-beta")
    return precision, recall, f, c.actual if average is None else None


def _counts(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: ArrayLike | None,
    pos_label: Any,
    average: Average,
    sample_weight: ArrayLike | None,
) -> tuple[Counts, Floats | None]:
    return per_label(
        y_true, y_pred, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight
    )  # fmt: skip
