"""Binning: each column cut into at most 255 bins of near-equal weight.

All rows decide on the edges, not a sample of them: sorting 500,000 float32 takes NumPy a few milliseconds, and so the
edges depend on nothing but the values.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from breadth.tabular.trees.binning_kernels import edges_of_sorted, encode_rows
from breadth.tabular.trees.workspace import MOST_LANES, Codes

MIN_ROWS_IN_BIN = 3  # thinner bins cost time and hold noise


class Edges(NamedTuple):
    """How values become codes."""

    upper: np.ndarray  # (features, 256) of the columns' dtype, ascending, padded with inf
    n_bins: np.ndarray  # int64 (features,)
    has_missing: np.ndarray  # uint8 (features,)


def in_threads(n_threads: int, tasks: list[Callable[[], None]]) -> None:
    """Run the tasks on `n_threads` threads and raise the first error."""
    if n_threads == 1 or len(tasks) == 1:
        for task in tasks:
            task()
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def find_edges(
    X: np.ndarray,
    max_bins: int,
    *,
    row_weight: np.ndarray | None = None,
    weight_unit: float = 1.0,
    categories: np.ndarray | None = None,
    n_threads: int = 1,
) -> Edges:
    """Bin edges of every column from all its values.

    Args:
        X: float32 or float64, shape (rows, features), C order; NaN is missing.
        max_bins: 2 to 255, the missing bin not counted.
        row_weight: int64 (rows,), fixed point; None counts each row once.
        weight_unit: what 1 in `row_weight` stands for.
        categories: int64 (features,), number of codes of a categorical column (values 0..k-1), 0 for a numeric one.

    Cost: O(features * rows * log rows), the sort.
    """
    n, n_features = X.shape
    upper = np.full((n_features, 256), np.inf, X.dtype)
    n_bins = np.ones(n_features, np.int64)
    has_missing = np.zeros(n_features, np.uint8)
    no_counts = np.zeros(0, np.int64)
    lightest = MIN_ROWS_IN_BIN / weight_unit

    def some(lo: int, hi: int) -> None:
        block = X[:, lo:hi].T.copy(order="C")  # a single column is contiguous already, and sorting X would be ruin
        if row_weight is None:
            block.sort(axis=1)
        for f in range(lo, hi):
            values, counts = block[f - lo], no_counts
            if row_weight is not None:
                order = np.argsort(values, kind="stable")
                values, counts = values[order], row_weight[order]
            if categories is not None and categories[f] > 0:
                upper[f, : categories[f] - 1] = np.arange(categories[f] - 1) + 0.5
                n_bins[f] = categories[f]
                has_missing[f] = np.isnan(values[-1])
            else:
                k, missing = edges_of_sorted(values, counts, max_bins, lightest, upper[f])
                n_bins[f] = k + 1
                has_missing[f] = missing

    width = 8 if n * n_features > 100_000 else n_features  # columns copied at a time: a cache line of float64
    in_threads(n_threads, [lambda lo=lo: some(lo, min(lo + width, n_features)) for lo in range(0, n_features, width)])
    return Edges(upper, n_bins, has_missing)


def encode(
    X: np.ndarray,
    edges: Edges,
    *,
    kind: np.ndarray | None = None,
    row_weight: np.ndarray | None = None,
    n_threads: int = 1,
) -> Codes:
    """The two layouts of bin codes that `grow_tree` reads."""
    n, n_features = X.shape
    n_groups, lanes = shares(n_features, n_threads)
    words = np.empty((n_groups, n, 2), np.uint64)
    columns = np.empty((n_features, n), np.uint8)
    chunk = max(1024, -(-n // (4 * n_threads)))
    spread = histogram_stride(edges) - 1
    in_threads(
        n_threads,
        [
            lambda lo=lo: encode_rows(
                X, edges.upper, edges.n_bins, lo, min(lo + chunk, n), spread, lanes, words, columns
            )
            for lo in range(0, n, chunk)
        ],
    )
    weight = np.zeros(0, np.int64) if row_weight is None else row_weight
    kind = np.zeros(n_features, np.int8) if kind is None else kind
    return Codes(words, lanes, columns, edges.n_bins, edges.has_missing, kind, weight)


def shares(n_features: int, n_threads: int) -> tuple[int, int]:
    """(groups, lanes) of the words: as many groups for every thread, and few lanes without a feature."""
    n_groups = -(-n_features // (2 * MOST_LANES))
    n_groups = -(-n_groups // n_threads) * n_threads
    lanes = -(-n_features // (2 * n_groups))
    return -(-n_features // (2 * lanes)), lanes


def histogram_stride(edges: Edges) -> int:
    """Room for one feature's bins in a histogram: the power of two that holds the widest one and its missing bin."""
    widest = int((edges.n_bins + edges.has_missing).max())
    return max(8, 1 << (widest - 1).bit_length())
