"""Exact nearest neighbours by comparing all: a screen by matrix products, and what it leaves by differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.tabular.neighbors.index_kernels import keep_nearest_euclidean, keep_nearest_manhattan

_QUERIES = 256  # queries a block
_POINTS = 1024  # points a block: 256 x 1,024 screened distances are 1 MiB, which stays in cache
_TILE = 512  # points summed side by side for the Manhattan distance
_FAR = 1e15  # a query this many times further out than any point would overflow float32

Metric = Literal["euclidean", "manhattan"]


@dataclass(frozen=True, slots=True)
class NeighborIndex:
    """Points prepared for exact search.

    Euclidean search screens in float32 with a matrix product on rows centred at the points' mean and scaled into the
    unit ball, |y|^2 - 2 x.y, and computes in float64, from differences of the rows as given, each distance that the
    screening's error bound cannot rule out. So the answer is that of a plain double loop, to the last bit.
    """

    points: NDArray[np.float64]  # (n, p)
    metric: Metric
    centre: NDArray[np.float64]  # (p,)
    scale: float  # largest distance of a point from the centre
    screened: NDArray[np.float32]  # (p + 1, n): y, |y|^2 below
    radius: NDArray[np.float64]  # largest |y| in each block of points
    columns: NDArray[np.float64]  # (p, n) for the Manhattan distance, else empty

    @classmethod
    def build(cls, points: NDArray[np.float64], metric: Metric) -> NeighborIndex:
        """Prepare points, shape (n, p), finite."""
        n, p = points.shape
        if metric == "manhattan":
            columns = np.ascontiguousarray(points.T)
            return cls(points, metric, np.zeros(p), 1.0, np.zeros((0, 0), np.float32), np.zeros(0), columns)
        centre = points.mean(axis=0)
        y = points - centre
        extent = np.abs(y).max(initial=0.0)
        scale = float(extent * np.linalg.norm(y / extent, axis=1).max()) if extent > 0 else 1.0
        y /= scale
        square = np.einsum("ij,ij->i", y, y)
        screened = np.vstack([y.T, square]).astype(np.float32)
        radius = np.sqrt(np.maximum.reduceat(square, np.arange(0, n, _POINTS)))
        return cls(points, metric, centre, scale, screened, radius, np.zeros((0, 0)))

    def search(self, queries: NDArray[np.float64], k: int, n_threads: int = 1) -> tuple[NDArray, NDArray]:
        """The k nearest points of each query, nearest first, equal distances by lower index.

        Args:
            queries: shape (q, p), finite.
            k: neighbours, in [1, n].
            n_threads: blocks of queries searched at a time, >= 1; the answer does not depend on it.

        Returns:
            Distances (q, k) and indices (q, k).

        Raises:
            ValueError: if the distance (Euclidean: its square) of a query from its k nearest overflows float64.
        """
        fill = self._fill_euclidean if self.metric == "euclidean" else self._fill_manhattan

        def work(rows: slice, distance: NDArray, index: NDArray) -> None:
            fill(np.ascontiguousarray(queries[rows]), distance, index)

        distance, index = search_by_blocks(work, len(queries), k, n_threads)
        if not np.isfinite(distance).all():
            raise ValueError("X: distances to the training rows overflow float64 (entries beyond 1e153): rescale X")
        return (np.sqrt(distance) if self.metric == "euclidean" else distance), index

    def screens(self, queries: NDArray) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float64]]]:
        """Of each block of points its first, and what `keep_nearest_euclidean` calls screen and offset."""
        n, p = self.points.shape
        x = (queries - self.centre) / self.scale
        far = np.abs(x).max(axis=1) > _FAR
        x[far] = 0.0
        square = np.einsum("ij,ij->i", x, x)
        left = np.empty((len(x), p + 1), dtype=np.float32)
        left[:, :p] = -2.0 * x
        left[:, p] = 1.0
        screen = np.empty((len(x), min(n, _POINTS)), dtype=np.float32)
        offset = np.empty((len(x), 2))
        offset[:, 0] = 1.0 / self.scale / self.scale
        for block, first in enumerate(range(0, n, _POINTS)):
            right = self.screened[:, first : first + _POINTS]
            out = screen if right.shape[1] == screen.shape[1] else np.empty((len(x), right.shape[1]), np.float32)
            np.matmul(left, right, out=out)
            # A float32 dot product of p + 1 terms errs by at most (p + 1) eps/2 times the sum of their sizes, here
            # below (|x| + |y|)^2; eight times that also covers the rounding of x, y, |y|^2 and the limit itself.
            slack = 4 * (p + 8) * np.finfo(np.float32).eps * (np.sqrt(square) + self.radius[block]) ** 2 + 1e-30
            offset[:, 1] = np.where(far, np.inf, slack - square)
            yield first, out, offset

    def _fill_euclidean(self, queries: NDArray, distance: NDArray, index: NDArray) -> None:
        for first, screen, offset in self.screens(queries):
            keep_nearest_euclidean(screen, first, queries, self.points, offset, distance, index)

    def _fill_manhattan(self, queries: NDArray, distance: NDArray, index: NDArray) -> None:
        keep_nearest_manhattan(queries, self.columns, np.empty(_TILE), distance, index)


def search_by_blocks(
    fill: Callable[[slice, NDArray, NDArray], None], n_queries: int, k: int, n_threads: int, block: int = _QUERIES
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and indices (queries, k), in order, of the heaps that `fill` fills for a block of queries at a time.

    Args:
        fill: called with a slice of queries and with their heaps of distances and of indices, infinite at first.
        n_queries: queries, of which each is answered by itself, whatever the block.
        k: neighbours.
        n_threads: blocks at a time, >= 1.
        block: queries of a block at most.
    """
    distance = np.full((n_queries, k), np.inf)
    index = np.full((n_queries, k), np.iinfo(np.int64).max)
    step = min(block, max(16, -(-n_queries // n_threads)))
    starts = range(0, n_queries, step)

    def work(start: int) -> None:
        rows = slice(start, start + step)
        fill(rows, distance[rows], index[rows])
        order = np.lexsort((index[rows], distance[rows]), axis=-1)
        index[rows] = np.take_along_axis(index[rows], order, axis=1)
        distance[rows] = np.take_along_axis(distance[rows], order, axis=1)

    with announced() if n_queries > 1 else nullcontext(), one_thread(when=n_queries > 1):
        if n_threads == 1 or len(starts) == 1:
            for start in starts:
                work(start)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(work, starts))
    return distance, index
