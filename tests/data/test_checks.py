"""What a careful reader is told: each finding on a table that has it, silence on one that has not."""

import numpy as np
import polars as pl
import pytest

from breadth.data import assemble, load, read_table

N = 200


def table(**columns):
    """A clean table of N rows with the given columns added or put in place."""
    rng = np.random.default_rng(0)
    clean = {"x": rng.standard_normal(N), "k": rng.integers(0, 50, N), "c": np.array(["u", "v", "w"])[np.arange(N) % 3]}
    clean["y"] = rng.integers(0, 2, N)
    return pl.DataFrame({**clean, **columns})


def warnings(target="y", task=None, **columns):
    return list(assemble(table(**columns), name="t", target=target, task=task).warnings)


def only(notes, pattern):
    assert len(notes) == 1 and pattern in notes[0], notes


def test_a_clean_table_raises_no_warning():
    assert warnings() == []
    assert warnings(task="regression", y=np.random.default_rng(1).standard_normal(N)) == []


def test_duplicate_rows_are_counted():
    frame = table()
    notes = assemble(pl.concat([frame, frame[:7], frame[:2]]), name="t", target="y").warnings
    only(notes, "9 of 209 rows repeat an earlier row")
    # the same features with another target are not a repeated row
    assert not assemble(pl.concat([frame, frame[:7].with_columns(y=1 - pl.col("y"))]), name="t", target="y").warnings


def test_constant_and_empty_columns_are_named():
    only(warnings(z=np.full(N, 3)), "Column 'z' is constant (3)")
    only(warnings(z=["a", None] * (N // 2)), "Column 'z' is constant ('a') apart from 100 missing")
    only(warnings(z=pl.Series([None] * N, dtype=pl.Float64)), "Column 'z' is missing in every row; pass drop=['z']")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("z", np.random.default_rng(2).permutation(N)),  # a row number, whatever its order
        ("z", [f"user{i}" for i in range(N)]),
        ("customer_id", np.random.default_rng(2).permutation(N) * 7),
        ("customerId", np.random.default_rng(2).permutation(N) * 7),
    ],
)
def test_identifier_like_columns_are_named(name, values):
    only(warnings(**{name: values}), f"Column {name!r} looks like an identifier")


@pytest.mark.parametrize("name", ["width", "period", "valid", "humidity"])
def test_distinct_amounts_are_no_identifiers(name):
    assert warnings(**{name: np.random.default_rng(2).permutation(N) * 7}) == []


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (lambda y: y, "equals"),
        (lambda y: y.astype(float), "equals"),
        (lambda y: 5 - 2 * y, "is a one-to-one function of"),
        (lambda y: np.where(y, "yes", "no"), "is a one-to-one function of"),
    ],
)
def test_a_feature_that_tells_the_class_is_named(values, how):
    only(warnings(z=values(table()["y"].to_numpy())), f"Column 'z' {how} the target")


def test_a_leak_is_found_among_missing_cells_and_a_near_leak_is_not_one():
    y = table()["y"].to_list()
    only(warnings(z=[None if i % 5 == 0 else v for i, v in enumerate(y)]), "Column 'z' equals the target")
    assert warnings(z=[1 - v if i == N - 1 else v for i, v in enumerate(y)]) == []


@pytest.mark.parametrize(
    ("function", "found"),
    [(np.copy, "equals"), (np.exp, "one-to-one"), (np.negative, "one-to-one"), (np.abs, ""), (np.sin, "")],
)
def test_a_feature_that_tells_the_number_is_named(function, found):
    y = 5 * np.random.default_rng(1).standard_normal(N)
    notes = warnings(task="regression", y=y, z=function(y))
    assert (found in notes[0]) if found else notes == []


def test_ten_distinct_numbers_in_random_order_are_no_leak():
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"x": rng.standard_normal(9), "y": np.arange(9.0)})
    assert assemble(frame.sort("x"), name="t", target="y", task="regression").warnings == ()


def test_rows_in_time_order_are_announced(tmp_path):
    days = [f"2024-01-{1 + i // 8:02d}" for i in range(N)]
    for values, expected in ((days, True), (days[::-1], True), (days[1::2] + days[::2], False)):
        table(day=values).write_csv(tmp_path / "t.csv")
        notes = read_table(tmp_path / "t.csv", target="y").warnings
        assert any("Rows are in order of 'day'" in note for note in notes) is expected
    only(warnings(year=1900 + np.arange(N) // 2), "Rows are in order of 'year'")
    assert warnings(size=1900 + np.arange(N) // 2) == []


def test_classes_that_cannot_be_split_and_trailing_dots_are_announced():
    y = ["<=50K", ">50K"] * (N // 2)
    notes = warnings(y=[*y[:-1], ">50K."])
    assert any("'>50K.' occur in one row only" in note for note in notes)
    assert any("'>50K.' differ from others by a trailing dot only and were kept apart" in note for note in notes)
    only(warnings(y=[label + "." for label in y]), "Every class of the target ends in a dot")


def test_embedded_sets_are_checked_as_well():
    assert any("constant" in note for note in load("digits").warnings)
