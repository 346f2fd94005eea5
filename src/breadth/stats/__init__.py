"""Distributions, moments, information, estimation and inference on arrays.

Names are imported on first use.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names

if TYPE_CHECKING:
    from breadth.stats.bayes import base_rate, bayes_rule, credible_interval, hpd_interval
    from breadth.stats.convergence import effective_sample_size, rhat
    from breadth.stats.convexity import jensen_test, second_difference_test
    from breadth.stats.correlation import covariance, kendall, pearson, spearman
    from breadth.stats.decomposition import bias_variance, bootstrap_training_sets
    from breadth.stats.dependence import distance_correlation, distance_correlation_test, hsic, hsic_test
    from breadth.stats.diagnosis import diagnose
    from breadth.stats.distributions import (
        Beta,
        Binomial,
        Distribution,
        Exponential,
        Multinomial,
        MultivariateNormal,
        Normal,
        Poisson,
        cross_check,
    )
    from breadth.stats.divergence import (
        cross_entropy,
        cross_entropy_with_logits,
        entropy,
        gini_impurity,
        jensen_shannon_divergence,
        kl_divergence,
        total_variation,
    )
    from breadth.stats.eigen import lanczos, low_rank_approximation, power_iteration
    from breadth.stats.em import em_loop, expectation_maximisation
    from breadth.stats.estimation import (
        likelihood_ratio_test,
        log_likelihood,
        log_posterior,
        maximum_likelihood,
        observed_information,
        posterior_mode,
    )
    from breadth.stats.independence import chi_square, factorisation, fisher_exact
    from breadth.stats.inference import proportion_interval, t_test, z_test
    from breadth.stats.information import kl_monte_carlo, mutual_information, mutual_information_of_samples
    from breadth.stats.learning import capacity_curve, empirical_risk, generalisation_gap, learning_curve
    from breadth.stats.linalg import linear_independence
    from breadth.stats.log_odds import log_sigmoid, logit, sigmoid
    from breadth.stats.mcmc import hmc, metropolis
    from breadth.stats.mixture import NormalMixture
    from breadth.stats.moments import Moments, central_moment, kurtosis, raw_moment, skewness, standardised_moment
    from breadth.stats.norms import l2_norm, metric_axioms, norm, norm_axioms, squared_l2_norm
    from breadth.stats.permutation import permutation_test
    from breadth.stats.replays import binomial_coverage, coverage
    from breadth.stats.resampling import bootstrap_indices, bootstrap_interval
    from breadth.stats.spectrum import qr_algorithm

__all__ = [
    "Beta",
    "Binomial",
    "Distribution",
    "Exponential",
    "Moments",
    "Multinomial",
    "MultivariateNormal",
    "Normal",
    "NormalMixture",
    "Poisson",
    "base_rate",
    "bayes_rule",
    "bias_variance",
    "binomial_coverage",
    "bootstrap_indices",
    "bootstrap_interval",
    "bootstrap_training_sets",
    "capacity_curve",
    "central_moment",
    "chi_square",
    "covariance",
    "coverage",
    "credible_interval",
    "cross_check",
    "cross_entropy",
    "cross_entropy_with_logits",
    "diagnose",
    "distance_correlation",
    "distance_correlation_test",
    "effective_sample_size",
    "em_loop",
    "empirical_risk",
    "entropy",
    "expectation_maximisation",
    "factorisation",
    "fisher_exact",
    "generalisation_gap",
    "gini_impurity",
    "hmc",
    "hpd_interval",
    "hsic",
    "hsic_test",
    "jensen_shannon_divergence",
    "jensen_test",
    "kendall",
    "kl_divergence",
    "kl_monte_carlo",
    "kurtosis",
    "l2_norm",
    "lanczos",
    "learning_curve",
    "likelihood_ratio_test",
    "linear_independence",
    "log_likelihood",
    "log_posterior",
    "log_sigmoid",
    "logit",
    "low_rank_approximation",
    "maximum_likelihood",
    "metric_axioms",
    "metropolis",
    "mutual_information",
    "mutual_information_of_samples",
    "norm",
    "norm_axioms",
    "observed_information",
    "pearson",
    "permutation_test",
    "posterior_mode",
    "power_iteration",
    "proportion_interval",
    "qr_algorithm",
    "raw_moment",
    "rhat",
    "second_difference_test",
    "sigmoid",
    "skewness",
    "spearman",
    "squared_l2_norm",
    "standardised_moment",
    "t_test",
    "total_variation",
    "z_test",
]

_MODULES = {
    "bayes": (
        "base_rate",
        "bayes_rule",
        "credible_interval",
        "hpd_interval",
    ),
    "convergence": (
        "effective_sample_size",
        "rhat",
    ),
    "convexity": (
        "jensen_test",
        "second_difference_test",
    ),
    "correlation": (
        "covariance",
        "kendall",
        "pearson",
        "spearman",
    ),
    "decomposition": (
        "bias_variance",
        "bootstrap_training_sets",
    ),
    "dependence": (
        "distance_correlation",
        "distance_correlation_test",
        "hsic",
        "hsic_test",
    ),
    "diagnosis": ("diagnose",),
    "distributions": (
        "Beta",
        "Binomial",
        "Distribution",
        "Exponential",
        "Multinomial",
        "MultivariateNormal",
        "Normal",
        "Poisson",
        "cross_check",
    ),
    "divergence": (
        "cross_entropy",
        "cross_entropy_with_logits",
        "entropy",
        "gini_impurity",
        "jensen_shannon_divergence",
        "kl_divergence",
        "total_variation",
    ),
    "eigen": ("lanczos", "low_rank_approximation", "power_iteration"),
    "em": ("em_loop", "expectation_maximisation"),
    "estimation": (
        "likelihood_ratio_test",
        "log_likelihood",
        "log_posterior",
        "maximum_likelihood",
        "observed_information",
        "posterior_mode",
    ),
    "independence": (
        "chi_square",
        "factorisation",
        "fisher_exact",
    ),
    "inference": (
        "proportion_interval",
        "t_test",
        "z_test",
    ),
    "information": (
        "kl_monte_carlo",
        "mutual_information",
        "mutual_information_of_samples",
    ),
    "learning": (
        "capacity_curve",
        "empirical_risk",
        "generalisation_gap",
        "learning_curve",
    ),
    "linalg": ("linear_independence",),
    "log_odds": ("log_sigmoid", "logit", "sigmoid"),
    "mcmc": (
        "hmc",
        "metropolis",
    ),
    "mixture": ("NormalMixture",),
    "moments": (
        "Moments",
        "central_moment",
        "kurtosis",
        "raw_moment",
        "skewness",
        "standardised_moment",
    ),
    "norms": (
        "l2_norm",
        "metric_axioms",
        "norm",
        "norm_axioms",
        "squared_l2_norm",
    ),
    "permutation": ("permutation_test",),
    "replays": (
        "binomial_coverage",
        "coverage",
    ),
    "resampling": (
        "bootstrap_indices",
        "bootstrap_interval",
    ),
    "spectrum": ("qr_algorithm",),
}
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
