"""Selection of columns beside scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER = "scikit-learn"
BAR = 1.0


def selection_rows(setup: Setup, raw: Times) -> list[Row]:
    import sklearn.feature_selection as peer
    from sklearn.linear_model import LinearRegression, LogisticRegression

    from breadth import tabular

    rng = np.random.default_rng(0)
    n, few = setup.size(50_000, 500), setup.size(5_000, 300)
    X = rng.normal(size=(n, 200))
    y = X[:, 0] + rng.normal(size=n)
    classes = (y > 0).astype(int) + (y > 1)
    counts = rng.poisson(1.0, X.shape).astype(float)
    rows: list[Row] = []
    reps = setup.repetitions(5)

    def compare(what: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
        calls = {OURS: lambda _: ours(), PEER: lambda _: theirs()}
        for call in calls.values():
            call(None)
        rows.extend(ratio_rows(what, interleave(calls, lambda _: None, reps=reps), {PEER: BAR}, raw))

    packages = (tabular, peer)
    for name, columns, target in (("f_classif", X, classes), ("f_regression", X, y), ("chi2", counts, classes)):
        compare(f"{name}, {n:,} × 200", *(partial(getattr(m, name), columns, target) for m in packages))
    for name, target in (("mutual_info_classif", classes), ("mutual_info_regression", y)):
        asked = (X[:few, :20], target[:few])
        compare(f"{name}, {few:,} × 20", *(partial(getattr(m, name), *asked, random_state=0) for m in packages))
    small = setup.size(2_000, 200)
    for model, target in ((LinearRegression(), y), (LogisticRegression(), classes)):
        what = f"SequentialFeatureSelector, 4 of 20 forward, {type(model).__name__}, {small:,} rows"
        asked = (X[:small, :20], target[:small])
        selectors = (m.SequentialFeatureSelector(model, n_features_to_select=4, cv=3) for m in packages)
        compare(what, *(partial(s.fit, *asked) for s in selectors))
    return rows


SECTIONS = (
    Section(
        "selection",
        "Selection of columns",
        "Scores of one column at a time, and forward selection of the same columns with the same models and folds.",
        selection_rows,
    ),
)
