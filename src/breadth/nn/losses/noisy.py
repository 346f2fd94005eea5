"""Losses that forgive wrong labels: absolute error, generalised and symmetric cross entropy, bootstrapping."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from breadth.nn.losses.contract import Labelled, Reduction, class_axis, labelled, reduce_loss


def mae_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Absolute distance of the softmax from the labelled corner of the simplex: sum_c |p_c - [c = y]| = 2 - 2 p_y.

    Its sum over all labels that an example could have is constant, so that labels wrong evenly at random move no
    minimum. Its gradient is 2 p_y times that of cross entropy: examples that look wrong hardly pull, and it learns
    slowly.

    Args:
        logits: unnormalised scores, shape (classes,) or (batch, classes, ...).
        target: class indices in [0, classes), shape of logits without the classes.
        weight: per class, >= 0, shape (classes,).
        sample_weight: per example, >= 0, shape of target, or of its leading axes.
        ignore_index: class index of examples that are left out; it may be outside [0, classes).
        reduction: "mean" divides by the sum of sample_weight w_target.

    Returns:
        Loss in [0, 2]: a scalar, or shape of target for "none".

    Raises:
        ValueError: if a shape does not fit, target holds an index outside [0, classes), or a weight is negative.
        TypeError: if logits are not floating point, or target is not of an integer dtype.

    Cost: that of `cross_entropy`, and O(batch).
    References: Ghosh, Kumar & Sastry 2017, arXiv:1712.09482, theorem 1 and section 4.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B).
    In production: prefer `generalized_cross_entropy`, which learns; use this to see what robustness costs.
    """
    batch = labelled(logits, target, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index)
    return reduce_loss(-2 * torch.expm1(batch.log_p_target) * batch.weight, batch.weight, reduction)


def generalized_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    q: float = 0.7,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Box-Cox family from cross entropy (q = 0) to half the absolute error (q = 1): (1 - p_y^q) / q.

    Args:
        logits, target, weight, sample_weight, ignore_index, reduction: as of `mae_loss`.
        q: in [0, 1]; the larger, the less wrong labels pull, and the slower hard examples are learnt.

    Returns:
        Loss in [0, 1/q]: a scalar, or shape of target for "none".

    Raises:
        ValueError: if q is outside [0, 1], or as `mae_loss` says.
        TypeError: as `mae_loss` says.

    Cost: that of `cross_entropy`, and O(batch).
    Deviations: the paper's truncation below p_y = k, with its pruning between epochs, is left to the caller, who
        sets sample_weight to 0.
    References: Zhang & Sabuncu 2018, arXiv:1805.07836, eq. 6; section 4 (q = 0.7).
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); q = 0: torch's cross entropy, 1e-12 (A).
    In production: use it when a known part of the labels is wrong and no clean set is at hand.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"q must be in [0, 1], got {q}")
    batch = labelled(logits, target, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index)
    log_p = batch.log_p_target
    loss = -torch.expm1(q * log_p) / q if q > 0 else -log_p  # expm1 keeps the digits that 1 - p^q loses for small q
    return reduce_loss(loss * batch.weight, batch.weight, reduction)


