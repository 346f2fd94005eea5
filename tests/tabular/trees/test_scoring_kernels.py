"""Bit-vector scoring against the plain walk down each tree."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from breadth.tabular import GradientBoostingClassifier
from breadth.tabular.trees.scoring_kernels import lowest_bit, number_leaves
from breadth.tabular.trees.tree_ensemble import TreeEnsemble


def walked(trees: TreeEnsemble, X: np.ndarray) -> np.ndarray:
    """Scores by the definition: one row, one tree, one node at a time."""
    scores = np.tile(trees.first_score, (len(X), 1))
    for i, row in enumerate(X):
        added = np.zeros(trees.n_outputs)
        for t in range(trees.n_trees):
            p = int(trees.roots[t])
            while trees.left[p] >= 0:
                x, s = float(row[trees.feature[p]]), int(trees.category_set[p])
                left = bool(trees.missing_left[p])
                if s < 0 and not np.isnan(x):
                    left = x <= trees.threshold[p]
                elif s >= 0 and 0 <= x < int(trees.category_sets[s, 4]):
                    left = bool(int(trees.category_sets[s, int(x) >> 6]) >> (int(x) & 63) & 1)
                p = int(trees.left[p]) + (0 if left else 1)
            added[t % trees.n_outputs] += trees.value[p]
        scores[i] += added
    return scores


@pytest.mark.parametrize("max_leaf_nodes", [2, 31, 32, 33, 64, 65, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_row_gets_the_scores_of_a_walk_to_the_bit(max_leaf_nodes, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 6)).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 4] = rng.integers(0, 60, len(X))
    X[:, 5] = rng.integers(0, 5, len(X))
    y = (np.nan_to_num(X[:, 0]) + np.sin(X[:, 4]) + X[:, 5] % 2 > 0.5).astype(int) + (np.nan_to_num(X[:, 1]) > 1)
    model = GradientBoostingClassifier(
        max_iter=8, max_leaf_nodes=max_leaf_nodes, min_samples_leaf=3, categorical_features=[4, 5]
    ).fit(X, y)
    trees = model._ensemble
    leaves = [np.sum(trees.left[a:b] < 0) for a, b in zip(trees.roots[:-1], trees.roots[1:], strict=True)]
    assert max(leaves) == max_leaf_nodes
    assert (trees._scoring is None) == (max_leaf_nodes > 64)
    unseen = X[:301].copy()
    unseen[::5, 0], unseen[1::5, 1], unseen[2::5, 0] = np.inf, -np.inf, np.nan
    unseen[::7, 4], unseen[1::7, 4], unseen[2::7, 4] = np.nan, 99, 300
    for n in (0, 1, 7, 8, 127, 128, 129, 301):
        assert np.array_equal(trees.scores(unseen[:n], n_threads=2), walked(trees, unseen[:n]))


def test_a_model_of_single_leaves_adds_its_constants():
    X = np.zeros((60, 3), np.float32)
    model = GradientBoostingClassifier(max_iter=3).fit(X, np.arange(60) % 2)
    assert model._ensemble.n_trees >= 1
    assert np.array_equal(model._ensemble.scores(X[:5]), walked(model._ensemble, X[:5]))


def test_leaves_are_numbered_from_left_to_right():
    left = np.array([1, 3, -1, -1, 5, -1, -1, -1], np.int32)  # two trees: 0 -> (1 -> (3, 4 -> (5, 6)), 2) and a leaf
    first, count = np.zeros((2, 8), np.int64)
    number_leaves(left, np.array([0, 7, 8]), first, count)
    assert count.tolist() == [4, 3, 1, 1, 2, 1, 1, 1]
    assert first[[3, 5, 6, 2]].tolist() == [0, 1, 2, 3]
    assert first[7] == 0


def test_the_lowest_bit_is_found_in_both_word_sizes():
    found = njit(lambda word: lowest_bit(word))
    for k in range(32):
        assert found(np.uint32(((1 << 32) - 1) >> k << k)) == k
    for k in range(64):
        assert found(np.uint64(((1 << 64) - 1) >> k << k)) == k
