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


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _eight_leaves(root, row, width, last, nodes, thresholds, X, missing, sets, set_of_node):
    """Leaves of the rows that start at X[row], X[row + width], …; row number `last` stands in for those after it."""
    r1 = row + min(last, np.uint64(1)) * width
    r2 = row + min(last, np.uint64(2)) * width
    r3 = row + min(last, np.uint64(3)) * width
    r4 = row + min(last, np.uint64(4)) * width
    r5 = row + min(last, np.uint64(5)) * width
    r6 = row + min(last, np.uint64(6)) * width
    r7 = row + min(last, np.uint64(7)) * width
    p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = root
    while True:
        q0 = _next(nodes[p0], thresholds[p0], p0, X, row, missing, sets, set_of_node)
        q1 = _next(nodes[p1], thresholds[p1], p1, X, r1, missing, sets, set_of_node)
        q2 = _next(nodes[p2], thresholds[p2], p2, X, r2, missing, sets, set_of_node)
        q3 = _next(nodes[p3], thresholds[p3], p3, X, r3, missing, sets, set_of_node)
        q4 = _next(nodes[p4], thresholds[p4], p4, X, r4, missing, sets, set_of_node)
        q5 = _next(nodes[p5], thresholds[p5], p5, X, r5, missing, sets, set_of_node)
        q6 = _next(nodes[p6], thresholds[p6], p6, X, r6, missing, sets, set_of_node)
        q7 = _next(nodes[p7], thresholds[p7], p7, X, r7, missing, sets, set_of_node)
        moved = (q0 ^ p0) | (q1 ^ p1) | (q2 ^ p2) | (q3 ^ p3) | (q4 ^ p4) | (q5 ^ p5) | (q6 ^ p6) | (q7 ^ p7)
        if moved == np.uint64(0):
            return p0, p1, p2, p3, p4, p5, p6, p7
        p0, p1, p2, p3, p4, p5, p6, p7 = q0, q1, q2, q3, q4, q5, q6, q7


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def add_trees(
    X, n_features, nodes, thresholds, values, roots, first, step, missing, sets, set_of_node, start, stop, column, out
):
    """out[i, column] += the values of trees roots[first::step] at rows start..stop of the flat X."""
    width = np.uint64(n_features)
    total = np.empty(8)
    for i in range(start, stop, 8):
        n = min(stop - i, 8)
        for k in range(8):
            total[k] = 0.0
        for t in range(first, roots.shape[0], step):
            p = _eight_leaves(
                np.uint64(roots[t]), np.uint64(i) * width, width, np.uint64(n - 1), nodes, thresholds, X, missing,
                sets, set_of_node,
            )  # fmt: skip
            for k in range(8):
                total[k] += values[p[k]]
        for k in range(n):
            out[i + k, column] += total[k]


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def leaves_of(X, n_features, nodes, thresholds, roots, missing, sets, set_of_node, out):
    """out[i, t] = node number, within tree t, of the leaf that row i of the flat X reaches."""
    width = np.uint64(n_features)
    for i in range(0, out.shape[0], 8):
        n = min(out.shape[0] - i, 8)
        for t in range(roots.shape[0]):
            p = _eight_leaves(
                np.uint64(roots[t]), np.uint64(i) * width, width, np.uint64(n - 1), nodes, thresholds, X, missing,
                sets, set_of_node,
            )  # fmt: skip
            for k in range(n):
                out[i + k, t] = np.int64(p[k]) - roots[t]


def packed_nodes(
    left: np.ndarray, feature: np.ndarray, threshold: np.ndarray, missing_left: np.ndarray, categorical: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Words uint64 and thresholds (nodes,) as the kernels read them; `left` counts through all trees, -1 at a leaf."""
    leaf = left < 0
    word = np.where(leaf, np.arange(len(left)), left).astype(np.uint64)
    word |= np.where(leaf, 0, feature).astype(np.uint64) << np.uint64(32)
    word |= (~missing_left & ~leaf).astype(np.uint64) << np.uint64(MISSING_RIGHT)
    word |= categorical.astype(np.uint64) << np.uint64(CATEGORICAL)
    return word, np.where(leaf, np.inf, threshold).astype(threshold.dtype)
