"""Regression by a Gaussian process, whose kernel is fitted to the marginal likelihood."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from breadth.blas import one_thread
from breadth.tabular.kernels.marginal_likelihood import Optimizer, choose_hyperparameters, gaussian_likelihood

FEW_ROWS = 1500  # matrices up to which threads cost more than they save: numpy's and scipy's BLAS keep a pool each


class GaussianProcessRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Posterior of a function f ~ GP(0, k) after y_i = f(x_i) + noise: mean k(x)'a, variance k(x, x) - |L^-1 k(x)|^2.

    L L' = K + alpha I and a = (K + alpha I)^-1 y. The kernel's hyperparameters are those of greatest marginal
    likelihood, with its analytic gradient.

    Args:
        kernel: an object of sklearn.gaussian_process.kernels, whose bounds say what is fitted; None fits
            ConstantKernel() * RBF(). Noise to be fitted is a WhiteKernel in it.
        alpha: variance of the noise, >= 0, added to the diagonal, a number or one for each row.
        optimizer: "fmin_l_bfgs_b"; a function (objective, theta, bounds) -> (theta, value); None keeps the kernel.
        n_restarts_optimizer: further starts, uniform between the bounds of the logarithms, >= 0.
        normalize_y: fit (y - mean) / standard deviation, and undo it in predictions; the prior's mean is then y's.
        copy_X_train: keep a copy of the training rows.
        n_targets: targets of predictions before fit (from the prior); None is 1.
        random_state: draws the restarts.

    Attributes:
        kernel_: the fitted kernel.
        log_marginal_likelihood_value_: at its hyperparameters.
        alpha_: a, shape (rows,) or (rows, targets).
        L_: lower triangular, shape (rows, rows).
        X_train_, y_train_: training rows, and targets (normalised).

    Raises:
        ValueError: if X or y holds NaN or infinity, alpha is negative or has another length, or n_targets differs.
        numpy.linalg.LinAlgError: if K + alpha I is not positive definite; alpha must be raised.

    Warns:
        ConvergenceWarning: if L-BFGS stops early, or a hyperparameter ends at a bound.

    Cost: n^3 and h n^2 for each of some 20 to 100 evaluations with h hyperparameters; h n^2 memory; a prediction n p,
        its variance n^2.

    Deviations:
        1. The gradient contracts a matrix and the kernel's derivatives in one product, and the inverse comes from the
           Cholesky factor; values are scikit-learn's.

    References: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, algorithm 2.1 (eqs. 2.25,
        2.26 and 2.30) and eq. 5.9.
    Peer: sklearn.gaussian_process.GaussianProcessRegressor, float64: likelihood 1e-10, predictions 1e-7 (A).
    In production: use it for up to a few thousand rows where an error bar is needed; start with
        ConstantKernel() * RBF(lengths of each feature) + WhiteKernel() and normalize_y=True.
    """

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        alpha: float | NDArray = 1e-10,
        optimizer: Optimizer = "fmin_l_bfgs_b",
        n_restarts_optimizer: int = 0,
        normalize_y: bool = False,
        copy_X_train: bool = True,
        n_targets: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.kernel = kernel
        self.alpha = alpha
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.normalize_y = normalize_y
        self.copy_X_train = copy_X_train
        self.n_targets = n_targets
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the kernel and condition on the rows.

        Args:
            X: features, shape (rows, features), or a sequence of objects where the kernel takes such.
            y: targets, shape (rows,) or (rows, targets).

        Returns:
            The fitted estimator.
        """
        self.kernel_ = ConstantKernel() * RBF() if self.kernel is None else clone(self.kernel)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **_kinds(self.kernel_))
        y = np.asarray(y, dtype=np.float64)
        n_targets = 1 if y.ndim == 1 else y.shape[1]
        if self.n_targets not in (None, n_targets):
            raise ValueError(
                f"The number of targets seen in `y` is different from the parameter `n_targets`. Got {n_targets} != "
                f"{self.n_targets}."
            )
        noise = np.asarray(self.alpha, dtype=np.float64)
        if noise.ndim > 1 or noise.size not in (1, len(y)):
            raise ValueError(f"alpha must be a number or one for each of the {len(y)} rows, got shape {noise.shape}")
        if not (noise >= 0).all():
            raise ValueError(f"alpha must be >= 0, got {self.alpha!r}")
        self._noise = noise.ravel() if noise.size > 1 else float(noise.reshape(()) if noise.ndim == 0 else noise[0])
        self._y_train_mean, self._y_train_std = np.zeros(y.shape[1:]), np.ones(y.shape[1:])
        if self.normalize_y:
            self._y_train_mean, spread = y.mean(axis=0), y.std(axis=0)
            flat = spread <= 10 * np.finfo(np.float64).eps * np.abs(self._y_train_mean)
            self._y_train_std = np.where(flat, 1.0, spread)
            y = (y - self._y_train_mean) / self._y_train_std
        self.X_train_ = np.copy(X) if self.copy_X_train else X
        self.y_train_ = y.copy() if self.copy_X_train else y
        with one_thread(when=len(y) <= FEW_ROWS):
            if self.optimizer is not None and self.kernel_.n_dims > 0:
                self.log_marginal_likelihood_value_ = choose_hyperparameters(
                    lambda theta: self.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False),
                    self.kernel_,
                    optimizer=self.optimizer,
                    n_restarts=self.n_restarts_optimizer,
                    random=check_random_state(self.random_state),
                )
            else:
                self.log_marginal_likelihood_value_ = self.log_marginal_likelihood(self.kernel_.theta)
            K = self.kernel_(self.X_train_)
            K[np.diag_indices_from(K)] += self._noise
            try:
                self.L_ = scipy.linalg.cholesky(K, lower=True, check_finite=False, overwrite_a=True)
            except np.linalg.LinAlgError:
                raise np.linalg.LinAlgError(
                    f"the matrix of the kernel {self.kernel_} plus alpha is not positive definite: raise alpha "
                    f"(now {self.alpha!r}), or add a WhiteKernel; equal rows with different y need one of them"
                ) from None
            self.alpha_ = scipy.linalg.cho_solve((self.L_, True), self.y_train_, check_finite=False)
        return self

    def log_marginal_likelihood(
        self, theta: NDArray | None = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """log p(y | X, theta), with its gradient if eval_gradient.

        Args:
            theta: logarithms of the hyperparameters; None gives the value at the fitted ones.
            eval_gradient: return the gradient too, shape (hyperparameters,).
            clone_kernel: leave kernel_ as it is, rather than set its theta.

        Raises:
            ValueError: if eval_gradient and theta is None.
        """
        if theta is None:
            if eval_gradient:
                raise ValueError("a gradient needs a place: give theta, kernel_.theta for the fitted hyperparameters")
            return self.log_marginal_likelihood_value_
        kernel = self.kernel_.clone_with_theta(theta) if clone_kernel else self.kernel_
        kernel.theta = theta
        y = self.y_train_.reshape(len(self.y_train_), -1)
        if not eval_gradient:
            return gaussian_likelihood(kernel(self.X_train_), self._noise, y)[0]
        K, slope = kernel(self.X_train_, eval_gradient=True)
        return gaussian_likelihood(K, self._noise, y, slope)

    def predict(self, X: ArrayLike, return_std: bool = False, return_cov: bool = False) -> Any:
        """Mean of f at rows X, with its standard deviation or covariance; of the prior before fit.

        Args:
            X: shape (rows, features).
            return_std: return (mean, standard deviation), both (rows,) or (rows, targets).
            return_cov: return (mean, covariance), the latter (rows, rows) or (rows, rows, targets).

        Raises:
            RuntimeError: if both are asked for.
        """
        if return_std and return_cov:
            raise RuntimeError("At most one of return_std or return_cov can be requested: cov has std on its diagonal")
        fitted = hasattr(self, "X_train_")
        kernel: Any = self.kernel_ if fitted else (self.kernel or default_kernel())
        rows: Any = validate_data(self, X, reset=False, **_kinds(kernel))
        if not fitted:
            n_targets = self.n_targets or 1
            one = np.ones(n_targets) if n_targets > 1 else np.float64(1.0)
            mean = np.multiply.outer(np.zeros(len(rows)), one)
            if return_cov:
                return mean, np.multiply.outer(kernel(rows), one)
            return (mean, np.sqrt(np.multiply.outer(kernel.diag(rows), one))) if return_std else mean
        cross = kernel(rows, self.X_train_)  # (m, n)
        mean = self._y_train_std * (cross @ self.alpha_) + self._y_train_mean
        mean = mean[:, 0] if mean.ndim == 2 and mean.shape[1] == 1 else mean
        if not (return_std or return_cov):
            return mean
        explained = scipy.linalg.solve_triangular(self.L_, cross.T, lower=True, check_finite=False)  # (n, m)
        scale = (
            np.squeeze(self._y_train_std**2, axis=0) if np.shape(self._y_train_std) == (1,) else self._y_train_std**2
        )
        if return_cov:
            return mean, np.multiply.outer(kernel(rows) - explained.T @ explained, scale)
        variance = kernel.diag(rows) - np.einsum("ij,ij->j", explained, explained)
        if variance.min(initial=0.0) < -1e-6 * max(1.0, float(kernel.diag(rows).max(initial=0.0))):
            warnings.warn(
                "Predicted variances smaller than 0. Setting those variances to 0. K + alpha I is nearly singular: "
                "raise alpha or add a WhiteKernel",
                stacklevel=2,
            )
        return mean, np.sqrt(np.multiply.outer(np.maximum(variance, 0.0), scale))

    def sample_y(
        self, X: ArrayLike, n_samples: int = 1, random_state: int | np.random.RandomState | None = 0
    ) -> NDArray[np.float64]:
        """Functions drawn from the posterior (the prior before fit) at rows X, shape (rows, [targets,] n_samples)."""
        random = check_random_state(random_state)
        mean, covariance = self.predict(X, return_cov=True)
        if mean.ndim == 1:
            return random.multivariate_normal(mean, covariance, n_samples).T
        draws = [random.multivariate_normal(mean[:, t], covariance[..., t], n_samples).T for t in range(mean.shape[1])]
        return np.stack(draws, axis=1)


def default_kernel() -> Kernel:
    """A kernel with nothing to fit: ConstantKernel(1) * RBF(1)."""
    return ConstantKernel(1.0, constant_value_bounds="fixed") * RBF(1.0, length_scale_bounds="fixed")


def _kinds(kernel: Any) -> dict[str, Any]:
    """What validation asks of rows: numbers in two dimensions, or anything where the kernel takes sequences."""
    if kernel.requires_vector_input:
        return {"dtype": "numeric", "ensure_2d": True}
    return {"dtype": None, "ensure_2d": False}
