"""Nearest neighbours beside scipy's distances and scikit-learn's estimators, in float64."""

import numpy as np
import pytest
import sklearn.neighbors
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.datasets import load_diabetes, load_digits, load_wine

from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.regressor import KNeighborsRegressor


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_neighbours_equal_a_stable_sort_of_scipys_distances(metric):
    X, y = load_digits(return_X_y=True)  # integers: distances tie exactly
    distance, index = KNeighborsClassifier(10, metric=metric).fit(X[:1500], y[:1500]).kneighbors(X[1500:])
    full = cdist(X[1500:], X[:1500], metric)
    truth = np.argsort(full, axis=1, kind="stable")[:, :10]
    assert_array_equal(index, truth)
    assert_allclose(distance, np.take_along_axis(full, truth, axis=1), rtol=1e-12)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_votes_equal_scikit_learns(mean, p, weights):
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    X = X + rng.normal(size=X.shape) * 1e-3 + mean  # no ties
    ours = KNeighborsClassifier(7, weights=weights, p=p).fit(X[::2], y[::2])
    # the peer's tree takes distances from differences, as we do
    peer = sklearn.neighbors.KNeighborsClassifier(7, weights=weights, p=p, algorithm="kd_tree").fit(X[::2], y[::2])
    assert_array_equal(ours.kneighbors(X)[1], peer.kneighbors(X)[1])
    assert_array_equal(ours.kneighbors()[1], peer.kneighbors()[1])
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), rtol=1e-12, atol=1e-15)
    assert_array_equal(ours.predict(X), peer.predict(X))


@pytest.mark.parametrize("algorithm", ["brute", "kd_tree"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_means_equal_scikit_learns(outputs, weights, algorithm):
    X, y = load_diabetes(return_X_y=True)
    X = X + np.random.default_rng(0).normal(size=X.shape) * 1e-6  # no ties
    y = y if outputs == 1 else np.column_stack([y, y**2])
    ours = KNeighborsRegressor(7, weights=weights, algorithm=algorithm).fit(X[::2], y[::2])
    peer = sklearn.neighbors.KNeighborsRegressor(7, weights=weights, algorithm="kd_tree").fit(X[::2], y[::2])
    assert_array_equal(ours.kneighbors(X)[1], peer.kneighbors(X)[1])
    assert_array_equal(ours.kneighbors()[1], peer.kneighbors()[1])
    assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-12)
