"""Graphs of rows along which labels spread: dense Gaussian weights, or edges to nearest neighbours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from breadth.blas import threads_for
from breadth.tabular.neighbors.index import NeighborIndex

_TREE_COLUMNS = 8  # up to here a k-d tree looks at few rows; beyond it looks at most of them
Kernel = str | Callable[[Any, Any], Any]


def check_graph(model: Any, n: int | None = None) -> None:
    """Raise a ValueError for a parameter out of range, of a graph on n rows."""
    if not callable(model.kernel) and model.kernel not in ("rbf", "knn"):
        raise ValueError(f"kernel must be 'rbf', 'knn' or a function of two sets of rows, got {model.kernel!r}")
    for name, least in (("gamma", 0), ("n_neighbors", 1), ("max_iter", 1), ("tol", 0)):
        if getattr(model, name) < least:
            raise ValueError(f"{name} must be >= {least}, got {getattr(model, name)}")
    if n is not None and model.kernel == "knn" and model.n_neighbors > n:
        raise ValueError(
            f"n_neighbors must be at most n_samples = {n} rows, a row itself among them, got {model.n_neighbors}"
        )


def weights(model: Any, X: Any) -> Any:
    """Weights between the rows of X: an array for "rbf" and functions, sparse with k ones a row for "knn"."""
    if model.kernel == "knn":
        n, k = X.shape[0], model.n_neighbors
        found = neighbours(model, X)
        return sp.csr_matrix((np.ones(n * k), found.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    made = between(model, X, X)
    return np.array(made, np.float64, copy=callable(model.kernel) or None)  # it will be changed in place


def between(model: Any, X: Any, Y: Any) -> Any:
    """Weights of a dense graph, shape (rows of X, rows of Y)."""
    if callable(model.kernel):
        return model.kernel(X, Y)
    return rbf_kernel(X, Y, gamma=model.gamma)


def neighbours(model: Any, queries: Any) -> NDArray[np.int64]:
    """The k rows of the graph nearest to each query, shape (queries, k)."""
    if isinstance(model._search, NeighborIndex):
        return model._search.search(np.ascontiguousarray(queries), model.n_neighbors, threads_for(model.n_jobs))[1]
    return model._search.kneighbors(queries, return_distance=False)


def search_of(model: Any, X: Any) -> Any:
    """What finds nearest rows: our blocks of products where columns are many, a k-d tree where few."""
    if model.kernel != "knn":
        return None
    if sp.issparse(X) or X.shape[1] <= _TREE_COLUMNS:
        return NearestNeighbors(n_neighbors=model.n_neighbors, n_jobs=model.n_jobs).fit(X)
    return NeighborIndex.build(np.ascontiguousarray(X, np.float64), "euclidean")


def iterate(
    graph: Any, labels: NDArray[np.float64], step: Callable[[NDArray], NDArray], *, max_iter: int, tol: float
) -> tuple[NDArray[np.float64], int]:
    """F <- step(graph F) from F = labels until it changes by less than tol in all; F and the steps taken."""
    current, before = labels, np.zeros_like(labels)
    for n_iter in range(max_iter):
        if np.abs(current - before).sum() < tol:
            return current, n_iter
        before, current = current, step(graph @ current)
    warnings.warn(
        f"max_iter={max_iter} was reached without convergence: labels still change by more than tol={tol}; raise "
        "max_iter, or tol if the last digits do not matter",
        ConvergenceWarning,
        stacklevel=4,
    )
    return current, max_iter


def normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows divided by their sums, 0 where the sum is."""
    total = rows.sum(axis=1, keepdims=True)
    return rows / np.where(total == 0, 1, total)
