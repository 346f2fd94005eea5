"""Bayes' rule over hypotheses and over test results, and intervals of a posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from breadth.stats import arguments
from breadth.stats.distributions import Distribution

Floats = NDArray[np.float64]
Law = ArrayLike | Distribution | Callable[[Any], Any]  # draws, a distribution, or its quantile function


class Posterior(NamedTuple):
    """Probabilities of hypotheses once the data are seen."""

    posterior: Floats  # (k, ...), sums to 1 over k
    log_posterior: Floats
    log_evidence: Floats  # (...), log P(data)


class BaseRate(NamedTuple):
    """What a result of a test says; each of the arguments' common shape. NaN: such a result cannot occur."""

    ppv: Floats  # P(condition | positive)
    npv: Floats  # P(no condition | negative)
    prior_odds: Floats
    likelihood_ratio_positive: Floats  # sensitivity / (1 - specificity)
    likelihood_ratio_negative: Floats  # (1 - sensitivity) / specificity
    odds_positive: Floats  # prior odds times the ratio: ppv / (1 - ppv)
    odds_negative: Floats


class PosteriorInterval(NamedTuple):
    """Two ends that hold `level` of a posterior; each of shape (...)."""

    low: Any
    high: Any


def bayes_rule(prior: ArrayLike, likelihood: ArrayLike, *, log: bool = False) -> Posterior:
    """P(h | data) = P(data | h) P(h) / P(data) for each of k hypotheses, with P(data) = sum_h P(data | h) P(h).

    Args:
        prior: P(h) >= 0, shape (k,); sums to 1.
        likelihood: P(data | h) >= 0, shape (k, ...); of densities or products of many any scale will do.
        log: prior and likelihood are given as natural logarithms (-inf is 0), which do not underflow.

    Returns:
        Posterior, of shape (k, ...); its posterior is the prior of the next, independent data.

    Raises:
        ValueError: if shapes disagree, prior does not sum to 1 within 1e-9, values are negative or NaN, or no
            hypothesis of positive prior gives data a positive likelihood.

    Cost: O(k) per data set.
    References: Bayes 1763; Gelman et al. 2013, Bayesian Data Analysis, eq. 1.1.
    Peer: exact fractions, 1e-15 (B); scikit-learn's CategoricalNB.predict_proba, 1e-12 (A).
    In production: give logarithms where a likelihood is a product over observations.
    """
    lp, ll = np.asarray(prior, np.float64), np.asarray(likelihood, np.float64)
    if lp.ndim != 1 or not lp.size or ll.ndim == 0 or len(ll) != len(lp):
        raise ValueError(f"prior must have shape (k >= 1,) and likelihood (k, ...), got {lp.shape} and {ll.shape}")
    for name, values in (("prior", lp), ("likelihood", ll)):
        if np.isnan(values).any() or (values == np.inf).any() or (not log and (values < 0).any()):
            raise ValueError(f"{name} must be {'< inf' if log else '>= 0 and finite'} without NaN, got {values!r}")
    if not log:
        with np.errstate(divide="ignore"):
            lp, ll = np.log(lp), np.log(ll)
    total = float(np.exp(logsumexp(lp)))
    if not abs(total - 1) <= 1e-9:
        raise ValueError(f"prior must sum to 1, got {total!r}; divide it by its sum")
    joint = lp.reshape(-1, *(1,) * (ll.ndim - 1)) + ll
    evidence = logsumexp(joint, axis=0)
    if np.isneginf(evidence).any():
        raise ValueError("likelihood is 0 under every hypothesis of positive prior: no posterior exists")
    log_posterior = joint - evidence
    return Posterior(np.exp(log_posterior), log_posterior, np.asarray(evidence))


def base_rate(sensitivity: ArrayLike, specificity: ArrayLike, prevalence: ArrayLike) -> BaseRate:
    """What a positive and a negative result say of a condition, given how common it is.

    ppv = sens prev / (sens prev + (1 - spec)(1 - prev)); in odds: posterior odds = prior odds × likelihood ratio, with
    ratio sens / (1 - spec) for a positive result and (1 - sens) / spec for a negative one.

    Args:
        sensitivity: P(positive | condition), in [0, 1].
        specificity: P(negative | no condition), in [0, 1].
        prevalence: P(condition), in [0, 1]. The three broadcast.

    Returns:
        BaseRate. At sensitivity and specificity 0.99 and prevalence 0.001 a positive result is right in 9 % of cases.

    Raises:
        ValueError: if an argument is NaN or outside [0, 1].

    Cost: O(1) an entry.
    References: Meehl & Rosen 1955, Psychological Bulletin 52; Altman & Bland 1994, BMJ 309:102.
    Peer: `bayes_rule` on two hypotheses; counts of a confusion matrix in exact fractions (B).
    In production: prevalence is that of the people tested, not of the population.
    """
    given = {"sensitivity": sensitivity, "specificity": specificity, "prevalence": prevalence}
    for name, value in given.items():
        if not ((np.asarray(value, np.float64) >= 0) & (np.asarray(value, np.float64) <= 1)).all():
            raise ValueError(f"{name} must be in [0, 1], got {value!r}")
    sens, spec, prev = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in given.values()))
    hit, miss = sens * prev, (1 - sens) * prev
    alarm, clear = (1 - spec) * (1 - prev), spec * (1 - prev)
    with np.errstate(divide="ignore", invalid="ignore"):
        return BaseRate(
            hit / (hit + alarm),
            clear / (clear + miss),
            prev / (1 - prev),
            sens / (1 - spec),
            (1 - sens) / spec,
            hit / alarm,
            miss / clear,
        )


