"""Attention as it is written: every score is stored. The reference of the other engines, and what can do everything."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from breadth.nn.attention.contract import Form, check, four


def attention_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sinks: Tensor | None = None,
    softcap: float | None = None,
    scale: float | None = None,
) -> Tensor:
    """Probabilities P = softmax(cap(q k^T scale) + bias) over the keys that are seen; with sinks, rows sum to < 1.

    cap(s) = softcap tanh(s / softcap), or s. P_ij = exp(s_ij) / (sum_j' exp(s_ij') + exp(sink)).

    Args:
        q: shape (B, H, L, E).
        k: shape (B, H_kv, S, E), H a multiple of H_kv.
        causal, window, mask, bias, sinks, softcap, scale: as in `attend`.

    Returns:
        Shape (B, H, L, S), float32 for half precision, else the dtype of q; a row that sees no key is zero.

    Raises:
        TypeError, ValueError: as `attend` says.

    Cost: O(B H L S (E + 1)) time, O(B H L S) memory.
    References: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    Peer: NumPy float64 softmax, 1e-14 (B).
    In production: use it to look at attention; `attend` for its output alone is several times as fast.
    """
    form = Form(causal, window, four(mask), four(bias), sinks, softcap, scale)
    check(q, k, k, form)
    return _weights(q, k, form)


def naive(q: Tensor, k: Tensor, v: Tensor, form: Form) -> Tensor:
    """P v with P of `attention_weights`; autograd finds the backward."""
    weights = _weights(q, k, form)
    if form.dropout:
        weights = F.dropout(weights, form.dropout)
    batch, heads, length, n_keys = weights.shape
    # the queries of all heads that share a key head are the rows of one product: k and v are not repeated
    weights = weights.reshape(batch, k.shape[1], heads // k.shape[1] * length, n_keys)
    return (weights @ v.to(weights.dtype)).reshape(batch, heads, length, v.shape[-1]).to(q.dtype)


def _weights(q: Tensor, k: Tensor, form: Form) -> Tensor:
    weights = scores(q, k, form)
    if form.bias is not None:
        weights = weights + form.bias
    seen = form.seen(q.shape[2], k.shape[2], q.device)
    if seen is not None:
        weights = weights.masked_fill(~seen, -torch.inf)
    sink = None if form.sinks is None else form.sinks.to(weights.dtype)[:, None, None]
    if weights.shape[-1] == 0:  # no maximum; the sink is in the graph all the same, with gradient 0
        return weights if sink is None else weights * sink
    top = weights.detach().amax(-1, keepdim=True)
    if sink is not None:
        top = torch.maximum(top, sink.detach())
    top = top.masked_fill(top == -torch.inf, 0.0)  # nothing is seen: exp(-inf - 0) = 0 instead of exp(-inf + inf)
    weights = (weights - top).exp()
    total = weights.sum(-1, keepdim=True)
    if sink is not None:
        total = total + (sink - top).exp()
    return weights / total.masked_fill(total == 0, 1.0)


def scores(q: Tensor, k: Tensor, form: Form) -> Tensor:
    """cap(q k^T scale), shape (B, H, L, S); at least in float32, since float16 ends at 65504."""
    wide = torch.promote_types(q.dtype, torch.float32)
    batch, heads, length, dim = q.shape
    scale = dim**-0.5 if form.scale is None else form.scale
    rows = (q.to(wide) * scale).reshape(batch, k.shape[1], heads // k.shape[1] * length, dim)
    scores = (rows @ k.to(wide).mT).reshape(batch, heads, length, k.shape[2])
    return scores if form.softcap is None else form.softcap * torch.tanh(scores / form.softcap)
