"""k-means by small batches of rows: for many rows, or rows that come one batch after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from breadth.blas import one_thread, threads_for
from breadth.compilation import announced
from breadth.tabular.clusters.kmeans_kernels import assign_and_sum
from breadth.tabular.clusters.kmeans_start import draw_seeds
from breadth.tabular.clusters.lloyd import half_squares
from breadth.tabular.clusters.rows import (
    centred,
    dense,
    distances,
    inertia_of,
    mean_variance,
    nearest,
    own_mean,
    validated,
)
from breadth.tabular.clusters.sparse_kernels import add_sparse
from breadth.tabular.clusters.sparse_rows import compressed


class MiniBatchKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Lowers sum_i w_i |x_i - c_(l_i)|^2 by batches: each centre is the mean of all rows that it has ever been given.

    An equal random_state draws scikit-learn's seeds and batches, and takes its steps.

    Args:
        n_clusters: k, in [1, rows].
        init: "k-means++", "random" (rows), centres of shape (k, features), or a function of (init_size rows, k,
            random_state=) that returns them.
        max_iter: times that as many rows as there are may be drawn, >= 1.
        batch_size: rows of a batch, >= 1.
        verbose: not read; present so that calls written for scikit-learn run.
        compute_labels: label the training rows after the fit.
        random_state: None, an integer or a RandomState.
        tol: stop when the squared shift of all centres is at most tol times the mean variance of a feature; 0: never.
        max_no_improvement: stop after this many batches without a lower smoothed inertia; None: never.
        init_size: rows that seeds are drawn from; None is 3 batches, or 3 k where that is less than k.
        n_init: seedings, of which that with the least inertia on init_size rows stays; "auto" is 1, and 3 with
            "random" or a function.
        reassignment_ratio: a centre with less than this share of the rows of the largest moves to a random row, >= 0.
        n_jobs: threads of labelling, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        cluster_centers_: shape (k, features), of X's dtype.
        labels_: of the training rows (of the last batch, after `partial_fit`), int32.
        inertia_: sum of weighted squared distances of those from their centres.
        n_iter_, n_steps_: rows drawn, as a multiple of the training rows rounded up, and batches.

    Raises:
        ValueError: if X holds NaN or infinity, or has fewer than k rows; or a parameter is out of range.

    Cost: a batch of b rows takes 2 b k p operations, of sparse rows 2 k for each entry and a few for each of the
        centres; memory one copy of X if it is dense, and 4 k p numbers.
    Deviations:
        1. Rows are summed in float64 and compared at X's mean (of the first batch, in `partial_fit`); sparse rows are
            not centred.
        2. An init_size below k is an error.
    References: Sculley 2010, WWW, algorithm 1; scikit-learn's reassignment of small clusters.
    Peer: sklearn.cluster.MiniBatchKMeans from the same random_state, float64, 1e-10 (A).
    In production: use it beyond some 1e6 rows, or for streams; `KMeans` ends with less inertia.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Literal["k-means++", "random"] | ArrayLike | Callable[..., ArrayLike] = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        verbose: int = 0,
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
        self.verbose = verbose
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
        given = validated(self, X)
        self._check(given)
        weight = _check_sample_weight(sample_weight, given, dtype=given.dtype, ensure_non_negative=True)
        n = given.shape[0]
        batch = min(self.batch_size, n)
        random = check_random_state(self.random_state)
        self._offset = own_mean(given)
        rows = centred(given, self._offset)
        with announced(), one_thread():
            self._centres = self._seeded(given, rows, weight, random)
            self._counts, self._since = np.zeros(self.n_clusters), 0
            share = np.cumsum(weight / weight.sum())
            share /= share[-1]
            tolerance = self.tol * mean_variance(rows) if self.tol else 0.0
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
            self.labels_ = nearest(rows, self._centres, n_threads=threads_for(self.n_jobs))
            self.inertia_ = inertia_of(rows, self._centres, self.labels_, weight)
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
        given = validated(self, X, reset=first)
        weight = _check_sample_weight(sample_weight, given, dtype=given.dtype, ensure_non_negative=True)
        if first:
            self._check(given)
            self._random = check_random_state(self.random_state)
            self._offset = own_mean(given)
            self.n_steps_, self._since, self._counts = 0, 0, np.zeros(self.n_clusters)
        elif not hasattr(self, "_random"):
            self._random = check_random_state(self.random_state)
        if not first and sp.issparse(given) and self._offset.any():  # the first rows were dense
            self._centres, self._offset = self.cluster_centers_, np.zeros_like(self._offset)
        rows = centred(given, self._offset)
        with announced(), one_thread():
            if first:
                self._centres = self._seeded(given, rows, weight, self._random, alone=True)
            self._centres = self._centres.astype(rows.dtype)
            self.inertia_ = self._step(rows, weight, rows.shape[0], self._random)
        if self.compute_labels:
            self.labels_ = nearest(rows, self._centres, n_threads=threads_for(self.n_jobs))
            self.inertia_ = inertia_of(rows, self._centres, self.labels_, weight)
        self.n_steps_ += 1
        self._publish()
        return self

    def _publish(self) -> None:
        self.cluster_centers_ = self._centres + self._offset.astype(self._centres.dtype)
        self._n_features_out = self.n_clusters

    def _step(self, rows: Any, weight: NDArray, batch: int, random: np.random.RandomState) -> float:
        """Move the centres by one batch; its inertia before the move."""
        k, p = self._centres.shape
        n = rows.shape[0]
        total, mass = np.zeros((k, p)), np.zeros(k)
        if sp.issparse(rows):
            labels = nearest(rows, self._centres)
            add_sparse(*compressed(rows), weight, labels, total, mass)
        else:
            labels = np.empty(n, np.int32)
            assign_and_sum(rows, weight, self._centres, half_squares(self._centres), labels, total, mass)
        inertia = inertia_of(rows, self._centres, labels, weight)
        self._since += batch
        moves_small = bool((self._counts == 0).any()) or self._since >= 10 * k
        if moves_small:
            self._since = 0
        grown = self._counts + mass
        moved = self._centres * self._counts[:, None]  # in place from here: the centres of sparse rows are large
        moved += total
        moved /= np.where(grown > 0, grown, 1)[:, None]
        moved[mass == 0] = self._centres[mass == 0]
        moved = moved.astype(rows.dtype, copy=False)
        self._counts = grown
        if moves_small and self.reassignment_ratio > 0:
            small = grown < self.reassignment_ratio * grown.max()
            if small.sum() > 0.5 * n:
                small[np.argsort(grown)[int(0.5 * n) :]] = False
            if small.any():
                moved[small] = dense(rows, random.choice(n, replace=False, size=int(small.sum())))
                self._counts[small] = grown[~small].min()
        self._centres = moved
        return inertia

    def _seeded(
        self, given: Any, rows: Any, weight: NDArray, random: np.random.RandomState, alone: bool = False
    ) -> NDArray:
        """Centres to start from, as `rows`, which are `given` centred; `alone`: one seeding, which no rows judge."""
        n, k = rows.shape[0], self.n_clusters
        size = self.init_size
        if size is None:
            size = 3 * min(self.batch_size, n)
            size = 3 * k if size < k else size
        size = min(size, n)
        judges = None if alone else random.randint(0, n, size)
        of_words = isinstance(self.init, str)
        n_init = 1 if alone or not (of_words or callable(self.init)) else self.n_init
        best, least = None, np.inf
        for _ in range(n_init if n_init != "auto" else 1 if self.init == "k-means++" else 3):
            among = random.randint(0, n, size) if size < n else np.arange(n)
            if of_words:
                drawn = rows[among] if size < n else rows
                centres = dense(rows, among[draw_seeds(drawn, weight[among], k, self.init, random)])
            else:
                fixed = self.init(given[among], k, random_state=random) if callable(self.init) else self.init
                centres = (self._checked(fixed, rows.shape[1]).astype(rows.dtype) - self._offset).astype(rows.dtype)
            if judges is None:
                return centres
            labels = nearest(rows[judges], centres)
            inertia = inertia_of(rows[judges], centres, labels, weight[judges])
            if best is None or inertia < least:
                best, least = centres, inertia
        assert best is not None
        return best

    def _checked(self, init: Any, p: int) -> NDArray[np.float64]:
        centres = np.asarray(init.toarray() if sp.issparse(init) else init, dtype=np.float64)
        if centres.shape != (self.n_clusters, p) or not np.isfinite(centres).all():
            raise ValueError(f"init must be finite and of shape {(self.n_clusters, p)}, got {centres.shape}")
        return centres

    def _check(self, X: Any) -> None:
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
        if self.n_clusters > X.shape[0]:
            raise ValueError(f"n_clusters must be at most n_samples = {X.shape[0]}, got {self.n_clusters}")
        if isinstance(self.init, str):
            if self.init not in ("k-means++", "random"):
                raise ValueError(
                    f"init must be 'k-means++', 'random', an array of centres or a function, got {self.init!r}"
                )
        elif not callable(self.init):
            self._checked(self.init, X.shape[1])

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Label of the nearest centre, of equally near ones the first, shape (rows,)."""
        check_is_fitted(self)
        return self._labels(validated(self, X, reset=False))

    def _labels(self, rows: Any) -> NDArray[np.int32]:
        if sp.issparse(rows):
            centres = self.cluster_centers_
        else:
            rows, centres = centred(rows, self._offset.astype(rows.dtype)), self._centres
        return nearest(rows, centres.astype(rows.dtype), n_threads=threads_for(self.n_jobs))

    def transform(self, X: ArrayLike) -> NDArray:
        """Distance from each centre, shape (rows, k)."""
        check_is_fitted(self)
        rows = validated(self, X, reset=False)
        return distances(rows, self.cluster_centers_, n_threads=threads_for(self.n_jobs))

    def score(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the sum of w_i |x_i - c|^2, c the nearest centre of each row."""
        check_is_fitted(self)
        rows = validated(self, X, reset=False)
        weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        return -inertia_of(rows, self.cluster_centers_, self._labels(rows), weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
