"""What to know about a table before a score on it is trusted, each finding one sentence."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

HEAD = 1000  # rows that a column must match the target on before all rows are compared
FEWEST = 10  # rows below which an order or a uniqueness is no evidence

_IDENTIFIER = re.compile(r"(?i:(^|[_\s-])(id|uuid|guid|key|index|row|rowid|unnamed)($|[_\s-]))|[a-z](Id|ID)$")
_TIME = re.compile(r"(^|[_\s-])(time|timestamp|datetime|date|year|month)($|[_\s-])", re.IGNORECASE)


def check_features(X: pl.DataFrame, *, dates: tuple[str, ...] = ()) -> list[str]:
    """Warn of empty, constant and identifier-like columns and of rows in time order.

    Args:
        X: features as in `Dataset.X`.
        dates: the columns that were dates.

    Cost: one hash of every column.
    """
    notes = []
    for column in X.iter_columns():
        name, n_missing = column.name, column.null_count()
        present = column.drop_nulls()
        n = present.len()
        if n == 0:
            notes.append(f"Column {name!r} is missing in every row; pass drop=[{name!r}] to leave it out.")
            continue
        distinct = present.n_unique()
        if distinct == 1:
            apart = f" apart from {n_missing} missing" if n_missing else ""
            notes.append(f"Column {name!r} is constant ({present[0]!r}){apart}.")
        elif _is_identifier(present, distinct, is_date=name in dates):
            notes.append(
                f"Column {name!r} looks like an identifier ({distinct} distinct values in {n} rows); "
                f"a model can only memorise it; pass drop=[{name!r}] to leave it out."
            )
        if _is_in_time_order(present, distinct, is_date=name in dates):
            notes.append(
                f"Rows are in order of {name!r}: random splits would learn from the future; test on the last rows "
                "instead."
            )
    return notes


def check_rows(X: pl.DataFrame, y: np.ndarray) -> list[str]:
    """Warn of rows that occur more than once, target included."""
    rows = X.with_columns(pl.Series("", y)) if len(y) else X
    if rows.hash_rows().n_unique() == rows.height:  # 20 times faster; equal hashes only may be equal rows
        return []
    repeats = rows.height - rows.n_unique()
    if not repeats:
        return []
    return [f"{repeats} of {rows.height} rows repeat an earlier row: random splits may put copies on both sides."]


def check_leaks(X: pl.DataFrame, target: pl.Series, *, is_regression: bool) -> list[str]:
    """Warn of a feature that equals the target or is a one-to-one function of it.

    For classes, any renaming counts; for numbers, a strictly increasing or decreasing function.
    """
    notes = []
    head = target.head(HEAD)
    for column in X.iter_columns():
        if not _tells(column.head(HEAD), head, is_regression) or not _tells(column, target, is_regression):
            continue
        known = column.is_not_null()
        same = bool((column.filter(known).cast(pl.String) == target.filter(known).cast(pl.String)).all())
        if not same and column.dtype.is_numeric() and target.dtype.is_numeric():
            same = bool((column == target).all())
        how = "equals the target" if same else "is a one-to-one function of the target"
        notes.append(
            f"Column {column.name!r} {how}: scores will look perfect; pass drop=[{column.name!r}] to leave it out."
        )
    return notes


def _is_identifier(present: pl.Series, distinct: int, *, is_date: bool) -> bool:
    n = present.len()
    if is_date or n < FEWEST or distinct < 0.95 * n:
        return False
    if not present.dtype.is_numeric() or _IDENTIFIER.search(present.name):
        return True
    # 0, 1, 2, ... in any order: a row number
    return present.dtype.is_integer() and distinct == n and present.max() - present.min() == n - 1  # pyrefly: ignore


def _is_in_time_order(present: pl.Series, distinct: int, *, is_date: bool) -> bool:
    if distinct < 3 or present.len() < FEWEST or not (is_date or _TIME.search(present.name)):
        return False
    return present.dtype.is_numeric() and (present.is_sorted() or present.is_sorted(descending=True))


def _tells(column: pl.Series, target: pl.Series, is_regression: bool) -> bool:
    """Whether the present values of `column` and of `target` name each other; at least half must be present."""
    known = column.is_not_null()
    column, target = column.filter(known), target.filter(known)
    distinct = column.n_unique()
    if distinct < 2 or column.len() < 0.5 * known.len() or target.n_unique() != distinct:
        return False
    if not is_regression:
        return pl.DataFrame([column.alias("x"), target.alias("y")]).n_unique() == distinct
    if not column.dtype.is_numeric() or (column.len() < FEWEST and not bool((column == target).all())):
        return False
    x, y = column.to_numpy(), target.to_numpy()
    ranks_x, ranks_y = np.unique(x, return_inverse=True)[1], np.unique(y, return_inverse=True)[1]
    return bool(np.array_equal(ranks_x, ranks_y) or np.array_equal(ranks_x, ranks_y.max() - ranks_y))
