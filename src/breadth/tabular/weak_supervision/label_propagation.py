"""Labels that spread over a graph of the rows, from the few that have one to those that have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.weak_supervision.label_graph import (
    between,
    check_graph,
    iterate,
    neighbours,
    normalised,
    search_of,
    weights,
)

_BLOCK = 1 << 22  # weights of queries held at a time


class LabelPropagation(ClassifierMixin, BaseEstimator):
    """Labels as a stationary point of F <- normalise(T F), given labels put back after each step; T = D^-1 W.

    W_ij = exp(-gamma |x_i - x_j|^2), or 1 where j is among the k rows nearest to i, itself included; D its row sums.
    A row without a label ends at the probabilities with which a walk on the graph first meets each label.

    Args:
        kernel: "rbf" (dense), "knn" (sparse), or a function of two sets of rows to weights >= 0.
        gamma: of "rbf", >= 0, in units of 1 / squared distance: scale the columns first.
        n_neighbors: k of "knn", in [1, rows].
        max_iter: steps, >= 1.
        tol: stop when F changes by less than this in sum, >= 0.
        n_jobs: threads that look for neighbours.

    Attributes:
        classes_: labels but -1, shape (classes,).
        label_distributions_: F, shape (rows, classes); a row of 0 where no label can reach.
        transduction_: label of largest probability, shape (rows,).
        X_, n_iter_, n_features_in_.

    Raises:
        ValueError: if X holds NaN or infinity, no row has a label, or a parameter is out of its range.

    Warns:
        ConvergenceWarning: if max_iter steps do not reach tol.

    Cost: "rbf" n^2 memory and n^2 (p + classes x steps) time; "knn" n k (1 + classes) a step after the search.
    Deviations: of equally near rows the first is the neighbour where columns are many; scikit-learn's order is that of
        its search. Probabilities of a query whose weights are all 0 are even (scikit-learn: NaN).
    References: Zhu & Ghahramani 2002, CMU-CALD-02-107, section 2.2 (steps 1 to 3) and eq. 5 (the fixed point).
    Peer: sklearn.semi_supervised.LabelPropagation, 1e-9; the fixed point in closed form (A).
    In production: use LabelSpreading where labels may be wrong, and "knn" beyond some 1e4 rows.
    """

    def __init__(
        self,
        kernel: Literal["rbf", "knn"] | Callable[[Any, Any], Any] = "rbf",
        *,
        gamma: float = 20,
        n_neighbors: int = 7,
        max_iter: int = 1000,
        tol: float = 1e-3,
        n_jobs: int | None = None,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.n_neighbors = n_neighbors
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Spread the labels.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: labels, -1 for a row without one, shape (rows,).

        Returns:
            The fitted estimator.
        """
        check_graph(self)
        labels, unknown = _start(self, X, y)
        graph = weights(self, self.X_)
        total = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
        if sp.issparse(graph):
            graph = sp.diags_array(1 / total[:, 0]) @ graph
        else:
            graph /= np.where(total == 0, 1, total)

        def step(spread: NDArray) -> NDArray:
            return np.where(unknown[:, None], normalised(spread), labels)

        _finish(self, *iterate(graph, labels, step, max_iter=self.max_iter, tol=self.tol))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Weighted mean of the rows' distributions, shape (rows, classes)."""
        return _proba(self, X)

    def predict(self, X: ArrayLike) -> NDArray:
        """Label of largest probability, shape (rows,); not transduction_ for a row of the graph."""
        best = _proba(self, X).argmax(axis=1)
        return self.classes_[best]


