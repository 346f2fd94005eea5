"""The target: which column it is, what kind of question it asks, and its values as numbers."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breadth.data.dataset import DataError, Task

FEW = 20  # up to this many distinct whole numbers are read as classes


@dataclass(frozen=True, slots=True)
class Target:
    """What `encode_target` found."""

    y: NDArray
    task: Task
    classes: tuple[str | int | float, ...]
    warnings: tuple[str, ...]


def find_column(columns: Sequence[str], column: str | int, *, argument: str, source: str) -> str:
    """The name of a column given by name or by 0-based position; negative positions count from the end.

    Raises:
        DataError: if there is no such column; near names are offered.
    """
    if isinstance(column, str) and column in columns:
        return column
    if isinstance(column, str) and not column.strip().lstrip("-").isdecimal():
        near = difflib.get_close_matches(column, columns, n=3) or [c for c in columns if c.lower() == column.lower()]
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the columns are {_listed(columns)}"
        raise DataError(f"{source}: {argument}={column!r} is not a column; {hint}")
    index = int(column)
    if not -len(columns) <= index < len(columns):
        raise DataError(
            f"{source}: {argument}={index} is out of range; {len(columns)} columns are counted from 0 to "
            f"{len(columns) - 1}"
        )
    return columns[index]


def infer_task(column: pl.Series) -> Task:
    """Which question a target asks: texts are classes; so are two values, and up to 20 whole numbers that recur.

    Args:
        column: the target, nothing missing.
    """
    distinct = column.n_unique()
    if not column.dtype.is_numeric():
        return "binary" if distinct <= 2 else "multiclass"
    whole = column.dtype.is_integer() or bool((column == column.round()).all())
    if distinct <= 2:
        return "binary"
    return "multiclass" if whole and distinct <= min(FEW, column.len() // 2) else "regression"


def encode_target(column: pl.Series, *, task: Task | None, is_date: bool, source: str) -> Target:
    """Class codes 0..K-1 in the order of the labels (for two classes, 1 is the larger label), or float64 values.

    Args:
        column: the target, typed, nothing missing.
        task: what the user wants; None infers it.
        is_date: whether the column was a date.
        source: the file, for messages.

    Raises:
        DataError: if there is one value only, as many classes as rows, more than two classes for task="binary", or
            text for task="regression".
    """
    name, n = column.name, column.len()
    if task not in (None, "binary", "multiclass", "regression"):
        raise DataError(f"task={task!r} is not known; pass 'binary', 'multiclass' or 'regression'")
    if is_date:
        raise DataError(f"{source}: the target {name!r} is a date; make it a number or a label first")
    if n < 2:
        raise DataError(f"{source}: {n} row with a target; at least two are needed to learn anything")
    values = column.unique().sort()
    if len(values) == 1:
        raise DataError(
            f"{source}: the target {name!r} is {values[0]!r} in all {n} rows; a target needs two values or more"
        )
    inferred = task or infer_task(column)
    if inferred == "regression":
        if not column.dtype.is_numeric():
            raise DataError(
                f"{source}: task='regression' needs a numeric target, but {name!r} holds texts such as {values[0]!r}"
            )
        return Target(column.cast(pl.Float64).to_numpy(), "regression", (), ())

    counts = column.value_counts().sort(name)["count"]
    if len(values) == n:
        raise DataError(
            f"{source}: the target {name!r} has as many classes as rows ({n}), so no class can be learned; "
            "name another target" + (", or pass task='regression'" if column.dtype.is_numeric() else "")
        )
    if task == "binary" and len(values) > 2:
        raise DataError(
            f"{source}: task='binary' but the target {name!r} has {len(values)} classes: {_listed(values.to_list())}"
        )
    labels = column.dtype.is_numeric() and bool((values == values.round()).all())
    classes = tuple(values.cast(pl.Int64) if labels else values.to_list())
    y = np.searchsorted(values.to_physical().to_numpy(), column.to_physical().to_numpy()).astype(np.int64)
    return Target(
        y,
        "binary" if len(values) == 2 else "multiclass",
        classes,
        tuple(_target_warnings(name, classes, counts.to_numpy(), task)),
    )


def _target_warnings(
    name: str, classes: tuple[str | int | float, ...], counts: NDArray, task: Task | None
) -> list[str]:
    notes = []
    if task is None and len(classes) > 2 and not isinstance(classes[0], str):
        notes.append(
            f"The target {name!r} was read as {len(classes)} classes; pass task='regression' if its numbers are "
            "amounts."
        )
    if (rare := [c for c, k in zip(classes, counts, strict=True) if k == 1]) and len(classes) > 1:
        notes.append(
            f"Of the target's classes, {_listed(rare)} occur in one row only: no split can both learn and test them."
        )
    texts = [c for c in classes if isinstance(c, str)]
    dotted = [c for c in texts if c.endswith(".")]
    if pairs := [c for c in dotted if c[:-1] in texts]:
        notes.append(
            f"The classes {_listed(pairs)} differ from others by a trailing dot only and were kept apart; mend the "
            "file if they are one."
        )
    elif dotted and len(dotted) == len(texts):
        notes.append(f"Every class of the target ends in a dot ({_listed(dotted)}); the dots were kept.")
    return notes


def _listed(items: Sequence[object]) -> str:
    return ", ".join(map(repr, items[:8])) + (f" and {len(items) - 8} more" if len(items) > 8 else "")
