"""Kernels that cut normalised text for SentencePiece models: before every ▁, and at user-defined symbols."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.text.trie_kernels import longest_prefix
from breadth.text.unigram_kernels import char_length


@njit(cache=True, nogil=True, error_model="numpy")
def word_ends(data):
    """Byte ends of the words that begin at each ▁ (E2 96 81)."""
    n = data.shape[0]
    ends = np.empty(n // 3 + 2, np.int64)
    k = 0
    for i in range(1, n - 2):
        if data[i] == 0xE2 and data[i + 1] == 0x96 and data[i + 2] == 0x81:
            ends[k] = i
            k += 1
    if n > 0:
        ends[k] = n
        k += 1
    return ends[:k].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def mark_symbols(data, word_ends, unit, value):
    """Cut words at the longest symbols of a trie, from the left.

    Returns byte ends of the parts, and of each part the symbol's id, -1 for ordinary text.
    """
    ends = np.empty(data.shape[0] + 1, np.int64)
    ids = np.empty(data.shape[0] + 1, np.int32)
    k = 0
    n = data.shape[0]
    at = np.int64(0)
    begin = np.int64(0)
    w = 0
    while at < n:
        state, end = longest_prefix(unit, np.int64(0), data, at, n)
        if state >= 0:
            if at > begin:
                ends[k] = at
                ids[k] = -1
                k += 1
            ends[k] = end
            ids[k] = value[state]
            k += 1
            at = end
            begin = end
        else:
            at = min(at + char_length(data[at]), n)
        while w < word_ends.shape[0] and word_ends[w] <= at:
            if word_ends[w] > begin and word_ends[w] == at:
                ends[k] = at
                ids[k] = -1
                k += 1
                begin = at
            w += 1
    return ends[:k].copy(), ids[:k].copy()
