"""A forest as flat arrays: its bins, its draws, its growth and its sums over trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple, TypeVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from breadth.tabular.trees.descent_kernels import descend, ordered_keys, packed_nodes
from breadth.tabular.trees.forest_kernels import forest_room, grow_forest_tree
from breadth.tabular.trees.forest_rank_kernels import rank_column
from breadth.tabular.trees.stopping import StoppingRules, count_features, integer
from breadth.tabular.trees.structure import LEAF, Tree

ROWS_AT_ONCE = 8192  # whose keys and sums stay in the second-level cache while all trees pass over them

Item = TypeVar("Item")
Result = TypeVar("Result")


class FlatTree(NamedTuple):
    """One tree; `nodes` and `tests` as described in descent_kernels."""

    nodes: np.ndarray  # uint64 (n_nodes,)
    tests: np.ndarray  # uint32 (n_nodes,)
    threshold: np.ndarray  # float32 (n_nodes,), x <= threshold goes left
    value: np.ndarray  # float64 (n_nodes, outputs)
    n_samples: np.ndarray  # int64 (n_nodes,)
    weight: np.ndarray  # float64 (n_nodes,)
    impurity: np.ndarray  # float64 (n_nodes,)

    def left(self) -> np.ndarray:
        """Left child of each node, int64 (n_nodes,); a leaf is its own."""
        return (self.nodes >> np.uint64(32)).astype(np.int64)


class Draws(NamedTuple):
    """How each tree's rows are drawn; the same seed gives the same rows again."""

    seeds: list[np.random.SeedSequence]
    n_rows: int
    n_draws: int  # 0 without bootstrap
    cumulative: np.ndarray | None  # float64 (rows,), running sum of weights; None draws uniformly

    def of_tree(self, t: int) -> tuple[np.ndarray, int]:
        """How often tree t drew each row, int64 (rows,), and the seed of its columns."""
        rng = np.random.default_rng(self.seeds[t])
        column_seed = int(rng.integers(2**63))
        if self.cumulative is None:
            drawn = rng.integers(self.n_rows, size=self.n_draws)
        else:
            at = rng.random(self.n_draws) * self.cumulative[-1]
            drawn = np.searchsorted(self.cumulative, at, side="right")
            last = np.searchsorted(self.cumulative, self.cumulative[-1])  # the last row of positive weight
            drawn = np.minimum(drawn, last)
        return np.bincount(drawn, minlength=self.n_rows), column_seed


