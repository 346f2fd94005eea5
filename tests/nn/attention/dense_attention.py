"""Attention as the papers write it, value and gradients, in NumPy float64: one query and one head at a time."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch


class Exact(NamedTuple):
    """Output, probabilities, and the gradients of sum(grad * out)."""

    out: np.ndarray
    weights: np.ndarray
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    bias: np.ndarray  # of the full shape (B, H, L, S)
    sinks: np.ndarray


@cache
def visible(n_queries: int, n_keys: int, *, causal: bool = False, window: int | None = None) -> np.ndarray:
    """(L, S): the last query stands at the last key."""
    seen = np.zeros((n_queries, n_keys), bool)
    for i in range(n_queries):
        place = n_keys - n_queries + i
        for j in range(n_keys):
            behind = place - j
            seen[i, j] = not (causal and behind < 0) and (window is None or abs(behind) < window)
    return seen


def exact_attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    grad: np.ndarray,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    sinks: np.ndarray | None = None,
    softcap: float | None = None,
    scale: float | None = None,
) -> Exact:
    (batch, heads, length, dim), (_, shared, n_keys, _) = q.shape, k.shape
    scale = 1 / math.sqrt(dim) if scale is None else scale
    full = (batch, heads, length, n_keys)
    seen = np.broadcast_to(visible(length, n_keys, causal=causal, window=window), full)
    seen = seen if mask is None else seen & np.broadcast_to(mask, full)
    added = np.zeros(full) if bias is None else np.broadcast_to(bias, full)
    found = Exact(
        np.zeros((*full[:3], v.shape[-1])), np.zeros(full), *map(np.zeros_like, (q, k, v)), np.zeros(full),
        np.zeros(heads),
    )  # fmt: skip
    for b, h, i in np.ndindex(batch, heads, length):
        keys = np.flatnonzero(seen[b, h, i])
        if not len(keys):
            continue  # sees nothing: 0, and no gradient
        group = h * shared // heads
        raw = scale * (k[b, group, keys] @ q[b, h, i])
        s = raw if softcap is None else softcap * np.tanh(raw / softcap)
        s = s + added[b, h, i, keys]
        sink = -np.inf if sinks is None else sinks[h]
        top = max(s.max(), sink)
        e, e_sink = np.exp(s - top), np.exp(sink - top)
        p = e / (e.sum() + e_sink)
        found.weights[b, h, i, keys] = p
        out = found.out[b, h, i] = p @ v[b, group, keys]
        g = grad[b, h, i]
        found.v[b, group, keys] += p[:, None] * g
        ds = p * (v[b, group, keys] @ g - out @ g)
        found.bias[b, h, i, keys] += ds
        found.sinks[h] -= e_sink / (e.sum() + e_sink) * (out @ g)
        if softcap is not None:
            ds = ds * (1 - np.tanh(raw / softcap) ** 2)
        found.q[b, h, i] += scale * ds @ k[b, group, keys]
        found.k[b, group, keys] += scale * ds[:, None] * q[b, h, i]
    return found


def summed_to(t: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What broadcasting from `shape` to t's gives back."""
    t = t.sum(tuple(range(t.ndim - len(shape))))
    return t.sum(tuple(a for a, n in enumerate(shape) if n == 1 and t.shape[a] != 1), keepdims=True)


def drawn(
    *,
    batch: int = 2,
    heads: int = 4,
    shared: int = 2,
    length: int = 7,
    n_keys: int = 7,
    dim: int = 8,
    value_dim: int = 8,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """q, k, v and a gradient of the output."""
    rng = np.random.default_rng(seed)
    return {
        "q": rng.normal(size=(batch, heads, length, dim)),
        "k": rng.normal(size=(batch, shared, n_keys, dim)),
        "v": rng.normal(size=(batch, shared, n_keys, value_dim)),
        "grad": rng.normal(size=(batch, heads, length, value_dim)),
    }


def tensors(given: dict[str, Any], dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Arrays as tensors, floating point ones as leaves of `dtype`."""
    made: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, np.ndarray):
            value = torch.tensor(value)
            if value.is_floating_point():
                value = value.to(dtype).requires_grad_(name != "grad")
        made[name] = value
    return made
