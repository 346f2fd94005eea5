"""The beta distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, polygamma

from breadth.stats.distributions.arguments import Floats, positive_number, quantile_levels, sample_of, sample_size
from breadth.stats.distributions.protocol import Rng
from breadth.stats.distributions.saddle_point import HALF_LOG_TWO_PI, digamma_less_log, log_binomial, stirling_error
from breadth.stats.distributions.tails import beta_lower, beta_tails


@dataclass(frozen=True, slots=True)
class Beta:
    """A law over [0, 1], with density x^(a - 1) (1 - x)^(b - 1) / B(a, b): conjugate to chances of success.

    Args:
        a: first shape, finite and > 0; 1 + successes seen, under a uniform prior.
        b: second shape, finite and > 0; 1 + failures seen.

    Raises:
        ValueError: if a parameter is out of range, a level outside [0, 1], or a sample to fit has values outside
            (0, 1) or all equal.

    Cost: O(size of x); `fit` about ten steps of Newton's method on two sums over x.
    References: Casella & Berger 2002, section 3.3; conjugate update example 7.2.14; Loader 2000 (the density as a
        binomial probability).
    Peer: scipy.stats.beta and mpmath, a and b from 1e-3 to 1e6, both tails, quantile, moments, MLE, 1e-10 (A).
    In production: use it as is; Beta(1/2, 1/2).update(successes, failures) is Jeffreys' posterior of a chance.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", positive_number("a", self.a))
        object.__setattr__(self, "b", positive_number("b", self.b))

    @property
    def mean(self) -> float:
        """a / (a + b)."""
        return self.a / (self.a + self.b)

    @property
    def var(self) -> float:
        """a b / ((a + b)^2 (a + b + 1))."""
        total = self.a + self.b
        return (self.a / total) * (self.b / total) / (total + 1)

    def logpdf(self, x: ArrayLike) -> Any:
        """Log-density; -inf outside [0, 1], inf at an end whose shape is below 1."""
        x = np.asarray(x, dtype=np.float64)
        inside = (x > 0) & (x < 1)
        at = np.where(inside, x, 0.5)
        at_end = np.where(x == 0, _end(self.a, self.b), np.where(x == 1, _end(self.b, self.a), -np.inf))
        return np.where(inside, self._log_density(at, 1 - at), np.where(np.isnan(x), np.nan, at_end))[()]

    def pdf(self, x: ArrayLike) -> Any:
        """Density."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """P(X <= x), its left tail to full relative precision."""
        x = np.clip(np.asarray(x, dtype=np.float64), 0, 1)
        return beta_lower(self.a, self.b, x, 1 - x)[()]

    def sf(self, x: ArrayLike) -> Any:
        """P(X > x), its right tail to full relative precision."""
        x = np.clip(np.asarray(x, dtype=np.float64), 0, 1)
        return beta_lower(self.b, self.a, 1 - x, x)[()]

    def quantile(self, q: ArrayLike) -> Any:
        """The x with cdf(x) = q, for q in [0, 1]; scipy's value and Newton's steps, which its last digits may lack."""
        q = quantile_levels(q)
        x = np.asarray(betaincinv(self.a, self.b, q))
        for _ in range(3):
            inside = (x > 1e-290) & (x < 1)
            at = np.where(inside, x, 0.5)
            lower, upper = beta_tails(self.a, self.b, at, 1 - at)
            off = np.where(q <= 0.5, lower - q, (1 - q) - upper)
            with np.errstate(over="ignore", invalid="ignore"):  # far tails; such a step is not taken
                step = off * np.exp(-self._log_density(at, 1 - at))
            x = np.where(inside & (np.abs(step) < 1e-3 * np.minimum(at, 1 - at)), x - step, x)
        return x[()]

    def entropy(self) -> float:
        """log B(a, b) - (a-1) psi(a) - (b-1) psi(b) + (a+b-2) psi(a+b), in nats, without its cancellation."""
        a, b, total = self.a, self.b, self.a + self.b
        logs = 0.5 * np.log(a / total) + 0.5 * np.log(b / total) - 0.5 * np.log(total) + HALF_LOG_TWO_PI
        stirling = stirling_error(a) + stirling_error(b) - stirling_error(total)
        rest = -(a - 1) * digamma_less_log(a) - (b - 1) * digamma_less_log(b) + (total - 2) * digamma_less_log(total)
        return float(logs + stirling + rest)

    def sample(self, rng: Rng = None, size: int | tuple[int, ...] | None = None) -> Any:
        """Independent draws of the given size."""
        return np.random.default_rng(rng).beta(self.a, self.b, size)

    @classmethod
    def fit(cls, x: ArrayLike, weight: ArrayLike | None = None) -> Self:
        """Maximum likelihood: psi(a) - psi(a+b) = mean log x and psi(b) - psi(a+b) = mean log(1-x), by Newton's method.

        Args:
            x: strictly between 0 and 1, shape (n,), not all equal.
            weight: >= 0, shape (n,): weight 2 is the observation twice. None means 1.

        Returns:
            The distribution under which x is most likely.
        """
        rows, w = sample_of(x, weight)
        if not ((rows > 0) & (rows < 1)).all():
            raise ValueError(f"x must lie strictly between 0 and 1, got values in [{rows.min():g}, {rows.max():g}]")
        if np.ptp(rows) == 0:
            raise ValueError(f"x must hold at least two different values, got only {rows[0]!r}")
        w = w / w.sum()
        mean = float(w @ rows)
        rest = float(w @ (1 - rows))
        spread = float(w @ (rows - mean) ** 2)
        # sufficient statistics less the logarithms of the means, so that nothing large cancels
        gaps = np.array([w @ _log_ratio(rows, mean), w @ _log_ratio(1 - rows, rest)])
        shapes = np.array([mean, rest]) * max(mean * rest / spread - 1, 1e-2)  # moments
        return cls(*map(float, _solve(shapes, np.array([mean, rest]), gaps)))

    def standard_errors(self, n: float) -> dict[str, float]:
        """From the Fisher information of n observations: n [[psi'(a) - c, -c], [-c, psi'(b) - c]], c = psi'(a+b)."""
        covariance = np.linalg.inv(_information(np.array([self.a, self.b]))) / sample_size(n)
        return {"a": float(np.sqrt(covariance[0, 0])), "b": float(np.sqrt(covariance[1, 1]))}

    def update(self, successes: float, failures: float) -> Self:
        """The posterior of a chance after independent trials, this being its prior.

        Args:
            successes: how many, >= 0; weighted counts need not be whole.
            failures: how many, >= 0.

        Returns:
            Beta(a + successes, b + failures).
        """
        return type(self)(
            self.a + positive_number("successes", successes, or_zero=True),
            self.b + positive_number("failures", failures, or_zero=True),
        )

    def _log_density(self, x: Floats, y: Floats) -> Floats:
        """As a binomial probability with shapes that are not negative; y = 1 - x."""
        a, b = self.a, self.b
        if a >= 1 and b >= 1:
            return np.log(a + b - 1) + log_binomial(a - 1, a + b - 2, x, y)
        if a < 1 and b < 1:
            return np.log(a) + np.log(b / (a + b)) - np.log(x) - np.log(y) + log_binomial(a, a + b, x, y)
        if a < 1:
            return np.log(a) - np.log(x) + log_binomial(a, a + b - 1, x, y)
        return np.log(b) - np.log(y) + log_binomial(a - 1, a + b - 1, x, y)


