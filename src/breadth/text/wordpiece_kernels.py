"""Kernel of WordPiece encoding: greedy longest match of each word along one trie."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.text.trie_kernels import longest_prefix


@njit(cache=True, nogil=True, error_model="numpy")
def match_words(data, word_ends, unit, value, continuing, unk_id, max_chars):
    """Ids of each word and the byte end of each id.

    continuing: trie state after the prefix of pieces inside a word; -1 if no piece has it.
    unk_id: of a word that cannot be covered, or is longer than max_chars characters; -1 for none.

    Returns ids (int32), ends (int64) and -1, or the index of a word that needs unk_id although that is -1.
    """
    ids = np.empty(data.shape[0], np.int32)
    ends = np.empty(data.shape[0], np.int64)
    n = np.int64(0)
    begin = np.int64(0)
    for w in range(word_ends.shape[0]):
        stop = word_ends[w]
        covered = True
        if stop - begin > max_chars:  # bytes, of which no character has more than four
            chars = 0
            for i in range(begin, stop):
                chars += (data[i] & 0xC0) != 0x80
            covered = chars <= max_chars
        first = n
        at = begin
        root = np.int64(0)
        while covered and at < stop:
            state, end = longest_prefix(unit, root, data, at, stop)
            if state < 0:
                covered = False
                break
            ids[n] = value[state]
            ends[n] = end
            n += 1
            at = end
            root = continuing
            if root < 0 and at < stop:
                covered = False
        if not covered:
            if unk_id < 0:
                return ids[:0].copy(), ends[:0].copy(), np.int64(w)
            n = first
            ids[n] = unk_id
            ends[n] = stop
            n += 1
        begin = stop
    return ids[:n].copy(), ends[:n].copy(), np.int64(-1)
