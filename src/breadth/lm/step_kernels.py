"""Kernels of one token's way through a layer, but for the products with the layer's weights."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_SUMS = {"reassoc", "contract", "nsz"}  # sums may run in any order; NaN and infinity stay what they are
_HOW = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": _SUMS}


@njit(**_HOW)
def rms_norm(x, weight, eps, y):
    """Write x / sqrt(mean(x^2) + eps) * weight into y for each row; y may be x."""
    for r in range(x.shape[0]):
        total = np.float32(0)
        for i in range(x.shape[1]):
            total += x[r, i] * x[r, i]
        scale = np.float32(1 / math.sqrt(total / x.shape[1] + eps))
        for i in range(x.shape[1]):
            y[r, i] = x[r, i] * scale * weight[i]


@njit(**_HOW)
def layer_norm(x, weight, bias, eps, y):
    """Write (x - mean) / sqrt(var + eps) * weight + bias into y for each row; y may be x."""
    for r in range(x.shape[0]):
        total = np.float32(0)
        for i in range(x.shape[1]):
            total += x[r, i]
        mean, squares = np.float32(total / x.shape[1]), np.float32(0)
        for i in range(x.shape[1]):
            squares += (x[r, i] - mean) * (x[r, i] - mean)
        scale = np.float32(1 / math.sqrt(squares / x.shape[1] + eps))
        for i in range(x.shape[1]):
            y[r, i] = (x[r, i] - mean) * scale * weight[i] + bias[i]


@njit(**_HOW)
def turn(heads, cos, sin):
    """Turn pairs (i, i + dim / 2) of the first dim features of each head, in place; tables as of `rotary.turn`."""
    half = cos.size // 2
    for h in range(heads.shape[0]):
        for i in range(half):
            a, b = heads[h, i], heads[h, i + half]
            heads[h, i] = a * cos[i] + b * sin[i]
            heads[h, i + half] = b * cos[i + half] + a * sin[i + half]


@njit(**_HOW)
def attend(heads, keys, values, first, past, scale, softcap, sinks, y):
    """Keep one token's key and value, and write its softmax(q k^T scale) v over tokens first..past into y.

    heads: queries, then keys, then values, (H + 2 G, E). keys, values: of the text, (G, room, E). softcap: 0 for none.
    sinks: a logit of each query head, or none. y: (H, E).
    """
    shared, width = keys.shape[0], keys.shape[2]
    n_heads = heads.shape[0] - 2 * shared
    keys[:, past], values[:, past] = heads[n_heads : n_heads + shared], heads[n_heads + shared :]
    scores = np.empty(past + 1 - first, np.float32)
    for h in range(n_heads):
        g = h // (n_heads // shared)
        largest = np.float32(sinks[h] if sinks.size else -np.inf)
        for s in range(scores.size):
            dot = np.float32(0)
            for i in range(width):
                dot += heads[h, i] * keys[g, first + s, i]
            dot *= np.float32(scale)
            scores[s] = np.float32(softcap * math.tanh(dot / softcap)) if softcap else dot
            largest = max(largest, scores[s])
        total = np.float32(np.exp(np.float32(sinks[h] - largest)) if sinks.size else 0)
        y[h] = 0
        for s in range(scores.size):
            share = np.exp(scores[s] - largest)
            total += share
            for i in range(width):
                y[h, i] += share * values[g, first + s, i]
        for i in range(width):
            y[h, i] /= total
