"""What packed layers may be made of."""

from __future__ import annotations

import torch
from torch import Tensor

GROUPS = (32, 64)


def finite(weight: Tensor) -> Tensor:
    """The weight in float32, if it has nearest codes."""
    weight = weight.detach().float()
    if not weight.isfinite().all():
        raise ValueError("the weight holds NaN or infinite values, which have no nearest code")
    return weight


def check_codes(codes: Tensor, least: int, most: int) -> None:
    """Integers of shape (out, in) from least to most."""
    if codes.dtype.is_floating_point or codes.dtype.is_complex or codes.dtype == torch.bool:
        raise TypeError(f"codes must be integers, got {codes.dtype}")
    if codes.dim() != 2 or 0 in codes.shape:
        raise ValueError(f"codes must have shape (out_features, in_features), neither 0, got {tuple(codes.shape)}")
    if codes.min() < least or codes.max() > most:
        raise ValueError(f"codes must lie in {least}..{most}, got {int(codes.min())}..{int(codes.max())}")


def check_shape(name: str, t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A copy of t, if it is finite and has this shape."""
    if t.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(t.shape)}")
    if not t.isfinite().all():
        raise ValueError(f"{name} must be finite")
    return t.detach().clone()


def check_group(group_size: int) -> None:
    """One of `GROUPS`."""
    if group_size not in GROUPS:
        raise ValueError(f"group_size must be 32 or 64, got {group_size}")
