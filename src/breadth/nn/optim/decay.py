"""Which parameters decay, and weight decay on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def weight_decay_(params: Iterable[Tensor], rate: float) -> None:
    """Shrink parameters in place: theta <- (1 - rate) theta.

    This is decoupled decay. It equals the gradient step of an L2 penalty only under plain SGD, with the coefficient
    rate / lr: momentum carries a penalty's gradient on, and Adam divides it by sqrt(v).

    Args:
        params: tensors.
        rate: share that is lost, in [0, 1]; an optimizer's is lr weight_decay.

    Returns:
        Nothing; the tensors are changed in place.

    Raises:
        ValueError: if rate is outside [0, 1].

    References: Hanson & Pratt 1988, NIPS, eq. 4; Loshchilov & Hutter 2019, arXiv:1711.05101, eq. 1, propositions 1, 2.
    Peer: torch.optim.AdamW and torch.optim.SGD on zero and random gradients, float64, 1e-12 (A).
    In production: use the weight_decay of AdamW, Muon or SGD(decoupled_weight_decay=True), which shrink as it does.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be in [0, 1], got {rate}; an optimizer's is lr * weight_decay")
    tensors = list(params)
    if tensors and rate:
        with torch.no_grad():
            torch._foreach_mul_(tensors, 1 - rate)


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups for an optimizer: matrices decay, vectors and scalars (biases, gains) do not.

    Args:
        module: whose parameters that require a gradient are taken, each once, with their names.
        weight_decay: of the first group, >= 0.

    Returns:
        [{"params": named tensors of two or more dimensions, "weight_decay": weight_decay}, {"params": the others,
        "weight_decay": 0.0}], empty ones left out.

    Raises:
        ValueError: if weight_decay is negative, or no parameter requires a gradient.

    Deviations: embeddings decay, being matrices.
    References: Brown et al. 2020, arXiv:2005.14165, appendix B (decay 0.1); Radford et al. 2018, section 4.1 (none on
        biases and gains).
    Peer: none; membership is checked against the definition (C).
    In production: use it with AdamW; a decayed gain or bias loses scale or offset without guarding against anything.

    Example:
        >>> groups = decay_groups(nn.Linear(2, 3), 0.1)
        >>> [(name, group["weight_decay"]) for group in groups for name, _ in group["params"]]
        [('weight', 0.1), ('bias', 0.0)]
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must be >= 0, got {weight_decay}")
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError(f"module must have parameters that require a gradient; {type(module).__name__} has none")
    groups = [
        {"params": [(name, p) for name, p in named if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [(name, p) for name, p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
