"""Scores of trees of up to 64 leaves without walking down them: every test of a tree on a whole block of rows at once.

Leaves are numbered from left to right and a row's candidates are the bits of one word. A node that sends the row right
strikes out the leaves on its left; when all nodes have spoken, the lowest bit is the row's leaf. No step depends on the
one before, and the loop over rows is one comparison and one `and` for as many rows as a vector register holds: cheaper
than a walk, whose every step waits for two loads.

References: Lucchese et al. 2015, "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression
trees", SIGIR, section 3; all of a tree's nodes are evaluated here, as in the authors' later vectorised form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

ROWS = 128  # rows in a block: they, one column at a time, and their candidates stay in the first-level cache
MOST_LEAVES = 64  # in one word


class Scoring(NamedTuple):
    """The inner nodes of all trees, and their leaves' values from left to right."""

    column: np.ndarray  # uint32 (inner nodes,), in the columns that any node tests
    threshold: np.ndarray  # float32 or float64 (inner nodes,), x <= threshold goes left
    left: np.ndarray  # uint32 or uint64 (inner nodes,), the leaves below the left child
    missing_right: np.ndarray  # uint8 (inner nodes,)
    category_set: np.ndarray  # int32 (inner nodes,), -1 where the split is not categorical
    node_start: np.ndarray  # int64 (trees + 1,)
    leaf_start: np.ndarray  # int64 (trees + 1,)
    value: np.ndarray  # float64 (leaves,)


@njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)
def number_leaves(left, roots, first, count):
    """Number each tree's leaves from left to right: those below node p are first[p] to first[p] + count[p] - 1.

    A child's number is larger than its parent's, so that two sweeps do.
    """
    for p in range(left.shape[0] - 1, -1, -1):
        count[p] = 1 if left[p] < 0 else count[left[p]] + count[left[p] + 1]
    for t in range(roots.shape[0] - 1):
        first[roots[t]] = 0
        for p in range(roots[t], roots[t + 1]):
            if left[p] >= 0:
                first[left[p]] = first[p]
                first[left[p] + 1] = first[p] + count[left[p]]


@intrinsic
def lowest_bit(typingctx, word):
    """Number of the lowest bit that is set."""

    def codegen(context, builder, signature, args):
        count = builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))
        return builder.zext(count, ir.IntType(64)) if word.bitwidth < 64 else count

    return types.uint64(word), codegen


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def keep_in_set(block, at, category_set, missing_right, others, alive, n):
    """Strike out the left leaves where the category is not in the set; missing and unseen ones as in training."""
    for i in range(np.uint64(n)):
        x = block[at + i]
        right = missing_right
        if x >= 0 and x < 256 and np.uint64(x) < category_set[4]:
            code = np.uint64(x)
            right = (category_set[code >> np.uint64(6)] >> (code & np.uint64(63))) & np.uint64(1) == np.uint64(0)
        if right:
            alive[i] &= others


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def add_scores(X, used, trees, sets, n_outputs, first_tree, last_tree, start, stop, out):
    """out[i, t % n_outputs] += the value of tree t at row i of X, for trees first..last and rows start..stop.

    Args:
        used: int64, the columns of X that any node tests; `trees.column` counts in them.
        trees: `Scoring`; its `left` is uint32 or uint64, and so are the candidates.
        sets: the ensemble's category_sets; None when no split is categorical.
    """
    column, threshold, left, missing_right, set_of_node, node_start, leaf_start, value = trees
    n_columns = used.shape[0]
    block = np.zeros(n_columns * ROWS, X.dtype)
    total = np.empty((n_outputs, ROWS))
    alive = np.zeros(ROWS, left.dtype)
    ones = ~alive[0]
    for first in range(start, stop, ROWS):
        n = min(stop - first, ROWS)
        for j in range(n_columns):
            at = np.uint64(j * ROWS)
            for i in range(n):
                block[at + np.uint64(i)] = X[first + i, used[j]]
        for k in range(n_outputs):
            for i in range(ROWS):
                total[k, i] = 0.0
        for t in range(first_tree, last_tree):
            for i in range(ROWS):
                alive[i] = ones
            for p in range(node_start[t], node_start[t + 1]):
                at = np.uint64(column[p]) * np.uint64(ROWS)
                limit = threshold[p]
                others = ~left[p]
                if sets is not None:  # noqa: SIM102 (by itself, so that the compiler drops the branch)
                    if set_of_node[p] >= 0:
                        keep_in_set(block, at, sets[set_of_node[p]], missing_right[p] != 0, others, alive, n)
                        continue
                if missing_right[p]:
                    for i in range(np.uint64(ROWS)):
                        alive[i] &= ones if block[at + i] <= limit else others
                else:
                    for i in range(np.uint64(ROWS)):
                        alive[i] &= others if block[at + i] > limit else ones
            here = np.uint64(leaf_start[t])
            k = t % n_outputs
            for i in range(n):
                total[k, i] += value[here + lowest_bit(alive[i])]
        for i in range(n):
            for k in range(n_outputs):
                out[first + i, k] += total[k, i]
