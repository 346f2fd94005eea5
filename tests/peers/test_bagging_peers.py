"""Bagging beside scikit-learn's: given its rows and columns, its predictions and out-of-bag values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import ensemble as peer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier as PeerTreeClassifier
from sklearn.tree import DecisionTreeRegressor as PeerTreeRegressor

from breadth.tabular.ensembles import bagging as ours
from breadth.tabular.ensembles.bagging import BaggingClassifier, BaggingRegressor
from breadth.tabular.ensembles.bagging_members import Draws
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor


@pytest.fixture
def draw_as(monkeypatch):
    """Lets our ensembles draw the rows, columns and member seeds of a fitted ensemble of the peer."""

    def use(fitted):
        drawn = list(zip(fitted.estimators_samples_, fitted.estimators_features_, strict=True))

        def of_member(self, t):
            seed = getattr(fitted.estimators_[t], "random_state", 0)  # decides between gains that tie
            return *drawn[t], SimpleNamespace(integers=lambda high: seed)

        monkeypatch.setattr(Draws, "of_member", of_member)

    return use


def a_table(n: int = 400, mean: float = 0.0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6)).astype(np.float32) + np.float32(mean)
    x = X.astype(np.float64) - mean
    return X, 2 * x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=n) / 2


DRAWS = [
    {},
    {"max_samples": 0.5, "max_features": 0.7},
    {"max_samples": 90, "bootstrap": False},
    {"max_features": 4, "bootstrap_features": True},
]


@pytest.mark.parametrize("draws", DRAWS, ids=str)
@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize(
    ("our_member", "peer_member"),
    [
        # enough rows a leaf that no two splits gain the same
        (DecisionTreeRegressor(min_samples_leaf=20), PeerTreeRegressor(min_samples_leaf=20)),
        (PeerTreeRegressor(min_samples_leaf=20), PeerTreeRegressor(min_samples_leaf=20)),
        (KNeighborsRegressor(), KNeighborsRegressor()),
        (Ridge(), Ridge()),
    ],
    ids=["our trees", "trees", "neighbours", "ridge"],
)
def test_regression_given_the_peers_draws(draw_as, our_member, peer_member, draws, mean):
    X, z = a_table(mean=mean)
    if isinstance(peer_member, KNeighborsRegressor) and mean:
        X = X - np.float32(mean)  # distances of float32 at 1e4 tie
    X = X.astype(np.float64)  # the peer fits linear members in the input's own precision
    oob = draws.get("bootstrap", True)
    options = {"n_estimators": 30, **draws, "random_state": 0, "oob_score": oob}
    theirs = peer.BaggingRegressor(peer_member, **options).fit(X, z)
    draw_as(theirs)
    model = BaggingRegressor(our_member, **options).fit(X, z)
    tolerance = 1e-12 if mean == 0.0 else 1e-9  # sums of squares about 1e4 lose 8 digits of 16, their roots fewer
    assert_allclose(model.predict(X), theirs.predict(X), rtol=0, atol=tolerance * 10)  # targets reach 10
    if oob:
        assert_allclose(model.oob_prediction_, theirs.oob_prediction_, rtol=0, atol=tolerance * 10)
        assert_allclose(model.oob_score_, theirs.oob_score_, rtol=tolerance)


@pytest.mark.parametrize("draws", DRAWS, ids=str)
@pytest.mark.parametrize(
    ("our_member", "peer_member", "tolerance"),
    [
        (PeerTreeClassifier(min_samples_leaf=20), PeerTreeClassifier(min_samples_leaf=20), 1e-12),
        (KNeighborsClassifier(), KNeighborsClassifier(), 1e-12),
        (LogisticRegression(tol=1e-10), LogisticRegression(tol=1e-10), 1e-6),  # where its solver stops
    ],
    ids=["trees", "neighbours", "logistic"],
)
def test_classification_given_the_peers_draws(draw_as, our_member, peer_member, tolerance, draws):
    X, z = a_table()
    y = np.array(["low", "middle", "high"])[np.digitize(z, [-1, 1])]
    X = X.astype(np.float64)
    oob = draws.get("bootstrap", True)
    options = {"n_estimators": 25, **draws, "random_state": 0, "oob_score": oob}
    theirs = peer.BaggingClassifier(peer_member, **options).fit(X, y)
    draw_as(theirs)
    model = BaggingClassifier(our_member, **options).fit(X, y)
    assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=tolerance)
    if oob:
        assert_allclose(model.oob_decision_function_, theirs.oob_decision_function_, rtol=0, atol=tolerance)
        assert model.oob_score_ == theirs.oob_score_


def test_our_trees_bagged_are_the_peers_trees_bagged(draw_as):
    X, z = a_table(1500)
    options = {"n_estimators": 30, "random_state": 0, "oob_score": True}
    # few levels and many rows: repeated rows make integer weights, whose Gini gains tie in small nodes
    theirs = peer.BaggingClassifier(PeerTreeClassifier(max_depth=3, min_samples_leaf=30), **options).fit(X, z > 0)
    draw_as(theirs)
    model = BaggingClassifier(DecisionTreeClassifier(max_depth=3, min_samples_leaf=30), **options).fit(X, z > 0)
    assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-12)
    assert_allclose(model.oob_decision_function_, theirs.oob_decision_function_, rtol=0, atol=1e-12)


def test_held_out_quality_is_the_peers_over_seeds():
    gaps = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(3000, 6))
        z = 2 * X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=3000)
        train, test = slice(0, 600), slice(600, None)
        scores = [
            (
                module.BaggingRegressor(n_estimators=30, random_state=seed)
                .fit(X[train], z[train])
                .score(X[test], z[test]),
                module.BaggingClassifier(n_estimators=30, random_state=seed)
                .fit(X[train], z[train] > 0)
                .score(X[test], z[test] > 0),
            )
            for module in (ours, peer)
        ]
        gaps.append(np.subtract(*scores))
    gaps = np.array(gaps)  # ours minus the peer's
    assert (np.abs(gaps.mean(0)) < 3 * gaps.std(0, ddof=1) / np.sqrt(len(gaps)) + 2e-3).all()
