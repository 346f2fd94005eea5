"""The Poisson distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from breadth.stats.distributions.arguments import (
    Floats,
    counts_of,
    positive_number,
    quantile_levels,
    sample_of,
    sample_size,
    weighted_mean,
)
from breadth.stats.distributions.counts import floor_of, for_each_count, smallest_count, where_the_mass_is
from breadth.stats.distributions.protocol import Rng
from breadth.stats.distributions.saddle_point import log_poisson
from breadth.stats.distributions.tails import gamma_lower, gamma_upper


@dataclass(frozen=True, slots=True)
class Poisson:
    """Number of independent rare events, with probability rate^x exp(-rate) / x!.

    It is the limit of Binomial(n, rate / n): the two differ by at most rate / n in total variation.

    Args:
        rate: expected number, finite and >= 0; 0 puts all mass on 0.

    Raises:
        ValueError: if rate is out of range, a level outside [0, 1], or a sample to fit is not of counts.

    Cost: O(size of x), whatever rate is; quantile O(log rate) distribution functions, entropy O(sqrt(rate)).
    References: Loader 2000, eq. 8; Le Cam 1960, Pacific J. of Mathematics 10, theorem 2 (the limit).
    Peer: scipy.stats.poisson and mpmath, rate to 10^8, both tails, quantile, moments, MLE, 1e-10 (A).
    In production: use it as is; compare variance with mean first, for real counts often vary more.
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", positive_number("rate", self.rate, or_zero=True))

    @property
    def mean(self) -> float:
        """rate."""
        return self.rate

    @property
    def var(self) -> float:
        """rate."""
        return self.rate

    def logpmf(self, x: ArrayLike) -> Any:
        """Log-probability; -inf for what is not a whole number >= 0."""
        x = np.asarray(x, dtype=np.float64)
        inside = np.equal(x, np.floor(x)) & (x >= 0) & np.isfinite(x)
        value = for_each_count(lambda k: log_poisson(k, self.rate), np.where(inside, x, 0.0))
        return np.where(inside, value, np.where(np.isnan(x), np.nan, -np.inf))[()]

    def pmf(self, x: ArrayLike) -> Any:
        """Probability."""
        return np.exp(self.logpmf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """P(X <= x), its left tail to full relative precision."""
        return self._tail(floor_of(x), upper=False)[()]

    def sf(self, x: ArrayLike) -> Any:
        """P(X > x), its right tail to full relative precision."""
        return self._tail(floor_of(x), upper=True)[()]

    def quantile(self, q: ArrayLike) -> Any:
        """Smallest whole number k with cdf(k) >= q, for q in [0, 1]; inf at 1 unless rate is 0."""
        return smallest_count(quantile_levels(q), self._tails, self.mean, 0.0 if self.rate == 0 else np.inf)

    def entropy(self) -> float:
        """-sum pmf log pmf, in nats."""
        log_p = self.logpmf(where_the_mass_is(self.mean, self.var, np.inf))
        return float(-np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0.0))) + 0.0

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Any:
        """Independent draws of the given size."""
        return np.random.default_rng(rng).poisson(self.rate, size)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Maximum likelihood: the mean.

        Args:
            x: whole numbers >= 0, shape (n,).
            weight: >= 0, shape (n,): weight 2 is the observation twice. None means 1.

        Returns:
            The distribution under which x is most likely; rate 0 where x holds only zeros.
        """
        rows, w = sample_of(x, weight)
        return cls(max(float(weighted_mean(counts_of(rows), w)), 0.0))

    def standard_errors(self, n: float) -> dict[str, float]:
        """From the Fisher information of n observations: sqrt(rate / n)."""
        return {"rate": float(np.sqrt(self.rate / sample_size(n)))}

    def _tails(self, k: Floats) -> tuple[Floats, Floats]:
        """P(X <= k) and P(X > k) at whole k."""
        return self._tail(k, upper=False), self._tail(k, upper=True)

    def _tail(self, k: Floats, *, upper: bool) -> Floats:
        inside = (k >= 0) & np.isfinite(k)
        gamma = gamma_lower if upper else gamma_upper
        tail = for_each_count(lambda at: gamma(at + 1, self.rate), np.where(inside, k, 0.0))
        outside = np.where(np.isnan(k), np.nan, k < 0 if upper else k > 0)
        return np.where(inside, tail, outside)