class LabelSpreading(ClassifierMixin, BaseEstimator):
    """Labels as the limit of F <- alpha S F + (1 - alpha) Y, which is (1 - alpha) (I - alpha S)^-1 Y.

    S = D^-1/2 W D^-1/2 without its diagonal; Y holds the given labels, which may change.

    Args:
        kernel, gamma, n_neighbors, tol, n_jobs: as of LabelPropagation.
        alpha: in (0, 1): how much a row takes from its neighbours against its own label.
        max_iter: steps, >= 1.

    Attributes:
        As LabelPropagation.

    Raises:
        ValueError: if alpha is not in (0, 1), or as LabelPropagation.

    Warns:
        ConvergenceWarning: if max_iter steps do not reach tol.

    Cost: as LabelPropagation; the error falls by alpha a step.
    Deviations: the graph of "knn" is directed, as scikit-learn's, with degrees from its column sums.
    References: Zhou, Bousquet, Lal, Weston & Schoelkopf 2004, "Learning with local and global consistency", NIPS 16,
        section 2 (steps 1 to 4) and eq. 4 (the limit).
    Peer: sklearn.semi_supervised.LabelSpreading, 1e-9; the limit in closed form (A).
    In production: use it on rows that lie in clusters with few labels; scale the columns.
    """

    def __init__(
        self,
        kernel: Literal["rbf", "knn"] | Callable[[Any, Any], Any] = "rbf",
        *,
        gamma: float = 20,
        n_neighbors: int = 7,
        alpha: float = 0.2,
        max_iter: int = 30,
        tol: float = 1e-3,
        n_jobs: int | None = None,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.n_neighbors = n_neighbors
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Spread the labels; arguments and result as of LabelPropagation.fit."""
        check_graph(self)
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be in (0, 1), got {self.alpha}")
        labels, _ = _start(self, X, y)
        graph = weights(self, self.X_)
        if sp.issparse(graph):
            graph.setdiag(0)
            graph.eliminate_zeros()
            degree = np.asarray(graph.sum(axis=0)).ravel()
        else:
            np.fill_diagonal(graph, 0)
            degree = graph.sum(axis=0)
        root = np.sqrt(np.where(degree == 0, 1, degree))
        if sp.issparse(graph):
            graph = sp.diags_array(1 / root) @ graph @ sp.diags_array(1 / root)
        else:
            graph /= root
            graph /= root[:, None]
        held = (1 - self.alpha) * labels

        def step(spread: NDArray) -> NDArray:
            spread *= self.alpha
            spread += held
            return spread

        _finish(self, *iterate(graph, labels, step, max_iter=self.max_iter, tol=self.tol))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Weighted mean of the rows' distributions, shape (rows, classes)."""
        return _proba(self, X)

    def predict(self, X: ArrayLike) -> NDArray:
        """Label of largest probability, shape (rows,); not transduction_ for a row of the graph."""
        best = _proba(self, X).argmax(axis=1)
        return self.classes_[best]


def _start(model: Any, X: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Validated rows as X_, classes_; given labels one-hot (rows, classes), and which rows have none."""
    X, y = validate_data(model, X, y, accept_sparse=["csr", "csc"])
    check_classification_targets(y)
    check_graph(model, X.shape[0])
    y = np.asarray(y)
    unknown = np.asarray(y == -1)
    if unknown.all():
        raise ValueError("y has no label: all of it is -1; at least one row of each class must have its own")
    model.X_ = X
    model.classes_, codes = np.unique(y[~unknown], return_inverse=True)
    model._search = search_of(model, X)
    labels = np.zeros((len(y), len(model.classes_)))
    labels[np.flatnonzero(~unknown), codes] = 1
    return labels, unknown


def _finish(model: Any, spread: NDArray[np.float64], n_iter: int) -> None:
    model.label_distributions_ = normalised(spread)
    model.n_iter_ = n_iter
    best = model.label_distributions_.argmax(axis=1)
    model.transduction_ = model.classes_[best]


def _proba(model: Any, X: Any) -> NDArray[np.float64]:
    check_is_fitted(model)
    X = validate_data(model, X, accept_sparse=["csr", "csc"], reset=False)
    if model.kernel == "knn":
        mass = model.label_distributions_[neighbours(model, X)].sum(axis=1)
    else:
        step = max(1, _BLOCK // model.X_.shape[0])
        mass = np.concatenate(
            [
                np.asarray(between(model, X[i : i + step], model.X_) @ model.label_distributions_)
                for i in range(0, X.shape[0], step)
            ]
        )
    total = mass.sum(axis=1, keepdims=True)
    even = np.full(mass.shape[1], 1 / mass.shape[1])
    return np.where(total > 0, mass / np.where(total == 0, 1, total), even)
