"""The QR algorithm on a large Hessenberg matrix: chains of bulges, and early deflation from a window at the end."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.stats.francis_kernels import EPS, PATIENCE, TINY, active_from, francis, move_bulge, shift_pair
from breadth.stats.slab_kernels import LANES, PAD, reflect

SMALL = 64  # rows up to which a block is finished by single sweeps
BULGES = 12  # of a chain, at most
STEP = 24  # rows by which a chain moves at a time
ENOUGH = 0.3  # share of a window's rows whose deflation makes a sweep before the next window needless


@njit(cache=True, nogil=True, error_model="numpy")
def advance(H, R, V, pairs, state, max_sweeps):
    """Work on the last active block of H (n, n) until there is something to do to the basis.

    What H becomes right of the active block and above it is not computed: eigenvalues do not need it. state[0] is the
    row before which the block ends and state[1] the rounds it took; both are brought up to date. To do first: rows
    state[2].. of the basis times V[: state[3], : state[3]]; then state[6] sweeps of reflections R of the rows
    state[4]..state[5]. Returns False if there is nothing left, and sets state[1] to -1 if a block took over max_sweeps
    rounds.
    """
    state[3] = state[6] = 0
    stop = state[0]
    least = EPS if state[1] > PATIENCE else TINY  # the largest entry is about 1
    first = active_from(H, stop, least) if stop > 0 else 0
    while stop - first == 1:
        stop = first
        first = active_from(H, stop, least) if stop > 0 else 0
    if stop == 0:
        state[0] = 0
        return False
    small = stop - first <= SMALL
    size = stop - first if small else min(_window_rows(stop - first), SMALL)
    top = stop - size
    state[1] += 1
    if state[1] > max_sweeps:
        state[1] = -1
        return False
    T, Vt = H[top:stop, top:stop].copy(), np.eye(size)
    if francis(T, Vt, max_sweeps) < 0:
        state[1] = -1
        return False
    spike = 0.0 if small else H[top, top - 1]
    left = 0 if small else rows_left(T, Vt, spike)
    bulges = shifts(T, left, pairs)
    if left < size:
        if left > 0:
            H[top, top - 1] = restored(T, Vt, left, spike)
        elif not small:
            H[top, top - 1] = 0.0
        if not small:
            H[first:top, top:stop] = np.dot(np.ascontiguousarray(H[first:top, top:stop]), Vt.T)
        H[top:stop, top:stop] = T
        V[:size, :size] = Vt
        state[1], state[2], state[3] = 0, top, size
        state[0] = stop = stop - (size - left)
    if small or size - left > ENOUGH * size:
        return True
    first = active_from(H, stop, least)
    if stop - first <= SMALL:
        return True
    if state[1] % 6 == 5:
        pairs[0] = shift_pair(H, stop, True)
        bulges = 1
    chain(H, first, stop, pairs[:bulges], R)
    state[4], state[5], state[6] = first, stop, bulges
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _window_rows(n):
    return 20 if n < 400 else 48 if n < 1500 else 64


@njit(cache=True, nogil=True, error_model="numpy")
def rows_left(T, Vt, spike):
    """Rows of a window that its last blocks, whose coupling spike Vt[k, 0] to the rest is negligible, leave."""
    left = T.shape[0]
    while left > 0:
        k = left - 1
        size = 2 if k > 0 and T[k, k - 1] != 0.0 else 1
        here, coupling = abs(T[k, k]), abs(spike * Vt[k, 0])
        if size == 2:
            here += np.sqrt(abs(T[k, k - 1])) * np.sqrt(abs(T[k - 1, k]))
            coupling = max(coupling, abs(spike * Vt[k - 1, 0]))
        if coupling > max(TINY, EPS * (here if here > 0.0 else abs(spike))):
            break
        left -= size
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def shifts(T, left, pairs):
    """Pairs (s1, s2, im) of eigenvalues of the Schur form T's first `left` rows, from the end; returns how many."""
    found, k, single, waits = 0, left - 1, 0.0, False
    while k >= 0 and found < pairs.shape[0]:
        if k > 0 and T[k, k - 1] != 0.0:
            half = (T[k - 1, k - 1] - T[k, k]) / 2
            pairs[found, :2] = T[k, k] + half
            pairs[found, 2] = np.sqrt(max(-(half * half + T[k - 1, k] * T[k, k - 1]), 0.0))
            found += 1
            k -= 2
            continue
        if waits:
            pairs[found, 0], pairs[found, 1], pairs[found, 2] = single, T[k, k], 0.0
            found += 1
        single, waits = T[k, k], not waits
        k -= 1
    if found == 0 and waits:
        pairs[0, :2], pairs[0, 2] = single, 0.0
        found = 1
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def restored(T, Vt, left, spike):
    """Make the first `left` rows of a window Hessenberg again, and their coupling one entry, which is returned."""
    n = T.shape[0]
    head = spike * Vt[0, 0]
    v = np.zeros(left)
    for c in range(-1, left - 2):
        r = c + 1
        column = spike * Vt[:left, 0] if c < 0 else T[:left, c].copy()
        size = np.abs(column[r:]).max()
        if size == 0.0:
            continue
        v[:] = 0.0
        v[r:] = column[r:] / size
        alpha = -np.copysign(np.sqrt((v * v).sum()), v[r])
        v[r] -= alpha
        beta = 2 / (v * v).sum()
        if c < 0:
            head = alpha * size
        else:
            T[r, c], T[r + 1 : left, c] = alpha * size, 0.0
        for j in range(r, n):
            T[:left, j] -= beta * (v * T[:left, j]).sum() * v
        for i in range(left):
            T[i, :left] -= beta * (v * T[i, :left]).sum() * v
        for j in range(n):
            Vt[:left, j] -= beta * (v * Vt[:left, j]).sum() * v
    return head


