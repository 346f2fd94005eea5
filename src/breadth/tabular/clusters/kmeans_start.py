"""Rows that k-means starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.tabular.clusters.sparse_rows import SquaresBetween


def draw_seeds(
    rows: Any, weight: NDArray, k: int, init: object, random: np.random.RandomState, n_threads: int = 1
) -> NDArray[np.int64]:
    """Rows to start from, by index, shape (k,): rows dense or CSR; threads are of use to the latter."""
    n = rows.shape[0]
    share = weight / weight.sum()
    if init == "random":
        return random.choice(n, size=k, replace=False, p=share)
    squares_from = SquaresBetween(rows, n_threads) if sp.issparse(rows) else _DenseSquares(rows)
    chosen = np.empty(k, dtype=np.int64)
    chosen[0] = random.choice(n, p=share)
    nearest = squares_from(chosen[:1])[0]
    potential = nearest @ weight
    for c in range(1, k):
        drawn = random.uniform(size=2 + int(np.log(k))) * potential
        candidates = np.searchsorted(np.cumsum(weight * nearest, dtype=np.float64), drawn)
        candidates = np.minimum(candidates, n - 1)  # the potential and the sum's last entry may differ by rounding
        closer = np.minimum(nearest, squares_from(candidates))
        potentials = closer @ weight
        best = int(potentials.argmin())
        potential, nearest, chosen[c] = potentials[best], closer[best], candidates[best]
    return chosen


class _DenseSquares:
    """|x_i - x_j|^2 for j in `which`, shape (which, n)."""

    def __init__(self, rows: NDArray):
        self.rows, self.square = rows, np.einsum("ij,ij->i", rows, rows)

    def __call__(self, which: NDArray[np.int64]) -> NDArray:
        squares = self.rows[which] @ self.rows.T
        squares *= -2
        squares += self.square[which, None]
        squares += self.square
        np.maximum(squares, 0, out=squares)
        squares[np.arange(len(which)), which] = 0
        return squares
