"""What the estimators of nearest neighbours share: fitting the search, asking it, and weights of what it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from breadth.blas import threads_for
from breadth.tabular.neighbors.metrics import index_of, measure_of
from breadth.tabular.neighbors.sparse import SparseIndex
from breadth.tabular.neighbors.table import TableIndex

_DENSE = 1 << 23  # entries of sparse queries made dense at a time: 64 MiB


def fit_search(model: Any, X: Any, y: Any, **checks: Any) -> NDArray:
    """Check an estimator's parameters and data and keep the rows; y as an array."""
    measure = measure_of(model)
    X, y = validate_data(model, X, y, accept_sparse="csr", dtype=np.float64, order="C", multi_output=True, **checks)
    if measure.name == "precomputed":
        check_non_negative(X, "a matrix of precomputed distances")
    check_k(model.n_neighbors, X.shape[0], "training rows")
    model.effective_metric_ = model.metric if measure.name == "function" else measure.name
    model.effective_metric_params_ = {"p": measure.power} if measure.name == "minkowski" else {}
    if measure.name == "function":
        model.effective_metric_params_ = dict(model.metric_params or {})
    model.n_samples_fit_ = X.shape[0]
    model._index = index_of(model, X, measure)
    return np.asarray(y)


def nearest(model: Any, X: Any, n_neighbors: int | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and indices, (queries, k), of the nearest training rows; without X each row's, other than itself."""
    check_is_fitted(model)
    k = model.n_neighbors if n_neighbors is None else n_neighbors
    index, n, threads = model._index, model.n_samples_fit_, threads_for(model.n_jobs)
    if X is not None:
        formats = "csr" if sp.issparse(X) else False  # looking for sparse rows takes 10 us
        queries = validate_data(model, X, accept_sparse=formats, dtype=np.float64, order="C", reset=False)
        if model.effective_metric_ == "precomputed":
            check_non_negative(queries, "a matrix of precomputed distances")
        check_k(k, n, "training rows")
        return _search(index, queries, k, threads)
    check_k(k, n - 1, "other training rows")
    distance, found = index.search(index.points, k + 1, threads)
    own = found == np.arange(n)[:, None]
    own[~own.any(axis=1), k] = True  # so many copies of a row come before it that it is not its own neighbour
    return distance[~own].reshape(-1, k), found[~own].reshape(-1, k)


def _search(index: Any, queries: Any, k: int, threads: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Ask an index of dense rows dense queries, by blocks, and one of sparse rows sparse ones."""
    table = isinstance(index, TableIndex) and (index.between is None or sp.issparse(index.points))
    if table or isinstance(index, SparseIndex) or not sp.issparse(queries):
        return index.search(queries, k, threads)
    step = max(256, _DENSE // max(queries.shape[1], 1))
    parts = [index.search(queries[i : i + step].toarray(), k, threads) for i in range(0, queries.shape[0], step)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def neighbour_graph(model: Any, X: Any, n_neighbors: int | None, mode: str) -> Any:
    """Graph of queries (rows) and their nearest training rows (columns), CSR, entries of a row nearest first."""
    if mode not in ("connectivity", "distance"):
        raise ValueError(f"mode must be 'connectivity' or 'distance', got {mode!r}")
    distance, index = nearest(model, X, n_neighbors)
    q, k = index.shape
    values = distance.ravel() if mode == "distance" else np.ones(q * k)
    return sp.csr_matrix((values, index.ravel(), np.arange(0, q * k + 1, k)), shape=(q, model.n_samples_fit_))


def check_k(k: int, available: int, what: str) -> None:
    """An error where k is no number of neighbours that there are."""
    if not isinstance(k, int | np.integer) or isinstance(k, bool):
        raise TypeError(f"n_neighbors must be an integer, got {k!r}")
    if not 1 <= k <= available:
        raise ValueError(f"n_neighbors must be in [1, {available}] with n_samples = {available} {what}, got {k}")


def votes_of(weights: str | Callable[[NDArray], NDArray] | None, distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each neighbour, shape (queries, k)."""
    if callable(weights):
        votes = np.asarray(weights(distance), dtype=np.float64)
        if votes.shape != distance.shape or not np.isfinite(votes).all() or (votes < 0).any():
            raise ValueError(f"weights must return finite numbers >= 0 of shape {distance.shape}, got {votes!r}")
        return votes
    if weights != "distance":
        return np.ones_like(distance)
    # relative to the nearest, so that 1 / d of a tiny distance does not overflow
    nearest = distance[:, :1]
    votes = np.divide(nearest, distance, out=np.ones_like(distance), where=distance > 0)
    votes[(nearest == 0)[:, 0]] = distance[(nearest == 0)[:, 0]] == 0
    return votes
