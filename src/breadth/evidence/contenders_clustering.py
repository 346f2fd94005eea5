"""Clusterings as contenders: rows whose groups are known are learned from without them, and others are put in groups.

The number of groups is told. Columns of tables are standardised, planted groups are as they are drawn.
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

GROUPS = {
    "spheres": "8 Gaussian groups of equal size and spread in 8 dimensions",
    "cigars": "6 Gaussian groups in 4 dimensions, nine times as long as wide, each in a direction of its own",
    "unequal": "5 Gaussian groups in 4 dimensions, the largest 16 times the smallest and 4 times as wide",
    "iris": "a table, columns standardised, classes for groups",
    "wine": "a table, columns standardised, classes for groups",
    "digits": "a table, columns standardised, classes for groups",
    "breast_cancer": "a table, columns standardised, classes for groups",
}
TABLES = ("iris", "wine", "digits", "breast_cancer")
N_ROWS = 2000


def read_groups(name: str, encoding: str = "utf-8") -> Prepared:
    """Rows whose groups are known.

    Args:
        name: of GROUPS, planted ones with `:n` for that many rows; a table has the rows that it has.
        encoding: not read; readers are called alike.

    Raises:
        ValueError: if there is no such set, n is no number from 100 on, or a table is asked for n rows.
    """
    kind, n = named(name, GROUPS, unit="rows", default=N_ROWS, least=100)
    if kind in TABLES:
        if name != kind:
            raise ValueError(f"--data {name}: a table has the rows that it has; write {kind}")
        from breadth.data import load

        dataset = load(kind)
        X, y = dataset.to_numpy(), np.asarray(dataset.y, np.int64)
        X = X[:, X.std(axis=0) > 0]
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    else:
        X, y = _planted(kind, n, np.random.default_rng(0))
    k = int(y.max()) + 1
    note = GROUPS[kind] + (f", {k} of them" if kind in TABLES else "")
    return from_trials(name, "clustering", X, y, size=X.shape[1], n_classes=k, timed_fits=True, note=note)


def _planted(kind: str, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    if kind == "spheres":
        centres = rng.normal(size=(8, 8)) * 2.5
        y = rng.integers(8, size=n)
        return centres[y] + rng.normal(size=(n, 8)), y
    if kind == "cigars":
        y = rng.integers(6, size=n)
        turns = np.array([np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(6)])
        spread = np.array([3.0, 1 / 3, 1 / 3, 1 / 3])
        centres = rng.normal(size=(6, 4)) * 2.5
        return centres[y] + np.einsum("nij,nj->ni", turns[y], rng.normal(size=(n, 4)) * spread), y
    share = 2.0 ** np.arange(5)
    y = rng.choice(5, size=n, p=share / share.sum())
    spread = np.geomspace(0.5, 2.0, 5)
    centres = np.vstack([np.zeros(4), 6 * np.eye(4)])
    return centres[y] + spread[y][:, None] * rng.normal(size=(n, 4)), y


class Clusterer:
    """A clustering as an estimator that is never shown the groups.

    Args:
        model: with fit(X) and predict(X).
    """

    def __init__(self, model: Any):
        self.model = model

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # where it stopped is what is measured
            self.model.fit(X)
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return np.asarray(self.model.predict(X), np.int64)


class RandomGroups:
    """Groups by chance, whatever the row.

    Args:
        k: groups.
        seed: of what is drawn.
    """

    def __init__(self, k: int, seed: int):
        self.k, self.seed = k, seed

    def fit(self, X: NDArray) -> Self:
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return np.random.default_rng(self.seed).integers(self.k, size=len(X))


def _ours(name: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Clusterer:
    from breadth import tabular

    if name == "GaussianMixture":
        return Clusterer(tabular.GaussianMixture(problem.n_classes, random_state=seed, n_jobs=n_threads, **settings))
    return Clusterer(
        getattr(tabular, name)(n_clusters=problem.n_classes, random_state=seed, n_jobs=n_threads, **settings)
    )


def _sklearn(name: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Clusterer:
    """Threads are OpenMP's, which the cell limits."""
    from sklearn import cluster, mixture

    if name == "GaussianMixture":
        return Clusterer(mixture.GaussianMixture(problem.n_classes, random_state=seed, **settings))
    return Clusterer(getattr(cluster, name)(n_clusters=problem.n_classes, random_state=seed, **settings))


def _random(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Clusterer:
    return Clusterer(RandomGroups(problem.n_classes, seed))


def clustering(name: str, origin: str, make: Callable[..., Clusterer], model: str, **settings: Any) -> Entry:
    """A way to find groups as a contender."""
    return Entry(name, origin, partial(make, model), settings, cost=200.0)


KMEANS = clustering("breadth k-means", "breadth", _ours, "KMeans")
PEERS = (
    clustering("scikit-learn k-means", "scikit-learn", _sklearn, "KMeans"),
    clustering("scikit-learn mini-batch k-means", "scikit-learn", _sklearn, "MiniBatchKMeans"),
    clustering("scikit-learn bisecting k-means", "scikit-learn", _sklearn, "BisectingKMeans"),
    clustering("scikit-learn Gaussian mixture", "scikit-learn", _sklearn, "GaussianMixture"),
)
MIXTURE = clustering("breadth Gaussian mixture", "breadth", _ours, "GaussianMixture")
TEN_STARTS = clustering("breadth k-means, 10 starts", "breadth", _ours, "KMeans", n_init=10)
DUMMY = Entry("dummy", "numpy", _random, cost=0.0)
