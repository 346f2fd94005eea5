"""The inverted file: vectors in lists around the centres of k-means, of which a search probes the nearest."""

from __future__ import annotations

import math
import os
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.blas import granted_threads
from breadth.compilation import announced
from breadth.tabular.clusters.lloyd import nearest_centres
from breadth.vector import store
from breadth.vector.filters import Value
from breadth.vector.index import (
    Filter,
    Hits,
    Ids,
    Metadata,
    Metric,
    Setting,
    as_vectors,
    check_at_least,
    check_count,
    check_space,
)  # fmt: skip
from breadth.vector.inverted_lists import InvertedLists
from breadth.vector.ivf_kernels import count_allowed, decoded_half_squares, scan_vectors
from breadth.vector.ivf_routing import nearest_lists
from breadth.vector.ivf_scan import scan_probed
from breadth.vector.product_quantization import ProductQuantizer, check_subvectors, quantising_centres
from breadth.vector.records import Records
from breadth.vector.rows import Rows
from breadth.vector.scan import asked_threads, empty_heaps, equal_blocks, in_blocks, screening_offset, to_hits
from breadth.vector.scan_kernels import keep_best

_PER_LIST = 128  # training vectors a list
_PER_CODEWORD = 128  # training vectors a codeword
_ITERATIONS = 10
_SCANNED = 2048  # queries scanned together at most
_TOGETHER = 2  # queries a list, on average, from which threads share the lists and not the queries
_TOMBSTONES = 0.5  # share of dead slots at which they are cleared away


