"""Distribution functions of the beta and gamma laws, of which those of counts are cases.

scipy's functions serve, except in two corners where they lose digits that are there to be had.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincc, gammainc, gammaincc

from breadth.stats.distributions.arguments import Floats
from breadth.stats.distributions.saddle_point import deviance, log_binomial, log_poisson

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)
_LARGE_SHAPE = 1e4


def beta_tails(a: ArrayLike, b: ArrayLike, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """P(X <= x) and P(X > x) for X ~ Beta(a, b), the regularised incomplete beta functions.

    scipy's is right to 1e-10 but where one shape is large, the other small and x within a standard deviation of the
    mean (4e-8 at a = 10, b = 10^9): there the power series in x is summed, whose terms are all positive.

    Args:
        a: first shape, > 0.
        b: second shape, > 0.
        x: in [0, 1].
        y: 1 - x, given apart so that neither loses digits near 1.

    Returns:
        Both probabilities, each with its own relative precision.

    Cost: a few microseconds a value; in that corner up to about 1,000 terms.
    References: DiDonato & Morris 1992, TOMS 18(3), algorithm 708 (bgrat; the series is its eq. 8); NIST DLMF 8.17.8.
    Peer: the sum of the series at 40 digits, 1e-10 (A).
    """
    a, b, x, y = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (a, b, x, y)))
    shape = a.shape
    a, b, x, y = (np.atleast_1d(v) for v in (a, b, x, y))  # masks below need an axis
    swap = x > y  # from the end that is nearer, so that 1 - x is not taken of a rounded x
    nearer = (np.where(swap, b, a), np.where(swap, a, b), np.where(swap, y, x))
    inner, outer = betainc(*nearer), betaincc(*nearer)
    lower, upper = np.where(swap, outer, inner), np.where(swap, inner, outer)
    for first, second, at, rest, below, above in ((a, b, x, y, lower, upper), (b, a, y, x, upper, lower)):
        with np.errstate(over="ignore", invalid="ignore"):
            off_mean = np.abs(at * (first + second) - first)
            corner = (second > 1e5) & (first <= 300) & (off_mean <= 2 * np.sqrt(first) + 1) & (at > 0)
        if corner.any():
            below[corner] = _beta_series(first[corner], second[corner], at[corner], rest[corner])
            above[corner] = 1 - below[corner]
    return lower.reshape(shape), upper.reshape(shape)


def gamma_tails(shape: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    """P(X <= x) and P(X > x) for X ~ Gamma(shape, 1), the regularised incomplete gamma functions.

    For shapes above 10^4 scipy's series stop short of the tails (19 % off at 8 standard deviations of 10^8): there the
    density is integrated from x outwards by Gauss–Legendre quadrature, over the stretch where it is not negligible.

    Args:
        shape: > 0.
        x: >= 0.

    Returns:
        Both probabilities, each with its own relative precision.

    Cost: a microsecond a value; above 10^4 64 evaluations of the density.
    References: Temme 1979, SIAM J. Math. Anal. 10 (what scipy sums); Golub & Welsch 1969 (nodes).
    Peer: the sum of the series at 40 digits, 1e-10 (A).
    """
    shape, x = np.broadcast_arrays(np.asarray(shape, dtype=np.float64), np.asarray(x, dtype=np.float64))
    result_shape = x.shape
    shape, x = np.atleast_1d(shape), np.atleast_1d(x)  # masks below need an axis
    lower, upper = gammainc(shape, x), gammaincc(shape, x)
    large = (shape > _LARGE_SHAPE) & (x > 0) & np.isfinite(x)
    if large.any():
        s, at = shape[large], x[large]
        below = at < s
        tail = _gamma_tail(s, at, np.where(below, -1.0, 1.0))
        lower[large] = np.where(below, tail, 1 - tail)
        upper[large] = np.where(below, 1 - tail, tail)
    return lower.reshape(result_shape), upper.reshape(result_shape)


def _beta_series(a: Floats, b: Floats, x: Floats, y: Floats) -> Floats:
    """x^a y^b / (a B(a, b)) (1 + (a+b)/(a+1) x + (a+b)(a+b+1)/((a+1)(a+2)) x^2 + …)."""
    term = np.ones_like(x)
    total = term.copy()
    j = 0
    while (term > 1e-17 * total).any():
        term = term * (a + b + j) / (a + 1 + j) * x
        total += term
        j += 1
    # Gamma(a+b) / (Gamma(a+1) Gamma(b)) x^a y^(b-1), times y
    return np.exp(log_binomial(a, a + b - 1, x, y)) * y * total


def _gamma_tail(shape: Floats, x: Floats, side: Floats) -> Floats:
    """Integral of the density from x towards side (-1 below, +1 above)."""
    k = shape - 1
    sd = np.sqrt(shape)
    z = np.abs(x - k) / sd
    # the density falls at least as exp(-z s - s^2 / 2) for s standard deviations below, and nearly so above
    length = sd * np.minimum((np.sqrt(z * z + 100) - z) * np.where(side < 0, 1.0, 1.0 + 12 / sd + z / sd), x / sd)
    at_x = log_poisson(k, x)
    from_x = deviance(k, x)
    total = np.zeros_like(x)
    for node, node_weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        t = x + side * length * (0.5 * (node + 1))
        total += node_weight * np.exp(from_x - deviance(k, np.maximum(t, np.finfo(float).tiny)))
    return np.exp(at_x) * total * 0.5 * length
