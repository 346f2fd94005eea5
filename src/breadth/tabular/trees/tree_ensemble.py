"""Boosted trees after fitting: plain arrays, and sending rows through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from breadth.tabular.trees.binning import in_threads
from breadth.tabular.trees.prediction_kernels import add_trees, leaves_of, packed_nodes
from breadth.tabular.trees.scoring_kernels import MOST_LEAVES, Scoring, add_scores, number_leaves

ROWS_IN_TASK = 4096
WORK_FOR_THREADS = 200_000  # rows x trees below which a second thread costs more than it saves


@dataclass(frozen=True)
class TreeEnsemble:
    """Trees in flat arrays; node numbers are counted through all trees, and a right child follows its left sibling.

    Tree `r * n_outputs + k` is the tree of round r that adds to output k.
    """

    n_features: int
    first_score: np.ndarray  # float64 (outputs,)
    roots: np.ndarray  # int64 (trees + 1,), the last one the number of nodes
    left: np.ndarray  # int32 (nodes,), -1 at a leaf
    feature: np.ndarray  # int32 (nodes,)
    threshold: np.ndarray  # float32 or float64 (nodes,), x <= threshold goes left; NaN at a categorical split
    missing_left: np.ndarray  # bool (nodes,)
    value: np.ndarray  # float64 (nodes,), what a leaf adds to the score
    gain: np.ndarray  # float64 (nodes,), loss reduction of the split
    rows: np.ndarray  # int64 (nodes,), training rows that passed
    category_set: np.ndarray  # int32 (nodes,), row of category_sets, -1 where the split is not categorical
    category_sets: np.ndarray  # uint64 (sets, 5), 256 bits of codes that go left, then how many codes training saw

    @property
    def n_outputs(self) -> int:
        return len(self.first_score)

    @property
    def n_trees(self) -> int:
        return len(self.roots) - 1

    @property
    def n_rounds(self) -> int:
        return self.n_trees // self.n_outputs

    @cached_property
    def _words(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and thresholds as `add_trees` wants them."""
        return packed_nodes(self.left, self.feature, self.threshold, self.missing_left, self.category_set >= 0)

    @cached_property
    def _scoring(self) -> tuple[np.ndarray, Scoring] | None:
        """The columns that nodes test, and the trees as `add_scores` wants them; None if one has too many leaves."""
        first, count = np.zeros((2, len(self.left)), np.int64)
        number_leaves(self.left, self.roots, first, count)
        largest = int(count[self.roots[:-1]].max(initial=1))
        if largest > MOST_LEAVES:
            return None
        inner, leaves = np.flatnonzero(self.left >= 0), np.flatnonzero(self.left < 0)
        tree_of_leaf = np.searchsorted(self.roots, leaves, side="right")
        used, column = np.unique(self.feature[inner], return_inverse=True)
        word = np.uint32 if largest <= 32 else np.uint64
        below = self.left[inner]
        bits = (np.uint64(1) << count[below].astype(np.uint64)) - np.uint64(1)  # a child has at most 63 leaves
        return used.astype(np.int64), Scoring(
            column=column.astype(np.uint32),
            threshold=self.threshold[inner],
            left=(bits << first[below].astype(np.uint64)).astype(word),
            missing_right=(~self.missing_left[inner]).astype(np.uint8),
            category_set=self.category_set[inner],
            node_start=np.searchsorted(inner, self.roots),
            leaf_start=np.searchsorted(leaves, self.roots),
            value=self.value[leaves[np.lexsort((first[leaves], tree_of_leaf))]],
        )

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_words", "_scoring")}

    def _sets(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        if len(self.category_sets) == 0:
            return None, None
        return self.category_sets, self.category_set

    def add(self, X: np.ndarray, scores: np.ndarray, *, rounds: tuple[int, int], n_threads: int) -> None:
        """scores += trees of rounds[0] to rounds[1] (exclusive).

        Args:
            X: shape (rows, features), C order, of the dtype of `threshold`.
            scores: float64, shape (rows, outputs).
        """
        n, K = scores.shape
        sets, set_of_node = self._sets()
        if self._scoring is not None:
            used, trees = self._scoring

            def some(lo: int, hi: int) -> None:
                add_scores(X, used, trees, sets, K, rounds[0] * K, rounds[1] * K, lo, hi, scores)

        else:
            words, thresholds = self._words
            missing = True if np.isnan(X).any() else None  # the kernel without the test for NaN is a third quicker
            flat = X.reshape(-1)
            roots = self.roots[: rounds[1] * K]

            def some(lo: int, hi: int) -> None:
                for k in range(K):
                    add_trees(
                        flat, self.n_features, words, thresholds, self.value, roots, rounds[0] * K + k, K, missing,
                        sets, set_of_node, lo, hi, k, scores,
                    )  # fmt: skip

        if n * (rounds[1] - rounds[0]) * K < WORK_FOR_THREADS:
            some(0, n)
        else:
            tasks: list[Callable[[], None]] = [
                partial(some, lo, min(lo + ROWS_IN_TASK, n)) for lo in range(0, n, ROWS_IN_TASK)
            ]
            in_threads(n_threads, tasks)

    def scores(self, X: np.ndarray, *, n_threads: int = 1) -> np.ndarray:
        """Raw scores, shape (rows, outputs)."""
        scores = np.tile(self.first_score, (len(X), 1))
        self.add(X, scores, rounds=(0, self.n_rounds), n_threads=n_threads)
        return scores

    def staged_scores(self, X: np.ndarray, *, n_threads: int = 1) -> Iterator[np.ndarray]:
        """Raw scores after each round; a new array each time."""
        scores = np.tile(self.first_score, (len(X), 1))
        for r in range(self.n_rounds):
            self.add(X, scores, rounds=(r, r + 1), n_threads=n_threads)
            yield scores.copy()

    def leaves(self, X: np.ndarray) -> np.ndarray:
        """Node number within its tree of the leaf that each row reaches, int32 (rows, trees)."""
        words, thresholds = self._words
        sets, set_of_node = self._sets()
        out = np.empty((len(X), self.n_trees), np.int32)
        leaves_of(X.reshape(-1), self.n_features, words, thresholds, self.roots[:-1], True, sets, set_of_node, out)
        return out

    def depth(self) -> int:
        """Edges between the root and the deepest leaf of any tree."""
        level, depth = self.roots[:-1], 0
        while (inner := level[self.left[level] >= 0]).size:
            level = np.concatenate([self.left[inner], self.left[inner] + 1])
            depth += 1
        return depth

    def importance(self, kind: str) -> np.ndarray:
        """Sum of gains ("gain") or number of splits ("split") of each feature, shape (features,)."""
        inner = self.left >= 0
        weight = self.gain[inner] if kind == "gain" else None
        return np.bincount(self.feature[inner], weights=weight, minlength=self.n_features).astype(np.float64)

    def first_rounds(self, n_rounds: int) -> TreeEnsemble:
        """The same model after fewer rounds."""
        roots = self.roots[: n_rounds * self.n_outputs + 1]
        nodes = slice(0, int(roots[-1]))
        return TreeEnsemble(
            self.n_features, self.first_score, roots, self.left[nodes], self.feature[nodes], self.threshold[nodes],
            self.missing_left[nodes], self.value[nodes], self.gain[nodes], self.rows[nodes], self.category_set[nodes],
            self.category_sets,
        )  # fmt: skip
