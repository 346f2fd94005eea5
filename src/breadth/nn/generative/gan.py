"""Generative adversarial network: a generator and a discriminator that play against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from breadth.nn.clip import guarded_step
from breadth.nn.update import minibatches


class GANEpoch(NamedTuple):
    """Means over one epoch."""

    discriminator_loss: float  # 2 log 2 = 1.386 where the discriminator cannot tell
    generator_loss: float  # log 2 there
    real: float  # mean D(x) on data, in (0, 1)
    generated: float  # mean D(G(z))
    skipped: int  # steps of either player left out because a gradient was not finite


@dataclass
class GANRun:
    """What `fit_gan` returns."""

    history: list[GANEpoch] = field(default_factory=list)


def discriminator_loss(real: Tensor, generated: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """-mean log D(x) - mean log(1 - D(G(z))), from the discriminator's logits, each of any shape.

    With smoothing s data are to be called real with probability 1 - s: -(1 - s) log D(x) - s log(1 - D(x)).
    """
    of_real = softplus(-real).mean()
    if smoothing:
        of_real = (1 - smoothing) * of_real + smoothing * softplus(real).mean()
    return of_real + softplus(generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """The non-saturating -mean log D(G(z)), from logits: its gradient stays where the discriminator is sure."""
    return softplus(-generated).mean()


def fit_gan(
    generator: nn.Module,
    discriminator: nn.Module,
    X: Tensor,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    *,
    latent_size: int,
    epochs: int,
    batch_size: int = 64,
    smoothing: float = 0.0,
    noise: float = 0.0,
    rng: torch.Generator | None = None,
) -> GANRun:
    """Train both players: min_G max_D E log D(x) + E log(1 - D(G(z))), z ~ N(0, I), one step each a batch.

    Args:
        generator: from z, shape (batch, latent_size), to the shape of the data.
        discriminator: from data to logits, log D / (1 - D).
        X: data, shape (rows, ...).
        generator_optimizer: of the generator's parameters.
        discriminator_optimizer: of the discriminator's.
        latent_size: entries of z, >= 1.
        epochs: passes through X, >= 0.
        batch_size: rows of a batch.
        smoothing: one-sided label smoothing, in [0, 1): data are real with probability 1 - smoothing, so that a
            discriminator that is sure is wrong.
        noise: standard deviation, >= 0, of what is added to all that the discriminator sees, at the first epoch; it
            falls to 0 along a line, at the last. Densities that do not overlap leave nothing to learn; blurred ones do.
        rng: of shuffling, z and noise; None takes a seed from torch's own.

    Returns:
        Losses and mean scores by epoch. Neither loss says how good samples are: look at them, or classify them.

    Raises:
        ValueError: if latent_size, epochs, smoothing or noise is out of range, or X is empty.

    Cost: three passes of the discriminator and two of the generator a batch.
    Deviations: the generator descends -log D(G(z)) rather than log(1 - D(G(z))), as the paper's section 3 advises;
        k = 1 step of the discriminator.
    References: Goodfellow et al. 2014, arXiv:1406.2661, eq. 1, section 3 and algorithm 1; Salimans et al. 2016,
        arXiv:1606.03498, section 3.4 (one-sided smoothing); Sønderby et al. 2017, arXiv:1610.04490, section 3 (noise).
    Peer: the optimal discriminator p / (p + q) of two known densities and the value 2 log 2 (B). A support vector
        machine trained on real digits sees all ten classes in samples, on three seeds of three.
    In production: diffusion models are easier to train; a GAN samples in one pass.
    """
    if latent_size < 1 or epochs < 0:
        raise ValueError(f"latent_size must be >= 1 and epochs >= 0, got {latent_size} and {epochs}")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be >= 0 and finite, got {noise}")
    if len(X) == 0:
        raise ValueError("X must have rows")
    rng = rng or torch.Generator().manual_seed(int(torch.randint(2**63 - 1, ())))
    run = GANRun()
    generator.train()
    discriminator.train()

    def draw(n: int) -> Tensor:
        return torch.randn(n, latent_size, dtype=X.dtype, generator=rng).to(X.device)

    for epoch in range(epochs):
        sd = noise * (1 - epoch / epochs)

        def blurred(x: Tensor, sd: float = sd) -> Tensor:
            return x + sd * torch.randn(x.shape, dtype=x.dtype, generator=rng).to(x.device) if sd else x

        sums, batches, skipped = [0.0] * 4, 0, 0
        for (x,) in minibatches(X, batch_size=batch_size, generator=rng):
            with torch.no_grad():
                fake = generator(draw(len(x)))
            discriminator_optimizer.zero_grad()
            real_logits, fake_logits = discriminator(blurred(x)), discriminator(blurred(fake))
            d_loss = discriminator_loss(real_logits, fake_logits, smoothing=smoothing)
            d_loss.backward()
            skipped += not guarded_step(discriminator_optimizer).taken

            generator_optimizer.zero_grad()
            g_loss = generator_loss(discriminator(blurred(generator(draw(len(x))))))
            g_loss.backward()  # fills the discriminator's gradients too, which its next step clears
            skipped += not guarded_step(generator_optimizer).taken

            seen = (d_loss, g_loss, real_logits.sigmoid().mean(), fake_logits.sigmoid().mean())
            sums, batches = [a + b.item() for a, b in zip(sums, seen, strict=True)], batches + 1
        run.history.append(GANEpoch(*(total / batches for total in sums), skipped=skipped))
    generator.eval()
    discriminator.eval()
    return run
