"""How alike two vectors are: cosine, dot product, Euclidean distance; one to one, one to many, or all pairs."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 1 << 21  # entries of the result computed at a time, in float64
_NEAR = 1e-3  # squared distances below this share of the squared lengths are summed from differences


def dot_product(X: ArrayLike, Y: ArrayLike | None = None) -> NDArray:
    """Sum of products, x . y.

    Args:
        X: a vector, shape (d,), or rows, shape (n, d); finite.
        Y: likewise, shape (d,) or (m, d); None takes X.

    Returns:
        Shape (n, m), without the axis of what was given as one vector. float32 where X and Y are, else float64.

    Raises:
        TypeError: if an entry is no real number.
        ValueError: if shapes disagree, an entry is NaN or infinite, or a product is too large for the result's type.

    Cost: 2 n m d operations, in float64 whatever the input.
    References: Salton & Buckley 1988, Information Processing & Management 24(5), section 2.
    Peer: exactly rounded sums (math.fsum), 1e-14 of sum |x_i y_i| (B).
    In production: use it with embeddings that were trained for it, where length says something; else the cosine.
    """
    left, right, kind, squeeze = _pair(X, Y)
    result = np.empty((len(left), len(right)), kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in _blocks(result):
            result[rows] = left[rows].astype(np.float64) @ right.T.astype(np.float64)
    if not np.isfinite(result).all():
        i, j = np.argwhere(~np.isfinite(result))[0]
        raise ValueError(f"the product of row {i} of X and row {j} of Y is too large for {np.dtype(kind)}; scale them")
    return result[squeeze]


def cosine_similarity(
    X: ArrayLike, Y: ArrayLike | None = None, *, zero: Literal["error", "nan", "zero"] = "error"
) -> NDArray:
    """Cosine of the angle, x . y / (|x| |y|).

    Args:
        X: a vector, shape (d,), or rows, shape (n, d); finite.
        Y: likewise, shape (d,) or (m, d); None takes X.
        zero: what the angle to a zero vector is, which has none: an error, NaN, or 0.

    Returns:
        In [-1, 1] (what rounding puts beyond is set to the bound), shape (n, m), without the axis of what was given as
        one vector. float32 where X and Y are, else float64.

    Raises:
        TypeError: if an entry is no real number.
        ValueError: if shapes disagree, an entry is NaN or infinite, zero is none of these, or a vector is zero and zero
            is "error"; the message names the row.

    Cost: 2 n m d operations, in float64 whatever the input. Lengths neither overflow nor vanish.
    Deviations: none; near 1 the cosine itself holds few digits of the angle: take euclidean_distance of rows of length
        1 to tell near-duplicates apart.
    References: Salton & McGill 1983, Introduction to Modern Information Retrieval, section 4.1.
    Peer: sklearn.metrics.pairwise.cosine_similarity, float64, 1e-14 (A).
    In production: use it for text embeddings, unless their model card says dot product.
    """
    if zero not in ("error", "nan", "zero"):
        raise ValueError(f"zero must be 'error', 'nan' or 'zero', got {zero!r}")
    left, right, kind, squeeze = _pair(X, Y)
    left = _unit(left, "X", zero)
    right = left if Y is None else _unit(right, "Y", zero)
    result = np.empty((len(left), len(right)), kind)
    for rows in _blocks(result):
        result[rows] = np.clip(left[rows] @ right.T, -1.0, 1.0)
    return result[squeeze]


def euclidean_distance(X: ArrayLike, Y: ArrayLike | None = None, *, squared: bool = False) -> NDArray:
    """Length of the difference, |x - y|.

    Computed as |x - c|^2 + |y - c|^2 - 2 (x - c).(y - c) with c the mean of Y, and from the differences where
    that cancels, so that near-duplicates and data far from zero keep their digits.

    Args:
        X: a vector, shape (d,), or rows, shape (n, d); finite.
        Y: likewise, shape (d,) or (m, d); None takes X.
        squared: leave the square root out.

    Returns:
        >= 0, and 0 exactly where the vectors are equal; shape (n, m), without the axis of what was given as one vector.
        float32 where X and Y are, else float64.

    Raises:
        TypeError: if an entry is no real number.
        ValueError: if shapes disagree, an entry is NaN or infinite, or a distance is too large for the result's type.

    Cost: 2 n m d operations, in float64 whatever the input, and 3 d for each pair closer than 3 % of its distance to c.
    References: Higham 2002, Accuracy and Stability of Numerical Algorithms, section 1.7 (cancellation).
    Peer: scipy.spatial.distance.cdist, which sums differences, float64, 1e-11 (A).
    In production: use it where coordinates have units; on rows of length 1 it ranks as the cosine does.
    """
    left, right, kind, squeeze = _pair(X, Y)
    # a power of two changes no digit; squares of what is near 1 neither overflow nor vanish
    scale = _power_of_two(max(np.abs(left).max(initial=0), np.abs(right).max(initial=0)))
    left, right = left.astype(np.float64) / scale, right.astype(np.float64) / scale
    centre = right.mean(axis=0)
    x, y = left - centre, right - centre
    x_length, y_length = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    result = np.empty((len(left), len(right)), kind)
    with np.errstate(over="ignore"):
        for rows in _blocks(result):
            lengths = x_length[rows, None] + y_length
            block = lengths - 2.0 * (x[rows] @ y.T)
            near = np.argwhere(block <= _NEAR * lengths)
            step = max(1, _BLOCK // left.shape[1])
            for pairs in np.split(near, range(step, len(near), step)):
                difference = left[rows][pairs[:, 0]] - right[pairs[:, 1]]
                block[pairs[:, 0], pairs[:, 1]] = np.einsum("ij,ij->i", difference, difference)
            result[rows] = block * scale * scale if squared else np.sqrt(block) * scale
    if not np.isfinite(result).all():
        i, j = np.argwhere(~np.isfinite(result))[0]
        raise ValueError(f"the distance of row {i} of X to row {j} of Y is too large for {np.dtype(kind)}; scale them")
    return result[squeeze]


def _pair(X: ArrayLike, Y: ArrayLike | None) -> tuple[NDArray, NDArray, type, tuple]:
    """Rows of both, the type of the result, and what takes the axes away that the arguments did not have."""
    left = _vectors(X, "X")
    right = left if Y is None else _vectors(Y, "Y")
    if left.shape[-1] != right.shape[-1]:
        raise ValueError(f"X and Y must have as many entries a vector, got {left.shape[-1]} and {right.shape[-1]}")
    kind = np.float32 if left.dtype == right.dtype == np.float32 else np.float64
    squeeze = tuple(0 if a.ndim == 1 else slice(None) for a in (left, right))
    return np.atleast_2d(left), np.atleast_2d(right), kind, squeeze


def _vectors(given: ArrayLike, name: str) -> NDArray:
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got an array of {array.dtype}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if array.ndim not in (1, 2) or not array.shape[-1]:
        raise ValueError(f"{name} must have shape (d,) or (n, d) with d >= 1, got {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        row = int((~finite).any(axis=-1).argmax())
        raise ValueError(f"{name} must be finite, but row {row} holds NaN or infinity")
    return array


def _unit(rows: NDArray, name: str, zero: str) -> NDArray[np.float64]:
    """Rows of length 1."""
    largest = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64)
    empty = largest[:, 0] == 0
    if empty.any() and zero == "error":
        raise ValueError(
            f"{name} must hold no zero vector, but row {int(empty.argmax())} is one ({int(empty.sum())} in all); an "
            "angle to it does not exist: leave it out, or choose zero='nan' or 'zero'"
        )
    largest[empty] = 1.0
    scaled = rows / largest
    length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    length[empty] = np.nan if zero == "nan" else 1.0
    return scaled / length[:, None]


def _power_of_two(x: float) -> float:
    return float(2.0 ** np.clip(np.frexp(float(x))[1], -1000, 1000)) if x > 0 else 1.0


def _blocks(result: NDArray) -> list[slice]:
    step = max(1, _BLOCK // max(1, result.shape[1]))
    return [slice(i, min(i + step, len(result))) for i in range(0, len(result), step)]
