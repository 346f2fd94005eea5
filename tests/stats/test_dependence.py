"""Distance correlation and HSIC against dcor, brute force, and what independence makes of p values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.stats import dependence
from breadth.stats.dependence import distance_correlation, distance_correlation_test, hsic, hsic_test


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def centred(M):
    H = np.eye(len(M)) - 1 / len(M)
    return H @ M @ H


def by_matrices(x, y):
    x, y = (np.reshape(v, (len(v), -1)) for v in (x, y))
    A, B = (centred(np.sqrt(((v[:, None] - v) ** 2).sum(-1))) for v in (x, y))
    return np.sqrt((A * B).mean() / np.sqrt((A * A).mean() * (B * B).mean()))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [2, 3, 50, 257])
def test_distance_correlation_is_that_of_centred_matrices(rng, n, ties):
    x = rng.normal(size=n)
    y = x**2 + rng.normal(size=n)
    if ties:
        x, y = np.round(x) + np.arange(n) % 2, np.round(y) - np.arange(n) % 2
    assert_allclose(distance_correlation(x, y), by_matrices(x, y), rtol=1e-11)
    assert_allclose(distance_correlation(1e9 + x, y), by_matrices(1e9 + x - 1e9, y), rtol=1e-11)
    table = np.column_stack([x, rng.normal(size=n)])
    assert_allclose(distance_correlation(table, y), by_matrices(table, y), rtol=1e-11)


@pytest.mark.slow  # dcor compiles its kernels in each process
def test_distance_correlation_is_dcors(rng):
    dcor = pytest.importorskip("dcor")
    for n in (2, 50, 2000):
        x = np.round(rng.normal(size=n), 1)
        y, table = x**2 + rng.normal(size=n), rng.normal(size=(n, 2)) + x[:, None]
        for one in (x, table):
            assert_allclose(distance_correlation(one, y), dcor.distance_correlation(one, y), rtol=1e-9)


def test_the_fast_sum_is_the_double_one(rng):
    from breadth.stats.dependence_kernels import summed_products

    x, y = np.sort(rng.integers(0, 9, 40)).astype(float), rng.integers(0, 9, 40).astype(float)
    rank = np.unique(y, return_inverse=True)[1] + 1
    slow = (np.abs(x[:, None] - x) * np.abs(y[:, None] - y)).sum()
    assert_allclose(summed_products(x, y, rank), slow, rtol=1e-13)
    assert_allclose(summed_products.py_func(x, y, rank), slow, rtol=1e-13)


def test_constants_and_single_rows_are_uncorrelated(rng):
    assert distance_correlation([3.0], [4.0]) == 0
    assert distance_correlation(np.full(9, 0.1), np.arange(9)) == 0
    assert distance_correlation(np.full((9, 2), 0.1), np.arange(9)) == 0
    assert hsic(np.full(9, 0.1), np.arange(9)) == pytest.approx(0, abs=1e-16)
    assert distance_correlation_test(np.full(9, 0.1), np.arange(9), n_permutations=9).p == 1
    for method in ("permutation", "gamma"):
        assert hsic_test(np.full(9, 0.1), np.arange(9), method=method, n_permutations=9).p == 1


def test_hsic_is_the_trace_and_the_fourfold_sum(rng):
    x, y = rng.normal(size=(9, 2)), rng.normal(size=9)
    K = np.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * 0.7**2))
    apart = np.abs(y[:, None] - y)
    L = np.exp(-(apart**2) / (2 * np.median(apart[np.triu_indices(9, 1)]) ** 2))
    found = hsic(x, y, bandwidth_x=0.7)
    assert_allclose(found, np.trace(K @ centred(L)) / 81, rtol=1e-12)
    # Gretton et al. 2007, eq. 4: means over pairs, pairs of pairs, and triples
    fourfold = (K * L).mean() + np.einsum("ij,qr->", K, L) / 9**4 - 2 * np.einsum("ij,iq->", K, L) / 9**3
    assert_allclose(found, fourfold, rtol=1e-11)


def test_p_values_are_uniform_under_independence_and_small_for_a_circle(rng):
    tests = {
        "distance": lambda x, y: distance_correlation_test(x, y, n_permutations=39, rng=rng),
        "table": lambda x, y: distance_correlation_test(x[:, None] + [0, 1], y, n_permutations=39, rng=rng),
        "hsic": lambda x, y: hsic_test(x, y, n_permutations=39, rng=rng),
        "gamma": lambda x, y: hsic_test(x, y, method="gamma"),
    }
    for name, test in tests.items():
        p = np.array([test(*rng.normal(size=(2, 25))).p for _ in range(200)])
        # 5 standard errors of 200 replays at level 0.1, and of their mean
        assert abs((p <= 0.1).mean() - 0.1) < 5 * np.sqrt(0.09 / 200), name
        assert abs(p.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 200) + 0.02, name
        angle = rng.uniform(0, 2 * np.pi, 150)
        assert test(np.cos(angle), np.sin(angle)).p <= 0.025, name  # uncorrelated


@pytest.mark.slow
def test_p_values_are_dcors_within_their_noise(rng):
    dcor = pytest.importorskip("dcor")
    x = rng.normal(size=60)
    y = 0.3 * x + rng.normal(size=60)
    ours = distance_correlation_test(x, y, n_permutations=1999, rng=0).p
    # its statistic is the covariance, which permutations order alike
    peer = dcor.independence.distance_covariance_test(x[:, None], y[:, None], num_resamples=1999, random_state=0).pvalue
    assert abs(ours - peer) < 5 * np.sqrt(2 * peer * (1 - peer) / 1999) + 1e-3


def test_gamma_and_permutations_agree_and_its_moments_are_those_of_the_permutations(rng):
    x = rng.normal(size=200)
    y = 0.15 * x + rng.normal(size=200)
    by_gamma, by_permutation = hsic_test(x, y, method="gamma").p, hsic_test(x, y, n_permutations=999, rng=0).p
    assert abs(by_gamma - by_permutation) < 0.03
    K, L = (dependence._kernel("b", v[:, None], None) for v in (x, y))
    null = [
        np.vdot(dependence._centre(K), L[np.ix_(o, o)]) / 200**2 for o in (rng.permutation(200) for _ in range(999))
    ]
    off = ~np.eye(200, dtype=bool)
    expected = (1 - K[off].mean()) * (1 - L[off].mean()) / 200
    assert_allclose(np.mean(null), expected, rtol=0.02)  # the paper's estimate is biased by O(1/n)


@settings(max_examples=25, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), min_size=2, max_size=25),
    a=st.floats(0.01, 100),
    b=st.floats(-1e3, 1e3),
)
def test_distance_correlation_is_symmetric_bounded_and_blind_to_scale(pairs, a, b):
    x, y = np.array(pairs, float).T
    r = distance_correlation(x, y)
    assert 0 <= r <= 1
    assert distance_correlation(y, x) == pytest.approx(r, abs=1e-7)
    assert distance_correlation(-a * x + b, y) == pytest.approx(r, abs=1e-6)  # the root of a small difference
    if np.ptp(x):
        assert distance_correlation(x, 3 - 2 * x) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: distance_correlation([1, 2], [1, 2, 3]), "as many rows"),
        (lambda: distance_correlation([], []), "x needs at least 1"),
        (lambda: distance_correlation([1, np.nan], [1, 2]), "x holds NaN"),
        (lambda: distance_correlation_test([1], [2]), "at least 2"),
        (lambda: distance_correlation_test([1, 2], [2, 3], n_permutations=0), "n_permutations"),
        (lambda: hsic([1, 2], [1, 2], bandwidth_y=0), "bandwidth_y must be > 0"),
        (lambda: hsic_test([1, 2], [1, 2], method="gamma"), "at least 6"),
        (lambda: hsic_test([1, 2], [1, 2], method="bootstrap"), "method must be one of"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
