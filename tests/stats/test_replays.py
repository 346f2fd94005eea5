"""Coverage: exact values from the literature, and simulation beside them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

from breadth.stats.inference import proportion_interval, t_test, z_test
from breadth.stats.replays import binomial_coverage, coverage


def of(method):
    return lambda k, n: proportion_interval(k, n, method=method)


def test_exact_coverage_of_walds_interval_is_the_published_one():
    # Brown, Cai & DasGupta 2001, section 2 and table 1
    assert_allclose(binomial_coverage(of("wald"), 50, 0.005), 0.222, atol=5e-4)
    assert_allclose(binomial_coverage(of("wald"), [17, 40][0], 0.5), 0.951, atol=5e-4)
    assert_allclose(binomial_coverage(of("wald"), 40, 0.5), 0.919, atol=5e-4)


def test_coverage_is_the_sum_over_counts_that_hold_it():
    p, n = np.array([0.0, 0.13, 1.0]), 12
    interval = proportion_interval(np.arange(n + 1), n)
    by_hand = [sum(binom.pmf(k, n, q) for k in range(n + 1) if interval.low[k] <= q <= interval.high[k]) for q in p]
    assert_allclose(binomial_coverage(of("wilson"), n, p), by_hand, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_the_exact_interval_never_covers_too_seldom(n):
    assert binomial_coverage(of("exact"), n, np.linspace(0, 1, 501)).min() >= 0.95


def test_simulation_agrees_with_the_exact_coverage():
    exact = float(binomial_coverage(of("wald"), 20, 0.1))
    found = coverage(lambda k: proportion_interval(k, 20, method="wald"), lambda rng: rng.binomial(20, 0.1), 0.1, rng=0)
    assert abs(found.rate - exact) < 4 * np.sqrt(exact * (1 - exact) / found.n_replays)
    assert found.low < exact < found.high
    assert found.missed_above > 5 * found.missed_below  # at small p Wald's misses lie below the truth
    assert found.rate + found.missed_above + found.missed_below == pytest.approx(1)


def test_t_covers_normal_means_and_z_with_an_estimated_deviation_does_not():
    def sample(rng):
        return rng.normal(3.0, 2.0, size=4)

    t = coverage(t_test, sample, 3.0, n_replays=1500, rng=0)
    z = coverage(lambda x: z_test(x, std=x.std(ddof=1)), sample, 3.0, n_replays=1500, rng=0)
    assert t.low < 0.95 < t.high
    assert z.high < 0.9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: coverage(t_test, lambda rng: rng.normal(size=3), np.nan), "truth must be finite"),
        (lambda: coverage(t_test, lambda rng: rng.normal(size=3), 0, n_replays=0), "n_replays"),
        (lambda: coverage(lambda x: (1, 0), lambda rng: 0, 0), "low <= high"),
        (lambda: coverage(lambda x: (np.nan, 0), lambda rng: 0, 0), "low <= high"),
        (lambda: binomial_coverage(of("wald"), 0, 0.5), "n must be"),
        (lambda: binomial_coverage(of("wald"), 5, 1.5), "p must be in"),
        (lambda: binomial_coverage(lambda k, n: (0, 1), 5, 0.5), "each of shape"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
