"""TreeSHAP beside the shap package on the same trees, and beside LightGBM's on trees that equal ours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor

shap = pytest.importorskip("shap")
lightgbm = pytest.importorskip("lightgbm")


def as_peers_trees(trees, output):
    """One output's trees as dicts of arrays, which shap.TreeExplainer takes."""
    found = []
    for t in range(output, trees.n_trees, trees.n_outputs):
        nodes = slice(int(trees.roots[t]), int(trees.roots[t + 1]))
        left, rows = trees.left[nodes], trees.rows[nodes].astype(np.float64)
        inner = left >= 0
        left = np.where(inner, left - nodes.start, -1)
        missing_left = trees.missing_left[nodes]
        found.append(
            {
                "children_left": left.astype(np.int32),
                "children_right": np.where(inner, left + 1, -1).astype(np.int32),
                "children_default": np.where(inner, np.where(missing_left, left, left + 1), -1).astype(np.int32),
                "features": np.where(inner, trees.feature[nodes], -2).astype(np.int32),
                "thresholds": np.where(inner, trees.threshold[nodes], -2.0).astype(np.float64),
                "values": trees.value[nodes][:, None].copy(),
                "node_sample_weight": rows,
            }
        )
    return found


def assert_like_shap(model, X):
    trees = model._ensemble
    values, base = model.shap_values(X)
    values = values.reshape(len(X), trees.n_features, trees.n_outputs)
    for k in range(trees.n_outputs):
        peer = shap.TreeExplainer({"trees": as_peers_trees(trees, k)}, feature_perturbation="tree_path_dependent")
        want = peer.shap_values(X.astype(np.float64), check_additivity=False)
        # the peer removes features from a path by subtraction, which costs digits with every level
        assert_allclose(values[:, :, k], want, rtol=1e-9, atol=1e-9)
        assert_allclose(np.atleast_1d(base)[k], peer.expected_value + trees.first_score[k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings", [{}, {"max_depth": 1}, {"growth": "level", "max_depth": 7, "min_samples_leaf": 2}])
def test_values_are_those_of_shap_on_the_same_trees(settings, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 10)).astype(dtype)
    y = X[:, 0] + (X[:, 1] > 0) * X[:, 2] + rng.normal(size=600) / 4
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 9] = np.nan
    assert_like_shap(GradientBoostingRegressor(**{"max_iter": 30, **settings}).fit(X, y), X[:200])
    several = GradientBoostingClassifier(**{"max_iter": 10, **settings}).fit(X, np.digitize(y, [-1, 0, 1]))
    assert_like_shap(several, X[:100])


def test_values_are_those_of_lightgbm_where_the_trees_are():
    rng = np.random.default_rng(0)
    # a bin for each value, and leaves too large for ties and for the bound on their estimated size: the same splits
    X = rng.integers(1, 31, size=(20_000, 8)).astype(np.float32)
    z = X[:, 0] / 8 + (X[:, 1] > 15) * X[:, 2] / 10 + rng.normal(size=len(X))
    y = (z > np.median(z)).astype(int)
    ours = GradientBoostingClassifier(max_iter=20, max_leaf_nodes=8).fit(X, y)
    peer = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=8, n_jobs=1, verbose=-1).fit(X, y)
    rows = X[:500]
    trees_differ_by = {"rtol": 0, "atol": 1e-4}
    assert_allclose(ours.decision_function(rows), peer.predict(rows, raw_score=True), **trees_differ_by)
    contributions = peer.predict(rows, pred_contrib=True)
    values, base = ours.shap_values(rows)
    assert_allclose(values, contributions[:, :-1], **trees_differ_by)
    assert_allclose(base, contributions[0, -1], **trees_differ_by)
