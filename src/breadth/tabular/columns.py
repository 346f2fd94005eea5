"""Tables as estimators meet them: numbers, missing values and categories, from NumPy, pandas or polars.

`ColumnEncoder` learns which columns are categorical and gives each category a code; the rest stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

MAX_CATEGORIES = 255
CategoricalFeatures = Sequence[int] | Sequence[str] | Sequence[bool] | np.ndarray | Literal["from_dtype"] | None
_TEXT = ("category", "categorical", "enum", "string", "str", "object", "utf8", "large_string")


def is_frame(X: Any) -> bool:
    """Whether X is a pandas or polars data frame: columns with names and types of their own."""
    return hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "shape")


def _dtype_name(dtype: Any) -> str:
    return str(dtype).lower().split("(")[0].split("[")[0]


def _numbers(column: Any, name: str) -> np.ndarray:
    """One frame column as float64 (float32 stays), missing as NaN."""
    dtype = np.float32 if _dtype_name(column.dtype) == "float32" else np.float64
    try:
        if hasattr(column, "to_numpy") and _dtype_name(column.dtype) not in ("boolean", "bool"):
            raw = column.to_numpy()
            if raw.dtype.kind in "fiu":
                return raw.astype(dtype, copy=False)
        return np.array([np.nan if is_missing(v) else v for v in column.to_list()], dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Column {name!r} has type {column.dtype} and holds values that are not numbers ({error}). "
            "Convert it, or name it in categorical_features."
        ) from error


@dataclass
class ColumnEncoder:
    """Codes for the categories of each categorical column.

    A column with more than 255 categories keeps its 254 most frequent ones (ties: in sorted order); all others share
    one code. A category that fitting did not see becomes missing.
    """

    categorical: np.ndarray  # bool (columns,)
    codes: dict[int, dict[Any, int]] = field(default_factory=dict)  # column -> category -> code
    pooled: dict[int, int] = field(default_factory=dict)  # column -> the shared code of its rare categories
    rare: dict[int, frozenset[Any]] = field(default_factory=dict)  # column -> the categories that share it

    @property
    def n_categories(self) -> np.ndarray | None:
        """Number of codes of each column, 0 where it is numeric; None if all are."""
        if not self.categorical.any():
            return None
        counts = np.zeros(len(self.categorical), np.int64)
        for j, codes in self.codes.items():
            counts[j] = max(codes.values(), default=0) + 1
        for j, code in self.pooled.items():
            counts[j] = code + 1
        return counts

    @classmethod
    def fit(cls, X: Any, categorical_features: CategoricalFeatures) -> ColumnEncoder:
        """Find the categorical columns of X and number their categories.

        Raises:
            ValueError: if `categorical_features` names a column that X does not have, or has the wrong length.
        """
        if is_frame(X) and len(set(X.columns)) < len(X.columns):
            names, counts = np.unique([str(name) for name in X.columns], return_counts=True)
            raise ValueError(f"X has several columns named {', '.join(names[counts > 1])}; give each its own name.")
        encoder = cls(_categorical_mask(X, categorical_features))
        for j in np.flatnonzero(encoder.categorical).tolist():
            counts = _counts(_column(X, j))
            known = sorted(counts, key=lambda v: (-counts[v], str(type(v)), v))
            if len(known) > MAX_CATEGORIES:
                encoder.rare[j] = frozenset(known[MAX_CATEGORIES - 1 :])
                encoder.pooled[j] = MAX_CATEGORIES - 1
                known = known[: MAX_CATEGORIES - 1]
            encoder.codes[j] = {v: code for code, v in enumerate(sorted(known, key=lambda v: (str(type(v)), v)))}
        return encoder

    def transform(self, X: Any) -> Any:
        """X as a float matrix with codes in the categorical columns; X itself if it holds only numbers already."""
        if not is_frame(X) and not self.categorical.any():
            return X
        if X.ndim != 2 if hasattr(X, "ndim") else len(X.shape) != 2:
            raise ValueError(f"X must be a table of shape (rows, columns); got shape {X.shape}.")
        if X.shape[1] != len(self.categorical):
            raise ValueError(f"X has {X.shape[1]} columns, but the model was fitted with {len(self.categorical)}.")
        columns = []
        for j in range(X.shape[1]):
            if self.categorical[j]:
                pooled = dict.fromkeys(self.rare.get(j, ()), self.pooled.get(j, -1))
                columns.append(_codes(_column(X, j), self.codes[j] | pooled))
            elif is_frame(X):
                columns.append(_numbers(X[X.columns[j]], X.columns[j]))
            else:
                columns.append(np.asarray(X[:, j], np.float64))
        narrow = all(column.dtype == np.float32 for column in columns)
        matrix = np.empty((X.shape[0], len(columns)), np.float32 if narrow else np.float64)
        for j, column in enumerate(columns):
            matrix[:, j] = column
        return matrix


def is_missing(value: Any) -> bool:
    """None, NaN, and the missing values of pandas, whose comparison has no truth value."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and value != value


