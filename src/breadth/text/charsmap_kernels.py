"""Kernels of SentencePiece's normalisation: the longest rule of a compiled character map at each place, then spaces.

The map is a Darts double array of little-endian uint32: bits 0-7 and 31 a label, bit 8 "a key ends here", bits 10-30 an
offset that bit 9 shifts left by 8; a value is in the unit at the offset itself, without its top bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.text.trie_kernels import longest_prefix
from breadth.text.unigram_kernels import char_length

_LABEL = np.uint32(0x800000FF)
_LEAF = np.uint32(0x100)
_VALUE = np.uint32(0x7FFFFFFF)
MALFORMED = np.int64(-2)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _offset(unit):
    return (unit >> np.uint32(10)) << ((unit & np.uint32(0x200)) >> np.uint32(6))


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _longest_rule(units, data, start, stop):
    """Where the longest key along data[start:stop] ends, and its value: -1 without one, MALFORMED outside units."""
    end = start
    value = np.int64(-1)
    if units.shape[0] == 0:
        return end, value
    at = np.int64(_offset(units[0]))
    for i in range(start, stop):
        c = np.uint32(data[i])
        at ^= np.int64(c)
        if at >= units.shape[0]:
            return start, MALFORMED
        unit = units[at]
        if (unit & _LABEL) != c:
            break
        at ^= np.int64(_offset(unit))
        if at >= units.shape[0]:
            return start, MALFORMED
        if (unit & _LEAF) != 0:
            value = np.int64(units[at] & _VALUE)
            end = i + 1
    return end, value


@njit(cache=True, nogil=True, error_model="numpy")
def plain_bytes(units):
    """For each byte, whether no rule begins with it when a byte below 128 or nothing follows it."""
    plain = np.zeros(256, np.bool_)
    data = np.zeros(2, np.uint8)
    for c in range(128):
        data[0] = c
        _, value = _longest_rule(units, data, 0, 1)
        plain[c] = value == -1 and c != 0
        for follower in range(128):
            data[1] = follower
            _, value = _longest_rule(units, data, 0, 2)
            plain[c] &= value == -1
    return plain


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _grown(out, source, room):
    """The same arrays with room for this many bytes; source stays empty if it is."""
    out2 = np.empty(room, np.uint8)
    for i in range(out.shape[0]):
        out2[i] = out[i]
    source2 = np.empty(room if source.shape[0] > 0 else 0, np.int64)
    for i in range(source.shape[0]):
        source2[i] = source[i]
    return out2, source2


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _put(out, source, m, byte, space, i, tracked):
    """Write a byte, or what a space is written as, at m; returns the new m."""
    if byte == 32:
        for j in range(space.shape[0]):
            out[m] = space[j]
            if tracked:
                source[m] = i
            m += 1
        return m
    out[m] = byte
    if tracked:
        source[m] = i
    return m + 1


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _replacement(data, i, units, blob, plain, symbols):
    """What stands at byte i: (end, value, length). It is data[i:end], or blob[value:][:length] if value >= 0."""
    n = data.shape[0]
    c = data[i]
    if plain[c] and (i + 1 == n or data[i + 1] < 128):
        return i + 1, np.int64(-1), np.int64(1)
    if symbols.shape[0] > 0:
        state, end = longest_prefix(symbols, np.int64(0), data, i, n)
        if state >= 0:
            return end, np.int64(-1), end - i
    end, value = _longest_rule(units, data, i, n)
    if value == MALFORMED or value >= blob.shape[0]:
        return i, MALFORMED, np.int64(0)
    if value < 0:
        end = min(i + char_length(c), n)
        return end, value, end - i
    length = np.int64(0)
    while blob[value + length] != 0:
        length += 1
    return end, value, length


@njit(cache=True, nogil=True, error_model="numpy")
def normalise_bytes(data, units, blob, plain, symbols, prefix, suffix, squeeze, space, tracked):
    """Apply the rules to UTF-8, then treat spaces.

    units, blob: the double array, and the replacements, each ended by a NUL byte. plain: see `plain_bytes`.
    symbols: trie unit of byte strings that no rule may touch.
    prefix, suffix: add a space before, or after, a text that does not consist of spaces.
    squeeze: drop spaces at both ends, and after a space. space: what a space is written as.

    Returns bytes, the byte of `data` whose place each of them takes (if tracked), and -1, or the byte at which the map
    is malformed.
    """
    n = data.shape[0]
    n_space = space.shape[0]
    out = np.empty(n + (n >> 1) + 64, np.uint8)
    source = np.empty(out.shape[0] if tracked else 0, np.int64)
    m = np.int64(0)
    i = np.int64(0)
    while squeeze and i < n:
        end, value, length = _replacement(data, i, units, blob, plain, symbols)
        if length != 1 or (blob[value] if value >= 0 else data[i]) != 32:
            break
        i = end
    if i == n:
        return out[:0], source[:0], np.int64(-1)
    if prefix:
        m = _put(out, source, m, np.uint8(32), space, i, tracked)
    after_space = squeeze
    while i < n:
        # a run of bytes that stand for themselves, all but spaces: no call, no growth
        stop = min(n, i + (out.shape[0] - m))
        while i < stop:
            c = data[i]
            if c == 32 or not plain[c] or (i + 1 < n and data[i + 1] >= 128):
                break
            out[m] = c
            if tracked:
                source[m] = i
            m += 1
            i += 1
            after_space = False
        if i == n:
            break
        if m + n_space + 1 > out.shape[0]:
            out, source = _grown(out, source, 2 * out.shape[0])
        if data[i] == 32 and plain[32] and (i + 1 == n or data[i + 1] < 128):
            if not after_space:
                m = _put(out, source, m, np.uint8(32), space, i, tracked)
                after_space = squeeze
            i += 1
            continue
        end, value, length = _replacement(data, i, units, blob, plain, symbols)
        if value == MALFORMED:
            return out[:0], source[:0], i
        if m + n_space * length > out.shape[0]:
            out, source = _grown(out, source, 2 * out.shape[0] + n_space * length)
        k = np.int64(0)
        while after_space and k < length and (blob[value + k] if value >= 0 else data[i + k]) == 32:
            k += 1
        if k < length:
            after_space = squeeze and (blob[value + length - 1] if value >= 0 else data[end - 1]) == 32
        while k < length:
            m = _put(out, source, m, blob[value + k] if value >= 0 else data[i + k], space, i, tracked)
            k += 1
        i = end
    trailing = squeeze
    while trailing and m >= n_space:
        for j in range(n_space):
            trailing &= out[m - n_space + j] == space[j]
        if trailing:
            m -= n_space
    if suffix:
        if m + n_space > out.shape[0]:
            out, source = _grown(out, source, m + n_space)
        m = _put(out, source, m, np.uint8(32), space, n - 1, tracked)
    return out[:m], source[: m if tracked else 0], np.int64(-1)
