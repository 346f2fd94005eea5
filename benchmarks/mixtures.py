"""Gaussian mixtures beside scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER = "scikit-learn"
BARS = {"full": 0.5, "tied": 1.0, "diag": 1.0, "spherical": 1.0}


def mixture_rows(setup: Setup, raw: Times) -> list[Row]:
    from sklearn.mixture import GaussianMixture as Peer

    from breadth.tabular import GaussianMixture

    n, p, k = setup.size(50_000, 600), 16, 8
    rng = np.random.default_rng(0)
    shape = np.stack([np.linalg.qr(rng.normal(size=(p, p)))[0] * np.exp(0.4 * rng.normal(size=p)) for _ in range(k)])
    label = rng.integers(k, size=n)
    X = (rng.normal(size=(k, p))[label] + np.einsum("nij,nj->ni", shape[label], rng.normal(size=(n, p)))).copy()
    rows: list[Row] = []
    for kind, bar in BARS.items():
        settings: dict[str, Any] = {"covariance_type": kind, "random_state": 0, "max_iter": setup.size(200, 10)}

        def ours(_: Any, settings: Any = settings) -> Any:
            return GaussianMixture(k, **settings).fit(X)

        def theirs(_: Any, settings: Any = settings) -> Any:
            return Peer(k, **settings).fit(X)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a smoke run does not converge
            times = interleave({OURS: ours, PEER: theirs}, lambda _: None, reps=setup.repetitions(3))
            own, other = ours(None), theirs(None)
        what = f"{kind}, {n:,} × {p}, {k} components, {own.n_iter_} steps"
        rows += ratio_rows(what, times, {PEER: bar}, raw)
        gap = max(0.0, other.score(X) - own.score(X))
        rows.append(
            Row(f"{what}: log-likelihood a row that is missing", gap, "absolute", 1e-6, PEER,
                f"{own.score(X):.6f}", f"{other.score(X):.6f}")
        )  # fmt: skip
    return rows


SECTIONS = (
    Section(
        "mixtures",
        "Gaussian mixtures",
        "`fit` from an equal random state: k-means and then expectation maximisation to tol 1e-3; overlapping groups, "
        "each long in directions of its own.",
        mixture_rows,
    ),
)
