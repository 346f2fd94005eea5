"""What a call of a model may be given: each check names the argument, what was given and what would be right."""

from __future__ import annotations

import torch
from torch import Tensor

from breadth.lm.cache import Cache
from breadth.lm.config import LMConfig


def check_ids(name: str, ids: Tensor, vocab_size: int) -> None:
    """ids must be integers of the vocabulary, (batch, length), and some.

    Raises:
        ValueError: if the shape does not fit, or an id is outside the vocabulary.
        TypeError: if they are no integers.
    """
    if ids.dim() != 2 or 0 in ids.shape:
        raise ValueError(f"{name} must have shape (batch, length), both >= 1, got {tuple(ids.shape)}")
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} must be integers, got {ids.dtype}")
    if not torch.compiler.is_compiling():
        low, high = (int(t) for t in ids.aminmax())
        if low < 0 or high >= vocab_size:
            wrong = low if low < 0 else high
            raise ValueError(f"{name} must be in [0, {vocab_size}), the vocabulary, got {wrong}")


def check_padding(cache: Cache, valid: Tensor, config: LMConfig) -> None:
    """Padding in a cache must not be where windows count tokens.

    Raises:
        ValueError: if there are windows, and padding behind real tokens.
    """
    local = any(layer.window is not None or layer.chunk is not None for layer in config.layers)
    if local and cache.length > 1:
        old = valid[:, : cache.length]
        if bool((old[:, :-1] & ~old[:, 1:]).any()):
            raise ValueError(
                "valid has padding behind tokens in the cache, and layers with windows count it; pad on the left, or "
                "truncate the cache"
            )


def without_padding(name: str, valid: Tensor | None, batch: int, length: int) -> Tensor | None:
    """valid as it was given, or None where it says that there is no padding."""
    if valid is None:
        return None
    if valid.dtype != torch.bool:
        raise TypeError(f"{name} must be boolean, False for padding, got {valid.dtype}")
    if valid.dim() != 2 or valid.shape[0] != batch or length not in (-1, valid.shape[1]):
        want = f"({batch}, {length if length >= 0 else 'source length'})"
        raise ValueError(f"{name} must have shape {want}, a place for each token read so far, got {tuple(valid.shape)}")
    return None if bool(valid.all()) else valid


def check_positions(positions: Tensor | None, batch: int, count: int, context: int) -> Tensor | None:
    """positions as (1 or batch, count), all of them inside of the context."""
    if positions is None:
        return None
    if positions.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"positions must be integers, got {positions.dtype}")
    if positions.shape not in ((count,), (1, count), (batch, count)):
        raise ValueError(f"positions must have shape ({count},) or ({batch}, {count}), got {tuple(positions.shape)}")
    low, high = (int(t) for t in positions.aminmax())
    if low < 0 or high >= context:
        raise ValueError(f"positions must be in [0, {context}), the context, got {low if low < 0 else high}")
    return positions.view(-1, count)


def four_axes(mask: Tensor | None, batch: int, count: int, end: int) -> Tensor | None:
    """mask as (1 or batch, 1 or heads, count, end)."""
    if mask is None:
        return None
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True where a key is seen, got {mask.dtype}")
    if (
        mask.dim() not in (2, 3, 4)
        or mask.shape[-2:] != (count, end)
        or (mask.dim() > 2 and len(mask) not in (1, batch))
    ):
        raise ValueError(f"mask must have shape ({count}, {end}) or ({batch}, {count}, {end}), got {tuple(mask.shape)}")
    return mask[None, None] if mask.dim() == 2 else mask[:, None] if mask.dim() == 3 else mask
