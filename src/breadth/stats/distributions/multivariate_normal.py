"""The multivariate normal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtr, owens_t

from breadth.stats.distributions.arguments import Floats, sample_of, sample_size, weighted_mean
from breadth.stats.distributions.protocol import Rng
from breadth.stats.distributions.saddle_point import HALF_LOG_TWO_PI


@dataclass(frozen=True, slots=True, eq=False)
class MultivariateNormal:
    """N(mean, cov) in d dimensions, with density exp(-z'z / 2) / ((2 pi)^(d/2) det L), L L' = cov, z = L^-1 (x - mean).

    Args:
        mean: finite, shape (d,).
        cov: covariance, shape (d, d), symmetric and positive definite (a singular one has no density).

    Attributes:
        cholesky: L, lower triangular, shape (d, d).

    Raises:
        ValueError: if a parameter is out of range, x has not d columns on its last axis, or a sample to fit has no
            spread in some direction.

    Cost: O(d^3) once, O(d^2) a row.
    References: Anderson 2003, An Introduction to Multivariate Statistical Analysis, sections 2.3, 2.5 (marginal,
        conditional) and 3.2 (MLE); Owen 1956, Annals of Mathematical Statistics 27 (cdf in two dimensions).
    Peer: scipy.stats.multivariate_normal and mpmath, log-density, moments, MLE, cdf for d <= 2, 1e-10 (A).
    In production: use it as is; where d is close to n shrink the covariance first (scikit-learn's `LedoitWolf`).
    """

    mean: Floats
    cov: Floats
    cholesky: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean = np.array(self.mean, dtype=np.float64)
        cov = np.array(self.cov, dtype=np.float64)
        if mean.ndim != 1 or mean.size == 0 or not np.isfinite(mean).all():
            raise ValueError(f"mean must be finite and of shape (d,), got {self.mean!r}")
        if cov.shape != (mean.size, mean.size) or not np.isfinite(cov).all():
            raise ValueError(f"cov must be finite and of shape ({mean.size}, {mean.size}), got shape {cov.shape}")
        if not (np.abs(cov - cov.T) <= 1e-10 * np.abs(np.diag(cov)).max()).all():
            raise ValueError("cov must be symmetric; (cov + cov.T) / 2 is")
        try:
            cholesky = np.linalg.cholesky((cov + cov.T) / 2)
        except np.linalg.LinAlgError:
            smallest = np.linalg.eigvalsh(cov)[0]
            raise ValueError(
                f"cov must be positive definite, its smallest eigenvalue is {smallest:g}; "
                "leave out columns that others determine, or add to the diagonal"
            ) from None
        for name, value in (("mean", mean), ("cov", cov), ("cholesky", cholesky)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def var(self) -> Floats:
        """The diagonal of cov, shape (d,)."""
        return np.diag(self.cov)

    def mahalanobis(self, x: ArrayLike) -> Any:
        """sqrt((x - mean)' cov^-1 (x - mean)) for x of shape (..., d), shape (...)."""
        z = self._whitened(x)
        return np.sqrt(np.einsum("...d,...d->...", z, z))[()]

    def logpdf(self, x: ArrayLike) -> Any:
        """Log-density of x (..., d), shape (...)."""
        z = self._whitened(x)
        return (-0.5 * np.einsum("...d,...d->...", z, z) - self._log_normaliser())[()]

    def pdf(self, x: ArrayLike) -> Any:
        """Density of x (..., d), shape (...)."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """P(X_1 <= x_1, ..., X_d <= x_d) for x of shape (..., d), shape (...): exact for one and two dimensions.

        Raises:
            ValueError: for d > 2, which takes an approximation (scipy.stats.multivariate_normal.cdf has one).
        """
        z = (self._rows(x) - self.mean) / np.sqrt(self.var)
        if self.mean.size == 1:
            return ndtr(z[..., 0])[()]
        if self.mean.size == 2:
            return _bivariate(z[..., 0], z[..., 1], self.cov[0, 1] / np.sqrt(self.cov[0, 0] * self.cov[1, 1]))[()]
        raise ValueError(
            f"cdf has a closed form for 1 and 2 dimensions only, this is of {self.mean.size}; "
            "scipy.stats.multivariate_normal.cdf integrates numerically"
        )

    def entropy(self) -> float:
        """log det(2 pi e cov) / 2, in nats."""
        return float(self._log_normaliser() + 0.5 * self.mean.size)

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Floats:
        """Independent draws, shape (*size, d)."""
        shape = () if size is None else (size,) if isinstance(size, int) else tuple(size)
        z = np.random.default_rng(rng).standard_normal((*shape, self.mean.size))
        return self.mean + z @ self.cholesky.T

    def marginal(self, columns: Sequence[int]) -> Self:
        """The law of some of the columns."""
        chosen = self._columns(columns)
        return type(self)(self.mean[chosen], self.cov[np.ix_(chosen, chosen)])

    def conditional(self, columns: Sequence[int], values: ArrayLike) -> Self:
        """The law of the other columns, in their order, where these take the given values.

        mean_o + C_oc C_cc^-1 (values - mean_c), C_oo - C_oc C_cc^-1 C_co.
        """
        chosen = self._columns(columns)
        others = np.setdiff1d(np.arange(self.mean.size), chosen)
        if not chosen.size or not others.size:
            raise ValueError(f"columns must be some but not all of {self.mean.size}, got {columns!r}")
        given = self.marginal(columns)
        half = solve_triangular(given.cholesky, self.cov[np.ix_(chosen, others)], lower=True)  # (c, o)
        z = given._whitened(values)
        return type(self)(self.mean[others] + half.T @ z, self.cov[np.ix_(others, others)] - half.T @ half)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Maximum likelihood: mean and mean outer product of the deviations (divisor n, biased).

        Args:
            x: finite, shape (n, d), not all on a hyperplane (which takes n > d).
            weight: >= 0, shape (n,): weight 2 is the row twice. None means 1.

        Returns:
            The distribution under which x is most likely.
        """
        rows, w = sample_of(x, weight, columns=True)
        w = w / w.sum()
        centre = weighted_mean(rows, w)
        deviations = rows - centre
        deviations -= w @ deviations  # the mean is rounded, which a large offset makes felt
        cov = (deviations * w[:, None]).T @ deviations
        scale = np.sqrt(np.diag(cov))
        widths = np.linalg.svd(np.sqrt(w)[:, None] * deviations / np.where(scale > 0, scale, 1.0), compute_uv=False)
        rank = int((widths > 1e-7 * widths[0]).sum())  # of their squares, which cov holds, less is rounding
        if rank < rows.shape[1]:
            raise ValueError(
                f"x must vary in all of its {rows.shape[1]} dimensions to have a density, it does in {rank}; "
                "leave out constant columns and those that others determine, or give more rows"
            )
        return cls(centre, (cov + cov.T) / 2)

    def standard_errors(self, n: float) -> dict[str, Floats]:
        """From the Fisher information of n rows: sqrt(c_ii / n) of the mean, sqrt((c_ii c_jj + c_ij^2) / n) of cov."""
        n = sample_size(n)
        return {"mean": np.sqrt(self.var / n), "cov": np.sqrt((np.outer(self.var, self.var) + self.cov**2) / n)}

    def update(self, x: ArrayLike, *, noise_cov: ArrayLike) -> Self:
        """The posterior of the mean of normal rows with known covariance, this being its prior.

        Args:
            x: rows, shape (n, d), n >= 1.
            noise_cov: their covariance around the mean, shape (d, d).

        Returns:
            N(mean + G (mean of x - mean), cov - G cov), G = cov (cov + noise_cov / n)^-1.
        """
        rows, w = sample_of(x, None, columns=True)
        noise = type(self)(np.zeros(self.mean.size), np.asarray(noise_cov, dtype=np.float64))
        total = type(self)(self.mean, self.cov + noise.cov / len(rows))
        half = solve_triangular(total.cholesky, self.cov, lower=True)
        z = total._whitened(weighted_mean(rows, w))
        # cov - G cov = G noise / n; from both sides, so that it stays symmetric and positive
        gain = solve_triangular(total.cholesky, half, lower=True, trans="T").T
        keep = np.eye(self.mean.size) - gain
        cov = keep @ self.cov @ keep.T + gain @ (noise.cov / len(rows)) @ gain.T
        return type(self)(self.mean + half.T @ z, (cov + cov.T) / 2)

    def _rows(self, x: ArrayLike) -> Floats:
        x = np.asarray(x, dtype=np.float64)
        if x.ndim == 0 or x.shape[-1] != self.mean.size:
            raise ValueError(f"x must have {self.mean.size} columns on its last axis, got shape {x.shape}")
        return x

    def _columns(self, columns: Sequence[int]) -> NDArray[np.intp]:
        chosen = np.asarray(columns, dtype=np.intp)
        d = self.mean.size
        if chosen.ndim != 1 or ((chosen < 0) | (chosen >= d)).any() or len(np.unique(chosen)) < chosen.size:
            raise ValueError(f"columns must be different whole numbers in [0, {d}), got {columns!r}")
        return chosen

    def _whitened(self, x: ArrayLike) -> Floats:
        rows = self._rows(x)
        flat = (rows - self.mean).reshape(-1, self.mean.size)
        return solve_triangular(self.cholesky, flat.T, lower=True, check_finite=False).T.reshape(rows.shape)

    def _log_normaliser(self) -> float:
        return self.mean.size * HALF_LOG_TWO_PI + float(np.log(np.diag(self.cholesky)).sum())


def _bivariate(h: Floats, k: Floats, rho: float) -> Floats:
    """P(X <= h, Y <= k) for standard normals of correlation rho, by Owen's T."""
    root = np.sqrt((1 - rho) * (1 + rho))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_h = np.where(h == 0, np.copysign(np.inf, k), (k - rho * h) / (h * root))
        slope_k = np.where(k == 0, np.copysign(np.inf, h), (h - rho * k) / (k * root))
    # at h = k = 0 both slopes are those of the limit along the diagonal
    both = (h == 0) & (k == 0)
    slope = np.sqrt((1 - rho) / (1 + rho))
    slope_h, slope_k = np.where(both, slope, slope_h), np.where(both, slope, slope_k)
    across = (h * k < 0) | ((h * k == 0) & (h + k < 0))
    return 0.5 * (ndtr(h) + ndtr(k)) - owens_t(h, slope_h) - owens_t(k, slope_k) - 0.5 * across