def _column(X: Any, j: int) -> Any:
    return X[X.columns[j]] if is_frame(X) else X[:, j]


def _is_text(column: Any) -> bool:
    """Whether a polars or pandas column holds something else than numbers."""
    return hasattr(column, "to_list") and _dtype_name(column.dtype) in _TEXT


def _objects(column: Any) -> list[Any]:
    """Values one by one, missing as None; a value that cannot be a key of a dict is refused."""
    values = column.to_list() if hasattr(column, "to_list") else list(column)
    try:
        return [None if is_missing(v) else v for v in values if hash(v) is not None]
    except (TypeError, ValueError) as error:
        raise ValueError(f"a categorical column must hold text, numbers or the like; found {error}.") from error


def _numeric(column: Any) -> np.ndarray | None:
    """The column as an array of numbers, or None if it is not one."""
    if _is_text(column):
        return None
    values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    return values if values.dtype.kind in "fiub" else None


def _counts(column: Any) -> dict[Any, int]:
    """How often each category occurs, the missing ones left out."""
    values = _numeric(column)
    if values is not None:
        present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        found, counts = np.unique(present, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))
    return dict(Counter(v for v in _objects(column) if v is not None))


def _codes(column: Any, code_of: dict[Any, int]) -> np.ndarray:
    """float64 code of each value; NaN where it is missing or unknown."""
    values = _numeric(column)
    numbers = [k for k in code_of if isinstance(k, (int, float))]
    if values is not None and len(numbers) == len(code_of) > 0:
        keys = np.array(sorted(numbers), np.float64)
        codes = np.array([code_of[k] for k in sorted(numbers)], np.float64)
        at = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
        return np.where(keys[at] == values, codes[at], np.nan)
    if hasattr(column, "cat") and hasattr(column, "replace_strict"):  # polars text: a hash join in place of a loop
        text = {k: v for k, v in code_of.items() if isinstance(k, str)}
        if _is_text(column) and _dtype_name(column.dtype) != "object" and text:
            told = column.cast(str).replace_strict(list(text), list(text.values()), default=None)
            return told.cast(float).to_numpy()
    if _is_text(column) and hasattr(column, "map"):  # pandas
        return np.asarray(column.map(code_of), dtype=np.float64)
    return np.array([np.nan if v is None else code_of.get(v, np.nan) for v in _objects(column)], np.float64)


def _categorical_mask(X: Any, categorical_features: CategoricalFeatures) -> np.ndarray:
    n = X.shape[1] if hasattr(X, "shape") and len(X.shape) == 2 else 0
    names = [str(name) for name in X.columns] if is_frame(X) else None
    mask = np.zeros(n, bool)
    if categorical_features is None:
        return mask
    if isinstance(categorical_features, str):
        if categorical_features != "from_dtype":
            raise ValueError(
                f"categorical_features must be 'from_dtype', a list or None; got {categorical_features!r}."
            )
        if names is not None:
            mask[:] = [_dtype_name(X[c].dtype) in _TEXT for c in X.columns]
        return mask
    wanted = np.asarray(categorical_features)
    if wanted.size == 0:
        return mask
    if wanted.dtype.kind == "b":
        if wanted.shape != (n,):
            raise ValueError(f"categorical_features is a mask of {wanted.size} columns, but X has {n}.")
        return wanted.copy()
    for item in wanted.tolist():
        if isinstance(item, str):
            if names is None:
                raise ValueError(f"categorical_features names column {item!r}, but X has no column names.")
            if item not in names:
                raise ValueError(f"categorical_features names column {item!r}; X has {', '.join(names)}.")
            mask[names.index(item)] = True
        else:
            if not -n <= item < n:
                raise ValueError(f"categorical_features holds index {item}, but X has {n} columns.")
            mask[item] = True
    return mask
