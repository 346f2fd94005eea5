"""Ridge regression in a kernel's space, in its dual."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.tabular.kernels.gram import kernel_between, square_or_raise, warn_of_indefinite

_BLOCK_ENTRIES = 1 << 22  # of the kernel matrix between queries and training rows, at a time


class KernelRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Least squares with a penalty on the function's norm: f(x) = sum_i a_i K(x_i, x), a = (K + alpha I)^-1 y.

    It minimises sum_i w_i (y_i - f(x_i))^2 + alpha |f|^2 over the kernel's space. There is no intercept: centre y, or
    take a kernel with a constant (coef0 > 0).

    Args:
        alpha: penalty, >= 0, or one for each target, shape (targets,); 0 interpolates, where K is not singular.
        kernel: "linear", "poly" ("polynomial"), "rbf", "sigmoid", another name of scikit-learn's pairwise kernels,
            "precomputed" (X is K), or a function of two rows.
        gamma: of "poly", "rbf" and "sigmoid", > 0; None is 1 / features.
        degree: of "poly", >= 0.
        coef0: of "poly" and "sigmoid".
        kernel_params: further arguments of a function.

    Attributes:
        dual_coef_: a, shape (rows,) or (rows, targets).
        X_fit_: training rows, or K.

    Raises:
        ValueError: if X or y holds NaN or infinity, alpha < 0 or none is given for a target, a precomputed matrix is
            not square, weights are negative, or K + alpha I has no solution.

    Warns:
        LinAlgWarning: if K + alpha I is not positive definite; least squares takes the place of its factorisation.
        IndefiniteKernelWarning: if "sigmoid", or "poly" with coef0 < 0, is no kernel on (200 of) the training rows.

    Cost: n^2 p to make K and n^3 / 3 to factor it, once for each different alpha; n^2 memory; n p a prediction.

    Deviations: none from scikit-learn.

    References: Saunders, Gammerman & Vovk 1998, Ridge regression learning algorithm in dual variables (ICML);
        Murphy 2012, Machine Learning, section 14.4.3.
    Peer: sklearn.kernel_ridge.KernelRidge, float64, 1e-9 (A).
    In production: use it for smooth functions of few scaled features up to some 1e4 rows; Gaussian process regression
        is the same mean with an error bar, and chooses gamma and alpha itself.
    """

    def __init__(
        self,
        alpha: float | ArrayLike = 1,
        *,
        kernel: str | Callable = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: Mapping[str, Any] | None = None,
    ):
        self.alpha = alpha
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Solve for the dual coefficients.

        Args:
            X: features, shape (rows, features), dense or scipy sparse; K, shape (rows, rows), if precomputed.
            y: targets, shape (rows,) or (rows, targets).
            sample_weight: weight of each row's square, >= 0, shape (rows,); None means 1.

        Returns:
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, accept_sparse=("csr", "csc"), multi_output=True, y_numeric=True)
        if self.kernel == "precomputed":
            square_or_raise(X)
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)  # (n, t)
        alpha = np.atleast_1d(np.asarray(self.alpha, dtype=np.float64))
        if alpha.ndim != 1 or len(alpha) not in (1, targets.shape[1]):
            raise ValueError(f"alpha must be one number or {targets.shape[1]}, one for each target, got {self.alpha!r}")
        if not (alpha >= 0).all() or not np.isfinite(alpha).all():
            raise ValueError(f"alpha must be >= 0 and finite, got {self.alpha!r}")
        root = None
        if sample_weight is not None:
            root = np.sqrt(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))
        if isinstance(self.kernel, str):
            warn_of_indefinite(X, self.kernel, gamma=self.gamma, degree=self.degree, coef0=self.coef0)
        K = np.array(self._kernel(X, X), dtype=np.float64, copy=self.kernel == "precomputed" or None)
        if root is not None:  # in f's terms the weighted problem has K and y scaled by the weights' roots
            K *= root
            K *= root[:, None]
            targets = targets * root[:, None]
        self.dual_coef_ = _solve(K, targets, alpha)
        if root is not None:
            self.dual_coef_ *= root[:, None]
        if np.ndim(y) == 1:
            self.dual_coef_ = self.dual_coef_[:, 0]
        self.X_fit_ = X
        return self

    def _kernel(self, X: Any, Y: Any) -> NDArray:
        return kernel_between(
            X, Y, self.kernel, gamma=self.gamma, degree=self.degree, coef0=self.coef0, params=self.kernel_params
        )

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """f(x) of each row, shape (rows,) or (rows, targets)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse=("csr", "csc"), reset=False)
        out = np.empty((rows.shape[0], *self.dual_coef_.shape[1:]))
        step = max(1, _BLOCK_ENTRIES // len(self.dual_coef_))
        for first in range(0, len(out), step):
            out[first : first + step] = self._kernel(rows[first : first + step], self.X_fit_) @ self.dual_coef_
        return out


def _solve(K: NDArray, targets: NDArray, alpha: NDArray) -> NDArray[np.float64]:
    """(K + alpha I)^-1 targets, for each column with its alpha; K is overwritten."""
    diagonal = K.diagonal().copy()
    out = np.empty_like(targets)
    groups = np.unique(alpha) if len(alpha) > 1 else alpha
    for value in groups:
        columns = slice(None) if len(alpha) == 1 else np.flatnonzero(alpha == value)
        K[np.diag_indices_from(K)] = diagonal + value
        try:
            factor = scipy.linalg.cho_factor(K, lower=True, check_finite=False, overwrite_a=False)
            out[:, columns] = scipy.linalg.cho_solve(factor, targets[:, columns], check_finite=False)
            continue
        except np.linalg.LinAlgError:
            pass
        K[np.diag_indices_from(K)] = diagonal + value
        warnings.warn(
            f"K + alpha I is not positive definite at alpha={value:g}, so least squares answers instead; raise alpha, "
            "or take a kernel whose matrix check_psd passes",
            scipy.linalg.LinAlgWarning,
            stacklevel=3,
        )
        K = np.triu(K) + np.triu(K, 1).T  # the factorisation wrote below the diagonal
        out[:, columns] = np.linalg.lstsq(K, targets[:, columns], rcond=None)[0]
    if not np.isfinite(out).all():
        raise ValueError("K + alpha I is singular: raise alpha, or scale X so that kernel values do not overflow")
    return out
