"""Calibration beside scikit-learn; rates and A/B tests by hand (statsmodels stands beside them among the peers)."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import calibration_curve

from breadth import metrics as ours

SUMS = {"rtol": 1e-12, "atol": 1e-15}
few = settings(max_examples=40, deadline=None)


def case(seed: int = 0, n: int = 300):
    rng = np.random.default_rng(seed)
    proba = rng.beta(0.5, 0.5, n)
    return (rng.random(n) < proba**2).astype(int), proba, rng.exponential(size=n)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_brier_score_is_scikit_learns(weighted):
    y, proba, weight = case()
    weight = weight if weighted else None
    assert_allclose(
        ours.brier_score_loss(y, proba, sample_weight=weight),
        sk.brier_score_loss(y, proba, sample_weight=weight),
        **SUMS,
    )
    text = np.array(["a", "b"])[y]
    assert ours.brier_score_loss(text, proba) == ours.brier_score_loss(y, proba)
    rng = np.random.default_rng(1)
    many, table = rng.integers(0, 4, 300), rng.dirichlet(np.ones(4), 300)
    for half in (True, False, "auto"):
        for truth, given_ in ((many, table), (y, np.column_stack([1 - proba, proba]))):
            how = {"sample_weight": weight, "scale_by_half": half}
            assert_allclose(
                ours.brier_score_loss(truth, given_, **how), sk.brier_score_loss(truth, given_, **how), **SUMS
            )


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("n_bins", [1, 5, 15])
def test_the_reliability_table_is_scikit_learns_curve(strategy, n_bins):
    y, proba, _ = case()
    found = ours.reliability_table(y, proba, n_bins=n_bins, strategy=strategy)
    observed, predicted = calibration_curve(y, proba, n_bins=n_bins, strategy=strategy)
    assert_allclose(found.observed, observed, **SUMS)
    assert_allclose(found.predicted, predicted, **SUMS)
    assert found.count.sum() == len(y)
    assert (found.low <= found.observed).all() and (found.observed <= found.high).all()
    gap = np.abs(observed - predicted)
    how = {"n_bins": n_bins, "strategy": strategy}
    share = found.count / len(y)
    assert_allclose(ours.expected_calibration_error(y, proba, **how), share @ gap, **SUMS)
    assert_allclose(ours.expected_calibration_error(y, proba, norm=2, **how), np.sqrt(share @ gap**2), **SUMS)
    assert_allclose(ours.expected_calibration_error(y, proba, norm="max", **how), gap.max(), **SUMS)


def test_of_several_classes_the_greatest_probability_is_judged():
    y = np.array([0, 1, 2, 2])
    table = np.array([[0.8, 0.1, 0.1], [0.8, 0.2, 0.0], [0.0, 0.4, 0.6], [0.1, 0.3, 0.6]])
    found = ours.reliability_table(y, table, n_bins=10)
    assert_array_equal(found.observed, [1, 0.5])
    assert_allclose(ours.expected_calibration_error(y, table, n_bins=10), (0.4 + 0.3) / 2)


def test_edges_fall_into_one_bin_and_certainty_into_the_last():
    found = ours.reliability_table([0, 1, 1], [0.0, 0.5, 1.0], n_bins=2)
    assert_array_equal(found.count, [1, 2])
    assert ours.expected_calibration_error([0, 1], [0.0, 1.0]) == 0
    assert ours.expected_calibration_error([0, 1], [1.0, 0.0]) == 1


@few
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.integers(1, 12))
def test_calibration_errors_keep_their_bounds(rows, n_bins):
    y, proba = (np.array(column) for column in zip(*rows, strict=True))
    found = [ours.expected_calibration_error(y, proba, n_bins=n_bins, norm=norm) for norm in (1, 2, "max")]
    assert 0 <= found[0] <= found[1] + 1e-12 <= found[2] + 2e-12 <= 1 + 2e-12
    one = ours.expected_calibration_error(y, proba, n_bins=1)
    assert one == pytest.approx(abs(y.mean() - proba.mean()))
    assert 0 <= ours.brier_score_loss(y, proba) <= 1
    weight = np.arange(1, len(y) + 1)
    repeated = ours.expected_calibration_error(np.repeat(y, weight), np.repeat(proba, weight), n_bins=n_bins)
    assert ours.expected_calibration_error(y, proba, n_bins=n_bins, sample_weight=weight) == pytest.approx(repeated)


def test_rates_hold_at_their_borders_and_for_a_hundred_million():
    assert ours.click_through_rate(0, 10).low == 0
    assert ours.conversion_rate(10, 10).high == 1
    z2 = 1.959963984540054**2
    assert ours.click_through_rate(0, 10).high == pytest.approx(z2 / (10 + z2))
    large = ours.proportion(10**8 // 2, 10**8)
    assert large.high - large.low == pytest.approx(1.959963984540054 / 10**4, rel=1e-6)
    assert ours.click_through_rate(3, 100).signature.startswith("click_through_rate|n:100|ci:95% Wilson|version:")


@few
@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_an_ab_test_turns_round_with_its_groups(a, b, data):
    k_a, k_b = data.draw(st.integers(0, a)), data.draw(st.integers(0, b))
    one, other = ours.ab_test(k_a, a, k_b, b), ours.ab_test(k_b, b, k_a, a)
    assert_allclose([one.z, one.p, one.low, one.high], [-other.z, other.p, -other.high, -other.low], atol=1e-12)
    assert -1 <= one.low <= one.difference <= one.high <= 1
    failures = ours.ab_test(a - k_a, a, b - k_b, b)
    assert_allclose([failures.z, failures.p], [-one.z, one.p], atol=1e-9)
    assert ours.ab_test(k_a, a, k_a, a).p == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.brier_score_loss([0, 1], [0.5, 1.5]), r"y_proba must lie in \[0, 1\]"),
        (lambda: ours.brier_score_loss([], []), "y_true is empty"),
        (lambda: ours.brier_score_loss([0, 1], [0.5]), r"y_true must have shape \(1,\)"),
        (lambda: ours.brier_score_loss([0, 1], [0.5, 0.5], sample_weight=[0, 0]), "sums to zero"),
        (lambda: ours.expected_calibration_error([0, 1], [0.5, 0.5], n_bins=0), "n_bins must be"),
        (lambda: ours.expected_calibration_error([0, 1], [0.5, 0.5], strategy="equal"), "strategy must be one of"),
        (lambda: ours.reliability_table([0, 1], [0.5, np.nan]), "y_proba holds NaN"),
        (lambda: ours.proportion(3, 2), "0 <= successes <= trials"),
        (lambda: ours.proportion(0, 0), "at least one trial"),
        (lambda: ours.proportion(1.5, 2), "whole numbers"),
        (lambda: ours.ab_test(1, 2, float("nan"), 3), "group B: successes and trials must be whole"),
        (lambda: ours.click_through_rate(1, 2, confidence=95), "confidence must be in"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
