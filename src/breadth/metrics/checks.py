"""What the scores ask of their arguments, in one place: columns of one length, numbers, weights and labels."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

Floats = NDArray[np.float64]
ZeroDivision = Literal["warn", 0, 1] | float


def columns(**given: ArrayLike) -> list[NDArray]:
    """Labels as arrays of one shape, (n,) or (n, labels), n >= 1, without NaN.

    Raises:
        ValueError: naming the argument that is empty, has another shape, or holds NaN.
    """
    for name, values in given.items():
        if sparse.issparse(values):
            raise ValueError(f"{name} is a sparse matrix; give {name}.toarray()")
    arrays = {name: np.asarray(values) for name, values in given.items()}
    first, *_ = arrays
    for name, array in arrays.items():
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} must have shape (n,) or (n, labels), got {array.shape}")
        if len(array) == 0:
            raise ValueError(f"{name} is empty; a score needs at least one row")
        if array.shape != arrays[first].shape:
            raise ValueError(f"{name} has shape {array.shape} and {first} {arrays[first].shape}; they must be alike")
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(
                f"{name} holds NaN in {int(np.isnan(array).sum())} places; leave those rows out or fill them"
            )
        if array.dtype.kind == "O" and any(v is None or v != v for v in array.flat):
            raise ValueError(f"{name} holds None or NaN; leave those rows out or give them a label")
    return list(arrays.values())


def classes(**given: ArrayLike) -> list[NDArray]:
    """Columns of classes: as `columns`, and numbers among them are whole.

    Raises:
        ValueError: as `columns`, and if an argument holds fractions, as scores do.
    """
    arrays = columns(**given)
    for name, array in zip(given, arrays, strict=True):
        if array.dtype.kind == "f" and (off := (array != np.floor(array)) | np.isinf(array)).any():
            raise ValueError(
                f"{name} holds {array[off][0]:.6g}, which is no class; of scores make classes first, as "
                "(score > 0.5) or score.argmax(1)"
            )
    return arrays


def numbers(name: str, values: ArrayLike, *, ndim: tuple[int, ...] = (1,), finite: bool = True) -> NDArray:
    """Numbers as float64, or float32 as given, without NaN; infinities only where `finite` is false.

    Raises:
        ValueError: naming the argument, if it is empty, of another dimension, not numeric, or not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim not in ndim:
        raise ValueError(f"{name} must have {' or '.join(map(str, ndim))} dimensions, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}; a score needs at least one row")
    if finite:
        with np.errstate(all="ignore"):  # a finite sum has no NaN or infinity among its terms: one pass, mostly
            if np.isfinite(array.sum()):
                return array
    if np.isnan(array).any():
        raise ValueError(f"{name} holds NaN in {int(np.isnan(array).sum())} places; leave those rows out or fill them")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{name} holds infinity in {int(np.isinf(array).sum())} places; it must be finite")
    return array


def weights(sample_weight: ArrayLike | None, n: int) -> Floats | None:
    """Weights of n rows as float64: finite, >= 0, with a positive sum; None stays None.

    Raises:
        ValueError: if they are not.
    """
    if sample_weight is None:
        return None
    w = np.asarray(sample_weight)
    if w.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {w.shape}")
    if w.dtype.kind not in "biuf" or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("sample_weight must hold finite numbers >= 0")
    if not w.any():
        raise ValueError("sample_weight sums to zero; at least one row must count")
    return w.astype(np.float64, copy=False)


def encode(*arrays: NDArray) -> tuple[NDArray, list[NDArray[np.intp]]]:
    """The sorted labels that occur in any of the arrays, and each array as indices into them."""
    if all(a.dtype.kind in "biu" for a in arrays):
        least = min(int(a.min()) for a in arrays)
        span = max(int(a.max()) for a in arrays) - least + 1
        if span <= max(65_536, 2 * len(arrays[0])):  # a table of what occurs, without sorting
            shifted = [a.astype(np.int64, copy=False) - least for a in arrays]
            occurs = np.zeros(span, bool)
            for s in shifted:
                occurs[s] = True
            kept = np.flatnonzero(occurs)
            dtype = np.result_type(*(a.dtype for a in arrays))
            labels = (kept + least).astype(dtype)
            if len(kept) == span:
                return labels, shifted
            place = np.cumsum(occurs) - 1
            return labels, [place[s] for s in shifted]
    kinds = {"text" if a.dtype.kind in "US" else "objects" if a.dtype.kind == "O" else "numbers" for a in arrays}
    if kinds == {"text", "numbers"}:
        raise ValueError("labels mix text and numbers; give all of them as one kind")
    try:
        labels, codes = np.unique(np.concatenate(arrays), return_inverse=True)
    except TypeError as error:
        raise ValueError(f"labels cannot be put in order ({error}); give all of them as one kind") from error
    return labels, np.split(codes, np.cumsum([len(a) for a in arrays])[:-1])


