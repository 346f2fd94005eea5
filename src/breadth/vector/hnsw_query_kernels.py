"""The kernel that answers HNSW's queries: candidates from the graph by coded distance, then their exact scores."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.vector.distance_kernels import distance, prefetch_row
from breadth.vector.hnsw_search_kernels import collect, descend, entry_of, insert, next_mark, search_layer, slot_of
from breadth.vector.scan_kernels import exact_score, replace_worst


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def keep_exact(query, vectors, pool, n, euclidean, score, slot):
    """Score the pool's candidates exactly, and update a heap of the k best with them."""
    for j in range(n):
        prefetch_row(vectors, slot_of(pool[np.uint64(j)]))
    for j in range(n):
        candidate = slot_of(pool[np.uint64(j)])
        s = exact_score(query, vectors[np.uint64(candidate)], euclidean)
        if s > score[0] or (s == score[0] and candidate < slot[0]):
            replace_worst(score, slot, s, candidate)


@njit(cache=True, nogil=True, error_model="numpy")
def search_graph(
    coded, graph, entry, top, allowed, seeds, ef, asked, asked_affine, vectors, queries, euclidean, scratch,
    score, slot, slope,
):  # fmt: skip
    """Fill the queries' heaps from the graph.

    allowed: uint8, one a slot; empty allows all. seeds: int64, allowed slots where a search begins besides the nearest
    one of the upper layers, which may not be allowed.
    asked, asked_affine: the queries' codes. vectors, queries: float32, as given.
    score (queries, k) float64, slot (queries, k): heaps, as `scan_kernels` has them.
    slope (queries,): written, by how many standard deviations of the seeds' distances their mean exceeds that of the
    pool's k-th; 0 without seeds.
    """
    no_rows = graph.rows[:0]
    pool, fresh = scratch.pool, scratch.fresh
    for i in range(asked.shape[0]):
        query = asked[i]
        factor = -coded.weight * asked_affine[i, 0]
        nearest, d = descend(coded, graph, top, 0, query, factor, entry)
        mark = next_mark(scratch.visited)
        scratch.visited[np.uint64(nearest)] = mark
        n = 0
        if allowed.shape[0] == 0 or allowed[np.uint64(nearest)]:
            pool[0] = entry_of(d, nearest)
            n = 1
        else:
            found = collect(coded, graph.bottom, np.uint64(nearest), allowed, scratch.visited, mark, fresh)
            for j in range(found):
                other = fresh[np.uint64(j)]
                insert(pool, n, ef, entry_of(distance(coded, other, query, factor), other))
                n = min(n + 1, ef)
        total = square = 0.0
        for j in range(seeds.shape[0]):
            other = seeds[np.uint64(j)]
            d = distance(coded, other, query, factor)
            total += d
            square += d * d
            if scratch.visited[np.uint64(other)] != mark:
                scratch.visited[np.uint64(other)] = mark
                insert(pool, n, ef, entry_of(d, other))
                n = min(n + 1, ef)
        n = search_layer(coded, graph.bottom, no_rows, 0, query, factor, allowed, ef, n, mark, scratch)
        keep_exact(queries[i], vectors, pool, n, euclidean, score[i], slot[i])
        slope[i] = 0.0
        if seeds.shape[0] and n >= slot.shape[1]:
            mean = total / seeds.shape[0]
            deviation = np.sqrt(max(square / seeds.shape[0] - mean * mean, 0.0))
            worst = distance(coded, slot_of(pool[np.uint64(slot.shape[1] - 1)]), query, factor)
            slope[i] = (mean - worst) / deviation if deviation > 0 else 0.0
