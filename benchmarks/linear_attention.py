"""Linear kinds of attention against length, beside exact attention, and how their time grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.harness import Row, Section, Setup, Times, duration, interleave
from breadth.nn.attention.attend import attend
from breadth.nn.attention.linear import linear_attention
from breadth.nn.attention.linformer import linformer_attention
from breadth.nn.attention.performer import performer_attention, random_projection

HEADS, DIM, FEATURES, PROJECTED = 8, 64, 128, 256
LONGEST_EXACT = 8192  # exact attention at 65,536 takes 64 times as long
SLOPE_BAR = 1.1

Qkv = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def kinds(length: int) -> dict[str, Callable[[Qkv], Any]]:
    generator = torch.Generator().manual_seed(0)
    w = random_projection(FEATURES, DIM, generator=generator)
    projection = torch.randn(PROJECTED, length, generator=generator) / length**0.5
    all_kinds: dict[str, Callable[[Qkv], Any]] = {
        "linear": lambda x: linear_attention(*x),
        "linear, causal": lambda x: linear_attention(*x, causal=True),
        "FAVOR+": lambda x: performer_attention(*x, w),
        "FAVOR+, causal": lambda x: performer_attention(*x, w, causal=True),
        "Linformer": lambda x: linformer_attention(*x, projection),
    }
    if length <= LONGEST_EXACT:
        all_kinds["attend, causal"] = lambda x: attend(*x, causal=True)
        all_kinds["SDPA, causal"] = lambda x: F.scaled_dot_product_attention(*x, is_causal=True)
    return all_kinds


def draw(length: int, seed: int) -> Qkv:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(1, HEADS, length, DIM, generator=generator) for _ in range(3))
    return q, k, v


def length_rows(setup: Setup, raw: Times) -> list[Row]:
    lengths = [setup.size(2**power, 2 ** (power - 7)) for power in range(9, 17)]
    medians: dict[str, list[float]] = {}
    rows = []
    torch.set_num_threads(setup.threads)
    with torch.no_grad():
        for length in lengths:
            times = interleave(kinds(length), lambda r, n=length: draw(n, r), reps=setup.repetitions(5))
            raw.update({f"length {length} | {name}": seconds for name, seconds in times.items()})
            for name, seconds in times.items():
                medians.setdefault(name, []).append(float(np.median(seconds)))
                rows.append(
                    Row(f"{name}, length {length:,}", medians[name][-1], "seconds", ours=duration(medians[name][-1]),
                        n=len(seconds))
                )  # fmt: skip
    for name, seconds in medians.items():
        slope = float(np.polyfit(np.log(lengths[: len(seconds)]), np.log(seconds), 1)[0])
        bar = SLOPE_BAR if name.startswith("linear") else None
        what = f"{name}: slope of log time by log length to {lengths[len(seconds) - 1]:,}"
        rows.append(Row(what, slope, "absolute", bar, ours=f"{slope:.3f}"))
    return rows


SECTIONS = (
    Section(
        "linear-attention",
        "Linear attention against length",
        f"{HEADS} heads of width {DIM}, float32, a batch of one, no gradients; FAVOR+ with {FEATURES} features, "
        f"Linformer with {PROJECTED} rows. Exact attention goes to {LONGEST_EXACT:,}. The slope is that of a line "
        "through the medians: 1 is linear in the length, 2 quadratic.",
        length_rows,
    ),
)
