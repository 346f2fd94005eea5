"""What all losses agree on: the classes' axis, checked targets, weights of examples, reduction."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

Reduction = Literal["mean", "sum", "none"]


class Labelled(NamedTuple):
    """Log-probabilities of a batch and of its labels; an example of weight 0 has log-probability 0."""

    log_p: Tensor  # of every class, shape of logits
    log_p_target: Tensor  # of the labelled class, 0 where weight is 0, shape of target
    index: Tensor  # the labelled class, 0 where ignored, shape of target
    sample_weight: Tensor  # 0 where ignored, shape of target
    weight: Tensor  # sample_weight times the class weight of the label, shape of target


def class_axis(logits: Tensor) -> int:
    """The axis of the classes, as in torch.nn.functional.cross_entropy: 1, or 0 for a single example."""
    if logits.ndim == 0:
        raise ValueError("logits must have shape (classes,) or (batch, classes, ...), got a scalar")
    return 0 if logits.ndim == 1 else 1


def at_least_float32(name: str, x: Tensor) -> Tensor:
    """Half precision raised to float32: float16 ends at 65,504, which the sum over a batch soon passes."""
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {x.dtype}")
    return x.float() if x.dtype.itemsize < 4 else x


def breaks(valid: Tensor) -> bool:
    """Whether a check of values fails.

    A device would have to be waited for and a compiled graph broken: there, values are not looked at, and an index out
    of range is left to the assertion of the device's own gather.
    """
    if valid.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not torch._is_all_true(valid)  # and not `valid.all()`, which torch.vmap refuses to branch on


def check_same_shape(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse shapes that would have to be broadcast, since (n,) against (n, 1) makes (n, n)."""
    if x.shape != other.shape:
        raise ValueError(f"{name} must have the shape of {other_name}, {tuple(other.shape)}, got {tuple(x.shape)}")


