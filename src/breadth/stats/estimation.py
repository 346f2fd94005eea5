"""Estimation from any log-likelihood: maximum likelihood and posterior mode, Fisher information, likelihood ratio."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.stats import chi2

from breadth.stats.free_parameters import Bound, Floats, FreeParameters

LogDensity = Callable[[Floats], float]
_LEAST_CURVATURE = 1e-11  # of parameters in units of their own errors: less is what differences leave of none


class Estimate(NamedTuple):
    """A maximum of a log-likelihood (or log-posterior) with what is uncertain about it."""

    parameters: Floats  # (k,)
    log_density: float  # at the maximum
    information: Floats  # minus the Hessian there, (k, k)
    covariance: Floats  # its inverse, (k, k); NaN where that cannot be told
    standard_errors: Floats  # roots of the diagonal, (k,)
    n_evaluations: int


class LikelihoodRatio(NamedTuple):
    """Twice the difference of two maximal log-likelihoods, and the chance of one as large under the smaller model."""

    statistic: float
    p: float
    df: int


def log_likelihood(distribution: Any, x: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """sum_i w_i log p(x_i), the log-probability of independent observations.

    The sum of logarithms: the product of 2,000 densities is below the smallest float64.

    Args:
        distribution: has `logpdf` or `logpmf`; ours, or a frozen one of scipy.stats.
        x: observations, whatever shape the distribution takes.
        weight: >= 0, of the shape of its log-densities: weight 2 is the observation twice. None means 1.

    Returns:
        The log-likelihood; -inf where an observation is impossible.

    Raises:
        ValueError: if the distribution has neither log-density, a log-density is NaN, or weight is out of range.

    Cost: one log-density an observation.
    References: Casella & Berger 2002, definition 6.3.1 and section 7.2.2.
    Peer: the sum of scipy.stats' log-densities, 1e-12 (A).
    In production: use it to compare fits on the same data; on other data than were fitted.
    """
    density = getattr(distribution, "logpdf", None) or getattr(distribution, "logpmf", None)
    if density is None:
        raise ValueError(f"distribution must have logpdf or logpmf, got {type(distribution).__name__}")
    values = np.asarray(density(x), dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a log-density is NaN; x holds NaN, or the distribution is at fault")
    if weight is None:
        return float(values.sum())
    w = np.asarray(weight, dtype=np.float64)
    if w.shape != values.shape or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError(f"weight must be finite, >= 0 and of shape {values.shape}, got shape {w.shape}")
    return float(np.sum(np.where(w == 0, 0.0, w * np.where(w == 0, 0.0, values))))


def log_posterior(log_likelihood: LogDensity, log_prior: LogDensity) -> LogDensity:
    """log p(x | theta) + log p(theta), the log-posterior up to the constant log p(x).

    Where the prior is 0 the likelihood is not asked for, which may not be defined there.

    Args:
        log_likelihood: of parameters (k,), on the data at hand.
        log_prior: of parameters (k,); -inf where they are impossible.

    Returns:
        The function of parameters.

    Cost: one call of each.
    References: Gelman et al. 2013, Bayesian Data Analysis, eq. 1.2.
    Peer: a conjugate posterior's log-density up to one constant, 1e-12 (B).
    In production: give it to `posterior_mode`, or to a sampler.
    """

    def unnormalised(parameters: Floats) -> float:
        prior = float(log_prior(parameters))
        return prior if prior == -np.inf else prior + float(log_likelihood(parameters))

    return unnormalised


def maximum_likelihood(
    log_likelihood: LogDensity,
    start: ArrayLike,
    *,
    bounds: Sequence[Bound] | None = None,
    gradient: Callable[[Floats], ArrayLike] | None = None,
    max_iter: int = 500,
) -> Estimate:
    """Parameters that maximise a log-likelihood, by L-BFGS and Newton's method, with standard errors.

    A parameter with bounds is searched for on the whole line: as low + exp(u), high - exp(u) or
    low + (high - low) / (1 + exp(-u)). Newton's steps on a fourth-order difference Hessian finish what L-BFGS leaves.

    Args:
        log_likelihood: of parameters (k,), the sum over all observations; may be -inf away from the maximum.
        start: (k,), strictly inside the bounds, where the log-likelihood is finite.
        bounds: (low, high) for each parameter, None for none; both are excluded.
        gradient: of the log-likelihood, (k,) to (k,); None takes central differences.
        max_iter: L-BFGS steps.

    Returns:
        The maximum; `information` is minus the Hessian in the parameters given (not in u), so that
        sqrt(diag(information^-1)) are standard errors; they are NaN, and a warning names the parameters, where the
        likelihood is flat up to its rounding.

    Raises:
        ValueError: if start is not (k,), not inside the bounds or without finite log-likelihood, or bounds are not k
            pairs with low < high.
        RuntimeError: if no maximum is found inside the bounds: the likelihood still rises towards one of them, or
            without bound.

    Cost: some tens of gradients, each 2k evaluations unless given, and about 8 k^2 for a Hessian, thrice.
    References: Casella & Berger 2002, section 7.2.2; Byrd et al. 1995, SIAM J. Scientific Computing 16(5) (L-BFGS-B);
        Efron & Hinkley 1978, Biometrika 65(3) (observed information).
    Peer: closed-form fits of our distributions and scipy.stats' numerical ones: 1e-7 of a parameter, with its gradient
        1e-9 (A); statsmodels' standard errors of a logistic regression, 1e-5 (A).
    In production: use a distribution's own `fit` where it has one; start from moments, scale parameters to order 1.
    """
    theta = _checked_start(log_likelihood, start)
    line = FreeParameters(bounds, theta)
    count = 0

    def objective(u: Floats) -> float:
        nonlocal count
        count += 1
        value = float(log_likelihood(line.parameters(u)))
        return -value if np.isfinite(value) else np.inf

    def slope(u: Floats) -> Floats:
        if gradient is None:
            return _gradient(objective, u)
        return -np.asarray(gradient(line.parameters(u)), dtype=np.float64) * line.slope(u)

    u = line.position(theta)
    scale = max(abs(objective(u)), 1.0)  # so that tolerances are relative
    with np.errstate(over="ignore", invalid="ignore"):
        found = minimize(
            lambda v: min(objective(v) / scale, 1e300),
            u,
            jac=lambda v: slope(v) / scale,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "ftol": 1e-15, "gtol": 1e-12, "maxls": 50},
        )
        u = _finish(objective, slope, found.x)
        theta = line.parameters(u)
        steep = slope(u)
        curvature = _hessian(objective, u)
    line.refuse_edges(u, theta)
    # how much higher a Newton step would still come, in units of log-likelihood: nothing at a maximum
    step = np.linalg.lstsq(curvature, steep, rcond=1e-10)[0]
    flat_yet_steep = np.abs(steep - curvature @ step).max() > 1e-6 * scale
    if (
        flat_yet_steep
        or not 0.5 * steep @ step <= 1e-4
        or np.linalg.eigvalsh(curvature)[0] < -1e-3 * np.abs(curvature).max()
    ):
        raise RuntimeError(
            f"no maximum found within max_iter={max_iter} steps: at parameters {theta} the log-likelihood still rises "
            "(is it bounded? scale parameters to order 1, start nearer, or give bounds)"
        )
    information = observed_information(log_likelihood, theta, bounds=bounds)
    covariance = _inverse(information, _room_for_steps(theta, bounds), float(log_likelihood(theta)))
    errors = np.sqrt(np.diag(covariance))
    return Estimate(theta, float(log_likelihood(theta)), information, covariance, errors, count)


def posterior_mode(
    log_likelihood: LogDensity,
    log_prior: LogDensity,
    start: ArrayLike,
    *,
    bounds: Sequence[Bound] | None = None,
    max_iter: int = 500,
) -> Estimate:
    """Parameters that maximise log-likelihood + log-prior (MAP), with the curvature there (Laplace's approximation).

    The mode belongs to the parametrisation: the mode of log s is not the log of the mode of s. Under a flat prior it is
    the maximum likelihood.

    Args:
        log_likelihood: of parameters (k,).
        log_prior: of parameters (k,), up to a constant.
        start: (k,), strictly inside the bounds.
        bounds: (low, high) for each parameter, None for none; both are excluded.
        max_iter: L-BFGS steps.

    Returns:
        The mode; `covariance` is that of the normal law with its curvature.

    Raises:
        ValueError, RuntimeError: as `maximum_likelihood`.

    Cost: as `maximum_likelihood`.
    References: Gelman et al. 2013, section 4.1; MacKay 2003, Information Theory, Inference and Learning Algorithms,
        ch. 27 (Laplace's method).
    Peer: modes of conjugate posteriors, 1e-7 (B); sklearn.linear_model.Ridge, the mode under a normal prior, 1e-6 (A).
    In production: use it for a penalised fit; sample where the posterior is skewed or flat.
    """
    return maximum_likelihood(log_posterior(log_likelihood, log_prior), start, bounds=bounds, max_iter=max_iter)


def observed_information(
    log_likelihood: LogDensity, parameters: ArrayLike, *, bounds: Sequence[Bound] | None = None
) -> Floats:
    """Minus the Hessian of the log-likelihood, by central differences of fourth order.

    Args:
        log_likelihood: of parameters (k,).
        parameters: where, (k,), usually its maximum.
        bounds: (low, high) for each parameter; no difference is taken beyond.

    Returns:
        The observed Fisher information, symmetric (k, k); its inverse is the asymptotic covariance.

    Raises:
        ValueError: if the log-likelihood is not finite there.

    Cost: about 16 k^2 evaluations.
    References: Efron & Hinkley 1978, Biometrika 65(3); Abramowitz & Stegun 1972, 25.3.24.
    Peer: the information of our distributions in closed form, 1e-6 (B).
    In production: use it as is; take `breadth.nn.calculus` where the log-likelihood is a torch function.
    """
    theta = _checked_start(log_likelihood, parameters)
    return _hessian(lambda t: -float(log_likelihood(t)), theta, _room_for_steps(theta, bounds))


def likelihood_ratio_test(null: float, alternative: float, *, df: int) -> LikelihoodRatio:
    """Wilks' test that a restriction holds: 2 (alternative - null) is chi-squared with df degrees under it.

    Args:
        null: maximal log-likelihood under the restriction.
        alternative: maximal log-likelihood without it, on the same data.
        df: parameters that the restriction fixes, >= 1.

    Returns:
        Statistic, p value and df.

    Raises:
        ValueError: if a log-likelihood is not finite, df < 1, or null exceeds alternative by more than rounding: then
            the models are not nested or a maximum was missed.

    Cost: O(1).
    References: Wilks 1938, Annals of Mathematical Statistics 9(1).
    Peer: scipy.stats.chi2.sf; statsmodels' compare_lr_test, 1e-9 (A).
    In production: use it for nested models with n far above df, and not for a parameter on its bound (a variance of 0).
    """
    if not np.isfinite([null, alternative]).all():
        raise ValueError(f"null and alternative must be finite log-likelihoods, got {null!r} and {alternative!r}")
    if df < 1 or df != int(df):
        raise ValueError(f"df must be an integer >= 1, got {df!r}")
    statistic = 2 * (alternative - null)
    if statistic < -1e-6 * max(1.0, abs(null)):
        raise ValueError(
            f"alternative must be at least null, got {alternative!r} < {null!r}: the models are not nested, or a "
            "maximum was missed"
        )
    statistic = max(statistic, 0.0)
    return LikelihoodRatio(float(statistic), float(chi2.sf(statistic, df)), int(df))


def _checked_start(log_likelihood: LogDensity, start: ArrayLike) -> Floats:
    theta = np.array(start, dtype=np.float64)
    if theta.ndim != 1 or theta.size == 0 or not np.isfinite(theta).all():
        raise ValueError(f"parameters must be finite and of shape (k,), got {start!r}")
    found = np.asarray(log_likelihood(theta), np.float64)
    if found.ndim:
        raise ValueError(f"the log-likelihood must be one number, the sum over observations, got shape {found.shape}")
    if not np.isfinite(found):
        raise ValueError(f"the log-likelihood must be finite where the search starts, at {theta} it is {found}")
    return theta


def _steps(u: Floats, power: float) -> Floats:
    return np.finfo(np.float64).eps ** power * np.maximum(np.abs(u), 1.0)


def _gradient(f: Callable[[Floats], float], u: Floats) -> Floats:
    """Central differences of fourth order."""
    result = np.empty(u.size)
    for i, h in enumerate(_steps(u, 1 / 5)):
        e = np.zeros(u.size)
        e[i] = h
        result[i] = (8 * (f(u + e) - f(u - e)) - (f(u + 2 * e) - f(u - 2 * e))) / (12 * h)
    return result


def _room_for_steps(theta: Floats, bounds: Sequence[Bound] | None) -> Floats:
    """Steps of second differences, none of which leads to a bound."""
    room = np.full(theta.size, np.inf)
    for i, (low, high) in enumerate(bounds or ()):
        room[i] = min(theta[i] - (-np.inf if low is None else low), (np.inf if high is None else high) - theta[i])
    return np.minimum(_steps(theta, 1 / 6), room / 2.5)


def _hessian(f: Callable[[Floats], float], u: Floats, h: Floats | None = None) -> Floats:
    """Central differences of fourth order, of what first differences along each pair of axes leave."""
    h = _steps(u, 1 / 6) if h is None else h
    k = u.size
    basis = np.diag(h)
    centre = f(u)
    result = np.empty((k, k))
    for i in range(k):
        e = basis[i]
        near, far = f(u + e) + f(u - e) - 2 * centre, f(u + 2 * e) + f(u - 2 * e) - 2 * centre
        result[i, i] = (16 * near - far) / (12 * h[i] ** 2)
        for j in range(i):
            d = basis[j]
            cross = [f(u + s * (e + d)) + f(u - s * (e + d)) - f(u + s * (e - d)) - f(u - s * (e - d)) for s in (1, 2)]
            result[i, j] = result[j, i] = (16 * cross[0] - cross[1]) / (48 * h[i] * h[j])
    return result


def _finish(f: Callable[[Floats], float], slope: Callable[[Floats], Floats], u: Floats) -> Floats:
    """Newton's method from where L-BFGS stopped, as long as the gradient falls."""
    steep = slope(u)
    curvature = _hessian(f, u)
    for _ in range(8):
        if not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature)[0] <= 0:
            return u
        trial = u - np.linalg.solve(curvature, steep)
        trial_steep = slope(trial) if np.isfinite(f(trial)) else np.full(u.size, np.inf)
        if not np.abs(trial_steep).max() < np.abs(steep).max():
            return u
        u, steep = trial, trial_steep
    return u


def _inverse(information: Floats, h: Floats, value: float) -> Floats:
    """The covariance; NaN, and a warning, where steps h cannot tell a curvature from the rounding of `value`."""
    diagonal = np.diag(information)
    doubt = 50 * np.finfo(np.float64).eps * abs(value) / h**2  # of a diagonal entry: six roundings, and room
    flat = diagonal <= doubt
    if not flat.any():
        length = np.sqrt(diagonal)
        values, directions = np.linalg.eigh(information / np.outer(length, length))
        if values[0] > _LEAST_CURVATURE + (doubt / diagonal).max():
            return np.asarray(np.linalg.inv(information), dtype=np.float64)
        flat = np.abs(directions[:, 0]) > 1e-3
    warnings.warn(
        f"the log-likelihood is flat along parameters {np.flatnonzero(flat).tolist()} (counted from 0), alone or "
        "together, as far as its digits tell: their values are where the search ended, and no standard errors are "
        "given; fix one of them, or bring more data or a prior",
        stacklevel=3,
    )
    return np.full_like(information, np.nan)
