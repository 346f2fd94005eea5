"""Permutation tests against scipy's exact ones, and their level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats.inference import ALTERNATIVES
from breadth.stats.permutation import permutation_test


def median_difference(x, y, axis):
    return np.median(x, axis) - np.median(y, axis)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("statistic", [None, median_difference])
@pytest.mark.parametrize(("design", "kind"), [("independent", "independent"), ("paired", "samples")])
def test_exact_p_values_are_scipys_with_ties(design, kind, statistic, alternative):
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, 6), rng.integers(1, 6, 6)
    peer = stats.permutation_test(
        (x, y),
        statistic or (lambda a, b, axis: a.mean(axis) - b.mean(axis)),
        permutation_type=kind,
        alternative=alternative,
        vectorized=True,
    )
    ours = permutation_test(x, y, statistic, design=design, alternative=alternative)
    assert ours.exact and ours.n_arrangements == len(peer.null_distribution)
    assert_allclose((ours.statistic, ours.p), (peer.statistic, peer.pvalue), rtol=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_pairings_are_the_exact_test_of_correlation(alternative):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 4, 6), rng.integers(0, 4, 6)
    peer = stats.permutation_test(
        (y,),
        lambda b, axis: (x * b).mean(axis),
        permutation_type="pairings",
        alternative=alternative,
        vectorized=True,
    )
    ours = permutation_test(x, y, design="pairings", alternative=alternative)
    assert (ours.exact, ours.n_arrangements) == (True, 720)
    assert_allclose(ours.p, peer.pvalue, rtol=1e-12)


@pytest.mark.parametrize("design", ["independent", "paired", "pairings"])
def test_random_arrangements_come_near_the_exact_p_and_never_reach_zero(design):
    rng = np.random.default_rng(0)
    x = rng.normal(size=7)
    y = x + 0.6 * rng.normal(size=7) + 0.4
    exact = permutation_test(x, y, design=design, n_permutations=10**4)
    drawn = permutation_test(x, y, design=design, n_permutations=100, rng=1)
    assert exact.exact and not drawn.exact
    assert abs(drawn.p - exact.p) < 2 * 5 * np.sqrt(0.25 / 100)
    far = permutation_test(np.arange(30.0), np.arange(30.0) + 1000, n_permutations=99, rng=0)
    assert far.p == pytest.approx(2 / 100)


def test_the_level_is_held_and_a_shift_is_seen():
    rng = np.random.default_rng(0)
    null = [permutation_test(*rng.exponential(size=(2, 15)), n_permutations=99, rng=rng).p for _ in range(300)]
    assert np.mean(np.array(null) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert permutation_test(rng.normal(size=40), rng.normal(1.5, 1, size=40), n_permutations=499, rng=0).p <= 0.01


def test_values_that_are_all_equal_are_no_evidence():
    for design in ("independent", "paired", "pairings"):
        assert permutation_test(np.full(4, 0.1), np.full(4, 0.1), design=design).p == 1
    assert permutation_test([1.0], [2.0]).p == 1  # two arrangements: nothing smaller than 1/2 a side


def test_many_values_do_not_count_their_arrangements():
    x = np.arange(20_000.0)
    for design in ("independent", "paired", "pairings"):
        assert permutation_test(x, x[::-1], design=design, n_permutations=3, rng=0).n_arrangements == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": []}, "x needs at least 1 rows"),
        ({"y": [np.nan, 1, 2]}, "y holds NaN"),
        ({"design": "paired", "y": [1, 2]}, "of one length"),
        ({"design": "matched"}, "design must be one of"),
        ({"alternative": "other"}, "alternative must be one of"),
        ({"n_permutations": 0}, "n_permutations must be an integer >= 1"),
        ({"statistic": lambda x, y, axis: 1.0}, "one number for each of 1"),
        ({"statistic": lambda x, y, axis: np.full(len(x), np.nan)}, "not finite"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        permutation_test(**({"x": [1.0, 2, 3], "y": [2.0, 3, 5]} | arguments))
