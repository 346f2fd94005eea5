"""Kernels of the exact tree: presorted columns, scanned once per node and kept sorted by a stable partition.

One call of `grow_tree` grows a whole tree without the interpreter lock. Arguments that a criterion does not need are
None; Numba drops the branches behind them, so each of the three searches (variance, class counts, absolute error) is
compiled only when first used, and unweighted fits never touch a weight array.
"""

import numpy as np
from numba import njit

from breadth.tabular.trees.frontier_kernels import sift_down, sift_up
from breadth.tabular.trees.random_kernels import draw_below
from breadth.tabular.trees.tree_scan_kernels import describe_node, scan_absolute, scan_classes, scan_variance

ROUNDING = np.finfo(np.float64).eps

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_INTERNAL)
def _partition(rows, lo, hi, goes_left, buffer):
    """Stable: rows that go left move to the front, each side keeps its order."""
    left, right = lo, 0
    for i in range(lo, hi):
        r = rows[i]
        side = np.int64(goes_left[r])
        rows[left] = r
        buffer[right] = r
        left += side
        right += 1 - side
    for i in range(right):
        rows[left + i] = buffer[i]


@njit(cache=True, nogil=True, error_model="numpy")
def grow_tree(X, order, y, w, labels, n_classes, by_median, entropy, has_missing, limits, min_weight, min_gain, seed):
    """Grow one exact tree.

    Args: X (F, n) float32 columns; order (F, m) or, by median, (F + 1, m) int32 row numbers of positive weight sorted
    by each column (and by y); y (n,); w (n,) or None; labels (n,) int32 or None; by_median a work tuple or None;
    limits (max_depth, min_samples_split, min_samples_leaf, max_leaf_nodes, max_features); min_gain in weight units.

    Returns (n_nodes, feature, threshold, left, missing_left, n_samples, weight, impurity, value), arrays over-long.
    """
    max_depth, min_split, min_leaf, max_leaves, max_features = limits
    n_features = X.shape[0]
    n = order.shape[1]
    capacity = 2 * min(n, max_leaves) + 1
    feature = np.full(capacity, -1, np.int32)
    threshold = np.zeros(capacity)
    left = np.zeros(capacity, np.int32)
    missing_left = np.zeros(capacity, np.bool_)
    n_samples = np.empty(capacity, np.int64)
    weight = np.empty(capacity)
    impurity = np.empty(capacity)
    value = np.empty((capacity, n_classes))
    start = np.empty(capacity, np.int64)
    depth = np.empty(capacity, np.int32)
    # the split found for a node that has not been carried out yet
    found_feature = np.empty(capacity, np.int32)
    found_position = np.empty(capacity, np.int64)
    found_missing_left = np.empty(capacity, np.bool_)
    found_gain = np.empty(capacity)
    open_nodes = np.empty(capacity, np.int64)  # a stack, or a heap by gain when the number of leaves is limited
    n_open = 0
    best_first = max_leaves < n
    goes_left = np.zeros(X.shape[1], np.uint8)
    buffer = np.empty(n, np.int32)
    pool = np.arange(n_features)
    state = np.array([seed], np.uint64)
    scratch = np.empty((2, n_classes))

    start[0], n_samples[0], depth[0] = 0, n, 0
    stat_row = 0 if by_median is None else n_features
    weight[0], impurity[0] = describe_node(
        order[stat_row], 0, n, y, w, labels, by_median is not None, entropy, value[0]
    )
    n_nodes, n_leaves, fresh = 1, 1, 0  # nodes fresh..n_nodes-1 await their search
    while True:
        for node in range(fresh, n_nodes):
            lo = start[node]
            hi = lo + n_samples[node]
            if (
                depth[node] >= max_depth
                or hi - lo < min_split
                or hi - lo < 2 * min_leaf
                or weight[node] < 2.0 * min_weight
                or impurity[node] <= 0.0
            ):
                continue
            if by_median is not None:
                rank, sorted_y, work = by_median
                for i in range(lo, hi):
                    r = order[n_features, i]
                    rank[r] = i - lo
                    sorted_y[i - lo] = y[r]
            best, best_feature, best_position, best_missing_left = -1.0, -1, -1, False
            for drawn in range(n_features):
                if drawn >= max_features and best_feature >= 0:
                    break
                if max_features < n_features:
                    k = drawn + draw_below(state, n_features - drawn)
                    pool[drawn], pool[k] = pool[k], pool[drawn]
                f = pool[drawn]
                x = X[f]
                rows = order[f]
                observed = hi
                if has_missing[f]:
                    while observed > lo and np.isnan(x[rows[observed - 1]]):
                        observed -= 1
                if observed == lo or (observed == hi and x[rows[lo]] == x[rows[hi - 1]]):
                    continue
                for missing in range(2 if observed < hi else 1):
                    goes = missing == 1
                    if labels is None:
                        if by_median is None:
                            gain, position = scan_variance(
                                x, rows, lo, observed, hi, y, w, value[node, 0], weight[node], impurity[node],
                                min_leaf, min_weight, best, goes,
                            )  # fmt: skip
                        else:
                            gain, position = scan_absolute(
                                x, rows, lo, observed, hi, y, w, rank, sorted_y, value[node, 0], weight[node],
                                weight[node] * impurity[node], min_leaf, min_weight, best, goes, work,
                            )  # fmt: skip
                    else:
                        gain, position = scan_classes(
                            x, rows, lo, observed, hi, labels, w, value[node], weight[node], entropy,
                            min_leaf, min_weight, best, goes, scratch[0], scratch[1],
                        )  # fmt: skip
                    if position >= 0:
                        best, best_feature, best_position = gain, f, position
                        # never missing here: a later missing value follows the larger child
                        best_missing_left = goes if observed < hi else 2 * (position + 1 - lo) > hi - lo
            if best_feature < 0 or best + ROUNDING * weight[0] < min_gain:
                continue
            found_feature[node], found_position[node] = best_feature, best_position
            found_missing_left[node], found_gain[node] = best_missing_left, best
            open_nodes[n_open] = node
            n_open += 1
            if best_first:
                sift_up(open_nodes, found_gain, n_open - 1)
        fresh = n_nodes
        if n_open == 0 or n_leaves >= max_leaves:
            break
        n_open -= 1
        if best_first:
            node = open_nodes[0]
            open_nodes[0] = open_nodes[n_open]
            sift_down(open_nodes, found_gain, n_open)
        else:
            node = open_nodes[n_open]

        f = found_feature[node]
        x = X[f]
        rows = order[f]
        lo = start[node]
        hi = lo + n_samples[node]
        cut = found_position[node]
        feature[node] = f
        left[node] = n_nodes
        missing_left[node] = found_missing_left[node]
        above = rows[cut + 1]
        if np.isnan(x[above]):
            threshold[node] = np.inf  # the observed go left, the missing right
        else:
            threshold[node] = 0.5 * np.float64(x[rows[cut]]) + 0.5 * np.float64(x[above])
        n_left = 0
        for i in range(lo, hi):
            side = i <= cut or (missing_left[node] and np.isnan(x[rows[i]]))
            goes_left[rows[i]] = side
            n_left += side
        _partition(rows, lo, hi, goes_left, buffer)
        if by_median is not None:
            _partition(order[n_features], lo, hi, goes_left, buffer)
        a, b = n_nodes, n_nodes + 1
        start[a], start[b] = lo, lo + n_left
        n_samples[a], n_samples[b] = n_left, hi - lo - n_left
        depth[a] = depth[b] = depth[node] + 1
        splittable = False
        for child in range(a, b + 1):
            described = rows if by_median is None else order[n_features]
            weight[child], impurity[child] = describe_node(
                described, start[child], start[child] + n_samples[child], y, w, labels, by_median is not None,
                entropy, value[child],
            )  # fmt: skip
            splittable |= impurity[child] > 0.0 and n_samples[child] >= min_split and depth[child] < max_depth
        if splittable:  # two leaves need no order
            for g in range(n_features):
                if g != f:
                    _partition(order[g], lo, hi, goes_left, buffer)
        n_nodes += 2
        n_leaves += 1
    return n_nodes, feature, threshold, left, missing_left, n_samples, weight, impurity, value


@njit(cache=True, nogil=True, error_model="numpy")
def leaf_of_rows(X, feature, threshold, left, missing_left, out):
    """out[i] = the leaf that row i of X (rows, features) float32 reaches."""
    for i in range(X.shape[0]):
        node = np.int64(0)
        while feature[node] >= 0:
            x = X[i, feature[node]]
            goes = missing_left[node] if np.isnan(x) else x <= threshold[node]
            node = np.int64(left[node]) + (0 if goes else 1)
        out[i] = node
