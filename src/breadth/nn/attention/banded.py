"""Sliding windows in blocks: each block of queries meets only the stretch of keys that its window reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from breadth.nn.attention.contract import Form

_LEAST = 64  # queries a block: with fewer, the kernel's overhead outweighs the keys that are saved


def banded(
    q: Tensor, k: Tensor, v: Tensor, form: Form, inner: Callable[[Tensor, Tensor, Tensor, Form], Tensor]
) -> Tensor:
    """Blocks of the length as a batch through `inner(q, k, v, form)`, with a mask in place of causal and window.

    A block of n queries is given n + window - 1 keys (n + 2 (window - 1) where it looks to both sides): time and memory
    are linear in the length.
    """
    assert form.window is not None
    (batch, heads, length, _), n_keys = q.shape, k.shape[2]
    window = min(form.window, max(length, n_keys))  # no two positions are further apart
    block = block_length(length, window)
    n_blocks = -(-length // block)
    back, ahead = window - 1, 0 if form.causal else window - 1
    start = n_keys - length - back  # of the first block's keys; below 0 there is nothing
    span = back + block + ahead
    q = F.pad(q, (0, 0, 0, n_blocks * block - length))
    blocks = q.view(batch, heads, n_blocks, block, -1).transpose(1, 2).flatten(0, 1)
    keys, values = (_stretches(t, start, span, block, n_blocks) for t in (k, v))
    i = torch.arange(block, device=q.device)[:, None]
    j = torch.arange(span, device=q.device)
    band = (j >= i) & (j <= i + back + ahead)  # (block, span)
    first = start + block * torch.arange(n_blocks, device=q.device)
    place = first[:, None] + j  # (n_blocks, span) of each key among all
    seen = band & ((place >= 0) & (place < n_keys))[:, None]
    mask = seen.repeat(batch, 1, 1)[:, None]  # (B n_blocks, 1, block, span)
    out = inner(blocks, keys, values, replace(form, causal=False, window=None, mask=mask))
    out = out.view(batch, n_blocks, heads, block, -1).transpose(1, 2).reshape(batch, heads, n_blocks * block, -1)
    return out[:, :, :length]


def block_length(length: int, window: int) -> int:
    """Queries a block: as many as the window, so that at most half of the scores are masked."""
    return max(1, min(length, max(window, _LEAST)))


def banded_pays(q: Tensor, k: Tensor, form: Form) -> bool:
    """Whether the blocks do all that is asked for, and meet at most half of the keys."""
    if form.window is None or form.mask is not None or form.bias is not None or form.softcap is not None:
        return False
    span = block_length(q.shape[2], form.window) + (form.window - 1) * (1 if form.causal else 2)
    return 2 * span <= k.shape[2]


def _stretches(t: Tensor, start: int, span: int, block: int, n_blocks: int) -> Tensor:
    """(B, H, S, E) -> (B n_blocks, H, span, E): keys start + c block ... of block c, zeros where there are none."""
    stop = start + span + block * (n_blocks - 1)
    t = t[:, :, max(start, 0) : max(stop, 0)]
    t = F.pad(t, (0, 0, max(-start, 0), 0))
    t = F.pad(t, (0, 0, 0, stop - start - t.shape[2]))
    return t.unfold(2, span, block).permute(0, 2, 1, 4, 3).flatten(0, 1)
