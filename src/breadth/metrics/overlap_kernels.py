"""Kernels that count what two texts have in common: n-grams, skip-bigrams, longest common subsequences.

Texts are integer ids in one array; `ends` says where each ends. An n-gram is a node of a trie whose edges lie in a hash
table under (node, id), both in one 64-bit key: equal keys are equal n-grams, so that no collision changes a count.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FREE = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_ONE = np.uint64(1)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _begin(ends, t):
    return ends[t - 1] if t > 0 else 0


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _slot(keys, shift, key):
    """Where the key is, or would go."""
    mask = np.uint64(keys.size - 1)
    at = (key * _MIX) >> shift
    while keys[at] != key and keys[at] != _FREE:
        at = (at + _ONE) & mask
    return at


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _bits(n):
    """Of a table that is at most half full with n entries."""
    bits = 3
    while (1 << bits) < 2 * n + 2:
        bits += 1
    return bits


@njit(cache=True, nogil=True, error_model="numpy")
def gram_matches(ids, ends, hypothesis_of, first_ref, last_ref, order, out):
    """Write for each group how many n-grams of its hypothesis its references have, n from 1 to `order`.

    Group g compares text hypothesis_of[g] with texts first_ref[g] .. last_ref[g] - 1; an n-gram counts as often as in
    the one reference that has it most often. out: int64, (groups, order).
    """
    most = 0
    for g in range(first_ref.size):
        if last_ref[g] > first_ref[g]:
            most = max(most, ends[last_ref[g] - 1] - _begin(ends, first_ref[g]))
    nodes = most * order + 1
    table = np.empty(1 << _bits(nodes), np.uint64)
    node_at = np.empty(table.size, np.int32)
    counts = np.empty(nodes, np.int32)  # in the reference at hand
    text_of = np.empty(nodes, np.int32)  # which that is
    allowed = np.empty(nodes, np.int32)  # the most of any reference, less what the hypothesis has used
    for g in range(hypothesis_of.size):
        size = ends[last_ref[g] - 1] - _begin(ends, first_ref[g]) if last_ref[g] > first_ref[g] else 0
        bits = _bits(size * order + 1)
        shift = np.uint64(64 - bits)
        keys = table[: 1 << bits]
        keys[:] = _FREE
        n_nodes = 1
        for t in range(first_ref[g], last_ref[g]):
            for i in range(_begin(ends, t), ends[t]):
                node = 0
                for k in range(i, min(i + order, ends[t])):
                    key = np.uint64(node) << _HALF | np.uint64(ids[k])
                    at = _slot(keys, shift, key)
                    if keys[at] == _FREE:
                        keys[at] = key
                        node_at[at] = n_nodes
                        counts[n_nodes] = 0
                        text_of[n_nodes] = t
                        allowed[n_nodes] = 0
                        n_nodes += 1
                    node = node_at[at]
                    if text_of[node] != t:
                        text_of[node] = t
                        counts[node] = 0
                    counts[node] += 1
                    allowed[node] = max(allowed[node], counts[node])
        out[g] = 0
        stop = ends[hypothesis_of[g]]
        for i in range(_begin(ends, hypothesis_of[g]), stop):
            node = 0
            for k in range(min(order, stop - i)):
                at = _slot(keys, shift, np.uint64(node) << _HALF | np.uint64(ids[i + k]))
                if keys[at] == _FREE:
                    break  # no longer n-gram from here can match
                node = node_at[at]
                if allowed[node] > 0:
                    allowed[node] -= 1
                    out[g, k] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def skip_matches(ids, ends, hypothesis_of, reference_of, gap, out):
    """Write for each pair of texts its common pairs of words in order, with at most `gap` words between, clipped.

    out: int64, (pairs of texts, 3): common, of the hypothesis, of the reference.
    """
    for p in range(hypothesis_of.size):
        h, r = hypothesis_of[p], reference_of[p]
        size = ends[r] - _begin(ends, r)
        reach = min(gap, size) + 1
        bits = _bits(size * reach)
        shift = np.uint64(64 - bits)
        keys = np.full(1 << bits, _FREE, np.uint64)
        left = np.zeros(1 << bits, np.int32)
        out[p] = 0
        for i in range(_begin(ends, r), ends[r]):
            for k in range(i + 1, min(i + gap + 2, ends[r])):
                key = np.uint64(ids[i]) << _HALF | np.uint64(ids[k])
                at = _slot(keys, shift, key)
                keys[at] = key
                left[at] += 1
                out[p, 2] += 1
        for i in range(_begin(ends, h), ends[h]):
            for k in range(i + 1, min(i + gap + 2, ends[h])):
                at = _slot(keys, shift, np.uint64(ids[i]) << _HALF | np.uint64(ids[k]))
                out[p, 1] += 1
                if keys[at] != _FREE and left[at] > 0:
                    left[at] -= 1
                    out[p, 0] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def lcs_lengths(ids, ends, hypothesis_of, reference_of, out):
    """Write the length of a longest common subsequence of each pair of texts."""
    for p in range(hypothesis_of.size):
        h, r = hypothesis_of[p], reference_of[p]
        first, stop = _begin(ends, h), ends[h]
        row = np.zeros(stop - first + 1, np.int32)
        for i in range(_begin(ends, r), ends[r]):
            word = ids[i]
            diagonal = row[0]
            for j in range(stop - first):
                above = row[j + 1]
                row[j + 1] = diagonal + 1 if ids[first + j] == word else max(above, row[j])
                diagonal = above
        out[p] = row[stop - first]


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _mark_lcs(reference, hypothesis, marked):
    """Mark the words of a sentence that are in one longest common subsequence, found from its end."""
    rows, columns = reference.size, hypothesis.size
    table = np.zeros((rows + 1, columns + 1), np.int32)
    for i in range(rows):
        for j in range(columns):
            if reference[i] == hypothesis[j]:
                table[i + 1, j + 1] = table[i, j] + 1
            else:
                table[i + 1, j + 1] = max(table[i, j + 1], table[i + 1, j])
    i, j = rows, columns
    while i > 0 and j > 0:
        if reference[i - 1] == hypothesis[j - 1]:
            marked[i - 1] = True
            i -= 1
            j -= 1
        elif table[i, j - 1] > table[i - 1, j]:
            j -= 1
        else:
            i -= 1


@njit(cache=True, nogil=True, error_model="numpy")
def union_lcs(ids, ends, text_ends, hypothesis_of, reference_of, n_ids, out):
    """Write for each pair of texts the words of the union LCS of their sentences, clipped to the words of both.

    ends: of sentences. text_ends: how many sentences there are by the end of each text.
    """
    left_hypothesis = np.zeros(n_ids, np.int32)
    left_reference = np.zeros(n_ids, np.int32)
    for p in range(hypothesis_of.size):
        h, r = hypothesis_of[p], reference_of[p]
        h_first, h_stop = _begin(text_ends, h), text_ends[h]
        r_first, r_stop = _begin(text_ends, r), text_ends[r]
        out[p] = 0
        if h_first == h_stop or r_first == r_stop:
            continue
        h_words = ids[_begin(ends, h_first) : ends[h_stop - 1]]
        r_words = ids[_begin(ends, r_first) : ends[r_stop - 1]]
        for word in h_words:
            left_hypothesis[word] += 1
        for word in r_words:
            left_reference[word] += 1
        for s in range(r_first, r_stop):
            sentence = ids[_begin(ends, s) : ends[s]]
            marked = np.zeros(sentence.size, np.bool_)
            for c in range(h_first, h_stop):
                _mark_lcs(sentence, ids[_begin(ends, c) : ends[c]], marked)
            for i in range(sentence.size):
                word = sentence[i]
                if marked[i] and left_hypothesis[word] > 0 and left_reference[word] > 0:
                    out[p] += 1
                    left_hypothesis[word] -= 1
                    left_reference[word] -= 1
        for word in h_words:
            left_hypothesis[word] = 0
        for word in r_words:
            left_reference[word] = 0
