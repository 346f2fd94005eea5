"""Intervals as contenders: frequentist ones aim at coverage for each truth, Bayesian ones over the truths of a prior.

A row is a sample; what is predicted are the ends of an interval of 95 %. A proportion's interval depends on the number
of successes alone, and is computed once for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.measures_trials import LEVEL
from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.problem_trials import ends, from_trials, named

Ends = NDArray[np.float64]
POPULATIONS = {
    "half": "proportion 0.5",
    "rare": "proportion 0.02",
    "drawn": "proportions drawn from the uniform prior, one a sample",
    "normal": "normal",
    "skewed": "lognormal, log of standard deviation 1",
    "heavy": "Student's t with 3 degrees of freedom",
}
PROPORTIONS = {"half": 0.5, "rare": 0.02}
SIZE, N_PROPORTIONS, N_MEANS = 50, 4000, 1000
RESAMPLES = 999


def read_samples(name: str, encoding: str = "utf-8") -> Prepared:
    """Samples of a population whose proportion, or mean, is known; a continuous one has standard deviation 1.

    Args:
        name: of POPULATIONS, with `:n` for samples of that size.
        encoding: not read; readers are called alike.

    Raises:
        ValueError: if there is no such population, or n is no number from 2 on.
    """
    kind, size = named(name, POPULATIONS, unit="draws", default=SIZE, least=2)
    rng = np.random.default_rng(0)
    if kind in ("half", "rare", "drawn"):
        p = rng.random(N_PROPORTIONS) if kind == "drawn" else np.full(N_PROPORTIONS, PROPORTIONS[kind])
        X = (rng.random((N_PROPORTIONS, size)) < p[:, None]).astype(np.float64)
        return from_trials(name, "proportion", X, p, size=size, note=POPULATIONS[kind], rate_unit="samples/s")
    shape = (N_MEANS, size)
    if kind == "normal":
        X, mean = rng.normal(size=shape), 0.0
    elif kind == "skewed":
        spread = np.sqrt((np.e - 1) * np.e)
        X, mean = rng.lognormal(size=shape) / spread, np.sqrt(np.e) / spread
    else:
        X, mean = rng.standard_t(3, shape) / np.sqrt(3), 0.0
    truth = np.full(N_MEANS, mean)
    return from_trials(name, "mean", X, truth, size=size, note=POPULATIONS[kind], rate_unit="samples/s")


class Intervals:
    """A way to make intervals as an estimator that has nothing to fit.

    Args:
        of: from samples (n, size), a seed and settings to ends (n, 2).
        counts: whether rows are zeros and ones, of which `of` sees one row for each number of ones.
        seed: of what is drawn.
        settings: of `of`.
    """

    def __init__(self, of: Callable[..., Ends], counts: bool, seed: int, settings: Settings):
        self.of, self.counts, self.seed, self.settings = of, counts, seed, dict(settings)

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        return self

    def predict(self, X: NDArray) -> Ends:
        if not self.counts:
            return self.of(X, self.seed, **self.settings)
        k, which = np.unique(X.sum(1).astype(np.int64), return_inverse=True)
        rows = (np.arange(X.shape[1]) < k[:, None]).astype(np.float64)
        return self.of(rows, self.seed, **self.settings)[which]


def _proportion(rows: NDArray, seed: int, *, method: Any) -> Ends:
    from breadth.stats import proportion_interval

    found = proportion_interval(rows.sum(1), rows.shape[1], confidence=LEVEL, method=method)
    return ends(found.low, found.high)


def _posterior(rows: NDArray, seed: int, *, kind: str, a: float, b: float) -> Ends:
    """Of Beta(a + k, b + n - k), the posterior of a proportion with the prior Beta(a, b)."""
    from scipy.stats import beta

    from breadth.stats import credible_interval, hpd_interval

    interval = {"credible": credible_interval, "hpd": hpd_interval}[kind]
    k, n = rows.sum(1), rows.shape[1]
    return np.array([interval(beta(a + ones, b + n - ones).ppf, level=LEVEL)[:2] for ones in k])


def _posterior_mean(rows: NDArray, seed: int) -> Ends:
    """Of a normal population's mean, with the prior 1 / sigma on mean and deviation: a shifted and scaled t."""
    from scipy.stats import t

    from breadth.stats import credible_interval

    n = rows.shape[1]
    unit = credible_interval(t(n - 1).ppf, level=LEVEL)
    mean, se = rows.mean(1), rows.std(1, ddof=1) / np.sqrt(n)
    return ends(mean + unit.low * se, mean + unit.high * se)


