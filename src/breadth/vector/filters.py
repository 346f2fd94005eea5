"""Which vectors a search may find: conditions on metadata as plain Python data.

    {"lang": "en"}                                            a field equal to a value
    {"year": {"$gte": 2020, "$lt": 2024}, "lang": {"$in": ["en", "de"]}}      all of several conditions
    {"$or": [{"draft": False}, {"$not": {"year": {"$lt": 2000}}}]}

Operators: $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists; $and, $or (lists of filters), $not (a filter). A vector
without the field meets no condition on it but $ne, $nin and {"$exists": False}: $ne and $nin are $not of $eq and $in.
Strings are ordered by code point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Value = str | int | float | bool
Operator = Literal["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One field against a value, or with $in and $nin against a tuple of values."""

    field: str
    operator: Operator
    value: Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """What `part` refuses."""

    part: Expression


@dataclass(frozen=True, slots=True)
class And:
    """What all parts allow; with no part, everything."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """What one of the parts allows at least."""

    parts: tuple[Expression, ...]


Expression = Condition | Not | And | Or


def parse(filter: Mapping[str, Any]) -> Expression:
    """The expression that a filter writes down.

    Args:
        filter: field names to a value or to operators with values, and $and, $or, $not; all entries must hold.

    Returns:
        Conditions under And, Or and Not.

    Raises:
        TypeError: if a filter is no mapping, or a value is none of str, int, float, bool.
        ValueError: if an operator is unknown, a list is empty, or a number is not finite.
    """
    if not isinstance(filter, Mapping):
        raise TypeError(f"filter must be a mapping such as {{'year': {{'$gte': 2020}}}}, got {filter!r}")
    return _together([part for key, given in filter.items() for part in _entry(key, given)])


def _together(parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _entry(key: Any, given: Any) -> list[Expression]:
    if not isinstance(key, str):
        raise TypeError(f"filter: a field name must be a string, got {key!r}")
    if key in ("$and", "$or"):
        if not isinstance(given, list | tuple) or not given:
            raise ValueError(f"filter: {key} takes a list of at least one filter, got {given!r}")
        parts = tuple(parse(part) for part in given)
        return [And(parts) if key == "$and" else Or(parts)]
    if key == "$not":
        return [Not(parse(given))]
    if key.startswith("$"):
        raise ValueError(f"filter: unknown operator {key!r}; filters are joined by $and, $or and $not")
    if not isinstance(given, Mapping):
        return [Condition(key, "$eq", _value(key, "$eq", given))]
    if not given:
        raise ValueError(f"filter: the field {key!r} has no condition; give it a value or one of {_operators()}")
    return [_condition(key, operator, operand) for operator, operand in given.items()]


def _condition(field: str, operator: Any, operand: Any) -> Condition:
    if operator not in get_args(Operator):
        raise ValueError(f"filter: unknown operator {operator!r} for the field {field!r}; there are {_operators()}")
    if operator in ("$in", "$nin"):
        listed = isinstance(operand, list | tuple | set | frozenset | np.ndarray)
        if not listed or not len(operand):
            raise ValueError(f"filter: {operator} of {field!r} takes a list of at least one value, got {operand!r}")
        return Condition(field, operator, tuple(_value(field, operator, value) for value in operand))
    value = _value(field, operator, operand)
    if operator == "$exists" and not isinstance(value, bool):
        raise TypeError(f"filter: $exists of {field!r} must be True or False, got {operand!r}")
    if operator in ("$gt", "$gte", "$lt", "$lte") and isinstance(value, bool):
        raise TypeError(
            f"filter: {operator} of {field!r} takes a number or string, got {operand!r}: truth has no order"
        )
    return Condition(field, operator, value)


def _value(field: str, operator: str, value: Any) -> Value:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float | bool):
        raise TypeError(f"filter: {operator} of {field!r} must be a str, int, float or bool, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"filter: {operator} of {field!r} must be finite, got {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"filter: {operator} of {field!r} must fit 64 bits, got {value}")
    return value


def _operators() -> str:
    return ", ".join(get_args(Operator))


def conditions(expression: Expression) -> Sequence[Condition]:
    """All conditions of an expression, from left to right."""
    if isinstance(expression, Condition):
        return [expression]
    parts = (expression.part,) if isinstance(expression, Not) else expression.parts
    return [condition for part in parts for condition in conditions(part)]
