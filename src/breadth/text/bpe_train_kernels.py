"""Kernels of BPE training: counting words, and merging the most frequent pair until the vocabulary is full.

Every kernel stops before memory runs out and says so; its caller gives it more and calls it again.
"""

from __future__ import annotations

import numpy as np

from breadth.text.scan_kernels import kernel, part

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: Fibonacci hashing
_HALF = np.uint64(32)


@part
def hash_bytes(data, begin, end):
    """A 64-bit hash of data[begin:end]."""
    value = np.uint64(end - begin) * _SPREAD
    for i in range(begin, end):
        value = (value ^ np.uint64(data[np.uintp(i)])) * _SPREAD
        value ^= value >> _HALF
    return value


@part
def same_bytes(data, begin, other, start, length):
    """Whether `length` bytes of data from `begin` and of other from `start` are the same."""
    k = 0
    while k < length and data[np.uintp(begin + k)] == other[np.uintp(start + k)]:
        k += 1
    return k == length


@kernel
def count_words(data, ends, weights, done, table, hashes, known_ends, counts, known, n):
    """Add words from `done` on to a hash table; returns how far it came and how many different words there are now.

    Word w of the table has the bytes `known[known_ends[w - 1] : known_ends[w]]`. Stops where the table is half full or
    `known` cannot take the word.
    """
    mask = table.size - 1
    begin = ends[done - 1] if done > 0 else 0
    used = known_ends[n - 1] if n > 0 else 0
    for i in range(done, ends.size):
        end = ends[np.uintp(i)]
        length = end - begin
        weight = weights[np.uintp(i)] if weights.size > 0 else 1
        value = hash_bytes(data, begin, end)
        slot = np.int64(value >> _HALF) & mask
        while True:
            word = table[np.uintp(slot)]
            if word < 0:
                if 2 * (n + 1) > table.size or used + length > known.size:
                    return i, n
                for k in range(length):
                    known[np.uintp(used + k)] = data[np.uintp(begin + k)]
                used += length
                table[slot], hashes[n], known_ends[n], counts[n] = n, value, used, weight
                n += 1
                break
            if hashes[np.uintp(word)] == value:
                start = known_ends[np.uintp(word - 1)] if word > 0 else 0
                if known_ends[np.uintp(word)] - start == length and same_bytes(data, begin, known, start, length):
                    counts[np.uintp(word)] += weight
                    break
            slot = (slot + 1) & mask
        begin = end
    return ends.size, n


@kernel
def place_words(table, hashes, n):
    """Fill an empty table with words 0 to n - 1."""
    mask = table.size - 1
    for word in range(n):
        slot = np.int64(hashes[word] >> _HALF) & mask
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = word


@kernel
def count_characters(points, ends, counts, totals, seen, prefixed, suffixed):
    """Add up how often each code point occurs, and mark in which forms: seen[form, point].

    Form 1 is not at the beginning of a word (if `prefixed`), form 2 at its end (if `suffixed`), form 3 both, 0 neither.
    """
    begin = 0
    for word in range(ends.size):
        end = ends[word]
        for i in range(begin, end):
            point = points[i]
            totals[point] += counts[word]
            if prefixed or suffixed:
                seen[int(prefixed and i > begin) + 2 * int(suffixed and i == end - 1), point] = True
        begin = end


@kernel
def write_symbols(points, ends, ids, prefixed, suffixed, symbols):
    """Rows (id, previous row, next row, word) of the characters that have an id; returns how many."""
    n = begin = 0
    for word in range(ends.size):
        end = ends[word]
        previous = -1
        for i in range(begin, end):
            form = 0
            if prefixed or suffixed:
                form = int(prefixed and i > begin) + 2 * int(suffixed and i == end - 1)
            token = ids[form, points[i]]
            if token < 0:
                continue
            symbols[n, 0], symbols[n, 1], symbols[n, 2], symbols[n, 3] = token, previous, -1, word
            if previous >= 0:
                symbols[previous, 2] = n
            previous = n
            n += 1
        begin = end
    return n
