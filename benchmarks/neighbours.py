"""Exact nearest neighbours beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

BETTER = "the better of scikit-learn's"
KINDS = ("brute", "kd_tree")


def neighbour_rows(setup: Setup, raw: Times) -> list[Row]:
    import sklearn.neighbors

    from breadth.tabular import KNeighborsRegressor

    rng = np.random.default_rng(0)
    n, p, k = setup.size(100_000, 5000), 32, 10
    few = rng.normal(size=(n, 6)) @ rng.normal(size=(6, p)) + 1e-3 * rng.normal(size=(n, p))
    cases = (
        ("Gaussian", rng.normal(size=(n, p)), 1.0, setup.size(10_000, 500)),
        ("6 directions", few, 0.3, setup.size(10_000, 500)),
    )
    rows: list[Row] = []
    for name, X, bar, q in cases:
        X = X.astype(np.float32)
        y = np.zeros(n)
        queries = (X[:q] + 0.1 * X[q : 2 * q]).astype(np.float32)
        ours = KNeighborsRegressor(k).fit(X, y)
        peers = {
            kind: sklearn.neighbors.KNeighborsRegressor(k, algorithm=kind, n_jobs=setup.threads).fit(X, y)
            for kind in (KINDS if name != "Gaussian" else KINDS[:1])  # its tree looks at every row
        }
        contenders: dict[str, Any] = {OURS: lambda _, ours=ours, queries=queries: ours.kneighbors(queries)}
        for kind, peer in peers.items():
            contenders[kind] = lambda _, peer=peer, queries=queries: peer.kneighbors(queries)
        times = interleave(contenders, lambda _: None, reps=setup.repetitions(3))
        times[BETTER] = min((times[kind] for kind in peers), key=np.median)
        what = f"{name}, {n:,} × {p} float32, {q:,} queries, k = {k}"
        rows += ratio_rows(what, times, {BETTER: bar, **dict.fromkeys(peers)}, raw)
        farther = ours.kneighbors(queries)[0] - peers["brute"].kneighbors(queries)[0]
        rows.append(Row(f"{what}: farther than its", float(farther.max()), "absolute", 1e-3, BETTER))
    return rows


def metric_rows(setup: Setup, raw: Times) -> list[Row]:
    """Other metrics, and sparse rows like TF-IDF, whose words are as frequent as Zipf says."""
    import scipy.sparse as sp
    import sklearn.neighbors
    from sklearn.feature_extraction.text import TfidfTransformer

    from breadth.tabular import KNeighborsRegressor

    rng = np.random.default_rng(0)
    n, p, words, k = setup.size(20_000, 2000), 100, 10_000, 10
    q, q_sparse = setup.size(2000, 200), setup.size(1000, 100)
    X = rng.normal(size=(n + q, p))
    share = 1 / np.arange(1, words + 1)
    drawn = rng.choice(words, size=(n + q_sparse, 65), p=share / share.sum())
    owner = np.repeat(np.arange(n + q_sparse), 65)
    texts = TfidfTransformer().fit_transform(sp.csr_matrix((np.ones(drawn.size), (owner, drawn.ravel()))))
    rows: list[Row] = []
    for metric, data in (("cosine", X), ("chebyshev", X), ("euclidean", texts), ("cosine", texts)):
        train, queries = data[:n], data[n:]
        ours = KNeighborsRegressor(k, metric=metric).fit(train, np.zeros(n))
        peer = sklearn.neighbors.KNeighborsRegressor(k, metric=metric, algorithm="brute", n_jobs=setup.threads)
        peer.fit(train, np.zeros(n))
        contenders: dict[str, Any] = {
            OURS: lambda _, ours=ours, queries=queries: ours.kneighbors(queries),
            KINDS[0]: lambda _, peer=peer, queries=queries: peer.kneighbors(queries),
        }
        times = interleave(contenders, lambda _: None, reps=setup.repetitions(5))
        kind = f"sparse, {texts.nnz / len(owner) * 65:.0f} words a row, {words:,}" if data is texts else f"{p}"
        what = f"{metric}, {n:,} × {kind} float64, {queries.shape[0]:,} queries, k = {k}"
        rows += ratio_rows(what, times, {KINDS[0]: 1.0}, raw)
        farther = ours.kneighbors(queries)[0] - peer.kneighbors(queries)[0]
        rows.append(Row(f"{what}: farther than its", float(farther.max()), "absolute", 1e-12, KINDS[0]))
    return rows


SECTIONS = (
    Section(
        "neighbours",
        "Nearest neighbours",
        "`kneighbors` of fitted models; rows that vary in all directions alike, or in 6 and a thousandth of that in "
        "the others. Ours is exact in float64; scikit-learn's brute force rounds distances in float32.",
        lambda setup, raw: neighbour_rows(setup, raw) + metric_rows(setup, raw),
    ),
)
