"""The players of a GAN: their losses from logits, and a generator that finds a known density."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from breadth.nn.clip import NonFiniteGradientWarning
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


def test_a_smoothed_target_is_met_at_its_own_probability_and_noise_fades_to_nothing():
    logits = torch.linspace(-6, 6, 2401, dtype=torch.float64)
    nothing = torch.tensor([-1e4], dtype=torch.float64)  # a sample that is known for sure adds 0
    losses = torch.stack([discriminator_loss(t[None], nothing, smoothing=0.1) for t in logits])
    assert logits[losses.argmin()].sigmoid().item() == pytest.approx(0.9, abs=1e-3)  # steps of 0.005
    d = torch.tensor([0.5, 2.0], dtype=torch.float64)
    by_hand = -(0.9 * d.sigmoid().log() + 0.1 * (1 - d.sigmoid()).log()).mean()
    torch.testing.assert_close(discriminator_loss(d, nothing, smoothing=0.1), by_hand, rtol=1e-12, atol=0)

    class Watched(nn.Linear):
        def forward(self, x):
            seen.append(x.detach().std().item())
            return super().forward(x)

    seen: list[float] = []
    G, D = nn.Linear(1, 1), Watched(1, 1)
    still = [Adam(player.parameters(), lr=0.0) for player in (G, D)]
    fit_gan(
        G, D, torch.zeros(4000, 1), *still, latent_size=1, epochs=4, batch_size=4000, noise=2.0,
        rng=torch.Generator().manual_seed(0),
    )  # fmt: skip
    of_data = seen[::3]  # data, samples, samples again
    assert of_data == pytest.approx([2.0, 1.5, 1.0, 0.5], rel=0.05)  # 4000 draws: 1.1 % a standard error


def test_smoothing_and_noise_out_of_range_are_refused():
    G, D = nn.Linear(1, 1), nn.Linear(1, 1)
    still = [Adam(player.parameters(), lr=0.0) for player in (G, D)]
    calls = [
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\), got 1.0"),
        ({"noise": -1.0}, "noise must be >= 0 and finite, got -1.0"),
    ]
    for options, says in calls:
        with pytest.raises(ValueError, match=says):
            fit_gan(G, D, torch.zeros(2, 1), *still, latent_size=1, epochs=1, **options)


def test_one_row_is_data_and_rows_that_are_not_finite_cost_steps_that_are_counted():
    torch.manual_seed(0)
    for X, skipped in ((torch.ones(1, 1), 0), (torch.full((2, 1), torch.nan), 3)):
        G, D = nn.Linear(1, 1), nn.Linear(1, 1)
        optimizers = [Adam(player.parameters(), lr=0.01) for player in (G, D)]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", NonFiniteGradientWarning)
            run = fit_gan(G, D, X, *optimizers, latent_size=1, epochs=3)
        assert sum(epoch.skipped for epoch in run.history) == skipped == len(said)
        assert all(p.isfinite().all() for player in (G, D) for p in player.parameters())
