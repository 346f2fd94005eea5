"""Matrix factorisation by alternating least squares from clicks, purchases and other signs of interest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from breadth.blas import one_thread, threads_for
from breadth.recommend.als_kernels import conjugate_gradient, entry_scores, least_squares
from breadth.recommend.interactions import (
    Recommendation,
    check_indices,
    check_pairs,
    over_rows,
    read_interactions,
    recommend_best,
)


class ImplicitALS(BaseEstimator):
    """Factors x_u, y_i whose product is near 1 where a user took an item and near 0 elsewhere.

    Minimises sum_{u,i} c_ui (p_ui - x_u . y_i)^2 + regularization (sum_u |x_u|^2 + sum_i |y_i|^2) over all pairs by
    turns: all users with the items' factors fixed, then all items. With v = alpha X_ui a stored pair has confidence
    c = |v| and preference p = 1 if v > 0, 0 if v < 0 (an item known to be disliked); every other pair has c = 1, p = 0.

    A turn takes a few steps of conjugate gradients from the factors as they stand. They are taken in coordinates in
    which the part that all rows share, Y'Y + regularization I, is the identity: what is left to invert is then of the
    rank of the row's own entries, a step costs no product with that matrix, and two steps come further than three in
    the factors' own coordinates.

    Args:
        factors: numbers for each user and each item, >= 1.
        regularization: weight of the squared factors, > 0.
        alpha: what X is multiplied by, > 0.
        iterations: turns over users and items, >= 1.
        solver: "cg", or "cholesky" for the exact minimum of each turn.
        cg_steps: steps of conjugate gradients a turn, >= 1.
        dtype: of the factors, "float32" or "float64".
        warm_start: continue from the factors of the last fit, whose shape must be the same.
        random_state: None, an integer or a RandomState: factors start uniform in [0, 0.01).
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        user_factors_: x, shape (users, factors). A user without entries has 0, and scores 0 on every item.
        item_factors_: y, shape (items, factors).
        objective_: the sum that is minimised, after the last turn.
        n_features_in_: items.

    Raises:
        ValueError, TypeError: if a parameter is out of its range or X is not a finite matrix of users by items.

    Cost: users take 4 (cg_steps + 1) entries x factors + 2 (2 users + items) factors^2 operations a turn, and items
        likewise; with "cholesky" entries x factors^2 + users factors^3 / 3.
    Deviations:
        1. Hu et al. have c = 1 + alpha r for stored pairs and 1 elsewhere (their eq. 3 minimises with that c); here, as
           in the library `implicit`, c = alpha r. Give X + 1 / alpha where it is stored for theirs.
        2. Conjugate gradients run in the coordinates above; Takács et al. take the factors' own.
    References: Hu, Koren & Volinsky 2008, Collaborative filtering for implicit feedback datasets, ICDM, eq. 3-5;
        Takács, Pilászy & Tikk 2011, Applications of the conjugate gradient method for implicit feedback collaborative
        filtering, RecSys.
    Peer: implicit.als.AlternatingLeastSquares: "cholesky" gives its factors, "cg" an objective no larger (A).
    In production: use it where users give no ratings; for many millions of users on a GPU use `implicit`.
    """

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 0.01,
        alpha: float = 1.0,
        iterations: int = 15,
        random_state: int | np.random.RandomState | None = None,
        *,
        solver: Literal["cg", "cholesky"] = "cg",
        cg_steps: int = 2,
        dtype: Literal["float32", "float64"] = "float32",
        warm_start: bool = False,
        n_jobs: int | None = None,
    ):
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.random_state = random_state
        self.solver = solver
        self.cg_steps = cg_steps
        self.dtype = dtype
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: None = None, *, callback: Callable[[int, Self], object] | None = None) -> Self:
        """Find the factors.

        Args:
            X: strength of interest, shape (users, items), scipy sparse or dense; 0 where there is none.
            y: not read.
            callback: called with the number of each iteration, from 1, and the estimator; to stop, return True.

        Returns:
            The fitted estimator.
        """
        self._check_parameters()
        by_user = self._weighted(X)
        by_item = sp.csr_array(by_user.T)
        by_item.sort_indices()
        self._start(by_user.shape)
        self.n_features_in_ = by_user.shape[1]
        self._by_user = by_user
        with one_thread():
            for iteration in range(1, self.iterations + 1):
                self._turn(by_user, self.user_factors_, self.item_factors_)
                self._turn(by_item, self.item_factors_, self.user_factors_)
                if not (np.isfinite(self.user_factors_).all() and np.isfinite(self.item_factors_).all()):
                    raise ValueError(
                        f"factors overflowed {self.dtype} in iteration {iteration}: scale X or alpha down, or raise "
                        "regularization"
                    )
                if callback is not None and callback(iteration, self) is True:
                    break
        self.objective_ = self._objective(by_user)
        return self

    def _check_parameters(self) -> None:
        for name in ("factors", "iterations", "cg_steps"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
        for name in ("regularization", "alpha"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
        if self.solver not in ("cg", "cholesky"):
            raise ValueError(f"solver must be 'cg' or 'cholesky', got {self.solver!r}")
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {self.dtype!r}")

    def _weighted(self, X: Any) -> sp.csr_array:
        matrix = read_interactions(X, ratings=False)
        with np.errstate(over="ignore"):
            matrix.data = (self.alpha * matrix.data).astype(self.dtype)
        if not np.isfinite(matrix.data).all():
            raise ValueError(f"alpha * X overflows {self.dtype}; scale X down")
        return matrix

    def _start(self, shape: tuple[int, int]) -> None:
        wanted = ((shape[0], self.factors), (shape[1], self.factors))
        if self.warm_start and hasattr(self, "user_factors_"):
            have = (self.user_factors_.shape, self.item_factors_.shape)
            if have != wanted:
                raise ValueError(f"warm_start needs factors of shapes {wanted}, the last fit left {have}")
            return
        rng = check_random_state(self.random_state)
        self.user_factors_, self.item_factors_ = (
            rng.random_sample(size).astype(self.dtype) * np.dtype(self.dtype).type(0.01) for size in wanted
        )

    def _turn(self, matrix: sp.csr_array, rows: NDArray, columns: NDArray) -> None:
        """Improve the rows' factors in place."""
        shared = self._shared(columns)
        threads = threads_for(self.n_jobs)
        if self.solver == "cholesky":
            _solve_exactly(matrix, rows, columns, shared, threads)
            return
        lower = np.linalg.cholesky(shared)
        inverse = scipy.linalg.solve_triangular(lower, np.eye(self.factors), lower=True, check_finite=False)
        white = columns @ inverse.T.astype(rows.dtype)
        turned = rows @ lower.astype(rows.dtype)
        over_rows(conjugate_gradient, matrix, 4.0, threads, matrix.data, turned, white, self.cg_steps)
        np.matmul(turned, inverse.astype(rows.dtype), out=rows)

    def _shared(self, columns: NDArray) -> NDArray[np.float64]:
        """Y'Y + regularization I."""
        return np.asarray(columns.T @ columns, dtype=np.float64) + self.regularization * np.eye(self.factors)

    def objective_of(self, X: Any) -> float:
        """The sum that is minimised, of the factors as they are, on interactions of as many users and items."""
        check_is_fitted(self)
        matrix = self._weighted(X)
        wanted = (len(self.user_factors_), len(self.item_factors_))
        if matrix.shape != wanted:
            raise ValueError(f"X must have the shape of the factors, {wanted}, got {matrix.shape}")
        return self._objective(matrix)

    def _objective(self, matrix: sp.csr_array) -> float:
        x, y = self.user_factors_, self.item_factors_
        score = np.empty(matrix.nnz)
        over_rows(entry_scores, matrix, 0.0, threads_for(self.n_jobs), x, y, score)
        value = np.asarray(matrix.data, dtype=np.float64)
        confidence = np.abs(value)
        stored = confidence @ ((value > 0) - score) ** 2 - score @ score
        gram_x, gram_y = (np.asarray(a.T @ a, dtype=np.float64) for a in (x, y))
        penalty = self.regularization * (np.trace(gram_x) + np.trace(gram_y))
        return float(stored + np.vdot(gram_x, gram_y) + penalty)

    def fold_in(self, X: Any) -> NDArray:
        """Factors of new users: the exact minimum over x of their rows, the items' factors as they are.

        Args:
            X: interest of new users, shape (new users, items), as in fit.

        Returns:
            Factors, shape (new users, factors).

        Raises:
            ValueError: if X has another number of items than that of the fit.
        """
        check_is_fitted(self)
        matrix = self._weighted(X)
        if matrix.shape[1] != self.n_features_in_:
            raise ValueError(f"X must have the {self.n_features_in_} items of the fit, got {matrix.shape[1]}")
        rows = np.zeros((matrix.shape[0], self.factors), self.item_factors_.dtype)
        _solve_exactly(matrix, rows, self.item_factors_, self._shared(self.item_factors_), threads_for(self.n_jobs))
        return rows

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float64] | float:
        """x_u . y_i of each pair, near 1 for items that the user would take; a number for one pair."""
        check_is_fitted(self)
        user, item, alone = check_pairs(users, items, self._by_user.shape)
        scores = np.einsum("pf,pf->p", self.user_factors_[user], self.item_factors_[item], dtype=np.float64)
        return float(scores[0]) if alone else scores

    def recommend(self, users: ArrayLike, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """The items with the largest x_u . y_i, of equal ones the lower number first.

        Args:
            users: a row number of the fitted matrix, or several.
            k: items for each user, in [1, items].
            exclude_seen: leave out the items that the user has an entry for.

        Returns:
            Recommendation: of one user, at most k items; of several, -1 and -inf where fewer than k are left.
        """
        check_is_fitted(self)
        user, alone = check_indices(users, self._by_user.shape[0], "users")
        return _recommend(self.user_factors_[user], self.item_factors_, self._by_user[user], k, exclude_seen, alone)

    def recommend_new(self, X: Any, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """As `recommend`, for users who were not in the fit: X as in `fold_in`."""
        rows = self.fold_in(X)
        return _recommend(rows, self.item_factors_, self._weighted(X), k, exclude_seen, False)

    def similar_items(self, item: int, k: int = 10) -> Recommendation:
        """The k items whose factors have the largest cosine with the item's, itself left out; 0 where factors are 0."""
        check_is_fitted(self)
        chosen, alone = check_indices(item, self.n_features_in_, "item")
        if not alone:
            raise ValueError(f"item must be one column number, got {item!r}")
        length = np.linalg.norm(self.item_factors_, axis=1, keepdims=True)
        unit = np.divide(self.item_factors_, length, out=np.zeros_like(self.item_factors_), where=length > 0)
        own = sp.csr_array((np.ones(1), chosen, [0, 1]), shape=(1, len(unit)))
        return _recommend(unit[chosen], unit, own, k, True, True)


def _solve_exactly(matrix: sp.csr_array, rows: NDArray, columns: NDArray, shared: NDArray, threads: int) -> None:
    confidence = np.abs(matrix.data)
    target = np.where(matrix.data > 0, confidence, 0)
    work = rows.shape[1]  # building a matrix costs this much of one entry's part
    rest = (confidence - confidence.dtype.type(1), target, rows, columns, shared, 0.0)
    failed = sum(over_rows(least_squares, matrix, work, threads, *rest))
    if failed:
        raise ValueError(f"{failed} rows have no unique factors in {rows.dtype}: raise regularization or scale X down")


def _recommend(
    rows: NDArray, columns: NDArray, seen: sp.csr_array, k: int, exclude_seen: bool, alone: bool
) -> Recommendation:
    with one_thread():
        return recommend_best(lambda part: rows[part] @ columns.T, seen, k, exclude_seen=exclude_seen, alone=alone)
