"""Exact nearest neighbours by a tree over the directions in which the points spread, where that pays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.tabular.neighbors.index import Metric, NeighborIndex
from breadth.tabular.neighbors.tree_kernels import keep_nearest_in_tree

Algorithm = Literal["auto", "brute", "kd_tree"]
_LEAF = 24  # points of a leaf at most
_DIRECTIONS = 8  # that a tree looks at, at most
_SHARE = 0.999  # of the variance that these should hold
_FEWEST = 4096  # points from which on a tree may pay
_TRIALS = 64  # queries that tell whether it does
_QUERIES = 64  # queries a block
_NANOSECONDS = (
    6.0,
    1.0,
    10.0,
    1.3,
    0.06,
)  # of a projected distance and its coordinate, a true one and its, of a product


@dataclass(frozen=True, slots=True)
class NeighborTree:
    """Points sorted into boxes by their coordinates along at most 8 principal directions.

    A distance between projections is no larger than the true one, so a box that is too far cannot hold a neighbour;
    what is left is compared by differences of the rows as given. So the answer is that of a plain double loop, to the
    last bit, as `NeighborIndex` gives it.
    """

    points: NDArray[np.float64]  # (n, p)
    centre: NDArray[np.float64]  # (p,)
    directions: NDArray[np.float64]  # (p, m), orthonormal
    radius: float  # at least the largest distance from the centre
    leaves: NDArray[np.float64]  # (n, m) projected, leaf after leaf
    order: NDArray[np.int64]  # (n,)
    low: NDArray[np.float64]  # (nodes, m)
    high: NDArray[np.float64]  # (nodes, m)
    edges: NDArray[np.int64]  # (leaf count + 1,)

    @classmethod
    def build(cls, points: NDArray[np.float64]) -> NeighborTree:
        """Sort points, shape (n, p), finite, into boxes."""
        n, p = points.shape
        centre = points.mean(axis=0)
        y = points - centre
        extent = float(np.abs(y).max(initial=0.0)) or 1.0
        with one_thread():
            values, vectors = np.linalg.eigh((y / extent).T @ (y / extent))
        held = np.cumsum(values[::-1]) / max(values.sum(), 1e-300)
        m = min(int(np.searchsorted(held, _SHARE)) + 1, _DIRECTIONS, p)
        directions = np.ascontiguousarray(vectors[:, ::-1][:, :m])
        z = y @ directions
        depth = max(0, int(np.ceil(np.log2(n / _LEAF)))) if n > _LEAF else 0
        low, high = np.empty((2 ** (depth + 1) - 1, m)), np.empty((2 ** (depth + 1) - 1, m))
        order = np.arange(n)
        edges = np.array([0, n])
        for level in range(depth + 1):
            first = 2**level - 1
            for j in range(2**level):
                part = order[edges[j] : edges[j + 1]]
                own = z[part]
                low[first + j], high[first + j] = own.min(axis=0), own.max(axis=0)
                if level < depth:
                    widest = int((high[first + j] - low[first + j]).argmax())
                    order[edges[j] : edges[j + 1]] = part[np.argpartition(own[:, widest], len(part) // 2)]
            if level < depth:
                middle = edges[:-1] + (edges[1:] - edges[:-1]) // 2
                edges = np.append(np.column_stack([edges[:-1], middle]).ravel(), n)
        radius = extent * np.sqrt(p)
        return cls(points, centre, directions, radius, z[order], order, low, high, edges)

    def search(self, queries: NDArray[np.float64], k: int, n_threads: int = 1) -> tuple[NDArray, NDArray]:
        """As `NeighborIndex.search`."""
        distance, index = np.full((len(queries), k), np.inf), np.full((len(queries), k), np.iinfo(np.int64).max)
        starts = range(0, len(queries), _QUERIES)

        def work(start: int) -> None:
            self._fill(slice(start, start + _QUERIES), queries, distance, index)

        with announced(), one_thread():
            if n_threads == 1 or len(starts) == 1:
                for start in starts:
                    work(start)
            else:
                with ThreadPoolExecutor(n_threads) as pool:
                    list(pool.map(work, starts))
        if not np.isfinite(distance).all():
            raise ValueError("X: distances to the training rows overflow float64 (entries beyond 1e153): rescale X")
        return np.sqrt(distance), index

    def _fill(self, rows: slice, queries: NDArray, distance: NDArray, index: NDArray) -> NDArray[np.int64]:
        own = np.ascontiguousarray(queries[rows])
        p = own.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            y = own - self.centre
            size = np.sqrt(np.einsum("ij,ij->i", y, y)) + self.radius
            # the rotation errs by p eps of a length in each direction, and so do the directions
            slack = 64 * (p + 8) * np.finfo(np.float64).eps * size**2 + 1e-300
            slack[~np.isfinite(slack)] = np.inf
            projected = y @ self.directions
        looked = np.zeros(2, dtype=np.int64)
        keep_nearest_in_tree(
            own, projected, slack, self.points, self.leaves, self.order, self.low, self.high, self.edges,
            distance[rows], index[rows], looked,
        )  # fmt: skip
        by_rank = np.lexsort((index[rows], distance[rows]), axis=-1)
        index[rows] = np.take_along_axis(index[rows], by_rank, axis=1)
        distance[rows] = np.take_along_axis(distance[rows], by_rank, axis=1)
        return looked

    def pays(self, k: int) -> bool:
        """Whether it looks at so few points, for some of its own, that comparing all would take longer."""
        n, p = self.points.shape
        k = min(k + 1, n)
        trial = np.ascontiguousarray(self.points[np.linspace(0, n - 1, _TRIALS).astype(int)])
        looked = np.zeros(2)
        with announced():
            for start in range(0, _TRIALS, _QUERIES):
                distance = np.full((_TRIALS, k), np.inf)
                index = np.full((_TRIALS, k), np.iinfo(np.int64).max)
                looked += self._fill(slice(start, start + _QUERIES), trial, distance, index)
        seen, compared = looked / _TRIALS
        each, coordinate, true, own, product = _NANOSECONDS
        m = self.directions.shape[1]
        return bool(seen * (each + coordinate * m) + compared * (true + own * p) < 0.7 * product * n * (p + 4))


def build_index(
    points: NDArray[np.float64], metric: Metric, algorithm: Algorithm, k: int
) -> NeighborIndex | NeighborTree:
    """Points prepared for exact search, by a tree where that is asked for, or pays for k neighbours."""
    if metric == "euclidean" and algorithm != "brute" and (algorithm == "kd_tree" or len(points) >= _FEWEST):
        size = float(np.abs(points).max(initial=0.0))
        if algorithm == "kd_tree" or 1e-140 < size < 1e140:
            tree = NeighborTree.build(points)
            if algorithm == "kd_tree" or tree.pays(k):
                return tree
    return NeighborIndex.build(points, metric)
