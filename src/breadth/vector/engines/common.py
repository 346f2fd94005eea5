"""What the adapters of database engines share: kinds of fields, filters without $not, and files that any can read."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from breadth.vector import store
from breadth.vector.filters import And, Condition, Expression, Not, Or, Value, conditions, parse
from breadth.vector.index import Filter, Hits, Metadata, Metric
from breadth.vector.metadata import Kind, Table
from breadth.vector.records import Records

_OPPOSITE: dict[str, Any] = {
    "$eq": "$ne", "$ne": "$eq", "$in": "$nin", "$nin": "$in",
    "$gt": "$lte", "$lte": "$gt", "$gte": "$lt", "$lt": "$gte",
}  # fmt: skip


def engine_module(name: str, install: str) -> ModuleType:
    """Import an engine's package; the error says what to install."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0]:
            raise
        raise ModuleNotFoundError(f"this engine needs the package {name}: pip install {install}", name=name) from error


class Fields:
    """The kind of each metadata field of a collection: checked here, because engines accept any and then find none."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}

    def check(self, metadata: Metadata | None, n: int) -> tuple[list[dict[str, Value]], dict[str, Kind]]:
        """The metadata of n vectors as plain dicts, and the kinds of its fields, which `learn` takes once it is stored.

        Raises:
            TypeError, ValueError: as `VectorIndex.add` does; also if a field's kind differs from what it was.
        """
        kinds = {field: kind for field, (kind, _, _) in Table().check(metadata, n).items()}
        for field, kind in kinds.items():
            if self.kinds.get(field, kind) != kind:
                raise ValueError(f"metadata: the field {field!r} is of kind {self.kinds[field]} here, got {kind}")
        plain = [
            {field: _plain(value, kinds[field]) for field, value in entry.items()} for entry in metadata or [{}] * n
        ]
        return plain, kinds

    def learn(self, kinds: dict[str, Kind]) -> None:
        """Remember the kinds of stored fields."""
        self.kinds.update(kinds)

    def parse(self, filter: Filter) -> Expression:
        """The filter's expression without Not, with its numbers of the fields' kinds.

        Raises:
            ValueError: if it names a field that no vector has had, or compares one with another kind of value.
        """
        expression = parse(filter)
        for condition in conditions(expression):
            if condition.field not in self.kinds:
                known = ", ".join(map(repr, self.kinds)) or "none"
                raise ValueError(f"filter: no vector has the field {condition.field!r}; the fields are {known}")
            if condition.operator != "$exists":
                self._check_kind(condition)
        return self._positive(expression, True)

    def _check_kind(self, condition: Condition) -> None:
        kind = self.kinds[condition.field]
        for value in condition.value if isinstance(condition.value, tuple) else (condition.value,):
            given = type(value).__name__
            if kind != given and {kind, given} != {"int", "float"}:
                raise ValueError(
                    f"filter: the field {condition.field!r} is of kind {kind}, "
                    f"so {condition.operator} cannot compare it with {value!r}"
                )

    def _positive(self, expression: Expression, wanted: bool) -> Expression:
        """The expression, or what it refuses, as And and Or of conditions."""
        if isinstance(expression, Not):
            return self._positive(expression.part, not wanted)
        if isinstance(expression, And | Or):
            parts = tuple(self._positive(part, wanted) for part in expression.parts)
            return And(parts) if isinstance(expression, And) == wanted else Or(parts)
        operator, value = expression.operator, expression.value
        if operator == "$exists":
            return Condition(expression.field, "$exists", bool(value) == wanted)
        condition = self._of_kind(expression if wanted else Condition(expression.field, _OPPOSITE[operator], value))
        if not wanted and operator in ("$gt", "$gte", "$lt", "$lte"):  # an absent field meets no order, so the opposite
            return Or((condition, Condition(expression.field, "$exists", False)))
        return condition

    def _of_kind(self, condition: Condition) -> Expression:
        field, operator, value = condition.field, condition.operator, condition.value
        kind = self.kinds[field]
        if kind == "float" and not isinstance(value, tuple):
            return Condition(field, operator, float(value))
        if kind == "float" and isinstance(value, tuple):
            return Condition(field, operator, tuple(float(one) for one in value))
        if kind != "int":
            return condition
        if isinstance(value, tuple):
            whole = tuple(int(cast(float, one)) for one in value if one == int(cast(float, one)))
            return Condition(field, operator, whole) if whole else self._constant(operator == "$nin")
        if not isinstance(value, float):
            return condition
        if operator in ("$eq", "$ne"):
            return (
                Condition(field, operator, int(value))
                if float(value).is_integer()
                else self._constant(operator == "$ne")
            )
        bound = math.floor(value) if operator in ("$gt", "$lte") else math.ceil(value)
        return Condition(field, operator, bound)

    @staticmethod
    def _constant(value: bool) -> Expression:
        return And(()) if value else Or(())


def _plain(value: Any, kind: Kind) -> Value:
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if kind == "float" else value


def join_hits(ids: Sequence[Sequence[int | str]], scores: Sequence[Sequence[float]], text: bool) -> Hits:
    """Hits from the lists that an engine returned for each query.

    Raises:
        RuntimeError: if the engine found fewer vectors for some queries than for others.
    """
    k = max((len(row) for row in ids), default=0)
    short = [number for number, row in enumerate(ids) if len(row) < k]
    if short:
        raise RuntimeError(
            f"the engine found {len(ids[short[0]])} vectors for query {short[0]}, but {k} for another: "
            "its approximate search was too narrow for this filter or k"
        )
    dtype = np.dtypes.StringDType() if text else np.dtype(np.int64)
    flat = np.array([id for row in ids for id in row], dtype=dtype)
    return Hits(flat.reshape(len(ids), k), np.array(scores, dtype=np.float32).reshape(len(ids), k))


def write_collection(
    path: str | os.PathLike[str],
    kind: str,
    dim: int,
    metric: Metric,
    ids: Sequence[int] | Sequence[str],
    vectors: NDArray[np.float32],
    metadata: Metadata,
) -> None:
    """Write a collection's content to one file, crash-safe as every index's."""
    records = Records()
    records.add(ids, metadata, len(vectors))
    settings, arrays = records.to_arrays()
    store.write(path, kind, {"dim": dim, "metric": metric, "records": settings}, {"vectors": vectors, **arrays})


def read_collection(
    path: str | os.PathLike[str], kind: str, mmap: bool, verify: bool
) -> tuple[int, Metric, list, NDArray[np.float32], list[dict[str, Value]]]:
    """Dimension, metric, ids, vectors and metadata of a file that `write_collection` wrote."""
    meta, arrays = store.read(path, kind, mmap, verify)
    records = Records.from_arrays(meta["records"], arrays)
    ids = records.ids_at(np.arange(len(records))).tolist()
    return meta["dim"], meta["metric"], ids, arrays["vectors"], records.metadata(ids)


def as_text(id: int | str) -> str:
    """An id as engines that take strings only keep it."""
    return f"i:{id}" if isinstance(id, int) else f"s:{id}"


def from_text(text: str) -> int | str:
    """The inverse of `as_text`."""
    return int(text[2:]) if text.startswith("i:") else text[2:]


def of_one_kind(listed: list, text: bool | None, *, n: int | None = None) -> list:
    """The ids, if they are of the kind of the collection's (strings if `text`; any if None), and n of them."""
    if n is not None and len(listed) != n:
        raise ValueError(f"ids must be as many as the vectors, {n}, got {len(listed)}")
    if listed and text is not None and isinstance(listed[0], str) != text:
        raise TypeError(f"ids of this index are {'strings' if text else 'integers'}, got {listed[0]!r}")
    return listed


def check_new(stored: Mapping[Any, Any]) -> None:
    """Raise if some of the ids to be added are stored already."""
    if stored:
        raise ValueError(
            f"ids: {', '.join(map(repr, list(stored)[:5]))} in the index already; upsert replaces, and remove takes out"
        )


def check_there(listed: list, stored: Mapping[Any, Any]) -> list:
    """What is stored for each id; raises KeyError if some are not."""
    missing = [id for id in listed if id not in stored]
    if missing:
        raise KeyError(f"ids: {', '.join(map(repr, missing[:5]))} not in the index")
    return [stored[id] for id in listed]
