"""Losses for classes of very unequal frequency: class-balanced weights, balanced softmax, focal, asymmetric."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from breadth.nn.losses.contract import (
    Reduction,
    along_classes,
    at_least_float32,
    binary,
    class_axis,
    class_weight,
    labelled,
    reduce_loss,
    reduce_weighted,
)
from breadth.nn.losses.cross_entropy import cross_entropy


def _checked_counts(class_counts: Tensor | Sequence[float]) -> Tensor:
    counts = torch.as_tensor(class_counts).detach().double()
    if counts.ndim != 1 or len(counts) == 0:
        raise ValueError(f"class_counts must have shape (classes,), got {tuple(counts.shape)}")
    if not torch._is_all_true((counts > 0) & counts.isfinite()):
        raise ValueError(
            f"class_counts must be > 0 and finite, got {counts.tolist()}; "
            "drop classes without examples, or give them a pseudo-count"
        )
    return counts


def class_balanced_weight(class_counts: Tensor | Sequence[float], *, beta: float = 0.999) -> Tensor:
    """Weights for re-weighted cross entropy: w_c proportional to (1 - b) / (1 - b^n_c), summing to the classes' number.

    1 / w_c is the effective number of examples: n_c of them that overlap cover less than n_c apart. b = 0 weighs all
    classes alike, and b = 1 by the inverse of their count, 1 / n_c.

    Args:
        class_counts: examples of each class in the training set, > 0, shape (classes,).
        beta: b in [0, 1]; (N - 1) / N when a class has N distinct prototypes.

    Returns:
        Weights for the `weight` of the losses, shape (classes,), in the dtype of floating-point counts, else torch's
        default.

    Raises:
        ValueError: if a count is not positive, or beta is outside [0, 1].

    Cost: O(classes).
    References: Cui et al. 2019, arXiv:1901.05555, proposition 1 and section 4; King & Zeng 2001, Political Analysis
        9(2) (inverse frequency).
    Peer: the formula in mpmath at 60 digits, 1e-12 (B).
    In production: cross_entropy(logits, target, weight=class_balanced_weight(counts)); the steps that rare classes
        cause grow with their weight, so prefer `balanced_softmax_loss` on long tails.
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be in [0, 1], got {beta}")
    counts = _checked_counts(class_counts)
    if beta == 1:
        weight = 1 / counts
    else:  # expm1 keeps the digits that 1 - b^n loses as b nears 1
        log_beta = math.log(beta) if beta > 0 else -math.inf
        weight = (beta - 1) / torch.expm1(counts * log_beta)
    weight = weight * (len(counts) / weight.sum())
    given = class_counts.dtype if isinstance(class_counts, Tensor) else None
    return weight.to(given if given is not None and given.is_floating_point else torch.get_default_dtype())


