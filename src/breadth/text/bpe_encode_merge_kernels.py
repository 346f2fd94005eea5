"""Merging one word: symbols of its bytes or characters, then the pair of lowest rank again and again.

`pairs` is an open-addressing table of rows (left << 32 | right, rank << 32 | joined); a free row is (-1, NONE). A word
is `ids` with `stops`, the byte at which each symbol ends.
"""

from __future__ import annotations

import numpy as np

from breadth.text.bpe_train_kernels import hash_bytes, same_bytes
from breadth.text.scan_kernels import kernel, part

NONE = np.iinfo(np.int64).max
BYTE_LEVEL, PREFIXED, SUFFIXED, BYTE_FALLBACK, UNK, FUSE_UNK = range(6)  # entries of `settings`
LINEAR = 96  # symbols up to which looking through all pairs beats a heap

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_LOW = 0xFFFFFFFF


@part
def _row(pairs, key):
    mask = pairs.shape[0] - 1
    row = np.int64((np.uint64(key) * _SPREAD) >> _HALF) & mask
    while pairs[np.uintp(row), 0] != key and pairs[np.uintp(row), 0] != -1:
        row = (row + 1) & mask
    return row


@part
def _value(pairs, left, right):
    """rank << 32 | joined of a pair; NONE if it does not merge."""
    return pairs[np.uintp(_row(pairs, (np.int64(left) << 32) | np.int64(right))), 1]


@kernel
def place_values(keys, values, pairs):
    """Fill an empty table; of two values for one key the first stays. Returns the index of such a second, else -1."""
    second = -1
    for i in range(keys.size):
        row = _row(pairs, keys[i])
        if pairs[row, 0] == -1:
            pairs[row, 0], pairs[row, 1] = keys[i], values[i]
        else:
            second = i
    return second


@kernel
def splits(spelling, ends, lookup, ranks, keys, values):
    """Every cut of every token into two tokens: its key and the rank and id of the whole; returns how many.

    Token t has the bytes spelling[ends[t - 1] : ends[t]] and the id ranks[t]; with no room it only counts.
    """
    mask = lookup.size - 1
    n = begin = 0
    parts = np.empty(2, dtype=np.int64)
    for token in range(ends.size):
        end = ends[token]
        for cut in range(begin + 1, end):
            for side in range(2):
                first, last = (begin, cut) if side == 0 else (cut, end)
                slot = np.int64(hash_bytes(spelling, first, last) >> _HALF) & mask
                parts[side] = -1
                while lookup[slot] >= 0:
                    other = lookup[slot]
                    start = ends[other - 1] if other > 0 else 0
                    length = last - first
                    if ends[other] - start == length and same_bytes(spelling, first, spelling, start, length):
                        parts[side] = ranks[other]
                        break
                    slot = (slot + 1) & mask
                if parts[side] < 0:
                    break
            if parts[0] >= 0 and parts[1] >= 0:
                if n < keys.size:
                    keys[n] = (parts[0] << 32) | parts[1]
                    values[n] = (ranks[token] << 32) | ranks[token]
                n += 1
        begin = end
    return n


@part
def symbols_of_bytes(data, begin, end, alphabet, ids, stops):
    """Ids of a word's bytes; -1 - place of a byte that has none."""
    for i in range(begin, end):
        token = alphabet[np.uintp(data[np.uintp(i)])]
        if token < 0:
            return -1 - i
        ids[np.uintp(i - begin)], stops[np.uintp(i - begin)] = token, i + 1
    return end - begin


@part
def symbols_of_characters(data, begin, end, characters, alphabet, settings, ids, stops):
    """Ids of a word's characters, of their bytes or of the unknown token; -1 - place of a character that has none.

    `characters` is a table like `pairs` from form << 32 | code point to an id: form 1 with the prefix of a symbol that
    is not the first, form 2 with the suffix of the last, form 3 with both.
    """
    n = 0
    i = begin
    after_unknown = False
    while i < end:
        first = np.int64(data[np.uintp(i)])
        length = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        length = min(length, end - i)
        point = first if length == 1 else first & (0xFF >> (length + 1))
        for k in range(1, length):
            point = (point << 6) | (np.int64(data[np.uintp(i + k)]) & 0x3F)
        form = (1 if settings[PREFIXED] and i > begin else 0) + (2 if settings[SUFFIXED] and i + length == end else 0)
        token = characters[np.uintp(_row(characters, (np.int64(form) << 32) | point)), 1]
        if token != NONE:
            ids[n], stops[n] = token, i + length
            n += 1
            after_unknown = False
        else:
            has_bytes = settings[BYTE_FALLBACK] != 0
            for k in range(length):
                has_bytes = has_bytes and alphabet[data[i + k]] >= 0
            if has_bytes:
                for k in range(length):
                    ids[n], stops[n] = alphabet[data[i + k]], i + k + 1
                    n += 1
                after_unknown = False
            elif settings[UNK] < 0:
                return -1 - i
            else:
                if not (after_unknown and settings[FUSE_UNK]):
                    n += 1
                ids[n - 1], stops[n - 1] = settings[UNK], i + length
                after_unknown = True
        i += length
    return n


