"""Naive Bayes and discriminant analysis beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER = "scikit-learn"
BAR = 1.0
SAME_PRODUCT = 1.05  # both multiply the rows by a matrix once, and differ by what a clock does


def fit_and_predict(
    what: str, own: Any, other: Any, X: Any, y: Any, setup: Setup, raw: Times, *, bar: float = BAR
) -> list[Row]:
    """Ratios of fit and of predict_proba, whose bar is given."""
    own.fit(X, y)
    other.fit(X, y)
    reps = setup.repetitions(5)
    fits = interleave({OURS: lambda _: own.fit(X, y), PEER: lambda _: other.fit(X, y)}, lambda _: None, reps=reps)
    asked = {OURS: lambda _: own.predict_proba(X), PEER: lambda _: other.predict_proba(X)}
    rows = ratio_rows(f"{what}: fit", fits, {PEER: BAR}, raw)
    rows += ratio_rows(f"{what}: predict_proba", interleave(asked, lambda _: None, reps=reps), {PEER: bar}, raw)
    return rows


def naive_bayes_rows(setup: Setup, raw: Times) -> list[Row]:
    import sklearn.naive_bayes as peer

    from breadth import tabular

    rng = np.random.default_rng(0)
    n = setup.size(50_000, 500)
    words = sp.random(setup.size(11_000, 200), 50_000, density=100 / 50_000, format="csr", random_state=0)
    words.data = np.ceil(words.data * 3)
    counts, categories = rng.poisson(1.0, (n, 200)).astype(float), rng.integers(0, 8, (n, 50))
    categories[:8] = np.arange(8)[:, None]
    tables = (
        ("MultinomialNB", words, 20, "sparse counts"),
        ("ComplementNB", words, 20, "sparse counts"),
        ("MultinomialNB", counts, 10, "counts"),
        ("BernoulliNB", counts, 10, "counts"),
        ("CategoricalNB", categories, 10, "8 categories"),
        ("GaussianNB", counts, 10, "numbers"),
    )
    rows: list[Row] = []
    for name, X, classes, kind in tables:
        y = rng.integers(0, classes, X.shape[0])
        what = f"{name}, {X.shape[0]:,} × {X.shape[1]:,} {kind}, {classes} classes"
        rows += fit_and_predict(what, getattr(tabular, name)(), getattr(peer, name)(), X, y, setup, raw)
    return rows


def discriminant_rows(setup: Setup, raw: Times) -> list[Row]:
    import sklearn.discriminant_analysis as peer

    from breadth import tabular

    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for n, p, classes in ((setup.size(50_000, 500), 50, 5), (setup.size(5_000, 500), 200, 2)):
        y = rng.integers(0, classes, n)
        X = rng.normal(size=(n, p)) + 0.1 * y[:, None]
        for name, options in (
            ("LinearDiscriminantAnalysis", {}),
            ("LinearDiscriminantAnalysis", {"solver": "lsqr", "shrinkage": "auto"}),
            ("QuadraticDiscriminantAnalysis", {"reg_param": 0.1}),
        ):
            how = ", ".join(f"{value}" for value in options.values())
            what = f"{name}{f' ({how})' if how else ''}, {n:,} × {p}, {classes} classes"
            own, other = getattr(tabular, name)(**options), getattr(peer, name)(**options)
            bar = SAME_PRODUCT if name.startswith("Linear") else BAR
            rows += fit_and_predict(what, own, other, X, y, setup, raw, bar=bar)
    return rows


SECTIONS = (
    Section(
        "naive_bayes",
        "Naive Bayes",
        "Class labels are drawn at random: nothing depends on what is learned. Times are those of fit and of "
        "predict_proba on the same rows.",
        naive_bayes_rows,
    ),
    Section(
        "discriminant",
        "Discriminant analysis",
        "Gaussian classes. Ours reduces rows to a triangle by blocks; scikit-learn takes the singular values of all.",
        discriminant_rows,
    ),
)
