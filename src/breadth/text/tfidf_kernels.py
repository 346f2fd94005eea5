"""Kernels that count the terms of documents: spans of text, then numbers of terms, then counts by document.

A term table is an open-addressing hash table. `slots` holds the upper half of a term's hash and its number; `record`
one row a term: FIRST and SECOND, its bytes in `arena` or, for an n-gram of words, ~(term of its first n - 1 words) and
its last word, so that its string is built only once, at the end; HASH; and PLACE, where the current document counts it,
which is believed only if what stands there is the term. `size` is (terms, bytes of arena in use). A table that is
`frozen` is only read, and a term that it lacks is ABSENT.
"""

from __future__ import annotations

import numpy as np
from numba import njit

WORD, SPACE = np.uint8(1), np.uint8(2)  # classes of code points: \w and \s of `re`
ABSENT = -1
FIRST, SECOND, HASH, PLACE = range(4)
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SEED = np.uint64(0xCBF29CE484222325)  # FNV-1a
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_LOW = np.uint64(0xFFFFFFFF)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _class_at(data, i, table):
    """Class and length of the character that begins at i; the bytes are whole UTF-8, surrogates included."""
    first = np.int64(data[np.uintp(i)])
    if first < 0x80:
        return table[np.uintp(first)], 1
    length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    point = first & (0xFF >> (length + 1))
    for k in range(1, length):
        point = (point << 6) | (np.int64(data[np.uintp(i + k)]) & 0x3F)
    return table[np.uintp(point)], length


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _run(data, i, n, table, kind):
    """End of the run of characters of a class that begins at i."""
    while i < n:
        found, length = _class_at(data, i, table)
        if not found & kind:
            break
        i += length
    return i


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _long_enough(data, start, end, least):
    """Whether the bytes hold at least so many characters."""
    if end - start < least or end - start >= 4 * least:
        return end - start >= least
    chars = 0
    for i in range(start, end):
        chars += (data[i] & 0xC0) != 0x80
    return chars >= least


@njit(cache=True, nogil=True, error_model="numpy")
def word_spans(data, ends, table, least, spans, span_ends):
    """Write start and end of each document's words: its longest runs of WORD with `least` characters or more.

    data, ends: UTF-8 of the documents, and where each ends. span_ends: how many spans there are by its end.
    """
    n = 0
    at = 0
    for d in range(ends.size):
        stop = ends[d]
        while at < stop:
            end = _run(data, at, stop, table, WORD)
            if end == at:
                at += _class_at(data, at, table)[1]
                continue
            if _long_enough(data, at, end, least):
                spans[n, 0] = at
                spans[n, 1] = end
                n += 1
            at = end
        span_ends[d] = n


@njit(cache=True, nogil=True, error_model="numpy")
def squeeze(data, ends, table, text, text_ends):
    """Copy documents with every run of two or more white characters as one space; returns the bytes written."""
    n = 0
    at = 0
    for d in range(ends.size):
        stop = ends[d]
        while at < stop:
            found, length = _class_at(data, at, table)
            end = at + length
            if found & SPACE and _run(data, end, stop, table, SPACE) > end:
                end = _run(data, end, stop, table, SPACE)
                text[n] = 32
                n += 1
            else:
                for i in range(at, end):
                    text[n] = data[i]
                    n += 1
            at = end
        text_ends[d] = n
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def pad(data, ends, table, text, unit_ends, doc_units):
    """Copy the words of documents, each with a space on either side; returns how many there are.

    unit_ends: where each padded word ends in `text`. doc_units: how many of them there are by the end of a document.
    """
    n = 0
    units = 0
    at = 0
    for d in range(ends.size):
        stop = ends[d]
        while at < stop:
            at = _run(data, at, stop, table, SPACE)
            end = at
            while end < stop:
                found, length = _class_at(data, end, table)
                if found & SPACE:
                    break
                end += length
            if end == at:
                break
            text[n] = 32
            for i in range(end - at):
                text[n + 1 + i] = data[at + i]
            n += end - at + 2
            text[n - 1] = 32
            unit_ends[units] = n
            units += 1
            at = end
        at = stop
        doc_units[d] = units
    return units


