"""The mean of the nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.blas import threads_for
from breadth.tabular.neighbors.classifier import check_k, checked_metric, nearest_rows, votes_of
from breadth.tabular.neighbors.tree import Algorithm, build_index


class KNeighborsRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Weighted mean of the k nearest training rows: y(x) = sum of w_j y_j / sum of w_j.

    Neighbours are exact and ordered by (distance, index), whatever the threads.

    Args:
        n_neighbors: k, in [1, training rows].
        weights: "uniform" (each 1), "distance" (1 / distance; rows at distance 0, if any, count alone), or a function
            from distances (q, k) to weights (q, k).
        algorithm: "brute" compares with every row, "kd_tree" sorts the rows into boxes (Euclidean only), "auto" takes
            the tree where it looks at few rows. All are exact.
        p: power of the Minkowski metric: 2 Euclidean, 1 Manhattan; read only when metric is "minkowski".
        metric: "minkowski", "euclidean" ("l2") or "manhattan" ("l1", "cityblock").
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        n_samples_fit_: training rows.
        effective_metric_: "euclidean" or "manhattan".

    Raises:
        ValueError: if X or y holds NaN or infinity, k exceeds the training rows, a parameter is not among those above,
            or a function gives a row's neighbours no weight.

    Cost: that of `KNeighborsClassifier`.
    Deviations:
        1. Of equally distant rows the first is the nearer; scikit-learn leaves it open.
        2. No other metrics, no sparse input, no leaf_size.
    References: Cover 1968, IEEE Trans. Information Theory 14(1) (the rule); Dudani 1976, IEEE Trans. SMC 6(4) (distance
        weights; here 1 / d as in scikit-learn).
    Peer: sklearn.neighbors.KNeighborsRegressor, float64, 1e-12 (A).
    In production: use it as a baseline after scaling the columns; it does not go beyond the range of y.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Literal["uniform", "distance"] | Callable[[NDArray], NDArray] = "uniform",
        algorithm: Algorithm = "auto",
        p: float = 2,
        metric: Literal["minkowski", "euclidean", "l2", "manhattan", "l1", "cityblock"] = "minkowski",
        n_jobs: int | None = None,
    ):
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.algorithm = algorithm
        self.p = p
        self.metric = metric
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Keep the training rows.

        Args:
            X: features, shape (rows, features).
            y: targets, shape (rows,) or (rows, targets).

        Returns:
            The fitted estimator.
        """
        self.effective_metric_ = checked_metric(self)
        X, y = validate_data(self, X, y, dtype=np.float64, order="C", multi_output=True, y_numeric=True)
        check_k(self.n_neighbors, len(X), "training rows")
        self._targets = np.asarray(y, dtype=np.float64)
        self.n_samples_fit_ = len(X)
        self._index = build_index(X, self.effective_metric_, self.algorithm, self.n_neighbors)
        return self

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]] | NDArray[np.int64]:
        """As `KNeighborsClassifier.kneighbors`."""
        check_is_fitted(self)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        queries: Any = None if X is None else validate_data(self, X, dtype=np.float64, order="C", reset=False)
        distance, index = nearest_rows(self._index, queries, k, threads_for(self.n_jobs))
        return (distance, index) if return_distance else index

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Weighted mean of the neighbours' targets, shape (rows,) or (rows, targets)."""
        check_is_fitted(self)
        distance, index = self.kneighbors(X)
        votes = votes_of(self.weights, distance)
        total = votes.sum(axis=1, keepdims=True)
        if (total == 0).any():
            raise ValueError("weights returned 0 for every neighbour of a row: at least one must count")
        share = votes / total
        if self._targets.ndim == 1:
            return np.einsum("ij,ij->i", share, self._targets[index])
        return np.einsum("ij,ijt->it", share, self._targets[index])
