"""Lloyd's algorithm: labels and centres by turns, with bounds that spare rows whose label is sure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.tabular.clusters.kmeans_kernels import assign, assign_and_sum, assign_where_open, squared_distances

_SEGMENTS = 16  # parts that are summed apart and then in order, whatever the number of threads
_SMALL = 4096  # rows of a part at least
_WORTH = 512  # numbers in all centres from which on bounds may pay
_CALM = 0.15  # share of rows that changed their label below which bounds are tried
_OPEN = 0.6  # share of rows whose bounds leave them open above which bounds are given up

Algorithm = Literal["auto", "lloyd", "hamerly"]


class LloydRun(NamedTuple):
    """Where Lloyd's algorithm stopped."""

    inertia: float  # sum of w_i |x_i - c_(l_i)|^2
    labels: NDArray[np.int32]  # (n,)
    centres: NDArray  # (k, p), of the rows' dtype
    n_iter: int
    scanned: float  # comparisons with all centres, as a share of rows x iterations


def lloyd(
    rows: ArrayLike,
    centres: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    max_iter: int = 300,
    tol: float = 0.0,
    algorithm: Algorithm = "auto",
    n_threads: int = 1,
) -> LloydRun:
    """Lower sum_i w_i |x_i - c_(l_i)|^2 by turns: l_i = argmin_j |x_i - c_j|, c_j = weighted mean of its rows.

    Stops at a fixed point, where no label changes. "hamerly" keeps an upper bound on each row's distance from its own
    centre and a lower one on that from any other, and looks only at rows where they overlap: the same labels.

    Args:
        rows: finite, shape (n, p), float32 or float64; better centred, for distances come from products.
        centres: to start from, shape (k, p).
        weight: >= 0, shape (n,); None means 1.
        max_iter: turns at most, >= 1.
        tol: it also stops when the squared shift of all centres is at most this, >= 0.
        algorithm: "lloyd" compares every row with every centre in each turn; "auto" changes to bounds once few labels
            change, and back where the bounds leave most rows open.
        n_threads: >= 1; the answer does not depend on it.

    Returns:
        Inertia, labels, centres, turns taken, and the share of comparisons that bounds did not spare.

    Raises:
        ValueError: if an argument is of another shape or out of range.

    Cost: 2 n k p operations a turn as matrix products, or those of the open rows alone; memory 16 k p numbers, and 28
        bytes a row with bounds.
    Deviations:
        1. float32 rows are summed in float64.
        2. A centre that loses all its rows moves to the row farthest from its own centre, of equally far rows the
            first. Where no row is away from its centre, it stays.
        3. Bounds are widened by the rounding of the products, so that they spare no row that comes near a tie.
    References: Lloyd 1982, IEEE Trans. Information Theory 28(2), section III; Hamerly 2010, SIAM Data Mining,
        algorithm 1 (one lower bound a row).
    Peer: sklearn.cluster.KMeans from the same centres, every turn, float64, 1e-12 (A).
    In production: `breadth.tabular.KMeans` draws the centres and centres the rows.
    """
    X = np.asarray(rows)
    X = np.ascontiguousarray(X, dtype=np.float32 if X.dtype == np.float32 else np.float64)
    if X.ndim != 2 or X.size == 0:
        raise ValueError(f"rows must have shape (n, p), got {X.shape}")
    c = np.array(centres, dtype=X.dtype, order="C")
    if c.ndim != 2 or len(c) == 0 or c.shape[1] != X.shape[1]:
        raise ValueError(f"centres must have shape (k, {X.shape[1]}), got {c.shape}")
    w = np.ones(len(X), X.dtype) if weight is None else np.asarray(weight, dtype=X.dtype)
    if w.shape != (len(X),) or not (w >= 0).all():
        raise ValueError(f"weight must be >= 0 and of shape ({len(X)},), got shape {w.shape}")
    for name, value, least in (("max_iter", max_iter, 1), ("tol", tol, 0), ("n_threads", n_threads, 1)):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if algorithm not in ("auto", "lloyd", "hamerly"):
        raise ValueError(f"algorithm must be 'auto', 'lloyd' or 'hamerly', got {algorithm!r}")
    with announced(), one_thread(), pooled(n_threads) as pool:
        return _Turns(X, w, c, algorithm, pool).run(max_iter, tol)


