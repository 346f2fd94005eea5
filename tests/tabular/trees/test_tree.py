"""Decision trees: what holds without a peer, slow twins of the kernels, and bad input."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.trees.pruning import cost_complexity_path, prune_cost_complexity, prune_reduced_error
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor


@parametrize_with_checks(
    [
        DecisionTreeClassifier(),
        DecisionTreeClassifier(criterion="entropy", max_leaf_nodes=20),
        DecisionTreeRegressor(),
        DecisionTreeRegressor(criterion="absolute_error"),
        DecisionTreeRegressor(max_features=1),
    ]
)
def test_estimator_protocol(estimator, check):
    check(estimator)


def impurity(y, w, criterion):
    """Slow twin: a node's impurity from its rows."""
    if criterion == "squared_error":
        return np.average((y - np.average(y, weights=w)) ** 2, weights=w)
    if criterion == "absolute_error":
        return min(np.average(np.abs(y - c), weights=w) for c in y)
    p = np.array([w[y == c].sum() for c in np.unique(y)]) / w.sum()
    return 1 - (p**2).sum() if criterion == "gini" else -(p * np.log2(p)).sum()


def best_gain(X, y, w, criterion):
    """Slow twin: the largest w i - w_L i_L - w_R i_R over all columns, thresholds and sides for missing values."""
    best = 0.0
    whole = w.sum() * impurity(y, w, criterion)
    for x in X.T:
        missing = np.isnan(x)
        for cut, side in itertools.product(np.unique(x[~missing]), (False, True)):
            left = (x <= cut) | (missing & side)
            if 0 < left.sum() < len(y):
                parts = sum(w[m].sum() * impurity(y[m], w[m], criterion) for m in (left, ~left))
                best = max(best, whole - parts)
    return best


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error", "absolute_error"])
def test_every_split_gains_what_brute_force_finds(criterion, offset):
    rng = np.random.default_rng(3)
    X = rng.integers(0, 6, (60, 3)).astype(np.float32)  # many ties
    X[:, 2] += rng.normal(size=60)
    X[rng.random(X.shape) < 0.15] = np.nan
    w = rng.integers(1, 4, 60) / 2
    if criterion in ("gini", "entropy"):
        y = rng.integers(0, 3, 60)
        tree = DecisionTreeClassifier(criterion=criterion, max_depth=4).fit(X, y, w).tree_
    else:
        y = rng.normal(size=60) + offset
        tree = DecisionTreeRegressor(criterion=criterion, max_depth=4).fit(X, y, w).tree_
    path = tree.path_matrix(X).toarray().astype(bool)  # (rows, nodes)
    for t in np.flatnonzero(~tree.is_leaf):
        rows, left = path[:, t], tree.left[t]
        mass = (tree.weight * tree.impurity)[[t, left, left + 1]]
        # y = 1e4 leaves 1e-12 of relative rounding in residuals of order 1
        assert_allclose(mass[0] - mass[1] - mass[2], best_gain(X[rows], y[rows], w[rows], criterion), rtol=1e-8)
        assert_allclose(tree.impurity[t], impurity(y[rows], w[rows], criterion), rtol=1e-8)


@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("rules", [{}, {"max_depth": 4}, {"max_leaf_nodes": 9}])
def test_integer_weight_is_repetition(criterion, rules):
    rng = np.random.default_rng(0)
    X, y, w = rng.integers(0, 9, (200, 4)) / 3, rng.normal(size=200) + 1e4, rng.integers(0, 4, 200)
    again = np.repeat(np.arange(200), w)
    model = DecisionTreeRegressor(criterion=criterion, **rules)
    # 1e4 offset: sums of 3 w y and of three y round differently
    assert_allclose(clone(model).fit(X, y, w).predict(X), clone(model).fit(X[again], y[again]).predict(X), rtol=1e-12)


