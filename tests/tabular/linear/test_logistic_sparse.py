"""LogisticRegression with an absolute penalty: where the optimum is, zeros, sparse and weighted input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.linear.logistic import LogisticRegression


@parametrize_with_checks([LogisticRegression("l1"), LogisticRegression("elasticnet", l1_ratio=0.5)])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(classes=2, n=300, p=20, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    scores = X[:, :classes] * 2 + rng.gumbel(size=(n, classes))
    return X, scores.argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("p", [20, 150])  # 150: working sets
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_gradients_are_where_the_penalty_lets_them_be(classes, p, share):
    X, y = sample(classes, p=p)
    model = LogisticRegression("elasticnet", l1_ratio=share, C=0.1, tol=1e-10, max_iter=1000).fit(X, y)
    residual = model.predict_proba(X) - (y[:, None] == model.classes_)
    residual = residual[:, 1:] if classes == 2 else residual
    gradient = 0.1 * residual.T @ X + (1 - share) * model.coef_
    used = model.coef_ != 0
    assert 0 < used.sum() < used.size
    assert_allclose(gradient[used], -share * np.sign(model.coef_[used]), atol=1e-8)  # tol x C x rows
    assert np.abs(gradient[~used]).max() <= share + 1e-8
    assert_allclose(residual.sum(axis=0), 0.0, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
def test_sparse_input_gives_what_dense_does(classes):
    X, y = sample(classes)
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    weight = np.random.default_rng(0).exponential(size=len(y))
    settings = {"penalty": "l1", "C": 0.5, "tol": 1e-10, "class_weight": "balanced", "max_iter": 1000}
    dense, sparse = (LogisticRegression(**settings).fit(form(X), y, weight) for form in (np.asarray, sp.csr_matrix))
    assert_allclose(sparse.coef_, dense.coef_, atol=1e-7)  # tol over curvature
    assert_allclose(sparse.intercept_, dense.intercept_, atol=1e-7)


def test_weight_two_is_the_row_twice():
    X, y = sample()
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    settings = {"penalty": "l1", "tol": 1e-10}
    twice = LogisticRegression(**settings).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(LogisticRegression(**settings).fit(X, y, weight).coef_, twice.coef_, atol=1e-7)


def test_a_strong_penalty_leaves_the_frequencies_of_the_classes():
    X, y = sample(3)
    model = LogisticRegression("l1", C=1e-3, tol=1e-10).fit(X, y)
    assert_array_equal(model.coef_, 0.0)
    assert_allclose(model.predict_proba(X[:1])[0], np.bincount(y) / len(y), rtol=1e-9)


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_column_means_cost_no_digits(mean):
    X, y = sample()
    settings = {"penalty": "l1", "C": 0.5, "tol": 1e-9}
    plain, moved = (LogisticRegression(**settings).fit(X + shift, y) for shift in (0.0, mean))
    assert_allclose(moved.coef_, plain.coef_, atol=1e-6)  # eps x mean x rows is lost in the sums


def test_separated_classes_have_an_estimate_as_soon_as_there_is_a_penalty():
    x = np.linspace(-1, 1, 40)[:, None]
    model = LogisticRegression("l1", C=100.0, tol=1e-8, max_iter=1000).fit(x, x[:, 0] > 0)
    assert np.isfinite(model.coef_).all() and model.score(x, x[:, 0] > 0) == 1.0


def test_too_few_rounds_are_said():
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        LogisticRegression("l1", tol=1e-12, max_iter=1).fit(*sample())


def test_no_intercept_is_none():
    X, y = sample()
    assert_array_equal(LogisticRegression("l1", fit_intercept=False).fit(X, y).intercept_, 0.0)
