"""What a tree on a random subset of the rows needs besides: the subset's totals, and the leaves of the other rows."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.workspace import CATEGORICAL


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def sum_of_rows(packed, rows, n_rows, sums):
    """Put the totals of rows[:n_rows] where `grow_tree` looks for those of the gradient pass."""
    for k in range(sums.shape[0]):
        sums[k] = 0
    for i in range(n_rows):
        v = packed[rows[i]]
        sums[1] += v >> 32
        sums[2] += v & 0xFFFFFFFF


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def leaves_by_code(codes, tree, leaf_of_node, first, rows):
    """tree.leaf_of_row of rows[first:], found by walking down the tree on bin codes."""
    for i in range(first, rows.shape[0]):
        row = rows[i]
        p = np.int64(0)
        while tree.left[p] >= 0:
            f = tree.feature[p]
            code = np.int64(codes.columns[f, row])
            if codes.kind[f] == CATEGORICAL:
                bits = tree.category_sets[p, code >> 6]
                goes_left = (bits >> np.uint64(code & 63)) & np.uint64(1) == np.uint64(1)
            else:
                goes_left = code <= tree.bin[p] or (code == codes.n_bins[f] and tree.missing_left[p] == 1)
            p = tree.left[p] if goes_left else tree.left[p] + 1
        tree.leaf_of_row[row] = leaf_of_node[p]
