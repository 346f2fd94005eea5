"""Exact nearest neighbours by angle: screened as the Euclidean distance of rows of length 1, computed from products."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from breadth.tabular.neighbors.index import NeighborIndex, search_by_blocks
from breadth.tabular.neighbors.index_kernels import keep_nearest_cosine


@dataclass(frozen=True, slots=True)
class CosineIndex:
    """Points prepared for exact search by 1 - x.y / (|x| |y|).

    Of rows of length 1 the squared Euclidean distance is twice the cosine's, so `NeighborIndex` screens them. What it
    leaves is computed in float64 from the rows as given, each times a power of 2 so that no square overflows, which
    changes no digit: rows with equal products and lengths are equally far to the last bit.
    """

    unit: NeighborIndex  # of rows of length 1; its points are those below
    points: NDArray[np.float64]  # (n, p), largest entry of a row in [0.5, 1), or 0
    squares: NDArray[np.float64]  # (n,)

    @classmethod
    def build(cls, points: NDArray[np.float64]) -> CosineIndex:
        """Prepare points, shape (n, p), finite."""
        points, squares = scaled_rows(points)
        return cls(replace(NeighborIndex.build(_unit(points, squares), "euclidean"), points=points), points, squares)

    def search(self, queries: NDArray[np.float64], k: int, n_threads: int = 1) -> tuple[NDArray, NDArray]:
        """As `NeighborIndex.search`; a row of zeros is at distance 1 from every row."""
        # by how much rounding may change the distance as computed, and that of the rounded rows of length 1
        slack = 4 * (queries.shape[1] + 8) * np.finfo(np.float64).eps

        def fill(rows: slice, distance: NDArray, index: NDArray) -> None:
            own, square = scaled_rows(queries[rows])
            for first, screen, offset in self.unit.screens(_unit(own, square)):
                limit = np.column_stack([2 * offset[:, 0], offset[:, 1] + slack * offset[:, 0]])
                keep_nearest_cosine(screen, first, own, self.points, square, self.squares, limit, distance, index)

        return search_by_blocks(fill, len(queries), k, n_threads)


def scaled_rows(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows times a power of 2 that brings their largest entries into [0.5, 1), and their squares, summed in order."""
    exponent = np.frexp(np.abs(rows).max(axis=1, initial=0.0))[1]
    scaled = np.ldexp(rows, -exponent[:, None])
    square = np.zeros(len(rows))
    for column in scaled.T:
        square += column * column
    return scaled, square


def _unit(rows: NDArray[np.float64], square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1, or 0."""
    return rows / np.sqrt(np.where(square > 0, square, 1.0))[:, None]
