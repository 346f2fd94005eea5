"""Contenders with a known truth, in a module of their own so that worker processes can import them."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from breadth.evidence.entry import Entry
from breadth.evidence.measures import MEASURES
from breadth.evidence.plan import Plan, make
from breadth.evidence.problem import Prepared, Problem, from_arrays
from breadth.evidence.settings import Settings


def _logistic(problem: Problem, seed: int, n_threads: int, settings: Any) -> Any:
    return LogisticRegression(**settings)


def _tree(problem: Problem, seed: int, n_threads: int, settings: Any) -> Any:
    return DecisionTreeClassifier(random_state=seed, **settings)


def _dummy(problem: Problem, seed: int, n_threads: int, settings: Any) -> Any:
    return DummyClassifier()


class Slow(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        time.sleep(0.15)
        return super().fit(X, y)


class Broken(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        raise ValueError("this contender\nnever works")


class Deadly(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        os._exit(9)


class Undecided(DummyClassifier):
    def predict_proba(self, X):
        return np.full((len(X), 2), np.nan)


class Counting(DummyClassifier):
    """Fails unless it runs with one thread."""

    def fit(self, X, y, sample_weight=None):
        from threadpoolctl import threadpool_info

        threads = {p["num_threads"] for p in threadpool_info()}
        if threads - {1}:
            raise RuntimeError(f"pools of {threads} threads inside a quality cell")
        return super().fit(X, y)


def _of(kind: type) -> Any:
    return {Slow: _slow, Broken: _broken, Deadly: _deadly, Undecided: _undecided, Counting: _counting}[kind]


def _slow(*_: Any) -> Any:
    return Slow()


def _broken(*_: Any) -> Any:
    return Broken()


def _deadly(*_: Any) -> Any:
    return Deadly()


def _undecided(*_: Any) -> Any:
    return Undecided()


def _counting(*_: Any) -> Any:
    return Counting()


def _threads(problem: Problem, seed: int, n_threads: int, settings: Any) -> Any:
    if n_threads != 1:
        raise RuntimeError(f"{n_threads} threads were asked for")
    return DummyClassifier()


def _stages(estimator: Any, X: Any, problem: Problem) -> Any:
    for share in (0.5, 1.0):
        yield share * estimator.predict_proba(X) + (1 - share) / problem.n_classes


LOGISTIC = Entry("logistic", "scikit-learn", _logistic, stages=_stages)
STUMP = Entry("stump", "scikit-learn", _tree, {"max_depth": 1}, {"max_depth": [1, 2, 3], "min_samples_leaf": [5, 20]})
DUMMY = Entry("dummy", "scikit-learn", _dummy)
TWIN = Entry("twin", "scikit-learn", _dummy)
SLOW, BROKEN, DEADLY, UNDECIDED, COUNTING = (
    Entry(kind.__name__.lower(), "scikit-learn", _of(kind)) for kind in (Slow, Broken, Deadly, Undecided, Counting)
)
SINGLE = Entry("single", "scikit-learn", _threads)


def table(name: str = "planted", n: int = 120, seed: int = 0) -> Prepared:
    """A linear truth: logistic regression must win, a stump comes second, the dummy last."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = (X @ [2.0, 1.5, 1.0, 0.0] + rng.logistic(size=n) > 0).astype(int)
    return from_arrays(name, X, y, task="binary")


def plan(entries: tuple[Entry, ...], tables: tuple[Prepared, ...] = (), baseline: str = "", **settings: Any) -> Plan:
    return make(
        "planted",
        question="Is the truth found?",
        measures=MEASURES["classification"],
        baseline=baseline or entries[0].name,
        entries=entries,
        tables=tables or (table(),),
        settings=Settings(**{"seeds": 1, "rounds": 0, **settings}),
    )
