"""Discriminant analysis beside scikit-learn's, in float64."""

import numpy as np
import pytest
import sklearn.discriminant_analysis as peer
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from breadth.tabular.bayes.discriminant import LinearDiscriminantAnalysis
from breadth.tabular.bayes.quadratic_discriminant import QuadraticDiscriminantAnalysis


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
@pytest.mark.parametrize("priors", [None, "even"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "svd", "store_covariance": True},
        {"solver": "lsqr"},
        {"solver": "lsqr", "shrinkage": 0.3},
        {"solver": "lsqr", "shrinkage": "auto"},
        {"solver": "eigen"},
        {"solver": "eigen", "shrinkage": "auto"},
    ],
)
def test_linear_posteriors_and_directions_equal_scikit_learns(load, priors, parameters):
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)  # the solvers that form the covariance lose its condition number of raw X
    priors = None if priors is None else np.full(y.max() + 1, 1 / (y.max() + 1))
    ours = LinearDiscriminantAnalysis(priors=priors, **parameters).fit(X, y)
    theirs = peer.LinearDiscriminantAnalysis(priors=priors, **parameters).fit(X, y)
    assert_allclose(ours.covariance_, theirs.covariance_, rtol=1e-10, atol=1e-12)
    # condition number 1e5 of the breast cancer columns, times eps
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-8)
    assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-8, atol=1e-8)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7, atol=1e-9)
    if parameters["solver"] != "lsqr":
        if parameters["solver"] == "svd" or priors is None:  # else eigenvalues of both signs cancel in their sum
            assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-9)
        assert_allclose(np.abs(ours.transform(X)), np.abs(theirs.transform(X)), rtol=1e-7, atol=1e-8)  # signs are free


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"reg_param": 0.2}, {"solver": "eigen"}, {"solver": "eigen", "shrinkage": "auto"}],
    ids=["svd", "regularised", "eigen", "shrunk"],
)
def test_quadratic_posteriors_equal_scikit_learns(load, parameters):
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    tol = 1e-7  # breast cancer has columns that are nearly collinear; what tol means differs
    ours = QuadraticDiscriminantAnalysis(tol=tol, **parameters).fit(X, y)
    theirs = peer.QuadraticDiscriminantAnalysis(tol=tol, **parameters).fit(X, y)
    for k in range(len(ours.classes_)):
        assert_allclose(ours.scalings_[k], theirs.scalings_[k], rtol=1e-8)
    assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-8, atol=1e-8)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7, atol=1e-9)
