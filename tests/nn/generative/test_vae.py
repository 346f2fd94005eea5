"""The VAE beside the linear Gaussian model, whose likelihood and posterior have closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from breadth.nn.fit import fit
from breadth.nn.generative.vae import VAE, warm_up_kl
from breadth.nn.optim.adam import AdamW


class Posterior(nn.Module):
    """q(z | x) of constant variance: mean A x, log_var given."""

    def __init__(self, A: np.ndarray, log_var: np.ndarray):
        super().__init__()
        self.A, self.log_var = nn.Parameter(torch.tensor(A)), torch.tensor(log_var)

    def forward(self, x: Tensor) -> Tensor:
        mean = x @ self.A.T
        return torch.cat([mean, self.log_var.expand_as(mean)], 1)


def linear_gaussian(seed: int = 0) -> tuple[VAE, np.ndarray, np.ndarray]:
    """x = W z + noise of variance s2; W has orthogonal columns, so that the posterior is diagonal. And x and log p(x).

    Posterior covariance s2 (W^T W + s2 I)^-1 and mean (W^T W + s2 I)^-1 W^T x (Tipping & Bishop 1999, eq. 7).
    """
    rng = np.random.default_rng(seed)
    W, s2 = np.linalg.qr(rng.normal(size=(5, 2)))[0] * [2.0, 0.5], 0.3
    M = W.T @ W + s2 * np.eye(2)
    decoder = nn.Linear(2, 5, bias=False).double()
    vae = VAE(Posterior(np.linalg.solve(M, W.T), np.log(s2 / np.diag(M))), decoder, latent_size=2)
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor(W))
    vae.log_var = nn.Parameter(torch.tensor(np.log(s2)))
    x = rng.normal(size=(6, 5))
    x[0] = 1e2  # far outside
    return vae, x, multivariate_normal(np.zeros(5), W @ W.T + s2 * np.eye(5)).logpdf(x)


def test_at_the_exact_posterior_the_importance_weighted_estimate_is_log_p_for_any_draws():
    vae, x, log_p = linear_gaussian()
    for samples in (1, 7):
        estimate = vae.log_likelihood(torch.tensor(x), samples=samples)
        np.testing.assert_allclose(estimate.detach(), log_p, rtol=1e-12)  # all weights are p(x)


def test_the_elbos_mean_is_log_p_minus_the_posteriors_kl():
    vae, x, log_p = linear_gaussian()
    x, log_p = torch.tensor(x[1:2]), log_p[1]
    with torch.no_grad():
        mean, log_var = vae.encode(x)
        vae.encoder.log_var = vae.encoder.log_var + 0.7  # KL(q || posterior) = (e^0.7 - 1 - 0.7) / 2 for each latent
        draws = vae.elbo(x.expand(200_000, -1), generator=torch.Generator().manual_seed(0))
    expected = log_p - 2 * (np.exp(0.7) - 1.7) / 2
    assert abs(draws.mean().item() - expected) < 4 * draws.std().item() / np.sqrt(200_000)  # four standard errors
    assert mean.shape == log_var.shape == (1, 2)


def test_more_samples_tighten_the_bound():
    vae, x, log_p = linear_gaussian()
    vae.encoder.log_var = vae.encoder.log_var + 0.7
    many, generator = torch.tensor(x[1:2]).expand(4000, -1), torch.Generator().manual_seed(0)
    with torch.no_grad():
        means = [vae.log_likelihood(many, samples=k, generator=generator).mean().item() for k in (1, 4, 32)]
    assert means[0] < means[1] < means[2] < log_p[1] + 0.02


@pytest.mark.slow
def test_training_reaches_the_likelihood_of_the_model_that_made_the_data():
    vae, _, _ = linear_gaussian()
    with torch.no_grad():
        x = vae.sample(2000, noise=True, generator=torch.Generator().manual_seed(0))
    target = vae.log_likelihood(x, samples=1).mean().item()
    torch.manual_seed(0)
    learner = VAE(nn.Linear(5, 4), nn.Linear(2, 5), latent_size=2).double()
    fit(learner, (x,), learner.loss, AdamW(learner.parameters(), 2e-2, weight_decay=0), epochs=12, batch_size=50)
    with torch.no_grad():
        reached = learner.elbo(x).mean().item()
    # 0.1: one draw's noise over 2000 rows; it may exceed the true model's by what 19 parameters overfit, 10 / 2000
    assert reached == pytest.approx(target, abs=0.1)


def test_bernoulli_samples_are_binary_and_reconstructions_probabilities():
    torch.manual_seed(0)
    vae = VAE(nn.Linear(6, 4), nn.Linear(2, 6), latent_size=2, likelihood="bernoulli")
    x = torch.randint(2, (3, 6)).float()
    assert set(vae.sample(20, noise=True).unique().tolist()) == {0.0, 1.0}
    assert vae.sample(0).shape == (0, 6)
    assert ((vae.reconstruct(x) > 0) & (vae.reconstruct(x) < 1)).all()
    assert vae.log_likelihood(x, samples=3).isfinite().all()
    total, count = vae.loss(vae, (x[:1],))
    assert total.isfinite() and count == 1


def test_calls_that_cannot_be_right_are_refused():
    good = nn.Linear(6, 4), nn.Linear(2, 6)
    calls = [
        (lambda: VAE(*good, latent_size=0), "latent_size must be >= 1, got 0"),
        (lambda: VAE(*good, latent_size=2, beta=-1), "beta must be >= 0 and finite, got -1"),
        (lambda: VAE(*good, latent_size=2, likelihood="poisson"), "likelihood must be 'bernoulli' or 'gaussian'"),
        (lambda: VAE(*good, latent_size=3).elbo(torch.zeros(1, 6)), r"encoder must give shape \(1, 6\)"),
        (lambda: VAE(*good, latent_size=2).log_likelihood(torch.zeros(1, 6), samples=0), "samples must be >= 1"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()


def test_the_weight_of_the_kl_rises_along_a_line_to_what_it_was_and_the_variance_starts_from_the_data():
    torch.manual_seed(0)
    X = torch.randn(50, 6) * torch.tensor([1e-3, 0.1, 1.0, 10.0, 100.0, 0.0]) + 3
    vae = VAE(nn.Linear(6, 4), nn.Linear(2, 6), latent_size=2, beta=0.5, log_var_shape=(6,))
    vae.start_from_(X)
    torch.testing.assert_close(vae.log_var[:5].detach(), X.var(0, correction=0)[:5].log(), rtol=1e-4, atol=1e-4)
    assert vae.log_var[5] == 0  # a constant entry says nothing of the scale
    weights = []
    warm_up = warm_up_kl(vae, 4)
    fit(
        vae, (X,), vae.loss, AdamW(vae.parameters(), lr=0.0), epochs=6,
        callbacks=[lambda run: weights.append(vae.beta), warm_up],
    )  # fmt: skip
    assert weights == [0.0, 0.125, 0.25, 0.375, 0.5, 0.5] and vae.beta == 0.5
    one = VAE(nn.Linear(6, 4), nn.Linear(2, 6), latent_size=2)
    one.start_from_(X)
    assert one.log_var.item() == pytest.approx((X - X.mean(0)).square().mean().log().item(), rel=1e-6)
    calls = [
        (lambda: warm_up_kl(vae, 0), "epochs must be >= 1, got 0"),
        (lambda: vae.start_from_(X[:1]), r"X must have two rows or more, got shape \(1, 6\)"),
        (
            lambda: VAE(nn.Linear(6, 4), nn.Linear(2, 6), latent_size=2, likelihood="bernoulli").start_from_(X),
            "start_from_ is for likelihood='gaussian', this is 'bernoulli'",
        ),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
