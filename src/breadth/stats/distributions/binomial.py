"""The binomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from breadth.stats.distributions.arguments import (
    Floats,
    counts_of,
    probability,
    quantile_levels,
    sample_of,
    sample_size,
    whole_number,
)
from breadth.stats.distributions.counts import floor_of, for_each_count, smallest_count, where_the_mass_is
from breadth.stats.distributions.protocol import Rng
from breadth.stats.distributions.saddle_point import log_binomial
from breadth.stats.distributions.tails import beta_lower


@dataclass(frozen=True, slots=True)
class Binomial:
    """Successes in n independent trials, with probability C(n, x) p^x (1 - p)^(n - x).

    Args:
        n: trials, a whole number >= 0; 0 puts all mass on 0.
        p: chance of success, in [0, 1]; 0 puts all mass on 0 and 1 on n.

    Raises:
        ValueError: if a parameter is out of range, a level outside [0, 1], or a sample to fit is not of counts <= n.

    Cost: O(size of x), whatever n is; quantile O(log n) distribution functions, entropy O(sqrt(n)).
    References: Loader 2000, "Fast and accurate computation of binomial probabilities"; Casella & Berger 2002, section
        3.2.
    Peer: scipy.stats.binom and mpmath, n to 10^8, both tails, quantile, moments, MLE, 1e-10 (A).
    In production: use it as is; `breadth.stats.Beta.update` for the posterior of p.
    """

    n: int
    p: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole_number("n", self.n))
        object.__setattr__(self, "p", probability("p", self.p))

    @property
    def mean(self) -> float:
        """n p."""
        return self.n * self.p

    @property
    def var(self) -> float:
        """n p (1 - p)."""
        return self.n * self.p * (1 - self.p)

    def logpmf(self, x: ArrayLike) -> Any:
        """Log-probability; -inf for what is not a whole number in [0, n]."""
        x = np.asarray(x, dtype=np.float64)
        inside = np.equal(x, np.floor(x)) & (x >= 0) & (x <= self.n)
        value = for_each_count(lambda k: log_binomial(k, self.n, self.p, 1 - self.p), np.where(inside, x, 0.0))
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
        """Smallest whole number k with cdf(k) >= q, for q in [0, 1]; n at 1 unless p is 0."""
        return smallest_count(quantile_levels(q), self._tails, self.mean, self.n if self.p > 0 else 0)

    def entropy(self) -> float:
        """-sum pmf log pmf, in nats."""
        log_p = self.logpmf(where_the_mass_is(self.mean, self.var, self.n))
        return float(-np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0.0))) + 0.0

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Any:
        """Independent draws of the given size."""
        return np.random.default_rng(rng).binomial(self.n, self.p, size)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None, *, n: int) -> Self:
        """Maximum likelihood of p given the number of trials: mean(x) / n.

        Args:
            x: successes, whole numbers in [0, n], shape (rows,).
            weight: >= 0, shape (rows,): weight 2 is the observation twice. None means 1.
            n: trials behind each observation, >= 1.

        Returns:
            The distribution under which x is most likely.
        """
        n = whole_number("n", n)
        if n == 0:
            raise ValueError("n must be >= 1 to fit p: no trial says nothing of it")
        rows, w = sample_of(x, weight)
        counts_of(rows, most=n)
        return cls(n, min(float((w @ rows) / w.sum() / n), 1.0))

    def standard_errors(self, n: float) -> dict[str, float]:
        """From the Fisher information of n observations of self.n trials each: sqrt(p (1 - p) / (n self.n)).

        0 at p = 0 or 1, where the information is infinite and an interval has to come from elsewhere (Wilson).
        """
        return {"p": float(np.sqrt(self.p * (1 - self.p) / (sample_size(n) * max(self.n, 1))))}

    def _tails(self, k: Floats) -> tuple[Floats, Floats]:
        """P(X <= k) and P(X > k) at whole k."""
        return self._tail(k, upper=False), self._tail(k, upper=True)

    def _tail(self, k: Floats, *, upper: bool) -> Floats:
        inside = (k >= 0) & (k < self.n)
        p, q = self.p, 1 - self.p

        def of_count(at: Floats) -> Floats:
            a, b = at + 1, np.maximum(self.n - at, 1.0)
            return beta_lower(a, b, p, q) if upper else beta_lower(b, a, q, p)

        tail = for_each_count(of_count, np.where(inside, k, 0.0))
        outside = np.where(np.isnan(k), np.nan, k < 0 if upper else k >= self.n)
        return np.where(inside, tail, outside)
