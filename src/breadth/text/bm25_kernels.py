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


@njit(cache=True, nogil=True, error_model="numpy")
def best(terms, ends, first, stop, starts, documents, weights, total, ids, scores, found):
    """Write the best documents of queries first to stop - 1, best first, equal scores by document.

    terms, ends: terms of all queries, -1 for unknown ones, and where each query's end. total: one zero a document; all
    zeros again afterwards. ids, scores: shape (queries, k). found: how many documents score above 0, at most k.
    """
    k = ids.shape[1]
    for q in range(first, stop):
        begin = ends[q - 1] if q > 0 else 0
        for i in range(begin, ends[q]):
            if terms[i] >= 0:
                for p in range(starts[terms[i]], starts[terms[i] + 1]):
                    total[documents[p]] += weights[p]
        heap_ids, heap_scores = ids[q], scores[q]
        size = 0
        worst = np.inf  # until the heap is full: of no use
        for i in range(begin, ends[q]):
            if terms[i] < 0:
                continue
            for p in range(starts[terms[i]], starts[terms[i] + 1]):
                d = documents[p]
                s = total[d]
                if s <= 0.0:  # looked at already
                    continue
                total[d] = 0.0
                if size < k:
                    at = size
                    size += 1
                    while at > 0:  # sift up
                        up = (at - 1) // 2
                        if s > heap_scores[up] or (s == heap_scores[up] and d < heap_ids[up]):
                            break
                        heap_scores[at], heap_ids[at] = heap_scores[up], heap_ids[up]
                        at = up
                    heap_scores[at], heap_ids[at] = s, d
                    worst = heap_scores[0]
                elif s > worst or (s == worst and d < heap_ids[0]):
                    _sift_down(heap_ids, heap_scores, k, d, s)
                    worst = heap_scores[0]
        found[q] = size
        for last in range(size - 1, 0, -1):  # heap to ascending order of worth from the back
            d, s = heap_ids[last], heap_scores[last]
            heap_ids[last], heap_scores[last] = heap_ids[0], heap_scores[0]
            _sift_down(heap_ids, heap_scores, last, d, s)


@njit(cache=True, nogil=True, error_model="numpy")
def add_scores(terms, starts, documents, weights, total):
    """Add the weights of all documents for a query's terms to `total`."""
    for i in range(terms.size):
        if terms[i] >= 0:
            for p in range(starts[terms[i]], starts[terms[i] + 1]):
                total[documents[p]] += weights[p]