@njit(cache=True, nogil=True, error_model="numpy")
def chain(H, first, stop, pairs, R):
    """One sweep of bulges three rows apart through the block first..stop of H; sweep b's reflections go to R[b].

    pairs (bulges, 3) are each bulge's shifts s1, s2 or s1 +- i im; R (bulges, 3, n + 4) is (tau, v, w) by row. The
    chain moves STEP rows within a small window; what it does there is then done to the columns right of the window
    and, turned on its side, to the rows above it, in slabs.
    """
    n_bulges = pairs.shape[0]
    trail = 3 * (n_bulges - 1)
    R[:n_bulges] = 0.0
    slab = np.zeros((trail + STEP + 2 * PAD, LANES))
    for front in range(first, stop - 1 + trail, STEP):
        low, high = max(first, front - trail - 1), min(stop, front + STEP + 3)
        window = H[low:high, low:high].copy()
        for b in range(n_bulges):
            for k in range(max(first, front - 3 * b), min(stop - 1, front - 3 * b + STEP)):
                size = min(3, stop - k)
                start = first - low if k == first else -1
                R[b, 0, k], R[b, 1, k], R[b, 2, k] = move_bulge(
                    window, k - low, start, size, pairs[b, 0], pairs[b, 1], pairs[b, 2]
                )
        H[low:high, low:high] = window
        for j in range(high, stop, LANES):
            turned(H[low:high, j : min(j + LANES, stop)], slab, R, n_bulges, front, first, stop, low)
        for i in range(first, low, LANES):
            turned(H[i : min(i + LANES, low), low:high].T, slab, R, n_bulges, front, first, stop, low)


@njit(cache=True, nogil=True, error_model="numpy")
def turned(part, slab, R, n_bulges, front, first, stop, low):
    """What the chain did since it was at `front` to a part (rows, <= LANES) of the matrix, whose first row is `low`."""
    rows, width = part.shape
    for i in range(rows):
        for j in range(width):
            slab[PAD + i, j] = part[i, j]
    flat = slab.reshape(-1)
    for b in range(n_bulges):
        k, end = max(first, front - 3 * b), min(stop - 1, front - 3 * b + STEP)
        if k < end:
            reflect(flat, R[b], k, end, PAD + k - low)
    for i in range(rows):
        for j in range(width):
            part[i, j] = slab[PAD + i, j]
