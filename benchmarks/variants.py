"""Time and held-out quality beside LightGBM: several classes, numbers, missing values, categories, weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split

from benchmarks.harness import OURS, ROUNDS, Row, Section, Setup, Times, interleave, mean_row, ratio_rows
from benchmarks.peers import LEAVES, LIGHTGBM, RATE, lgbm, ours
from breadth.data import Dataset, make_categorical, make_friedman, make_higgs_like, make_missing

QUALITY_BAR = 0.001  # relative excess of held-out loss
CATEGORIES = (4, 8, 12, 20, 30, 50, 80, 120)


@dataclass(frozen=True)
class Task:
    """Training rows (X, y, weight or None) and as many rows to judge by, for each contender as it takes them."""

    train: tuple[np.ndarray, np.ndarray, np.ndarray | None]
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray | None]
    regression: bool = False
    categorical: Sequence[int] = field(default=())

    @classmethod
    def halves(cls, dataset: Dataset, weight: np.ndarray | None = None) -> Task:
        """First half to learn from, second half to judge by."""
        n = len(dataset) // 2
        X, y = dataset.to_numpy(np.float32), dataset.y
        parts = [(X[s], y[s], None if weight is None else weight[s]) for s in (slice(0, n), slice(n, None))]
        categorical = np.flatnonzero(dataset.categorical_mask).tolist()
        return cls(*parts, dataset.task == "regression", categorical)

    def loss(self, model: Any) -> float:
        X, y, weight = self.held_out
        if self.regression:
            return float(mean_squared_error(y, model.predict(X), sample_weight=weight))
        return float(log_loss(y, model.predict_proba(X), labels=model.classes_, sample_weight=weight))


def digits(n: int, seed: int) -> Task:
    """n of the 1,797 images to learn from."""
    X, y = load_digits(return_X_y=True)
    X, X_out, y, y_out = train_test_split(X.astype(np.float32), y, train_size=n, random_state=seed, stratify=y)
    return Task((X, y, None), (X_out, y_out, None))


def weighted(n: int, seed: int) -> Task:
    weight = np.random.default_rng(seed).exponential(size=2 * n)
    return Task.halves(make_higgs_like(2 * n, seed=seed), weight)


TASKS: dict[str, tuple[int, int, Callable[[int, int], Task]]] = {  # what: (rows, rows when tiny, maker)
    "digits, 10 classes, {n:,} x 64": (1300, 300, digits),
    "regression, {n:,} x 20 (Friedman)": (
        100_000, 1000, lambda n, seed: Task.halves(make_friedman(2 * n, n_features=20, seed=seed))
    ),
    "20 % missing, {n:,} x 28": (
        100_000, 1000, lambda n, seed: Task.halves(make_missing(make_higgs_like(2 * n, seed=seed), 0.2, seed=seed))
    ),
    "8 categorical and 8 numeric columns, {n:,} rows": (
        50_000, 1000,
        lambda n, seed: Task.halves(make_categorical(2 * n, n_categories=CATEGORIES, n_numeric=8, seed=seed)),
    ),
    "sample weights, {n:,} x 28": (100_000, 1000, weighted),
}  # fmt: skip


def fit_ours(setup: Setup) -> Callable[[Task], Any]:
    def fit(task: Task) -> Any:
        model = ours(setup, regression=task.regression, categorical_features=task.categorical or None)
        return model.fit(*task.train)

    return fit


def fit_lightgbm(setup: Setup) -> Callable[[Task], Any]:
    def fit(task: Task) -> Any:
        return lgbm(setup, regression=task.regression).fit(
            *task.train, categorical_feature=list(task.categorical) or "auto"
        )

    return fit


def variant_rows(setup: Setup, raw: Times) -> list[Row]:
    rows = []
    for what, (full, tiny, make) in TASKS.items():
        n = setup.size(full, tiny)
        losses: dict[str, list[float]] = {OURS: [], LIGHTGBM: []}
        times = interleave(
            {OURS: fit_ours(setup), LIGHTGBM: fit_lightgbm(setup)},
            lambda r, n=n, make=make: make(n, r),
            reps=setup.repetitions(5),
            look=lambda name, r, task, model, losses=losses: losses[name].append(task.loss(model)),
        )
        name = what.format(n=n)
        measure = "held-out squared error" if what.startswith("regression") else "held-out log loss"
        rows += ratio_rows(f"fit, {name}", times, {LIGHTGBM: 0.8}, raw)
        rows.append(
            mean_row(
                f"{measure}, {name}",
                [a / b - 1 for a, b in zip(losses[OURS], losses[LIGHTGBM], strict=True)],
                QUALITY_BAR,
                peer=LIGHTGBM,
                ours=f"{np.mean(losses[OURS]):.5f}",
                theirs=f"{np.mean(losses[LIGHTGBM]):.5f}",
            )
        )
    return rows


SECTIONS = (
    Section(
        "variants",
        "Boosting: other losses and other data",
        f"Whole `fit` and, from the same fits, the loss on as many other rows (digits: the rest), ours / peer - 1, "
        f"mean with standard error; every repetition draws new data (digits: a new split). {ROUNDS} rounds, {LEAVES} "
        f"leaves, rate {RATE}. Categories are {', '.join(map(str, CATEGORIES))} to a column, given as codes with the "
        "columns named; weights are exponential.",
        variant_rows,
    ),
)
