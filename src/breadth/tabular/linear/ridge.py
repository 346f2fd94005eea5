"""Ridge regression: least squares with a squared penalty, solved by what suits the shape."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self, get_args

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, lsqr
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.linear.lasso_paths import checked_weights
from breadth.tabular.linear.lasso_problem import LassoProblem
from breadth.tabular.linear.least_squares import LinearRegression, column_means, solve_nonnegative, triangle

Solver = Literal["auto", "cholesky", "svd", "lsqr", "sparse_cg", "sag", "saga", "lbfgs"]

_SOLVERS = get_args(Solver)
_FORMS = ["csc", "csr", "coo"]
_DIRECT_COLUMNS, _DIRECT_ENTRIES = 1000, 100_000  # sparse X wider, or with more stored, is solved iteratively
_TINY = 1e-10  # a penalty below this share of the largest column's square is lost in a Gram matrix: half the digits


class Ridge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Least squares with a squared penalty: minimise sum_i w_i (y_i - b - x_i . beta)^2 + alpha |beta|_2^2.

    The optimum is (X'WX + alpha I)^-1 X'W y with X and y centred; the intercept is not penalised.

    Args:
        alpha: strength of the penalty, >= 0, a number or one a target, shape (targets,); 0 is least squares.
        fit_intercept: estimate b; otherwise b = 0 and X is not centred.
        copy_X: not read, because X is never written to; present so that calls written for scikit-learn run.
        max_iter: greatest number of steps of LSQR; None for twice the smaller side of X.
        tol: relative tolerance of LSQR (atol and btol), >= 0.
        solver: "cholesky" of the Gram matrix of columns, or of rows where those are fewer; "svd"; "lsqr"; "auto" takes
            LSQR for sparse X of more than 1,000 columns or 100,000 stored entries, the SVD for dense X where alpha > 0
            is below 1e-10 of the largest column's sum of squares, Cholesky else. alpha = 0 goes to LinearRegression.
            scikit-learn's other names ("sparse_cg", "sag", "saga", "lbfgs") are taken for "auto".
        positive: coefficients >= 0, by active sets whatever the solver.
        random_state: not read, because nothing is random; present so that calls written for scikit-learn run.

    Attributes:
        coef_: shape (features,), or (targets, features).
        intercept_: b, a float, or shape (targets,).
        n_iter_: steps of LSQR, shape (targets,); 1 where the solution is direct.
        solver_: what solved: "cholesky", "svd", "lsqr", "active_set" where coefficients are positive, or
            "least_squares" where every alpha is 0.

    Raises:
        ValueError: if X or y holds NaN or infinity, a weight is negative or all are 0, or a parameter is out of its
            range; "svd" of sparse X; positive coefficients of sparse X of more than 1,000 columns.

    Warns:
        ConvergenceWarning: if max_iter steps of LSQR did not reach tol.

    Cost: n p min(n, p) operations and min(n, p)^2 memory beside X, once for all targets, and min(n, p)^3 / 3 for each
        different alpha; LSQR two products with X a step.

    Deviations: computes in float64. With alpha = 0 the coefficients are the shortest ones.

    References: Hoerl & Kennard 1970, Technometrics 12(1), eq. 2.1; Hastie, Tibshirani & Friedman 2009, The Elements of
        Statistical Learning, eqs. 3.44 and 3.47 (SVD) and 18.3.5 (more columns than rows); Paige & Saunders 1982, ACM
        TOMS 8(1), eq. 1.3 (damped LSQR); Lawson & Hanson 1974, Solving Least Squares Problems, algorithm 23.10.
    Peer: sklearn.linear_model.Ridge, float64, 1e-9 (A).
    In production: use it as the first linear regression where columns are many or go together; scale features first,
        choose alpha on other rows.
    """

    def __init__(
        self,
        alpha: float | ArrayLike = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: Solver = "auto",
        positive: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.positive = positive
        self.random_state = random_state

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
        self._check_parameters()
        X, y = validate_data(self, X, y, accept_sparse=_FORMS, dtype=np.float64, y_numeric=True, multi_output=True)
        Y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)  # (n, t)
        alpha = self._alphas(Y.shape[1])
        weight = checked_weights(sample_weight, X)
        if sp.issparse(X):
            X = X.tocsc()
            if self.solver == "svd":
                raise ValueError("solver='svd' needs dense X: take 'auto', 'cholesky' or 'lsqr'")
        total = float(X.shape[0] if weight is None else weight.sum())
        if self.positive:
            return self._fit_positive(X, Y, weight, alpha, single=y.ndim == 1)
        coef, steps = np.zeros((Y.shape[1], X.shape[1])), np.ones(Y.shape[1], dtype=np.int32)
        free = alpha == 0
        if free.any():
            plain = LinearRegression(fit_intercept=self.fit_intercept).fit(X, Y[:, free], weight)
            coef[free] = plain.coef_
        self.solver_ = "least_squares" if free.all() else self._choose(X)
        by_columns = self.solver_ == "cholesky" and (sp.issparse(X) or X.shape[0] >= X.shape[1])
        problem = LassoProblem(X, Y, weight, self.fit_intercept, whole=by_columns)
        if self.solver_ == "lsqr":
            steps = self._iterate(problem, alpha / total, free, coef)
        elif not free.all():
            self._solve(problem, alpha / total, free, coef, by_columns)
        return self._keep(coef, problem.y_mean - coef @ problem.mean, steps, single=y.ndim == 1)

    def _keep(self, coef: NDArray, intercept: NDArray, steps: NDArray, *, single: bool) -> Self:
        self.coef_ = coef[0] if len(coef) == 1 else coef  # y of one column too, as scikit-learn's
        self.intercept_ = float(intercept[0]) if single else intercept
        self.n_iter_ = steps
        return self

    def _fit_positive(self, X: Any, Y: NDArray, weight: NDArray | None, alpha: NDArray, *, single: bool) -> Self:
        if sp.issparse(X) and X.shape[1] > _DIRECT_COLUMNS:
            raise ValueError(
                f"positive=True takes sparse X of at most {_DIRECT_COLUMNS} columns, got {X.shape[1]}: take "
                "ElasticNet(alpha / total weight, l1_ratio=0, positive=True), which minimises the same"
            )
        rows = X.tocsr() if sp.issparse(X) else X
        x_mean, y_mean = np.zeros(X.shape[1]), np.zeros(Y.shape[1])
        if self.fit_intercept:
            x_mean, y_mean = column_means(rows, weight), column_means(Y, weight)
        R, Z, size = triangle(rows, Y, x_mean, y_mean, None if weight is None else np.sqrt(weight))
        coef = solve_nonnegative(R, Z, size, alpha).T
        self.solver_ = "active_set"
        return self._keep(coef, y_mean - coef @ x_mean, np.ones(len(coef), dtype=np.int32), single=single)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fitted mean b + X beta, shape (rows,) or (rows, targets)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse=_FORMS, dtype=np.float64, reset=False)
        return rows @ self.coef_.T + self.intercept_

    def _check_parameters(self) -> None:
        if self.solver not in _SOLVERS:
            raise ValueError(f"solver must be {' or '.join(map(repr, _SOLVERS))}, got {self.solver!r}")
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0, got {self.tol!r}")
        if self.max_iter is not None and self.max_iter < 1:
            raise ValueError(f"max_iter must be >= 1 or None, got {self.max_iter!r}")

    def _alphas(self, targets: int) -> NDArray[np.float64]:
        alpha = np.asarray(self.alpha, dtype=np.float64)
        if alpha.ndim > 1 or alpha.size not in (1, targets):
            raise ValueError(f"alpha must be a number or one for each of {targets} targets, got shape {alpha.shape}")
        if not ((alpha >= 0) & np.isfinite(alpha)).all():
            raise ValueError(f"alpha must be >= 0 and finite, got {self.alpha!r}")
        return np.broadcast_to(alpha.ravel(), targets).copy()

    def _choose(self, X: Any) -> str:
        if self.solver in ("cholesky", "svd", "lsqr"):
            return self.solver
        large = sp.issparse(X) and (X.shape[1] > _DIRECT_COLUMNS or X.nnz > _DIRECT_ENTRIES)
        return "lsqr" if large else "cholesky"

    def _solve(self, problem: LassoProblem, alpha: NDArray, free: NDArray, coef: NDArray, by_columns: bool) -> None:
        """Fill coef (t, p) for targets whose alpha, a share of the total weight, is not 0."""
        root = np.sqrt(problem.weight)[:, None]
        centred: NDArray = np.zeros((0, 0))
        if by_columns:
            G, right = problem.products, problem.pulls
        else:
            centred = (problem.X.toarray() if sp.issparse(problem.X) else problem.X) - problem.mean
            right = problem.Y * root
            G = np.zeros((0, 0))
            if self.solver_ == "cholesky":
                G = centred @ centred.T
                G *= root * root.T  # here, because rows have more entries than there are products
        largest = G.diagonal().max(initial=0.0)
        for value in np.unique(alpha[~free]):
            own = np.flatnonzero((alpha == value) & ~free)
            found = None
            if self.solver_ == "cholesky" and (value > _TINY * largest or self.solver == "cholesky"):
                found = _cholesky(G, value, right[:, own])
            if found is None and sp.issparse(problem.X):
                self._iterate(problem, alpha, ~np.isin(np.arange(len(alpha)), own), coef)
                self.solver_ = "lsqr"
                continue
            if found is None:
                if by_columns or not len(centred):
                    centred = problem.X - problem.mean
                coef[own] = _by_svd(centred * root, value, problem.Y[:, own] * root).T
                self.solver_ = "svd"
            else:
                coef[own] = (found if by_columns else centred.T @ (root * found)).T

    def _iterate(self, problem: LassoProblem, alpha: NDArray, skipped: NDArray, coef: NDArray) -> NDArray[np.int32]:
        """Damped LSQR on implicitly centred columns; returns its steps (t,)."""
        X, mean, root = problem.X, problem.mean, np.sqrt(problem.weight)

        def forward(v: NDArray) -> NDArray:
            v = v.ravel()
            return root * (X @ v - mean @ v)

        def backward(u: NDArray) -> NDArray:
            u = root * u.ravel()
            return X.T @ u - mean * u.sum()

        A = LinearOperator(X.shape, matvec=forward, rmatvec=backward, dtype=np.float64)
        steps = np.ones(len(alpha), dtype=np.int32)
        limit = self.max_iter or 2 * min(X.shape)
        for t in np.flatnonzero(~skipped):
            found = lsqr(
                A, root * problem.Y[:, t], damp=np.sqrt(alpha[t]), atol=self.tol, btol=self.tol, iter_lim=limit
            )
            coef[t], steps[t] = found[0], max(found[2], 1)
            if found[1] == 7:
                warnings.warn(
                    f"LSQR took all of {limit} steps without reaching tol={self.tol:g}; raise max_iter, tol or alpha, "
                    "or scale the features",
                    ConvergenceWarning,
                    stacklevel=3,
                )
        return steps


def _cholesky(G: NDArray, alpha: float, right: NDArray) -> NDArray | None:
    """(G + alpha I)^-1 right, or None where rounding leaves that matrix without a Cholesky factor."""
    damped = np.array(G.T, order="F")  # G is its own transpose, and lies in rows
    damped[np.diag_indices(len(G))] += alpha
    try:
        factor = scipy.linalg.cho_factor(damped, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return np.asarray(scipy.linalg.cho_solve(factor, right, check_finite=False))


def _by_svd(centred: NDArray, alpha: float, right: NDArray) -> NDArray:
    U, s, Vt = scipy.linalg.svd(centred, full_matrices=False, check_finite=False)
    kept = s > max(centred.shape) * np.finfo(np.float64).eps * s.max(initial=0.0)  # what is below is rounding
    return Vt[kept].T @ ((s[kept] / (s[kept] ** 2 + alpha))[:, None] * (U[:, kept].T @ right))
