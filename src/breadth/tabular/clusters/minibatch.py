"""k-means by small batches of rows: for many rows, or rows that come one batch after another."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import one_thread, threads_for
from breadth.compilation import announced
from breadth.tabular.clusters.kmeans import draw_seeds
from breadth.tabular.clusters.kmeans_kernels import assign_and_sum
from breadth.tabular.clusters.lloyd import from_own, half_squares, nearest_centres


class MiniBatchKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Lowers sum_i w_i |x_i - c_(l_i)|^2 by batches: each centre is the mean of all rows that it has ever been given.

    An equal random_state draws scikit-learn's seeds and batches, and takes its steps.

    Args:
        n_clusters: k, in [1, rows].
        init: "k-means++", "random" (rows), or centres of shape (k, features).
        max_iter: times that as many rows as there are may be drawn, >= 1.
        batch_size: rows of a batch, >= 1.
        compute_labels: label the training rows after the fit.
        random_state: None, an integer or a RandomState.
        tol: stop when the squared shift of all centres is at most tol times the mean variance of a feature; 0: never.
        max_no_improvement: stop after this many batches without a lower smoothed inertia; None: never.
        init_size: rows that seeds are drawn from; None is 3 batches, or 3 k where that is less than k.
        n_init: seedings, of which that with the least inertia on init_size rows stays; "auto" is 1 (3 with "random").
        reassignment_ratio: a centre with less than this share of the rows of the largest moves to a random row, >= 0.
        n_jobs: threads of labelling, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        cluster_centers_: shape (k, features), of X's dtype.
        labels_: of the training rows (of the last batch, after `partial_fit`), int32.
        inertia_: sum of weighted squared distances of those from their centres.
        n_iter_, n_steps_: rows drawn, as a multiple of the training rows rounded up, and batches.

    Raises:
        ValueError: if X is sparse, holds NaN or infinity, or has fewer than k rows; or a parameter is out of range.

    Cost: a batch of b rows takes 2 b k p operations; memory one copy of X.
    Deviations:
        1. Rows are summed in float64 and compared at X's mean (of the first batch, in `partial_fit`).
        2. No sparse input, no `verbose`; an init_size below k is an error.
    References: Sculley 2010, WWW, algorithm 1; scikit-learn's reassignment of small clusters.
    Peer: sklearn.cluster.MiniBatchKMeans from the same random_state, float64, 1e-10 (A).
    In production: use it beyond some 1e6 rows, or for streams; `KMeans` ends with less inertia.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Literal["k-means++", "random"] | ArrayLike = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        compute_labels: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | Literal["auto"] = "auto",
        reassignment_ratio: float = 0.01,
        n_jobs: int | None = None,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.compute_labels = compute_labels
        self.random_state = random_state
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the centres.

        Args:
            X: rows, shape (rows, features).
            y: ignored.
            sample_weight: >= 0, shape (rows,): how often a row is drawn; None means 1.

        Returns:
            The fitted estimator.
        """
        given: Any = validate_data(self, X, dtype=[np.float64, np.float32], order="C")
        self._check(given)
        weight = _check_sample_weight(sample_weight, given, dtype=given.dtype, ensure_non_negative=True)
        n = len(given)
        batch = min(self.batch_size, n)
        random = check_random_state(self.random_state)
        self._offset = given.mean(axis=0, dtype=np.float64).astype(given.dtype)
        rows = given - self._offset
        with announced(), one_thread():
            self._centres = self._seeded(rows, weight, random, batch)
            self._counts, self._since = np.zeros(self.n_clusters), 0
            share = np.cumsum(weight / weight.sum())
            share /= share[-1]
            tolerance = self.tol * float(np.var(rows, axis=0, dtype=np.float64).mean())
            smooth, least, idle, step = np.nan, np.inf, 0, 0
            alpha = min(1.0, 2.0 * batch / (n + 1))
            ones = np.ones(batch, rows.dtype)
            for step in range(1, max(1, self.max_iter * n // batch) + 1):
                drawn = np.searchsorted(share, random.random_sample(batch), side="right")
                before = self._centres
                inertia = self._step(rows[drawn], ones, batch, random) / batch
                if step == 1:  # of the seeds
                    continue
                smooth = inertia if np.isnan(smooth) else smooth * (1 - alpha) + inertia * alpha
                if tolerance > 0 and float(((self._centres - before) ** 2).sum()) <= tolerance:
                    break
                least, idle = (smooth, 0) if smooth < least else (least, idle + 1)
                if self.max_no_improvement is not None and idle >= self.max_no_improvement:
                    break
        self.n_steps_, self.n_iter_ = step, int(np.ceil(step * batch / n))
        self._publish()
        if self.compute_labels:
            self.labels_ = nearest_centres(rows, self._centres, n_threads=threads_for(self.n_jobs))
            self.inertia_ = float(from_own(rows, self._centres, self.labels_) @ weight.astype(np.float64))
        else:
            self.inertia_ = float(smooth * weight.sum())
        return self

    def partial_fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Take one batch more, the first of which is also what seeds are drawn from.

        Args:
            X: rows, shape (rows, features).
            y: ignored.
            sample_weight: >= 0, shape (rows,); None means 1.

        Returns:
            The estimator.
        """
        first = not hasattr(self, "cluster_centers_")
        given: Any = validate_data(self, X, dtype=[np.float64, np.float32], order="C", reset=first)
        weight = _check_sample_weight(sample_weight, given, dtype=given.dtype, ensure_non_negative=True)
        if first:
            self._check(given)
            self._random = check_random_state(self.random_state)
            self._offset = given.mean(axis=0, dtype=np.float64).astype(given.dtype)
            self.n_steps_, self._since, self._counts = 0, 0, np.zeros(self.n_clusters)
        elif not hasattr(self, "_random"):
            self._random = check_random_state(self.random_state)
        rows = (given - self._offset).astype(given.dtype)
        with announced(), one_thread():
            if first:
                self._centres = self._seeded(rows, weight, self._random, len(rows), alone=True)
            self._centres = self._centres.astype(rows.dtype)
            self.inertia_ = self._step(rows, weight, len(rows), self._random)
        if self.compute_labels:
            self.labels_ = nearest_centres(rows, self._centres, n_threads=threads_for(self.n_jobs))
            self.inertia_ = float(from_own(rows, self._centres, self.labels_) @ weight.astype(np.float64))
        self.n_steps_ += 1
        self._publish()
        return self

    def _publish(self) -> None:
        self.cluster_centers_ = self._centres + self._offset.astype(self._centres.dtype)
        self._n_features_out = self.n_clusters

    def _step(self, rows: NDArray, weight: NDArray, batch: int, random: np.random.RandomState) -> float:
        """Move the centres by one batch; its inertia before the move."""
        k, p = self._centres.shape
        labels, total, mass = np.empty(len(rows), np.int32), np.zeros((k, p)), np.zeros(k)
        assign_and_sum(rows, weight, self._centres, half_squares(self._centres), labels, total, mass)
        inertia = float(from_own(rows, self._centres, labels) @ weight.astype(np.float64))
        self._since += batch
        moves_small = bool((self._counts == 0).any()) or self._since >= 10 * k
        if moves_small:
            self._since = 0
        grown = self._counts + mass
        moved = (self._centres * self._counts[:, None] + total) / np.where(grown > 0, grown, 1)[:, None]
        moved = np.where(mass[:, None] > 0, moved, self._centres).astype(rows.dtype)
        self._counts = grown
        if moves_small and self.reassignment_ratio > 0:
            small = grown < self.reassignment_ratio * grown.max()
            if small.sum() > 0.5 * len(rows):
                small[np.argsort(grown)[int(0.5 * len(rows)) :]] = False
            if small.any():
                moved[small] = rows[random.choice(len(rows), replace=False, size=int(small.sum()))]
                self._counts[small] = grown[~small].min()
        self._centres = moved
        return inertia

    def _seeded(
        self, rows: NDArray, weight: NDArray, random: np.random.RandomState, batch: int, alone: bool = False
    ) -> NDArray:
        """Centres to start from; `alone`: one seeding, which needs no rows to judge it by."""
        n, k = len(rows), self.n_clusters
        size = self.init_size
        if size is None:
            size = 3 * min(self.batch_size, n)
            size = 3 * k if size < k else size
        size = min(size, n)
        judges = None if alone else random.randint(0, n, size)
        if not isinstance(self.init, str):
            return (np.asarray(self.init, dtype=rows.dtype) - self._offset).astype(rows.dtype)
        n_init = self.n_init if self.n_init != "auto" else 3 if self.init == "random" else 1
        best, least = None, np.inf
        for _ in range(1 if alone else n_init):
            among = random.randint(0, n, size) if size < n else np.arange(n)
            centres = rows[among[draw_seeds(rows[among], weight[among], k, self.init, random)]]
            if judges is None:
                return centres
            labels = nearest_centres(rows[judges], centres)
            inertia = float(from_own(rows[judges], centres, labels) @ weight[judges].astype(np.float64))
            if best is None or inertia < least:
                best, least = centres, inertia
        assert best is not None
        return best

    def _check(self, X: NDArray) -> None:
        least = {"n_clusters": 1, "max_iter": 1, "batch_size": 1, "n_init": 1, "init_size": self.n_clusters}
        for name, bound in (least | {"max_no_improvement": 0}).items():
            value = getattr(self, name)
            if (name in ("init_size", "max_no_improvement") and value is None) or (name, value) == ("n_init", "auto"):
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, got {value!r}")
            if value < bound:
                raise ValueError(f"{name} must be at least {bound}, got {value}")
        for name in ("tol", "reassignment_ratio"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)!r}")
        if self.n_clusters > len(X):
            raise ValueError(f"n_clusters must be at most n_samples = {len(X)}, got {self.n_clusters}")
        if isinstance(self.init, str):
            if self.init not in ("k-means++", "random"):
                raise ValueError(f"init must be 'k-means++', 'random' or an array of centres, got {self.init!r}")
            return
        given = np.asarray(self.init, dtype=np.float64)
        if given.shape != (self.n_clusters, X.shape[1]) or not np.isfinite(given).all():
            raise ValueError(f"init must be finite and of shape {(self.n_clusters, X.shape[1])}, got {given.shape}")

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Label of the nearest centre, of equally near ones the first, shape (rows,)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=[np.float64, np.float32], order="C", reset=False)
        rows = (rows - self._offset.astype(rows.dtype)).astype(rows.dtype)
        return nearest_centres(rows, self._centres.astype(rows.dtype), n_threads=threads_for(self.n_jobs))

    def transform(self, X: ArrayLike) -> NDArray:
        """Distance from each centre, shape (rows, k)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=[np.float64, np.float32], order="C", reset=False)
        first = np.zeros(len(rows), dtype=np.int32)
        out = [from_own(rows, self.cluster_centers_[j : j + 1], first) for j in range(self.n_clusters)]
        return np.sqrt(np.column_stack(out)).astype(rows.dtype, copy=False)

    def score(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the sum of w_i |x_i - c|^2, c the nearest centre of each row."""
        labels = self.predict(X)
        rows: Any = validate_data(self, X, dtype=[np.float64, np.float32], order="C", reset=False)
        weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        return -float(from_own(rows, self.cluster_centers_, labels) @ weight)
