"""Relative positions inside the scores: Shaw's vectors for clipped distances, and Transformer-XL's four terms."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.nn.attention.attend import attend
from breadth.nn.attention.contract import Form, check, four
from breadth.nn.attention.naive import attention_weights
from breadth.nn.positions.absolute import sinusoidal
from breadth.nn.positions.tables import Table


class ShawAttention(nn.Module):
    """Attention with learned vectors for the distance of key and query, clipped to max_distance on either side.

        e_ij = scale q_i . (k_j + a^K[clip(j - p_i)]),   o_i = sum_j softmax(e_i)_j (v_j + a^V[clip(j - p_i)])

    Query i is at position p_i = i + S - L. Heads share the vectors.

    Args:
        head_dim: E, width of queries and keys, >= 1.
        max_distance: K, distances are clipped to [-K, K], >= 0.
        value_dim: E_v, width of the values; None takes head_dim.
        values: whether distances have value vectors a^V; without them it is a bias of `attend`, and faster.

    Attributes:
        key: a^K, parameter, shape (2 K + 1, E); row d + K is distance d.
        value: a^V, parameter, shape (2 K + 1, E_v); None without values.

    Raises:
        ValueError: if a number is out of its range; from the call, as `attend` says.

    Cost: O(B H L S (E + E_v)) time, O(B H L S) memory: all scores are stored.
    References: Shaw, Uszkoreit & Vaswani 2018, arXiv:1803.02155, eq. 3 and 4, section 3.3 (one product for all
        distances).
    Peer: NumPy's einsum over the explicit (L, S, E) tensors, float64, 1e-12 (B).
    In production: mostly for its own checkpoints; `RelativePositionBias` and `RoPE` cost less.
    """

    def __init__(self, head_dim: int, max_distance: int, *, value_dim: int | None = None, values: bool = True):
        super().__init__()
        value_dim = head_dim if value_dim is None else value_dim
        if min(head_dim, value_dim) < 1 or max_distance < 0:
            raise ValueError(
                f"head_dim and value_dim must be >= 1 and max_distance >= 0, got {head_dim}, {value_dim}, "
                f"{max_distance}"
            )
        self.max_distance = max_distance
        self.key = nn.Parameter(torch.empty(2 * max_distance + 1, head_dim))
        self.value = nn.Parameter(torch.empty(2 * max_distance + 1, value_dim)) if values else None
        for table in (self.key, self.value):
            if table is not None:
                nn.init.xavier_uniform_(table)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        causal: bool = False,
        mask: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """Shape (B, H, L, E_v); arguments as of `attend`, whose errors these are too."""
        check(q, k, v, Form(causal, mask=four(mask), scale=scale))
        widths = self.key.shape[1], v.shape[3] if self.value is None else self.value.shape[1]
        if (q.shape[3], v.shape[3]) != widths:
            raise ValueError(f"q and v must be {widths[0]} and {widths[1]} wide, got {q.shape[3]} and {v.shape[3]}")
        (batch, heads, length, dim), n_keys = q.shape, k.shape[-2]
        scale = dim**-0.5 if scale is None else scale
        wide = torch.promote_types(q.dtype, torch.float32)
        # of each distance once: 2 K + 1 scores a query, from which each key takes its own
        by_distance = (q.to(wide) * scale) @ self.key.to(wide).mT  # (B, H, L, 2 K + 1)
        index = self._rows(length, n_keys, q.device).expand(batch, heads, length, n_keys)
        bias = by_distance.gather(-1, index)
        if self.value is None:
            return attend(q, k, v, causal=causal, mask=mask, bias=bias, scale=scale)
        weights = attention_weights(q, k, causal=causal, mask=mask, bias=bias, scale=scale)
        grouped = weights.reshape(batch, k.shape[1], heads // k.shape[1] * length, n_keys)
        out = (grouped @ v.to(weights.dtype)).reshape(batch, heads, length, v.shape[-1])
        mass = torch.zeros_like(by_distance, dtype=weights.dtype).scatter_add(-1, index, weights)
        return (out + mass @ self.value.to(weights.dtype)).to(q.dtype)

    def _rows(self, length: int, n_keys: int, device: torch.device) -> Tensor:
        positions = torch.arange(length, device=device) + (n_keys - length)
        distances = torch.arange(n_keys, device=device) - positions[:, None]
        return distances.clamp(-self.max_distance, self.max_distance) + self.max_distance

    def extra_repr(self) -> str:
        return f"head_dim={self.key.shape[1]}, max_distance={self.max_distance}, values={self.value is not None}"


class TransformerXLAttention(nn.Module):
    """Attention whose scores have four terms: content, content to position, and a bias u and v for either.

        score_ij = scale (q_i . k_j + q_i . r_(p_i - j) + u . k_j + v . r_(p_i - j)),   r_d = W_R PE(d)

    PE(d) are sinusoids of the distance from query to key, positive backwards. Query i is at position p_i = i + S - L,
    so that keys before the first query are the memory of earlier segments; u, v and r are the same wherever the
    segment lies, and longer memories than those of training can be given.

    Args:
        n_heads: H, >= 1.
        head_dim: E, >= 1.
        d_model: width of the sinusoids, even, >= 2.

    Attributes:
        u, v: parameters, shape (H, E), from N(0, 0.02^2).
        r_proj: W_R, `nn.Linear(d_model, H E, bias=False)`.

    Raises:
        ValueError: if a number is out of its range; from the call, if q has other heads or another head_dim, or as
            `attend` says.

    Cost: O(B H L S E) twice: for content and for positions; O(B H L S) memory. A causal form computes S + 1 distances,
        one that is not S + L.
    Deviations: sines and cosines alternate as in the paper's reference to Vaswani et al.; the authors' code puts all
        sines first, which is a permutation of W_R's columns.
    References: Dai et al. 2019, arXiv:1901.02860, section 3.3 (four terms) and appendix B (relative shift).
    Peer: NumPy's explicit (L, S) gather of r, float64, 1e-12 (B); the attention core of transformers 5.24.0's XLNet,
        frozen numbers, 1e-6, its float32 (A).
    In production: for its own checkpoints and XLNet's. The paper shows it at longer attention lengths than it trained
        with.
    """

    def __init__(self, n_heads: int, head_dim: int, d_model: int):
        super().__init__()
        if n_heads < 1 or head_dim < 1:
            raise ValueError(f"n_heads and head_dim must be >= 1, got {n_heads} and {head_dim}")
        sinusoidal(torch.zeros(0), d_model)  # for its errors
        self._table = Table(functools.partial(sinusoidal, dim=d_model, dtype=torch.float64))
        self.u = nn.Parameter(torch.randn(n_heads, head_dim) * 0.02)
        self.v = nn.Parameter(torch.randn(n_heads, head_dim) * 0.02)
        self.r_proj = nn.Linear(d_model, n_heads * head_dim, bias=False)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        causal: bool = True,
        mask: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor:
        """Shape (B, H, L, E_v); arguments as of `attend`, with keys and values of the memory first."""
        check(q, k, v, Form(causal, mask=four(mask), scale=scale))
        heads, dim = self.u.shape
        if (q.shape[1], q.shape[3]) != (heads, dim):
            raise ValueError(f"q must have shape (batch, {heads}, length, {dim}), got {tuple(q.shape)}")
        scale = dim**-0.5 if scale is None else scale
        u, by_distance = self.u[:, None].to(q.dtype), self._position_scores(q, k.shape[-2], causal)
        bias = relative_shift(by_distance, k.shape[-2]) * scale
        return attend(q + u, k, v, causal=causal, mask=mask, bias=bias, scale=scale)

    def _position_scores(self, q: Tensor, n_keys: int, causal: bool) -> Tensor:
        """(q_i + v) . r_d for d = S - 1 falling to -1, or to -L: shape (B, H, L, S + 1), or (B, H, L, S + L)."""
        heads, dim = self.u.shape
        after = 1 if causal else q.shape[2]  # distances below 0: one row for the shift, or all that there are
        dtype = self.r_proj.weight.dtype
        table = self._table(0, max(n_keys, after + 1), torch.promote_types(dtype, torch.float32), q.device)
        sines = torch.arange(table.shape[-1], device=q.device) % 2 == 0
        ahead = table[1 : after + 1]
        ahead = torch.where(sines, -ahead, ahead)  # PE(-d): the sine is odd, the cosine even
        r = self.r_proj(torch.cat((table[:n_keys].flip(0), ahead)).to(dtype))
        wide = torch.promote_types(torch.promote_types(q.dtype, r.dtype), torch.float32)
        r = r.unflatten(-1, (heads, dim)).transpose(0, 1).to(wide)  # (H, distances, E)
        return (q.to(wide) + self.v[:, None].to(wide)) @ r.mT

    def extra_repr(self) -> str:
        heads, dim = self.u.shape
        return f"n_heads={heads}, head_dim={dim}"


def relative_shift(scores: Tensor, n_keys: int) -> Tensor:
    """Moves scores by distance to scores by key: out[i, j] = scores[i, j + L - 1 - i].

    Column c of scores belongs to distance S - 1 - c from the key to the query, which is at position i + S - L. No index
    tensor and no copy of each row: one more row length, read with another stride.

    Args:
        scores: shape (..., L, n), n >= S; S + L - 1 columns serve keys after the query too. With fewer, entries whose
            distance is not among them (keys after the query) are other rows' numbers, for a causal mask to hide.
        n_keys: S, >= 0.

    Returns:
        Shape (..., L, S).

    Raises:
        ValueError: if scores has fewer than S columns.

    Cost: O(L n), a copy where n = S or scores are not contiguous.
    References: Dai et al. 2019, arXiv:1901.02860, appendix B.
    Peer: an explicit gather of indices (B).
    In production: inside `TransformerXLAttention`.
    """
    length, n = scores.shape[-2:]
    if n < n_keys:
        raise ValueError(f"scores must have at least n_keys = {n_keys} columns, got {n}")
    if length == 0 or n_keys == 0:
        return scores.new_zeros(*scores.shape[:-1], n_keys)
    if n == n_keys:
        scores, n = F.pad(scores, (0, 1)), n + 1
    # rows one shorter: each begins one column earlier than the row above
    flat = scores.flatten(-2)[..., length - 1 : length - 1 + length * (n - 1)]
    return flat.unflatten(-1, (length, n - 1))[..., :n_keys]
