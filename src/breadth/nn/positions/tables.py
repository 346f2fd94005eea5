"""Which positions a call is about, and a table of what depends on the position alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def positions_of(start: int, length: int, device: torch.device | str | None = None) -> Tensor:
    """start, start + 1, ..., as integers; start must be >= 0."""
    if start < 0:
        raise ValueError(f"start must be >= 0, got {start}; it is the position of the first element")
    return torch.arange(start, start + length, device=device)


def require_positions(positions: Tensor, x: Tensor) -> Tensor:
    """Integer positions of shape (L,) or (B, L) for x (B, ..., L, width)."""
    if positions.is_floating_point() or positions.is_complex() or positions.dtype == torch.bool:
        raise TypeError(f"positions must be integers, got {positions.dtype}")
    if positions.shape not in ((x.shape[-2],), (x.shape[0], x.shape[-2])):
        raise ValueError(
            f"positions must have shape (L,) = ({x.shape[-2]},) or (B, L) = {(x.shape[0], x.shape[-2])}, got "
            f"{tuple(positions.shape)}"
        )
    return positions


class Table:
    """Rows for positions 0, 1, ... of a function that is computed in float64, each kept once for a dtype and device.

    It is no buffer of a module: `module.half()` would round the table, and a checkpoint would hold it.
    """

    def __init__(self, rows: Callable[[Tensor], Tensor]):
        self._rows = rows
        self._kept: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def __call__(self, start: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        positions_of(start, 0)  # for its error
        kept = self._kept.get((dtype, device))
        if kept is None or kept.shape[0] < start + length:
            n = 1 << max(start + length - 1, 63).bit_length()  # doubling: decoding asks for one more row each step
            with torch.inference_mode(False):  # a table made while generating has to serve training too
                kept = self._rows(positions_of(0, n, "cpu")).to(dtype).to(device)
            self._kept[dtype, device] = kept
        return kept[start : start + length]

    def __getstate__(self) -> dict[str, object]:
        return {"_rows": self._rows, "_kept": {}}  # a copy or pickle computes its own
