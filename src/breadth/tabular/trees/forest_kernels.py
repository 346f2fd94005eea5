"""Kernels of the forest: one call grows one whole tree on bin codes, one call adds one tree's predictions.

Codes are uint8 (rows, features): 0..254 observed bins in order, 255 missing. A node is one 64-bit word,

    left child << 32 | feature << 9 | missing goes left << 8 | last bin that goes left,

so a step of the descent reads 8 bytes of tree and 1 byte of row. Where missing goes left, codes and bin are shifted by
one, and 255 becomes 0. A leaf sends every code to its left child, itself.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from breadth.tabular.trees.frontier_kernels import sift_down, sift_up
from breadth.tabular.trees.random_kernels import draw_below

MISSING = 255
BATCH = 6  # features whose histograms are filled together: independent updates that fit the first-level cache
DENSE = 256  # rows from which on scanning all 256 bins is cheaper than noting which ones are occupied
NO_MISSING = np.uint64(1 << 63)  # mark of a split found at a node without missing values

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@intrinsic
def _lowest_bit(typingctx, word):
    """Number of the lowest set bit of a non-zero 64-bit word."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


@njit(**_INTERNAL)
def _fill(codes, rows, w, label, target, lo, hi, pool, first, count, n_stats, count_rows, hist, occupied):
    """Histograms of the features pool[first : first + count] over rows lo..hi; `hist` is zero before."""
    note = hi - lo < DENSE
    for i in range(lo, hi):
        code_row = codes[rows[i]]
        wi = w[i]
        for j in range(count):
            code = np.int64(code_row[pool[first + j]])
            at = ((j << 8) | code) * n_stats
            if label is not None:
                hist[at + label[i]] += wi
            if target is not None:
                hist[at] += wi
                hist[at + 1] += wi * target[i]
            if count_rows:
                hist[at + n_stats - 1] += 1.0
            if note:
                occupied[(j << 2) | (code >> 6)] |= np.uint64(1) << np.uint64(code & 63)
    if not note:
        for b in range(count << 8):
            empty = True
            for s in range(n_stats):
                empty &= hist[b * n_stats + s] == 0.0
            if not empty:
                occupied[b >> 6] |= np.uint64(1) << np.uint64(b & 63)


@njit(**_INTERNAL)
def _take_occupied(hist, occupied, j, n_stats, bins, stats):
    """Move the occupied bins of histogram j to the front of `bins` and `stats`, in order, leaving zeros behind."""
    k = 0
    for word in range(4):
        mask = occupied[(j << 2) | word]
        occupied[(j << 2) | word] = np.uint64(0)
        while mask != np.uint64(0):
            b = (word << 6) | _lowest_bit(mask)
            at = ((j << 8) | b) * n_stats
            bins[k] = b
            for s in range(n_stats):
                stats[k, s] = hist[at + s]
                hist[at + s] = 0.0
            k += 1
            mask &= mask - np.uint64(1)
    return k


@njit(**_INTERNAL)
def _scan_pairs(stats, k, missing, binary, total, mean, n_rows, min_leaf, min_weight, best):
    """Best cut by (sum_L w (y - mean))^2 W / (W_L W_R); entry k of `stats` is the missing bin. Position -1 if none."""
    position, side_of_missing = -1, 0
    bar = best / total
    n_counted = stats.shape[1] - 1
    for side in range(2 if missing else 1):
        left_w, left_s, left_n = 0.0, 0.0, 0.0
        for step in range(-side, k if (missing and side == 0) else k - 1):
            i = k if step < 0 else step
            if binary:
                left_w += stats[i, 0] + stats[i, 1]
            else:
                left_w += stats[i, 0]
            left_s += stats[i, 1]
            left_n += stats[i, n_counted]
            right_w = total - left_w
            d = left_s - mean * left_w
            if step >= 0 and d * d > bar * (left_w * right_w):
                if min_leaf > 1 and (left_n < min_leaf or n_rows - left_n < min_leaf):
                    continue
                if left_w < min_weight or right_w < min_weight or right_w <= 0.0:
                    continue
                bar = d * d / (left_w * right_w)
                position, side_of_missing = i, side
    return bar * total, position, side_of_missing


@njit(**_INTERNAL)
def _xlogx(c):
    return c * np.log2(c) if c > 0.0 else 0.0


@njit(**_INTERNAL)
def _scan_classes(
    stats, k, missing, entropy, counts, total, parent, n_rows, min_leaf, min_weight, best, left
):  # fmt: skip
    """Best cut by Gini or entropy over any number of classes; as `_scan_pairs`."""
    position, side_of_missing = -1, 0
    n_counted = stats.shape[1] - 1
    for side in range(2 if missing else 1):
        left_w, left_n = 0.0, 0.0
        for c in range(counts.size):
            left[c] = 0.0
        for step in range(-side, k if (missing and side == 0) else k - 1):
            i = k if step < 0 else step
            left_f, right_f, left_w = 0.0, 0.0, 0.0
            for c in range(counts.size):
                a = left[c] + stats[i, c]
                b = counts[c] - a
                left[c] = a
                left_w += a
                left_f += _xlogx(a) if entropy else a * a
                right_f += _xlogx(b) if entropy else b * b
            left_n += stats[i, n_counted]
            right_w = total - left_w
            if step < 0 or left_w < min_weight or right_w < min_weight or right_w <= 0.0:
                continue
            if min_leaf > 1 and (left_n < min_leaf or n_rows - left_n < min_leaf):
                continue
            if entropy:
                gain = left_f - _xlogx(left_w) + right_f - _xlogx(right_w) - parent
            else:
                gain = left_f / left_w + right_f / right_w - parent
            if gain > best:
                best = gain
                position, side_of_missing = i, side
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


