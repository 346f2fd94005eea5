"""Entropies and divergences against scipy, scikit-learn and mpmath; identities, bounds and invariances."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats
from scipy.spatial.distance import jensenshannon

from breadth.stats.distributions import MultivariateNormal, Normal, Poisson
from breadth.stats.divergence import (
    cross_entropy,
    cross_entropy_with_logits,
    entropy,
    gini_impurity,
    jensen_shannon_divergence,
    kl_divergence,
    total_variation,
)

quick = settings(max_examples=30, deadline=None)


@st.composite
def pairs(draw):
    k = draw(st.integers(1, 8))
    counts = st.lists(st.integers(0, 50), min_size=k, max_size=k).filter(any)
    p, q = (np.array(draw(counts), dtype=float) for _ in range(2))
    return p / p.sum(), q / q.sum()


@quick
@given(pairs())
def test_bounds_symmetries_and_the_identity_of_cross_entropy(pair):
    p, q = pair
    k = p.size
    h, kl, ce = entropy(p), kl_divergence(p, q), cross_entropy(p, q)
    assert 0 <= h <= np.log(k) + 1e-12 and 0 <= gini_impurity(p) <= 1 - 1 / k + 1e-12
    assert gini_impurity(p) <= h + 1e-12  # 1 - p <= -log p
    assert kl >= 0
    assert_allclose(ce, h + kl, rtol=1e-12, atol=1e-14)
    assert_allclose(cross_entropy(p, p), h, rtol=1e-12, atol=1e-15)
    assert kl_divergence(p, p) == 0
    js, tv = jensen_shannon_divergence(p, q), total_variation(p, q)
    assert -1e-16 <= js <= np.log(2) + 1e-12 and 0 <= tv <= 1 + 1e-12
    assert_allclose(js, jensen_shannon_divergence(q, p), rtol=1e-12, atol=1e-16)
    assert np.isinf(kl) or tv <= np.sqrt(kl / 2) + 1e-12  # Pinsker
    order = np.random.default_rng(0).permutation(k)
    assert_allclose(kl_divergence(p[order], q[order]), kl, rtol=1e-12, atol=1e-15)
    assert_allclose(entropy(p, base=2) * np.log(2), h, rtol=1e-13)
    with np.errstate(divide="ignore"):
        assert_allclose(cross_entropy_with_logits(p, np.log(q) + 7), ce, rtol=1e-12, atol=1e-14)


def test_they_equal_scipys_along_any_axis():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), (3, 4)), rng.dirichlet(np.ones(6), (3, 4))
    for axis in (-1, 1):
        a, b = (np.moveaxis(v, -1, axis) for v in (p, q))
        assert_allclose(entropy(a, axis=axis, base=2), stats.entropy(p, axis=-1, base=2), rtol=1e-12)
        assert_allclose(kl_divergence(a, b, axis=axis), stats.entropy(p, q, axis=-1), rtol=1e-12)
        assert_allclose(cross_entropy(a, b, axis=axis), stats.entropy(p, axis=-1) + stats.entropy(p, q, axis=-1))
        assert_allclose(jensen_shannon_divergence(a, b, axis=axis, base=2), jensenshannon(p, q, base=2, axis=-1) ** 2)
        assert_allclose(gini_impurity(a, axis=axis), 1 - (p**2).sum(-1), rtol=1e-12)
        logits = np.log(b)
        theirs = -(p * special.log_softmax(np.log(q), axis=-1)).sum(-1)
        assert_allclose(cross_entropy_with_logits(a, logits, axis=axis), theirs, rtol=1e-12)
    assert_allclose(kl_divergence(p[0, 0], q), stats.entropy(np.broadcast_to(p[0, 0], q.shape), q, axis=-1))


def test_gini_impurity_equals_that_of_a_tree():
    from sklearn.tree import DecisionTreeClassifier

    y = np.repeat([0, 1, 2], [5, 11, 1])
    tree = DecisionTreeClassifier(max_depth=1).fit(np.arange(17)[:, None], y).tree_
    assert_allclose(gini_impurity(np.bincount(y) / y.size), tree.impurity[0], rtol=1e-12)


@pytest.mark.parametrize("gap", [1e-3, 1e-7, 1e-12])
def test_digits_survive_where_distributions_nearly_agree_or_are_nearly_certain(gap):
    p = np.array([0.25, 0.5, 0.25])
    q = np.array([0.25 + gap, 0.5 - 2 * gap, 0.25 + gap])
    with mp.workdps(50):
        a, b = ([mp.mpf(v) / mp.fsum(map(mp.mpf, w)) for v in w] for w in (p, q))
        truth = mp.fsum(u * mp.log(u / v) for u, v in zip(a, b, strict=True))
    # the sums of p and of q may differ in the last digit, whose square is what this can move
    assert_allclose(kl_divergence(p, q), float(truth), rtol=1e-10, atol=1e-32)
    assert_allclose(gini_impurity([1 - gap, gap]), 2 * gap * (1 - gap), rtol=1e-3 * gap + 1e-15)
    loss = cross_entropy_with_logits(0 * np.int64(1), np.array([0.0, np.log(gap)]))
    assert_allclose(loss, float(mp.log1p(mp.exp(mp.mpf(float(np.log(gap)))))), rtol=1e-13)


def test_huge_logits_neither_overflow_nor_round_to_zero():
    assert cross_entropy_with_logits(1, [1e4, 0.0]) == 1e4
    assert_allclose(cross_entropy_with_logits(0, [1e4, 1e4 - 100]), np.exp(-100), rtol=1e-12)
    assert cross_entropy_with_logits([1.0, 0.0], [0.0, -np.inf]) == 0
    assert cross_entropy_with_logits([0.5, 0.5], [0.0, -np.inf]) == np.inf
    assert_allclose(cross_entropy_with_logits([0, 1], [[0.0, 0.0], [0.0, 0.0]], base=2), [1, 1])


def test_what_q_holds_impossible_costs_infinity():
    p, q = [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]
    assert kl_divergence(p, q) == cross_entropy(p, q) == np.inf
    assert kl_divergence([1, 0], [1, 0]) == 0
    assert_allclose(kl_divergence([1.0, 0.0], [0.5, 0.5], base=2), 1)
    assert_allclose(jensen_shannon_divergence([1, 0], [0, 1], base=2), 1)
    assert total_variation([1, 0], [0, 1]) == 1


def test_total_variation_is_the_largest_difference_over_all_events():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), 2)
    events = [np.array([e >> i & 1 for i in range(6)]) for e in range(64)]
    assert_allclose(total_variation(p, q), max(abs(e @ (p - q)) for e in events), rtol=1e-14)


def test_the_closed_form_of_normals_is_the_integral():
    for p, q in [(Normal(0, 1), Normal(1, 2)), (Normal(5, 0.1), Normal(5.01, 0.1)), (Normal(0, 3), Normal(-2, 0.5))]:
        with mp.workdps(30):
            v = (mp.mpf(p.std) / mp.mpf(q.std)) ** 2
            d = (mp.mpf(p.mean) - mp.mpf(q.mean)) / mp.mpf(q.std)
            closed = (v - 1 - mp.log(v) + d * d) / 2
            ends = [p.mean + p.std * z for z in (-30, -8, -2, 0, 2, 8, 30)]
            integral = mp.quad(
                lambda t, p=p, q=q: (
                    mp.npdf(t, p.mean, p.std)
                    * (
                        mp.log(q.std)
                        - mp.log(p.std)
                        + ((t - q.mean) / q.std) ** 2 / 2
                        - ((t - p.mean) / p.std) ** 2 / 2
                    )
                ),
                ends,
            )
        assert_allclose(kl_divergence(p, q), float(closed), rtol=1e-12)
        assert_allclose(float(integral), float(closed), rtol=1e-10)


def test_the_closed_form_of_multivariate_normals_equals_the_textbooks():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 4))
    p, q = (
        MultivariateNormal(rng.normal(size=4), a @ a.T + np.eye(4)),
        MultivariateNormal(np.ones(4), b @ b.T + np.eye(4)),
    )
    inverse, d = np.linalg.inv(q.cov), q.mean - p.mean
    log_det = np.linalg.slogdet(q.cov)[1] - np.linalg.slogdet(p.cov)[1]
    assert_allclose(kl_divergence(p, q), 0.5 * (np.trace(inverse @ p.cov) + d @ inverse @ d - 4 + log_det), rtol=1e-12)
    assert kl_divergence(p, q) != kl_divergence(q, p)
    assert kl_divergence(p, p) < 1e-25
    move = rng.normal(size=(4, 4))
    moved = [MultivariateNormal(move @ n.mean + 3, move @ n.cov @ move.T) for n in (p, q)]
    assert_allclose(kl_divergence(*moved), kl_divergence(p, q), rtol=1e-8)
    with pytest.raises(TypeError, match="of one kind, got MultivariateNormal and Normal"):
        kl_divergence(p, Normal(0, 1))
    with pytest.raises(ValueError, match="as many dimensions, got 4 and 1"):
        kl_divergence(p, MultivariateNormal([0.0], [[1.0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: entropy([0.5, 0.6]), "p must sum to 1 along axis -1, got a sum of 1.1; divide by it"),
        (lambda: entropy([1.5, -0.5]), "negative"),
        (lambda: entropy([np.nan, 1]), "NaN"),
        (lambda: entropy([]), "at least one outcome"),
        (lambda: entropy([0.5, 0.5], base=1), "base must be > 1"),
        (lambda: kl_divergence([1.0], [0.5, 0.5]), "as many outcomes, got 1 and 2"),
        (lambda: cross_entropy([0.5, 0.5], [0.5, 0.4]), "q must sum to 1"),
        (lambda: cross_entropy_with_logits(2, [0.0, 1.0]), r"p as classes must lie in \[0, 2\)"),
        (lambda: cross_entropy_with_logits(0, [0.0, np.nan]), "no NaN"),
        (lambda: cross_entropy_with_logits(0, [-np.inf, -np.inf]), "at least one must be possible"),
        (lambda: cross_entropy_with_logits([1.0], [0.0, 1.0]), "as many classes, got 1 and 2"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_float32_probabilities_need_not_sum_to_one_in_float64():
    p = np.random.default_rng(0).dirichlet(np.ones(1000)).astype(np.float32)
    assert_allclose(entropy(p), stats.entropy(p.astype(np.float64)), rtol=1e-5)


def test_of_other_distributions_the_way_by_draws_is_named():
    with pytest.raises(TypeError, match="got Poisson and Poisson; of others kl_monte_carlo"):
        kl_divergence(Poisson(2), Poisson(3))
