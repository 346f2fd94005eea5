"""The merges of BPE training: which pair is next, and what its merge does to the counts of its neighbours.

Words are rows of linked symbols: (id, previous row, next row, word), -1 for none. Every pair of ids that was ever seen
has a row in an open-addressing table: (key, count, last node, entry of `touched`), key -1 for a free row. Where a pair
occurs is a linked list of nodes (row of its left symbol, next node); a list holds the occurrences that one merge made,
and the heap's entry for them has its head: (count, key, first node). An entry whose count is out of date when it comes
first goes back with the new one.
"""

from __future__ import annotations

import numpy as np

from breadth.text.bpe_train_kernels import hash_bytes, same_bytes
from breadth.text.scan_kernels import kernel, part

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)

HEAP, NODES, TOUCHED, PAIRS, TOKENS, MERGES, NEEDED = range(7)  # entries of `state`: how much is in use
DONE, PAUSED, NO_ROOM = range(3)


@part
def _find(table, key):
    """The row of a pair, or the free row where it belongs."""
    mask = table.shape[0] - 1
    row = np.int64((np.uint64(key) * _SPREAD) >> _HALF) & mask
    while table[np.uintp(row), 0] != key and table[np.uintp(row), 0] != -1:
        row = (row + 1) & mask
    return row


@part
def _count(table, state, left, right, weight):
    """Add to a pair's count; its row."""
    key = (np.int64(left) << 32) | np.int64(right)
    row = _find(table, key)
    if table[np.uintp(row), 0] == -1:
        table[row, 0], table[row, 1], table[row, 3] = key, 0, 0
        state[PAIRS] += 1
    table[np.uintp(row), 1] += weight
    return row


@part
def _occurs(table, nodes, touched, state, row, place):
    """Append a place to the list that the current merge makes for a pair."""
    node = state[NODES]
    state[NODES] += 1
    nodes[np.uintp(node), 0], nodes[np.uintp(node), 1] = place, -1
    entry = table[np.uintp(row), 3]
    if entry < state[TOUCHED] and touched[np.uintp(entry), 0] == row:
        nodes[np.uintp(table[np.uintp(row), 2]), 1] = node
    else:
        entry = state[TOUCHED]
        state[TOUCHED] += 1
        touched[np.uintp(entry), 0], touched[np.uintp(entry), 1] = row, node
        table[np.uintp(row), 3] = entry
    table[np.uintp(row), 2] = node


@part
def _first(count, key, other_count, other_key):
    """Whether a pair is merged before another: larger count, then smaller pair."""
    return count > other_count or (count == other_count and key < other_key)


@part
def _push(heap, state, count, key, node):
    i = state[HEAP]
    state[HEAP] += 1
    while i > 0:
        parent = (i - 1) >> 1
        if not _first(count, key, heap[np.uintp(parent), 0], heap[np.uintp(parent), 1]):
            break
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[parent, 0], heap[parent, 1], heap[parent, 2]
        i = parent
    heap[i, 0], heap[i, 1], heap[i, 2] = count, key, node


@part
def _drop_first(heap, state):
    """Remove the heap's first entry."""
    n = state[HEAP] - 1
    state[HEAP] = n
    count, key, node = heap[n, 0], heap[n, 1], heap[n, 2]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and _first(heap[child + 1, 0], heap[child + 1, 1], heap[child, 0], heap[child, 1]):
            child += 1
        if not _first(heap[child, 0], heap[child, 1], count, key):
            break
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        i = child
    heap[i, 0], heap[i, 1], heap[i, 2] = count, key, node


@part
def _push_touched(table, touched, heap, state):
    for entry in range(state[TOUCHED]):
        row = touched[entry, 0]
        if table[row, 1] > 0:
            _push(heap, state, table[row, 1], table[row, 0], touched[entry, 1])
    state[TOUCHED] = 0


@kernel
def count_pairs(symbols, counts, table, nodes, touched, heap, state):
    """Count every pair of neighbours and fill the heap."""
    for i in range(symbols.shape[0]):
        after = symbols[i, 2]
        if after >= 0:
            row = _count(table, state, symbols[i, 0], symbols[after, 0], counts[symbols[i, 3]])
            _occurs(table, nodes, touched, state, row, i)
    _push_touched(table, touched, heap, state)


@kernel
def place_pairs(old, table):
    """Move the pairs to a larger, empty table."""
    for i in range(old.shape[0]):
        if old[i, 0] != -1:
            row = _find(table, old[i, 0])
            table[row, 0], table[row, 1], table[row, 3] = old[i, 0], old[i, 1], 0


@part
def _token_slot(spelling, spelling_ends, lookup, begin, end):
    """Slot of the token spelt spelling[begin:end], or the free slot where it belongs."""
    mask = lookup.size - 1
    slot = np.int64(hash_bytes(spelling, begin, end) >> _HALF) & mask
    while lookup[slot] >= 0:
        token = lookup[slot]
        start = spelling_ends[token - 1] if token > 0 else 0
        if spelling_ends[token] - start == end - begin and same_bytes(spelling, begin, spelling, start, end - begin):
            break
        slot = (slot + 1) & mask
    return slot