@part
def merge_short(ids, stops, values, n, pairs, below):
    """Merge in place, looking through all pairs each time, those of value under `below`; returns how many are left."""
    for t in range(n - 1):
        values[np.uintp(t)] = _value(pairs, ids[np.uintp(t)], ids[np.uintp(t + 1)])
    while n > 1:
        best, at = below, -1
        for t in range(n - 1):
            if values[np.uintp(t)] < best:
                best, at = values[np.uintp(t)], t
        if at < 0:
            break
        ids[np.uintp(at)], stops[np.uintp(at)] = best & _LOW, stops[np.uintp(at + 1)]
        n -= 1
        for t in range(at + 1, n):
            ids[np.uintp(t)] = ids[np.uintp(t + 1)]
            stops[np.uintp(t)] = stops[np.uintp(t + 1)]
            values[np.uintp(t)] = values[np.uintp(t + 1)]
        if at + 1 < n:
            values[np.uintp(at)] = _value(pairs, ids[np.uintp(at)], ids[np.uintp(at + 1)])
        if at > 0:
            values[np.uintp(at - 1)] = _value(pairs, ids[np.uintp(at - 1)], ids[np.uintp(at)])
    return n


@part
def _push(heap, n, key):
    i = n
    while i > 0:
        parent = (i - 1) >> 1
        if heap[np.uintp(parent)] <= key:
            break
        heap[np.uintp(i)] = heap[np.uintp(parent)]
        i = parent
    heap[np.uintp(i)] = key
    return n + 1


@part
def _drop_first(heap, n):
    n -= 1
    key = heap[np.uintp(n)]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and heap[np.uintp(child + 1)] < heap[np.uintp(child)]:
            child += 1
        if heap[np.uintp(child)] >= key:
            break
        heap[np.uintp(i)] = heap[np.uintp(child)]
        i = child
    heap[np.uintp(i)] = key
    return n


@part
def _uniform(random):
    """The next number of splitmix64, in [0, 1)."""
    random[0] += _SPREAD
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@part
def merge_long(ids, stops, n, pairs, dropout, random):
    """Merge in place with a heap of (rank, place) and linked symbols; returns how many are left.

    With dropout, each time that a pair comes first it is passed over with that probability, until the next merge.
    """
    after, before = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    heap = np.empty(3 * n, dtype=np.int64)
    passed = np.empty(3 * n if dropout > 0 else 0, dtype=np.int64)
    size = n_passed = 0
    for t in range(n):
        after[t], before[t] = t + 1, t - 1
        value = _value(pairs, ids[t], ids[t + 1]) if t + 1 < n else NONE
        if value != NONE:
            size = _push(heap, size, (value & ~_LOW) | t)
    while size > 0:
        first = heap[0]
        size = _drop_first(heap, size)
        t = first & _LOW
        following = after[np.uintp(t)]
        if ids[np.uintp(t)] < 0 or following >= n:
            continue
        value = _value(pairs, ids[np.uintp(t)], ids[np.uintp(following)])
        if value == NONE or value >> 32 != first >> 32:  # of a pair that is no more
            continue
        if dropout > 0 and _uniform(random) < dropout:
            passed[n_passed] = first
            n_passed += 1
            continue
        while n_passed > 0:
            n_passed -= 1
            size = _push(heap, size, passed[n_passed])
        ids[np.uintp(t)], stops[np.uintp(t)] = value & _LOW, stops[np.uintp(following)]
        ids[np.uintp(following)] = -1
        beyond = after[np.uintp(following)]
        after[np.uintp(t)] = beyond
        if beyond < n:
            before[np.uintp(beyond)] = t
            value = _value(pairs, ids[np.uintp(t)], ids[np.uintp(beyond)])
            if value != NONE:
                size = _push(heap, size, (value & ~_LOW) | t)
        previous = before[np.uintp(t)]
        if previous >= 0:
            value = _value(pairs, ids[np.uintp(previous)], ids[np.uintp(t)])
            if value != NONE:
                size = _push(heap, size, (value & ~_LOW) | np.int64(previous))
    left = t = 0
    while t < n:
        ids[np.uintp(left)], stops[np.uintp(left)] = ids[np.uintp(t)], stops[np.uintp(t)]
        left += 1
        t = np.int64(after[np.uintp(t)])
    return left


@kernel
def parents(spelling, ends, ranks, alphabet, pairs, found):
    """The two tokens that each token is merged from: found[t] = (left, right), or (-1, -1) where there are not two.

    Token t of id ranks[t] is merged from its bytes by pairs of lower rank only.
    """
    begin = 0
    longest = 0
    for end in ends:
        longest = max(longest, end - begin)
        begin = end
    ids, stops = np.empty(longest, dtype=np.int32), np.empty(longest, dtype=np.int64)
    values = np.empty(longest, dtype=np.int64)
    begin = 0
    for token in range(ends.size):
        end = ends[token]
        found[token, 0] = found[token, 1] = -1
        n = symbols_of_bytes(spelling, begin, end, alphabet, ids, stops)
        if n > 1:
            n = merge_short(ids, stops, values, n, pairs, ranks[token] << 32)
            if n == 2:
                found[token, 0], found[token, 1] = ids[0], ids[1]
        begin = end
