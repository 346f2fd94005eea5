"""Moments against mpmath at 40 digits and scipy, far from zero; streams against the whole."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from breadth.stats.moments import Moments, central_moment, kurtosis, raw_moment, skewness, standardised_moment

quick = settings(max_examples=25, deadline=None)


def exact(x, order, weight=None):
    with mp.workdps(50):
        x = [mp.mpf(float(v)) for v in x]
        w = [mp.mpf(1)] * len(x) if weight is None else [mp.mpf(float(v)) for v in weight]
        mean = mp.fsum(a * b for a, b in zip(w, x, strict=True)) / mp.fsum(w)
        return mp.fsum(a * (b - mean) ** order for a, b in zip(w, x, strict=True)) / mp.fsum(w)


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e9, -1e12])
@pytest.mark.parametrize("weighted", [False, True])
def test_central_moments_equal_mpmath_far_from_zero(mean, weighted):
    rng = np.random.default_rng(0)
    x = mean + rng.gamma(2.0, size=60)
    w = rng.random(60) if weighted else None
    for order in (2, 3, 4, 5):
        assert_allclose(central_moment(x, order, weight=w), float(exact(x, order, w)), rtol=1e-12)
    parts = [slice(0, 7), slice(7, 8), slice(8, 50), slice(50, 60)]
    stream = sum(
        (Moments.of(x[p], weight=None if w is None else w[p]) for p in parts[1:]),
        start=Moments.of(x[parts[0]], weight=None if w is None else w[parts[0]]),
    )
    for order, ours in [(2, stream.m2), (3, stream.m3), (4, stream.m4)]:
        assert_allclose(ours / stream.n, float(exact(x, order, w)), rtol=1e-11)


def test_the_difference_of_raw_moments_has_no_digit_at_mean_1e9():
    x = 1e9 + np.random.default_rng(0).normal(size=1000)
    naive = np.mean(x**2) - np.mean(x) ** 2
    assert abs(naive / x.var() - 1) > 1
    assert_allclose(Moments.of(x).var, float(exact(x, 2)), rtol=1e-13)


def test_the_first_central_moment_is_zero_and_a_normals_fourth_is_three_sigma_to_the_fourth():
    x = stats.norm(5, 2).ppf((np.arange(200_000) + 0.5) / 200_000)
    assert central_moment(x, 1) == 0 and standardised_moment(x, 1) == 0
    assert_allclose(raw_moment(x, 1), 5, rtol=1e-12)
    assert_allclose(central_moment(x, 2), 4, rtol=1e-4)
    assert_allclose(central_moment(x, 4), 3 * 2**4, rtol=1e-3)
    assert_allclose([skewness(x), kurtosis(x), kurtosis(x, excess=False)], [0, 0, 3], atol=2e-3)
    assert_allclose(raw_moment(np.full(5, 0.3), 2), 0.09)  # of a constant gradient: not its variance, 0


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("bias", [True, False])
def test_skewness_and_kurtosis_equal_scipys(axis, bias):
    x = np.random.default_rng(1).gamma(1.0, size=(8, 9, 5))
    assert_allclose(skewness(x, axis=axis, bias=bias), stats.skew(x, axis=axis, bias=bias), rtol=1e-11)
    for excess in (True, False):
        ours = kurtosis(x, axis=axis, bias=bias, excess=excess)
        assert_allclose(ours, stats.kurtosis(x, axis=axis, bias=bias, fisher=excess), rtol=1e-11)
    assert_allclose(raw_moment(x, 3, axis=axis), (x**3).mean(axis), rtol=1e-12)
    stream = Moments.of(x)
    assert_allclose(stream.skewness(bias=bias), stats.skew(x, axis=0, bias=bias), rtol=1e-11)
    assert_allclose(stream.kurtosis(bias=bias), stats.kurtosis(x, axis=0, bias=bias), rtol=1e-11, atol=1e-12)
    assert_allclose(stream.variance(ddof=1), x.var(0, ddof=1), rtol=1e-12)
    assert_allclose(stream.mean, x.mean(0), rtol=1e-13)


@quick
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30), st.integers(1, 29), st.floats(-1e9, 1e9))
def test_parts_merge_to_the_whole_in_any_order(values, cut, offset):
    x = np.array(values) / 8 + offset
    cut = min(cut, x.size - 1)
    whole, a, b = Moments.of(x), Moments.of(x[:cut]), Moments.of(x[cut:])
    size = np.ptp(x)
    for merged in (a + b, b + a, a.add(x[cut:])):
        assert merged.n == whole.n
        for name, power in (("mean", 1), ("m2", 2), ("m3", 3), ("m4", 4)):
            slack = 1e-11 * x.size * size**power + 1e-15 * abs(offset) * (power == 1)
            assert_allclose(getattr(merged, name), getattr(whole, name), rtol=0, atol=slack + 1e-300)


@quick
@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20), st.floats(0.1, 100), st.integers(-100, 100))
def test_standardised_moments_drop_scale_and_offset_and_bound_each_other(values, scale, offset):
    x = np.array(values, dtype=float)
    if np.ptp(x) == 0:
        assert np.isnan(skewness(x)) and np.isnan(kurtosis(x)) and np.isnan(standardised_moment(x, 1))
        return
    g, k = skewness(x), kurtosis(x, excess=False)
    assert k >= g * g + 1 - 1e-9  # Pearson
    assert_allclose(
        [skewness(scale * x + offset), kurtosis(scale * x + offset, excess=False)], [g, k], rtol=1e-8, atol=1e-8
    )
    assert_allclose(skewness(-x), -g, rtol=1e-10, atol=1e-14)
    assert_allclose(standardised_moment(x, 2), 1, rtol=1e-12)


def test_weights_are_counts():
    rng = np.random.default_rng(0)
    x, w = rng.gamma(1.0, size=40), rng.integers(0, 4, 40)
    repeated = np.repeat(x, w)
    for f in (skewness, kurtosis):
        for bias in (True, False):
            assert_allclose(f(x, weight=w, bias=bias), f(repeated, bias=bias), rtol=1e-11)
    table, table_w = x.reshape(8, 5), w.reshape(8, 5) + 1.0
    by_column = [central_moment(table[:, j], 2, weight=table_w[:, j]) for j in range(5)]
    assert_allclose(central_moment(table, 2, axis=0, weight=table_w), by_column, rtol=1e-12)


def test_tiny_and_huge_values_stay_in_range():
    x = np.random.default_rng(0).gamma(1.0, size=30)
    for scale in (1e-200, 1e200):
        assert_allclose([skewness(scale * x), kurtosis(scale * x)], [skewness(x), kurtosis(x)], rtol=1e-10)
    assert_array_equal(central_moment(np.full(7, 0.1), 2), 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: raw_moment([], 1), "at least one value"),
        (lambda: central_moment([1, np.nan], 2), "NaN or infinity"),
        (lambda: raw_moment([1, 2], -1), "order must be an integer >= 0"),
        (lambda: standardised_moment([1, 2], 0), "order must be an integer >= 1"),
        (lambda: raw_moment([1, 2], 1, weight=[1, -1]), ">= 0"),
        (lambda: raw_moment([1, 2], 1, weight=[1]), r"weight must have the shape of x, \(2,\)"),
        (lambda: skewness([1, 2], bias=False), "more than 2 observations"),
        (lambda: kurtosis([1, 2, 4], bias=False), "more than 3 observations"),
        (lambda: Moments.of([1.0]).variance(ddof=1), "ddof must be < n = 1"),
        (lambda: Moments.of([1.0]) + Moments.of([[1.0, 2.0]]), "must have one shape"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("order", range(1, 11))
def test_moments_of_every_order_are_those_of_powers(order):
    d = np.random.default_rng(0).normal(size=300) * 3
    d -= d.mean()
    assert_allclose(
        central_moment(d, order), np.mean(d**order), rtol=1e-11, atol=1e-13
    )  # order 1: rounding of the mean
    scale = np.sqrt(np.mean(d**2))
    assert_allclose(standardised_moment(d, order), np.mean((d / scale) ** order), rtol=1e-11, atol=1e-13)
