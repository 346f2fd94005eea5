"""k-means: rows in k groups around their means."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from breadth.blas import one_thread, threads_for
from breadth.tabular.clusters.kmeans_start import draw_seeds
from breadth.tabular.clusters.lloyd import Algorithm, LloydRun, lloyd
from breadth.tabular.clusters.lloyd_sparse import lloyd_sparse
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


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Lloyd's k-means: minimises sum_i w_i |x_i - c_(l_i)|^2 by turns over labels l and centres c.

    Seeding draws scikit-learn's random numbers in its order, so an equal random_state starts from equal centres.
    Everything is the same to the bit for any number of threads.

    Args:
        n_clusters: k, in [1, rows].
        init: "k-means++" (greedy: 2 + floor(log k) draws in proportion to the squared distance from the nearest centre
            so far, of which the best stays), "random" (k distinct rows), centres of shape (k, features), or a function
            of (X, k, random_state=) that returns them.
        n_init: runs from different seeds, of which that with the least inertia stays; "auto" is 1, and 10 with
            "random" or a function.
        max_iter: iterations at most, >= 1.
        tol: a run ends when the squared shift of all centres is at most tol times the mean variance of a feature.
        random_state: None, an integer or a RandomState.
        algorithm: "lloyd" compares every row with every centre each time, "hamerly" only those whose bounds leave their
            label open; "auto" changes to bounds and back as they pay. They give the same clusters, and "elkan" is taken
            for "hamerly".
        verbose, copy_x: not read; present so that calls written for scikit-learn run. X is never written to.
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        cluster_centers_: shape (k, features), of X's dtype.
        labels_: of the training rows, shape (rows,), int32.
        inertia_: the sum that is minimised.
        n_iter_: iterations of the run that stayed.

    Raises:
        ValueError: if X holds NaN or infinity, or has fewer than k rows; or a parameter is not among those
            above.

    Cost: an iteration takes 2 n k p operations in matrix products, in the dtype of X (float32 or float64); memory
        one copy of X, and 16 k p numbers. Of sparse rows: 2 k operations for each entry and a few for each of the
        centres, which alone are dense; memory one copy of X, and 3 k p numbers.
    Deviations:
        1. float32 rows are summed in float64.
        2. A centre that loses all its rows moves to the row farthest from its own centre, as in scikit-learn; of
           equally far rows the first. Where no row is away from its centre, it stays.
        3. Hamerly's bounds, one a row, stand in for Elkan's, k a row. Sparse rows are always compared with every
           centre. They are not centred, so that their squared distances are right to some 1e-16 |x|^2, and columns
           whose mean is 1e6 times their spread lose what tells groups apart: give those as dense rows.
    References: Lloyd 1982, IEEE Trans. Information Theory 28(2), section III; Arthur & Vassilvitskii 2007, SODA,
        section 2.2 (k-means++) and 5 (its greedy variant); Hamerly 2010, SIAM Data Mining, algorithm 1.
    Peer: sklearn.cluster.KMeans from the same centres, and from the same random_state, float64, 1e-12 (A).
    In production: use it for vector quantisation and for compact groups of similar size, on scaled columns; not where
        groups are elongated or of very different density.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Literal["k-means++", "random"] | ArrayLike | Callable[..., ArrayLike] = "k-means++",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        copy_x: bool = True,
        algorithm: Algorithm | Literal["elkan"] = "auto",
        n_jobs: int | None = None,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the centres.

        Args:
            X: rows, shape (rows, features).
            y: ignored.
            sample_weight: >= 0, shape (rows,); None means 1. A row of weight 0 has a label but no say.

        Returns:
            The fitted estimator.
        """
        given = validated(self, X)
        self._check(given)
        weight = _check_sample_weight(sample_weight, given, dtype=given.dtype, ensure_non_negative=True)
        mean = own_mean(given)
        rows = centred(given, mean)  # |x - c|^2 comes from products: less of it cancels near the mean
        random = check_random_state(self.random_state)
        tolerance = self.tol * mean_variance(rows)
        best = None
        n_threads = self._n_threads()  # before BLAS is held to one
        with one_thread():
            for _ in range(self._n_starts()):
                if isinstance(self.init, str):
                    start = dense(rows, draw_seeds(rows, weight, self.n_clusters, self.init, random, n_threads))
                elif callable(self.init):
                    start = self._centres(self.init(given, self.n_clusters, random_state=random), given) - mean
                else:
                    start = self._centres(self.init, given) - mean
                run = self._run(rows, start, weight, tolerance, n_threads)
                if best is None or run.inertia < best.inertia:
                    best = run
        assert best is not None
        self.inertia_, self.labels_, centres, self.n_iter_, _ = best
        self.cluster_centers_ = centres + mean
        self._n_features_out = self.n_clusters
        found = len(np.unique(self.labels_))
        if found < self.n_clusters:
            warnings.warn(
                f"X has {found} distinct clusters, fewer than n_clusters = {self.n_clusters}: are rows duplicates?",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _run(self, rows: Any, start: NDArray, weight: NDArray, tol: float, n_threads: int) -> LloydRun:
        if sp.issparse(rows):
            return lloyd_sparse(rows, start, weight=weight, max_iter=self.max_iter, tol=tol, n_threads=n_threads)
        return lloyd(
            rows,
            start,
            weight=weight,
            max_iter=self.max_iter,
            tol=tol,
            algorithm="hamerly" if self.algorithm == "elkan" else self.algorithm,
            n_threads=n_threads,
        )

    def _check(self, X: Any) -> None:
        for name, value in (("n_clusters", self.n_clusters), ("max_iter", self.max_iter), ("n_init", self.n_init)):
            if name == "n_init" and isinstance(value, str):
                if value != "auto":
                    raise ValueError(f"n_init must be an integer or 'auto', got {value!r}")
            elif not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, got {value!r}")
            elif value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0, got {self.tol}")
        if self.n_clusters > X.shape[0]:
            raise ValueError(f"n_clusters must be at most n_samples = {X.shape[0]}, got {self.n_clusters}")
        if self.algorithm not in ("auto", "lloyd", "hamerly", "elkan"):
            raise ValueError(f"algorithm must be 'auto', 'lloyd', 'hamerly' or 'elkan', got {self.algorithm!r}")
        if isinstance(self.init, str):
            if self.init not in ("k-means++", "random"):
                raise ValueError(
                    f"init must be 'k-means++', 'random', an array of centres or a function, got {self.init!r}"
                )
        elif not callable(self.init):
            self._centres(self.init, X)

    def _n_starts(self) -> int:
        if not isinstance(self.init, str) and not callable(self.init):
            return 1
        if self.n_init != "auto":
            return int(self.n_init)
        return 1 if isinstance(self.init, str) and self.init == "k-means++" else 10

    def _centres(self, given: Any, X: Any) -> NDArray:
        """Centres to start from, dense and of X's dtype, after a check."""
        centres = np.asarray(given.toarray() if sp.issparse(given) else given, dtype=X.dtype)
        if centres.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(f"init must have shape {(self.n_clusters, X.shape[1])}, got {centres.shape}")
        if not np.isfinite(centres).all():
            raise ValueError("init must be finite, got NaN or infinity")
        return centres

    def _n_threads(self) -> int:
        return threads_for(self.n_jobs)

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Label of the nearest centre, of equally near ones the first, shape (rows,)."""
        check_is_fitted(self)
        return self._labels(validated(self, X, reset=False))

    def _labels(self, rows: Any) -> NDArray[np.int32]:
        at = np.zeros(rows.shape[1]) if sp.issparse(rows) else self.cluster_centers_.mean(axis=0, dtype=np.float64)
        centres = (self.cluster_centers_ - at).astype(rows.dtype)
        return nearest(centred(rows, at.astype(rows.dtype)), centres, n_threads=self._n_threads())

    def transform(self, X: ArrayLike) -> NDArray:
        """Distance from each centre, shape (rows, k)."""
        check_is_fitted(self)
        return distances(validated(self, X, reset=False), self.cluster_centers_, n_threads=self._n_threads())

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