class _Turns:
    """The state between turns."""

    def __init__(self, rows: NDArray, weight: NDArray, centres: NDArray, algorithm: Algorithm, pool: Any):
        self.rows, self.weight, self.centres, self.pool = rows, weight, centres, pool
        self.parts = _segments(len(rows))
        k, p = centres.shape
        self.labels = np.full(len(rows), -1, dtype=np.int32)
        self.total, self.mass = np.empty((len(self.parts), k, p)), np.empty((len(self.parts), k))
        self.may_bound = k > 1 and (algorithm == "hamerly" or (algorithm == "auto" and k * p >= _WORTH))
        self.always = algorithm == "hamerly"
        self.bounded = False
        self.scanned = 0

    def run(self, max_iter: int, tol: float) -> LloydRun:
        same = False
        turn = 0
        before = self.labels.copy()
        while turn < max_iter:
            turn += 1
            self._assign()
            sums, masses = self.total.sum(axis=0), self.mass.sum(axis=0)
            _refill_empty(self.rows, self.weight, self.centres, self.labels, sums, masses)
            moved = np.where(masses[:, None] > 0, sums / np.where(masses > 0, masses, 1)[:, None], self.centres)
            moved = moved.astype(self.rows.dtype)
            squares = ((moved.astype(np.float64) - self.centres) ** 2).sum(axis=1)
            self.centres = moved
            changed = int(np.count_nonzero(self.labels != before))
            same = changed == 0
            if same:
                break
            before = self.labels.copy()
            self._choose(changed, np.sqrt(squares))
            if float(squares.sum()) <= tol:
                break
        if not same:  # the labels are those of the centres before the last turn
            self._assign(last=True)
        inertia = float(from_own(self.rows, self.centres, self.labels) @ self.weight.astype(np.float64))
        share = self.scanned / (len(self.rows) * (turn + (not same)))
        return LloydRun(inertia, self.labels, self.centres, turn, share)

    def _assign(self, last: bool = False) -> None:
        """Labels and sums for the centres as they are; at the `last` time labels alone."""
        half_square = half_squares(self.centres)
        if self.bounded:
            self.open = sum(self.pool(lambda s: self._where_open(s, half_square), range(len(self.parts))))
            self.scanned += self.open
            return
        self.scanned += len(self.rows)
        if last:
            list(self.pool(lambda p: assign(self.rows[p], self.centres, half_square, self.labels[p]), self.parts))
            return
        self.total[:], self.mass[:] = 0, 0

        def work(s: int) -> None:
            p = self.parts[s]
            rows, weight, labels = self.rows[p], self.weight[p], self.labels[p]
            assign_and_sum(rows, weight, self.centres, half_square, labels, self.total[s], self.mass[s])

        list(self.pool(work, range(len(self.parts))))

    def _where_open(self, s: int, half_square: NDArray) -> int:
        p = self.parts[s]
        return assign_where_open(
            self.rows[p], self.weight[p], self.square[p], self.centres, half_square, self.largest, self.slack,
            self.moves, self.half_gap, self.labels[p], self.upper[p], self.lower[p], self.total[s], self.mass[s],
            self.count[s],
        )  # fmt: skip

    def _choose(self, changed: int, moved: NDArray) -> None:
        """Whether the next turn uses bounds, and what they need."""
        n, (k, p) = len(self.rows), self.centres.shape
        if self.bounded and not self.fresh and self.open > _OPEN * n and not self.always:
            self.bounded = self.may_bound = False
        if self.may_bound and not self.bounded and (self.always or changed < _CALM * n):
            self.bounded = self.fresh = True
            self.square = np.einsum("ij,ij->i", self.rows, self.rows, dtype=np.float64)
            self.slack = 4 * (p + 8) * float(np.finfo(self.rows.dtype).eps)
            self.upper, self.lower = np.empty(n), np.empty(n)
            self.count = np.zeros((len(self.parts), k), dtype=np.int64)
            self.total[:], self.mass[:] = 0, 0
            self.labels = np.full(n, -1, dtype=np.int32)
        elif self.bounded:
            self.fresh = False
        if not self.bounded:
            return
        centres = self.centres.astype(np.float64)
        lengths = np.einsum("ij,ij->i", centres, centres)
        self.largest = float(np.sqrt(lengths.max()))
        others = np.full(k, moved.max())
        if k > 1:
            others[moved.argmax()] = np.partition(moved, -2)[-2]
        self.moves = np.vstack([moved, others]) * (1 + 1e-9)
        gaps = lengths[:, None] + lengths - 2 * centres @ centres.T - 1e-12 * lengths.max()
        np.fill_diagonal(gaps, np.inf)
        self.half_gap = 0.5 * np.sqrt(np.maximum(gaps.min(axis=1), 0)) * (1 - 1e-9)


def nearest_centres(rows: NDArray, centres: NDArray, *, n_threads: int = 1) -> NDArray[np.int32]:
    """Index of each row's nearest centre by Euclidean distance, of equally near ones the first.

    Args:
        rows: shape (n, p), float32 or float64, contiguous.
        centres: shape (k, p), of the same dtype.
        n_threads: >= 1; the answer does not depend on it.

    Returns:
        Shape (n,).
    """
    labels = np.empty(len(rows), dtype=np.int32)
    centres = np.ascontiguousarray(centres)
    half_square = half_squares(centres)
    with announced(), one_thread(), pooled(n_threads) as pool:
        parts = _segments(len(rows))
        list(pool(lambda part: assign(rows[part], centres, half_square, labels[part]), parts))
    return labels


def half_squares(centres: NDArray) -> NDArray:
    return (0.5 * np.einsum("ij,ij->i", centres, centres, dtype=np.float64)).astype(centres.dtype)


def _segments(n: int) -> list[slice]:
    step = max(_SMALL, -(-n // _SEGMENTS))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


class pooled:
    """Context in which `pool(function, parts)` maps, on threads if there are several."""

    def __init__(self, n_threads: int) -> None:
        self._threads = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def __enter__(self):
        return map if self._threads is None else self._threads.map

    def __exit__(self, *error: object) -> None:
        if self._threads is not None:
            self._threads.shutdown()


def from_own(rows: NDArray, centres: NDArray, labels: NDArray[np.int32]) -> NDArray[np.float64]:
    out = np.empty(len(rows))
    squared_distances(rows, centres, labels, out)
    return out


def _refill_empty(
    rows: NDArray, weight: NDArray, centres: NDArray, labels: NDArray[np.int32], sums: NDArray, masses: NDArray
) -> None:
    """Give each cluster without weight the row farthest from its centre, which leaves its own cluster's sum."""
    empty = np.flatnonzero(masses == 0)
    if not len(empty):
        return
    distance = np.where(weight > 0, from_own(rows, centres, labels), 0.0)
    farthest = np.argsort(-distance, kind="stable")[: len(empty)]
    for cluster, row in zip(empty, farthest, strict=True):
        if distance[row] == 0:
            return
        w, own = float(weight[row]), labels[row]
        sums[own] -= w * rows[row].astype(np.float64)
        masses[own] -= w
        sums[cluster] = w * rows[row].astype(np.float64)
        masses[cluster] = w
