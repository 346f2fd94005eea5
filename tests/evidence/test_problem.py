import numpy as np
import pytest

from breadth.data import load
from breadth.evidence.problem import from_arrays, from_dataset


def test_a_matrix_keeps_the_narrowest_float_that_loses_no_digit():
    y = [0, 1]
    assert from_arrays("a", [[1.5], [np.nan]], y, task="binary").X.dtype == np.float32
    assert from_arrays("a", [[0.1], [np.nan]], y, task="binary").X.dtype == np.float64
    assert from_arrays("a", [[2**24 + 1], [0]], y, task="binary").X.dtype == np.float64
    assert from_arrays("a", [[1e300], [0]], y, task="binary").X.dtype == np.float64


def test_a_problem_knows_what_its_columns_hold():
    prepared = from_arrays(
        "t", [[0, 1.5], [2, np.nan], [1, 0.5]], [0, 1, 1], task="binary", categorical=[0], note="made up"
    )
    assert prepared.problem.categorical == (0,)
    assert prepared.problem.cardinality == (3,)
    assert prepared.problem.missing
    assert prepared.table.note == "made up; 1 categorical column; 16.7% of values missing; rarest class 33.3%"


def test_the_digest_changes_with_the_data_and_with_what_is_categorical_but_not_with_the_name():
    X, y = [[0.0], [1.0], [2.0]], [0, 1, 1]
    one = from_arrays("a", X, y, task="binary").digest
    assert from_arrays("b", X, y, task="binary").digest == one
    others = {
        from_arrays("a", [[0.0], [1.0], [2.5]], y, task="binary").digest,
        from_arrays("a", X, [1, 0, 1], task="binary").digest,
        from_arrays("a", X, y, task="binary", categorical=[0]).digest,
        from_arrays("a", X, y, task="regression").digest,
    }
    assert one not in others
    assert len(others) == 4


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[1.0], [2.0]], [0, 0], "single class"),
        ([[1.0], [np.inf]], [0, 1], "infinities"),
        ([[1.0]], [0, 1], "got"),
        (np.empty((0, 2)), [], "got"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_by_name(X, y, message):
    with pytest.raises(ValueError, match=f"data set 'bad'.*{message}"):
        from_arrays("bad", X, y, task="binary")


def test_a_regression_table_knows_the_spread_of_its_target():
    assert from_dataset(load("diabetes")).table.spread == pytest.approx(77.0, abs=0.1)
    assert from_arrays("flat", [[1.0], [2.0]], [3.0, 3.0], task="regression").table.spread == 1.0
