"""Attention: one `attend` over several engines, and the layers built on it."""

from breadth.nn.attention.attend import Engine, attend
from breadth.nn.attention.blocks import largest_logits
from breadth.nn.attention.diversity import head_diversity_penalty, head_similarity
from breadth.nn.attention.kernelized import LinearState
from breadth.nn.attention.latent import LatentAttention
from breadth.nn.attention.linear import LinearAttention, linear_attention, linear_attention_step
from breadth.nn.attention.linformer import LinformerAttention, linformer_attention
from breadth.nn.attention.masks import causal_mask, window_mask
from breadth.nn.attention.multi_head import MultiheadAttention
from breadth.nn.attention.naive import attention_weights
from breadth.nn.attention.performer import (
    PerformerAttention,
    performer_attention,
    positive_features,
    random_projection,
)

__all__ = [
    "Engine",
    "LatentAttention",
    "LinearAttention",
    "LinearState",
    "LinformerAttention",
    "MultiheadAttention",
    "PerformerAttention",
    "attend",
    "attention_weights",
    "causal_mask",
    "head_diversity_penalty",
    "head_similarity",
    "largest_logits",
    "linear_attention",
    "linear_attention_step",
    "linformer_attention",
    "performer_attention",
    "positive_features",
    "random_projection",
    "window_mask",
]
