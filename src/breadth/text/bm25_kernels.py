"""Kernels of BM25: the inverted file, the weight of every posting, and the best documents of a query."""

from __future__ import annotations

import numpy as np
from numba import njit

RATIO, ATIRE, BM25L, BM25PLUS = range(4)  # forms of the term frequency's part


@njit(cache=True, nogil=True, error_model="numpy")
def invert(terms, counts, ends, starts, documents, frequencies):
    """Turn counts by document into postings by term, documents ascending.

    terms, counts, ends: entries of all documents, and where each document's end. starts: where each term's postings
    begin, shape (terms + 1,); advanced to where they end while writing, and put back.
    """
    at = 0
    for d in range(ends.size):
        for i in range(at, ends[d]):
            p = starts[terms[i]]
            documents[p] = d
            frequencies[p] = counts[i]
            starts[terms[i]] = p + 1
        at = ends[d]
    for t in range(starts.size - 1, 0, -1):
        starts[t] = starts[t - 1]
    starts[0] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def weigh_postings(starts, documents, frequencies, lengths, mean_length, idf, form, k1, b, delta, weights):
    """Write what each posting adds to the score of its document."""
    for t in range(starts.size - 1):
        for p in range(starts[t], starts[t + 1]):
            tf = np.float64(frequencies[p])
            norm = 1.0 - b + b * lengths[documents[p]] / mean_length
            if form == RATIO:
                part = tf / (tf + k1 * norm)
            elif form == BM25L:
                c = tf / norm + delta
                part = (k1 + 1.0) * c / (k1 + c)
            else:
                part = tf * (k1 + 1.0) / (tf + k1 * norm)
                if form == BM25PLUS:
                    part += delta
            weights[p] = idf[t] * part


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _sift_down(ids, scores, size, d, s):
    """Put (d, s) in place of the root of a heap whose root is the worst: lowest score, then highest document."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            scores[right] < scores[child] or (scores[right] == scores[child] and ids[right] > ids[child])
        ):
            child = right
        if s < scores[child] or (s == scores[child] and d > ids[child]):
            break
        scores[at], ids[at] = scores[child], ids[child]
        at = child
    scores[at], ids[at] = s, d


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _offer(ids, scores, size, d, s):
    """Take (d, s) among the best if it belongs there; returns how many there are."""
    if size == ids.size:
        if s > scores[0] or (s == scores[0] and d < ids[0]):
            _sift_down(ids, scores, size, d, s)
        return size
    at = size
    while at > 0:  # sift up
        up = (at - 1) // 2
        if s > scores[up] or (s == scores[up] and d < ids[up]):
            break
        scores[at], ids[at] = scores[up], ids[up]
        at = up
    scores[at], ids[at] = s, d
    return size + 1


@njit(cache=True, nogil=True, error_model="numpy")
def best(terms, ends, first, stop, starts, documents, weights, total, ids, scores, found):
    """Write the best documents of queries first to stop - 1, best first, equal scores by document.

    terms, ends: terms of all queries, -1 for unknown ones, and where each query's end. total: one zero a document; all
    zeros again afterwards. ids, scores: shape (queries, k). found: how many documents score above 0, at most k.
    """
    k = ids.shape[1]
    nothing = np.zeros(1, total.dtype)[0]
    for q in range(first, stop):
        begin = ends[q - 1] if q > 0 else 0
        postings = 0
        for i in range(begin, ends[q]):
            if terms[i] >= 0:
                a, b = starts[terms[i]], starts[terms[i] + 1]
                postings += b - a
                for p in range(a, b):
                    total[np.uintp(documents[np.uintp(p)])] += weights[np.uintp(p)]
        heap_ids, heap_scores = ids[q], scores[q]
        size = 0
        worst = nothing  # of the best k so far; what is not above it is looked at no further
        if 2 * postings > total.size:
            for d in range(total.size):  # ascending, so that a later document never displaces an equal one
                s = total[np.uintp(d)]
                if s > worst:
                    size = _offer(heap_ids, heap_scores, size, d, s)
                    if size == k:
                        worst = heap_scores[0]
            total[:] = nothing
        else:
            for i in range(begin, ends[q]):
                if terms[i] < 0:
                    continue
                for p in range(starts[terms[i]], starts[terms[i] + 1]):
                    d = np.int64(documents[np.uintp(p)])
                    s = total[np.uintp(d)]
                    total[np.uintp(d)] = nothing  # of a document met again, nothing is left
                    if s >= worst and s > nothing:
                        size = _offer(heap_ids, heap_scores, size, d, s)
                        if size == k:
                            worst = heap_scores[0]
        found[q] = size
        for last in range(size - 1, 0, -1):  # heap to descending order of worth, from the back
            d, s = heap_ids[last], heap_scores[last]
            heap_ids[last], heap_scores[last] = heap_ids[0], heap_scores[0]
            _sift_down(heap_ids, heap_scores, last, d, s)


@njit(cache=True, nogil=True, error_model="numpy")
def add_scores(terms, starts, documents, weights, total):
    """Add the weights of all documents for a query's terms to `total`."""
    for i in range(terms.size):
        if terms[i] >= 0:
            for p in range(starts[terms[i]], starts[terms[i] + 1]):
                total[np.uintp(documents[p])] += weights[p]
