"""GaussianNB beside scikit-learn's, in float64."""

import numpy as np
import pytest
import sklearn.naive_bayes
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from breadth.tabular.bayes.gaussian import GaussianNB


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("priors", [None, "even"])
def test_log_posteriors_equal_scikit_learns(load, mean, priors):
    X, y = load(return_X_y=True)
    X = X + mean
    priors = None if priors is None else np.full(y.max() + 1, 1 / (y.max() + 1))
    ours = GaussianNB(priors=priors).fit(X, y)
    peer = sklearn.naive_bayes.GaussianNB(priors=priors).fit(X, y)
    # digits has pixels constant within a class, whose variance is only the widening: both round it alike but for sums
    assert_allclose(ours.var_, peer.var_, rtol=1e-9 * max(1.0, mean), atol=1e-18 * max(1.0, mean**2))
    if mean == 0.0:
        assert_allclose(ours.predict_log_proba(X), peer.predict_log_proba(X), rtol=1e-9, atol=1e-7)
        assert (ours.predict(X) == peer.predict(X)).all()


def test_weighted_fit_equals_scikit_learns():
    X, y = load_wine(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y))
    ours = GaussianNB(var_smoothing=0.0).fit(X, y, sample_weight=weight)  # the widening differs: deviation 1
    peer = sklearn.naive_bayes.GaussianNB(var_smoothing=0.0).fit(X, y, sample_weight=weight)
    assert_allclose(ours.predict_log_proba(X), peer.predict_log_proba(X), rtol=1e-9, atol=1e-9)
