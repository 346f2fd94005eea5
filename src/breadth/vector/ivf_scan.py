"""Scanning the lists that queries probe, on one thread or with the lists shared out among several."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breadth.vector.inverted_lists import InvertedLists
from breadth.vector.ivf_kernels import scan_codes, scan_vectors
from breadth.vector.product_quantization import ProductQuantizer
from breadth.vector.scan import empty_heaps
from breadth.vector.scan_kernels import merge_heaps


def scan_probed(
    lists: InvertedLists,
    quantizer: ProductQuantizer | None,
    centres: NDArray[np.float32],
    x: NDArray[np.float32],
    probed: NDArray[np.int32],
    ends: NDArray[np.int64],
    allowed: NDArray[np.uint8],
    offset: NDArray[np.float64],
    score: NDArray[np.float64],
    slot: NDArray[np.int64],
    n_parts: int,
) -> None:
    """Update the heaps of queries x (q, dim) with the entries of the lists that they probe.

    Args:
        probed, ends: the queries' lists, as `nearest_lists` gives them.
        allowed, offset, score, slot: as the kernels take them.
        n_parts: threads that share the lists of codes; each decodes its own, and each list is decoded once.
    """
    array: Any = {name: rows.view for name, rows in lists.arrays.items()}
    half_square = array.get("half_square", np.zeros(0, dtype=np.float32))
    if quantizer is None:
        scan_vectors(
            x, probed, ends, lists.starts, lists.sizes, array["slots"], array["vectors"], half_square, allowed,
            offset, score, slot,
        )  # fmt: skip
        return
    bounds, codebooks = _bounds(lists.sizes, n_parts), quantizer.codebooks

    def scan(part: int, score: NDArray, slot: NDArray) -> None:
        scan_codes(
            x, probed, ends, lists.starts, lists.sizes, array["slots"], array["codes"], half_square, allowed, offset,
            score, slot, centres, codebooks, bounds[part], bounds[part + 1],
        )  # fmt: skip

    _in_parts(scan, n_parts, score, slot)


def _in_parts(
    work: Callable[[int, NDArray[np.float64], NDArray[np.int64]], None],
    n_parts: int,
    score: NDArray[np.float64],
    slot: NDArray[np.int64],
) -> None:
    """Do `work` on every part, each on a thread and with heaps of its own, and merge them into these."""
    if n_parts == 1:
        work(0, score, slot)
        return
    heaps = [(score, slot), *(empty_heaps(*score.shape) for _ in range(n_parts - 1))]
    with ThreadPoolExecutor(n_parts) as pool:
        list(pool.map(lambda part: work(part, *heaps[part]), range(n_parts)))
    for other in heaps[1:]:
        merge_heaps(score, slot, *other)


def _bounds(sizes: NDArray[np.int64], n_parts: int) -> list[int]:
    """Where to cut the lists into consecutive parts of nearly equal sums of their sizes, n_parts + 1 ends."""
    total = np.cumsum(sizes)
    inner = np.searchsorted(total, np.arange(1, n_parts) * (total[-1] / n_parts)).tolist()
    return [0, *inner, len(sizes)]
