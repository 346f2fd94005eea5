"""Support vector regression with kernels, by sequential minimal optimisation."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import granted_threads, one_thread
from breadth.compilation import announced
from breadth.tabular.kernels.gram import kernel_between, square_or_raise, warn_of_indefinite
from breadth.tabular.kernels.smo import solve
from breadth.tabular.kernels.svm_settings import Kernel, check_svm_parameters, resolve_gamma, training_rows

_BLOCK_ENTRIES = 1 << 22  # of the kernel matrix between queries and support vectors, at a time


class SVR(RegressorMixin, BaseEstimator):
    """Flattest function of a kernel's space within epsilon of most targets: f(x) = b + sum_i beta_i K(x_i, x).

    Maximises sum_i y_i beta_i - epsilon sum_i |beta_i| - 1/2 sum_ij beta_i beta_j K(x_i, x_j) over |beta_i| <= C w_i
    with sum_i beta_i = 0. Errors below epsilon cost nothing, larger ones C for each unit.

    Args:
        kernel: "linear" x.z, "poly" (gamma x.z + coef0)^degree, "rbf" exp(-gamma |x - z|^2), "sigmoid"
            tanh(gamma x.z + coef0), "precomputed" (X is K, rows by training rows), or a function of two sets of rows.
        degree: of "poly", >= 0.
        gamma: "scale" is 1 / (features x variance of all entries of X), "auto" 1 / features, or a number > 0.
        coef0: of "poly" and "sigmoid".
        tol: largest violation of the optimality conditions, > 0.
        C: price of a unit of error beyond epsilon, > 0.
        epsilon: error that costs nothing, in y's unit, >= 0.
        shrinking: let rows at their bounds rest.
        cache_size: MiB for rows of K, > 0.
        verbose: not read; present so that calls written for scikit-learn run.
        max_iter: greatest number of steps; -1 for no limit. Reaching it raises a ConvergenceWarning.

    Attributes:
        support_: indices of the support vectors, shape (n_SV,).
        support_vectors_: those rows, shape (n_SV, features); empty when precomputed.
        n_support_: their number, int32, shape (1,).
        dual_coef_: beta, shape (1, n_SV).
        intercept_: b, shape (1,).
        coef_: sum_i beta_i x_i, shape (1, features); with the linear kernel alone.
        n_iter_: steps.
        dual_objective_: maximum reached.
        fit_status_: 0, or 1 where max_iter ended the search.
        shape_fit_: shape of X.

    Raises:
        ValueError: if X or y holds NaN or infinity, all weights are 0 or one is negative, a parameter is out of its
            range, a precomputed matrix is not square, or kernel values overflow float32.

    Warns:
        ConvergenceWarning: if max_iter steps did not reach tol.
        IndefiniteKernelWarning: if "sigmoid", or "poly" with coef0 < 0, is no kernel on (200 of) the training rows.

    Cost: steps x 2 rows that are not resting, plus 2 n p for each row of K that is not cached; memory as for SVC.

    Deviations:
        1. X is centred for "linear" and "rbf" (the solution is the same), so that columns of mean 1e4 keep the digits
           that float32 kernel values need; b is given for X as it came.

    References: Smola & Schölkopf 2004, Statistics and Computing 14, eqs. 3, 10 and 11; Chang & Lin 2011, ACM TIST 2(3),
        section 2.4 (as a problem of 2 n variables); Fan, Chen & Lin 2005, JMLR 6, algorithm 1, WSS 2.
    Peer: sklearn.svm.SVR (libsvm), float64: predictions 1e-5 at tol 1e-8 (A).
    In production: use it where some targets are far off, which cost in proportion and not as squares; scale X, and
        choose C and epsilon in y's unit. KernelRidge is one linear solve; GaussianProcessRegressor has error bars.
    """

    def __init__(
        self,
        *,
        kernel: Kernel = "rbf",
        degree: float = 3,
        gamma: Literal["scale", "auto"] | float = "scale",
        coef0: float = 0.0,
        tol: float = 1e-3,
        C: float = 1.0,
        epsilon: float = 0.1,
        shrinking: bool = True,
        cache_size: float = 200,
        verbose: bool = False,
        max_iter: int = -1,
    ):
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.tol = tol
        self.C = C
        self.epsilon = epsilon
        self.shrinking = shrinking
        self.cache_size = cache_size
        self.verbose = verbose
        self.max_iter = max_iter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        tags.input_tags.sparse = self.kernel != "precomputed"
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Find the support vectors.

        Args:
            X: features, shape (rows, features), dense or scipy sparse; K, shape (rows, rows), if precomputed.
            y: targets, shape (rows,).
            sample_weight: factor of C per row, >= 0, shape (rows,); None means 1.

        Returns:
            The fitted estimator.
        """
        check_svm_parameters(self)
        if not 0 <= self.epsilon < np.inf:
            raise ValueError(f"epsilon must be >= 0 and finite, got {self.epsilon!r}")
        precomputed = self.kernel == "precomputed"
        X, y = validate_data(
            self, X, y, dtype=np.float64, order="C", accept_sparse=False if precomputed else "csr",
            accept_large_sparse=False, y_numeric=True,
        )  # fmt: skip
        if precomputed:
            square_or_raise(X)
        y = np.asarray(y, dtype=np.float64)
        price = self.C * _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        chosen = np.flatnonzero(price > 0)
        self._gamma = resolve_gamma(self.gamma, X, self.kernel)
        warn_of_indefinite(X, self.kernel, gamma=self._gamma, degree=self.degree, coef0=self.coef0, centred=True)
        self.shape_fit_ = X.shape
        middle = float(np.median(y[chosen]))  # sum beta = 0: targets may be shifted, and b with them
        target, upper = y[chosen] - middle, price[chosen]
        rows = training_rows(X, self)
        threads = granted_threads()
        with announced(), one_thread():
            found = solve(
                rows[np.concatenate([chosen, chosen])],  # beta = a + b with a in [0, C] and b in [-C, 0]
                np.concatenate([target - self.epsilon, target + self.epsilon]),
                np.concatenate([np.zeros(len(upper)), -upper]),
                np.concatenate([upper, np.zeros(len(upper))]),
                tol=self.tol,
                max_iter=self.max_iter,
                shrinking=self.shrinking,
                cache_bytes=self.cache_size * 2**20,
                n_threads=threads,
            )
        beta = found.beta[: len(chosen)] + found.beta[len(chosen) :]
        used = np.flatnonzero(beta)
        self.support_ = chosen[used].astype(np.int32)
        self.n_support_ = np.array([len(used)], dtype=np.int32)
        self.support_vectors_ = np.empty((0, 0)) if precomputed else X[self.support_]
        self.dual_coef_ = beta[None, used]
        offset = found.offset + middle
        if self.kernel == "linear":
            offset -= float(rows.centre @ (self.support_vectors_.T @ beta[used]))
        self.intercept_ = np.array([offset])
        self.n_iter_ = found.n_steps
        self.dual_objective_ = found.objective
        self.fit_status_ = int(not found.converged)
        if self.fit_status_:
            warnings.warn(
                f"SMO stopped after max_iter={self.max_iter} steps with a violation of {found.gap:.2g} > "
                f"tol={self.tol:g}; scale X and y, raise max_iter or tol, or lower C",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Change of f per unit of a feature, shape (1, features)."""
        if self.kernel != "linear":
            raise AttributeError("coef_ exists only with kernel='linear': other kernels have no coefficients in X")
        check_is_fitted(self)
        return np.asarray(self.support_vectors_.T @ self.dual_coef_[0])[None]

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """f(x) of each row, shape (rows,)."""
        check_is_fitted(self)
        precomputed = self.kernel == "precomputed"
        rows: Any = validate_data(
            self, X, dtype=np.float64, order="C", accept_sparse=False if precomputed else "csr",
            accept_large_sparse=False, reset=False,
        )  # fmt: skip
        beta = self.dual_coef_[0]
        if precomputed:
            return rows[:, self.support_] @ beta + self.intercept_[0]
        if self.kernel == "linear":
            return np.asarray(rows @ self.coef_[0]) + self.intercept_[0]
        out = np.empty(rows.shape[0])
        if not len(beta):
            return np.full(rows.shape[0], self.intercept_[0])
        step = max(1, _BLOCK_ENTRIES // len(beta))
        for first in range(0, len(out), step):
            K = kernel_between(
                rows[first : first + step], self.support_vectors_, self.kernel, gamma=self._gamma, degree=self.degree,
                coef0=self.coef0,
            )  # fmt: skip
            out[first : first + step] = K @ beta
        return out + self.intercept_[0]
