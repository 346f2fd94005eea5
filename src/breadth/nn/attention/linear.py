"""Linear attention: the softmax's exp(q . k) replaced by phi(q) . phi(k), so that sums over keys can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from breadth.nn.attention.kernelized import (
    CHUNK,
    KeyFeatures,
    LinearState,
    QueryFeatures,
    kernel_attention,
    kernel_step,
)

FeatureMap = Literal["elu", "relu", "exp"] | Callable[[Tensor], Tensor]


def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    feature_map: FeatureMap = "elu",
    chunk: int = CHUNK,
) -> Tensor:
    """Attention with a kernel of finite features, D^-1 phi(Q) (phi(K)^T V) with D = diag(phi(Q) phi(K)^T 1).

    o_i = sum_j phi(q_i).phi(k_j) v_j / sum_j phi(q_i).phi(k_j). Without D rows do not sum to 1: their mass grows with
    the number of keys. The causal form sums over j <= i: scores inside a chunk, one (F, E_v) matrix for all before it.

    Args:
        q: queries, shape (B, H, L, E).
        k: keys, shape (B, H_kv, S, E); H must be a multiple of H_kv, and query head h meets key head h H_kv // H.
        v: values, shape (B, H_kv, S, E_v).
        causal: query i sees keys j <= i + S - L, aligned to the end as in `attend`.
        mask: boolean, broadcastable to (B, 1, 1, S), True where a key is seen (padding).
        feature_map: phi, applied to the last axis, >= 0:
            "elu": elu(x) + 1, that is x + 1 above 0 and e^x below;
            "relu": max(x, 0); a query or key without a positive entry has no features;
            "exp": e^x elementwise;
            or a function (..., E) -> (..., F) that gives float32 or float64 as it gets it.
        chunk: queries of the causal form whose scores lie in memory, >= 1.

    Returns:
        Shape (B, H, L, E_v), dtype of q (under autocast: of autocast). A query without a key, or whose features meet
        no key's, gives 0.

    Raises:
        TypeError: if a tensor's dtype is not what it must be.
        ValueError: if shapes do not fit, chunk < 1, or feature_map is unknown.

    Cost: O(B H L F E_v + B H_kv S F E_v) time, and O(B H L chunk (F + E_v)) where causal; O(B H (F E_v + chunk^2))
        memory beside the output (with gradients O(B H L (F + E_v + chunk))). One launch of a dozen kernels a chunk: a
        CPU hides it, a GPU does not.
    Deviations:
        1. Features of a row that lies below 0 everywhere are scaled by e^-max, which cancels: at mean -1e4 the
           published e^x is 0 / 0.
        2. No epsilon is added to D.
        3. Features and sums are float32 for half precision.
    References: Katharopoulos et al. 2020, arXiv:2006.16236, eq. 4-7 (D, elu + 1) and 8-12 (causal); Sun et al. 2023,
        arXiv:2307.08621, eq. 7 (a causal form by chunks).
    Peer: the quadratic form with explicit scores in NumPy, float64, 1e-12 (B); performer-pytorch 1.1.4's two
        forms, frozen numbers (A).
    In production: use it where the length is past about 4,096 and exact recall of single tokens is not needed; on a GPU
        take the fused kernels of flash-linear-attention.
    """
    of_query, of_key = _features(feature_map)
    out, _ = kernel_attention(q, k, v, of_query, of_key, causal=causal, mask=mask, chunk=chunk)
    return out


def linear_attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: LinearState | None = None,
    *,
    mask: Tensor | None = None,
    feature_map: FeatureMap = "elu",
    chunk: int = CHUNK,
) -> tuple[Tensor, LinearState]:
    """Causal linear attention as a recurrence: S <- S + phi(k) v^T, z <- z + phi(k), o = phi(q) S / phi(q) . z.

    Args:
        q: queries of the new positions, shape (B, H, n, E), n >= 1; one when decoding, many for a prompt.
        k: their keys, shape (B, H_kv, n, E).
        v: their values, shape (B, H_kv, n, E_v).
        state: what the step before returned; None at the start. It is not changed.
        mask: boolean, broadcastable to (B, 1, 1, n), True where a new key is seen.
        feature_map, chunk: as of `linear_attention`; the same at every step.

    Returns:
        Output (B, H, n, E_v) in the dtype of q, and the new state, in float32 or float64.

    Raises:
        TypeError: as `linear_attention` says.
        ValueError: as `linear_attention` says; if n is 0 or not the same for q and k, or state is of other shapes.

    Cost: O(B H F E_v) time and memory a position, whatever came before.
    References: Katharopoulos et al. 2020, arXiv:2006.16236, eq. 16-20.
    Peer: `linear_attention(causal=True)` row by row, float64, 1e-12; that form's own quadratic twin (B).
    In production: use it to decode; the state replaces a key-value cache and does not grow.
    """
    return kernel_step(q, k, v, *_features(feature_map), state, mask=mask, chunk=chunk)


class LinearAttention(nn.Module):
    """Multi-head linear attention: q, k and v projected from the input, `linear_attention`, and a projection back.

    Args:
        d_model: width of input and output.
        n_heads: query heads; it must divide d_model.
        n_kv_heads: heads of keys and values, a divisor of n_heads; None takes n_heads.
        causal: query i sees keys j <= i.
        feature_map: as of `linear_attention`.
        bias: whether the projections add one.

    Attributes:
        q_proj, k_proj, v_proj, out_proj: `nn.Linear`s.

    Raises:
        ValueError: if n_heads does not divide d_model or n_kv_heads does not divide n_heads.

    Cost: O(B L d_model^2) for the projections, and that of `linear_attention`.
    References: Katharopoulos et al. 2020, arXiv:2006.16236, section 3.2.
    Peer: NumPy's projections and explicit scores, float64, 1e-12 (B).
    In production: as `linear_attention`; in language models mix it with a few layers of `attend`, as MiniMax-01 and
        Kimi Linear do.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        causal: bool = False,
        feature_map: FeatureMap = "elu",
        bias: bool = True,
    ):
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"n_heads must divide d_model, got {n_heads} and {d_model}")
        if n_kv_heads < 1 or n_heads % n_kv_heads:
            raise ValueError(f"n_kv_heads must divide n_heads, got {n_kv_heads} and {n_heads}")
        _features(feature_map)
        self.n_heads, self.n_kv_heads, self.causal, self.feature_map = n_heads, n_kv_heads, causal, feature_map
        d_kv = d_model // n_heads * n_kv_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_kv, bias=bias)
        self.v_proj = nn.Linear(d_model, d_kv, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor, context: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        """Shape (B, L, d_model) for x (B, L, d_model); keys come from context (B, S, d_model), or from x.

        mask is boolean, broadcastable to (B, 1, 1, S), True where a key is seen.
        """
        q, k, v = self._heads(x, x if context is None else context)
        out = linear_attention(q, k, v, causal=self.causal, mask=mask, feature_map=self.feature_map)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def step(self, x: Tensor, state: LinearState | None = None) -> tuple[Tensor, LinearState]:
        """Output at new positions x (B, n, d_model) after those that state holds, and the state after them."""
        if not self.causal:
            raise ValueError("step needs causal=True: without it a position sees those that are still to come")
        out, state = linear_attention_step(*self._heads(x, x), state, feature_map=self.feature_map)
        return self.out_proj(out.transpose(1, 2).flatten(2)), state

    def _heads(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = self.q_proj(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, H, L, E)
        k = self.k_proj(context).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        v = self.v_proj(context).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        return q, k, v

    def extra_repr(self) -> str:
        return f"n_heads={self.n_heads}, n_kv_heads={self.n_kv_heads}, causal={self.causal}"


def _features(feature_map: FeatureMap) -> tuple[QueryFeatures, KeyFeatures]:
    """phi for queries, and for keys with the logarithm of the scale that was taken out."""
    match feature_map:
        case "elu":
            return (lambda x: _elu_plus_one(x)[0]), _elu_plus_one
        case "exp":
            return (lambda x: _exp(x)[0]), _exp
        case "relu":
            return torch.relu, (lambda x: (torch.relu(x), None))
        case _ if callable(feature_map):
            return feature_map, (lambda x: (feature_map(x), None))
    raise ValueError(f"feature_map must be 'elu', 'relu', 'exp' or a function, got {feature_map!r}")


def _elu_plus_one(x: Tensor) -> tuple[Tensor, Tensor]:
    # a constant for the gradient: features times e^scale do not depend on it
    scale = x.detach().amax(-1).clamp(max=0.0)
    return x.relu() + (x.clamp(max=0.0) - scale[..., None]).exp(), scale


def _exp(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = x.detach().amax(-1)
    return (x - scale[..., None]).exp(), scale
