"""Kernels that scan vectors: keep each query's k best of (score, slot), higher scores and then lower slots first.

A score is larger for what is nearer: the dot product, or minus the squared distance. Scores are computed in float64
from the float32 vectors, so they do not depend on how a scan was cut into blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_CHUNK = 32  # screened values compared at once
_REASSOCIATE = {"reassoc", "contract"}  # lets a sum be taken several terms at a time; NaN and infinity keep their rules


@njit(
    cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath=_REASSOCIATE
)
def exact_score(query, row, euclidean):
    """The dot product, or minus the squared distance, of two float32 vectors in float64."""
    total = 0.0
    if euclidean:
        for f in range(query.shape[0]):
            step = np.float64(query[f]) - np.float64(row[f])
            total -= step * step
    else:
        for f in range(query.shape[0]):
            total += np.float64(query[f]) * np.float64(row[f])
    return total


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def replace_worst(score, slot, s, j):
    """Replace the root, the worst, of a heap on (score, slot) by (s, j)."""
    k = score.shape[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= k:
            break
        right = child + 1
        if right < k and (score[right] < score[child] or (score[right] == score[child] and slot[right] > slot[child])):
            child = right
        if s < score[child] or (s == score[child] and j > slot[child]):
            break
        score[at] = score[child]
        slot[at] = slot[child]
        at = child
    score[at] = s
    slot[at] = j


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best_screened(screen, which, queries, rows, slots, allowed, offset, euclidean, heap_score, heap_slot):
    """Update heaps with the rows whose screened value could be good enough; only these are scored exactly.

    screen: (m, n) float32, about x.y, less |y|^2 / 2 if euclidean. which: (m,) the query of each of its rows.
    queries (q, dim), rows (n, dim): float32. slots: (n,) of the rows. allowed: uint8, one a slot.
    offset: (q, 2): a screened value is too small when below offset[i, 0] x worst score + offset[i, 1].
    heap_score (q, k) float64, heap_slot (q, k): heaps, minus infinite while not full.
    """
    n = screen.shape[1]
    for i in range(screen.shape[0]):
        at = which[i]
        score = heap_score[at]
        slot = heap_slot[at]
        scale, shift = offset[at, 0], offset[at, 1]
        limit = np.float32(scale * score[0] + shift)
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            above = 0
            for j in range(start, stop):
                above |= screen[i, j] >= limit
            if above == 0:
                continue
            for j in range(start, stop):
                if screen[i, j] >= limit and allowed[slots[j]]:
                    s = exact_score(queries[at], rows[j], euclidean)
                    if s > score[0] or (s == score[0] and slots[j] < slot[0]):
                        replace_worst(score, slot, s, slots[j])
                        limit = np.float32(scale * score[0] + shift)


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(query, vectors, slots, euclidean, score, slot):
    """Update one query's heap with vectors[slots], every one scored exactly: for few queries, or few slots.

    query (dim,), vectors (n, dim): float32. slots: (m,). score (k,) float64, slot (k,): heap as above.
    """
    for i in range(slots.shape[0]):
        j = slots[i]
        s = exact_score(query, vectors[np.uint64(j)], euclidean)
        if s > score[0] or (s == score[0] and j < slot[0]):
            replace_worst(score, slot, s, j)


@njit(cache=True, nogil=True, error_model="numpy")
def merge_heaps(score, slot, other_score, other_slot):
    """Put what other heaps (q, k) hold into these, where it is better."""
    for i in range(score.shape[0]):
        for j in range(score.shape[1]):
            s, t = other_score[i, j], other_slot[i, j]
            if s > score[i, 0] or (s == score[i, 0] and t < slot[i, 0]):
                replace_worst(score[i], slot[i], s, t)


@njit(cache=True, nogil=True, error_model="numpy")
def sort_best_first(heap_score, heap_slot):
    """Sort each heap (q, k) in place, best first."""
    for i in range(heap_score.shape[0]):
        score, slot = heap_score[i], heap_slot[i]
        for n in range(score.shape[0] - 1, 0, -1):  # the worst of the first n + 1 goes behind the others
            worst_score, worst_slot = score[0], slot[0]
            replace_worst(score[:n], slot[:n], score[n], slot[n])
            score[n], slot[n] = worst_score, worst_slot
