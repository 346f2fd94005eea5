"""Frequencies of rotary embeddings, as trained and as stretched to longer contexts."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rope_frequencies(dim: int, *, base: float = 10_000.0) -> Tensor:
    """Angles by which a pair of features turns from one position to the next: theta_i = base^(-2i/dim).

    Args:
        dim: rotated features, even, >= 2.
        base: > 1; 1e4 in the paper, 5e5 in Llama 3, 1e6 in Qwen3.

    Returns:
        Radians, float64 on the CPU, shape (dim / 2,), from 1 falling to base^(2/dim - 1).

    Raises:
        ValueError: if dim is odd or less than 2, or base <= 1.

    References: Su et al. 2021, arXiv:2104.09864, eq. 15.
    Peer: powers in Python floats, 1e-15; transformers 5.24.0's, frozen numbers, 5e-7, its float32 (A).
    In production: `RoPE(dim, base=...)` calls it.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim must be even and >= 2, got {dim}: rotations turn pairs")
    if not base > 1:
        raise ValueError(f"base must be > 1, got {base}")
    return base ** -(torch.arange(0, dim, 2, dtype=torch.float64, device="cpu") / dim)


def linear_frequencies(dim: int, *, factor: float, base: float = 10_000.0) -> Tensor:
    """Position interpolation: theta_i / factor. Position p turns as position p / factor did in training.

    Args:
        dim, base: as of `rope_frequencies`.
        factor: new length / trained length, >= 1.

    Returns:
        Float64, shape (dim / 2,).

    Raises:
        ValueError: if factor < 1, or as `rope_frequencies` says.

    References: Chen et al. 2023, arXiv:2306.15595, section 2.3.
    Peer: transformers 5.24.0's "linear", frozen numbers, 5e-7, its float32 (A).
    In production: needs fine-tuning; neighbours, too, come closer, which `yarn_frequencies` avoids.
    """
    return rope_frequencies(dim, base=base) / _at_least_one(factor)


def ntk_frequencies(dim: int, *, factor: float, base: float = 10_000.0) -> Tensor:
    """NTK-aware: base factor^(dim / (dim - 2)) as base, which slows the slowest pair by factor and the fastest not.

    Args:
        dim: as of `rope_frequencies`, >= 4.
        factor: >= 1. For the dynamic form give s L / trained - (s - 1) at each length L past the trained one.
        base: as of `rope_frequencies`.

    Returns:
        Float64, shape (dim / 2,).

    Raises:
        ValueError: if factor < 1 or dim < 4, or as `rope_frequencies` says.

    References: Peng et al. 2023, arXiv:2309.00071, definition 1 (section 3.1).
    Peer: transformers 5.24.0's "dynamic", frozen numbers, 5e-7, its float32 (A).
    In production: works a little past the trained length without any fine-tuning.
    """
    if dim < 4:
        raise ValueError(f"dim must be >= 4, got {dim}: a single pair is both the fastest and the slowest")
    return rope_frequencies(dim, base=base * _at_least_one(factor) ** (dim / (dim - 2)))


