"""The QL algorithm with implicit shifts on a symmetric tridiagonal matrix."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.stats.slab_kernels import PAD

EPS = 2.220446049250313e-16
TINY = 1e-300  # of a matrix whose largest entry is 1
PATIENCE = 20  # sweeps after which rounding of the whole matrix, not of the neighbours, is what is negligible


@njit(cache=True, nogil=True, error_model="numpy")
def ql_sweeps(d, e, state, C, S, spans, max_sweeps):
    """Sweeps on the matrix of diagonal d (n,) and subdiagonal e (n,), in place, until done or C, S are full.

    state holds the rows whose eigenvalues are found already and the sweeps the next one took so far, and is brought up
    to date. Sweep t turns rows k, k + 1 for k = spans[t, 1] - 1, ..., spans[t, 0] by [c -s; s c], kept at [t, k + PAD]
    of C and S (sweeps, n + 2 PAD). Wilkinson's shift is the eigenvalue of the first two by two block that lies nearer
    its first entry. Returns sweeps taken, or -1 if an eigenvalue took over max_sweeps.
    """
    n = d.shape[0]
    first, since, t = state[0], state[1], 0
    C[:] = 1.0
    S[:] = 0.0
    while first < n - 1:
        stop = first
        while stop < n - 1:
            size = abs(e[stop])
            least = EPS if since > PATIENCE else max(TINY, EPS * np.sqrt(abs(d[stop])) * np.sqrt(abs(d[stop + 1])))
            if size <= least:
                e[stop] = 0.0
                break
            stop += 1
        if stop == first:
            first += 1
            since = 0
            continue
        if t == C.shape[0]:
            break
        if since == max_sweeps:
            return -1
        since += 1
        g = (d[first + 1] - d[first]) / (2 * e[first])
        r = np.hypot(g, 1.0)
        g = d[stop] - d[first] + e[first] / (g + np.copysign(r, g))
        c, s, p = 1.0, 1.0, 0.0
        for k in range(stop - 1, first - 1, -1):
            f, b = s * e[k], c * e[k]
            r = np.sqrt(f * f + g * g)
            e[k + 1] = r
            if r == 0.0:
                c, s = 1.0, 0.0
            else:
                c, s = g / r, f / r
            g = d[k + 1] - p
            r = (d[k] - g) * s + 2 * c * b
            p = s * r
            d[k + 1] = g + p
            g = c * r - b
            C[t, k + PAD], S[t, k + PAD] = c, s
        d[first] -= p
        e[first] = g
        e[stop] = 0.0
        spans[t, 0], spans[t, 1] = first, stop
        t += 1
    state[0], state[1] = first, since
    return t
