"""Engines that see all keys at once: torch's scaled_dot_product_attention, and the flash kernel with learned sinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from breadth.nn.attention.contract import Form
from breadth.nn.attention.naive import naive

_FLASH = "_scaled_dot_product_flash_attention_for_cpu"
_SINK_PADDING = 8  # torch's CUDA kernels want rows of a mask to start at multiples of 8


def sdpa(q: Tensor, k: Tensor, v: Tensor, form: Form) -> Tensor:
    """torch's scaled_dot_product_attention; a sink is one more key of zeros, with the sink as bias and value 0."""
    triangle = form.sinks is None and _is_triangle(q, k, form)
    mask = None if triangle else _mask(q, k, form, boolean=form.sinks is None)
    if form.sinks is not None:
        k, v, mask = _with_sink_key(q, k, v, form.sinks, mask)
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        mask,
        dropout_p=form.dropout,
        is_causal=triangle,
        scale=form.scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )


def flash_sinks(q: Tensor, k: Tensor, v: Tensor, form: Form) -> Tensor:
    """Attention with sinks from the kernel's output without: softmax * sigmoid(logsumexp - sink)."""
    triangle = _is_triangle(q, k, form)
    mask = None if triangle else _mask(q, k, form, boolean=False)
    if k.shape[1] != q.shape[1]:  # the kernel's backward wants a key head for every query head
        k, v = (_repeat_heads(t, q.shape[1]) for t in (k, v))
    scale = q.shape[-1] ** -0.5 if form.scale is None else form.scale
    return _FlashSinks.apply(q, k, v, form.sinks, mask, triangle, scale)


def flash_takes(q: Tensor, k: Tensor, v: Tensor, form: Form) -> bool:
    """Whether `flash_sinks` can serve: the CPU's kernel, which has no gradient for a bias and no dropout."""
    return (
        _kernel(_FLASH) is not None
        and _kernel(f"{_FLASH}_backward") is not None
        and q.device.type == "cpu"
        and q.dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
        and q.shape[-1] == v.shape[-1]
        and all(q.shape)
        and all(k.shape)
        and (form.bias is None or not (form.bias.requires_grad and torch.is_grad_enabled()))
        and not form.dropout
    )


def _is_triangle(q: Tensor, k: Tensor, form: Form) -> bool:
    """Whether the kernels' own causal mask serves: it is aligned to the first key, not to the last."""
    alone = form.window is None and form.mask is None and form.bias is None
    return form.causal and alone and q.shape[2] == k.shape[2]


def _mask(q: Tensor, k: Tensor, form: Form, *, boolean: bool) -> Tensor | None:
    """What a kernel is given as mask: boolean where it may be and nothing is added, else the bias with -inf."""
    seen = form.seen(q.shape[2], k.shape[2], q.device)
    if form.bias is not None:
        bias = form.bias.to(q.dtype)
        return bias if seen is None else torch.where(seen, bias, -torch.inf)
    if seen is None or boolean:
        return seen
    return torch.zeros(seen.shape, dtype=q.dtype, device=q.device).masked_fill_(~seen, -torch.inf)


def _with_sink_key(
    q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, values and mask with the sink's key and up to seven that nobody sees behind the S keys."""
    (batch, heads, length, _), n_keys = q.shape, k.shape[2]
    padding = -(n_keys + 1) % _SINK_PADDING
    k, v = (torch.cat((t, t.new_zeros(*t.shape[:2], 1 + padding, t.shape[-1])), 2) for t in (k, v))
    shape = (batch, heads, length, n_keys)
    mask = q.new_zeros(1).expand(shape) if mask is None else mask.expand(shape)
    sink = sinks.to(q.dtype).view(1, heads, 1, 1).expand(batch, heads, length, 1)
    return k, v, torch.cat((mask, sink, q.new_full((batch, heads, length, padding), -torch.inf)), -1)


def _repeat_heads(t: Tensor, heads: int) -> Tensor:
    """(B, H_kv, S, E) -> (B, H, S, E), each head in a row as often as it is shared."""
    batch, shared, n_keys, dim = t.shape
    return t[:, :, None].expand(batch, shared, heads // shared, n_keys, dim).reshape(batch, heads, n_keys, dim)


def _kernel(name: str) -> Callable[..., Any] | None:
    """An operator that torch does not promise to keep; None where it is gone, and `sdpa` serves."""
    return getattr(torch.ops.aten, name, None)


class _FlashSinks(torch.autograd.Function):
    """The sink is a key with value 0, so only the normaliser knows of it: lse' = log(exp(lse) + exp(sink)).

    The kernel's backward recomputes P = exp(s - lse) and dS = P (dO v^T - dO . O). Given lse' and the output O' with
    sinks, it computes the gradients with sinks; that of the sink itself is -P_sink dO . O'.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, mask: Tensor | None, triangle: bool, scale: float
    ) -> Tensor:
        out, lse = _call(_FLASH, q, k, v, 0.0, triangle, attn_mask=mask, scale=scale)
        sink = sinks.to(lse.dtype)[:, None]  # (H, 1) beside lse (B, H, L)
        out = out * torch.sigmoid(lse - sink)[..., None].to(out.dtype)
        ctx.save_for_backward(q, k, v, sinks, mask, out, torch.logaddexp(lse, sink))
        ctx.triangle, ctx.scale = triangle, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, sinks, mask, out, lse = ctx.saved_tensors
        (grad,) = grads
        if torch.is_grad_enabled():  # the gradient is to be differentiated again, and the kernel's cannot be
            form = Form(ctx.triangle, bias=mask, sinks=sinks, scale=ctx.scale)
            inputs = [t for t, needed in zip((q, k, v, sinks), ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(naive(q, k, v, form), inputs, grad, create_graph=True))
            return (*(next(found) if needed else None for needed in ctx.needs_input_grad[:4]), None, None, None)
        dq, dk, dv = _call(
            f"{_FLASH}_backward", grad, q, k, v, out, lse, 0.0, ctx.triangle, attn_mask=mask, scale=ctx.scale
        )
        dsinks = None
        if ctx.needs_input_grad[3]:
            share = torch.exp(sinks.to(lse.dtype)[:, None] - lse)
            dsinks = -(share * (grad * out).sum(-1, dtype=lse.dtype)).sum((0, 2)).to(sinks.dtype)
        return dq, dk, dv, dsinks, None, None, None


def _call(name: str, *args: Any, **kwargs: Any) -> Any:
    kernel = _kernel(name)
    if kernel is None:
        raise RuntimeError(f"this torch has no {name}; take engine='sdpa'")
    return kernel(*args, **kwargs)
