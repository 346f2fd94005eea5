"""Expectation maximisation for Gaussian mixtures, one pass over the rows a step.

A step whitens a block of rows by every component at once (one matrix product with the inverse Cholesky factors), which
gives both the log-densities and, weighted by the responsibilities, the sums of the next means and covariances: second
moments about the old means in the old widths, where nothing large cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.stats.distributions.saddle_point import HALF_LOG_TWO_PI

Floats = NDArray[np.float64]
CovarianceType = Literal["full", "tied", "diag", "spherical"]
_BLOCK_NUMBERS = 2**17  # whitened numbers at a time: 1 MB, which stays in cache


class EMFit(NamedTuple):
    """A Gaussian mixture where expectation maximisation stopped, and how it came there."""

    weights: Floats  # (k,)
    means: Floats  # (k, d)
    covariances: Floats  # full (k, d, d), tied (d, d), diag (k, d), spherical (k,)
    log_likelihoods: Floats  # of the parameters before each step and of the last ones, (n_iter + 1,)
    converged: bool
    n_iter: int
    covariance_type: CovarianceType


@dataclass(slots=True)
class _Parameters:
    """In the units of standardised columns."""

    weights: Floats  # (k,)
    means: Floats  # (k, d)
    covariances: Floats  # (k, d, d), or (k, d) of variances where they are diagonal
    factors: Floats  # Cholesky factors (k, d, d), or standard deviations (k, d)


class _Sums(NamedTuple):
    """What a pass over the rows gives."""

    log_likelihood: float
    mass: Floats  # responsibilities summed, (k,)
    first: Floats  # of whitened deviations, (k, d)
    second: Floats  # of their products, (k, d, d), or of their squares, (k, d)


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
        tol: gain in log-likelihood, per unit of weight, below which it has converged.
        max_iter: most steps, >= 1.
        min_variance: least variance in any direction, where columns are scaled to variance 1 (constant ones stay;
            spherical: to 1 on average); 0 for none.
        reg_covar: added to every variance, in units of x^2, as scikit-learn does; the log-likelihood may then fall a
            little where it is comparable with a variance.

    Returns:
        Mixture, log-likelihood before every step and at the end, and whether the last gain was below tol.

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
    centre = w @ rows / w.sum()
    rows = rows - centre
    variances = w @ rows**2 / w.sum()
    if covariance_type == "spherical":  # columns scaled apart would not stay spherical
        variances = np.full_like(variances, variances.mean())
    scale = np.sqrt(variances)
    scale = np.where(scale > 1e-14 * np.abs(centre), scale, 1.0)
    rows /= scale
    ridge = reg_covar / scale**2
    total = w.sum()
    from_units = -float(np.log(scale).sum()) * total
    parameters = _bounded(*_start(rows, w[:, None] * r, covariance_type), covariance_type, min_variance, ridge)
    history = []
    converged = False
    sums = _pass(rows, w, parameters)
    for _ in range(max_iter):
        history.append(sums.log_likelihood + from_units)
        weights, means, covariances = _maximise(sums, parameters)
        parameters = _bounded(weights, means, covariances, sums.mass, covariance_type, min_variance, ridge)
        sums = _pass(rows, w, parameters)
        if abs(sums.log_likelihood + from_units - history[-1]) < tol * total:
            converged = True
            break
    history.append(sums.log_likelihood + from_units)
    means = parameters.means * scale + centre
    c = parameters.covariances
    covariances = c * np.outer(scale, scale) if c.ndim == 3 else c * scale**2
    if covariance_type == "tied":
        covariances = covariances[0]
    if covariance_type == "spherical":
        covariances = covariances[:, 0]
    return EMFit(
        parameters.weights, means, covariances, np.array(history), converged, len(history) - 1, covariance_type
    )


def component_log_densities(x: Floats, means: Floats, factors: Floats) -> Floats:
    """log N(x_i; mu_k, L_k L_k') for rows (n, d), means (k, d) and Cholesky factors (k, d, d) or deviations (k, d).

    Args:
        x: rows, shape (n, d).
        means: shape (k, d).
        factors: lower triangular, shape (k, d, d), or standard deviations, shape (k, d).

    Returns:
        Log-densities, shape (n, k).

    Cost: 2 n k d^2 operations as matrix products.
    References: Bishop 2006, eq. 2.43.
    Peer: scipy.stats.multivariate_normal.logpdf, 1e-10 (A).
    """
    centre = means.mean(0)  # products with the inverse factors are of deviations, not of a common offset
    whiten = _Whiten(means - centre, factors)
    out = np.empty((len(x), len(means)))
    for block in _blocks(len(x), means.size):
        z = whiten(x[block] - centre)
        out[block] = whiten.log_density(z)
    return out


class _Whiten:
    """L_k^-1 (x - mu_k) for every component at once."""

    def __init__(self, means: Floats, factors: Floats):
        self.k, self.d = means.shape
        self.diagonal = factors.ndim == 2
        if self.diagonal:
            self.inverse = 1 / factors
            log_det = np.log(factors).sum(1)
            self.means = means
        else:
            inverse = np.linalg.inv(factors)  # (k, d, d), lower
            self.inverse = np.ascontiguousarray(inverse.transpose(2, 0, 1).reshape(self.d, -1))  # (d, k d)
            log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
            self.offset = np.einsum("kij,kj->ki", inverse, means).reshape(-1)
        self.log_constant = -log_det - self.d * HALF_LOG_TWO_PI
        self.per_component = np.repeat(np.eye(self.k), self.d, axis=0)  # (k d, k)

    def __call__(self, rows: Floats) -> Floats:
        """(b, k, d)."""
        if self.diagonal:
            return (rows[:, None, :] - self.means) * self.inverse
        z = rows @ self.inverse
        z -= self.offset
        return z.reshape(-1, self.k, self.d)

    def log_density(self, z: Floats) -> Floats:
        """(b, k)."""
        squares = (z * z).reshape(len(z), -1) @ self.per_component  # a product with ones: short rows sum slowly
        return self.log_constant - 0.5 * squares


def _pass(rows: Floats, w: Floats, p: _Parameters) -> _Sums:
    """E step and the sums of the M step, block by block."""
    whiten = _Whiten(p.means, p.factors)
    with np.errstate(divide="ignore"):
        log_weights = np.log(p.weights)
    log_likelihood = 0.0
    mass, first, second = np.zeros(len(p.weights)), np.zeros_like(p.means), np.zeros_like(p.covariances)
    for block in _blocks(len(rows), p.means.size):
        z = whiten(rows[block])  # (b, k, d)
        r = whiten.log_density(z)
        r += log_weights
        top = r.max(1, keepdims=True)
        r -= top
        np.exp(r, out=r)
        share = r.sum(1, keepdims=True)
        log_likelihood += float(w[block] @ (top + np.log(share))[:, 0])
        r *= w[block, None] / share
        mass += r.sum(0)
        weighted = z * r[:, :, None]
        first += (np.ones(len(r)) @ weighted.reshape(len(r), -1)).reshape(first.shape)
        if whiten.diagonal:
            second += np.einsum("bkd,bkd->kd", weighted, z)
        else:
            second += weighted.transpose(1, 2, 0) @ z.transpose(1, 0, 2)
    return _Sums(log_likelihood, mass, first, second)


def _maximise(sums: _Sums, p: _Parameters) -> tuple[Floats, Floats, Floats]:
    """Weights, means and covariances from sums about the old means in the old widths."""
    empty = sums.mass <= 0  # no row is its: any parameters are as good, it keeps its own
    mass = np.where(empty, 1.0, sums.mass)
    shift = sums.first / mass[:, None]
    if p.factors.ndim == 2:
        means = p.means + shift * p.factors
        covariances = (sums.second / mass[:, None] - shift**2) * p.factors**2
        covariances = np.maximum(covariances, 0.0)
        covariances[empty] = p.covariances[empty]
    else:
        means = p.means + np.einsum("kij,kj->ki", p.factors, shift)
        inner = sums.second / mass[:, None, None] - shift[:, :, None] * shift[:, None, :]
        covariances = p.factors @ inner @ p.factors.transpose(0, 2, 1)
        covariances[empty] = p.covariances[empty]
        covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    return sums.mass / sums.mass.sum(), means, covariances


def _start(rows: Floats, r: Floats, covariance_type: CovarianceType) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, means, covariances and masses of given responsibilities, which already carry the rows' weights."""
    mass = r.sum(0)
    if not (mass > 0).all():
        raise ValueError(f"responsibilities give component {int(np.argmin(mass))} no row; every one needs some")
    means = r.T @ rows / mass[:, None]
    deviations = [rows - m for m in means]
    if covariance_type in ("diag", "spherical"):
        covariances = np.array([r[:, k] @ d**2 / mass[k] for k, d in enumerate(deviations)])
    else:
        covariances = np.array([(d * r[:, k, None]).T @ d / mass[k] for k, d in enumerate(deviations)])
    return mass / mass.sum(), means, covariances, mass


def _bounded(
    weights: Floats,
    means: Floats,
    covariances: Floats,
    mass: Floats,
    covariance_type: CovarianceType,
    min_variance: float,
    ridge: Floats,
) -> _Parameters:
    """The covariances of their type, with no variance below the bound, and their factors."""
    if covariance_type == "tied":
        covariances = np.broadcast_to(np.tensordot(mass, covariances, 1) / mass.sum(), covariances.shape)
    if covariance_type == "spherical":
        covariances = np.repeat(covariances.mean(1, keepdims=True), means.shape[1], axis=1)
    if covariances.ndim == 2:
        covariances = np.maximum(covariances + ridge, min_variance)
        if not (covariances > 0).all():
            raise ValueError(_singular(int(np.argmin(covariances.min(1)))))
        return _Parameters(weights, means, covariances, np.sqrt(covariances))
    covariances = covariances + np.diag(ridge)
    if min_variance > 0:
        values, vectors = np.linalg.eigh(covariances)
        for k in np.flatnonzero(values[:, 0] < min_variance):
            raised = vectors[k] * np.maximum(values[k], min_variance) @ vectors[k].T
            covariances[k] = (raised + raised.T) / 2
    factors = np.empty_like(covariances)
    for k, c in enumerate(covariances):
        try:
            factors[k] = np.linalg.cholesky(c)
        except np.linalg.LinAlgError:
            raise ValueError(_singular(k)) from None
        if (np.diag(factors[k]) ** 2 <= 1e-14 * np.diag(c)).any():  # what rounding let through
            raise ValueError(_singular(k))
    return _Parameters(weights, means, covariances, factors)


def _singular(k: int) -> str:
    return (
        f"the covariance of component {k} is singular: it has contracted on too few rows, or columns determine each "
        "other; set min_variance > 0, or fewer components"
    )


def _blocks(n: int, width: int) -> list[slice]:
    size = max(64, _BLOCK_NUMBERS // width)
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


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
