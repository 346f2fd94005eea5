"""Linear regression with an absolute penalty, which leaves features out: the lasso and the elastic net."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.compilation import announced
from breadth.tabular.linear.lasso_paths import check_selection, check_settings, checked_weights, follow, whole_pays
from breadth.tabular.linear.lasso_problem import LassoProblem

_FORMS = ["csc", "csr", "coo"]


class Lasso(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Least squares with an absolute penalty: minimise sum_i w_i (y_i - b - x_i . beta)^2 / (2 sum w) + alpha |beta|_1.

    The elastic net with l1_ratio = 1. Coefficients that the penalty outweighs are exactly 0.

    Args:
        alpha: strength of the penalty, > 0.
        fit_intercept: estimate b; otherwise b = 0 and X is not centred.
        max_iter: greatest number of sweeps, >= 1; reaching it raises a ConvergenceWarning.
        tol: the duality gap at which to stop, over the (weighted) mean square of the centred y, >= 0.
        warm_start: start from the coefficients of the last fit.
        positive: only coefficients >= 0.
        precompute, copy_X, random_state, selection: not read, present so that calls written for scikit-learn run:
            shapes decide what is formed, X is never written to, and the order of visits does not move the optimum.

    Attributes:
        coef_: shape (features,), or (targets, features).
        sparse_coef_: the same as a scipy sparse matrix.
        intercept_: b, a float, or shape (targets,).
        n_iter_: sweeps, an int, or a list, one a target.
        dual_gap_: how far above the optimum the objective is at most, a float, or shape (targets,).

    Raises:
        ValueError: if X or y holds NaN or infinity, a weight is negative or all are 0, or a parameter is out of its
            range; alpha = 0 is least squares, which LinearRegression solves.

    Warns:
        ConvergenceWarning: if max_iter sweeps did not reach tol.

    Cost: two products with X for each working set, usually 2 to 4; products of the columns in it; then as many
        operations as it has columns for each changed coefficient. Sparse X stays sparse, also when centred.

    Deviations: several targets are so many lassos, as in scikit-learn, with one Gram matrix. Computes in float64.

    References: Friedman, Hastie & Tibshirani 2010, J. Stat. Software 33(1), eqs. 5 and 8; Tibshirani et al. 2012,
        J. R. Stat. Soc. B 74(2), eq. 5 (strong rule); Massias, Gramfort & Salmon 2018, ICML, algorithm 1 (working
        sets); Kim et al. 2007, IEEE JSTSP 1(4), eq. 12 (duality gap).
    Peer: sklearn.linear_model.Lasso, float64, 1e-9 (A).
    In production: use it where few of many features matter; scale features first, choose alpha on other rows, and of
        features that say the same expect one to be kept by chance (the elastic net keeps both).
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: Any = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: Any = None,
        selection: Literal["cyclic", "random"] = "cyclic",
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate coefficients and intercept.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: targets, shape (rows,) or (rows, targets).
            sample_weight: weight per row, >= 0, shape (rows,); weight 2 is the row twice. None means 1.

        Returns:
            The fitted estimator.
        """
        return _fit(self, X, y, sample_weight, 1.0)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fitted mean b + X beta, shape (rows,) or (rows, targets)."""
        return _predict(self, X)

    @property
    def sparse_coef_(self) -> sp.csr_matrix:
        """The coefficients as a sparse matrix of one row a target."""
        check_is_fitted(self)
        return sp.csr_matrix(self.coef_)


class ElasticNet(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Least squares with an absolute and a squared penalty, for features that go together.

    Minimise sum_i w_i (y_i - b - x_i . beta)^2 / (2 sum w) + alpha (l1_ratio |beta|_1 + (1 - l1_ratio) |beta|_2^2 / 2).

    Args:
        alpha: strength of both penalties, > 0.
        l1_ratio: share of the absolute one, in [0, 1]: 1 is the lasso, 0 is ridge regression.
        fit_intercept: estimate b; otherwise b = 0 and X is not centred.
        max_iter: greatest number of sweeps, >= 1; reaching it raises a ConvergenceWarning.
        tol: the duality gap at which to stop, over the (weighted) mean square of the centred y, >= 0.
        warm_start: start from the coefficients of the last fit.
        positive: only coefficients >= 0.
        precompute, copy_X, random_state, selection: not read, as in `Lasso`.

    Attributes:
        coef_: shape (features,), or (targets, features).
        sparse_coef_: the same as a scipy sparse matrix.
        intercept_: b, a float, or shape (targets,).
        n_iter_: sweeps, an int, or a list, one a target.
        dual_gap_: how far above the optimum the objective is at most, a float, or shape (targets,).

    Raises:
        ValueError: as `Lasso`.

    Warns:
        ConvergenceWarning: if max_iter sweeps did not reach tol.

    Cost: as `Lasso`.

    Deviations: as `Lasso`. With l1_ratio = 0 the gap is that of ridge regression's own dual.

    References: Zou & Hastie 2005, J. R. Stat. Soc. B 67(2), eq. 3 (naive elastic net) and lemma 1 (as a lasso on more
        rows); otherwise as `Lasso`.
    Peer: sklearn.linear_model.ElasticNet, float64, 1e-9 (A).
    In production: use it instead of the lasso where features are correlated, with l1_ratio 0.5 to 0.95; scale
        features first.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        precompute: Any = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: Any = None,
        selection: Literal["cyclic", "random"] = "cyclic",
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate coefficients and intercept.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: targets, shape (rows,) or (rows, targets).
            sample_weight: weight per row, >= 0, shape (rows,); weight 2 is the row twice. None means 1.

        Returns:
            The fitted estimator.
        """
        return _fit(self, X, y, sample_weight, self.l1_ratio)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fitted mean b + X beta, shape (rows,) or (rows, targets)."""
        return _predict(self, X)

    @property
    def sparse_coef_(self) -> sp.csr_matrix:
        """The coefficients as a sparse matrix of one row a target."""
        check_is_fitted(self)
        return sp.csr_matrix(self.coef_)


def _fit(model: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, l1_ratio: float) -> Any:
    check_settings(tol=model.tol, max_iter=model.max_iter, l1_ratio=l1_ratio)
    if not 0 < model.alpha < np.inf:
        raise ValueError(f"alpha must be > 0 and finite, got {model.alpha!r}; for alpha = 0 use LinearRegression")
    check_selection(model.selection)
    X, y = validate_data(model, X, y, accept_sparse=_FORMS, dtype=np.float64, y_numeric=True, multi_output=True)
    Y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)  # (n, t)
    if sp.issparse(X):
        X = X.tocsc()
    weight = checked_weights(sample_weight, X)
    shape = (Y.shape[1], X.shape[1])
    start = np.zeros(shape)
    if model.warm_start and hasattr(model, "coef_"):
        if model.coef_.size != start.size:
            raise ValueError(f"warm_start=True, but the last fit had {model.coef_.size} coefficients, not {start.size}")
        start = np.array(model.coef_, dtype=np.float64).reshape(shape)
    with announced():
        whole = whole_pays(X, path=False) or l1_ratio == 0
        problem = LassoProblem(X, Y, weight, model.fit_intercept, whole)
        series = np.array([model.alpha], dtype=np.float64)
        coefs, gaps, sweeps = follow(problem, series, l1_ratio, model.positive, model.tol, model.max_iter, start)
    coef = coefs[:, :, 0]
    intercept = problem.y_mean - coef @ problem.mean
    single = len(coef) == 1  # y of one column too, as scikit-learn's
    model.coef_ = coef[0] if single else coef
    model.intercept_ = float(intercept[0]) if y.ndim == 1 else intercept
    model.n_iter_ = int(sweeps[0, 0]) if single else sweeps[:, 0].tolist()
    model.dual_gap_ = float(gaps[0, 0]) if single else gaps[:, 0]
    return model


def _predict(model: Any, X: ArrayLike) -> NDArray[np.float64]:
    check_is_fitted(model)
    rows: Any = validate_data(model, X, accept_sparse=_FORMS, dtype=np.float64, reset=False)
    return rows @ model.coef_.T + model.intercept_
