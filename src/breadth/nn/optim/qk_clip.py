"""QK-clip: bound the logits of attention by scaling its query and key projections, head by head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class QKHeads(NamedTuple):
    """The projections of one attention layer, as views with the heads in front.

    A weight of shape (n_heads * head_dim, d_model) is seen as `weight.view(n_heads, head_dim, d_model)`, its bias as
    `bias.view(n_heads, head_dim)`; biases are listed with the weights.
    """

    queries: Sequence[Tensor]  # each (n_heads, ...)
    keys: Sequence[Tensor]  # each (n_heads, ...), or (n_kv_heads, ...) where heads share keys
    shared_key_queries: Sequence[Tensor] = ()  # each (n_heads, ...): rotary part of latent attention's queries


class LogitReporter(Protocol):
    """An attention layer that MuonClip can bound."""

    max_logits: Tensor | None  # (n_heads,), largest scaled logit of the batch; set by forward, None once used

    def qk_heads(self) -> QKHeads:
        """Views of the layer's own parameters."""
        ...


def qk_clip_(heads: QKHeads, max_logits: Tensor, *, tau: float = 100.0) -> Tensor:
    """Scale W_q and W_k of each head in place, so that its largest logit comes back to tau.

        gamma_h = min(1, tau / S_h);  W_q^h <- sqrt(gamma_h) W_q^h,  W_k^h <- sqrt(gamma_h) W_k^h

    and queries whose keys all heads share (the rotary part of latent attention) by gamma_h, their keys not at all. A
    logit is bilinear in both, so that each logit of head h is multiplied by gamma_h exactly.

    Args:
        heads: views of the projections, biases with them.
        max_logits: S_h, the largest logit of each head as it enters softmax, scale included, shape (n_heads,).
        tau: largest logit that is left alone, > 0.

    Returns:
        gamma, shape (n_heads,).

    Raises:
        ValueError: if max_logits is not finite, or the numbers of heads do not fit.

    Cost: one pass over the projections, and one number read back from the device.
    Deviations: where n_kv_heads < n_heads each key serves several heads, and the queries alone are scaled, by gamma_h,
        as the paper does for shared rotary keys; it does not treat grouped keys.
    References: Kimi Team 2025, arXiv:2507.20534, section 2.1 and algorithm 1.
    Peer: logits of the same batch computed again, float64, 1e-12 (B).
    In production: use it through MuonClip; normalise queries and keys instead where the model may still be changed.
    """
    (n_heads,) = max_logits.shape
    if not 0 < tau < math.inf:
        raise ValueError(f"tau must be > 0 and finite, got {tau}")
    require_finite(max_logits)
    own_queries = (*heads.queries, *heads.shared_key_queries)
    for t in own_queries:
        if t.shape[0] != n_heads:
            raise ValueError(f"queries must have shape ({n_heads}, ...) beside max_logits, got {tuple(t.shape)}")
    for t in heads.keys:
        if n_heads % t.shape[0]:
            raise ValueError(f"keys must have shape (n_kv_heads, ...) that divides {n_heads}, got {tuple(t.shape)}")
    gamma = torch.where(max_logits > tau, tau / max_logits, 1.0)
    keys_shared = any(t.shape[0] != n_heads for t in heads.keys)
    split = gamma if keys_shared else gamma.sqrt()
    with torch.no_grad():
        for t in heads.queries:
            t.mul_(_over_heads(split, t))
        if not keys_shared:
            for t in heads.keys:
                t.mul_(_over_heads(split, t))
        for t in heads.shared_key_queries:
            t.mul_(_over_heads(gamma, t))
    return gamma


def require_finite(max_logits: Tensor) -> None:
    """Refuse a report of logits that overflowed, or of a head that saw no pair."""
    if not max_logits.isfinite().all():
        bad = (~max_logits.isfinite()).nonzero().flatten().tolist()
        raise ValueError(f"max_logits must be finite, got {max_logits[bad].tolist()} for heads {bad}")


def _over_heads(factor: Tensor, t: Tensor) -> Tensor:
    return factor.to(t.dtype).view(-1, *[1] * (t.ndim - 1))