@kernel
def place_tokens(spelling, spelling_ends, lookup, n):
    """Fill an empty look-up with tokens 0 to n - 1, all different."""
    for token in range(n):
        begin = spelling_ends[token - 1] if token > 0 else 0
        lookup[_token_slot(spelling, spelling_ends, lookup, begin, spelling_ends[token])] = token


@part
def _joined(spelling, spelling_ends, lookup, lengths, prefix, state, left, right):
    """Id of the token that two make: that of the same spelling if there is one, else the next."""
    n = state[TOKENS]
    begin = end = spelling_ends[n - 1]
    for token in (left, right):
        start = spelling_ends[token - 1] if token > 0 else 0
        stop = spelling_ends[token]
        may_have_prefix = end > begin and 0 < prefix.size <= stop - start
        if may_have_prefix and same_bytes(prefix, 0, spelling, start, prefix.size):
            start += prefix.size
        for k in range(start, stop):
            spelling[end] = spelling[k]
            end += 1
    slot = _token_slot(spelling, spelling_ends, lookup, begin, end)
    if lookup[slot] < 0:
        lookup[slot] = n
        spelling_ends[n] = end
        lengths[n] = lengths[left] + lengths[right]
        state[TOKENS] = n + 1
    return lookup[slot]


@part
def _merge_at(i, left, right, joined, lengths, max_length, counts, symbols, table, nodes, touched, state):
    """Merge the pair whose left symbol is row i, if it is still there, and count what changes around it."""
    after = symbols[np.uintp(i), 2]
    if symbols[np.uintp(i), 0] != left or after < 0 or symbols[np.uintp(after), 0] != right:
        return
    weight = counts[symbols[np.uintp(i), 3]]
    joined_length = lengths[joined]
    before, beyond = symbols[np.uintp(i), 1], symbols[np.uintp(after), 2]
    if before >= 0:
        neighbour = symbols[np.uintp(before), 0]
        _count(table, state, neighbour, left, -weight)
        if lengths[neighbour] + joined_length < max_length:
            _occurs(table, nodes, touched, state, _count(table, state, neighbour, joined, weight), before)
    if beyond >= 0:
        neighbour = symbols[np.uintp(beyond), 0]
        _count(table, state, right, neighbour, -weight)
        if lengths[neighbour] + joined_length < max_length:
            _occurs(table, nodes, touched, state, _count(table, state, joined, neighbour, weight), i)
        symbols[np.uintp(beyond), 1] = i
    symbols[np.uintp(i), 0], symbols[np.uintp(i), 2] = joined, beyond
    symbols[np.uintp(after), 0] = -1


@kernel
def merge_pairs(
    symbols, counts, table, nodes, touched, heap, state, spelling, spelling_ends, lookup, lengths, prefix, merges,
    n_tokens, min_frequency, max_length, n_merges,
):  # fmt: skip
    """Merge until there are `n_tokens` tokens, no pair is frequent enough, memory runs out, or n_merges are done.

    Returns DONE, NO_ROOM (state[NEEDED] says for how many occurrences) or PAUSED.
    """
    stop = state[MERGES] + n_merges
    while state[TOKENS] < n_tokens and state[HEAP] > 0:
        count, key, node = heap[0, 0], heap[0, 1], heap[0, 2]
        now = table[_find(table, key), 1]
        if count != now:
            _drop_first(heap, state)
            if now > 0:
                _push(heap, state, now, key, node)
            continue
        if count < min_frequency:
            break
        if state[MERGES] == stop:
            return PAUSED
        left, right = key >> 32, key & 0xFFFFFFFF
        occurrences = 0
        at = node
        while at >= 0:
            occurrences += 1
            at = nodes[np.uintp(at), 1]
        size = spelling_ends[state[TOKENS] - 1]
        for token in (left, right):
            size += spelling_ends[token] - (spelling_ends[token - 1] if token > 0 else 0)
        state[NEEDED] = 2 * occurrences
        if (
            state[NODES] + 2 * occurrences > nodes.shape[0]
            or state[HEAP] + 2 * occurrences > heap.shape[0]
            or 2 * (state[PAIRS] + 4 * occurrences) > table.shape[0]
            or 2 * occurrences > touched.shape[0]
            or size > spelling.size
            or state[MERGES] == merges.shape[0]
        ):
            return NO_ROOM
        _drop_first(heap, state)
        joined = _joined(spelling, spelling_ends, lookup, lengths, prefix, state, left, right)
        merges[state[MERGES], 0], merges[state[MERGES], 1], merges[state[MERGES], 2] = left, right, joined
        state[MERGES] += 1
        while node >= 0:
            place = nodes[np.uintp(node), 0]
            node = nodes[np.uintp(node), 1]
            _merge_at(place, left, right, joined, lengths, max_length, counts, symbols, table, nodes, touched, state)
        _push_touched(table, touched, heap, state)
    return DONE
