"""Attention: one `attend` over several engines, and the layers built on it."""

from breadth.nn.attention.attend import Engine, attend
from breadth.nn.attention.diversity import head_diversity_penalty, head_similarity
from breadth.nn.attention.masks import causal_mask, window_mask
from breadth.nn.attention.naive import attention_weights

__all__ = [
    "Engine",
    "attend",
    "attention_weights",
    "causal_mask",
    "head_diversity_penalty",
    "head_similarity",
    "window_mask",
]
