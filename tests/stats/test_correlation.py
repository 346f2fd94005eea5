"""Covariance and correlation against numpy, scipy, pandas and exact arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats.correlation import covariance, kendall, pearson, spearman

ALL = (pearson, spearman, kendall)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_covariance_is_numpys_with_each_kind_of_weight(rng):
    x = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4))
    assert_allclose(covariance(x), np.cov(x.T), rtol=1e-12, atol=1e-14)
    counts, reliability = rng.integers(0, 5, 30), rng.random(30)
    assert_allclose(covariance(x, weight=counts), np.cov(x.T, fweights=counts), rtol=1e-12, atol=1e-14)
    assert_allclose(
        covariance(x, weight=reliability, weight_kind="reliability"),
        np.cov(x.T, aweights=reliability),
        rtol=1e-12,
        atol=1e-14,
    )
    assert covariance(x[:, 0], x[:, 1]) == pytest.approx(np.cov(x.T)[0, 1], rel=1e-12)
    assert_allclose(pearson(x, weight=counts), pearson(np.repeat(x, counts, axis=0)), rtol=1e-12)


def test_pearson_and_spearman_are_numpys_and_scipys(rng):
    x = np.round(rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)), 1)
    assert_allclose(pearson(x), np.corrcoef(x.T), rtol=1e-12, atol=1e-14)
    assert_allclose(spearman(x), stats.spearmanr(x)[0], rtol=1e-12, atol=1e-14)
    assert_allclose(pearson(x[:, 0], x[:, 1]), stats.pearsonr(x[:, 0], x[:, 1])[0], rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 17, 64, 1000])
@pytest.mark.parametrize("levels", [2, 6, 10**6])
def test_kendall_is_scipys_and_the_count_of_all_pairs(rng, n, levels):
    x, y = rng.integers(0, levels, (2, n))
    x[0], y[0], x[-1], y[-1] = 0, 0, 1, 1
    assert_allclose(kendall(x, y), stats.kendalltau(x, y)[0], rtol=1e-12, atol=1e-15)
    if n <= 64:
        i, j = np.triu_indices(n, 1)
        a, b = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
        assert_allclose(kendall(x, y), (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()), atol=1e-15)


@pytest.mark.parametrize("method", ["cov", "pearson", "spearman", "kendall"])
def test_pairwise_missing_is_pandas(rng, method):
    pandas = pytest.importorskip("pandas")
    x = np.round(rng.normal(size=(40, 4)) @ rng.normal(size=(4, 4)), 1)
    x[rng.random(x.shape) < 0.3] = np.nan
    frame = pandas.DataFrame(x)
    ours = {"cov": covariance, "pearson": pearson, "spearman": spearman, "kendall": kendall}[method]
    peer = frame.cov() if method == "cov" else frame.corr(method)
    assert_allclose(ours(x, missing="pairwise"), peer.to_numpy(), rtol=1e-11, atol=1e-13)
    rows = np.isfinite(x[:, 0]) & np.isfinite(x[:, 1])
    pair = ours(x[:, 0], x[:, 1], missing="pairwise")
    assert_allclose(pair, ours(x[rows, 0], x[rows, 1]), rtol=1e-11)


@pytest.mark.parametrize("missing", ["raise", "pairwise"])
def test_at_mean_1e9_no_digit_is_lost_where_mean_squares_are_all_wrong(rng, missing):
    x = 1e9 + 1e-3 * rng.normal(size=(200, 2))
    x[:, 1] += x[:, 0] - 1e9
    if missing == "pairwise":
        x[:10, 0] = x[10:20, 1] = np.nan
    rows = x[np.isfinite(x).all(1)]
    with mpmath.workdps(60):
        a, b = ([mpmath.mpf(v) for v in column.tolist()] for column in rows.T)
        n = len(a)
        da, db = ([v - mpmath.fsum(c) / n for v in c] for c in (a, b))
        cross, sa, sb = (mpmath.fsum(p * q for p, q in zip(*u, strict=True)) for u in ((da, db), (da, da), (db, db)))
        exact, exact_r = float(cross / (n - 1)), float(cross / mpmath.sqrt(sa * sb))
    assert_allclose(covariance(x, missing=missing)[0, 1], exact, rtol=1e-10)  # centring rounds to 1e-7 of 1e-3, twice
    assert_allclose(pearson(x, missing=missing)[0, 1], exact_r, rtol=1e-10)
    naive = (rows[:, 0] ** 2).mean() - rows[:, 0].mean() ** 2
    assert abs(naive / rows[:, 0].var() - 1) >= 1


def test_a_parabola_is_uncorrelated_with_its_argument_and_depends_on_it():
    x = np.arange(-50.0, 51)
    assert abs(pearson(x, x**2)) < 1e-15
    assert abs(spearman(x, x**2)) < 1e-15 and abs(kendall(x, x**2)) < 1e-15


@pytest.mark.parametrize("measure", ALL)
def test_constant_columns_are_nan_in_a_matrix_and_refused_in_a_pair(measure):
    x = np.column_stack([np.full(7, 0.1), np.arange(7.0), -np.arange(7.0)])
    r = measure(x)
    assert np.isnan(r[0]).all() and np.isnan(r[:, 0]).all()
    assert_allclose(r[1:, 1:], [[1, -1], [-1, 1]], rtol=1e-15)
    with pytest.raises(ValueError, match="constant"):
        measure(x[:, 0], x[:, 1])
    gaps = np.array([[1, np.nan], [np.nan, 2.0], [3, 4]])
    assert np.isnan(measure(gaps, missing="pairwise")[0, 1])  # one row in common
    with pytest.raises(ValueError, match="fewer than two"):
        measure(gaps[:, 0], gaps[:, 1], missing="pairwise")


def test_ranks_take_infinities():
    assert spearman([1, 2, np.inf], [1, 2, 3]) == pytest.approx(1, abs=1e-15)
    assert kendall([-np.inf, 2, np.inf], [1, 2, 3]) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pearson([1.0], [2.0]), "n >= 2"),
        (lambda: pearson([]), "n >= 2"),
        (lambda: pearson([1, 2], [1, 2, 3]), "one length"),
        (lambda: pearson([1, np.inf], [1, 2]), "infinity"),
        (lambda: kendall([1, np.nan, 3], [1, 2, 3]), "1 rows hold NaN; drop them"),
        (lambda: covariance([1, 2], [1, 2], missing="drop"), "missing must be one of"),
        (lambda: covariance([1, 2], [1, 2], weight=[1, -1]), "weight must be >= 0"),
        (lambda: covariance([1, 2], [1, 2], weight=[0, 0]), "positive sum"),
        (lambda: covariance([1, 2], [1, 2], weight=[0.5, 0.5]), "leave no more"),
        (lambda: covariance([1, 2], [1, 2], weight_kind="w"), "weight_kind"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=30),
    a=st.floats(0.1, 10),
    b=st.floats(-100, 100),
)
def test_correlations_are_symmetric_bounded_and_blind_to_scale(values, a, b):
    x, y = np.array(values, float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    for measure in ALL:
        r = measure(x, y)
        assert -1 <= r <= 1
        assert measure(y, x) == pytest.approx(r, abs=1e-12)
        assert measure(x, -y) == pytest.approx(-r, abs=1e-12)
        assert measure(a * x + b, y) == pytest.approx(r, abs=1e-9)
    assert kendall(x**3, y) == kendall(x, y)  # any increasing function


@pytest.mark.parametrize("scale", [2.0**700, 2.0**-700])
def test_pearson_keeps_its_digits_where_squares_overflow_or_vanish(rng, scale):
    X = rng.normal(size=(40, 3))
    holed = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    assert_allclose(pearson(X * scale), np.corrcoef(X.T), rtol=1e-12)
    assert_allclose(pearson(holed * scale, missing="pairwise"), pearson(holed, missing="pairwise"), rtol=1e-12)
    assert np.isnan(pearson(np.column_stack([np.full(40, scale), X * scale]))[0]).all()