def balanced_softmax_loss(
    logits: Tensor,
    target: Tensor,
    *,
    class_counts: Tensor | Sequence[float],
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy of a softmax with the training prior put in: -log(n_y e^z_y / sum_c n_c e^z_c).

    The prior explains the imbalance, so that the logits learn p(y | x) under equal classes: predict with the plain
    softmax of the logits.

    Args:
        logits: unnormalised scores, shape (classes,) or (batch, classes, ...).
        target, weight, sample_weight, ignore_index, label_smoothing, reduction: as of `cross_entropy`.
        class_counts: examples of each class in the training set, > 0, shape (classes,); only their ratios count.

    Returns:
        Loss in nats: a scalar, or shape of logits without the classes for "none".

    Raises:
        ValueError: if class_counts do not fit or are not positive, or as `cross_entropy` says.
        TypeError: as `cross_entropy` says.

    Cost: that of `cross_entropy` and one addition to the logits.
    References: Ren et al. 2020, arXiv:2007.10740, eq. 4; Menon et al. 2021, arXiv:2007.07314, eq. 10 with tau = 1.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); equal counts: torch's cross entropy, 1e-12 (A).
    In production: use it where test classes count alike whatever their frequency in training.
    """
    axis, logits = class_axis(logits), at_least_float32("logits", logits)
    counts = _checked_counts(class_counts)
    if len(counts) != logits.shape[axis]:
        raise ValueError(f"class_counts must have shape ({logits.shape[axis]},), one a class, got ({len(counts)},)")
    log_prior = (counts / counts.max()).log().to(logits)  # at most 0, so that equal counts change no bit
    return cross_entropy(
        logits + along_classes(log_prior, logits),
        target,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy of a softmax that holds easy examples back: -alpha_y (1 - p_y)^gamma log p_y.

    Args:
        logits: unnormalised scores, shape (classes,) or (batch, classes, ...).
        target: class indices in [0, classes), shape of logits without the classes.
        gamma: focusing exponent, >= 0; 0 gives cross entropy with alpha as its weights.
        alpha: per class, >= 0, shape (classes,); None means 1.
        sample_weight: per example, >= 0, shape of target, or of its leading axes.
        ignore_index: class index of examples that are left out.
        reduction: "mean" divides by the sum of sample_weight.

    Returns:
        Loss in nats: a scalar, or shape of target for "none".

    Raises:
        ValueError: if gamma < 0, a shape does not fit, target holds an index outside [0, classes), or a weight is
            negative.
        TypeError: if logits are not floating point, or target is not of an integer dtype.

    Cost: that of `cross_entropy`, and O(batch).
    Deviations: the paper's mean is over the anchors that hold an object; this one is over examples, not over the sum
        of alpha.
    References: Lin et al. 2017, arXiv:1708.02002, eq. 5, with p_t of a softmax.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); gamma = 0: torch's cross entropy, 1e-12 (A).
    In production: use it for dense detection and segmentation; its scores are under-confident, so calibrate them.
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma must be >= 0 and finite, got {gamma}")
    batch = labelled(logits, target, sample_weight=sample_weight, ignore_index=ignore_index)
    # where p rounds to 1, (1 - p)^(gamma - 1) would be infinite; log p is 0 there, or beyond the machine epsilon
    log_p = batch.log_p_target.clamp(max=-(torch.finfo(batch.log_p.dtype).eps ** 2))
    loss = -(-torch.expm1(log_p)).pow(gamma) * log_p
    of_class = 1 if alpha is None else class_weight("alpha", alpha, batch.log_p)[batch.index]
    return reduce_loss(loss * of_class * batch.sample_weight, batch.sample_weight, reduction)


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    sample_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Focal loss of each label by itself, binary or multi-label: -alpha_t (1 - p_t)^gamma log p_t.

    p_t is the sigmoid s for label 1 and 1 - s for label 0, and alpha_t is alpha and 1 - alpha.

    Args:
        logits: log-odds, any shape.
        target: probabilities of the label in [0, 1], shape of logits; the losses of both labels are mixed by them.
        alpha: weight of label 1, in [0, 1]; None weighs both by 1. Since gamma holds the many easy negatives back
            already, 0.25 goes with gamma = 2.
        gamma: focusing exponent, >= 0; 0 gives log loss with these weights.
        sample_weight: per element, >= 0, shape of logits, or of its leading axes: (batch,) weighs examples.
        reduction: "mean" divides by the sum of sample_weight over all elements.

    Returns:
        Loss in nats: a scalar, or shape of logits for "none".

    Raises:
        ValueError: if alpha is outside [0, 1], gamma < 0, a shape does not fit, target lies outside [0, 1], or
            sample_weight is negative.
        TypeError: if logits are not floating point.

    Cost: O(size of logits) time, about six temporaries of that size kept for the gradient.
    Deviations:
        1. The paper's mean is over the anchors that hold an object: divide the "sum" by their number.
        2. Targets between 0 and 1 give the expected loss; torchvision puts them into p_t.
    References: Lin et al. 2017, arXiv:1708.02002, eq. 5 and section 5.1 (alpha = 0.25, gamma = 2).
    Peer: torchvision.ops.sigmoid_focal_loss, value and gradient, float64, 1e-12 (A); mpmath at 60 digits (B).
    In production: use it where nearly all labels are easy negatives, as in dense detection.
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1] or None, got {alpha}")
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma must be >= 0 and finite, got {gamma}")
    x, t = binary(logits, target)
    log_p, log_q = logsigmoid(x), logsigmoid(-x)
    of_positive, of_negative = (1, 1) if alpha is None else (alpha, 1 - alpha)
    positive = of_positive * t * (gamma * log_q).exp() * log_p
    negative = of_negative * (1 - t) * (gamma * log_p).exp() * log_q
    return reduce_weighted(-(positive + negative), sample_weight, reduction)


def asymmetric_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    margin: float = 0.05,
    sample_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Multi-label loss that focuses labels 0 more than labels 1, and drops those that are very easy.

    With s the sigmoid and s_m = max(s - m, 0): -t (1 - s)^gamma_pos log s - (1 - t) s_m^gamma_neg log(1 - s_m).

    Args:
        logits: log-odds, any shape, commonly (batch, labels).
        target: probabilities of the label in [0, 1], shape of logits; the losses of both labels are mixed by them.
        gamma_neg: focusing exponent of label 0, >= 0.
        gamma_pos: focusing exponent of label 1, >= 0, commonly not above gamma_neg.
        margin: m in [0, 1), the probability below which a label 0 costs nothing.
        sample_weight: per element, >= 0, shape of logits, or of its leading axes: (batch,) weighs examples.
        reduction: "mean" divides by the sum of sample_weight over all elements.

    Returns:
        Loss in nats: a scalar, or shape of logits for "none".

    Raises:
        ValueError: if gamma_neg or gamma_pos < 0, margin is outside [0, 1), a shape does not fit, target lies outside
            [0, 1], or sample_weight is negative.
        TypeError: if logits are not floating point.

    Cost: O(size of logits) time, about eight temporaries of that size kept for the gradient.
    Deviations: the gradient is the whole one; the authors' code can leave the focusing factors out of it.
    References: Ridnik et al. 2021, arXiv:2009.14119, eqs. 5 to 7; gamma 4 and 0 and margin 0.05 are theirs for MS-COCO.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); margin = 0 with equal gammas: sigmoid_focal_loss.
    In production: use it for tagging with many labels of which few apply; sum, as the authors do, when the learning
        rate is theirs.
    """
    for name, gamma in (("gamma_neg", gamma_neg), ("gamma_pos", gamma_pos)):
        if not 0 <= gamma < math.inf:
            raise ValueError(f"{name} must be >= 0 and finite, got {gamma}")
    if not 0 <= margin < 1:
        raise ValueError(f"margin must be in [0, 1), got {margin}")
    x, t = binary(logits, target)
    log_p, log_q = logsigmoid(x), logsigmoid(-x)
    positive = (gamma_pos * log_q).exp() * log_p
    # 0^(gamma - 1) would be infinite where the shifted probability is 0
    shifted = (x.sigmoid() - margin).clamp(min=torch.finfo(x.dtype).eps ** 2)
    log_rest = log_q
    if margin > 0:  # log(1 - s + m), at most 0
        log_rest = torch.logaddexp(log_q, torch.full_like(x, math.log(margin))).clamp(max=0)
    negative = shifted.pow(gamma_neg) * log_rest
    return reduce_weighted(-(t * positive + (1 - t) * negative), sample_weight, reduction)
