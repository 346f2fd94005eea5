"""Passes over many dense rows, in threads: sums belong to chunks of rows and not to threads, so bits never change."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.blas import granted_threads
from breadth.compilation import announced
from breadth.tabular.linear.logistic_kernels import chunk_moments, pull_chunks

_LEAST_ENTRIES = 1 << 18  # fewer are done by NumPy before a kernel would be read from its cache
_CHUNK_ENTRIES = 1 << 15  # of X: 256 KiB, which the second-level cache holds


def worth_a_kernel(X: Any) -> bool:
    """Whether X is dense, contiguous by rows and large enough."""
    return not sp.issparse(X) and X.flags.c_contiguous and X.size >= _LEAST_ENTRIES


class DenseRows:
    """X (n, p), C-contiguous, with weights of rows (n,), as the passes of one fit see it."""

    def __init__(self, X: NDArray[np.float64], weight: NDArray[np.float64]):
        self.X, self.weight = X, weight
        self.size = max(64, _CHUNK_ENTRIES // X.shape[1])
        self.chunks = -(-len(X) // self.size)
        self.threads = min(granted_threads(), self.chunks)
        self.sums = np.empty((self.chunks, X.shape[1] + 2))

    def _share(self, work: Callable[[int], None]) -> None:
        with announced():
            if self.threads == 1:
                work(0)
                return
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(work, range(self.threads)))

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of each column; the weights sum to 1. Chunks are merged as Chan et al. 1983 do, eq. 1.5."""
        mass = np.empty(self.chunks)
        means, spreads = np.empty((2, self.chunks, self.X.shape[1]))
        self._share(lambda t: chunk_moments(self.X, self.weight, self.size, t, self.threads, mass, means, spreads))
        mean = means[mass > 0][0].copy()
        mean += mass @ (means - mean)  # a constant column's mean is its value
        return mean, spreads.sum(axis=0) + mass @ np.square(means - mean)

    def pull(self, sign: NDArray, coef: NDArray, intercept: float) -> tuple[float, float, NDArray[np.float64]]:
        """Mean loss of the margins sign x (X coef + intercept), and its derivatives by intercept and coef (p,)."""
        self._share(
            lambda t: pull_chunks(self.X, sign, self.weight, coef, intercept, self.size, t, self.threads, self.sums)
        )
        found = self.sums.sum(axis=0)
        return float(found[-1]), float(found[-2]), found[:-2]
