"""Shares and their differences: Wilson's interval, click-through and conversion rates, and the A/B test."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from breadth.metrics import checks
from breadth.metrics.score import Score, signature
from breadth.stats.inference import proportion_interval


class ABTest(NamedTuple):
    """Two groups' rates, their difference B - A with its interval, and the test that they are equal."""

    a: Score
    b: Score
    difference: float
    low: float
    high: float
    relative: float  # difference / rate of A; NaN where that is 0
    z: float
    p: float  # two-sided


def proportion(successes: int, n: int, *, confidence: float = 0.95, name: str = "proportion") -> Score:
    """A share with Wilson's interval, which holds at 0, at 1 and for few rows.

    Args:
        successes: in [0, n].
        n: trials, >= 1.
        confidence: coverage aimed at, in (0, 1).
        name: what the signature calls it.

    Returns:
        Score: value, low, high, signature.

    Raises:
        ValueError: if counts are not whole numbers with 0 <= successes <= n and n >= 1.

    Cost: O(1).
    References: Wilson 1927, "Probable inference", JASA 22; Brown, Cai & DasGupta 2001 for why not p +- z se.
    Peer: statsmodels.stats.proportion.proportion_confint(method="wilson"), 1e-12 (A).
    In production: the interval of any accuracy, precision, recall or win rate over independent rows.
    """
    k, size = _counts(name, successes, n)
    checks.share("confidence", confidence)
    _, low, high = proportion_interval(k, size, confidence=confidence)
    return Score(k / size, float(low), float(high), signature(name, n=size, ci=f"{100 * confidence:g}% Wilson"))


def click_through_rate(clicks: int, impressions: int, *, confidence: float = 0.95) -> Score:
    """Share of impressions that were clicked, with Wilson's interval.

    Args:
        clicks: in [0, impressions].
        impressions: >= 1.
        confidence: coverage aimed at, in (0, 1).

    Returns:
        Score: value, low, high, signature.

    Raises:
        ValueError: if counts are not whole numbers in range.

    Cost: O(1).
    References: Wilson 1927, JASA 22.
    Peer: statsmodels.stats.proportion.proportion_confint(method="wilson"), 1e-12 (A).
    In production: impressions of one user depend on each other; count users, or widen it by their clustering.
    """
    return proportion(clicks, impressions, confidence=confidence, name="click_through_rate")


def conversion_rate(conversions: int, visitors: int, *, confidence: float = 0.95) -> Score:
    """Share of visitors who did what they were meant to, with Wilson's interval.

    Args:
        conversions: in [0, visitors].
        visitors: >= 1.
        confidence: coverage aimed at, in (0, 1).

    Returns:
        Score: value, low, high, signature.

    Raises:
        ValueError: if counts are not whole numbers in range.

    Cost: O(1).
    References: Wilson 1927, JASA 22.
    Peer: statsmodels.stats.proportion.proportion_confint(method="wilson"), 1e-12 (A).
    In production: count each visitor once.
    """
    return proportion(conversions, visitors, confidence=confidence, name="conversion_rate")


def ab_test(
    successes_a: int, n_a: int, successes_b: int, n_b: int, *, confidence: float = 0.95, name: str = "rate"
) -> ABTest:
    """Test that two groups' rates are equal, pooled z, and Newcombe's interval of their difference.

    z = (p_B - p_A) / sqrt(p (1 - p) (1/n_A + 1/n_B)) with p the rate of both groups together. The interval joins the
    two Wilson intervals: low = d - sqrt((p_B - l_B)^2 + (u_A - p_A)^2), high = d + sqrt((u_B - p_B)^2 + (p_A - l_A)^2).

    Args:
        successes_a, n_a, successes_b, n_b: whole numbers, 0 <= successes <= n, n >= 1.
        confidence: coverage of the intervals, in (0, 1).
        name: of the rate, for the signature.

    Returns:
        ABTest. Two groups without any success, or without any failure, have z = 0 and p = 1.

    Raises:
        ValueError: if counts are not whole numbers in range.

    Cost: O(1).
    Deviations: interval and test can disagree at the border, for only the test pools the groups.
    References: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10;
        Fleiss, Levin & Paik 2003, section 3.1.
    Peer: statsmodels.stats.proportion: proportions_ztest, confint_proportions_2indep(method="newcomb"), 1e-12 (A).
    In production: fix the number of visitors before looking; looking until it is significant finds what is not there.
    """
    k_a, a = _counts("group A", successes_a, n_a)
    k_b, b = _counts("group B", successes_b, n_b)
    rate_a, rate_b = (
        proportion(k, n, confidence=confidence, name=name) for k, n in ((k_a, a), (k_b, b))
    )  # fmt: skip
    difference = rate_b.value - rate_a.value
    low = difference - float(np.hypot(rate_b.value - rate_b.low, rate_a.high - rate_a.value))
    high = difference + float(np.hypot(rate_b.high - rate_b.value, rate_a.value - rate_a.low))
    pooled = (k_a + k_b) / (a + b)
    se = float(np.sqrt(pooled * (1 - pooled) * (1 / a + 1 / b)))
    z = difference / se if se else 0.0
    relative = difference / rate_a.value if rate_a.value else float("nan")
    return ABTest(rate_a, rate_b, difference, low, high, relative, z, float(2 * norm.sf(abs(z))))


def _counts(name: str, successes: Any, n: Any) -> tuple[int, int]:
    for value in (successes, n):
        if isinstance(value, bool) or value != value or value != int(value):
            raise ValueError(f"{name}: successes and trials must be whole numbers, got {successes!r} of {n!r}")
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{name}: needs 0 <= successes <= trials and at least one trial, got {successes!r} of {n!r}")
    return int(successes), int(n)
