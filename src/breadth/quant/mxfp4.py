"""MXFP4: blocks of 32 numbers of four bits (E2M1) that share a power of two (E8M0), packed two to a byte."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

BLOCK = 32  # numbers that share a scale
BIAS = 127  # of the E8M0 scale
VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # of codes 0 to 7; bit 3 is the sign
_NAN = 255
# halfway between neighbours; where the upper code is the even one, its half of the tie begins one float earlier
_BORDERS = tuple(
    math.nextafter((low + high) / 2, 0.0) if code % 2 else (low + high) / 2
    for code, (low, high) in enumerate(pairwise(VALUES))
)


def decode_mxfp4(blocks: Tensor, scales: Tensor, *, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Numbers from packed blocks: value[code] * 2^(scale - 127), the low half of each byte first.

    Args:
        blocks: shape (..., groups, 16), uint8: 32 codes a group.
        scales: shape (..., groups), uint8; 255 stands for NaN.
        dtype: what is returned; bfloat16 and float32 hold every value of scales from 0 to 252 exactly.

    Returns:
        Shape (..., groups * 32).

    Raises:
        TypeError: if blocks or scales are not uint8.
        ValueError: if their shapes do not belong together.

    Cost: O(numbers) time; beside the result, four bytes a number of one slice of the first axis.
    References: OCP Microscaling Formats (MX) v1.0, sections 5.3.3, 5.4.1 and 6.2; OpenAI 2025,
        arXiv:2508.10925, section 2.1.
    Peer: transformers' conversion of GPT-OSS experts, bit for bit (A); a table of all codes and scales in float64 (B).
    """
    for name, tensor in (("blocks", blocks), ("scales", scales)):
        if tensor.dtype != torch.uint8:
            raise TypeError(f"{name} must be uint8, got {tensor.dtype}")
    if blocks.ndim < 2 or blocks.shape[-1] != BLOCK // 2 or blocks.shape[:-1] != scales.shape:
        raise ValueError(
            f"blocks must have shape (..., groups, 16) and scales (..., groups), "
            f"got {tuple(blocks.shape)} and {tuple(scales.shape)}"
        )
    pairs = _pairs(blocks.device)
    powers = _powers(blocks.device)
    out = torch.empty(*blocks.shape[:-1], BLOCK // 2, 2, dtype=dtype, device=blocks.device)
    flat = (blocks.unsqueeze(0), scales.unsqueeze(0), out.unsqueeze(0)) if blocks.ndim == 2 else (blocks, scales, out)
    for codes, scale, into in zip(*flat, strict=True):  # a slice at a time: float32 of one expert, not of all
        values = pairs[codes.int()]  # (..., groups, 16, 2)
        into.copy_(values.mul_(powers[scale.int()][..., None, None]))
    return out.flatten(-3)


def encode_mxfp4(x: Tensor) -> tuple[Tensor, Tensor]:
    """Pack numbers in blocks of 32: scale 2^(floor(log2(max |x|)) - 2), codes rounded to the nearest, ties to even.

    Numbers beyond 6 * scale become 6 * scale, as the format asks.

    Args:
        x: shape (..., numbers), floating point and finite, numbers a multiple of 32.

    Returns:
        blocks, shape (..., groups, 16), and scales, shape (..., groups), both uint8.

    Raises:
        ValueError: if the last axis is no multiple of 32, or x holds NaN or infinity.
        TypeError: if x is not floating point.

    Cost: O(numbers) time, about 12 bytes a number.
    References: OCP Microscaling Formats (MX) v1.0, section 6.3.
    Peer: the nearest of all sixteen codes in float64 (B); what `decode_mxfp4` gives is encoded to the same numbers.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    if x.ndim == 0 or x.shape[-1] == 0 or x.shape[-1] % BLOCK:
        raise ValueError(f"the last axis of x must be a multiple of {BLOCK}, got shape {tuple(x.shape)}")
    if not x.isfinite().all():
        raise ValueError("x must be finite, got NaN or infinity")
    groups = x.double().unflatten(-1, (-1, BLOCK))
    top = groups.abs().amax(-1)
    _, exponent = torch.frexp(top)  # top = mantissa * 2^exponent with mantissa in [0.5, 1)
    shared = (exponent - 1 - 2).clamp(-BIAS, BIAS)
    shared = torch.where(top == 0, torch.full_like(shared, -BIAS), shared)
    scaled = groups * _powers(x.device).double()[BIAS - shared][..., None]  # 2^-shared, exactly
    codes = torch.bucketize(
        scaled.abs().contiguous(), torch.tensor(_BORDERS, dtype=torch.float64, device=x.device), out_int32=True
    )
    codes = (codes | (scaled.signbit().int() << 3)).to(torch.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), (shared + BIAS).to(torch.uint8)


def _pairs(device: torch.device) -> Tensor:
    """Both numbers of each byte, shape (256, 2)."""
    values = torch.tensor(VALUES, dtype=torch.float32)
    values = torch.cat((values, -values))
    byte = torch.arange(256)
    return torch.stack((values[byte & 15], values[byte >> 4]), -1).to(device)


def _powers(device: torch.device) -> Tensor:
    """2^(scale - 127) of each scale byte, shape (256,)."""
    powers = [math.ldexp(1.0, scale - BIAS) for scale in range(_NAN)]
    return torch.tensor([*powers, math.nan], dtype=torch.float32, device=device)
