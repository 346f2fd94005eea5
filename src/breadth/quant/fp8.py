"""Weights as eight-bit floats (E4M3) with a scale for each block of 128 x 128, as DeepSeek-V3 is published."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128
LARGEST = 448.0  # of E4M3


def decode_fp8(
    weight: Tensor, scale_inv: Tensor, *, dtype: torch.dtype = torch.bfloat16, block: tuple[int, int] = (BLOCK, BLOCK)
) -> Tensor:
    """Numbers from blocks: weight * scale_inv of the block that holds it.

    Args:
        weight: shape (rows, columns), float8_e4m3fn.
        scale_inv: factor of each block, shape (ceil(rows / block[0]), ceil(columns / block[1])).
        dtype: what is returned; products are made in float32.
        block: rows and columns that share a factor.

    Returns:
        Shape (rows, columns).

    Raises:
        TypeError: if weight is not float8_e4m3fn.
        ValueError: if the shapes do not belong together, or a side of block is below 1.

    Cost: O(rows * columns) time; beside the result, eight bytes a number of one row of blocks.
    References: DeepSeek-AI 2024, arXiv:2412.19437, section 3.3.2.
    Peer: the definition number by number in float64 (B); transformers' dequantiser (A).
    """
    if weight.dtype != torch.float8_e4m3fn:
        raise TypeError(f"weight must be float8_e4m3fn, got {weight.dtype}")
    _check(weight, block)
    expected = tuple(-(-n // b) for n, b in zip(weight.shape, block, strict=True))
    if tuple(scale_inv.shape) != expected:
        raise ValueError(
            f"scale_inv of a weight of shape {tuple(weight.shape)} in blocks of {block[0]} x {block[1]} "
            f"must have shape {expected}, got {tuple(scale_inv.shape)}"
        )
    out = torch.empty(weight.shape, dtype=dtype, device=weight.device)
    for i, factors in enumerate(scale_inv.float()):  # a row of blocks at a time
        rows = slice(i * block[0], (i + 1) * block[0])
        out[rows] = weight[rows].float() * factors.repeat_interleave(block[1])[: weight.shape[1]]
    return out


def encode_fp8(weight: Tensor, *, block: tuple[int, int] = (BLOCK, BLOCK)) -> tuple[Tensor, Tensor]:
    """Round to E4M3 in blocks, each scaled so that its largest number becomes 448.

    Args:
        weight: shape (rows, columns), floating point and finite.
        block: rows and columns that share a factor.

    Returns:
        The weight as float8_e4m3fn, and scale_inv, float32, shape (ceil(rows / block[0]), ceil(columns / block[1]));
        a block of zeros has the factor 1.

    Raises:
        ValueError: if weight is no matrix, holds NaN or infinity, or a side of block is below 1.

    Cost: O(rows * columns) time.
    References: DeepSeek-AI 2024, arXiv:2412.19437, section 3.3.2.
    Peer: `decode_fp8` gives each number back within 1/16 of it, or half of the block's smallest step (B).
    """
    _check(weight, block)
    if not weight.isfinite().all():
        raise ValueError("weight must be finite, got NaN or infinity")
    rows = []
    out = torch.empty(weight.shape, dtype=torch.float8_e4m3fn, device=weight.device)
    for start in range(0, weight.shape[0], block[0]):
        part = weight[start : start + block[0]].float()
        top = torch.stack([columns.abs().amax() for columns in part.split(block[1], dim=1)])
        factors = torch.where(top > 0, top / LARGEST, torch.ones_like(top))
        scaled = part / factors.repeat_interleave(block[1])[: part.shape[1]]
        out[start : start + block[0]] = scaled.clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)
        rows.append(factors)
    return out, torch.stack(rows)


def _check(weight: Tensor, block: tuple[int, int]) -> None:
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"weight must have shape (rows, columns) with both >= 1, got {tuple(weight.shape)}")
    if len(block) != 2 or min(block) < 1:
        raise ValueError(f"block must be two numbers >= 1, got {block}")
