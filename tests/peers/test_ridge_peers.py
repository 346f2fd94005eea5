"""Ridge beside scikit-learn's, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as peer
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes

from breadth.tabular.linear.ridge import Ridge

EQUAL = 1e-9  # of coefficients of order 1: Gram matrices of condition 1e4 at most, summed in another order


@pytest.mark.parametrize("shape", [(300, 20), (40, 200)])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_ridge_with_a_penalty_per_target(shape, fit_intercept, weighted):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=shape) + 3.0, rng.normal(size=(shape[0], 3))
    weight = rng.exponential(size=shape[0]) if weighted else None
    settings = {"alpha": [0.1, 1.0, 30.0], "fit_intercept": fit_intercept}
    ours, theirs = (kind(**settings).fit(X, Y, weight) for kind in (Ridge, peer.Ridge))
    assert_allclose(ours.coef_, theirs.coef_, atol=EQUAL)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=EQUAL)


@pytest.mark.parametrize("shape", [(300, 20), (100, 1200)])
def test_sparse_ridge(shape):
    X = sp.random(*shape, density=0.1, random_state=0, format="csr")
    y = np.asarray(X[:, :10].sum(axis=1)).ravel() + np.random.default_rng(0).normal(size=shape[0])
    ours = Ridge(0.5, tol=1e-14).fit(X, y)
    theirs = peer.Ridge(0.5, tol=1e-14, solver="sparse_cg").fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, atol=EQUAL)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=EQUAL)


def test_diabetes():
    X, y = load_diabetes(return_X_y=True)
    ours, theirs = (kind(0.1).fit(X, y / 100) for kind in (Ridge, peer.Ridge))
    assert_allclose(ours.coef_, theirs.coef_, atol=EQUAL)
