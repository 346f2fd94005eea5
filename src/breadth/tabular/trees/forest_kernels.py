"""Kernel of the forest: one call grows one whole tree.

Every node is searched exactly: its rows are sorted by the rank of each column tried. A node is a threshold and a word,

    left child << 32 | feature << 1 | missing goes left,

and a leaf is its own left child. Where missing goes left, ranks and the cut are shifted by one, and missing wraps
around to 0.
"""

import numpy as np
from numba import njit

from breadth.tabular.trees.forest_rank_kernels import LOW_HALF, gather_keys, mask_of, sort_keys
from breadth.tabular.trees.frontier_kernels import sift_down, sift_up
from breadth.tabular.trees.random_kernels import draw_below

BATCH = 6  # features whose ranks are gathered in one pass over the rows
NO_MISSING = np.uint64(1 << 63)  # mark of a split found at a node without missing values

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_INTERNAL)
def _scan_pairs(keys, n, observed, lo, w, label, target, total, mean, min_leaf, min_weight, best):
    """Best cut of sorted keys[:n] by (sum_L w (y - mean))^2 W / (W_L W_R); missing from `observed` on.

    Returns gain, the last position to the left (-1 if no cut beats `best`) and the side of missing (1: left).
    """
    position, side_of_missing = -1, 0
    bar = best / total
    for side in range(2 if observed < n else 1):
        left_w, left_s = 0.0, 0.0
        n_missing = n - observed if side == 1 else 0
        for step in range(-n_missing, observed if (observed < n and side == 0) else observed - 1):
            i = observed - 1 - step if step < 0 else step
            at = lo + np.int64(keys[i] & LOW_HALF)
            left_w += w[at]
            if label is not None:
                left_s += w[at] * label[at]
            if target is not None:
                left_s += w[at] * target[at]
            if step < 0 or (step + 1 < n and (keys[step + 1] ^ keys[step]) <= LOW_HALF):
                continue
            right_w = total - left_w
            d = left_s - mean * left_w
            if d * d > bar * (left_w * right_w):
                left_n = step + 1 + n_missing
                if left_n < min_leaf or n - left_n < min_leaf:
                    continue
                if left_w < min_weight or right_w < min_weight or right_w <= 0.0:
                    continue
                bar = d * d / (left_w * right_w)
                position, side_of_missing = step, side
    return bar * total, position, side_of_missing


@njit(**_INTERNAL)
def _xlogx(c):
    return c * np.log2(c) if c > 0.0 else 0.0


@njit(**_INTERNAL)
def _scan_classes(
    keys, n, observed, lo, w, label, entropy, counts, total, parent, min_leaf, min_weight, best, left
):  # fmt: skip
    """Best cut by Gini or entropy over any number of classes; as `_scan_pairs`."""
    position, side_of_missing = -1, 0
    for side in range(2 if observed < n else 1):
        left_w, left_f, right_f = 0.0, 0.0, 0.0  # sums over classes of c^2, or of c log c
        for c in range(counts.size):
            left[c] = 0.0
            right_f += counts[c] * counts[c]
        n_missing = n - observed if side == 1 else 0
        for step in range(-n_missing, observed if (observed < n and side == 0) else observed - 1):
            i = observed - 1 - step if step < 0 else step
            at = lo + np.int64(keys[i] & LOW_HALF)
            c, wi = label[at], w[at]
            a, b = left[c], counts[c] - left[c]
            left[c] = a + wi
            left_w += wi
            if not entropy:  # exact for whole weights, so that ties stay ties
                left_f += wi * (a + a + wi)
                right_f -= wi * (b + b - wi)
            if step < 0 or (step + 1 < n and (keys[step + 1] ^ keys[step]) <= LOW_HALF):
                continue
            right_w = total - left_w
            left_n = step + 1 + n_missing
            if left_n < min_leaf or n - left_n < min_leaf:
                continue
            if left_w < min_weight or right_w < min_weight or right_w <= 0.0:
                continue
            if entropy:
                left_f, right_f = 0.0, 0.0
                for k in range(counts.size):
                    left_f += _xlogx(left[k])
                    right_f += _xlogx(counts[k] - left[k])
                gain = left_f - _xlogx(left_w) + right_f - _xlogx(right_w) - parent
            else:
                gain = left_f / left_w + right_f / right_w - parent
            if gain > best:
                best = gain
                position, side_of_missing = step, side
    return best, position, side_of_missing


