"""Kernels that multiply by 4-bit weights, and give them back.

A word of 32 bits holds eight neighbouring weights of a row, the first in its lowest bits. Word k of a group of 32
columns lies in words[k, group, row]: neighbouring rows are neighbours in memory, so that one instruction serves eight
of them, and four streams far apart are read at once. scales holds a scale in the upper half of a word and a zero in the
lower, both bfloat16, for `per` groups each: weight = scale (code - 8) + zero.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FUSED = {"contract", "nsz"}  # four sums side by side stay four: one alone would wait for each addition


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _scale(pair):
    return np.uint32(pair & np.uint32(0xFFFF0000)).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _zero(pair):
    return np.uint32(pair << np.uint32(16)).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FUSED)
def multiply(words, scales, per, x, y, first, last):
    """Write x W^T into y for rows first..last - 1 of W. x: float32, (n, groups, 32). y: float32, (n, out).

    A code is not shifted out of its word but only cut out, which makes it 16^l times as large; x is divided by that.
    The highest is shifted, or it would be taken for a sign.
    """
    high = np.uint32(28)
    for n in range(x.shape[0]):
        out = y[n]
        out[first:last] = 0
        for g in range(words.shape[1]):
            v, total = x[n, g], np.float32(0)
            for i in range(32):
                total += v[i]
            pairs = scales[g // per]
            for r in range(np.uint64(first), np.uint64(last)):  # signed, each index would be compared with zero
                p, q, s, t = words[0, g, r], words[1, g, r], words[2, g, r], words[3, g, r]
                a = np.float32(np.int32(p >> high)) * v[7]
                b = np.float32(np.int32(q >> high)) * v[15]
                c = np.float32(np.int32(s >> high)) * v[23]
                d = np.float32(np.int32(t >> high)) * v[31]
                for l in range(7):
                    cut, less = np.uint32(15 << 4 * l), np.float32(1.0 / (1 << 4 * l))
                    a += np.float32(np.int32(p & cut)) * (v[l] * less)
                    b += np.float32(np.int32(q & cut)) * (v[8 + l] * less)
                    c += np.float32(np.int32(s & cut)) * (v[16 + l] * less)
                    d += np.float32(np.int32(t & cut)) * (v[24 + l] * less)
                pair = pairs[r]
                out[r] += _scale(pair) * ((a + b) + (c + d) - np.float32(8) * total) + _zero(pair) * total


@njit(cache=True, nogil=True, error_model="numpy")
def unpack(words, scales, per, first, last, weight):
    """Write rows first..last - 1 of W into weight, float32, (last - first, 32 groups)."""
    for g in range(words.shape[1]):
        for r in range(first, last):
            pair = scales[g // per, r]
            scale, zero = _scale(pair), _zero(pair)
            for k in range(4):
                word = words[k, g, r]
                for i in range(8):
                    code = np.int32(np.uint32(word >> np.uint32(4 * i)) & np.uint32(15))
                    weight[r - first, 32 * g + 8 * k + i] = scale * np.float32(code - np.int32(8)) + zero
