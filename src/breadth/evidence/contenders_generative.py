"""Generative classifiers beside discriminative ones, on all training rows and on few.

Ng & Jordan 2001, NIPS 14: naive Bayes needs of the order of log(features) rows to come near its best, logistic
regression of the order of features; but its best is no better, and worse where its assumption is wrong.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from breadth.evidence.contenders import encoded
from breadth.evidence.contenders_networks import Altered, few
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

FEW = 32  # training rows where there are few, even over the classes


def _make(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth import tabular

    own = dict(settings)
    kind, rows = own.pop("kind"), own.pop("rows", None)
    estimator = encoded(getattr(tabular, kind)(**own), problem)
    return estimator if rows is None else Altered(estimator, partial(few, rows), seed)


def _peer(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn import discriminant_analysis, linear_model, naive_bayes

    own = dict(settings)
    kind, rows = own.pop("kind"), own.pop("rows", None)
    make = next(getattr(m, kind) for m in (discriminant_analysis, linear_model, naive_bayes) if hasattr(m, kind))
    estimator = encoded(make(**own), problem)
    return estimator if rows is None else Altered(estimator, partial(few, rows), seed)


KINDS: dict[str, dict[str, Any]] = {
    "logistic": {"kind": "LogisticRegression"},
    "naive Bayes": {"kind": "GaussianNB", "var_smoothing": 1e-3},
    "linear discriminant": {"kind": "LinearDiscriminantAnalysis", "solver": "lsqr", "shrinkage": "auto"},
    "quadratic discriminant": {"kind": "QuadraticDiscriminantAnalysis", "reg_param": 0.5},
}


def pair(name: str, **settings: Any) -> tuple[Entry, Entry]:
    """A classifier on few rows, and on all."""
    whole = Entry(name, "breadth", _make, {**KINDS[name], **settings}, rooms=("tabular", "nn"))
    return Entry(f"{name}, {FEW} rows", "breadth", _make, {**whole.settings, "rows": FEW}, rooms=whole.rooms), whole


PAIRS = tuple(pair(name) for name in KINDS)
PEERS = (
    Entry(f"scikit-learn naive Bayes, {FEW} rows", "scikit-learn", _peer, {**KINDS["naive Bayes"], "rows": FEW}),
    Entry(f"scikit-learn logistic, {FEW} rows", "scikit-learn", _peer, {**KINDS["logistic"], "rows": FEW}),
    Entry("scikit-learn linear discriminant", "scikit-learn", _peer, KINDS["linear discriminant"]),
)