@njit(**_INTERNAL)
def _describe(w, label, target, lo, hi, entropy, binary, counts, value):
    """Weight and impurity of rows lo..hi; fills `counts` (classes) and `value`. Impurity is 0 exactly if pure."""
    total = 0.0
    impurity = 0.0
    if target is not None:
        low = high = target[lo]
        s, square = 0.0, 0.0
        for i in range(lo, hi):
            t = target[i]
            total += w[i]
            s += w[i] * t
            square += w[i] * t * t
            low = min(low, t)
            high = max(high, t)
        value[0] = low if low == high else s / total
        impurity = 0.0 if low == high else max(square / total - (s / total) ** 2, 0.0)
    if label is not None:
        for c in range(counts.size):
            counts[c] = 0.0
        for i in range(lo, hi):
            counts[label[i]] += w[i]
            total += w[i]
        impurity = 0.0 if entropy else 1.0
        for c in range(counts.size):
            p = counts[c] / total
            impurity -= _xlogx(p) if entropy else p * p
        if binary:
            value[0] = counts[1] / total
        else:
            for c in range(counts.size):
                value[c] = counts[c] / total
    return total, impurity


def forest_room(capacity, n_rows, n_features, n_classes, y_type):
    """The work space of `grow_forest_tree`; its first two arrays hold what a node is apart from its word and value.

    Returns int64 (5, capacity), of which row 0 is n_samples; float64 (3, capacity), of which rows 0 and 1 are weight
    and impurity; then scratch.
    """
    return (
        np.empty((5, capacity), np.int64),
        np.zeros((3, capacity)),
        np.arange(n_features),
        np.empty(n_classes),
        np.empty(n_rows, np.int64),
        np.empty(n_rows),
        np.empty(n_rows, y_type),
        np.empty((min(BATCH, n_features), n_rows), np.uint64),
        np.empty(n_rows, np.uint64),
        np.empty(256, np.int64),
    )


@njit(**_INTERNAL)
def _between(low, high):
    """Threshold halfway from low to high, below high in any case."""
    middle = np.float32(0.5) * low + np.float32(0.5) * high
    return middle if low <= middle < high else low