def check_broadcasts(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse what would not broadcast to `other`, or would make it larger."""
    trailing = other.shape[other.ndim - x.ndim :]
    if x.ndim > other.ndim or any(own not in (1, n) for own, n in zip(x.shape, trailing, strict=True)):
        raise ValueError(f"{name} must broadcast to {other_name}, {tuple(other.shape)}, got {tuple(x.shape)}")


def binary(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-odds and probabilities of the label, of one shape, in the dtype of the loss."""
    check_same_shape("target", target, "logits", logits)
    if target.numel():
        least, most = target.aminmax()  # NaN if there is one, and then neither comparison holds
        if breaks((least >= 0) & (most <= 1)):
            raise ValueError(f"target must lie in [0, 1], got values from {least.item()} to {most.item()}")
    x = at_least_float32("logits", logits)
    return x, target.to(x.dtype)


def check_reduction(reduction: str) -> None:
    """Refuse what is no reduction."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {', '.join(map(repr, get_args(Reduction)))}, got {reduction!r}")


def per_example(logits: Tensor) -> tuple[int, ...]:
    """Shape of logits without the classes."""
    axis = class_axis(logits)
    return (*logits.shape[:axis], *logits.shape[axis + 1 :])


def check_weight(name: str, weight: Tensor) -> None:
    """Refuse weights that are negative, infinite or NaN."""
    if breaks((weight >= 0) & weight.isfinite()):
        least, most = weight.min().item(), weight.max().item()
        raise ValueError(f"{name} must be >= 0 and finite, got values from {least} to {most}")


def aligned_weight(sample_weight: Tensor, like: Tensor) -> Tensor:
    """`sample_weight` in the shape and dtype of `like`, whose leading axes it may cover alone."""
    if sample_weight.shape != like.shape[: sample_weight.ndim]:
        raise ValueError(
            f"sample_weight must have shape {tuple(like.shape)} or its leading axes, one weight an example, "
            f"got {tuple(sample_weight.shape)}"
        )
    check_weight("sample_weight", sample_weight)
    shape = (*sample_weight.shape, *[1] * (like.ndim - sample_weight.ndim))
    return sample_weight.to(like).reshape(shape).expand_as(like)


def along_classes(x: Tensor, like: Tensor) -> Tensor:
    """One value a class, shaped to broadcast against logits `like`."""
    axis = class_axis(like)
    return x.reshape([-1 if i == axis else 1 for i in range(like.ndim)])


def class_weight(name: str, weight: Tensor, like: Tensor) -> Tensor:
    """`weight`, one a class of logits `like`, in their dtype and on their device; shape (classes,)."""
    n_classes = like.shape[class_axis(like)]
    if weight.shape != (n_classes,):
        raise ValueError(f"{name} must have shape ({n_classes},), one a class, got {tuple(weight.shape)}")
    check_weight(name, weight)
    return weight.to(like)


def log_probabilities(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-softmax over the classes, and targets that are class indices, as int64."""
    if target.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise TypeError(f"target must hold class indices of an integer dtype, got {target.dtype}")
    shape = per_example(logits)
    if target.shape != shape:
        raise ValueError(f"target must have shape {shape} for logits {tuple(logits.shape)}, got {tuple(target.shape)}")
    log_p = at_least_float32("logits", logits).log_softmax(class_axis(logits))
    return log_p, target.long()  # before any comparison: -100 would wrap to 156 in uint8


def minus_log_p_target(log_p: Tensor, target: Tensor, ignore_index: int, reduction: Reduction = "none") -> Tensor:
    """Log-probability of the labelled class with its sign turned, and 0 where the label is ignore_index.

    torch's kernel does in one pass what `gather` and a mask do in seven, and looks at the indices on its way.
    """
    check_reduction(reduction)
    try:
        return nll_loss(log_p, target, ignore_index=ignore_index, reduction=reduction)
    except (IndexError, RuntimeError) as error:
        n_classes, counted = log_p.shape[class_axis(log_p)], target[target != ignore_index]
        if not breaks((counted >= 0) & (counted < n_classes)):
            raise
        raise ValueError(
            f"target must hold class indices in [0, {n_classes - 1}], or ignore_index {ignore_index}, "
            f"got values from {counted.min().item()} to {counted.max().item()}"
        ) from error


def labelled(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    sample_weight: Tensor | None = None,
    ignore_index: int = -100,
) -> Labelled:
    """Log-probabilities and weights for targets that are class indices; see the losses for the arguments."""
    log_p, target = log_probabilities(logits, target)
    log_p_target = -minus_log_p_target(log_p, target, ignore_index)
    kept = target != ignore_index
    index = target.where(kept, 0)
    of_sample = kept.to(log_p.dtype)
    if sample_weight is not None:
        of_sample = of_sample * aligned_weight(sample_weight, of_sample)
    of_both = of_sample if weight is None else of_sample * class_weight("weight", weight, log_p)[index]
    if (
        weight is not None or sample_weight is not None
    ):  # without the mask, a label of logit -inf and weight 0 would cost 0 * inf
        log_p_target = log_p_target.masked_fill(of_both == 0, 0.0)
    return Labelled(log_p, log_p_target, index, of_sample, of_both)


def reduce_loss(loss: Tensor, weight: Tensor | None, reduction: Reduction) -> Tensor:
    """Losses that are weighted already: as they are, their sum, or their sum over the sum of the weights.

    The mean over no example, or over none with a weight, is NaN, as in torch.
    """
    check_reduction(reduction)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    # not `loss.mean()`, whose gradient divides each element where this one divides a scalar
    return loss.sum() / (loss.numel() if weight is None else weight.sum())


def reduce_weighted(loss: Tensor, sample_weight: Tensor | None, reduction: Reduction = "mean") -> Tensor:
    """Losses of examples, of any kind, weighted and reduced: the mean is sum_i w_i loss_i / sum_i w_i.

    A weight of k is k copies of the example, and one of 0 is its absence, also where its loss is infinite or NaN. With
    w = p_target(x) / p_train(x) the mean estimates the risk under the target distribution.

    Args:
        loss: one number an example, or an element, any shape; "none" of the losses here.
        sample_weight: >= 0, shape of loss or of its leading axes: (batch,) weighs rows. None weighs all by 1.
        reduction: "mean" divides by the sum of the weights over all elements, "sum" adds, "none" multiplies only.

    Returns:
        A scalar, or shape of loss for "none". The mean over no example, or over none with a weight, is NaN.

    Raises:
        ValueError: if sample_weight does not fit, is negative, infinite or NaN, or reduction is unknown.

    Cost: O(size of loss) time.
    References: Horvitz & Thompson 1952, JASA 47(260), section 5 (weights of inverse probability); Shimodaira 2000, JSPI
        90(2), section 3 (covariate shift).
    Peer: scikit-learn's log_loss with sample_weight, float64, 1e-12 (A); copies of examples, 1e-12 (B).
    In production: pass sample_weight to the losses here; use this for a loss of your own.
    """
    if sample_weight is None:
        return reduce_loss(loss, None, reduction)
    of_sample = aligned_weight(sample_weight, loss)
    return reduce_loss(loss.masked_fill(of_sample == 0, 0.0) * of_sample, of_sample, reduction)
