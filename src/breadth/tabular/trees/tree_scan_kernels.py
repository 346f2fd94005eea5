"""The searches of the exact tree: what a node is worth, and the best threshold of one presorted column.

Weights, labels and y that a criterion does not need are None; Numba drops the branches behind them.
"""

import numpy as np
from numba import njit

# Candidate splits whose gains agree to this relative amount of the node's own impurity are the same split up to
# rounding; the first one (lowest feature, then lowest threshold) is kept, so that summation order decides nothing.
TIE = 1e-13

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_INTERNAL)
def _weight(w, row):
    if w is None:
        return 1.0
    return w[row]


@njit(**_INTERNAL)
def describe_node(rows, lo, hi, y, w, labels, by_median, entropy, value):
    """Fill the node's value; return its weight and impurity. `rows` are sorted by y when `by_median`."""
    total = 0.0
    impurity = 0.0
    if y is not None:
        if by_median:
            for i in range(lo, hi):
                total += _weight(w, rows[i])
            below = 0.0
            centre = y[rows[hi - 1]]
            for i in range(lo, hi):
                below += _weight(w, rows[i])
                if 2.0 * below >= total:
                    centre = y[rows[i]]
                    if 2.0 * below == total and i + 1 < hi:
                        centre = 0.5 * centre + 0.5 * y[rows[i + 1]]
                    break
            for i in range(lo, hi):
                impurity += _weight(w, rows[i]) * abs(y[rows[i]] - centre) / total
            value[0] = centre
        else:
            s = 0.0
            low = high = y[rows[lo]]
            for i in range(lo, hi):
                wr = _weight(w, rows[i])
                total += wr
                s += wr * y[rows[i]]
                low = min(low, y[rows[i]])
                high = max(high, y[rows[i]])
            if low == high:  # pure exactly, whatever rounding does to the mean
                value[0] = low
                return total, 0.0
            mean = s / total
            s = 0.0
            square = 0.0
            for i in range(lo, hi):
                d = y[rows[i]] - mean
                wr = _weight(w, rows[i])
                s += wr * d
                square += wr * d * d
            shift = s / total  # what rounding left of the mean; zero but for large offsets
            value[0] = mean + shift
            impurity = max(square / total - shift * shift, 0.0)
    if labels is not None:
        for c in range(value.size):
            value[c] = 0.0
        for i in range(lo, hi):
            wr = _weight(w, rows[i])
            total += wr
            value[labels[rows[i]]] += wr
        if entropy:
            for c in range(value.size):
                if value[c] > 0.0:
                    impurity -= value[c] / total * np.log2(value[c] / total)
        else:
            impurity = 1.0
            for c in range(value.size):
                impurity -= (value[c] / total) ** 2
    return total, impurity


@njit(**_INTERNAL)
def scan_variance(x, rows, lo, observed, hi, y, w, mean, total, impurity, min_leaf, min_weight, best, missing_left):
    """Best threshold of one feature for squared error: maximise S_L^2 W / (W_L W_R), S_L = sum_L w (y - mean).

    Rows observed..hi miss the feature; they start on the left if `missing_left`. Returns (gain, position), -1 if none.
    """
    left_w, left_s, moved = 0.0, 0.0, 0
    if missing_left:
        for i in range(observed, hi):
            wr = _weight(w, rows[i])
            left_w += wr
            left_s += wr * (y[rows[i]] - mean)
        moved = hi - observed
    last = observed if (observed < hi and not missing_left) else observed - 1
    tie = TIE * impurity
    bar = best / total + tie
    position = -1
    for i in range(lo, last):
        r = rows[i]
        wr = _weight(w, r)
        left_w += wr
        left_s += wr * (y[r] - mean)
        right_w = total - left_w
        # the costly tests come only after the cheap one: few rows beat the best so far
        if left_s * left_s > bar * (left_w * right_w):
            n_left = i + 1 - lo + moved
            if n_left < min_leaf or hi - lo - n_left < min_leaf or left_w < min_weight or right_w < min_weight:
                continue
            if right_w <= 0.0 or (i + 1 < observed and x[r] == x[rows[i + 1]]):
                continue
            gain = left_s * left_s * (total / (left_w * right_w))
            if gain > best:
                best = gain
                bar = best / total + tie
                position = i
    return best, position


@njit(**_INTERNAL)
def _plogp(c):  # in bits
    return c * np.log2(c) if c > 0.0 else 0.0


