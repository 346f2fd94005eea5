"""TreeSHAP: the sum over all subsets, the slow twin of its kernels, and the properties that define the values."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import factorial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor
from breadth.tabular.trees.shapley import tree_shapley

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}  # float64, a few thousand terms of order 1


def goes_left(trees, p, x):
    """Slow twin of the model's decision."""
    if trees.category_set[p] >= 0:
        *words, n_codes = trees.category_sets[trees.category_set[p]].tolist()
        if not 0 <= x < n_codes:
            return bool(trees.missing_left[p])
        return bool(words[int(x) >> 6] >> (int(x) & 63) & 1)
    return (bool(trees.missing_left[p]) and np.isnan(x)) or bool(x <= trees.threshold[p])


def game(trees, t, row, known):
    """Tree t's value where only the features in `known` are: the row's side there, training's mixture elsewhere."""

    def below(p):
        if trees.left[p] < 0:
            return trees.value[p]
        a, b = trees.left[p], trees.left[p] + 1
        if trees.feature[p] in known:
            return below(a if goes_left(trees, p, row[trees.feature[p]]) else b)
        both = trees.rows[a] + trees.rows[b]
        share = trees.rows[a] / both if both else 0.5
        return share * below(a) + (1 - share) * below(b)

    return below(trees.roots[t])


def by_all_subsets(trees, X):
    """Shapley values by their definition, (rows, features, outputs), and the values of the empty coalition."""
    n, M, K = len(X), trees.n_features, trees.n_outputs
    values, base = np.zeros((n, M, K)), trees.first_score.copy()
    for t in range(trees.n_trees):
        base[t % K] += game(trees, t, X[0], ())
        for i, row in enumerate(X):
            worth = {S: game(trees, t, row, S) for size in range(M + 1) for S in itertools.combinations(range(M), size)}
            for S, v in worth.items():
                for j in range(M):
                    if j in S:
                        weight = factorial(len(S) - 1) * factorial(M - len(S)) / factorial(M)
                        values[i, j, t % K] += weight * (v - worth[tuple(k for k in S if k != j)])
    return values, base


def a_table(n=400, n_features=6, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)).astype(dtype)
    y = X[:, 0] + (X[:, -1] > 0) * X[:, n_features // 2] + rng.normal(size=n) / 4
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, y


def assert_defined_values(model, X):
    M = model._known_matrix(X)
    values, base = tree_shapley(model._ensemble, M)
    want, want_base = by_all_subsets(model._ensemble, M)
    assert_allclose(values.reshape(want.shape), want, **ROUNDING)
    assert_allclose(np.atleast_1d(base), want_base, **ROUNDING)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_depth": 1},
        {"max_leaf_nodes": None, "growth": "level", "max_depth": 9, "min_samples_leaf": 1},
        {"subsample": 0.5},
    ],
)
def test_values_are_those_of_the_sum_over_all_subsets(settings, dtype):
    X, y = a_table(dtype=dtype)
    model = GradientBoostingRegressor(**{"max_iter": 3, **settings}).fit(X, y)
    assert_defined_values(model, np.vstack([X[:3], np.full((1, 6), np.nan, dtype)]))


def test_values_of_several_classes_and_of_categories_are_those_of_the_sum_over_all_subsets():
    X, y = a_table(n_features=5)
    X[:, 1] = np.random.default_rng(1).integers(0, 30, len(X))
    X[::9, 1] = np.nan
    kind = np.digitize(y + np.sin(X[:, 1] ** 2) * (X[:, 1] == X[:, 1]), [-0.5, 0.5])
    model = GradientBoostingClassifier(max_iter=3, categorical_features=[1], min_samples_leaf=5).fit(X, kind)
    assert (model._ensemble.category_set >= 0).any()
    unseen = X[:3].copy()
    unseen[:, 1] = [99, np.nan, 3]
    assert_defined_values(model, np.vstack([X[:4], unseen]))
    values, base = model.shap_values(X)
    assert values.shape == (len(X), 5, 3) and base.shape == (3,)
    assert_allclose(values.sum(axis=1) + base, model.decision_function(X), **ROUNDING)


