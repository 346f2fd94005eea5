"""Kernels over all paths of a unigram lattice: sums, samples, entropy, expected counts, and the n best.

Everything runs on a potential h(i) of byte position i, over the paths from i to the end: the best score, or the log of
the sum of exp(alpha x score). It is exact, so a sample is drawn forwards without rejection, and A* pops paths in order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from breadth.text.unigram_kernels import char_length, edges_from, emit


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _potential(data, unit, step, unknown, alpha, best, edge_end, edge_state, edge_score):
    """h at each byte, -inf inside characters. best: the best score instead of the log of the sum over paths."""
    n = data.shape[0]
    h = np.full(n + 1, -np.inf)
    h[n] = 0.0
    starts = np.empty(n, np.int64)
    n_starts = 0
    at = np.int64(0)
    while at < n:
        starts[n_starts] = at
        n_starts += 1
        at += char_length(data[at])
    for k in range(n_starts - 1, -1, -1):
        at = starts[k]
        n_edges = edges_from(data, at, n, unit, step, unknown, edge_end, edge_state, edge_score)
        top = -np.inf
        for e in range(n_edges):
            top = max(top, alpha * edge_score[e] + h[edge_end[e]])
        h[at] = top
        if not best:
            total = 0.0
            for e in range(n_edges):
                total += math.exp(alpha * edge_score[e] + h[edge_end[e]] - top)
            h[at] = top + math.log(total)
    return h


@njit(cache=True, nogil=True, error_model="numpy")
def sample_paths(data, unit, step, value, unknown, unk_id, byte_ids, alpha, uniform, longest):
    """Ids of independent paths drawn with probability proportional to exp(alpha x score).

    uniform: (samples, bytes) in [0, 1): one draw an edge. longest: bytes of the longest piece.
    Returns ids, ends of each sample in them, log probability of each path; ids of length 0 before non-empty ends: no id
    for an unknown character.
    """
    n = data.shape[0]
    edge_end = np.empty(longest + 1, np.int64)
    edge_state = np.empty(longest + 1, np.int64)
    edge_score = np.empty(longest + 1, np.float64)
    h = _potential(data, unit, step, unknown, alpha, False, edge_end, edge_state, edge_score)
    n_samples = uniform.shape[0]
    ids = np.empty(n_samples * n, np.int32)
    ends = np.empty(n_samples * n, np.int64)
    sample_ends = np.empty(n_samples, np.int64)
    log_probability = np.empty(n_samples, np.float64)
    path_end = np.empty(n, np.int64)
    path_state = np.empty(n, np.int64)
    n_ids = np.int64(0)
    for s in range(n_samples):
        at = np.int64(0)
        k = np.int64(0)
        total = 0.0
        while at < n:
            n_edges = edges_from(data, at, n, unit, step, unknown, edge_end, edge_state, edge_score)
            left = uniform[s, k]
            chosen = n_edges - 1  # rounding may leave a remainder after the last edge
            for e in range(n_edges):
                left -= math.exp(alpha * edge_score[e] + h[edge_end[e]] - h[at])
                if left < 0:
                    chosen = e
                    break
            total += alpha * edge_score[chosen] + h[edge_end[chosen]] - h[at]
            at = edge_end[chosen]
            path_end[k] = at
            path_state[k] = edge_state[chosen]
            k += 1
        n_ids = emit(data, 0, path_end, path_state, 0, k, value, unk_id, byte_ids, ids, ends, n_ids)
        if n_ids < 0:
            return ids[:0].copy(), sample_ends, log_probability
        sample_ends[s] = n_ids
        log_probability[s] = total
    return ids[:n_ids].copy(), sample_ends, log_probability


@njit(cache=True, nogil=True, error_model="numpy")
def path_statistics(data, unit, step, value, unknown, unk_id, alpha, longest, n_tokens):
    """Log of the sum of exp(alpha x score) over all paths, their entropy, and the expected count of each id.

    An unknown character counts for unk_id (nothing if that is -1), not for its bytes.
    """
    n = data.shape[0]
    edge_end = np.empty(longest + 1, np.int64)
    edge_state = np.empty(longest + 1, np.int64)
    edge_score = np.empty(longest + 1, np.float64)
    h = _potential(data, unit, step, unknown, alpha, False, edge_end, edge_state, edge_score)
    expected = np.zeros(n_tokens, np.float64)
    reached = np.zeros(n + 1, np.float64)  # probability that a path passes through a byte position
    reached[0] = 1.0
    entropy = 0.0
    for at in range(n):
        if reached[at] == 0.0:
            continue
        n_edges = edges_from(data, at, n, unit, step, unknown, edge_end, edge_state, edge_score)
        for e in range(n_edges):
            log_p = alpha * edge_score[e] + h[edge_end[e]] - h[at]
            p = reached[at] * math.exp(log_p)
            if p == 0.0:
                continue
            reached[edge_end[e]] += p
            entropy -= p * log_p
            i = value[edge_state[e]] if edge_state[e] >= 0 else unk_id
            if i >= 0:
                expected[i] += p
    return h[0], entropy, expected


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _push(heap, size, priority, item):
    """Add an item to a max-heap on (priority, earlier item first)."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if priority[heap[parent]] >= priority[item]:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = item


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _pop(heap, size, priority):
    """Take the largest item out of a max-heap of this size."""
    top = heap[0]
    item = heap[size - 1]
    size -= 1
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and (
            priority[heap[child + 1]] > priority[heap[child]]
            or (priority[heap[child + 1]] == priority[heap[child]] and heap[child + 1] < heap[child])
        ):
            child += 1
        if priority[item] > priority[heap[child]] or (priority[item] == priority[heap[child]] and item < heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = item
    return top


@njit(cache=True, nogil=True, error_model="numpy")
def n_best_paths(data, unit, step, value, unknown, unk_id, byte_ids, longest, n_best):
    """Ids of the n best paths, best first, by A* from the left with the exact best score of the rest.

    Returns ids, ends of each path in them, and scores; ids of length 0 before non-empty ends: no id for an unknown
    character.
    """
    n = data.shape[0]
    edge_end = np.empty(longest + 1, np.int64)
    edge_state = np.empty(longest + 1, np.int64)
    edge_score = np.empty(longest + 1, np.float64)
    h = _potential(data, unit, step, unknown, 1.0, True, edge_end, edge_state, edge_score)
    room = 1024
    parent = np.empty(room, np.int64)
    at_of = np.empty(room, np.int64)
    state_of = np.empty(room, np.int64)
    score_of = np.empty(room, np.float64)
    priority = np.empty(room, np.float64)
    heap = np.empty(room, np.int64)
    parent[0] = -1
    at_of[0] = 0
    state_of[0] = 0
    score_of[0] = 0.0
    priority[0] = h[0]
    heap[0] = 0
    n_items = 1
    size = 1
    ids = np.empty(n_best * n, np.int32)
    ends = np.empty(n_best * n, np.int64)
    best_ends = np.empty(n_best, np.int64)
    scores = np.empty(n_best, np.float64)
    path_end = np.empty(n, np.int64)
    path_state = np.empty(n, np.int64)
    found = 0
    n_ids = np.int64(0)
    while size > 0 and found < n_best:
        item = _pop(heap, size, priority)
        size -= 1
        at = at_of[item]
        if at == n:
            scores[found] = score_of[item]
            k = n
            while parent[item] >= 0:
                k -= 1
                path_end[k] = at_of[item]
                path_state[k] = state_of[item]
                item = parent[item]
            n_ids = emit(data, 0, path_end, path_state, k, n, value, unk_id, byte_ids, ids, ends, n_ids)
            if n_ids < 0:
                return ids[:0].copy(), best_ends[:1].copy(), scores[:1].copy()
            best_ends[found] = n_ids
            found += 1
            continue
        n_edges = edges_from(data, at, n, unit, step, unknown, edge_end, edge_state, edge_score)
        if n_items + n_edges > room:
            parent = np.append(parent, np.empty(room, np.int64))
            at_of = np.append(at_of, np.empty(room, np.int64))
            state_of = np.append(state_of, np.empty(room, np.int64))
            score_of = np.append(score_of, np.empty(room, np.float64))
            priority = np.append(priority, np.empty(room, np.float64))
            heap = np.append(heap, np.empty(room, np.int64))
            room *= 2
        for e in range(n_edges):
            parent[n_items] = item
            at_of[n_items] = edge_end[e]
            state_of[n_items] = edge_state[e]
            score_of[n_items] = score_of[item] + edge_score[e]
            priority[n_items] = score_of[n_items] + h[edge_end[e]]
            _push(heap, size, priority, n_items)
            n_items += 1
            size += 1
    return ids[:n_ids].copy(), best_ends[:found].copy(), scores[:found].copy()
