"""Kernels of the unigram language model's lattice: its edges, the best path, and the ids of a path.

The lattice of a word has a node between any two bytes at which a character begins, and an edge for each piece that
stands there. Edges are found by walking the trie, never stored; `step` holds an edge's score by trie state, and NaN
where a key ends that no path may use. A character that is no piece by itself has one more edge, the unknown one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from breadth.text.trie_kernels import BASE_SHIFT, ENDS, LABEL

_RESTART = 100_000.0
UNKNOWN = np.int32(-1)  # in place of the state of an edge's piece


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def char_length(first):
    """Bytes of the UTF-8 character that begins with this byte."""
    if first < 0xC0:
        return 1
    if first < 0xE0:
        return 2
    return 3 if first < 0xF0 else 4


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def edges_from(data, at, stop, unit, step, unknown, edge_end, edge_state, edge_score):
    """Write the edges that begin at byte `at`, shortest first; returns how many."""
    n = 0
    single = min(at + char_length(data[at]), stop)
    has_single = False
    u = unit[0]
    for i in range(at, stop):
        c = np.uint32(data[i])
        state = np.int64((u >> BASE_SHIFT) ^ c)
        u = unit[state]
        if (u & LABEL) != c:
            break
        if (u & ENDS) != 0 and not math.isnan(step[state]):
            edge_end[n] = i + 1
            edge_state[n] = state
            edge_score[n] = step[state]
            n += 1
            has_single |= i + 1 == single
    if not has_single:
        edge_end[n] = single
        edge_state[n] = UNKNOWN
        edge_score[n] = unknown
        n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def emit(data, begin, path_end, path_state, first, last, value, unk_id, byte_ids, ids, ends, n):
    """Append the ids of a path: neighbouring unknown characters are one id, or as many bytes; -1 if it has no id."""
    k = first
    while k < last:
        if path_state[k] != UNKNOWN:
            ids[n] = value[path_state[k]]
            ends[n] = path_end[k]
            n += 1
            begin = path_end[k]
            k += 1
            continue
        while k < last and path_state[k] == UNKNOWN:
            k += 1
        stop = path_end[k - 1]
        as_bytes = byte_ids.shape[0] == 256
        if as_bytes:
            for i in range(begin, stop):
                as_bytes &= byte_ids[data[i]] >= 0
        if as_bytes:
            for i in range(begin, stop):
                ids[n] = byte_ids[data[i]]
                ends[n] = i + 1
                n += 1
        elif unk_id < 0:
            return np.int64(-1)
        else:
            ids[n] = unk_id
            ends[n] = stop
            n += 1
        begin = stop
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def best_paths(data, word_ends, unit, step, value, unknown, single, unk_id, byte_ids):
    """Ids of each word's best path, and the byte end of each id.

    unknown: score of a character that is no piece. single: round a path's score to float32 at each step.
    unk_id: -1 for none. byte_ids: (256,) ids of byte pieces, -1 for none, or (0,).

    A path is replaced only by a strictly better one, and candidates arrive by rising start, then by rising length.
    With `single`, sums begin at 0 again where one passes +-1e5, so that their rounding stays below 0.004: ties in long
    texts fall as sentencepiece 0.2.3 lets them fall.

    Returns ids (int32), ends (int64) and -1, or the byte at which a word begins that has an unknown character although
    unk_id is -1.
    """
    longest = 0
    begin = 0
    for w in range(word_ends.shape[0]):
        longest = max(longest, word_ends[w] - begin)
        begin = word_ends[w]
    score = np.empty(longest + 1, np.float64)  # best score of a path that ends here
    back = np.empty(longest + 1, np.int32)  # where its last edge begins
    state_at = np.empty(longest + 1, np.int32)  # which piece that edge is
    ids = np.empty(data.shape[0], np.int32)
    ends = np.empty(data.shape[0], np.int64)
    n_ids = np.int64(0)
    root = unit[0] >> BASE_SHIFT
    begin = np.int64(0)
    for w in range(word_ends.shape[0]):
        stop = word_ends[w]
        n = stop - begin
        score[0] = 0.0
        for i in range(1, n + 1):
            score[i] = -np.inf
        frontier = np.int64(0)  # the last byte at which a path ends by now
        at = np.int64(0)
        while at < n:
            first = data[begin + at]
            one = min(at + char_length(first), n)
            here = score[at]
            if single and abs(here) > _RESTART:
                for i in range(at, frontier + 1):
                    score[i] = np.float64(np.float32(score[i] - here))  # -inf stays
                here = 0.0
            has_single = False
            base = root
            i = at
            while i < n:
                c = np.uint32(data[begin + i])
                state = np.int64(base ^ c)
                u = unit[np.uint32(base ^ c)]
                if (u & LABEL) != c:
                    break
                base = u >> BASE_SHIFT
                i += 1
                if (u & ENDS) != 0:
                    total = here + step[state]
                    if single:
                        total = np.float64(np.float32(total))
                    if total > score[i]:
                        score[i] = total
                        back[i] = at
                        state_at[i] = state
                        frontier = max(frontier, i)
                    # a piece that no path may use has step NaN, and so a total of NaN
                    has_single |= i == one and not math.isnan(total)
            if not has_single:
                total = here + unknown
                if single:
                    total = np.float64(np.float32(total))
                if total > score[one]:
                    score[one] = total
                    back[one] = at
                    state_at[one] = UNKNOWN
                    frontier = max(frontier, one)
            at = one
        path_end = np.int64(n)
        k = n_ids + n  # the path lies in reverse, so it is laid from the end of this word's room
        while path_end > 0:
            k -= 1
            ends[k] = begin + path_end
            ids[k] = state_at[path_end]
            path_end = np.int64(back[path_end])
        # in place: an edge gives at most as many ids as it has bytes, so what is written never passes what is read
        n_ids = emit(data, begin, ends, ids, k, n_ids + n, value, unk_id, byte_ids, ids, ends, n_ids)
        if n_ids < 0:
            return ids[:0].copy(), ends[:0].copy(), begin
        begin = stop
    return ids[:n_ids].copy(), ends[:n_ids].copy(), np.int64(-1)
