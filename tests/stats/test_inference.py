"""Tests and intervals of means and proportions against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats.inference import ALTERNATIVES, proportion_interval, t_test, z_test

METHODS = {
    "wilson": "wilson",
    "exact": "beta",
    "wald": "normal",
    "agresti-coull": "agresti_coull",
    "jeffreys": "jeffreys",
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("at", [0.0, 1e9])
@pytest.mark.parametrize("design", ["one", "paired", "pooled", "welch"])
def test_t_is_scipys(rng, design, at, alternative):
    x, y = at + rng.normal(0.4, 1, size=(15, 3)), at + rng.normal(size=(15 if design == "paired" else 9, 3))
    if design == "one":
        ours = t_test(x, mean=at, alternative=alternative, confidence=0.9)
        peer = stats.ttest_1samp(x - at, 0, alternative=alternative)  # centred exactly: at 1e9 scipy loses digits
    else:
        ours = t_test(
            x, y, paired=design == "paired", equal_variances=design == "pooled", alternative=alternative, confidence=0.9
        )
        one, other = x - at, y - at
        if design == "paired":
            peer = stats.ttest_rel(one, other, alternative=alternative)
        else:
            peer = stats.ttest_ind(one, other, equal_var=design == "pooled", alternative=alternative)
    interval = peer.confidence_interval(0.9)
    shift = at if design == "one" else 0
    # x - at is exact; the mean at 1e9 is a float64 beside 1e9, which rounds to 1e-7
    tolerance = 1e-11 if at == 0 else 2e-7
    assert_allclose(ours.statistic, peer.statistic, atol=10 * tolerance, rtol=10 * tolerance)
    assert_allclose(ours.p, peer.pvalue, atol=tolerance, rtol=10 * tolerance)
    assert_allclose(ours.df, peer.df, rtol=1e-11)
    assert_allclose(ours.low - shift, interval.low, atol=tolerance, rtol=1e-11)
    assert_allclose(ours.high - shift, interval.high, atol=tolerance, rtol=1e-11)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_z_is_statsmodels_with_the_known_variance(rng, alternative):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    x, y = rng.normal(size=12), rng.normal(size=20)
    name = {"two-sided": "two-sided", "less": "smaller", "greater": "larger"}[alternative]
    ours = z_test(x, std=2.0, mean=0.3, alternative=alternative)
    generic = weightstats._zstat_generic(x.mean(), 0, 2 / np.sqrt(12), name, diff=0.3)
    assert_allclose([ours.statistic, ours.p], generic, rtol=1e-12)
    low, high = weightstats._zconfint_generic(x.mean(), 2 / np.sqrt(12), 0.05, name)
    assert_allclose([ours.low, ours.high], [low, high], rtol=1e-12)
    ours = z_test(x, y, std=2.0, std_y=0.5, alternative=alternative)
    generic = weightstats._zstat_generic(x.mean(), y.mean(), np.sqrt(4 / 12 + 0.25 / 20), name)
    assert_allclose([ours.statistic, ours.p], generic, rtol=1e-12)


def test_without_spread_an_interval_is_a_point():
    same = t_test([5.0, 5.0, 5.0], mean=5)
    assert (same.statistic, same.p, same.low, same.high) == (0, 1, 5, 5)
    other = t_test(np.full(7, 0.1), np.full(5, 0.3))  # the mean of seven 0.1 is not 0.1 in float64
    assert other.statistic == -np.inf and other.p == 0 and other.low == other.high
    one_moves = t_test([1.0, 2.0, 4.0], [3.0, 3.0])
    assert one_moves.df == 2 and 0 < one_moves.p < 1


def test_variances_of_large_and_small_numbers_do_not_leave_the_range():
    small = t_test(1e-150 * np.array([1.0, 2, 4]), 1e-150 * np.array([3.0, 3, 9, 1]))
    plain = t_test(np.array([1.0, 2, 4]), np.array([3.0, 3, 9, 1]))
    assert_allclose(small.df, plain.df, rtol=1e-12)
    assert_allclose(small.p, plain.p, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: t_test([1.0]), "x needs at least 2 rows"),
        (lambda: t_test([]), "x needs at least 2 rows"),
        (lambda: t_test(3.0), "the scalar 3.0"),
        (lambda: t_test([1, np.nan, 3]), "x holds NaN or infinity in 1 of 3"),
        (lambda: t_test([1, 2], paired=True), "y is missing"),
        (lambda: t_test([1, 2], [1, 2, 3], paired=True), "agree in their shape"),
        (lambda: t_test([1, 2], [[1, 2], [3, 4]]), "agree in their columns"),
        (lambda: t_test([1, 2], [1, 2], paired=True, equal_variances=True), "says nothing of a paired"),
        (lambda: t_test([1, 2], alternative="more"), "alternative must be one of"),
        (lambda: t_test([1, 2], confidence=1), "confidence must be in"),
        (lambda: t_test([1, 2], mean=np.inf), "mean must be finite"),
        (lambda: z_test([1], std=0), "std must be a known"),
        (lambda: z_test([1], std=1, std_y=1), "y is missing"),
        (lambda: z_test([1], [[1]], std=1), "columns"),
        (lambda: proportion_interval(1.5, 3), "successes must be whole"),
        (lambda: proportion_interval(4, 3), "in \\[0, trials\\]"),
        (lambda: proportion_interval(0, 0), "trials >= 1"),
        (lambda: proportion_interval(1, np.nan), "trials must be whole"),
        (lambda: proportion_interval(1, 3, method="score"), "method must be one of"),
        (lambda: proportion_interval(1, 3, confidence=0), "confidence"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 7, 1000, 10**8])
def test_proportions_are_statsmodels(method, n):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    k = np.unique([0, 1, n // 3, n - 1, n])
    ours = proportion_interval(k, n, method=method, confidence=0.9)
    for i, count in enumerate(k):
        low, high = proportion.proportion_confint(count, n, alpha=0.1, method=METHODS[method])
        if method in ("wald", "agresti-coull"):  # statsmodels cuts them off at 0 and 1
            assert_allclose(np.clip([ours.low[i], ours.high[i]], 0, 1), [low, high], rtol=1e-10, atol=1e-15)
        elif method == "jeffreys" and count in (0, n):
            continue  # its ends at 0 and n are moved; see below
        else:
            # statsmodels takes the difference centre - half: near 0 it keeps about 1e-16 in all
            assert_allclose([ours.low[i], ours.high[i]], [low, high], rtol=1e-10, atol=1e-15)


def test_ends_at_no_and_all_successes():
    for method in ("wilson", "exact", "jeffreys"):
        none, every = (proportion_interval(k, 10, method=method) for k in (0, 10))
        assert none.low == 0 and every.high == 1
        assert_allclose(none.high, 1 - every.low, rtol=1e-12)
    assert_allclose(proportion_interval(0, 10, method="exact").high, 1 - 0.025**0.1, rtol=1e-12)
    assert_allclose(proportion_interval(0, 10, method="jeffreys").high, stats.beta(0.5, 10.5).ppf(0.975), rtol=1e-12)
    # 3e8 trials without success: the rule of three, to all digits
    assert_allclose(proportion_interval(0, 3e8, method="exact").high, -np.expm1(np.log(0.025) / 3e8), rtol=1e-9)
    exact = stats.binomtest(3, 40).proportion_ci(method="exact")
    assert_allclose(proportion_interval(3, 40, method="exact")[1:], (exact.low, exact.high), rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 10**9), share=st.floats(0, 1), method=st.sampled_from(["wilson", "exact", "jeffreys"]))
def test_intervals_hold_the_estimate_and_mirror(n, share, method):
    k = round(share * n)
    one, other = proportion_interval(k, n, method=method), proportion_interval(n - k, n, method=method)
    assert 0 <= one.low <= one.estimate <= one.high <= 1
    assert_allclose([one.low, one.high], [1 - other.high, 1 - other.low], atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), shift=st.floats(-1e3, 1e3))
def test_an_interval_moves_with_the_sample_and_holds_what_is_not_rejected(values, shift):
    x = np.array(values)
    found, moved = t_test(x), t_test(x + shift)
    assert_allclose(moved.low, found.low + shift, atol=1e-6, rtol=1e-9)
    assert (found.p < 0.05 - 1e-9) <= (not found.low <= 0 <= found.high)
