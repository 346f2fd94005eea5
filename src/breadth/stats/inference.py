"""Tests and intervals for means and proportions: t, Welch, z, and five intervals of a binomial proportion."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv, ndtr, ndtri, stdtr, stdtrit

from breadth.stats import arguments
from breadth.stats.correlation import centred

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "less", "greater"]
ALTERNATIVES = ("two-sided", "less", "greater")
ProportionMethod = Literal["wilson", "exact", "wald", "agresti-coull", "jeffreys"]


class MeanTest(NamedTuple):
    """A mean or difference of means with its test and interval; each of shape (...)."""

    estimate: Floats
    se: Floats
    statistic: Floats
    df: Floats  # infinite for z
    p: Floats
    low: Floats
    high: Floats


class Interval(NamedTuple):
    """An estimate between two ends; each of shape (...)."""

    estimate: Floats
    low: Floats
    high: Floats


def t_test(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    paired: bool = False,
    equal_variances: bool = False,
    mean: float = 0.0,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> MeanTest:
    """Student's t test and interval of a mean, of a difference of means, or of a mean of differences.

    t = (estimate - mean) / se. One sample: estimate is x's mean, se = s / sqrt(n), n - 1 degrees of freedom. Two:
    estimate is mean(x) - mean(y); Welch: se^2 = s_x^2/n + s_y^2/m with
    df = se^4 / ((s_x^2/n)^2/(n - 1) + (s_y^2/m)^2/(m - 1)); equal variances: se^2 = s_p^2 (1/n + 1/m) with
    s_p^2 = ((n - 1) s_x^2 + (m - 1) s_y^2) / (n + m - 2) and n + m - 2.

    Args:
        x: a sample along axis 0, shape (n, ...), n >= 2, finite.
        y: a second one, shape (m, ...), m >= 2; None tests x alone.
        paired: rows of x and y belong together, n = m; tests x - y.
        equal_variances: pool the variances; False is Welch's test.
        mean: what the estimate is under the null hypothesis.
        alternative: the estimate is "two-sided": other than, "less" than or "greater" than `mean`.
        confidence: coverage of the interval, in (0, 1); one-sided alternatives give one-sided intervals.

    Returns:
        MeanTest of shape (...). Where there is no spread the interval is a point, and t is 0 if the estimate is
        `mean`, else infinite.

    Raises:
        ValueError: for fewer than two rows, values that are not finite, samples whose columns or, if paired, rows
            differ in number, paired or equal_variances without y, or arguments out of range.

    Cost: O(n), two passes: variances of columns at mean 1e9 keep their digits.
    Deviations: no spread is an answer here; scipy gives NaN.
    References: Student 1908, Biometrika 6; Welch 1947, Biometrika 34, eq. 28; Satterthwaite 1946.
    Peer: scipy.stats.ttest_1samp, ttest_rel and ttest_ind, p and intervals, 1e-11 (A).
    In production: use Welch's for two groups, which costs little where variances are equal; over the folds of one data
        set use `breadth.stats.compare.resampled_t`.
    """
    if y is None and (paired or equal_variances):
        raise ValueError("paired and equal_variances belong to two samples; y is missing")
    x = arguments.sample("x", x, at_least=2)
    if y is None:
        return _one_mean(x, np.nan, mean, alternative, confidence)
    y = arguments.sample("y", y, at_least=2)
    if x.shape[1:] != y.shape[1:] or (paired and x.shape != y.shape):
        raise ValueError(f"x and y must agree in their {'shape' if paired else 'columns'}, got {x.shape} and {y.shape}")
    if paired:
        if equal_variances:
            raise ValueError("equal_variances says nothing of a paired test; leave it out")
        return _one_mean(x - y, np.nan, mean, alternative, confidence)
    n, m = len(x), len(y)
    (mean_x, var_x), (mean_y, var_y) = _moments(x), _moments(y)
    if equal_variances:
        df = np.full(mean_x.shape, float(n + m - 2))
        se = np.sqrt(((n - 1) * var_x + (m - 1) * var_y) / df * (1 / n + 1 / m))
    else:
        share_x, share_y = var_x / n, var_y / m
        se = np.sqrt(share_x + share_y)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = share_x / (share_x + share_y)  # squares of variances would leave the range of float64 early
            df = 1 / (part**2 / (n - 1) + (1 - part) ** 2 / (m - 1))
        df = np.where(se > 0, df, float(n + m - 2))
    return _decide(mean_x - mean_y, se, df, mean, alternative, confidence)


def z_test(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    std: float,
    std_y: float | None = None,
    mean: float = 0.0,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> MeanTest:
    """z test and interval of a mean, or of a difference of means, where standard deviations are known.

    z = (estimate - mean) / se with se = std / sqrt(n), or sqrt(std^2/n + std_y^2/m), is standard normal.

    Args:
        x: a sample along axis 0, shape (n, ...), n >= 1, finite.
        y: a second one, shape (m, ...), m >= 1; None tests x alone.
        std: of the population that x is from, > 0: not estimated from x.
        std_y: the same for y; None means std.
        mean: what the estimate is under the null hypothesis.
        alternative: the estimate is "two-sided": other than, "less" than or "greater" than `mean`.
        confidence: coverage of the interval, in (0, 1); one-sided alternatives give one-sided intervals.

    Returns:
        MeanTest of shape (...), df infinite.

    Raises:
        ValueError: for an empty sample, values that are not finite, std_y without y, columns that differ in number, or
            arguments out of range.

    Cost: O(n).
    References: Lehmann & Romano 2005, Testing Statistical Hypotheses, section 3.4.
    Peer: statsmodels.stats.weightstats.DescrStatsW with the known variance in place of the sample's, 1e-12 (A).
    In production: a standard deviation that is estimated from the sample asks for `t_test`.
    """
    for name, value in (("std", std), ("std_y", std if std_y is None else std_y)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a known standard deviation > 0, got {value!r}")
    x = arguments.sample("x", x)
    if y is None:
        if std_y is not None:
            raise ValueError("std_y belongs to a second sample; y is missing")
        return _one_mean(x, std, mean, alternative, confidence)
    y = arguments.sample("y", y)
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(f"x and y must agree in their columns, got {x.shape} and {y.shape}")
    estimate = centred(x)[0] - centred(y)[0]
    se = np.hypot(std / np.sqrt(len(x)), (std if std_y is None else std_y) / np.sqrt(len(y)))
    return _decide(estimate, np.full_like(estimate, se), np.full_like(estimate, np.inf), mean, alternative, confidence)


def proportion_interval(
    successes: ArrayLike, trials: ArrayLike, *, confidence: float = 0.95, method: ProportionMethod = "wilson"
) -> Interval:
    """Interval of a binomial proportion from k successes in n trials.

    With p = k/n, z the (1 + confidence)/2 normal quantile and alpha = 1 - confidence:
    "wilson": (p + z^2/2n ± z sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n), the p0 that a z test does not reject;
    "exact" (Clopper–Pearson): Beta quantiles alpha/2 of (k, n - k + 1) and 1 - alpha/2 of (k + 1, n - k);
    "wald": p ± z sqrt(p(1 - p)/n); "agresti-coull": Wald's at p' = (k + z^2/2) / (n + z^2) with n + z^2 trials;
    "jeffreys": the equal-tailed credible interval of the posterior Beta(k + 1/2, n - k + 1/2).

    Args:
        successes: k, integers in [0, n], any shape.
        trials: n >= 1, integers, broadcast against successes.
        confidence: coverage aimed at, in (0, 1).
        method: see above. Only "exact" covers at least so often at every p.

    Returns:
        k/n and both ends. Wilson's, the exact and Jeffreys' lie in [0, 1], with end 0 at k = 0 and 1 at k = n; Wald's
        and Agresti–Coull's may pass them, and Wald's is a point at k = 0 and k = n.

    Raises:
        ValueError: if counts are no integers, k is outside [0, n], n < 1, or an argument is out of range.

    Cost: O(1) a proportion; two inverse incomplete betas for "exact" and "jeffreys".
    References: Wilson 1927, JASA 22; Clopper & Pearson 1934, Biometrika 26; Brown, Cai & DasGupta 2001, Statistical
        Science 16, sections 3.1.1 to 3.1.3 (Jeffreys' ends at k = 0 and n are theirs).
    Peer: statsmodels.stats.proportion.proportion_confint, 1e-10; scipy's binomtest (A).
    In production: use Wilson's; the exact one where a guarantee is asked for; Wald's never.
    """
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    for name, counts in (("successes", k), ("trials", n)):
        if not (np.isfinite(counts) & (counts == np.floor(counts))).all():
            raise ValueError(f"{name} must be whole counts, got {successes if name == 'successes' else trials!r}")
    if not ((n >= 1) & (k >= 0) & (k <= n)).all():
        raise ValueError(f"successes must be in [0, trials] with trials >= 1, got {successes!r} of {trials!r}")
    arguments.open_unit("confidence", confidence)
    arguments.one_of("method", method, ("wilson", "exact", "wald", "agresti-coull", "jeffreys"))
    tail = (1 - confidence) / 2
    z = -ndtri(tail)
    p, q = k / n, (n - k) / n
    if method == "wilson":
        centre, half = p + z**2 / (2 * n), z * np.sqrt(p * q / n + (z / (2 * n)) ** 2)
        high = (centre + half) / (1 + z**2 / n)
        # the ends' product is p^2 / (1 + z^2/n): at few successes centre - half has lost its digits
        low = p**2 / (centre + half)
        return Interval(p, np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high))
    if method in ("wald", "agresti-coull"):
        total = n if method == "wald" else n + z**2
        at = p if method == "wald" else (k + z**2 / 2) / total
        half = z * np.sqrt(at * (1 - at) / total)
        return Interval(p, at - half, at + half)
    below, above = ((k, n - k + 1), (k + 1, n - k)) if method == "exact" else ((k + 0.5, n - k + 0.5),) * 2
    with np.errstate(invalid="ignore"):
        low = np.where(k == 0, 0.0, betaincinv(np.maximum(below[0], 0.5), below[1], tail))
        high = np.where(k == n, 1.0, betainccinv(above[0], np.maximum(above[1], 0.5), tail))
    return Interval(p, low, high)


def _moments(x: Floats) -> tuple[Floats, Floats]:
    """Means and sample variances along axis 0; a constant column's variance is 0, not the rounding of its mean."""
    mean, deviation = centred(x)
    var = (deviation**2).sum(0) / (len(x) - 1)
    return mean, np.where(np.ptp(x, axis=0) == 0, 0.0, var)


def _one_mean(x: Floats, std: float, mean: float, alternative: Alternative, confidence: float) -> MeanTest:
    if np.isnan(std):
        estimate, var = _moments(x)
        se, df = np.sqrt(var / len(x)), np.full(estimate.shape, len(x) - 1.0)
    else:
        estimate = centred(x)[0]
        se, df = np.full(estimate.shape, std / np.sqrt(len(x))), np.full(estimate.shape, np.inf)
    return _decide(estimate, se, df, mean, alternative, confidence)


def _decide(
    estimate: Floats, se: Floats, df: Floats, mean: float, alternative: Alternative, confidence: float
) -> MeanTest:
    if not np.isfinite(mean):
        raise ValueError(f"mean must be finite, got {mean!r}")
    arguments.open_unit("confidence", confidence)
    arguments.one_of("alternative", alternative, ALTERNATIVES)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(estimate == mean, 0.0, np.divide(estimate - mean, se))
    normal = np.isinf(df)
    finite_df = np.where(normal, 1.0, df)

    def below(q: Floats) -> Floats:
        return np.where(normal, ndtr(q), stdtr(finite_df, q))

    def quantile(share: float) -> Floats:
        return np.where(normal, ndtri(share), stdtrit(finite_df, share))

    if alternative == "two-sided":
        p = 2 * below(-np.abs(statistic))
        half = -quantile((1 - confidence) / 2) * se
        return MeanTest(estimate, se, statistic, df, p, estimate - half, estimate + half)
    half = -quantile(1 - confidence) * se
    endless = np.full_like(estimate, np.inf)
    if alternative == "less":
        return MeanTest(estimate, se, statistic, df, below(statistic), -endless, estimate + half)
    return MeanTest(estimate, se, statistic, df, below(-statistic), estimate - half, endless)
