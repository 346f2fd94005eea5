"""What every reader and generator returns: a table of features, a target, and what is known about both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Task = Literal["binary", "multiclass", "regression"]


class DataError(ValueError):
    """A table that cannot be learned from as it is; the message names the file, the line and the mend."""


class ColumnSummary(NamedTuple):
    """One line of `Dataset.describe`."""

    column: str
    type: str  # "integer", "real", "category", "date", "empty", or "target: ..."
    missing: int
    distinct: int  # values that occur, missing not counted
    example: str  # first value that is present


@dataclass(frozen=True, slots=True)
class Truth:
    """What a generator knows about the rows it drew, so that a method's answer can be checked.

    The functions take the matrix of `Dataset.to_numpy`, shape (n, features); the numbers are averages over the rows
    drawn.
    """

    true_probability: Callable[[NDArray], NDArray] | None = None  # P(class | x), shape (n, classes)
    regression_function: Callable[[NDArray], NDArray] | None = None  # E[y | x], shape (n,)
    noise_variance: float | None = None  # Var(y | x): no regressor's mean squared error is lower
    bayes_error: float | None = None  # no classifier's error rate is lower
    bayes_log_loss: float | None = None  # in nats; no classifier's log loss is lower


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A table ready for supervised learning, with missing values kept as missing.

    Args:
        name: file stem or the name given to `load`.
        X: features. Numeric columns are Int or Float, dates are days since 1970-01-01 (Float64), and categorical
            columns are `polars.Enum` with the categories in sorted order. Missing is null everywhere; NaN does not
            occur.
        y: class codes 0..K-1 (int64), or float64 for regression; shape (n,), or (0,) when no target was chosen.
        task: "binary", "multiclass", "regression"; "unlabelled" when no target was chosen.
        target_name: the target's column; empty when no target was chosen.
        classes: labels by class code; empty for regression.
        dates: the columns of X that were dates.
        warnings: what a careful reader would want to know before trusting a score on this table, in sentences.
        note: where the data comes from.
        truth: what the generator knows; None for real data.

    Raises:
        DataError: if X and y differ in length, a class code has no label, or a column is neither numeric nor Enum.
    """

    name: str
    X: pl.DataFrame
    y: NDArray
    task: Task | Literal["unlabelled"]
    target_name: str = ""
    classes: tuple[str | int | float, ...] = ()
    dates: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    note: str = ""
    truth: Truth | None = None

    def __post_init__(self) -> None:
        for name, dtype in self.X.schema.items():
            if not dtype.is_numeric() and not isinstance(dtype, pl.Enum):
                raise DataError(f"data set {self.name!r}: column {name!r} is {dtype}; make it numeric or polars.Enum")
        expected = 0 if self.task == "unlabelled" else self.X.height
        if len(self.y) != expected:
            raise DataError(
                f"data set {self.name!r}: X has {self.X.height} rows and y has {len(self.y)}; give one y per row"
            )
        if self.task in ("binary", "multiclass") and len(self.y) and int(self.y.max()) >= len(self.classes):
            raise DataError(
                f"data set {self.name!r}: y holds class {int(self.y.max())} but there are {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return self.X.height

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.X.columns)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical features."""
        return tuple(name for name, dtype in self.X.schema.items() if not dtype.is_numeric())

    @property
    def categorical_mask(self) -> NDArray[np.bool_]:
        """True where a column of `to_numpy` holds category codes; shape (features,)."""
        return np.array([not dtype.is_numeric() for dtype in self.X.dtypes], dtype=bool)

    def to_numpy(self, dtype: type[np.floating] | None = None) -> NDArray:
        """Features as one matrix: NaN for missing, and each category as its position in the sorted list of categories.

        Args:
            dtype: np.float32 or np.float64. None means float32 if every numeric column is Float32, else float64, so
                that no digit of the table is lost.

        Returns:
            C-ordered matrix, shape (n, features). Column j holds positions in `X.dtypes[j].categories` where
            `categorical_mask[j]`: an order that means nothing, so hand the mask to estimators that split on categories.

        Cost: one copy of the table.
        """
        numeric = [d for d in self.X.dtypes if d.is_numeric()]
        if dtype is None:
            dtype = np.float32 if numeric and all(d == pl.Float32 for d in numeric) else np.float64
        matrix = np.empty((self.X.height, self.X.width), dtype=dtype)
        for j, column in enumerate(self.X.iter_columns()):
            codes = column if column.dtype.is_numeric() else column.to_physical()
            matrix[:, j] = codes.cast(pl.Float64).to_numpy() if codes.null_count() else codes.to_numpy()
        return matrix

    def describe(self) -> list[ColumnSummary]:
        """The inferred type of every column with its missing and distinct counts; the target comes last."""
        rows = [self._summary(column) for column in self.X.iter_columns()]
        if self.task != "unlabelled":
            kind = "target: regression" if self.task == "regression" else f"target: {len(self.classes)} classes"
            first = self.y[0] if self.task == "regression" else self.classes[int(self.y[0])]
            rows.append(ColumnSummary(self.target_name, kind, 0, len(np.unique(self.y)), str(first)))
        return rows

    def _summary(self, column: pl.Series) -> ColumnSummary:
        present = column.drop_nulls()
        if present.is_empty():
            kind = "empty"
        elif column.name in self.dates:
            kind = "date"
        elif not column.dtype.is_numeric():
            kind = "category"
        else:
            kind = "integer" if column.dtype.is_integer() else "real"
        example = "" if present.is_empty() else str(present[0])
        if kind == "date":
            example = str(np.datetime64("1970-01-01", "s") + np.timedelta64(round(present[0] * 86_400), "s"))
        return ColumnSummary(column.name, kind, column.null_count(), present.n_unique(), example)

    def take(self, rows: NDArray | Sequence[int]) -> Dataset:
        """The same data set with only the given rows, in the given order; categories and classes keep their codes.

        Args:
            rows: integer positions in [0, n), shape (m,).

        Deviations: `warnings` still speak of the whole table, and the averages in `truth` of all the rows drawn.
        """
        rows = np.asarray(rows)
        y = self.y if self.task == "unlabelled" else self.y[rows]
        return replace(self, X=self.X[rows], y=y)

    def fingerprint(self) -> str:
        """SHA-256 of names, types, categories, values and target: equal when the data are equal."""
        digest = hashlib.sha256()
        schema = [
            (name, _categories(column) or str(column.dtype))
            for name, column in zip(self.X.columns, self.X.iter_columns(), strict=True)
        ]
        digest.update(repr((schema, self.task, self.target_name, self.classes, self.X.height)).encode())
        for column in self.X.iter_columns():
            codes = column if column.dtype.is_numeric() else column.to_physical()
            digest.update(codes.is_null().to_numpy().tobytes())
            digest.update(codes.fill_null(0).to_numpy().tobytes())
        digest.update(np.ascontiguousarray(self.y).tobytes())
        return digest.hexdigest()


def _categories(column: pl.Series) -> list[str]:
    return column.dtype.categories.to_list() if isinstance(column.dtype, pl.Enum) else []
