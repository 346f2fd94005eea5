"""What may be asked of attention beside q, k and v, and whether it fits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from breadth.nn.attention.masks import causal_mask, window_mask


@dataclass(frozen=True, slots=True)
class Form:
    """What `attend` was asked for beside q, k and v, as its arguments say; mask and bias have four dimensions."""

    causal: bool = False
    window: int | None = None
    mask: Tensor | None = None
    bias: Tensor | None = None
    sinks: Tensor | None = None
    softcap: float | None = None
    scale: float | None = None
    dropout: float = 0.0

    def seen(self, n_queries: int, n_keys: int, device: torch.device) -> Tensor | None:
        """Conjunction of causal, window and mask, broadcastable to (B, H, L, S); None where every key is seen."""
        if self.window is not None:
            seen = window_mask(n_queries, n_keys, window=self.window, causal=self.causal, device=device)
        elif self.causal and n_queries > 1:  # one query is the last position: it sees every key
            seen = causal_mask(n_queries, n_keys, device=device)
        else:
            return self.mask
        return seen if self.mask is None else seen & self.mask


def four(t: Tensor | None) -> Tensor | None:
    """With leading axes of 1, as broadcasting would add them."""
    return None if t is None else t.reshape((1,) * (4 - t.dim()) + t.shape)


def check(q: Tensor, k: Tensor, v: Tensor, form: Form) -> None:
    """Raise for shapes, dtypes and numbers that do not fit, by the names of `attend`'s arguments."""
    mask, bias, sinks = form.mask, form.bias, form.sinks
    for name, t in (("q", q), ("k", k), ("v", v)):
        if t.dim() != 4:
            raise ValueError(f"{name} must have shape (batch, heads, length, head_dim), got {tuple(t.shape)}")
        if not t.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {t.dtype}")
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if not (q.shape[0] == k.shape[0] == v.shape[0] and q.shape[3] == k.shape[3] and k.shape[1:3] == v.shape[1:3]):
        raise ValueError(f"q (B, H, L, E), k (B, H_kv, S, E) and v (B, H_kv, S, E_v) must agree, got {shapes}")
    if q.shape[3] == 0 or k.shape[1] == 0 or q.shape[1] % k.shape[1]:
        raise ValueError(f"the heads of q must be a multiple of those of k, and head_dim >= 1, got {shapes}")
    scores = (*q.shape[:3], k.shape[2])
    for name, t in (("mask", mask), ("bias", bias)):
        if t is not None and not _broadcasts(t.shape, scores):
            raise ValueError(f"{name} must be broadcastable to (B, H, L, S) = {scores}, got {tuple(t.shape)}")
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True where a key is seen, got {mask.dtype}; what is added is bias")
    if bias is not None and not bias.is_floating_point():
        raise TypeError(f"bias must be floating point, got {bias.dtype}; a boolean tensor is mask")
    if sinks is not None and sinks.shape != q.shape[1:2]:
        raise ValueError(f"sinks must have one logit a head, shape ({q.shape[1]},), got {tuple(sinks.shape)}")
    window, softcap, scale, dropout = form.window, form.softcap, form.scale, form.dropout
    if window is not None and window < 1:
        raise ValueError(f"window must be >= 1, got {window}; 1 sees only the query's own position")
    if softcap is not None and not 0 < softcap < math.inf:
        raise ValueError(f"softcap must be > 0 and finite, got {softcap}; None leaves scores as they are")
    if scale is not None and not math.isfinite(scale):
        raise ValueError(f"scale must be finite, got {scale}; None takes 1 / sqrt(head_dim)")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")


def _broadcasts(shape: torch.Size, target: tuple[int, ...]) -> bool:
    if len(shape) > len(target):
        return False
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False))
