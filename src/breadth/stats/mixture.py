"""A Gaussian mixture as a distribution: density, sampling, modes, fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr

from breadth.stats.distributions.arguments import positive_number, whole_number
from breadth.stats.distributions.protocol import Rng
from breadth.stats.em import EMFit, expectation_maximisation
from breadth.stats.em_gaussian import CovarianceType, component_log_densities

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NormalMixture:
    """sum_k weights_k N(means_k, covariances_k): a multimodal law, where `MultivariateNormal` is one of many variables.

    Args:
        weights: >= 0 with sum 1 up to rounding (1e-6), which is divided out, shape (k,).
        means: shape (k, d), or (k,) for one dimension.
        covariances: positive definite, shape (k, d, d), or variances (k,) for one dimension.

    Attributes:
        cholesky: lower triangular factors of the covariances, shape (k, d, d).

    Raises:
        ValueError: if a parameter is out of range, or x has not d columns on its last axis.

    Cost: 2 k d^2 operations a row, as matrix products.
    References: Bishop 2006, Pattern Recognition and Machine Learning, section 2.3.9; Ray & Lindsay 2005, Annals of
        Statistics 33(5) (modes: theorem 1 and eq. 4); Carreira-Perpiñán 2000, IEEE TPAMI 22(11) (the hill climb).
    Peer: sums of scipy.stats.multivariate_normal, 1e-10 (A); mode counts by a fine grid and known cases (B).
    In production: use it as is; `breadth.stats.expectation_maximisation` for its fit alone.
    """

    weights: Floats
    means: Floats
    covariances: Floats
    cholesky: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=np.float64)
        means = np.array(self.means, dtype=np.float64)
        covariances = np.array(self.covariances, dtype=np.float64)
        if weights.ndim != 1 or not weights.size or not (weights >= 0).all() or not abs(weights.sum() - 1) <= 1e-6:
            raise ValueError(f"weights must be of shape (k,), >= 0 and sum to 1, got {self.weights!r}")
        if means.ndim == 1 and covariances.ndim == 1:
            means, covariances = means[:, None], covariances[:, None, None]
        k = weights.size
        if means.ndim != 2 or len(means) != k or not means.size or not np.isfinite(means).all():
            raise ValueError(f"means must be finite and of shape ({k}, d), got shape {np.shape(self.means)}")
        d = means.shape[1]
        if covariances.shape != (k, d, d) or not np.isfinite(covariances).all():
            raise ValueError(
                f"covariances must be finite and of shape ({k}, {d}, {d}), got {np.shape(self.covariances)}"
            )
        cholesky = np.empty_like(covariances)
        for i, c in enumerate(covariances):
            if not (np.abs(c - c.T) <= 1e-10 * np.abs(np.diag(c)).max()).all():
                raise ValueError(f"covariances[{i}] must be symmetric")
            try:
                cholesky[i] = np.linalg.cholesky((c + c.T) / 2)
            except np.linalg.LinAlgError:
                raise ValueError(f"covariances[{i}] must be positive definite, got {c.tolist()}") from None
        for name, value in (
            ("weights", weights / weights.sum()),
            ("means", means),
            ("covariances", covariances),
            ("cholesky", cholesky),
        ):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def mean(self) -> Floats:
        """Shape (d,)."""
        return self.weights @ self.means

    @property
    def cov(self) -> Floats:
        """That within components and that between their means, shape (d, d)."""
        d = self.means - self.mean
        return np.tensordot(self.weights, self.covariances, 1) + (d * self.weights[:, None]).T @ d

    @property
    def var(self) -> Floats:
        """The diagonal of cov, shape (d,)."""
        return np.diag(self.cov)

    def logpdf(self, x: ArrayLike) -> Any:
        """Log-density of x (..., d), shape (...); in one dimension x may also lack its last axis."""
        rows, shape = self._rows(x)
        return logsumexp(self._joint(rows), axis=1).reshape(shape)[()]

    def pdf(self, x: ArrayLike) -> Any:
        """Density of x (..., d), shape (...)."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """P(X <= x), in one dimension."""
        if self.means.shape[1] != 1:
            raise ValueError(f"cdf has a closed form for one dimension only, this is of {self.means.shape[1]}")
        rows, shape = self._rows(x)
        return (ndtr((rows - self.means[:, 0]) / self.cholesky[:, 0, 0]) @ self.weights).reshape(shape)[()]

    def responsibilities(self, x: ArrayLike) -> Floats:
        """P(component | x) for x of shape (..., d), shape (..., k)."""
        rows, shape = self._rows(x)
        joint = self._joint(rows)
        with np.errstate(under="ignore"):
            return np.exp(joint - logsumexp(joint, axis=1, keepdims=True)).reshape(*shape, -1)

    def entropy(self, rng: Rng = None, n: int = 100_000) -> float:
        """-E[log p(X)] in nats, by Monte Carlo over n draws; it has no closed form."""
        return -float(np.mean(self.logpdf(self.sample(rng, whole_number("n", n)))))

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Floats:
        """Independent draws, shape (*size, d)."""
        generator = np.random.default_rng(rng)
        shape = () if size is None else (size,) if isinstance(size, int) else tuple(size)
        which = generator.choice(self.weights.size, size=shape, p=self.weights)
        z = generator.standard_normal((*shape, self.means.shape[1]))
        return self.means[which] + np.einsum("...ij,...j->...i", self.cholesky[which], z)

    def modes(self) -> Floats:
        """Local maxima of the density, shape (modes, d), the highest first; their number is len().

        Climbs from every mean and from points on the ridgeline of every pair, by mean shift
        x <- (sum r_k C_k^-1)^-1 sum r_k C_k^-1 mu_k and then Newton's method. Two ends are one mode unless the density
        falls between them. All modes lie on the ridgelines of subsets of components, so that for k = 2 none is missed;
        there may be more modes than components in d >= 2.
        """
        precision = np.asarray(np.linalg.inv(self.covariances), dtype=np.float64)
        ends = self._climb(self._starts(precision), precision)
        heights = self.logpdf(ends)
        found: list[int] = []
        for i in np.argsort(-heights, kind="stable"):
            if not any(self._same_hill(ends[i], ends[j]) for j in found):
                found.append(int(i))
        return ends[found]

    @classmethod
    def fit(
        cls,
        x: ArrayLike,
        n_components: int,
        *,
        weight: ArrayLike | None = None,
        covariance_type: CovarianceType = "full",
        n_init: int = 5,
        tol: float = 1e-6,
        max_iter: int = 500,
        min_variance: float = 1e-6,
        rng: Rng = None,
    ) -> Self:
        """The best of several runs of expectation maximisation, each from rows dealt to k-means++ centres.

        Args:
            x: rows, finite, shape (n, d), or (n,) for one dimension.
            n_components: k, in [1, n].
            weight: of rows, >= 0, shape (n,). None means 1.
            covariance_type: as `expectation_maximisation`, like the next three.
            n_init: runs, >= 1.
            tol: gain in log-likelihood, per unit of weight, below which a run has converged.
            max_iter: most steps of a run.
            min_variance: bound on variances; it is what keeps the likelihood finite.
            rng: of the starts, and its seed.

        Returns:
            The mixture of the greatest log-likelihood; a local maximum.
        """
        rows = np.asarray(x, dtype=np.float64)
        rows = rows[:, None] if rows.ndim == 1 else rows
        k = whole_number("n_components", n_components)
        if rows.ndim != 2 or not 1 <= k <= len(rows):
            raise ValueError(f"n_components must be in [1, n] for x of shape (n, d), got {k} and {rows.shape}")
        w = np.ones(len(rows)) if weight is None else np.asarray(weight, dtype=np.float64)
        if w.shape == (len(rows),):  # a row of weight 0 is no centre
            rows, w = rows[w != 0], w[w != 0]
        generator = np.random.default_rng(rng)
        best: EMFit | None = None
        for _ in range(max(whole_number("n_init", n_init), 1)):
            fitted = expectation_maximisation(
                rows,
                _dealt(rows, k, generator),
                covariance_type=covariance_type,
                weight=w,
                tol=positive_number("tol", tol, or_zero=True),
                max_iter=max_iter,
                min_variance=min_variance,
            )
            if best is None or fitted.log_likelihoods[-1] > best.log_likelihoods[-1]:
                best = fitted
        assert best is not None
        return cls.of(best)

    @classmethod
    def of(cls, fitted: EMFit) -> Self:
        """The mixture of a fit, whatever the type of its covariances."""
        k, d = fitted.means.shape
        c = fitted.covariances
        if fitted.covariance_type == "tied":
            full = np.repeat(c[None], k, axis=0)
        elif fitted.covariance_type == "full":
            full = c
        else:
            full = np.stack([np.diag(np.broadcast_to(v, d)) for v in c])
        return cls(fitted.weights, fitted.means, full)

    def _rows(self, x: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
        x = np.asarray(x, dtype=np.float64)
        d = self.means.shape[1]
        if x.ndim and x.shape[-1] == d and not (d == 1 and x.ndim == 1):
            return x.reshape(-1, d), x.shape[:-1]
        if d == 1:
            return x.reshape(-1, 1), x.shape
        raise ValueError(f"x must have {d} columns on its last axis, got shape {x.shape}")

    def _joint(self, rows: Floats) -> Floats:
        """log weights_k + log N_k, (n, k)."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights) + component_log_densities(rows, self.means, self.cholesky)

    def _starts(self, precision: Floats) -> Floats:
        alpha = np.linspace(0, 1, 11)[1:-1, None, None]
        starts = [self.means, self.mean[None]]
        for i in range(self.weights.size):
            for j in range(i):
                p, q = alpha * precision[i], (1 - alpha) * precision[j]
                right = p @ self.means[i] + q @ self.means[j]
                starts.append(np.linalg.solve(p + q, right[..., None])[..., 0])
        return np.concatenate(starts)

    def _climb(self, x: Floats, precision: Floats) -> Floats:
        pull = np.einsum("kij,kj->ki", precision, self.means)
        spread = np.sqrt(self.var)
        for _ in range(500):  # mean shift: always uphill, linear
            r = self.responsibilities(x)
            moved = np.linalg.solve(np.tensordot(r, precision, 1), (r @ pull)[..., None])[..., 0]
            done = (np.abs(moved - x) <= 1e-12 * spread).all()
            x = moved
            if done:
                break
        heights = self.logpdf(x)
        for _ in range(60):  # Newton: quadratic, and still linear where a mode is just about to split
            r = self.responsibilities(x)
            g = pull - np.einsum("kij,nj->nki", precision, x)  # gradients of the components' logs, (n, k, d)
            slope = np.einsum("nk,nkd->nd", r, g)
            bend = np.einsum("nk,nki,nkj->nij", r, g, g) - slope[:, :, None] * slope[:, None, :]
            bend = np.tensordot(r, precision, 1) - bend  # minus the Hessian of the log-density
            values, vectors = np.linalg.eigh(bend)
            sure = values[:, :1] > 1e-12 * values[:, -1:]
            step = np.einsum("nij,nj,nkj,nk->ni", vectors, 1 / np.where(sure, values, 1.0), vectors, slope)
            trial = np.where(sure, x + step, x)
            trial_heights = self.logpdf(trial)
            better = trial_heights > heights
            if not better.any():
                break
            x = np.where(better[:, None], trial, x)
            heights = np.where(better, trial_heights, heights)
        return x

    def _same_hill(self, x: Floats, y: Floats) -> bool:
        """Whether the density on the way from one end to the other never falls below the lower of them."""
        way = self.logpdf(x + np.linspace(0, 1, 65)[:, None] * (y - x))
        return bool(way.min() >= min(way[0], way[-1]) - 1e-13 * max(1.0, abs(way[0])))


def _dealt(rows: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Responsibilities 0 or 1, of the nearest of k rows that lie far apart (k-means++), columns scaled alike."""
    spread = rows.std(0)
    scaled = (rows - rows.mean(0)) / np.where(spread > 0, spread, 1.0)
    chosen = [int(rng.integers(len(rows)))]
    nearest = ((scaled - scaled[chosen[0]]) ** 2).sum(1)
    for _ in range(k - 1):
        p = nearest / nearest.sum() if nearest.any() else np.full(len(rows), 1 / len(rows))
        chosen.append(int(rng.choice(len(rows), p=p)))
        nearest = np.minimum(nearest, ((scaled - scaled[chosen[-1]]) ** 2).sum(1))
    distances = np.stack([((scaled - scaled[c]) ** 2).sum(1) for c in chosen], axis=1)
    r = np.zeros((len(rows), k))
    r[np.arange(len(rows)), distances.argmin(1)] = 1.0
    r[chosen] = np.eye(k)  # every centre keeps its own row, duplicates too
    return r
