"""Multi-armed bandits: how to explore, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pulls:
    """What a policy knows: for each run and arm, how often it was pulled and what it paid.

    Attributes:
        counts: pulls, shape (runs, arms).
        sums: rewards, shape (runs, arms).
        t: pulls of each run so far.
    """

    counts: Array
    sums: Array
    t: int

    def means(self) -> Array:
        """Mean reward of each arm, 0 for those not pulled yet."""
        return self.sums / np.maximum(self.counts, 1)


class Policy(Protocol):
    """Which arm to pull next, for many runs at once."""

    def choose(self, seen: Pulls, rng: Generator) -> NDArray[np.intp]:
        """An arm for each run, shape (runs,)."""
        ...


@dataclass(frozen=True)
class BernoulliArms:
    """Arms that pay 1 with probability `means[a]` and 0 otherwise.

    Args:
        means: in [0, 1], one for each arm.

    Raises:
        ValueError: if a mean is outside [0, 1], or there is none.
    """

    means: Array

    def __init__(self, means: ArrayLike) -> None:
        object.__setattr__(self, "means", _row("means", means))
        if not ((self.means >= 0) & (self.means <= 1)).all():
            raise ValueError(f"means are probabilities, in [0, 1], got {self.means}")

    def draw(self, arms: NDArray[np.intp], rng: Generator) -> Array:
        return (rng.random(len(arms)) < self.means[arms]).astype(np.float64)


@dataclass(frozen=True)
class GaussianArms:
    """Arms that pay N(means[a], std^2).

    Args:
        means: finite, one for each arm.
        std: >= 0.

    Raises:
        ValueError: if a mean is not finite, there is none, or std < 0.
    """

    means: Array
    std: float

    def __init__(self, means: ArrayLike, std: float = 1.0) -> None:
        if not std >= 0:
            raise ValueError(f"std must be >= 0, got {std}")
        object.__setattr__(self, "means", _row("means", means))
        object.__setattr__(self, "std", float(std))

    def draw(self, arms: NDArray[np.intp], rng: Generator) -> Array:
        return self.means[arms] + self.std * rng.standard_normal(len(arms))


Arms = BernoulliArms | GaussianArms


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
    """A random arm with probability epsilon_t, else the one with the best mean; each is pulled once at first.

    Args:
        epsilon: in [0, 1].
        anneal: epsilon_t = min(epsilon, anneal / t); c K / d^2 with epsilon 1 is the epsilon_n-greedy of Auer et al.
            None keeps epsilon, whose regret then grows linearly, by epsilon times the mean gap a pull.

    Raises:
        ValueError: if epsilon is outside [0, 1], or anneal < 0.

    References: Sutton & Barto 2018, section 2.4; Auer, Cesa-Bianchi & Fischer 2002, Machine Learning 47, theorem 3.
    Peer: expected regret by enumeration of every history of a few pulls, within 4 standard errors (B).
    In production: use it where the mean payments are all that is kept; ThompsonBernoulli loses less.
    """

    epsilon: float = 0.1
    anneal: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must be in [0, 1], got {self.epsilon}")
        if self.anneal is not None and not self.anneal >= 0:
            raise ValueError(f"anneal must be >= 0, or None to keep epsilon, got {self.anneal}")

    def choose(self, seen: Pulls, rng: Generator) -> NDArray[np.intp]:
        runs, n_arms = seen.counts.shape
        if seen.t < n_arms:
            return np.full(runs, seen.t)
        epsilon = self.epsilon if self.anneal is None else min(self.epsilon, self.anneal / (seen.t + 1))
        at_random = rng.random(runs) < epsilon
        return np.where(at_random, rng.integers(n_arms, size=runs), _best(seen.means(), rng))


@dataclass(frozen=True, kw_only=True)
class Softmax:
    """An arm with probability proportional to exp(mean / temperature); each is pulled once at first.

    Args:
        temperature: > 0, in the units of the rewards.

    Raises:
        ValueError: if temperature <= 0.

    References: Sutton & Barto 2018, eq. 2.11 with the means as preferences; Luce 1959.
    Peer: expected regret by enumeration of every history of a few pulls, within 4 standard errors (B).
    In production: prefer the others: a temperature that suits the gaps has to be known.
    """

    temperature: float = 0.1

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be > 0, got {self.temperature}; EpsilonGreedy(epsilon=0) is its limit")

    def choose(self, seen: Pulls, rng: Generator) -> NDArray[np.intp]:
        runs, n_arms = seen.counts.shape
        if seen.t < n_arms:
            return np.full(runs, seen.t)
        return (seen.means() / self.temperature + rng.gumbel(size=(runs, n_arms))).argmax(1)  # Gumbel's maximum


@dataclass(frozen=True, kw_only=True)
class UCB1:
    """The arm with the best upper bound mean + sqrt(c log t / n); each is pulled once at first.

    Args:
        c: 2 is UCB1, whose regret is bounded for rewards in [0, 1]; for others multiply by their range squared.

    Raises:
        ValueError: if c < 0.

    References: Auer, Cesa-Bianchi & Fischer 2002, Machine Learning 47, figure 1 and theorem 1.
    Peer: expected regret by enumeration of every history of a few pulls, within 4 standard errors (B).
    In production: use it where choices must not be random; c = 0.5 explores less and loses less in practice.
    """

    c: float = 2.0

    def __post_init__(self) -> None:
        if not self.c >= 0:
            raise ValueError(f"c must be >= 0, got {self.c}")

    def choose(self, seen: Pulls, rng: Generator) -> NDArray[np.intp]:
        runs, n_arms = seen.counts.shape
        if seen.t < n_arms:
            return np.full(runs, seen.t)
        return _best(seen.means() + np.sqrt(self.c * math.log(seen.t) / seen.counts), rng)


@dataclass(frozen=True, kw_only=True)
class ThompsonBernoulli:
    """An arm with the probability that it is the best one, for rewards of 0 and 1: Beta posteriors.

    A reward between 0 and 1 counts as that share of a success.

    Args:
        alpha, beta: of the prior Beta(alpha, beta), > 0; 1 and 1 are uniform.

    Raises:
        ValueError: if alpha or beta <= 0; from `choose`, if rewards were outside [0, 1].

    References: Thompson 1933, Biometrika 25; Agrawal & Goyal 2012, COLT, algorithm 1.
    Peer: expected regret by enumeration of every history of a few pulls, within 4 standard errors (B).
    In production: the default for clicks and conversions.
    """

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not min(self.alpha, self.beta) > 0:
            raise ValueError(f"alpha and beta must be > 0, got {self.alpha} and {self.beta}")

    def choose(self, seen: Pulls, rng: Generator) -> NDArray[np.intp]:
        if not ((seen.sums >= 0) & (seen.sums <= seen.counts)).all():
            raise ValueError("ThompsonBernoulli needs rewards in [0, 1]; for others take ThompsonGaussian")
        return rng.beta(self.alpha + seen.sums, self.beta + seen.counts - seen.sums).argmax(1)


@dataclass(frozen=True, kw_only=True)
class ThompsonGaussian:
    """An arm with the probability that it is the best one, for normal rewards of known spread: normal posteriors.

    Args:
        prior_mean, prior_std: of each arm's mean before it is pulled; prior_std > 0.
        std: of a reward around its arm's mean, > 0.

    Raises:
        ValueError: if prior_std or std <= 0.

    References: Agrawal & Goyal 2013, AISTATS, section 2.2; the posterior is Gelman et al. 2013, eq. 2.12.
    Peer: expected regret by enumeration of every history of a few pulls, within 4 standard errors (B).
    In production: use it for payments whose spread is known; a std that is too small stops exploring too soon.
    """

    prior_mean: float = 0.0
    prior_std: float = 1.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not min(self.prior_std, self.std) > 0:
            raise ValueError(f"prior_std and std must be > 0, got {self.prior_std} and {self.std}")

    def choose(self, seen: Pulls, rng: Generator) -> NDArray[np.intp]:
        precision = self.prior_std**-2 + seen.counts / self.std**2
        mean = (self.prior_mean * self.prior_std**-2 + seen.sums / self.std**2) / precision
        return (mean + rng.standard_normal(mean.shape) / np.sqrt(precision)).argmax(1)


@dataclass(frozen=True)
class BanditRuns:
    """What happened in each run.

    Attributes:
        regret: cumulative pseudo-regret sum_{s <= t} (mean of the best arm - mean of the arm pulled), (runs, steps).
        counts: pulls of each arm, shape (runs, arms).
    """

    regret: Array
    counts: NDArray[np.int64]

    def mean_regret(self) -> Array:
        """The regret curve: the mean over runs after each step, shape (steps,)."""
        return self.regret.mean(0)

    def standard_error(self) -> Array:
        """Of `mean_regret`, shape (steps,); NaN for one run."""
        runs = len(self.regret)
        return self.regret.std(0, ddof=1) / math.sqrt(runs) if runs > 1 else np.full(self.regret.shape[1], np.nan)


def play(policy: Policy, arms: Arms, *, steps: int = 1000, runs: int = 2000, seed: int = 0) -> BanditRuns:
    """Play a policy on arms it does not know, in many independent runs side by side.

    The regret is of means, not of what happened to be paid, so that it has less noise and the same expectation.

    Args:
        policy: `EpsilonGreedy`, `Softmax`, `UCB1`, `ThompsonBernoulli` or `ThompsonGaussian`.
        arms: `BernoulliArms` or `GaussianArms`.
        steps: pulls of each run, >= 1.
        runs: >= 1.
        seed: of rewards and choices.

    Returns:
        The regret of each run after each step, and how often each arm was pulled.

    Raises:
        ValueError: if steps or runs is below 1, or the policy cannot take such rewards.

    Cost: O(steps runs arms) in NumPy; memory 8 runs steps bytes.
    References: Auer, Cesa-Bianchi & Fischer 2002, Machine Learning 47, section 1 (regret); Lattimore & Szepesvari
        2020, section 4.8 (pseudo-regret).
    Peer: expected regret by enumeration of every history of a few pulls, within 4 standard errors (B).
    In production: use ThompsonBernoulli for clicks and conversions, UCB1 where choices must not be random.
    """
    if min(steps, runs) < 1:
        raise ValueError(f"steps and runs must be at least 1, got {steps} and {runs}")
    rng = np.random.default_rng(seed)
    shape = (runs, len(arms.means))
    counts, sums, each = np.zeros(shape), np.zeros(shape), np.arange(runs)
    gaps = arms.means.max() - arms.means
    lost = np.empty((runs, steps))
    for t in range(steps):
        arm = policy.choose(Pulls(counts, sums, t), rng)
        counts[each, arm] += 1
        sums[each, arm] += arms.draw(arm, rng)
        lost[:, t] = gaps[arm]
    return BanditRuns(lost.cumsum(1), counts.astype(np.int64))


def ucb1_regret_bound(means: ArrayLike, steps: ArrayLike) -> Array:
    """Upper bound of UCB1's expected regret on rewards in [0, 1]: 8 sum log n / gap + (1 + pi^2/3) sum gap.

    Args:
        means: of the arms, in [0, 1]; sums are over those below the best.
        steps: n >= 1, any shape.

    Returns:
        The bound, shape of steps.

    Raises:
        ValueError: if a mean is outside [0, 1], there is none, or steps < 1.

    References: Auer, Cesa-Bianchi & Fischer 2002, Machine Learning 47, theorem 1.
    Peer: the theorem's sum, arm by arm (B).
    """
    means = BernoulliArms(means).means
    steps = np.asarray(steps, np.float64)
    if not (steps >= 1).all():
        raise ValueError(f"steps must be at least 1, got {steps.min()}")
    gaps = (means.max() - means)[means < means.max()]
    return 8 * np.log(steps) * (1 / gaps).sum() + (1 + math.pi**2 / 3) * gaps.sum()


def lai_robbins_rate(means: ArrayLike) -> float:
    """The least regret per log n that any consistent policy can have on Bernoulli arms: sum gap / KL(mean, best).

    Args:
        means: of the arms, in (0, 1).

    Returns:
        The rate, in the rewards' unit; 0 where all arms are alike.

    Raises:
        ValueError: if a mean is outside (0, 1), or there is none.

    References: Lai & Robbins 1985, Advances in Applied Mathematics 6, theorem 2.
    Peer: scipy.special.rel_entr, 1e-14 relative (A).
    """
    means = _row("means", means)
    if not ((means > 0) & (means < 1)).all():
        raise ValueError(f"means must be in (0, 1), got {means}")
    best, p = means.max(), means[means < means.max()]
    divergence = p * np.log(p / best) + (1 - p) * np.log((1 - p) / (1 - best))
    return float(((best - p) / divergence).sum())


def _best(scores: Array, rng: Generator) -> NDArray[np.intp]:
    """The arm of the largest score in each run, one of the equals at random."""
    best = scores == scores.max(1, keepdims=True)
    if best.sum() == len(scores):  # no ties, so nothing to draw
        return best.argmax(1)
    return np.where(best, rng.random(scores.shape), -1).argmax(1)


def _row(name: str, values: ArrayLike) -> Array:
    row = np.asarray(values, np.float64)
    if row.ndim != 1 or row.size == 0 or not np.isfinite(row).all():
        raise ValueError(f"{name} must be one finite number for each arm, got {values}")
    return row
