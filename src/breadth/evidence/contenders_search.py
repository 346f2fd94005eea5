"""Vector indexes and measures as contenders: built on training vectors, and asked for neighbours of held-out ones.

A prediction is the indices of the training vectors found, shape (queries, K).
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.measures import K
from breadth.evidence.problem import Metric, Problem

LINKS, BUILD, SEARCH, PROBES = 16, 200, 64, 8  # equal for all graphs, and for all inverted files


class Ours:
    """An index of breadth.vector."""

    def __init__(self, kind: str, metric: Metric, n_threads: int, settings: Settings):
        self.kind, self.metric, self.n_threads, self.settings = kind, metric, n_threads, dict(settings)

    def fit(self, X: NDArray, y: object = None) -> Self:
        from breadth.vector.flat import Flat
        from breadth.vector.hnsw import HNSW
        from breadth.vector.ivf import IVF

        self.index: Any
        if self.kind == "flat":
            self.index = Flat(X.shape[1], metric=self.metric)
        elif self.kind == "ivf":
            self.index = IVF(X.shape[1], metric=self.metric, n_lists=_lists(len(X)), **self.settings)
        else:
            self.index = HNSW(X.shape[1], metric=self.metric, n_threads=self.n_threads, **self.settings)
        self.index.add(np.arange(len(X)), X)
        if self.kind == "ivf":
            self.index.search(X[:1], 1)  # trains on the first search at the latest
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return self.index.search(X, K).ids

    def __getstate__(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            self.index.save(Path(folder) / "index")
            return (Path(folder) / "index").read_bytes()


class Faiss:
    """An index of faiss, by its factory's name."""

    def __init__(self, kind: str, metric: Metric, n_threads: int, settings: Settings):
        self.kind, self.metric, self.n_threads, self.settings = kind, metric, n_threads, dict(settings)

    def fit(self, X: NDArray, y: object = None) -> Self:
        import faiss

        faiss.omp_set_num_threads(self.n_threads)
        name = {"flat": "Flat", "ivf": f"IVF{_lists(len(X))},Flat", "hnsw": f"HNSW{LINKS},Flat"}[self.kind]
        measure = faiss.METRIC_L2 if self.metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        make: Any = faiss.index_factory  # its type knows no index but the most general
        self.index = make(X.shape[1], name, measure)
        if self.kind == "hnsw":
            self.index.hnsw.efConstruction, self.index.hnsw.efSearch = BUILD, SEARCH
        rows = self._rows(X)
        self.index.train(rows)
        self.index.add(rows)
        if self.kind == "ivf":
            self.index.nprobe = PROBES
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        import faiss

        faiss.omp_set_num_threads(self.n_threads)
        return self.index.search(self._rows(X), K)[1]

    def _rows(self, X: NDArray) -> NDArray:
        return X / np.linalg.norm(X, axis=1, keepdims=True) if self.metric == "cosine" else X

    def __getstate__(self) -> bytes:
        import faiss

        return faiss.serialize_index(self.index).tobytes()


class Hnswlib:
    """The graph of hnswlib."""

    def __init__(self, metric: Metric, n_threads: int, seed: int):
        self.metric, self.n_threads, self.seed = metric, n_threads, seed

    def fit(self, X: NDArray, y: object = None) -> Self:
        hnswlib: Any = import_module("hnswlib")  # in the extra [bench] alone: not every environment can check its types
        space = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}[self.metric]
        self.index = hnswlib.Index(space, X.shape[1])
        self.index.init_index(len(X), M=LINKS, ef_construction=BUILD, random_seed=self.seed)
        self.index.set_ef(SEARCH)
        self.index.set_num_threads(self.n_threads)
        self.index.add_items(X, np.arange(len(X)))
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return self.index.knn_query(X, K)[0].astype(np.int64)


def _lists(n: int) -> int:
    return max(1, round(n**0.5))


def _ours_flat(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Ours("flat", settings.get("metric", problem.metric), n_threads, {})


def _ours_ivf(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Ours("ivf", problem.metric, n_threads, {**settings, "seed": seed})


def _ours_hnsw(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Ours("hnsw", problem.metric, n_threads, {**settings, "random_state": seed})


def _faiss_flat(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Faiss("flat", problem.metric, n_threads, settings)


def _faiss_ivf(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Faiss("ivf", problem.metric, n_threads, settings)


def _faiss_hnsw(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Faiss("hnsw", problem.metric, n_threads, settings)


def _hnswlib(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Hnswlib(problem.metric, n_threads, seed)


_GRAPH = {"M": LINKS, "ef_construction": BUILD, "ef_search": SEARCH}

FLAT = Entry("breadth flat", "breadth", _ours_flat, cost=5)
IVF = Entry("breadth IVF", "breadth", _ours_ivf, {"n_probe": PROBES}, cost=50)
HNSW = Entry("breadth HNSW", "breadth", _ours_hnsw, _GRAPH, cost=1000)
FAISS_FLAT = Entry("faiss flat", "faiss", _faiss_flat, cost=5)
FAISS_IVF = Entry("faiss IVF", "faiss", _faiss_ivf, {"nprobe": PROBES}, cost=50)
FAISS_HNSW = Entry("faiss HNSW", "faiss", _faiss_hnsw, _GRAPH, cost=1000)
HNSWLIB = Entry("hnswlib", "hnswlib", _hnswlib, _GRAPH, cost=1000)

COSINE, DOT, EUCLIDEAN = (
    Entry(name, "breadth", _ours_flat, {"metric": metric}, cost=5)
    for name, metric in (("cosine", "cosine"), ("dot product", "dot"), ("Euclidean distance", "euclidean"))
)
