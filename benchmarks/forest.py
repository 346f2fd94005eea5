"""Forest and tree beside scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier as SklearnForest
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier as SklearnTree

from benchmarks.boosting import table
from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, mean_row, ratio_rows
from breadth.tabular.trees.forest import RandomForestClassifier
from breadth.tabular.trees.tree import DecisionTreeClassifier

SKLEARN = "scikit-learn"
TREES = 100
Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]  # X, y, X and y to judge by, seed


def draw(n: int, seed: int) -> Data:
    X, y = table(2 * n, seed=seed)
    return X[:n], y[:n], X[n:], y[n:], seed


def beside_sklearn(
    what: str,
    makers: dict[str, Callable[[int], Any]],
    n: int,
    setup: Setup,
    raw: Times,
    *,
    reps: int,
    fit_bar: float,
    predict_bar: float | None,
    quality_bar: float | None,
) -> list[Row]:
    """Fit on new data each repetition, then predict_proba and log loss on as many other rows from the same fits."""
    losses: dict[str, list[float]] = {name: [] for name in makers}
    models: dict[str, Any] = {}

    def keep(name: str, r: int, data: Data, model: Any) -> None:
        losses[name].append(float(log_loss(data[3], model.predict_proba(data[2]))))
        models[name] = model

    times = interleave(
        {name: lambda data, make=make: make(data[4]).fit(data[0], data[1]) for name, make in makers.items()},
        lambda r: draw(n, r),
        reps=setup.repetitions(reps),
        warm_up=draw(setup.size(2000, 300), 0),
        look=keep,
    )
    X = draw(n, 0)[2]
    predictions = interleave(
        {name: lambda X, model=model: model.predict_proba(X) for name, model in models.items()},
        lambda _: X,
        reps=setup.repetitions(11),
    )
    return [
        *ratio_rows(f"{what} fit, {n:,} x 28", times, {SKLEARN: fit_bar}, raw),
        *ratio_rows(f"{what} predict_proba, {n:,} x 28", predictions, {SKLEARN: predict_bar}, raw),
        mean_row(
            f"{what} held-out log loss", [a / b - 1 for a, b in zip(losses[OURS], losses[SKLEARN], strict=True)],
            quality_bar, peer=SKLEARN, ours=f"{np.mean(losses[OURS]):.4f}", theirs=f"{np.mean(losses[SKLEARN]):.4f}",
        ),
    ]  # fmt: skip


def forest_rows(setup: Setup, raw: Times) -> list[Row]:
    n, trees = setup.size(50_000, 500), setup.size(TREES, 10)
    makers = {
        OURS: lambda seed: RandomForestClassifier(n_estimators=trees, random_state=seed, n_jobs=setup.threads),
        SKLEARN: lambda seed: SklearnForest(n_estimators=trees, random_state=seed, n_jobs=setup.threads),
    }
    return beside_sklearn(
        "forest", makers, n, setup, raw, reps=3, fit_bar=0.4, predict_bar=0.5, quality_bar=0.001
    )  # fmt: skip


def tree_rows(setup: Setup, raw: Times) -> list[Row]:
    n = setup.size(50_000, 500)
    makers = {
        OURS: lambda seed: DecisionTreeClassifier(min_samples_leaf=20, random_state=seed),
        SKLEARN: lambda seed: SklearnTree(min_samples_leaf=20, random_state=seed),
    }
    return beside_sklearn("tree", makers, n, setup, raw, reps=7, fit_bar=1.0, predict_bar=1.0, quality_bar=0.001)


SECTIONS = (
    Section(
        "forest",
        "Random forest",
        f"{TREES} trees, both with their other defaults (square root of the features, unlimited depth), two jobs; "
        "every repetition draws new data. Ours splits at the edges of 255 bins, scikit-learn anywhere. Equal quality: "
        "log loss on as many other rows, ours / peer - 1, up to 0.1 % or within two standard errors of the mean over "
        "repetitions.",
        forest_rows,
    ),
    Section(
        "tree",
        "Decision tree",
        "One tree with 20 rows a leaf, unlimited depth, one thread; new data for every repetition.",
        tree_rows,
    ),
)
