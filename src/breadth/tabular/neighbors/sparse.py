"""Exact nearest neighbours among sparse rows: a screen by the columns that rows share, and what it leaves exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.tabular.neighbors.index import search_by_blocks
from breadth.tabular.neighbors.sparse_kernels import COSINE, EUCLIDEAN, MANHATTAN, keep_nearest_sparse

SPARSE_METRICS = {"euclidean": EUCLIDEAN, "manhattan": MANHATTAN, "cosine": COSINE}
_QUERIES = 64  # queries a block
_MOST = 1e150  # entries whose squares stay finite in a sum
_TINY = 1e-300  # more than underflow takes from a sum of squares
_COSINE_SLACK = 1e-14  # more than a root, a product and a quotient round


@dataclass(frozen=True, slots=True)
class SparseIndex:
    """Rows prepared for exact search by the Euclidean, Manhattan or cosine distance.

    A query's non-zeros walk the columns of the rows and sum x.y (Manhattan: |x| + |y| - |x - y|). Cosines come from
    these sums; Euclidean and Manhattan distances, of the rows that the sums cannot rule out up to rounding, from the
    differences of the sparse rows. So distances are those of the same rows, dense, and nothing cancels.
    """

    points: Any  # (n, p) CSR, as given
    metric: str
    rows: tuple[NDArray, NDArray, NDArray]  # values (for cosines each row times a power of 2), columns, starts
    columns: tuple[NDArray, NDArray, NDArray]  # the same by column: values, rows, starts
    sizes: NDArray[np.float64]  # (n,): |y|^2, Manhattan: sum |y|
    base: NDArray[np.float64]  # (n,): of what is screened, see the kernel
    factor: NDArray[np.float64]  # (n,)

    @classmethod
    def build(cls, points: Any, metric: str) -> SparseIndex:
        """Prepare points, (n, p), sparse and finite."""
        points = _canonical(points)
        n = points.shape[0]
        rows, sizes = _by_rows(points, metric)
        turned = sp.csr_array(rows, shape=points.shape).tocsc()
        columns = (turned.data, turned.indices.astype(np.int32), turned.indptr.astype(np.int64))
        if metric == "cosine":
            base, factor = np.zeros(n), np.divide(1.0, np.sqrt(sizes), out=np.zeros(n), where=sizes > 0)
        else:
            base, factor = sizes * (1 - _rounding(points)), np.full(n, 2.0 if metric == "euclidean" else 1.0)
        return cls(points, metric, rows, columns, sizes, base, factor)

    def search(self, queries: Any, k: int, n_threads: int = 1) -> tuple[NDArray, NDArray]:
        """As `NeighborIndex.search`, of sparse or dense queries."""
        queries = _canonical(queries)
        kind = SPARSE_METRICS[self.metric]

        def fill(block: slice, distance: NDArray, index: NDArray) -> None:
            own = queries[block]
            rows, size = _by_rows(own, self.metric)
            # |y|^2 - 2 x.y errs by some eps of |x|^2 + |y|^2; y's part is in its base, x's here
            slack = np.full(len(size), _COSINE_SLACK) if kind == COSINE else size * _rounding(own) + _TINY
            shared = np.empty(len(self.sizes))
            keep_nearest_sparse(
                kind, *rows, *self.rows, *self.columns, size, self.sizes, self.base, self.factor, slack, shared,
                distance, index,
            )  # fmt: skip

        distance, index = search_by_blocks(fill, queries.shape[0], k, n_threads, _QUERIES)
        return (np.sqrt(distance) if kind == EUCLIDEAN else distance), index


def _canonical(matrix: Any) -> Any:
    """CSR with ascending columns, none of them twice and none 0; a copy where the matrix has another form."""
    if max(matrix.shape) > np.iinfo(np.int32).max:
        raise ValueError(f"X: sparse rows may have at most 2^31 - 1 columns and rows, got shape {matrix.shape}")
    rows = sp.csr_array(matrix)
    if not (rows.has_canonical_format and rows.data.all()):
        rows = rows.copy()
        rows.sum_duplicates()
        rows.eliminate_zeros()
    return rows


def _by_rows(matrix: Any, metric: str) -> tuple[tuple[NDArray, NDArray, NDArray], NDArray[np.float64]]:
    """Values, columns and starts of the rows, and |y|^2 of each (Manhattan: sum |y|), summed in order."""
    n, values = matrix.shape[0], matrix.data
    owner = np.repeat(np.arange(n), np.diff(matrix.indptr))
    if metric == "cosine":  # as `scaled_rows` does
        largest = np.zeros(n)
        np.maximum.at(largest, owner, np.abs(values))
        values = np.ldexp(values, -np.frexp(largest)[1][owner])
    elif np.abs(values).max(initial=0.0) > _MOST:
        raise ValueError(f"X: distances of entries beyond {_MOST:.0e} may overflow float64: rescale X")
    part = np.abs(values) if metric == "manhattan" else values * values
    size = np.bincount(owner, part, minlength=n).astype(np.float64, copy=False)
    return (values, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int64)), size


def _rounding(matrix: Any) -> float:
    """Share of the two rows' sizes by which what is screened may err: eps a term, eight times over."""
    return 8 * float(np.finfo(np.float64).eps) * (8 + int(np.diff(matrix.indptr).max(initial=0)))
