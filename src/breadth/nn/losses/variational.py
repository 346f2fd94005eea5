"""Terms of the evidence lower bound of a variational autoencoder: the KL to the prior, and the reconstruction."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from breadth.nn.losses.contract import Reduction, at_least_float32, check_broadcasts, check_same_shape, reduce_loss
from breadth.nn.losses.cross_entropy import binary_cross_entropy_with_logits

Likelihood = Literal["bernoulli", "gaussian"]


def _of_examples(loss: Tensor, reduction: Reduction) -> Tensor:
    if loss.ndim == 0:
        raise ValueError("expected a batch axis before the axes that are summed, got a scalar")
    total = loss.flatten(1).sum(1) if loss.ndim > 1 else loss
    return reduce_loss(total, None, reduction)


def kl_to_standard_normal(mean: Tensor, log_var: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """KL(N(mean, diag exp(log_var)) || N(0, I)) = 1/2 sum_j (mean_j^2 + exp(log_var_j) - log_var_j - 1).

    Args:
        mean: of the approximate posterior, shape (batch, ...); all axes but the first are summed.
        log_var: natural logarithm of its variances, shape of mean.
        reduction: over the batch.

    Returns:
        KL in nats, >= 0: a scalar, or shape (batch,) for "none".

    Raises:
        ValueError: if the shapes differ, or there is no batch axis.
        TypeError: if an argument is not floating point.

    Cost: O(size of mean) time.
    References: Kingma & Welling 2014, arXiv:1312.6114, appendix B.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); torch.distributions.kl_divergence, float64, 1e-12 (A).
    In production: part of `negative_elbo`; alone, to watch for latents that have collapsed onto the prior.
    """
    check_same_shape("log_var", log_var, "mean", mean)
    mean, log_var = at_least_float32("mean", mean), at_least_float32("log_var", log_var)
    # expm1 keeps the digits that exp(v) - 1 - v loses near the prior
    return _of_examples(0.5 * (mean.square() + (torch.expm1(log_var) - log_var)), reduction)


def gaussian_reconstruction_loss(
    mean: Tensor, x: Tensor, *, log_var: Tensor | float = 0.0, reduction: Reduction = "mean"
) -> Tensor:
    """-log N(x; mean, exp(log_var) I) = 1/2 sum_j ((x_j - mean_j)^2 exp(-log_var_j) + log_var_j + log 2 pi).

    Args:
        mean: what the decoder predicts, shape (batch, ...); all axes but the first are summed.
        x: the data, shape of mean.
        log_var: natural logarithm of the variance: a number, or a tensor that broadcasts to mean, such as one learnt.
        reduction: over the batch.

    Returns:
        Negative log-likelihood in nats, with its constant: a scalar, or shape (batch,) for "none".

    Raises:
        ValueError: if the shapes do not fit, or there is no batch axis.
        TypeError: if mean is not floating point.

    Cost: O(size of mean) time.
    References: Kingma & Welling 2014, arXiv:1312.6114, appendix C.2.
    Peer: torch's gaussian_nll_loss(full=True), float64, 1e-12 (A); mpmath at 60 digits (B).
    In production: use it for real-valued data; a log_var of its own, learnt, sets the balance with the KL.
    """
    check_same_shape("x", x, "mean", mean)
    mean = at_least_float32("mean", mean)
    log_var = torch.as_tensor(log_var, dtype=mean.dtype, device=mean.device)
    check_broadcasts("log_var", log_var, "mean", mean)
    # scaled before it is squared: (x - mean)^2 may overflow where the quotient does not
    standard = (x.to(mean.dtype) - mean) * (-0.5 * log_var).exp()
    return _of_examples(0.5 * (standard.square() + log_var + math.log(2 * math.pi)), reduction)


def bernoulli_reconstruction_loss(logits: Tensor, x: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """-log Bernoulli(x; s(logits)) = -sum_j x_j log s_j + (1 - x_j) log(1 - s_j).

    Args:
        logits: what the decoder predicts, shape (batch, ...); all axes but the first are summed.
        x: the data in [0, 1], shape of logits. Between 0 and 1 this is no likelihood, though in common use.
        reduction: over the batch.

    Returns:
        Negative log-likelihood in nats: a scalar, or shape (batch,) for "none".

    Raises:
        ValueError: if the shapes differ, there is no batch axis, or x lies outside [0, 1].
        TypeError: if logits are not floating point.

    Cost: O(size of logits) time.
    References: Kingma & Welling 2014, arXiv:1312.6114, appendix C.1.
    Peer: torch's binary_cross_entropy_with_logits, summed, float64, 1e-12 (A).
    In production: use it for binary data; for grey levels as intensities prefer `gaussian_reconstruction_loss`.
    """
    check_same_shape("x", x, "logits", logits)
    return _of_examples(binary_cross_entropy_with_logits(logits, x, reduction="none"), reduction)


def negative_elbo(
    decoded: Tensor,
    x: Tensor,
    mean: Tensor,
    log_var: Tensor,
    *,
    likelihood: Likelihood = "bernoulli",
    decoder_log_var: Tensor | float = 0.0,
    beta: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Upper bound of -log p(x): -E_q log p(x | z) + beta KL(q(z | x) || N(0, I)), with one sample z.

    Args:
        decoded: the decoder's output for z ~ q(z | x): logits of "bernoulli", means of "gaussian", shape (batch, ...).
        x: the data, shape of decoded.
        mean: of q(z | x), shape (batch, ...).
        log_var: natural logarithm of the variances of q(z | x), shape of mean.
        likelihood: "bernoulli" or "gaussian".
        decoder_log_var: of "gaussian"; see `gaussian_reconstruction_loss`.
        beta: weight of the KL, >= 0; 1 bounds the evidence, more asks for simpler latents.
        reduction: over the batch.

    Returns:
        Loss in nats: a scalar, or shape (batch,) for "none".

    Raises:
        ValueError: if beta < 0, likelihood is unknown, batches differ, or as the two terms say.
        TypeError: if an argument is not floating point.

    Cost: O(size of decoded and mean) time.
    References: Kingma & Welling 2014, arXiv:1312.6114, eqs. 3 and 10; Higgins et al. 2017, ICLR, eq. 4 (beta).
    Peer: -log p(x) of a linear Gaussian model, which it equals at the exact posterior, 1e-12 (B).
    In production: report it at beta = 1 whatever beta trained the model.
    """
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta must be >= 0 and finite, got {beta}")
    if decoded.shape[:1] != mean.shape[:1]:
        raise ValueError(f"decoded and mean must have one batch, got {tuple(decoded.shape)} and {tuple(mean.shape)}")
    if likelihood == "bernoulli":
        reconstruction = bernoulli_reconstruction_loss(decoded, x, reduction="none")
    elif likelihood == "gaussian":
        reconstruction = gaussian_reconstruction_loss(decoded, x, log_var=decoder_log_var, reduction="none")
    else:
        known = ", ".join(map(repr, get_args(Likelihood)))
        raise ValueError(f"likelihood must be one of {known}, got {likelihood!r}")
    loss = reconstruction + beta * kl_to_standard_normal(mean, log_var, reduction="none")
    return reduce_loss(loss, None, reduction)
