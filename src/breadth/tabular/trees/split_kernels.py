"""Pieces of a boosted tree on binned rows: adding rows to a histogram, finding the best split in it, partitioning.

`grow_tree` calls `add_rows` and a search by address (see `pointer_kernels.py`): each is compiled once, by itself, and a
search that a fit does not need is not compiled at all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.machine_kernels import prefetch
from breadth.tabular.trees.workspace import BLOCK

AHEAD = 16  # rows between a prefetch and its use


def add_rows(words, first, packed, rows, start, stop, in_order, pool, at, stride):
    """Add rows[start:stop] (rows start..stop themselves when `in_order`) to a block's histogram, pool[at:].

    words[first:] are the block's.
    """
    byte = np.uint64(255)
    s0 = np.uint64(at)
    step = np.uint64(stride)
    s1 = s0 + step
    s2 = s1 + step
    s3 = s2 + step
    s4 = s3 + step
    s5 = s4 + step
    s6 = s5 + step
    s7 = s6 + step
    block = np.uint64(first)
    for i in range(start, stop):
        if in_order:
            r = np.uint64(i)
        else:
            ahead = np.uint64(rows[min(i + AHEAD, stop - 1)])
            prefetch(words, np.intp(block + ahead))
            prefetch(packed, np.intp(ahead))
            r = np.uint64(rows[i])
        x = packed[r]
        w = words[block + r]
        pool[s0 + (w & byte)] += x
        pool[s1 + ((w >> np.uint64(8)) & byte)] += x
        pool[s2 + ((w >> np.uint64(16)) & byte)] += x
        pool[s3 + ((w >> np.uint64(24)) & byte)] += x
        pool[s4 + ((w >> np.uint64(32)) & byte)] += x
        pool[s5 + ((w >> np.uint64(40)) & byte)] += x
        pool[s6 + ((w >> np.uint64(48)) & byte)] += x
        pool[s7 + (w >> np.uint64(56))] += x


@njit(nogil=True, cache=True, error_model="numpy", fastmath=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def ordered_split(pool, at, n_bins, missing, G, H, rows_per_hessian, limits, cumulative, gain, found):
    """Best `code <= bin` split of one feature; both sides are tried for the missing rows.

    gain = GL^2/(HL + l2) + GR^2/(HR + l2), Chen & Guestrin 2016, eq. 7, without the parent's term and the factor 1/2.
    `found` receives gain, feature (by the caller), bin, missing_left, GL, HL.
    """
    gradient_unit = limits[0]
    hessian_unit = limits[1]
    min_rows = limits[2]
    min_hessian = limits[3]
    l2 = limits[4]
    total = np.int64(0)
    for b in range(n_bins):
        total += pool[at + b]
        cumulative[b] = total
    absent = pool[at + n_bins] if missing else np.int64(0)
    found[0] = -1.0
    for missing_left in range(2 if missing else 1):
        extra = absent if missing_left == 1 else np.int64(0)
        stop = n_bins if missing and missing_left == 0 else n_bins - 1  # the last one: all that is present | missing
        for b in range(stop):
            v = cumulative[b] + extra
            GL = np.float64(v >> 32) * gradient_unit
            HL = np.float64(v & 0xFFFFFFFF) * hessian_unit
            GR = G - GL
            HR = H - HL
            l = HL + l2
            r = HR + l2
            allowed = (
                (min_hessian <= HL)
                & (min_hessian <= HR)
                & (HL * rows_per_hessian >= min_rows)
                & (HR * rows_per_hessian >= min_rows)
            )
            gain[b] = (GL * GL * r + GR * GR * l) / (l * r) if allowed else -1.0
        highest = -1.0
        for b in range(stop):
            highest = max(highest, gain[b])
        if highest > found[0]:
            best = 0
            while gain[best] != highest:
                best += 1
            v = cumulative[best] + extra
            found[0] = highest
            found[2] = best
            found[3] = missing_left
            found[4] = np.float64(v >> 32) * gradient_unit
            found[5] = np.float64(v & 0xFFFFFFFF) * hessian_unit


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition(codes, rows, start, stop, in_order, bin, missing_code, left, right):
    """Write rows[start:stop] to `left` or `right` from `start` on, stably and without a branch; count the left ones."""
    l = start
    r = start
    for i in range(start, stop):
        row = np.uint32(i) if in_order else rows[i]
        code = np.int64(codes[row])
        goes_left = np.int64(code <= bin) | np.int64(code == missing_code)
        left[l] = row
        right[r] = row
        l += goes_left
        r += 1 - goes_left
    return l - start


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition_by_set(codes, rows, start, stop, in_order, category_set, left, right):
    """`partition` with a set of codes instead of a threshold."""
    l = start
    r = start
    for i in range(start, stop):
        row = np.uint32(i) if in_order else rows[i]
        code = np.uint64(codes[row])
        goes_left = np.int64((category_set[code >> np.uint64(6)] >> (code & np.uint64(63))) & np.uint64(1))
        left[l] = row
        right[r] = row
        l += goes_left
        r += 1 - goes_left
    return l - start


def search_ordered(
    block, pool, at, stride, n_bins, has_missing, tried, kind, leaf, limits, cumulative, gain, found, found_set, best,
    best_set,
):  # fmt: skip
    """Best split of one leaf among the features of one block, whose histogram is pool[at:]; into `best`."""
    best[0] = -1.0
    rows_per_hessian = leaf[2] / leaf[1]
    for f in range(block * BLOCK, min(block * BLOCK + BLOCK, n_bins.shape[0])):
        if tried[f] == 0:
            continue
        here = at + (f - block * BLOCK) * stride
        missing = has_missing[f] == 1
        ordered_split(
            pool, here, n_bins[f], missing, leaf[0], leaf[1], rows_per_hessian, limits, cumulative, gain, found
        )
        if found[0] > best[0]:
            found[1] = f
            for k in range(6):
                best[k] = found[k]
