"""FAISS behind `VectorIndex`."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.vector import store
from breadth.vector.engines.common import engine_module
from breadth.vector.filters import Value
from breadth.vector.index import Filter, Hits, Ids, Metadata, Metric, as_vectors, check_count, check_space
from breadth.vector.records import Records


class Faiss:
    """A FAISS index of any kind, with ids, metadata and filters kept beside it.

    A filter becomes a selector over slots (a bitmap), which FAISS asks during its search. Where a graph or a list
    search then finds too few, it is repeated over the whole index.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine", "dot" or "euclidean".
        factory: FAISS's description of the index, as `faiss.index_factory` takes it: "Flat", "HNSW32", "IVF256,Flat",
            "IVF256,PQ16". Kinds that need training are trained by the first `add`.
        n_probe: lists that an IVF probes.
        ef: candidates of an HNSW's search.

    Attributes:
        dim, metric, factory, n_probe, ef: as given; the last two may be set.
        index: the FAISS index.

    Raises:
        ModuleNotFoundError: without faiss-cpu.
        ValueError: as `VectorIndex` says.

    Cost: what the index takes; with a filter or removed vectors, one bit a slot more.
    Deviations: removed vectors keep their place, since FAISS's graphs cannot let go of them.
    References: Douze et al. 2024, arXiv:2401.08281.
    Peer: breadth.vector.Flat on the same vectors: equal ids and scores with "Flat" (A).
    In production: use it where FAISS is in place already, or on a GPU.
    """

    def __init__(
        self, dim: int, *, metric: Metric = "cosine", factory: str = "HNSW32", n_probe: int = 16, ef: int = 64
    ) -> None:
        check_space(dim, metric)
        faiss: Any = engine_module("faiss", "faiss-cpu")
        self.dim = int(dim)
        self.metric: Metric = metric
        self.factory = factory
        self.n_probe = n_probe
        self.ef = ef
        kind = faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(self.dim, factory, kind)
        self._records = Records()

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

    def _append(self, rows: NDArray[np.float32]) -> None:
        if len(rows):
            if not self.index.is_trained:
                self.index.train(rows)
            self.index.add(rows)

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        self._records.remove(ids)

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        return self._records.metadata(ids)

    def search(self, queries: ArrayLike, k: int = 10, filter: Filter | None = None) -> Hits:
        """The k best vectors for each query; see `VectorIndex.search`."""
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, len(self), "vectors in the index")
        allowed = self._records.allowed(filter)
        n_allowed = int(np.count_nonzero(allowed))
        k = min(k, n_allowed)
        if k == 0 or not len(x):
            nothing = np.zeros((len(x), k), dtype=np.int64)
            return Hits(self._records.ids_at(nothing), nothing.astype(np.float32))
        bitmap = None if n_allowed == len(allowed) else np.packbits(allowed, bitorder="little")
        scores, slots = self.index.search(x, k, params=self._parameters(bitmap, self.n_probe, max(self.ef, k)))
        short = (slots < 0).any(axis=1)
        if short.any():
            everything = self._parameters(bitmap, getattr(self.index, "nlist", 1), self.index.ntotal)
            scores[short], slots[short] = self.index.search(x[short], k, params=everything)
            if (slots < 0).any():
                raise RuntimeError(f"faiss: {self.factory} finds fewer than k = {k} of {n_allowed} allowed vectors")
        if self.metric == "euclidean":
            scores = np.sqrt(np.maximum(scores, 0))  # FAISS gives the square
        return Hits(self._records.ids_at(slots), scores)

    def _parameters(self, bitmap: NDArray[np.uint8] | None, n_probe: int, ef: int) -> Any:
        faiss: Any = engine_module("faiss", "faiss-cpu")
        selector = {} if bitmap is None else {"sel": faiss.IDSelectorBitmap(bitmap)}
        if isinstance(self.index, faiss.IndexIVFPQ):
            return faiss.IVFPQSearchParameters(nprobe=n_probe, **selector)
        if isinstance(self.index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=n_probe, **selector)
        if isinstance(self.index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=ef, **selector)
        return faiss.SearchParameters(**selector) if selector else None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file; see `VectorIndex.save`."""
        faiss: Any = engine_module("faiss", "faiss-cpu")
        settings, arrays = self._records.to_arrays()
        arguments = {name: getattr(self, name) for name in ("dim", "metric", "factory", "n_probe", "ef")}
        arrays["faiss"] = faiss.serialize_index(self.index)
        store.write(path, "Faiss", {"arguments": arguments, "records": settings}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True) -> Self:
        """Read a saved index into memory, which FAISS wants whatever `mmap`; see `VectorIndex.load`."""
        faiss: Any = engine_module("faiss", "faiss-cpu")
        meta, arrays = store.read(path, "Faiss", mmap, verify)
        index = cls(**meta["arguments"])
        index._records = Records.from_arrays(meta["records"], arrays)
        index.index = faiss.deserialize_index(np.array(arrays["faiss"]))
        return index
