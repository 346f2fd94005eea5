"""Exact nearest neighbours where distances are given, or come from a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.tabular.neighbors.index import search_by_blocks
from breadth.tabular.neighbors.index_kernels import keep_smallest

_QUERIES = 64  # queries a block


@dataclass(frozen=True, slots=True)
class TableIndex:
    """Training rows of which every distance from every query is looked at once."""

    points: Any  # (n, p), dense or CSR; precomputed: their distances from each other, (n, n)
    between: Callable[[Any, Any], float] | None  # of two rows; None where queries are distances (q, n), dense or CSR

    def search(self, queries: Any, k: int, n_threads: int = 1) -> tuple[NDArray, NDArray]:
        """As `NeighborIndex.search`; a function is called in one thread."""

        def fill(rows: slice, distance: NDArray, index: NDArray) -> None:
            values = _given(queries[rows]) if self.between is None else self._measured(queries[rows])
            keep_smallest(values, distance, index)

        threads = n_threads if self.between is None else 1
        distance, index = search_by_blocks(fill, queries.shape[0], k, threads, _QUERIES)
        if np.isinf(distance).any():
            row = int(np.isinf(distance).any(axis=1).argmax())
            raise ValueError(
                f"X: {k} distances of each row are needed, row {row} holds {np.isfinite(distance[row]).sum()}"
            )
        return distance, index

    def _measured(self, queries: Any) -> NDArray[np.float64]:
        """The function's distances (queries, n): of vectors, or of sparse rows where the points are sparse."""
        points, between = self.points, self.between
        assert between is not None
        if sp.issparse(points):
            left = [sp.csr_array(queries)[[i]] for i in range(queries.shape[0])]
            right = [points[[j]] for j in range(points.shape[0])]
        else:
            left, right = queries, points
        values = np.array([[between(x, y) for y in right] for x in left], dtype=np.float64)
        if values.ndim != 2 or not np.isfinite(values).all():
            raise ValueError(
                f"metric must return a finite number for each pair of rows, got {values[~np.isfinite(values)][:1]}"
            )
        return values


def _given(queries: Any) -> NDArray[np.float64]:
    """Distances as they are; what a sparse matrix does not hold is no neighbour."""
    if not sp.issparse(queries):
        return np.ascontiguousarray(queries)
    entries = queries.tocoo()  # those that are 0 too
    values = np.full(queries.shape, np.inf)
    values[entries.row, entries.col] = entries.data
    return values
