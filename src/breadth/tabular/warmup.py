"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from breadth.compilation import run_each
from breadth.tabular.cluster import KMeans
from breadth.tabular.neighbors import KNeighborsClassifier
from breadth.tabular.trees.boosting import GradientBoostingClassifier, GradientBoostingRegressor
from breadth.tabular.trees.forest import RandomForestClassifier, RandomForestRegressor
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor


def _fits(dtype: type) -> list[tuple[str, Callable[[], Any]]]:
    """Small fits that reach each loss and each option with inputs of `dtype`."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)).astype(dtype)
    X[:, 3] = rng.integers(0, 3, len(X))
    holes = X.copy()
    holes[::7, 0] = np.nan
    y = X[:, 0] + rng.normal(size=len(X))
    weight = rng.exponential(size=len(X))
    two, three = (y > 0).astype(int), np.digitize(y, [-0.5, 0.5])
    few = {"max_iter": 2, "min_samples_leaf": 5}
    classifier, regressor = GradientBoostingClassifier, GradientBoostingRegressor

    def fit(model: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Callable[[], Any]:
        return lambda: model.fit(X, y, weight).predict(X)

    def explain(model: Any, y: np.ndarray) -> Callable[[], Any]:
        return lambda: model.fit(X, y).shap_values(X[:10])

    tasks = [
        ("two classes", fit(classifier(**few), X, two)),
        ("two classes, weighted", fit(classifier(**few), X, two, weight)),
        ("missing values", fit(classifier(**few), holes, two)),
        ("focal loss", fit(classifier("focal", **few), X, two)),
        ("three classes", fit(classifier(**few), X, three)),
        ("three classes, weighted", fit(classifier(**few), X, three, weight)),
        ("categorical features", fit(classifier(categorical_features=[3], **few), X, two)),
        ("Shapley values", explain(classifier(**few), two)),
        ("Shapley values, categorical", explain(classifier(categorical_features=[3], **few), two)),
        ("monotone constraints", fit(classifier(monotonic_cst=[1, 0, 0, 0], **few), X, two)),
        ("rows at random", fit(classifier(subsample=0.5, **few), X, two)),
    ]
    tasks += [
        ("decision tree", fit(DecisionTreeClassifier(), X, two)),
        ("regression tree", fit(DecisionTreeRegressor(), X, y)),
        ("regression tree, absolute error", fit(DecisionTreeRegressor(criterion="absolute_error"), X, y)),
        ("random forest", fit(RandomForestClassifier(n_estimators=2), X, two)),
        ("regression forest", fit(RandomForestRegressor(n_estimators=2), X, y)),
        ("nearest neighbours", fit(KNeighborsClassifier(), X, two)),
        ("k-means", lambda: KMeans(n_clusters=3, n_init=1).fit(X).predict(X)),
    ]
    for loss in ("squared_error", "absolute_error", "poisson"):
        target = np.abs(y)
        tasks += [
            (loss, fit(regressor(loss, **few), X, target)),
            (f"{loss}, weighted", fit(regressor(loss, **few), X, target, weight)),
        ]
    return tasks


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of boosting, trees, forests, k-means and neighbours, and keep them in Numba's cache.

    Args:
        progress: called with one line for each step.
    """
    for dtype in (np.float32, np.float64):
        run_each(((f"{np.dtype(dtype).name}, {name}", task) for name, task in _fits(dtype)), progress)
