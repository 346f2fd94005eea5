"""Losses that learn from unlabelled examples: agreement of two predictions, alone and beside cross entropy."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import Tensor

from breadth.nn.losses.contract import (
    Reduction,
    at_least_float32,
    check_same_shape,
    class_axis,
    labelled,
    reduce_loss,
    reduce_weighted,
)

Divergence = Literal["mse", "kl"]


def consistency_loss(
    logits: Tensor,
    target_logits: Tensor,
    *,
    divergence: Divergence = "mse",
    sample_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Disagreement of two predictions for the same examples, seen through different noise (the Pi-model's).

        mse    1/C sum_c (p_c - t_c)^2
        kl     sum_c t_c (log t_c - log p_c)

    Args:
        logits: unnormalised scores, shape (classes,) or (batch, classes, ...); p is their softmax.
        target_logits: those of the other pass, shape of logits; t is their softmax. The gradient runs through both:
            detach those of a teacher.
        divergence: "mse" or "kl".
        sample_weight: per example, >= 0, shape of logits without the classes, or of the leading axes of that; the
            confidence mask of FixMatch goes here.
        reduction: "mean" divides by the sum of sample_weight.

    Returns:
        Loss, >= 0: a scalar, or shape of logits without the classes for "none".

    Raises:
        ValueError: if a shape does not fit, divergence is unknown, or sample_weight is negative.
        TypeError: if logits are not floating point.

    Cost: O(batch classes) time, four tensors of that size kept for the gradient.
    References: Laine & Aila 2017, arXiv:1610.02242, algorithm 1 (mse); Miyato et al. 2018, arXiv:1704.03976
        (kl).
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); torch's mse_loss and kl_div, float64, 1e-12 (A).
    In production: "mse" is bounded and forgives wrong targets; "kl" pulls harder where they disagree most.
    """
    if divergence not in get_args(Divergence):
        raise ValueError(f"divergence must be one of {', '.join(map(repr, get_args(Divergence)))}, got {divergence!r}")
    check_same_shape("target_logits", target_logits, "logits", logits)
    axis = class_axis(logits)
    log_p = at_least_float32("logits", logits).log_softmax(axis)
    log_t = at_least_float32("target_logits", target_logits).log_softmax(axis)
    if divergence == "mse":
        loss = (log_p.exp() - log_t.exp()).square().sum(axis) / logits.shape[axis]
    else:  # a class that cannot be in the target has 0 log 0 = 0
        loss = (log_t.exp() * (log_t - log_p).masked_fill(log_t.isneginf(), 0.0)).sum(axis)
    return reduce_weighted(loss, sample_weight, reduction)


def ramp_up(step: float, length: float) -> float:
    """Weight that rises from 0.0067 to 1 as a Gaussian: exp(-5 (1 - min(step / length, 1))^2).

    Args:
        step: epochs or updates done, >= 0.
        length: the step from which on it is 1, >= 0; the paper's is 80 epochs of 300.

    Returns:
        A number in [exp(-5), 1]. Times the largest weight, it is the `unsupervised_weight` of this step.

    Raises:
        ValueError: if step or length is negative.

    References: Laine & Aila 2017, arXiv:1610.02242, section 2.1 and appendix A.
    Peer: the formula at its ends and middle, 1e-15 (B).
    In production: use it for any term that is worth nothing until the model predicts something.
    """
    for name, value in (("step", step), ("length", length)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be >= 0 and finite, got {value}")
    return 1.0 if step >= length else math.exp(-5 * (1 - step / length) ** 2)


def joint_semi_supervised_loss(
    logits: Tensor,
    target: Tensor,
    target_logits: Tensor,
    *,
    unsupervised_weight: float,
    divergence: Divergence = "mse",
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy where there is a label, and consistency everywhere: L_sup + lambda L_unsup.

    For each example [labelled] (-w_y log p_y) + lambda D(t, p); the mean is over all examples, so that the share of
    labelled ones in a batch does not shift the balance, and a batch without any is no special case.

    Args:
        logits: unnormalised scores of one pass, shape (classes,) or (batch, classes, ...).
        target: class indices in [0, classes), or ignore_index for an unlabelled example, shape of logits without the
            classes.
        target_logits: scores of the other pass, shape of logits; see `consistency_loss`.
        unsupervised_weight: lambda >= 0 at this step, commonly its largest value times `ramp_up`.
        divergence: "mse" or "kl", as of `consistency_loss`.
        weight: per class, >= 0, shape (classes,), of the supervised part.
        ignore_index: what marks an unlabelled example.
        reduction: "mean" divides by the number of examples.

    Returns:
        Loss: a scalar, or shape of target for "none".

    Raises:
        ValueError: if unsupervised_weight < 0, a shape does not fit, target holds an index outside [0, classes), or
            divergence is unknown.
        TypeError: if logits are not floating point, or target is not of an integer dtype.

    Cost: that of `cross_entropy` and of `consistency_loss`.
    References: Laine & Aila 2017, arXiv:1610.02242, algorithm 1.
    Peer: the sum of torch's cross_entropy and mse_loss or kl_div over the batch, float64, 1e-12 (A).
    In production: use it with few labels and strong augmentation; self-training needs less tuning.
    """
    if not 0 <= unsupervised_weight < math.inf:
        raise ValueError(f"unsupervised_weight must be >= 0 and finite, got {unsupervised_weight}")
    batch = labelled(logits, target, weight=weight, ignore_index=ignore_index)
    agreement = consistency_loss(logits, target_logits, divergence=divergence, reduction="none")
    loss = -batch.log_p_target * batch.weight + unsupervised_weight * agreement
    return reduce_loss(loss, None, reduction)
