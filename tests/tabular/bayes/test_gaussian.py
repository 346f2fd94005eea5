"""GaussianNB: parts equal the whole, weights, far columns, extreme rows and bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.bayes.gaussian import GaussianNB


@parametrize_with_checks([GaussianNB()])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=600, p=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, size=n)
    return rng.normal(size=(n, p)) * [0.5, 1, 4] + y[:, None] * [0.3, -1, 2], y


def test_joint_is_the_prior_times_normal_densities():
    X, y = sample()
    model = GaussianNB(var_smoothing=0.0).fit(X, y)
    for c in range(3):
        own = X[y == c]
        density = norm.logpdf(X, own.mean(axis=0), own.std(axis=0)).sum(axis=1)
        assert_allclose(model.predict_joint_log_proba(X)[:, c], density + np.log(np.mean(y == c)), rtol=1e-12)


@pytest.mark.parametrize("weighted", [True, False])
def test_parts_equal_the_whole(weighted):
    X, y = sample()
    X = X[np.argsort(y)] + 1e4  # the first part has one class only
    y = np.sort(y)
    weight = np.random.default_rng(1).uniform(0, 2, size=len(y)) if weighted else None
    whole = GaussianNB().fit(X, y, sample_weight=weight)
    parts = GaussianNB()
    for rows in (slice(0, 100), slice(100, 101), slice(101, 600)):
        parts.partial_fit(X[rows], y[rows], classes=[0, 1, 2], sample_weight=weight[rows] if weighted else None)
    assert_allclose(parts.theta_, whole.theta_, rtol=1e-13)
    assert_allclose(parts.var_, whole.var_, rtol=1e-10)  # 1e4 eps / sd of the merged means
    assert_allclose(parts.epsilon_, whole.epsilon_, rtol=1e-10)
    assert_allclose(parts.class_prior_, whole.class_prior_, rtol=1e-13)


def test_integer_weight_is_the_row_repeated_and_zero_the_row_absent():
    X, y = sample()
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    weighted = GaussianNB().fit(X, y, sample_weight=weight)
    repeated = GaussianNB().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for name in ("theta_", "var_", "epsilon_", "class_prior_", "class_count_"):
        assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-12)


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_far_means_leave_the_variances_as_they_are(mean):
    X, y = sample()
    # adding the mean rounds each entry to eps x mean, relative to a deviation of 0.5
    assert_allclose(GaussianNB().fit(X + mean, y).var_, GaussianNB().fit(X, y).var_, rtol=4 * mean * 2.2e-16)


def test_a_constant_column_changes_no_posterior():
    X, y = sample()
    with_constant = np.column_stack([X, np.full(len(y), 1e4 / 3)])
    assert_allclose(
        GaussianNB().fit(with_constant, y).predict_proba(with_constant),
        GaussianNB().fit(X, y).predict_proba(X),
        rtol=1e-9,
    )


def test_rows_far_from_every_class_have_finite_log_posteriors():
    X, y = sample()
    log_proba = GaussianNB().fit(X, y).predict_log_proba(np.full((1, 3), 1e6))
    assert np.isfinite(log_proba).all()
    assert_allclose(np.exp(log_proba).sum(), 1.0)


def test_a_class_not_yet_seen_has_probability_zero():
    X, y = sample()
    model = GaussianNB().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
    assert_array_equal(model.predict_proba(X)[:, 2], 0.0)
    assert set(model.predict(X)) <= {0, 1}


def test_given_priors_are_used():
    X, y = sample()
    model = GaussianNB(priors=[0.2, 0.3, 0.5]).fit(X, y)
    assert_array_equal(model.class_prior_, [0.2, 0.3, 0.5])


def test_one_class_is_always_predicted():
    X, _ = sample()
    assert set(GaussianNB().fit(X, np.full(len(X), "only")).predict(X)) == {"only"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"priors": [0.5, 0.5]}, "one number for each of 3 classes"),
        ({"priors": [0.5, 0.4, 0.2]}, "sum 1"),
        ({"priors": [1.5, -0.5, 0.0]}, "priors must be >= 0"),
        ({"var_smoothing": -1.0}, "var_smoothing must be >= 0, got -1.0"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        GaussianNB(**parameters).fit(*sample())


def test_bad_data_is_named():
    X, y = sample()
    with pytest.raises(ValueError, match="NaN"):
        GaussianNB().fit(np.where(X[0, 0] == X, np.nan, X), y)
    with pytest.raises(ValueError, match="column 0 is constant in class"):
        GaussianNB().fit(np.ones((6, 2)), [0, 1] * 3)
    with pytest.raises(ValueError, match=r"sample_weight|[Ss]ample weights"):
        GaussianNB().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="classes must be given at the first call"):
        GaussianNB().partial_fit(X, y)
    with pytest.raises(ValueError, match="not among classes"):
        GaussianNB().partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="differs from those of the first call"):
        GaussianNB().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y, classes=[0, 1])
