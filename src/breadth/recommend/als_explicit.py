"""Matrix factorisation of ratings by alternating least squares over the ratings that exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from breadth.blas import one_thread, threads_for
from breadth.recommend.als_kernels import entry_scores, least_squares
from breadth.recommend.interactions import (
    Recommendation,
    check_indices,
    check_pairs,
    over_rows,
    read_interactions,
    recommend_best,
)


class ExplicitALS(BaseEstimator):
    """Ratings as mu + b_u + b_i + x_u . y_i, fitted to the observed entries alone.

    Minimises sum_(observed u,i) (r_ui - mu - b_u - b_i - x_u . y_i)^2 + lambda (sum_u n_u (|x_u|^2 + b_u^2) +
    sum_i n_i (|y_i|^2 + b_i^2)) by turns: for each user the ridge regression of its residual ratings on the factors of
    the items it rated, and the same for each item. mu is the mean rating and stays. Every half turn lowers the sum. An
    entry that is not stored is unknown: it is no rating of 0.

    Args:
        factors: numbers for each user and each item beside the biases, >= 0; 0 fits biases alone.
        regularization: lambda, > 0.
        iterations: turns over users and items at most, >= 1.
        tol: a fit ends when a turn lowers the objective by less than tol times its value, >= 0.
        biases: fit mu, b_u and b_i; otherwise ratings are x_u . y_i.
        weighted: multiply lambda by the number of ratings n of the row or column (ALS-WR); otherwise n = 1.
        warm_start: continue from the factors of the last fit, whose shape must be the same.
        random_state: None, an integer or a RandomState: factors start normal, of standard deviation 0.1.
        n_jobs: threads, >= 1, or -1 for every core; None means as many as BLAS has been granted.

    Attributes:
        user_factors_, item_factors_: x, shape (users, factors), and y, shape (items, factors), float64.
        user_biases_, item_biases_: b_u, shape (users,), and b_i, shape (items,); 0 without `biases`.
        mean_: mu; 0 without `biases`.
        objectives_: the sum that is minimised after each half turn, users first, shape (2 turns,).
        n_iter_: turns taken.
        n_features_in_: items.

    Raises:
        ValueError, TypeError: if a parameter is out of its range, X is not a finite matrix of users by items, X stores
            a pair twice, or X has no rating.

    Cost: a turn takes ratings x factors^2 + (users + items) factors^3 / 3 operations.
    Deviations:
        1. Zhou et al. start each item's first factor at its mean rating; here the biases take its place, each fitted
           as one more factor whose partner is 1.
    References: Zhou, Wilkinson, Schreiber & Pan 2008, Large-scale parallel collaborative filtering for the Netflix
        Prize, AAIM, section 3 (weighted-lambda regularization); Koren, Bell & Volinsky 2009, Matrix factorization
        techniques for recommender systems, IEEE Computer 42(8), eq. 4-5 (biases).
    Peer: sklearn.linear_model.Ridge on each row's observed entries, float64, 1e-9 (A).
    In production: use it for ratings of a known scale; `ImplicitALS` where users only click or buy.
    """

    def __init__(
        self,
        factors: int = 32,
        regularization: float = 0.05,
        iterations: int = 15,
        random_state: int | np.random.RandomState | None = None,
        *,
        tol: float = 0.0,
        biases: bool = True,
        weighted: bool = True,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ):
        self.factors = factors
        self.regularization = regularization
        self.iterations = iterations
        self.random_state = random_state
        self.tol = tol
        self.biases = biases
        self.weighted = weighted
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: None = None, *, callback: Callable[[int, Self], object] | None = None) -> Self:
        """Find factors and biases.

        Args:
            X: ratings, shape (users, items): scipy sparse, a stored 0 being a rating of 0, or dense with NaN where
                there is none.
            y: not read.
            callback: called with the number of each turn, from 1, and the estimator; to stop, return True.

        Returns:
            The fitted estimator.
        """
        self._check_parameters()
        by_user = read_interactions(X, ratings=True)
        if by_user.nnz == 0:
            raise ValueError("X holds no rating")
        by_item = sp.csr_array(by_user.T)
        by_item.sort_indices()
        self.n_features_in_ = by_user.shape[1]
        self._by_user = by_user
        self.mean_ = float(by_user.data.mean()) if self.biases else 0.0
        # the last column of both is the bias: of the row that is solved for it multiplies the other's 1
        users, items = self._start(by_user.shape)
        self.objectives_ = np.zeros(0)
        for turn in range(1, self.iterations + 1):
            self.n_iter_ = turn
            before = self.objectives_[-1] if len(self.objectives_) else np.inf
            for matrix, rows, columns in ((by_user, users, items), (by_item, items, users)):
                rows[:] = self._solve(matrix, columns)
                self._name(users, items)
                self.objectives_ = np.append(self.objectives_, self._objective())
            stop = callback is not None and callback(turn, self) is True
            if stop or (self.tol > 0 and before - self.objectives_[-1] < self.tol * self.objectives_[-1]):
                break
        return self

    def _check_parameters(self) -> None:
        for name, least in (("factors", 0 if self.biases else 1), ("iterations", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
        if not 0 < self.regularization < np.inf:
            raise ValueError(f"regularization must be a finite number > 0, got {self.regularization!r}")
        if not 0 <= self.tol < np.inf:
            raise ValueError(f"tol must be a finite number >= 0, got {self.tol!r}")

    def _start(self, shape: tuple[int, int]) -> tuple[NDArray, NDArray]:
        if self.warm_start and hasattr(self, "user_factors_"):
            users = np.column_stack([self.user_factors_, self.user_biases_])
            items = np.column_stack([self.item_factors_, self.item_biases_])
            wanted = ((shape[0], self.factors + 1), (shape[1], self.factors + 1))
            if (users.shape, items.shape) != wanted:
                raise ValueError(f"warm_start needs factors of the last fit's shape, got X of shape {shape}")
            return users, items
        rng = check_random_state(self.random_state)
        users, items = (rng.normal(scale=0.1, size=(n, self.factors + 1)) for n in shape)
        users[:, -1] = items[:, -1] = 0.0
        return users, items

    def _name(self, users: NDArray, items: NDArray) -> None:
        self.user_factors_, self.user_biases_ = users[:, :-1], users[:, -1]
        self.item_factors_, self.item_biases_ = items[:, :-1], items[:, -1]

    def _solve(self, matrix: sp.csr_array, columns: NDArray) -> NDArray:
        """The best factors and bias of each row of the matrix, while those of its columns stay."""
        target = matrix.data - self.mean_ - columns[matrix.indices, -1]
        design = columns.copy()
        design[:, -1] = 1.0
        if not self.biases:
            design = np.ascontiguousarray(design[:, :-1])
        k = design.shape[1]
        rows = np.zeros((matrix.shape[0], k))
        base, ridge = np.zeros((k, k)), float(self.regularization)
        if not self.weighted:
            base, ridge = ridge * np.eye(k), 0.0
        weight = np.ones_like(target)
        rest = (weight, target, rows, design, base, ridge)
        failed = sum(over_rows(least_squares, matrix, k, threads_for(self.n_jobs), *rest))
        if failed:
            raise ValueError(f"{failed} rows have no unique factors in float64: raise regularization or scale X down")
        return rows if self.biases else np.column_stack([rows, np.zeros(len(rows))])

    def _objective(self) -> float:
        x, y, matrix = self.user_factors_, self.item_factors_, self._by_user
        score = np.empty(matrix.nnz)
        over_rows(entry_scores, matrix, 0.0, threads_for(self.n_jobs), x, y, score)
        user = np.repeat(np.arange(len(x)), np.diff(matrix.indptr))
        rest = matrix.data - self.mean_ - self.user_biases_[user] - self.item_biases_[matrix.indices] - score
        user_size = np.einsum("uf,uf->u", x, x) + self.user_biases_**2
        item_size = np.einsum("if,if->i", y, y) + self.item_biases_**2
        if self.weighted:
            user_size *= np.diff(matrix.indptr)
            item_size *= np.bincount(matrix.indices, minlength=len(y))
        return float(rest @ rest + self.regularization * (user_size.sum() + item_size.sum()))

    def fold_in(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Factors and biases of new users: the exact minimum over their own terms, all else as it is.

        Args:
            X: ratings of new users, shape (new users, items), as in fit.

        Returns:
            Factors, shape (new users, factors), and biases, shape (new users,).

        Raises:
            ValueError: if X has another number of items than that of the fit.
        """
        check_is_fitted(self)
        rows = self._solve(self._read_new(X), np.column_stack([self.item_factors_, self.item_biases_]))
        return rows[:, :-1], rows[:, -1]

    def _read_new(self, X: Any) -> sp.csr_array:
        matrix = read_interactions(X, ratings=True)
        if matrix.shape[1] != self.n_features_in_:
            raise ValueError(f"X must have the {self.n_features_in_} items of the fit, got {matrix.shape[1]}")
        return matrix

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.float64] | float:
        """Expected rating of each pair; a number for one pair. What has no ratings counts as average."""
        check_is_fitted(self)
        user, item, alone = check_pairs(users, items, self._by_user.shape)
        rating = np.einsum("pf,pf->p", self.user_factors_[user], self.item_factors_[item])
        rating += self.mean_ + self.user_biases_[user] + self.item_biases_[item]
        return float(rating[0]) if alone else rating

    def recommend(self, users: ArrayLike, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """The items with the largest expected rating, of equal ones the lower number first.

        Args:
            users: a row number of the fitted matrix, or several.
            k: items for each user, in [1, items].
            exclude_seen: leave out the items that the user has rated.

        Returns:
            Recommendation: of one user, at most k items; of several, -1 and -inf where fewer than k are left.
        """
        check_is_fitted(self)
        user, alone = check_indices(users, self._by_user.shape[0], "users")
        return self._best(
            self.user_factors_[user], self.user_biases_[user], self._by_user[user], k, exclude_seen, alone
        )

    def recommend_new(self, X: Any, k: int = 10, *, exclude_seen: bool = True) -> Recommendation:
        """As `recommend`, for users who were not in the fit: X as in `fold_in`."""
        return self._best(*self.fold_in(X), self._read_new(X), k, exclude_seen, False)

    def _best(
        self, x: NDArray, bias: NDArray, seen: sp.csr_array, k: int, exclude_seen: bool, alone: bool
    ) -> Recommendation:
        level = self.mean_ + bias

        def scores(rows: slice) -> NDArray:
            return x[rows] @ self.item_factors_.T + self.item_biases_ + level[rows, None]

        with one_thread():
            return recommend_best(scores, seen, k, exclude_seen=exclude_seen, alone=alone)
