"""What exact and inverted-file search share around their kernels: heaps, error bounds, blocks on threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from breadth.blas import granted_threads, one_thread
from breadth.vector.index import Hits, Metric, check_at_least
from breadth.vector.records import Records
from breadth.vector.scan_kernels import sort_best_first


def asked_threads(n_threads: int | None) -> int:
    """As many threads as were asked for, or for None as BLAS has been granted; raises for fewer than one."""
    if n_threads is None:
        return granted_threads()
    check_at_least("n_threads", n_threads)
    return int(n_threads)


def empty_heaps(q: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores and slots of q heaps of the k best, worse than anything found, shape (q, k)."""
    return np.full((q, k), -np.inf), np.full((q, k), np.iinfo(np.int64).max)


def to_hits(score: NDArray[np.float64], slot: NDArray[np.int64], records: Records, metric: Metric) -> Hits:
    """Full heaps, which are sorted in place, as `Hits` has them: best first, of equal scores the lower slot first."""
    sort_best_first(score, slot)
    scores = np.sqrt(np.abs(score)) if metric == "euclidean" else score  # kernels hold minus the squared distance
    return Hits(records.ids_at(slot), scores.astype(np.float32))


def in_blocks(work: Callable[[slice], None], blocks: Sequence[slice], n_threads: int) -> None:
    """Do `work` on every block, on threads if there are several of both; BLAS runs on the calling thread."""
    if n_threads > 1 and len(blocks) > 1:
        with one_thread(), ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(work, blocks))
        return
    with one_thread(when=blocks[-1].stop > 1):  # one query is no work to share, and asking takes as long as its answer
        for block in blocks:
            work(block)


def equal_blocks(n: int, *, largest: int, at_least: int = 1) -> list[slice]:
    """n items cut into blocks of nearly equal length, at most `largest`, and `at_least` so many blocks."""
    step = min(largest, max(1, -(-n // at_least)))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def screening_offset(queries: NDArray[np.float32], largest_square: float, euclidean: bool) -> NDArray[np.float64]:
    """What turns a heap's worst score into the smallest screened value that could still beat it, shape (q, 2).

    A float32 dot product of dim terms errs by at most dim eps/2 times |x| |y|; eight times that also covers the
    rounding of |y|^2 / 2, of its subtraction and of the limit itself.
    """
    square = np.einsum("ij,ij->i", queries, queries, dtype=np.float64)
    dim = queries.shape[1]
    size = np.sqrt(square * largest_square) + (largest_square + square if euclidean else 0.0)
    slack = 4 * (dim + 8) * float(np.finfo(np.float32).eps) * size + 1e-30
    offset = np.empty((len(queries), 2))
    offset[:, 0] = 0.5 if euclidean else 1.0  # minus the squared distance is 2 (x.y - |y|^2 / 2) - |x|^2
    offset[:, 1] = (0.5 * square if euclidean else 0.0) - slack
    return offset
