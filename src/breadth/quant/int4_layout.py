"""The order in which torch's int4 kernel for CPUs wants its weights, and the way back from it.

The order depends on the vector width of the processor: rows come in blocks of 64, 32 or 16, and a block holds column
after column, two rows in a byte. It is read off what the converter writes for codes that number their own rows.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

TILE = 64  # rows are filled up to a multiple, so that every processor's blocks are whole
_CONVERT, _MULTIPLY = "_convert_weight_to_int4pack_for_cpu", "_weight_int4pack_mm_for_cpu"
_PROBE = 32  # columns


def available() -> bool:
    """Whether this torch has the kernel; it promises nothing of names that begin with a line."""
    return all(hasattr(torch.ops.aten, name) for name in (_CONVERT, _MULTIPLY))


def multiply(x: Tensor, packed: Tensor, group_size: int, scales_and_zeros: Tensor) -> Tensor:
    """x W^T for bfloat16 x, shape (rows, in_features), and packed W."""
    return torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, group_size, scales_and_zeros)


def to_kernel(codes: Tensor) -> Tensor:
    """Codes 0..15, shape (n TILE, columns), in the kernel's order: uint8, shape (n TILE, columns / 2)."""
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 2)


def from_kernel(packed: Tensor) -> Tensor:
    """The codes that `to_kernel` was given: uint8, shape (n TILE, columns)."""
    order = row_order()
    n_rows, half = packed.shape
    nibbles = torch.stack((packed & 15, packed >> 4), -1).view(-1, 2 * half, len(order))  # (block, column, place)
    return nibbles[..., order.argsort()].transpose(1, 2).reshape(n_rows, 2 * half)


@cache
def row_order() -> Tensor:
    """Row of a block that each nibble of a column holds, low nibbles first; its length is the block's.

    Raises:
        RuntimeError: if the converter's order is of another kind than the one described above.
    """
    rows = torch.arange(TILE)[:, None].expand(TILE, _PROBE)
    low, high = (torch.stack((p & 15, p >> 4), -1).flatten().long() for p in map(to_kernel, (rows % 16, rows // 16)))
    found = 16 * high + low
    for block in (64, 32, 16):
        order = found[:block]
        blocks = torch.arange(TILE // block)[:, None, None] * block
        if torch.equal(found.view(-1, _PROBE, block), (order + blocks).expand(-1, _PROBE, -1)):
            return order
    raise RuntimeError(f"torch {torch.__version__} packs 4-bit weights in an order that is not known here")
