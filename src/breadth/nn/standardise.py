"""torch's layer and batch normalisation, with a first mean taken off where it is large beside the deviation.

On a CPU torch's kernels compute x r - mean r, whose two terms cancel: at mean m and deviation s a result is off by a
few eps m / s. Taking a first mean off is exact to a rounding of the difference, changes neither result nor gradient,
and costs a pass, so that it is done where the kernel's own mean says that it pays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

FAR = 8.0  # largest |mean| / deviation that is left to the kernel: its error there is that of some ten roundings


def layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias over the last axes.

    Args:
        x: shape (..., *normalized_shape).
        normalized_shape: the last axes.
        weight, bias: shape normalized_shape, or None.
        eps: added to the variance, >= 0.

    Returns:
        Shape and dtype of x.

    Cost: torch's kernel, and a few operations on one number an example; twice that where a mean is far.
    Deviations: on other devices, in half precision and under torch.compile it is torch's kernel as it is.
    References: Ba, Kiros & Hinton 2016, arXiv:1607.06450, eqs. 3 and 4; Chan, Golub & LeVeque 1983, The American
        Statistician 37(3) (shifted data).
    Peer: NumPy in float64, also at mean 1e4 (B).
    In production: use `LayerNorm`.
    """
    if not _eager(x):
        return functional.layer_norm(x, normalized_shape, weight, bias, eps)
    out, mean, r = torch.native_layer_norm(x, normalized_shape, weight, bias, eps)
    if _far(mean, r):
        # constant for the gradient: a shift of x changes nothing
        out, _, _ = torch.native_layer_norm(x - mean.detach(), normalized_shape, weight, bias, eps)
    return out


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    of_batch: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias for each feature, of the batch or with running statistics.

    Args:
        x: shape (batch, features, ...).
        running_mean, running_var: shape (features,), which follow the batch's where of_batch, or None.
        weight, bias: shape (features,), or None.
        of_batch: take the batch's statistics, else the running ones.
        momentum: share of the batch in the running statistics.
        eps: added to the variance, >= 0.

    Returns:
        Shape and dtype of x.

    Cost, Deviations: as of `layer_norm`.
    References: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1.
    Peer: NumPy in float64, also at mean 1e4, running statistics too (B).
    In production: use `BatchNorm1d` or `BatchNorm2d`.
    """
    if not _eager(x):
        return functional.batch_norm(x, running_mean, running_var, weight, bias, of_batch, momentum, eps)
    of_feature = (-1, *[1] * (x.ndim - 2))
    if not of_batch:
        assert running_mean is not None and running_var is not None
        if _far(running_mean, (running_var + eps).rsqrt()):
            x, running_mean = x - running_mean.view(of_feature), torch.zeros_like(running_mean)
        return functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is None or running_var is None:
        out, mean, r = torch.native_batch_norm(x, weight, bias, None, None, True, momentum, eps)
        if _far(mean, r):
            x = x - mean.detach().view(of_feature)
            out, _, _ = torch.native_batch_norm(x, weight, bias, None, None, True, momentum, eps)
        return out
    mean_before, var_before = running_mean.clone(), running_var.clone()
    out, mean, r = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
    if _far(mean, r):
        mean, rest, var = mean.detach(), torch.zeros_like(running_mean), torch.zeros_like(running_var)
        x = x - mean.view(of_feature)
        out, _, _ = torch.native_batch_norm(x, weight, bias, rest, var, True, 1.0, eps)  # 1.0: those of this batch
        running_mean.copy_(torch.lerp(mean_before, mean + rest, momentum))
        running_var.copy_(torch.lerp(var_before, var, momentum))
    return out


def _eager(x: Tensor) -> bool:
    """Whether the kernel is the one that cancels, and its mean may be looked at."""
    plain = x.is_cpu and x.dtype in (torch.float32, torch.float64)
    return plain and not torch.compiler.is_compiling() and not torch.jit.is_tracing()


def _far(mean: Tensor, r: Tensor) -> bool:
    if not mean.numel():
        return False
    try:
        return not float(torch.linalg.vector_norm(mean.detach() * r.detach(), torch.inf)) <= FAR
    except RuntimeError:  # torch.vmap has no numbers to look at
        return True
