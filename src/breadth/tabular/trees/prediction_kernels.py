"""Sending rows down trees: eight rows at a time, so that eight independent chains of loads hide each other's latency.

A node is one uint64 and one threshold. The word holds the left child (bits 0-31; the right child follows it), the
feature (32-55), and two flags: missing values go right (56), the split is categorical (57). A leaf is its own left
child with an infinite threshold: a row that has arrived stays, and a tree is left once all eight have.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CHILD = np.uint64(0xFFFFFFFF)
FEATURE = np.uint64(0xFFFFFF)
MISSING_RIGHT = 56
CATEGORICAL = 57


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _next(word, threshold, p, X, row, missing, sets, set_of_node):
    x = X[row + ((word >> np.uint64(32)) & FEATURE)]
    right = x > threshold
    if missing is not None:
        right = right | ((x != x) & (((word >> np.uint64(56)) & np.uint64(1)) == np.uint64(1)))
    if sets is not None and (word >> np.uint64(57)) & np.uint64(1):
        s = set_of_node[p]
        code = np.int64(x) if x >= 0 and x < 256 else np.int64(-1)
        if code >= 0 and sets[s, 4] > np.uint64(code):
            right = (sets[s, code >> 6] >> np.uint64(code & 63)) & np.uint64(1) == np.uint64(0)
        else:  # missing, or a category that training did not see
            right = ((word >> np.uint64(56)) & np.uint64(1)) == np.uint64(1)
    return (word & CHILD) + np.uint64(right)


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def add_trees(
    X, n_features, nodes, thresholds, values, roots, first, step, missing, sets, set_of_node, start, stop, column, out
):
    """out[i, column] += the values of trees roots[first::step] at rows start..stop of the flat X."""
    F = np.uint64(n_features)
    n_trees = roots.shape[0]
    i = start
    while i < stop:
        m = stop - i
        r0 = np.uint64(i) * F
        r1 = r0 + (F if m > 1 else np.uint64(0))
        r2 = r1 + (F if m > 2 else np.uint64(0))
        r3 = r2 + (F if m > 3 else np.uint64(0))
        r4 = r3 + (F if m > 4 else np.uint64(0))
        r5 = r4 + (F if m > 5 else np.uint64(0))
        r6 = r5 + (F if m > 6 else np.uint64(0))
        r7 = r6 + (F if m > 7 else np.uint64(0))
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
        for t in range(first, n_trees, step):
            p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = np.uint64(roots[t])
            while True:
                q0 = _next(nodes[p0], thresholds[p0], p0, X, r0, missing, sets, set_of_node)
                q1 = _next(nodes[p1], thresholds[p1], p1, X, r1, missing, sets, set_of_node)
                q2 = _next(nodes[p2], thresholds[p2], p2, X, r2, missing, sets, set_of_node)
                q3 = _next(nodes[p3], thresholds[p3], p3, X, r3, missing, sets, set_of_node)
                q4 = _next(nodes[p4], thresholds[p4], p4, X, r4, missing, sets, set_of_node)
                q5 = _next(nodes[p5], thresholds[p5], p5, X, r5, missing, sets, set_of_node)
                q6 = _next(nodes[p6], thresholds[p6], p6, X, r6, missing, sets, set_of_node)
                q7 = _next(nodes[p7], thresholds[p7], p7, X, r7, missing, sets, set_of_node)
                moved = (q0 ^ p0) | (q1 ^ p1) | (q2 ^ p2) | (q3 ^ p3) | (q4 ^ p4) | (q5 ^ p5) | (q6 ^ p6) | (q7 ^ p7)
                if moved == np.uint64(0):
                    break
                p0 = q0
                p1 = q1
                p2 = q2
                p3 = q3
                p4 = q4
                p5 = q5
                p6 = q6
                p7 = q7
            a0 += values[p0]
            a1 += values[p1]
            a2 += values[p2]
            a3 += values[p3]
            a4 += values[p4]
            a5 += values[p5]
            a6 += values[p6]
            a7 += values[p7]
        out[i, column] += a0
        if m > 1:
            out[i + 1, column] += a1
        if m > 2:
            out[i + 2, column] += a2
        if m > 3:
            out[i + 3, column] += a3
        if m > 4:
            out[i + 4, column] += a4
        if m > 5:
            out[i + 5, column] += a5
        if m > 6:
            out[i + 6, column] += a6
        if m > 7:
            out[i + 7, column] += a7
        i += 8


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def leaves_of(X, n_features, nodes, thresholds, roots, missing, sets, set_of_node, out):
    """out[i, t] = node number, within tree t, of the leaf that row i reaches."""
    for i in range(out.shape[0]):
        row = np.uint64(i) * np.uint64(n_features)
        for t in range(roots.shape[0]):
            p = np.uint64(roots[t])
            while True:
                q = _next(nodes[p], thresholds[p], p, X, row, missing, sets, set_of_node)
                if q == p:
                    break
                p = q
            out[i, t] = np.int64(p) - roots[t]
