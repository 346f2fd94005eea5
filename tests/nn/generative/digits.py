"""The 1,797 digits of scikit-learn as densities and images, and the networks that these tests train on them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from breadth.nn.fit import fit
from breadth.nn.generative.gan import GANRun, fit_gan
from breadth.nn.generative.vae import VAE, warm_up_kl
from breadth.nn.networks import MLP
from breadth.nn.optim.adam import Adam, AdamW
from breadth.nn.schedules import cosine

Size = tuple[int, ...]


def dequantised(seed: int) -> tuple[Tensor, Tensor]:
    """Three quarters and the rest, stratified: (pixel + u) / 17 with u uniform in [0, 1), a density on [0, 1)^64."""
    X, y = load_digits(return_X_y=True)
    X = (X + np.random.default_rng(seed).random(X.shape)) / 17
    train, held_out = train_test_split(X, test_size=0.25, random_state=seed, stratify=y)
    return torch.tensor(train, dtype=torch.float32), torch.tensor(held_out, dtype=torch.float32)


class Densities(NamedTuple):
    """Mean log density of the held-out rows in nats, all with the same latent size; the VAE's is a lower bound."""

    vae: float
    pca: float  # probabilistic PCA: one variance for all pixels
    factors: float  # factor analysis: one for each, as log_var_shape=(64,) has


def densities(seed: int, latent_size: int, *, log_var_shape: Size = (64,), epochs: int = 120) -> Densities:
    train, held_out = dequantised(seed)
    torch.manual_seed(seed)
    vae = VAE(
        MLP(64, 2 * latent_size, (256, 256), activation="silu"),
        MLP(latent_size, 64, (256, 256), activation="silu"),
        latent_size=latent_size,
        log_var_shape=log_var_shape,
    )
    vae.start_from_(train)
    steps = epochs * math.ceil(len(train) / 64)
    run = fit(
        vae, (train,), vae.loss, AdamW(vae.parameters(), lr=3e-3, weight_decay=0.0), epochs=epochs, batch_size=64,
        schedule=cosine(total_steps=steps), generator=torch.Generator().manual_seed(seed),
        callbacks=[warm_up_kl(vae, epochs // 4)],
    )  # fmt: skip
    assert run.skipped == 0 and vae.beta == 1
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        bound = sum(vae.elbo(held_out, generator=draws).mean().item() for _ in range(10)) / 10
    rows, others = train.double().numpy(), held_out.double().numpy()
    return Densities(
        bound, PCA(latent_size).fit(rows).score(others), FactorAnalysis(latent_size).fit(rows).score(others)
    )


def images(classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Pixels 0 ... 16 and labels of the first classes."""
    X, y = load_digits(return_X_y=True)
    return X[y < classes], y[y < classes]


def players(seed: int, width: int) -> tuple[nn.Module, nn.Module]:
    """A generator with batch normalisation, and a discriminator each of whose layers has spectral norm 1."""
    torch.manual_seed(seed)
    generator = nn.Sequential(MLP(32, 64, (width, width), norm="batch"), nn.Tanh())
    discriminator = MLP(64, 1, (width, width), activation=lambda: nn.LeakyReLU(0.2))
    for part in discriminator.modules():
        if isinstance(part, nn.Linear):
            nn.utils.parametrizations.spectral_norm(part)
    return generator, discriminator


def trained_generator(X: np.ndarray, seed: int, *, width: int = 256, epochs: int = 120) -> tuple[nn.Module, GANRun]:
    generator, discriminator = players(seed, width)
    optimizers = [Adam(player.parameters(), lr=5e-4, betas=(0.5, 0.9)) for player in (generator, discriminator)]
    scaled = torch.tensor(X / 8 - 1, dtype=torch.float32)
    run = fit_gan(
        generator, discriminator, scaled, *optimizers, latent_size=32, epochs=epochs, smoothing=0.1,
        rng=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    return generator, run


def samples(generator: nn.Module, n: int, seed: int) -> np.ndarray:
    """Pixels 0 ... 16 of n samples."""
    generator.eval()
    with torch.no_grad():
        z = torch.randn(n, 32, generator=torch.Generator().manual_seed(seed + 100))
        return (8 * (generator(z) + 1)).numpy().astype(np.float64)
