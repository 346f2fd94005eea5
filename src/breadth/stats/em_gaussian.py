"""The two halves of expectation maximisation for Gaussian mixtures, one pass over the rows a step.

A step whitens a block of rows by every component at once (one matrix product with the inverse Cholesky factors), which
gives both the log-densities and, weighted by the responsibilities, the sums of the next means and covariances: second
moments about the old means in the old widths, where nothing large cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.stats.distributions.saddle_point import HALF_LOG_TWO_PI
from breadth.stats.em_kernels import diagonal_sums, full_sums

Floats = NDArray[np.float64]
CovarianceType = Literal["full", "tied", "diag", "spherical"]
_BLOCK_NUMBERS = 2**17  # whitened numbers at a time: 1 MB, which stays in cache
_SEGMENTS = 16  # parts that are summed apart and then in order, whatever the number of threads
_SMALL = 2048  # rows of a part at least
_WIDE = 48  # columns from which on matrix products are quicker than the kernel


@dataclass(slots=True)
class MixtureParameters:
    """In the units of standardised columns."""

    weights: Floats  # (k,)
    means: Floats  # (k, d)
    covariances: Floats  # (k, d, d), or (k, d) of variances where they are diagonal
    factors: Floats  # Cholesky factors (k, d, d), or standard deviations (k, d)


class MixtureSums(NamedTuple):
    """What a pass over the rows gives."""

    log_likelihood: float
    mass: Floats  # responsibilities summed, (k,)
    first: Floats  # of whitened deviations, (k, d)
    second: Floats  # of their products, (k, d, d), or of their squares, (k, d)


class MixtureSteps:
    """E and M step of one mixture on one set of rows, which it standardises.

    Args:
        x: rows, finite, shape (n, d).
        w: weights of rows, >= 0 with a positive sum, shape (n,).
        covariance_type: as `expectation_maximisation`, like the next two.
        min_variance: bound on variances of standardised columns.
        reg_covar: added to every variance.
        spread: maps a function over the parts of the rows; a thread pool's map shares the work, and the sums stay the
            same to the bit.
    """

    def __init__(
        self,
        x: Floats,
        w: Floats,
        covariance_type: CovarianceType,
        *,
        min_variance: float,
        reg_covar: float,
        spread: Callable[..., Any] = map,
    ):
        self.centre = w @ x / w.sum()
        self.rows = x - self.centre
        variances = w @ self.rows**2 / w.sum()
        if covariance_type == "spherical":  # columns scaled apart would not stay spherical
            variances = np.full_like(variances, variances.mean())
        scale = np.sqrt(variances)
        self.scale = np.where(scale > 1e-14 * np.abs(self.centre), scale, 1.0)
        self.rows /= self.scale
        self.w = w
        self.covariance_type: CovarianceType = covariance_type
        self.min_variance = min_variance
        self.ridge = reg_covar / self.scale**2
        self.spread = spread
        self._from_units = -float(np.log(self.scale).sum()) * float(w.sum())

    def start(self, responsibilities: Floats) -> MixtureParameters:
        """Parameters from responsibilities >= 0, shape (n, k)."""
        r = self.w[:, None] * responsibilities
        return self._bounded(*_moments(self.rows, r, self.covariance_type))

    def given(self, weights: Floats, means: Floats, covariances: Floats) -> MixtureParameters:
        """Parameters as they are, in units of x; covariances (k, d, d), or variances (k, d) where they are diagonal."""
        full = covariances.ndim == 3
        covariances = covariances / (np.outer(self.scale, self.scale) if full else self.scale**2)
        factors = cholesky_factors(covariances) if full else np.sqrt(covariances)
        return MixtureParameters(weights, (means - self.centre) / self.scale, covariances, factors)

    def in_units(self, p: MixtureParameters) -> tuple[Floats, Floats]:
        """Means and covariances in units of x, the latter (k, d, d) or (k, d)."""
        c = p.covariances
        scale = np.outer(self.scale, self.scale) if c.ndim == 3 else self.scale**2
        return p.means * self.scale + self.centre, c * scale

    def e_step(self, p: MixtureParameters) -> tuple[float, MixtureSums]:
        """Log-likelihood of the parameters, and the sums that their responsibilities give."""
        whiten = Whiten(p.means, p.factors)
        with np.errstate(divide="ignore"):
            log_weights = np.log(p.weights)

        def part(rows: slice) -> MixtureSums:
            return pass_over(self.rows[rows], self.w[rows], whiten, log_weights)

        parts = list(self.spread(part, segments(len(self.rows))))
        summed = MixtureSums(*(sum(each[1:], start=each[0]) for each in zip(*parts, strict=True)))
        return summed.log_likelihood + self._from_units, summed

    def m_step(self, p: MixtureParameters, sums: MixtureSums) -> MixtureParameters:
        """The parameters of the greatest expected log-likelihood, under the bound and with the ridge."""
        weights, means, covariances = _maximised(sums, p)
        return self._bounded(weights, means, covariances, sums.mass)

    def _bounded(self, weights: Floats, means: Floats, covariances: Floats, mass: Floats) -> MixtureParameters:
        """The covariances of their type, with no variance below the bound, and their factors."""
        if self.covariance_type == "tied":
            covariances = np.broadcast_to(np.tensordot(mass, covariances, 1) / mass.sum(), covariances.shape)
        if self.covariance_type == "spherical":
            covariances = np.repeat(covariances.mean(1, keepdims=True), means.shape[1], axis=1)
        if covariances.ndim == 2:
            covariances = np.maximum(covariances + self.ridge, self.min_variance)
            if not (covariances > 0).all():
                raise ValueError(_singular(int(np.argmin(covariances.min(1)))))
            return MixtureParameters(weights, means, covariances, np.sqrt(covariances))
        covariances = covariances + np.diag(self.ridge)
        if self.min_variance > 0:
            values, vectors = np.linalg.eigh(covariances)
            for k in np.flatnonzero(values[:, 0] < self.min_variance):
                raised = vectors[k] * np.maximum(values[k], self.min_variance) @ vectors[k].T
                covariances[k] = (raised + raised.T) / 2
        return MixtureParameters(weights, means, covariances, cholesky_factors(covariances))


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
    whiten = Whiten(means - centre, factors)
    out = np.empty((len(x), len(means)))
    for block in blocks(len(x), means.size):
        z = whiten(x[block] - centre)
        out[block] = whiten.log_density(z)
    return out


class Whiten:
    """L_k^-1 (x - mu_k) for every component at once."""

    def __init__(self, means: Floats, factors: Floats):
        self.k, self.d = means.shape
        self.means = np.ascontiguousarray(means)
        self.diagonal = factors.ndim == 2
        if self.diagonal:
            self.inverses = 1 / factors  # (k, d)
            log_det = np.log(factors).sum(1)
        else:
            self.inverses = np.linalg.inv(factors)  # (k, d, d), lower
            self.side_by_side = np.ascontiguousarray(self.inverses.transpose(2, 0, 1).reshape(self.d, -1))  # (d, k d)
            log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
            self.offset = np.einsum("kij,kj->ki", self.inverses, means).reshape(-1)
        self.log_constant = -log_det - self.d * HALF_LOG_TWO_PI
        self.per_component = np.repeat(np.eye(self.k), self.d, axis=0)  # (k d, k)

    def __call__(self, rows: Floats) -> Floats:
        """(b, k, d)."""
        if self.diagonal:
            return (rows[:, None, :] - self.means) * self.inverses
        z = rows @ self.side_by_side
        z -= self.offset
        return z.reshape(-1, self.k, self.d)

    def log_density(self, z: Floats) -> Floats:
        """(b, k)."""
        squares = (z * z).reshape(len(z), -1) @ self.per_component  # a product with ones: short rows sum slowly
        return self.log_constant - 0.5 * squares


def pass_over(rows: Floats, w: Floats, whiten: Whiten, log_weights: Floats) -> MixtureSums:
    """E step and the sums of the M step: compiled, or by matrix products where they are large enough to pay."""
    k, d = whiten.k, whiten.d
    if d > _WIDE and not whiten.diagonal:
        return by_products(rows, w, whiten, log_weights)
    mass, first = np.zeros(k), np.zeros((k, d))
    second = np.zeros((k, d) if whiten.diagonal else (k, d, d))
    kernel = diagonal_sums if whiten.diagonal else full_sums
    constant = log_weights + whiten.log_constant
    with announced():
        likelihood = kernel(rows, w, whiten.means, whiten.inverses, constant, mass, first, second)
    return MixtureSums(likelihood, mass, first, second)


def by_products(rows: Floats, w: Floats, whiten: Whiten, log_weights: Floats) -> MixtureSums:
    """`pass_over` block by block, as matrix products."""
    k, d = whiten.k, whiten.d
    log_likelihood = 0.0
    mass, first = np.zeros(k), np.zeros((k, d))
    second = np.zeros((k, d) if whiten.diagonal else (k, d, d))
    for block in blocks(len(rows), k * d):
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
    return MixtureSums(log_likelihood, mass, first, second)


def _maximised(sums: MixtureSums, p: MixtureParameters) -> tuple[Floats, Floats, Floats]:
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


def _moments(rows: Floats, r: Floats, covariance_type: CovarianceType) -> tuple[Floats, Floats, Floats, Floats]:
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


def cholesky_factors(covariances: Floats) -> Floats:
    """Lower factors of matrices (k, d, d); one that is singular to rounding is an error."""
    factors = np.empty_like(covariances)
    for k, c in enumerate(covariances):
        try:
            factors[k] = np.linalg.cholesky(c)
        except np.linalg.LinAlgError:
            raise ValueError(_singular(k)) from None
        if (np.diag(factors[k]) ** 2 <= 1e-14 * np.diag(c)).any():  # what rounding let through
            raise ValueError(_singular(k))
    return factors


def _singular(k: int) -> str:
    return (
        f"the covariance of component {k} is singular: it has contracted on too few rows, or columns determine each "
        "other; raise the least variance (min_variance, or reg_covar, in units of x^2), or take fewer "
        "components"
    )


def blocks(n: int, width: int) -> list[slice]:
    """Rows in blocks whose whitened numbers, `width` a row, stay in cache."""
    size = max(64, _BLOCK_NUMBERS // width)
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def segments(n: int) -> list[slice]:
    """Rows in parts for threads, the same for any number of them."""
    step = max(_SMALL, -(-n // _SEGMENTS))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]