@dataclass(frozen=True, eq=False)
class FlatForest:
    """Trees, and how their rows were drawn."""

    trees: list[FlatTree]
    gains: np.ndarray  # float64 (trees, features), summed impurity decrease
    used: np.ndarray  # bool (trees, features)
    draws: Draws
    centre: float  # of y, added back to every value

    def mean_value(self, X: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Mean over trees of the leaf values, float64 (rows, outputs), added in the order of the trees."""
        total = np.zeros((X.shape[0], self.trees[0].value.shape[1]))

        def some(lo: int) -> None:
            keys, out = ordered_keys(X[lo : lo + ROWS_AT_ONCE]), total[lo : lo + ROWS_AT_ONCE]
            leaf = np.empty(len(keys), np.int64)
            for tree in self.trees:
                descend(keys, tree.nodes, tree.tests, leaf, tree.value, out)

        for _ in in_order(some, range(0, X.shape[0], ROWS_AT_ONCE), n_jobs):
            pass
        return total / len(self.trees) + self.centre

    def leaves(self, X: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Leaf of each row in each tree, int64 (rows, trees)."""
        keys = ordered_keys(X)
        return np.stack(list(in_order(lambda tree: _leaf(keys, tree), self.trees, n_jobs)), axis=1)

    def values_by_tree(self, X: np.ndarray, n_jobs: int | None) -> Iterator[np.ndarray]:
        """Per tree, the leaf values of the rows, float64 (rows, outputs)."""
        keys = ordered_keys(X)
        yield from in_order(lambda tree: tree.value[_leaf(keys, tree)] + self.centre, self.trees, n_jobs)

    def out_of_bag(self, X: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Mean value over the trees that did not draw the row, float64 (rows, outputs), NaN where all did."""
        keys = ordered_keys(X)

        def one(t: int) -> tuple[np.ndarray, np.ndarray]:
            outside = np.flatnonzero(self.draws.of_tree(t)[0] == 0)
            return outside, self.trees[t].value[_leaf(keys[outside], self.trees[t])]

        total, votes = np.zeros((X.shape[0], self.trees[0].value.shape[1])), np.zeros((X.shape[0], 1))
        for outside, value in in_order(one, range(len(self.trees)), n_jobs):
            total[outside] += value
            votes[outside] += 1
        return np.divide(total, votes, out=np.full_like(total, np.nan), where=votes > 0) + self.centre

    def importances(self) -> np.ndarray:
        """Mean of the trees' normalised gains over the trees that split, summing to 1, or to 0 without splits."""
        total = self.gains.sum(1, keepdims=True)
        mean = (self.gains / np.where(total > 0, total, 1.0)).mean(0)
        return mean / mean.sum() if mean.sum() > 0 else mean

    def decoded(self, t: int, *, classifier_classes: int = 0) -> Tree:
        """Tree t in terms of values."""
        tree = self.trees[t]
        left = tree.left()
        leaf = left == np.arange(left.size)
        value = tree.value + self.centre
        return Tree(
            feature=np.where(leaf, LEAF, tree.tests >> np.uint32(1)).astype(np.int32),
            threshold=np.where(leaf, 0.0, tree.threshold.astype(np.float64)),
            left=np.where(leaf, 0, left).astype(np.int32),
            missing_left=(tree.tests & np.uint32(1)).astype(bool) & ~leaf,
            n_samples=tree.n_samples,
            weight=tree.weight,
            impurity=tree.impurity,
            value=np.hstack([1.0 - value, value]) if classifier_classes == 2 else value,
        )


def in_order(task: Callable[[Item], Result], items: Iterable[Item], n_jobs: int | None) -> Iterator[Result]:
    """task(item) for every item, on n_jobs threads, results in the order of the items."""
    n_threads = effective_n_jobs(n_jobs)
    if n_threads == 1:
        yield from map(task, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(task, items)


def _leaf(keys: np.ndarray, tree: FlatTree) -> np.ndarray:
    leaf = np.empty(keys.shape[0], np.int64)
    descend(keys, tree.nodes, tree.tests, leaf, tree.value, None)
    return leaf


def _n_draws(max_samples: int | float | None, n_rows: int, total_weight: float | None) -> int:
    if max_samples is None:
        return n_rows
    if isinstance(max_samples, Integral) and not isinstance(max_samples, bool) and max_samples >= 1:
        return int(max_samples)
    if isinstance(max_samples, Real) and not isinstance(max_samples, Integral) and max_samples > 0.0:
        return max(1, round(max_samples * (n_rows if total_weight is None else total_weight)))
    raise ValueError(f"max_samples must be an integer >= 1, a fraction > 0 or None, got {max_samples!r}")


def _ranks(X: np.ndarray, w: np.ndarray, n_jobs: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks (rows, features), distinct values (features, most) and how many of these each column has.

    Rows of weight 0 count for nothing, and their ranks mean nothing.
    """
    rows = np.flatnonzero(w > 0)
    ranks = np.empty(X.shape, np.uint32)
    values: list[np.ndarray] = [np.empty(0)] * X.shape[1]

    def one(f: int) -> None:
        column = X[rows, f]
        order = np.argsort(column)
        distinct = np.empty(rows.size, np.float32)
        k = rank_column(column[order], rows[order], ranks[:, f], distinct)
        values[f] = distinct[:k].copy()

    for _ in in_order(one, range(X.shape[1]), n_jobs):
        pass
    n_distinct = np.array([v.size for v in values])
    table = np.empty((X.shape[1], n_distinct.max()), np.float32)
    for f, v in enumerate(values):
        table[f, : v.size] = v
    return ranks, table, n_distinct


def grow_forest(
    estimator: BaseEstimator,
    X: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    n_classes: int,
    *,
    balance_draws: bool = False,
) -> FlatForest:
    """Grow all trees of a RandomForestClassifier or RandomForestRegressor.

    Args:
        estimator: holds the parameters.
        X: float32 (rows, features), NaN where missing.
        y: int32 class numbers or float64 targets (rows,).
        w: float64 (rows,), >= 0.
        n_classes: 1 for regression.
        balance_draws: weight the classes of each tree's draw to equal sums.
    """
    n_trees = integer("n_estimators", estimator.n_estimators, 1)
    if estimator.max_samples is not None and not estimator.bootstrap:
        raise ValueError(f"max_samples={estimator.max_samples!r} needs bootstrap=True")
    n, n_features = X.shape
    rules = StoppingRules.of(
        n_rows=n,
        total_weight=1.0,
        max_depth=estimator.max_depth,
        min_samples_split=estimator.min_samples_split,
        min_samples_leaf=estimator.min_samples_leaf,
        min_weight_fraction_leaf=estimator.min_weight_fraction_leaf,
        max_leaf_nodes=estimator.max_leaf_nodes,
        min_impurity_decrease=estimator.min_impurity_decrease,
    )
    max_features = count_features(estimator.max_features, n_features)
    limits = (rules.max_depth, rules.min_samples_split, rules.min_samples_leaf, rules.max_leaf_nodes, max_features)
    entropy = estimator.criterion in ("entropy", "log_loss")
    classifier = y.dtype == np.int32
    # two classes are split by the variance of the 0/1 labels, half their Gini impurity
    unit = 0.5 if classifier and n_classes <= 2 and not entropy else 1.0
    centre = 0.0 if classifier else float(np.average(y, weights=w))
    target = y if classifier else y - centre

    even = bool(np.all(w == w[0]))
    n_draws = _n_draws(estimator.max_samples, n, None if np.all(w == 1.0) else float(w.sum()))
    seed = check_random_state(estimator.random_state).randint(2**31, size=4)
    seeds = np.random.SeedSequence(seed.tolist()).spawn(n_trees)
    draws = Draws(seeds, n, n_draws if estimator.bootstrap else 0, None if even else np.cumsum(w))

    ranks, distinct, n_distinct = _ranks(X, w, estimator.n_jobs)

    def one(t: int) -> tuple[FlatTree, np.ndarray]:
        counts, column_seed = draws.of_tree(t)
        row_weight = counts if estimator.bootstrap else w
        rows = np.flatnonzero(row_weight > 0)
        tree_w = row_weight[rows].astype(np.float64)
        tree_y = target[rows]
        if balance_draws:
            mass = np.bincount(tree_y, weights=tree_w, minlength=n_classes)
            share = np.divide(tree_w.sum() / np.count_nonzero(mass), mass, out=np.zeros(n_classes), where=mass > 0)
            tree_w *= share[tree_y]
        total = tree_w.sum()
        capacity = 2 * min(rows.size, rules.max_leaf_nodes) + 1
        room = forest_room(capacity, rows.size, n_features, n_classes, tree_y.dtype)
        words, threshold = np.empty(capacity, np.uint64), np.zeros(capacity, np.float32)
        gain = np.zeros(n_features)
        value = np.empty((capacity, 1 if n_classes == 2 else n_classes))
        k = grow_forest_tree(
            ranks,
            distinct,
            n_distinct,
            rows,
            tree_w,
            tree_y if classifier else None,
            None if classifier else tree_y,
            n_classes,
            entropy,
            limits,
            rules.min_weight_leaf * total,
            rules.min_impurity_decrease * total * unit,
            np.array([column_seed], np.uint64),
            words,
            threshold,
            value,
            gain,
            None if unit == 0.5 or not classifier else np.empty(n_classes),
            room,
        )
        kept = (threshold[:k], value[:k], room[0][0, :k], room[1][0, :k], room[1][1, :k])
        return FlatTree(*packed_nodes(words[:k], threshold[:k]), *(a.copy() for a in kept)), gain

    grown = list(in_order(one, range(n_trees), estimator.n_jobs))
    trees = [tree for tree, _ in grown]
    used = np.zeros((n_trees, n_features), bool)
    for t, tree in enumerate(trees):
        inner = tree.left() != np.arange(tree.nodes.size)
        used[t, tree.tests[inner] >> np.uint32(1)] = True
    return FlatForest(trees, np.array([gain for _, gain in grown]), used, draws, centre)
