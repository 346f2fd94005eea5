"""Kernels that cut texts into words and number the words: equal numbers for equal words, checked letter by letter.

Texts are code points in one array, and `ends` says where each ends. A word is a longest run without SPACE once rules
have put spaces into the text; a hash only says where to look for its number.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SPACE = np.uint8(1)  # of a class table: a bit of each code point's class
APART, AFTER, BEFORE = range(3)  # kinds of rules: " a ", "ab" -> "a b ", "ab" -> " a b"
_FREE = np.int32(-1)
_BLANK = np.uint32(32)
_SEED = np.uint64(0xCBF29CE484222325)  # FNV-1a
_PRIME = np.uint64(0x100000001B3)
_HALF = np.uint64(32)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _spaced(text, kind, first, second, table):
    """A copy of the text with the spaces of one rule: matches from left to right, none of which shares a letter."""
    out = np.empty(3 * text.size, np.uint32)
    n = 0
    i = 0
    while i < text.size:
        a = text[i]
        if kind == APART:
            if table[a] & first:
                out[n] = _BLANK
                out[n + 1] = a
                out[n + 2] = _BLANK
                n += 3
            else:
                out[n] = a
                n += 1
            i += 1
        elif i + 1 < text.size and table[a] & first and table[text[i + 1]] & second:
            if kind == AFTER:
                out[n], out[n + 1], out[n + 2], out[n + 3] = a, _BLANK, text[i + 1], _BLANK
            else:
                out[n], out[n + 1], out[n + 2], out[n + 3] = _BLANK, a, _BLANK, text[i + 1]
            n += 4
            i += 2
        else:
            out[n] = a
            n += 1
            i += 1
    return out[:n]


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _number(text, start, end, slots, hashes, arena, arena_ends, n_words):
    """The number of the word text[start:end]: that of an equal one before it, or n_words."""
    h = _SEED
    for i in range(start, end):
        h = (h ^ np.uint64(text[i])) * _PRIME
    h ^= h >> _HALF
    mask = np.uint64(slots.size - 1)
    at = h & mask
    while slots[at] != _FREE:
        word = slots[at]
        begin = arena_ends[word]
        if hashes[word] == h and arena_ends[word + 1] - begin == end - start:
            same = True
            for i in range(end - start):
                if arena[begin + i] != text[start + i]:
                    same = False
                    break
            if same:
                return word
        at = (at + np.uint64(1)) & mask
    slots[at] = n_words
    hashes[n_words] = h
    begin = arena_ends[n_words]
    for i in range(start, end):
        arena[begin + i - start] = text[i]
    arena_ends[n_words + 1] = begin + end - start
    return np.int32(n_words)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _grown(slots, hashes, n_words):
    wider = np.full(2 * slots.size, _FREE, np.int32)
    mask = np.uint64(wider.size - 1)
    for word in range(n_words):
        at = hashes[word] & mask
        while wider[at] != _FREE:
            at = (at + np.uint64(1)) & mask
        wider[at] = word
    return wider


@njit(cache=True, nogil=True, error_model="numpy")
def number_words(codes, ends, table, rules, edge, ids, id_ends, arena, arena_ends):
    """Number the words of texts in the order in which they first occur; returns how many differ.

    rules: rows of (kind, class of a, class of b). edge: class of letters of which one is cut off a longer word, the
    last letter or else the first; 0 for none. ids, id_ends: a number for each word, and how many there are by the end
    of each text. arena, arena_ends: how the words are spelled; word w is arena[arena_ends[w]:arena_ends[w + 1]].
    """
    slots = np.full(1 << 12, _FREE, np.int32)
    hashes = np.empty(codes.size, np.uint64)
    arena_ends[0] = 0
    n_words = 0
    n = 0
    start = 0
    for t in range(ends.size):
        text = codes[start : ends[t]]
        start = ends[t]
        for r in range(rules.shape[0]):
            text = _spaced(text, rules[r, 0], np.uint8(rules[r, 1]), np.uint8(rules[r, 2]), table)
        i = 0
        while i < text.size:
            if table[text[i]] & SPACE:
                i += 1
                continue
            end = i + 1
            while end < text.size and not table[text[end]] & SPACE:
                end += 1
            cut = end
            if edge and end - i > 1:
                if table[text[end - 1]] & edge:
                    cut = end - 1
                elif table[text[i]] & edge:
                    cut = i + 1
            while i < end:
                word = _number(text, i, cut, slots, hashes, arena, arena_ends, n_words)
                ids[n] = word
                n += 1
                if word == n_words:
                    n_words += 1
                    if 2 * n_words >= slots.size:
                        slots = _grown(slots, hashes, n_words)
                i, cut = cut, end
        id_ends[t] = n
    return n_words
