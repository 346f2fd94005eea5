"""The exponential distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from breadth.stats.distributions.arguments import positive_number, quantile_levels, sample_of, sample_size
from breadth.stats.distributions.protocol import Rng


@dataclass(frozen=True, slots=True)
class Exponential:
    """Waiting time of a Poisson process, with density rate exp(-rate x) for x >= 0.

    Args:
        rate: events per unit of x, finite and > 0; the mean is 1 / rate (scipy's `scale`).

    Raises:
        ValueError: if rate is out of range (rate 0 would wait for ever), a level is outside [0, 1], or a sample to fit
            has a negative value or only zeros.

    Cost: O(size of x).
    References: Casella & Berger 2002, section 3.3.
    Peer: scipy.stats.expon and mpmath, density, both tails, quantile, moments, MLE, 1e-10 (A).
    In production: use it as is, for times between independent events; check that the hazard is constant.
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", positive_number("rate", self.rate))

    @property
    def mean(self) -> float:
        """1 / rate."""
        return 1 / self.rate

    @property
    def var(self) -> float:
        """1 / rate^2."""
        return 1 / self.rate**2

    def logpdf(self, x: ArrayLike) -> Any:
        """log rate - rate x; -inf for x < 0."""
        x = np.asarray(x, dtype=np.float64)
        return np.where(x < 0, -np.inf, np.log(self.rate) - self.rate * x)[()]

    def pdf(self, x: ArrayLike) -> Any:
        """Density."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """1 - exp(-rate x), to full relative precision near 0."""
        return -np.expm1(-self.rate * np.maximum(np.asarray(x, dtype=np.float64), 0.0)) + 0.0  # no negative zero

    def sf(self, x: ArrayLike) -> Any:
        """P(X > x) = exp(-rate x)."""
        return np.exp(-self.rate * np.maximum(np.asarray(x, dtype=np.float64), 0.0))

    def quantile(self, q: ArrayLike) -> Any:
        """-log(1 - q) / rate for q in [0, 1]; inf at 1."""
        with np.errstate(divide="ignore"):
            return -np.log1p(-quantile_levels(q)) / self.rate + 0.0

    def entropy(self) -> float:
        """1 - log rate, in nats."""
        return float(1 - np.log(self.rate))

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Any:
        """Independent draws of the given size."""
        return np.random.default_rng(rng).exponential(1 / self.rate, size)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Maximum likelihood: 1 / mean.

        Args:
            x: finite and >= 0, shape (n,), not all 0.
            weight: >= 0, shape (n,): weight 2 is the observation twice. None means 1.

        Returns:
            The distribution under which x is most likely.
        """
        rows, w = sample_of(x, weight)
        if (rows < 0).any() or not rows.any():
            raise ValueError(f"x must be >= 0 and not all 0, got values in [{rows.min():g}, {rows.max():g}]")
        return cls(float(w.sum() / (w @ rows)))

    def standard_errors(self, n: float) -> dict[str, float]:
        """From the Fisher information of n observations: rate / sqrt(n)."""
        return {"rate": self.rate / float(np.sqrt(sample_size(n)))}
