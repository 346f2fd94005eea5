"""Kernels of WordPiece training by likelihood: counts of pairs, the best pair, one merge.

A word's symbols stand in `symbols[begin : begin + size]` and close ranks as they merge. Pairs have numbers in the order
in which they came up; an open-addressing table leads from (left, right) to the number, and each pair has a chain of the
words it was seen in, which may repeat a word or name one that no longer has it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _pair(table, pairs, n, left, right):
    """Number of a pair, which is added if it is new; and how many pairs there are."""
    mask = np.uint64(table.shape[0] - 1)
    key = (np.uint64(left) << np.uint64(32)) | np.uint64(right)
    slot = ((key * _MIX) >> np.uint64(20)) & mask
    while table[slot] >= 0:
        k = table[slot]
        if pairs[k, 0] == left and pairs[k, 1] == right:
            return np.int64(k), n
        slot = (slot + np.uint64(1)) & mask
    table[slot] = n
    pairs[n, 0] = left
    pairs[n, 1] = right
    return n, n + 1


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _count_word(symbols, begin, size, w, count, listed, table, pairs, pair_count, head, chain, state):
    """Add a word's pairs; the word joins the chain of those that hold the symbol `listed` (of all if that is -1)."""
    for i in range(begin, begin + size - 1):
        k, state[0] = _pair(table, pairs, state[0], symbols[i], symbols[i + 1])
        pair_count[k] += count
        if count > 0 and (listed < 0 or symbols[i] == listed or symbols[i + 1] == listed):
            chain[state[1], 0] = w
            chain[state[1], 1] = head[k]
            head[k] = state[1]
            state[1] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def count_pairs(symbols, begin, size, counts, table, pairs, pair_count, head, chain, symbol_count, state):
    """Count symbols and pairs of all words. state: number of pairs, length of the chains."""
    for w in range(begin.shape[0]):
        for i in range(begin[w], begin[w] + size[w]):
            symbol_count[symbols[i]] += counts[w]
        _count_word(symbols, begin[w], size[w], w, counts[w], -1, table, pairs, pair_count, head, chain, state)


@njit(cache=True, nogil=True, error_model="numpy")
def best_pair(pairs, pair_count, symbol_count, n_pairs, min_frequency):
    """Number of the pair with the highest count(ab) / (count(a) count(b)); -1 if none is frequent enough.

    Equal scores: the more frequent pair, then the smaller left symbol, then the smaller right one.
    """
    best = np.int64(-1)
    best_score = -1.0
    for k in range(n_pairs):
        count = pair_count[k]
        if count < min_frequency:
            continue
        score = np.float64(count) / (np.float64(symbol_count[pairs[k, 0]]) * np.float64(symbol_count[pairs[k, 1]]))
        if score < best_score:
            continue
        if score > best_score or (
            count > pair_count[best]
            or (
                count == pair_count[best]
                and (pairs[k, 0] < pairs[best, 0] or (pairs[k, 0] == pairs[best, 0] and pairs[k, 1] < pairs[best, 1]))
            )
        ):
            best = k
            best_score = score
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def merge_pair(best, merged, symbols, begin, size, counts, table, pairs, pair_count, head, chain, symbol_count, state):
    """Replace a pair by the symbol `merged` in every word, left to right, and bring all counts up to date."""
    left = pairs[best, 0]
    right = pairs[best, 1]
    link = np.int64(head[best])
    while link >= 0:
        w = chain[link, 0]
        link = np.int64(chain[link, 1])
        first = begin[w]
        n = size[w]
        found = False
        for i in range(first, first + n - 1):
            found |= symbols[i] == left and symbols[i + 1] == right
        if not found:
            continue
        _count_word(symbols, first, n, w, -counts[w], -1, table, pairs, pair_count, head, chain, state)
        out = first
        i = first
        while i < first + n:
            if i + 1 < first + n and symbols[i] == left and symbols[i + 1] == right:
                symbols[out] = merged
                symbol_count[left] -= counts[w]
                symbol_count[right] -= counts[w]
                symbol_count[merged] += counts[w]
                i += 2
            else:
                symbols[out] = symbols[i]
                i += 1
            out += 1
        size[w] = out - first
        _count_word(symbols, first, size[w], w, counts[w], merged, table, pairs, pair_count, head, chain, state)