def yarn_frequencies(
    dim: int,
    *,
    factor: float,
    original: int,
    base: float = 10_000.0,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    truncate: bool = True,
) -> Tensor:
    """YaRN: pairs that turn more than beta_fast times in the trained context stay, those below beta_slow are divided.

    theta_i (1 - r_i) + theta_i r_i / factor, r_i = clip((i - low) / (high - low), 0, 1), where low and high are the
    pairs (as real numbers) that turn beta_fast and beta_slow times: dim log(original / (2 pi beta)) / (2 log base).

    Args:
        dim, base: as of `rope_frequencies`.
        factor: new length / original, >= 1.
        original: length of the context in training, >= 1.
        beta_fast: turns above which a pair stays, >= beta_slow; Kimi K2 has 1 for both.
        beta_slow: turns below which a pair is interpolated, > 0.
        truncate: round low down and high up to whole pairs; False is GPT-OSS's.

    Returns:
        Float64, shape (dim / 2,).

    Raises:
        ValueError: if a number is out of its range.

    Deviations: the ramp is linear in the pair's number, as in the authors' code and in every checkpoint; definition 2
        has it linear in the number of turns.
    References: Peng et al. 2023, arXiv:2309.00071, definitions 2 and 3 (sections 3.2 and 3.4).
    Peer: transformers 5.24.0's "yarn", with and without truncation, frozen numbers, 5e-7, its float32 (A).
    In production: use it to stretch a checkpoint 4 to 32 times, with a little fine-tuning, and with `yarn_mscale`.
    """
    theta = rope_frequencies(dim, base=base)
    if not 0 < beta_slow <= beta_fast:
        raise ValueError(f"beta_slow and beta_fast must be 0 < beta_slow <= beta_fast, got {beta_slow}, {beta_fast}")
    if original < 1:
        raise ValueError(f"original must be >= 1, got {original}; it is the length of the context in training")

    def pair_turning(times: float) -> float:
        return dim * math.log(original / (2 * math.pi * times)) / (2 * math.log(base))

    low, high = pair_turning(beta_fast), pair_turning(beta_slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = (torch.arange(dim // 2, dtype=torch.float64, device="cpu") - low) / max(high - low, 0.001)
    ramp = ramp.clamp(0, 1)
    return theta * (1 - ramp) + theta * ramp / _at_least_one(factor)


def yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    """YaRN's sharpening of attention over a longer context: 0.1 mscale ln(factor) + 1 times q and k alike.

    Args:
        factor: new length / trained length; at most 1 gives 1.
        mscale: >= 0. DeepSeek-V3 multiplies the scale of q k^T by the square of this, with its mscale_all_dim, and
            leaves cosines and sines alone; GPT-OSS multiplies those, once. Do one, never both.

    Returns:
        At least 1.

    Raises:
        ValueError: if mscale < 0.

    References: Peng et al. 2023, arXiv:2309.00071, section 3.4 (sqrt(1 / t)).
    Peer: transformers 5.24.0's attention factor, frozen numbers, 1e-15 (A).
    In production: `RoPE(dim, frequencies=yarn_frequencies(...), mscale=yarn_mscale(factor))`.
    """
    if mscale < 0:
        raise ValueError(f"mscale must be >= 0, got {mscale}")
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def llama3_frequencies(
    dim: int,
    *,
    factor: float,
    original: int,
    base: float = 500_000.0,
    low_freq_factor: float = 1.0,
    high_freq_factor: float = 4.0,
) -> Tensor:
    """Llama 3.1: pairs that turn more than high_freq_factor times in the trained context stay, slow ones are divided.

    theta_i s_i + theta_i (1 - s_i) / factor, s_i = clip((turns_i - low) / (high - low), 0, 1), turns_i = original
    theta_i / 2 pi.

    Args:
        dim: as of `rope_frequencies`.
        factor: >= 1; 8 in Llama 3.1, 32 in Llama 3.2.
        original: length of the context in training, >= 1; 8,192 in Llama 3.
        base: as of `rope_frequencies`.
        low_freq_factor: turns below which a pair is divided by factor.
        high_freq_factor: turns above which a pair stays, >= low_freq_factor; if they are equal, nothing is blended.

    Returns:
        Float64, shape (dim / 2,).

    Raises:
        ValueError: if a number is out of its range.

    References: Llama Team 2024, arXiv:2407.21783, section 3.4.2 (the longer context); the formula is that of
        `apply_scaling` in Meta's llama-models. It is definition 2 of Peng et al. 2023, arXiv:2309.00071.
    Peer: transformers 5.24.0's "llama3", frozen numbers, 5e-7, its float32 (A).
    In production: for Llama 3.1 and later checkpoints, which were trained with it.
    """
    theta = rope_frequencies(dim, base=base)
    if not 0 < low_freq_factor <= high_freq_factor:
        raise ValueError(
            "low_freq_factor and high_freq_factor must be 0 < low_freq_factor <= high_freq_factor, got "
            f"{low_freq_factor}, {high_freq_factor}"
        )
    if original < 1:
        raise ValueError(f"original must be >= 1, got {original}; it is the length of the context in training")
    turns = original * theta / (2 * math.pi)
    if low_freq_factor == high_freq_factor:
        stay = (turns > low_freq_factor).to(theta.dtype)
    else:
        stay = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0, 1)
    return theta * stay + theta * (1 - stay) / _at_least_one(factor)


def _at_least_one(factor: float) -> float:
    if not 1 <= factor < math.inf:
        raise ValueError(f"factor must be >= 1 and finite, got {factor}; it is new length / trained length")
    return factor
