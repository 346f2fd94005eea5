"""Scores of a ranking of two classes: the ROC curve, the area under it, precision against recall, average precision.

All are exact with ties and weights. Scores may be infinite, which ranks them first or last; NaN has no rank and is an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.roc_kernels import curve, weighted_curve, wins

_Average = Literal["micro", "macro", "weighted", "samples"] | None


class Curve(NamedTuple):
    """Sums of weights at or above each distinct score, the greatest first."""

    threshold: NDArray
    tps: Floats
    fps: Floats


def roc_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Any = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = True,
) -> tuple[Floats, Floats, NDArray]:
    """True-positive rate against false-positive rate as the threshold falls.

    Args:
        y_true: labels (n,), two of them.
        y_score: scores (n,), greater for positive; infinities are allowed.
        pos_label: the positive label; None takes 1 of {0, 1} or {-1, 1}.
        sample_weight: weights >= 0, shape (n,).
        drop_intermediate: leave out points on a straight line between their neighbours.

    Returns:
        fpr, tpr, thresholds, each (points,); the first point (0, 0) has the threshold infinity, which accepts no row
        whose score is finite.

    Raises:
        ValueError: if a class is missing, scores hold NaN, or arrays are empty or differ in length.

    Cost: O(n log n).
    Deviations: scikit-learn answers NaN where a class is missing and refuses infinite scores.
    References: Fawcett 2006, "An introduction to ROC analysis", algorithm 1.
    Peer: sklearn.metrics.roc_curve, 1e-12 (A).
    In production: read an operating point from it; `operating_point` does, with intervals.
    """
    positive, score, weight = _binary(y_true, y_score, pos_label, sample_weight)
    threshold, tps, fps = ranked(positive, score, weight, "the ROC curve")
    if drop_intermediate and len(tps) > 2:
        # a point stays where the slope changes; counts are exact, and sums of weights compared as scikit-learn does
        bend = (np.diff(fps, 2) != 0) | (np.diff(tps, 2) != 0)
        kept = np.concatenate(([True], bend, [True]))
        threshold, tps, fps = threshold[kept], tps[kept], fps[kept]
    fpr, tpr = (np.concatenate(([0.0], sums)) / sums[-1] for sums in (fps, tps))
    return fpr, tpr, np.concatenate((np.array([np.inf], threshold.dtype), threshold))


def roc_auc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: _Average = "macro",
    sample_weight: ArrayLike | None = None,
    max_fpr: float | None = None,
    multi_class: Literal["raise", "ovr", "ovo"] = "raise",
    labels: ArrayLike | None = None,
) -> Any:
    """Area under the ROC curve: the chance that a positive row outranks a negative one, a tie counting half.

    AUC = (#{s+ > s-} + #{s+ = s-} / 2) / (n+ n-), the Mann-Whitney statistic. Pairs are counted as integers. Of several
    classes: "ovr" takes each class against all others, "ovo" (Hand & Till) each pair of classes, both ways round.

    Args:
        y_true: labels (n,), the greater of two being positive; or zeros and ones (n, labels).
        y_score: scores (n,); of several classes probabilities (n, k) whose rows sum to 1, columns in the order of the
            sorted labels; of several labels (n, labels). Infinities are allowed.
        average: over classes or labels: "macro", "weighted" by their frequency, "micro" of all cells together (not for
            "ovo"), "samples" over rows of labels, None for one score each (not for "ovo").
        sample_weight: weights >= 0, shape (n,); not for "ovo".
        max_fpr: area up to this false-positive rate in (0, 1], standardised to 0.5 for chance and 1 at best
            (McClish); two classes only.
        multi_class: what to do with more than two labels.
        labels: all labels, where some do not occur in y_true.

    Returns:
        Float in [0, 1]; array for average=None.

    Raises:
        ValueError: if a class is missing, scores hold NaN, an argument does not go with the kind of target, or arrays
            are empty or differ in length.

    Cost: O(n log n), of two classes two sorts and one pass; k times that for "ovr" and "ovo".
    Deviations: scikit-learn answers NaN where a class is missing and refuses infinite scores.
    References: Hanley & McNeil 1982, Radiology 143; Hand & Till 2001, Machine Learning 45, eq. 7; McClish 1989.
    Peer: sklearn.metrics.roc_auc_score, 1e-12 (A).
    In production: it does not move with the share of positives, and so says nothing of precision; `roc_auc_interval`
        and `delong_test` say how sure it is.
    """
    checks.one_of("average", average, ("micro", "macro", "weighted", "samples", None))
    checks.one_of("multi_class", multi_class, ("raise", "ovr", "ovo"))
    true = np.asarray(y_true)
    if true.ndim == 2 and true.shape[1] > 1:
        return _over_labels(auc, true, y_score, average, sample_weight, max_fpr)
    (true,) = checks.columns(y_true=true)
    score = np.asarray(y_score)
    several = score.ndim == 2 and score.shape[1] > 2
    if several or (score.ndim == 2 and labels is not None):
        if max_fpr is not None and max_fpr != 1:
            raise ValueError("max_fpr is for two classes")
        return _multiclass(true, score, average, sample_weight, multi_class, labels)
    if score.ndim == 2 and score.shape[1] == 2:
        raise ValueError("y_score of two classes must have shape (n,): give the column of the greater label")
    positive, score, weight = _binary(true, y_score, None, sample_weight, greater=True)
    return auc(positive, score, weight, max_fpr)


def auc(positive: NDArray[np.bool_], score: NDArray, weight: Floats | None, max_fpr: float | None = None) -> float:
    """Area under the ROC curve of rows that were checked."""
    if max_fpr is not None and not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr must be in (0, 1], got {max_fpr!r}")
    if weight is None and (max_fpr is None or max_fpr == 1):
        n_pos, n_neg = checks.both_classes(positive, "the area under the ROC curve")
        pos, neg = np.sort(score[positive]), np.sort(score[~positive])
        return wins(pos, neg) / (2 * n_pos * n_neg)  # integers: nothing is rounded before the division
    _, tps, fps = ranked(positive, score, weight, "the area under the ROC curve")
    fpr, tpr = (np.concatenate(([0.0], sums)) / sums[-1] for sums in (fps, tps))
    if max_fpr is None or max_fpr == 1:
        return float(np.trapezoid(tpr, fpr))
    stop = int(np.searchsorted(fpr, max_fpr, "right"))
    end = np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1])
    area = np.trapezoid(np.append(tpr[:stop], end), np.append(fpr[:stop], max_fpr))
    least = max_fpr**2 / 2
    return float((1 + (area - least) / (max_fpr - least)) / 2)


def precision_recall_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    pos_label: Any = None,
    sample_weight: ArrayLike | None = None,
    drop_intermediate: bool = False,
) -> tuple[Floats, Floats, NDArray]:
    """Precision and recall at every distinct score as the threshold, the least first.

    Args:
        y_true: labels (n,), two of them.
        y_score: scores (n,), greater for positive; infinities are allowed.
        pos_label: the positive label; None takes 1 of {0, 1} or {-1, 1}.
        sample_weight: weights >= 0, shape (n,).
        drop_intermediate: leave out points between which no true positive is gained.

    Returns:
        precision, recall of shape (points + 1,), thresholds (points,); the last pair is (1, 0) and has no threshold.

    Raises:
        ValueError: if there is no positive row, scores hold NaN, or arrays are empty or differ in length.

    Cost: O(n log n).
    References: Davis & Goadrich 2006, "The relationship between precision-recall and ROC curves".
    Peer: sklearn.metrics.precision_recall_curve, 1e-12 (A).
    In production: points must not be joined by straight lines to take an area; `average_precision_score` does not.
    """
    positive, score, weight = _binary(y_true, y_score, pos_label, sample_weight)
    threshold, tps, fps = ranked(positive, score, weight, "recall", needs_negative=False)
    if drop_intermediate and len(tps) > 2:
        kept = np.concatenate(([True], (np.diff(tps[:-1]) != 0) | (np.diff(tps[1:]) != 0), [True]))
        threshold, tps, fps = threshold[kept], tps[kept], fps[kept]
    precision, recall = tps / (tps + fps), tps / tps[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), threshold[::-1]


def average_precision_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: _Average = "macro",
    pos_label: Any = 1,
    sample_weight: ArrayLike | None = None,
) -> Any:
    """Precision averaged over the recall gained at each threshold: sum_i (R_i - R_{i-1}) P_i.

    Rows with equal scores are accepted together, so that their order does not matter.

    Args:
        y_true: labels (n,), or zeros and ones (n, labels); of more than two labels each is taken against all others.
        y_score: scores (n,), or (n, labels or classes); infinities are allowed.
        average: over labels: "macro", "weighted" by their frequency, "micro" of all cells together, "samples" over
            rows, None for one score each.
        pos_label: the positive one of two labels.
        sample_weight: weights >= 0, shape (n,).

    Returns:
        Float in [0, 1]; array for average=None. Guessing earns about the share of positives.

    Raises:
        ValueError: if there is no positive row, scores hold NaN, or arrays are empty or differ in shape.

    Cost: O(n log n) a label.
    Deviations: scikit-learn answers 0 where no row is positive.
    References: Zhu 2004, "Recall, precision and average precision"; Davis & Goadrich 2006.
    Peer: sklearn.metrics.average_precision_score, 1e-12 (A).
    In production: use it where positives are rare; it falls with their share, so compare only at one share.
    """
    checks.one_of("average", average, ("micro", "macro", "weighted", "samples", None))
    true = np.asarray(y_true)
    if true.ndim == 1 and np.ndim(y_score) == 2 and np.shape(y_score)[1] > 1:
        (true,) = checks.columns(y_true=true)
        present = np.unique(true)
        if len(present) <= 2:
            raise ValueError("y_score of two classes must have shape (n,): give the column of the greater label")
        true = (true[:, None] == present).astype(int)
    if true.ndim == 2 and true.shape[1] > 1:
        return _over_labels(average_precision, true, y_score, average, sample_weight)
    positive, score, weight = _binary(true, y_score, pos_label, sample_weight)
    return average_precision(positive, score, weight)


def average_precision(positive: NDArray[np.bool_], score: NDArray, weight: Floats | None) -> float:
    """Average precision of rows that were checked."""
    _, tps, fps = ranked(positive, score, weight, "average precision", needs_negative=False)
    gained = np.diff(tps, prepend=0.0) / tps[-1]
    return float(gained @ np.divide(tps, tps + fps, out=np.zeros(len(tps)), where=tps + fps > 0))


def ranked(
    positive: NDArray[np.bool_], score: NDArray, weight: Floats | None, what: str, *, needs_negative: bool = True
) -> Curve:
    """The sums that every curve is made of.

    Raises:
        ValueError: if no positive (or, if asked for, no negative) row counts; `what` is not defined then.
    """
    counted = positive if weight is None else positive[weight > 0]
    if needs_negative or not counted.any():
        checks.both_classes(counted, what)
    threshold = np.empty(len(score), score.dtype)
    tps, fps = np.empty(len(score)), np.empty(len(score))
    if weight is None:
        size = curve(np.sort(score[positive]), np.sort(score[~positive]), threshold, tps, fps)
    else:
        size = weighted_curve(score, positive, weight, np.argsort(score), threshold, tps, fps)
    return Curve(threshold[:size], tps[:size], fps[:size])


def _binary(
    y_true: ArrayLike, y_score: ArrayLike, pos_label: Any, sample_weight: ArrayLike | None, *, greater: bool = False
) -> tuple[NDArray[np.bool_], NDArray, Floats | None]:
    """Which rows are positive, their scores and weights."""
    true = np.asarray(y_true)
    (true,) = checks.columns(y_true=true[:, 0] if true.ndim == 2 and true.shape[1] == 1 else true)
    score = np.asarray(y_score)
    score = checks.numbers("y_score", score[:, 0] if score.ndim == 2 and score.shape[1] == 1 else score, finite=False)
    if len(score) != len(true):
        raise ValueError(f"y_score has {len(score)} rows and y_true {len(true)}; they must be alike")
    return checks.positives(true, pos_label, greater=greater), score, checks.weights(sample_weight, len(true))


def _over_labels(
    metric: Callable[..., float],
    true: NDArray,
    y_score: ArrayLike,
    average: _Average,
    sample_weight: ArrayLike | None,
    *more: Any,
) -> Any:
    """A binary metric of each label, or of all cells or rows, averaged."""
    score = checks.numbers("y_score", y_score, ndim=(2,), finite=False)
    (true,) = checks.columns(y_true=true)
    if score.shape != true.shape:
        raise ValueError(f"y_score must have the shape of y_true, {true.shape}, got {score.shape}")
    if true.dtype.kind not in "biuf" or not np.isin(true, (0, 1)).all():
        raise ValueError("y_true of shape (n, labels) must hold zeros and ones only")
    weight = checks.weights(sample_weight, len(true))
    positive = true == 1
    if average == "micro":
        repeated = None if weight is None else np.repeat(weight, true.shape[1])
        return metric(positive.ravel(), score.ravel(), repeated, *more)
    if average == "samples":
        rows = np.array([metric(p, s, None, *more) for p, s in zip(positive, score, strict=True)])
        return checks.average_of(rows, weight)
    scores = np.array([metric(p, s, weight, *more) for p, s in zip(positive.T, score.T, strict=True)])
    if average is None:
        return scores
    frequency = positive.sum(0) if weight is None else weight @ positive
    return checks.average_of(scores, frequency.astype(np.float64) if average == "weighted" else None)


def _multiclass(
    true: NDArray,
    y_score: NDArray,
    average: _Average,
    sample_weight: ArrayLike | None,
    multi_class: str,
    labels: ArrayLike | None,
) -> Any:
    score = checks.numbers("y_score", y_score, ndim=(2,), finite=False)
    if len(score) != len(true):
        raise ValueError(f"y_score has {len(score)} rows and y_true {len(true)}; they must be alike")
    if multi_class == "raise":
        raise ValueError(f"y_score has {score.shape[1]} classes; say multi_class='ovr' or 'ovo'")
    present = np.unique(true if labels is None else np.asarray(labels))
    if len(present) != score.shape[1] or not np.isin(true, present).all():
        raise ValueError(
            f"y_score must have a column for each of the {len(present)} labels, got {score.shape[1]}; where some do "
            "not occur in y_true, give all in labels"
        )
    if not np.allclose(score.sum(1), 1):
        raise ValueError("rows of y_score must sum to 1 over the classes")
    one_hot = (true[:, None] == present).astype(int)
    if multi_class == "ovr":
        return _over_labels(auc, one_hot, score, average, sample_weight, None)
    if sample_weight is not None or average not in ("macro", "weighted"):
        raise ValueError("multi_class='ovo' takes average='macro' or 'weighted', and no sample_weight")
    areas, shares = [], []
    for a in range(len(present)):
        for b in range(a + 1, len(present)):
            either = (one_hot[:, a] + one_hot[:, b]) == 1
            is_a = one_hot[either, a] == 1
            areas.append((auc(is_a, score[either, a], None) + auc(~is_a, score[either, b], None)) / 2)
            shares.append(float(np.mean(either)))
    return float(np.average(areas, weights=shares if average == "weighted" else None))
