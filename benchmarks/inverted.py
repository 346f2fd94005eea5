"""IVF, flat and product-quantised, beside faiss at equal recall, on embeddings of real text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Spread, Times, interleave, ratio_rows
from benchmarks.vectors import N_QUERIES, K, embeddings, recall, seconds_at, worst_scores
from breadth.vector import IVF

FAISS = "faiss"
DIM, N_LISTS, N_SUBVECTORS = 128, 400, 16
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)
RECALLS = {"IVF": (0.9, 0.95, 0.99), "IVF-PQ": (0.5,)}


def built(kind: str, name: str, X: np.ndarray, threads: int, n_lists: int) -> Any:
    if name == OURS:
        index = IVF(
            X.shape[1], metric="cosine", n_lists=n_lists, n_subvectors=N_SUBVECTORS if kind == "IVF-PQ" else None
        )
        index.train(X)
        index.add(np.arange(len(X)), X)
        return index
    import faiss

    faiss.omp_set_num_threads(threads)
    suffix = f"PQ{N_SUBVECTORS}" if kind == "IVF-PQ" else "Flat"
    index = faiss.index_factory(X.shape[1], f"IVF{n_lists},{suffix}", faiss.METRIC_INNER_PRODUCT)
    index.train(X)
    index.add(X)
    return index


def found(name: str, index: Any, Q: np.ndarray, n_probe: int, threads: int) -> np.ndarray:
    if name == OURS:
        return index.search(Q, K, n_probe=n_probe, n_threads=threads).ids
    index.nprobe = n_probe
    return index.search(Q, K)[1]


def inverted_rows(setup: Setup, raw: Times) -> list[Row]:
    rows = []
    n, q = setup.size(100_000, 1000), setup.size(N_QUERIES, 20)
    n_lists = setup.size(N_LISTS, 8)
    E = embeddings(DIM if not setup.smoke else 32, n + q)
    X, Q = E[:n], E[n:]
    worst = worst_scores(X, Q)
    for kind in RECALLS:
        indexes: dict[str, Any] = {}
        times = interleave(
            {
                name: lambda X, name=name, kind=kind: built(kind, name, X, setup.threads, n_lists)
                for name in (OURS, FAISS)
            },
            lambda _: X,
            reps=setup.repetitions(3),
            look=lambda name, _r, _d, index, indexes=indexes: indexes.__setitem__(name, index),
        )
        rows += ratio_rows(f"{kind} build, {n:,} x {X.shape[1]}", times, {FAISS: None}, raw)
        recalls: dict[tuple[str, int], float] = {}

        def look(name: str, _r: int, _d: Any, ids: np.ndarray, recalls=recalls) -> None:
            label, probes = name.rsplit(" ", 1)
            recalls[label, int(probes)] = recall(X, Q, ids, worst)

        probes = [p for p in PROBES if p <= n_lists]
        searches: dict[str, Callable[[Any], np.ndarray]] = {
            f"{name} {p}": lambda Q, name=name, p=p, indexes=indexes: found(name, indexes[name], Q, p, setup.threads)
            for p in probes
            for name in (OURS, FAISS)
        }
        times = interleave(searches, lambda _: Q, reps=setup.repetitions(7), look=look)
        raw.update({f"{kind} search | {name}": seconds for name, seconds in times.items()})
        raw.update({f"{kind} recall | {name} {p}": [r] for (name, p), r in recalls.items()})
        for target in RECALLS[kind]:
            at = {
                name: [
                    seconds_at(target, [(recalls[name, p], times[f"{name} {p}"][r]) for p in probes])
                    for r in range(len(times[f"{OURS} 1"]))
                ]
                for name in (OURS, FAISS)
            }
            if not np.isfinite([*at[OURS], *at[FAISS]]).all():
                continue  # a smoke run's tiny curves do not span the recalls
            spread = Spread.of([a / b for a, b in zip(at[OURS], at[FAISS], strict=True)])
            ours, theirs = (f"{q / np.median(at[name]):,.0f} a second" for name in (OURS, FAISS))
            what = f"{kind} search at recall@{K} = {target}, {n:,} x {X.shape[1]}"
            rows.append(Row(what, spread.median, "ratio", 1.0, FAISS, ours, theirs, spread=spread, n=spread.n))
    return rows


SECTIONS = (
    Section(
        "inverted",
        "Vectors: IVF",
        f"The embeddings of the HNSW section, cosine; {N_QUERIES:,} held-out queries in one call. {N_LISTS} lists, "
        f"n_probe from {PROBES[0]} to {PROBES[-1]}, times at a recall interpolated between them; PQ has {N_SUBVECTORS} "
        "bytes a vector and no second look at the vectors.",
        inverted_rows,
    ),
)
