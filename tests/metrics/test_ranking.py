"""Discounted gain beside scikit-learn, and beside all orders of tied items."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.metrics import dcg_score, ndcg_score

few = settings(max_examples=40, deadline=None)
SUMS = {"rtol": 1e-12, "atol": 1e-15}


def case(ties: bool, n: int = 40, m: int = 12):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, (n, m)).astype(float)
    y[0] = 0
    score = rng.normal(size=(n, m)) + y
    return y, np.round(score) if ties else score, rng.exponential(size=n)


@pytest.mark.parametrize("k", [None, 1, 5, 12, 50])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gains_are_scikit_learns(k, ties, dtype):
    y, score, weight = case(ties)
    score = score.astype(dtype)
    for how in ({"k": k}, {"k": k, "sample_weight": weight}):
        assert_allclose(ndcg_score(y, score, **how), sk.ndcg_score(y, score, **how), **SUMS)
        assert_allclose(dcg_score(y, score, **how), sk.dcg_score(y, score, **how), **SUMS)
        assert_allclose(
            dcg_score(y - 2, score, log_base=3, **how), sk.dcg_score(y - 2, score, log_base=3, **how), **SUMS
        )
        if not ties:  # where it ignores them, their order is that of its sorting
            theirs = sk.ndcg_score(y, score, ignore_ties=True, **how)
            assert_allclose(ndcg_score(y, score, ignore_ties=True, **how), theirs, **SUMS)
        assert_allclose(ndcg_score(y, score, gain="exponential", **how), sk.ndcg_score(2**y - 1, score, **how), **SUMS)


def test_tied_scores_earn_the_mean_over_their_orders():
    y, score = np.array([[3.0, 1, 0, 2]]), np.array([[1.0, 1, 1, 0]])
    orders = [
        ndcg_score(y[:, [*order, 3]], np.array([[4.0, 3, 2, 1]]), k=3) for order in itertools.permutations(range(3))
    ]
    assert ndcg_score(y, score, k=3) == pytest.approx(np.mean(orders), rel=1e-14)
    assert ndcg_score(y, score, ignore_ties=True, k=3) == pytest.approx(orders[0])


@few
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=2, max_size=12), st.integers(1, 14))
def test_bounds_and_monotone_changes(items, k):
    y, score = (np.array([column], float) for column in zip(*items, strict=True))
    for gain in ("linear", "exponential"):
        value = ndcg_score(y, score, k=k, gain=gain)
        assert 0 <= value <= 1 + 1e-12
        assert ndcg_score(y, np.exp(score), k=k, gain=gain) == value
        assert ndcg_score(y, y, k=k, gain=gain) == pytest.approx(1 if y.any() else 0)
        order = np.random.default_rng(0).permutation(len(items))
        assert ndcg_score(y[:, order], score[:, order], k=k, gain=gain) == pytest.approx(value)
    assert ndcg_score(np.sign(y), score, k=k) == ndcg_score(np.sign(y), score, k=k, gain="exponential")


def test_many_ranks_are_sorted_and_few_are_kept_with_the_same_result():
    rng = np.random.default_rng(1)
    y, score = rng.integers(0, 3, (9, 150)).astype(float), np.round(rng.normal(size=(9, 150)), 1)
    best = np.take_along_axis(y, np.argsort(-score, axis=1, kind="stable"), 1)
    for k in (10, 64, 65, 150):
        discount = 1 / np.log2(np.arange(2, k + 2))
        assert_allclose(dcg_score(y, score, k=k, ignore_ties=True), np.mean(best[:, :k] @ discount), **SUMS)


def test_infinite_scores_rank_first_and_last():
    assert ndcg_score([[1, 0, 0]], [[np.inf, 0, -np.inf]]) == 1
    assert ndcg_score([[0, 0, 1]], [[np.inf, 0, -np.inf]], ignore_ties=True) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_true": np.empty((0, 3))}, "y_true is empty"),
        ({"y_true": [1, 0]}, "y_true must have 2 dimensions"),
        ({"y_true": [[1, -1]]}, "relevance >= 0"),
        ({"y_true": [[1, np.inf]]}, "y_true holds infinity"),
        ({"y_score": [[1, np.nan]]}, "y_score holds NaN"),
        ({"y_score": [[1, 2, 3]]}, "y_score must have the shape of y_true"),
        ({"k": 0}, "k must be a whole number"),
        ({"gain": "log"}, "gain must be one of"),
        ({"sample_weight": [0.0]}, "sums to zero"),
        ({"y_true": [[1e4, 1]], "gain": "exponential"}, "too great for gain"),
        ({"y_true": [[1]], "y_score": [[1]]}, "single item"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ndcg_score(**({"y_true": [[1, 0]], "y_score": [[0.2, 0.1]]} | arguments))
