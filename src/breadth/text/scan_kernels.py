"""Running a pattern's transducer over UTF-8: one step a character and no branch that could be mispredicted."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.text.scan_tables import (
    CUT_HERE,
    CUT_MARK,
    CUT_PREVIOUS,
    END,
    SET_BEFORE,
    SET_BEHIND,
    STATE_SHIFT,
)

kernel = njit(cache=True, nogil=True, error_model="numpy")
part = njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
inlined = njit(
    cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True
)

assert (CUT_MARK, CUT_PREVIOUS, CUT_HERE) == (1, 2, 4)  # `scan` shifts them


@part
def entry_beyond_ascii(data, i, n, table):
    """Entry and length of the character of two to four bytes that begins at i < n.

    `table` has an entry for each of the 2^21 points that four bytes can spell, valid or not; bytes that end too early
    take the last.
    """
    first = np.int64(data[np.uintp(i)])
    length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if i + length > n:
        return table[np.uintp(table.size - 1)], n - i
    point = first & (0xFF >> (length + 1))
    for k in range(1, length):
        point = (point << 6) | (np.int64(data[np.uintp(i + k)]) & 0x3F)
    return table[np.uintp(point)], length


@part
def scan_text(data, i, n, kinds, transducer, ends, k):
    """Write the byte end of every piece of the text data[i:n], i < n, to ends[k:]; returns the next k."""
    state = np.int64(0)
    mark = previous = i
    while i < n:
        byte = data[np.uintp(i)]
        if byte < 0x80:
            kind, length = kinds[np.uintp(byte)], 1
        else:
            kind, length = entry_beyond_ascii(data, i, n, kinds)
        entry = np.int64(transducer[np.uintp(state + kind)])
        ends[np.uintp(k)] = mark
        k += entry & 1
        ends[np.uintp(k)] = previous
        k += (entry >> 1) & 1
        ends[np.uintp(k)] = i
        k += (entry >> 2) & 1
        mark = i if entry & SET_BEFORE else i + length if entry & SET_BEHIND else mark
        previous = i
        i += length
        state = entry >> STATE_SHIFT
    entry = np.int64(transducer[np.uintp(state + END)])
    ends[np.uintp(k)] = mark
    k += entry & 1
    ends[np.uintp(k)] = previous
    k += (entry >> 1) & 1
    ends[np.uintp(k)] = n
    return k + 1


@kernel
def scan(data, bounds, kinds, transducer, ends):
    """Write the byte end of every piece to `ends`, which has room for three more than bytes; returns how many.

    `bounds` are the byte ends of the texts in `data`, none of which a piece crosses; `kinds` and `transducer` are of
    `scan_tables`.
    """
    i = k = 0
    for n in bounds:
        if i < n:
            k = scan_text(data, i, n, kinds, transducer, ends, k)
            i = n
    return k
