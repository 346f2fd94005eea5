"""Kernels of HNSW's search: best-first from a sorted pool, and the greedy walk through the upper layers.

A pool entry is one int64: the distance's bits, ordered as integers, above the slot and, lowest, whether the entry has
been expanded. Entries compare as (distance, slot), so that ties fall the same way on every run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from breadth.vector.distance_kernels import bits_of, distance, prefetch_row

NONE = -1  # an unused place in a list of links; those after it are unused too


class Graph(NamedTuple):
    """The links. A slot's list on layer l > 0 is row rows[slot] + l - 1 of `upper`."""

    bottom: np.ndarray  # int32 (slots, 2 M)
    upper: np.ndarray  # int32 (sum of levels, M)
    rows: np.ndarray  # int32 (slots,)


class Scratch(NamedTuple):
    """What one thread writes while it searches."""

    visited: np.ndarray  # uint8 (slots + 1,): the mark of the last search that came by; the newest mark stands last
    pool: np.ndarray  # int64 (at least ef,)
    fresh: np.ndarray  # int32: neighbours seen for the first time; twice as many as a list of links is long
    query: np.ndarray  # (padded,), of the queries' codes
    other: np.ndarray  # likewise
    chosen: np.ndarray  # int32 (2 M,)
    spare: np.ndarray  # int32 (2 M,)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def entry_of(d, slot):
    """The pool entry of a slot at float32 distance d, not expanded yet."""
    bits = np.int64(bits_of(d))
    bits ^= (bits >> 63) & 0x7FFFFFFF  # negative floats order backwards as integers
    return (bits << 32) | (np.int64(slot) << 1)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def slot_of(entry):
    return (entry >> 1) & 0x7FFFFFFF


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def insert(pool, n, limit, entry):
    """Put an entry into the sorted pool[:n], which keeps its `limit` least; returns its place, or n if it has none."""
    if n == limit and entry > pool[np.uint64(n - 1)]:
        return n
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if pool[np.uint64(middle)] < entry:
            low = middle + 1
        else:
            high = middle
    at = n if n < limit else limit - 1
    while at > low:
        pool[np.uint64(at)] = pool[np.uint64(at - 1)]
        at -= 1
    pool[np.uint64(low)] = entry
    return low


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def next_mark(visited):
    """A mark that no slot bears yet."""
    mark = visited[visited.shape[0] - 1] + 1
    if mark == 256:
        visited[:] = 0
        mark = 1
    visited[visited.shape[0] - 1] = mark
    return np.uint8(mark)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def collect(coded, links, row, allowed, visited, mark, fresh):
    """Put a list's unvisited slots into `fresh`, visited and their codes on the way; returns how many there are.

    allowed: uint8, one a slot; empty allows all. A neighbour that is not allowed stands for its own neighbours that
    are, until there are as many as a list of links holds (the two-hop expansion of ACORN, section 5.2).
    """
    found = 0
    width = links.shape[1]
    for j in range(width):
        slot = links[row, np.uint64(j)]
        if slot == NONE:
            break
        if visited[np.uint64(slot)] == mark:
            continue
        if allowed.shape[0] and not allowed[np.uint64(slot)]:
            if found >= width:
                continue
            for i in range(width):
                beyond = links[np.uint64(slot), np.uint64(i)]
                if beyond == NONE:
                    break
                if allowed[np.uint64(beyond)] and visited[np.uint64(beyond)] != mark and found < width:
                    prefetch_row(coded.codes, np.int64(beyond))
                    prefetch_row(coded.affine, np.int64(beyond))
                    visited[np.uint64(beyond)] = mark
                    fresh[np.uint64(found)] = beyond
                    found += 1
            if found < width:  # looked through to the end: no need to come again
                visited[np.uint64(slot)] = mark
            continue
        prefetch_row(coded.codes, np.int64(slot))
        prefetch_row(coded.affine, np.int64(slot))
        visited[np.uint64(slot)] = mark
        fresh[np.uint64(found)] = slot
        found += 1
    return found


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def search_layer(coded, links, rows, offset, query, factor, allowed, limit, n, mark, scratch):
    """Best-first search from pool[:n], sorted and visited; returns how many the pool then holds (algorithm 2).

    links (rows, width). rows: empty on the bottom layer, where a slot is its own row; else a slot's links stand in row
    rows[slot] + offset. allowed: as `collect` takes it; what is not allowed does not enter the pool.
    """
    pool, fresh = scratch.pool, scratch.fresh
    bottom = rows.shape[0] == 0
    at = 0
    while at < n:
        entry = pool[np.uint64(at)]
        if entry & 1:
            at += 1
            continue
        pool[np.uint64(at)] = entry | 1
        slot = slot_of(entry)
        row = np.uint64(slot if bottom else rows[np.uint64(slot)] + offset)
        found = collect(coded, links, row, allowed, scratch.visited, mark, fresh)
        if bottom and at + 1 < n:
            prefetch_row(links, slot_of(pool[np.uint64(at + 1)]))
        first = at + 1
        for j in range(found):
            other = fresh[np.uint64(j)]
            place = insert(pool, n, limit, entry_of(distance(coded, other, query, factor), other))
            n = min(n + 1, limit)
            first = min(first, place)
        at = first
    return n


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def descend(coded, graph, top, bottom, query, factor, slot):
    """Greedy walk from layer `top` down to above `bottom`; returns the nearest slot found and its distance."""
    d = distance(coded, slot, query, factor)
    for level in range(top, bottom, -1):
        moved = True
        while moved:
            moved = False
            row = np.uint64(graph.rows[np.uint64(slot)] + level - 1)
            for j in range(graph.upper.shape[1]):
                other = np.int64(graph.upper[row, np.uint64(j)])
                if other == NONE:
                    break
                other_d = distance(coded, other, query, factor)
                if other_d < d:
                    d, slot, moved = other_d, other, True
    return slot, d
