"""Selectors as contenders: the same logistic or least-squares model on the columns that each of them keeps.

Every table gets columns of noise beside its own, after encoding, so that it is known which columns are worth nothing;
training and held-out rows have noise of their own draws, the same for all contenders of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.contenders import encoded
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

NOISE, KEPT = 50, 10  # columns of noise that are added; columns that are kept where a number has to be said
Build = Callable[[Any, Problem, int, int], Any]  # (package of selectors, problem, columns to keep, seed)


class Noise:
    """A transformer that appends columns of noise, one draw for the rows it is fitted on and another for the rest."""

    def __init__(self, n_columns: int, seed: int):
        self.n_columns, self.seed = n_columns, seed

    def fit(self, X: NDArray, y: Any = None) -> Self:
        return self

    def fit_transform(self, X: NDArray, y: Any = None) -> NDArray:
        return self._with(X, 0)

    def transform(self, X: NDArray) -> NDArray:
        return self._with(X, 1)

    def _with(self, X: NDArray, draw: int) -> NDArray:
        return np.hstack([X, np.random.default_rng([self.seed, draw]).normal(size=(len(X), self.n_columns))])


class Selected:
    """A transformer that keeps what a selector chooses, told how many to keep once the columns are encoded.

    Args:
        build: from the module of selectors, the problem, a number of columns and a seed to an unfitted selector.
        package: the module's name.
        problem: the task.
        n_columns: to keep, but one fewer than there are at most.
        seed: of the selector.
    """

    def __init__(self, build: Build, package: str, problem: Problem, n_columns: int, seed: int):
        self.build, self.package, self.problem, self.n_columns, self.seed = build, package, problem, n_columns, seed

    def fit(self, X: NDArray, y: NDArray) -> Self:
        k = min(self.n_columns, X.shape[1] - 1)
        self.selector = self.build(import_module(self.package), self.problem, k, self.seed).fit(X, y)
        return self

    def fit_transform(self, X: NDArray, y: NDArray) -> NDArray:
        return self.fit(X, y).transform(X)

    def transform(self, X: NDArray) -> NDArray:
        mask = self.selector.get_support()
        return X[:, mask] if mask.any() else np.zeros((len(X), 1))  # of nothing the model learns the classes' shares


def _make(build: Build | None, package: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.pipeline import make_pipeline

    from breadth.tabular import LinearRegression, LogisticRegression

    model = LinearRegression() if problem.family == "regression" else LogisticRegression()
    steps: list[Any] = [Noise(settings.get("noise", NOISE), seed)]
    if build is not None:
        steps.append(Selected(build, package, problem, settings.get("kept", KEPT), seed))
    return encoded(make_pipeline(*steps, model), problem)


def _score(package: Any, problem: Problem, k: int, seed: int) -> Any:
    return package.SelectKBest(package.f_regression if problem.family == "regression" else package.f_classif, k=k)


def _information(package: Any, problem: Problem, k: int, seed: int) -> Any:
    score = package.mutual_info_regression if problem.family == "regression" else package.mutual_info_classif
    return package.SelectKBest(partial(score, random_state=seed), k=k)


def _forward(package: Any, problem: Problem, k: int, seed: int) -> Any:
    from breadth.tabular import LinearDiscriminantAnalysis, LinearRegression

    inner = LinearRegression() if problem.family == "regression" else LinearDiscriminantAnalysis(solver="lsqr")
    return package.SequentialFeatureSelector(inner, n_features_to_select=k, cv=2)


def _recursive(package: Any, problem: Problem, k: int, seed: int) -> Any:
    from breadth.tabular import LinearRegression, LogisticRegression

    inner = LinearRegression() if problem.family == "regression" else LogisticRegression()
    return package.RFE(inner, n_features_to_select=k, step=0.1)


def _lasso(package: Any, problem: Problem, k: int, seed: int) -> Any:
    from sklearn.linear_model import LassoCV, LogisticRegression

    if problem.family == "regression":
        return package.SelectFromModel(LassoCV(cv=3))
    inner = LogisticRegression(l1_ratio=1.0, solver="saga", C=0.1, tol=1e-3, max_iter=1000, random_state=seed)
    return package.SelectFromModel(inner)


def _forest(package: Any, problem: Problem, k: int, seed: int) -> Any:
    from breadth.tabular import RandomForestClassifier, RandomForestRegressor

    make = RandomForestRegressor if problem.family == "regression" else RandomForestClassifier
    return package.SelectFromModel(make(50, random_state=seed), threshold=-np.inf, max_features=k)


def _stability(package: Any, problem: Problem, k: int, seed: int) -> Any:
    from breadth.tabular import LogisticRegression

    inner = LogisticRegression() if problem.task == "multiclass" else None  # else the lasso path
    return package.StabilitySelection(inner, n_subsamples=50, random_state=seed)


def selector(name: str, build: Build | None, *, peer: bool = False, **settings: Any) -> Entry:
    """A contender that keeps columns and fits the model on them."""
    origin = "scikit-learn" if peer else "breadth"
    package = "sklearn.feature_selection" if peer else "breadth.tabular"
    make = partial(_make, build, package)
    return Entry(name, origin, make, settings={"noise": NOISE, **settings}, cost=1000, rooms=("tabular",))


ALL = selector("all columns", None)
SELECTORS = (
    ALL,
    selector("F filter", _score, kept=KEPT),
    selector("scikit-learn F filter", _score, peer=True, kept=KEPT),
    selector("information filter", _information, kept=KEPT),
    selector("forward", _forward, kept=KEPT),
    selector("recursive", _recursive, kept=KEPT),
    selector("scikit-learn recursive", _recursive, peer=True, kept=KEPT),
    selector("L1", _lasso),
    selector("forest importance", _forest, kept=KEPT),
    selector("stability", _stability),
)


def kept_columns(
    estimator: Any, X: NDArray, y: NDArray, problem: Problem, held_out: Mapping[str, float]
) -> dict[str, float]:
    """How many columns are kept, and the share of them that is noise; nothing for what selects none."""
    steps = getattr(getattr(estimator, "steps", [(0, None)])[-1][1], "steps", ())
    inner = [step for _, step in steps]
    noise = next((step.n_columns for step in inner if isinstance(step, Noise)), None)
    if noise is None:
        return {}
    own = inner[-1].coef_.shape[-1]
    chosen = next((step.selector.get_support() for step in inner if isinstance(step, Selected)), np.ones(own, bool))
    return {"columns kept": float(chosen.sum()), "noise kept": float(chosen[-noise:].sum() / max(chosen.sum(), 1))}
