"""Whether a fit depends on the number of threads or on the order of the rows: it must not, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.boosting import table
from benchmarks.harness import Row, Section, Setup, Times
from benchmarks.peers import ours
from breadth.data import make_categorical, make_multiclass

ROUNDS = 30


def differing(scores: list[np.ndarray]) -> int:
    """Values whose bits are not those of the first array; the largest count over the others."""
    bits = [np.ascontiguousarray(s, np.float64).view(np.uint64) for s in scores]
    return max(int((b != bits[0]).sum()) for b in bits[1:])


def scores(setup: Setup, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None, **settings: Any) -> np.ndarray:
    model = ours(setup, **{"max_iter": ROUNDS, "n_threads": 2, **settings})
    return model.fit(X, y, weight).decision_function(X)


def row(what: str, arrays: list[np.ndarray]) -> Row:
    return Row(what, differing(arrays), "count", 0, ours=f"of {arrays[0].size:,} raw scores")


def determinism_rows(setup: Setup, raw: Times) -> list[Row]:
    sizes = setup.size(50_000, 16_000), setup.size(250_000, 20_000)  # above 200,000 rows edges come from a sample
    n = sizes[0]  # enough cells that threads are used
    X, y = table(n)
    several = make_multiclass(n, n_features=28)
    mixed = make_categorical(n, n_numeric=24)
    kinds: dict[str, tuple[np.ndarray, np.ndarray, dict[str, Any]]] = {
        "two classes, leaf-wise": (X, y, {}),
        "two classes, level-wise": (X, y, {"growth": "level", "max_depth": 5}),
        "5 classes": (several.to_numpy(np.float32), several.y, {}),
        "4 categorical columns": (
            mixed.to_numpy(np.float32), mixed.y,
            {"categorical_features": np.flatnonzero(mixed.categorical_mask).tolist()},
        ),
        "subsample 0.5, max_features 0.5": (X, y, {"subsample": 0.5, "max_features": 0.5, "random_state": 0}),
    }  # fmt: skip
    rows = [
        row(f"1, 2, 3 threads, {what}, {n:,} rows", [scores(setup, A, b, n_threads=t, **settings) for t in (1, 2, 3)])
        for what, (A, b, settings) in kinds.items()
    ]
    rng = np.random.default_rng(0)
    for n in sizes:
        X, y = table(n)
        order, weight = rng.permutation(n), rng.exponential(size=n)
        for what, w in (("", None), (", weighted", weight)):
            moved = scores(setup, X[order], y[order], None if w is None else w[order])
            rows.append(row(f"permuted rows{what}, {n:,} rows", [scores(setup, X, y, w)[order], moved]))
    return rows


SECTIONS = (
    Section(
        "determinism",
        "Boosting: the same bits",
        f"Raw scores of the training rows after {ROUNDS} rounds, compared bit by bit; the figure counts those that "
        "differ. Every fit has two threads where nothing else is said.",
        determinism_rows,
    ),
)