def test_balanced_class_weight_counts_weights_not_rows():
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(200, 3)), rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    again = np.repeat(np.arange(200), w)
    model = DecisionTreeClassifier(class_weight="balanced", max_depth=4)
    assert_allclose(
        clone(model).fit(X, y, w).predict_proba(X), clone(model).fit(X[again], y[again]).predict_proba(X), atol=1e-12
    )


def test_leaf_is_the_median_under_absolute_error_and_the_mean_under_squared_error():
    X, y = np.zeros((5, 1)), np.array([0.0, 1.0, 2.0, 3.0, 1e6])
    assert DecisionTreeRegressor(criterion="absolute_error").fit(X, y).predict(X)[0] == 2.0
    assert_allclose(DecisionTreeRegressor().fit(X, y).predict(X)[0], y.mean())
    assert DecisionTreeRegressor(criterion="absolute_error").fit(X[:4], y[:4]).predict(X)[0] == 1.5


def test_splits_do_not_depend_on_the_units_of_x_and_y():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)).astype(np.float32), rng.normal(size=300)
    small = np.float32(2.0**-40)  # powers of two, so that scaling is exact
    ours, scaled = DecisionTreeRegressor().fit(X, y), DecisionTreeRegressor().fit(X * small, y * 2.0**-60)
    assert_array_equal(ours.tree_.feature, scaled.tree_.feature)
    assert_array_equal(ours.tree_.threshold * small, scaled.tree_.threshold)


def test_equal_gains_go_to_the_first_column_whatever_the_random_state():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1))
    X = np.hstack([x, x, -x])
    for seed in range(5):
        assert DecisionTreeRegressor(random_state=seed).fit(X, x[:, 0] ** 3).used_features_.tolist() == [0]


def test_unused_columns_have_no_importance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    X[:, 1] = 7.0  # constant
    X[:, 3] = np.nan  # never observed
    model = DecisionTreeClassifier(max_depth=3).fit(X, X[:, 2] + X[:, 4] / 2 > 0)
    assert set(model.used_features_) == {2, 4}
    assert_array_equal(np.flatnonzero(model.feature_importances_), model.used_features_)
    assert_allclose(model.feature_importances_.sum(), 1.0)


def test_missing_itself_can_be_the_split():
    X = np.array([[1.0], [2.0], [np.nan], [np.nan]])
    model = DecisionTreeClassifier().fit(X, [0, 0, 1, 1])
    assert model.tree_.threshold[0] == np.inf and model.get_n_leaves() == 2
    assert_array_equal(model.predict([[9.0], [np.nan]]), [0, 1])


def test_max_features_changes_the_tree_but_a_valid_split_is_always_found():
    rng = np.random.default_rng(0)
    X = np.zeros((200, 10))
    X[:, 7] = rng.normal(size=200)  # nine constant columns are drawn first, mostly
    model = DecisionTreeRegressor(max_features=1, random_state=0).fit(X, X[:, 7])
    assert_array_equal(model.predict(X), X[:, 7])


def pruned_errors(tree, X, y):
    """Slow twin: least squared error of any pruned subtree, by recursion over whether each node is a leaf."""
    path = tree.path_matrix(X.astype(np.float32)).toarray().astype(bool)

    def least(t):
        leaf = ((y[path[:, t]] - tree.value[t, 0]) ** 2).sum()
        return leaf if tree.feature[t] < 0 else min(leaf, least(tree.left[t]) + least(tree.left[t] + 1))

    return least(0)


def test_reduced_error_pruning_finds_the_best_pruned_subtree():
    rng = np.random.default_rng(0)
    X, X_val = rng.normal(size=(300, 4)), rng.normal(size=(150, 4))
    y, y_val = X[:, 0] + rng.normal(size=300), X_val[:, 0] + rng.normal(size=150)
    whole = DecisionTreeRegressor().fit(X, y)
    pruned = prune_reduced_error(whole, X_val, y_val)
    assert_allclose(((pruned.predict(X_val) - y_val) ** 2).sum(), pruned_errors(whole.tree_, X_val, y_val))
    assert pruned.get_n_leaves() < whole.get_n_leaves() == len(X)

    labels, labels_val = (y > 0).astype(str), (y_val > 0).astype(str)
    grown = DecisionTreeClassifier().fit(X, labels)
    pruned = prune_reduced_error(grown, X_val, labels_val)
    assert pruned.score(X_val, labels_val) >= grown.score(X_val, labels_val)
    with pytest.raises(ValueError, match="features"):
        prune_reduced_error(grown, X_val[:, :2], labels_val)


