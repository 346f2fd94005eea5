"""Rotary tables of a model, laid out so that turning a head takes three operations."""

from __future__ import annotations

import torch
from torch import Tensor

from breadth.lm.config import Rope
from breadth.nn.positions import linear_frequencies, llama3_frequencies, rope_frequencies, yarn_frequencies
from breadth.nn.positions.tables import Table


def frequencies(rope: Rope) -> Tensor:
    """Angles by which each pair turns from one position to the next: float64, shape (dim / 2,).

    Args:
        rope: kind and numbers.

    References: as of `breadth.nn.positions`.
    """
    match rope.kind:
        case "linear":
            return linear_frequencies(rope.dim, factor=rope.factor, base=rope.theta)
        case "llama3":
            return llama3_frequencies(
                rope.dim,
                factor=rope.factor,
                original=rope.original_context,
                base=rope.theta,
                low_freq_factor=rope.low,
                high_freq_factor=rope.high,
            )
        case "yarn":
            return yarn_frequencies(
                rope.dim,
                factor=rope.factor,
                original=rope.original_context,
                base=rope.theta,
                beta_fast=rope.beta_fast,
                beta_slow=rope.beta_slow,
                truncate=rope.truncate,
            )
        case _:
            return rope_frequencies(rope.dim, base=rope.theta)


class Rotary:
    """Rows of a rotary table, computed in float64 when they are first asked for, and kept.

    It is no module: a checkpoint has no such tensor, and a model made without memory can make it later.

    Args:
        rope: kind and numbers.

    Cost: 2 dim numbers a position, up to the longest text seen.
    """

    def __init__(self, rope: Rope) -> None:
        self.dim, self.mscale = rope.dim, rope.mscale
        self._theta = frequencies(rope)
        self._table = Table(self._rows)

    def range(self, start: int, length: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines of positions from start on, each (length, 1, dim)."""
        rows = self._table(start, length, dtype, device)[:, None]
        return rows[..., : self.dim], rows[..., self.dim :]

    def at(self, positions: Tensor, highest: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Of any positions, (B, L) and none above `highest`: each (B, L, 1, dim)."""
        rows = self._table(0, highest + 1, dtype, positions.device)[positions][:, :, None]
        return rows[..., : self.dim], rows[..., self.dim :]

    def _rows(self, positions: Tensor) -> Tensor:
        angles = positions.to(torch.float64)[..., None] * self._theta.to(positions.device)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos, -sin, sin), -1) * self.mscale


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs (i, i + dim / 2) of the first dim features: `breadth.nn.positions.rotate` on doubled tables.

    Args:
        x: shape (B, L, heads, width).
        cos: cosines, twice, broadcastable to (B, L, heads, dim).
        sin: sines, the first half with a minus, shape of cos.

    Returns:
        Shape of x.
    """
    dim = cos.shape[-1]
    if dim == x.shape[-1]:
        return torch.addcmul(x * cos, x.roll(dim // 2, -1), sin)
    some = x[..., :dim]
    return torch.cat((torch.addcmul(some * cos, some.roll(dim // 2, -1), sin), x[..., dim:]), -1)
