"""Terms of the evidence lower bound beside mpmath at 60 digits, and the bound beside evidence that is known."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from breadth.nn.losses.variational import (
    bernoulli_reconstruction_loss,
    gaussian_reconstruction_loss,
    kl_to_standard_normal,
    negative_elbo,
)
from tests.nn.exact import assert_equal_in_value_and_gradient, minus_log


def means_and_log_variances() -> torch.Tensor:
    """Nine rows of three means and three log-variances: at the prior, next to it, and far from it."""
    rng = np.random.default_rng(0)
    rows = [
        *rng.normal(size=(4, 6)),
        np.zeros(6),
        1e-9 * rng.normal(size=6),  # where exp(v) - 1 - v has no digit left
        np.array([1e4, -1e4, 1, 0, 1, -1]),
        np.array([0, 1, -1, 20.0, 15, 12]),
        np.array([0, 1, -1, -50.0, -1e4, -20]),
    ]
    return torch.tensor(np.array(rows))


def test_kl_to_the_standard_normal_is_that_of_60_digits_also_next_to_it():
    assert_equal_in_value_and_gradient(
        lambda z: kl_to_standard_normal(z[:, :3], z[:, 3:], reduction="none"),
        means_and_log_variances(),
        lambda row, i: mpmath.fsum((m**2 + mpmath.exp(v) - v - 1) / 2 for m, v in zip(row[:3], row[3:], strict=True)),
    )


def test_kl_is_0_at_the_standard_normal_and_nowhere_else():
    zero = torch.zeros(4, 2)
    assert kl_to_standard_normal(zero, zero) == 0
    for mean, log_var in ((1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert kl_to_standard_normal(zero + mean, zero + log_var) > 0


def test_kl_is_the_mean_log_ratio_of_the_densities():
    q = torch.distributions.Normal(torch.tensor(0.7), torch.tensor(0.4))
    z = q.mean + q.stddev * torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    log_ratio = q.log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z)
    exact = kl_to_standard_normal(torch.tensor([[0.7]]), torch.tensor([[2 * math.log(0.4)]]))
    noise = log_ratio.std().item() / math.sqrt(len(z))
    assert abs(log_ratio.mean().item() - exact.item()) < 5 * noise


def test_gaussian_reconstruction_is_the_negative_log_density():
    rows = means_and_log_variances()[:7]
    x = torch.tensor(np.random.default_rng(1).normal(size=(7, 3)))
    data = x.tolist()

    def formula(row, i):
        return mpmath.fsum(
            ((mpmath.mpf(d) - m) ** 2 * mpmath.exp(-v) + v + mpmath.log(2 * mpmath.pi)) / 2
            for d, m, v in zip(data[i], row[:3], row[3:], strict=True)
        )

    assert_equal_in_value_and_gradient(
        lambda z: gaussian_reconstruction_loss(z[:, :3], x, log_var=z[:, 3:], reduction="none"), rows, formula
    )


def test_a_log_variance_of_its_own_is_best_at_the_mean_squared_error():
    x, mean = torch.randn(2, 50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_var = (x - mean).square().mean().log().requires_grad_()
    loss = gaussian_reconstruction_loss(mean, x, log_var=log_var)
    (gradient,) = torch.autograd.grad(loss, log_var)
    assert abs(gradient) < 1e-14
    torch.testing.assert_close(loss, 7 / 2 * (log_var + 1 + math.log(2 * math.pi)), rtol=1e-14, atol=0)


def test_a_residual_whose_square_overflows_does_not_if_its_variance_is_as_large():
    mean, x = torch.zeros(1, 1), torch.full((1, 1), 1e25)
    loss = gaussian_reconstruction_loss(mean, x, log_var=math.log(1e25) * 2)
    assert loss.item() == pytest.approx(0.5 + math.log(1e25) + 0.5 * math.log(2 * math.pi), rel=1e-4)


def test_bernoulli_reconstruction_sums_the_log_loss_over_all_axes_but_the_batch():
    rng = np.random.default_rng(0)
    rows = torch.tensor(np.vstack([rng.normal(size=(4, 6)), np.zeros(6), [1e4, -1e4, 36, -36, 5, 0]]))
    x = torch.tensor(rng.integers(0, 2, size=(6, 6)), dtype=torch.float64)
    bits = x.long().tolist()

    def formula(row, i):
        return mpmath.fsum(minus_log([0, v], b) for v, b in zip(row, bits[i], strict=True))

    assert_equal_in_value_and_gradient(
        lambda z: bernoulli_reconstruction_loss(z.reshape(6, 2, 3), x.reshape(6, 2, 3), reduction="none"), rows, formula
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_is_the_sum_of_its_terms_averaged_over_the_batch(likelihood, beta):
    rng = torch.Generator().manual_seed(0)
    decoded, mean, log_var = (torch.randn(5, n, generator=rng, dtype=torch.float64) for n in (4, 3, 3))
    x = torch.rand(5, 4, generator=rng, dtype=torch.float64)
    each = negative_elbo(decoded, x, mean, log_var, likelihood=likelihood, beta=beta, reduction="none")
    term = bernoulli_reconstruction_loss if likelihood == "bernoulli" else gaussian_reconstruction_loss
    terms = term(decoded, x, reduction="none") + beta * kl_to_standard_normal(mean, log_var, reduction="none")
    assert torch.equal(each, terms) and each.shape == (5,)
    assert negative_elbo(decoded, x, mean, log_var, likelihood=likelihood, beta=beta) == terms.mean()


def linear_gaussian():
    """x = w z + b + noise with z ~ N(0, 1): posterior and evidence are normal, in closed form."""
    w = torch.tensor([0.5, -1.2, 2.0], dtype=torch.float64)
    b = torch.tensor([0.1, 0.0, -0.3], dtype=torch.float64)
    log_noise = torch.tensor(math.log(0.3), dtype=torch.float64)
    x = torch.tensor([[0.7, -0.2, 1.0], [5.0, 3.0, -4.0]], dtype=torch.float64)
    precision = 1 + (w @ w) * (-log_noise).exp()
    mean = ((x - b) @ w) * (-log_noise).exp() / precision
    covariance = torch.outer(w, w) + log_noise.exp() * torch.eye(3, dtype=torch.float64)
    evidence = torch.distributions.MultivariateNormal(b, covariance).log_prob(x)
    return w, b, log_noise, x, mean[:, None], -precision.log().expand(2, 1), evidence


def expected_bound(w, b, log_noise, x, mean, log_var):
    """The bound under E over z, exact for a polynomial of degree two by Gauss-Hermite's two nodes."""
    bounds = [
        negative_elbo(
            (mean + node * (log_var / 2).exp()) * w + b,
            x,
            mean,
            log_var,
            likelihood="gaussian",
            decoder_log_var=log_noise,
            reduction="none",
        )
        for node in (-1.0, 1.0)
    ]
    return sum(bounds) / 2


