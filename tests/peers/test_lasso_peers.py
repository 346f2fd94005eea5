"""Lasso and elastic net beside scikit-learn's, both at a gap of 1e-14."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as peer
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes

from breadth.tabular.linear.lasso import ElasticNet, Lasso
from breadth.tabular.linear.lasso_paths import enet_path, lasso_path

TIGHT = {"tol": 1e-15, "max_iter": 200_000}
EQUAL = 1e-9  # of coefficients of order 1: both stop at float64's rounding of the gap or a sweep that moves nothing


def sample(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    X[:, 1:] += 0.5 * X[:, :-1]
    return X, X[:, :5] @ np.array([3.0, -2.0, 1.0, 0.5, 0.2]) + 5.0 + rng.normal(size=n), rng.exponential(size=n)


@pytest.mark.filterwarnings("ignore:Objective did not converge:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:coordinate descent took all:sklearn.exceptions.ConvergenceWarning")
class TestBesideScikitLearn:
    @pytest.mark.parametrize("shape", [(200, 20), (60, 300)])
    @pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
    @pytest.mark.parametrize("positive", [False, True])
    @pytest.mark.parametrize("form", [np.asarray, sp.csc_matrix], ids=["dense", "sparse"])
    def test_elastic_net(self, shape, l1_ratio, positive, form):
        X, y, weight = sample(*shape)
        if l1_ratio == 0.0 and positive:
            pytest.skip("scikit-learn's gap for ridge regression does not know of positive coefficients")
        settings = {"l1_ratio": l1_ratio, "positive": positive, **TIGHT}
        ours = ElasticNet(0.2, **settings).fit(form(X), y, weight)
        theirs = peer.ElasticNet(0.2, **settings).fit(form(X), y, weight)
        # without an absolute penalty a gap of 1e-15 leaves coefficients sqrt(2 gap / ridge) = 5e-7 to move in
        equal = EQUAL if l1_ratio else 1e-7
        assert_allclose(ours.coef_, theirs.coef_, atol=equal)
        assert_allclose(ours.intercept_, theirs.intercept_, atol=equal)
        if l1_ratio:
            assert ((ours.coef_ != 0) == (theirs.coef_ != 0)).all()

    def test_lasso_of_two_targets(self):
        X, y = load_diabetes(return_X_y=True)
        Y = np.column_stack([y, y[::-1]]) / 100
        ours, theirs = (kind(0.01, **TIGHT).fit(100 * X, Y) for kind in (Lasso, peer.Lasso))
        assert_allclose(ours.coef_, theirs.coef_, atol=EQUAL)
        assert_allclose(ours.intercept_, theirs.intercept_, atol=EQUAL)

    @pytest.mark.parametrize("shape", [(200, 20), (60, 100)])
    @pytest.mark.parametrize("form", [np.asarray, sp.csc_matrix], ids=["dense", "sparse"])
    def test_paths(self, shape, form):
        X, y, _ = sample(*shape)
        for ours, theirs in ((lasso_path, peer.lasso_path), (enet_path, peer.enet_path)):
            a, coefs, _ = ours(form(X), y, alphas=10, eps=0.05, **TIGHT)
            b, expected, _ = theirs(form(X), y, alphas=10, eps=0.05, **TIGHT)
            assert_allclose(a, b, rtol=1e-12)  # sums in another order
            assert_allclose(coefs, expected, atol=EQUAL)