def test_weakest_link_alphas_ascend_and_subtrees_are_nested():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)), rng.normal(size=300)
    tree = DecisionTreeRegressor().fit(X, y).tree_
    path = cost_complexity_path(tree)
    # rounding of the summed risks may lower an alpha by a few parts in 1e16 of the root's impurity
    assert (np.diff(path.ccp_alphas) > -1e-14).all() and (np.diff(path.impurities) > -1e-14).all()
    leaves = [prune_cost_complexity(tree, a).n_leaves for a in path.ccp_alphas[::30]]
    assert leaves == sorted(leaves, reverse=True)
    assert prune_cost_complexity(tree, np.inf).n_leaves == 1


@pytest.mark.parametrize("model", [DecisionTreeClassifier(), DecisionTreeRegressor()])
def test_one_row_one_class_and_more_classes_than_columns(model):
    assert clone(model).fit([[1.0, np.nan]], [3]).predict([[5.0, 5.0]]) == 3
    one = clone(model).fit(np.eye(3), [2, 2, 2])
    assert one.get_depth() == 0 and (one.predict(np.eye(3)) == 2).all()
    each = clone(model).fit(np.arange(7.0)[:, None], np.arange(7))
    assert_array_equal(each.predict(np.arange(7.0)[:, None]), np.arange(7))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # how NumPy meets 1e300 on its way to float32
@pytest.mark.parametrize("model", [DecisionTreeClassifier(), DecisionTreeRegressor()])
def test_bad_data_is_refused_by_name(model):
    X, y = np.random.default_rng(0).normal(size=(6, 2)), np.array([0, 1, 0, 1, 0, 1])
    for bad in (np.inf, 1e300):
        with pytest.raises(ValueError, match="infinity or a value too large"):
            clone(model).fit(np.where(np.eye(6, 2), bad, X), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(model).fit(X, y[:3])
    with pytest.raises(ValueError, match="weight"):
        clone(model).fit(X, y, np.zeros(6))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        clone(model).fit(X, y, -np.ones(6))
    with pytest.raises(ValueError, match="minimum of 1"):
        clone(model).fit(X[:0], y[:0])
    with pytest.raises(ValueError, match="NaN"):
        clone(model).fit(X, np.where(y, np.nan, 0.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("criterion", "mse"),
        ("max_depth", 0),
        ("max_depth", 2.5),
        ("min_samples_split", 1),
        ("min_samples_split", 1.5),
        ("min_samples_leaf", 0),
        ("min_weight_fraction_leaf", 0.7),
        ("max_features", "all"),
        ("max_features", 0),
        ("max_leaf_nodes", 1),
        ("min_impurity_decrease", -1.0),
        ("ccp_alpha", -0.1),
        ("class_weight", "even"),
    ],
)
def test_bad_parameters_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        DecisionTreeClassifier(**{name: value}).fit(np.eye(4), [0, 1, 0, 1])


def test_data_frames_names_and_pickles():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    frames = [pd.DataFrame(X, columns=["a", "b"]), pl.DataFrame(X, schema=["a", "b"])]
    plain = DecisionTreeClassifier().fit(X, y)
    for frame in frames:
        model = DecisionTreeClassifier().fit(frame, y)
        assert model.feature_names_in_.tolist() == ["a", "b"]
        assert_array_equal(model.predict_proba(frame), plain.predict_proba(X))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame[["b", "a"]])
    again = pickle.loads(pickle.dumps(plain))
    assert_array_equal(again.apply(X), plain.apply(X))
