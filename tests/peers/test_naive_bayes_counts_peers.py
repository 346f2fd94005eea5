"""Naive Bayes on counts and categories beside scikit-learn's, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.naive_bayes
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from breadth.tabular.bayes.bernoulli import BernoulliNB
from breadth.tabular.bayes.categories import CategoricalNB
from breadth.tabular.bayes.counts import ComplementNB, MultinomialNB

LINEAR = (MultinomialNB, ComplementNB, BernoulliNB)


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"alpha": 1e-3},
        {"fit_prior": False},
        {"class_prior": np.arange(1, 11) / 55},
        {"alpha": np.linspace(0.1, 2, 64)},
    ],
    ids=["default", "small", "even", "given", "vector"],
)
def test_log_posteriors_equal_scikit_learns(kind, form, weighted, parameters):
    X, y = load_digits(return_X_y=True)
    if kind is BernoulliNB and np.ndim(parameters.get("alpha", 0)):
        pytest.skip("scikit-learn's BernoulliNB raises for a vector of alpha")
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y)) if weighted else None
    ours = kind(**parameters).fit(form(X), y, sample_weight=weight)
    peer = getattr(sklearn.naive_bayes, kind.__name__)(**parameters).fit(form(X), y, sample_weight=weight)
    assert_allclose(ours.feature_log_prob_, peer.feature_log_prob_, rtol=1e-12, atol=1e-12)  # sum order
    # scikit-learn forms 1 - theta from log theta: with alpha = 1e-3 that loses four digits
    rtol = 1e-10 if kind is BernoulliNB else 1e-12
    assert_allclose(ours.predict_joint_log_proba(form(X)), peer.predict_joint_log_proba(form(X)), rtol=rtol)
    assert_allclose(ours.predict_log_proba(form(X)), peer.predict_log_proba(form(X)), rtol=1e-9, atol=1e3 * rtol)
    assert (ours.predict(form(X)) == peer.predict(form(X))).all()


def test_normalised_complement_weights_equal_scikit_learns():
    X, y = load_digits(return_X_y=True)
    ours, peer = ComplementNB(norm=True).fit(X, y), sklearn.naive_bayes.ComplementNB(norm=True).fit(X, y)
    assert_allclose(ours.feature_log_prob_, peer.feature_log_prob_, rtol=1e-12)
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), rtol=1e-10)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("parameters", [{}, {"alpha": 0.1, "fit_prior": False}, {"min_categories": 20}])
def test_log_posteriors_of_categories_equal_scikit_learns(weighted, parameters):
    X, y = load_digits(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y)) if weighted else None
    ours = CategoricalNB(**parameters).fit(X, y, sample_weight=weight)
    peer = sklearn.naive_bayes.CategoricalNB(**parameters).fit(X, y, sample_weight=weight)
    for j in range(64):
        assert_allclose(ours.feature_log_prob_[j], peer.feature_log_prob_[j], rtol=1e-12, atol=1e-12)
    assert_allclose(ours.predict_log_proba(X), peer.predict_log_proba(X), rtol=1e-10, atol=1e-10)
    assert (ours.predict(X) == peer.predict(X)).all()
