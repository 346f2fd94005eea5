"""Kernels of unigram training, on lattices that are built once and then only lose edges.

A lattice has a node for each character of a word and one after the last. Edges lie in one array, grouped by the node
at which they begin and shortest first, as (length in characters, piece); piece -1 is the unknown character.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from breadth.text.trie_kernels import BASE_SHIFT, ENDS, LABEL
from breadth.text.unigram_kernels import char_length

_SMALLEST_LOG = 700.0  # exp(-700) is a normal float64


@njit(cache=True, nogil=True, error_model="numpy")
def build_lattices(data, word_ends, unit, value):
    """Edges of every word. Returns node index at which each word begins, edge index of each node, lengths, pieces."""
    n_words = word_ends.shape[0]
    n_nodes = np.int64(0)
    for i in range(data.shape[0]):
        n_nodes += (data[i] & 0xC0) != 0x80
    word_begin = np.zeros(n_words + 1, np.int64)
    edge_begin = np.zeros(n_nodes + 1, np.int64)
    length = np.empty(0, np.int16)
    piece = np.empty(0, np.int32)
    for fill in range(2):
        node = np.int64(0)
        n_edges = np.int64(0)
        begin = np.int64(0)
        for w in range(n_words):
            word_begin[w] = node
            stop = word_ends[w]
            at = begin
            while at < stop:
                edge_begin[node] = n_edges
                if fill == 1:
                    length[n_edges] = 1
                    piece[n_edges] = -1
                single = n_edges
                n_edges += 1
                n_chars = 0
                u = unit[0]
                for i in range(at, stop):
                    c = np.uint32(data[i])
                    state = np.int64((u >> BASE_SHIFT) ^ c)
                    u = unit[state]
                    if (u & LABEL) != c:
                        break
                    n_chars += (data[i] & 0xC0) != 0x80
                    if (u & ENDS) != 0:
                        if n_chars == 1:
                            if fill == 1:
                                piece[single] = value[state]
                        else:
                            if fill == 1:
                                length[n_edges] = n_chars
                                piece[n_edges] = value[state]
                            n_edges += 1
                node += 1
                at += char_length(data[at])
            begin = stop
        word_begin[n_words] = node
        edge_begin[node] = n_edges
        if fill == 0:
            length = np.empty(n_edges, np.int16)
            piece = np.empty(n_edges, np.int32)
    return word_begin, edge_begin, length, piece


@njit(cache=True, nogil=True, error_model="numpy")
def drop_pieces(edge_begin, length, piece, renumbered):
    """Renumber pieces in place, and drop the edges of those that become -1; single characters become unknown."""
    n = np.int64(0)
    first = edge_begin[0]
    for node in range(edge_begin.shape[0] - 1):
        last = edge_begin[node + 1]
        edge_begin[node] = n
        for e in range(first, last):
            k = renumbered[piece[e]] if piece[e] >= 0 else np.int32(-1)
            if k >= 0 or length[e] == 1:
                length[n] = length[e]
                piece[n] = k
                n += 1
        first = last
    edge_begin[edge_begin.shape[0] - 1] = n
    return n


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _log_add(a, b):
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + math.log1p(math.exp(b - a))


@njit(cache=True, nogil=True, error_model="numpy")
def expected_counts(first, last, word_begin, edge_begin, length, piece, counts, score, unknown, expected):
    """E-step over words first:last: add the expected count of each piece; returns the log likelihood.

    Probabilities are multiplied where the lowest product is a normal number, and their logs added elsewhere.
    """
    n_pieces = score.shape[0]
    probability = np.empty(n_pieces, np.float64)
    for k in range(n_pieces):
        probability[k] = math.exp(score[k])
    p_unknown = math.exp(unknown)
    longest = 0
    for w in range(first, last):
        longest = max(longest, word_begin[w + 1] - word_begin[w])
    alpha = np.empty(longest + 1, np.float64)
    beta = np.empty(longest + 1, np.float64)
    likelihood = 0.0
    for w in range(first, last):
        base = word_begin[w]
        n = word_begin[w + 1] - base
        count = np.float64(counts[w])
        if n * -unknown < _SMALLEST_LOG:
            for i in range(n + 1):
                alpha[i] = 0.0
            alpha[0] = 1.0
            for i in range(n):
                a = alpha[i]
                for e in range(edge_begin[base + i], edge_begin[base + i + 1]):
                    k = piece[e]
                    alpha[i + length[e]] += a * (probability[k] if k >= 0 else p_unknown)
            scale = count / alpha[n]
            likelihood += count * math.log(alpha[n])
            beta[n] = 1.0
            for i in range(n - 1, -1, -1):
                a = alpha[i] * scale
                b = 0.0
                for e in range(edge_begin[base + i], edge_begin[base + i + 1]):
                    k = piece[e]
                    p = (probability[k] if k >= 0 else p_unknown) * beta[i + length[e]]
                    b += p
                    if k >= 0:
                        expected[k] += a * p
                beta[i] = b
        else:
            for i in range(n + 1):
                alpha[i] = -np.inf
            alpha[0] = 0.0
            for i in range(n):
                for e in range(edge_begin[base + i], edge_begin[base + i + 1]):
                    k = piece[e]
                    j = i + length[e]
                    alpha[j] = _log_add(alpha[j], alpha[i] + (score[k] if k >= 0 else unknown))
            likelihood += count * alpha[n]
            beta[n] = 0.0
            for i in range(n - 1, -1, -1):
                b = -np.inf
                for e in range(edge_begin[base + i], edge_begin[base + i + 1]):
                    k = piece[e]
                    p = (score[k] if k >= 0 else unknown) + beta[i + length[e]]
                    b = _log_add(b, p)
                    if k >= 0:
                        expected[k] += count * math.exp(alpha[i] + p - alpha[n])
                beta[i] = b
    return likelihood


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _best_path(base, n, longest, edge_begin, length, piece, score, unknown, best, back, by):
    """Best score at each node of one lattice, where its last edge begins, and that edge's piece.

    longest: edges of this many characters or more are left out.
    """
    best[0] = 0.0
    for i in range(1, n + 1):
        best[i] = -np.inf
    for i in range(n):
        for e in range(edge_begin[base + i], edge_begin[base + i + 1]):
            if length[e] >= longest:
                break
            k = piece[e]
            total = best[i] + (score[k] if k >= 0 else unknown)
            j = i + length[e]
            if total > best[j]:
                best[j] = total
                back[j] = i
                by[j] = k


@njit(cache=True, nogil=True, error_model="numpy")
def best_counts(first, last, word_begin, edge_begin, length, piece, counts, score, unknown, frequency):
    """Add how often each piece occurs on the best paths of words first:last."""
    longest = 0
    for w in range(first, last):
        longest = max(longest, word_begin[w + 1] - word_begin[w])
    best = np.empty(longest + 1, np.float64)
    back = np.empty(longest + 1, np.int64)
    by = np.empty(longest + 1, np.int64)
    for w in range(first, last):
        n = word_begin[w + 1] - word_begin[w]
        _best_path(word_begin[w], n, n + 1, edge_begin, length, piece, score, unknown, best, back, by)
        while n > 0:
            if by[n] >= 0:
                frequency[by[n]] += counts[w]
            n = back[n]


@njit(cache=True, nogil=True, error_model="numpy")
def removal_losses(lattice_of, word_begin, edge_begin, length, piece, score, unknown, frequency):
    """What the log likelihood of the corpus loses when each piece is replaced by the best path without it.

    lattice_of: index of the lattice of each piece. frequency: float64, occurrences on best paths.
    Returns inf for a piece that nothing can replace, -inf for one whose best path is not itself.
    """
    n_pieces = score.shape[0]
    loss = np.empty(n_pieces, np.float64)
    total = 0.0
    for k in range(n_pieces):
        total += frequency[k]
    longest = 0
    for k in range(n_pieces):
        longest = max(longest, word_begin[lattice_of[k] + 1] - word_begin[lattice_of[k]])
    best = np.empty(longest + 1, np.float64)
    back = np.empty(longest + 1, np.int64)
    by = np.empty(longest + 1, np.int64)
    for k in range(n_pieces):
        base = word_begin[lattice_of[k]]
        n = word_begin[lattice_of[k] + 1] - base
        if n == 1:
            loss[k] = np.inf
            continue
        _best_path(base, n, n, edge_begin, length, piece, score, unknown, best, back, by)
        if best[n] > score[k] or frequency[k] == 0:
            loss[k] = -np.inf
            continue
        parts = 0
        log_sum = 0.0
        at = n
        while at > 0:
            other = frequency[by[at]] if by[at] >= 0 else 0.0
            log_sum += math.log(other + frequency[k])
            parts += 1
            at = back[at]
        log_total = math.log(total + frequency[k] * (parts - 1))
        loss[k] = frequency[k] * (math.log(frequency[k]) - math.log(total) - log_sum + parts * log_total)
    return loss