class IVF:
    """Approximate search by lists: a vector lies in the list of its nearest centre, and a query probes n_probe lists.

    cosine: x.y / (|x| |y|); dot: x.y; euclidean: |x - y|. With `n_subvectors` = M the residual y - c from the centre
    is kept as M bytes of a product quantiser, and scores are those of the decoded vectors; with `rerank` = r the best
    r k of these are scored again from the vectors themselves.

    Queries that probe a list meet it together in one float32 matrix product, which only screens: what its error bound
    cannot rule out is scored in float64. The answer is the same for any number of threads.

    A filter keeps recall: lists without an allowed vector are passed over, and a query goes on until it has met as many
    allowed vectors as it would have met vectors without a filter; if fewer are allowed, it meets all of them.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine" (vectors are scaled to length 1 when added), "dot" or "euclidean".
        n_lists: k-means centres; None takes 4 sqrt(n) of the n training vectors, or n / 39 if that is fewer.
        n_probe: lists that a query probes, >= 1.
        n_subvectors: M, which divides dim; None keeps the vectors themselves.
        rerank: r >= 1, which keeps the vectors beside their codes; None trusts the codes.
        seed: of the training.

    Attributes:
        dim, metric, n_probe, rerank: as given; n_probe may be set, and rerank changed where it is not None.
        centres: shape (lists, dim), float32; no lists before the training.

    Raises:
        ValueError: if a parameter is outside its range, the first vectors are fewer than n_lists, or as the methods of
            `VectorIndex` say.

    Cost: training 10 iterations of k-means on at most 128 vectors a list; a query 2 dim (lists + n_probe n / lists)
        operations in float32. Memory in bytes for n vectors: 4 dim lists + 8 n for the lists, and 4 dim n for vectors
        or M n + 1024 dim for codes (4 dim n more with rerank), and 4 n more for Euclidean distance; `memory()` counts
        it. Removed vectors keep their place until half of all are.
    Deviations: lists are those of Euclidean k-means with every metric; queries rank lists by the metric itself for
        "dot", and by Euclidean distance otherwise.
    References: Sivic & Zisserman 2003, ICCV, section 4 (inverted file); Jegou, Douze & Schmid 2011, IEEE TPAMI 33(1),
        section IV (residual codes).
    Peer: faiss.IndexIVFFlat and IndexIVFPQ on the same centres and codebooks: the same ids, scores 1e-5 (A).
    In production: use it from some 100,000 vectors where memory counts (codes) or vectors come and go all the time;
        a graph answers single queries sooner.
    """

    n_probe = Setting()
    rerank = Setting(optional=True)

    def __init__(
        self,
        dim: int,
        *,
        metric: Metric = "cosine",
        n_lists: int | None = None,
        n_probe: int = 16,
        n_subvectors: int | None = None,
        rerank: int | None = None,
        seed: int = 0,
    ) -> None:
        check_space(dim, metric)
        check_at_least("seed", seed, 0)
        if n_lists is not None:
            check_at_least("n_lists", n_lists)
        if n_subvectors is not None:
            check_subvectors(n_subvectors, dim)
        elif rerank is not None:
            raise ValueError("rerank scores again what codes found; without n_subvectors scores are exact already")
        self.dim = int(dim)
        self.metric: Metric = metric
        self.n_probe = n_probe
        self.rerank = rerank
        self.seed = int(seed)
        self._set_centres(np.zeros((0, self.dim), dtype=np.float32))
        self._n_lists = None if n_lists is None else int(n_lists)
        self._n_subvectors = None if n_subvectors is None else int(n_subvectors)
        self._quantizer: ProductQuantizer | None = None
        self._largest_square = 0.0  # of any vector, or decoded vector, ever added
        self._records = Records()
        self._lists = InvertedLists.empty(0, self._entries(np.zeros((0, self.dim), np.float32), np.zeros(0, np.int32)))
        self._vectors = Rows(np.zeros((0, self.dim), dtype=np.float32))  # by slot, for rerank

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: object) -> bool:
        return id in self._records

    def train(self, vectors: ArrayLike) -> None:
        """Find centres and codebooks; the first `add` does it with its vectors where this was not called.

        Args:
            vectors: shape (n, dim), n >= n_lists, a sample of what will be added.

        Raises:
            ValueError: if the index holds vectors, or n < n_lists.
        """
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        if self._records.n_slots:
            raise ValueError(f"the index holds {len(self)} vectors already: train before the first add")
        self._check_enough(len(rows))
        self._train(rows)

    def _check_enough(self, n: int) -> None:
        if n < (self._n_lists or 1):
            raise ValueError(
                f"vectors: {self._n_lists or 1} at least are needed to train as many lists, got {n}; "
                "add more at first, call train with a sample, or take fewer n_lists"
            )

    def _train(self, rows: NDArray[np.float32]) -> None:
        n, threads = len(rows), granted_threads()
        n_lists = self._n_lists or max(1, min(int(4 * math.sqrt(n)), n // 39))
        rng = np.random.default_rng(self.seed)
        shuffled = rng.permutation(n)
        sample = rows[np.sort(shuffled[: max(n_lists, _PER_LIST * n_lists)])]
        start = rows[shuffled[:n_lists]]
        self._set_centres(np.ascontiguousarray(quantising_centres(sample, start, _ITERATIONS, threads)))
        if self._n_subvectors is not None:
            sample = rows[np.sort(shuffled[: 256 * _PER_CODEWORD])]
            residual = sample - self.centres[nearest_centres(sample, self.centres, n_threads=threads)]
            self._quantizer = ProductQuantizer.train(
                residual, n_subvectors=self._n_subvectors, seed=self.seed, n_threads=threads
            )
        nothing = self._entries(rows[:0], np.zeros(0, np.int32))
        self._lists = InvertedLists.empty(n_lists, nothing)

    def _set_centres(self, centres: NDArray[np.float32]) -> None:
        """Take centres, and what is subtracted from a query's products with them so that the nearest are largest."""
        self.centres = centres
        self._far = np.zeros(len(centres), dtype=np.float32)
        if self.metric != "dot":
            self._far = (0.5 * np.einsum("ij,ij->i", centres, centres, dtype=np.float64)).astype(np.float32)

    def _entries(self, rows: NDArray[np.float32], labels: NDArray[np.int32]) -> dict[str, NDArray]:
        """What the lists keep of vectors, but for their slots."""
        n = len(rows)
        entries: dict[str, NDArray] = {"slots": np.zeros(n, dtype=np.int64)}
        if self._n_subvectors is None:
            entries["vectors"] = rows
        elif self._quantizer is None:
            entries["codes"] = np.zeros((n, self._n_subvectors), dtype=np.uint8)
        else:
            entries["codes"] = self._quantizer.encode(rows - self.centres[labels], n_threads=granted_threads())
        if self.metric == "euclidean":
            half_square = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / 2
            if self._quantizer is not None:
                decoded_half_squares(entries["codes"], labels, self.centres, self._quantizer.codebooks, half_square)
            entries["half_square"] = half_square.astype(np.float32)
        return entries

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids; see `VectorIndex.add`. The first vectors train an index that is not trained."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        self._check_trainable(rows)
        self._append(rows, self._records.add(ids, metadata, len(rows)))

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors, and replace those whose ids are there; see `VectorIndex.upsert`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        self._check_trainable(rows)
        self._append(rows, self._records.upsert(ids, metadata, len(rows))[0])
        self._clear()

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        self._records.remove(ids)
        self._clear()

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        return self._records.metadata(ids)

    def _check_trainable(self, rows: NDArray[np.float32]) -> None:
        if len(rows) and not len(self.centres):
            self._check_enough(len(rows))

    def _append(self, rows: NDArray[np.float32], first: int) -> None:
        if not len(rows):
            return
        if not len(self.centres):
            self._train(rows)
        labels = nearest_centres(rows, self.centres, n_threads=granted_threads())
        entries = self._entries(rows, labels)
        entries["slots"] = np.arange(first, first + len(rows))
        self._lists.add(labels, entries)
        if self.rerank is not None:
            self._vectors.append(rows)
        square = float(np.einsum("ij,ij->i", rows, rows, dtype=np.float64).max())
        if self._quantizer is not None:  # |decoded| <= |centre| + |residual's codewords|
            words = np.sqrt(np.square(self._quantizer.codebooks, dtype=np.float64).sum(axis=2).max(axis=1).sum())
            centre = math.sqrt(np.square(self.centres, dtype=np.float64).sum(axis=1).max())
            square = max(square, (centre + float(words)) ** 2)
        self._largest_square = max(self._largest_square, square)

    def _clear(self) -> None:
        if len(self) < (1 - _TOMBSTONES) * self._records.n_slots:
            alive = self._records.alive.view
            living = np.flatnonzero(alive)
            new_slot = np.cumsum(alive, dtype=np.int64) - 1
            slots = self._lists.arrays["slots"].view
            kept = alive[slots[self._lists.positions()]].view(np.bool_)
            self._lists.compact(kept)
            slots = self._lists.arrays["slots"].view
            slots[:] = new_slot[slots]
            if self.rerank is not None:
                self._vectors = Rows(self._vectors.view[living])
            self._records.keep(living)

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        filter: Filter | None = None,
        *,
        n_probe: int | None = None,
        n_threads: int | None = None,
    ) -> Hits:
        """The k best vectors for each query that its lists hold; see `VectorIndex.search`.

        Args:
            queries: shape (q, dim).
            k: in [1, len(index)].
            filter: which metadata to allow.
            n_probe: lists that a query probes, in [1, lists]; None means the index's, or all if they are fewer.
            n_threads: None means as many as BLAS has been granted. The answer does not depend on it.

        Returns:
            Hits of k columns, or as many as the filter allows: a query probes on until it has so many.
        """
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, len(self), "vectors in the index")
        n_lists = len(self.centres)
        if n_probe is not None:
            check_count("n_probe", n_probe, n_lists, "lists")
        probes = min(self.n_probe, n_lists) if n_probe is None else n_probe
        allowed = self._records.allowed(filter)
        n_allowed = int(np.count_nonzero(allowed))
        k = min(k, n_allowed)
        found = k if self.rerank is None else min(k * self.rerank, n_allowed)
        threads = asked_threads(n_threads)
        score, slot = empty_heaps(len(x), found)
        if k == 0 or not len(x):
            return to_hits(score, slot, self._records, self.metric)
        available = self._lists.sizes
        if n_allowed < len(allowed):
            available = np.empty(n_lists, dtype=np.int64)
            count_allowed(self._lists.starts, self._lists.sizes, self._lists.arrays["slots"].view, allowed, available)
        wanted = found
        if filter is not None:
            wanted = min(max(found, probes * len(self) // n_lists), n_allowed)
        offset = screening_offset(x, self._largest_square, self.metric == "euclidean")
        with announced():
            by_list = False
            if wanted == n_allowed:  # all that is allowed: as one list, which costs less than many with little in each
                only = self._only(allowed)

                def scan(block: slice) -> None:
                    q = block.stop - block.start
                    lists, ends = np.zeros(q, dtype=np.int32), np.arange(1, q + 1)
                    scan_vectors(x[block], lists, ends, *only, allowed, offset[block], score[block], slot[block])
            else:
                lists, ends = nearest_lists(x, self.centres, self._far, probes, wanted, available, threads)
                # codes are decoded once a thread: where many queries meet a list, threads share the lists among them
                by_list = self._quantizer is not None and len(lists) > _TOGETHER * n_lists

                def scan(block: slice) -> None:
                    first = ends[block.start - 1] if block.start else 0
                    probed = lists[first : ends[block.stop - 1]]
                    scan_probed(
                        self._lists, self._quantizer, self.centres, x[block], probed, ends[block] - first, allowed,
                        offset[block], score[block], slot[block], threads if by_list else 1,
                    )  # fmt: skip

            blocks = equal_blocks(len(x), largest=_SCANNED, at_least=1 if by_list else threads)
            in_blocks(scan, blocks, 1 if by_list else threads)
            if self.rerank is not None:
                score, slot = self._rerank(x, k, slot)
            return to_hits(score, slot, self._records, self.metric)

    def _only(self, allowed: NDArray[np.uint8]) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
        """One list of all that is allowed: its start and size, slots, vectors (decoded from codes) and half squares."""
        labels, array = self._lists.among(allowed)
        if self._quantizer is not None:
            array["vectors"] = self.centres[labels] + self._quantizer.decode(array["codes"])
        half_square = array.get("half_square", np.zeros(0, dtype=np.float32))
        return np.zeros(1, dtype=np.int64), np.array([len(labels)]), array["slots"], array["vectors"], half_square

    def _rerank(self, x: NDArray[np.float32], k: int, slot: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        """Heaps of the k best of the slots found for each query, scored from the vectors."""
        score, best = empty_heaps(len(x), k)
        vectors, euclidean = self._vectors.view, self.metric == "euclidean"
        for i in range(len(x)):
            keep_best(x[i], vectors, slot[i], euclidean, score[i], best[i])
        return score, best

    def memory(self) -> dict[str, int]:
        """Bytes of each array that a search reads; ids and metadata apart."""
        arrays = {name: rows.view for name, rows in self._lists.arrays.items()} | {"centres": self.centres}
        if self._quantizer is not None:
            arrays["codebooks"] = self._quantizer.codebooks
        if self.rerank is not None:
            arrays["rerank"] = self._vectors.view
        return {name: array.nbytes for name, array in arrays.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file; see `VectorIndex.save`."""
        settings, arrays = self._records.to_arrays()
        at = self._lists.positions()
        arrays |= {f"lists.{name}": rows.view[at] for name, rows in self._lists.arrays.items()}
        arrays |= {"lists.sizes": self._lists.sizes, "centres": self.centres}
        if self._quantizer is not None:
            arrays["codebooks"] = self._quantizer.codebooks
        if self.rerank is not None:
            arrays["rerank"] = self._vectors.view
        names = ("dim", "metric", "n_probe", "rerank", "seed")
        meta = {name: getattr(self, name) for name in names}
        meta |= {"n_lists": self._n_lists, "n_subvectors": self._n_subvectors}
        own = {"records": settings, "largest_square": self._largest_square}
        store.write(path, "IVF", {"arguments": meta, **own}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True) -> Self:
        """Read a saved index; see `VectorIndex.load`."""
        meta, arrays = store.read(path, "IVF", mmap, verify)
        index = cls(**meta["arguments"])
        index._records = Records.from_arrays(meta["records"], arrays)
        index._largest_square = meta["largest_square"]
        index._set_centres(arrays["centres"])
        if "codebooks" in arrays:
            index._quantizer = ProductQuantizer(arrays["codebooks"])
        if "rerank" in arrays:
            index._vectors = Rows(arrays["rerank"])
        sizes = arrays["lists.sizes"]
        entries = {name: arrays[f"lists.{name}"] for name in index._lists.arrays}
        index._lists = InvertedLists(np.cumsum(sizes) - sizes, sizes, entries)
        return index
