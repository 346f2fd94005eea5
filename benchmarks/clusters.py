"""k-means beside scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEERS = {"scikit-learn Lloyd": "lloyd", "scikit-learn Elkan": "elkan"}
BETTER = "the better of scikit-learn's"


def grouped(n: int, p: int, k: int, rng: np.random.Generator) -> NDArray:
    """Overlapping groups: their centres stand about as far apart as they are wide."""
    return rng.normal(size=(k, p))[rng.integers(k, size=n)] * 2 + rng.normal(size=(n, p))


def word_counts(n: int, p: int, words: int, rng: np.random.Generator) -> Any:
    """Rows like TF-IDF, of length 1: words drawn by Zipf's law, and the logarithm of how rare each is."""
    law = np.cumsum(1 / np.arange(1, p + 1))
    column = np.searchsorted(law / law[-1], rng.random(n * words))
    X = sp.csr_matrix((np.ones(n * words), (np.repeat(np.arange(n), words), np.minimum(column, p - 1))), shape=(n, p))
    X.sum_duplicates()
    X.data *= np.log((1 + n) / (1 + np.bincount(X.indices, minlength=p)))[X.indices] + 1
    return sp.csr_matrix(sp.diags(1 / np.sqrt(np.asarray(X.power(2).sum(axis=1)).ravel())) @ X)


def cluster_rows(setup: Setup, raw: Times) -> list[Row]:
    import sklearn.cluster

    from breadth.tabular import KMeans

    rng = np.random.default_rng(0)
    n, m = setup.size(100_000, 3000), setup.size(50_000, 3000)
    grouped_rows, plain_rows = grouped(n, 32, 64, rng).astype(np.float32), rng.normal(size=(m, 64)).astype(np.float32)
    words = word_counts(setup.size(20_000, 1000), setup.size(10_000, 500), 65, rng)
    cases: tuple[tuple[str, Any, int, float], ...] = (
        ("groups", grouped_rows, 64, 0.8),
        ("no groups", plain_rows, 100, 1.15),
        ("sparse like TF-IDF", words, 100, 0.8),
    )
    rows: list[Row] = []
    for name, X, k, bar in cases:
        # each repetition from other centres: two runs whose rounding differs part ways, and end a little above or below
        starts = [X[rng.choice(X.shape[0], k, replace=False)] for _ in range(setup.repetitions(5))]
        starts = [drawn.toarray() if sp.issparse(drawn) else drawn for drawn in starts]
        settings: dict[str, Any] = {"n_init": 1, "tol": 1e-4, "max_iter": setup.size(100, 10)}
        inertia: dict[str, float] = dict.fromkeys((OURS, *PEERS), 0.0)

        def ours(start: Any, X: Any = X, k: int = k, settings: Any = settings) -> float:
            return KMeans(k, init=start, **settings).fit(X).inertia_

        def theirs(algorithm: str, X: Any = X, k: int = k, settings: Any = settings) -> Any:
            def run(start: Any) -> float:
                return sklearn.cluster.KMeans(k, init=start, algorithm=algorithm, **settings).fit(X).inertia_

            return run

        def look(contender: str, _: int, __: Any, found: float, inertia: Any = inertia) -> None:
            inertia[contender] += found

        contenders = {OURS: ours} | {peer: theirs(algorithm) for peer, algorithm in PEERS.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a smoke run does not converge
            times = interleave(contenders, starts.__getitem__, reps=len(starts), look=look)
        what = f"{name}, {X.shape[0]:,} × {X.shape[1]}, {k} clusters"
        times[BETTER] = min((times[peer] for peer in PEERS), key=np.median)
        rows += ratio_rows(what, times, {BETTER: bar, **dict.fromkeys(PEERS)}, raw)
        excess = inertia[OURS] / min(inertia[peer] for peer in PEERS) - 1
        rows.append(Row(f"{what}: inertia beyond its, over all starts", excess, "relative", 1e-4, BETTER))
    return rows


SECTIONS = (
    Section(
        "clusters",
        "k-means",
        "`fit` of float32 rows, or sparse float64 rows, to tol 1e-4, from the same centres, drawn anew each time.",
        cluster_rows,
    ),
)
