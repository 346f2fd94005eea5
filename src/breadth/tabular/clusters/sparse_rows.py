"""What k-means asks of sparse rows, none of which is ever made dense."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.tabular.clusters.lloyd import pooled
from breadth.tabular.clusters.sparse_kernels import (
    assign_sparse,
    squares,
    squares_from_all,
    squares_from_own,
    squares_from_row,
    squares_sparse,
)

_PARTS = 32  # that are computed apart, whatever the number of threads
_LEAST = 20_000  # operations of a part at least


class Compressed(NamedTuple):
    """A compressed sparse matrix as kernels read it: of one type of index, and without a sign."""

    data: NDArray
    indices: NDArray[np.uint32]
    starts: NDArray[np.uint64]


def canonical(X: Any) -> Any:
    """CSR with rising columns and one entry a place; a copy where X is otherwise."""
    if len(X.indices) and not 0 <= X.indices.min() <= X.indices.max() < X.shape[1]:
        raise ValueError(f"X's column indices must be in [0, {X.shape[1]}), got one outside")
    if not X.has_canonical_format or len(X.indices) > X.indptr[-1]:
        X = X.copy()
        X.sum_duplicates()
        X.prune()
    return X


def compressed(X: Any) -> Compressed:
    """The arrays of a CSR or CSC matrix; they are X's own where X has 32-bit indices."""
    if max(X.shape) > np.iinfo(np.int32).max:
        raise ValueError(f"X must have fewer than 2**31 rows and columns, got shape {X.shape}")
    indices = X.indices.astype(np.int32, copy=False).view(np.uint32)
    return Compressed(X.data, indices, X.indptr.astype(np.int64, copy=False).view(np.uint64))


def shares(starts: NDArray[np.uint64], each: int, every: int) -> list[tuple[int, int]]:
    """Runs of rows (or columns) with about equal work: `each` for an entry and `every` for a row."""
    n = len(starts) - 1
    work = (starts - starts[0]).astype(np.float64) * each + np.arange(n + 1.0) * every
    parts = int(np.clip(work[-1] // _LEAST, 1, _PARTS))
    cuts = np.unique(np.searchsorted(work, work[-1] * np.arange(parts + 1) / parts))
    return [(int(first), int(last)) for first, last in pairwise(cuts)]


def nearest_of_sparse(X: Any, centres: NDArray, n_threads: int) -> NDArray[np.int32]:
    """Index of each row's nearest centre, of equally near ones the first: X CSR (n, p), centres (k, p)."""
    rows, columns = compressed(X), np.ascontiguousarray(centres.T)
    half_square = 0.5 * np.einsum("ij,ij->i", centres, centres)
    labels = np.empty(X.shape[0], dtype=np.int32)
    with announced(), one_thread(), pooled(n_threads) as pool:
        parts = shares(rows.starts, columns.shape[1], columns.shape[1])
        list(pool(lambda part: assign_sparse(*rows, part[0], part[1], columns, half_square, labels), parts))
    return labels


def own_squares_of_sparse(X: Any, centres: NDArray, labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """|x - c|^2 of each row from the centre of its label, shape (n,)."""
    length, out = np.empty(len(centres)), np.empty(X.shape[0])
    with announced():
        squares(centres, length)
        squares_from_own(*compressed(X), centres, length, labels, out)
    return out


def all_squares_of_sparse(X: Any, centres: NDArray, n_threads: int) -> NDArray[np.float64]:
    """|x - c_j|^2 of each row from every centre, shape (n, k)."""
    rows, columns = compressed(X), np.ascontiguousarray(centres.T)
    length, out = np.empty(len(centres)), np.empty((X.shape[0], len(centres)))
    with announced(), pooled(n_threads) as pool:
        squares(centres, length)
        parts = shares(rows.starts, len(centres), len(centres))
        list(pool(lambda part: squares_from_all(*rows, part[0], part[1], columns, length, out), parts))
    return out


def variance_of_sparse(X: Any) -> float:
    """Mean over columns of their variance, from differences."""
    n, p = X.shape
    data = X.data.astype(np.float64, copy=False)
    mean = np.bincount(X.indices, weights=data, minlength=p) / n
    stored = ((data - mean[X.indices]) ** 2).sum()
    absent = n - np.bincount(X.indices, minlength=p)
    return float((stored + absent @ mean**2) / (n * p))


class SquaresBetween:
    """|x_i - x_j|^2 between rows, some against all; the entries are kept once more, column by column."""

    def __init__(self, X: Any, n_threads: int):
        self.rows, self.by_column, self.n_threads = compressed(X), compressed(X.tocsc()), n_threads
        self.square = np.empty(X.shape[0])
        with announced():
            squares_sparse(self.rows.data, self.rows.starts, self.square)

    def __call__(self, which: NDArray[np.int64]) -> NDArray:
        """For j in `which`: shape (which, n), of X's dtype, in which scikit-learn draws seeds."""
        out = np.empty((len(which), len(self.square)))
        data, indices, starts = self.rows

        def work(c: int) -> None:
            entries = slice(int(starts[which[c]]), int(starts[which[c] + 1]))
            squares_from_row(*self.by_column, data[entries], indices[entries], self.square, which[c], out[c])

        with announced(), pooled(self.n_threads) as pool:
            list(pool(work, range(len(which))))
        return out.astype(data.dtype, copy=False)
