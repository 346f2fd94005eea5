"""Checks of what distributions are given, with errors that name the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def finite_number(name: str, value: float) -> float:
    """The value as a float, if it is one finite number."""
    number = _number(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return number


def positive_number(name: str, value: float, *, or_zero: bool = False) -> float:
    """The value as a float, if it is finite and > 0 (with or_zero: >= 0)."""
    number = finite_number(name, value)
    if number < 0 or (number == 0 and not or_zero):
        raise ValueError(f"{name} must be {'>= 0' if or_zero else '> 0'}, got {value!r}")
    return number


def probability(name: str, value: float) -> float:
    """The value as a float, if it is in [0, 1]."""
    number = finite_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value!r}")
    return number


def whole_number(name: str, value: Any) -> int:
    """The value as an int, if it is a whole number >= 0 that float64 holds exactly."""
    number = _number(name, value)
    if not 0 <= number <= 2**53 or number != np.floor(number):
        raise ValueError(f"{name} must be a whole number in [0, 2^53], got {value!r}")
    return int(number)


def quantile_levels(q: ArrayLike) -> Floats:
    """Levels as float64, if all are in [0, 1]."""
    levels = np.asarray(q, dtype=np.float64)
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"q must be in [0, 1], got {q!r}")
    return levels


def sample_of(x: ArrayLike, weight: ArrayLike | None, *, columns: bool = False) -> tuple[Floats, Floats]:
    """A sample and its weights as float64: x (n,) or with columns (n, d), weight (n,) with a positive sum."""
    rows = np.asarray(x, dtype=np.float64)
    wanted = 2 if columns else 1
    if rows.ndim != wanted or rows.shape[0] == 0 or rows.size == 0:
        shape = "(n, columns)" if columns else "(n,)"
        raise ValueError(f"x must hold at least one observation, shape {shape}, got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("x holds NaN or infinity; leave those observations out before fitting")
    if weight is None:
        return rows, np.ones(len(rows))
    w = np.asarray(weight, dtype=np.float64)
    if w.shape != (len(rows),):
        raise ValueError(f"weight must hold one number for each of {len(rows)} observations, got shape {w.shape}")
    if not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise ValueError("weight must be finite and >= 0 with a positive sum")
    return rows[w > 0], w[w > 0]


def counts_of(rows: Floats, *, most: float = np.inf) -> Floats:
    """The sample itself, if it holds whole numbers in [0, most]."""
    if not (np.equal(rows, np.floor(rows)) & (rows >= 0) & (rows <= most)).all():
        top = "" if most == np.inf else f" and <= {most:g}"
        raise ValueError(f"x must hold whole numbers >= 0{top}, got values in [{rows.min():g}, {rows.max():g}]")
    return rows


def sample_size(n: float) -> float:
    """How many observations (or what total weight) a standard error is for."""
    return positive_number("n", n)


def weighted_mean(rows: Floats, weight: Floats) -> Any:
    """Mean over the first axis, taken about the first row so that a large common offset costs no digits."""
    origin = rows[0]
    return origin + (weight @ (rows - origin)) / weight.sum()


def _number(name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or np.ndim(value) != 0:
        raise ValueError(f"{name} must be one number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one number, got {value!r}") from None
