"""The players of a GAN: their losses from logits, and a generator that finds a known density."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from breadth.nn.generative.gan import discriminator_loss, fit_gan, generator_loss
from breadth.nn.optim.adam import Adam


def test_losses_are_those_of_the_probabilities_and_stay_finite_where_the_players_are_sure():
    real = torch.tensor([0.0, 2.0, -3.0], dtype=torch.float64)
    fake = torch.tensor([1.0, -0.5], dtype=torch.float64)
    d, g = real.sigmoid(), fake.sigmoid()
    torch.testing.assert_close(
        discriminator_loss(real, fake), -d.log().mean() - (1 - g).log().mean(), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(generator_loss(fake), -g.log().mean(), rtol=1e-12, atol=0)
    assert discriminator_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))
    sure = torch.tensor([-1e4], requires_grad=True)
    loss = generator_loss(sure)
    loss.backward()
    assert loss.item() == 1e4 and sure.grad.item() == -1.0  # it does not saturate


def test_at_the_optimal_discriminator_of_two_normals_the_value_has_no_gradient():
    torch.manual_seed(0)
    x, z = torch.randn(200_000, dtype=torch.float64), 1 + torch.randn(200_000, dtype=torch.float64)
    scale = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)

    def logits(t):  # log p(t) / q(t) of N(0, 1) and N(1, 1), times and plus what has to be 1 and 0
        return scale[0] * (0.5 - t) + scale[1]

    (gradient,) = torch.autograd.grad(discriminator_loss(logits(x), logits(z)), scale)
    assert gradient.abs().max() < 4 / math.sqrt(200_000)  # four standard errors of means with variance below 1


def test_a_linear_generator_finds_mean_and_is_repeatable_from_its_seed():
    torch.manual_seed(0)
    X, means = 3 + torch.randn(512, 1), []
    for _ in range(2):
        torch.manual_seed(1)
        G, D = nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))
        players = [Adam(player.parameters(), 2e-2, betas=(0.5, 0.9)) for player in (G, D)]
        run = fit_gan(G, D, X, *players, latent_size=1, epochs=25, rng=torch.Generator().manual_seed(0))
        means.append(G.bias.item())
        assert sum(epoch.skipped for epoch in run.history) == 0
    assert means[0] == means[1]
    assert means[0] == pytest.approx(3, abs=1.0)  # it began within 1 of 0


def test_calls_that_cannot_be_right_are_refused():
    G = nn.Linear(1, 1)
    optimizer = Adam(G.parameters())
    with pytest.raises(ValueError, match="latent_size must be >= 1"):
        fit_gan(G, G, torch.zeros(2, 1), optimizer, optimizer, latent_size=0, epochs=1)
    with pytest.raises(ValueError, match="X must have rows"):
        fit_gan(G, G, torch.zeros(0, 1), optimizer, optimizer, latent_size=1, epochs=1)
