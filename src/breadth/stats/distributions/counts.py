"""What distributions over whole numbers have in common: quantiles by bisection, sums over where the mass is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from breadth.stats.distributions.arguments import Floats


def floor_of(x: ArrayLike) -> Floats:
    """x as float64, rounded down: what a distribution function of counts depends on."""
    return np.floor(np.asarray(x, dtype=np.float64))


def smallest_count(level: Floats, tails: Callable[[Floats], tuple[Floats, Floats]], mean: float, most: float) -> Any:
    """Smallest k in [0, most] with P(X <= k) >= level, by bisection; `most` itself at level 1.

    A level above 1/2 is compared through the upper tail, P(X > k) <= 1 - level, which keeps its digits.
    """

    def reached(k: Floats) -> Any:
        lower, upper = tails(k)
        return np.where(level > 0.5, upper <= 1 - level, lower >= level)

    low = np.full(level.shape, -1.0)  # not reached
    high = np.full(level.shape, min(most, np.ceil(mean) + 1.0))
    while True:  # doubles until it is reached, where the support is unbounded
        short = ~reached(high) & (high < most) & (level < 1)
        if not short.any():
            break
        low = np.where(short, high, low)
        high = np.where(short, np.minimum(2 * high + 1, most), high)
    while (high - low > 1).any():
        middle = np.maximum(np.floor((low + high) / 2), 0.0)  # -1 is not reached, though a level of 0 says so
        done = reached(middle)
        high = np.where(done, middle, high)
        low = np.where(done, low, middle)
    return np.where(level >= 1, most, high)[()]


def where_the_mass_is(mean: float, var: float, most: float) -> Floats:
    """The whole numbers within 12 standard deviations and 60 of the mean: all but 1e-30 of a count's mass."""
    reach = 12 * np.sqrt(var) + 60
    return np.arange(max(0.0, np.floor(mean - reach)), min(most, np.ceil(mean + reach)) + 1)


def for_each_count(function: Callable[[Floats], Floats], k: Floats) -> Floats:
    """function(k) of whole numbers, once for each number between the least and the largest where k repeats them.

    Args:
        function: of an array of whole numbers, value by value.
        k: finite whole numbers, any shape.
    """
    if k.size < 64:
        return function(k)
    least, most = float(k.min()), float(k.max())
    if most - least >= k.size // 2:
        return function(k)
    return function(np.arange(least, most + 1))[(k - least).astype(np.intp)]
