"""The multinomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from breadth.stats.distributions.arguments import Floats, counts_of, sample_of, sample_size, whole_number
from breadth.stats.distributions.counts import where_the_mass_is
from breadth.stats.distributions.protocol import Rng
from breadth.stats.distributions.saddle_point import log_binomial, log_poisson


@dataclass(frozen=True, slots=True, eq=False)
class Multinomial:
    """Counts of k categories in n independent draws, with probability n! / prod x_i! prod p_i^x_i.

    Args:
        n: draws, a whole number >= 0.
        p: chances of the categories, >= 0, shape (k,), with sum 1 up to rounding (1e-6), which is divided out; a
            category of chance 0 has count 0.

    Raises:
        ValueError: if a parameter is out of range, x has not k categories on its last axis, or the rows of a sample to
            fit have different totals.

    Cost: O(k) a row; `cdf` O(k n^2) a row; entropy O(k sqrt(n)).
    References: Casella & Berger 2002, section 4.6; Levin 1981, Annals of Statistics 9(5), theorem 1 (cdf).
    Peer: scipy.stats.multinomial and mpmath, n to 10^8, moments, MLE, 1e-10 (A); cdf the sum over all outcomes (B).
    In production: use it as is; with k = 2 it is `breadth.stats.Binomial`.
    """

    n: int
    p: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole_number("n", self.n))
        p = np.array(self.p, dtype=np.float64)
        if p.ndim != 1 or p.size == 0 or not (p >= 0).all() or not abs(p.sum() - 1) <= 1e-6:
            raise ValueError(f"p must be of shape (k,), >= 0 and sum to 1, got {self.p!r}")
        p /= p.sum()
        p.setflags(write=False)
        object.__setattr__(self, "p", p)

    @property
    def mean(self) -> Floats:
        """n p, shape (k,)."""
        return self.n * self.p

    @property
    def var(self) -> Floats:
        """n p (1 - p), shape (k,)."""
        return self.n * self.p * (1 - self.p)

    @property
    def cov(self) -> Floats:
        """n (diag p - p p'), shape (k, k)."""
        return self.n * (np.diag(self.p) - np.outer(self.p, self.p))

    def logpmf(self, x: ArrayLike) -> Any:
        """Log-probability of counts (..., k), shape (...); -inf where they are not whole, >= 0 and n in sum."""
        x = self._counts(x)
        inside = (np.equal(x, np.floor(x)) & (x >= 0)).all(-1) & (x.sum(-1) == self.n)
        at = np.where(inside[..., None], x, 0.0)
        value = log_poisson(at, self.mean).sum(-1) - log_poisson(self.n, self.n)
        return np.where(inside, value, np.where(np.isnan(x).any(-1), np.nan, -np.inf))[()]

    def pmf(self, x: ArrayLike) -> Any:
        """Probability of counts (..., k), shape (...)."""
        return np.exp(self.logpmf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """P(X_1 <= x_1, ..., X_k <= x_k) for x of shape (..., k), shape (...).

        Counts are independent Poisson variables given their sum; the sum of the bounded ones is convolved exactly.
        """
        x = np.floor(self._counts(x))
        rows = x.reshape(-1, x.shape[-1])
        return np.array([self._bounded(row) for row in rows]).reshape(x.shape[:-1])[()]

    def entropy(self) -> float:
        """-sum pmf log pmf, in nats, from the expectations of each category's part."""
        if self.n == 0:
            return 0.0
        total = float(log_poisson(self.n, self.n))
        for p in self.p[self.p > 0]:
            k = where_the_mass_is(self.n * p, self.n * p * (1 - p), self.n)
            total -= float(np.exp(log_binomial(k, self.n, p, 1 - p)) @ log_poisson(k, self.n * p))
        return total

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Any:
        """Independent draws, shape (*size, k)."""
        return np.random.default_rng(rng).multinomial(self.n, self.p, size)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Maximum likelihood: each category's share of all draws.

        Args:
            x: counts, whole numbers >= 0, shape (rows, k), each row with the same positive total.
            weight: >= 0, shape (rows,): weight 2 is the row twice. None means 1.

        Returns:
            The distribution under which x is most likely.
        """
        rows, w = sample_of(x, weight, columns=True)
        totals = counts_of(rows).sum(1)
        if np.ptp(totals) != 0 or totals[0] == 0:
            raise ValueError(
                f"the rows of x must have one and the same positive total, got totals in "
                f"[{totals.min():g}, {totals.max():g}]"
            )
        sums = w @ rows
        return cls(int(totals[0]), sums / sums.sum())

    def standard_errors(self, n: float) -> dict[str, Floats]:
        """From the Fisher information of n rows of self.n draws each: sqrt(p (1 - p) / (n self.n)), shape (k,)."""
        return {"p": np.sqrt(self.p * (1 - self.p) / (sample_size(n) * max(self.n, 1)))}

    def _counts(self, x: ArrayLike) -> Floats:
        x = np.asarray(x, dtype=np.float64)
        if x.ndim == 0 or x.shape[-1] != self.p.size:
            raise ValueError(f"x must have {self.p.size} categories on its last axis, got shape {x.shape}")
        return x

    def _bounded(self, most: Floats) -> float:
        if np.isnan(most).any():
            return np.nan
        if (most < 0).any():
            return 0.0
        sums = np.ones(1)  # of the categories so far, up to n
        for p, bound in zip(self.p, np.minimum(most, self.n), strict=True):
            sums = np.convolve(sums, np.exp(log_poisson(np.arange(bound + 1), self.n * p)))[: self.n + 1]
        return float(sums[self.n] / np.exp(log_poisson(self.n, self.n))) if sums.size > self.n else 0.0