def forest_room(capacity, n_rows, n_features, n_classes, count_rows, y_type):
    """The work space of `grow_forest_tree`; its first two arrays hold what a node is apart from its word and value.

    Returns int64 (4, capacity), of which row 0 is n_samples; float64 (3, capacity), of which rows 0 and 1 are weight
    and impurity; then scratch.
    """
    n_stats = max(n_classes, 2) + count_rows
    return (
        np.empty((4, capacity), np.int64),
        np.zeros((3, capacity)),
        np.arange(n_features),
        np.zeros(BATCH * 256 * n_stats),
        np.zeros(BATCH * 4, np.uint64),
        np.empty(256, np.int64),
        np.empty((256, n_stats)),
        np.empty(n_classes),
        np.empty(n_rows, np.int64),
        np.empty(n_rows),
        np.empty(n_rows, y_type),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def grow_forest_tree(
    codes, edges, rows, w, label, target, n_classes, entropy, limits, min_weight, min_gain, state, nodes, value,
    importance, left_counts, room,
):  # fmt: skip
    """Grow one tree on the in-bag rows into `nodes`, `value`, `importance` and `room`; return its number of nodes.

    Args: codes uint8 (n, F); edges float32 (F, 256); rows int64 (m,), permuted in place like w float64 (m,) > 0 and
    label int32 (m,) (or None) or target float64 (m,) (or None);
    limits (max_depth, min_samples_split, min_samples_leaf, max_leaf_nodes,
    max_features); min_gain in weight units of the impurity; state uint64 (1,), of the generator; nodes uint64
    (capacity,); value (capacity, outputs); importance (F,), zero; left_counts float64 (K,), or None where classes are
    searched as 0/1 numbers (one class, or two under Gini); room as `forest_room` makes it.
    """
    max_depth, min_split, min_leaf, max_leaves, max_features = limits
    whole, real, pool, hist, occupied, bins, stats, counts, row_buffer, w_buffer, y_buffer = room
    n_samples, start, depth = whole[0], whole[1], whole[2]
    open_nodes = whole[3]  # a stack, or a heap by gain when the number of leaves is limited
    weight, impurity, gain_of = real[0], real[1], real[2]  # gain of the split found, not yet carried out
    n, n_features = rows.size, codes.shape[1]
    binary = n_classes == 2
    count_rows = min_leaf > 1
    n_stats = stats.shape[1]
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
            nodes[node] = (np.uint64(node) << np.uint64(32)) | np.uint64(MISSING)
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
                _fill(codes, rows, w, label, target, lo, hi, pool, drawn, take, n_stats, count_rows, hist, occupied)
                for j in range(take):
                    k = _take_occupied(hist, occupied, j, n_stats, bins, stats)
                    if k < 2:
                        continue
                    missing = bins[k - 1] == MISSING
                    if missing:
                        k -= 1
                    found, position, side = best, -1, 0
                    if left_counts is None:
                        found, position, side = _scan_pairs(
                            stats, k, missing, binary, total, value[node, 0], hi - lo, min_leaf, min_weight, best
                        )
                    else:
                        found, position, side = _scan_classes(
                            stats, k, missing, entropy, counts, total, parent, hi - lo, min_leaf, min_weight, best,
                            left_counts,
                        )  # fmt: skip
                    if position < 0:
                        continue
                    best = max(found, 0.0)
                    cut = np.int64(MISSING - 1)
                    if position + 1 < k:  # the edge halfway, in values, between the occupied bins on either side
                        e = edges[pool[drawn + j]]
                        cut, above = bins[position], bins[position + 1] - 1
                        middle = np.float32(0.5) * e[cut] + np.float32(0.5) * e[above]
                        while cut < above and e[cut + 1] <= middle:
                            cut += 1
                    best_word = np.uint64((pool[drawn + j] << 9) | (side << 8) | (cut + side))
                    if not missing:
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
        no_missing = word >> np.uint64(63)
        low = np.int64(word & np.uint64(0xFFFFFFFF))
        f, shift, cut = low >> 9, (low >> 8) & 1, low & 255
        lo = start[node]
        hi = lo + n_samples[node]
        left, right = lo, 0
        for i in range(lo, hi):
            r, wi = rows[i], w[i]
            goes = np.int64(((np.int64(codes[r, f]) + shift) & 255) <= cut)
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
        if no_missing and left - lo > right:  # a later missing value follows the larger child
            low = (f << 9) | (1 << 8) | (cut + 1)
        nodes[node] = (np.uint64(n_nodes) << np.uint64(32)) | np.uint64(low)
        importance[f] += gain_of[node]
        start[n_nodes], start[n_nodes + 1] = lo, left
        n_samples[n_nodes], n_samples[n_nodes + 1] = left - lo, right
        depth[n_nodes] = depth[n_nodes + 1] = depth[node] + 1
        n_nodes += 2
        n_leaves += 1
    for k in range(n_open):  # splits found but not carried out
        nodes[open_nodes[k]] = (np.uint64(open_nodes[k]) << np.uint64(32)) | np.uint64(MISSING)
    return n_nodes
