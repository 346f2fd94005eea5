"""Samplers against posteriors in closed form, and their diagnostics against arviz."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from breadth.stats import mcmc
from breadth.stats.convergence import effective_sample_size, rhat
from breadth.stats.mcmc import hmc, metropolis

COVARIANCE = np.array([[1.0, 0.7], [0.7, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)


def log_normal(x):
    return -0.5 * np.einsum("ci,ij,cj->c", x - 3, PRECISION, x - 3)


def normal_gradient(x):
    return -(x - 3) @ PRECISION


def log_beta(x):
    """Posterior of a logit after 3 successes in 10 trials with a uniform prior on the proportion: Beta(4, 8)."""
    p = 1 / (1 + np.exp(-x[:, 0]))
    return 4 * np.log(p) + 8 * np.log1p(-p)  # the logit's Jacobian adds one to each count


def beta_gradient(x):
    p = 1 / (1 + np.exp(-x))
    return 4 * (1 - p) - 8 * p


def run(sampler, log_density, gradient, start, **settings):
    if sampler is metropolis:
        return metropolis(log_density, start, n_draws=4000, n_warmup=500, rng=0, **settings)
    return hmc(log_density, gradient, start, n_draws=1000, n_warmup=300, rng=0, **settings)


@pytest.mark.parametrize("sampler", [metropolis, hmc])
def test_moments_of_a_normal_posterior_within_their_monte_carlo_error(sampler):
    start = np.random.default_rng(1).normal(3, 3, size=(4, 2))
    found = run(sampler, log_normal, normal_gradient, start)
    assert (rhat(found.draws) < 1.02).all()
    size = effective_sample_size(found.draws, kind="mean")
    error = np.sqrt(np.diag(COVARIANCE) / size)
    assert (np.abs(found.draws.mean((0, 1)) - 3) < 5 * error).all()
    centred = found.draws - 3
    products = centred[..., :, None] * centred[..., None, :]
    size = effective_sample_size(products, kind="mean")
    assert (np.abs(products.mean((0, 1)) - COVARIANCE) < 5 * products.std((0, 1)) / np.sqrt(size)).all()
    assert_allclose(found.log_density[1, 5], log_normal(found.draws[1, 5][None])[0])
    low, high = (0.15, 0.35) if sampler is metropolis else (0.6, 0.98)
    assert ((low < found.acceptance) & (found.acceptance < high)).all()
    assert found.divergences == 0


@pytest.mark.parametrize("sampler", [metropolis, hmc])
def test_a_proportions_posterior_is_the_conjugate_one(sampler):
    found = run(sampler, log_beta, beta_gradient, np.zeros((4, 1)))
    p = 1 / (1 + np.exp(-found.draws[..., 0]))
    thin = max(1, int(np.ceil(p.size / effective_sample_size(p))))
    assert stats.kstest(p[:, ::thin].ravel(), stats.beta(4, 8).cdf).pvalue > 1e-3


def test_only_warm_up_changes_the_step_and_seeds_repeat():
    fixed = metropolis(log_normal, [3.0, 3.0], n_draws=50, n_warmup=0, scale=0.1, rng=0)
    assert fixed.step == 1 and fixed.draws.shape == (1, 50, 2) and fixed.acceptance > 0.7
    again = metropolis(log_normal, [3.0, 3.0], n_draws=50, n_warmup=0, scale=0.1, rng=0)
    assert (fixed.draws == again.draws).all()
    assert hmc(log_normal, normal_gradient, [3.0, 3.0], n_draws=5, n_warmup=0, step=0.3, rng=0).step == 0.3


def test_the_leapfrog_is_reversible_and_keeps_the_energy_to_second_order():
    rng = np.random.default_rng(0)
    x, r = rng.normal(3, 1, (5, 2)), rng.normal(size=(5, 2))

    def energy(x, r):
        return -log_normal(x) + (r**2).sum(1) / 2

    def drift(h):
        there = mcmc._leapfrog(log_normal, normal_gradient, x, r, normal_gradient(x), h, round(1.2 / h))
        return there, np.abs(energy(*there[:2]) - energy(x, r)).max()

    (there, r_there, _, grad), coarse = drift(0.1)
    back, r_back, _, _ = mcmc._leapfrog(log_normal, normal_gradient, there, -r_there, grad, 0.1, 12)
    assert_allclose(back, x, atol=1e-12)
    assert_allclose(-r_back, r, atol=1e-12)
    assert 3.5 < coarse / drift(0.05)[1] < 4.5


def test_bounds_hold_and_a_step_that_is_too_long_diverges():
    def half(x):  # exponential on x > 0
        return np.where(x[:, 0] > 0, -x[:, 0], -np.inf)

    found = metropolis(half, np.ones((4, 1)), n_draws=3000, n_warmup=300, rng=0)
    assert (found.draws > 0).all()
    assert abs(found.draws.mean() - 1) < 5 / np.sqrt(effective_sample_size(found.draws, kind="mean"))[0]
    wild = hmc(
        lambda x: -0.5 * (x[:, 0] / 1e-3) ** 2,
        lambda x: -x / 1e-6,
        np.zeros((2, 1)),
        n_draws=20,
        n_warmup=0,
        step=1.0,
        rng=0,
    )
    assert wild.divergences > 0 and (wild.acceptance < 0.5).all()
    assert np.isfinite(wild.draws).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metropolis(log_normal, [np.nan, 0]), "start holds NaN"),
        (lambda: metropolis(lambda x: np.full(len(x), -np.inf), [0.0]), "start must have positive density; chain 0"),
        (lambda: metropolis(lambda x: x, [0.0]), "must return shape \\(1,\\)"),
        (lambda: metropolis(lambda x: np.full(len(x), np.nan), [0.0]), "a number or -inf"),
        (lambda: metropolis(log_normal, [0.0, 0.0], scale=0), "scale must be > 0"),
        (lambda: metropolis(log_normal, [0.0, 0.0], n_draws=0), "n_draws must be"),
        (lambda: hmc(log_normal, normal_gradient, [0.0, 0.0], n_warmup=-1), "n_warmup must be"),
        (lambda: hmc(log_normal, normal_gradient, [0.0, 0.0], step=0), "step must be > 0"),
        (lambda: hmc(log_normal, normal_gradient, [0.0, 0.0], target=1), "target must be in"),
        (lambda: hmc(log_normal, lambda x: x[:, 0], [0.0, 0.0]), "gradient must return"),
        (lambda: hmc(log_normal, lambda x: x * np.inf, [1.0, 1.0]), "gradient must be finite"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def autoregressive(rho, n, rng):
    x = rng.normal(size=(4, n))
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + x[:, t] * np.sqrt(1 - rho**2)
    return x


@pytest.mark.parametrize("n", [4, 5, 6, 7, 9, 100, 501])
@pytest.mark.parametrize("rho", [0.0, 0.9, -0.5])
def test_diagnostics_are_arviz(rho, n):
    pytest.importorskip("arviz_stats")
    from arviz_stats.base import array_stats

    x = autoregressive(rho, n, np.random.default_rng(n))
    axes = {"chain_axis": 0, "draw_axis": 1}
    assert_allclose(rhat(x), array_stats.rhat(x, **axes), rtol=1e-12)
    for kind, more in (("bulk", {}), ("tail", {"prob": 0.05}), ("mean", {})):
        assert_allclose(
            effective_sample_size(x, kind=kind), array_stats.ess(x, method=kind, **axes, **more), rtol=1e-10
        )


def test_effective_size_is_that_of_an_autoregression_and_rhat_sees_what_differs():
    rng = np.random.default_rng(0)
    for rho in (0.8, -0.5):
        x = autoregressive(rho, 5000, rng)
        assert_allclose(effective_sample_size(x, kind="mean"), x.size * (1 - rho) / (1 + rho), rtol=0.15)
    same = rng.normal(size=(4, 500, 3))
    assert (rhat(same) < 1.01).all() and rhat(same).shape == (3,)
    shifted, wider, trend = same[..., 0].copy(), same[..., 0].copy(), same[..., 0] + np.linspace(0, 3, 500)
    shifted[0] += 1
    wider[0] *= 4
    for x in (shifted, wider, trend):
        assert rhat(x) > 1.05
    assert rhat(np.arange(4.0)[:, None] * np.ones(10)) == np.inf
    assert np.isnan(rhat(np.full((4, 10), 0.1))) and effective_sample_size(np.full((4, 10), 0.1)) == 40
    for bad, words in ((np.ones(9), "one chain is"), (np.ones((2, 3)), "draws >= 4"), (np.full((2, 5), np.nan), "NaN")):
        with pytest.raises(ValueError, match=words):
            rhat(bad)
    with pytest.raises(ValueError, match="kind must be"):
        effective_sample_size(same, kind="median")
