"""HNSW's graph, and how it grows: in batches that see the same frozen graph, so that threads cannot change it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from breadth.vector.distance_kernels import Coded
from breadth.vector.hnsw_build_kernels import find_neighbours, group_by_target, link_back
from breadth.vector.hnsw_search_kernels import NONE, Graph, Scratch
from breadth.vector.rows import Rows

_BATCH = 0.02  # of the graph's size: how many slots are found neighbours for at a time
_SLOTS = 16  # new slots that a thread takes at a time
_TARGETS = 256  # lists to be linked back that a thread takes at a time
_TOP = 16  # the highest layer; the chance of a higher one is M^-17


def make_scratch(n_slots: int, ef: int, M: int, padded: int, query_dtype: type) -> Scratch:
    """Room for one thread's search."""
    return Scratch(
        visited=np.zeros(n_slots + 1, dtype=np.uint8),
        pool=np.empty(ef, dtype=np.int64),
        fresh=np.empty(4 * M, dtype=np.int32),
        query=np.empty(padded, dtype=query_dtype),
        other=np.empty(padded, dtype=query_dtype),
        chosen=np.empty(2 * M, dtype=np.int32),
        spare=np.empty(2 * M, dtype=np.int32),
    )


def share(work: Callable[[int, int, int], None], n: int, step: int, n_threads: int, pool: ThreadPoolExecutor | None):
    """Call work(thread, first, last) for parts of range(n), by whichever thread is free; here if it is one part."""
    if pool is None or n <= step:
        work(0, 0, n)
        return
    starts, lock = iter(range(0, n, step)), threading.Lock()

    def take(thread: int) -> None:
        while True:
            with lock:
                first = next(starts, None)
            if first is None:
                return
            work(thread, first, min(first + step, n))

    list(pool.map(take, range(n_threads)))


def draw_levels(first: int, last: int, M: int, seed: int) -> NDArray[np.uint8]:
    """The highest layer of each slot: floor(-ln u / ln M), u uniform in (0, 1] from splitmix64 of seed and slot."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    state = np.arange(first, last, dtype=np.uint64) + np.uint64(seed) * np.uint64(1 << 32) + np.uint64(1)
    z = state * golden
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    u = ((z >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
    return np.minimum(np.floor(-np.log(u) / math.log(M)), _TOP).astype(np.uint8)


class Layers:
    """The layers of links and where a search begins.

    Args:
        M: links of a slot on each upper layer, and of a new slot on the bottom one, where 2 M have room.
        ef_construction: how many nearest slots a new slot's neighbours are chosen from.
        keep_pruned: fill a list with the nearest of those that the selection passed over.
        seed: of the levels.
    """

    def __init__(self, M: int, ef_construction: int, keep_pruned: bool, seed: int) -> None:
        self.M, self.ef_construction, self.keep_pruned, self.seed = M, ef_construction, keep_pruned, seed
        self.entry = self.top = 0
        self._levels = Rows(np.zeros(0, dtype=np.uint8))
        self._rows = Rows(np.zeros(0, dtype=np.int32))
        self._bottom = Rows(np.zeros((0, 2 * M), dtype=np.int32))
        self._upper = Rows(np.zeros((0, M), dtype=np.int32))

    def __len__(self) -> int:
        return len(self._bottom)

    @property
    def graph(self) -> Graph:
        return Graph(self._bottom.view, self._upper.view, self._rows.view)

    @property
    def levels(self) -> NDArray[np.uint8]:
        return self._levels.view

    def extend(self, coded: Coded, query_dtype: type, n_threads: int) -> None:
        """Link all slots that have codes and no links yet."""
        done, n = len(self), len(coded.codes)
        levels = draw_levels(done, n, self.M, self.seed)
        upper = np.concatenate([[0], np.cumsum(levels, dtype=np.int64)])
        self._rows.append((len(self._upper) + upper[:-1]).astype(np.int32))
        self._upper.append(np.full((upper[-1], self.M), NONE, dtype=np.int32))
        self._levels.append(levels)
        self._bottom.append(np.full((n - done, 2 * self.M), NONE, dtype=np.int32))
        if done == 0 and n:
            self.entry, self.top, done = 0, int(levels[0]), 1
        size = max(self.ef_construction, 4 * self.M)
        padded = coded.codes.shape[1]
        scratch = [make_scratch(n, size, self.M, padded, query_dtype) for _ in range(n_threads)]
        count = np.zeros(n, dtype=np.int32)
        pool = ThreadPoolExecutor(n_threads) if n_threads > 1 and n - done > _SLOTS else None
        try:
            while done < n:
                batch = min(max(1, int(_BATCH * done)), n - done)
                self._link(coded, done, batch, scratch, count, pool)
                done += batch
        finally:
            if pool is not None:
                pool.shutdown()

    def _link(
        self,
        coded: Coded,
        start: int,
        batch: int,
        scratch: list[Scratch],
        count: NDArray,
        pool: ThreadPoolExecutor | None,
    ) -> None:
        """Two phases a batch, as in ParlayANN: out-links against the graph before it, then the links back."""
        graph, levels, M = self.graph, self.levels, self.M
        highest = int(levels[start : start + batch].max())
        found = np.full((batch, min(highest, self.top) + 1, M), NONE, dtype=np.int32)

        def find(thread: int, first: int, last: int) -> None:
            find_neighbours(
                coded, graph, levels, self.entry, self.top, self.ef_construction, self.keep_pruned, start, first, last,
                scratch[thread], found,
            )  # fmt: skip

        share(find, batch, _SLOTS, len(scratch), pool)
        for level in range(found.shape[1]):
            picked = np.ascontiguousarray(found[:, level])
            links = graph.upper if level else graph.bottom
            if level:
                there = np.flatnonzero(levels[start : start + batch] >= level)
                links[graph.rows[start + there] + level - 1] = picked[there]
            else:
                links[start : start + batch, :M] = picked
            total = int(np.count_nonzero(picked != NONE))
            targets, sources = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
            ends = np.empty(total, dtype=np.int64)
            n_targets = group_by_target(picked, start, count, targets, sources, ends)
            rows = graph.rows[targets[:n_targets]] + np.int32(level - 1) if level else targets

            def back(
                thread: int, first: int, last: int, links=links, rows=rows, targets=targets, sources=sources, ends=ends
            ) -> None:
                link_back(coded, links, rows, targets, sources, ends, self.keep_pruned, first, last, scratch[thread])

            share(back, n_targets, _TARGETS, len(scratch), pool)
        if highest > self.top:
            self.entry, self.top = start + int(levels[start : start + batch].argmax()), highest

    def to_arrays(self) -> dict[str, NDArray]:
        """For a store."""
        graph = self.graph
        return {"bottom": graph.bottom, "upper": graph.upper, "upper_rows": graph.rows, "levels": self.levels}

    def restore(self, arrays: dict[str, NDArray], entry: int, top: int) -> None:
        """Take over what `to_arrays` gave."""
        self.entry, self.top = entry, top
        self._bottom, self._upper = Rows(arrays["bottom"]), Rows(arrays["upper"])
        self._rows, self._levels = Rows(arrays["upper_rows"]), Rows(arrays["levels"])
