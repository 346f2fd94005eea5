"""Pieces of a boosted tree on binned rows: adding rows to a histogram, finding the best split in it, partitioning."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.machine_kernels import prefetch
from breadth.tabular.trees.options_kernels import categorical_split, monotone_split
from breadth.tabular.trees.workspace import BLOCK

AHEAD = 16  # rows between a prefetch and its use


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def add_rows(words, block, packed, rows, start, stop, in_order, pool, at, stride):
    """Add rows[start:stop] (rows start..stop themselves when `in_order`) to the block's histogram, pool[at:]."""
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
    first = np.uint64(block) * np.uint64(words.shape[1])
    flat = words.reshape(-1)
    for i in range(start, stop):
        if in_order:
            r = np.uint64(i)
        else:
            ahead = np.uint64(rows[min(i + AHEAD, stop - 1)])
            prefetch(flat, np.intp(first + ahead))
            prefetch(packed, np.intp(ahead))
            r = np.uint64(rows[i])
        x = packed[r]
        w = flat[first + r]
        pool[s0 + (w & byte)] += x
        pool[s1 + ((w >> np.uint64(8)) & byte)] += x
        pool[s2 + ((w >> np.uint64(16)) & byte)] += x
        pool[s3 + ((w >> np.uint64(24)) & byte)] += x
        pool[s4 + ((w >> np.uint64(32)) & byte)] += x
        pool[s5 + ((w >> np.uint64(40)) & byte)] += x
        pool[s6 + ((w >> np.uint64(48)) & byte)] += x
        pool[s7 + (w >> np.uint64(56))] += x


@njit(nogil=True, cache=True, error_model="numpy", fastmath=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def ordered_split(pool, at, n_bins, missing, G, H, rows_per_hessian, rules, cumulative, gain, found):
    """Best `code <= bin` split of one feature; both sides are tried for the missing rows.

    gain = GL^2/(HL + l2) + GR^2/(HR + l2), Chen & Guestrin 2016, eq. 7, without the parent's term and the factor 1/2.
    `found` receives gain, feature (by the caller), bin, missing_left, GL, HL.
    """
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
            GL = np.float64(v >> 32) * rules.gradient_unit
            HL = np.float64(v & 0xFFFFFFFF) * rules.hessian_unit
            GR = G - GL
            HR = H - HL
            l = HL + rules.l2
            r = HR + rules.l2
            allowed = (
                (rules.min_hessian <= HL)
                & (rules.min_hessian <= HR)
                & (HL * rows_per_hessian >= rules.min_rows)
                & (HR * rows_per_hessian >= rules.min_rows)
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
            found[4] = np.float64(v >> 32) * rules.gradient_unit
            found[5] = np.float64(v & 0xFFFFFFFF) * rules.hessian_unit


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


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def search_block(
    block,
    pool,
    at,
    n_bins,
    has_missing,
    tried,
    G,
    H,
    weight,
    lower,
    upper,
    rules,
    categorical,
    monotone,
    cumulative,
    gain,
    found,
    found_set,
    best,
    best_set,
):
    """Best split of one leaf among the features of one block, whose histogram is pool[at:]; into `best`."""
    best[0] = -1.0
    rows_per_hessian = weight / H
    for f in range(block * BLOCK, min(block * BLOCK + BLOCK, n_bins.shape[0])):
        if tried[f] == 0:
            continue
        here = at + (f - block * BLOCK) * rules.stride
        missing = has_missing[f] == 1
        is_set = False
        if categorical is not None and categorical[f] == 1:
            is_set = True
            categorical_split(pool, here, n_bins[f], missing, G, H, rows_per_hessian, rules, gain, found, found_set)
        elif monotone is not None:
            monotone_split(
                pool, here, n_bins[f], missing, G, H, rows_per_hessian, rules, monotone[f], lower, upper, found
            )
        else:
            ordered_split(pool, here, n_bins[f], missing, G, H, rows_per_hessian, rules, cumulative, gain, found)
        if found[0] > best[0]:
            found[1] = f
            for k in range(6):
                best[k] = found[k]
            if is_set:
                for k in range(4):
                    best_set[k] = found_set[k]
