"""Linear models beside scikit-learn's: lasso path, ridge regression, logistic regression."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER = "scikit-learn"
PATH_BAR, LOGISTIC_BAR = 0.8, 0.9
NEAR = 1e-6  # of the objective at the optimum
TOLERANCES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-7)


def regression(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring columns correlated by nearly a half, a tenth of the columns informative."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    X = 0.6 * X + 0.4 * np.roll(X, 1, axis=1)  # halves alike would be collinear
    coef = np.zeros(p)
    coef[: p // 10] = rng.normal(size=p // 10)
    y = X @ coef + rng.normal(size=n)
    return X - X.mean(axis=0), y - y.mean()


def linear_rows(setup: Setup, raw: Times) -> list[Row]:
    import scipy.sparse as sp
    from sklearn import linear_model

    from breadth import tabular

    reps, rows = setup.repetitions(9), []
    n, p = setup.size(10_000, 200), setup.size(500, 20)
    X, y = regression(n, p)

    def beside(what: str, ours: Any, theirs: Any, bar: float) -> None:
        times = interleave({OURS: lambda _: ours(), PEER: lambda _: theirs()}, lambda _: None, reps=reps)
        rows.extend(ratio_rows(what, times, {PEER: bar}, raw))

    for tol in (1e-4, 1e-7):
        what = f"lasso path, 100 alphas, {n:,} × {p}, duality gap {tol:g}"
        beside(
            what,
            lambda tol=tol: tabular.lasso_path(X, y, tol=tol),
            lambda tol=tol: linear_model.lasso_path(X, y, alphas=100, tol=tol),
            PATH_BAR if tol == 1e-4 else 1.0,
        )
        gap = tabular.lasso_path(X, y, tol=tol)[2].max() / (tol * (y @ y) / n)
        rows.append(Row(f"{what}: largest gap, over what is asked for", gap, "ratio", 1.0, PEER))
    for rows_cv, columns in ((10_000, 100), (2_000, 500), (300, 2_000)):
        A, b = regression(setup.size(rows_cv, 60), setup.size(columns, 10))
        beside(
            f"LassoCV, 5 folds, {len(A):,} × {A.shape[1]:,}",
            lambda A=A, b=b: tabular.LassoCV().fit(A, b),
            lambda A=A, b=b: linear_model.LassoCV().fit(A, b),
            1.0,
        )
    beside(
        f"LinearRegression, {n:,} × {p}: fit",
        lambda: tabular.LinearRegression().fit(X, y),
        lambda: linear_model.LinearRegression().fit(X, y),
        1.0,
    )
    wide, target = regression(setup.size(1_000, 100), setup.size(5_000, 300))
    scattered = sp.random(setup.size(20_000, 300), setup.size(5_000, 200), 0.01, random_state=0, format="csc")
    answer = np.asarray(scattered[:, :50].sum(axis=1)).ravel() + np.random.default_rng(0).normal(
        size=scattered.shape[0]
    )
    for name, A, b, alpha in (
        ("", X, y, 0.05),
        ("", wide, target, 0.1),
        (" sparse, 1 %", scattered, answer, 1e-3),
    ):
        for kind in ("Lasso", "Ridge"):
            strength = alpha if kind == "Lasso" else 10.0
            beside(
                f"{kind}, {A.shape[0]:,} × {A.shape[1]:,}{name}: fit",
                lambda k=kind, A=A, b=b, s=strength: getattr(tabular, k)(s).fit(A, b),
                lambda k=kind, A=A, b=b, s=strength: getattr(linear_model, k)(s).fit(A, b),
                1.0,
            )
    return rows


def logistic_rows(setup: Setup, raw: Times) -> list[Row]:
    from sklearn import linear_model
    from sklearn.exceptions import ConvergenceWarning

    from breadth import tabular

    rows: list[Row] = []
    for n, p in ((setup.size(200_000, 500), setup.size(50, 5)), (setup.size(50_000, 400), setup.size(300, 8))):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)) / np.sqrt(p))
        y = (X @ (2 * rng.normal(size=p) / np.sqrt(p)) + rng.logistic(size=n) > 0).astype(int)
        best = objective(tabular.LogisticRegression(tol=1e-9, max_iter=500).fit(X, y), X, y)

        def loosest(make: Any, X: Any = X, y: Any = y, best: float = best) -> float | None:
            for tol in TOLERANCES:
                if objective(make(tol).fit(X, y), X, y) <= best * (1 + NEAR):
                    return tol
            return None

        kinds = {OURS: lambda tol: tabular.LogisticRegression(tol=tol, max_iter=1000)}
        for solver in ("lbfgs", "newton-cg", "newton-cholesky"):
            kinds[f"{PEER} ({solver})"] = lambda tol, s=solver: linear_model.LogisticRegression(
                solver=s, tol=tol, max_iter=1000
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            tols = {name: loosest(make) for name, make in kinds.items()}
            fits = {
                name: lambda _, make=make, tol=tols[name]: make(tol).fit(X, y)  # noqa: B023 (run within this turn)
                for name, make in kinds.items()
                if tols[name] is not None
            }
            times = interleave(fits, lambda _: None, reps=setup.repetitions(5))
        what = f"logistic regression, {n:,} × {p}: time to within {NEAR:g} of the optimum"
        rows += ratio_rows(what, times, {name: LOGISTIC_BAR for name in fits if name != OURS}, raw)
    return rows


def objective(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Sum of losses and half the squared coefficients, C = 1."""
    margin = np.where(y == 1, 1.0, -1.0) * (X @ model.coef_[0] + model.intercept_[0])
    return float(np.logaddexp(0.0, -margin).sum() + 0.5 * (model.coef_ @ model.coef_.T)[0, 0])


SECTIONS = (
    Section(
        "linear",
        "Lasso and ridge regression",
        "Neighbouring columns correlated by a half. Both stop at the same duality gap, relative to y'y.",
        linear_rows,
    ),
    Section(
        "logistic",
        "Logistic regression",
        "Squared penalty, C = 1. Each contender has the loosest of nine values of `tol` with which its objective is "
        "within one millionth of the least.",
        logistic_rows,
    ),
)
