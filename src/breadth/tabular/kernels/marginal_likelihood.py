"""Choosing a kernel's hyperparameters: the marginal likelihood of a Gaussian process, and its maximum."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

Optimizer = Literal["fmin_l_bfgs_b"] | Callable | None


def gaussian_likelihood(
    K: NDArray[np.float64], noise: float | NDArray, y: NDArray[np.float64], gradient: NDArray[np.float64] | None = None
) -> tuple[float, NDArray[np.float64] | None]:
    """log p(y | X) = -y.a / 2 - sum log L_ii - n log(2 pi) / 2 with L L' = K + noise I, a = (K + noise I)^-1 y.

    Args:
        K: kernel matrix, shape (n, n); overwritten.
        noise: variance of each observation, a number or shape (n,).
        y: targets, shape (n, t); they are independent, and their likelihoods add up.
        gradient: of K by each hyperparameter, shape (n, n, h), or None.

    Returns:
        The likelihood, and its gradient (h,) or None: the sum over targets of tr((a a' - (K + noise I)^-1) dK) / 2.
        -inf and zeros where the matrix is not positive definite.

    Cost: n^3 / 3, with a gradient n^3 and h n^2.
    References: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, algorithm 2.1 and eq. 5.9.
    """
    n, t = y.shape
    K[np.diag_indices(n)] += noise
    L, failed = scipy.linalg.lapack.dpotrf(K, lower=1, clean=0, overwrite_a=1)
    if failed or not np.isfinite(L[-1, -1]):
        return -np.inf, None if gradient is None else np.zeros(gradient.shape[2])
    a = scipy.linalg.cho_solve((L, True), y, check_finite=False)
    value = -0.5 * float(np.vdot(y, a)) - t * (float(np.log(L.diagonal()).sum()) + 0.5 * n * np.log(2 * np.pi))
    if gradient is None:
        return value, None
    inverse, _ = scipy.linalg.lapack.dpotri(L, lower=1, overwrite_c=1)
    inner = a @ a.T
    lower = np.tril(inverse, -1)
    inner -= t * (lower + lower.T)
    inner[np.diag_indices(n)] -= t * inverse.diagonal()
    return value, 0.5 * (inner.ravel() @ gradient.reshape(n * n, -1))


def choose_hyperparameters(
    likelihood: Callable[[NDArray], tuple[float, NDArray]],
    kernel: Any,
    *,
    optimizer: Optimizer,
    n_restarts: int,
    random: np.random.RandomState,
) -> float:
    """Set kernel.theta to the maximum of the likelihood, from its own values and from random ones within its bounds.

    Args:
        likelihood: from theta, log-transformed hyperparameters, to its value and gradient.
        kernel: of sklearn.gaussian_process.kernels; its theta is set.
        optimizer: "fmin_l_bfgs_b", or a function (objective, theta, bounds) -> (theta, value) that minimises.
        n_restarts: further starts, uniform between the bounds of theta.
        random: draws them.

    Returns:
        The likelihood reached.

    Raises:
        ValueError: if the optimizer is unknown, or there are restarts and a bound is infinite.
    """
    bounds = kernel.bounds
    if n_restarts > 0 and not np.isfinite(bounds).all():
        raise ValueError("n_restarts_optimizer > 0 draws starts between the kernel's bounds: make all of them finite")

    def objective(theta: NDArray, eval_gradient: bool = True) -> Any:
        value, slope = likelihood(theta)
        return (-value, -slope) if eval_gradient else -value

    starts = [kernel.theta, *(random.uniform(bounds[:, 0], bounds[:, 1]) for _ in range(n_restarts))]
    best, where = np.inf, kernel.theta
    for start in starts:
        if optimizer == "fmin_l_bfgs_b":
            found = minimize(objective, start, method="L-BFGS-B", jac=True, bounds=bounds)
            theta, value = found.x, float(found.fun)
            if found.status == 1:
                warnings.warn(
                    f"L-BFGS stopped after {found.nit} steps before the marginal likelihood was at its maximum; scale "
                    "X and y, or give the kernel closer starting values or bounds",
                    ConvergenceWarning,
                    stacklevel=3,
                )
        elif callable(optimizer):
            theta, value = optimizer(objective, start, bounds=bounds)
        else:
            raise ValueError(f"optimizer must be 'fmin_l_bfgs_b', a function or None, got {optimizer!r}")
        if value < best:
            best, where = value, theta
    kernel.theta = where
    kernel._check_bounds_params()
    return -float(best)
