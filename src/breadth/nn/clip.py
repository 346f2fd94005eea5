"""Gradient clipping by norm and by value, and a step that is skipped, and says so, where a gradient is not finite."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from breadth.nn.optim.batches import grouped

_ROW = 1024  # elements whose powers are added up in one go


class NonFiniteGradientWarning(RuntimeWarning):
    """A step was skipped because a gradient held NaN or infinity."""


class GuardedStep(NamedTuple):
    """What `guarded_step` did."""

    taken: bool
    norm: float  # of all gradients together, before clipping
    non_finite: tuple[str, ...]  # parameters with NaN or infinity in their gradient: the reason for a skipped step


def get_total_norm(tensors: Iterable[Tensor] | Tensor, norm_type: float = 2.0) -> Tensor:
    """Norm of tensors as if they were one long vector: (sum |x|^p)^(1/p), or max |x| for p = inf.

    Args:
        tensors: dense tensors of any shapes, devices and floating dtypes.
        norm_type: p, > 0; inf is allowed.

    Returns:
        A scalar on the first tensor's device, float32 at least; 0 without tensors. It is NaN or infinite only if an
        element is, or if the norm itself is too large for its dtype.

    Raises:
        ValueError: if norm_type is not > 0.

    Cost: one pass; a second one where squares overflow.
    Deviations:
        1. Half precision is summed in float32, and on a CPU in rows: torch's norm of 10 million float32 numbers is off
           by 4e-4 there, this one by 1e-7.
        2. Where |x|^p overflows or vanishes although x does not, x is scaled by its largest element first. torch
           returns inf or 0 there, and then clips to a zero gradient.
    References: Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 3.2; Blue 1978, ACM TOMS 4(1) (scaling).
    Peer: torch.nn.utils.get_total_norm, float64, 1e-12 (A); NumPy in extended range for what overflows (B).
    In production: use it to log gradient norms.
    """
    if not norm_type > 0:
        raise ValueError(f"norm_type must be > 0, got {norm_type}")
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    tensors = [t.detach() for t in tensors if t.numel()]
    if not tensors:
        return torch.tensor(0.0)
    norm = _norm(tensors, norm_type)
    if norm_type != math.inf and not 0 < norm.item() < math.inf:  # NaN comes here too: it compares as false
        peak = _norm(tensors, math.inf)
        if 0 < peak < math.inf:
            norm = peak * _norm([t.to(_wide(t)) / peak.to(t.device, _wide(t)) for t in tensors], norm_type)
        elif not norm.isnan():
            norm = peak
    return norm


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor, min(1, max_norm / (norm + 1e-6)), so that their direction stays.

    Args:
        parameters: tensors; those without a gradient are passed over.
        max_norm: bound of the norm of all gradients together, >= 0; inf only measures.
        norm_type: p of the norm, > 0; inf is allowed.
        error_if_nonfinite: raise rather than return a norm that is NaN or infinite.

    Returns:
        The norm before clipping, a scalar. Where it is not finite **no gradient has been touched**: see `guarded_step`.

    Raises:
        ValueError: if max_norm is negative or NaN, or norm_type is not > 0.
        RuntimeError: if the norm is not finite and error_if_nonfinite holds.

    Cost: one pass to measure, one more to scale where the norm is above max_norm; two numbers read from the device.
    Deviations: torch scales by max_norm / NaN or by 0 where the norm is not finite, which spreads NaN over all
        gradients or hides them as zeros.
    References: Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1.
    Peer: torch.nn.utils.clip_grad_norm_, float64, 1e-12, finite gradients (A).
    In production: use max_norm = 1 with AdamW on Transformers.
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be >= 0, got {max_norm}")
    grads = _gradients(parameters)
    norm = get_total_norm(grads, norm_type)
    value = norm.item()
    if not math.isfinite(value):
        if error_if_nonfinite:
            raise RuntimeError(f"the gradients' norm of order {norm_type} cannot be clipped: it is {value}")
        return norm
    factor = max_norm / (value + 1e-6)
    if factor < 1:
        torch._foreach_mul_(grads, factor)
    return norm


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]; the direction may change.

    Args:
        parameters: tensors; those without a gradient are passed over.
        clip_value: bound, >= 0.

    Returns:
        Nothing; gradients are changed in place.

    Raises:
        ValueError: if clip_value is negative or NaN.

    Cost: two passes. NaN stays NaN, infinity becomes the bound.
    References: Mikolov 2012, PhD thesis, Brno, section 3.3 (element-wise).
    Peer: torch.nn.utils.clip_grad_value_, bit for bit (A).
    In production: use clip_grad_norm_, which keeps the direction.
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be >= 0, got {clip_value}")
    grads = _gradients(parameters)
    if grads:
        torch._foreach_clamp_min_(grads, -clip_value)
        torch._foreach_clamp_max_(grads, clip_value)


def guarded_step(
    optimizer: torch.optim.Optimizer, *, max_norm: float = math.inf, norm_type: float = 2.0
) -> GuardedStep:
    """Clip and step; where a gradient is not finite, leave parameters and optimizer alone and say so.

    A single NaN that enters a moment of Adam stays there for good; a skipped step costs one batch. It is reported
    twice: in what is returned, and as a warning, which `warnings.simplefilter("error", NonFiniteGradientWarning)`
    makes an error.

    Args:
        optimizer: with the gradients of all its groups computed.
        max_norm: bound of the norm of all its gradients together, >= 0; inf does not clip.
        norm_type: p of the norm, > 0; inf is allowed.

    Returns:
        Whether the step was taken, the norm before clipping, and where it was not, the parameters whose gradients are
        not finite: their names if the optimizer was given names, else "param_groups[i]['params'][j]".

    Raises:
        ValueError: if max_norm is negative or norm_type is not > 0.

    Cost: clip_grad_norm_'s and the step's.
    Deviations: finite gradients whose norm is too large for its dtype are skipped too, with no parameter named.
    References: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2 (skip the update on overflow).
    Peer: torch.optim with torch.amp.GradScaler, which skips the same steps (A).
    In production: use it in every loop; behind a GradScaler, which looks for infinities itself, call `scaler.step`.
    """
    groups = optimizer.param_groups
    norm = clip_grad_norm_([p for group in groups for p in group["params"]], max_norm, norm_type)
    if norm.isfinite():
        optimizer.step()
        return GuardedStep(True, norm.item(), ())
    culprits = []
    for i, group in enumerate(groups):
        names = group.get("param_names") or [f"param_groups[{i}]['params'][{j}]" for j in range(len(group["params"]))]
        for name, p in zip(names, group["params"], strict=True):
            if p.grad is not None and not p.grad.isfinite().all():
                culprits.append(name)
    shown = ", ".join(culprits[:5]) + (f" and {len(culprits) - 5} more" if len(culprits) > 5 else "")
    warnings.warn(
        f"step skipped: the gradients' norm is {norm.item()}; not finite: {shown or 'no gradient, only their norm'}",
        NonFiniteGradientWarning,
        stacklevel=2,
    )
    return GuardedStep(False, norm.item(), tuple(culprits))


def _gradients(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def _wide(t: Tensor) -> torch.dtype:
    """The real dtype in which t is summed."""
    real = t.abs().dtype if t.is_complex() else t.dtype
    return torch.promote_types(real, torch.float32)


def _norm(tensors: list[Tensor], p: float) -> Tensor:
    def is_long(t: Tensor) -> bool:
        return t.device.type == "cpu" and t.numel() > 16 * _ROW and t.is_contiguous()

    device = tensors[0].device
    norms: list[Tensor] = []
    for _, alike in grouped(tensors):
        wide = torch.promote_types(alike[0].dtype, torch.float32)
        norms += [_norm_by_rows(t, p, wide) for t in alike if is_long(t)]
        short = [t for t in alike if not is_long(t)]
        if short:
            norms += torch._foreach_norm(short, p, dtype=wide)
    return torch.linalg.vector_norm(torch.stack([norm.to(device) for norm in norms]), p)


def _norm_by_rows(t: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    # a CPU adds one square after another: the sum of 10 million in float32 would keep three digits
    body = t.numel() // _ROW * _ROW
    flat = t.view(-1)
    rows = torch.linalg.vector_norm(flat[:body].view(-1, _ROW), p, -1, dtype=dtype)
    rest = torch.linalg.vector_norm(flat[body:], p, dtype=dtype) if body < len(flat) else rows.new_zeros(())
    return torch.linalg.vector_norm(torch.cat([rows, rest[None]]), p, dtype=torch.float64).to(rows.dtype)
