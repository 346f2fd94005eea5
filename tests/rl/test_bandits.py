"""Bandits: choices as they are defined, and regret beside closed forms and bounds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from breadth.rl.bandits import (
    UCB1,
    BernoulliArms,
    EpsilonGreedy,
    GaussianArms,
    Pulls,
    Softmax,
    ThompsonBernoulli,
    ThompsonGaussian,
    lai_robbins_rate,
    play,
    ucb1_regret_bound,
)

TEN_ARMS = np.array([0.1, *[0.05] * 3, *[0.02] * 3, *[0.01] * 3])  # Kaufmann, Korda & Munos 2012, section 4


def uniform_over_best(scores):
    best = np.asarray(scores) == np.max(scores)
    return best / best.sum()


def largest(densities, distributions, low, high):
    """P(draw i is the largest of independent ones), by quadrature."""
    return np.array(
        [
            scipy.integrate.quad(
                lambda x, i=i: densities[i](x) * math.prod(d.cdf(x) for j, d in enumerate(distributions) if j != i),
                low,
                high,
                limit=200,
            )[0]
            for i in range(len(distributions))
        ]
    )


def chances(policy, counts, sums, t):
    """The probability of each arm, from the policy's definition."""
    n, means = len(counts), sums / np.maximum(counts, 1)
    if isinstance(policy, ThompsonBernoulli):
        arms = [scipy.stats.beta(policy.alpha + s, policy.beta + c - s) for c, s in zip(counts, sums, strict=True)]
        return largest([a.pdf for a in arms], arms, 0, 1)
    if isinstance(policy, ThompsonGaussian):
        precision = policy.prior_std**-2 + counts * policy.std**-2
        centre = (policy.prior_mean * policy.prior_std**-2 + sums * policy.std**-2) / precision
        arms = [scipy.stats.norm(m, p**-0.5) for m, p in zip(centre, precision, strict=True)]
        return largest([a.pdf for a in arms], arms, -8, 8)
    if t < n:  # each arm in turn
        return np.eye(n)[t]
    if isinstance(policy, EpsilonGreedy):
        epsilon = policy.epsilon if policy.anneal is None else min(policy.epsilon, policy.anneal / (t + 1))
        return epsilon / n + (1 - epsilon) * uniform_over_best(means)
    if isinstance(policy, Softmax):
        return scipy.special.softmax(means / policy.temperature)
    return uniform_over_best(means + np.sqrt(policy.c * math.log(t) / counts))


def expected_regret(policy, arms, steps):
    """By enumeration of every history, shape (steps,)."""
    n, regret = len(arms.means), np.zeros(steps)
    pays = isinstance(arms, BernoulliArms)

    def visit(t, weight, counts, sums):
        if t == steps:
            return
        for arm, chance in enumerate(chances(policy, counts, sums, t)):
            regret[t] += weight * chance * (arms.means.max() - arms.means[arm])
            mean = arms.means[arm]
            for reward, likely in ((1.0, mean), (0.0, 1 - mean)) if pays else ((mean, 1.0),):
                if chance * likely > 0:
                    one = np.eye(n)[arm]
                    visit(t + 1, weight * chance * likely, counts + one, sums + reward * one)

    visit(0, 1.0, np.zeros(n), np.zeros(n))
    return regret.cumsum()


BERNOULLI, FIXED = BernoulliArms([0.3, 0.8]), GaussianArms([0.2, -0.5], std=0.0)


@pytest.mark.parametrize(
    ("policy", "arms", "steps"),
    [
        (EpsilonGreedy(epsilon=0.3), BERNOULLI, 6),
        (EpsilonGreedy(epsilon=1.0, anneal=2.0), BERNOULLI, 6),
        (EpsilonGreedy(epsilon=0.0), BernoulliArms([0.5, 0.5, 0.6]), 5),  # ties after equal payments
        (Softmax(temperature=0.4), BERNOULLI, 6),
        (UCB1(), BERNOULLI, 6),
        (UCB1(c=0.1), BernoulliArms([0.2, 0.7, 0.4]), 5),
        (ThompsonBernoulli(), BERNOULLI, 4),
        (ThompsonBernoulli(alpha=0.5, beta=2.0), BERNOULLI, 4),
        (ThompsonGaussian(prior_std=2.0, std=0.7), FIXED, 4),
    ],
    ids=str,
)
def test_regret_is_that_of_every_history_enumerated(policy, arms, steps):
    runs = play(policy, arms, steps=steps, runs=40_000, seed=1)
    error = np.maximum(runs.standard_error(), 1e-12)  # the first pulls may be without choice
    assert (np.abs(runs.mean_regret() - expected_regret(policy, arms, steps)) < 4 * error).all()


def test_constant_epsilon_loses_epsilon_times_the_mean_gap_with_each_pull_for_ever():
    arms = BernoulliArms([0.9, 0.3, 0.1])
    curve = play(EpsilonGreedy(epsilon=0.2), arms, steps=3000, runs=300).mean_regret()
    slope = (curve[-1] - curve[1000]) / 1999
    assert slope == pytest.approx(0.2 * (0 + 0.6 + 0.8) / 3, rel=0.02)  # the closed form, once the best arm is known


def test_ucb1_stays_below_its_bound_at_every_step():
    steps = np.arange(1, 5001)
    curve = play(UCB1(), BernoulliArms(TEN_ARMS * 5), steps=5000, runs=50).mean_regret()
    assert (curve < ucb1_regret_bound(TEN_ARMS * 5, steps)).all()


