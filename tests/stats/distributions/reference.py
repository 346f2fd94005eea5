"""Distributions in 40 digits, by their definitions: log-factorials and sums that mpmath carries out."""

from __future__ import annotations

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def log_factorial(x):
    return mp.loggamma(mp.mpf(x) + 1)


def log_binomial(x, n, p):
    p = mp.mpf(p)
    return log_factorial(n) - log_factorial(x) - log_factorial(n - x) + x * mp.log(p) + (mp.mpf(n) - x) * mp.log1p(-p)


def log_poisson(x, rate):
    return x * mp.log(mp.mpf(rate)) - mp.mpf(rate) - log_factorial(x)


def log_beta(x, a, b):
    x, a, b = map(mp.mpf, (x, a, b))
    return (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - mp.loggamma(a) - mp.loggamma(b) + mp.loggamma(a + b)


def log_normal(x, mean, std):
    x, mean, std = map(mp.mpf, (x, mean, std))
    return -(((x - mean) / std) ** 2) / 2 - mp.log(std * mp.sqrt(2 * mp.pi))


def binomial_upper(k, n, p):
    """P(X > k), term by term away from the mean."""
    odds = mp.mpf(p) / (1 - mp.mpf(p))
    return mp.exp(log_binomial(k + 1, n, p)) * _ratios(lambda j: odds * (n - k - 1 - j) / (k + 2 + j))


def binomial_lower(k, n, p):
    """P(X <= k), term by term away from the mean."""
    odds = (1 - mp.mpf(p)) / mp.mpf(p)
    return mp.exp(log_binomial(k, n, p)) * _ratios(lambda j: odds * (k - j) / (n - k + 1 + j))


def poisson_upper(k, rate):
    rate = mp.mpf(rate)
    return mp.exp(log_poisson(k + 1, rate)) * _ratios(lambda j: rate / (k + 2 + j))


def poisson_lower(k, rate):
    rate = mp.mpf(rate)
    return mp.exp(log_poisson(k, rate)) * _ratios(lambda j: (k - j) / rate)


def beta_lower(x, a, b):
    """P(X <= x) by the series whose terms are all positive; for the upper end turn x and the shapes round."""
    x, a, b = map(mp.mpf, (x, a, b))
    return mp.exp(log_beta(x, a, b)) * x * (1 - x) / a * _ratios(lambda j: (a + b + j) / (a + 1 + j) * x)


def _ratios(ratio):
    """1 + r_0 + r_0 r_1 + …, until what is left does not count in 30 digits."""
    term = total = mp.mpf(1)
    j = 0
    while term > total * mp.mpf(10) ** -22:
        term *= ratio(j)
        total += term
        j += 1
    return total


def close(ours, theirs, *, relative=1e-10):
    """Relative to the larger of 1 and the value: absolute errors of log-densities are relative ones of densities."""
    ours, theirs = float(ours), mp.mpf(theirs)
    assert abs(ours - theirs) <= relative * max(1, abs(theirs)), (ours, mp.nstr(theirs, 17))


def close_relative(ours, theirs, *, relative=1e-10):
    ours, theirs = float(ours), mp.mpf(theirs)
    if theirs < np.finfo(float).tiny:  # below the normal range digits go one by one
        assert ours <= np.finfo(float).tiny
    else:
        assert abs(ours - theirs) <= relative * theirs, (ours, mp.nstr(theirs, 17))