def _t(rows: NDArray, seed: int) -> Ends:
    from breadth.stats import t_test

    found = t_test(rows.T, confidence=LEVEL)
    return ends(found.low, found.high)


def _known_deviation(rows: NDArray, seed: int) -> Ends:
    """The z interval that takes the sample's deviation for the population's."""
    from breadth.stats import z_test

    found = [z_test(row, std=float(row.std(ddof=1)) or 1e-12, confidence=LEVEL) for row in rows]
    return ends([f.low for f in found], [f.high for f in found])


def _bootstrap(rows: NDArray, seed: int, *, method: Any, n_resamples: int) -> Ends:
    from breadth.stats import bootstrap_interval

    how = {"confidence": LEVEL, "method": method, "n_resamples": n_resamples, "vectorized": True}
    found = [bootstrap_interval(row, np.mean, rng=seed * len(rows) + i, **how) for i, row in enumerate(rows)]
    return ends([f.low for f in found], [f.high for f in found])


def _statsmodels(rows: NDArray, seed: int, *, method: str) -> Ends:
    from statsmodels.stats.proportion import proportion_confint

    return ends(*proportion_confint(rows.sum(1), rows.shape[1], alpha=1 - LEVEL, method=method))


def _scipy_t(rows: NDArray, seed: int) -> Ends:
    from scipy import stats

    found = stats.ttest_1samp(rows, 0.0, axis=1).confidence_interval(LEVEL)
    return ends(found.low, found.high)


def _scipy_bootstrap(rows: NDArray, seed: int, *, n_resamples: int) -> Ends:
    from scipy import stats

    found = stats.bootstrap(
        (rows,), np.mean, axis=1, confidence_level=LEVEL, n_resamples=n_resamples, method="BCa", batch=50, rng=seed
    ).confidence_interval
    return ends(found.low, found.high)


def _range(rows: NDArray, seed: int) -> Ends:
    return ends(rows.min(1), rows.max(1))


def _make(of: Callable[..., Ends], problem: Problem, seed: int, n_threads: int, settings: Settings) -> Intervals:
    return Intervals(of, problem.task == "proportion", seed, settings)


def interval(name: str, of: Callable[..., Ends], origin: str = "breadth", **settings: Any) -> Entry:
    """A way to make intervals as a contender."""
    return Entry(name, origin, partial(_make, of), settings, cost=10.0)


WILSON = interval("Wilson", _proportion, method="wilson")
PROPORTION = (
    WILSON,
    interval("Wald", _proportion, method="wald"),
    interval("Agresti–Coull", _proportion, method="agresti-coull"),
    interval("Clopper–Pearson", _proportion, method="exact"),
    interval("Jeffreys", _proportion, method="jeffreys"),
    interval("credible, uniform prior", _posterior, kind="credible", a=1.0, b=1.0),
    interval("HPD, uniform prior", _posterior, kind="hpd", a=1.0, b=1.0),
    interval("credible, prior Beta(10, 10)", _posterior, kind="credible", a=10.0, b=10.0),
    interval("statsmodels Wilson", _statsmodels, "statsmodels", method="wilson"),
)
T = interval("Student's t", _t)
MEAN = (
    interval("z, deviation of the sample", _known_deviation),
    interval("percentile bootstrap", _bootstrap, method="percentile", n_resamples=RESAMPLES),
    interval("credible, prior 1/sigma", _posterior_mean),
    interval("scipy t", _scipy_t, "scipy"),
    interval("scipy BCa", _scipy_bootstrap, "scipy", n_resamples=RESAMPLES),
)
BCA = interval("BCa bootstrap", _bootstrap, method="bca", n_resamples=RESAMPLES)
DUMMY = interval("dummy", _range, "numpy")
