"""Divergence by Monte Carlo against closed forms, mutual information against scikit-learn."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.stats.distributions import MultivariateNormal, Normal
from breadth.stats.divergence import entropy, kl_divergence
from breadth.stats.information import kl_monte_carlo, mutual_information, mutual_information_of_samples

quick = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("q", [Normal(0.1, 1.0), Normal(1.0, 1.3)])
def test_estimators_agree_with_the_closed_form_and_k3_varies_least_when_near(q):
    p = Normal(0, 1)
    x = p.sample(0, 40_000)
    truth = kl_divergence(p, q)
    found = {k: kl_monte_carlo(p.logpdf(x), q.logpdf(x), estimator=k) for k in ("k1", "k2", "k3")}
    for k in ("k1", "k3"):
        assert abs(found[k].estimate - truth) < 5 * found[k].se
    second = 0.5 * np.mean((q.logpdf(x) - p.logpdf(x)) ** 2)
    assert_allclose(found["k2"].estimate, second, rtol=1e-12)
    if truth < 0.01:
        assert found["k3"].se < found["k1"].se / 5 and abs(found["k2"].estimate / truth - 1) < 0.1
    else:
        assert abs(found["k2"].estimate - truth) > 5 * found["k2"].se  # biased when far
    assert_allclose(kl_monte_carlo(p.logpdf(x), q.logpdf(x), base=2).estimate * np.log(2), found["k3"].estimate)


@quick
@given(st.floats(-30, 30))
def test_k3_has_its_digits_for_any_difference(d):
    ours = kl_monte_carlo([0.0, 0.0], [d, d]).estimate
    with mp.workdps(60):
        truth = mp.exp(mp.mpf(d)) - 1 - mp.mpf(d)
    assert ours >= 0
    if abs(d) > 1e-15:  # below, 60 digits cancel in the reference
        assert_allclose(ours, float(truth), rtol=1e-12)


def test_what_q_holds_impossible_is_infinite_and_samples_not_of_p_are_refused():
    for k in ("k1", "k2", "k3"):
        assert kl_monte_carlo([-1.0, -1.0], [-1.0, -np.inf], estimator=k).estimate == np.inf
    for arguments, message in [
        (([-np.inf, 0], [0, 0]), "log_p must be finite"),
        (([0, 0], [np.nan, 0]), "log_q holds NaN"),
        (([0], [0]), r"one shape \(n >= 2,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            kl_monte_carlo(*arguments)
    with pytest.raises(ValueError, match="estimator must be"):
        kl_monte_carlo([0, 0], [0, 0], estimator="k4")


@quick
@given(st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=2, max_size=5))
def test_mutual_information_is_bounded_by_both_entropies_and_equals_its_definition(rows):
    table = np.array(rows, dtype=float)
    if not table.any():
        return
    joint = table / table.sum()
    hx, hy, hxy = entropy(joint.sum(1)), entropy(joint.sum(0)), entropy(joint.ravel())
    ours = mutual_information(table)
    assert -1e-15 <= ours <= min(hx, hy) + 1e-12
    assert_allclose(ours, hx + hy - hxy, atol=1e-13)
    assert_allclose(mutual_information(1e-300 * table.T), ours, atol=1e-13)
    product = np.outer(joint.sum(1), joint.sum(0))
    assert mutual_information(product) < 1e-14


def test_information_of_labels_equals_scikit_learns():
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, 500)
    y = (x + rng.integers(0, 9, 500)) % 7
    assert_allclose(mutual_information_of_samples(x, y), mutual_info_score(x, y), rtol=1e-12)
    names = np.array(list("abcdefg"))[y]
    assert_allclose(mutual_information_of_samples(x.astype(str), names), mutual_info_score(x, y), rtol=1e-12)
    assert_allclose(mutual_information_of_samples(y, y, base=2), entropy(np.bincount(y) / 500, base=2), rtol=1e-12)
    assert mutual_information_of_samples([1, 1], [1, 2]) == 0
    with pytest.warns(UserWarning, match="discrete' gives log 3 whatever they share"):
        assert_allclose(mutual_information_of_samples([0.1, 0.2, 0.3], [1.5, 0.7, 0.1]), np.log(3))


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_neighbours_see_the_information_of_a_bivariate_normal_and_equal_scikit_learns(rho):
    from sklearn.feature_selection import mutual_info_regression

    x = MultivariateNormal([0, 0], [[1, rho], [rho, 1]]).sample(0, 1500)
    ours = mutual_information_of_samples(x[:, 0], x[:, 1], method="nearest")
    assert abs(ours + 0.5 * np.log(1 - rho**2)) < 0.08
    # scikit-learn scales by the standard deviation and adds noise of 1e-10; it clips at 0
    scaled = (x / x.std(0)).T
    theirs = mutual_info_regression(scaled[0][:, None], scaled[1], random_state=0)[0]
    assert_allclose(max(mutual_information_of_samples(*scaled, method="nearest"), 0), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mutual_information([1, 2]), "table must be 2-D"),
        (lambda: mutual_information([[0, 0]]), "positive sum"),
        (lambda: mutual_information_of_samples([1], [1, 2]), "as many observations"),
        (lambda: mutual_information_of_samples([1], [1], method="bins"), "method must be"),
        (lambda: mutual_information_of_samples([1.0, 2], [1.0, np.nan], method="nearest"), "y must be finite"),
        (
            lambda: mutual_information_of_samples([1.0, 2], [1.0, 2], method="nearest"),
            r"n_neighbors must be .* \[1, 1\]",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
