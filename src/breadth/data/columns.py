"""From raw columns to typed ones: numbers, categories and dates, with missing values kept as missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from breadth.data.dataset import DataError
from breadth.data.delimited import RawTable

MISSING = ("?", "NA", "N/A", "NaN", "nan", "null", "NULL", "")
MOSTLY_NUMERIC = 0.95  # share of numbers from which a column's few texts are reported as likely slips
SHOWN = 3  # lines and values that a message quotes

_DATE = (
    r"^(\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
    r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
)
_DAY_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y")
_TIME_FORMATS = ("", "T%H:%M:%S%.f", " %H:%M:%S%.f", " %H:%M", "T%H:%M", "T%H:%M:%S%.f%#z", " %H:%M:%S%.f%#z")


@dataclass(frozen=True, slots=True)
class TypedTable:
    """Columns ready for a `Dataset`, the target among them."""

    frame: pl.DataFrame
    dates: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rules:
    missing: tuple[str, ...]
    decimal: Literal[".", ","]
    numeric: Collection[str]
    categorical: Collection[str]

    @property
    def numeric_markers(self) -> bool:
        """Whether a marker is itself a number, as -999 is."""
        markers = pl.Series(self.missing, dtype=pl.String).cast(pl.Float64, strict=False)
        return bool(markers.is_finite().any() or markers.is_infinite().any())


def infer_types(
    raw: RawTable,
    *,
    missing: Sequence[str] = MISSING,
    decimal: Literal[".", ","] = ".",
    numeric: Collection[str] = (),
    categorical: Collection[str] = (),
) -> TypedTable:
    """Give every column one of four types.

    In this order: all cells missing -> "empty" (Float64); every present cell a number -> Int64 if all are whole, else
    Float64; every present cell a date -> Float64 days since 1970-01-01; anything else -> Enum of the sorted texts.
    Numbers with leading zeros ("007") or in single quotes ('-1') are labels.

    Args:
        raw: columns as the file holds them.
        missing: cells that mean "not known", after blanks around them are taken off.
        decimal: the decimal mark of numbers.
        numeric: columns that must be numbers.
        categorical: columns that are categories although they look like numbers.

    Raises:
        DataError: if a numeric column holds text or an infinity, or a column holds lists, structures or bytes.

    Cost: a few passes over the text; 20 million cells take seconds.
    """
    rules = _Rules(tuple(marker.strip() for marker in missing), decimal, numeric, categorical)
    columns, dates, warnings = [], [], list(raw.warnings)
    for column in raw.frame.iter_columns():
        typed, is_date, notes = _infer(column, raw, rules)
        columns.append(typed)
        warnings += notes
        if is_date:
            dates.append(column.name)
    return TypedTable(pl.DataFrame(columns), tuple(dates), tuple(warnings))


def as_enum(column: pl.Series) -> pl.Series:
    """Categories in sorted order, as numbers where all are numbers ("9" before "10"); missing stays null."""
    labels = column.drop_nulls().unique()
    order = pl.DataFrame({"label": labels}).select("label", value=pl.col("label").cast(pl.Float64, strict=False))
    order = order.sort("label") if order["value"].has_nulls() else order.sort("value", "label")
    return column.cast(pl.Enum(order["label"]))


def _infer(column: pl.Series, raw: RawTable, rules: _Rules) -> tuple[pl.Series, bool, list[str]]:
    dtype, name = column.dtype, column.name
    if dtype == pl.Boolean:
        truth = (
            column.cast(pl.Int8) if name in rules.numeric else column.cast(pl.String).cast(pl.Enum(["false", "true"]))
        )
        return truth, False, []
    if name in rules.categorical and (dtype.is_numeric() or dtype.is_temporal()):
        return as_enum(column.cast(pl.String)), False, []
    if dtype in (pl.Date, pl.Datetime):
        return _days(column), True, []
    if dtype in (pl.Duration, pl.Time):
        return column.cast(pl.Duration).dt.total_nanoseconds().cast(pl.Float64) / 1e9, False, []
    if dtype == pl.Null:
        return column.cast(pl.Float64), False, []
    if isinstance(dtype, pl.Enum) and name not in rules.numeric:
        return column, False, []
    if dtype.is_numeric():
        return _infer_number(column, raw), False, []
    if dtype == pl.Categorical or isinstance(dtype, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        raise DataError(
            f"{raw.source}: column {name!r} holds {dtype}; unnest it into plain columns, or pass drop=[{name!r}]"
        )
    return _infer_text(column, raw, rules)


def _infer_number(column: pl.Series, raw: RawTable) -> pl.Series:
    if not column.dtype.is_integer() and column.dtype not in (pl.Float32, pl.Float64):
        column = column.cast(pl.Float64)  # decimals and half floats
    if column.dtype.is_float():
        column = column.fill_nan(None)
        _refuse_infinity(column, column, raw)
    return column


def _infer_text(column: pl.Series, raw: RawTable, rules: _Rules) -> tuple[pl.Series, bool, list[str]]:
    name = column.name
    if raw.is_text and name not in rules.categorical and rules.decimal == "." and not rules.numeric_markers:
        # most columns are clean numbers: one cast proves it, and spares them the search for blanks and markers
        real = column.cast(pl.Float64, strict=False)
        if real.null_count() == column.null_count() < column.len() and not real.is_infinite().any():
            number, notes = _as_whole(column, real, rules)
            return (as_enum(column), False, notes) if number is None else (number, False, notes)
    column = column.str.strip_chars()
    column = pl.select(pl.when(column.is_in(rules.missing).not_()).then(column)).to_series().alias(name)
    present = column.drop_nulls()
    if present.is_empty():
        return column.cast(pl.Float64), False, []
    quoted = present.str.contains(r"^'.*'$").all()
    if quoted:
        column = column.str.slice(1, column.str.len_chars() - 2)
        column = pl.select(pl.when(column.is_in(rules.missing).not_()).then(column)).to_series().alias(name)
    if name in rules.categorical:
        return as_enum(column), False, []
    notes: list[str] = []
    if name in rules.numeric or (raw.is_text and not quoted):
        number, notes = _as_number(column, raw, rules)
        if number is not None:
            return number, False, notes
    if notes:
        return as_enum(column), False, notes
    days, notes = _as_date(column)
    return (as_enum(column), False, []) if days is None else (days, True, notes)


def _as_number(column: pl.Series, raw: RawTable, rules: _Rules) -> tuple[pl.Series | None, list[str]]:
    """The column as numbers, or None with what to say about its texts."""
    name = column.name
    text = column.str.replace(",", ".", literal=True) if rules.decimal == "," else column
    real = text.cast(pl.Float64, strict=False)
    failed = real.is_null() & column.is_not_null()
    n_failed, n_present = int(failed.sum()), column.len() - column.null_count()
    if n_failed:
        forced = name in rules.numeric
        is_header = not raw.has_names and n_failed == 1 and bool(failed[0])
        if not (forced or is_header) and n_failed > (1 - MOSTLY_NUMERIC) * n_present:
            if rules.decimal == "." and column.str.contains(r"^[+-]?\d+,\d+$").all():
                return None, [
                    f"Column {name!r} holds numbers with a decimal comma, read as categories; pass decimal=','."
                ]
            return None, []
        rows = failed.arg_true()[:SHOWN]
        shown = ", ".join(
            f"{value!r} on {where}" for where, value in zip(raw.locate(rows.to_list()), column[rows], strict=True)
        )
        shown += f" and {n_failed - SHOWN} more" if n_failed > SHOWN else ""
        if forced:
            raise DataError(
                f"{raw.source}: column {name!r} must be numeric but holds text: {shown}; "
                "mend the cells, add the text to missing=, or take the column out of numeric="
            )
        if is_header:
            return None, [
                f"Column {name!r} is numeric but for its first cell ({shown}); pass header=True if that names it."
            ]
        return None, [
            f"Column {name!r} holds {n_present - n_failed} numbers and {n_failed} other values ({shown}), so it was "
            f"read as categories; add them to missing=, or pass numeric=[{name!r}] to have this raise."
        ]
    _refuse_infinity(real, column, raw)
    return _as_whole(text, real, rules)


def _as_whole(text: pl.Series, real: pl.Series, rules: _Rules) -> tuple[pl.Series | None, list[str]]:
    """Integers where every number is written as one; None if leading zeros say that they are labels."""
    name = real.name
    if not (real == real.floor()).all():
        return real.fill_nan(None), []
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() != text.null_count():
        return real.fill_nan(None), []
    if name not in rules.numeric and text.str.contains(r"^[+-]?0\d").any():
        return None, [
            f"Column {name!r} has leading zeros, so it was read as categories; pass numeric=[{name!r}] for numbers."
        ]
    return whole, []


def _refuse_infinity(real: pl.Series, shown: pl.Series, raw: RawTable) -> None:
    rows = real.is_infinite().fill_null(False).arg_true()
    if rows.is_empty():
        return
    first = int(rows[0])
    raise DataError(
        f"{raw.source}: {raw.locate([first])[0]}: column {real.name!r} is infinite ({shown[first]}), {len(rows)} "
        f"such cells in all; put a number there, or pass missing=[..., {str(shown[first])!r}]"
    )


def _as_date(column: pl.Series) -> tuple[pl.Series | None, list[str]]:
    present = column.drop_nulls()
    if not present.head(100).str.contains(_DATE).all() or not present.str.contains(_DATE).all():
        return None, []
    fits = []
    for day in _DAY_FORMATS:
        for time in _TIME_FORMATS:
            if present.head(1).str.to_datetime(day + time, strict=False).has_nulls():
                continue
            moments = column.str.to_datetime(day + time, strict=False, time_unit="us")
            if moments.null_count() == column.null_count():
                fits.append((day, moments))
                break
    if not fits:
        return None, []
    notes = []
    if len(fits) > 1:
        notes = [
            f"The dates of column {column.name!r} can be read as {fits[0][0]} or {fits[1][0]}; read as {fits[0][0]}."
        ]
    return _days(fits[0][1]), notes


def _days(moments: pl.Series) -> pl.Series:
    return moments.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64) / 86_400e6
