"""Discriminant analysis: units, far columns, constant and collinear columns, few rows and bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.bayes.discriminant import LinearDiscriminantAnalysis
from breadth.tabular.bayes.quadratic_discriminant import QuadraticDiscriminantAnalysis


@parametrize_with_checks(
    [
        LinearDiscriminantAnalysis(),
        LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1),
        QuadraticDiscriminantAnalysis(),
        QuadraticDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
    ]
)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=400, p=4, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, size=n)
    shape = rng.normal(size=(p, p)) + 2 * np.eye(p)
    return rng.normal(size=(n, p)) @ shape + rng.normal(size=(classes, p))[y] * 2, y


def test_linear_posterior_is_that_of_gaussians_with_one_covariance():
    X, y = sample()
    model = LinearDiscriminantAnalysis(store_covariance=True).fit(X, y)
    density = np.column_stack(
        [np.mean(y == k) * multivariate_normal.pdf(X, model.means_[k], model.covariance_) for k in range(3)]
    )
    assert_allclose(model.predict_proba(X), density / density.sum(axis=1, keepdims=True), rtol=1e-9)


def test_quadratic_posterior_is_that_of_gaussians_with_their_own():
    X, y = sample()
    model = QuadraticDiscriminantAnalysis(store_covariance=True).fit(X, y)
    density = []
    for k in range(3):
        own = X[y == k]
        assert_allclose(model.covariance_[k], np.cov(own.T, bias=True), rtol=1e-10)
        density.append(np.mean(y == k) * multivariate_normal.pdf(X, own.mean(axis=0), np.cov(own.T, bias=True)))
    density = np.column_stack(density)
    assert_allclose(model.predict_proba(X), density / density.sum(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("kind", [LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis])
def test_units_and_far_means_change_no_posterior(kind):
    X, y = sample()
    unit = np.array([1e-6, 1.0, 1e3, 1e6])
    plain = kind().fit(X, y).predict_log_proba(X)
    moved = X * unit + 1e4 * unit
    # 1e4 eps of each entry is lost in forming the input, on columns of spread about 2
    assert_allclose(kind().fit(moved, y).predict_log_proba(moved), plain, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 1e4 / 3])
def test_a_constant_column_changes_no_linear_posterior(value):
    X, y = sample()
    wider = np.column_stack([X, np.full(len(X), value)])
    assert_allclose(
        LinearDiscriminantAnalysis().fit(wider, y).predict_proba(wider),
        LinearDiscriminantAnalysis().fit(X, y).predict_proba(X),
        rtol=1e-8,
    )


def test_a_repeated_column_changes_no_linear_posterior():
    X, y = sample()
    wider = np.column_stack([X, X[:, 0] - X[:, 1]])
    assert_allclose(
        LinearDiscriminantAnalysis().fit(wider, y).predict_proba(wider),
        LinearDiscriminantAnalysis().fit(X, y).predict_proba(X),
        rtol=1e-8,
    )


def test_directions_spread_classes_and_have_unit_variance_within():
    X, y = sample()
    model = LinearDiscriminantAnalysis()
    Z = model.fit_transform(X, y)
    assert Z.shape == (400, 2)
    assert list(model.get_feature_names_out()) == ["lineardiscriminantanalysis0", "lineardiscriminantanalysis1"]
    within = sum(np.mean(y == k) * np.cov(Z[y == k].T, bias=True) for k in range(3))
    assert_allclose(within, np.eye(2), atol=1e-10)
    assert_allclose(model.explained_variance_ratio_.sum(), 1.0)
    assert LinearDiscriminantAnalysis(n_components=1).fit(X, y).transform(X).shape == (400, 1)
    assert LinearDiscriminantAnalysis(n_components=0).fit(X, y).transform(X).shape == (400, 0)


def test_rows_fewer_than_columns_are_classified_with_shrinkage():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    X = rng.normal(size=(40, 100))
    X[:, :5] += y[:, None]
    far, far_y = rng.normal(size=(2000, 100)), np.repeat([0, 1], 1000)
    far[:, :5] += far_y[:, None]
    models = [
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
        QuadraticDiscriminantAnalysis(reg_param=0.5),
        QuadraticDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
    ]
    for model in models:
        assert model.fit(X, y).score(far, far_y) > 0.6
    assert models[0].score(far, far_y) > LinearDiscriminantAnalysis().fit(X, y).score(far, far_y)


def test_extreme_rows_have_finite_log_posteriors():
    X, y = sample()
    for model in (LinearDiscriminantAnalysis(), QuadraticDiscriminantAnalysis()):
        assert np.isfinite(model.fit(X, y).predict_log_proba(np.full((1, 4), 1e6))).all()


def test_what_is_collinear_is_said():
    X, y = sample()
    with pytest.raises(ValueError, match=r"are collinear in class .*\(\d repeat what the others say\).*reg_param"):
        QuadraticDiscriminantAnalysis().fit(np.column_stack([X, X[:, 0] + X[:, 1]]), y)
    with pytest.raises(ValueError, match="column 4 is constant in class"):
        QuadraticDiscriminantAnalysis().fit(np.column_stack([X, y.astype(float)]), y)
    with pytest.raises(ValueError, match=r"has \d rows for 4 columns"):
        QuadraticDiscriminantAnalysis().fit(X[:9], np.repeat([0, 1, 2], 3))
    with pytest.raises(ValueError, match=r"only 1 sample in class .*2"):
        QuadraticDiscriminantAnalysis().fit(X[:11], [0] * 5 + [1] * 5 + [2])
    with pytest.raises(ValueError, match="singular, which 'eigen' cannot invert"):
        LinearDiscriminantAnalysis(solver="eigen").fit(np.column_stack([X, X[:, 0]]) * 0 + 1.0, y)
    with pytest.raises(ValueError, match="no column varies within a class"):
        LinearDiscriminantAnalysis().fit(np.column_stack([y, 2.0 * y]), y)
    named = QuadraticDiscriminantAnalysis(reg_param=0.1).fit(np.column_stack([X, X[:, 0]]), y)
    assert np.isfinite(named.predict_log_proba(np.column_stack([X, X[:, 0]]))).all()


@pytest.mark.parametrize("kind", [LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "qr"}, "solver must be one of 'svd'"),
        ({"shrinkage": "auto"}, "shrinkage needs a solver"),
        ({"solver": "eigen", "shrinkage": 1.5}, r"shrinkage must be None, 'auto' or a number in \[0, 1\]"),
        ({"solver": "eigen", "shrinkage": "much"}, "shrinkage must be None"),
        ({"priors": [0.5, 0.5]}, "one number for each of 3 classes"),
        ({"priors": [0.5, 0.4, 0.2]}, "sum 1"),
        ({"tol": -1.0}, "tol must be >= 0"),
    ],
)
def test_bad_parameters_are_named(kind, parameters, message):
    with pytest.raises(ValueError, match=message):
        kind(**parameters).fit(*sample())


def test_bad_parameters_of_one_kind_are_named():
    X, y = sample()
    with pytest.raises(ValueError, match=r"n_components must be in \[0, 2\]"):
        LinearDiscriminantAnalysis(n_components=3).fit(X, y)
    with pytest.raises(ValueError, match="reg_param must be in"):
        QuadraticDiscriminantAnalysis(reg_param=2.0).fit(X, y)
    with pytest.raises(NotImplementedError, match="solver='svd' or 'eigen'"):
        LinearDiscriminantAnalysis(solver="lsqr").fit(X, y).transform(X)
    with pytest.raises(ValueError, match="more than the number of classes"):
        LinearDiscriminantAnalysis().fit(X[:3], [0, 1, 2])


def test_given_priors_are_used():
    X, y = sample()
    for kind in (LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis):
        model = kind(priors=[0.0, 0.5, 0.5]).fit(X, y)
        assert_array_equal(model.predict_proba(X)[:, 0], 0.0)
