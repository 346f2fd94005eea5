"""Kernel of the exact search by tree: a walk through boxes of projected points, nearest box first."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.neighbors.index_kernels import _replace_worst


@njit(cache=True, nogil=True, error_model="numpy")
def keep_nearest_in_tree(
    queries, projected, slack, points, leaves, order, low, high, edges, heap_distance, heap_index, looked
):
    """Fill each query's heap with the points nearest to it, by (distance, index).

    queries (q, p), points (n, p): as given. projected (q, m): queries as the tree sees them; slack (q,): by how much a
    projected squared distance may exceed the true one. leaves (n, m): projected points, leaf after leaf; order (n,):
    their indices. low, high (nodes, m): boxes, children of i at 2 i + 1 and 2 i + 2; edges (leaf count + 1,): where
    leaves begin. heap_distance (q, k), heap_index (q, k): max-heaps, infinite while not full. looked (2,): grown by the
    projected and by the true distances that were computed.
    """
    m, p = projected.shape[1], points.shape[1]
    inner = edges.shape[0] - 2
    nodes, bounds = np.empty(128, np.int64), np.empty(128)
    for i in range(queries.shape[0]):
        distance, index = heap_distance[i], heap_index[i]
        limit = distance[0] + slack[i]
        nodes[0], bounds[0], size = 0, 0.0, 1
        while size:
            size -= 1
            node = nodes[size]
            if bounds[size] > limit:
                continue
            if node >= inner:
                first, last = edges[node - inner], edges[node - inner + 1]
                looked[0] += last - first
                for s in range(first, last):
                    near = 0.0
                    for f in range(m):
                        step = projected[i, f] - leaves[s, f]
                        near += step * step
                    if near <= limit:
                        looked[1] += 1
                        j = order[s]
                        d = 0.0
                        for f in range(p):
                            step = queries[i, f] - points[j, f]
                            d += step * step
                        if d < distance[0] or (d == distance[0] and j < index[0]):
                            _replace_worst(distance, index, d, j)
                            limit = distance[0] + slack[i]
                continue
            left = 2 * node + 1
            gap_left, gap_right = 0.0, 0.0
            for f in range(m):
                x = projected[i, f]
                step = max(max(low[left, f] - x, x - high[left, f]), 0.0)
                gap_left += step * step
                step = max(max(low[left + 1, f] - x, x - high[left + 1, f]), 0.0)
                gap_right += step * step
            nearer = 0 if gap_left <= gap_right else 1
            nodes[size], bounds[size] = left + 1 - nearer, max(gap_left, gap_right)
            nodes[size + 1], bounds[size + 1] = left + nearer, min(gap_left, gap_right)
            size += 2
