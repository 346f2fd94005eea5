"""The kernels of HNSW beside slow twins in Python."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from breadth.vector.hnsw_build_kernels import group_by_target
from breadth.vector.hnsw_codes import Codes
from breadth.vector.hnsw_graph import Layers, draw_levels
from breadth.vector.hnsw_search_kernels import NONE, entry_of, insert, next_mark, slot_of


@njit
def entries(distances, slots):
    out = np.empty(len(slots), dtype=np.int64)
    for i in range(len(slots)):
        out[i] = entry_of(distances[i], slots[i])
    return out


@njit
def inserted(items, limit):
    pool = np.empty(limit, dtype=np.int64)
    n = 0
    for item in items:
        insert(pool, n, limit, item)
        n = min(n + 1, limit)
    return pool[:n]


@njit
def slots_of(items):
    return slot_of(items)


@njit
def marks(visited, n):
    out = np.empty(n, dtype=np.int64)
    for i in range(n):
        out[i] = next_mark(visited)
    return out


def test_pool_entries_compare_as_distance_and_then_slot():
    rng = np.random.default_rng(0)
    d = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-20, 20, 500), np.zeros(50), np.full(50, -1.5)])
    d = d.astype(np.float32)
    slots = rng.permutation(2**31 - 1 - np.arange(600))
    items = entries(d, slots)
    np.testing.assert_array_equal(np.argsort(items), np.lexsort((slots, d)))
    np.testing.assert_array_equal(slots_of(items), slots)
    assert (items & 1 == 0).all()


@pytest.mark.parametrize("limit", [1, 7, 600, 1000])
def test_a_pool_keeps_the_least_in_order(limit):
    rng = np.random.default_rng(limit)
    items = entries(rng.integers(0, 40, 600).astype(np.float32), rng.permutation(600))  # many ties
    np.testing.assert_array_equal(inserted(items, limit), np.sort(items)[:limit])


def test_marks_are_fresh_also_when_the_255_are_used_up():
    visited = np.zeros(11, dtype=np.uint8)
    for _ in range(600):
        (mark,) = marks(visited, 1)
        assert not (visited[:-1] == mark).any()
        visited[3] = mark


def test_levels_follow_the_geometric_law_and_do_not_depend_on_the_division_into_calls():
    levels = draw_levels(0, 200_000, 16, 5)
    np.testing.assert_array_equal(levels, np.concatenate([draw_levels(0, 77, 16, 5), draw_levels(77, 200_000, 16, 5)]))
    for level in range(4):
        p = 16.0**-level
        assert abs((levels >= level).mean() - p) <= 5 * np.sqrt(p * (1 - p) / len(levels)) + 1e-12  # five s.e.
    assert (draw_levels(0, 1000, 16, 6) != levels[:1000]).any()


def test_grouping_turns_links_round_without_losing_one():
    rng = np.random.default_rng(3)
    found = np.full((40, 6), NONE, dtype=np.int32)
    for row in found:
        n = rng.integers(0, 7)
        row[:n] = rng.choice(30, n, replace=False)
    total = int((found != NONE).sum())
    count = np.zeros(30, dtype=np.int32)
    targets, sources, ends = np.empty(total, np.int32), np.empty(total, np.int32), np.empty(total, np.int64)
    n = group_by_target(found, 100, count, targets, sources, ends)
    assert not count.any()
    expected: dict[int, list[int]] = {}
    for b, row in enumerate(found):
        for target in row[row != NONE]:
            expected.setdefault(int(target), []).append(100 + b)
    assert targets[:n].tolist() == list(expected)
    assert [part.tolist() for part in np.split(sources, ends[: n - 1])] == list(expected.values())


def twin(vectors, M, keep_pruned):
    """Layer 0 of an index whose searches are exhaustive and whose batches hold one slot each."""
    square = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=-1)

    def select(candidates, base, limit):
        kept, passed_over = [], []
        for c in sorted(candidates, key=lambda c: (square[base, c], c)):
            near = any(square[c, other] < square[c, base] for other in kept)
            (passed_over if near else kept).append(c)
            if len(kept) == limit:
                break
        return kept + passed_over[: limit - len(kept)] if keep_pruned else kept

    links: list[list[int]] = [[]]
    for slot in range(1, len(vectors)):
        links.append(select(range(slot), slot, M))
        for other in links[slot]:
            links[other].append(slot)
            if len(links[other]) > 2 * M:
                links[other] = select(links[other], other, 2 * M)
    return links


@pytest.mark.parametrize("keep_pruned", [False, True])
def test_the_graph_is_that_of_the_algorithm_where_its_searches_are_exhaustive(keep_pruned):
    rng = np.random.default_rng(4)
    vectors = rng.integers(-50, 51, (70, 4)).astype(np.float32)  # batches of one slot up to 100
    codes = Codes(4, "euclidean", "float32")
    codes.centre, codes.n_centred = np.zeros(4, dtype=np.float32), 70  # integers stay exact
    codes.extend(vectors)
    layers = Layers(5, 200, keep_pruned, 0)
    layers.extend(codes.coded, codes.query_dtype, 1)
    ours = [[int(other) for other in row if other != NONE] for row in layers.graph.bottom]
    assert ours == twin(vectors.astype(np.float64), 5, keep_pruned)
