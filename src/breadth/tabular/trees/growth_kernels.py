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

G, H, WEIGHT, LOWER, UPPER = 0, 1, 2, 3, 4  # of a leaf: sums, weight in rows, bounds of its value
GAIN, FEATURE, BIN, MISSING_LEFT, LEFT_G, LEFT_H = 0, 1, 2, 3, 4, 5  # of its best split


@njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)
def grow_tree(t, n_threads, codes, work, tree, rules, n_rows, in_order, row_adder, searcher):
    """Grow one tree on the packed gradients of rows[:n_rows]; every thread calls this with its own `t`.

    Each thread keeps its own copy of the frontier and takes the same decisions; they share only the rows' order, the
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
    group_size = width * stride
    n_slots = pool.shape[0] // (n_groups * group_size) - 2
    weighted = row_weight.shape[0] > 0
    start = np.zeros(max_leaves, np.int64)
    stop = np.zeros(max_leaves, np.int64)
    node = np.zeros(max_leaves, np.int64)
    depth = np.zeros(max_leaves, np.int64)
    slot = np.zeros(max_leaves, np.int64)
    state = np.zeros((max_leaves, 5))
    split = np.zeros((max_leaves, 6))
    sets = np.zeros((max_leaves, 4), np.uint64)
    free = np.zeros(n_slots, np.int64)
    n_free = n_slots
    for k in range(n_slots):
        free[k] = k
    tried = np.zeros(n_features, np.uint8)
    for f in range(n_features):
        tried[f] = 1 if n_bins[f] + has_missing[f] > 1 else 0
    found = np.zeros(6)
    found_set = np.zeros(4, np.uint64)
    cumulative = np.empty(256, np.int64)
    gain = np.empty(256)
    limits = np.empty(5)
    limits[0] = gradient_unit
    limits[1] = hessian_unit
    limits[2] = min_rows
    limits[3] = min_hessian
    limits[4] = l2

    n_leaves = 1
    n_nodes = 1
    stop[0] = n_rows
    slot[0] = -1
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
    a = 0  # the two leaves whose histograms are due: b is built from its rows, a = parent - b
    b = 0
    while True:
        # --- histograms and best splits of leaves a and b (of the root alone, at first: a == b)
        can_a = (
            n_leaves < max_leaves
            and (max_depth == 0 or depth[a] < max_depth)
            and state[a, WEIGHT] >= 2 * min_rows
            and state[a, H] >= 2 * min_hessian
            and stop[a] - start[a] > 1
        )
        can_b = (
            n_leaves < max_leaves
            and (max_depth == 0 or depth[b] < max_depth)
            and state[b, WEIGHT] >= 2 * min_rows
            and state[b, H] >= 2 * min_hessian
            and stop[b] - start[b] > 1
        )
        if can_a or can_b:
            parent_slot = slot[a]
            slot_b = n_slots
            slot_a = parent_slot
            if n_free > 0:
                n_free -= 1
                slot_b = free[n_free]
            if parent_slot < 0 and a != b:
                slot_a = n_slots + 1
                if n_free > 0:
                    n_free -= 1
                    slot_a = free[n_free]
            if n_features_tried < n_features:
                choose_features(seed, node[b], n_features_tried, tried)
            first = in_order and n_leaves == 1
            gradients = packed if first else ordered
            for group in range(t, n_groups, n_threads):
                at_b = (slot_b * n_groups + group) * group_size
                at_a = (slot_a * n_groups + group) * group_size
                from_b = np.uint64(at_b)
                from_a = np.uint64(at_a)
                for k in range(np.uint64(group_size)):
                    pool[from_b + k] = 0
                first_word = group * all_rows * 2
                add_rows(words, first_word, gradients, rows, start[b], stop[b], first, pool, at_b, stride)
                if a != b and parent_slot >= 0:
                    for k in range(np.uint64(group_size)):
                        pool[from_a + k] -= pool[from_b + k]
                elif a != b:
                    for k in range(np.uint64(group_size)):
                        pool[from_a + k] = 0
                    add_rows(words, first_word, gradients, rows, start[a], stop[a], first, pool, at_a, stride)
                for side in range(2 if a != b else 1):
                    leaf = b if side == 0 else a
                    if can_b if side == 0 else can_a:
                        search(
                            group, width, pool, at_b if side == 0 else at_a, stride, n_bins, has_missing,
                            tried, kind, state[leaf], limits, cumulative, gain, found, found_set,
                            best[group, side], best_sets[group, side],
                        )  # fmt: skip
                    else:
                        best[group, side, 0] = -1.0
            barrier(sync, n_threads)
            for side in range(2 if a != b else 1):
                leaf = b if side == 0 else a
                split[leaf, GAIN] = -1.0
                for group in range(n_groups):
                    if best[group, side, 0] > split[leaf, GAIN]:
                        for k in range(6):
                            split[leaf, k] = best[group, side, k]
                        for k in range(4):
                            sets[leaf, k] = best_sets[group, side, k]
                gradient = state[leaf, G]
                hessian = state[leaf, H] + l2
                value = min(max(-gradient / hessian, state[leaf, LOWER]), state[leaf, UPPER])
                rounding = split[leaf, GAIN] * 1e-12  # must not look like a gain
                split[leaf, GAIN] += 2 * gradient * value + hessian * value * value
                if split[leaf, GAIN] <= rounding:
                    split[leaf, GAIN] = -1.0
                kept = slot_b if side == 0 else slot_a
                slot[leaf] = kept if kept < n_slots else -1
                if split[leaf, GAIN] <= min_gain and slot[leaf] >= 0:
                    free[n_free] = slot[leaf]
                    n_free += 1
                    slot[leaf] = -1
        else:
            if slot[a] >= 0:
                free[n_free] = slot[a]
                n_free += 1
                slot[a] = -1
            split[a, GAIN] = -1.0
            split[b, GAIN] = -1.0
        if n_leaves == max_leaves:
            break

        # --- the leaf to split
        s = -1
        for leaf in range(n_leaves):
            if split[leaf, GAIN] > min_gain and (
                s < 0
                or (level_wise and depth[leaf] < depth[s])
                or ((not level_wise or depth[leaf] == depth[s]) and split[leaf, GAIN] > split[s, GAIN])
            ):
                s = leaf
        if s < 0:
            break

        # --- its rows to both sides
        f = np.int64(split[s, FEATURE])
        bin = np.int64(split[s, BIN])
        missing_left = split[s, MISSING_LEFT] == 1.0
        lo = start[s]
        hi = stop[s]
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
        both = slot[s] < 0
        done = n_leaves + 1 == max_leaves
        to = lo + n_left + (my_lo - lo - before)
        put_rows(left_rows, my_lo, mine, rows, lo + before, packed, ordered, not done and (left_smaller or both))
        put_rows(
            right_rows, my_lo, my_hi - my_lo - mine, rows, to, packed, ordered, not done and (both or not left_smaller)
        )

        # --- the frontier: the child with fewer rows becomes b
        GL = split[s, LEFT_G]
        HL = split[s, LEFT_H]
        weight_left = total * weight_unit if weighted else np.float64(n_left)
        if t == 0:
            p = node[s]
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
        n_leaves += 1
        left_leaf, right_leaf = (b, a) if left_smaller else (a, b)
        G_all = state[s, G]
        H_all = state[s, H]
        weight_all = state[s, WEIGHT]
        low = state[s, LOWER]
        high = state[s, UPPER]
        depth[b] = depth[a] = depth[s] + 1
        start[left_leaf] = lo
        stop[left_leaf] = lo + n_left
        node[left_leaf] = n_nodes
        state[left_leaf, G] = GL
        state[left_leaf, H] = HL
        state[left_leaf, WEIGHT] = weight_left
        start[right_leaf] = lo + n_left
        stop[right_leaf] = hi
        node[right_leaf] = n_nodes + 1
        state[right_leaf, G] = G_all - GL
        state[right_leaf, H] = H_all - HL
        state[right_leaf, WEIGHT] = weight_all - weight_left
        state[b, LOWER] = state[a, LOWER] = low
        state[b, UPPER] = state[a, UPPER] = high
        if abs(kind[f]) == 1:  # monotone: the children's values may not cross their middle
            left_value = min(max(-GL / (HL + l2), low), high)
            right_value = min(max(-(G_all - GL) / (H_all - HL + l2), low), high)
            middle = 0.5 * (left_value + right_value)
            if kind[f] == 1:
                state[left_leaf, UPPER] = middle
                state[right_leaf, LOWER] = middle
            else:
                state[left_leaf, LOWER] = middle
                state[right_leaf, UPPER] = middle
        n_nodes += 2
        barrier(sync, n_threads)

    # --- leaf values, and each row's leaf for the next gradient pass
    if t == 0:
        for leaf in range(n_leaves):
            hessian = state[leaf, H] + l2
            value = -state[leaf, G] / hessian if hessian > 0 else 0.0
            value_of[node[leaf]] = min(max(value, state[leaf, LOWER]), state[leaf, UPPER])
            left_of[node[leaf]] = -1
            leaf_node[leaf] = node[leaf]
            leaf_start[leaf] = start[leaf]
    if t == 0:
        rows_of[0] = n_rows
    chunk = ((all_rows + n_threads - 1) // n_threads + 63) // 64 * 64
    if n_leaves == 1 and in_order:
        for i in range(np.uint64(min(all_rows, t * chunk)), np.uint64(min(all_rows, (t + 1) * chunk))):
            leaf_of_row[i] = 0
    else:
        for leaf in range(n_leaves):
            put_leaf(rows, start[leaf], stop[leaf], t * chunk, (t + 1) * chunk, leaf, leaf_of_row)
    return n_nodes