def test_a_child_that_no_training_row_reached_gets_no_weight():
    X, y = a_table(n_features=4)
    model = GradientBoostingRegressor(max_iter=3, max_leaf_nodes=12).fit(X, y)
    trees = model._ensemble
    rows = trees.rows.copy()
    inner = np.flatnonzero(trees.left >= 0)
    rows[trees.left[inner[::3]]] = 0
    for share in (rows, np.zeros_like(rows)):
        bare = replace(trees, rows=share)
        want, base = by_all_subsets(bare, X[:8])
        values, expected = tree_shapley(bare, X[:8])
        assert_allclose(values, want[:, :, 0], **ROUNDING)
        assert_allclose(expected, base[0], **ROUNDING)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(max_iter=500),
        GradientBoostingRegressor("poisson", max_iter=50),
        GradientBoostingRegressor(max_iter=3, growth="level", max_leaf_nodes=None, min_samples_leaf=1, max_depth=16),
        GradientBoostingClassifier(max_iter=50, max_features=0.3, random_state=0),
    ],
    ids=["500 rounds", "poisson", "deep", "classes"],
)
def test_values_and_base_add_up_to_the_raw_score(model, offset):
    X, y = a_table(n=500, n_features=40)
    targets = y > 0 if hasattr(model, "predict_proba") else np.abs(y)
    model.fit(X + offset, targets)
    values, base = model.shap_values(X + offset)
    assert_allclose(values.sum(axis=1) + base, model._scores(X + offset)[:, 0], rtol=0, atol=1e-9)
    unused = np.setdiff1d(np.arange(40), model.used_features_)
    assert_array_equal(values[:, unused], 0)


def test_the_average_over_training_rows_is_near_nothing_and_base_is_their_mean_score():
    X, y = a_table(n=2000)
    model = GradientBoostingRegressor(max_iter=30).fit(X, y)
    # every tree saw all rows unweighted, so the mixture's mean is the mean of the scores
    assert_allclose(model.shap_values(X).base_values, model.predict(X).mean(), **ROUNDING)


def test_values_do_not_depend_on_threads_or_on_the_other_rows():
    X, y = a_table(n=700)
    model = GradientBoostingRegressor(max_iter=20, n_threads=1).fit(X, y)
    whole = model.shap_values(X).values
    assert_array_equal(model.set_params(n_threads=3).shap_values(X).values, whole)
    assert_array_equal(model.shap_values(X[137:138]).values, whole[137:138])


def test_one_feature_takes_all_and_a_constant_model_gives_none_any():
    X, y = a_table(n_features=1)
    model = GradientBoostingRegressor(max_iter=20).fit(X, y)
    values, base = model.shap_values(X)
    assert_allclose(values[:, 0] + base, model.predict(X), **ROUNDING)
    constant = GradientBoostingRegressor(max_iter=2).fit(X, np.full(len(X), 1e4))
    values, base = constant.shap_values(X)
    assert_array_equal(values, np.zeros(X.shape))
    assert base == 1e4


def test_present_or_missing_is_credited_to_the_column():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    X[:, 1] = np.nan
    gone = rng.random(400) < 0.5
    X[gone, 0] = np.nan
    model = GradientBoostingRegressor(max_iter=1, learning_rate=1.0, max_leaf_nodes=2).fit(X, 1.0 * gone)
    values, base = model.shap_values(X)
    assert_allclose(values[:, 0], gone - gone.mean(), rtol=0, atol=1e-7)  # training scores are float32
    assert_allclose(base, gone.mean(), rtol=1e-6)
    assert_array_equal(values[:, 1:], 0)


def test_frames_of_text_are_explained_and_an_unfitted_model_is_not():
    X, y = a_table(n_features=2)
    table = pd.DataFrame({"town": pd.Series([f"t{i % 7}" for i in range(len(X))]), "size": X[:, 0]})
    model = GradientBoostingClassifier(max_iter=10).fit(table, y + np.arange(len(X)) % 7 > 3)
    values, base = model.shap_values(table)
    assert_allclose(values.sum(axis=1) + base, model.decision_function(table), **ROUNDING)
    with pytest.raises(NotFittedError):
        GradientBoostingClassifier().shap_values(X)
