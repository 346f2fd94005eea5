"""One layer of a language model: attention and a feed-forward layer, with their norms around a skip connection."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.lm.config import Layer, LMConfig
from breadth.lm.feed_forward import FeedForward, linear
from breadth.lm.moe import Experts
from breadth.lm.rotary import turn
from breadth.lm.step import Step
from breadth.nn import LayerNorm, attend
from breadth.nn.rms_norm import rms_norm


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight: `breadth.nn.rms_norm`, and torch's kernel alone where nothing is learnt.

    Args:
        dim: features.
        eps: added to the mean square.

    Attributes:
        weight: gains, (dim,); in float32 it may stand beside activations in half precision.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps, self._shape = nn.Parameter(torch.ones(dim)), eps, (dim,)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.weight.dtype != x.dtype:
            return rms_norm(x, self.weight, eps=self.eps)
        return F.rms_norm(x, self._shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self._shape[0]}, eps={self.eps}"


def make_norm(config: LMConfig, dim: int | None = None) -> nn.Module:
    """A norm of the model's kind, d_model wide unless told otherwise."""
    dim = config.d_model if dim is None else dim
    return RMSNorm(dim, config.norm_eps) if config.norm == "rms" else LayerNorm(dim, config.norm_eps)


class Attention(nn.Module):
    """Self-attention: softmax(q k^T scale) v with shared key heads, rotation, window, cache.

    Args:
        config: of the model.
        index: of the layer.

    Attributes:
        qkv: query, key and value heads in one matrix, in this order.
        o: back to d_model.
        q_norm, k_norm: norms of queries and keys, or None.
        sinks: a logit of each head, or None.

    Deviations: pairs of features that are turned lie half a head apart; checkpoints whose pairs are neighbours are
        permuted when they are read, which changes no score.
    References: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023, arXiv:2305.13245 (shared heads);
        OpenAI 2025, arXiv:2508.10925, section 2.2 (sinks).
    Peer: transformers' attention of each family, with the same weights, as a part of the model, float32, 2e-5 (A).
    """

    def __init__(self, config: LMConfig, index: int) -> None:
        super().__init__()
        h, g, d = config.n_heads, config.n_kv_heads, config.head_dim
        layer = config.layers[index]
        self.index, self.layer, self.heads, self.kv_heads, self.dim = index, layer, h, g, d
        self.scale = d**-0.5 if config.attention_scale is None else config.attention_scale
        self.softcap, self.dropout = config.softcap, config.attention_dropout
        self.qkv = linear(config.d_model, (h + 2 * g) * d, bias=config.qkv_bias)
        self.o = linear(h * d, config.d_model, bias=config.o_bias)
        normed = config.qk_norm if layer.qk_norm else None
        self.whole_norm = normed == "full"
        self.q_norm = None if normed is None else make_norm(config, h * d if self.whole_norm else d)
        self.k_norm = None if normed is None else make_norm(config, g * d if self.whole_norm else d)
        self.sinks = nn.Parameter(torch.zeros(h)) if config.sinks else None

    def forward(self, x: Tensor, step: Step) -> Tensor:
        (batch, count, _), layer, cache = x.shape, self.layer, step.cache
        q, k, v = self.project(x, step)
        first, how = step.visible(layer.window, layer.chunk)
        if cache is not None:
            k, v = cache.write(self.index, first, k, v)
            if step.turned_keys is not None and layer.rope is not None:
                k = turn(k.transpose(1, 2), *step.turned_keys[layer.rope]).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        y = look(q, k, v, scale=self.scale, softcap=self.softcap, sinks=self.sinks, dropout=dropout, **how)
        return self.o(y.transpose(1, 2).reshape(batch, count, self.heads * self.dim))

    def project(self, x: Tensor, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x alone, normed and turned, (B, H | G, T, E)."""
        batch, count, _ = x.shape
        h, g, layer = self.heads, self.kv_heads, self.layer
        heads = self.qkv(x).view(batch, count, h + 2 * g, self.dim)
        qk, v = heads.split([h + g, g], 2)  # (B, T, ..., E)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self._normed(self.q_norm, qk[:, :, :h]), self._normed(self.k_norm, qk[:, :, h:])
            if layer.rope is not None:
                q = turn(q, *step.turned[layer.rope])
                k = k if step.streams else turn(k, *step.turned[layer.rope])
        elif layer.rope is None:
            q, k = qk.split([h, g], 2)
        elif step.streams:
            q, k = turn(qk[:, :, :h], *step.turned[layer.rope]), qk[:, :, h:]
        else:
            q, k = turn(qk, *step.turned[layer.rope]).split([h, g], 2)
        if step.temperature is not None and layer.rope is None:
            q = q * step.temperature
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _normed(self, norm: nn.Module, heads: Tensor) -> Tensor:
        """Of each head, or of all at once."""
        return norm(heads.flatten(2)).view(heads.shape) if self.whole_norm else norm(heads)


def look(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """`attend`; a single query's heads that share a key head are queries of that head: keys are not repeated.

    Args:
        q: (B, H, T, E).
        k, v: (B, G, S, E) and (B, G, S, E_v).
        scale, softcap, sinks, bias, causal, window, dropout: as of `attend`.

    Returns:
        (B, H, T, E_v).
    """
    batch, heads, count, dim = q.shape
    shared = k.shape[1]
    if count > 1 or shared == heads or sinks is not None:
        engine = "naive" if sinks is not None and count == 1 else "auto"  # which repeats no keys either
        return attend(
            q,
            k,
            v,
            causal=causal,
            window=window,
            bias=bias,
            sinks=sinks,
            softcap=softcap,
            scale=scale,
            dropout=dropout,
            engine=engine,
        )
    if bias is not None and bias.shape[1] == heads:
        bias = bias.view(bias.shape[0], shared, heads // shared, -1)
    q = q.reshape(batch, shared, heads // shared, dim)
    y = attend(q, k, v, bias=bias, softcap=softcap, scale=scale, dropout=dropout)
    return y.reshape(batch, heads, 1, -1)


class CrossAttention(nn.Module):
    """Attention of the text to a source that an encoder has read. Its keys and values are computed once a text.

    Args:
        config: of the decoder.
        index: of the layer.

    Attributes:
        qkv: query heads of the text, key and value heads of the source, in one matrix.
        o: back to d_model.

    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
    Peer: transformers' T5 with the same weights, as a part of the model, float32, 1e-4 (A).
    """

    def __init__(self, config: LMConfig, index: int) -> None:
        super().__init__()
        h, g, d = config.n_heads, config.n_kv_heads, config.head_dim
        self.index, self.heads, self.kv_heads, self.dim = index, h, g, d
        self.scale = d**-0.5 if config.attention_scale is None else config.attention_scale
        self.softcap, self.dropout = config.softcap, config.attention_dropout
        self.qkv = linear(config.d_model, (h + 2 * g) * d, bias=config.qkv_bias)
        self.o = linear(h * d, config.d_model, bias=config.o_bias)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        rows = [self.heads * self.dim, 2 * self.kv_heads * self.dim]
        of_query, of_source = self.qkv.weight.split(rows)
        bias_query, bias_source = (None, None) if self.qkv.bias is None else self.qkv.bias.split(rows)
        q = self._by_head(F.linear(x, of_query, bias_query), self.heads)
        kept = None if step.cache is None else step.cache.cross[self.index]
        if kept is None:
            if step.memory is None:
                raise ValueError(
                    "memory is missing: a decoder with an encoder needs source, or memory of encode(source)"
                )
            both = self._by_head(F.linear(step.memory, of_source, bias_source), 2 * self.kv_heads)
            kept = both[:, : self.kv_heads], both[:, self.kv_heads :]
            if step.cache is not None:
                step.cache.cross[self.index] = kept
        k, v = kept
        dropout = self.dropout if self.training else 0.0
        y = look(q, k, v, scale=self.scale, softcap=self.softcap, bias=step.memory_bias, dropout=dropout)
        return self.o(y.transpose(1, 2).reshape(*x.shape[:2], -1))

    def _by_head(self, t: Tensor, heads: int) -> Tensor:
        return t.view(*t.shape[:2], heads, self.dim).transpose(1, 2)


class LatentAttention(nn.Module):
    """Multi-head latent attention: `breadth.nn`'s, with a cache, any positions, and the model's names.

    Where a cache is there and the new tokens are few, W_UK is absorbed in the query and W_UV in the output, and
    attention runs on the latents; else keys and values are projected up. Few are those for which it saves work:
    T (2 kv_rank - nope_dim - v_dim) <= kv_rank (nope_dim + v_dim).

    Args:
        config: of the model, with `mla`.
        index: of the layer.

    Attributes:
        q_a, q_a_norm, q_b: queries by way of a latent; q_b alone without one.
        kv_a: latent, and the turned key that all heads share.
        kv_a_norm, kv_b: latent -> for each head its key, then its value.
        o: back to d_model.

    References: DeepSeek-AI 2024, arXiv:2405.04434, eqs. 37-47, section 2.1.2 (absorption).
    Peer: transformers' DeepSeek-V3 with the same weights, both ways of computing it, as a part of the model, float32,
        2e-5 (A).
    """

    def __init__(self, config: LMConfig, index: int) -> None:
        super().__init__()
        m, d, h = config.mla, config.d_model, config.n_heads
        assert m is not None
        self.index, self.layer, self.heads, self.mla = index, config.layers[index], h, m
        width = m.nope_dim + m.rope_dim
        self.scale = width**-0.5 if config.attention_scale is None else config.attention_scale
        self.softcap, self.dropout = config.softcap, config.attention_dropout
        self.q_a = None if m.q_rank is None else linear(d, m.q_rank, bias=config.qkv_bias)
        self.q_a_norm = None if m.q_rank is None else RMSNorm(m.q_rank, 1e-6)
        self.q_b = linear(d if m.q_rank is None else m.q_rank, h * width, bias=False)
        self.kv_a = linear(d, m.kv_rank + m.rope_dim, bias=config.qkv_bias)
        self.kv_a_norm = RMSNorm(m.kv_rank, 1e-6)
        self.kv_b = linear(m.kv_rank, h * (m.nope_dim + m.v_dim), bias=False)
        self.o = linear(h * m.v_dim, d, bias=config.o_bias)
        self.sinks = nn.Parameter(torch.zeros(h)) if config.sinks else None

    def forward(self, x: Tensor, step: Step) -> Tensor:
        m, rope, (batch, count, _) = self.mla, self.layer.rope, x.shape
        q = self.q_b(x if self.q_a is None or self.q_a_norm is None else self.q_a_norm(self.q_a(x)))
        q_nope, q_rope = q.view(batch, count, self.heads, -1).split([m.nope_dim, m.rope_dim], -1)
        latent, k_rope = self.kv_a(x).split([m.kv_rank, m.rope_dim], -1)
        latent = self.kv_a_norm(latent)
        if rope is not None:
            q_rope = turn(q_rope, *step.turned[rope])
            if not step.streams:
                k_rope = turn(k_rope[:, :, None], *step.turned[rope])[:, :, 0]
        elif step.temperature is not None:
            q_nope, q_rope = q_nope * step.temperature, q_rope * step.temperature
        joint = torch.cat((latent, k_rope), -1)[:, None]  # (B, 1, T, kv_rank + rope_dim): what is cached
        first, how = step.visible(self.layer.window, self.layer.chunk)
        if step.cache is not None:
            (joint,) = step.cache.write(self.index, first, joint)
            if step.turned_keys is not None and rope is not None:
                latent, k_rope = joint.split([m.kv_rank, m.rope_dim], -1)
                k_rope = turn(k_rope.transpose(1, 2), *step.turned_keys[rope]).transpose(1, 2)
                joint = torch.cat((latent, k_rope), -1)
        few = count * (2 * m.kv_rank - m.nope_dim - m.v_dim) <= m.kv_rank * (m.nope_dim + m.v_dim)
        compute = self._absorbed if step.cache is not None and few else self._expanded
        how = {"scale": self.scale, "softcap": self.softcap, "sinks": self.sinks, **how}
        y = compute(q_nope, q_rope, joint, how | {"dropout": self.dropout if self.training else 0.0})
        return self.o(y.reshape(batch, count, -1))

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Of keys (H, nope_dim, kv_rank) and of values (H, v_dim, kv_rank)."""
        rows = self.kv_b.weight.unflatten(0, (self.heads, -1))
        of_keys, of_values = rows.split([self.mla.nope_dim, self.mla.v_dim], 1)
        return of_keys, of_values

    def _absorbed(self, q_nope: Tensor, q_rope: Tensor, joint: Tensor, how: dict) -> Tensor:
        """(B, T, H, v_dim), by one key head for all: the latents."""
        batch, count = q_nope.shape[:2]
        of_keys, of_values = self._weights()
        q = q_nope.permute(2, 0, 1, 3).flatten(1, 2) @ of_keys  # (H, B T, kv_rank)
        q = torch.cat((q.view(self.heads, batch, count, -1).permute(1, 0, 2, 3), q_rope.transpose(1, 2)), -1)
        y = look(q, joint, joint[..., : self.mla.kv_rank], **how)  # (B, H, T, kv_rank)
        y = y.transpose(0, 1).flatten(1, 2) @ of_values.mT  # (H, B T, v_dim)
        return y.view(self.heads, batch, count, -1).permute(1, 2, 0, 3)

    def _expanded(self, q_nope: Tensor, q_rope: Tensor, joint: Tensor, how: dict) -> Tensor:
        """(B, T, H, v_dim), with each head's own keys and values."""
        m = self.mla
        latent, k_rope = joint[:, 0].split([m.kv_rank, m.rope_dim], -1)
        k_nope, v = self.kv_b(latent).unflatten(-1, (self.heads, -1)).split([m.nope_dim, m.v_dim], -1)
        k = torch.cat((k_nope, k_rope[:, :, None].expand(-1, -1, self.heads, -1)), -1)
        q = torch.cat((q_nope, q_rope), -1)
        return look(*(t.transpose(1, 2) for t in (q, k, v)), **how).transpose(1, 2)


class Block(nn.Module):
    """A layer: attention, in decoders with an encoder cross-attention, and a feed-forward layer or experts.

    Args:
        config: of the model.
        index: of the layer.
        cross: with cross-attention, between the other two.

    Attributes:
        attention, cross, ffn: the parts; cross is None without an encoder.
        pre, post: norms before and behind each part, in their order; a parallel block has one before both.

    References: Xiong et al. 2020, arXiv:2002.04745, figure 1 (pre and residual); Chowdhery et al. 2022,
        arXiv:2204.02311, section 2 (parallel); OLMo Team 2024, arXiv:2501.00656, section 3 (post); Gemma Team 2024,
        arXiv:2408.00118, section 2 (both); Srivastava et al. 2014, JMLR 15 (dropout).
    Peer: transformers' models of seventeen families with the same weights, float32, 2e-5, T5 1e-4 (A).
    """

    def __init__(self, config: LMConfig, index: int, *, cross: bool = False) -> None:
        super().__init__()
        layer: Layer = config.layers[index]
        self.placement, self.parallel, self.dropout = config.norm_placement, config.parallel, config.residual_dropout
        self.attention = Attention(config, index) if config.mla is None else LatentAttention(config, index)
        self.cross = CrossAttention(config, index) if cross else None
        self.ffn = Experts(config) if layer.moe else FeedForward(config, config.d_ff)
        parts = 1 if config.parallel else 3 if cross else 2
        before = parts if config.norm_placement in ("pre", "both") else 0
        behind = parts if config.norm_placement != "pre" else 0
        self.pre = nn.ModuleList(make_norm(config) for _ in range(before))
        self.post = nn.ModuleList(make_norm(config) for _ in range(behind))

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.parallel:
            y = self.pre[0](x)
            return x + self._dropped(self.attention(y, step)) + self._dropped(self.ffn(y))
        x = self._add(0, x, self.attention(self._before(0, x), step))
        if self.cross is not None:
            x = self._add(1, x, self.cross(self._before(1, x), step))
        return self._add(-1, x, self.ffn(self._before(-1, x)))

    def _before(self, part: int, x: Tensor) -> Tensor:
        return self.pre[part](x) if self.placement in ("pre", "both") else x

    def _add(self, part: int, x: Tensor, y: Tensor) -> Tensor:
        if self.placement == "pre":
            return x + self._dropped(y)
        if self.placement == "residual":
            return self.post[part](x + self._dropped(y))
        return x + self._dropped(self.post[part](y))

    def _dropped(self, y: Tensor) -> Tensor:
        return F.dropout(y, self.dropout) if self.training and self.dropout else y
