"""AdaBoost beside scikit-learn's: the same votes, errors and decisions with the same members."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import AdaBoostClassifier as Peer
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier as PeerTree

from breadth.tabular.ensembles.adaboost import AdaBoostClassifier
from breadth.tabular.trees.tree import DecisionTreeClassifier

WHY = 1e-12  # weights as logarithms round otherwise, and the peer clips them at 2e-16


def a_table(n_classes: int, mean: float = 0.0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 6)).astype(np.float32)  # float32: both trees then see the same values
    z = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=800) / 2
    y = np.digitize(z, np.quantile(z, np.linspace(0, 1, n_classes + 1)[1:-1]))
    return (
        X + np.float32(mean),
        np.array(list("dacb"))[y],
        rng.random(800) * (rng.random(800) > 0.1),
    )


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")  # the peer's, at weight 0
@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("rate", [1.0, 0.3])
@pytest.mark.parametrize(("depth", "weighted"), [(1, False), (1, True), (3, True)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_votes_errors_and_decisions_are_the_peers(n_classes, depth, rate, weighted, mean):
    X, y, w = a_table(n_classes, mean)
    # deeper trees: equal weights and small pure nodes make gains tie, and the peer then takes any column; and no
    # weight of 0, since the peer counts such a row towards the 40 of a leaf
    rules = {"max_depth": 1} if depth == 1 else {"max_depth": depth, "min_samples_leaf": 40}
    w = None if not weighted else w if depth == 1 else w + 0.01
    options = {"n_estimators": 60, "learning_rate": rate, "random_state": 0}
    theirs = Peer(PeerTree(**rules), **options).fit(X, y, w)
    for tree in (PeerTree(**rules), DecisionTreeClassifier(**rules)):
        ours = AdaBoostClassifier(tree, **options).fit(X, y, w)
        n = len(theirs.estimators_)
        assert len(ours.estimators_) == n
        assert_allclose(ours.estimator_weights_, theirs.estimator_weights_[:n], rtol=0, atol=WHY)
        assert_allclose(ours.estimator_errors_, theirs.estimator_errors_[:n], rtol=0, atol=WHY)
        assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=0, atol=WHY)
        assert_allclose(ours.feature_importances_, theirs.feature_importances_, rtol=0, atol=WHY)
        assert_array_equal(ours.predict(X), theirs.predict(X))
        for a, b in zip(ours.staged_decision_function(X[:50]), theirs.staged_decision_function(X[:50]), strict=True):
            assert_allclose(a, b, rtol=0, atol=WHY)


def test_the_default_is_the_peers_default_on_real_data():
    X, y = load_breast_cancer(return_X_y=True)
    ours, theirs = AdaBoostClassifier().fit(X, y), Peer().fit(X, y)
    # a few thresholds of equal gain: the peer takes one at random, ours the lowest column
    assert_allclose(ours.estimator_errors_[:3], theirs.estimator_errors_[:3], rtol=1e-9)
    assert abs(ours.score(X, y) - theirs.score(X, y)) < 0.01


def test_any_classifier_with_weights_serves_as_a_member():
    X, y, _ = a_table(4)
    member = LogisticRegression(tol=1e-10, max_iter=2000)
    ours, theirs = (kind(member, n_estimators=8).fit(X, y) for kind in (AdaBoostClassifier, Peer))
    n = len(ours.estimators_)
    # the member is itself iterative: its decisions, hence its errors, are the same unless a row lies on the border
    assert_allclose(ours.estimator_weights_, theirs.estimator_weights_[:n], rtol=1e-6)
    assert_allclose(ours.estimator_errors_, theirs.estimator_errors_[:n], rtol=1e-6)


def test_both_end_at_a_perfect_member_with_vote_one():
    X, y, _ = a_table(2)
    X[:, 5] = y == "a"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours, theirs = AdaBoostClassifier().fit(X, y), Peer().fit(X, y)
    assert_array_equal(ours.estimator_weights_, theirs.estimator_weights_[:1])
    assert_array_equal(ours.estimator_errors_, theirs.estimator_errors_[:1])
    assert len(ours.estimators_) == len(theirs.estimators_) == 1
    assert_array_equal(ours.decision_function(X), theirs.decision_function(X))
