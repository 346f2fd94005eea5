"""The arrays and rules that the tree-growing kernels share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_LANES = 8  # codes in one uint64
CATEGORICAL = 2  # in Codes.kind
SUM_LIMIT = (1 << 31) - 256  # of |gradient| and of the hessian in fixed point: each sum keeps to its half of an int64


class Codes(NamedTuple):
    """Binned rows; constant throughout a fit."""

    words: np.ndarray  # uint64 (groups, rows, 2), `lanes` codes in each
    lanes: int  # 1 to 8; a group is 2 * lanes consecutive features
    columns: np.ndarray  # uint8 (features, rows)
    n_bins: np.ndarray  # int64 (features,), the missing bin not counted; it is number n_bins
    has_missing: np.ndarray  # uint8 (features,)
    kind: np.ndarray  # int8 (features,): 0 ordered, 1 or -1 with increasing or decreasing leaf values, 2 categorical
    row_weight: np.ndarray  # int64 (rows,), fixed point; empty when every row counts once


class Workspace(NamedTuple):
    """What the threads share while a tree grows."""

    packed: np.ndarray  # int64 (rows,)
    rows: np.ndarray  # uint32 (rows,), ordered by leaf
    left: np.ndarray  # uint32 (rows,), partition buffers
    right: np.ndarray  # uint32 (rows,)
    ordered: np.ndarray  # int64 (rows,), `packed` in the order of `rows`, for the leaves whose histograms are due
    pool: np.ndarray  # int64 ((slots + 2) * groups * 2 * lanes * stride,), histograms; the last two slots are scratch
    best: np.ndarray  # float64 (groups, 2, 6), each group's best split of the two children
    best_sets: np.ndarray  # uint64 (groups, 2, 4), and its categories where that split is categorical
    sums: np.ndarray  # int64 (threads * 8,), the gradient pass's totals: |g|, g, h
    counts: np.ndarray  # int64 (threads * 8,), rows (and weight) that a thread sent left
    sync: np.ndarray  # int64 (32,), the barrier's


class Frontier(NamedTuple):
    """What one thread keeps of the leaves of the tree that grows; columns as `growth_kernels` names them."""

    place: np.ndarray  # int64 (leaves, 5): first and last row, node, depth, histogram
    state: np.ndarray  # float64 (leaves, 5): sums, weight, bounds
    split: np.ndarray  # float64 (leaves, 6): the best split
    sets: np.ndarray  # uint64 (leaves, 4): its categories
    free: np.ndarray  # int64 (slots,), histograms that no leaf holds
    tried: np.ndarray  # uint8 (features,)
    limits: np.ndarray  # float64 (5,), what a search needs of the rules
    found: np.ndarray  # float64 (6,), a search's result
    found_set: np.ndarray  # uint64 (4,)
    cumulative: np.ndarray  # int64 (256,), a search's scratch
    gain: np.ndarray  # float64 (256,)

    @classmethod
    def empty(cls, n_leaves: int, n_slots: int, n_features: int) -> Frontier:
        return cls(
            place=np.zeros((n_leaves, 5), np.int64),
            state=np.zeros((n_leaves, 5)),
            split=np.zeros((n_leaves, 6)),
            sets=np.zeros((n_leaves, 4), np.uint64),
            free=np.zeros(n_slots, np.int64),
            tried=np.zeros(n_features, np.uint8),
            limits=np.zeros(5),
            found=np.zeros(6),
            found_set=np.zeros(4, np.uint64),
            cumulative=np.zeros(256, np.int64),
            gain=np.zeros(256),
        )


class Tree(NamedTuple):
    """One tree being written; a leaf has left == -1."""

    feature: np.ndarray  # int32 (nodes,)
    bin: np.ndarray  # int32 (nodes,), codes <= bin go left; for a categorical split the row of `category_sets`
    missing_left: np.ndarray  # uint8 (nodes,)
    left: np.ndarray  # int32 (nodes,), the right child is left + 1
    gain: np.ndarray  # float64 (nodes,)
    value: np.ndarray  # float64 (nodes,), Newton step without learning rate
    rows: np.ndarray  # int64 (nodes,)
    leaf_of_row: np.ndarray  # uint16 (rows,)
    leaf_node: np.ndarray  # int32 (leaves,)
    leaf_start: np.ndarray  # int64 (leaves,), where a leaf's rows begin in Workspace.rows
    category_sets: np.ndarray  # uint64 (nodes, 4), the codes that go left


class Rules(NamedTuple):
    """The stopping rules and penalties."""

    max_leaves: int
    max_depth: int  # 0: no limit
    level_wise: bool
    min_rows: float
    min_hessian: float
    l2: float
    min_gain: float
    gradient_unit: float  # what 1 in fixed point stands for
    hessian_unit: float
    weight_unit: float  # likewise for Codes.row_weight
    total_weight: float  # of the rows that the tree sees
    stride: int  # bins of one feature in a histogram
    n_features_tried: int  # per node
    seed: int
