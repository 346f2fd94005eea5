"""LinearRegression beside scikit-learn's and statsmodels' least squares, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes

from breadth.tabular.linear.least_squares import LinearRegression

sm = pytest.importorskip("statsmodels.api")


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("regime", ["plain", "mean 1e4", "duplicated", "constant", "wide"])
def test_coefficients_equal_scikit_learns(regime, weighted, fit_intercept):
    rng = np.random.default_rng(0)
    n, p = (20, 40) if regime == "wide" else (3000, 6)
    X = rng.normal(size=(n, p))
    y = X[:, :4] @ [1.0, -2.0, 3.0, 0.5] + rng.normal(size=n)
    if regime == "mean 1e4":
        X += 1e4
    if regime == "duplicated":
        X[:, 5] = 2 * X[:, 0]
    if regime == "constant":
        X[:, 5] = 1e4 / 3
    weight = rng.uniform(0.1, 2.0, size=n) if weighted else None
    ours = LinearRegression(fit_intercept=fit_intercept).fit(X, y, sample_weight=weight)
    # the peer's default cut drops a constant column; in the other regimes it must cut nothing but rounding
    tol = 1e-6 if regime == "constant" else 1e-13
    peer = sklearn.linear_model.LinearRegression(fit_intercept=fit_intercept, tol=tol).fit(X, y, sample_weight=weight)
    # without an intercept a mean of 1e4 leaves X with condition number 1e4
    assert_allclose(ours.coef_, peer.coef_, rtol=1e-9, atol=1e-10)
    assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-9, atol=1e-9)
    assert_allclose(ours.score(X, y), peer.score(X, y), rtol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(3000, 20), (20, 40)])
def test_positive_slopes_equal_scikit_learns(shape, fit_intercept):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape) + 3.0
    Y = np.column_stack([X @ rng.normal(size=shape[1]), X @ np.abs(rng.normal(size=shape[1]))])
    settings = {"fit_intercept": fit_intercept, "positive": True}
    ours = LinearRegression(**settings, copy_X=False, n_jobs=2).fit(X, Y)
    peer = sklearn.linear_model.LinearRegression(**settings).fit(X, Y)
    assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-9, atol=1e-9)  # of a triangle, and of the rows
    if shape[0] > shape[1]:
        assert_allclose(ours.coef_, peer.coef_, rtol=1e-9, atol=1e-10)
    else:  # more slopes than rows: the optimum of a target that is fitted exactly is one of many
        assert_allclose(ours.score(X, Y), peer.score(X, Y), atol=1e-12)


def test_sparse_equals_scikit_learns():
    X = sp.random(2000, 30, density=0.1, random_state=0, format="csr")
    y = X @ np.arange(30.0) + np.random.default_rng(0).normal(size=2000)
    ours = LinearRegression().fit(X, y)
    peer = sklearn.linear_model.LinearRegression(tol=1e-14).fit(X, y)
    assert_allclose(ours.coef_, peer.coef_, rtol=1e-8)  # the peer iterates


def test_results_equal_statsmodels_ols_and_wls():
    X, y = load_diabetes(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(y))
    design = sm.add_constant(X)
    for ours, peer in (
        (LinearRegression().fit(X, y), sm.OLS(y, design).fit()),
        (LinearRegression().fit(X, y, sample_weight=weight), sm.WLS(y, design, weights=weight).fit()),
    ):
        assert_allclose(np.r_[ours.intercept_, ours.coef_], peer.params, rtol=1e-9)
        assert ours.rank_ + 1 == peer.model.rank
    assert_allclose(LinearRegression().fit(X, y).score(X, y), sm.OLS(y, design).fit().rsquared, rtol=1e-12)
