"""Kernels of HNSW's build in batches: find neighbours in the frozen graph, then link back, one target at a time.

Each step writes only what belongs to one new slot or to one target, so that threads need no locks and the graph does
not depend on how many there are.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.vector.distance_kernels import distance
from breadth.vector.hnsw_search_kernels import NONE, descend, entry_of, insert, next_mark, search_layer, slot_of


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def load_query(coded, slot, query):
    """Make a query of a slot's own codes; returns its factor."""
    for f in range(query.shape[0]):
        query[f] = coded.codes[np.uint64(slot), np.uint64(f)]
    return -coded.weight * coded.affine[np.uint64(slot), 0]


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def select(coded, pool, n, base, keep_pruned, limit, query, chosen, spare):
    """Keep a candidate that is no nearer to one kept before than to the base (algorithm 4); returns how many are kept.

    Of candidates that equal the base half may be kept, and of those that equal one another the first: otherwise copies
    would link to copies only, and be lost to all others.

    pool[:n]: candidates in order of distance from the base, which is skipped. keep_pruned: fill up to `limit` with the
    nearest of the others. query, spare: scratch.
    """
    kept = copies = spared = 0
    for c in range(n):
        slot = slot_of(pool[np.uint64(c)])
        if slot == base:
            continue
        factor = load_query(coded, slot, query)
        d = distance(coded, base, query, factor)  # as those below, up to a constant of the candidate
        own = distance(coded, slot, query, factor)
        if d == own:
            copies += 1
            good = copies <= limit // 2
        else:
            good = True
            for j in range(kept):
                other = distance(coded, chosen[np.uint64(j)], query, factor)
                if other < d or other == own:
                    good = False
                    break
        if good:
            chosen[np.uint64(kept)] = slot
            kept += 1
            if kept == limit:
                break
        elif keep_pruned and spared < limit:
            spare[np.uint64(spared)] = slot
            spared += 1
    for j in range(min(spared, limit - kept)):
        chosen[np.uint64(kept)] = spare[np.uint64(j)]
        kept += 1
    return kept


@njit(cache=True, nogil=True, error_model="numpy")
def find_neighbours(coded, graph, levels, entry, top, ef, keep_pruned, start, first, last, scratch, found):
    """Neighbours of the new slots start + first <= slot < start + last, on each layer of theirs up to `top`.

    levels: uint8, of every slot. entry: the slot where searches begin, on layer `top`.
    found: int32 (slots of the batch, layers, M), all NONE before.
    """
    pool = scratch.pool
    no_rows = graph.rows[:0]
    all_allowed = scratch.visited[:0]
    for b in range(first, last):
        slot = start + b
        factor = load_query(coded, slot, scratch.query)
        level = min(np.int64(levels[slot]), top)
        nearest, d = descend(coded, graph, top, level, scratch.query, factor, entry)
        pool[0] = entry_of(d, nearest)
        n = 1
        for l in range(level, -1, -1):
            mark = next_mark(scratch.visited)
            for j in range(n):  # the pool of the layer above: where to begin on this one
                pool[np.uint64(j)] &= ~np.int64(1)
                scratch.visited[np.uint64(slot_of(pool[np.uint64(j)]))] = mark
            links, rows = (graph.upper, graph.rows) if l else (graph.bottom, no_rows)
            n = search_layer(coded, links, rows, l - 1, scratch.query, factor, all_allowed, ef, n, mark, scratch)
            select(coded, pool, n, slot, keep_pruned, found.shape[2], scratch.other, found[b, l], scratch.spare)


@njit(cache=True, nogil=True, error_model="numpy")
def link_back(coded, links, rows, targets, sources, ends, keep_pruned, first, last, scratch):
    """Add sources[ends[t - 1] : ends[t]] to the links of targets[t], for first <= t < last.

    links (rows, width); target t's are in row rows[t]. A list that would overflow is selected anew.
    """
    width = links.shape[1]
    pool, chosen = scratch.pool, scratch.chosen
    for t in range(first, last):
        target = np.int64(targets[t])
        row = np.uint64(rows[t])
        begin = ends[t - 1] if t else 0
        count = 0
        while count < width and links[row, np.uint64(count)] != NONE:
            count += 1
        if count + ends[t] - begin <= width:
            for s in range(begin, ends[t]):
                links[row, np.uint64(count)] = sources[s]
                count += 1
            continue
        factor = load_query(coded, target, scratch.query)
        n = 0
        for s in range(begin - count, ends[t]):
            other = np.int64(links[row, np.uint64(s - begin + count)] if s < begin else sources[s])
            insert(pool, n, pool.shape[0], entry_of(distance(coded, other, scratch.query, factor), other))
            n = min(n + 1, pool.shape[0])
        kept = select(coded, pool, n, target, keep_pruned, width, scratch.query, chosen, scratch.spare)
        for j in range(width):
            links[row, np.uint64(j)] = chosen[np.uint64(j)] if j < kept else NONE


@njit(cache=True, nogil=True, error_model="numpy")
def group_by_target(found, start, count, targets, sources, ends):
    """Turn one layer's links slot -> targets into lists target -> slots; returns the number of targets.

    found: int32 (slots, M) of the slots from `start` on. count: int32, one a slot, zero before and after.
    targets, in order of first mention, and ends: where each one's sources end.
    """
    n = 0
    for b in range(found.shape[0]):
        for j in range(found.shape[1]):
            target = found[b, j]
            if target == NONE:
                break
            if count[target] == 0:
                targets[n] = target
                n += 1
            count[target] += 1
    total = 0
    for t in range(n):
        size = count[targets[t]]
        count[targets[t]] = total
        total += size
    for b in range(found.shape[0]):
        for j in range(found.shape[1]):
            target = found[b, j]
            if target == NONE:
                break
            sources[count[target]] = start + b
            count[target] += 1
    for t in range(n):
        ends[t] = count[targets[t]]
        count[targets[t]] = 0
    return n
