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
    "tokenization": (
        Measure("bytes per token", "higher", margin=0.02, unit="bytes"),
        Measure("tokens per word", "lower", margin=0.01),
        Measure("unknown tokens", "lower", margin=0.001),
        Measure("restored", "higher", margin=0.01),
    ),
    "search": (Measure("recall@10", "higher", margin=0.005),),
    "attention": (Measure("relative error", "lower", margin=0.01),),
    "control": (Measure("return", "higher", margin=0.05, margin_of="target spread"),),
}
K = 10  # neighbours that a search is asked for


def answers(problem: Problem, X_train: NDArray, X: NDArray, y: NDArray) -> NDArray:
    """What predictions for the rows X are scored against: their targets, texts, or true neighbours.

    Args:
        problem: the task.
        X_train: the rows that were learned from; a search's neighbours are among them.
        X: the held-out rows.
        y: their targets.

    Returns:
        y, shape (n,); for tokenization X; for search the indices of each row's nearest training rows, shape (n, K),
        computed in float64 from all of them, equal ones by index; for attention the exact outputs, in float64,
        shape (n, heads, length, head_dim); for control y, which nothing is compared with.
    """
    if problem.task == "tokenization":
        return X
    if problem.task == "attention":
        return _attended(X)
    return _nearest(problem, X_train, X) if problem.task == "search" else y


def work(problem: Problem, X: NDArray) -> float | None:
    """How much a prediction of the rows X does, in the unit of the task's rate; None where it has none."""
    if problem.task == "tokenization":
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in X) / 1e6
    return {"search": float(len(X)), "attention": float(len(X) * problem.n_features)}.get(problem.task)


def _nearest(problem: Problem, X_train: NDArray, X: NDArray) -> NDArray[np.intp]:
    from breadth.vector.similarity import cosine_similarity, dot_product, euclidean_distance

    measure = {"cosine": cosine_similarity, "dot": dot_product, "euclidean": euclidean_distance}[problem.metric]
    sign = 1 if problem.metric == "euclidean" else -1
    far = sign * measure(X.astype(np.float64), X_train.astype(np.float64))
    return np.argsort(far, axis=1, kind="stable")[:, :K]


def _attended(X: NDArray) -> NDArray[np.float64]:
    """softmax(q k^T / sqrt(E)) v of each sequence, head by head: all scores of one head are in memory at a time."""
    out = np.empty((len(X), *X.shape[2:]))
    for i, head in np.ndindex(len(X), X.shape[2]):
        q, k, v = X[i, :, head].astype(np.float64)
        scores = q @ k.T / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out[i, head] = scores @ v / scores.sum(-1, keepdims=True)
    return out


def score(problem: Problem, y: NDArray, predicted: NDArray) -> dict[str, float]:
    """Every measure of the task on held-out rows; one that is undefined there (AUC of a single class) is left out.

    Args:
        problem: the task and its number of classes.
        y: what `answers` gave: class codes or real targets, shape (n,); texts; true neighbours, shape (n, K); or exact
            outputs of attention.
        predicted: class probabilities, shape (n, classes), or predictions, shape (n,); for tokenization the number of
            tokens and of unknown ones, shape (n, 2); for search the indices of training rows found, shape (n, K); for
            attention its outputs, shape of y; for control the return of each episode, shape (n,).

    Raises:
        ValueError: if predicted has the wrong shape or is not finite.
    """
    _check(problem, y, predicted)
    if problem.task == "tokenization":
        tokens, unknown = predicted.sum(axis=0).tolist()
        n_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in y)
        n_words = sum(len(text.split()) for text in y)
        fertility = {"tokens per word": tokens / n_words} if n_words else {}
        return {"bytes per token": n_bytes / tokens, **fertility, "unknown tokens": unknown / tokens}
    if problem.task == "search":
        found = (predicted[:, :, None] == y[:, None, :]).any(axis=1)
        return {"recall@10": float(found.mean())}
    if problem.task == "attention":
        return {"relative error": float(np.linalg.norm(predicted - y) / np.linalg.norm(y))}
    if problem.task == "control":
        return {"return": float(predicted.mean())}
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
    columns = {
        "classification": (problem.n_classes,),
        "tokenization": (2,),
        "search": y.shape[1:],
        "attention": y.shape[1:],
    }
    shape = (len(y), *columns.get(problem.family, ()))
    if predicted.shape != shape:
        raise ValueError(f"predictions must have shape {shape}, got {predicted.shape}")
    if not np.isfinite(predicted).all():
        raise ValueError(f"{(~np.isfinite(predicted)).sum()} of {predicted.size} predictions are NaN or infinite")
