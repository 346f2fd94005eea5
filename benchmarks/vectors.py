"""HNSW beside hnswlib and faiss, and filtered search beside brute force, on embeddings of real text."""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import sklearn
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from benchmarks.harness import OURS, Row, Section, Setup, Spread, Times, duration, interleave, ratio_rows
from breadth.vector.hnsw import HNSW

HNSWLIB, FAISS, SELECTOR, BRUTE = "hnswlib", "faiss HNSW", "faiss selector", "matrix product"
M, EF_CONSTRUCTION, K = 16, 200, 10
N_QUERIES = 2_000
EFS = (10, 16, 24, 36, 54, 80, 120, 180, 270, 400, 600, 900)
RECALLS = (0.95, 0.99)
BUILD_BAR, SEARCH_BAR, FILTER_BAR = 0.9, 1 / 1.1, 1.0
_WORD = re.compile(r"[A-Za-z_]\w+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\n")
_DIMS = (128, 384)


def peers(setup: Setup) -> list[str]:
    """hnswlib and faiss; a smoke run does with those that are installed, for hnswlib's install compiles C++."""
    there = [name for name, module in ((HNSWLIB, "hnswlib"), (FAISS, "faiss")) if find_spec(module)]
    if len(there) < 2 and not setup.smoke:
        raise ModuleNotFoundError("the benchmark of vectors needs its peers: pip install breadth[peers,bench]")
    return there


def sentences() -> Iterator[str]:
    """Python's documentation, docstrings and lines of source: real English and code, on every machine."""
    for topic in topics.values():
        yield from _SENTENCE.split(topic)
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in file.parts:
            continue
        source = file.read_text("utf-8", "replace")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # test data of the library's own parser
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                yield from _SENTENCE.split(ast.get_docstring(node) or "")
        yield from source.splitlines()


def embeddings(dim: int, n: int) -> np.ndarray:
    """TF-IDF of distinct texts reduced by an SVD, float32 (n, dim) of length 1; kept in the temporary folder."""
    version = hashlib.sha256(f"{sys.version} {sklearn.__version__} {dim} {n} 1".encode()).hexdigest()[:12]
    kept = Path(tempfile.gettempdir()) / f"breadth-embeddings-{version}.npy"
    if kept.exists():
        return np.load(kept)
    distinct: dict[tuple[str, ...], str] = {}
    for text in itertools.islice(sentences(), 20 * n):  # all of them but in a smoke run
        words = sorted(word.lower() for word in _WORD.findall(text))
        if len(set(words)) >= 4:
            distinct.setdefault(tuple(words), text)
    texts = list(distinct.values())
    rng = np.random.default_rng(0)
    chosen = [texts[i] for i in rng.permutation(len(texts))[: int(1.1 * n)]]
    counts = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, token_pattern=_WORD.pattern).fit_transform(chosen)
    reduced = TruncatedSVD(dim, n_iter=4, random_state=0).fit_transform(counts)
    length = np.linalg.norm(reduced, axis=1)
    some = reduced[length > 0.02] / length[length > 0.02, None]  # of the others the SVD has kept nothing but noise
    distinct_rows = np.unique(some.astype(np.float32), axis=0)
    result = distinct_rows[rng.permutation(len(distinct_rows))[:n]]
    np.save(kept, result)
    return result


