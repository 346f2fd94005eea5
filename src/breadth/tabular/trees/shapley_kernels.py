"""Shapley values of trees by quadrature: one pass down and one pass up a tree for each row.

A path to a leaf is a product game. Feature j's factor on it is o_j (1 if the row satisfies every split on j along the
path, else 0) where j is known, and z_j (the share of training rows that satisfy them) where it is not. The Shapley
value of a game is the integral over t in [0, 1] of the marginal contribution when every other player joins with
probability t; for a product game over d features that is a polynomial of degree d - 1,

    phi_j = value * int (o_j - z_j) prod_{i != j} (t o_i + (1 - t) z_i) dt,

which ceil(d / 2) Gauss-Legendre points integrate exactly. Edges share the products of the paths that run through them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.prediction_kernels import _next

LANES = 4  # quadrature points that one pass carries: a vector register of float64


@njit(nogil=True, cache=True, error_model="numpy")
def survey_paths(left, feature, value, rows, roots, parent, above, tested, share, mean):
    """What the paths hold whatever the row; every output array has an entry for each node.

    parent: the node above, -1 at a root. above: the nearest node above whose incoming edge tests the same feature as
    this node's, -1 if none. tested: features that the path to the node tests. share: of the training rows, those that
    satisfy all tests of the incoming edge's feature down to here. mean: of the leaf values below, by training rows.
    """
    for t in range(roots.shape[0] - 1):
        root = roots[t]
        stop = roots[t + 1]
        parent[root] = above[root] = -1
        tested[root] = 0
        share[root] = 1.0
        for p in range(root, stop):
            if left[p] < 0:
                continue
            child = np.int64(left[p])
            edge = np.int64(p)  # edges go by their lower node
            while edge != root and feature[parent[edge]] != feature[p]:
                edge = parent[edge]
            both = rows[child] + rows[child + 1]
            for c in range(child, child + 2):
                parent[c] = p
                above[c] = -1 if edge == root else edge
                tested[c] = tested[p] + (edge == root)
                part = rows[c] / both if both > 0 else 0.5
                share[c] = part if edge == root else part * share[edge]
        for p in range(stop - 1, root - 1, -1):
            mean[p] = value[p]
            if left[p] >= 0:
                child = np.int64(left[p])
                both = rows[child] + rows[child + 1]
                part = rows[child] / both if both > 0 else 0.5
                mean[p] = part * mean[child] + (1.0 - part) * mean[child + 1]


@njit(nogil=True, cache=True, error_model="numpy")
def add_shapley(
    X, n_features, nodes, thresholds, left, feature, value, roots, sets, set_of_node, parent, above, share, points,
    weights, first_point, start, stop, out,
):  # fmt: skip
    """out[i, feature, output] += Shapley values of the trees' raw scores at rows start..stop of the flat X.

    points, weights: quadrature on [0, 1]; those for tree t stand at first_point[t] up to first_point[t + 1], in
    multiples of LANES.
    """
    n_outputs = out.shape[2]
    largest = 0
    for t in range(roots.shape[0] - 1):
        largest = max(largest, roots[t + 1] - roots[t])
    known = np.empty(largest)  # o of the node's incoming edge
    path = np.empty((largest, LANES))  # product of all factors down to the node; on the way up, times leaf values
    inverse = np.empty((largest, LANES))  # 1 / the factor of the edge's feature
    for i in range(start, stop):
        row = np.uint64(i) * np.uint64(n_features)
        for t in range(roots.shape[0] - 1):
            root = roots[t]
            k = t % n_outputs
            for p in range(root, roots[t + 1]):
                child = np.int64(left[p])
                if child < 0:
                    continue
                taken = np.int64(_next(nodes[p], thresholds[p], p, X, row, True, sets, set_of_node))
                for c in range(child, child + 2):
                    known[c - root] = 0.0
                    if c == taken:
                        known[c - root] = known[above[c] - root] if above[c] >= 0 else 1.0
            for lane in range(first_point[t], first_point[t + 1], LANES):
                for l in range(LANES):
                    path[0, l] = 1.0
                for c in range(root + 1, roots[t + 1]):
                    n = c - root
                    up = parent[c] - root
                    again = above[c] - root
                    o = known[n]
                    z = share[c]
                    for l in range(LANES):
                        point = points[lane + l]
                        factor = point * o + (1.0 - point) * z
                        # a factor of 0 (no training row came here): the path adds nothing to any feature
                        inverse[n, l] = 1.0 / factor if factor > 0.0 else 0.0
                        path[n, l] = path[up, l] * factor
                        if above[c] >= 0:
                            path[n, l] *= inverse[again, l]
                    if left[c] < 0:
                        for l in range(LANES):
                            path[n, l] *= value[c]
                for c in range(roots[t + 1] - 1, root, -1):
                    n = c - root
                    if left[c] >= 0:
                        below = np.int64(left[c]) - root
                        for l in range(LANES):
                            path[n, l] = path[below, l] + path[below + 1, l]
                    # leaves below count with this edge's o and z instead of those of the edge above
                    total = 0.0
                    for l in range(LANES):
                        total += weights[lane + l] * path[n, l] * inverse[n, l]
                    total *= known[n] - share[c]
                    if above[c] >= 0:
                        again = above[c] - root
                        coarser = 0.0
                        for l in range(LANES):
                            coarser += weights[lane + l] * path[n, l] * inverse[again, l]
                        total -= coarser * (known[again] - share[above[c]])
                    out[i, feature[parent[c]], k] += total
