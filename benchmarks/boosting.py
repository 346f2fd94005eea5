"""Speed of gradient boosting beside LightGBM, XGBoost and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris

from benchmarks.harness import OURS, ROUNDS, Row, Section, Setup, Times, interleave, ratio_rows
from benchmarks.peers import (
    HGB,
    LEAVES,
    LIGHTGBM,
    QUANTISED,
    RATE,
    XGBOOST,
    fits,
    four_peers,
    lgbm,
    native,
    ours,
    xgb,
)
from breadth.data import make_higgs_like

FIT_BARS = {LIGHTGBM: 0.50, QUANTISED: 0.70, XGBOOST: 0.55, HGB: 0.45}
PREDICT_BARS = {LIGHTGBM: 0.30, XGBOOST: 0.60, HGB: None}
WARM_UP_ROWS = 20_000  # enough to wake every thread and compile every kernel


def table(n: int, n_features: int = 28, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    drawn = make_higgs_like(n, n_features=n_features, seed=seed)
    return drawn.to_numpy(np.float32), drawn.y


def as_taken(X: np.ndarray, y: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    wide = native(HGB, X)
    return {name: (wide if name == HGB else X, y) for name in (OURS, LIGHTGBM, QUANTISED, XGBOOST, HGB)}


def fit_rows(setup: Setup, raw: Times) -> list[Row]:
    rows = []
    for n, n_features in ((setup.size(500_000, 1000), 28), (setup.size(100_000, 1000), 100)):
        X, y = table(n, n_features)
        data, few = as_taken(X, y), as_taken(X[:WARM_UP_ROWS], y[:WARM_UP_ROWS])
        contenders = fits(four_peers(setup))
        times = interleave(contenders, lambda _, data=data: data, reps=setup.repetitions(5), warm_up=few)
        rows += ratio_rows(f"fit {n:,} x {n_features}", times, FIT_BARS, raw)
        del data, few, X, y
    n = setup.size(250_000, 1000)
    data = as_taken(*table(n))
    level_wise = fits({
        OURS: lambda: ours(setup, growth="level", max_depth=6, max_leaf_nodes=64),
        XGBOOST: lambda: xgb(
            setup, grow_policy="depthwise", max_depth=6, max_leaves=0, reg_lambda=0, min_child_weight=1e-3
        ),
    })  # fmt: skip
    times = interleave(level_wise, lambda _: data, reps=setup.repetitions(5))
    return rows + ratio_rows(f"fit {n:,} x 28, level-wise, depth 6", times, {XGBOOST: None}, raw)


def small_rows(setup: Setup, raw: Times) -> list[Row]:
    named: dict[str, tuple[Any, Any]] = {f"{n:,} x 28": table(n) for n in (100, 300, 1000, 2000)}
    cancer, iris = load_breast_cancer(), load_iris()
    named["breast_cancer, 569 x 30"] = cancer.data.astype(np.float32), cancer.target
    named["iris, 150 x 4, 3 classes"] = iris.data.astype(np.float32), iris.target
    makers = {OURS: lambda: ours(setup), LIGHTGBM: lambda: lgbm(setup)}
    rows = []
    for name, (X, y) in named.items():
        data = as_taken(X, y)
        times = interleave(fits(makers), lambda _, data=data: data, reps=setup.repetitions(31))
        rows += ratio_rows(f"fit {name}", times, {LIGHTGBM: 1.0}, raw)
    return rows


def predict_rows(setup: Setup, raw: Times) -> list[Row]:
    rows = []
    n = setup.size(50_000, 1000)
    for n_features in (28, 100):
        X, y = table(2 * n, n_features)
        data = as_taken(X[n:], y[n:])
        fitted = {
            name: make().fit(native(name, X[:n]), y[:n])
            for name, make in four_peers(setup).items()
            if name != QUANTISED
        }
        contenders = {
            name: lambda given, name=name, model=model: model.predict_proba(given[name][0])
            for name, model in fitted.items()
        }
        times = interleave(contenders, lambda _, data=data: data, reps=setup.repetitions(31))
        rows += ratio_rows(f"predict_proba {n:,} x {n_features}", times, PREDICT_BARS, raw)
    return rows


_SETTINGS = f"{ROUNDS} rounds, {LEAVES} leaves, rate {RATE}"
_DATA = "two classes from `breadth.data.make_higgs_like` as C-ordered float32 (float64 for scikit-learn)"
SECTIONS = (
    Section(
        "fit",
        "Boosting: fit",
        f"Whole `fit(X, y)`, binning included: {_DATA}; {_SETTINGS}. LightGBM, scikit-learn and ours keep 20 rows a "
        "leaf; XGBoost is leaf-wise too (lossguide, max_depth 0) with reg_lambda 0 and min_child_weight 1e-3. "
        "Level-wise: depth 6, 64 leaves, against XGBoost's depthwise growth.",
        fit_rows,
    ),
    Section(
        "small",
        "Boosting: fit on small data",
        f"Whole `fit(X, y)`; {_SETTINGS}. All estimators are told to take the same threads; ours takes one below "
        "400,000 cells.",
        small_rows,
    ),
    Section(
        "predict",
        "Boosting: predict_proba",
        f"Whole `predict_proba(X)`, validation included, of models fitted to as many other rows; {_SETTINGS}.",
        predict_rows,
    ),
)
