"""Encoding words through a cache: a hash table of words that are known, in front of the merges.

A row of the cache is 32 bytes, four uint64: the word (15 bytes at the most, its length in the last byte; of a longer
one its hash, and 255 << 56 | length), then how many ids it has and the ids: up to three in the row itself, more in
`pool`, where the bytes of a longer word follow them. A row whose second entry is 0 is free.
"""

from __future__ import annotations

import numpy as np

from breadth.text.bpe_encode_merge_kernels import (
    BYTE_LEVEL,
    LINEAR,
    NONE,
    merge_long,
    merge_short,
    symbols_of_bytes,
    symbols_of_characters,
)
from breadth.text.bpe_train_kernels import hash_bytes
from breadth.text.scan_kernels import inlined, kernel, part, scan_text
from breadth.text.word_kernels import load_word

_SPREAD, _SPREAD_HIGH = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_LONG = np.uint64(255 << 56)
_SHORT = 15  # bytes that a row holds itself
CACHED = 256  # bytes of the longest word that is kept

_KEEP = np.array([[(1 << 8 * min(n, 8)) - 1, (1 << 8 * max(n - 8, 0)) - 1] for n in range(16)], dtype=np.uint64)

ROWS, POOLED = range(2)  # entries of `used`
DONE, FULL, UNKNOWN = range(3)


@inlined
def _key(data, begin, end):
    """The two uint64 that stand for a word."""
    length = end - begin
    if length > _SHORT:
        return hash_bytes(data, begin, end), _LONG | np.uint64(length)
    if begin + 16 <= data.size:
        low = load_word(data, begin) & _KEEP[np.uintp(length), 0]  # by table: words' lengths cannot be predicted
        high = load_word(data, begin + 8) & _KEEP[np.uintp(length), 1]
    else:
        low = high = np.uint64(0)
        for k in range(length):
            byte = np.uint64(data[np.uintp(begin + k)])
            if k < 8:
                low |= byte << np.uint64(8 * k)
            else:
                high |= byte << np.uint64(8 * (k - 8))
    return low, high | (np.uint64(length) << np.uint64(56))


@part
def _same_long_word(data, begin, length, pool, start):
    """Whether a word's bytes are those in pool from `start`, four an entry."""
    for k in range(length):
        if np.int64(data[np.uintp(begin + k)]) != (np.int64(pool[np.uintp(start + (k >> 2))]) >> (8 * (k & 3))) & 0xFF:
            return False
    return True


@inlined
def _find(data, begin, end, low, high, cache, pool):
    """The row of a word, or the free row where it belongs."""
    mask = cache.shape[0] - 1
    row = np.int64(((low * _SPREAD) ^ (high * _SPREAD_HIGH)) * _SPREAD >> _HALF) & mask
    while True:
        if cache[np.uintp(row), 1] == 0:
            break
        if cache[np.uintp(row), 0] == low and cache[np.uintp(row), 1] == high:
            if high < _LONG:
                break
            start = np.int64(cache[np.uintp(row), 3]) + np.int64(cache[np.uintp(row), 2] & _LOW)
            if _same_long_word(data, begin, end - begin, pool, start):
                break
        row = (row + 1) & mask
    return row


@part
def _keep(data, begin, end, low, high, ids, n, cache, pool, used, row):
    """Write a word to a free row."""
    cache[row, 0], cache[row, 1], cache[row, 2], cache[row, 3] = low, high, np.uint64(n), np.uint64(0)
    used[ROWS] += 1
    if n <= 3 and high < _LONG:
        if n > 0:
            cache[row, 2] |= np.uint64(ids[0]) << _HALF
        if n > 1:
            cache[row, 3] = np.uint64(ids[1])
        if n > 2:
            cache[row, 3] |= np.uint64(ids[2]) << _HALF
        return
    cache[row, 3] = np.uint64(used[POOLED])
    at = used[POOLED]
    for k in range(n):
        pool[at + k] = ids[k]
    at += n
    if high >= _LONG:
        for k in range((end - begin + 3) >> 2):
            four = np.uint64(0)
            for b in range(4):
                if begin + 4 * k + b < end:
                    four |= np.uint64(data[begin + 4 * k + b]) << np.uint64(8 * b)
            pool[at + k] = np.int32(np.int64(four))
        at += (end - begin + 3) >> 2
    used[POOLED] = at


@inlined
def _take(cache, row, pool, high, ids, at):
    """Write the ids of a row to ids[at:]; returns how many."""
    packed = cache[np.uintp(row), 2]
    n = np.int64(packed & _LOW)
    rest = cache[np.uintp(row), 3]
    if n <= 3 and high < _LONG:
        # all three, for the next word to overwrite: how many there are cannot be predicted
        ids[np.uintp(at)] = np.int32(packed >> _HALF)
        ids[np.uintp(at + 1)] = np.int32(rest & _LOW)
        ids[np.uintp(at + 2)] = np.int32(rest >> _HALF)
    else:
        start = np.int64(rest)
        for k in range(n):
            ids[np.uintp(at + k)] = pool[np.uintp(start + k)]
    return n


@kernel
def move_rows(old, cache):
    """Move the rows of a cache to a larger, empty one."""
    mask = cache.shape[0] - 1
    for i in range(old.shape[0]):
        if old[i, 1] != 0:
            row = np.int64(((old[i, 0] * _SPREAD) ^ (old[i, 1] * _SPREAD_HIGH)) * _SPREAD >> _HALF) & mask
            while cache[row, 1] != 0:
                row = (row + 1) & mask
            for k in range(4):
                cache[row, k] = old[i, k]


