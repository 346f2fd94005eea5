"""What the classification scores are made of: per label, how often it was true, predicted, and both."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.metrics import checks
from breadth.metrics.checks import Floats, ZeroDivision

Average = Literal["binary", "micro", "macro", "weighted", "samples"] | None


class Counts(NamedTuple):
    """Sums of weights per label (or per row, for average="samples"), each (k,)."""

    tp: Floats  # true and predicted
    predicted: Floats
    actual: Floats
    total: Floats

    @property
    def fp(self) -> Floats:
        return self.predicted - self.tp

    @property
    def tn(self) -> Floats:
        return self.total - self.actual - self.predicted + self.tp


def per_label(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None,
    pos_label: Any,
    average: Average,
    sample_weight: ArrayLike | None,
) -> tuple[Counts, Floats | None]:
    """The counts that a score with this average is computed from, and the weight of each in the mean.

    Raises:
        ValueError: if shapes differ, an argument is out of range, or average="binary" meets more than two labels.
    """
    checks.one_of("average", average, ("binary", "micro", "macro", "weighted", "samples", None))
    true, pred = checks.classes(y_true=y_true, y_pred=y_pred)
    weight = checks.weights(sample_weight, len(true))
    if true.ndim == 2:
        return _multilabel(true, pred, labels, average, weight)
    if average == "samples":
        raise ValueError("average='samples' is for rows with several labels: y_true of shape (n, labels)")
    present, (t, p) = checks.encode(true, pred)
    if average == "binary":
        if len(present) > 2:
            raise ValueError(
                f"average='binary' is for two labels, and there are {len(present)}; choose average='micro', 'macro', "
                "'weighted' or None"
            )
        if pos_label not in present and len(present) == 2:
            raise ValueError(f"pos_label={pos_label!r} is not among the labels {present.tolist()}")
        wanted = np.asarray([pos_label])
    else:
        wanted = present if labels is None else np.asarray(labels)
        if wanted.ndim != 1 or wanted.size == 0:
            raise ValueError(f"labels must be a list of at least one label, got shape {wanted.shape}")
        if len(np.unique(wanted)) != len(wanted):
            raise ValueError(f"labels holds a label twice: {wanted.tolist()}")
    k = len(present)
    hit = t == p
    tp = np.bincount(t[hit], None if weight is None else weight[hit], minlength=k).astype(np.float64)
    actual = np.bincount(t, weight, minlength=k).astype(np.float64)
    predicted = np.bincount(p, weight, minlength=k).astype(np.float64)
    total = float(len(t) if weight is None else weight.sum())
    chosen = None if wanted is present else _places(present, wanted)  # -1: never occurs
    rows = [np.append(c, 0.0) for c in (tp, predicted, actual)]
    found = [r[:-1] if chosen is None else r[chosen] for r in rows]
    return _averaged(Counts(found[0], found[1], found[2], np.full(len(wanted), total)), average, None)


def _places(present: NDArray, wanted: NDArray) -> NDArray[np.intp]:
    place = {label: i for i, label in enumerate(present.tolist())}
    return np.array([place.get(label, -1) for label in wanted.tolist()], np.intp)


def _multilabel(
    true: NDArray, pred: NDArray, labels: ArrayLike | None, average: Average, weight: Floats | None
) -> tuple[Counts, Floats | None]:
    if average == "binary":
        raise ValueError(
            "average='binary' is for y_true of shape (n,); choose 'micro', 'macro', 'weighted' or 'samples'"
        )
    for name, array in (("y_true", true), ("y_pred", pred)):
        if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            raise ValueError(f"{name} of shape (n, labels) must hold zeros and ones only")
    if labels is not None:
        chosen = np.asarray(labels)
        if chosen.dtype.kind not in "iu" or (chosen < 0).any() or (chosen >= true.shape[1]).any():
            raise ValueError(f"labels must be columns in [0, {true.shape[1]}), got {chosen.tolist()}")
        true, pred = true[:, chosen], pred[:, chosen]
    t, p = true.astype(np.float64), pred.astype(np.float64)
    if average == "samples":
        counts = Counts((t * p).sum(1), p.sum(1), t.sum(1), np.full(len(t), float(t.shape[1])))
        return counts, np.ones(len(t)) if weight is None else weight
    w = np.ones(len(t)) if weight is None else weight
    counts = Counts(w @ (t * p), w @ p, w @ t, np.full(t.shape[1], w.sum()))
    return _averaged(counts, average, None)


def _averaged(counts: Counts, average: Average, weight: Floats | None) -> tuple[Counts, Floats | None]:
    if average == "micro":
        return Counts(*(c.sum(keepdims=True) for c in counts)), None
    return counts, counts.actual if average == "weighted" else weight


def mean_ratio(
    numerator: Floats,
    denominator: Floats,
    average: Average,
    weight: Floats | None,
    zero_division: ZeroDivision,
    what: str,
) -> Any:
    """The ratios, averaged as asked: a float, or an array (k,) for average=None."""
    ratios = checks.divide(numerator, denominator, zero_division, what)
    if average is None:
        return ratios
    if average in ("binary", "micro"):
        return float(ratios[0])
    return checks.average_of(ratios, weight)
