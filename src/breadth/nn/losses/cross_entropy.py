"""Cross entropy and the squared losses beside it, from logits: softmax, sigmoid, smoothed, Brier.

Throughout the losses: `sample_weight` has one entry an example and the mean is the weighted one; the losses of float16
and bfloat16 logits are computed and returned in float32; values of targets and weights are checked on the CPU, outside
compiled code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from breadth.nn.losses.contract import (
    Reduction,
    along_classes,
    at_least_float32,
    binary,
    breaks,
    check_broadcasts,
    check_reduction,
    check_same_shape,
    check_weight,
    class_axis,
    class_weight,
    labelled,
    log_probabilities,
    minus_log_p_target,
    reduce_loss,
    reduce_weighted,
)


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy of a softmax: -sum_c w_c t_c log p_c, with t smoothed to (1 - e) t + e / C.

    Args:
        logits: unnormalised scores, shape (classes,) or (batch, classes, ...); -inf is a class that cannot be.
        target: class indices in [0, classes), shape of logits without the classes; or probabilities of the classes,
            floating point, shape of logits.
        weight: per class, >= 0, shape (classes,).
        sample_weight: per example, >= 0, shape of logits without the classes, or of the leading axes of that.
        ignore_index: class index of examples that are left out; it may be outside [0, classes).
        label_smoothing: e in [0, 1], the share of the target that is spread evenly over all classes.
        reduction: "mean" divides by the sum of sample_weight, and with class indices of sample_weight w_target.

    Returns:
        Loss in nats: a scalar, or shape of logits without the classes for "none". The mean over no example is NaN.

    Raises:
        ValueError: if a shape does not fit, target holds an index outside [0, classes) or no distribution, a weight is
            negative, or label_smoothing is outside [0, 1].
        TypeError: if logits are not floating point, or target is boolean.

    Cost: O(batch classes) time, one tensor of log-probabilities kept for the gradient.
    Deviations:
        1. A class of probability 0 that cannot be (logit -inf) adds 0; torch's 0 * inf is NaN.
        2. Probabilities that are negative or do not sum to 1 are an error; torch takes any number.
    References: Shannon 1948, section 6; Bridle 1990, NeurIPS (softmax); Szegedy et al. 2016, arXiv:1512.00567,
        section 7 (label smoothing).
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); scikit-learn's log_loss, float64, 1e-12 (A); torch's
        cross_entropy, every option, which shares kernels with it.
    In production: use it, or torch's; label_smoothing=0.1 where calibrated or noise-tolerant scores matter.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    axis = class_axis(logits)
    if target.is_floating_point():
        return _soft_cross_entropy(logits, target, weight, sample_weight, label_smoothing, reduction)
    if weight is None and sample_weight is None and not label_smoothing:
        log_p, target = log_probabilities(logits, target)
        return minus_log_p_target(log_p, target, ignore_index, reduction)
    batch = labelled(logits, target, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index)
    loss = -batch.log_p_target * batch.weight
    if label_smoothing:
        every = -_weighted_by_class(batch.log_p, weight).sum(axis).masked_fill(batch.sample_weight == 0, 0.0)
        loss = (1 - label_smoothing) * loss + label_smoothing / logits.shape[axis] * (every * batch.sample_weight)
    return reduce_loss(loss, batch.weight, reduction)


def _weighted_by_class(log_p: Tensor, weight: Tensor | None) -> Tensor:
    return log_p if weight is None else log_p * along_classes(class_weight("weight", weight, log_p), log_p)


def _class_probabilities(logits: Tensor, target: Tensor) -> Tensor:
    """`target` in the dtype of the loss, if it holds a distribution over the classes for each example."""
    check_same_shape("target", target, "logits", logits)
    total = target.sum(class_axis(logits), dtype=torch.float64)
    slack = 1e-2 if target.dtype.itemsize < 4 else 1e-4  # what rounding each entry of a long row may add up to
    if breaks(target >= 0) or breaks((total - 1).abs() <= slack):
        raise ValueError(
            "target must be >= 0 and sum to 1 over the classes, "
            f"got a minimum of {target.min().item()} and sums from {total.min().item()} to {total.max().item()}"
        )
    return target.to(at_least_float32("logits", logits).dtype)


def _soft_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    sample_weight: Tensor | None,
    label_smoothing: float,
    reduction: Reduction,
) -> Tensor:
    axis, target = class_axis(logits), _class_probabilities(logits, target)
    target = (1 - label_smoothing) * target + label_smoothing / logits.shape[axis]
    log_p = at_least_float32("logits", logits).log_softmax(axis)
    log_p = log_p.masked_fill(log_p.isneginf() & (target == 0), 0.0)
    loss = -(target * _weighted_by_class(log_p, weight)).sum(axis)
    return reduce_weighted(loss, sample_weight, reduction)


def binary_cross_entropy_with_logits(
    logits: Tensor,
    target: Tensor,
    *,
    pos_weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Log loss of a sigmoid, for each label by itself: -w t log s(x) - (1 - t) log(1 - s(x)).

    Args:
        logits: log-odds, any shape.
        target: probabilities of the label in [0, 1], shape of logits.
        pos_weight: w >= 0, broadcast to logits: one a label, shape (labels,), for logits (batch, labels).
        sample_weight: per element, >= 0, shape of logits, or of its leading axes: (batch,) weighs examples.
        reduction: "mean" divides by the sum of sample_weight over all elements.

    Returns:
        Loss in nats: a scalar, or shape of logits for "none".

    Raises:
        ValueError: if a shape does not fit, target lies outside [0, 1], or a weight is negative.
        TypeError: if logits are not floating point.

    Cost: O(size of logits) time, two temporaries of that size.
    Deviations: torch's `weight`, which rescales without a part in the mean, is left out: multiply the "none" losses.
    References: Cox 1958, JRSS B 20(2) (the logistic model); Good 1952, JRSS B 14(1) (the logarithmic score).
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); scikit-learn's log_loss, float64, 1e-12 (A).
    In production: use it, or torch's, for two classes or several labels at once.
    """
    x, t = binary(logits, target)
    if pos_weight is not None:
        check_weight("pos_weight", pos_weight)
        check_broadcasts("pos_weight", pos_weight, "logits", x)
        pos_weight = pos_weight.to(x)
    # torch's kernel: (1 - t) x - (1 + (w - 1) t) log s(x), with log s(x) = min(x, 0) - log1p(exp(-|x|))
    kernel = torch.nn.functional.binary_cross_entropy_with_logits
    if sample_weight is None:
        check_reduction(reduction)
        return kernel(x, t, pos_weight=pos_weight, reduction=reduction)
    loss = kernel(x, t, pos_weight=pos_weight, reduction="none")
    return reduce_weighted(loss, sample_weight, reduction)


