"""Which lists of an inverted file a query probes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breadth.vector.ivf_kernels import choose_lists, nearest_few
from breadth.vector.scan import equal_blocks, in_blocks

_FEW = 32  # lists up to which looking through those kept is quicker than a partition
_QUERIES = 256  # queries whose lists are chosen together: fixed, so that threads cannot change a rounding


def nearest_lists(
    x: NDArray[np.float32],
    centres: NDArray[np.float32],
    far: NDArray[np.float32],
    n_probe: int,
    wanted: int,
    available: NDArray[np.int64],
    n_threads: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The lists with the least far_l - x.c_l, n_probe of them or more until they hold enough.

    Args:
        x: queries, shape (q, dim).
        centres: shape (lists, dim).
        far: shape (lists,); |c|^2 / 2 ranks by Euclidean distance, 0 by the product.
        n_probe: in [1, lists].
        wanted: entries that a query is to meet at least; no more than there are.
        available: entries of each list that it may meet, shape (lists,); lists without are passed over.
        n_threads: >= 1; the answer does not depend on it.

    Returns:
        The lists of all queries, query by query, and where each query's end, shape (q,).
    """
    blocks = equal_blocks(len(x), largest=_QUERIES)
    routes: dict[int, tuple[NDArray, NDArray]] = {}

    def route(block: slice) -> None:
        distance = far - x[block] @ centres.T
        ends = np.empty(len(distance), dtype=np.int64)
        for some in (True, False):  # the nearest lists, in any order, unless they hold too little
            if some and n_probe < distance.shape[1] and available.all():
                order = _nearest(distance, n_probe)
            else:
                order = np.argsort(distance, axis=1, kind="stable")
            out = np.empty(order.size, dtype=np.int32)
            if choose_lists(order, available, n_probe, wanted, ends, out) >= wanted:
                break
        routes[block.start] = out[: ends[-1]], ends

    in_blocks(route, blocks, n_threads)
    parts = [routes[block.start] for block in blocks]
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *(len(lists) for lists, _ in parts)])
    ends = np.concatenate([ends + start for (_, ends), start in zip(parts, first[:-1], strict=True)])
    return np.concatenate([lists for lists, _ in parts]), ends


def _nearest(distance: NDArray[np.floating], n_probe: int) -> NDArray[np.int64]:
    """The columns of the n_probe least distances of each row, in any order."""
    if n_probe > _FEW:
        return np.argpartition(distance, n_probe - 1, axis=1)[:, :n_probe]
    order = np.empty((len(distance), n_probe), dtype=np.int64)
    nearest_few(distance, order)
    return order
