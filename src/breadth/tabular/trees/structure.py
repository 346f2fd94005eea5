"""A fitted tree as plain flat arrays, shared by the single tree and the forest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from breadth.tabular.trees.prediction_kernels import leaves_of, packed_nodes

LEAF = -1


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree in flat arrays; node 0 is the root, children come after their parent, siblings side by side.

    A row at an inner node goes to `left` when x[feature] <= threshold, else to `left + 1`; a missing value goes left
    exactly where `missing_left`. A threshold of inf separates the observed (left) from the missing (right).

    Args:
        feature: int32 (n_nodes,), column tested at the node, -1 at a leaf.
        threshold: float64 (n_nodes,).
        left: int32 (n_nodes,), the left child, 0 at a leaf.
        missing_left: bool (n_nodes,).
        n_samples: int64 (n_nodes,), training rows of positive weight that reach the node.
        weight: float64 (n_nodes,), the sum of their weights.
        impurity: float64 (n_nodes,), in the criterion's units.
        value: float64 (n_nodes, n_outputs), class probabilities, or the mean (median) of y.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    missing_left: np.ndarray
    n_samples: np.ndarray
    weight: np.ndarray
    impurity: np.ndarray
    value: np.ndarray

    @property
    def n_nodes(self) -> int:
        """Inner nodes and leaves together."""
        return self.feature.size

    @property
    def is_leaf(self) -> np.ndarray:
        """bool (n_nodes,)."""
        return self.feature == LEAF

    @property
    def n_leaves(self) -> int:
        """Number of leaves, at least 1."""
        return int(np.count_nonzero(self.is_leaf))

    @property
    def parent(self) -> np.ndarray:
        """int64 (n_nodes,): the parent of every node, -1 for the root."""
        parent = np.full(self.n_nodes, -1)
        inner = np.flatnonzero(~self.is_leaf)
        parent[self.left[inner]] = inner
        parent[self.left[inner] + 1] = inner
        return parent

    def leaf_of_rows(self, X: np.ndarray) -> np.ndarray:
        """int64 (rows,): the leaf that each row of X, C-ordered float32 (rows, features), reaches."""
        left = np.where(self.is_leaf, -1, self.left)
        nodes, limits = packed_nodes(left, self.feature, self.threshold, self.missing_left, np.zeros(len(left), bool))
        missing = True if np.isnan(X).any() else None  # None: the kernel without the test for NaN
        leaf = np.empty((len(X), 1), np.int64)
        leaves_of(X.reshape(-1), X.shape[1], nodes, limits, np.zeros(1, np.int64), missing, None, None, leaf)
        return leaf[:, 0]

    def node_depth(self) -> np.ndarray:
        """int64 (n_nodes,): edges between the root and every node."""
        depth = np.zeros(self.n_nodes, np.int64)
        level = np.zeros(1, np.int64)
        while level.size:
            level = level[~self.is_leaf[level]]
            for side in (0, 1):
                depth[self.left[level] + side] = depth[level] + 1
            level = np.concatenate([self.left[level], self.left[level] + 1]).astype(np.int64)
        return depth

    def descend(self, X: np.ndarray, node: np.ndarray) -> np.ndarray:
        """The child that each row enters: `node` (rows,) holds inner nodes, X (rows, features) float32."""
        x = X[np.arange(node.size), self.feature[node]]
        goes_left = np.where(np.isnan(x), self.missing_left[node], x <= self.threshold[node])
        return self.left[node] + ~goes_left

    def paths(self, X: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per depth, (rows, nodes): which row passes through which node, root first. X (rows, features) float32."""
        rows = np.arange(X.shape[0])
        node = np.zeros(rows.size, np.int64)
        steps = [(rows, node)]
        while True:
            on = ~self.is_leaf[node]
            rows, node = rows[on], node[on]
            if rows.size == 0:
                return steps
            node = self.descend(X[rows], node)
            steps.append((rows, node))

    def path_matrix(self, X: np.ndarray) -> csr_matrix:
        """Indicator (rows, n_nodes): 1 where the row passes through the node. X (rows, features) float32."""
        steps = self.paths(X)
        rows = np.concatenate([r for r, _ in steps])
        nodes = np.concatenate([node for _, node in steps])
        return csr_matrix((np.ones(rows.size, np.int64), (rows, nodes)), shape=(X.shape[0], self.n_nodes))

    def importances(self, n_features: int) -> np.ndarray:
        """Impurity decrease per feature, weighted by the rows that reach the split; sums to 1, or to 0 without splits.

        importance_j = sum over splits t on j of (w_t i_t - w_L i_L - w_R i_R), then normalised.

        References: Breiman et al. 1984, Classification and Regression Trees, section 5.3.4, without surrogates.
        """
        inner = np.flatnonzero(~self.is_leaf)
        mass = self.weight * self.impurity
        gain = mass[inner] - mass[self.left[inner]] - mass[self.left[inner] + 1]
        total = np.bincount(self.feature[inner], weights=gain, minlength=n_features)
        return total / total.sum() if total.sum() > 0 else total

    def used_features(self) -> np.ndarray:
        """Ascending numbers of the columns that at least one split tests."""
        return np.unique(self.feature[~self.is_leaf]).astype(np.int64)

    def collapsed(self, cut: np.ndarray) -> Tree:
        """The tree in which every node of the mask `cut` (n_nodes,) is a leaf; nodes below vanish."""
        kept, number = [0], {0: 0}
        feature, left = self.feature.copy(), self.left.copy()
        feature[cut], left[cut] = LEAF, 0
        for node in kept:  # grows while it is walked: level by level
            if feature[node] != LEAF:
                for child in (int(left[node]), int(left[node]) + 1):
                    number[child] = len(kept)
                    kept.append(child)
        index = np.array(kept)
        leaf = feature[index] == LEAF
        return Tree(
            feature=feature[index],
            threshold=np.where(leaf, 0.0, self.threshold[index]),
            left=np.array([0 if end else number[int(left[i])] for i, end in zip(kept, leaf, strict=True)], np.int32),
            missing_left=self.missing_left[index] & ~leaf,
            n_samples=self.n_samples[index],
            weight=self.weight[index],
            impurity=self.impurity[index],
            value=self.value[index],
        )
