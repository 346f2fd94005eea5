"""The normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from breadth.stats.distributions.arguments import (
    finite_number,
    positive_number,
    quantile_levels,
    sample_of,
    sample_size,
    weighted_mean,
)
from breadth.stats.distributions.protocol import Rng
from breadth.stats.distributions.saddle_point import HALF_LOG_TWO_PI


@dataclass(frozen=True, slots=True)
class Normal:
    """N(mean, std^2), with density exp(-z^2 / 2) / (std sqrt(2 pi)) at z = (x - mean) / std.

    Args:
        mean: finite.
        std: standard deviation, finite and > 0 (a point mass has no density).

    Raises:
        ValueError: if a parameter is out of range, a level outside [0, 1], or a sample has no spread to fit.

    Cost: O(size of x).
    References: Casella & Berger 2002, Statistical Inference, section 3.3; MLE example 7.2.11; conjugate update example
        7.2.16.
    Peer: scipy.stats.norm and mpmath, density to 40 standard deviations, both tails, quantile, MLE, 1e-10 (A).
    In production: use it as is; `logpdf` and `sf` for what lies far out, where `pdf` and 1 - cdf are 0.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", finite_number("mean", self.mean))
        object.__setattr__(self, "std", positive_number("std", self.std))

    @property
    def var(self) -> float:
        """std^2."""
        return self.std**2

    def logpdf(self, x: ArrayLike) -> Any:
        """-z^2 / 2 - log(std sqrt(2 pi))."""
        z = self._standardised(x)
        return -0.5 * z * z - np.log(self.std) - HALF_LOG_TWO_PI

    def pdf(self, x: ArrayLike) -> Any:
        """Density; 0 where it is below the smallest float64."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """P(X <= x), its left tail to full relative precision."""
        return ndtr(self._standardised(x))

    def sf(self, x: ArrayLike) -> Any:
        """P(X > x), its right tail to full relative precision."""
        return ndtr(-self._standardised(x))

    def quantile(self, q: ArrayLike) -> Any:
        """The x with cdf(x) = q, for q in [0, 1]; -inf at 0 and inf at 1."""
        return self.mean + self.std * ndtri(quantile_levels(q))

    def entropy(self) -> float:
        """log(std sqrt(2 pi e)), in nats."""
        return float(0.5 + HALF_LOG_TWO_PI + np.log(self.std))

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Any:
        """Independent draws of the given size."""
        return np.random.default_rng(rng).normal(self.mean, self.std, size)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Maximum likelihood: the mean and the root mean squared deviation from it (divisor n, biased).

        Args:
            x: finite, shape (n,), not all equal.
            weight: >= 0, shape (n,): weight 2 is the observation twice. None means 1.

        Returns:
            The distribution under which x is most likely.
        """
        rows, w = sample_of(x, weight)
        centre = weighted_mean(rows, w)
        deviations = rows - centre
        # the mean is rounded, which a large offset makes felt: take out what it left
        deviations -= (w @ deviations) / w.sum()
        scale = np.abs(deviations).max()  # squares of what is tiny or huge stay in range
        if np.ptp(rows) == 0 or scale == 0:
            raise ValueError(f"x must hold at least two different values to have a std > 0, got only {rows[0]!r}")
        return cls(float(centre), float(scale * np.sqrt(w @ (deviations / scale) ** 2 / w.sum())))

    def standard_errors(self, n: float) -> dict[str, float]:
        """From the Fisher information of n observations: std / sqrt(n) of the mean, std / sqrt(2 n) of the std."""
        n = sample_size(n)
        return {"mean": self.std / np.sqrt(n), "std": self.std / np.sqrt(2 * n)}

    def update(self, x: ArrayLike, *, noise_std: float) -> Self:
        """The posterior of the mean of normal observations with known spread, this being its prior.

        Args:
            x: observations, shape (n,), n >= 1.
            noise_std: their standard deviation around the mean, > 0.

        Returns:
            N((mean / std^2 + sum x / noise_std^2) / precision, 1 / precision), precision = 1/std^2 + n/noise_std^2.
        """
        noise_std = positive_number("noise_std", noise_std)
        rows, w = sample_of(x, None)
        ratio = w.sum() * (self.std / noise_std) ** 2  # the data's precision in units of the prior's
        gain = ratio / (1 + ratio) if np.isfinite(ratio) else 1.0
        return type(self)(
            float(self.mean + gain * (weighted_mean(rows, w) - self.mean)), self.std / float(np.sqrt(1 + ratio))
        )

    def _standardised(self, x: ArrayLike) -> Any:
        return (np.asarray(x, dtype=np.float64) - self.mean) / self.std
