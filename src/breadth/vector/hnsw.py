"""Approximate search in a navigable graph of layers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.blas import granted_threads
from breadth.compilation import announced
from breadth.vector import store
from breadth.vector.filters import Value
from breadth.vector.hnsw_codes import Codes, Coding
from breadth.vector.hnsw_graph import Layers, make_scratch
from breadth.vector.hnsw_query_kernels import search_graph
from breadth.vector.hnsw_search_kernels import Scratch
from breadth.vector.index import Filter, Hits, Ids, Metadata, Metric, Setting, as_vectors, check_count, check_space
from breadth.vector.records import Records
from breadth.vector.rows import Rows
from breadth.vector.scan import empty_heaps, equal_blocks, in_blocks, screening_offset, to_hits
from breadth.vector.scan_kernels import keep_best, keep_best_screened

_QUERIES = 64  # that a thread takes at a time
_FEW = 20_000  # allowed slots that are scanned sooner than walked to
_RARE = 1 / 25  # share of allowed slots below which too few are within two links of each other
_SEEDS = 64  # allowed slots where a filtered search begins
_FLAT = 5.0  # standard deviations of the seeds by which the k-th found is to be nearer, or the walk is not trusted
_SCANNED = 100_000  # allowed slots that are scanned for a query whose walk is not trusted
_BY_HAND = 4  # queries too few for a matrix product to pay
_SCREENED, _ROWS = 256, 2048  # queries and slots of one matrix product
_WIDEST = 100_000  # dimensions: 127^2 times it keeps to 31 bits
_WIDEST_SEARCH = 1_000_000  # candidates
_TOMBSTONES = 1 / 3  # share of dead slots at which the graph is built anew


class HNSW:
    """Hierarchical navigable small world graph: a greedy search through layers of links between near vectors.

    A slot is on layers 0 to floor(-ln u / ln M), u uniform. A new one is linked, on each of its layers, to at most M of
    the `ef_construction` nearest that are no nearer to one another than to it; they link back, and keep 2 M on layer 0
    (M above) by the same rule. A search walks greedily down to layer 0 and there keeps the `ef` nearest seen until all
    of them have been expanded. cosine: x.y / (|x| |y|); dot: x.y; euclidean: |x - y|.

    The walk measures by codes of eight bits; the `ef` that it ends with are then scored in float64 from the vectors as
    stored, so that scores are exact and only the choice of candidates is not.

    A filter that allows few or rare vectors (20,000, or 1 in 25) is answered exactly, by a scan of these. Else the walk
    steps on allowed slots only, through the links of those that are not, and begins at 64 of them beside the usual
    start. Where up to 100,000 are allowed and what it found is not much nearer than those 64, as when a filter leaves
    only what is far from a query, the query is scanned for. So is any query whose walk finds fewer than k.

    What is removed stays as a tombstone that walks pass through, and is never returned. When more than a third of the
    slots are dead, the graph is built anew from the living.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine" (vectors are scaled to length 1 when added; a zero vector is refused), "dot" or "euclidean".
            With "dot", a few vectors much longer than the others are nearest to all and hide them: recall is low there.
        M: links of a slot on each layer, in [2, 256]; 2 M on layer 0. More: higher recall, memory and time.
        ef_construction: candidates for a new slot's links, >= M.
        ef_search: candidates of a search, >= 1; at least k are taken. More: higher recall and time. May be changed.
        coding: what the walk measures by. "float32" takes four times the memory and two to three times the time, and is
            for clusters so tight that eight bits of the distance from the centre cannot tell their members apart.
        keep_pruned: fill the links up with the nearest candidates that were passed over.
        random_state: seed of the layers, in [0, 2^32).
        n_threads: of `add` and `search`; None means as many as BLAS has been granted. No result depends on it.

    Attributes:
        As given.

    Raises:
        ValueError: if an argument is out of its range, or as the methods of `VectorIndex` say.

    Cost: build about n x ef_construction x M distances; a search about ef x M. Memory 5 dim + 8 M + 22 bytes a vector.
        Tombstones are cleared by building anew, so that n removals cost at most about two builds in all.
    Deviations: (1) slots are added in batches of 2 % of the graph, blind to one another (Dobson et al.): the graph is
        the same for any number of threads, though not for another division into calls of `add`. (2) The walk uses
        eight-bit codes. (3) The level comes from a hash of seed and slot. (4) Of equal vectors a list holds half its
        places at most, so that copies do not hide the others; a walk reaches some dozens of them, not thousands.
    References: Malkov & Yashunin 2018, arXiv:1603.09320, algorithms 1, 2, 4 and 5; Dobson et al. 2024, ParlayANN,
        arXiv:2305.04359, section 4 (batches); Patel et al. 2024, ACORN, arXiv:2403.04871, section 5 (filters).
    Peer: hnswlib 0.8 with equal M and ef_construction: recall@10 within 0.02 at equal ef; scores 1e-5 (A).
    In production: use it from some 100,000 vectors that fit in memory; below, Flat is exact and fast enough, and IVF
        with product quantisation takes a tenth of the memory.
    """

    ef_search = Setting(_WIDEST_SEARCH)

    def __init__(
        self, dim: int, *, metric: Metric = "cosine", M: int = 16, ef_construction: int = 200, ef_search: int = 100,
        coding: Coding = "int8", keep_pruned: bool = False, random_state: int = 0, n_threads: int | None = None,
    ) -> None:  # fmt: skip
        check_space(dim, metric)
        _check("M", M, 2, 256)
        _check("ef_construction", ef_construction, M, 1_000_000)
        _check("random_state", random_state, 0, 2**32 - 1)
        if coding not in get_args(Coding):
            raise ValueError(f"coding must be 'int8' or 'float32', got {coding!r}")
        if coding == "int8" and dim > _WIDEST:
            raise ValueError(f"dim must be at most {_WIDEST} with coding 'int8', whose sums have 32 bits, got {dim}")
        if n_threads is not None:
            _check("n_threads", n_threads, 1, 1024)
        if not isinstance(keep_pruned, bool | np.bool_):
            raise TypeError(f"keep_pruned must be True or False, got {keep_pruned!r}")
        self.dim = int(dim)
        self.metric: Metric = metric
        self.M, self.ef_construction, self.ef_search = int(M), int(ef_construction), ef_search
        self.coding: Coding = coding
        self.keep_pruned, self.random_state, self.n_threads = bool(keep_pruned), int(random_state), n_threads
        self._records = Records()
        self._vectors = Rows(np.zeros((0, self.dim), dtype=np.float32))
        self._start()

    def _start(self) -> None:
        self._codes = Codes(self.dim, self.metric, self.coding)
        self._layers = Layers(self.M, self.ef_construction, self.keep_pruned, self.random_state)
        self._scratch: list[Scratch] = []  # of searches that have ended; each search takes its own

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: object) -> bool:
        return id in self._records

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids; see `VectorIndex.add`. Many at a time are added faster than one by one."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        self._records.add(ids, metadata, len(rows))
        self._vectors.append(rows)
        self._extend()

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors, and replace those whose ids are there; see `VectorIndex.upsert`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        self._records.upsert(ids, metadata, len(rows))
        self._vectors.append(rows)
        if not self._clear():
            self._extend()

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        self._records.remove(ids)
        self._clear()

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        return self._records.metadata(ids)

    def _extend(self) -> None:
        with announced():
            self._codes.extend(self._vectors.view)
            self._layers.extend(self._codes.coded, self._codes.query_dtype, self._threads())
        self._scratch = []

    def _clear(self) -> bool:
        """Build anew from the living if too many are dead; returns whether it did."""
        if self._records.n_slots - len(self) <= _TOMBSTONES * self._records.n_slots:
            return False
        living = np.flatnonzero(self._records.alive.view)
        self._vectors = Rows(self._vectors.view[living])
        self._records.keep(living)
        self._start()
        self._extend()
        return True

    def _threads(self) -> int:
        return granted_threads() if self.n_threads is None else self.n_threads

    def search(self, queries: ArrayLike, k: int = 10, filter: Filter | None = None, *, ef: int | None = None) -> Hits:
        """The k best vectors for each query that the walk finds; see `VectorIndex.search`.

        Args:
            queries: shape (q, dim).
            k: in [1, len(index)].
            filter: which metadata to allow.
            ef: candidates, >= 1, in place of `ef_search`.

        Returns:
            Hits of k columns, or as many as the filter allows.
        """
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, len(self), "vectors in the index")
        if ef is not None:
            _check("ef", ef, 1, _WIDEST_SEARCH)
        allowed = self._records.allowed(filter)
        n_slots, n_allowed = len(allowed), len(self) if filter is None else int(np.count_nonzero(allowed))
        k = min(k, n_allowed)
        score, slot = empty_heaps(len(x), k)
        if k and len(x):
            slots = np.flatnonzero(allowed)
            rest = np.arange(len(x))
            if filter is None or (n_allowed > _FEW and n_allowed >= _RARE * n_slots):
                size = min(max(self.ef_search if ef is None else ef, k), n_allowed)
                lost = self._walk(x, allowed, slots, size, score, slot, filter is not None and n_allowed <= _SCANNED)
                rest = np.flatnonzero(lost)
            if len(rest):
                score[rest], slot[rest] = self._scan(x[rest], slots, allowed, k)
        return to_hits(score, slot, self._records, self.metric)

    def _walk(
        self, x: NDArray, allowed: NDArray, slots: NDArray, ef: int, score: NDArray, slot: NDArray, doubt: bool
    ) -> NDArray[np.bool_]:
        """Fill the heaps of queries x from the graph; returns which found too few or, in doubt, are not trusted."""
        asked, affine = self._codes.queries(x)
        coded, graph, entry, top = self._codes.coded, self._layers.graph, self._layers.entry, self._layers.top
        vectors, euclidean = self._vectors.view, self.metric == "euclidean"
        mask = allowed if len(slots) < len(allowed) else allowed[:0]
        seeds = slots[np.linspace(0, len(slots) - 1, _SEEDS if doubt else 0).astype(np.int64)]
        slope = np.empty(len(x))

        def walk(block: slice, scratch: Scratch) -> None:
            search_graph(
                coded, graph, entry, top, mask, seeds, ef, asked[block], affine[block], vectors, x[block], euclidean,
                scratch, score[block], slot[block], slope[block],
            )  # fmt: skip

        self._share(walk, len(x), ef)
        short = np.isinf(score[:, 0])  # the root of a heap is filled last
        return short | (slope < _FLAT) if doubt else short

    def _scan(self, x: NDArray, slots: NDArray, allowed: NDArray, k: int) -> tuple[NDArray, NDArray]:
        """Full heaps of queries x from a look at every one of `slots`, by the exact kernels of Flat."""
        vectors, euclidean = self._vectors.view, self.metric == "euclidean"
        score, slot = empty_heaps(len(x), k)

        def scan(block: slice) -> None:
            given = x[block]
            if len(given) <= _BY_HAND:
                for i in range(len(given)):
                    keep_best(given[i], vectors, slots, euclidean, score[block][i], slot[block][i])
                return
            which = np.arange(len(given))
            for first in range(0, len(slots), _ROWS):
                part = slots[first : first + _ROWS]
                rows = vectors[part]
                square = np.einsum("ij,ij->i", rows, rows)
                screen = given @ rows.T
                if euclidean:
                    screen -= 0.5 * square
                offset = screening_offset(given, float(square.max()), euclidean)
                keep_best_screened(
                    screen, which, given, rows, part, allowed, offset, euclidean, score[block], slot[block]
                )

        threads = self._threads() if len(x) > _BY_HAND else 1
        in_blocks(scan, equal_blocks(len(x), largest=_SCREENED, at_least=threads), threads)
        return score, slot

    def _share(self, work: Callable[[slice, Scratch], None], n: int, pool_size: int) -> None:
        """Do `work` on n queries in blocks, each with room to search in."""
        n_slots, M, codes = self._records.n_slots, self.M, self._codes

        def on_block(block: slice) -> None:
            try:
                scratch = self._scratch.pop()  # atomic: searches may run side by side
            except IndexError:
                scratch = None
            if scratch is None or len(scratch.pool) < pool_size:
                scratch = make_scratch(n_slots, pool_size, M, codes.padded, codes.query_dtype)
            work(block, scratch)
            self._scratch.append(scratch)

        in_blocks(on_block, equal_blocks(n, largest=_QUERIES), self._threads() if n > _QUERIES else 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file; see `VectorIndex.save`."""
        settings, arrays = self._records.to_arrays()
        meta = {
            "dim": self.dim, "metric": self.metric, "M": self.M, "ef_construction": self.ef_construction,
            "ef_search": self.ef_search, "coding": self.coding, "keep_pruned": self.keep_pruned,
            "random_state": self.random_state, "entry": self._layers.entry, "top": self._layers.top,
            "n_centred": self._codes.n_centred, "records": settings,
        }  # fmt: skip
        arrays |= {"vectors": self._vectors.view, **self._codes.to_arrays(), **self._layers.to_arrays()}
        store.write(path, "HNSW", meta, arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True, n_threads: int | None = None
    ) -> Self:
        """Read a saved index, to be searched with `n_threads`; see `VectorIndex.load`."""
        meta, arrays = store.read(path, "HNSW", mmap, verify)
        settings = ("metric", "M", "ef_construction", "ef_search", "coding", "keep_pruned", "random_state")
        index = cls(meta["dim"], n_threads=n_threads, **{name: meta[name] for name in settings})
        index._records = Records.from_arrays(meta["records"], arrays)
        index._vectors = Rows(arrays["vectors"])
        index._codes.restore(arrays, meta["n_centred"])
        index._layers.restore(arrays, meta["entry"], meta["top"])
        return index


def _check(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be in [{least}, {most}], got {value}")
