"""Kernel machines beside scikit-learn's (libsvm, liblinear, LAPACK)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER = "scikit-learn"


def rows_of(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scaled features, a third of them informative, and two classes with 5 % of the labels wrong."""
    from sklearn.datasets import make_classification

    X, y = make_classification(n, p, n_informative=p // 2, flip_y=0.05, random_state=seed)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def kernel_rows(setup: Setup, raw: Times) -> list[Row]:
    import sklearn.decomposition
    import sklearn.gaussian_process
    import sklearn.kernel_ridge
    import sklearn.svm
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    from breadth import tabular

    n, p = setup.size(10_000, 300), 20
    X, y = rows_of(n, p)
    sign = np.where(y == 1, 1.0, -1.0)
    reps = setup.repetitions(5)
    rows: list[Row] = []

    def beside(what: str, ours: Any, theirs: Any, bar: float | None) -> None:
        times = interleave({OURS: lambda _: ours(), PEER: lambda _: theirs()}, lambda _: None, reps=reps)
        rows.extend(ratio_rows(what, times, {PEER: bar}, raw))

    for C in (1.0, 100.0):
        settings = {"C": C, "gamma": 1 / p}
        what = f"SVC, RBF, C = {C:g}, {n:,} × {p}: fit"
        beside(
            what, lambda s=settings: tabular.SVC(**s).fit(X, y), lambda s=settings: sklearn.svm.SVC(**s).fit(X, y), None
        )
        own, peer = tabular.SVC(**settings).fit(X, y), sklearn.svm.SVC(**settings).fit(X, y)
        best, other = (dual_objective(model, X, sign, 1 / p) for model in (own, peer))
        rows.append(Row(f"{what}: dual objective below the peer's", 1 - best / other, "relative", 1e-6, PEER))
        beside(
            f"SVC, RBF, C = {C:g}, {n:,} × {p}: predict", lambda m=own: m.predict(X), lambda m=peer: m.predict(X), 1.0
        )

    Z, z = rows_of(setup.size(100_000, 500), 50)
    beside(
        f"LinearSVC, {len(Z):,} × 50: fit",
        lambda: tabular.LinearSVC().fit(Z, z),
        lambda: sklearn.svm.LinearSVC().fit(Z, z),
        1.0,
    )
    few = setup.size(3_000, 200)
    A, b = X[:few], X[:few, 0] + sign[:few]
    beside(
        f"KernelRidge, RBF, {few:,} × {p}: fit and predict",
        lambda: tabular.KernelRidge(kernel="rbf").fit(A, b).predict(A),
        lambda: sklearn.kernel_ridge.KernelRidge(kernel="rbf").fit(A, b).predict(A),
        1.0,
    )
    beside(
        f"KernelPCA, RBF, 5 components, {few:,} × {p}: fit and transform",
        lambda: tabular.KernelPCA(5, kernel="rbf").fit(A).transform(A),
        lambda: sklearn.decomposition.KernelPCA(5, kernel="rbf").fit(A).transform(A),
        1.0,
    )
    few = setup.size(500, 60)
    G, g = X[:few, :4], X[:few, 0] ** 2 + 0.1 * sign[:few]
    kernel = ConstantKernel() * RBF()
    beside(
        f"GaussianProcessRegressor, three hyperparameters, {few:,} × 4: fit",
        lambda: tabular.GaussianProcessRegressor(kernel + WhiteKernel()).fit(G, g),
        lambda: sklearn.gaussian_process.GaussianProcessRegressor(kernel + WhiteKernel()).fit(G, g),
        1.0,
    )
    beside(
        f"GaussianProcessClassifier, two hyperparameters, {few:,} × 4: fit",
        lambda: tabular.GaussianProcessClassifier(kernel).fit(G, g > 0.5),
        lambda: sklearn.gaussian_process.GaussianProcessClassifier(kernel).fit(G, g > 0.5),
        1.0,
    )
    return rows


def dual_objective(model: Any, X: np.ndarray, sign: np.ndarray, gamma: float) -> float:
    """Sum of alpha minus b.K b / 2, in float64, with one kernel for both."""
    from breadth.tabular import rbf_kernel

    beta, chosen = model.dual_coef_[0], model.support_
    return float(sign[chosen] @ beta - beta @ rbf_kernel(X[chosen], gamma=gamma) @ beta / 2)


SECTIONS = (
    Section(
        "kernels",
        "Kernel machines",
        "Two classes with 5 % wrong labels in scaled columns, half of them informative; everything at its default but "
        "what is written. The dual objective is computed for both by one function: below 0 ours is the higher, and "
        "either is within tol of the maximum.",
        kernel_rows,
    ),
)
