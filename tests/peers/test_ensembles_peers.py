"""Stacking and voting beside scikit-learn's, with the same members, folds and second stage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import ensemble
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from breadth.tabular.ensembles.stacking import StackingClassifier, StackingRegressor
from breadth.tabular.ensembles.voting import VotingClassifier, VotingRegressor

CLASSIFIERS = [
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ("svm", LinearSVC(random_state=0)),
    ("bayes", GaussianNB()),
    ("none", "drop"),
]
REGRESSORS = [("tree", DecisionTreeRegressor(max_depth=3, random_state=0)), ("ridge", Ridge()), ("none", "drop")]
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # the same numbers go to the same second stage; sums of averages round


def data(classes: int, scale: float = 1.0, mean: float = 0.0):
    rng = np.random.default_rng(classes)
    X = rng.normal(size=(300, 5))
    z = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=300) / 2
    y = np.digitize(z, np.quantile(z, np.linspace(0, 1, classes + 1)[1:-1])) if classes else z
    return X * scale + mean, y, rng.exponential(size=300)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", ["auto", "predict"])
def test_stacked_classifiers(classes, passthrough, weighted, method):
    X, y, weight = data(classes)
    names = np.array(list("abc"))[y]
    options = {"stack_method": method, "passthrough": passthrough, "cv": 4, "final_estimator": LogisticRegression()}
    given = {"sample_weight": weight} if weighted else {}
    ours = StackingClassifier(CLASSIFIERS, **options).fit(X, names, **given)
    theirs = ensemble.StackingClassifier(CLASSIFIERS, **options).fit(X, names, **given)
    assert_allclose(ours.transform(X), theirs.transform(X), **EXACT)
    assert_allclose(ours.final_estimator_.coef_, theirs.final_estimator_.coef_, **EXACT)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **EXACT)
    assert_array_equal(ours.predict(X), theirs.predict(X))
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    assert ours.stack_method_ == theirs.stack_method_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("passthrough", [False, True])
def test_stacked_regressors(passthrough, weighted):
    X, y, weight = data(0, mean=1e4)
    given = {"sample_weight": weight} if weighted else {}
    options = {"passthrough": passthrough, "cv": 4}
    ours = StackingRegressor(REGRESSORS, **options).fit(X, y, **given)
    theirs = ensemble.StackingRegressor(REGRESSORS, **options).fit(X, y, **given)
    assert_allclose(ours.predict(X), theirs.predict(X), **EXACT)
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())


@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, [2, 1, 1, 5]])
def test_votes(voting, weights):
    X, y, weight = data(3, scale=1e-3, mean=1e4)
    members = [pair for pair in CLASSIFIERS if voting == "hard" or pair[0] != "svm"]
    weights = weights[-len(members) :] if weights else None
    ours = VotingClassifier(members, voting=voting, weights=weights).fit(X, y, sample_weight=weight)
    theirs = ensemble.VotingClassifier(members, voting=voting, weights=weights).fit(X, y, sample_weight=weight)
    assert_array_equal(ours.predict(X), theirs.predict(X))
    assert_allclose(ours.transform(X), theirs.transform(X), **EXACT)
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())


@pytest.mark.parametrize("weights", [None, [2, 1, 5]])
def test_means(weights):
    X, y, weight = data(0)
    ours = VotingRegressor(REGRESSORS, weights=weights).fit(X, y, sample_weight=weight)
    theirs = ensemble.VotingRegressor(REGRESSORS, weights=weights).fit(X, y, sample_weight=weight)
    assert_allclose(ours.predict(X), theirs.predict(X), **EXACT)