@pytest.mark.slow
def test_thompsons_regret_grows_at_the_least_possible_rate_and_ucb1s_many_times_as_fast():
    def growth(policy):  # per log n, over the last decade
        curve = play(policy, BernoulliArms([0.9, 0.6]), steps=10_000, runs=1000).mean_regret()
        return (curve[-1] - curve[999]) / math.log(10)

    least = lai_robbins_rate([0.9, 0.6])
    # the limit is reached from below, by a term in log log n (Kaufmann, Korda & Munos 2012, theorem 2)
    assert 0.6 * least < growth(ThompsonBernoulli()) < 1.2 * least
    assert growth(UCB1()) > 4 * least


def test_thompson_loses_less_than_ucb1_and_both_less_than_playing_at_random():
    arms = BernoulliArms(TEN_ARMS * 5)
    lost = {p: play(p, arms, steps=2000, runs=100).mean_regret()[-1] for p in (ThompsonBernoulli(), UCB1())}
    at_random = 2000 * (arms.means.max() - arms.means).mean()
    assert lost[ThompsonBernoulli()] < 0.5 * lost[UCB1()] < 0.5 * at_random


def test_bounds_are_the_theorems_sums():
    gaps = [0.5 - m for m in (0.1, 0.4)]
    bound = sum(8 * math.log(50) / gap for gap in gaps) + (1 + math.pi**2 / 3) * sum(gaps)
    assert ucb1_regret_bound([0.1, 0.5, 0.4, 0.5], 50) == pytest.approx(bound, rel=1e-14)
    best = TEN_ARMS.max()
    kl = scipy.special.rel_entr(TEN_ARMS, best) + scipy.special.rel_entr(1 - TEN_ARMS, 1 - best)
    rate = ((best - TEN_ARMS[1:]) / kl[1:]).sum()
    assert lai_robbins_rate(TEN_ARMS) == pytest.approx(rate, rel=1e-12)  # the sum's terms cancel to a tenth
    assert lai_robbins_rate([0.3, 0.3]) == ucb1_regret_bound([0.3, 0.3], 7) == 0  # nothing to lose


def test_counts_and_regret_of_a_run_belong_together_and_seeds_reproduce():
    arms = GaussianArms([1e4, 1e4 - 1, 1e4 - 3])
    runs = play(ThompsonGaussian(prior_mean=1e4, prior_std=10.0), arms, steps=50, runs=7, seed=3)
    np.testing.assert_allclose(runs.regret[:, -1], runs.counts @ [0, 1, 3])
    assert (runs.counts.sum(1) == 50).all()
    again = play(ThompsonGaussian(prior_mean=1e4, prior_std=10.0), arms, steps=50, runs=7, seed=3)
    np.testing.assert_array_equal(again.regret, runs.regret)
    assert math.isnan(play(UCB1(), arms, steps=1, runs=1).standard_error()[0])


@pytest.mark.parametrize(
    "policy", [EpsilonGreedy(), Softmax(), UCB1(), ThompsonBernoulli(), ThompsonGaussian()], ids=str
)
def test_a_single_arm_and_arms_alike_cost_nothing(policy):
    for means in ([0.4], [0.4, 0.4]):
        assert not play(policy, BernoulliArms(means), steps=20, runs=5).regret.any()


def test_equals_are_chosen_alike_often():
    seen = Pulls(np.ones((30_000, 3)), np.array([[1.0, 0.0, 1.0]]).repeat(30_000, 0), 3)
    arms = EpsilonGreedy(epsilon=0.0).choose(seen, np.random.default_rng(0))
    counts = np.bincount(arms, minlength=3)
    assert counts[1] == 0
    assert abs(counts[0] - 15_000) < 4 * math.sqrt(30_000) / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EpsilonGreedy(epsilon=1.5), r"epsilon must be in \[0, 1\], got 1.5"),
        (lambda: EpsilonGreedy(epsilon=math.nan), "epsilon must be"),
        (lambda: EpsilonGreedy(anneal=-1.0), "anneal must be >= 0"),
        (lambda: Softmax(temperature=0.0), "temperature must be > 0"),
        (lambda: UCB1(c=-1.0), "c must be >= 0"),
        (lambda: ThompsonBernoulli(alpha=0.0), "alpha and beta must be > 0"),
        (lambda: ThompsonGaussian(std=0.0), "prior_std and std must be > 0"),
        (lambda: BernoulliArms([0.5, 1.1]), r"in \[0, 1\]"),
        (lambda: BernoulliArms([]), "one finite number for each arm"),
        (lambda: GaussianArms([math.nan]), "one finite number for each arm"),
        (lambda: GaussianArms([0.0], std=-1.0), "std must be >= 0"),
        (lambda: play(UCB1(), BERNOULLI, steps=0), "at least 1, got 0"),
        (lambda: play(ThompsonBernoulli(), GaussianArms([5.0, 4.0])), "take ThompsonGaussian"),
        (lambda: lai_robbins_rate([0.0, 0.5]), r"must be in \(0, 1\)"),
        (lambda: ucb1_regret_bound([0.1, 0.5], 0), "steps must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_policy_of_ones_own_needs_one_method():
    class Last:
        def choose(self, seen, rng):
            return np.full(len(seen.counts), seen.counts.shape[1] - 1)

    runs = play(Last(), BernoulliArms([0.9, 0.4]), steps=10, runs=3)
    np.testing.assert_allclose(runs.mean_regret(), 0.5 * np.arange(1, 11))
    assert list(itertools.chain(*runs.counts)) == [0, 10] * 3
