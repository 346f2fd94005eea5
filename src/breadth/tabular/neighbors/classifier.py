"""Nearest neighbours that vote, exactly."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin
from sklearn.exceptions import DataConversionWarning

from breadth.tabular.labels import class_codes
from breadth.tabular.neighbors.metrics import Algorithm, Metric, takes_sparse
from breadth.tabular.neighbors.search import fit_search, nearest, neighbour_graph, votes_of


class KNeighborsClassifier(ClassifierMixin, MultiOutputMixin, BaseEstimator):
    """Vote of the k nearest training rows: p(c | x) = sum of weights of neighbours in c / sum of all weights.

    Neighbours are exact and ordered by (distance, index): of equally distant rows, the one that comes first in the
    training data is the nearer. Nothing depends on threads or block sizes.

    Args:
        n_neighbors: k, in [1, training rows].
        weights: "uniform" or None (each vote 1), "distance" (1 / distance; rows at distance 0, if any, vote alone), or
            a function from distances (q, k) to weights (q, k).
        algorithm: "brute" compares with every row, by blocks; "kd_tree" and "ball_tree" sort dense rows into boxes
            along their principal directions where the metric is Euclidean, and are "brute" elsewhere; "auto" takes the
            tree where it looks at few rows. All are exact, to the bit.
        leaf_size: not read; leaves have at most 24 rows.
        p: power of the Minkowski metric, > 0: 2 Euclidean, 1 Manhattan, infinity Chebyshev; read only when metric is
            "minkowski".
        metric: "minkowski", "euclidean" ("l2"), "manhattan" ("l1", "cityblock"), "chebyshev" ("infinity"), "cosine"
            (a row of zeros is at distance 1 from every row), "canberra", "braycurtis" (sum |x - y| / sum (|x| + |y|)),
            "hamming" (share of unequal entries), "precomputed" (X holds distances from the training rows; what a
            sparse X does not hold is no neighbour), or a function of two rows that returns their distance. Sparse
            training rows take "euclidean", "manhattan", "cosine", "precomputed" or a function of two sparse rows;
            sparse queries of dense rows take all.
        metric_params: None, or {"p": p}, which goes before p; for a function its keyword arguments.
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted (OMP_NUM_THREADS,
            threadpoolctl and joblib's workers count).

    Attributes:
        classes_: sorted labels, shape (classes,); of several outputs a list of these.
        outputs_2d_: whether there are several outputs.
        n_samples_fit_: training rows.
        effective_metric_: the metric by its first name above; "minkowski" with p of 1, 2 or infinity by that name.
        effective_metric_params_: p of "minkowski", arguments of a function, else empty.

    Raises:
        ValueError: if X holds NaN or infinity, k exceeds the training rows, or a parameter is not among those above.

    Cost: a query takes 2 n p operations in float32 (Euclidean, cosine) or 3 n p to 6 n p in float64 (others; a power
        for each of n p terms where 2 p is no whole number of at most 32), and about k log(n / k) exact distances; the
        tree some hundred rows where the data vary in at most 6 directions or so; memory 1.5 (2) times the training
        rows, and 1 MiB a thread. A sparse query takes one operation for each non-zero of the training rows in its
        columns, and n; memory twice that of the training rows, and 8 n bytes a thread.

    Deviations:
        1. scikit-learn's brute force takes distances from |x|^2 + |y|^2 - 2 x.y, which for columns of mean 1e6 leaves
           few correct digits and breaks ties by rounding; here distances come from differences, of sparse rows too,
           and ties from indices. Cosine distances are 1 - x.y / (|x| |y|), 0 between a row and its copies.
        2. No boolean, Mahalanobis, haversine or NaN-aware metrics, no weights of columns.

    References: Cover & Hart 1967, IEEE Trans. Inf. Theory 13(1) (the rule); Dudani 1976, IEEE Trans. SMC 6(4)
        (distance weights; here 1 / d as in scikit-learn); Friedman, Bentley & Finkel 1977, ACM TOMS 3(3) (the tree);
        Higham 2002, Accuracy and Stability of Numerical Algorithms, eq. 3.5 (error of a dot product).
    Peer: scipy.spatial.distance.cdist with a stable sort, and sklearn.neighbors.KNeighborsClassifier, 1e-12 (A).
    In production: use it as a baseline after scaling the columns, up to some 1e6 rows; beyond that an approximate
        index answers sooner.
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
            y: class labels, shape (rows,) or (rows, outputs).

        Returns:
            The fitted estimator.
        """
        y = fit_search(self, X, y)
        if y.ndim == 2 and y.shape[1] == 1:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected: give y.ravel()",
                DataConversionWarning,
                stacklevel=2,
            )
        self.outputs_2d_ = y.ndim == 2 and y.shape[1] > 1
        coded = [class_codes(column) for column in y.reshape(len(y), -1).T]
        self._codes = [codes for _, codes in coded]
        self.classes_ = [classes for classes, _ in coded] if self.outputs_2d_ else coded[0][0]
        return self

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]] | NDArray[np.int64]:
        """The nearest training rows, nearest first, equal distances by lower index.

        Args:
            X: queries, shape (queries, features), dense or sparse, or their precomputed distances from the training
                rows; None asks for the training rows' neighbours other than themselves.
            n_neighbors: k, in [1, training rows], less one when X is None; None takes the estimator's.
            return_distance: return distances too.

        Returns:
            Distances (queries, k) and indices (queries, k), or indices alone.
        """
        distance, index = nearest(self, X, n_neighbors)
        return (distance, index) if return_distance else index

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: Literal["connectivity", "distance"] = "connectivity"
    ) -> Any:
        """Graph of queries and their nearest training rows: CSR, shape (queries, training rows).

        Args:
            X: as for `kneighbors`.
            n_neighbors: as for `kneighbors`.
            mode: "connectivity" holds ones, "distance" the distances, in each row nearest first.
        """
        return neighbour_graph(self, X, n_neighbors, mode)

    def predict_proba(self, X: Any) -> NDArray[np.float64] | list[NDArray[np.float64]]:
        """Share of the votes for each class, in the order of classes_.

        Args:
            X: as for `kneighbors`.

        Returns:
            Shape (rows, classes), or a list of these, one for each of several outputs.
        """
        shares = self._shares(X)
        return shares if self.outputs_2d_ else shares[0]

    def predict(self, X: Any) -> NDArray:
        """Label with most votes; of labels with equal votes the first in classes_. Shape (rows,) or (rows, outputs)."""
        shares = self._shares(X)
        if not self.outputs_2d_:
            return self.classes_[shares[0].argmax(axis=1)]
        return np.stack([c[s.argmax(axis=1)] for c, s in zip(self.classes_, shares, strict=True)], axis=1)

    def _shares(self, X: Any) -> list[NDArray[np.float64]]:
        """Share of the votes, (rows, classes), of each output."""
        distance, index = nearest(self, X, None)
        votes = votes_of(self.weights, distance)
        if (votes.sum(axis=1) == 0).any():
            raise ValueError("weights returned 0 for every neighbour of a row: at least one must have a vote")
        q = len(index)
        shares = []
        for classes, codes in zip(self.classes_ if self.outputs_2d_ else [self.classes_], self._codes, strict=True):
            cell = np.arange(q)[:, None] * len(classes) + codes[index]
            share = np.bincount(cell.ravel(), weights=votes.ravel(), minlength=q * len(classes))
            share = share.reshape(q, len(classes))
            shares.append(share / share.sum(axis=1, keepdims=True))
        return shares

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = takes_sparse(self)
        tags.input_tags.pairwise = tags.input_tags.positive_only = self.metric == "precomputed"
        return tags
