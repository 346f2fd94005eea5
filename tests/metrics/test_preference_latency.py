"""Win rates, Likert items, percentiles and prices by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest

from breadth.metrics import latency_summary, likert_summary, percentile, price, win_rate, win_rate_matrix

few = settings(max_examples=40, deadline=None)


def test_a_win_rate_counts_ties_half_or_not_at_all():
    outcome = [1] * 7 + [0] * 2 + [0.5] * 3
    half, dropped = win_rate(outcome), win_rate(outcome, ties="drop")
    assert half.rate.value == pytest.approx(8.5 / 12)
    assert dropped.rate.value == pytest.approx(7 / 9)
    wilson = binomtest(7, 9).proportion_ci(method="wilson")
    assert_allclose([dropped.rate.low, dropped.rate.high], wilson, rtol=1e-12)
    assert half.p == dropped.p == pytest.approx(binomtest(7, 9).pvalue)
    assert (half.wins, half.losses, half.ties) == (7, 2, 3)
    assert win_rate([0.5, 0.5]).p == 1
    assert win_rate([1, 1]).rate.low > 0


@few
@given(st.lists(st.sampled_from([0, 0.5, 1]), min_size=1, max_size=30))
def test_win_rates_turn_round(outcome):
    one, other = win_rate(outcome), win_rate(1 - np.array(outcome))
    expected = [1 - other.rate.value, 1 - other.rate.high, 1 - other.rate.low, other.p]
    assert_allclose([one.rate.value, one.rate.low, one.rate.high, one.p], expected, atol=1e-12)
    assert 0 <= one.rate.low <= one.rate.value <= one.rate.high <= 1


def test_a_matrix_holds_each_pair_both_ways():
    systems, rate, met = win_rate_matrix(["b", "a", "a"], ["a", "b", "c"], [1, 0.5, 0])
    assert systems == ["a", "b", "c"]
    assert_array_equal(rate, [[np.nan, 0.25, 0], [0.75, np.nan, np.nan], [1, np.nan, np.nan]])
    assert_array_equal(met, [[0, 2, 1], [2, 0, 0], [1, 0, 0]])


def test_likert_answers_are_counted_on_the_whole_scale():
    given_ = [5, 4, 4, 2, np.nan, 1, 4]
    found = likert_summary(given_)
    assert found.counts == {1: 1, 2: 1, 3: 0, 4: 3, 5: 1}
    assert (found.n, found.median, found.mean.value) == (6, 4, 20 / 6)
    assert found.top_box.value == pytest.approx(4 / 6)
    assert found.mean.low < 20 / 6 < found.mean.high
    assert likert_summary([3]).n == 1
    assert likert_summary([7], scale=(0, 10), top=4).top_box.value == 1


def test_a_percentile_is_numpys_and_its_interval_covers():
    rng = np.random.default_rng(0)
    hits = {50: 0, 95: 0}
    for _ in range(400):
        x = rng.exponential(size=120)
        for q in hits:
            found = percentile(x, q)
            assert found.value == np.percentile(x, q)
            hits[q] += found.low <= -np.log1p(-q / 100) <= found.high
    assert all(h >= 370 for h in hits.values()), hits  # at least 380 expected; standard error 4.4
    x = np.arange(368.0)
    assert np.isfinite(percentile(x, 99).high) and percentile(x[:367], 99).high == np.inf
    assert percentile([3.0], 50).low == -np.inf
    assert percentile(x, 0).value == 0 and percentile(x, 100).value == 367


def test_times_of_streamed_answers():
    found = latency_summary([0.0, 1.0], [[0.5, 0.7, 0.9], [3.0]])
    assert found.time_to_first_token[50].value == pytest.approx(1.25)
    assert found.time_per_output_token[95].value == pytest.approx(0.2)
    assert found.total[99].value == pytest.approx(np.percentile([0.9, 2.0], 99))
    assert (found.tokens_per_second, found.requests_per_second, found.n) == (4 / 3, 2 / 3, 2)
    assert latency_summary([0.0], [[0.5]]).time_per_output_token == {}
    assert found.total[95].signature.startswith("total_time_p95|n:2|ci:95% order statistics")


def test_prices_are_a_million_tokens():
    assert_allclose(price([1000, 10**8], [100, 0], per_million_input=2.5, per_million_output=10), [0.0035, 250])
    cached = price(1000, 0, per_million_input=2, per_million_output=8, cached_tokens=600, per_million_cached=0.5)
    assert cached == pytest.approx((400 * 2 + 600 * 0.5) / 1e6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: win_rate([]), "outcome is empty"),
        (lambda: win_rate([2]), "outcome must be 1"),
        (lambda: win_rate([0.5], ties="drop"), "nothing but ties"),
        (lambda: likert_summary([6]), r"whole numbers in \[1, 5\], got 6"),
        (lambda: likert_summary([2.5]), "whole numbers"),
        (lambda: likert_summary([np.nan]), "no answer"),
        (lambda: likert_summary([1], scale=(5, 1)), "scale must rise"),
        (lambda: percentile([], 50), "values is empty"),
        (lambda: percentile([1.0, np.inf], 50), "values holds infinity"),
        (lambda: percentile([1.0], 101), "q must be in"),
        (lambda: latency_summary([0.0], [[]]), "request 0 has no token"),
        (lambda: latency_summary([1.0], [[0.5]]), "rise from its start"),
        (lambda: latency_summary([0.0], []), "token_times has 0 requests"),
        (lambda: price(-1, 0, per_million_input=1, per_million_output=1), "input_tokens must hold"),
        (lambda: price(1, 0, per_million_input=-1, per_million_output=1), "per_million_input must be"),
        (lambda: price(1, 0, per_million_input=1, per_million_output=1, cached_tokens=2), "more than input_tokens"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
