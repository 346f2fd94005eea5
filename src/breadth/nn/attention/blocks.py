"""Scores a block of queries at a time: what can be learnt of attention without holding all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from breadth.nn.attention.contract import Form, check, four
from breadth.nn.attention.naive import scores

_SCORES = 1 << 20  # in memory at a time, unless the caller says otherwise: 4 MiB in float32
_LEAST = 16  # queries at a time, however large the batch


def blocks(q: Tensor, k: Tensor, form: Form, *, block: int | None = None) -> Iterator[tuple[slice, slice, Form]]:
    """Stretches of queries, for each the stretch of keys that it can see, and the form of the two by themselves.

    In the form causal and window have become a mask; blocks that see no key are left out.

    Args:
        q: shape (B, H, L, E).
        k: shape (B, H_kv, S, E).
        form: what is asked of all queries and keys.
        block: queries at a time, >= 1; None takes as many as have about a million scores, 16 at least.

    Raises:
        ValueError: if block < 1.
    """
    (batch, heads, length, _), n_keys = q.shape, k.shape[2]
    if block is None:
        block = max(_LEAST, _SCORES // max(1, batch * heads * n_keys))
    if block < 1:
        raise ValueError(f"block must be >= 1, got {block}")
    for start in range(0, length, block):
        stop = min(start + block, length)
        first, last = start + n_keys - length, stop - 1 + n_keys - length  # positions of its queries among the keys
        ahead = 0 if form.causal else n_keys if form.window is None else form.window - 1
        low = 0 if form.window is None else max(0, first - form.window + 1)
        high = min(n_keys, last + ahead + 1)
        if high <= low:
            continue
        seen = None
        if form.causal or form.window is not None:
            # masks are aligned to the last key: `high - 1 - last` queries more stand between it and the block's last
            band = replace(form, mask=None).seen(stop - start + high - 1 - last, high - low, q.device)
            seen = None if band is None else band[: stop - start]
        rows, columns = slice(start, stop), slice(low, high)
        mask = _cut(form.mask, rows, columns)
        mask = seen if mask is None else mask if seen is None else mask & seen
        yield rows, columns, replace(form, causal=False, window=None, mask=mask, bias=_cut(form.bias, rows, columns))


def largest_logits(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
    block: int | None = None,
) -> Tensor:
    """Largest logit of each head, S_h = max over the batch and all pairs that are seen of scale q_i . k_j.

    It is taken before bias and soft cap: what the projections of queries and keys are answerable for, and what
    `qk_clip_` scales.

    Args:
        q: queries, shape (B, H, L, E).
        k: keys, shape (B, H_kv, S, E).
        causal, window, mask, scale: as in `attend`.
        block: queries at a time, >= 1; None takes as many as have about a million scores, 16 at least.

    Returns:
        Shape (H,), float32 for half precision, else the dtype of q, without gradient; -inf where no pair is seen.

    Raises:
        TypeError, ValueError: as `attend` says; ValueError if block < 1.

    Cost: O(B H L S E) time, with causal half and with a window O(B H L window E) of it; memory O(B H block S).
    References: Kimi Team 2025, arXiv:2507.20534, section 2.1 (S_max).
    Peer: NumPy's maximum over all scores, float64, 1e-14 (B).
    In production: a fused kernel that keeps its running maximum has it for nothing.
    """
    q, k = q.detach(), k.detach()
    form = Form(causal, window, four(mask), scale=scale)
    check(q, k, k, form)
    largest = torch.full((q.shape[1],), -torch.inf, dtype=torch.promote_types(q.dtype, torch.float32), device=q.device)
    for rows, columns, own in blocks(q, k, form, block=block):
        logits = scores(q[:, :, rows], k[:, :, columns], own)  # (B, H, n, m)
        if own.mask is not None:
            logits = logits.masked_fill(~own.mask, -torch.inf)
        if logits.numel():
            largest = torch.maximum(largest, logits.amax((0, 2, 3)))
    return largest


def _cut(t: Tensor | None, rows: slice, columns: slice) -> Tensor | None:
    """The part of a mask or bias that belongs to a block; an axis of 1 goes on being broadcast."""
    if t is None:
        return None
    t = t if t.shape[2] == 1 else t[:, :, rows]
    return t if t.shape[3] == 1 else t[..., columns]