def symmetric_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy and its reverse: alpha H(t, p) + beta H(p, t), where log 0 := A in H(p, t) = -A (1 - p_y).

    Args:
        logits, target, weight, sample_weight, ignore_index, reduction: as of `mae_loss`.
        alpha: weight of cross entropy, >= 0, which makes it converge.
        beta: weight of its reverse, >= 0, which makes it robust; the reverse is -A / 2 times the absolute error.
        log_zero: A < 0, finite; -4 is a target of 0.018 where the label says 0.

    Returns:
        Loss: a scalar, or shape of target for "none".

    Raises:
        ValueError: if alpha or beta < 0, log_zero >= 0, or as `mae_loss` says.
        TypeError: as `mae_loss` says.

    Cost: that of `cross_entropy`, and O(batch).
    References: Wang et al. 2019, arXiv:1908.06112, section 3; alpha 0.1 and beta 1 are theirs for CIFAR-10.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B).
    In production: an alternative to `generalized_cross_entropy` with one dial more; alpha 6 and beta 0.1 are the
        paper's for 100 classes.
    """
    for name, factor in (("alpha", alpha), ("beta", beta)):
        if not 0 <= factor < math.inf:
            raise ValueError(f"{name} must be >= 0 and finite, got {factor}")
    if not -math.inf < log_zero < 0:
        raise ValueError(f"log_zero must be < 0 and finite, got {log_zero}")
    batch = labelled(logits, target, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index)
    log_p = batch.log_p_target
    loss = -alpha * log_p + beta * log_zero * torch.expm1(log_p)
    return reduce_loss(loss * batch.weight, batch.weight, reduction)


def soft_bootstrapping_loss(
    logits: Tensor,
    target: Tensor,
    *,
    beta: float = 0.95,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy with a target mixed from label and prediction: -sum_c (b [c = y] + (1 - b) p_c) log p_c.

    The gradient runs through p_c in the target too: the second part is the entropy of the prediction, which is
    thereby made small.

    Args:
        logits, target, weight, sample_weight, ignore_index, reduction: as of `mae_loss`.
        beta: b in [0, 1], the trust in the label; 1 gives cross entropy.

    Returns:
        Loss in nats: a scalar, or shape of target for "none".

    Raises:
        ValueError: if beta is outside [0, 1], or as `mae_loss` says.
        TypeError: as `mae_loss` says.

    Cost: O(batch classes) time, twice the memory of `cross_entropy`.
    References: Reed et al. 2015, arXiv:1412.6596, section 3 (L_soft); beta = 0.95 in their experiments.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B).
    In production: use it from a model that is trained a little already: at first the predictions know less than the
        labels.
    """
    batch = _bootstrap(logits, target, beta, weight, sample_weight, ignore_index)
    log_p = batch.log_p.masked_fill(batch.log_p.isneginf(), 0.0)  # a class that cannot be has 0 log 0 = 0
    entropy = -(batch.log_p.exp() * log_p).sum(class_axis(logits))
    return _bootstrapped(batch, entropy, beta, reduction)


def hard_bootstrapping_loss(
    logits: Tensor,
    target: Tensor,
    *,
    beta: float = 0.8,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy with a target mixed from label and predicted class: -b log p_y - (1 - b) log max_c p_c.

    Args:
        logits, target, weight, sample_weight, ignore_index, reduction: as of `mae_loss`.
        beta: b in [0, 1], the trust in the label; 1 gives cross entropy.

    Returns:
        Loss in nats: a scalar, or shape of target for "none". Of classes tied for the maximum one is taken.

    Raises:
        ValueError: if beta is outside [0, 1], or as `mae_loss` says.
        TypeError: as `mae_loss` says.

    Cost: that of `cross_entropy`, and one pass for the maximum.
    References: Reed et al. 2015, arXiv:1412.6596, section 3 (L_hard); beta = 0.8 in their experiments.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B).
    In production: as `soft_bootstrapping_loss`; it acts as one step of pseudo-labelling in each update.
    """
    batch = _bootstrap(logits, target, beta, weight, sample_weight, ignore_index)
    predicted = -batch.log_p.max(class_axis(logits)).values
    return _bootstrapped(batch, predicted, beta, reduction)


def _bootstrap(
    logits: Tensor,
    target: Tensor,
    beta: float,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    ignore_index: int,
) -> Labelled:
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be in [0, 1], got {beta}")
    return labelled(logits, target, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index)


def _bootstrapped(batch: Labelled, own: Tensor, beta: float, reduction: Reduction) -> Tensor:
    loss = -beta * batch.log_p_target + (1 - beta) * own.masked_fill(batch.weight == 0, 0.0)
    return reduce_loss(loss * batch.weight, batch.weight, reduction)
