"""Maxima of likelihoods and posteriors against closed forms, scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats.distributions import Beta, Binomial, Exponential, Multinomial, MultivariateNormal, Normal, Poisson
from breadth.stats.estimation import (
    likelihood_ratio_test,
    log_likelihood,
    log_posterior,
    maximum_likelihood,
    observed_information,
    posterior_mode,
)

POSITIVE = (0.0, None)


@pytest.mark.parametrize(
    ("law", "make", "start", "bounds"),
    [
        (Normal(3.0, 2.0), Normal, [0.0, 1.0], [(None, None), POSITIVE]),
        (Exponential(0.2), Exponential, [1.0], [POSITIVE]),
        (Beta(2.5, 0.7), Beta, [1.0, 1.0], [POSITIVE, POSITIVE]),
        (Poisson(4.2), Poisson, [1.0], [POSITIVE]),
        (Binomial(12, 0.3), lambda p: Binomial(12, p), [0.5], [(0.0, 1.0)]),
    ],
    ids=lambda v: repr(v) if hasattr(v, "entropy") else "",
)
def test_the_numeric_maximum_is_the_closed_form_with_its_standard_errors(law, make, start, bounds):
    x = law.sample(0, 300)
    fitted = Binomial.fit(x, n=12) if isinstance(law, Binomial) else type(law).fit(x)
    names = fitted.standard_errors(1).keys()
    found = maximum_likelihood(lambda t: log_likelihood(make(*t), x), start, bounds=bounds)
    assert_allclose(found.parameters, [getattr(fitted, name) for name in names], rtol=1e-7)
    assert_allclose(found.standard_errors, list(fitted.standard_errors(300).values()), rtol=1e-5)
    assert_allclose(found.log_density, log_likelihood(fitted, x), rtol=1e-12)
    # the closed form is at least as high as anything near it
    rng = np.random.default_rng(1)
    for t in found.parameters * rng.uniform(0.95, 1.05, (20, found.parameters.size)):
        assert log_likelihood(make(*t), x) <= log_likelihood(fitted, x) + 1e-9


def test_a_given_gradient_finds_all_digits():
    x = Exponential(3.0).sample(0, 100)
    found = maximum_likelihood(
        lambda t: 100 * np.log(t[0]) - t[0] * x.sum(), [1.0], bounds=[POSITIVE], gradient=lambda t: 100 / t - x.sum()
    )
    assert_allclose(found.parameters[0], 1 / x.mean(), rtol=1e-9)


def test_logistic_regression_has_statsmodels_estimates_and_errors():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(200), rng.normal(size=(200, 2))])
    y = (rng.random(200) < 1 / (1 + np.exp(-x @ [0.3, 1.0, -2.0]))).astype(float)
    peer = sm.Logit(y, x).fit(disp=0, tol=1e-12)
    found = maximum_likelihood(lambda b: float(np.sum(y * (x @ b) - np.logaddexp(0, x @ b))), np.zeros(3))
    assert_allclose(found.parameters, peer.params, rtol=1e-6)
    assert_allclose(found.standard_errors, peer.bse, rtol=1e-5)
    assert_allclose(found.covariance, peer.cov_params(), rtol=1e-4)
    smaller = maximum_likelihood(
        lambda b: float(np.sum(y * (x[:, :2] @ b) - np.logaddexp(0, x[:, :2] @ b))), np.zeros(2)
    )
    test = likelihood_ratio_test(smaller.log_density, found.log_density, df=1)
    assert_allclose(test.statistic, 2 * (peer.llf - sm.Logit(y, x[:, :2]).fit(disp=0).llf), rtol=1e-9)
    assert_allclose(test.p, stats.chi2.sf(test.statistic, 1))


def test_a_prior_pulls_the_mode_where_conjugacy_says():
    x = np.array([1.0, 2.5, 0.3, 4.0])
    prior = Normal(-1.0, 0.5)
    found = posterior_mode(lambda t: log_likelihood(Normal(t[0], 1.5), x), lambda t: prior.logpdf(t[0]), [0.0])
    exact = prior.update(x, noise_std=1.5)
    assert_allclose(found.parameters[0], exact.mean, rtol=1e-7)
    assert_allclose(found.standard_errors[0], exact.std, rtol=1e-6)  # a normal posterior is its own approximation
    chance = posterior_mode(
        lambda t: log_likelihood(Binomial(20, t[0]), 3), lambda t: Beta(2, 5).logpdf(t[0]), [0.5], bounds=[(0, 1)]
    )
    assert_allclose(chance.parameters[0], (2 + 3 - 1) / (2 + 5 + 20 - 2), rtol=1e-7)


def test_ridge_regression_is_the_mode_under_a_normal_prior():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    found = posterior_mode(
        lambda b: -0.5 * float(np.sum((y - x @ b) ** 2)), lambda b: -0.5 * 2.5 * float(b @ b), np.zeros(3)
    )
    assert_allclose(found.parameters, Ridge(alpha=2.5, fit_intercept=False).fit(x, y).coef_, rtol=1e-6)


def test_a_conjugate_posterior_differs_from_the_unnormalised_one_by_a_constant():
    prior, exact = Beta(2, 3), Beta(2, 3).update(7, 13)
    function = log_posterior(lambda p: log_likelihood(Binomial(20, p), 7), prior.logpdf)
    grid = np.linspace(0.05, 0.95, 10)
    gap = np.array([function(p) - exact.logpdf(p) for p in grid])
    assert_allclose(gap, gap[0], rtol=1e-12)
    assert function(1.5) == -np.inf  # the likelihood, which would refuse, is not asked


def test_log_likelihoods_are_scipys_sums_where_products_underflow():
    x = stats.norm(1, 2).rvs(2000, random_state=0)
    assert np.prod(Normal(1, 2).pdf(x)) == 0
    assert_allclose(log_likelihood(Normal(1, 2), x), stats.norm(1, 2).logpdf(x).sum(), rtol=1e-12)
    assert_allclose(log_likelihood(stats.norm(1, 2), x), log_likelihood(Normal(1, 2), x), rtol=1e-12)
    w = np.random.default_rng(0).integers(0, 3, 2000)
    assert_allclose(
        log_likelihood(Normal(1, 2), x, weight=w), log_likelihood(Normal(1, 2), np.repeat(x, w)), rtol=1e-12
    )
    rows = MultivariateNormal([0, 1], np.eye(2)).sample(0, 5)
    assert_allclose(
        log_likelihood(MultivariateNormal([0, 1], np.eye(2)), rows), log_likelihood(Normal(0, 1), rows - [0, 1])
    )
    assert np.isfinite(log_likelihood(Multinomial(3, [0.5, 0.5]), [[1, 2], [3, 0]]))
    assert log_likelihood(Poisson(2.0), [1, 1.5]) == -np.inf
    assert log_likelihood(Poisson(2.0), [1, 1.5], weight=[1, 0]) == Poisson(2.0).logpmf(1)


@settings(max_examples=15, deadline=None)
@given(st.floats(-5, 5), st.floats(-2, 2), st.floats(0.5, 20), st.floats(0.5, 20), st.floats(-0.4, 0.4))
def test_the_maximum_of_a_quadratic_is_found_and_its_information_is_its_matrix(a, b, p, q, c):
    matrix = np.array([[p, c], [c, q]])
    centre = np.array([a, b])
    f = lambda t: -0.5 * float((t - centre) @ matrix @ (t - centre))  # noqa: E731
    found = maximum_likelihood(f, [0.0, 0.0])
    assert_allclose(found.parameters, centre, atol=1e-7)
    assert_allclose(found.information, matrix, rtol=1e-6, atol=1e-6)
    assert_allclose(found.covariance @ matrix, np.eye(2), atol=1e-6)
    inside = maximum_likelihood(f, [0.0, 0.0], bounds=[(-6, 6), (None, 3)])
    assert_allclose(inside.parameters, centre, atol=1e-6)
    assert_allclose(observed_information(f, centre, bounds=[(-6, 6), (None, 3)]), matrix, rtol=1e-6, atol=1e-6)


def test_the_likelihood_ratio_holds_its_level_under_the_null():
    rng = np.random.default_rng(0)
    wrong = 0
    for x in rng.poisson(5.0, (400, 60)):
        null, free = log_likelihood(Poisson(5.0), x), log_likelihood(Poisson.fit(x), x)
        wrong += likelihood_ratio_test(null, free, df=1).p < 0.05
    assert abs(wrong - 20) < 4 * np.sqrt(400 * 0.05 * 0.95)
    assert likelihood_ratio_test(-3.0, -3.0, df=2).p == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: maximum_likelihood(lambda t: -t[0], [1.0], bounds=[POSITIVE]), RuntimeError, "no maximum"),
        (lambda: maximum_likelihood(lambda t: t[0], [1.0]), RuntimeError, "no maximum|still rises"),
        (lambda: maximum_likelihood(lambda t: 0.0, [[1.0]]), ValueError, r"shape \(k,\)"),
        (lambda: maximum_likelihood(lambda t: -np.inf, [1.0]), ValueError, "finite where the search starts"),
        (lambda: maximum_likelihood(lambda t: 0.0, [0.0], bounds=[POSITIVE]), ValueError, "strictly inside"),
        (lambda: maximum_likelihood(lambda t: 0.0, [0.0], bounds=[]), ValueError, "1 pairs"),
        (lambda: maximum_likelihood(lambda t: 0.0, [0.0], bounds=[(1, -1)]), ValueError, "low < high"),
        (lambda: likelihood_ratio_test(-1.0, -2.0, df=1), ValueError, "not nested"),
        (lambda: likelihood_ratio_test(-2.0, -1.0, df=0), ValueError, "df must be"),
        (lambda: likelihood_ratio_test(np.nan, -1.0, df=1), ValueError, "finite log-likelihoods"),
        (lambda: log_likelihood(object(), [1]), ValueError, "logpdf or logpmf, got object"),
        (lambda: log_likelihood(Normal(0, 1), [np.nan]), ValueError, "log-density is NaN"),
        (lambda: log_likelihood(Normal(0, 1), [0.0], weight=[-1]), ValueError, "weight must be"),
    ],
)
def test_what_has_no_answer_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_log_likelihood_for_each_observation_is_refused():
    x = np.arange(5.0)
    with pytest.raises(ValueError, match=r"one number, the sum over observations, got shape \(5,\)"):
        maximum_likelihood(lambda theta: stats.norm(theta[0], 1).logpdf(x), [0.0])


def test_a_flat_likelihood_names_its_parameters_and_has_no_standard_errors():
    x = np.random.default_rng(0).normal(size=50)
    with pytest.warns(UserWarning, match=r"flat along parameters \[0, 2\]"):
        found = maximum_likelihood(lambda t: -0.5 * np.sum((x - t[0] - t[2]) ** 2) - t[1] ** 2, [1.0, 2.0, 3.0])
    assert np.isnan(found.standard_errors).all()
    np.testing.assert_allclose(found.parameters[0] + found.parameters[2], x.mean(), atol=1e-6)
    with pytest.warns(UserWarning, match=r"flat along parameters \[1\]"):
        maximum_likelihood(lambda t: -0.5 * np.sum((x - t[0]) ** 2), [1.0, 2.0])


@pytest.mark.parametrize("start", [0.1, 0.2, 0.3, 0.31, 0.5, 0.9])
@pytest.mark.parametrize("apart", [0.0, 1e-2])
def test_standard_errors_are_missing_from_every_start_or_from_none(start, apart):
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    Z = np.column_stack([x, 2 * x + apart * rng.normal(size=50)])  # one column twice, or nearly
    y = x + rng.normal(size=50)
    model = lambda t: -0.5 * np.sum((y - Z @ t) ** 2)  # noqa: E731
    if apart:
        errors = maximum_likelihood(model, [start, 0.3]).standard_errors
        np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(Z.T @ Z))), rtol=1e-3)  # condition 1e5
    else:
        with pytest.warns(UserWarning, match=r"flat along parameters \[0, 1\]"):
            assert np.isnan(maximum_likelihood(model, [start, 0.3]).standard_errors).all()


@pytest.mark.parametrize("start", [0.1, 0.3, 0.31, 0.9])
def test_a_sum_of_parameters_does_not_tell_them_apart_from_any_start(start):
    with pytest.warns(UserWarning, match=r"flat along parameters \[0, 1\]"):
        maximum_likelihood(lambda t: -((t[0] + t[1] - 1) ** 2), [start, 0.3])
