"""The mean of the nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from breadth.tabular.neighbors.metrics import Algorithm, Metric, takes_sparse
from breadth.tabular.neighbors.search import fit_search, nearest, neighbour_graph, votes_of


class KNeighborsRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Weighted mean of the k nearest training rows: y(x) = sum of w_j y_j / sum of w_j.

    Neighbours are exact and ordered by (distance, index), whatever the threads.

    Args:
        n_neighbors: k, in [1, training rows].
        weights: "uniform" or None (each 1), "distance" (1 / distance; rows at distance 0, if any, count alone), or a
            function from distances (q, k) to weights (q, k).
        algorithm: "brute", "kd_tree", "ball_tree" or "auto", as `KNeighborsClassifier` takes them. All are exact.
        leaf_size: not read.
        p: power of the Minkowski metric, > 0; read only when metric is "minkowski".
        metric: a name or a function, as `KNeighborsClassifier` takes them.
        metric_params: None, or {"p": p}, which goes before p; for a function its keyword arguments.
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        n_samples_fit_: training rows.
        effective_metric_: as `KNeighborsClassifier.effective_metric_`.
        effective_metric_params_: as `KNeighborsClassifier.effective_metric_params_`.

    Raises:
        ValueError: if X or y holds NaN or infinity, k exceeds the training rows, a parameter is not among those above,
            or a function gives a row's neighbours no weight.

    Cost: that of `KNeighborsClassifier`.
    Deviations:
        1. Of equally distant rows the first is the nearer; scikit-learn leaves it open.
        2. Metrics are those of `KNeighborsClassifier`.
    References: Cover 1968, IEEE Trans. Information Theory 14(1) (the rule); Dudani 1976, IEEE Trans. SMC 6(4) (distance
        weights; here 1 / d as in scikit-learn).
    Peer: sklearn.neighbors.KNeighborsRegressor, float64, 1e-12 (A).
    In production: use it as a baseline after scaling the columns; it does not go beyond the range of y.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Literal["uniform", "distance"] | Callable[[NDArray], NDArray] | None = "uniform",
        algorithm: Algorithm = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Metric | Callable[..., float] = "minkowski",
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
    ):
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.p = p
        self.metric = metric
        self.metric_params = metric_params
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Keep the training rows.

        Args:
            X: features, shape (rows, features), dense or sparse; precomputed distances, shape (rows, rows).
            y: targets, shape (rows,) or (rows, targets).

        Returns:
            The fitted estimator.
        """
        self._targets = np.asarray(fit_search(self, X, y, y_numeric=True), dtype=np.float64)
        return self

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]] | NDArray[np.int64]:
        """As `KNeighborsClassifier.kneighbors`."""
        distance, index = nearest(self, X, n_neighbors)
        return (distance, index) if return_distance else index

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: Literal["connectivity", "distance"] = "connectivity"
    ) -> Any:
        """As `KNeighborsClassifier.kneighbors_graph`."""
        return neighbour_graph(self, X, n_neighbors, mode)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Weighted mean of the neighbours' targets, shape (rows,) or (rows, targets)."""
        distance, index = nearest(self, X, None)
        votes = votes_of(self.weights, distance)
        total = votes.sum(axis=1, keepdims=True)
        if (total == 0).any():
            raise ValueError("weights returned 0 for every neighbour of a row: at least one must count")
        share = votes / total
        if self._targets.ndim == 1:
            return np.einsum("ij,ij->i", share, self._targets[index])
        return np.einsum("ij,ijt->it", share, self._targets[index])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = takes_sparse(self)
        tags.input_tags.pairwise = tags.input_tags.positive_only = self.metric == "precomputed"
        return tags
