"""Comparing methods without overclaiming: corrected tests on resampled scores, and ranks over several data sets.

Scores from overlapping training sets are correlated, so the plain t test on cross-validation folds is far too sure of
itself. The functions here are pure, vectorised over trailing axes, and know nothing of models.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.stats import chi2, f, norm, rankdata, studentized_range, t

Floats = NDArray[np.float64]


class ResampledT(NamedTuple):
    """A mean difference with its corrected standard error, interval and two-sided p value; each of shape (...)."""

    mean: Floats
    se: Floats
    low: Floats
    high: Floats
    p: Floats
    df: int


class Friedman(NamedTuple):
    """Average ranks of k methods over n data sets and the two tests of "all ranks are equal"."""

    ranks: Floats  # (k,), 1 is best
    chi_square: float
    p_chi_square: float
    f: float  # Iman–Davenport
    p_f: float
    n: int
    k: int


def resampled_t(differences: ArrayLike, *, test_over_train: float, confidence: float = 0.95) -> ResampledT:
    """Corrected resampled t interval and test for the mean of cross-validated differences.

    se^2 = (1/J + n_test/n_train) s^2 with s^2 the sample variance of the J differences; t = mean / se has J − 1
    degrees of freedom. The second term stands for the correlation between differences whose training sets overlap.

    Args:
        differences: one difference per split, shape (J, ...), J >= 2, finite.
        test_over_train: n_test / n_train of a split, > 0; 1 / (k − 1) for k-fold cross-validation.
        confidence: coverage of the interval, in (0, 1).

    Returns:
        ResampledT with arrays of shape (...). Where all differences are equal the interval is that point, and p is 1
        if it is zero and 0 otherwise.

    Raises:
        ValueError: if J < 2, a difference is not finite, test_over_train <= 0 or confidence is outside (0, 1).

    Cost: O(J) per comparison.
    References: Nadeau & Bengio 2003, Inference for the generalization error, Machine Learning 52, eq. 9;
        Bouckaert & Frank 2004 for repeated k-fold.
    Peer: scipy.stats.ttest_1samp at test_over_train -> 0, 1e-12 (A); closed form otherwise (B).
    In production: use it for the splits of one data set; over several data sets use `friedman`.
    """
    d = np.asarray(differences, float)
    if d.ndim == 0 or d.shape[0] < 2:
        raise ValueError(f"differences needs at least 2 splits along axis 0 to have a variance, got shape {d.shape}")
    if not np.isfinite(d).all():
        raise ValueError("differences holds NaN or infinity; leave out the splits that failed before testing")
    if not test_over_train > 0:
        raise ValueError(f"test_over_train must be n_test / n_train > 0, got {test_over_train}")
    _check_probability("confidence", confidence)
    n_splits = d.shape[0]
    mean = d.mean(0)
    spread = d.std(0, ddof=1)
    # A constant column's deviation is rounding noise; its size is bounded by the rounding of the mean.
    spread = np.where(np.ptp(d, axis=0) == 0, 0.0, spread)
    se = np.sqrt(1 / n_splits + test_over_train) * spread
    df = n_splits - 1
    half = t.ppf(0.5 + confidence / 2, df) * se
    p = 2 * t.sf(np.abs(_ratio(mean, se)), df)
    return ResampledT(mean, se, mean - half, mean + half, p, df)


def equivalence(mean: ArrayLike, se: ArrayLike, *, df: int, margin: ArrayLike) -> Floats:
    """p value of two one-sided t tests: is the difference inside (−margin, margin)?

    p = max(P(T > (mean + margin)/se), P(T < (mean − margin)/se)); equivalence is shown at level alpha when p < alpha,
    which is when the 1 − 2 alpha interval lies inside the margin.

    Args:
        mean: observed differences, shape (...).
        se: their standard errors, shape (...), >= 0.
        df: degrees of freedom, >= 1.
        margin: largest difference that does not matter, > 0, broadcast against mean.

    Returns:
        p values, shape (...).

    Raises:
        ValueError: if margin <= 0, se < 0 or df < 1.

    Cost: O(1) per comparison.
    References: Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15.
    Peer: statsmodels.stats.weightstats.ttost_mean, 1e-12 (A).
    In production: state the margin before looking at the data; no equivalence is not a difference.
    """
    mean, se, margin = (np.asarray(a, float) for a in (mean, se, margin))
    if not (margin > 0).all():
        raise ValueError(f"margin must be > 0, got {margin}")
    if (se < 0).any() or df < 1:
        raise ValueError(f"se must be >= 0 and df >= 1, got se={se}, df={df}")
    above = t.sf(_ratio(mean + margin, se), df)
    below = t.cdf(_ratio(mean - margin, se), df)
    return np.maximum(above, below)


def smallest_detectable(se: ArrayLike, *, df: int, power: float = 0.8, alpha: float = 0.05) -> Floats:
    """Smallest true difference that the two-sided t test finds with the given power.

    delta = nc × se, where nc solves P(T'(df, nc) > t_{1 − alpha/2, df}) = power with T' noncentral t. The far tail,
    below 1e-4 wherever power >= 0.5, is left out.

    Args:
        se: standard errors of the differences, shape (...), >= 0.
        df: degrees of freedom, >= 1.
        power: chance of finding it, in (0.5, 1).
        alpha: two-sided level, in (0, 1).

    Returns:
        Differences in the unit of se, shape (...).

    Raises:
        ValueError: if power is outside (0.5, 1), alpha outside (0, 1), se < 0 or df < 1.

    Cost: one inversion of the noncentral t, whatever the shape.
    References: Cohen 1988, Statistical Power Analysis, ch. 2.
    Peer: statsmodels.stats.power.TTestPower.solve_power, 1e-3 (A).
    In production: print it beside every "can't tell": it says what the experiment could have seen.
    """
    se = np.asarray(se, float)
    if not 0.5 < power < 1:
        raise ValueError(f"power must be in (0.5, 1), got {power}")
    _check_probability("alpha", alpha)
    if (se < 0).any() or df < 1:
        raise ValueError(f"se must be >= 0 and df >= 1, got se={se}, df={df}")
    nc = special.nctdtrinc(df, 1 - power, t.ppf(1 - alpha / 2, df))
    return nc * se


def holm(p: ArrayLike, *, axis: int = -1) -> Floats:
    """Holm's step-down adjusted p values, which hold the family-wise error rate.

    adjusted_(i) = max_{j <= i} min(1, (m − j + 1) p_(j)) for sorted p_(1) <= … <= p_(m).

    Args:
        p: p values in [0, 1]; one family along `axis`.
        axis: axis of the family.

    Returns:
        Adjusted p values in the shape and order of p.

    Raises:
        ValueError: if a p value is NaN or outside [0, 1].

    Cost: O(m log m) per family.
    References: Holm 1979, Scandinavian J. of Statistics 6.
    Peer: statsmodels.stats.multitest.multipletests(method="holm"), 1e-15 (A).
    In production: use it instead of Bonferroni; it is never weaker.
    """
    p = np.moveaxis(np.asarray(p, float), axis, -1)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p holds values that are NaN or outside [0, 1]")
    m = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    steps = np.minimum(np.take_along_axis(p, order, -1) * np.arange(m, 0, -1), 1.0)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=-1), -1)
    return np.moveaxis(adjusted, -1, axis)


def friedman(scores: ArrayLike, *, higher_is_better: bool) -> Friedman:
    """Friedman's test that k methods have equal ranks over n data sets, with tie correction.

    chi2_F = (k − 1) sum_j (R_j − n(k+1)/2)^2 / (sum_ij r_ij^2 − n k (k+1)^2 / 4), with R_j the rank sums and tied
    scores sharing their average rank; F = (n − 1) chi2_F / (n (k − 1) − chi2_F) with k − 1 and (k − 1)(n − 1)
    degrees of freedom.

    Args:
        scores: one score per data set and method, shape (n, k), n >= 2, k >= 2, finite.
        higher_is_better: whether the greatest score gets rank 1.

    Returns:
        Average ranks and both tests. When every row is fully tied chi_square and f are 0 and p is 1; when all rows
        agree exactly f is infinite and its p is 0.

    Raises:
        ValueError: if scores is not (n, k) with n, k >= 2, or not finite.

    Cost: O(n k log k).
    References: Demšar 2006, JMLR 7, section 3.2.2; Iman & Davenport 1980; Conover 1999, section 5.8 (ties).
    Peer: scipy.stats.friedmanchisquare, 1e-12 (A).
    In production: use it over five or more data sets; scipy's own p value for two methods is only a sign test.
    """
    s = np.asarray(scores, float)
    if s.ndim != 2 or min(s.shape) < 2:
        raise ValueError(f"scores must have shape (data sets >= 2, methods >= 2), got {s.shape}")
    if not np.isfinite(s).all():
        raise ValueError("scores holds NaN or infinity; leave out methods that failed on a data set")
    n, k = s.shape
    r = rankdata(-s if higher_is_better else s, axis=1)  # (n, k)
    centre = n * (k + 1) / 2
    spread = (r**2).sum() - n * k * (k + 1) ** 2 / 4
    chi_square = 0.0 if spread == 0 else float((k - 1) * ((r.sum(0) - centre) ** 2).sum() / spread)
    room = n * (k - 1) - chi_square
    f_value = np.inf if room <= 1e-12 * n * k else float((n - 1) * chi_square / room)
    return Friedman(
        r.mean(0),
        chi_square,
        float(chi2.sf(chi_square, k - 1)),
        f_value,
        float(f.sf(f_value, k - 1, (k - 1) * (n - 1))),
        n,
        k,
    )


def nemenyi_critical_difference(k: int, n: int, *, alpha: float = 0.05) -> float:
    """Difference in average rank beyond which two of k methods differ over n data sets.

    CD = q_alpha sqrt(k (k + 1) / (6 n)), q_alpha the studentised range quantile (infinite df) divided by sqrt(2).

    Args:
        k: number of methods, >= 2.
        n: number of data sets, >= 2.
        alpha: family-wise level over all pairs, in (0, 1).

    Returns:
        The critical difference, in ranks.

    Raises:
        ValueError: if k < 2, n < 2 or alpha is outside (0, 1).

    Cost: one quantile, about a millisecond.
    References: Nemenyi 1963; Demšar 2006, table 5.
    Peer: the published table of q_alpha, 5e-4 because the table has three decimals (A).
    In production: use it to compare all pairs; against one baseline `rank_post_hoc` sees more.
    """
    if k < 2 or n < 2:
        raise ValueError(f"k and n must be >= 2, got k={k}, n={n}")
    _check_probability("alpha", alpha)
    return float(studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))


def rank_post_hoc(ranks: ArrayLike, n: int, *, baseline: int) -> Floats:
    """Holm-adjusted p values of each method's average rank against the baseline's.

    z_j = (R_j − R_baseline) / sqrt(k (k + 1) / (6 n)), two-sided, k − 1 comparisons.

    Args:
        ranks: average ranks, shape (k,), k >= 2.
        n: number of data sets they are averages over, >= 1.
        baseline: index of the baseline in ranks.

    Returns:
        p values, shape (k,); the baseline's own is 1.

    Raises:
        ValueError: if ranks is not (k,) with k >= 2, n < 1, or baseline is not an index of it.

    Cost: O(k log k).
    References: Demšar 2006, section 3.2.2 (comparison with a control).
    Peer: the worked example of Demšar 2006, section 3.2.3 (B).
    In production: run `friedman` first; its rejection is what licenses the post hoc test.
    """
    r = np.asarray(ranks, float)
    if r.ndim != 1 or r.size < 2 or n < 1:
        raise ValueError(f"ranks must have shape (k >= 2,) and n be >= 1, got shape {r.shape}, n={n}")
    if not 0 <= baseline < r.size:
        raise ValueError(f"baseline must be an index in [0, {r.size}), got {baseline}")
    z = (r - r[baseline]) / np.sqrt(r.size * (r.size + 1) / (6 * n))
    others = np.arange(r.size) != baseline
    p = np.ones(r.size)
    p[others] = holm(2 * norm.sf(np.abs(z[others])))
    return p


def _ratio(difference: Floats, se: Floats) -> Floats:
    """difference / se with 0/0 = 0: a difference that is exactly nothing is no evidence of anything."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(difference, 0), 0.0, np.divide(difference, se))


def _check_probability(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value}")
