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


SECTIONS = (
    Section(
        "neighbours",
        "Nearest neighbours",
        "`kneighbors` of fitted models; rows that vary in all directions alike, or in 6 and a thousandth of that in "
        "the others. Ours is exact in float64; scikit-learn's brute force rounds distances in float32.",
        neighbour_rows,
    ),
)
