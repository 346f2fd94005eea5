"""The metadata of an index: typed columns that grow by rows and answer filters."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from breadth.vector.filters import Condition, Expression, Not, Or, Value, conditions
from breadth.vector.index import Metadata
from breadth.vector.rows import Rows

Kind = Literal["bool", "int", "float", "str"]

_DTYPE = {"bool": np.uint8, "int": np.int64, "float": np.float64, "str": np.int32}
_EXACT = 2**53  # integers up to here are float64s
_ORDER: dict[str, Any] = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


class Column:
    """One field: a value a row, or none. Strings are kept once each, and rows hold their number."""

    def __init__(self, kind: Kind, values: NDArray, present: NDArray[np.uint8], strings: Iterable[str] = ()) -> None:
        self.kind: Kind = kind
        self.values = Rows(values)
        self.present = Rows(present)
        self.strings = list(strings)
        self.code_of = {string: code for code, string in enumerate(self.strings)}

    @classmethod
    def absent(cls, kind: Kind, n: int) -> Column:
        """A column whose n rows have no value."""
        return cls(kind, np.zeros(n, dtype=_DTYPE[kind]), np.zeros(n, dtype=np.uint8))

    def append(self, n: int, rows: Sequence[int], values: Sequence[Value]) -> None:
        """Add n rows, of which `rows` have `values` of this column's kind."""
        if self.kind == "str":
            new = dict.fromkeys(str(value) for value in values if value not in self.code_of)
            self.code_of.update(zip(new, range(len(self.strings), len(self.strings) + len(new)), strict=True))
            self.strings.extend(new)
            values = [self.code_of[str(value)] for value in values]
        self.values.append(np.zeros(n, dtype=_DTYPE[self.kind]))
        self.present.append(np.zeros(n, dtype=np.uint8))
        at = np.asarray(rows, dtype=np.int64) + len(self.values) - n
        self.values.view[at] = values
        self.present.view[at] = 1

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows, in this order."""
        self.values, self.present = Rows(self.values.view[rows]), Rows(self.present.view[rows])

    def at(self, row: int) -> Value:
        """The value of a row that has one."""
        value = self.values.view[row].item()
        if self.kind == "str":
            return self.strings[value]
        return bool(value) if self.kind == "bool" else value

    def meets(self, condition: Condition) -> NDArray[np.bool_]:
        """Which rows meet the condition, shape (rows,)."""
        present = self.present.view.view(np.bool_)
        symbol, value = condition.operator, condition.value
        if symbol == "$exists":
            return present if value else ~present
        listed = value if isinstance(value, tuple) else (value,)
        for one in listed:
            self._check(one, condition)
        if symbol in ("$eq", "$in"):
            return present & self._equal(listed)
        if symbol in ("$ne", "$nin"):
            return ~(present & self._equal(listed))
        return present & self._ordered(condition)

    def _check(self, value: Any, condition: Condition) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number if self.kind in ("int", "float") else isinstance(value, {"bool": bool, "str": str}[self.kind])
        if not fits:
            raise ValueError(
                f"filter: the field {condition.field!r} is of kind {self.kind}, "
                f"so {condition.operator} cannot compare it with {value!r}"
            )

    def _equal(self, listed: tuple[Value, ...]) -> NDArray[np.bool_]:
        if self.kind == "str":
            codes = [self.code_of[str(value)] for value in listed if value in self.code_of]
            if len(codes) == 1:
                return self.values.view == codes[0]
            chosen = np.zeros(max(1, len(self.strings)), dtype=np.bool_)  # absent values have code 0
            chosen[codes] = True
            return chosen[self.values.view]
        if self.kind == "int":  # not as floats, which beyond 2^53 are equal to integers that they are not
            listed = tuple(int(value) for value in listed if value == int(value))
        if len(listed) == 1:
            return self.values.view == listed[0]
        return np.isin(self.values.view, np.array(listed, dtype=_DTYPE[self.kind]))

    def _ordered(self, condition: Condition) -> NDArray[np.bool_]:
        symbol, value = condition.operator, condition.value
        if self.kind == "str":
            compare = _ORDER[symbol]
            chosen = np.array([compare(string, value) for string in self.strings] or [False], dtype=np.bool_)
            return chosen[self.values.view]
        if self.kind == "int" and isinstance(value, float):
            # an integer beyond 2^53 must not be rounded to float64 first: x > 2.5 is x > 2, x >= 2.5 is x >= 3
            value = math.floor(value) if symbol in ("$gt", "$lte") else math.ceil(value)
        return _ORDER[symbol](self.values.view, value)


class Table:
    """The columns of all fields, and how many rows they have."""

    def __init__(self) -> None:
        self.n = 0
        self.columns: dict[str, Column] = {}

    def check(self, metadata: Metadata | None, n: int) -> dict[str, tuple[Kind, list[int], list[Value]]]:
        """What `append` would add: for each field its kind, rows and values; raises where it would not fit."""
        if metadata is None:
            return {}
        if not isinstance(metadata, Sequence) or isinstance(metadata, str):
            raise TypeError(f"metadata must be a list with a mapping for each vector, got {type(metadata).__name__}")
        if len(metadata) != n:
            raise ValueError(f"metadata must have an entry for each of the {n} vectors, got {len(metadata)}")
        fields: dict[str, tuple[list[int], list[Value]]] = {}
        for row, entry in enumerate(metadata):
            if not isinstance(entry, Mapping):
                raise TypeError(f"metadata[{row}] must be a mapping from field names to values, got {entry!r}")
            for field, value in entry.items():
                if not isinstance(field, str) or field.startswith("$") or not field:
                    raise ValueError(f"metadata[{row}]: a field name is a string that does not begin with $: {field!r}")
                value = value.item() if isinstance(value, np.generic) else value
                rows, values = fields.setdefault(field, ([], []))
                rows.append(row)
                values.append(value)
        return {field: (self._kind(field, rows, values), rows, values) for field, (rows, values) in fields.items()}

    def _kind(self, field: str, rows: list[int], values: list[Any]) -> Kind:
        """The kind that the field is to have with these values."""
        old = self.columns.get(field)
        kinds = {type(value).__name__ for value in values} | ({old.kind} if old else set())
        if not kinds <= set(get_args(Kind)):
            row, value = next((r, v) for r, v in zip(rows, values, strict=True) if type(v).__name__ not in _DTYPE)
            raise TypeError(f"metadata[{row}][{field!r}] must be a str, int, float or bool, got {value!r}")
        if kinds == {"int", "float"}:
            stored = old.values.view if old is not None and old.kind == "int" else np.zeros(0, dtype=np.int64)
            wide = [value for value in values if isinstance(value, int) and abs(value) > _EXACT]
            if wide or (len(stored) and max(abs(int(stored.min())), abs(int(stored.max()))) > _EXACT):
                raise ValueError(f"metadata: the field {field!r} mixes floats with integers beyond 2^53: use one kind")
            kinds = {"float"}
        if len(kinds) > 1:
            raise ValueError(f"metadata: the field {field!r} must be of one kind, got {' and '.join(sorted(kinds))}")
        kind: Any = kinds.pop()
        for row, value in zip(rows, values, strict=True):
            if kind == "float" and not math.isfinite(value):
                raise ValueError(f"metadata[{row}][{field!r}] must be finite, got {value}; leave the field out instead")
            if kind == "int" and not -(2**63) <= value < 2**63:
                raise ValueError(f"metadata[{row}][{field!r}] must fit 64 bits, got {value}")
            if kind == "str":
                _utf8(value, f"metadata[{row}][{field!r}]")
        return kind

    def append(self, checked: dict[str, tuple[Kind, list[int], list[Value]]], n: int) -> None:
        """Add n rows with what `check` returned."""
        for field, (kind, _, _) in checked.items():
            column = self.columns.get(field)
            if column is None:
                self.columns[field] = Column.absent(kind, self.n)
            elif column.kind != kind:  # integers, now joined by floats
                self.columns[field] = Column(kind, column.values.view.astype(np.float64), column.present.view)
        for field, column in self.columns.items():
            _, rows, values = checked.get(field, (column.kind, [], []))
            column.append(n, rows, values)
        self.n += n

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows, in this order."""
        for column in self.columns.values():
            column.keep(rows)
        self.n = len(rows)

    def row(self, row: int) -> dict[str, Value]:
        """The fields that a row has."""
        return {field: column.at(row) for field, column in self.columns.items() if column.present.view[row]}

    def allowed(self, expression: Expression) -> NDArray[np.bool_]:
        """Which rows the filter allows, shape (rows,).

        Raises:
            ValueError: if the filter names a field that no row ever had, or compares one with another kind of value.
        """
        for condition in conditions(expression):
            if condition.field not in self.columns:
                known = ", ".join(map(repr, self.columns)) or "none"
                raise ValueError(f"filter: no vector has the field {condition.field!r}; the fields are {known}")
        return self._allowed(expression)

    def _allowed(self, expression: Expression) -> NDArray[np.bool_]:
        if isinstance(expression, Condition):
            return self.columns[expression.field].meets(expression)
        if isinstance(expression, Not):
            return ~self._allowed(expression.part)
        parts = [self._allowed(part) for part in expression.parts]
        if isinstance(expression, Or):
            return np.logical_or.reduce(parts)
        return np.logical_and.reduce(parts) if parts else np.ones(self.n, dtype=np.bool_)

    def to_arrays(self) -> tuple[list[dict[str, str]], dict[str, NDArray]]:
        """The fields, and their arrays for a store."""
        fields, arrays = [], {}
        for number, (field, column) in enumerate(self.columns.items()):
            fields.append({"field": field, "kind": column.kind})
            arrays[f"metadata.{number}.values"] = column.values.view
            arrays[f"metadata.{number}.present"] = column.present.view
            if column.kind == "str":
                text, ends = strings_to_arrays(column.code_of)
                arrays[f"metadata.{number}.strings"], arrays[f"metadata.{number}.ends"] = text, ends
        return fields, arrays

    @classmethod
    def from_arrays(cls, fields: list[dict[str, Any]], arrays: dict[str, NDArray], n: int) -> Table:
        """The inverse of `to_arrays`, for n rows."""
        table = cls()
        table.n = n
        for number, entry in enumerate(fields):
            name = f"metadata.{number}"
            text = (arrays[f"{name}.strings"], arrays[f"{name}.ends"]) if entry["kind"] == "str" else None
            strings = strings_from_arrays(*text) if text else []
            table.columns[entry["field"]] = Column(
                entry["kind"], arrays[f"{name}.values"], arrays[f"{name}.present"], strings
            )
        return table


def strings_to_arrays(strings: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Strings as the bytes of their UTF-8 and the end of each."""
    encoded = [string.encode() for string in strings]
    ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def strings_from_arrays(text: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[str]:
    """The inverse of `strings_to_arrays`."""
    raw, stops = text.tobytes(), ends.tolist()
    return [raw[start:stop].decode() for start, stop in zip([0, *stops], stops, strict=False)]


def _utf8(value: str, what: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} must be valid Unicode, got a lone surrogate in {value!r}") from error
