"""Gaussian processes beside scikit-learn's, in float64."""

import numpy as np
import pytest
import sklearn.gaussian_process as peer
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, RationalQuadratic, WhiteKernel
from sklearn.preprocessing import scale

from breadth.tabular.kernels.gaussian_process import GaussianProcessRegressor
from breadth.tabular.kernels.gaussian_process_classifier import GaussianProcessClassifier

KERNELS = {
    "rbf": ConstantKernel(1.0) * RBF(1.0) + WhiteKernel(0.5),
    "lengths": RBF(np.full(5, 2.0)) + WhiteKernel(),
    "matern": ConstantKernel(2.0) * Matern(1.5, nu=1.5) + WhiteKernel(),
    "linear": DotProduct() + WhiteKernel(),
    "quadratic": RationalQuadratic() + WhiteKernel(),
    "default": None,
}


def rows():
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:200, :5], scale(y)[:200]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_regressions_equal_scikit_learns(name, normalize):
    X, y = rows()
    y = 3 * y + 5
    both = [
        make(KERNELS[name], alpha=0.01, normalize_y=normalize, n_restarts_optimizer=0).fit(X[:120], y[:120])
        for make in (GaussianProcessRegressor, peer.GaussianProcessRegressor)
    ]
    ours, theirs = both
    # two searches for one maximum, by the same steps of L-BFGS
    assert_allclose(ours.log_marginal_likelihood_value_, theirs.log_marginal_likelihood_value_, rtol=1e-7)
    theta = theirs.kernel_.theta + 0.1
    if len(theta):
        a, b = (model.log_marginal_likelihood(theta, eval_gradient=True) for model in both)
        assert_allclose(a[0], b[0], rtol=1e-10)
        assert_allclose(a[1], b[1], rtol=1e-7, atol=1e-8)
        ours.kernel_.theta = theirs.kernel_.theta
        exact = [
            make(model.kernel_, alpha=0.01, normalize_y=normalize, optimizer=None).fit(X[:120], y[:120])
            for make, model in zip((GaussianProcessRegressor, peer.GaussianProcessRegressor), both, strict=True)
        ]
    else:
        exact = both
    for option in ({"return_std": True}, {"return_cov": True}):
        for a, b in zip(*(model.predict(X[100:], **option) for model in exact), strict=True):
            assert_allclose(a, b, rtol=1e-7, atol=1e-8)  # the condition of K + alpha I
    a, b = (model.sample_y(X[195:], 3, random_state=0) for model in exact)
    assert a.shape == b.shape
    assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "k", [ConstantKernel(1.0) * RBF(1.0), ConstantKernel(1.0) * Matern(1.0, nu=2.5), None], ids=str
)
def test_classifiers_equal_scikit_learns(k):
    X, y = rows()
    y = y > 0
    both = [make(k).fit(X[:120], y[:120]) for make in (GaussianProcessClassifier, peer.GaussianProcessClassifier)]
    ours, theirs = both
    assert_allclose(ours.log_marginal_likelihood_value_, theirs.log_marginal_likelihood_value_, rtol=1e-6)
    if k is not None:
        theta = theirs.kernel_.theta + 0.2
        a, b = (model.log_marginal_likelihood(theta, eval_gradient=True) for model in both)
        assert_allclose(a[0], b[0], rtol=1e-8)
        assert_allclose(a[1], b[1], rtol=1e-5, atol=1e-6)  # each mode is found to 1e-10 of its objective
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)  # theirs is five error functions
    assert np.mean(ours.predict(X) == theirs.predict(X)) > 0.99


def test_three_classes_equal_scikit_learns():
    X, y = load_iris(return_X_y=True)
    ours, theirs = (
        make(1.0 * RBF(1.0)).fit(X[::2], y[::2]) for make in (GaussianProcessClassifier, peer.GaussianProcessClassifier)
    )
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=3e-3)
    assert_allclose(ours.log_marginal_likelihood_value_, theirs.log_marginal_likelihood_value_, rtol=1e-4)
