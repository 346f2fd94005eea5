"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from breadth.compilation import run_each
from breadth.tabular.clusters.dp_means import DPMeans
from breadth.tabular.clusters.kmeans import KMeans
from breadth.tabular.clusters.minibatch import MiniBatchKMeans
from breadth.tabular.clusters.mixture import GaussianMixture
from breadth.tabular.drift.detectors import ADWIN, DDM, EDDM, PageHinkley
from breadth.tabular.kernels.linear_svm import LinearSVC
from breadth.tabular.kernels.svm import SVC
from breadth.tabular.kernels.svr import SVR
from breadth.tabular.linear.lasso import Lasso
from breadth.tabular.linear.logistic import LogisticRegression
from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.regressor import KNeighborsRegressor
from breadth.tabular.selection.scores import mutual_info_classif, mutual_info_regression
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
        ("nearest neighbours", lambda: KNeighborsClassifier().fit(X, two).predict(X)),
        ("k-means", lambda: KMeans(n_clusters=3, n_init=1).fit(X).predict(X)),
        ("k-means, sparse", lambda: KMeans(n_clusters=3, n_init=1).fit(sp.csr_matrix(X)).transform(sp.csr_matrix(X))),
    ]
    for loss in ("squared_error", "absolute_error", "poisson"):
        target = np.abs(y)
        tasks += [
            (loss, fit(regressor(loss, **few), X, target)),
            (f"{loss}, weighted", fit(regressor(loss, **few), X, target, weight)),
        ]
    return tasks


def _others() -> list[tuple[str, Callable[[], Any]]]:
    """Small uses of what is not a tree, in float64 alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = X[:, 0] + rng.normal(size=len(X))
    two = (y > 0).astype(int)
    long, noise = rng.normal(size=(70_000, 4)), rng.normal(size=70_000)

    return [
        ("support vectors", lambda: SVC().fit(X, two).predict(X)),
        ("support vectors, sparse", lambda: SVC().fit(sp.csr_matrix(X), two)),
        ("support vector regression", lambda: SVR().fit(X, y)),
        ("linear support vectors", lambda: LinearSVC().fit(X, two)),
        ("linear support vectors, hinge", lambda: LinearSVC(loss="hinge", tol=1.0).fit(X, two)),
        ("mutual information", lambda: mutual_info_regression(X, y, random_state=0)),
        ("mutual information, classes", lambda: mutual_info_classif(X, two, random_state=0)),
        ("DP-means", lambda: DPMeans().fit(X)),
        ("support vectors, noisy", lambda: SVC(C=100.0).fit(X, rng.integers(0, 2, len(X)))),
        ("linear support vectors, dual", lambda: LinearSVC(dual=True, tol=1.0).fit(X, two)),
        ("linear support vectors, dual, sparse", lambda: LinearSVC(dual=True, tol=1.0).fit(sp.csr_matrix(X), two)),
        ("lasso", lambda: Lasso(0.1).fit(X, y)),
        ("logistic regression", lambda: LogisticRegression().fit(long, long[:, 0] > noise)),
        ("logistic regression, L1", lambda: LogisticRegression("l1").fit(X, two)),
        ("k-means, bounds", lambda: KMeans(n_clusters=3, n_init=1, algorithm="hamerly").fit(X)),
        ("k-means, batches", lambda: MiniBatchKMeans(n_clusters=3).fit(X)),
        ("k-means, batches, sparse", lambda: MiniBatchKMeans(n_clusters=3).fit(sp.csr_matrix(X))),
        ("mixture", lambda: GaussianMixture(2).fit(X)),
        ("mixture, diagonal", lambda: GaussianMixture(2, covariance_type="diag").fit(X)),
        ("neighbours by a tree", lambda: KNeighborsRegressor(algorithm="kd_tree").fit(X, y).predict(X)),
        ("nearest neighbours, Manhattan", lambda: KNeighborsClassifier(metric="manhattan").fit(X, two).predict(X)),
        ("nearest neighbours, cosine", lambda: KNeighborsClassifier(metric="cosine").fit(X, two).predict(X)),
        ("nearest neighbours, Chebyshev", lambda: KNeighborsClassifier(metric="chebyshev").fit(X, two).predict(X)),
        ("nearest neighbours, sparse", lambda: KNeighborsClassifier().fit(sp.csr_matrix(X), two).predict(X)),
        (
            "nearest neighbours, precomputed",
            lambda: KNeighborsClassifier(metric="precomputed").fit(np.abs(X @ X.T), two).predict(None),
        ),
        ("drift", lambda: [kind().update_many(two) for kind in (ADWIN, DDM, EDDM, PageHinkley)]),
    ]


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of trees, clusterings, neighbours, support vectors and detectors into Numba's cache.

    Args:
        progress: called with one line for each step.
    """
    for dtype in (np.float32, np.float64):
        run_each(((f"{np.dtype(dtype).name}, {name}", task) for name, task in _fits(dtype)), progress)
    run_each(_others(), progress)
