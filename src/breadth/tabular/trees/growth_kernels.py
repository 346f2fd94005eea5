"""Growing one gradient-boosted tree on binned rows: histogram, split search, partition.

Every sum is a sum of integers. The gradient pass turns each row's gradient and hessian into one int64,
`(gradient << 32) + hessian` in fixed point, so that a histogram bin is updated by one addition, a sibling is an exact
subtraction, and neither the number of threads nor the order of the rows can change a bit of the result.

Layout: features stand in blocks of eight, and `words[block, row]` holds a row's eight bin codes in one uint64; a
block's histogram (8 x stride int64) stays in the first-level cache. `columns[feature, row]` holds the same codes one
byte each for partitioning, where a single feature is read. A thread owns whole blocks: no private copies, no reduction.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.machine_kernels import barrier
from breadth.tabular.trees.options_kernels import choose_features
from breadth.tabular.trees.split_kernels import add_rows, partition, partition_by_set, search_block
from breadth.tabular.trees.workspace import BLOCK, SUM_LIMIT


@njit(nogil=True, cache=True, error_model="numpy")
def grow_tree(t, n_threads, codes, work, tree, rules, n_rows, in_order, categorical, monotone):
    """Grow one tree on the packed gradients of rows[:n_rows]; every thread calls this with its own `t`.

    Each thread keeps its own copy of the frontier and takes the same decisions; they share only the rows' order, the
    histograms and each block's best split. Only thread 0 writes the tree.

    Args:
        in_order: the tree sees all rows, and `work.rows` need not be filled.
        categorical: uint8 (features,), or None: compiled without categorical splits.
        monotone: int8 (features,) of -1, 0, 1, or None likewise.

    Returns:
        Number of nodes; -1 if the fixed point overflowed, and the gradient pass must be repeated with a coarser unit.

    Cost: O(features * (rows on the smaller side of each split + leaves * bins)).
    """
    barrier(work.sync, n_threads)  # the gradient pass of every thread has ended
    magnitude = np.int64(0)
    gradient_sum = np.int64(0)
    hessian_sum = np.int64(0)
    for s in range(n_threads):
        magnitude += work.sums[s * 8]
        gradient_sum += work.sums[s * 8 + 1]
        hessian_sum += work.sums[s * 8 + 2]
    if magnitude >= SUM_LIMIT or hessian_sum >= SUM_LIMIT:
        return -1

    n_features = codes.columns.shape[0]
    n_blocks = codes.words.shape[0]
    stride = rules.stride
    block_size = BLOCK * stride
    n_slots = work.pool.shape[0] // (n_blocks * block_size) - 2
    weighted = codes.row_weight.shape[0] > 0
    L = rules.max_leaves
    start = np.zeros(L, np.int64)
    stop = np.zeros(L, np.int64)
    node = np.zeros(L, np.int64)
    depth = np.zeros(L, np.int64)
    slot = np.zeros(L, np.int64)
    G = np.zeros(L)
    H = np.zeros(L)
    weight = np.zeros(L)
    lower = np.zeros(L)
    upper = np.zeros(L)
    split = np.zeros((L, 6))  # gain, feature, bin, missing_left, GL, HL
    sets = np.zeros((L, 4), np.uint64)
    free = np.zeros(n_slots, np.int64)
    n_free = n_slots
    for k in range(n_slots):
        free[k] = k
    tried = np.zeros(n_features, np.uint8)
    for f in range(n_features):
        tried[f] = 1
    found = np.zeros(6)
    found_set = np.zeros(4, np.uint64)
    cumulative = np.empty(256, np.int64)
    gain = np.empty(256)

    n_leaves = 1
    n_nodes = 1
    stop[0] = n_rows
    slot[0] = -1
    lower[0] = -np.inf
    upper[0] = np.inf
    G[0] = gradient_sum * rules.gradient_unit
    H[0] = hessian_sum * rules.hessian_unit
    weight[0] = rules.total_weight
    a = 0  # the two leaves whose histograms are due: b is built from its rows, a = parent - b
    b = 0
    while True:
        # --- histograms and best splits of leaves a and b (of the root alone, at first: a == b)
        can_a = (
            n_leaves < L
            and (rules.max_depth == 0 or depth[a] < rules.max_depth)
            and weight[a] >= 2 * rules.min_rows
            and H[a] >= 2 * rules.min_hessian
            and stop[a] - start[a] > 1
        )
        can_b = (
            n_leaves < L
            and (rules.max_depth == 0 or depth[b] < rules.max_depth)
            and weight[b] >= 2 * rules.min_rows
            and H[b] >= 2 * rules.min_hessian
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
            if rules.n_features_tried < n_features:
                choose_features(rules.seed, node[b], rules.n_features_tried, tried)
            first = in_order and n_leaves == 1
            for block in range(t, n_blocks, n_threads):
                at_b = (slot_b * n_blocks + block) * block_size
                at_a = (slot_a * n_blocks + block) * block_size
                for k in range(block_size):
                    work.pool[at_b + k] = 0
                add_rows(codes.words, block, work.packed, work.rows, start[b], stop[b], first, work.pool, at_b, stride)
                if a != b:
                    if parent_slot >= 0:
                        for k in range(block_size):
                            work.pool[at_a + k] -= work.pool[at_b + k]
                    else:
                        for k in range(block_size):
                            work.pool[at_a + k] = 0
                        add_rows(
                            codes.words,
                            block,
                            work.packed,
                            work.rows,
                            start[a],
                            stop[a],
                            first,
                            work.pool,
                            at_a,
                            stride,
                        )
                for side in range(2 if a != b else 1):
                    leaf = b if side == 0 else a
                    if can_b if side == 0 else can_a:
                        search_block(
                            block,
                            work.pool,
                            at_b if side == 0 else at_a,
                            codes.n_bins,
                            codes.has_missing,
                            tried,
                            G[leaf],
                            H[leaf],
                            weight[leaf],
                            lower[leaf],
                            upper[leaf],
                            rules,
                            categorical,
                            monotone,
                            cumulative,
                            gain,
                            found,
                            found_set,
                            work.best[block, side],
                            work.best_sets[block, side],
                        )
                    else:
                        work.best[block, side, 0] = -1.0
            barrier(work.sync, n_threads)
            for side in range(2 if a != b else 1):
                leaf = b if side == 0 else a
                split[leaf, 0] = -1.0
                for block in range(n_blocks):
                    if work.best[block, side, 0] > split[leaf, 0]:
                        for k in range(6):
                            split[leaf, k] = work.best[block, side, k]
                        for k in range(4):
                            sets[leaf, k] = work.best_sets[block, side, k]
                value = -G[leaf] / (H[leaf] + rules.l2)
                if monotone is not None:
                    value = min(max(value, lower[leaf]), upper[leaf])
                unsplit = split[leaf, 0] * 1e-12  # rounding must not look like a gain
                split[leaf, 0] += 2 * G[leaf] * value + (H[leaf] + rules.l2) * value * value
                if split[leaf, 0] <= unsplit:
                    split[leaf, 0] = -1.0
                kept = slot_b if side == 0 else slot_a
                slot[leaf] = kept if kept < n_slots else -1
                if split[leaf, 0] <= rules.min_gain and slot[leaf] >= 0:
                    free[n_free] = slot[leaf]
                    n_free += 1
                    slot[leaf] = -1
        else:
            if slot[a] >= 0:
                free[n_free] = slot[a]
                n_free += 1
                slot[a] = -1
            split[a, 0] = -1.0
            split[b, 0] = -1.0
        if n_leaves == L:
            break

        # --- the leaf to split
        s = -1
        for leaf in range(n_leaves):
            if split[leaf, 0] > rules.min_gain and (
                s < 0
                or (rules.level_wise and depth[leaf] < depth[s])
                or ((not rules.level_wise or depth[leaf] == depth[s]) and split[leaf, 0] > split[s, 0])
            ):
                s = leaf
        if s < 0:
            break

        # --- its rows to both sides
        f = np.int64(split[s, 1])
        bin = np.int64(split[s, 2])
        missing_left = split[s, 3] == 1.0
        lo = start[s]
        hi = stop[s]
        first = in_order and n_leaves == 1
        chunk = (hi - lo + n_threads - 1) // n_threads
        my_lo = min(hi, lo + t * chunk)
        my_hi = min(hi, my_lo + chunk)
        if categorical is not None and categorical[f] == 1:
            mine = partition_by_set(codes.columns[f], work.rows, my_lo, my_hi, first, sets[s], work.left, work.right)
        else:
            missing_code = codes.n_bins[f] if missing_left else np.int64(-1)
            mine = partition(codes.columns[f], work.rows, my_lo, my_hi, first, bin, missing_code, work.left, work.right)
        work.counts[t * 8] = mine
        if weighted:
            total = np.int64(0)
            for i in range(my_lo, my_lo + mine):
                total += codes.row_weight[work.left[i]]
            work.counts[t * 8 + 1] = total
        barrier(work.sync, n_threads)
        n_left = np.int64(0)
        total = np.int64(0)
        before = np.int64(0)
        for k in range(n_threads):
            if k == t:
                before = n_left
            n_left += work.counts[k * 8]
            total += work.counts[k * 8 + 1]
        for i in range(mine):
            work.rows[lo + before + i] = work.left[my_lo + i]
        to = lo + n_left + (my_lo - lo - before)
        for i in range(my_hi - my_lo - mine):
            work.rows[to + i] = work.right[my_lo + i]

        # --- the frontier: the child with fewer rows becomes b
        GL = split[s, 4]
        HL = split[s, 5]
        weight_left = total * rules.weight_unit if weighted else np.float64(n_left)
        if t == 0:
            p = node[s]
            tree.feature[p] = f
            tree.bin[p] = bin
            tree.missing_left[p] = missing_left
            tree.left[p] = n_nodes
            tree.gain[p] = split[s, 0]
            tree.rows[n_nodes] = n_left
            tree.rows[n_nodes + 1] = hi - lo - n_left
            for k in range(4):
                tree.category_sets[p, k] = sets[s, k]
        a = s
        b = n_leaves
        n_leaves += 1
        left_leaf, right_leaf = (b, a) if 2 * n_left <= hi - lo else (a, b)
        G_all = G[s]
        H_all = H[s]
        weight_all = weight[s]
        low = lower[s]
        high = upper[s]
        depth[b] = depth[a] = depth[s] + 1
        start[left_leaf] = lo
        stop[left_leaf] = lo + n_left
        node[left_leaf] = n_nodes
        G[left_leaf] = GL
        H[left_leaf] = HL
        weight[left_leaf] = weight_left
        start[right_leaf] = lo + n_left
        stop[right_leaf] = hi
        node[right_leaf] = n_nodes + 1
        G[right_leaf] = G_all - GL
        H[right_leaf] = H_all - HL
        weight[right_leaf] = weight_all - weight_left
        lower[b] = lower[a] = low
        upper[b] = upper[a] = high
        if monotone is not None and monotone[f] != 0:
            left_value = min(max(-GL / (HL + rules.l2), low), high)
            right_value = min(max(-(G_all - GL) / (H_all - HL + rules.l2), low), high)
            middle = 0.5 * (left_value + right_value)
            if monotone[f] > 0:
                upper[left_leaf] = middle
                lower[right_leaf] = middle
            else:
                lower[left_leaf] = middle
                upper[right_leaf] = middle
        n_nodes += 2
        barrier(work.sync, n_threads)

    # --- leaf values, and each row's leaf for the next gradient pass
    if t == 0:
        for leaf in range(n_leaves):
            value = -G[leaf] / (H[leaf] + rules.l2) if H[leaf] + rules.l2 > 0 else 0.0
            tree.value[node[leaf]] = min(max(value, lower[leaf]), upper[leaf])
            tree.left[node[leaf]] = -1
            tree.leaf_node[leaf] = node[leaf]
            tree.leaf_start[leaf] = start[leaf]
    if t == 0:
        tree.rows[0] = n_rows
    chunk = (n_rows + n_threads - 1) // n_threads
    for leaf in range(n_leaves):
        for i in range(max(start[leaf], t * chunk), min(stop[leaf], (t + 1) * chunk)):
            tree.leaf_of_row[np.int64(i) if n_leaves == 1 and in_order else np.int64(work.rows[i])] = leaf
    return n_nodes