def sigmoid_mse_loss(
    logits: Tensor, target: Tensor, *, sample_weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Squared error of a sigmoid, the Brier score of one label: (s(x) - t)^2.

    Its second derivative at t = 1 is 2 s (1 - s)^2 (3 s - 1): negative for s < 1/3, so that it is not convex in the
    logit, and its gradient fades where the prediction is most wrong.

    Args:
        logits: log-odds, any shape.
        target: probabilities of the label in [0, 1], shape of logits.
        sample_weight: per element, >= 0, shape of logits, or of its leading axes.
        reduction: "mean" divides by the sum of sample_weight over all elements.

    Returns:
        Loss in [0, 1]: a scalar, or shape of logits for "none".

    Raises:
        ValueError: if a shape does not fit, target lies outside [0, 1], or sample_weight is negative.
        TypeError: if logits are not floating point.

    Cost: O(size of logits) time.
    References: Brier 1950, Monthly Weather Review 78(1), eq. 2; Solla, Levin & Fleisher 1988, Complex Systems 2
        (against cross entropy).
    Peer: torch.nn.functional.mse_loss of torch.sigmoid, value and gradient, float64, 1e-12 (A); mpmath (B).
    In production: use it to compare; train with `binary_cross_entropy_with_logits`.
    """
    x, t = binary(logits, target)
    loss = (x.sigmoid() - t).square()
    return reduce_weighted(loss, sample_weight, reduction)


def brier_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Squared distance of the softmax from the labelled corner of the simplex: sum_c (p_c - [c = y])^2.

    Args:
        logits: unnormalised scores, shape (classes,) or (batch, classes, ...).
        target: class indices in [0, classes), shape of logits without the classes.
        weight: per class, >= 0, shape (classes,).
        sample_weight: per example, >= 0, shape of target, or of its leading axes.
        ignore_index: class index of examples that are left out.
        reduction: "mean" divides by the sum of sample_weight w_target.

    Returns:
        Loss in [0, 2]: a scalar, or shape of target for "none". For two classes twice `sigmoid_mse_loss` of their
        difference of logits.

    Raises:
        ValueError: if a shape does not fit, target holds an index outside [0, classes), or a weight is negative.
        TypeError: if logits are not floating point, or target is not of an integer dtype.

    Cost: O(batch classes) time, two tensors of that size kept for the gradient.
    References: Brier 1950, Monthly Weather Review 78(1), eq. 2.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B); scikit-learn's brier_score_loss, 1e-12 (A).
    In production: use it as a proper score that, unlike log loss, is bounded when a label is wrong.
    """
    batch = labelled(logits, target, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index)
    axis = class_axis(logits)
    index = batch.index.unsqueeze(axis)
    error = batch.log_p.exp().scatter_add(axis, index, torch.full_like(index, -1, dtype=batch.log_p.dtype))
    loss = error.square().sum(axis).masked_fill(batch.weight == 0, 0.0)
    return reduce_loss(loss * batch.weight, batch.weight, reduction)
