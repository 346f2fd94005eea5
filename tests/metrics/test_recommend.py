"""Lists of recommendations by hand and by their definitions; ranx stands beside them among the peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.metrics import average_precision_score

from breadth import metrics as ours

few = settings(max_examples=40, deadline=None)
RELEVANT = [{"a", "b", "c"}, {"x"}]
LISTS = [["a", "q", "b", "r"], ["p", "q", "x"]]


def test_scores_by_hand():
    assert ours.precision_at_k(RELEVANT, LISTS, k=2) == (1 / 2 + 0) / 2
    assert ours.precision_at_k(RELEVANT, LISTS, k=4) == (2 / 4 + 1 / 4) / 2  # the second list is short
    assert ours.recall_at_k(RELEVANT, LISTS, k=3) == pytest.approx((2 / 3 + 1) / 2)
    assert ours.hit_rate_at_k(RELEVANT, LISTS, k=2) == 0.5
    assert ours.mean_reciprocal_rank(RELEVANT, LISTS) == pytest.approx((1 + 1 / 3) / 2)
    assert ours.mean_reciprocal_rank(RELEVANT, LISTS, k=2) == 0.5
    assert ours.mean_average_precision(RELEVANT, LISTS) == pytest.approx(((1 + 2 / 3) / 3 + 1 / 3) / 2)
    found = ours.mean_average_precision(RELEVANT, LISTS, k=1, over="reachable")
    assert found == 0.5
    assert ours.mean_average_precision(RELEVANT, LISTS, k=1) == pytest.approx(1 / 6)


def test_users_who_want_nothing_are_skipped_or_scored_as_asked():
    relevant, lists = [*RELEVANT, set()], [*LISTS, ["a"]]
    with pytest.raises(ValueError, match="1 of 3 users want nothing, the first is user 2"):
        ours.recall_at_k(relevant, lists, k=3)
    skipped = ours.recall_at_k(relevant, lists, k=3, empty="skip")
    assert skipped == ours.recall_at_k(RELEVANT, LISTS, k=3)
    assert ours.recall_at_k(relevant, lists, k=3, empty=1) == pytest.approx((2 * skipped + 1) / 3)


def test_lists_of_scores_keep_the_order_of_columns_in_ties():
    score = np.array([[1.0, 3, 3, 2], [0, 0, 0, 0], [-np.inf, np.inf, 1, 1]])
    assert_array_equal(ours.top_k(score, 3), [[1, 2, 3], [0, 1, 2], [1, 2, 3]])
    seen = np.array([[0, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    assert_array_equal(ours.top_k(score, 2, exclude=seen), [[2, 3], [3, -1], [1, 2]])
    assert ours.precision_at_k([{2}, {3}, {0}], ours.top_k(score, 2, exclude=seen), k=2) == pytest.approx(1 / 3)


def test_without_ties_the_mean_average_precision_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, score = rng.random((20, 15)) < 0.3, rng.normal(size=(20, 15))
    y[:, 0] = True
    relevant = [np.flatnonzero(row) for row in y]
    expected = np.mean([average_precision_score(a, b) for a, b in zip(y, score, strict=True)])
    assert ours.mean_average_precision(relevant, ours.top_k(score, 15)) == pytest.approx(expected, rel=1e-12)


users = st.lists(
    st.tuples(st.sets(st.integers(0, 9), min_size=1), st.permutations(list(range(10)))), min_size=1, max_size=5
)


@few
@given(users, st.integers(1, 10))
def test_bounds_and_what_a_better_list_earns(rows, k):
    relevant, lists = (list(column) for column in zip(*rows, strict=True))
    best = [sorted(row, key=lambda item, want=want: item not in want) for want, row in rows]
    for score in (
        ours.precision_at_k,
        ours.recall_at_k,
        ours.hit_rate_at_k,
        ours.mean_average_precision,
        ours.mean_reciprocal_rank,
    ):
        assert 0 <= score(relevant, lists, k=k) <= score(relevant, best, k=k) <= 1 + 1e-12
    assert ours.hit_rate_at_k(relevant, lists, k=k) >= ours.precision_at_k(relevant, lists, k=k)
    assert ours.recall_at_k(relevant, lists, k=10) == 1
    assert ours.mean_average_precision(relevant, best, k=k, over="reachable") == pytest.approx(1)
    names = [[f"item {i}" for i in row] for row in lists]
    wanted = [{f"item {i}" for i in want} for want in relevant]
    assert ours.mean_average_precision(wanted, names, k=k) == ours.mean_average_precision(relevant, lists, k=k)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.precision_at_k([], []), "relevant is empty"),
        (lambda: ours.precision_at_k([{1}], []), "recommended has 0 lists"),
        (lambda: ours.precision_at_k([{1}], [[1]], k=0), "k must be a whole number"),
        (lambda: ours.precision_at_k([{1}], [[1, 1]]), "user 0: the list repeats an item"),
        (lambda: ours.precision_at_k(["ab"], [["a"]]), "not the text 'ab'"),
        (lambda: ours.precision_at_k([set()], [["a"]], empty="skip"), "no user wants anything"),
        (lambda: ours.precision_at_k([set()], [["a"]], empty="zero"), "empty must be"),
        (lambda: ours.mean_average_precision([{1}], [[1]], over="k"), "over must be one of"),
        (lambda: ours.top_k([[1.0, np.nan]], 1), "y_score holds NaN"),
        (lambda: ours.top_k([[1.0, 2.0]], 3), r"k must be a whole number in \[1, 2\]"),
        (lambda: ours.top_k([[1.0, 2.0]], 1, exclude=[[True]]), "exclude must have the shape"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("score", [ours.mean_reciprocal_rank, ours.mean_average_precision])
def test_no_ranks_are_refused_and_one_flat_list_is_too(score):
    with pytest.raises(ValueError, match="k must be a whole number >= 1, got 0"):
        score(RELEVANT, LISTS, k=0)
    with pytest.raises(ValueError, match="user 0: give a collection of items, not 3, 3"):
        score([3, 4], [3, 4])
