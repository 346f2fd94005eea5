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

WHOLE, REAL = 10, 4  # integers and reals kept per node
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
def grow_tree(
    X, order, y, w, labels, by_median, entropy, has_missing, limits, min_weight, min_gain, pool, state, room, value
):  # fmt: skip
    """Grow one exact tree into `room` and `value`; return its number of nodes.

    Args: X (F, n) float32 columns; order (F, m) or, by median, (F + 1, m) int32 row numbers of positive weight sorted
    by each column (and by y); y (n,) or None; w (n,) or None; labels (n,) int32 or None; by_median a work tuple or
    None; limits (max_depth, min_samples_split, min_samples_leaf, max_leaf_nodes, max_features); min_gain in weight
    units; pool int64 (F,), the columns; state uint64 (1,), of the generator; room (whole int64 (WHOLE, capacity), real
    float64 (REAL, capacity), class scratch (2, K), goes_left uint8 (n,), buffer int32 (m,)); value (capacity, K).
    """
    max_depth, min_split, min_leaf, max_leaves, max_features = limits
    whole, real, scratch, goes_left, buffer = room
    feature, left, missing_left, n_samples = whole[0], whole[1], whole[2], whole[3]
    threshold, weight, impurity = real[0], real[1], real[2]
    start, depth = whole[4], whole[5]
    # the split found for a node that has not been carried out yet
    found_feature, found_position, found_missing_left, found_gain = whole[6], whole[7], whole[8], real[3]
    open_nodes = whole[9]  # a stack, or a heap by gain when the number of leaves is limited
    n_open = 0
    n_features, n = X.shape[0], order.shape[1]
    best_first = max_leaves < n

    start[0], n_samples[0], depth[0] = 0, n, 0
    f, n_nodes, n_leaves, fresh = 0, 1, 1, 0  # nodes fresh..n_nodes-1 have been made by the last split, on column f
    while True:
        splittable = False
        for node in range(fresh, n_nodes):
            feature[node], left[node], missing_left[node], threshold[node] = -1, 0, 0, 0.0
            rows = order[f] if by_median is None else order[n_features]
            weight[node], impurity[node] = describe_node(
                rows, start[node], start[node] + n_samples[node], y, w, labels, by_median is not None, entropy,
                value[node],
            )  # fmt: skip
            splittable |= impurity[node] > 0.0 and n_samples[node] >= min_split and depth[node] < max_depth
        if fresh > 0 and splittable:  # two leaves need no order
            for g in range(n_features):
                if g != f:
                    _partition(order[g], start[fresh], start[fresh] + n_samples[fresh] + n_samples[fresh + 1],
                               goes_left, buffer)  # fmt: skip
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
                    while observed > lo and x[rows[observed - 1]] != x[rows[observed - 1]]:  # NaN
                        observed -= 1
                if observed == lo or (observed == hi and x[rows[lo]] == x[rows[hi - 1]]):
                    continue
                for missing in range(2 if observed < hi else 1):
                    goes = missing == 1
                    gain, position = best, -1
                    if y is not None:
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
                    if labels is not None:
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
        if x[above] != x[above]:
            threshold[node] = np.inf  # the observed go left, the missing right
        else:
            threshold[node] = 0.5 * np.float64(x[rows[cut]]) + 0.5 * np.float64(x[above])
        n_left = 0
        for i in range(lo, hi):
            side = i <= cut or (missing_left[node] == 1 and x[rows[i]] != x[rows[i]])
            goes_left[rows[i]] = side
            n_left += side
        _partition(rows, lo, hi, goes_left, buffer)
        if by_median is not None:
            _partition(order[n_features], lo, hi, goes_left, buffer)
        a, b = n_nodes, n_nodes + 1
        start[a], start[b] = lo, lo + n_left
        n_samples[a], n_samples[b] = n_left, hi - lo - n_left
        depth[a] = depth[b] = depth[node] + 1
        n_nodes += 2
        n_leaves += 1
    return n_nodes
