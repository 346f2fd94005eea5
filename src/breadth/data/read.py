"""`read_table`: a file of the user's, checked and ready to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from breadth.data.checks import check_features, check_leaks, check_rows
from breadth.data.columns import MISSING, as_enum, infer_types
from breadth.data.dataset import DataError, Dataset, Task
from breadth.data.files import read_raw
from breadth.data.target import encode_target, find_column


def read_table(
    path: str | Path,
    *,
    header: bool = True,
    target: str | int | None = None,
    task: Task | None = None,
    drop: Sequence[str | int] = (),
    missing: Sequence[str] = MISSING,
    numeric: Sequence[str | int] = (),
    categorical: Sequence[str | int] = (),
    drop_missing_target: bool = False,
    delimiter: str | None = None,
    quote: str = '"',
    decimal: Literal[".", ","] = ".",
    encoding: str = "utf-8",
) -> Dataset:
    """Read a CSV, TSV, Parquet or JSON Lines file, plain, `.gz` or `.zst`, and say what is doubtful about it.

    Types are inferred from all rows (`Dataset.describe` shows them): whole numbers, reals, dates, and categories for
    the rest. Nothing is imputed, dropped or merged.

    Args:
        path: the file; its format is told by suffix, then by content.
        header: whether the first line of a delimited file names the columns; without it they are c0, c1, ...
        target: column to predict, by name or 0-based position (negative counts from the end; a column named "3" goes
            before position 3). None reads every column as a feature.
        task: "binary", "multiclass" or "regression". None infers it: texts, two values, and up to 20 whole numbers that
            recur are classes; other numbers are a regression. With two classes it is always "binary".
        drop: columns to leave out, by name or position.
        missing: cells that mean "not known", in text columns of every format; an empty cell always does.
        numeric: columns that must be numbers; text in them is an error.
        categorical: columns that are categories although they look like numbers.
        drop_missing_target: leave out rows without a target, and say how many, instead of raising.
        delimiter: one character; None finds it among comma, tab, semicolon and pipe. Blanks around cells are taken off.
        quote: character around cells that hold the delimiter. Cells of a column that are all in single quotes are
            labels.
        decimal: decimal mark of a delimited file's numbers.
        encoding: of a text file.

    Returns:
        The `Dataset`; for two classes, class 1 is the label that sorts last.

    Raises:
        DataError: naming file, line and mend, if the file is absent, empty, damaged, ragged, of another encoding, or
            has one row; a column name occurs twice; a numeric column holds text or an infinity; the target is absent,
            partly missing, has one value, or as many classes as rows.

    Cost: the decompressed file and its cells as text are held in memory at once, about five times the file; 1 million
    rows of 20 columns read in a few seconds.

    In production: use it for files up to a few GB; for larger ones, sample with polars' lazy readers first.
    """
    if isinstance(missing, str):
        raise DataError(f"missing={missing!r} is one string; pass a list, missing=[{missing!r}]")
    raw = read_raw(path, header=header, delimiter=delimiter, quote=quote, encoding=encoding)
    columns = raw.frame.columns

    def named(given: Sequence[str | int], argument: str) -> list[str]:
        if isinstance(given, str):
            raise DataError(f"{argument}={given!r} is one string; pass a list, {argument}=[{given!r}]")
        return [find_column(columns, column, argument=argument, source=raw.source) for column in given]

    target_name = "" if target is None else find_column(columns, target, argument="target", source=raw.source)
    dropped, forced, labels = named(drop, "drop"), named(numeric, "numeric"), named(categorical, "categorical")
    if target_name and target_name in dropped:
        raise DataError(f"{raw.source}: drop= names the target {target_name!r}; take it out of one of the two")
    if both := set(forced) & set(labels):
        raise DataError(
            f"{raw.source}: numeric= and categorical= both name {sorted(both)}; take them out of one of the two"
        )
    raw = replace(raw, frame=raw.frame.drop(dropped))
    if not [name for name in raw.frame.columns if name != target_name]:
        raise DataError(f"{raw.source}: no feature is left beside the target; the columns are {columns}")
    typed = infer_types(raw, missing=missing, decimal=decimal, numeric=forced, categorical=labels)

    frame, notes = typed.frame, list(typed.warnings)
    if target_name and (n_missing := frame[target_name].null_count()):
        if n_missing == frame.height:
            raise DataError(f"{raw.source}: the target {target_name!r} is missing in every row; name another target")
        if not drop_missing_target:
            first = raw.locate([int(frame[target_name].is_null().arg_true()[0])])[0]
            raise DataError(
                f"{raw.source}: the target {target_name!r} is missing in {n_missing} of {frame.height} rows, "
                f"first on {first}; fill them in, or pass drop_missing_target=True to leave these rows out"
            )
        notes.append(f"{n_missing} of {frame.height} rows had no target and were left out, as asked.")
        frame = frame.filter(pl.col(target_name).is_not_null())
    return assemble(
        frame,
        name=Path(path).name.partition(".")[0],
        target=target_name,
        task=task,
        dates=typed.dates,
        warnings=notes,
        note=f"read from {Path(path).name}",
        source=raw.source,
    )


def assemble(
    frame: pl.DataFrame,
    *,
    name: str,
    target: str,
    task: Task | None = None,
    dates: tuple[str, ...] = (),
    warnings: Sequence[str] = (),
    note: str = "",
    source: str = "",
) -> Dataset:
    """A `Dataset` from typed columns: encode the target and run every check.

    Args:
        frame: typed columns, the target among them; texts become categories.
        name: the data set's name.
        target: the target's column; "" for none.
        task: None infers it.
        dates: the columns that were dates.
        warnings: what is known already.
        note: provenance.
        source: what messages call the table; the name if empty.

    Raises:
        DataError: as `encode_target`; or if there is one row only.
    """
    source = source or name
    if frame.height < 2:
        raise DataError(f"{source}: the table has {frame.height} row; at least two are needed to learn anything")
    frame = frame.with_columns(as_enum(frame[name]) for name, dtype in frame.schema.items() if dtype == pl.String)
    notes = list(warnings)
    if not target:
        notes += check_features(frame, dates=dates) + check_rows(frame, np.empty(0))
        return Dataset(name, frame, np.empty(0), "unlabelled", dates=dates, warnings=tuple(notes), note=note)
    column, X = frame[target], frame.drop(target)
    found = encode_target(column, task=task, is_date=target in dates, source=source)
    notes += found.warnings
    notes += check_leaks(X, column, is_regression=found.task == "regression")
    notes += check_features(X, dates=dates) + check_rows(X, found.y)
    return Dataset(
        name,
        X,
        found.y,
        found.task,
        target_name=target,
        classes=found.classes,
        dates=tuple(date for date in dates if date != target),
        warnings=tuple(notes),
        note=note,
    )