@njit(cache=True, nogil=True, error_model="numpy")
def grow_forest_tree(
    ranks, distinct, n_distinct, rows, w, label, target, n_classes, entropy, limits, min_weight, min_gain, state, nodes,
    threshold, value, importance, left_counts, room,
):  # fmt: skip
    """Grow one tree on the in-bag rows into `nodes`, `threshold`, `value`, `importance` and `room`; return its size.

    Args: ranks uint32 (n, F); distinct float32 (F, most), of which n_distinct int64 (F,) are the values of
    ranks 0, 1, ...; rows int64 (m,), permuted in place like w float64 (m,) > 0 and label int32 (m,) (or None) or target
    float64 (m,) (or None); limits (max_depth, min_samples_split, min_samples_leaf, max_leaf_nodes, max_features);
    min_gain in weight units of the impurity; state uint64 (1,), of the generator; nodes uint64, threshold float32
    (capacity,); value (capacity, outputs); importance (F,), zero; left_counts float64 (K,), or None where classes are
    searched as 0/1 numbers (one class, or two under Gini); room as `forest_room` makes it.
    """
    max_depth, min_split, min_leaf, max_leaves, max_features = limits
    whole, real, pool, counts, row_buffer, w_buffer, y_buffer, keys, spare, starts = room
    n_samples, start, depth = whole[0], whole[1], whole[2]
    open_nodes = whole[3]  # a stack, or a heap by gain when the number of leaves is limited
    cut_of = whole[4]  # last rank that goes left
    weight, impurity, gain_of = real[0], real[1], real[2]  # gain of the split found, not yet carried out
    n, n_features = rows.size, ranks.shape[1]
    binary = n_classes == 2
    n_open = 0
    best_first = max_leaves < n

    start[0], n_samples[0], depth[0] = 0, n, 0
    n_nodes, n_leaves, fresh = 1, 1, 0
    while True:
        for node in range(fresh, n_nodes):
            lo = start[node]
            hi = lo + n_samples[node]
            total, spread = _describe(w, label, target, lo, hi, entropy, binary, counts, value[node])
            weight[node], impurity[node] = total, spread
            nodes[node] = np.uint64(node) << np.uint64(32)
            if depth[node] >= max_depth or hi - lo < min_split or total < 2.0 * min_weight or spread <= 0.0:
                continue
            parent = 0.0
            if left_counts is not None:
                for c in range(n_classes):
                    parent += _xlogx(counts[c]) if entropy else counts[c] * counts[c]
                parent = parent - _xlogx(total) if entropy else parent / total
            best, best_word = -1.0, np.uint64(0)
            drawn = np.int64(0)
            while drawn < n_features and (drawn < max_features or best < 0.0):
                take = np.int64(min(BATCH, max_features - drawn) if drawn < max_features else 1)
                for j in range(drawn, drawn + take):
                    k = j + draw_below(state, n_features - j)
                    pool[j], pool[k] = pool[k], pool[j]
                gather_keys(ranks, rows, lo, hi, pool, drawn, take, keys)
                for j in range(take):
                    f = pool[drawn + j]
                    mask = mask_of(n_distinct[f])
                    sorted_keys = keys[j]
                    sort_keys(sorted_keys, hi - lo, mask, spare, starts)
                    if (sorted_keys[0] ^ sorted_keys[hi - lo - 1]) <= LOW_HALF:
                        continue
                    observed = hi - lo
                    while np.int64(sorted_keys[observed - 1] >> np.uint64(32)) & mask == mask:
                        observed -= 1
                    found, position, side = best, -1, 0
                    if left_counts is None:
                        found, position, side = _scan_pairs(
                            sorted_keys, hi - lo, observed, lo, w, label, target, total, value[node, 0], min_leaf,
                            min_weight, best,
                        )  # fmt: skip
                    else:
                        found, position, side = _scan_classes(
                            sorted_keys, hi - lo, observed, lo, w, label, entropy, counts, total, parent, min_leaf,
                            min_weight, best, left_counts,
                        )  # fmt: skip
                    if position < 0:
                        continue
                    best = max(found, 0.0)
                    if position + 1 == observed:  # observed to the left, missing to the right
                        cut_of[node] = mask - 1
                        threshold[node] = np.inf
                    else:
                        cut = np.int64(sorted_keys[position] >> np.uint64(32))
                        above = np.int64(sorted_keys[position + 1] >> np.uint64(32))
                        cut_of[node] = cut + side
                        threshold[node] = _between(distinct[f, cut], distinct[f, above])
                    best_word = np.uint64((f << 1) | side)
                    if observed == hi - lo:
                        best_word |= NO_MISSING
                drawn += take
            if best < 0.0 or best < min_gain:
                continue
            gain_of[node] = best
            nodes[node] = best_word
            open_nodes[n_open] = node
            n_open += 1
            if best_first:
                sift_up(open_nodes, gain_of, n_open - 1)
        fresh = n_nodes
        if n_open == 0 or n_leaves >= max_leaves:
            break
        n_open -= 1
        if best_first:
            node = open_nodes[0]
            open_nodes[0] = open_nodes[n_open]
            sift_down(open_nodes, gain_of, n_open)
        else:
            node = open_nodes[n_open]
        word = nodes[node]
        low = word & LOW_HALF
        f, shift, cut = np.int64(low >> np.uint64(1)), np.int64(low & np.uint64(1)), cut_of[node]
        mask = mask_of(n_distinct[f])
        lo = start[node]
        hi = lo + n_samples[node]
        left, right = lo, 0
        for i in range(lo, hi):
            r, wi = rows[i], w[i]
            goes = np.int64(((np.int64(ranks[r, f]) + shift) & mask) <= cut)
            rows[left] = r
            row_buffer[right] = r
            w[left] = wi
            w_buffer[right] = wi
            if target is not None:
                t = target[i]
                target[left] = t
                y_buffer[right] = t
            if label is not None:
                c = label[i]
                label[left] = c
                y_buffer[right] = c
            left += goes
            right += 1 - goes
        for i in range(right):
            rows[left + i] = row_buffer[i]
            w[left + i] = w_buffer[i]
            if target is not None:
                target[left + i] = y_buffer[i]
            if label is not None:
                label[left + i] = y_buffer[i]
        if (word & NO_MISSING) != np.uint64(0) and left - lo > right:  # a later missing value follows the larger child
            low |= np.uint64(1)
        nodes[node] = (np.uint64(n_nodes) << np.uint64(32)) | low
        importance[f] += gain_of[node]
        start[n_nodes], start[n_nodes + 1] = lo, left
        n_samples[n_nodes], n_samples[n_nodes + 1] = left - lo, right
        depth[n_nodes] = depth[n_nodes + 1] = depth[node] + 1
        n_nodes += 2
        n_leaves += 1
    for k in range(n_open):  # splits found but not carried out
        nodes[open_nodes[k]] = np.uint64(open_nodes[k]) << np.uint64(32)
    return n_nodes
