"""Positions: added to inputs, turned into queries and keys, or in the scores; and none."""

from breadth.nn.positions.absolute import LearnedPositions, NoPE, SinusoidalPositions, sinusoidal
from breadth.nn.positions.bias import RelativePositionBias, alibi_bias, alibi_slopes, t5_buckets
from breadth.nn.positions.relative import ShawAttention, TransformerXLAttention, relative_shift
from breadth.nn.positions.rotary import RoPE, rotate
from breadth.nn.positions.scaling import (
    linear_frequencies,
    llama3_frequencies,
    ntk_frequencies,
    rope_frequencies,
    yarn_frequencies,
    yarn_mscale,
)

__all__ = [
    "LearnedPositions",
    "NoPE",
    "RelativePositionBias",
    "RoPE",
    "ShawAttention",
    "SinusoidalPositions",
    "TransformerXLAttention",
    "alibi_bias",
    "alibi_slopes",
    "linear_frequencies",
    "llama3_frequencies",
    "ntk_frequencies",
    "relative_shift",
    "rope_frequencies",
    "rotate",
    "sinusoidal",
    "t5_buckets",
    "yarn_frequencies",
    "yarn_mscale",
]
