"""Numba kernels of the support vector machines: rows of a kernel matrix, steps of SMO, shrinking."""

from __future__ import annotations

import numpy as np
from numba import njit

LINEAR, POLYNOMIAL, RBF, SIGMOID, PRECOMPUTED = range(5)
OUT_OF_STEPS, CONVERGED = 0, 1

_CHUNK = 256  # variables visited at once: their products stay in the first-level cache
_FAR = 1e300  # added to what a variable may not compete with
_TAU = 1e-12  # curvature where the matrix is not positive definite
_LOG2E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the lowest bits
_LANES = 128  # maxima are kept for variables k mod 128, so that many can be compared at a time
_FAST = {"nnan", "nsz", "contract"}  # multiply-adds may be fused; no sum is reordered


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _exponential(x, bits, scale, m):
    """exp(x[:m]) in place, relative error below 1e-12, x <= 0, 0 below float32's smallest; bits and scale share memory.

    x = k ln 2 + r with |r| <= ln(2) / 2 (Cody & Waite), a Taylor polynomial of exp(r), and k put into the exponent.
    """
    for t in range(m):
        v = x[t] if x[t] > -87.5 else -87.5
        scale[t] = v * _LOG2E + _ROUND
    for t in range(m):
        k = scale[t] - _ROUND
        r = (x[t] if x[t] > -87.5 else -87.5) - k * _LN2_HIGH - k * _LN2_LOW
        p = 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        x[t] = p if x[t] > -87.0 else 0.0
    for t in range(m):
        bits[t] = (bits[t] << 52) + 4607182418800017408  # 1023 << 52, the exponent of 1
    for t in range(m):
        x[t] *= scale[t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _kernel_chunk(rows, size, row, first, m, scratch):
    """K(x, z_k) for k = first ... first + m - 1 into out[:m], float64.

    rows is (kind, (gamma, coef0, degree), columns (p, n), their squared lengths (n,), sparse, K, ids); `_take_row` has
    put the row x, of squared length `size`, or its products with all z_k, into scratch; a precomputed `row` is at ids.
    """
    kind, shape, columns, sizes, _, _, ids = rows
    x, products, out, bits, scale = scratch
    if kind == PRECOMPUTED:
        for t in range(m):
            out[t] = row[ids[first + t]]
        return
    if products.shape[0] > 0:
        for t in range(m):
            out[t] = products[first + t]
    else:
        p = columns.shape[0]
        for t in range(m):
            out[t] = 0.0
        f = 0
        while f + 4 <= p:
            a, b, c, d = x[f], x[f + 1], x[f + 2], x[f + 3]
            A, B = columns[f, first : first + m], columns[f + 1, first : first + m]
            C, D = columns[f + 2, first : first + m], columns[f + 3, first : first + m]
            for t in range(m):
                out[t] += (a * A[t] + b * B[t]) + (c * C[t] + d * D[t])
            f += 4
        while f < p:
            a, A = x[f], columns[f, first : first + m]
            for t in range(m):
                out[t] += a * A[t]
            f += 1
    gamma, coef0, degree = shape
    if kind == RBF:
        other = sizes[first : first + m]
        for t in range(m):
            v = gamma * (2.0 * out[t] - size - other[t])
            out[t] = v if v < 0.0 else 0.0
        _exponential(out, bits, scale, m)
    elif kind == POLYNOMIAL:
        whole = int(degree)
        for t in range(m):
            base = gamma * out[t] + coef0
            if whole == degree and whole <= 16:
                power = 1.0
                for _ in range(whole):
                    power *= base
                out[t] = power
            else:
                out[t] = base**degree
    elif kind == SIGMOID:
        for t in range(m):
            out[t] = np.tanh(gamma * out[t] + coef0)


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _take_row(i, rows, scratch):
    """Dense row i into x (p,), or the products of sparse row i with all rows into products (n,)."""
    columns = rows[2]
    values, indices, indptr, column_values, column_rows, column_starts = rows[4]
    x, products = scratch[0], scratch[1]
    if products.shape[0] == 0:
        for f in range(columns.shape[0]):
            x[f] = columns[f, i]
        return
    products[:] = 0.0
    for at in range(indptr[i], indptr[i + 1]):
        v, f = values[at], indices[at]
        for q in range(column_starts[f], column_starts[f + 1]):
            products[column_rows[q]] += v * column_values[q]


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _fetch(i, pinned, rows, cache, slots, scratch):
    """Slot of the cache with variable i's row of K, computed unless it is there; it does not replace `pinned`."""
    slot_of, held, used, clock = slots
    kind, sizes, K, ids = rows[0], rows[3], rows[5], rows[6]
    n, out = sizes.shape[0], scratch[2]
    slot = slot_of[i]
    clock[0] += 1
    if slot < 0:
        slot = 0
        if clock[1] < used.shape[0]:
            slot = clock[1]
            clock[1] += 1
        else:  # the row that was not asked for longest
            oldest = clock[0]
            for s in range(used.shape[0]):
                if used[s] < oldest and s != pinned:
                    oldest, slot = used[s], s
            slot_of[held[slot]] = -1
        held[slot] = i
        slot_of[i] = slot
        _take_row(i, rows, scratch)
        row = K[ids[i] if kind == PRECOMPUTED else 0]
        first = 0
        while first < n:
            m = min(_CHUNK, n - first)
            _kernel_chunk(rows, sizes[i], row, first, m, scratch)
            to = cache[slot, first : first + m]
            for t in range(m):
                to[t] = out[t]
            first += m
    used[slot] = clock[0]
    return slot


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _scratch(rows):
    """Memory for one row and its products, for a chunk of values, and for their exponentials (see `_exponential`)."""
    sparse = rows[4][2].shape[0] > 1
    scale = np.empty(_CHUNK)
    products = np.empty(rows[3].shape[0] if sparse else 0)
    return np.empty(rows[2].shape[0]), products, np.empty(_CHUNK), scale.view(np.int64), scale


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def smo_steps(rows, diagonal, g, beta, lower, upper, barred, cache, slots, tol, steps):
    """Up to `steps` steps of SMO, pairs chosen by second order, for max p.b - b.K b / 2 in a box with sum b fixed.

    g = p - K b is kept. barred (2, n) holds _FAR where a variable cannot rise (row 0) or fall (row 1), else 0.
    cache (rows, n) is float32; slots = (slot of a variable, variable of a slot, time of use, (clock, slots in use)).

    Returns:
        Status, steps taken, and the largest g that may rise and the smallest that may fall.
    """
    clock = slots[3]
    n = g.shape[0]
    scratch = _scratch(rows)
    high, low, score, at = np.empty(_LANES), np.empty(_LANES), np.empty(_LANES), np.empty(_LANES, np.int64)
    if clock[1] == 0:
        cache[0, :] = 0.0  # 0 times what memory held before may be NaN
    t, own, other = 0.0, cache[0], cache[0]
    for step in range(steps + 1):
        # move g by the step, and find the largest that may rise
        high[:] = -_FAR
        at[:] = 0
        for first in range(0, n, _LANES):
            m = min(_LANES, n - first)
            G, B, O, P = (
                g[first : first + m],
                barred[0, first : first + m],
                own[first : first + m],
                other[first : first + m],
            )
            for k in range(m):
                v = G[k] - t * (O[k] - P[k])
                G[k] = v
                v -= B[k]
                at[k] = first if v > high[k] else at[k]
                high[k] = v if v > high[k] else high[k]
        i, best = -1, -_FAR
        for k in range(_LANES):
            if high[k] > best:
                i, best = at[k] + k, high[k]
        if i < 0:  # nothing may rise
            return CONVERGED, step, -_FAR, _FAR
        if step < steps:
            slot = _fetch(i, -1, rows, cache, slots, scratch)
            own = cache[slot]
        # of those that may fall the smallest, and the one that gains most with i
        high[:] = 0.0
        low[:] = _FAR
        at[:] = 0
        for first in range(0, n, _LANES):
            m = min(_LANES, n - first)
            G, B, O, D = (
                g[first : first + m],
                barred[1, first : first + m],
                own[first : first + m],
                diagonal[first : first + m],
            )
            for k in range(m):
                v = G[k] + B[k]
                score[k] = v
                low[k] = v if v < low[k] else low[k]
            for k in range(m):
                d = best - score[k]
                d = d if d > 0.0 else 0.0
                a = diagonal[i] + D[k] - 2.0 * O[k]
                a = a if a > _TAU else _TAU
                score[k] = d * d / a
            for k in range(m):
                at[k] = first if score[k] > high[k] else at[k]
                high[k] = score[k] if score[k] > high[k] else high[k]
        j, most, least = -1, 0.0, _FAR
        for k in range(_LANES):
            least = min(least, low[k])
            if high[k] > most:
                j, most = at[k] + k, high[k]
        if best - least < tol or j < 0:
            return CONVERGED, step, best, least
        if step == steps:
            return OUT_OF_STEPS, step, best, least
        other = cache[_fetch(j, slot, rows, cache, slots, scratch)]
        t = (best - g[j]) / max(diagonal[i] + diagonal[j] - 2.0 * own[j], _TAU)
        room_i, room_j = upper[i] - beta[i], beta[j] - lower[j]
        t = min(t, min(room_i, room_j))
        beta[i] = upper[i] if t == room_i else beta[i] + t
        beta[j] = lower[j] if t == room_j else beta[j] - t
        for k in (i, j):
            barred[0, k] = _FAR if beta[k] >= upper[k] else 0.0
            barred[1, k] = _FAR if beta[k] <= lower[k] else 0.0
    return OUT_OF_STEPS, steps, best, least


@njit(cache=True, nogil=True, error_model="numpy")
def subtract_products(rows, active, beta, start, stop, g):
    """g[start:stop] -= sum over l in `active` of beta[l] K(x_l, .), each K rounded to float32 as in the cache."""
    kind, sizes, K, ids = rows[0], rows[3], rows[5], rows[6]
    scratch = _scratch(rows)
    products, out = scratch[1], scratch[2]
    whole = stop - start if products.shape[0] > 0 else _CHUNK  # products with all rows come at once
    for begin in range(start, stop, whole):
        for l in active:
            _take_row(l, rows, scratch)
            row = K[ids[l] if kind == PRECOMPUTED else 0]
            for first in range(begin, min(begin + whole, stop), _CHUNK):
                m = min(_CHUNK, stop - first)
                _kernel_chunk(rows, sizes[l], row, first, m, scratch)
                for t in range(m):
                    g[first + t] -= beta[l] * np.float32(out[t])


@njit(cache=True, nogil=True, error_model="numpy")
def compact_cache(flat, keep, new_of, n_old, slots):
    """Keep of each cached row the entries at `keep` (ascending), and only rows of variables that are kept.

    flat holds rows of n_old entries, afterwards rows of len(keep); new_of is a variable's new number, or -1.
    """
    slot_of, held, used, clock = slots
    to = 0
    for s in range(clock[1]):
        i = new_of[held[s]]
        if i < 0:
            continue
        for c in range(keep.shape[0]):
            flat[to * keep.shape[0] + c] = flat[s * n_old + keep[c]]
        held[to] = i
        used[to] = used[s]
        to += 1
    slot_of[: keep.shape[0]] = -1
    for s in range(to):
        slot_of[held[s]] = s
    clock[1] = to
