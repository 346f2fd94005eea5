"""Distributions with one small protocol: density, tails, quantile, moments, entropy, sampling, fit and update."""

from breadth.stats.distributions.beta import Beta
from breadth.stats.distributions.binomial import Binomial
from breadth.stats.distributions.cross_check import CrossCheck, cross_check
from breadth.stats.distributions.exponential import Exponential
from breadth.stats.distributions.multinomial import Multinomial
from breadth.stats.distributions.multivariate_normal import MultivariateNormal
from breadth.stats.distributions.normal import Normal
from breadth.stats.distributions.poisson import Poisson
from breadth.stats.distributions.protocol import Distribution

__all__ = [
    "Beta",
    "Binomial",
    "CrossCheck",
    "Distribution",
    "Exponential",
    "Multinomial",
    "MultivariateNormal",
    "Normal",
    "Poisson",
    "cross_check",
]
