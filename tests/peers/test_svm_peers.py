"""Support vector machines beside scikit-learn's libsvm, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.svm
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import _sigmoid_calibration
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import scale

from breadth.tabular.kernels.platt import couple_pairs, fit_sigmoid
from breadth.tabular.kernels.svm import SVC

SETTINGS = [
    {},
    {"kernel": "linear"},
    {"kernel": "poly", "degree": 2, "coef0": 1.0},
    {"C": 10.0, "gamma": "auto", "class_weight": "balanced"},
    {"decision_function_shape": "ovo"},
]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_digits])
@pytest.mark.parametrize("settings", SETTINGS)
def test_models_equal_libsvms(settings, load, sparse):
    X, y = load(return_X_y=True)
    X, y = scale(X)[:700], y[:700]
    X = sp.csr_matrix(X) if sparse else X
    ours, peer = (make(**settings, tol=1e-8).fit(X, y) for make in (SVC, sklearn.svm.SVC))
    assert_array_equal(ours.support_, peer.support_)
    assert_array_equal(ours.n_support_, peer.n_support_)
    # both keep kernel values in float32, rounded from sums in another order
    assert_allclose(ours.decision_function(X), peer.decision_function(X), atol=1e-5)
    assert_allclose(ours.intercept_, peer.intercept_, atol=1e-5)
    assert ours.dual_coef_.shape == peer.dual_coef_.shape
    theirs = peer.dual_coef_.toarray() if sparse else peer.dual_coef_
    assert_allclose(ours.dual_coef_, theirs, atol=1e-4 * np.abs(theirs).max())
    assert_array_equal(ours.predict(X), peer.predict(X))
    if settings.get("kernel") == "linear":
        coef = peer.coef_.toarray() if sparse else peer.coef_
        assert_allclose(ours.coef_, coef, atol=1e-5)


@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
def test_the_dual_objective_is_no_lower_than_libsvms_at_its_tolerance(C):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    sign = np.where(y == 1, 1.0, -1.0)
    peer = sklearn.svm.SVC(C=C, gamma=0.05).fit(X, y)
    ours = SVC(C=C, gamma=0.05).fit(X, y)
    beta = np.zeros(len(y))
    beta[peer.support_] = peer.dual_coef_[0]
    K = sklearn.metrics.pairwise.rbf_kernel(X, gamma=0.05)
    theirs = sign @ beta - beta @ K @ beta / 2
    # each is within tol times the sum of alpha of the maximum; measured, within a millionth
    assert_allclose(ours.dual_objective_[0], theirs, rtol=1e-6)


def test_sample_weights_equal_libsvms():
    X, y = load_wine(return_X_y=True)
    X, weight = scale(X), np.random.default_rng(0).uniform(0.2, 3, size=len(y))
    ours, peer = (make(tol=1e-8).fit(X, y, sample_weight=weight) for make in (SVC, sklearn.svm.SVC))
    assert_allclose(ours.decision_function(X), peer.decision_function(X), atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_platts_sigmoid_equals_scikit_learns(shift, weighted):
    rng = np.random.default_rng(0)
    f = rng.normal(size=400) + shift
    y = rng.random(400) < 1 / (1 + np.exp(-2 * (f - shift) + 0.5))
    weight = rng.uniform(0, 2, 400) if weighted else None
    ours, peer = fit_sigmoid(f, y, weight), _sigmoid_calibration(f, y, weight)
    # likelihoods at both, as parameters of a flat maximum differ by more than it does
    at = [1 / (1 + np.exp(a * f + b)) for a, b in (ours, peer)]
    assert_allclose(at[0], at[1], atol=1e-4)


def test_separable_scores_have_a_finite_sigmoid():
    a, b = fit_sigmoid([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])
    assert -10 < a < 0 and abs(b) < 1e-6
    with pytest.raises(ValueError, match="finite"):
        fit_sigmoid([np.nan], [True])


def test_consistent_pairs_are_coupled_to_the_distribution_that_made_them():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=30)
    i, j = np.triu_indices(5, 1)
    assert_allclose(couple_pairs(p[:, i] / (p[:, i] + p[:, j]), 5), p, rtol=1e-8)


def test_coupling_minimises_wu_lin_and_wengs_objective():
    from scipy.optimize import minimize
    from scipy.special import softmax

    r = np.random.default_rng(0).uniform(0.05, 0.95, size=6)
    i, j = np.triu_indices(4, 1)

    def loss(z):
        p = softmax(z)
        return np.sum(((1 - r) * p[i] - r * p[j]) ** 2)

    best = softmax(minimize(loss, np.zeros(4), tol=1e-14).x)
    assert_allclose(couple_pairs(r[None], 4)[0], best, atol=1e-5)  # of a numerical gradient


def test_probabilities_are_close_to_libsvms_whose_folds_are_others():
    X, y = load_wine(return_X_y=True)
    X = scale(X)
    with pytest.warns(FutureWarning):
        peer = sklearn.svm.SVC(probability=True, random_state=0).fit(X, y).predict_proba(X)
    assert np.abs(SVC(probability=True, random_state=0).fit(X, y).predict_proba(X) - peer).max() < 0.1
