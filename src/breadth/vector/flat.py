"""Exact search: every allowed vector is looked at."""

from __future__ import annotations

import os
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.compilation import announced
from breadth.vector import store
from breadth.vector.filters import Value
from breadth.vector.index import Filter, Hits, Ids, Metadata, Metric, as_vectors, check_count, check_space
from breadth.vector.records import Records
from breadth.vector.rows import Rows
from breadth.vector.scan import asked_threads, empty_heaps, equal_blocks, in_blocks, screening_offset, to_hits
from breadth.vector.scan_kernels import keep_best, keep_best_screened

_QUERIES = 256  # queries a block
_ROWS = 2048  # vectors a block: 256 x 2,048 screened values are 2 MiB
_FEW = 4  # queries too few for a matrix product to pay
_TOMBSTONES = 0.5  # share of dead slots at which they are cleared away


class Flat:
    """Exact nearest-neighbour search by looking at every vector that the filter allows.

    cosine: x.y / (|x| |y|); dot: x.y; euclidean: |x - y|.

    A matrix product in float32 screens; what its error bound cannot rule out is scored in float64 from the vectors as
    stored. So the answer is that of a double loop, whatever the batch, the filter or the number of threads. A filter
    is evaluated first, and only the vectors that it allows are scanned.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine" (vectors are scaled to length 1 when added), "dot" or "euclidean".

    Attributes:
        dim, metric: as given.

    Raises:
        ValueError: if dim < 1, the metric is unknown, or as the methods of `VectorIndex` say.

    Cost: a query takes 2 n dim operations in float32, and about k log(n / k) in float64; memory 4 dim bytes a vector.
        Removed vectors keep their place until half of all are.
    References: Jegou, Douze & Schmid 2011, IEEE TPAMI 33(1), section I (exhaustive search); Higham 2002, Accuracy and
        Stability of Numerical Algorithms, eq. 3.5 (the bound of a dot product's error).
    Peer: a double loop in float64, and faiss.IndexFlat, same ids, scores 1e-6 (A).
    In production: use it up to some 100,000 vectors, as the truth that an approximate index is measured by, and where
        filters leave few vectors.
    """

    def __init__(self, dim: int, *, metric: Metric = "cosine") -> None:
        check_space(dim, metric)
        self.dim = int(dim)
        self.metric: Metric = metric
        self._records = Records()
        self._vectors = Rows(np.zeros((0, self.dim), dtype=np.float32))
        self._square = Rows(np.zeros(0))  # |x|^2 of each

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: object) -> bool:
        return id in self._records

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids; see `VectorIndex.add`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        self._records.add(ids, metadata, len(rows))
        self._append(rows)

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors, and replace those whose ids are there; see `VectorIndex.upsert`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        self._records.upsert(ids, metadata, len(rows))
        self._append(rows)
        self._clear()

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        self._records.remove(ids)
        self._clear()

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        return self._records.metadata(ids)

    def _append(self, rows: NDArray[np.float32]) -> None:
        self._vectors.append(rows)
        self._square.append(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))

    def _clear(self) -> None:
        if len(self) < (1 - _TOMBSTONES) * self._records.n_slots:
            living = np.flatnonzero(self._records.alive.view)
            self._vectors, self._square = Rows(self._vectors.view[living]), Rows(self._square.view[living])
            self._records.keep(living)

    def search(
        self, queries: ArrayLike, k: int = 10, filter: Filter | None = None, *, n_threads: int | None = None
    ) -> Hits:
        """The k best vectors for each query; see `VectorIndex.search`.

        Args:
            queries: shape (q, dim).
            k: in [1, len(index)].
            filter: which metadata to allow.
            n_threads: blocks of queries searched at a time; None means as many as BLAS has been granted. The answer
                does not depend on it.

        Returns:
            Hits of k columns, or as many as the filter allows.
        """
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, len(self), "vectors in the index")
        allowed = self._records.allowed(filter)
        n_allowed = int(np.count_nonzero(allowed))
        k = min(k, n_allowed)
        score, slot = empty_heaps(len(x), k)
        dense = 2 * n_allowed >= len(allowed)  # else only the allowed vectors are gathered
        slots = np.arange(len(allowed)) if dense else np.flatnonzero(allowed)
        threads = asked_threads(n_threads)

        def work(block: slice) -> None:
            self._scan(x[block], slots, allowed, dense, score[block], slot[block])

        with announced():
            if k > 0 and len(x):
                in_blocks(work, equal_blocks(len(x), largest=_QUERIES, at_least=threads), threads)
            return to_hits(score, slot, self._records, self.metric)

    def _scan(self, x: NDArray, slots: NDArray, allowed: NDArray, dense: bool, score: NDArray, slot: NDArray) -> None:
        vectors, euclidean = self._vectors.view, self.metric == "euclidean"
        if len(x) <= _FEW:
            living = np.flatnonzero(allowed) if dense else slots
            for i in range(len(x)):
                keep_best(x[i], vectors, living, euclidean, score[i], slot[i])
            return
        which = np.arange(len(x))
        for first in range(0, len(slots), _ROWS):
            part = slots[first : first + _ROWS]
            rows = vectors[first : first + _ROWS] if dense else vectors[part]
            square = self._square.view[first : first + _ROWS] if dense else self._square.view[part]
            screen = x @ rows.T
            if euclidean:
                screen -= (0.5 * square).astype(np.float32)
            offset = screening_offset(x, float(square.max()), euclidean)
            keep_best_screened(screen, which, x, rows, part, allowed, offset, euclidean, score, slot)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file; see `VectorIndex.save`."""
        settings, arrays = self._records.to_arrays()
        meta = {"dim": self.dim, "metric": self.metric, "records": settings}
        store.write(path, "Flat", meta, {"vectors": self._vectors.view, "square": self._square.view, **arrays})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True) -> Self:
        """Read a saved index; see `VectorIndex.load`."""
        meta, arrays = store.read(path, "Flat", mmap, verify)
        index = cls(meta["dim"], metric=meta["metric"])
        index._records = Records.from_arrays(meta["records"], arrays)
        index._vectors, index._square = Rows(arrays["vectors"]), Rows(arrays["square"])
        return index
