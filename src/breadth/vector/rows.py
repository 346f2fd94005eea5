"""An array that grows by rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Rows:
    """Rows of one dtype, kept contiguous while they grow: appending n costs O(n) on average.

    Args:
        data: the first rows, shape (n, ...); taken over, not copied, until something is appended.
    """

    def __init__(self, data: NDArray) -> None:
        self._data = data
        self._n = len(data)

    def __len__(self) -> int:
        return self._n

    @property
    def view(self) -> NDArray:
        """The rows, shape (n, ...); writable. Stays valid, but no longer current, when more are appended."""
        return self._data[: self._n]

    def append(self, rows: NDArray) -> None:
        """Add rows of the same width at the end."""
        n = self._n + len(rows)
        if n > len(self._data):
            grown = np.empty((max(n, 2 * len(self._data)), *self._data.shape[1:]), dtype=self._data.dtype)
            grown[: self._n] = self.view
            self._data = grown
        self._data[self._n : n] = rows
        self._n = n
