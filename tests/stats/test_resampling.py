"""Bootstrap draws against the multinomial distribution of their counts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from breadth.stats.resampling import bootstrap_indices, bootstrap_interval


@pytest.mark.parametrize("n", [2, 5, 50, 2000])
def test_the_share_left_out_is_one_minus_one_over_n_to_the_n(n):
    rng = np.random.default_rng(n)
    replays = max(40, 40_000 // n)
    left_out = [1 - np.unique(bootstrap_indices(n, rng)).size / n for _ in range(replays)]
    expected = (1 - 1 / n) ** n
    # counts are negatively correlated, so that n replays shares vary at most as independent rows would
    assert abs(np.mean(left_out) - expected) < 5 * np.sqrt(expected * (1 - expected) / (n * replays))
    assert abs((1 - 1 / n) ** n - np.exp(-1)) <= 1 / n  # the limit


@pytest.mark.parametrize("weight", [None, np.array([0.0, 1.0, 3.0, 0.0, 6.0, 0.0])])
def test_counts_are_multinomial(weight):
    rng = np.random.default_rng(0)
    n, size, replays = 6, 20, 4000
    p = np.full(n, 1 / n) if weight is None else weight / weight.sum()
    counts = np.array(
        [np.bincount(bootstrap_indices(n, rng, size, weight=weight), minlength=n) for _ in range(replays)]
    )
    mean, variance = size * p, size * p * (1 - p)
    assert (np.abs(counts.mean(0) - mean) <= 5 * np.sqrt(variance / replays)).all()
    # the variance of a sample variance is at most about 2 sigma^4 / replays for counts this symmetric
    assert (np.abs(counts.var(0) - variance) <= 5 * variance * np.sqrt(3 / replays)).all()
    assert_array_equal(counts[:, p == 0], 0)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e308])
def test_only_ratios_of_weights_count(scale):
    rng = np.random.default_rng(0)
    drawn = bootstrap_indices(5, rng, 4000, weight=scale * np.array([0.0, 1.0, 1.0, 1.0, 0.0]))
    assert_array_equal(np.unique(drawn), [1, 2, 3])
    assert (np.abs(np.bincount(drawn)[1:] - 4000 / 3) < 5 * np.sqrt(4000 * 2 / 9)).all()


def test_rounding_up_at_the_end_does_not_leave_the_weighted_rows():
    class Edge:
        def random(self, size):
            return np.full(size, 1.0)  # beyond what a generator returns

    assert_array_equal(bootstrap_indices(4, Edge(), 3, weight=[1.0, 2.0, 0.0, 0.0]), 1)


def test_the_same_state_gives_the_same_rows_and_equal_sizes_are_the_default():
    first, again = (bootstrap_indices(30, np.random.default_rng(3)) for _ in range(2))
    assert_array_equal(first, again)
    assert first.shape == (30,) and first.dtype == np.int64
    assert bootstrap_indices(30, np.random.default_rng(0), 0).shape == (0,)
    assert_array_equal(bootstrap_indices(1, np.random.default_rng(0), 4), 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be an integer >= 1, got 0"),
        ({"n": 2.0}, "n must be an integer >= 1, got 2.0"),
        ({"n": 3, "size": -1}, "size must be an integer >= 0 or None for n, got -1"),
        ({"n": 3, "weight": [1, 1]}, r"one number for each of 3 rows, got shape \(2,\)"),
        ({"n": 2, "weight": [0, 0]}, "positive sum"),
        ({"n": 2, "weight": [1, -1]}, ">= 0"),
        ({"n": 2, "weight": [1, np.nan]}, "finite"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_indices(rng=np.random.default_rng(0), **arguments)


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("statistic", [np.mean, np.median, np.var])
def test_an_interval_has_scipys_ends_given_the_same_replicates(method, statistic):
    x = np.random.default_rng(0).exponential(size=60) + 1e4
    ours = bootstrap_interval(x, statistic, method=method, rng=1)

    class Given:
        """The replicates that ours drew, as the result of an earlier call."""

        bootstrap_distribution = ours.replicates

    theirs = stats.bootstrap(
        (x,), statistic, n_resamples=0, method="BCa" if method == "bca" else method, bootstrap_result=Given()
    ).confidence_interval
    assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], rtol=1e-12, err_msg="sum order")


def test_intervals_of_a_skewed_mean_cover_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        found = bootstrap_interval(rng.exponential(size=50), np.mean, confidence=0.9, n_resamples=300, rng=rng)
        hits += found.low <= 1 <= found.high
    # 270 expected; 5 standard errors of a binomial are 26, and BCa falls a few percent short at n = 50
    assert 235 <= hits <= 296


def test_rows_of_a_table_are_drawn_whole():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = np.column_stack([x, x + 0.1 * rng.normal(size=200)])
    found = bootstrap_interval(table, lambda rows: float(np.corrcoef(rows.T)[0, 1]), rng=0)
    assert 0.98 < found.low < found.estimate < found.high < 1


def test_a_constant_sample_has_an_interval_of_no_length():
    assert bootstrap_interval(np.full(5, 7.0), np.mean, rng=0)[:3] == (7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample": [1.0]}, "at least two rows"),
        ({"confidence": 1.0}, "confidence must be in"),
        ({"method": "normal"}, "'bca' or 'percentile'"),
        ({"n_resamples": 10}, "n_resamples must be"),
        ({"statistic": lambda rows: float("nan")}, "not finite"),
    ],
)
def test_bad_arguments_of_an_interval_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        bootstrap_interval(**({"sample": [1.0, 2.0, 3.0], "statistic": np.mean} | arguments))


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
def test_a_vectorized_statistic_gives_the_same_interval(shape):
    sample = np.random.default_rng(1).exponential(size=shape)
    one = bootstrap_interval(sample, lambda rows: float((rows**2).sum()), n_resamples=200, rng=0)
    many = bootstrap_interval(
        sample,
        lambda rows, axis: (rows**2).sum(axis=tuple(range(axis, rows.ndim))),
        n_resamples=200,
        vectorized=True,
        rng=0,
    )
    assert_allclose(many.replicates, one.replicates, rtol=1e-12)
    assert_allclose(many[:3], one[:3], rtol=1e-12)
    with pytest.raises(ValueError, match="one number for each of 1"):
        bootstrap_interval(sample, lambda rows, axis: rows, vectorized=True)


def test_a_statistic_of_several_numbers_is_refused():
    with pytest.raises(ValueError, match=r"statistic must return one number, got shape \(2,\)"):
        bootstrap_interval(np.arange(20.0).reshape(10, 2), lambda rows: rows.mean(0), rng=0)
