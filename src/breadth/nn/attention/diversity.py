"""How alike attention heads are, and a penalty on it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Reduction = Literal["mean", "none"]


def head_similarity(x: Tensor) -> Tensor:
    """Cosine of each pair of heads, over everything that a head holds of one example: C_hg = x_h . x_g / (|x_h| |x_g|).

    Args:
        x: attention weights (B, H, L, S), or outputs of the heads (B, H, L, E); axis 1 is the heads.

    Returns:
        Shape (B, H, H), symmetric, in [-1, 1] (of weights in [0, 1]); float32 for half precision, else the dtype of x.
        A head of zeros, which has no direction, is at 0 to all others and to itself.

    Raises:
        ValueError: if x has fewer than three axes.
        TypeError: if x is not floating point.

    Cost: O(B H^2 L S) time, one product a batch; O(B H L S) memory.
    References: Li et al. 2018, arXiv:1810.10183, eq. 8 (of outputs).
    Peer: NumPy's double loop over the heads, value and gradient, float64, 1e-12 (B).
    In production: watch it while training; heads that stay near 1 do the work of one.
    """
    if x.dim() < 3:
        raise ValueError(f"x must have shape (batch, heads, ...), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    rows = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
    # the largest entry first: squares of 1e-30 or 1e30 leave float32
    largest = rows.detach().abs().amax(-1, keepdim=True) if rows.shape[-1] else rows.new_zeros(*rows.shape[:2], 1)
    rows = rows / largest.masked_fill(largest == 0, 1.0)
    square = rows.square().sum(-1, keepdim=True)
    rows = rows / square.masked_fill(square == 0, 1.0).sqrt()
    return rows @ rows.mT


def head_diversity_penalty(x: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Mean squared cosine of two different heads: sum_{h != g} C_hg^2 / (H (H - 1)), with C of `head_similarity`.

    0 when all heads are orthogonal, 1 when all are alike up to sign. Times a factor it is added to the loss, so that
    heads that do the same are pushed apart.

    Args:
        x: attention weights (B, H, L, S), or outputs of the heads (B, H, L, E); axis 1 is the heads.
        reduction: "mean" over the batch, or "none".

    Returns:
        In [0, 1]: a scalar, or shape (B,) for "none". One head has nothing to be like: 0.

    Raises:
        ValueError: if x has fewer than three axes, is of no example for "mean", or reduction is unknown.
        TypeError: if x is not floating point.

    Cost: that of `head_similarity`; weights as x need all scores in memory, outputs do not.
    Deviations: Lin et al. take ||A A^T - I||_F^2 of one example, which also pulls each head towards weights of one key;
        here heads have length 1, the diagonal is left out, and numbers do not grow with H. Li et al. take the mean of
        C itself, whose minimum is at opposite outputs, not at orthogonal ones.
    References: Lin et al. 2017, arXiv:1703.03130, eq. 8; Li et al. 2018, arXiv:1810.10183, eq. 8 (outputs).
    Peer: NumPy's double loop over the heads, value and gradient, float64, 1e-12 (B).
    In production: rarely used in large models, which prune redundant heads or share keys instead.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {', '.join(map(repr, get_args(Reduction)))}, got {reduction!r}")
    similar = head_similarity(x)
    heads = similar.shape[-1]
    off = ~torch.eye(heads, dtype=torch.bool, device=x.device)
    penalty = similar.square().masked_fill(~off, 0.0).sum((1, 2)) / max(1, heads * (heads - 1))
    if reduction == "none":
        return penalty
    if not len(penalty):
        raise ValueError("x must have one example or more for reduction 'mean', got none")
    return penalty.mean()
