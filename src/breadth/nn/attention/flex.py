"""torch's flex_attention: one compiled kernel for any bias, mask and cap."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

from breadth.nn.attention.contract import Form


def flex(q: Tensor, k: Tensor, v: Tensor, form: Form) -> Tensor:
    """The compiled kernel over the blocks that the mask leaves; sinks rescale its output by the log-sum-exp."""
    batch, heads, length, _ = q.shape
    n_keys = k.shape[2]
    causal, window = form.causal, form.window
    # a tensor: the compiler takes the second value of a Python number for a variable, which its CPU kernel cannot hold
    cap = None if form.softcap is None else torch.tensor(form.softcap, device=q.device)
    scores = (batch, heads, length, n_keys)
    allowed = None if form.mask is None else form.mask.expand(scores)
    added = None if form.bias is None else form.bias.to(q.dtype).expand(scores)
    offset = n_keys - length

    def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        distance = i + offset - j
        seen = distance >= 0 if causal else distance == distance
        if window is not None:
            seen = seen & (distance.abs() < window)
        return seen if allowed is None else seen & allowed[b, h, i, j]

    def changed(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        return score if added is None else score + added[b, h, i, j]

    blocks = None
    if allowed is not None or causal or window is not None:
        shape = (None, None) if allowed is None else (batch, heads)
        blocks = create_block_mask(visible, *shape, length, n_keys, device=q.device)
    options: dict[str, Any] = {
        "score_mod": None if cap is None and added is None else changed,
        "block_mask": blocks,
        "scale": form.scale,
        "enable_gqa": heads != k.shape[1],
    }
    if form.sinks is None:
        return _kernel()(q, k, v, **options)
    out, aux = _kernel()(q, k, v, return_aux=AuxRequest(lse=True), **options)
    return out * torch.sigmoid(aux.lse - form.sinks.to(aux.lse.dtype)[:, None])[..., None].to(out.dtype)


def flex_lacks(q: Tensor, k: Tensor, v: Tensor, form: Form) -> str | None:
    """What of the request no kernel of flex_attention has on this device, in words; None where it takes everything."""
    if form.dropout:
        return "dropout"
    if q.device.type != "cpu":
        return None
    if q.dtype == torch.float64:
        return "float64 on a CPU"
    if form.sinks is not None:
        return "sinks on a CPU"  # it keeps the log-sum-exp to itself there
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (q, k, v, form.bias)):
        return "gradients on a CPU"
    return None


@cache
def _kernel() -> Callable[..., Any]:
    return torch.compile(flex_attention)