def test_at_the_exact_posterior_the_bound_is_the_evidence():
    *model, evidence = linear_gaussian()
    torch.testing.assert_close(expected_bound(*model), -evidence, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("shift", "wider"), [(0.1, 0.0), (-1.0, 0.0), (0.0, 0.5), (0.0, -0.5)])
def test_away_from_the_posterior_the_bound_misses_by_the_kl_to_it(shift, wider):
    w, b, log_noise, x, mean, log_var, evidence = linear_gaussian()
    gap = expected_bound(w, b, log_noise, x, mean + shift, log_var + wider) + evidence
    kl = 0.5 * (shift**2 * (-log_var).exp() + math.exp(wider) - wider - 1)  # of two normals
    torch.testing.assert_close(gap, kl[:, 0], rtol=1e-10, atol=1e-12)  # a difference of numbers near 10
    assert (gap > 0).all()


def test_what_does_not_fit_is_refused_by_name():
    x = torch.zeros(2, 3)
    calls = [
        (lambda: kl_to_standard_normal(x, x[:, :2]), r"log_var must have the shape of mean, \(2, 3\), got \(2, 2\)"),
        (lambda: kl_to_standard_normal(torch.tensor(0.0), torch.tensor(0.0)), "expected a batch axis"),
        (lambda: gaussian_reconstruction_loss(x, x[:1]), "x must have the shape of mean"),
        (lambda: gaussian_reconstruction_loss(x, x, log_var=torch.zeros(2)), "log_var must broadcast to mean"),
        (lambda: bernoulli_reconstruction_loss(x, x + 1.5), r"target must lie in \[0, 1\]"),
        (lambda: negative_elbo(x, x, x, x, beta=-1), "beta must be >= 0 and finite, got -1"),
        (lambda: negative_elbo(x, x, x[:1], x[:1]), "decoded and mean must have one batch"),
        (lambda: negative_elbo(x, x, x, x, likelihood="poisson"), "likelihood must be one of 'bernoulli', 'gaussian'"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(TypeError, match="mean must be floating point"):
        kl_to_standard_normal(x.long(), x.long())
