"""Growing one gradient-boosted tree on binned rows: histogram, split search, partition.

Every sum is a sum of integers. The gradient pass turns each row's gradient and hessian into one int64,
`(gradient << 32) + hessian` in fixed point, so that a histogram bin is updated by one addition, a sibling is an exact
subtraction, and neither the number of threads nor the order of the rows can change a bit of the result.

Layout: features stand in groups of up to sixteen, and words[group, row] holds a row's bin codes in two uint64, so that
one cache line serves four rows; a group's histogram (at most 16 x 256 int64) fits the first-level cache.
`columns[feature, row]` holds the same codes one byte each for partitioning, where a single feature is read. A thread
owns whole groups: no private copies, no reduction.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.machine_kernels import barrier
from breadth.tabular.trees.options_kernels import choose_features
from breadth.tabular.trees.pointer_kernels import add_rows_at, search_at
from breadth.tabular.trees.split_kernels import partition, partition_by_set, put_leaf, put_rows
from breadth.tabular.trees.workspace import CATEGORICAL, SUM_LIMIT

START, STOP, NODE, DEPTH, SLOT = 0, 1, 2, 3, 4  # of a leaf: its part of `rows`, its node, its histogram
G, H, WEIGHT, LOWER, UPPER = 0, 1, 2, 3, 4  # sums, weight in rows, bounds of its value
GAIN, FEATURE, BIN, MISSING_LEFT, LEFT_G, LEFT_H = 0, 1, 2, 3, 4, 5  # its best split


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def can_split(place, state, leaf, max_depth, min_rows, min_hessian):
    """Whether a leaf may have children at all."""
    return (
        (max_depth == 0 or place[leaf, DEPTH] < max_depth)
        and state[leaf, WEIGHT] >= 2 * min_rows
        and state[leaf, H] >= 2 * min_hessian
        and place[leaf, STOP] - place[leaf, START] > 1
    )


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def clear(pool, at, size):
    here = np.uint64(at)
    for k in range(np.uint64(size)):
        pool[here + k] = 0


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def subtract(pool, at, size, sibling):
    """The parent's histogram, at `at`, becomes the other child's."""
    here = np.uint64(at)
    there = np.uint64(sibling)
    for k in range(np.uint64(size)):
        pool[here + k] -= pool[there + k]


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def take_best(best, best_sets, side, leaf, state, l2, split, sets):
    """The best of the groups' splits becomes the leaf's, its gain now counted from the leaf as it is."""
    split[leaf, GAIN] = -1.0
    for group in range(best.shape[0]):
        if best[group, side, GAIN] > split[leaf, GAIN]:
            for k in range(6):
                split[leaf, k] = best[group, side, k]
            for k in range(4):
                sets[leaf, k] = best_sets[group, side, k]
    if split[leaf, GAIN] < 0.0:
        return  # no split at all: counted from a leaf that its bounds hold back, even that would look like a gain
    hessian = state[leaf, H] + l2
    value = min(max(-state[leaf, G] / hessian, state[leaf, LOWER]), state[leaf, UPPER])
    rounding = split[leaf, GAIN] * 1e-12  # must not look like a gain
    split[leaf, GAIN] += 2 * state[leaf, G] * value + hessian * value * value
    if split[leaf, GAIN] <= rounding:
        split[leaf, GAIN] = -1.0


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def leaf_to_split(split, place, n_leaves, min_gain, level_wise):
    """The leaf with the largest gain, level-wise among the shallowest; -1 when no gain exceeds `min_gain`."""
    s = np.int64(-1)
    for leaf in range(n_leaves):
        if split[leaf, GAIN] > min_gain and (
            s < 0
            or (level_wise and place[leaf, DEPTH] < place[s, DEPTH])
            or ((not level_wise or place[leaf, DEPTH] == place[s, DEPTH]) and split[leaf, GAIN] > split[s, GAIN])
        ):
            s = leaf
    return s


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def open_children(place, state, split, s, b, node, n_left, left_smaller, weight_left, sign, l2):
    """Leaf s becomes the child with more rows, and the new leaf b the one with fewer; the left one is `node`."""
    left, right = (b, s) if left_smaller else (s, b)
    lo = place[s, START]
    hi = place[s, STOP]
    GL = split[s, LEFT_G]
    HL = split[s, LEFT_H]
    GR = state[s, G] - GL
    HR = state[s, H] - HL
    weight_right = state[s, WEIGHT] - weight_left
    low = state[s, LOWER]
    high = state[s, UPPER]
    place[b, DEPTH] = place[s, DEPTH] = place[s, DEPTH] + 1
    place[left, START] = lo
    place[left, STOP] = lo + n_left
    place[left, NODE] = node
    state[left, G] = GL
    state[left, H] = HL
    state[left, WEIGHT] = weight_left
    place[right, START] = lo + n_left
    place[right, STOP] = hi
    place[right, NODE] = node + 1
    state[right, G] = GR
    state[right, H] = HR
    state[right, WEIGHT] = weight_right
    state[b, LOWER] = state[s, LOWER] = low
    state[b, UPPER] = state[s, UPPER] = high
    if sign == 1 or sign == -1:  # monotone: the children's values may not cross their middle
        left_value = min(max(-GL / (HL + l2), low), high)
        right_value = min(max(-GR / (HR + l2), low), high)
        middle = 0.5 * (left_value + right_value)
        below, above = (left, right) if sign == 1 else (right, left)
        state[below, UPPER] = middle
        state[above, LOWER] = middle


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def write_leaves(place, state, n_leaves, min_hessian, l2, value_of, left_of, leaf_node, leaf_start):
    """Each leaf's Newton step -G / (H + l2), within its bounds; Chen & Guestrin 2016, eq. 5.

    A root without the hessian that a child would need takes no step: nothing says how far.
    """
    for leaf in range(n_leaves):
        node = place[leaf, NODE]
        hessian = state[leaf, H] + l2
        value = -state[leaf, G] / hessian if state[leaf, H] >= min_hessian else 0.0
        value_of[node] = min(max(value, state[leaf, LOWER]), state[leaf, UPPER])
        left_of[node] = -1
        leaf_node[leaf] = node
        leaf_start[leaf] = place[leaf, START]


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def grow_tree(t, n_threads, codes, work, frontier, tree, rules, n_rows, in_order, row_adder, searcher):
    """Grow one tree on the packed gradients of rows[:n_rows]; every thread calls this with its own `t`.

    Each thread keeps its own `frontier` and takes the same decisions; they share only the rows' order, the
    histograms and each group's best split. Only thread 0 writes the tree.

    Args:
        in_order: the tree sees all rows, and `work.rows` need not be filled.
        row_adder: address of `add_rows` for codes.lanes.
        searcher: address of `search_ordered`, or of `search_any` when codes.kind is not all zero.

    Returns:
        Number of nodes; -1 if the fixed point overflowed, and the gradient pass must be repeated with a coarser unit.

    Cost: O(features * (rows on the smaller side of each split + leaves * bins)).
    """
    # unpacked once: inside a loop each access to a named tuple's array would count references
    all_words, lanes, columns, n_bins, has_missing, kind, row_weight = codes
    packed, rows, left_rows, right_rows, ordered, pool, best, best_sets, sums, counts, sync = work
    place, state, split, sets, free, tried, limits, found, found_set, cumulative, gain = frontier
    feature_of, bin_of, missing_left_of, left_of, gain_of, value_of, rows_of = tree[:7]
    leaf_of_row, leaf_node, leaf_start, sets_of = tree[7:]
    max_leaves, max_depth, level_wise, min_rows, min_hessian, l2, min_gain = rules[:7]
    gradient_unit, hessian_unit, weight_unit, total_weight, stride, n_features_tried, seed = rules[7:]
    barrier(sync, n_threads)  # the gradient pass of every thread has ended
    add_rows = add_rows_at(row_adder)
    search = search_at(searcher)
    magnitude = np.int64(0)
    gradient_sum = np.int64(0)
    hessian_sum = np.int64(0)
    for s in range(n_threads):
        magnitude += sums[s * 8]
        gradient_sum += sums[s * 8 + 1]
        hessian_sum += sums[s * 8 + 2]
    if magnitude >= SUM_LIMIT or hessian_sum >= SUM_LIMIT:
        return -1

    n_features = columns.shape[0]
    n_groups, all_rows, _ = all_words.shape
    words = all_words.reshape(-1)
    width = 2 * lanes
    size = width * stride
    n_slots = pool.shape[0] // (n_groups * size) - 2
    weighted = row_weight.shape[0] > 0
    n_free = n_slots
    for k in range(n_slots):
        free[k] = k
    for f in range(n_features):
        tried[f] = 1 if n_bins[f] + has_missing[f] > 1 else 0
    limits[0] = gradient_unit
    limits[1] = hessian_unit
    limits[2] = min_rows
    limits[3] = min_hessian
    limits[4] = l2

    n_leaves = np.int64(1)
    n_nodes = np.int64(1)
    place[0, START] = 0
    place[0, STOP] = n_rows
    place[0, NODE] = 0
    place[0, DEPTH] = 0
    place[0, SLOT] = -1
    state[0, G] = gradient_sum * gradient_unit
    state[0, H] = hessian_sum * hessian_unit
    state[0, WEIGHT] = total_weight
    state[0, LOWER] = -np.inf
    state[0, UPPER] = np.inf
    if not in_order:
        chunk = (n_rows + n_threads - 1) // n_threads
        mine = max(0, min(n_rows - t * chunk, chunk))
        put_rows(rows, t * chunk, mine, rows, t * chunk, packed, ordered, True)
        barrier(sync, n_threads)
    a = np.int64(0)  # the two leaves whose histograms are due: b is built from its rows, a = parent - b
    b = np.int64(0)
    while True:
        # --- histograms and best splits of leaves a and b (of the root alone, at first: a == b)
        open_a = n_leaves < max_leaves and can_split(place, state, a, max_depth, min_rows, min_hessian)
        open_b = n_leaves < max_leaves and can_split(place, state, b, max_depth, min_rows, min_hessian)
        slot_a = place[a, SLOT]
        slot_b = n_slots
        if open_a or open_b:
            has_parent = slot_a >= 0
            if n_free > 0:
                n_free -= 1
                slot_b = free[n_free]
            if not has_parent and a != b:
                slot_a = n_slots + 1
                if n_free > 0:
                    n_free -= 1
                    slot_a = free[n_free]
            if n_features_tried < n_features:
                choose_features(seed, place[b, NODE], n_features_tried, tried)
            first = in_order and n_leaves == 1
            gradients = packed if first else ordered
            for group in range(t, n_groups, n_threads):
                at_b = (slot_b * n_groups + group) * size
                at_a = (slot_a * n_groups + group) * size
                first_word = group * all_rows * 2
                clear(pool, at_b, size)
                add_rows(words, first_word, gradients, rows, place[b, START], place[b, STOP], first, pool, at_b, stride)
                if has_parent:
                    subtract(pool, at_a, size, at_b)
                elif a != b:
                    clear(pool, at_a, size)
                    add_rows(
                        words, first_word, gradients, rows, place[a, START], place[a, STOP], first, pool, at_a, stride
                    )
                for side in range(2 if a != b else 1):
                    leaf = b if side == 0 else a
                    best[group, side, GAIN] = -1.0
                    if open_b if side == 0 else open_a:
                        search(
                            group, width, pool, at_b if side == 0 else at_a, stride, n_bins, has_missing,
                            tried, kind, state[leaf], limits, cumulative, gain, found, found_set,
                            best[group, side], best_sets[group, side],
                        )  # fmt: skip
            barrier(sync, n_threads)
        for side in range(2 if a != b else 1):
            leaf = b if side == 0 else a
            kept = slot_b if side == 0 else slot_a
            split[leaf, GAIN] = -1.0
            if open_a or open_b:
                take_best(best, best_sets, side, leaf, state, l2, split, sets)
            place[leaf, SLOT] = kept if kept < n_slots else -1
            if split[leaf, GAIN] <= min_gain and place[leaf, SLOT] >= 0:
                free[n_free] = kept
                n_free += 1
                place[leaf, SLOT] = -1
        if n_leaves == max_leaves:
            break
        s = leaf_to_split(split, place, n_leaves, min_gain, level_wise)
        if s < 0:
            break

        # --- its rows to both sides
        f = np.int64(split[s, FEATURE])
        bin = np.int64(split[s, BIN])
        missing_left = split[s, MISSING_LEFT] == 1.0
        lo = place[s, START]
        hi = place[s, STOP]
        first = in_order and n_leaves == 1
        chunk = (hi - lo + n_threads - 1) // n_threads
        my_lo = min(hi, lo + t * chunk)
        my_hi = min(hi, my_lo + chunk)
        if kind[f] == CATEGORICAL:
            mine = partition_by_set(columns[f], rows, my_lo, my_hi, first, sets[s], left_rows, right_rows)
        else:
            missing_code = n_bins[f] if missing_left else np.int64(-1)
            mine = partition(columns[f], rows, my_lo, my_hi, first, bin, missing_code, left_rows, right_rows)
        counts[t * 8] = mine
        if weighted:
            total = np.int64(0)
            for i in range(my_lo, my_lo + mine):
                total += row_weight[left_rows[i]]
            counts[t * 8 + 1] = total
        barrier(sync, n_threads)
        n_left = np.int64(0)
        total = np.int64(0)
        before = np.int64(0)
        for k in range(n_threads):
            if k == t:
                before = n_left
            n_left += counts[k * 8]
            total += counts[k * 8 + 1]
        left_smaller = 2 * n_left <= hi - lo  # the smaller child is built from its rows: their gradients go along
        last = n_leaves + 1 == max_leaves
        both = place[s, SLOT] < 0
        to = lo + n_left + (my_lo - lo - before)
        put_rows(left_rows, my_lo, mine, rows, lo + before, packed, ordered, not last and (left_smaller or both))
        put_rows(
            right_rows, my_lo, my_hi - my_lo - mine, rows, to, packed, ordered, not last and (both or not left_smaller)
        )
        if t == 0:
            p = place[s, NODE]
            feature_of[p] = f
            bin_of[p] = bin
            missing_left_of[p] = missing_left
            left_of[p] = n_nodes
            gain_of[p] = split[s, GAIN]
            rows_of[n_nodes] = n_left
            rows_of[n_nodes + 1] = hi - lo - n_left
            for k in range(4):
                sets_of[p, k] = sets[s, k]
        a = s
        b = n_leaves
        weight_left = total * weight_unit if weighted else np.float64(n_left)
        open_children(place, state, split, s, b, n_nodes, n_left, left_smaller, weight_left, kind[f], l2)
        n_leaves += 1
        n_nodes += 2
        barrier(sync, n_threads)

    # --- leaf values, and each row's leaf for the next gradient pass
    if t == 0:
        write_leaves(place, state, n_leaves, min_hessian, l2, value_of, left_of, leaf_node, leaf_start)
        rows_of[0] = n_rows
    chunk = ((all_rows + n_threads - 1) // n_threads + 63) // 64 * 64
    if n_leaves == 1 and in_order:
        for i in range(np.uint64(min(all_rows, t * chunk)), np.uint64(min(all_rows, (t + 1) * chunk))):
            leaf_of_row[i] = 0
    else:
        for leaf in range(n_leaves):
            put_leaf(rows, place[leaf, START], place[leaf, STOP], t * chunk, (t + 1) * chunk, leaf, leaf_of_row)
    return n_nodes
