"""Multi-head attention: projections to heads, `attend`, and a projection back; grouped, rotary, cross or with sinks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.nn.attention.attend import Engine, attend
from breadth.nn.attention.blocks import largest_logits
from breadth.nn.attention.naive import attention_weights
from breadth.nn.dropout import HeadDropout
from breadth.nn.optim.qk_clip import QKHeads

Rotary = Callable[..., Tensor]  # (x, start=) -> x, as RoPE
QKNormalizer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (q, k) -> (q, k), as QKNorm
PositionBias = Callable[[int, int], Tensor]  # (L, S) -> (H, L, S), as RelativePositionBias


class MultiheadAttention(nn.Module):
    """Several attentions side by side: concat(head_1, ..., head_H) W_O, head_h = attend(q W_Q,h, k W_K,g, v W_V,g).

    With num_kv_heads = H each head has keys and values of its own (multi-head); with fewer, H / num_kv_heads query
    heads share them (grouped-query), with 1 all do (multi-query). Given `key` and `value` of another sequence it is
    cross-attention: queries come from `query` alone, keys and values from the whole of the other.

    Args:
        embed_dim: width of query and output.
        num_heads: query heads H.
        dropout: share of the attention weights dropped in training, in [0, 1).
        bias: of the four projections.
        kdim, vdim: widths of key and value; None takes embed_dim.
        batch_first: tensors are (B, L, E); False has them as (L, B, E), torch's default.
        device, dtype: of the parameters.
        num_kv_heads: heads of keys and values, a divisor of num_heads; None takes num_heads.
        head_dim: width of a head; None takes embed_dim / num_heads.
        rope: turns queries and keys, such as `RoPE(head_dim)`. Keys are at 0 ... S - 1, queries at the last L of these.
        qk_norm: makes (q, k) of (q, k) before rope, such as `QKNorm(head_dim)`; scale is then 1 if it is not given.
        position_bias: (L, S) -> what is added to the scores, (H, L, S), such as `RelativePositionBias`.
        window, softcap, scale, engine: as of `attend`.
        sinks: learn one logit a head that is in the normaliser and has no value.
        head_dropout: probability with which a whole head is dropped in training, in [0, 1].
        track_max_logits: report each head's largest logit in training, as `MuonClip` wants it; not beside qk_norm,
            which bounds logits itself and takes no notice of the weights' length.

    Attributes:
        in_proj_weight, in_proj_bias: rows of all queries, then of keys, then of values, as in torch's state_dict; with
            another kdim or vdim q_proj_weight, k_proj_weight and v_proj_weight in place of the first.
        out_proj: `nn.Linear` from the heads to embed_dim.
        sinks: parameter, shape (H,), or None.
        max_logits: `largest_logits` of each head over all forward passes in training since it was last set to None, as
            `MuonClip` does after each step, shape (H,); None before the first, and without track_max_logits.

    Raises:
        ValueError: if numbers of heads or widths do not fit, or one is out of its range; in `forward`, if a shape does
            not fit, or rope is asked for more queries than keys.
        TypeError: in `forward`, if a mask is neither boolean nor floating point.

    Cost: O(B (L + S) E^2) for the projections, of which keys and values take num_kv_heads / H, and that of `attend`;
        with track_max_logits that of `largest_logits`, a blockwise product of queries and keys more.
    Deviations:
        1. need_weights is False here: weights cost all scores in memory. They are those before dropout.
        2. is_causal is no hint beside attn_mask: it is enough by itself, and aligned to the last key.
        3. A query that sees no key gives out_proj's bias, where torch gives NaN.
        4. add_bias_kv and add_zero_attn are left out; the latter is sinks at 0.
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2 (heads), 3.2.3 (cross-attention); Ainslie et al.
        2023, arXiv:2305.13245, section 2.2 (grouped); Shazeer 2019, arXiv:1911.02150, section 3 (multi-query).
    Peer: torch.nn.MultiheadAttention with its state_dict, and for groups with its key and value rows repeated, value
        and gradients, float64, 1e-12 (A).
    In production: use it in encoders and small decoders; decoding with a cache wants a module that keeps keys.
    """

    in_proj_weight: nn.Parameter | None
    q_proj_weight: nn.Parameter
    k_proj_weight: nn.Parameter
    v_proj_weight: nn.Parameter
    in_proj_bias: nn.Parameter | None
    sinks: nn.Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        rope: Rotary | None = None,
        qk_norm: QKNormalizer | None = None,
        position_bias: PositionBias | None = None,
        window: int | None = None,
        softcap: float | None = None,
        scale: float | None = None,
        sinks: bool = False,
        head_dropout: float = 0.0,
        track_max_logits: bool = False,
        engine: Engine = "auto",
    ):
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if num_heads < 1 or num_kv_heads < 1 or num_heads % num_kv_heads:
            raise ValueError(f"num_kv_heads must be >= 1 and divide num_heads, got {num_kv_heads} and {num_heads}")
        if embed_dim < 1 or (head_dim is None and embed_dim % num_heads):
            raise ValueError(f"num_heads must divide embed_dim, got {num_heads} and {embed_dim}; or pass head_dim")
        head_dim = embed_dim // num_heads if head_dim is None else head_dim
        if head_dim < 1:
            raise ValueError(f"head_dim must be >= 1, got {head_dim}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if track_max_logits and qk_norm is not None:
            raise ValueError("track_max_logits must be False beside qk_norm: scaling the weights would change no logit")
        self.embed_dim, self.num_heads, self.num_kv_heads, self.head_dim = embed_dim, num_heads, num_kv_heads, head_dim
        self.kdim, self.vdim = (embed_dim if d is None else d for d in (kdim, vdim))
        self.dropout, self.batch_first, self.window, self.softcap = dropout, batch_first, window, softcap
        self.scale = 1.0 if scale is None and qk_norm is not None else scale
        self.engine: Engine = engine
        self.rope, self.qk_norm, self.position_bias = rope, qk_norm, position_bias
        self.head_dropout = HeadDropout(head_dropout)
        self.track_max_logits = track_max_logits
        self.max_logits: Tensor | None = None
        inner, shared = num_heads * head_dim, num_kv_heads * head_dim
        like = {"device": device, "dtype": dtype}
        widths = {"q": (inner, embed_dim), "k": (shared, self.kdim), "v": (shared, self.vdim)}
        packed = self.kdim == self.vdim == embed_dim
        one = nn.Parameter(torch.empty(inner + 2 * shared, embed_dim, **like)) if packed else None
        self.register_parameter("in_proj_weight", one)
        for name, shape in widths.items():
            own = None if packed else nn.Parameter(torch.empty(shape, **like))
            self.register_parameter(f"{name}_proj_weight", own)
        self.register_parameter("in_proj_bias", nn.Parameter(torch.empty(inner + 2 * shared, **like)) if bias else None)
        self.out_proj = nn.Linear(inner, embed_dim, bias, **like)
        self.register_parameter("sinks", nn.Parameter(torch.empty(num_heads, **like)) if sinks else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Projections as Glorot & Bengio (uniform), biases and sinks 0: torch's values from the same seed."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if (weight := getattr(self, name)) is not None:
                nn.init.xavier_uniform_(weight)
        for zeros in (self.in_proj_bias, self.out_proj.bias, self.sinks):
            if zeros is not None:
                nn.init.zeros_(zeros)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Output and weights (None unless need_weights), for a query of shape (B, L, E), or (L, E) without batch.

        key, value: shapes (B, S, kdim) and (B, S, vdim); without key it is self-attention, without value it is key.
        key_padding_mask: (B, S); True where a key is ignored, or floating point, added to its scores.
        attn_mask: (L, S), (B H, L, S), or with four axes broadcastable to (B, H, L, S); True where a key is NOT seen,
            as torch has it and `attend` has not, or floating point, added to the scores.
        average_attn_weights: weights are the mean over heads, (B, L, S), else (B, H, L, S).
        is_causal: query i sees keys j <= i + S - L.
        """
        key = query if key is None else key
        value = key if value is None else value
        self._check_inputs(query, key, value)
        batched = query.dim() == 3
        if not batched:
            query, key, value = _each(lambda t: t[None], query, key, value)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = _each(lambda t: t.transpose(0, 1), query, key, value)
        q, k, v = self._heads(query, key, value)
        length, n_keys = q.shape[2], k.shape[2]
        mask, bias = self._mask_and_bias(attn_mask, key_padding_mask, q.shape[0], length, n_keys)
        form = {
            "causal": is_causal,
            "window": self.window,
            "mask": mask,
            "bias": bias,
            "sinks": self.sinks,
            "softcap": self.softcap,
            "scale": self.scale,
        }
        if self.track_max_logits and self.training:
            self._report(q, k, is_causal, mask)
        out = attend(q, k, v, **form, dropout=self.dropout if self.training else 0.0, engine=self.engine)
        out = self.out_proj(self.head_dropout(out).transpose(1, 2).flatten(2))  # (B, L, H E_h) -> (B, L, E)
        weights = None
        if need_weights:
            weights = attention_weights(q, k, **form)
            weights = weights.mean(1) if average_attn_weights else weights
        if not batched:
            return out[0], None if weights is None else weights[0]
        return out if self.batch_first else out.transpose(0, 1), weights

    def qk_heads(self) -> QKHeads:
        """Views of the projections that make queries and keys, heads in front: what `MuonClip` scales."""
        sizes = [self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim]
        weight, bias = self.in_proj_weight, self.in_proj_bias
        q_and_k = (self.q_proj_weight, self.k_proj_weight) if weight is None else weight[: sum(sizes)].split(sizes)
        pairs = [q_and_k] if bias is None else [q_and_k, bias[: sum(sizes)].split(sizes)]
        queries, keys = (
            [t.detach().unflatten(0, (-1, self.head_dim)) for t in part] for part in zip(*pairs, strict=True)
        )
        return QKHeads(queries, keys)

    def _report(self, q: Tensor, k: Tensor, causal: bool, mask: Tensor | None) -> None:
        found = largest_logits(q, k, causal=causal, window=self.window, mask=mask, scale=self.scale)
        self.max_logits = found if self.max_logits is None else torch.maximum(self.max_logits, found)

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, E), (B, S, kdim), (B, S, vdim) -> (B, H, L, E_h), (B, H_kv, S, E_h) twice."""
        sizes = [n * self.head_dim for n in (self.num_heads, self.num_kv_heads, self.num_kv_heads)]
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if weight is not None and query is key is value:
            parts = F.linear(query, weight, bias).split(sizes, -1)  # one product for all three
        else:
            weights = (
                (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight) if weight is None else weight.split(sizes)
            )
            biases = (None, None, None) if bias is None else bias.split(sizes)
            parts = [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in parts)
        if self.qk_norm is not None:
            q, k = self.qk_norm(q, k)
        if self.rope is not None:
            start = k.shape[2] - q.shape[2]
            if start < 0:
                raise ValueError(f"rope needs as many keys as queries or more, got {k.shape[2]} and {q.shape[2]}")
            q, k = self.rope(q, start=start), self.rope(k, start=0)
        return q, k, v

    def _mask_and_bias(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, batch: int, length: int, n_keys: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """What `attend` takes: True where a key is seen, and what is added."""
        mask = bias = None
        if attn_mask is not None and attn_mask.dim() == 3 and attn_mask.shape[0] == batch * self.num_heads:
            attn_mask = attn_mask.unflatten(0, (batch, self.num_heads))
        elif attn_mask is not None and attn_mask.dim() not in (2, 4):
            raise ValueError(
                f"attn_mask must have shape ({length}, {n_keys}), ({batch * self.num_heads}, {length}, {n_keys}) or "
                f"four axes, got {tuple(attn_mask.shape)}"
            )
        if key_padding_mask is not None:
            if key_padding_mask.shape != (batch, n_keys):
                raise ValueError(
                    f"key_padding_mask must have shape ({batch}, {n_keys}), got {tuple(key_padding_mask.shape)}"
                )
            key_padding_mask = key_padding_mask[:, None, None]
        for name, t in (("attn_mask", attn_mask), ("key_padding_mask", key_padding_mask)):
            if t is None:
                continue
            if t.dtype == torch.bool:
                mask = ~t if mask is None else mask & ~t
            elif t.is_floating_point():
                bias = t if bias is None else bias + t
            else:
                raise TypeError(f"{name} must be boolean or floating point, got {t.dtype}")
        if self.position_bias is not None:
            own = self.position_bias(length, n_keys)
            bias = own if bias is None else bias + own
        return mask, bias

    def _check_inputs(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        widths = (self.embed_dim, self.kdim, self.vdim)
        for name, t, width in zip(("query", "key", "value"), (query, key, value), widths, strict=True):
            if t.dim() not in (2, 3) or t.dim() != query.dim() or t.shape[-1] != width:
                axes = "batch, length" if self.batch_first else "length, batch"
                raise ValueError(f"{name} must have shape ({axes}, {width}) or (length, {width}), got {tuple(t.shape)}")

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"


def _each(
    change: Callable[[Tensor], Tensor], query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """All three changed; those that are one tensor stay one."""
    changed = change(query)
    changed_key = changed if key is query else change(key)
    return changed, changed_key, changed_key if value is key else change(value)
