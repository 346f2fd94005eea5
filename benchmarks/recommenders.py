"""Implicit matrix factorisation beside the library implicit."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

CG, EXACT = "implicit", "implicit, Cholesky"
BAR = 0.35
ALPHA, REGULARIZATION, ITERATIONS = 1.0, 0.01, 10


def clicks(setup: Setup) -> Any:
    """Some 400,000 pairs of users and items with long tails on both sides, of strength 1 and more, float32."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    users, items, draws = setup.size(30_000, 300), setup.size(10_000, 100), setup.size(1_500_000, 5_000)
    user = rng.permutation(users)[rng.zipf(1.3, draws) % users]
    item = rng.permutation(items)[rng.zipf(1.2, draws) % items]
    X = sp.coo_matrix((np.ones(draws, np.float32), (user, item)), shape=(users, items)).tocsr()
    X.data = (1 + 2 * np.log1p(X.data)).astype(np.float32)
    return X


def recommender_rows(setup: Setup, raw: Times) -> list[Row]:
    import implicit

    from breadth.recommend import ImplicitALS

    X = clicks(setup)
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    for factors in (32, 64):
        start = [(rng.random((n, factors)) * 0.01).astype(np.float32) for n in X.shape]

        def ours(_: Any, start: Any = start, factors: int = factors) -> Any:
            model = ImplicitALS(
                factors, REGULARIZATION, ALPHA, setup.size(ITERATIONS, 2), warm_start=True, n_jobs=setup.threads
            )
            model.user_factors_, model.item_factors_ = (a.copy() for a in start)
            return model.fit(X)

        def theirs(_: Any, start: Any = start, factors: int = factors, use_cg: bool = True) -> Any:
            peer = implicit.als.AlternatingLeastSquares(
                factors=factors,
                regularization=REGULARIZATION,
                alpha=ALPHA,
                iterations=setup.size(ITERATIONS, 2),
                use_cg=use_cg,
                num_threads=setup.threads,
            )
            peer.user_factors, peer.item_factors = (a.copy() for a in start)
            peer.fit(X, show_progress=False)
            return peer

        calls = {OURS: ours, CG: theirs, EXACT: lambda _, run=theirs: run(_, use_cg=False)}
        times = interleave(calls, lambda _: None, reps=setup.repetitions(7))
        what = f"implicit ALS, {factors} factors, {X.nnz:,} interactions"
        rows += ratio_rows(what, times, {CG: BAR, EXACT: None}, raw)
        own, peer = ours(None), theirs(None)
        reached = ImplicitALS(factors, REGULARIZATION, ALPHA, n_jobs=setup.threads)
        reached.user_factors_, reached.item_factors_ = peer.user_factors, peer.item_factors
        excess = own.objective_ / reached.objective_of(X) - 1
        rows.append(Row(f"{what}: objective above the peer's", excess, "relative", 1e-3, CG))
    return rows


SECTIONS = (
    Section(
        "recommenders",
        "Recommenders",
        "Implicit alternating least squares on 30,000 users and 10,000 items with long tails, both from the same "
        f"factors, {ITERATIONS} iterations, float32: two steps of conjugate gradients a turn in ours, three in the "
        "peer's (each its default). The objective is the sum over all pairs, computed for both by one function; below "
        "0 ours is the lower.",
        recommender_rows,
    ),
)