def credible_interval(posterior: Law, *, level: float = 0.95) -> PosteriorInterval:
    """Equal-tailed interval: (1 - level)/2 of the posterior lies on either side.

    Args:
        posterior: draws along axis 0, shape (n, ...), n >= 2; or a distribution with `quantile`, such as `Beta(3, 9)`;
            or a quantile function.
        level: share of the posterior inside, in (0, 1).

    Returns:
        The ends; of draws, their linearly interpolated quantiles.

    Raises:
        ValueError: for fewer than two draws, draws that are not finite, a quantile function that gives NaN, or a level
            out of range.

    Cost: O(n) for draws.
    References: Gelman et al. 2013, section 2.3.
    Peer: closed forms of Beta posteriors; arviz_stats.eti, 1e-12 (A).
    In production: it transforms with the parameter, which `hpd_interval` does not; of skewed posteriors it leaves out
        likelier values than it holds.
    """
    arguments.open_unit("level", level)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    law: Any = _quantile_function(posterior)
    if callable(law):
        low, high = (_number("posterior", law(t)) for t in tails)
        return PosteriorInterval(low, high)
    low, high = np.quantile(arguments.sample("posterior", law, at_least=2), tails, axis=0)
    return PosteriorInterval(low, high)


def hpd_interval(posterior: Law, *, level: float = 0.95) -> PosteriorInterval:
    """Highest-posterior-density interval: the shortest that holds `level` of the posterior.

    Args:
        posterior: draws along axis 0, shape (n, ...), n >= 2; or a distribution of one mode with `quantile`, such as
            `Beta(3, 9)`; or its quantile function.
        level: share of the posterior inside, in (0, 1).

    Returns:
        The ends; of draws, the shortest window of floor(level n) gaps between sorted draws, the first of equal ones. Of
        several modes it is the shortest single interval, which may hold the valley between.

    Raises:
        ValueError: for fewer than two draws, draws that are not finite, a quantile function that gives NaN, or a level
            out of range.

    Cost: O(n log n) for draws; some fifty quantile pairs.
    References: Box & Tiao 1973, Bayesian Inference in Statistical Analysis, section 2.8; Chen & Shao 1999, Journal of
        Computational and Graphical Statistics 8 (draws).
    Peer: arviz_stats.hdi(method="nearest") on draws, 1e-12 (A); equal densities at both ends (B).
    In production: use it where a posterior leans against a bound.
    """
    arguments.open_unit("level", level)
    law: Any = _quantile_function(posterior)
    if callable(law):

        def length(below: float) -> float:
            return _number("posterior", law(below + level)) - _number("posterior", law(below))

        room = 1 - level
        found = minimize_scalar(length, bounds=(0, room), method="bounded", options={"xatol": 1e-12}).x
        # a density that is highest at an end of its range has its shortest interval there, which a search nears only
        best = min((float(found), 0.0, room), key=lambda t: _length_at(law, t, level))
        return PosteriorInterval(_number("posterior", law(best)), _number("posterior", law(best + level)))
    draws = np.sort(arguments.sample("posterior", law, at_least=2), axis=0)
    n = len(draws)
    gaps = min(int(np.floor(level * n)), n - 1)
    width = draws[gaps:] - draws[: n - gaps]
    first = width.argmin(0)[None]
    low, high = (np.take_along_axis(draws, first + shift, axis=0)[0] for shift in (0, gaps))
    return PosteriorInterval(low, high)


def _quantile_function(posterior: Any) -> Any:
    """A distribution's quantile function, here `quantile` and scipy's `ppf`; anything else as it is."""
    found = getattr(posterior, "quantile", None) or getattr(posterior, "ppf", None)
    return found if found and hasattr(posterior, "cdf") else posterior


def _length_at(posterior: Callable[[Any], Any], below: float, level: float) -> float:
    length = float(posterior(below + level)) - float(posterior(below))
    return length if np.isfinite(length) else np.inf


def _number(name: str, value: Any) -> float:
    number = float(value)
    if np.isnan(number):
        raise ValueError(f"{name} is a quantile function that gave NaN")
    return number
