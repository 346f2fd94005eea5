"""Pieces of a boosted tree on binned rows: adding rows to a histogram, finding the best split in it, partitioning.

`grow_tree` calls a row adder and a search by address (see `pointer_kernels.py`): each is compiled once, by itself, and
a search that a fit does not need is not compiled at all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.machine_kernels import prefetch

AHEAD = np.uint64(32)  # rows between a prefetch and its use
ORDERED = {"nnan", "nsz"}  # no other liberty: splits that part the rows alike must tie to the bit


def row_adder_of(lanes):
    """`add_rows` for words of `lanes` codes: a constant, so that the loops over them unroll."""

    def add_rows(words, first, packed, rows, start, stop, in_order, pool, at, stride):
        """Add rows[start:stop] (rows start..stop themselves when `in_order`) to a group's histogram, pool[at:].

        Row r's codes are words[first + 2 r] and the word after it; packed[i] is the gradient of rows[i]. Indices are
        unsigned: Python's negative ones would cost a test each.
        """
        byte = np.uint64(255)
        one = np.uint64(1)
        step = np.uint64(stride)
        base = np.uint64(at)
        group = np.uint64(first)
        last = np.uint64(stop - 1)
        for i in range(np.uint64(start), np.uint64(stop)):
            if in_order:
                r = i
            else:
                ahead = np.uint64(rows[min(i + AHEAD, last)])
                prefetch(words, np.intp(group + ahead + ahead))
                r = np.uint64(rows[i])
            x = packed[i]
            v = words[group + r + r]
            w = words[group + r + r + one]
            for k in range(lanes):
                shift = np.uint64(8 * k)
                pool[base + np.uint64(k) * step + ((v >> shift) & byte)] += x
                pool[base + np.uint64(lanes + k) * step + ((w >> shift) & byte)] += x

    return add_rows


@njit(nogil=True, cache=True, error_model="numpy", fastmath=ORDERED, no_cpython_wrapper=True, no_cfunc_wrapper=True)
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
    first = np.uint64(at)
    total = np.int64(0)
    for b in range(np.uint64(n_bins)):
        total += pool[first + b]
        cumulative[b] = total
    absent = pool[first + np.uint64(n_bins)] if missing else np.int64(0)
    found[0] = -1.0
    for missing_left in range(2 if missing else 1):
        extra = absent if missing_left == 1 else np.int64(0)
        stop = np.uint64(n_bins if missing and missing_left == 0 else n_bins - 1)  # the last: all present | missing
        for b in range(stop):
            v = cumulative[b] + extra
            GL = np.float64(np.int32(v >> 32)) * gradient_unit  # from int32: AVX converts four at once
            HL = np.float64(np.int32(v)) * hessian_unit
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
            best = np.uint64(0)
            while gain[best] != highest:
                best += np.uint64(1)
            v = cumulative[best] + extra
            found[0] = highest
            found[2] = best
            found[3] = missing_left
            found[4] = np.float64(v >> 32) * gradient_unit
            found[5] = np.float64(v & 0xFFFFFFFF) * hessian_unit


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition(codes, rows, start, stop, in_order, bin, missing_code, left, right):
    """Write rows[start:stop] to `left` or `right` from `start` on, stably and without a branch; count the left ones."""
    l = np.uint64(start)
    r = l
    last = np.uint8(bin)
    for i in range(l, np.uint64(stop)):
        row = np.uint32(i) if in_order else rows[i]
        code = codes[row]
        goes_left = np.uint64((code <= last) | (np.int64(code) == missing_code))
        left[l] = row
        right[r] = row
        l += goes_left
        r += np.uint64(1) - goes_left
    return np.int64(l) - start


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition_by_set(codes, rows, start, stop, in_order, category_set, left, right):
    """`partition` with a set of codes instead of a threshold."""
    l = np.uint64(start)
    r = l
    for i in range(l, np.uint64(stop)):
        row = np.uint32(i) if in_order else rows[i]
        code = np.uint64(codes[row])
        goes_left = (category_set[code >> np.uint64(6)] >> (code & np.uint64(63))) & np.uint64(1)
        left[l] = row
        right[r] = row
        l += goes_left
        r += np.uint64(1) - goes_left
    return np.int64(l) - start


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def put_rows(source, start, n, rows, to, packed, ordered, gather):
    """rows[to : to + n] = source[start : start + n]; with `gather` their gradients to `ordered` at the same places."""
    shift = np.uint64(start - to)
    for i in range(np.uint64(to), np.uint64(to + n)):
        row = source[i + shift]
        rows[i] = row
        if gather:
            ordered[i] = packed[row]


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def put_leaf(rows, start, stop, first, last, leaf, leaf_of_row):
    """leaf_of_row[r] = leaf for the r of rows[start:stop], ascending, with first <= r < last.

    By row and not by place in `rows`, so that no two threads write to one cache line.
    """
    lo = start
    hi = stop
    while lo < hi:
        middle = (lo + hi) >> 1
        if rows[middle] < first:
            lo = middle + 1
        else:
            hi = middle
    for i in range(np.uint64(lo), np.uint64(stop)):
        row = rows[i]
        if row >= last:
            break
        leaf_of_row[row] = leaf


def search_ordered(
    group, width, pool, at, stride, n_bins, has_missing, tried, kind, leaf, limits, cumulative, gain, found, found_set,
    best, best_set,
):  # fmt: skip
    """Best split of one leaf among the `width` features of one group, whose histogram is pool[at:]; into `best`."""
    best[0] = -1.0
    rows_per_hessian = leaf[2] / leaf[1]
    for f in range(group * width, min(group * width + width, n_bins.shape[0])):
        if tried[f] == 0:
            continue
        here = at + (f - group * width) * stride
        missing = has_missing[f] == 1
        ordered_split(
            pool, here, n_bins[f], missing, leaf[0], leaf[1], rows_per_hessian, limits, cumulative, gain, found
        )
        if found[0] > best[0]:
            found[1] = f
            for k in range(6):
                best[k] = found[k]
