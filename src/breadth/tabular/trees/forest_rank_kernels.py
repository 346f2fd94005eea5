"""Kernels of the forest's exact search: the ranks of a column's values, and the rows of a node in order of rank.

Equal values share a rank, 0, 1, ... in the order of the values; missing has all 32 bits set. A column of fewer than
256^d distinct values is sorted by the lowest d bytes of its ranks, and `mask` is those bytes' bits.
"""

import numpy as np
from numba import njit

FEW = 40  # rows up to which sorting by insertion is faster than byte by byte
LOW_HALF = np.uint64(0xFFFFFFFF)

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(cache=True, nogil=True, error_model="numpy")
def rank_column(values, rows, ranks, distinct):
    """Write the ranks of one column and its distinct values, ascending; return how many there are.

    Args: values float32 (m,), sorted, NaN at the end, of rows int64 (m,); ranks uint32 (n,); distinct float32
    (<= m,).
    """
    k = -1
    for i in range(values.size):
        x = values[i]
        if np.isnan(x):
            ranks[rows[i]] = 0xFFFFFFFF
            continue
        if i == 0 or x != values[i - 1]:
            k += 1
            distinct[k] = x
        ranks[rows[i]] = k
    return k + 1


@njit(**_INTERNAL)
def mask_of(n_distinct):
    """Bits of the bytes that tell n_distinct ranks and missing apart."""
    mask = np.int64(255)
    while n_distinct > mask:
        mask = (mask << 8) | 255
    return mask


@njit(**_INTERNAL)
def gather_keys(ranks, rows, lo, hi, pool, first, count, keys):
    """keys[j, i] = rank << 32 | i of row lo + i in column pool[first + j]."""
    for i in range(lo, hi):
        rank_row = ranks[rows[i]]
        for j in range(count):
            keys[j, i - lo] = (np.uint64(rank_row[pool[first + j]]) << np.uint64(32)) | np.uint64(i - lo)


@njit(**_INTERNAL)
def sort_keys(keys, n, mask, spare, starts):
    """Sort keys[:n], rows ascending, by rank; `spare` is as long, `starts` int64 (256,)."""
    if n <= FEW:
        for i in range(1, n):
            key = keys[i]
            k = i
            while k > 0 and keys[k - 1] > key:
                keys[k] = keys[k - 1]
                k -= 1
            keys[k] = key
        return
    source, sink = keys, spare
    shift = np.uint64(32)
    while mask > 0:
        for b in range(256):
            starts[b] = 0
        for i in range(n):
            starts[(source[i] >> shift) & np.uint64(255)] += 1
        before = np.int64(0)
        for b in range(256):
            count = starts[b]
            starts[b] = before
            before += count
        for i in range(n):
            key = source[i]
            digit = (key >> shift) & np.uint64(255)
            sink[starts[digit]] = key
            starts[digit] += 1
        source, sink = sink, source
        shift += np.uint64(8)
        mask >>= 8
    if (shift >> np.uint64(3)) & np.uint64(1):  # an odd number of bytes
        for i in range(n):
            keys[i] = spare[i]
