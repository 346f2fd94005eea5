"""Checks of arguments that the room shares: each refusal names the argument, what was given and what would be right."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def _real(name: str, values: ArrayLike) -> Floats:
    given = np.asarray(values)
    if given.dtype.kind == "c":
        raise ValueError(f"{name} must be real, got values of type {given.dtype}, whose imaginary part would be lost")
    return given.astype(np.float64, copy=False)


def finite(name: str, values: ArrayLike, *, ndim: int | tuple[int, ...] = 1, at_least: int = 1) -> Floats:
    """values as float64 with one of the given numbers of dimensions, `at_least` rows and no NaN or infinity."""
    x = _real(name, values)
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if x.ndim not in allowed:
        raise ValueError(f"{name} must have {' or '.join(map(str, allowed))} dimensions, got shape {x.shape}")
    if x.ndim and len(x) < at_least:
        raise ValueError(f"{name} needs at least {at_least} rows along axis 0, got shape {x.shape}")
    with np.errstate(all="ignore"):  # a finite sum has no NaN or infinity among its terms: one pass, mostly
        surely = np.isfinite(x.sum())
    if not surely and not np.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinity in {int((~np.isfinite(x)).sum())} of {x.size} values")
    return x


def sample(name: str, values: ArrayLike, *, at_least: int = 1) -> Floats:
    """values as float64 of shape (n, ...): n rows and any number of columns, finite."""
    x = _real(name, values)
    if x.ndim == 0:
        raise ValueError(f"{name} must hold rows along axis 0, got the scalar {values!r}")
    return finite(name, x, ndim=x.ndim, at_least=at_least)


def open_unit(name: str, value: float) -> float:
    """value, which must lie strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value!r}")
    return float(value)


def whole(name: str, value: object, at_least: int) -> int:
    """value, which must be an integer no smaller than `at_least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}")
    return int(value)


def one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse a value that is not among the known ones."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