@kernel
def keep_tokens(spelling, ends, ids, cache, pool, used):
    """Fill a cache with tokens as words of one id each: spelling[ends[t - 1] : ends[t]] has the id ids[t]."""
    begin = 0
    for token in range(ends.size):
        end = ends[token]
        if end > begin:
            low, high = _key(spelling, begin, end)
            row = _find(spelling, begin, end, low, high, cache, pool)
            _keep(spelling, begin, end, low, high, ids[token : token + 1], 1, cache, pool, used, row)
        begin = end


@part
def _merged(data, begin, end, pairs, characters, alphabet, settings, dropout, random, ids, stops, values):
    """Symbols of a word, merged; -1 - place of what has no id. The arrays have room for a symbol a byte."""
    if settings[BYTE_LEVEL]:
        n = symbols_of_bytes(data, begin, end, alphabet, ids, stops)
    else:
        n = symbols_of_characters(data, begin, end, characters, alphabet, settings, ids, stops)
    if n < 2:
        return n
    if n > LINEAR or dropout > 0:
        return merge_long(ids, stops, n, pairs, dropout, random)
    return merge_short(ids, stops, values, n, pairs, NONE)


@part
def _stops_of(ids, n, begin, end, sizes, stops, at):
    """Write where each id ends, from the tokens' sizes; False if they do not add up to the word."""
    stop = begin
    for k in range(n):
        size = sizes[np.uintp(ids[np.uintp(at + k)])]
        if size < 0:
            return n == 1 and _only(stops, at, end)
        stop += size
        stops[np.uintp(at + k)] = stop
    return stop == end or (n == 1 and _only(stops, at, end))


@part
def _only(stops, at, end):
    stops[np.uintp(at)] = end
    return True


@part
def _encode_known(data, ends, n_words, word, n_ids, ids, cache, pool):
    """Write the ids of words from `word` on until one is not in the cache; returns that word and the number of ids."""
    begin = ends[word - 1] if word > 0 else 0
    while word < n_words:
        end = ends[np.uintp(word)]
        if end > begin:
            low, high = _key(data, begin, end)
            row = _find(data, begin, end, low, high, cache, pool)
            if cache[np.uintp(row), 1] == 0:
                break
            n_ids += _take(cache, row, pool, high, ids, n_ids)
            begin = end
        word += 1
    return word, n_ids


@kernel
def encode_words(
    data, ends, kinds, transducer, word, n_ids, ids, stops, cache, pool, used, tokens, tokens_pool, pairs, characters,
    alphabet, sizes, settings, dropout, seed,
):  # fmt: skip
    """Encode words from `word` on; returns (DONE, words, ids), (FULL, next word, ids) or (UNKNOWN, byte, ids).

    With a `transducer`, `data` is one text that is not empty, and its words are first scanned into `ends`, which has
    room for three more than bytes. `ids` has room for two more than bytes. `tokens` is a cache of whole words that are
    tokens whatever merges say, `sizes` the bytes of each token (-1: of no fixed number). `stops` is empty where byte
    ends are not asked for. With dropout no word is kept, and random numbers depend on `seed` and the word's number.
    """
    n_words = ends.size
    if transducer.size > 0:
        n_words = scan_text(data, 0, data.size, kinds, transducer, ends, 0)
    with_ends = stops.size > 0
    if dropout == 0 and not with_ends:  # first without the memory that unknown words take: most short texts have none
        word, n_ids = _encode_known(data, ends, n_words, word, n_ids, ids, cache, pool)
        if word == n_words:
            return DONE, word, n_ids
    short_ids, short_stops = np.empty(CACHED, dtype=np.int32), np.empty(CACHED, dtype=np.int64)
    values = np.empty(LINEAR, dtype=np.int64)
    random = np.zeros(1, dtype=np.uint64)
    while word < n_words:
        if dropout == 0 and not with_ends:
            word, n_ids = _encode_known(data, ends, n_words, word, n_ids, ids, cache, pool)
            if word == n_words:
                break
        begin, end = ends[word - 1] if word > 0 else 0, ends[word]
        word += 1
        if end == begin:
            continue
        n = row = -1
        low, high = _key(data, begin, end)
        if dropout == 0 and end - begin <= CACHED:
            row = _find(data, begin, end, low, high, cache, pool)
            if cache[row, 1] != 0:
                n = _take(cache, row, pool, high, ids, n_ids)
            elif 2 * (used[ROWS] + 1) > cache.shape[0] or used[POOLED] + 2 * CACHED > pool.size:
                return FULL, word - 1, n_ids
        fresh = n < 0
        if fresh and tokens.shape[0] > 1:
            whole = _find(data, begin, end, low, high, tokens, tokens_pool)
            if tokens[whole, 1] != 0:
                n = _take(tokens, whole, tokens_pool, high, ids, n_ids)
        if n < 0 or (with_ends and not _stops_of(ids, n, begin, end, sizes, stops, n_ids)):
            random[0] = seed ^ (np.uint64(word) * _SPREAD_HIGH)
            if end - begin <= CACHED:
                at, merged_stops = short_ids, short_stops
            else:
                at, merged_stops = np.empty(end - begin, dtype=np.int32), np.empty(end - begin, dtype=np.int64)
            n = _merged(
                data, begin, end, pairs, characters, alphabet, settings, dropout, random, at, merged_stops, values
            )
            if n < 0:
                return UNKNOWN, -1 - n, n_ids
            for k in range(n):
                ids[n_ids + k] = at[k]
                if with_ends:
                    stops[n_ids + k] = merged_stops[k]
        if fresh and row >= 0:
            _keep(data, begin, end, low, high, ids[n_ids : n_ids + n], n, cache, pool, used, row)
        n_ids += n
    return DONE, word, n_ids