def _end(near: float, far: float) -> float:
    """Log-density at the end of [0, 1] whose shape is `near`."""
    return np.inf if near < 1 else float(np.log(far)) if near == 1 else -np.inf


def _log_ratio(x: Floats, mean: float) -> Floats:
    relative = (x - mean) / mean
    return np.where(np.abs(relative) < 0.5, np.log1p(np.maximum(relative, -0.5)), np.log(x / mean))


def _information(shapes: Floats) -> Floats:
    return np.diag(polygamma(1, shapes)) - polygamma(1, shapes.sum())


def _solve(shapes: Floats, means: Floats, gaps: Floats) -> Floats:
    """Root of psi(shape_i) - psi(sum) - log mean_i = gap_i; the log-likelihood is concave, so Newton's steps are
    shortened until the residual falls."""

    def residual(s: Floats) -> Floats:
        total = s.sum()
        return gaps - digamma_less_log(s) + digamma_less_log(total) - np.log(s / total / means)

    r = residual(shapes)
    for _ in range(200):
        step = np.linalg.solve(_information(shapes), r)
        size = 1.0
        while True:
            trial = shapes + size * step
            if (trial > 0).all():
                r_trial = residual(trial)
                if np.abs(r_trial).max() < np.abs(r).max() or size < 1e-10:
                    break
            size /= 2
        if size < 1e-10:  # rounding keeps the residual from falling further
            break
        moved = np.abs(trial / shapes - 1).max()
        shapes, r = trial, r_trial
        if moved < 1e-15:
            break
    return shapes
