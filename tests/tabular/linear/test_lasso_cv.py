"""LassoCV and ElasticNetCV against scikit-learn's and against folds walked by hand, and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as peer
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, PredefinedSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular import ElasticNet, ElasticNetCV, Lasso, LassoCV

TIGHT = {"tol": 1e-12, "max_iter": 200_000}


@parametrize_with_checks([LassoCV(alphas=10, cv=3, **TIGHT), ElasticNetCV(alphas=10, cv=3, **TIGHT)])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=90, p=20, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 3
    return X, X[:, :3] @ np.array([3.0, -2.0, 1.0]) + 5 + rng.normal(size=n), rng.exponential(size=n)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (LassoCV, peer.LassoCV, {}),
        (LassoCV, peer.LassoCV, {"positive": True, "cv": 3, "eps": 1e-2, "alphas": 30}),
        (LassoCV, peer.LassoCV, {"fit_intercept": False, "n_jobs": 2}),
        (ElasticNetCV, peer.ElasticNetCV, {"l1_ratio": [0.2, 0.7, 1.0]}),
        (ElasticNetCV, peer.ElasticNetCV, {"l1_ratio": 0.5, "cv": KFold(4, shuffle=True, random_state=0)}),
        (ElasticNetCV, peer.ElasticNetCV, {"l1_ratio": [0.5, 0.9], "alphas": [0.01, 1.0, 0.1]}),
    ],
)
def test_chooses_as_scikit_learn(ours, theirs, settings, form, weighted):
    X, y = load_diabetes(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.1, 2, len(y)) if weighted else None
    a, b = (model(**settings, **TIGHT).fit(form(X), y, sample_weight=weight) for model in (ours, theirs))
    assert_allclose(a.alphas_, b.alphas_, rtol=1e-12)
    assert_allclose(a.mse_path_, b.mse_path_, rtol=1e-7)  # what a gap of 1e-12 leaves of predictions is its root
    assert_allclose(a.alpha_, b.alpha_, rtol=1e-12)
    assert getattr(a, "l1_ratio_", 1.0) == getattr(b, "l1_ratio_", 1.0)
    assert_allclose(a.coef_, b.coef_, atol=1e-5 * np.abs(b.coef_).max())
    assert_allclose(a.predict(form(X)), b.predict(form(X)), rtol=1e-6)


def test_errors_are_those_of_folds_walked_by_hand():
    X, y, weight = sample()
    folds = [(np.arange(90) % 3 != k, np.arange(90) % 3 == k) for k in range(3)]  # masks of rows
    model = ElasticNetCV(l1_ratio=[0.3, 0.8], alphas=[0.5, 0.1], cv=folds, **TIGHT).fit(X, y, weight)
    assert model.mse_path_.shape == (2, 2, 3)
    for r, ratio in enumerate([0.3, 0.8]):
        for a, alpha in enumerate([0.5, 0.1]):
            for f, (train, test) in enumerate(folds):
                fold = ElasticNet(alpha, l1_ratio=ratio, **TIGHT).fit(X[train], y[train], weight[train])
                error = np.average((fold.predict(X[test]) - y[test]) ** 2, weights=weight[test])
                assert_allclose(model.mse_path_[r, a, f], error, rtol=1e-6)
    best = np.unravel_index(model.mse_path_.mean(-1).argmin(), (2, 2))
    assert (model.l1_ratio_, model.alpha_) == ([0.3, 0.8][best[0]], [0.5, 0.1][best[1]])
    whole = ElasticNet(model.alpha_, l1_ratio=model.l1_ratio_, **TIGHT).fit(X, y, weight)
    assert_allclose(model.coef_, whole.coef_, atol=1e-6)
    assert_allclose(model.intercept_, whole.intercept_, atol=1e-5)


def test_a_row_of_weight_zero_is_absent_and_planted_features_are_kept():
    X, y, _ = sample(n=120)
    weight = np.ones(120)
    weight[::4] = 0
    fold = np.arange(120) % 5
    kept = weight > 0
    with_zeros = LassoCV(cv=PredefinedSplit(fold), **TIGHT).fit(X, np.where(kept, y, 1e6), weight)
    without = LassoCV(cv=PredefinedSplit(fold[kept]), **TIGHT).fit(X[kept], y[kept])
    assert_allclose(with_zeros.alpha_, without.alpha_, rtol=1e-10)
    assert_allclose(with_zeros.coef_, without.coef_, atol=1e-6)
    assert (without.coef_[:3] != 0).all() and np.abs(without.coef_[3:]).max() < 0.3


def test_a_constant_target_or_column_leaves_zeros():
    X, y, _ = sample()
    flat = LassoCV(cv=3).fit(X, np.full(90, 7.0))
    assert_array_equal(flat.coef_, 0)
    assert flat.intercept_ == 7
    X[:, 4] = 1e4
    assert LassoCV(cv=3).fit(X, y).coef_[4] == 0


def test_the_mean_of_columns_does_not_matter():
    X, y, _ = sample()
    near, far = (LassoCV(cv=4, **TIGHT).fit(X + shift, y) for shift in (0.0, 1e4))
    assert_allclose(far.alpha_, near.alpha_, rtol=1e-7)
    assert_allclose(far.coef_, near.coef_, atol=1e-6)
    assert isinstance(Lasso(near.alpha_).fit(X, y), Lasso)


@pytest.mark.parametrize(
    ("model", "weight", "words"),
    [
        (ElasticNetCV(l1_ratio=[]), None, "l1_ratio must be a number"),
        (ElasticNetCV(l1_ratio=1.5), None, r"l1_ratio must be in \[0, 1\], got 1.5"),
        (ElasticNetCV(l1_ratio=0.0), None, "l1_ratio=0 no alpha makes all coefficients 0"),
        (LassoCV(alphas=0), None, "alphas must be a number >= 1"),
        (LassoCV(alphas=[0.1, -1]), None, "alphas must be > 0"),
        (LassoCV(alphas=5.0), None, "alphas must be how many, an integer"),
        (LassoCV(max_iter=1.5), None, "max_iter must be >= 1, an integer, got 1.5"),
        (LassoCV(selection="bogus"), None, "selection must be 'cyclic' or 'random'"),
        (LassoCV(cv=[]), None, "cv gives no folds"),
        (LassoCV(cv=[(np.arange(5), [])]), None, "without held-out rows"),
        (LassoCV(eps=0), None, r"eps must be in \(0, 1\]"),
        (LassoCV(tol=-1), None, "tol must be >= 0"),
        (LassoCV(cv=1000), None, "n_splits=1000"),
        (LassoCV(cv=[(np.arange(90), np.arange(0))]), None, "without held-out rows"),
        (LassoCV(cv=3), np.r_[np.zeros(30), np.ones(60)], "held-out rows all have weight 0"),
        (LassoCV(cv=[(np.arange(30), np.arange(30, 90))]), np.r_[np.zeros(30), np.ones(60)], "training rows all have"),
    ],
)
def test_bad_input_is_named(model, weight, words):
    X, y, _ = sample()
    with pytest.raises(ValueError, match=words):
        model.fit(X, y, weight)
