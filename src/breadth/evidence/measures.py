"""The numbers that a prediction earns, in their natural signs, by scikit-learn's metrics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.exceptions import UndefinedMetricWarning

from breadth.evidence.problem import Family, Problem
from breadth.evidence.study import Measure

MEASURES: Mapping[Family, tuple[Measure, ...]] = {
    "classification": (
        Measure("log loss", "lower", margin=0.005, unit="nats"),
        Measure("AUC", "higher", margin=0.005),
        Measure("accuracy", "higher", margin=0.005),
    ),
    "regression": (
        Measure("RMSE", "lower", margin=0.01, margin_of="target spread"),
        Measure("MAE", "lower", margin=0.01, margin_of="target spread"),
        Measure("R2", "higher", margin=0.01),
    ),
}


def score(problem: Problem, y: NDArray, predicted: NDArray) -> dict[str, float]:
    """Every measure of the task on held-out rows; one that is undefined there (AUC of a single class) is left out.

    Args:
        problem: the task and its number of classes.
        y: class codes or real targets, shape (n,).
        predicted: class probabilities, shape (n, classes), or predictions, shape (n,).

    Raises:
        ValueError: if predicted has the wrong shape or is not finite.
    """
    _check(problem, y, predicted)
    if problem.family == "regression":
        values = {
            "RMSE": metrics.root_mean_squared_error(y, predicted),
            "MAE": metrics.mean_absolute_error(y, predicted),
        }
        if len(y) > 1 and np.ptp(y) > 0:
            values["R2"] = metrics.r2_score(y, predicted)
        return {name: float(v) for name, v in values.items()}
    values = {"log loss": first_measure(problem, y, predicted), "accuracy": float((predicted.argmax(1) == y).mean())}
    present = np.unique(y).size
    if problem.task == "binary" and present == 2:
        values["AUC"] = float(metrics.roc_auc_score(y, predicted[:, 1]))
    elif problem.task == "multiclass" and present == problem.n_classes:  # one versus rest, plain mean over classes
        with warnings.catch_warnings():
            warnings.simplefilter("error", UndefinedMetricWarning)
            p = predicted / predicted.sum(1, keepdims=True)  # float32 rows miss 1 by more than scikit-learn allows
            values["AUC"] = float(metrics.roc_auc_score(y, p, multi_class="ovr", labels=np.arange(problem.n_classes)))
    return values


def first_measure(problem: Problem, y: NDArray, predicted: NDArray) -> float:
    """The task's first measure alone, for learning curves: log loss in nats, or root mean squared error."""
    if problem.family == "regression":
        return float(np.sqrt(np.mean((y - predicted) ** 2)))
    p = predicted[np.arange(len(y)), y].astype(np.float64)
    return float(
        -np.log(np.clip(p, np.finfo(np.float64).eps, 1.0)).mean()
    )  # a certain error costs 36 nats, not infinity


def find(measures: tuple[Measure, ...], name: str) -> Measure:
    """The measure that a user means by `name`: case, spaces, hyphens and underscores do not matter."""
    wanted = _plain(name)
    for measure in measures:
        if _plain(measure.name) == wanted:
            return measure
    known = ", ".join(repr(m.name) for m in measures)
    raise ValueError(f"--metric {name!r} is not measured in this comparison; choose one of {known}")


def _plain(name: str) -> str:
    plain = "".join(c for c in name.casefold() if c.isalnum())
    return {"rocauc": "auc", "crossentropy": "logloss", "acc": "accuracy", "r²": "r2"}.get(plain, plain)


def _check(problem: Problem, y: NDArray, predicted: NDArray) -> None:
    shape = (len(y), problem.n_classes) if problem.family == "classification" else (len(y),)
    if predicted.shape != shape:
        raise ValueError(f"predictions must have shape {shape}, got {predicted.shape}")
    if not np.isfinite(predicted).all():
        raise ValueError(f"{(~np.isfinite(predicted)).sum()} of {predicted.size} predictions are NaN or infinite")
