"""Decision trees beside scikit-learn's: the same nodes where gains differ, the same gain where they tie."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import tree as peer

from breadth.tabular.trees.pruning import cost_complexity_path
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor

RULES = [
    {"min_samples_leaf": 15},
    {"max_leaf_nodes": 40, "min_samples_leaf": 5},
    {"max_depth": 6, "min_impurity_decrease": 1e-3, "min_weight_fraction_leaf": 0.01},
    {"min_samples_split": 0.05, "min_samples_leaf": 0.01},
]


def a_table(missing: float = 0.0, weights: str | None = None, n: int = 700, seed: int = 0):
    rng = np.random.default_rng(seed)
    # a grid of 1e-4: wider than the 1e-7 below which the peer takes two values for one
    X = np.round(rng.normal(size=(n, 6)), 4).astype(np.float32)
    z = 2 * X[:, 0] + np.sin(3 * X[:, 1]) + X[:, 2] * X[:, 3] + rng.normal(size=n) / 2
    X[rng.random(X.shape) < missing] = np.nan
    w = {None: None, "counts": rng.integers(0, 4, n).astype(float), "real": rng.random(n)}[weights]
    return X, z, w


def assert_same_tree(ours, theirs, *, root_weight: float) -> int:
    """Walk both; a split may differ only where its gain does not. Returns the number of splits that differ."""
    mine, other = ours.tree_, theirs.tree_
    pairs, ties, ends = [(0, 0)], 0, 0
    while pairs:
        i, j = pairs.pop()
        assert mine.n_samples[i] == other.n_node_samples[j]
        assert_allclose(mine.weight[i], other.weighted_n_node_samples[j], rtol=1e-12)
        # the peer computes variances as E[y^2] - E[y]^2, whose rounding is relative to E[y^2]
        assert_allclose(mine.impurity[i], other.impurity[j], rtol=1e-11, atol=1e-13)
        assert_allclose(mine.value[i], other.value[j, 0], rtol=1e-12, atol=1e-13)
        a, b = mine.left[i], other.children_left[j]
        if mine.feature[i] < 0 or other.feature[j] < 0:
            # the peer splits on where rounding hides that a node is pure
            ends += mine.feature[i] != max(other.feature[j], -1) and other.impurity[j] > 1e-12
            continue
        split = (mine.feature[i], mine.threshold[i], bool(mine.missing_left[i]))
        c = other.children_right[j]
        if split == (other.feature[j], other.threshold[j], bool(other.missing_go_to_left[j])):
            pairs += [(a, b), (a + 1, c)]
            continue
        ties += 1
        mass, other_mass = mine.weight * mine.impurity, other.weighted_n_node_samples * other.impurity
        assert_allclose(mass[a] + mass[a + 1], other_mass[b] + other_mass[c], rtol=1e-11, atol=1e-13 * root_weight)
    assert ends == 0 or ties > 0  # under a leaf budget, a tie in one branch changes where another one ends
    return ties


@pytest.mark.parametrize("rules", RULES, ids=lambda r: next(iter(r)))
@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, "counts", "real"])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_classifier_grows_the_peers_tree(rules, missing, weights, criterion, n_classes):
    X, z, w = a_table(missing, weights)
    y = np.digitize(z, np.quantile(z, np.linspace(0, 1, n_classes + 1)[1:-1]))
    ours = DecisionTreeClassifier(criterion=criterion, **rules).fit(X, y, w)
    theirs = peer.DecisionTreeClassifier(criterion=criterion, random_state=0, **rules).fit(X, y, w)
    ties = assert_same_tree(ours, theirs, root_weight=len(X) if w is None else w.sum())
    if ties == 0:
        assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
        assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=1e-12)
        assert ours.get_depth() <= theirs.get_depth()


@pytest.mark.parametrize("rules", RULES, ids=lambda r: next(iter(r)))
@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, "counts", "real"])
@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error"])
def test_regressor_grows_the_peers_tree(rules, missing, weights, criterion):
    X, y, w = a_table(missing, weights)
    ours = DecisionTreeRegressor(criterion=criterion, **rules).fit(X, y, w)
    theirs = peer.DecisionTreeRegressor(criterion=criterion, random_state=0, **rules).fit(X, y, w)
    ties = assert_same_tree(ours, theirs, root_weight=len(X) if w is None else w.sum())
    assert ties == 0 or criterion == "absolute_error"  # sums of the same |y - median| tie often, variances never
    if ties == 0:
        assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12, atol=1e-13)
        assert ours.get_n_leaves() == theirs.get_n_leaves()
        assert ours.get_depth() == theirs.get_depth()
        assert (ours.decision_path(X).sum(1) == theirs.decision_path(X).sum(1)).all()


def test_missing_values_unseen_in_training_go_where_the_peer_sends_them():
    X, z, _ = a_table()
    ours = DecisionTreeRegressor(min_samples_leaf=10).fit(X, z)
    theirs = peer.DecisionTreeRegressor(min_samples_leaf=10, random_state=0).fit(X, z)
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)


def test_cost_complexity_path_is_the_peers():
    X, z, w = a_table(weights="real")  # under equal weights class counts tie, and trees that differ have other paths
    for ours, theirs, y in [
        (DecisionTreeRegressor(), peer.DecisionTreeRegressor(random_state=0), z),
        (DecisionTreeRegressor(min_samples_leaf=4), peer.DecisionTreeRegressor(min_samples_leaf=4), z),
        (
            DecisionTreeClassifier(max_depth=7, min_samples_leaf=10),
            peer.DecisionTreeClassifier(max_depth=7, min_samples_leaf=10, random_state=0),
            z > 0.5,
        ),
    ]:
        mine = ours.cost_complexity_pruning_path(X, y, w)
        path = theirs.cost_complexity_pruning_path(X, y, w)
        keep = path["ccp_alphas"] == 0  # without the peer's splits of nodes that are pure but for rounding
        keep |= path["ccp_alphas"] > 1e-15
        assert_allclose(mine.ccp_alphas, path["ccp_alphas"][keep], atol=1e-12)
        assert_allclose(mine.impurities, path["impurities"][keep], atol=1e-12)
        assert not hasattr(ours, "tree_")


def test_pruned_trees_along_the_path_are_the_peers():
    X, z, _ = a_table(n=600)
    path = cost_complexity_path(DecisionTreeRegressor(min_samples_leaf=3).fit(X, z).tree_)
    for alpha in path.ccp_alphas[1::20]:
        alpha *= 1 + 1e-9  # between two steps, where rounding decides nothing
        ours = DecisionTreeRegressor(min_samples_leaf=3, ccp_alpha=alpha).fit(X, z)
        theirs = peer.DecisionTreeRegressor(min_samples_leaf=3, ccp_alpha=alpha, random_state=0).fit(X, z)
        assert ours.get_n_leaves() == theirs.get_n_leaves()
        assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12, atol=1e-13)