def is_text(array: NDArray) -> bool:
    return array.dtype.kind in "US" or (array.dtype.kind == "O" and any(isinstance(v, str) for v in array.flat))


def positives(y_true: NDArray, pos_label: Any = None, *, greater: bool = False) -> NDArray[np.bool_]:
    """Which rows of a column with two labels are positive.

    Args:
        y_true: labels (n,).
        pos_label: the positive one; None takes 1 of {0, 1} or {-1, 1}, and with `greater` the greater of any two.

    Raises:
        ValueError: if the labels are more than two, pos_label does not occur among two, or it is not given where only
            the user can know it.
    """
    if y_true.ndim != 1:
        raise ValueError(f"y_true must have shape (n,), got {y_true.shape}")
    if y_true.dtype.kind in "biuf":
        least, most = y_true.min(), y_true.max()
        found = [least] if least == most else [least, most]
        positive = y_true == most
        if not (positive | (y_true == least)).all():
            found = list(np.unique(y_true))
    else:
        found = list(np.unique(y_true))
        positive = y_true == found[-1]
    names = ", ".join(str(label) for label in found[:5])
    if pos_label is not None:
        if pos_label not in found and len(found) > 1:
            raise ValueError(f"pos_label={pos_label!r} is not among the labels of y_true: {names}")
        return np.asarray(y_true == pos_label)
    if len(found) > 2:
        raise ValueError(f"y_true has {len(found)} labels ({names}, ...); two are wanted, or say which is pos_label")
    if not greater and (is_text(y_true) or not set(found) <= {-1, 0, 1} or set(found) == {-1, 0}):
        last = np.asarray(found[-1]).item()
        raise ValueError(f"y_true has the labels {names}; say which one is positive: pos_label={last!r}")
    if len(found) == 1 and not is_text(y_true):
        return np.asarray(y_true == 1)
    return positive


def both_classes(positive: NDArray[np.bool_], what: str) -> tuple[int, int]:
    """How many rows are positive and negative.

    Raises:
        ValueError: if either is none.
    """
    n_pos = int(np.count_nonzero(positive))
    n_neg = positive.size - n_pos
    if not n_pos or not n_neg:
        missing = "positive" if not n_pos else "negative"
        raise ValueError(f"{what} is not defined: y_true has no {missing} row among {positive.size}")
    return n_pos, n_neg


def divide(numerator: Floats, denominator: Floats, zero_division: ZeroDivision, what: str) -> Floats:
    """numerator / denominator, and zero_division where the latter is 0; "warn" is 0 with a warning.

    Raises:
        ValueError: if zero_division is none of "warn", 0, 1 and NaN.
    """
    fill = zero_fill(zero_division)
    empty = denominator == 0
    result = np.divide(numerator, denominator, out=np.full(np.shape(numerator), fill), where=~empty)
    if zero_division == "warn" and empty.any():
        warnings.warn(
            f"{what} is not defined and set to 0 for {int(empty.sum())} of {empty.size}; say what it shall be with "
            "zero_division", UndefinedMetricWarning, stacklevel=4,
        )  # fmt: skip
    return result


def zero_fill(zero_division: ZeroDivision) -> float:
    if isinstance(zero_division, str):
        if zero_division != "warn":
            raise ValueError(f"zero_division must be 'warn', 0, 1 or nan, got {zero_division!r}")
        return 0.0
    if zero_division not in (0, 1) and not np.isnan(zero_division):
        raise ValueError(f"zero_division must be 'warn', 0, 1 or nan, got {zero_division!r}")
    return float(zero_division)


def average_of(values: Floats, weight: Floats | None) -> float:
    """Weighted mean of the values that are numbers; NaN where none is. Weights that sum to zero count alike."""
    known = ~np.isnan(values)
    if not known.any():
        return float("nan")
    if weight is None or not weight[known].any():
        return float(np.mean(values[known]))
    return float(np.average(values[known], weights=weight[known]))


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value!r}")
