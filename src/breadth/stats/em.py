"""Expectation maximisation: the loop for any model, and Gaussian mixtures by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.stats.em_gaussian import CovarianceType, MixtureSteps

Floats = NDArray[np.float64]
P = TypeVar("P")
S = TypeVar("S")


class EMFit(NamedTuple):
    """A Gaussian mixture where expectation maximisation stopped, and how it came there."""

    weights: Floats  # (k,)
    means: Floats  # (k, d)
    covariances: Floats  # full (k, d, d), tied (d, d), diag (k, d), spherical (k,)
    log_likelihoods: Floats  # of the parameters before each step and of the last ones, (n_iter + 1,)
    converged: bool
    n_iter: int
    covariance_type: CovarianceType


class EMRun(NamedTuple, Generic[P]):
    """Where a loop of E and M steps stopped."""

    parameters: P
    log_likelihoods: Floats  # of the parameters before each step and of the last ones, (n_iter + 1,)
    converged: bool
    n_iter: int


def em_loop(
    parameters: P,
    e_step: Callable[[P], tuple[float, S]],
    m_step: Callable[[P, S], P],
    *,
    tol: float = 1e-6,
    max_iter: int = 100,
    fall: float | None = 1e-8,
    before: float = -np.inf,
) -> EMRun[P]:
    """Raise the log-likelihood log p(x | theta) of a model with hidden z by turns of E and M steps.

    E: the expected sufficient statistics under p(z | x, theta_t). M: theta_(t+1) = argmax of E[log p(x, z | theta)].
    Each turn raises the log-likelihood or leaves it, which is checked.

    Args:
        parameters: theta_0, of any type.
        e_step: theta -> log p(x | theta) and the statistics that m_step wants.
        m_step: theta and those statistics -> next theta.
        tol: a gain in log-likelihood below which the step that follows is the last, >= 0.
        max_iter: most steps, >= 0.
        fall: largest fall, relative to the log-likelihood's size, that counts as rounding; None lets it fall, for an M
            step that also shrinks its parameters.
        before: log-likelihood before the start, where a run goes on.

    Returns:
        Parameters, their log-likelihoods step by step, whether the gain fell below tol, and steps taken.

    Raises:
        ValueError: if the log-likelihood falls or is NaN (the steps are then not those of one model), or an argument
            is out of range.

    Cost: n_iter + 1 E steps and n_iter M steps.
    References: Dempster, Laird & Rubin 1977, JRSS B 39(1), section 2 and theorem 1; Bishop 2006, Pattern Recognition
        and Machine Learning, section 9.3.
    Peer: mixtures of Bernoulli and of exponential laws by plain loops, 1e-12 (B); sklearn.mixture.GaussianMixture (A).
    In production: use it for a model of your own; `expectation_maximisation` and `breadth.tabular.GaussianMixture` are
        Gaussian mixtures by it.
    """
    if not tol >= 0:
        raise ValueError(f"tol must be >= 0, got {tol!r}")
    if max_iter < 0:
        raise ValueError(f"max_iter must be >= 0, got {max_iter!r}")
    now, sums = e_step(parameters)
    history = [now]
    converged = False
    for _ in range(max_iter):
        parameters = m_step(parameters, sums)
        converged = abs(now - before) < tol
        before = now
        now, sums = e_step(parameters)
        history.append(now)
        if np.isnan(now) or (fall is not None and now < before - fall * max(1.0, abs(before))):
            raise ValueError(
                f"the log-likelihood went from {before!r} to {now!r} in step {len(history) - 1}: m_step must maximise "
                "the expectation that e_step took, of the same model; fall=None allows it to fall"
            )
        if converged:
            break
    return EMRun(parameters, np.array(history), converged, len(history) - 1)


def expectation_maximisation(
    x: ArrayLike,
    responsibilities: ArrayLike,
    *,
    covariance_type: CovarianceType = "full",
    weight: ArrayLike | None = None,
    tol: float = 1e-3,
    max_iter: int = 100,
    min_variance: float = 1e-6,
    reg_covar: float = 0.0,
) -> EMFit:
    """Raise the log-likelihood sum_i w_i log sum_k pi_k N(x_i; mu_k, C_k) step by step, from given responsibilities.

    E: r_ik = pi_k N(x_i; mu_k, C_k) / sum_j pi_j N(x_i; mu_j, C_j). M: pi_k = N_k / sum w with N_k = sum_i w_i r_ik,
    mu_k = sum_i w_i r_ik x_i / N_k, C_k = sum_i w_i r_ik (x_i - mu_k)(x_i - mu_k)' / N_k. It never falls, for
    the M step is the exact maximum, also under the bound on variances: eigenvalues of C_k below it are raised to it.
    That keeps a component that contracts on a few rows, or on a line of them, from an infinite density.

    Args:
        x: rows, finite, shape (n, d).
        responsibilities: of each component for each row, >= 0 with sum 1 by row, shape (n, k): labels of k-means as 0
            and 1, say.
        covariance_type: "full", "tied" (one for all components), "diag" or "spherical".
        weight: of rows, >= 0 with a positive sum, shape (n,). None means 1.
        tol: gain in log-likelihood, per unit of weight, below which it has converged; the step after that is the last.
        max_iter: most steps, >= 1.
        min_variance: least variance in any direction, where columns are scaled to variance 1 (constant ones stay;
            spherical: to 1 on average); 0 for none.
        reg_covar: added to every variance, in units of x^2, as scikit-learn does; the log-likelihood may then fall a
            little where it is comparable with a variance.

    Returns:
        Mixture, log-likelihood before every step and at the end, and whether a gain was below tol.

    Raises:
        ValueError: if an argument is out of range, or a covariance is singular under min_variance=0.

    Cost: a step takes about 4 n k d^2 operations as matrix products (diag, spherical: 6 n k d), O(block) memory.
    References: Dempster, Laird & Rubin 1977, JRSS B 39(1); Bishop 2006, Pattern Recognition and Machine Learning, eq.
        9.23 to 9.28; Hathaway 1985, Annals of Statistics 13(2) (bounded variances).
    Peer: sklearn.mixture.GaussianMixture from the same responsibilities, step for step, 1e-9 (A).
    In production: start it several times and keep the best; `breadth.stats.NormalMixture.fit` does.
    """
    rows, w, r = _checked(x, weight, responsibilities)
    _check_options(covariance_type, tol, max_iter, min_variance, reg_covar)
    steps = MixtureSteps(rows, w, covariance_type, min_variance=min_variance, reg_covar=reg_covar)
    run = em_loop(steps.start(r), steps.e_step, steps.m_step, tol=tol * float(w.sum()), max_iter=max_iter, fall=None)
    means, covariances = steps.in_units(run.parameters)
    if covariance_type == "tied":
        covariances = covariances[0]
    if covariance_type == "spherical":
        covariances = covariances[:, 0]
    return EMFit(
        run.parameters.weights, means, covariances, run.log_likelihoods, run.converged, run.n_iter, covariance_type
    )


def _checked(x: ArrayLike, weight: ArrayLike | None, responsibilities: ArrayLike) -> tuple[Floats, Floats, Floats]:
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
        raise ValueError(f"x must be finite and of shape (n, d), got shape {rows.shape}")
    r = np.asarray(responsibilities, dtype=np.float64)
    if r.ndim != 2 or len(r) != len(rows) or r.shape[1] == 0:
        raise ValueError(f"responsibilities must have shape ({len(rows)}, components), got {r.shape}")
    if not (r >= 0).all() or not (np.abs(r.sum(1) - 1) <= 1e-6).all():
        raise ValueError("responsibilities must be >= 0 and sum to 1 in every row")
    w = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (len(rows),) or not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise ValueError(f"weight must be finite and >= 0 with a positive sum, shape ({len(rows)},), got {w.shape}")
    return rows, w, r


def _check_options(covariance_type: str, tol: float, max_iter: int, min_variance: float, reg_covar: float) -> None:
    if covariance_type not in get_args(CovarianceType):
        raise ValueError(f"covariance_type must be one of {get_args(CovarianceType)}, got {covariance_type!r}")
    for name, value in (("tol", tol), ("min_variance", min_variance), ("reg_covar", reg_covar)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} must be finite and >= 0, got {value!r}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be >= 1, got {max_iter!r}")
