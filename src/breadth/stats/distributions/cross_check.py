"""A density or probability mass against the distribution function that is meant to be its integral or sum."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad

from breadth.stats.distributions.arguments import Floats


class CrossCheck(NamedTuple):
    """Probabilities of neighbouring intervals, computed from the density and from the distribution function."""

    x: Floats  # ends of the intervals, ascending, (m,)
    from_density: Floats  # mass of (x_i, x_{i+1}], (m - 1,)
    from_cdf: Floats  # the same
    error: float  # the largest difference between the two
    lowest_density: float  # the least density or mass met, which must not be negative
    monotone: bool  # whether the distribution function never falls


def cross_check(distribution: Any, x: ArrayLike) -> CrossCheck:
    """Whether density and distribution function belong together.

    For a density the integral of `pdf` over (x_i, x_{i+1}] by adaptive quadrature, for a probability mass the sum of
    `pmf` over its whole numbers, is set beside cdf(x_{i+1}) - cdf(x_i).

    Args:
        distribution: has `cdf` and either `pdf` or `pmf` of one variable; ours, or a frozen one of scipy.stats.
        x: at least two ends of intervals, finite; sorted here. Ends that reach over nearly all mass also show that the
            total is 1.

    Returns:
        Both vectors, their largest difference, and whether density >= 0 and the distribution function rises.

    Raises:
        ValueError: if x has fewer than two values or one is not finite, the distribution has neither `pdf` nor `pmf`,
            or a probability mass would have to be summed over more than 10^7 numbers.

    Cost: some 100 densities an interval, or one mass a whole number.
    References: Casella & Berger 2002, definitions 1.5.1, 1.6.1 and 1.6.3; Piessens et al. 1983, QUADPACK.
    Peer: distributions whose density, mass or distribution function is wrong on purpose are found out (B).
    In production: run it on a distribution of your own before trusting a likelihood built on it.
    """
    ends = np.unique(np.asarray(x, dtype=np.float64).ravel())
    if ends.size < 2 or not np.isfinite(ends).all():
        raise ValueError(f"x must hold at least two different finite ends of intervals, got {x!r}")
    cumulative = np.asarray(distribution.cdf(ends), dtype=np.float64)
    if hasattr(distribution, "pmf"):
        first, last = np.floor(ends[0]) + 1, np.floor(ends[-1])
        if last - first > 1e7:
            raise ValueError(f"x spans {last - first:.0f} whole numbers; sum over at most 10^7 at a time")
        k = np.arange(first, last + 1)
        density = np.asarray(distribution.pmf(k), dtype=np.float64)
        sums = np.append(0.0, np.cumsum(density))
        mass = np.diff(sums[np.searchsorted(k, ends, side="right")])
    elif hasattr(distribution, "pdf"):
        mass = np.array([_integral(distribution.pdf, low, high) for low, high in pairwise(ends)])
        density = np.asarray(distribution.pdf(np.append(ends, (ends[:-1] + ends[1:]) / 2)), dtype=np.float64)
    else:
        raise ValueError(f"distribution must have pdf or pmf, got {type(distribution).__name__}")
    steps = np.diff(cumulative)
    lowest = float(density.min()) if density.size else 0.0
    return CrossCheck(ends, mass, steps, float(np.abs(mass - steps).max()), lowest, bool((steps >= 0).all()))


def _integral(pdf: Callable[[float], Any], low: float, high: float) -> float:
    return quad(lambda t: float(pdf(t)), low, high, epsabs=1e-14, limit=200)[0]
