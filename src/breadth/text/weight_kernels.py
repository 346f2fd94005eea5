"""Kernels that turn counts into weights, and terms into hashed columns."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

NO_NORM, L1, L2, MAX = 0, 1, 2, 3


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(data, indices, indptr, idf, sublinear, norm):
    """Weigh the counts of a compressed sparse row matrix in place: 1 + log count, times idf, each row to length 1.

    idf: weight of each column, or no entry for none. norm: NO_NORM, L1, L2 or MAX; a row of zeros stays.
    """
    for r in range(indptr.size - 1):
        total = 0.0
        for i in range(indptr[r], indptr[r + 1]):
            x = np.float64(data[i])
            if sublinear:
                x = math.log(x) + 1.0
            if idf.size:
                x *= idf[indices[i]]
            data[i] = x
            if norm == L2:
                total += x * x
            elif norm == L1:
                total += abs(x)
            elif norm == MAX:
                total = max(total, abs(x))
        if norm == NO_NORM or total == 0.0:
            continue
        if norm == L2:
            total = math.sqrt(total)
        for i in range(indptr[r], indptr[r + 1]):
            data[i] /= total


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _rotate(x, bits):
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


@njit(cache=True, nogil=True, error_model="numpy")
def murmur3(data, ends, out):
    """Write the signed 32-bit MurmurHash3 (x86, seed 0) of each byte string data[ends[i - 1]:ends[i]]."""
    c1, c2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
    start = 0
    for s in range(ends.size):
        end = ends[s]
        h = np.uint32(0)
        at = start
        while at + 4 <= end:
            k = np.uint32(data[at]) | np.uint32(data[at + 1]) << np.uint32(8)
            k |= np.uint32(data[at + 2]) << np.uint32(16) | np.uint32(data[at + 3]) << np.uint32(24)
            h ^= _rotate(np.uint32(k * c1), 15) * c2
            h = np.uint32(_rotate(np.uint32(h), 13) * np.uint32(5) + np.uint32(0xE6546B64))
            at += 4
        k = np.uint32(0)
        for i in range(end - at):
            k |= np.uint32(data[at + i]) << np.uint32(8 * i)
        h ^= np.uint32(_rotate(np.uint32(k * c1), 15) * c2)
        h ^= np.uint32(end - start)
        h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        h ^= h >> np.uint32(16)
        out[s] = np.int32(h)
        start = end
