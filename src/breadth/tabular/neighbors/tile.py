"""Exact nearest neighbours by metrics that no matrix product screens, comparing all, many points side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breadth.tabular.neighbors.index import search_by_blocks
from breadth.tabular.neighbors.tile_kernels import (
    BRAYCURTIS,
    CANBERRA,
    CHEBYSHEV,
    HAMMING,
    MINKOWSKI,
    POWERS,
    keep_nearest_tiled,
)

_TILE = 512  # points compared side by side
_MOST = 2.0**1020  # times features: entries whose sums stay finite
_KINDS = {"chebyshev": CHEBYSHEV, "canberra": CANBERRA, "braycurtis": BRAYCURTIS, "hamming": HAMMING}


@dataclass(frozen=True, slots=True)
class TileIndex:
    """Points prepared for exact search by the Chebyshev, Minkowski, Canberra, Bray-Curtis or Hamming distance.

    Sums run over the features in their order. Minkowski distances with 2 p a whole number of at most 32 come from
    products and roots, others from powers, relative to the largest difference wherever powers underflow.
    """

    points: NDArray[np.float64]  # (n, p)
    columns: NDArray[np.float64]  # (p, n)
    kind: int
    power: float
    extent: float  # largest |entry|

    @classmethod
    def build(cls, points: NDArray[np.float64], metric: str, power: float) -> TileIndex:
        """Prepare points, shape (n, p), finite."""
        kind = _KINDS.get(metric, POWERS if power <= 16 and (2 * power).is_integer() else MINKOWSKI)
        return cls(points, np.ascontiguousarray(points.T), kind, power, float(np.abs(points).max(initial=0.0)))

    def search(self, queries: NDArray[np.float64], k: int, n_threads: int = 1) -> tuple[NDArray, NDArray]:
        """As `NeighborIndex.search`."""
        extent = np.maximum(np.abs(queries).max(axis=1, initial=0.0), self.extent)
        if extent.max(initial=0.0) * max(queries.shape[1], 1) >= _MOST:
            raise ValueError(f"X: distances of entries beyond {_MOST:.0e} / features may overflow float64: rescale X")
        # a power of 4, so that neither differences nor their roots lose a digit by it
        scales = np.ldexp(1.0, np.minimum(-2 * (np.frexp(extent)[1] // 2), 1020))

        def fill(rows: slice, distance: NDArray, index: NDArray) -> None:
            own = np.ascontiguousarray(queries[rows])
            total, second = np.empty((2, _TILE))
            keep_nearest_tiled(
                self.kind, self.power, scales[rows], own, self.points, self.columns, total, second, distance, index
            )  # fmt: skip

        distance, index = search_by_blocks(fill, len(queries), k, n_threads)
        if not np.isfinite(distance).all():
            raise ValueError("X: distances to the training rows overflow float64: rescale X, or take a larger p")
        return distance, index
