"""Similarity of the rows of sparse matrices, and the nearest rows of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.recommend.ranking_kernels import keep_best

Similarity = Literal["cosine", "adjusted_cosine", "pearson", "jaccard"]
_ROWS = 256  # rows whose similarities to all others are held at a time
_ROUNDING = 1e-12  # a similarity below it, and a variance below this share of its parts, is rounding


def check_similarity(similarity: str, shrinkage: float) -> None:
    """Raise ValueError if either is out of its range."""
    if similarity not in get_args(Similarity):
        raise ValueError(f"similarity must be one of {', '.join(map(repr, get_args(Similarity)))}, got {similarity!r}")
    if not 0 <= shrinkage < np.inf:
        raise ValueError(f"shrinkage must be a finite number >= 0, got {shrinkage!r}")


def similarity_block(
    left: sp.csr_array, right: sp.csr_array, similarity: Similarity, shrinkage: float, *, own: bool
) -> Callable[[slice], NDArray[np.float64]]:
    """A function from a slice of left's rows to their similarities with every row of right, (rows, right's rows).

    cosine: a . b / (|a| |b|). adjusted_cosine: the same after each column's mean over right's entries is taken from its
    entries. pearson: correlation over the columns that both rows store. jaccard: columns that both store over columns
    that either stores. Each times n / (n + shrinkage) with n the columns that both store; 0 where it is 0 / 0.

    Args:
        left, right: CSR of equal width; what is not stored is unknown ("pearson", "jaccard") or 0.
        similarity, shrinkage: as above.
        own: left is right.
    """
    if similarity == "adjusted_cosine":
        count = np.bincount(right.indices, minlength=right.shape[1])
        mean = np.bincount(right.indices, right.data, minlength=right.shape[1]) / np.maximum(count, 1)
        left, right = (_with(m, m.data - mean[m.indices]) for m in (left, right))
    if similarity == "pearson":  # a shift of a row changes no correlation, and leaves smaller numbers to subtract
        left = _centred_rows(left)
        right = left if own else _centred_rows(right)
    ones = _with(right, np.ones(right.nnz)).T.tocsr()
    turned = right.T.tocsr()
    squares = _with(right, right.data**2).T.tocsr()
    size_left, size_right = (np.sqrt(_with(m, m.data**2).sum(axis=1)) for m in (left, right))
    n_left, n_right = np.diff(left.indptr), np.diff(right.indptr)

    def rows(part: slice) -> NDArray[np.float64]:
        a = left[part]
        mask = _with(a, np.ones(a.nnz))
        both = (mask @ ones).toarray() if similarity in ("pearson", "jaccard") or shrinkage else None
        if similarity == "jaccard":
            assert both is not None
            value = _divide(both, n_left[part, None] + n_right - both)
        elif similarity == "pearson":
            assert both is not None
            n = np.maximum(both, 1.0)
            sum_a, sum_b = (a @ ones).toarray(), (mask @ turned).toarray()
            square_a, square_b = (_with(a, a.data**2) @ ones).toarray(), (mask @ squares).toarray()
            spread_a, spread_b = square_a - sum_a**2 / n, square_b - sum_b**2 / n
            spread_a[spread_a <= _ROUNDING * square_a] = 0.0
            spread_b[spread_b <= _ROUNDING * square_b] = 0.0
            value = _divide((a @ turned).toarray() - sum_a * sum_b / n, np.sqrt(spread_a * spread_b))
            np.clip(value, -1.0, 1.0, out=value)
        else:
            value = _divide((a @ turned).toarray(), size_left[part, None] * size_right)
        value[np.abs(value) < _ROUNDING] = 0.0  # rows at right angles are not near each other
        if shrinkage:
            assert both is not None
            value *= both / (both + shrinkage)
        return value

    return rows


def nearest_rows(
    rows: Callable[[slice], NDArray[np.float64]], n_left: int, n_right: int, k: int, *, own: bool
) -> sp.csr_array:
    """The k largest similarities above 0 of each row, of equal ones the lower column: sparse (n_left, n_right).

    Args:
        rows: gives the similarities of a slice of rows.
        n_left, n_right: its shape for all rows.
        k: largest ones to keep, >= 1.
        own: leave the diagonal out.
    """
    k = min(k, n_right)
    best, column = np.empty((n_left, k)), np.empty((n_left, k), dtype=np.int64)
    for first in range(0, n_left, _ROWS):
        part = slice(first, min(first + _ROWS, n_left))
        block = np.ascontiguousarray(rows(part))
        diagonal = np.arange(part.start, part.stop)
        indptr = np.arange(len(block) + 1) if own else np.zeros(len(block) + 1, dtype=np.int64)
        with announced():
            keep_best(block, indptr, diagonal, best[part], column[part])
    kept = best > 0
    indptr = np.r_[0, np.cumsum(kept.sum(axis=1))]
    near = sp.csr_array((best[kept], column[kept], indptr), shape=(n_left, n_right))
    near.sort_indices()
    return near


def _with(matrix: sp.csr_array, data: NDArray) -> sp.csr_array:
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _centred_rows(matrix: sp.csr_array) -> sp.csr_array:
    count = np.diff(matrix.indptr)
    mean = matrix.sum(axis=1) / np.maximum(count, 1)
    return _with(matrix, matrix.data - np.repeat(mean, count))


def _divide(above: NDArray, below: NDArray) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(below, dtype=np.float64), where=below > 0)
