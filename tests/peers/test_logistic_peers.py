"""LogisticRegression beside scikit-learn's and statsmodels', in float64."""

import numpy as np
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import StandardScaler

from breadth.tabular.linear.logistic import LogisticRegression

sm = pytest.importorskip("statsmodels.api")


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 3.0, 2: 0.5}])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_coefficients_equal_scikit_learns(load, C, class_weight, fit_intercept):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(y))
    if isinstance(class_weight, dict):
        class_weight = {c: w for c, w in class_weight.items() if c <= y.max()}
    shared = {"C": C, "class_weight": class_weight, "fit_intercept": fit_intercept, "tol": 1e-10, "max_iter": 10_000}
    ours = LogisticRegression(**shared).fit(X, y, sample_weight=weight)
    peer = sklearn.linear_model.LogisticRegression(**shared, solver="newton-cg").fit(X, y, sample_weight=weight)
    # the loss stops falling in float64 when a coefficient is off by sqrt(eps / curvature), more the weaker the penalty
    assert_allclose(ours.coef_, peer.coef_, atol=2e-7 * max(1.0, C))
    assert_allclose(ours.intercept_, peer.intercept_, atol=2e-7 * max(1.0, C))
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-6)


def test_columns_of_mean_1e4_equal_scikit_learns_newton():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 5))
    y = (X @ np.arange(5) / 3 + rng.logistic(size=2000) > 0).astype(int)
    ours = LogisticRegression(tol=1e-10).fit(X + 1e4, y)
    peer = sklearn.linear_model.LogisticRegression(tol=1e-10).fit(X, y)  # the intercept is free, so a shift is none
    assert_allclose(ours.coef_, peer.coef_, atol=1e-6)


def test_maximum_likelihood_equals_statsmodels_logit():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, 4))
    y = (X @ [1.0, -0.5, 0.0, 2.0] + 0.5 + rng.logistic(size=1500) > 0).astype(int)
    ours = LogisticRegression(penalty=None, tol=1e-10).fit(X, y)
    peer = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12)
    assert_allclose(np.r_[ours.intercept_, ours.coef_[0]], peer.params, rtol=1e-6, atol=1e-6)


def test_maximum_likelihood_equals_statsmodels_mnlogit():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2000, 3))
    y = np.digitize(X @ [1.0, -0.5, 0.3] + rng.logistic(size=2000), [-1.0, 1.0])
    ours = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    peer = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-12)
    theirs = np.asarray(peer.params)  # (1 + features, classes - 1): log-odds against the first class
    assert_allclose((ours.coef_[1:] - ours.coef_[0]).T, theirs[1:], atol=1e-6)
    assert_allclose(ours.intercept_[1:] - ours.intercept_[0], theirs[0], atol=1e-6)
