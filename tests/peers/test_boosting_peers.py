"""Gradient boosting beside LightGBM, XGBoost and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss

from breadth.data import make_categorical, make_higgs_like
from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

LGB = {"n_jobs": 1, "verbose": -1}  # its threads spin: beside another test they take minutes


def integer_columns(n, seed, n_features=10, distinct=250):
    """Columns of few distinct integers, so that every engine sees the same candidate splits."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    edges = np.quantile(X, np.linspace(0, 1, distinct + 1)[1:-1], axis=0)
    codes = np.stack([np.searchsorted(edges[:, f], X[:, f]) for f in range(n_features)], axis=1)
    signal = np.sin(2 * X[:, 0]) + X[:, 1] * (X[:, 2] > 0) + 0.5 * X[:, 3] ** 2
    return codes.astype(np.float32) + 1, signal, rng


@pytest.mark.parametrize("n_trees", [1, 5, 20])
def test_binary_raw_scores_are_lightgbms_on_prebinned_columns(n_trees):
    X, signal, rng = integer_columns(60_000, 0, distinct=60)  # more would bring thresholds of equal gain to 5 digits
    y = (signal + rng.logistic(size=len(X)) > 0.5).astype(int)
    # no binding bound on leaf sizes: LightGBM rounds its estimate of a leaf's rows bin by bin, we once a leaf
    ours = GradientBoostingClassifier(max_iter=n_trees, min_samples_leaf=1).fit(X, y)
    theirs = lightgbm.LGBMClassifier(n_estimators=n_trees, min_child_samples=1, **LGB).fit(X, y)
    ours, theirs = ours.decision_function(X), theirs.predict(X, raw_score=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg="float32 scores and fixed-point gradients")


def test_regression_is_lightgbms_on_prebinned_columns():
    X, signal, rng = integer_columns(60_000, 1)
    y = signal + 0.3 * rng.normal(size=len(X)) + 1e4
    ours = GradientBoostingRegressor(max_iter=20).fit(X, y).predict(X)
    theirs = lightgbm.LGBMRegressor(n_estimators=20, **LGB).fit(X, y).predict(X)
    assert np.quantile(np.abs(ours - theirs), 0.999) < 1e-2  # LightGBM keeps targets near 1e4 in float32
    centred = lightgbm.LGBMRegressor(n_estimators=20, **LGB).fit(X, y - 1e4).predict(X) + 1e4
    np.testing.assert_allclose(ours, centred, atol=1e-4, err_msg="float32 scores and fixed-point gradients")


def test_the_first_tree_of_a_weighted_fit_is_xgboosts():
    X, signal, rng = integer_columns(20_000, 2, distinct=100)
    y = signal + 0.3 * rng.normal(size=len(X))
    w = rng.exponential(size=len(X))
    common = {"max_iter": 1, "learning_rate": 1.0, "max_leaf_nodes": 8, "l2_regularization": 2.0}
    ours = GradientBoostingRegressor(min_samples_leaf=1, **common).fit(X, y, w).predict(X)
    theirs = xgboost.XGBRegressor(
        n_estimators=1, learning_rate=1.0, max_leaves=8, max_depth=0, grow_policy="lossguide", tree_method="hist",
        reg_lambda=2.0, min_child_weight=1e-3, base_score=np.average(y, weights=w), max_bin=256,
    ).fit(X, y, sample_weight=w).predict(X)  # fmt: skip
    np.testing.assert_allclose(ours, theirs, atol=2e-4, err_msg="float32 on both sides")


def held_out(model, data, rows):
    X, y = data.to_numpy(), data.y
    p = model.fit(X[:rows], y[:rows]).predict_proba(X[rows:])
    return log_loss(y[rows:], np.clip(p, 1e-9, 1))


@pytest.mark.parametrize("growth", ["leaf", "level"])
def test_held_out_loss_is_that_of_the_best_peer(growth):
    gaps = []
    for seed in range(4):
        data = make_higgs_like(10_000, seed=seed)
        ours = held_out(GradientBoostingClassifier(growth=growth), data, 5_000)
        theirs = [
            held_out(lightgbm.LGBMClassifier(**LGB), data, 5_000),
            held_out(HistGradientBoostingClassifier(early_stopping=False), data, 5_000),
        ]
        gaps.append(ours / np.mean(theirs) - 1)
    gaps = np.array(gaps)
    assert gaps.mean() < 0.001 + 2 * gaps.std(ddof=1) / 2


def test_multiclass_missing_and_categorical_quality_is_lightgbms():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    ours = log_loss(y[1200:], GradientBoostingClassifier().fit(X[:1200], y[:1200]).predict_proba(X[1200:]))
    theirs = log_loss(y[1200:], lightgbm.LGBMClassifier(**LGB).fit(X[:1200], y[:1200]).predict_proba(X[1200:]))
    assert ours < 1.1 * theirs

    data = make_higgs_like(20_000, seed=7)
    X = data.to_numpy().copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    losses = [
        log_loss(data.y[10_000:], m.fit(X[:10_000], data.y[:10_000]).predict_proba(X[10_000:]))
        for m in (GradientBoostingClassifier(), lightgbm.LGBMClassifier(**LGB))
    ]
    assert losses[0] < 1.01 * losses[1]

    data = make_categorical(20_000, n_categories=[5, 10, 30, 100], seed=0)
    X, mask = data.to_numpy(), np.flatnonzero(data.categorical_mask).tolist()
    ours = GradientBoostingClassifier(categorical_features=mask).fit(X[:10_000], data.y[:10_000])
    theirs = lightgbm.LGBMClassifier(**LGB).fit(X[:10_000], data.y[:10_000], categorical_feature=mask)
    losses = [log_loss(data.y[10_000:], m.predict_proba(X[10_000:])) for m in (ours, theirs)]
    assert losses[0] < 1.01 * losses[1]


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("absolute_error", {}),
        ("quantile", {"quantile": 0.8}),
        ("poisson", {}),
    ],
)
def test_other_regression_losses_are_as_good_as_scikit_learns(loss, settings):
    X, signal, rng = integer_columns(6_000, 3)
    y = rng.poisson(np.exp(0.5 * signal)).astype(float) if loss == "poisson" else signal + rng.exponential(size=len(X))
    fits = [
        m(loss=loss, **settings).fit(X[:3000], y[:3000]).predict(X[3000:])
        for m in (GradientBoostingRegressor, HistGradientBoostingRegressor)
    ]

    def value(p):
        d = y[3000:] - p
        q = settings.get("quantile", 0.5)
        return np.mean(p - y[3000:] * np.log(p)) if loss == "poisson" else np.mean(np.maximum(q * d, (q - 1) * d))

    ours, theirs = map(value, fits)
    assert ours - theirs < 0.01 * abs(theirs)
