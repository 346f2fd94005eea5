"""Bayes' rule in exact fractions, base rates, and intervals of posteriors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.naive_bayes import CategoricalNB

from breadth.stats.bayes import base_rate, bayes_rule, credible_interval, hpd_interval
from breadth.stats.distributions import Beta


def test_the_rule_is_exact_and_one_posterior_is_the_next_prior():
    prior, first, second = [0.5, 0.3, 0.2], [0.1, 0.7, 0.4], [0.9, 0.2, 0.5]
    factors = zip(prior, first, second, strict=True)
    exact = [Fraction(str(p)) * Fraction(str(a)) * Fraction(str(b)) for p, a, b in factors]
    at_once = bayes_rule(prior, np.multiply(first, second))
    assert_allclose(at_once.posterior, [float(e / sum(exact)) for e in exact], rtol=1e-15)
    assert_allclose(np.exp(at_once.log_evidence), float(sum(exact)), rtol=1e-15)
    step = bayes_rule(bayes_rule(prior, first).posterior, second)
    assert_allclose(step.posterior, at_once.posterior, rtol=1e-14)


def test_many_data_sets_at_once_are_naive_bayes_of_one_feature():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, 80), rng.integers(0, 3, 80)
    model = CategoricalNB(alpha=1.0).fit(x[:, None], y)
    prior = np.bincount(y) / 80
    counts = np.array([[((x == v) & (y == c)).sum() + 1 for v in range(4)] for c in range(3)])
    found = bayes_rule(prior, counts / counts.sum(1, keepdims=True))
    assert_allclose(found.posterior.T, model.predict_proba(np.arange(4)[:, None]), rtol=1e-12)


def test_logarithms_do_not_underflow():
    found = bayes_rule(np.log([0.5, 0.5]), [-1e5, -1e5 - np.log(3)], log=True)
    assert_allclose(found.posterior, [0.75, 0.25], rtol=1e-10)
    assert found.log_evidence == pytest.approx(-1e5 + np.log(2 / 3))
    sure = bayes_rule([1.0, 0.0], [0.2, 1.0])
    assert sure.posterior.tolist() == [1, 0]


def test_a_rare_condition_makes_most_positives_false():
    found = base_rate(0.99, 0.99, 0.001)
    assert_allclose(found.ppv, float(Fraction(99, 100) / (Fraction(99, 100) + Fraction(1, 100) * 999)), rtol=1e-12)
    assert found.ppv < 0.1 < found.likelihood_ratio_positive
    both = bayes_rule([0.001, 0.999], [[0.99, 0.01], [0.01, 0.99]])  # positive, negative
    assert_allclose([found.ppv, found.npv], [both.posterior[0, 0], both.posterior[1, 1]], rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(*[st.integers(1, 10**8)] * 4)
def test_base_rates_are_the_shares_of_a_confusion_matrix(tp, fn, fp, tn):
    found = base_rate(tp / (tp + fn), tn / (tn + fp), (tp + fn) / (tp + fn + fp + tn))
    # 1 - specificity is rounded at 1e-16: where false positives are one in 1e8 it keeps 8 digits
    assert_allclose([found.ppv, found.npv], [tp / (tp + fp), tn / (tn + fn)], rtol=1e-7)
    assert_allclose(found.odds_positive, found.prior_odds * found.likelihood_ratio_positive, rtol=1e-9)
    assert_allclose(found.odds_negative, found.prior_odds * found.likelihood_ratio_negative, rtol=1e-9)
    assert_allclose(found.odds_positive, found.ppv / (1 - found.ppv), rtol=1e-6)


def test_results_that_cannot_occur_have_no_predictive_value():
    never_positive = base_rate([0.0, 0.9], 1.0, [0.3, 0.0])
    assert np.isnan(never_positive.ppv).all()
    assert_allclose(never_positive.npv, [0.7, 1.0])
    assert base_rate(0.9, 0.5, [0.0, 1.0]).ppv.tolist() == [0, 1]
    assert base_rate(1.0, 1.0, 0.5).likelihood_ratio_positive == np.inf


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_of_known_posteriors(level):
    skewed = stats.beta(3, 11)
    equal, highest = credible_interval(skewed.ppf, level=level), hpd_interval(skewed.ppf, level=level)
    assert_allclose(equal, skewed.interval(level), rtol=1e-12)
    assert_allclose(skewed.cdf(highest.high) - skewed.cdf(highest.low), level, rtol=1e-8)
    assert_allclose(skewed.pdf(highest.low), skewed.pdf(highest.high), rtol=1e-4)  # the length is flat at its least
    assert highest.high - highest.low < equal.high - equal.low
    # a density that is highest at an end of its range
    assert_allclose(hpd_interval(stats.expon.ppf, level=level), (0, -np.log1p(-level)), rtol=1e-9)
    assert_allclose(hpd_interval(stats.beta(8, 1).ppf, level=level), ((1 - level) ** (1 / 8), 1), rtol=1e-9)
    assert_allclose(hpd_interval(stats.norm.ppf, level=level), stats.norm.interval(level), rtol=1e-6)


def test_intervals_of_draws_are_arviz():
    pytest.importorskip("arviz_stats")
    from arviz_stats.base import array_stats

    draws = np.random.default_rng(0).gamma(2.0, size=(501, 2))
    ours, equal = hpd_interval(draws, level=0.8), credible_interval(draws, level=0.8)
    for j in range(2):
        peer = array_stats.hdi(draws[:, j], prob=0.8, method="nearest", axis=-1)
        assert_allclose((ours.low[j], ours.high[j]), peer, rtol=1e-12)
        assert_allclose((equal.low[j], equal.high[j]), array_stats.eti(draws[:, j], prob=0.8, axis=-1), rtol=1e-12)
    assert hpd_interval([2.0, 2.0, 2.0]) == (2, 2)
    assert hpd_interval([1.0, 4.0], level=0.99) == (1, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bayes_rule([0.5, 0.6], [1, 1]), "prior must sum to 1"),
        (lambda: bayes_rule([0.5, 0.5], [1, 1, 1]), "likelihood \\(k"),
        (lambda: bayes_rule([], []), "prior must have shape"),
        (lambda: bayes_rule([1.5, -0.5], [1, 1]), "prior must be >= 0"),
        (lambda: bayes_rule([0.5, 0.5], [np.nan, 1]), "likelihood must be"),
        (lambda: bayes_rule([1.0, 0.0], [0.0, 1.0]), "no posterior exists"),
        (lambda: base_rate(1.1, 0.5, 0.5), "sensitivity must be in"),
        (lambda: base_rate(0.5, np.nan, 0.5), "specificity must be in"),
        (lambda: base_rate(0.5, 0.5, -0.1), "prevalence must be in"),
        (lambda: credible_interval([1.0]), "at least 2 rows"),
        (lambda: credible_interval([1.0, np.nan]), "holds NaN"),
        (lambda: hpd_interval([1.0, 2.0], level=1.0), "level must be in"),
        (lambda: hpd_interval(lambda q: np.nan), "gave NaN"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("law", [Beta(3, 9), stats.beta(3, 9)])
@pytest.mark.parametrize("interval", [credible_interval, hpd_interval])
def test_a_distribution_stands_for_its_quantile_function(interval, law):
    assert_allclose(interval(law), interval(stats.beta(3, 9).ppf), rtol=1e-7)  # a search's xatol, and scipy's ppf


def test_a_column_with_a_method_of_that_name_is_draws():
    draws = np.random.default_rng(0).normal(size=200)
    assert credible_interval(pandas.Series(draws)) == credible_interval(draws)
