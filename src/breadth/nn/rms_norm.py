"""Root-mean-square normalisation as a function, with a gradient of its own where torch takes one operator at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

WORTH = 1 << 16  # elements from which fewer passes save more than a Python function costs; measured


def rms_norm(x: Tensor, weight: Tensor | None = None, *, eps: float | None = None) -> Tensor:
    """Divide by the root mean square over the last axis, and scale: x / sqrt(mean(x^2) + eps) * weight.

    Args:
        x: shape (..., features), floating point.
        weight: gains, shape (features,); None means 1.
        eps: added to the mean square, >= 0; None takes the machine epsilon of the dtype that is computed in.

    Returns:
        Shape and dtype of x.

    Raises:
        ValueError: if weight does not fit, eps < 0, or there are no features.
        TypeError: if x is not floating point.

    Cost: O(size of x) time, four passes forward and five back, x and one number a row kept for the gradient; on a CPU
        half of torch's time in training. Other devices and compiled code take torch's fused kernel.
    References: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
    Peer: mpmath at 60 digits, value and gradients, 1e-12 (B); torch's rms_norm, float64, 1e-12 (A).
    In production: use `RMSNorm`.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x must have shape (..., features) with features >= 1, got {tuple(x.shape)}")
    if weight is not None and weight.shape != x.shape[-1:]:
        raise ValueError(f"weight must have shape ({x.shape[-1]},), got {tuple(weight.shape)}")
    if eps is not None and not eps >= 0:
        raise ValueError(f"eps must be >= 0, got {eps}")
    wide = x.dtype if x.dtype.itemsize >= 4 else torch.float32  # squares of float16 overflow from 256 on
    if eps is None:
        eps = torch.finfo(wide).eps
    if x.is_cpu and x.dtype == wide and x.numel() >= WORTH and not torch.compiler.is_compiling():
        return _RMSNorm.apply(x, None if weight is None else weight.to(wide), eps)[0]
    if weight is not None and weight.dtype != x.dtype:  # gains in float32 beside activations in half precision
        return functional.rms_norm(x.to(wide), x.shape[-1:], weight.to(wide), eps).to(x.dtype)
    return functional.rms_norm(x, x.shape[-1:], weight, eps)


class _RMSNorm(torch.autograd.Function):
    """y = x r w with r = 1 / sqrt(mean(x^2) + eps); r is an output, so that second derivatives go through it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square().div(x.shape[-1]).add(eps).rsqrt()
        return (x * r if weight is None else x * r * weight), r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor | None, float], output: tuple[Tensor, Tensor]) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight, output[1])
        ctx.save_for_forward(x, weight, output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        (g, g_r), (x, weight, r) = gradients, ctx.saved_tensors
        n, d = x * r, x.shape[-1]  # n is made anew rather than kept
        g_x = g_weight = None
        if g is not None:
            g_n = g * n
            if weight is None:
                along = g_n.sum(-1, keepdim=True)
            else:
                g_weight = g_n.reshape(-1, d).sum(0) if ctx.needs_input_grad[1] else None
                along = (g_n @ weight).unsqueeze(-1)
                g = g * weight
            # the part of g along n would change the length, which the division takes away again
            g_x = torch.addcmul(g, n, along / d, value=-1).mul_(r)
        if g_r is not None:  # dr/dx = -r^2 n / d
            of_r = n * (g_r * r.square() / -d)
            g_x = of_r if g_x is None else g_x + of_r
        return g_x, g_weight, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, Tensor]:
        (t_x, t_weight, _), (x, weight, r) = tangents, ctx.saved_tensors
        n, d = x * r, x.shape[-1]
        t_x = torch.zeros_like(x) if t_x is None else t_x
        along = (n * t_x).sum(-1, keepdim=True) / d
        t_y = (t_x - n * along) * r
        if weight is not None:
            t_y = t_y * weight
            if t_weight is not None:
                t_y = t_y + n * t_weight
        return t_y, -r.square() * along
