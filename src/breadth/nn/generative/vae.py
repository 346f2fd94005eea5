"""Variational autoencoder: a latent Gaussian decoded to the data, learnt through a bound of the likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from breadth.nn.fit import Run
from breadth.nn.losses.variational import (
    Likelihood,
    bernoulli_reconstruction_loss,
    gaussian_reconstruction_loss,
    negative_elbo,
)


class VAE(nn.Module):
    """z ~ N(0, I), x ~ p(x | decoder(z)), and q(z | x) = N(mean, diag exp(log_var)) from the encoder.

    Training maximises ELBO = E_q log p(x | z) - KL(q(z | x) || N(0, I)) <= log p(x), with one sample
    z = mean + exp(log_var / 2) eps, eps ~ N(0, I), so that the gradient runs through it. In `breadth.nn.fit.fit`:

        fit(vae, (X,), vae.loss, AdamW(vae.parameters()), epochs=100)

    Args:
        encoder: from x to mean and log_var in one tensor, shape (batch, 2 latent_size).
        decoder: from z, shape (batch, latent_size), to logits ("bernoulli") or means ("gaussian"), shape of x.
        latent_size: entries of z, >= 1.
        likelihood: "gaussian" for real-valued x, "bernoulli" for x in {0, 1}.
        beta: weight of the KL in `loss`, >= 0; `elbo` and `log_likelihood` never see it.
        log_var_shape: of log_var, to broadcast to x: () is one variance for all entries, (features,) one for each.

    Attributes:
        log_var: of "gaussian", the logarithm of the variance given z, learnt; starts at 0, or where `start_from_` puts
            it, which data of another scale than 1 need.

    Raises:
        ValueError: if latent_size or beta is out of range, or the likelihood is unknown.

    Cost: one pass of encoder and decoder an example; `log_likelihood` decodes `samples` times.
    References: Kingma & Welling 2014, arXiv:1312.6114, eqs. 3 and 10 and section 2.4 (reparameterisation);
        Higgins et al. 2017, ICLR, eq. 4 (beta); Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 8.
    Peer: the linear Gaussian model in closed form: log p(x), float64, 1e-12; mean ELBO, 4 standard errors (B). On
        held-out digits the ELBO is above the density of scikit-learn's PCA and FactorAnalysis of as many latents.
    In production: use it for latents and for detecting what is unlike the data; diffusion models sample better.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        latent_size: int,
        likelihood: Likelihood = "gaussian",
        beta: float = 1.0,
        log_var_shape: tuple[int, ...] = (),
    ):
        super().__init__()
        if latent_size < 1:
            raise ValueError(f"latent_size must be >= 1, got {latent_size}")
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"likelihood must be 'bernoulli' or 'gaussian', got {likelihood!r}")
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be >= 0 and finite, got {beta}")
        self.encoder, self.decoder = encoder, decoder
        self.latent_size, self.beta = latent_size, beta
        self.likelihood: Likelihood = likelihood
        self.log_var = nn.Parameter(torch.zeros(log_var_shape)) if likelihood == "gaussian" else None

    @torch.no_grad()
    def start_from_(self, X: Tensor) -> None:
        """Set log_var to the logarithm of the variance of X about its mean, shape (rows, ...), as if z said nothing.

        From log_var = 0, data of standard deviation 0.01 are noise to the decoder for as long as the optimizer takes to
        get there. Entries that are constant in X keep theirs.
        """
        if self.log_var is None:
            raise ValueError(f"start_from_ is for likelihood='gaussian', this is {self.likelihood!r}")
        if len(X) < 2:
            raise ValueError(f"X must have two rows or more, got shape {tuple(X.shape)}")
        squares = (X - X.mean(0)).square()
        while squares.dim() > self.log_var.dim() + 1:
            squares = squares.flatten(0, 1)
        axes = [0] + [i + 1 for i, n in enumerate(self.log_var.shape) if n == 1]
        variance = squares.mean(axes, keepdim=True)[0]
        self.log_var.copy_(torch.where(variance > 0, variance.log(), self.log_var))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log_var of q(z | x), each (batch, latent_size)."""
        code = self.encoder(x)
        if code.shape != (len(x), 2 * self.latent_size):
            expected = (len(x), 2 * self.latent_size)
            raise ValueError(f"encoder must give shape {expected}, mean and log_var, got {tuple(code.shape)}")
        return code[:, : self.latent_size], code[:, self.latent_size :]

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded sample, mean and log_var for x, shape (batch, ...)."""
        mean, log_var = self.encode(x)
        return self.decoder(_drawn(mean, log_var, generator)), mean, log_var

    def loss(self, model: nn.Module, batch: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """Sum of the negative ELBO with beta, and the number of examples: a loss of `fit`."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        return self._negative_elbo(x, *model(x), beta=self.beta).sum(), len(x)

    def elbo(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One-sample ELBO of each example in nats, shape (batch,); its mean over draws bounds log p(x)."""
        return -self._negative_elbo(x, *self(x, generator=generator), beta=1.0)

    def log_likelihood(self, x: Tensor, *, samples: int = 100, generator: torch.Generator | None = None) -> Tensor:
        """Importance-weighted estimate log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x), shape (batch,).

        Args:
            x: shape (batch, ...).
            samples: K >= 1; the expectation rises with K from the ELBO to log p(x).
            generator: of the draws; None takes torch's own.

        Returns:
            A lower bound of log p(x) in expectation, in nats.

        Raises:
            ValueError: if samples < 1.
        """
        if samples < 1:
            raise ValueError(f"samples must be >= 1, got {samples}")
        mean, log_var = self.encode(x)
        weights = []
        for _ in range(samples):
            z = _drawn(mean, log_var, generator)
            # log p(z) - log q(z | x): the constants of the two normal densities cancel
            ratio = 0.5 * (((z - mean) * (-0.5 * log_var).exp()).square() + log_var - z.square()).sum(1)
            weights.append(ratio - self._reconstruction_loss(self.decoder(z), x))
        return torch.stack(weights).logsumexp(0) - math.log(samples)

    def reconstruct(self, x: Tensor) -> Tensor:
        """What the mean of q(z | x) decodes to: means, or probabilities of "bernoulli"; shape of x."""
        return self._expected(self.decoder(self.encode(x)[0]))

    def sample(self, n: int, *, noise: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """Draw z from the prior and decode it.

        Args:
            n: how many, >= 0.
            noise: draw x from p(x | z) too; else its mean.
            generator: of the draws, on the device of the parameters; None takes torch's own.

        Returns:
            Shape (n, ...).
        """
        like = next(self.parameters())
        z = torch.empty(n, self.latent_size, dtype=like.dtype, device=like.device).normal_(generator=generator)
        x = self._expected(self.decoder(z))
        if not noise:
            return x
        if self.log_var is None:
            return torch.bernoulli(x, generator=generator)
        return x + (0.5 * self.log_var).exp() * torch.empty_like(x).normal_(generator=generator)

    def _expected(self, decoded: Tensor) -> Tensor:
        return decoded.sigmoid() if self.likelihood == "bernoulli" else decoded

    def _reconstruction_loss(self, decoded: Tensor, x: Tensor) -> Tensor:
        if self.log_var is None:
            return bernoulli_reconstruction_loss(decoded, x, reduction="none")
        return gaussian_reconstruction_loss(decoded, x, log_var=self.log_var, reduction="none")

    def _negative_elbo(self, x: Tensor, decoded: Tensor, mean: Tensor, log_var: Tensor, *, beta: float) -> Tensor:
        decoder_log_var = 0.0 if self.log_var is None else self.log_var
        return negative_elbo(
            decoded,
            x,
            mean,
            log_var,
            likelihood=self.likelihood,
            decoder_log_var=decoder_log_var,
            beta=beta,
            reduction="none",
        )


def warm_up_kl(vae: VAE, epochs: int) -> Callable[[Run], None]:
    """Callback of `fit` that raises the KL's weight from 0 to vae.beta along a line: beta min(1, epoch / epochs).

        fit(vae, (X,), vae.loss, optimizer, epochs=100, callbacks=[warm_up_kl(vae, 20)])

    Latents that say nothing cost nothing: a VAE that meets the whole KL while its decoder knows nothing may never use
    them. The weight of the first epoch is 0; at the end it is what it was before.

    Args:
        vae: whose beta is changed, at once to 0.
        epochs: until the weight is whole, >= 1.

    Returns:
        The callback.

    Raises:
        ValueError: if epochs < 1.

    Cost: none.
    References: Bowman et al. 2016, arXiv:1511.06349, section 3.1; Sønderby et al. 2016, arXiv:1602.02282, section 3.
    Peer: the line itself (C).
    In production: use it where some latents keep a KL of 0.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be >= 1, got {epochs}")
    whole, vae.beta = vae.beta, 0.0

    def after_epoch(run: Run) -> None:
        vae.beta = whole * min(1.0, len(run.history) / epochs)

    return after_epoch


def _drawn(mean: Tensor, log_var: Tensor, generator: torch.Generator | None) -> Tensor:
    """mean + sd eps, so that the gradient reaches mean and sd."""
    return mean + (0.5 * log_var).exp() * torch.empty_like(mean).normal_(generator=generator)
