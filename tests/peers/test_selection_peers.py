"""Selection of columns beside scikit-learn's and scipy's, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.feature_selection as peer
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeRegressor

import breadth.tabular as ours


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_analysis_of_variance_equals_the_peers(load):
    X, y = load(return_X_y=True)
    for own, other in zip(ours.f_classif(X, y), peer.f_classif(X, y), strict=True):
        assert_allclose(own, other, rtol=1e-9)  # squares there are not centred
    F, p = ours.f_classif(X, y)
    for j in range(5):
        assert_allclose((F[j], p[j]), stats.f_oneway(*(X[y == c, j] for c in np.unique(y))), rtol=1e-9)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_correlation_and_its_f_equal_the_peers(center, form):
    X, y = load_diabetes(return_X_y=True, scaled=False)
    assert_allclose(ours.r_regression(form(X), y, center=center), peer.r_regression(X, y, center=center), rtol=1e-10)
    for own, other in zip(
        ours.f_regression(form(X), y, center=center), peer.f_regression(X, y, center=center), strict=True
    ):
        assert_allclose(own, other, rtol=1e-9)


@pytest.mark.parametrize("force_finite", [True, False])
def test_constant_columns_and_exact_lines_are_finite_only_where_asked(force_finite):
    X = np.random.default_rng(0).normal(size=(30, 4))
    X[:, 1] = 2.0
    y = 3 * X[:, 2] + 1
    for own, other in zip(
        ours.f_regression(X, y, force_finite=force_finite), peer.f_regression(X, y, force_finite=force_finite),
        strict=True,
    ):  # fmt: skip
        assert_allclose(own, other, rtol=1e-9)
    assert np.isfinite(ours.r_regression(X, y, force_finite=force_finite)[1]) == force_finite


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_chi_square_equals_the_peers(form):
    X, y = load_digits(return_X_y=True)
    some = X.sum(axis=0) > 0
    for own, other in zip(ours.chi2(form(X), y), peer.chi2(X, y), strict=True):
        assert_allclose(own[some], other[some], rtol=1e-11)  # p-values of 1e-250 have lost digits


@pytest.mark.parametrize("k", [1, 3, 5])
def test_information_equals_the_peers_from_the_same_noise(k):
    X, y = load_wine(return_X_y=True)
    X = np.column_stack([X, np.random.default_rng(0).integers(0, 4, size=len(y))])
    mask = np.arange(14) == 13
    own = ours.mutual_info_classif(X, y, discrete_features=mask, n_neighbors=k, random_state=3)
    other = peer.mutual_info_classif(X, y, discrete_features=mask, n_neighbors=k, random_state=3)
    assert_allclose(own, other, rtol=1e-10, atol=1e-12)
    X, y = load_diabetes(return_X_y=True)
    own = ours.mutual_info_regression(X, y, discrete_features=[1], n_neighbors=k, random_state=3)
    other = peer.mutual_info_regression(X, y, discrete_features=[1], n_neighbors=k, random_state=3)
    assert_allclose(own, other, rtol=1e-10, atol=1e-12)


def test_information_of_a_class_with_one_row_equals_the_peers():
    X, y = load_wine(return_X_y=True)
    y = np.where(np.arange(len(y)) == 7, 5, y)
    own, other = (m.mutual_info_classif(X, y, random_state=0) for m in (ours, peer))
    assert_allclose(own, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [0, 1, 7, "all"])
def test_the_best_columns_are_the_peers(k):
    X, y = load_wine(return_X_y=True)
    X = np.column_stack([X, X[:, 3], X[:, 6]])  # ties
    own, other = (m.SelectKBest(m.f_classif, k=k).fit(X, y) for m in (ours, peer))
    assert_array_equal(own.get_support(), other.get_support())


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("parameters", [{"n_features_to_select": 4}, {"n_features_to_select": 0.3}, {"tol": 1e-3}])
def test_wrapped_choices_are_the_peers(direction, parameters):
    X, y = load_diabetes(return_X_y=True)
    for scoring in (None, "neg_mean_absolute_error"):
        chosen = [
            m.SequentialFeatureSelector(
                LinearRegression(), direction=direction, scoring=scoring, cv=3, **parameters
            ).fit(X, y)
            for m in (ours, peer)
        ]
        assert_array_equal(chosen[0].get_support(), chosen[1].get_support())
        assert chosen[0].n_features_to_select_ == chosen[1].n_features_to_select_


@pytest.mark.parametrize("step", [1, 3, 0.25])
@pytest.mark.parametrize("kept", [None, 3, 0.4])
def test_rankings_are_the_peers(step, kept):
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    rankings = [
        m.RFE(LogisticRegression(), n_features_to_select=kept, step=step).fit(X, y).ranking_ for m in (ours, peer)
    ]
    assert_array_equal(*rankings)
    rankings = [
        m.RFE(DecisionTreeRegressor(random_state=0), n_features_to_select=kept, step=step).fit(X, y).ranking_
        for m in (ours, peer)
    ]
    assert_array_equal(*rankings)


@pytest.mark.parametrize(
    "estimator",
    [Lasso(alpha=0.1), LinearRegression(), LogisticRegression(), RandomForestClassifier(20, random_state=0)],
    ids=["lasso", "least squares", "logistic", "forest"],
)
@pytest.mark.parametrize("threshold", [None, "median", "1.25*mean", -np.inf])
@pytest.mark.parametrize("most", [None, 4])
def test_embedded_choices_are_the_peers(estimator, threshold, most):
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    own, other = (m.SelectFromModel(estimator, threshold=threshold, max_features=most).fit(X, y) for m in (ours, peer))
    assert_array_equal(own.get_support(), other.get_support())
    assert_allclose(own.threshold_, other.threshold_)
