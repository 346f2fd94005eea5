"""Metrics of binary classifiers as contenders: which of two scorers do they put first, and do they stay where they are?

A row is a trial of two scorers on the same rows, of which one in so many is positive, and of the better one on other
rows, half of them positive. What the classes' scores are distributed like is the same at every prevalence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.problem_trials import from_trials, named

SCORERS = {
    "everywhere": "the better scorer has the higher recall at every rate of false alarms",
    "top": "curves cross: the better scorer has the higher recall where one negative in 100 is let through, and the "
    "smaller area",
}
POSITIVES = {  # mean and deviation of positives' scores, of the better and of the worse; negatives' are N(-1, 1)
    "everywhere": ((0.8, 1.0), (0.6, 1.0)),
    "top": ((0.6, 1.6), (0.6, 0.9)),
}
ONE_IN, N_ROWS, N_TRIALS = 2, 2000, 200
Metric = Callable[[NDArray, NDArray], float]  # labels and scores; a row is called positive where its score is > 0


def read_scores(name: str, encoding: str = "utf-8") -> Prepared:
    """Trials of two scorers of which it is known which is better.

    Args:
        name: of SCORERS, with `:n` for one positive row in n, at most 200.
        encoding: not read; readers are called alike.

    Raises:
        ValueError: if there is no such set, or n is no number from 2 to 200.
    """
    kind, one_in = named(name, SCORERS, unit="rows to a positive one", default=ONE_IN, least=2)
    if one_in > 200:
        raise ValueError(f"--data {name}: {N_ROWS} rows have too few positives at one in {one_in}; write {kind}:200")
    rng = np.random.default_rng(0)
    better, worse = POSITIVES[kind]
    rare, half = (np.arange(N_ROWS) < N_ROWS // n for n in (one_in, 2))
    X = np.empty((N_TRIALS, 5, N_ROWS), np.float32)
    for i, (labels, scorer) in enumerate(((rare, better), (rare, worse), (half, better))):
        mean, std = scorer
        noise = rng.normal(size=(N_TRIALS, N_ROWS))
        X[:, (1, 2, 4)[i]] = np.where(labels, mean + std * noise, noise - 1)
    X[:, 0], X[:, 3] = rare, half
    note = f"one in {one_in} is positive; {SCORERS[kind]}"
    return from_trials(name, "judging", X, np.zeros(N_TRIALS), size=N_ROWS, note=note, rate_unit="pairs/s")


class Judge:
    """A metric as an estimator that has nothing to fit.

    Args:
        metric: from labels and scores to a number, higher for better.
    """

    def __init__(self, metric: Metric):
        self.metric = metric

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        """The metric of the better, of the worse, and of the better at balance, shape (n, 3)."""
        pairs = ((0, 1), (0, 2), (3, 4))
        return np.array([[self.metric(trial[a].astype(np.int64), trial[b]) for a, b in pairs] for trial in X])


class Coin:
    """Scores that know nothing.

    Args:
        seed: of what is drawn.
        columns: scores of a trial.
    """

    def __init__(self, seed: int, columns: int):
        self.seed, self.columns = seed, columns

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        return self

    def predict(self, X: NDArray) -> NDArray[np.float64]:
        return np.random.default_rng(self.seed).random((len(X), self.columns))


def _ours(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Judge:
    from breadth import metrics

    return Judge(_called(getattr(metrics, settings["metric"]), settings))


def _peer(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Judge:
    from sklearn import metrics

    return Judge(_called(getattr(metrics, settings["metric"]), settings))


def _called(function: Callable[..., Any], settings: Settings) -> Metric:
    rest = {name: value for name, value in settings.items() if name != "metric"}
    if settings["metric"] in ("roc_auc_score", "average_precision_score"):
        return partial(function, **rest)
    return lambda labels, scores: function(labels, (scores > 0).astype(np.int64), **rest)


def _coin(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Coin:
    return Coin(seed, settings["columns"])


ROOM = ("evidence/contenders_scores.py",)
METRICS = {
    "AUROC": {"metric": "roc_auc_score"},
    "AUROC up to 10 % false alarms": {"metric": "roc_auc_score", "max_fpr": 0.1},
    "average precision": {"metric": "average_precision_score"},
    "MCC": {"metric": "matthews_corrcoef"},
    "balanced accuracy": {"metric": "balanced_accuracy_score"},
    "F1": {"metric": "f1_score"},
    "accuracy": {"metric": "accuracy_score"},
}
OURS = tuple(Entry(name, "breadth", _ours, settings, cost=1.0, rooms=ROOM) for name, settings in METRICS.items())
PEERS = tuple(
    Entry(f"scikit-learn {name}", "scikit-learn", _peer, METRICS[name], cost=10.0, rooms=ROOM)
    for name in ("AUROC", "average precision", "MCC")
)
DUMMY = Entry("dummy", "numpy", _coin, {"columns": 3}, cost=1.0, rooms=ROOM)