@njit(cache=True, nogil=True, error_model="numpy")
def char_spans(text, ends, low, high, short, spans, span_ends):
    """Write start and end of the n-grams of characters of each unit of text, n from low to high.

    short: a unit with fewer than `low` characters counts once, whole; else not at all.
    """
    n = 0
    start = 0
    for u in range(ends.size):
        stop = ends[u]
        begin = start
        at = start
        for size in range(1, low):  # the end of the first gram
            if at < stop:
                at += 1
                while at < stop and (text[at] & 0xC0) == 0x80:
                    at += 1
            if at == stop and size < low and short and size >= 1 and start < stop:
                spans[n, 0] = start
                spans[n, 1] = stop
                n += 1
                begin = stop
                break
        while begin < stop and at < stop:
            # at: the end of the first low - 1 characters from begin
            end = at
            for _ in range(low, high + 1):
                if end == stop:
                    break
                end += 1
                while end < stop and (text[end] & 0xC0) == 0x80:
                    end += 1
                spans[n, 0] = begin
                spans[n, 1] = end
                n += 1
            begin += 1
            while begin < stop and (text[begin] & 0xC0) == 0x80:
                begin += 1
            at += 1
            while at < stop and (text[at] & 0xC0) == 0x80:
                at += 1
        start = stop
        span_ends[u] = n


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _grown(slots, record, n_terms):
    """Slots twice as many."""
    wider = np.full(2 * slots.size, EMPTY, np.uint64)
    mask = np.uint64(wider.size - 1)
    for t in range(n_terms):
        h = np.uint64(record[t, HASH])
        at = h & mask
        while wider[at] != EMPTY:
            at = (at + _ONE) & mask
        wider[at] = (h >> _HALF) << _HALF | np.uint64(t)
    return wider


@njit(cache=True, nogil=True, error_model="numpy")
def intern_spans(data, spans, slots, record, arena, size, frozen, out):
    """Write the term of each span of bytes to `out`; returns the slots, which may have grown."""
    mask = np.uint64(slots.size - 1)
    n_terms, used = size[0], size[1]
    for s in range(spans.shape[0]):
        start, end = spans[s, 0], spans[s, 1]
        h = _SEED
        for i in range(start, end):
            h = (h ^ np.uint64(data[np.uintp(i)])) * _PRIME
        h ^= h >> _HALF
        at = h & mask
        found = ABSENT
        while True:
            slot = slots[at]
            if slot == EMPTY:
                break
            if (slot ^ h) >> _HALF == 0:
                t = slot & _LOW
                begin = record[t, FIRST]
                if begin >= 0 and record[t, SECOND] - begin == end - start:
                    i = 0
                    while i < end - start and arena[np.uintp(begin + i)] == data[np.uintp(start + i)]:
                        i += 1
                    if i == end - start:
                        found = np.int64(t)
                        break
            at = (at + _ONE) & mask
        if found == ABSENT and not frozen:
            found = n_terms
            slots[at] = (h >> _HALF) << _HALF | np.uint64(found)
            record[found, FIRST] = used
            record[found, SECOND] = used + end - start
            record[found, HASH] = np.int64(h)
            for i in range(start, end):
                arena[used] = data[i]
                used += 1
            n_terms += 1
            if 2 * n_terms >= slots.size:
                slots = _grown(slots, record, n_terms)
                mask = np.uint64(slots.size - 1)
        out[s] = found
    size[0], size[1] = n_terms, used
    return slots


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _pair_slot(left, right, slots, record):
    """Hash of the words of `left` followed by the word `right`, and the slot that holds it or is free for it."""
    h = ((_SEED ^ np.uint64(left)) * _PRIME ^ np.uint64(right)) * _MIX
    h ^= h >> _HALF
    mask = np.uint64(slots.size - 1)
    at = h & mask
    while slots[at] != EMPTY:
        if (slots[at] ^ h) >> _HALF == 0:
            t = slots[at] & _LOW
            if record[t, FIRST] == ~left and record[t, SECOND] == right:
                break
        at = (at + _ONE) & mask
    return h, at


