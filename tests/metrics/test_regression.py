"""Errors of numbers beside scikit-learn; the corrected R squared beside nested least squares."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth import metrics as ours

NAMES = (
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_error",
    "mean_pinball_loss",
    "r2_score",
)
SUMS = {"rtol": 1e-12, "atol": 1e-15}
few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_errors_are_scikit_learns(name, outputs, weighted, shift):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(80, outputs)) + shift
    f = y + rng.normal(size=y.shape)
    weight = rng.exponential(size=80) * (rng.random(80) < 0.8) if weighted else None
    mine, theirs = getattr(ours, name), getattr(sk, name)
    for multioutput in ("uniform_average", "raw_values", *([np.array([1.0, 2, 3])] if outputs == 3 else [])):
        how = {"sample_weight": weight, "multioutput": multioutput}
        assert_allclose(mine(y, f, **how), theirs(y, f, **how), **SUMS)
    if outputs == 1:
        assert_allclose(mine(y[:, 0], f[:, 0], sample_weight=weight), theirs(y, f, sample_weight=weight), **SUMS)
    if name == "mean_pinball_loss":
        for alpha in (0, 0.1, 0.95):
            how = {"sample_weight": weight, "alpha": alpha}
            assert_allclose(mine(y, f, **how), theirs(y, f, **how), **SUMS)
    if name == "r2_score":
        how = {"sample_weight": weight, "multioutput": "variance_weighted"}
        assert_allclose(mine(y, f, **how), theirs(y, f, **how), **SUMS)


def test_r_squared_of_a_constant_is_scikit_learns():
    for force in (True, False):
        for f in ([3.0, 3.0], [3.0, 4.0]):
            assert_allclose(
                ours.r2_score([3, 3], f, force_finite=force), sk.r2_score([3, 3], f, force_finite=force), **SUMS
            )
    noisy_mean = [0.1] * 10  # whose mean rounds to another number
    assert ours.r2_score(noisy_mean, noisy_mean) == 1
    assert ours.r2_score(noisy_mean, np.zeros(10)) == 0


def test_corrected_r_squared_ignores_a_noise_feature_on_average_and_rises_with_t_above_one():
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(400):
        X = np.column_stack([np.ones(30), rng.normal(size=(30, 3))])
        y = X[:, 1] + rng.normal(size=30)
        scores = []
        for p in (2, 3):
            A = X[:, : p + 1]
            b, *_ = np.linalg.lstsq(A, y, rcond=None)
            scores.append(ours.adjusted_r2_score(y, A @ b, n_features=p))
        gains.append(scores[1] - scores[0])
        residual = y - A @ b
        t = b[3] / np.sqrt(residual @ residual / 26 * np.linalg.inv(A.T @ A)[3, 3])
        assert (gains[-1] > 0) == (abs(t) > 1)
    assert abs(np.mean(gains)) < 4 * np.std(gains) / 20


numbers = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=20)


@few
@given(numbers)
def test_errors_keep_their_order_and_symmetries(rows):
    y, f = np.array(rows, float).T
    mae, rmse = ours.mean_absolute_error(y, f), ours.root_mean_squared_error(y, f)
    assert 0 <= mae <= rmse + 1e-12
    assert mae == ours.mean_absolute_error(f, y)
    assert ours.mean_pinball_loss(y, f) == pytest.approx(mae / 2)
    assert ours.mean_pinball_loss(y, f, alpha=0.2) == pytest.approx(ours.mean_pinball_loss(f, y, alpha=0.8))
    assert ours.r2_score(y, f) <= 1
    assert ours.r2_score(y, np.full(len(y), y.mean())) == pytest.approx(0 if np.ptp(y) else 1)
    assert ours.r2_score(3 * y - 7, 3 * f - 7) == pytest.approx(ours.r2_score(y, f))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.mean_squared_error([], []), "y_true is empty"),
        (lambda: ours.mean_squared_error([1, np.nan], [1, 2]), "y_true holds NaN"),
        (lambda: ours.mean_squared_error([1, 2], [1, np.inf]), "y_pred holds infinity"),
        (lambda: ours.mean_squared_error([1, 2], [1]), r"y_pred has shape \(1, 1\)"),
        (lambda: ours.mean_squared_error(["a"], ["b"]), "y_true must hold numbers"),
        (lambda: ours.mean_absolute_error([1, 2], [1, 2], sample_weight=[0, 0]), "sums to zero"),
        (lambda: ours.mean_absolute_error([1, 2], [1, 2], multioutput="all"), "multioutput must be one of"),
        (lambda: ours.mean_absolute_error([1, 2], [1, 2], multioutput="variance_weighted"), "is for r2_score"),
        (lambda: ours.mean_pinball_loss([1], [1], alpha=2), "alpha must be in"),
        (lambda: ours.r2_score([1], [1]), "at least two rows"),
        (lambda: ours.adjusted_r2_score([1, 2, 3], [1, 2, 3], n_features=2), r"\[0, n - 1\) = \[0, 2\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
