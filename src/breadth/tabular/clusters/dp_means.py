"""DP-means: k-means that opens a cluster wherever a row is too far from every one."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.blas import threads_for
from breadth.compilation import announced
from breadth.tabular.clusters.dp_means_kernels import assign_or_open
from breadth.tabular.clusters.lloyd import nearest_centres


class DPMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Minimises sum_i |x_i - c_(l_i)|^2 + penalty k over labels, centres and their number k.

    The limit of a Dirichlet-process mixture of Gaussians whose variance goes to 0, as k-means is that of a mixture with
    k fixed. So the number of parameters, k p, grows with the rows where they show more groups: the method is
    non-parametric, and k-means its parametric counterpart.

    Args:
        penalty: lambda, > 0: a row whose squared distance from every centre exceeds it opens a cluster of its own. None
            takes, by a farthest-first walk through the rows, the largest squared distance from the nearest of
            n_clusters centres.
        n_clusters: k that a penalty of None aims at, in [1, rows].
        max_iter: passes over the rows at most, >= 1.
        n_jobs: threads of `predict`, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        cluster_centers_: shape (k, features).
        labels_: of the training rows, shape (rows,), int32.
        n_clusters_: k.
        penalty_: lambda that was used.
        inertia_: sum of squared distances from the own centre.
        objective_: inertia_ + penalty_ k.
        objectives_: after each pass; never rises.
        n_iter_: passes.

    Raises:
        ValueError: if X is sparse, holds NaN or infinity, or a parameter is out of range.

    Cost: a pass takes 3 n k p operations; memory one copy of X.
    Deviations:
        1. Passes go through the rows in their order: the clusters depend on it, as in the paper.
        2. A cluster that loses its rows is dropped after the pass, which lowers the objective by lambda.
    References: Kulis & Jordan 2012, ICML, arXiv:1111.0352, algorithm 1, eq. 3 (objective), section 3.2 (the walk).
    Peer: a plain loop; scikit-learn KMeans at its fixed point, float64, 1e-12 (B).
    In production: use it where the scale of a group is known rather than how many there are, as in deduplication; set
        the penalty to the square of the radius that a group may have.
    """

    def __init__(
        self,
        penalty: float | None = None,
        *,
        n_clusters: int = 8,
        max_iter: int = 300,
        n_jobs: int | None = None,
    ):
        self.penalty = penalty
        self.n_clusters = n_clusters
        self.max_iter = max_iter
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Find the clusters.

        Args:
            X: rows, shape (rows, features).
            y: ignored.

        Returns:
            The fitted estimator.
        """
        rows: Any = validate_data(self, X, dtype=np.float64, order="C")
        self._check(len(rows))
        mean = rows.mean(axis=0)
        rows = rows - mean
        penalty = self.penalty if self.penalty is not None else _walk(rows, self.n_clusters)
        labels = np.zeros(len(rows), dtype=np.int32)
        centres = rows.mean(axis=0, keepdims=True)
        self.objectives_: list[float] = []
        before = np.full(len(rows), -1, dtype=np.int32)
        inertia = np.inf
        with announced():
            for _ in range(self.max_iter):
                centres = assign_or_open(rows, centres, penalty, labels)
                centres, labels = _means(rows, labels, len(centres))
                inertia = float(((rows - centres[labels]) ** 2).sum())
                self.objectives_.append(inertia + penalty * len(centres))
                if np.array_equal(labels, before):
                    break
                before = labels.copy()
            else:
                warnings.warn(
                    f"labels still changed after max_iter = {self.max_iter} passes: raise it",
                    ConvergenceWarning,
                    stacklevel=2,
                )
        self.penalty_, self.n_iter_, self.inertia_ = float(penalty), len(self.objectives_), inertia
        self.objective_ = self.objectives_[-1]
        self.labels_, self.cluster_centers_, self.n_clusters_ = labels, centres + mean, len(centres)
        self._n_features_out = self.n_clusters_
        return self

    def _check(self, n: int) -> None:
        if self.penalty is not None and not 0 < self.penalty < np.inf:
            raise ValueError(f"penalty must be finite and > 0, or None, got {self.penalty!r}")
        for name in ("n_clusters", "max_iter"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.penalty is None and self.n_clusters > n:
            raise ValueError(f"n_clusters must be at most n_samples = {n}, got {self.n_clusters}")

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Label of the nearest centre, of equally near ones the first, shape (rows,); none is opened."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        mean = self.cluster_centers_.mean(axis=0)
        return nearest_centres(rows - mean, self.cluster_centers_ - mean, n_threads=threads_for(self.n_jobs))

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Distance from each centre, shape (rows, k)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        out = np.empty((len(rows), self.n_clusters_))
        for j, centre in enumerate(self.cluster_centers_):
            out[:, j] = np.sqrt(((rows - centre) ** 2).sum(axis=1))
        return out

    def n_parameters(self) -> int:
        """Numbers in all centres, k p, where k is what the rows asked for."""
        check_is_fitted(self)
        return int(self.cluster_centers_.size)


def _means(rows: NDArray, labels: NDArray[np.int32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Means of the clusters that have rows, and labels that count those alone."""
    count = np.bincount(labels, minlength=k)
    kept = np.flatnonzero(count)
    renamed = np.cumsum(count > 0) - 1
    labels = renamed[labels].astype(np.int32)
    sums = np.stack([np.bincount(labels, weights=column, minlength=len(kept)) for column in rows.T], axis=1)
    return sums / count[kept, None], labels


def _walk(rows: NDArray, k: int) -> float:
    """Largest squared distance of a row from the nearest of k: the mean, and each time the row farthest from all."""
    nearest = (rows**2).sum(axis=1)
    penalty = 0.0
    for _ in range(k):
        farthest = int(nearest.argmax())
        penalty = float(nearest[farthest])
        nearest = np.minimum(nearest, ((rows - rows[farthest]) ** 2).sum(axis=1))
    return penalty if penalty > 0 else 1.0  # rows are all alike, or fewer than k differ: any penalty will do
