"""What a data set promises to those who learn from it."""

import numpy as np
import polars as pl
import pytest

from breadth.data import DataError, Dataset, load, make_categorical, make_missing


def small(**changes):
    columns = {
        "a": pl.Series([1, None, 3], dtype=pl.Int32),
        "b": pl.Series(["v", "u", None], dtype=pl.Enum(["u", "v"])),
        "c": pl.Series([0.5, 0.25, None], dtype=pl.Float32),
    }
    fields = {"name": "small", "y": np.array([0, 1, 1]), "task": "binary", "classes": ("no", "yes"), "target_name": "y"}
    return Dataset(**{"X": pl.DataFrame(columns), **fields, **changes})


def test_matrix_holds_codes_and_nan_and_keeps_every_digit():
    data = small()
    np.testing.assert_array_equal(data.to_numpy(), [[1, 1, 0.5], [np.nan, 0, 0.25], [3, np.nan, np.nan]])
    assert data.to_numpy().dtype == np.float64  # Int32 does not fit float32
    assert data.to_numpy().flags.c_contiguous
    big = small(X=pl.DataFrame({"a": [2**53 - 1, 0, 1]}))
    assert big.to_numpy()[0, 0] == 2**53 - 1
    assert small(X=small().X[["c", "b"]]).to_numpy().dtype == np.float32


def test_mask_names_and_length_describe_the_features():
    data = small()
    assert data.categorical_mask.tolist() == [False, True, False]
    assert (data.categorical, data.feature_names, len(data)) == (("b",), ("a", "b", "c"), 3)


def test_rows_are_taken_with_their_targets_and_codes():
    data = small()
    part = data.take([2, 0])
    np.testing.assert_array_equal(part.to_numpy(), data.to_numpy()[[2, 0]])
    assert part.y.tolist() == [1, 0] and part.classes == data.classes
    assert part.X["b"].dtype == data.X["b"].dtype
    unlabelled = small(y=np.empty(0), task="unlabelled", classes=(), target_name="")
    assert unlabelled.take(np.array([1])).X["a"].to_list() == [None]


@pytest.mark.parametrize(
    "changes",
    [
        {"y": np.array([0, 1, 0])},
        {"classes": ("yes", "no")},
        {"X": small().X.rename({"a": "z"})},
        {"X": small().X.with_columns(pl.col("a").fill_null(0))},
        {"X": small().X.with_columns(pl.col("b").cast(pl.String).cast(pl.Enum(["v", "u"])))},
        {"X": small().X.with_columns(pl.col("c").cast(pl.Float64))},
        {"X": small().X.with_columns(c=pl.Series([0.5, 0.250001, None], dtype=pl.Float32))},
    ],
)
def test_fingerprint_changes_with_anything_that_a_model_could_see(changes):
    assert small().fingerprint() == small(name="other", note="elsewhere").fingerprint()
    assert small(**changes).fingerprint() != small().fingerprint()


def test_fingerprint_is_of_the_values_and_not_of_their_layout():
    data = make_missing(make_categorical(1000), 0.3)
    chunked = pl.concat([data.X[:400], data.X[400:]], rechunk=False)
    copy = Dataset(data.name, chunked, data.y.copy(), data.task, data.target_name, data.classes)
    assert copy.fingerprint() == data.fingerprint()


def test_description_names_the_target_last():
    assert [tuple(row) for row in small().describe()] == [
        ("a", "integer", 1, 2, "1"),
        ("b", "category", 1, 2, "v"),
        ("c", "real", 1, 2, "0.5"),
        ("y", "target: 2 classes", 0, 2, "no"),
    ]
    assert load("diabetes").describe()[-1].type == "target: regression"


def test_columns_of_other_types_are_refused():
    with pytest.raises(DataError, match=r"column 'b' is Categorical; make it numeric or polars\.Enum"):
        small(X=small().X.with_columns(pl.col("b").cast(pl.String).cast(pl.Categorical)))
