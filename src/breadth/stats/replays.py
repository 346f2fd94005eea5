"""How often an interval holds the truth: by simulation for any interval, exactly for a binomial proportion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from breadth.stats import arguments
from breadth.stats.inference import proportion_interval

Floats = NDArray[np.float64]


class Coverage(NamedTuple):
    """How often replayed intervals held the truth, with Wilson's 95 % interval of that share."""

    rate: float
    low: float
    high: float
    missed_above: float  # share of intervals that lie below the truth
    missed_below: float  # share that lie above it
    mean_length: float
    n_replays: int


def coverage(
    interval: Callable[[Any], Sequence[Any]],
    sample: Callable[[np.random.Generator], Any],
    truth: float,
    *,
    n_replays: int = 2000,
    rng: np.random.Generator | int | None = None,
) -> Coverage:
    """Share of samples, drawn anew from a known population, whose interval holds the true value.

    Args:
        interval: from a sample to its two ends, or to an object with `low` and `high`, such as `t_test` returns.
        sample: from a generator to one sample.
        truth: the population's value, finite.
        n_replays: samples drawn, >= 1; the share's standard error is about sqrt(0.05 / n_replays) at 95 %.
        rng: generator or its seed.

    Returns:
        Coverage. Ends belong to the interval.

    Raises:
        ValueError: if an interval holds NaN or its low end is above its high one, or an argument is out of range.

    Cost: n_replays draws and intervals.
    References: Neyman 1937, Phil. Trans. Royal Society A 236; Burton et al. 2006, Statistics in Medicine 25.
    Peer: `binomial_coverage`, which is exact, within the share's noise (B).
    In production: run it with a population like yours before an interval is trusted at small n.
    """
    arguments.whole("n_replays", n_replays, 1)
    if not np.isfinite(truth):
        raise ValueError(f"truth must be finite, got {truth!r}")
    generator = np.random.default_rng(rng)
    ends = np.array([_ends(interval(sample(generator))) for _ in range(n_replays)])
    if not (ends[:, 0] <= ends[:, 1]).all():
        bad = ends[~(ends[:, 0] <= ends[:, 1])][0]
        raise ValueError(f"interval must return low <= high without NaN, got {bad[0]} and {bad[1]}")
    above, below = ends[:, 1] < truth, ends[:, 0] > truth
    held = int(n_replays - above.sum() - below.sum())
    rate = proportion_interval(held, n_replays)
    return Coverage(
        held / n_replays,
        float(rate.low),
        float(rate.high),
        float(above.mean()),
        float(below.mean()),
        float((ends[:, 1] - ends[:, 0]).mean()),
        n_replays,
    )


def binomial_coverage(interval: Callable[[NDArray[np.int64], int], Any], n: int, p: ArrayLike) -> Floats:
    """Exact coverage of an interval for a binomial proportion: sum of P(K = k) over the k whose interval holds p.

    Args:
        interval: from all counts 0..n, shape (n + 1,), and n to (low, high), or to an object with both, each of shape
            (n + 1,), for example `lambda k, n: proportion_interval(k, n)`.
        n: trials, >= 1.
        p: true proportions in [0, 1], any shape.

    Returns:
        Coverage at each p, in its shape.

    Raises:
        ValueError: if n or p is out of range, or ends have another shape or NaN.

    Cost: O(n) for each p.
    References: Brown, Cai & DasGupta 2001, Statistical Science 16, section 2.
    Peer: their figures: Wald's interval at n = 50, p = 0.005 covers 0.222 (B); `coverage` within its noise.
    In production: use it instead of simulation for proportions.
    """
    arguments.whole("n", n, 1)
    at = np.asarray(p, np.float64)
    if not ((at >= 0) & (at <= 1)).all():
        raise ValueError(f"p must be in [0, 1], got {p!r}")
    k = np.arange(n + 1)
    low, high = (np.asarray(end, np.float64) for end in _ends(interval(k, n)))
    if low.shape != k.shape or high.shape != k.shape or not (low <= high).all():
        raise ValueError(f"interval must return low <= high, each of shape {k.shape}, got {low.shape} and {high.shape}")
    holds = (low <= at[..., None]) & (at[..., None] <= high)
    return np.where(holds, binom.pmf(k, n, at[..., None]), 0.0).sum(-1)


def _ends(interval: Any) -> tuple[Any, Any]:
    if hasattr(interval, "low"):
        return interval.low, interval.high
    low, high = interval
    return low, high