@njit(cache=True, nogil=True, error_model="numpy")
def intern_chains(words, chain_ends, slots, record, size, out):
    """Write the term of each chain of words to `out`; returns the slots, which may have grown."""
    begin = 0
    for c in range(chain_ends.size):
        t = np.int64(words[begin])
        for w in range(begin + 1, chain_ends[c]):
            h, at = _pair_slot(t, np.int64(words[w]), slots, record)
            if slots[at] == EMPTY:
                new = size[0]
                slots[at] = (h >> _HALF) << _HALF | np.uint64(new)
                record[new, FIRST] = ~t
                record[new, SECOND] = words[w]
                record[new, HASH] = np.int64(h)
                size[0] += 1
                t = new
                if 2 * size[0] >= slots.size:
                    slots = _grown(slots, record, size[0])
            else:
                t = np.int64(slots[at] & _LOW)
        out[c] = t
        begin = chain_ends[c]
    return slots


@njit(cache=True, nogil=True, error_model="numpy")
def count_grams(words, ends, n_stop, low, high, frozen, slots, record, size, out_terms, out_counts, out_ends):
    """Count the n-grams of each document's words, n from low to high.

    words, ends: terms of all documents, and where each document ends. n_stop: terms below it are stop words, dropped
    before n-grams are formed. out_terms, out_counts, out_ends: the counts, document by document.
    Returns the slots, which may have grown.
    """
    kept = np.empty(words.size if high > 1 else 0, np.int32)
    n_out = 0
    begin = 0
    for d in range(ends.size):
        first = n_out
        n_words = 0
        for i in range(begin, ends[d]):
            t = np.int64(words[i])
            if t == ABSENT or t >= n_stop:
                if high > 1:
                    kept[n_words] = t
                n_words += 1
                if low == 1 and t != ABSENT:
                    p = record[t, PLACE]
                    if first <= p < n_out and out_terms[p] == t:
                        out_counts[p] += 1
                    else:
                        record[t, PLACE] = n_out
                        out_terms[n_out] = t
                        out_counts[n_out] = 1
                        n_out += 1
        begin = ends[d]
        if high > 1:
            for i in range(n_words - 1):
                t = np.int64(kept[i])
                for n in range(2, min(high, n_words - i) + 1):
                    right = np.int64(kept[i + n - 1])
                    if t == ABSENT or right == ABSENT:
                        break
                    h, at = _pair_slot(t, right, slots, record)
                    if slots[at] != EMPTY:
                        t = np.int64(slots[at] & _LOW)
                    elif frozen:
                        break
                    else:
                        new = size[0]
                        slots[at] = (h >> _HALF) << _HALF | np.uint64(new)
                        record[new, FIRST] = ~t
                        record[new, SECOND] = right
                        record[new, HASH] = np.int64(h)
                        size[0] += 1
                        t = new
                        if 2 * size[0] >= slots.size:
                            slots = _grown(slots, record, size[0])
                    if n < low:
                        continue
                    p = record[t, PLACE]
                    if first <= p < n_out and out_terms[p] == t:
                        out_counts[p] += 1
                    else:
                        record[t, PLACE] = n_out
                        out_terms[n_out] = t
                        out_counts[n_out] = 1
                        n_out += 1
        out_ends[d] = n_out
    return slots


@njit(cache=True, nogil=True, error_model="numpy")
def spelled_ends(chosen, record, ends):
    """Write where the string of each chosen term ends, all of them one behind the other."""
    at = 0
    for k in range(chosen.size):
        t = np.int64(chosen[k])
        while record[t, FIRST] < 0:
            word = record[t, SECOND]
            at += 1 + record[word, SECOND] - record[word, FIRST]
            t = ~record[t, FIRST]
        at += record[t, SECOND] - record[t, FIRST]
        ends[k] = at


@njit(cache=True, nogil=True, error_model="numpy")
def spell(chosen, record, arena, ends, out):
    """Write the strings of the chosen terms, words with a space between, from the last word of each to its first."""
    for k in range(chosen.size):
        at = ends[k]
        t = np.int64(chosen[k])
        while True:
            pair = record[t, FIRST] < 0
            word = record[t, SECOND] if pair else t
            begin = record[word, FIRST]
            at -= record[word, SECOND] - begin
            for i in range(record[word, SECOND] - begin):
                out[at + i] = arena[begin + i]
            if not pair:
                break
            at -= 1
            out[at] = 32
            t = ~record[t, FIRST]
