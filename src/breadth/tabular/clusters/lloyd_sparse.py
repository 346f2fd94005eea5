"""Lloyd's algorithm on sparse rows, which are not centred, for that would fill them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.tabular.clusters.lloyd import LloydRun, pooled
from breadth.tabular.clusters.sparse_kernels import assign_sparse, mean_columns
from breadth.tabular.clusters.sparse_rows import compressed, own_squares_of_sparse, shares


def lloyd_sparse(
    rows: Any, centres: NDArray, *, weight: NDArray, max_iter: int = 300, tol: float = 0.0, n_threads: int = 1
) -> LloydRun:
    """`lloyd` for sparse rows: lower sum_i w_i |x_i - c_(l_i)|^2 by turns over labels and centres.

    Args:
        rows: finite, scipy CSR of shape (n, p), float32 or float64, with rising columns and one entry a place.
        centres: to start from, shape (k, p), of the same dtype.
        weight: >= 0, shape (n,).
        max_iter: turns at most, >= 1.
        tol: it stops at a fixed point, or when the squared shift of all centres is at most this, >= 0.
        n_threads: >= 1; the answer does not depend on it.

    Returns:
        Inertia, labels, centres and turns taken.

    Cost: a turn takes 2 k operations for each entry of the rows, and a few for each of the centres; memory the rows
        once more, column by column, and 2 k p numbers.
    Deviations: every row is compared with every centre; the rest is as in `lloyd`.
    References: Lloyd 1982, IEEE Trans. Information Theory 28(2), section III.
    Peer: sklearn.cluster.KMeans from the same centres, every turn, float64, 1e-12 (A).
    In production: `breadth.tabular.KMeans` draws the centres.
    """
    by_row, by_column = compressed(rows), compressed(rows.tocsc())
    k = len(centres)
    columns = np.ascontiguousarray(centres.T)  # (p, k)
    moved = np.empty_like(columns)
    # rows of length 1 tie where they share no column with any of them; summed as scikit-learn does, to the same end
    length = np.einsum("ij,ij->i", centres, centres).astype(np.float64)
    labels = np.full(rows.shape[0], -1, dtype=np.int32)
    row_parts, column_parts = shares(by_row.starts, k, k), shares(by_column.starts, 1, k)
    shift_of, length_of = np.empty((2, len(column_parts), k))

    with announced(), one_thread(), pooled(n_threads) as pool:

        def assign() -> None:
            half = (0.5 * length).astype(columns.dtype)
            list(pool(lambda part: assign_sparse(*by_row, part[0], part[1], columns, half, labels), row_parts))

        def move(owner: NDArray[np.int32], mass: NDArray) -> None:
            shift_of[:], length_of[:] = 0, 0

            def work(s: int) -> None:
                state = (columns, moved, shift_of[s], length_of[s])
                mean_columns(*by_column, *column_parts[s], weight, owner, mass, *state)

            list(pool(work, range(len(column_parts))))

        same, turn = False, 0
        while turn < max_iter:
            turn += 1
            before = labels.copy()
            assign()
            move(*_with_refilled(rows, weight, columns, labels))
            columns, moved = moved, columns
            length = length_of.sum(axis=0)
            same = np.array_equal(labels, before)
            if same or float(shift_of.sum()) <= tol:
                break
        if not same:  # the labels are those of the centres before the last turn
            assign()
    found = np.ascontiguousarray(columns.T)
    inertia = float(own_squares_of_sparse(rows, found, labels) @ weight.astype(np.float64))
    return LloydRun(inertia, labels, found, turn, 1.0)


def _with_refilled(
    rows: Any, weight: NDArray, columns: NDArray, labels: NDArray[np.int32]
) -> tuple[NDArray[np.int32], Any]:
    """Whose mean each row enters, and the weight of each: clusters without any get the rows farthest from their own."""
    k = columns.shape[1]
    mass = np.bincount(labels, weights=weight, minlength=k)
    empty = np.flatnonzero(mass == 0)
    if not len(empty):
        return labels, mass
    owner = labels.copy()
    distance = np.where(weight > 0, own_squares_of_sparse(rows, np.ascontiguousarray(columns.T), labels), 0.0)
    for cluster, row in zip(empty, np.argsort(-distance, kind="stable"), strict=False):
        if distance[row] == 0:
            break
        owner[row] = cluster
    return owner, np.bincount(owner, weights=weight, minlength=k)