def built(name: str, X: np.ndarray, threads: int) -> Any:
    """An index of the rows: the same M, ef_construction and threads for all."""
    dim = X.shape[1]
    if name == OURS:
        index = HNSW(dim, M=M, ef_construction=EF_CONSTRUCTION, n_threads=threads)
        index.add(np.arange(len(X)), X)
        return index
    if name == HNSWLIB:
        import hnswlib

        index = hnswlib.Index("cosine", dim)
        index.init_index(len(X), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
        index.set_num_threads(threads)
        index.add_items(X)
        return index
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(dim, M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.add(X)
    return index


def found(name: str, index: Any, Q: np.ndarray, ef: int) -> np.ndarray:
    """Ids of the K nearest, each package by its own batch call."""
    if name == OURS:
        return index.search(Q, K, ef=ef).ids
    if name == HNSWLIB:
        index.set_ef(ef)
        return index.knn_query(Q, K)[0].astype(np.int64)
    index.hnsw.efSearch = ef
    return index.search(Q, K)[1]


def worst_scores(X: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """The K-th best score of each query, less float32's rounding, shape (queries, 1)."""
    return np.concatenate([np.partition(q @ X.T, -K, axis=1)[:, -K] for q in np.array_split(Q, 8)])[:, None] - 1e-6


def recall(X: np.ndarray, Q: np.ndarray, ids: np.ndarray, worst: np.ndarray) -> float:
    """Share of the K found that are as near as the K-th best, so that equal vectors stand for one another."""
    return float(np.mean(np.einsum("qkd,qd->qk", X[ids], Q) >= worst))


def seconds_at(target: float, curve: list[tuple[float, float]]) -> float:
    """Seconds at a recall, interpolated in a curve of (recall, seconds); infinite if it is not reached."""
    recalls, seconds = np.maximum.accumulate([r for r, _ in curve]), np.log([s for _, s in curve])
    return float(np.exp(np.interp(target, recalls, seconds, right=np.inf)))


def graph_rows(setup: Setup, raw: Times) -> list[Row]:
    rows = []
    n, q = setup.size(100_000, 1500), setup.size(N_QUERIES, 100)
    for dim in _DIMS if not setup.smoke else (32,):
        E = embeddings(dim, n + q)
        X, Q = E[:n], E[n:]
        indexes: dict[str, Any] = {}
        builds = {name: lambda X, name=name: built(name, X, setup.threads) for name in (OURS, *peers(setup))}
        times = interleave(
            builds, lambda _, X=X: X, reps=setup.repetitions(3), warm_up=X[:1000],
            look=lambda name, _r, _d, index, indexes=indexes: indexes.__setitem__(name, index),
        )  # fmt: skip
        bars = {HNSWLIB: BUILD_BAR, FAISS: None}
        rows += ratio_rows(f"HNSW build, {n:,} x {dim}", times, {p: b for p, b in bars.items() if p in indexes}, raw)
        worst = worst_scores(X, Q)
        efs = EFS[: setup.size(len(EFS), 3)]
        recalls: dict[tuple[str, int], float] = {}

        def look(name: str, _r: int, _d: Any, ids: np.ndarray, recalls=recalls, X=X, Q=Q, worst=worst) -> None:
            label, ef = name.rsplit(" ", 1)
            recalls[label, int(ef)] = recall(X, Q, ids, worst)

        searches: dict[str, Callable[[Any], np.ndarray]] = {
            f"{name} {ef}": lambda Q, name=name, ef=ef, indexes=indexes: found(name, indexes[name], Q, ef)
            for ef in efs
            for name in (OURS, *peers(setup))
        }
        times = interleave(searches, lambda _, Q=Q: Q, reps=setup.repetitions(5), look=look)
        raw.update({f"HNSW search, {n:,} x {dim} | {name}": seconds for name, seconds in times.items()})
        raw.update({f"HNSW recall, {n:,} x {dim} | {name} {ef}": [r] for (name, ef), r in recalls.items()})
        for target in RECALLS:
            at = {
                name: [
                    seconds_at(target, [(recalls[name, ef], times[f"{name} {ef}"][r]) for ef in efs])
                    for r in range(len(times[f"{OURS} {efs[0]}"]))
                ]
                for name in (OURS, *peers(setup))
            }
            for peer, bar in ((HNSWLIB, SEARCH_BAR), (FAISS, None)):
                if peer not in at or not np.isfinite([*at[OURS], *at[peer]]).all():
                    continue  # a smoke run's tiny curves do not span the recalls
                spread = Spread.of([a / b for a, b in zip(at[OURS], at[peer], strict=True)])
                ours, theirs = (f"{q / np.median(at[name]):,.0f} a second" for name in (OURS, peer))
                what = f"HNSW search at recall@{K} = {target}, {n:,} x {dim}"
                rows.append(Row(what, spread.median, "ratio", bar, peer, ours, theirs, spread=spread, n=spread.n))
    return rows


def filter_rows(setup: Setup, raw: Times) -> list[Row]:
    """Each filter's recall, as a shortfall from 1, and its time beside the matching rows multiplied and partitioned."""
    rows = []
    n, q = setup.size(100_000, 3000), setup.size(N_QUERIES, 100)
    E = embeddings(128 if not setup.smoke else 32, n + q)
    X, Q = E[:n], E[n:]
    near = X @ Q[0]
    order = np.argsort(np.argsort(near))
    metadata = [{"seventh": i % 7, "hundredth": i % 100, "nearness": int(order[i] * 7 // n)} for i in range(n)]
    index = HNSW(X.shape[1], M=M, ef_construction=EF_CONSTRUCTION, n_threads=setup.threads)
    index.add(np.arange(n), X, metadata)
    other = built(FAISS, X, setup.threads) if FAISS in peers(setup) else None
    topic = Q[np.argsort(-(Q @ Q[0]))[: q // 5]]
    cases = (
        ("1/7", {"seventh": 3}, np.arange(n) % 7 == 3, Q),
        ("1/100", {"hundredth": 3}, np.arange(n) % 100 == 3, Q),
        ("1/7, farthest from the queries", {"nearness": 0}, order * 7 // n == 0, topic),
        ("6/7, all but the nearest", {"nearness": {"$ne": 6}}, order * 7 // n != 6, topic),
    )
    for name, filter, allowed, given in cases:
        slots = np.flatnonzero(allowed)
        worst = worst_scores(X[slots], given)

        def brute(given: np.ndarray, slots=slots) -> np.ndarray:
            scores = given @ X[slots].T
            best = np.argpartition(-scores, K - 1, axis=1)[:, :K]
            return slots[best]

        contenders = {OURS: lambda given, f=filter: index.search(given, K, f).ids, BRUTE: brute}
        if other is not None:
            import faiss

            parameters = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBatch(slots), efSearch=100)
            contenders[SELECTOR] = lambda given, p=parameters: other.search(given, K, params=p)[1]
        recalls = {}

        def look(name: str, _r: int, _d: Any, ids: np.ndarray, recalls=recalls, given=given, worst=worst) -> None:
            recalls[name] = recall(X, given, ids, worst)

        with threadpool_limits(setup.threads):
            times = interleave(contenders, lambda _, given=given: given, reps=setup.repetitions(7), look=look)
        what = f"filtered search, {name}"
        rows += ratio_rows(what, times, {p: b for p, b in ((BRUTE, FILTER_BAR), (SELECTOR, None)) if p in times}, raw)
        lost = 1 - recalls[OURS]
        said = [f"recall {recalls[c]:.4f} in {duration(float(np.median(times[c])))}" for c in (OURS, *list(times)[2:])]
        rows.append(Row(f"{what}: 1 - recall@{K}", lost, "absolute", 0.02, ", ".join(list(times)[2:]), *said))
    return rows


_DATA = "TF-IDF and SVD of sentences, docstrings and lines of Python's standard library, cosine"
SECTIONS = (
    Section(
        "vectors",
        "Vectors: HNSW",
        f"{_DATA}; {N_QUERIES:,} held-out queries, each package by its own batch call. M {M}, ef_construction "
        f"{EF_CONSTRUCTION}. Times at a recall are interpolated between values of ef from {EFS[0]} to {EFS[-1]}.",
        graph_rows,
    ),
    Section(
        "filtered",
        "Vectors: filtered HNSW",
        f"{_DATA}; 100,000 x 128, ef_search 100. Brute force multiplies queries by matching rows and partitions.",
        filter_rows,
    ),
)