@njit(**_INTERNAL)
def scan_classes(
    x, rows, lo, observed, hi, labels, w, counts, total, entropy, min_leaf, min_weight, best, missing_left, left, right
):
    """Best threshold of one feature for Gini or entropy; `left`, `right` are scratch of one entry per class.

    A row moves one class count, so sum_c f(count_c) is updated in constant time for f = square or c log c.
    """
    parent, left_f, right_f, left_w, moved = 0.0, 0.0, 0.0, 0.0, 0
    for c in range(counts.size):
        left[c] = 0.0
        right[c] = counts[c]
        right_f += _plogp(counts[c]) if entropy else counts[c] * counts[c]
    parent = right_f - _plogp(total) if entropy else right_f / total
    tie = TIE * (total * (1.0 + np.log2(1.0 + total)) if entropy else total)
    last = observed if (observed < hi and not missing_left) else observed - 1
    first = lo
    if missing_left:
        first = lo - (hi - observed)  # the missing rows come before the observed ones
        moved = hi - observed
    position = -1
    for j in range(first, last):
        r = rows[j] if j >= lo else rows[j - first + observed]
        wr = _weight(w, r)
        c = labels[r]
        a, b = left[c], right[c]
        a1 = a + wr
        b1 = max(b - wr, 0.0)
        if entropy:
            left_f += _plogp(a1) - _plogp(a)
            right_f += _plogp(b1) - _plogp(b)
        else:
            left_f += a1 * a1 - a * a
            right_f += b1 * b1 - b * b
        left[c] = a1
        right[c] = b1
        left_w += wr
        if j < lo or (j + 1 < observed and x[r] == x[rows[j + 1]]):
            continue
        right_w = total - left_w
        if right_w <= 0.0:
            continue
        if entropy:
            gain = left_f - _plogp(left_w) + right_f - _plogp(right_w) - parent
        else:
            gain = left_f / left_w + right_f / right_w - parent
        if gain > best + tie or best < 0.0:
            n_left = j + 1 - lo + moved
            if n_left < min_leaf or hi - lo - n_left < min_leaf or left_w < min_weight or right_w < min_weight:
                continue
            best = max(gain, 0.0)
            position = j
    return best, position


@njit(**_INTERNAL)
def _prefix_costs(sequence, m, backwards, rank, sorted_y, y, centre, w, tree_w, tree_s, cost):
    """cost[i] = min_c sum over the first (or last) i + 1 rows of w |y - c|, by a Fenwick tree over ranks of y."""
    top = 1
    while top * 2 <= m:
        top *= 2
    for i in range(m + 1):
        tree_w[i] = 0.0
        tree_s[i] = 0.0
    total_w, total_s = 0.0, 0.0
    for i in range(m):
        r = sequence[m - 1 - i] if backwards else sequence[i]
        wr = _weight(w, r)
        ws = wr * (y[r] - centre)
        total_w += wr
        total_s += ws
        k = np.int64(rank[r]) + 1
        while k <= m:
            tree_w[k] += wr
            tree_s[k] += ws
            k += k & -k
        position, below_w, below_s, step = 0, 0.0, 0.0, top
        while step > 0:
            k = position + step
            if k <= m and 2.0 * (below_w + tree_w[k]) < total_w:
                position = k
                below_w += tree_w[k]
                below_s += tree_s[k]
            step >>= 1
        median = sorted_y[min(position, m - 1)] - centre
        cost[i] = median * (2.0 * below_w - total_w) + total_s - 2.0 * below_s


@njit(**_INTERNAL)
def scan_absolute(
    x, rows, lo, observed, hi, y, w, rank, sorted_y, centre, total, cost, min_leaf, min_weight, best, missing_left, work
):
    """Best threshold of one feature for absolute error, O(m log m); `work` is (sequence, 2 Fenwick, 2 cost) scratch."""
    sequence, tree_w, tree_s, left_cost, right_cost = work
    m = hi - lo
    n_missing = hi - observed
    shift = n_missing if missing_left else 0
    for i in range(m):
        sequence[(i + shift) % m] = rows[lo + i]
    _prefix_costs(sequence, m, False, rank, sorted_y, y, centre, w, tree_w, tree_s, left_cost)
    _prefix_costs(sequence, m, True, rank, sorted_y, y, centre, w, tree_w, tree_s, right_cost)
    last = m - n_missing if (n_missing > 0 and not missing_left) else m - 1
    tie = TIE * cost
    position = -1
    left_w = 0.0
    for i in range(last):
        left_w += _weight(w, sequence[i])
        gain = cost - left_cost[i] - right_cost[m - 2 - i]
        if gain > best + tie or best < 0.0:
            if i + 1 < min_leaf or m - i - 1 < min_leaf or left_w < min_weight or total - left_w < min_weight:
                continue
            if i < shift or (lo + i + 1 - shift < observed and x[sequence[i]] == x[sequence[i + 1]]):
                continue
            best = max(gain, 0.0)
            position = lo + i - shift
    return best, position
