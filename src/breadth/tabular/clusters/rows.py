"""Rows of k-means, dense or sparse: checked, and compared with centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from breadth.tabular.clusters.lloyd import from_own, nearest_centres
from breadth.tabular.clusters.sparse_rows import (
    all_squares_of_sparse,
    canonical,
    nearest_of_sparse,
    own_squares_of_sparse,
    variance_of_sparse,
)


def validated(model: Any, X: Any, *, reset: bool = True) -> Any:
    """X as contiguous rows or, where it is sparse, as CSR with rising columns and one entry a place; float32 or 64."""
    given = validate_data(model, X, accept_sparse="csr", dtype=[np.float64, np.float32], order="C", reset=reset)
    return canonical(given) if sp.issparse(given) else given


def own_mean(rows: Any) -> NDArray:
    """What rows are centred at: their mean; of sparse rows 0, for centred they would be dense."""
    if sp.issparse(rows):
        return np.zeros(rows.shape[1], rows.dtype)
    return rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)


def centred(rows: Any, at: NDArray) -> Any:
    """rows - at, of the rows' dtype; sparse rows as they are."""
    return rows if sp.issparse(rows) else (rows - at).astype(rows.dtype, copy=False)


def dense(rows: Any, which: NDArray[np.int64]) -> NDArray:
    """Some of the rows, few enough to be dense."""
    return rows[which].toarray() if sp.issparse(rows) else rows[which]


def mean_variance(rows: Any) -> float:
    """Mean over features of their variance."""
    return variance_of_sparse(rows) if sp.issparse(rows) else float(np.var(rows, axis=0, dtype=np.float64).mean())


def nearest(rows: Any, centres: NDArray, *, n_threads: int = 1) -> NDArray[np.int32]:
    """Index of each row's nearest centre, of equally near ones the first, shape (n,)."""
    if sp.issparse(rows):
        return nearest_of_sparse(rows, centres, n_threads)
    return nearest_centres(rows, centres, n_threads=n_threads)


def inertia_of(rows: Any, centres: NDArray, labels: NDArray[np.int32], weight: ArrayLike) -> float:
    """sum_i w_i |x_i - c_(l_i)|^2."""
    own = own_squares_of_sparse if sp.issparse(rows) else from_own
    return float(own(rows, centres, labels) @ np.asarray(weight, dtype=np.float64))


def distances(rows: Any, centres: NDArray, *, n_threads: int = 1) -> NDArray:
    """Distance of each row from each centre, of the rows' dtype, shape (n, k)."""
    if sp.issparse(rows):
        out = all_squares_of_sparse(rows, centres, n_threads)
    else:
        out, first = np.empty((len(rows), len(centres))), np.zeros(len(rows), dtype=np.int32)
        for j in range(len(centres)):
            out[:, j] = from_own(rows, centres[j : j + 1], first)
    return np.sqrt(out).astype(rows.dtype, copy=False)
