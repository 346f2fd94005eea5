"""Blocks of a Transformer: self-attention and feed-forward layer, and in the decoder cross-attention between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from breadth.nn.activations import relu
from breadth.nn.attention.multi_head import MultiheadAttention
from breadth.nn.dropout import Dropout
from breadth.nn.gated import FeedForward
from breadth.nn.norms import LayerNorm

Norm = Callable[[int], nn.Module]  # width -> normaliser, such as LayerNorm or RMSNorm


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer, each with a skip connection and a normaliser.

        norm_first=True    x + attend(norm1(x)), then x + ffn(norm2(x))          pre-norm
        norm_first=False   norm1(x + attend(x)), then norm2(x + ffn(x))          post-norm

    Args:
        d_model: width of input and output.
        num_heads: of the attention.
        dim_feedforward: inner width of the feed-forward layer; None takes 4 d_model.
        dropout: share dropped in training: of attention weights, inside the feed-forward layer, and of both branches.
        activation: of the feed-forward layer.
        norm_first: pre-norm, else post-norm.
        norm: makes a normaliser from a width: `LayerNorm`, `RMSNorm`.
        bias: of the projections and the feed-forward layer.
        attention: in place of the one made here, batch first: with shared keys, rotary positions, a window.
        ffn: in place of the one made here: `SwiGLU`, say.

    Attributes:
        self_attn, norm1, norm2: named as in torch.nn.TransformerEncoderLayer.
        ffn: feed-forward layer; torch's linear1 and linear2 are ffn.linear1 and ffn.linear2.

    Raises:
        ValueError: if a size does not fit, dropout is outside [0, 1), or attention is not batch first.

    Cost: that of the attention, and 16 d_model^2 operations a position for the feed-forward layer.
    Deviations: pre-norm by default; the paper has post-norm, which needs warm-up of the learning rate.
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; Xiong et al. 2020, arXiv:2002.04745, figure 1
        (pre-norm).
    Peer: torch.nn.TransformerEncoderLayer with the same weights, both places of the normaliser, value and gradients,
        float64, 1e-12 (A).
    In production: stack it, and behind pre-norm blocks put one last normaliser.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = relu,
        *,
        norm_first: bool = True,
        norm: Norm = LayerNorm,
        bias: bool = True,
        attention: MultiheadAttention | None = None,
        ffn: nn.Module | None = None,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = _attention(d_model, num_heads, dropout, bias, attention)
        self.ffn = _feed_forward(d_model, dim_feedforward, dropout, activation, bias, ffn)
        self.norm1, self.norm2 = norm(d_model), norm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, *, causal: bool = False, mask: Tensor | None = None) -> Tensor:
        """Shape of x, (B, L, d_model); mask is boolean, broadcastable to (B, H, L, L), True where one is seen."""
        seen = {"is_causal": causal, "attn_mask": _not_seen(mask)}
        x = _with_skip(self, x, self.norm1, lambda h: self.self_attn(h, **seen)[0])
        return _with_skip(self, x, self.norm2, self.ffn)

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"


class DecoderBlock(nn.Module):
    """Causal self-attention, cross-attention to a source, and a feed-forward layer, each with a skip and a normaliser.

    The output at position t depends on target positions up to t and on the whole source. It predicts token t + 1: fed
    with the target shifted right by one, a prediction of token t sees tokens before t and never t itself.

    Args:
        d_model, num_heads, dim_feedforward, dropout, activation, norm_first, norm, bias, attention, ffn: as of
            `TransformerBlock`.
        memory_dim: width of the source; None takes d_model.

    Attributes:
        self_attn, norm1, norm2, norm3: named as in torch.nn.TransformerDecoderLayer.
        cross_attn: torch's multihead_attn.
        ffn: feed-forward layer.

    Raises:
        ValueError: as `TransformerBlock` says.

    Cost: that of two attentions, and 16 d_model^2 operations a position for the feed-forward layer.
    Deviations: as of `TransformerBlock`; self-attention is causal unless causal=False is asked for.
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.1 (decoder) and 3.2.3.
    Peer: torch.nn.TransformerDecoderLayer with the same weights, both places of the normaliser, value and gradients,
        float64, 1e-12 (A).
    In production: for translation and speech; models of one sequence are stacks of causal `TransformerBlock`s.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = relu,
        *,
        norm_first: bool = True,
        norm: Norm = LayerNorm,
        bias: bool = True,
        memory_dim: int | None = None,
        attention: MultiheadAttention | None = None,
        ffn: nn.Module | None = None,
    ):
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = _attention(d_model, num_heads, dropout, bias, attention)
        self.cross_attn = MultiheadAttention(
            d_model, num_heads, dropout, bias, kdim=memory_dim, vdim=memory_dim, batch_first=True
        )
        self.ffn = _feed_forward(d_model, dim_feedforward, dropout, activation, bias, ffn)
        self.norm1, self.norm2, self.norm3 = norm(d_model), norm(d_model), norm(d_model)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        causal: bool = True,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Shape of x, (B, L, d_model), for memory (B, S, memory_dim), the encoder's output.

        mask, memory_mask: boolean, broadcastable to (B, H, L, L) and (B, H, L, S), True where a position is seen.
        """
        own = {"is_causal": causal, "attn_mask": _not_seen(mask)}
        source = {"attn_mask": _not_seen(memory_mask)}
        x = _with_skip(self, x, self.norm1, lambda h: self.self_attn(h, **own)[0])
        x = _with_skip(self, x, self.norm2, lambda h: self.cross_attn(h, memory, **source)[0])
        return _with_skip(self, x, self.norm3, self.ffn)

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"


def _with_skip(
    block: TransformerBlock | DecoderBlock, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]
) -> Tensor:
    """x + part(norm(x)), or norm(x + part(x)): where the block has its normalisers. Names stay those of torch."""
    if block.norm_first:
        return x + block.dropout(part(norm(x)))
    return norm(x + block.dropout(part(x)))


def _attention(
    d_model: int, num_heads: int, dropout: float, bias: bool, given: MultiheadAttention | None
) -> MultiheadAttention:
    if given is None:
        return MultiheadAttention(d_model, num_heads, dropout, bias, batch_first=True)
    if not given.batch_first or given.embed_dim != d_model:
        raise ValueError(
            f"attention must have batch_first=True and embed_dim {d_model}, got {given.batch_first} and "
            f"{given.embed_dim}"
        )
    return given


def _feed_forward(
    d_model: int,
    dim_feedforward: int | None,
    dropout: float,
    activation: Callable[[Tensor], Tensor],
    bias: bool,
    given: nn.Module | None,
) -> nn.Module:
    if given is not None:
        return given
    return FeedForward(d_model, dim_feedforward, dropout=dropout, activation=activation, bias=bias)


def _not_seen(mask: Tensor | None) -> Tensor | None:
    """MultiheadAttention's sense of a mask, with four axes: torch's layers have True where a key is left out."""
    if mask is None:
        return None
    if mask.dtype != torch.bool or mask.dim() > 4:
        raise TypeError(f"a mask must be boolean with up to four axes, got {mask.dtype} of shape {tuple(mask.shape)}")
    return ~mask.reshape((1,) * (4 - mask.dim()) + mask.shape)
