"""Checks of arguments, and of values read from files, that this room shares."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any


def check_integer(name: str, value: Any, least: int) -> None:
    """Raise if `value` is not an integer >= `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if int(value) < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_number(name: str, value: Any) -> None:
    """Raise if `value` is no real number; its range is the caller's matter."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")


def check_iterable(name: str, value: Any, what: str) -> None:
    """Raise if `value` is a string, or nothing can be taken from it one by one; `what` says what it has to be."""
    if isinstance(value, str | bytes) or not (hasattr(value, "__iter__") or hasattr(value, "__getitem__")):
        raise TypeError(f"{name} must be {what}, got {value!r:.60}")


@contextlib.contextmanager
def reading(section: str) -> Iterator[None]:
    """Errors of values that are not of the kind that the format says become ones that name the section."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{section} is not as the format has it: {what}") from error
