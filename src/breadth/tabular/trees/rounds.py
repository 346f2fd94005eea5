"""The boosting loop: gradients, one tree per output, scores; until the rounds are used up or validation stops it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from breadth.tabular.trees.binning import Edges, histogram_stride
from breadth.tabular.trees.growth_kernels import grow_tree
from breadth.tabular.trees.loss_kernels import gradient_pass, softmax_probabilities
from breadth.tabular.trees.losses import Loss, weighted_quantile
from breadth.tabular.trees.pointer_kernels import row_adder, searcher
from breadth.tabular.trees.subsample_kernels import leaves_by_code, sum_of_rows
from breadth.tabular.trees.team import Team
from breadth.tabular.trees.tree_ensemble import TreeEnsemble
from breadth.tabular.trees.workspace import CATEGORICAL, SUM_LIMIT, Codes, Frontier, Rules, Tree, Workspace

FILL = 0.9  # share of the fixed-point range that a round's sums are expected to take
_BY_NODE = ("feature", "bin", "missing_left", "left", "gain", "value", "rows", "category_sets")
POOL_BYTES = 1 << 29  # histograms kept for subtraction; beyond it a leaf's histogram is built from its rows


@dataclass(frozen=True, slots=True)
class Growth:
    """The hyperparameters that the loop needs, checked and with defaults filled in."""

    learning_rate: float
    max_leaves: int
    max_depth: int
    level_wise: bool
    min_samples_leaf: int
    l2: float
    min_gain: float
    n_features_tried: int
    subsample: float
    seed: int
    n_threads: int


class Booster:
    """State of a boosting run on binned rows.

    Args:
        targets: float32 (rows,) as the loss wants them; class numbers for several outputs.
        first_score: what the training scores start from, shape (outputs,).
        weight: float32 (rows,) or None.
        weight_unit: what 1 in `codes.row_weight` stands for.
    """

    def __init__(
        self,
        codes: Codes,
        edges: Edges,
        growth: Growth,
        loss: Loss,
        targets: np.ndarray,
        first_score: np.ndarray,
        weight: np.ndarray | None,
        weight_unit: float,
        team: Team,
    ) -> None:
        n = codes.columns.shape[1]
        K = len(first_score)
        L, threads = growth.max_leaves, team.n_threads
        self.codes, self.edges, self.growth, self.loss, self.weight = codes, edges, growth, loss, weight
        self.weight_unit, self.team = weight_unit, team
        self.stride = histogram_stride(edges)
        slot = len(codes.words) * 2 * codes.lanes * self.stride
        slots = max(2, min(L + 1, POOL_BYTES // (8 * slot)))
        self.work = Workspace(
            packed=np.empty(n, np.int64),
            rows=np.empty(n, np.uint32),
            left=np.empty(n, np.uint32),
            right=np.empty(n, np.uint32),
            ordered=np.empty(n, np.int64),
            pool=np.empty((slots + 2) * slot, np.int64),
            best=np.zeros((len(codes.words), 2, 6)),
            best_sets=np.zeros((len(codes.words), 2, 4), np.uint64),
            sums=np.zeros(threads * 8, np.int64),
            counts=np.zeros(threads * 8, np.int64),
            sync=np.zeros(32, np.int64),
        )
        self.frontiers = [Frontier.empty(L, slots, len(codes.columns)) for _ in range(threads)]
        self.score = np.repeat(first_score.astype(np.float32)[:, None], n, axis=1)
        self.leaf_of_row = np.zeros((K, n), np.uint16)
        self.leaf_value = np.zeros((K, L), np.float32)
        self.probability = np.empty((K, n), np.float32) if K > 1 else None
        self.target = [targets] if K == 1 else [(targets == k).astype(np.float32) for k in range(K)]
        nodes = 2 * L - 1
        self.tree = Tree(  # written anew each time; `_tree` returns a copy
            feature=np.zeros(nodes, np.int32),
            bin=np.zeros(nodes, np.int32),
            missing_left=np.zeros(nodes, np.uint8),
            left=np.zeros(nodes, np.int32),
            gain=np.zeros(nodes),
            value=np.zeros(nodes),
            rows=np.zeros(nodes, np.int64),
            leaf_of_row=self.leaf_of_row[0],
            leaf_node=np.zeros(L, np.int32),
            leaf_start=np.zeros(L, np.int64),
            category_sets=np.zeros((nodes, 4), np.uint64),
        )
        self.parts = row_adder(codes.lanes), searcher(options=bool(codes.kind.any()))
        self.rng = np.random.default_rng(growth.seed)
        self.n_trees = 0
        self.scale = np.empty((K, 2))
        self._calibrate(float(loss.largest_hessian(targets, first_score)))

    @property
    def n_outputs(self) -> int:
        return len(self.score)

    def _gradients(self, t: int, k: int) -> None:
        """Pack output k's gradients; a single output adds its last tree on the way, several have done so already."""
        if self.probability is None:
            score, leaf_value = self.score[0], self.leaf_value[0]
        else:
            score, leaf_value = self.probability[k], None
        gradient_pass(
            t, self.team.n_threads, self.loss.formula, self.target[k], self.weight, score, self.leaf_of_row[k],
            leaf_value, self.scale[k], self.work.packed, self.work.sums,
        )  # fmt: skip

    def _softmax(self) -> None:
        threads = self.team.n_threads
        self.team.run(
            lambda t: softmax_probabilities(t, threads, self.score, self.leaf_of_row, self.leaf_value, self.probability)
        )
        self.leaf_value[:] = 0

    def _sums(self) -> tuple[int, int]:
        """Sums of |gradient| and of hessians over all threads, in fixed point."""
        sums = self.work.sums
        if len(sums) == 8:  # one thread: small data, where every microsecond shows
            return int(sums[0]), int(sums[2])
        magnitude, _, hessian = sums.reshape(-1, 8)[:, :3].sum(axis=0).tolist()
        return magnitude, hessian

    def _rescale(self, k: int) -> None:
        """Fit output k's scales to the sums that the last pass found."""
        magnitude, hessian = self._sums()
        scale = self.scale[k]
        scale[0] *= FILL * SUM_LIMIT / max(magnitude, 1)
        scale[1] *= FILL * SUM_LIMIT / max(hessian, 1)

    def _calibrate(self, largest_hessian: float) -> None:
        """First scales: from bounds that cannot overflow, then from exact sums."""
        n = self.score.shape[1]
        heaviest = 1.0 if self.weight is None else float(self.weight.max())
        if self.probability is not None:
            self._softmax()
        for k in range(self.n_outputs):
            largest = 1.0
            if self.probability is None:
                largest = max(1.0, float(np.abs(self.target[0] - self.score[0, 0]).max()))
            self.scale[k] = SUM_LIMIT / (1.01 * heaviest * n * np.array([largest, largest_hessian]))
            for _ in range(4):  # an outlier makes the first bound coarse; each pass sharpens it
                self.team.run(lambda t, k=k: self._gradients(t, k))
                magnitude, _ = self._sums()
                if magnitude == 0:  # a perfect start, or targets that no float32 holds
                    break
                self._rescale(k)
                if magnitude > 0.1 * SUM_LIMIT:
                    break

    def round(self) -> list[Tree]:
        """Grow one tree for each output; each tree keeps only its own nodes."""
        if self.probability is not None:
            self._softmax()
        return [self._tree(k) for k in range(self.n_outputs)]

    def _tree(self, k: int) -> Tree:
        growth, codes, work, threads = self.growth, self.codes, self.work, self.team.n_threads
        frontiers = self.frontiers
        n = codes.columns.shape[1]
        L = growth.max_leaves
        tree = self.tree._replace(leaf_of_row=self.leaf_of_row[k])
        n_rows, in_order = n, growth.subsample >= 1
        if not in_order:
            n_rows = max(1, round(growth.subsample * n))
            order = self.rng.permutation(n)
            order[:n_rows].sort()
            work.rows[:] = order
        total = self._total_weight(n_rows)
        while True:
            scale = self.scale[k].tolist()
            if not all(0 < x < np.inf for x in scale):
                raise ValueError(
                    f"training diverged in tree {self.n_trees + 1}: scores or gradients are beyond float32. "
                    "Lower learning_rate, or divide y by a constant."
                )
            rules = Rules(
                L, growth.max_depth, growth.level_wise, growth.min_samples_leaf - 0.5, 1e-3, growth.l2, growth.min_gain,
                1 / scale[0], 1 / scale[1], self.weight_unit, total, self.stride, growth.n_features_tried,
                growth.seed + 7919 * self.n_trees,
            )  # fmt: skip

            def grow(t: int, rules: Rules = rules) -> Any:
                return grow_tree(t, threads, codes, work, frontiers[t], tree, rules, n_rows, in_order, *self.parts)

            if in_order:
                n_nodes = self.team.run(lambda t: (self._gradients(t, k), grow(t))[1])
            else:
                self.team.run(lambda t: self._gradients(t, k))
                saturated = self._sums()
                sum_of_rows(work.packed, work.rows, n_rows, work.sums)
                work.sums[0] = saturated[0]  # the whole pass must have fitted, not only the chosen rows
                n_nodes = self.team.run(grow)
                work.sums[0] = saturated[0]
            self.leaf_value[k] = 0
            if n_nodes != -1:
                break
            self.scale[k] /= 4
        self._rescale(k)
        self.n_trees += 1
        n_leaves = (n_nodes + 1) // 2
        if not in_order and n_rows < n:
            leaf_of_node = np.zeros(n_nodes, np.uint16)
            leaf_of_node[tree.leaf_node[:n_leaves]] = np.arange(n_leaves)
            leaves_by_code(codes, tree, leaf_of_node, n_rows, work.rows)
        if self.loss.leaf_quantile is not None:
            self._take_quantiles(tree, n_leaves, in_order)
        self.leaf_value[k, :n_leaves] = growth.learning_rate * tree.value[tree.leaf_node[:n_leaves]]
        return tree._replace(**{name: getattr(tree, name)[:n_nodes].copy() for name in _BY_NODE})

    def _total_weight(self, n_rows: int) -> float:
        weight = self.codes.row_weight
        if len(weight) == 0:
            return float(n_rows)
        chosen = weight if n_rows == len(weight) else weight[self.work.rows[:n_rows]]
        return float(chosen.sum() * self.weight_unit)

    def _take_quantiles(self, tree: Tree, n_leaves: int, in_order: bool) -> None:
        q = float(self.loss.leaf_quantile or 0)
        residual = self.target[0] - self.score[0]
        for leaf in range(n_leaves):
            start, node = tree.leaf_start[leaf], tree.leaf_node[leaf]
            rows = self.work.rows[start : start + tree.rows[node]]
            if n_leaves == 1 and in_order:
                rows = slice(None)
            weight = None if self.weight is None else self.weight[rows]
            tree.value[node] = weighted_quantile(residual[rows], q, weight)

    @property
    def finished(self) -> bool:
        """No further round would change anything: every output's last tree was a single leaf."""
        whole = self.growth.subsample >= 1 and self.growth.n_features_tried >= self.codes.columns.shape[0]
        return whole and not self.leaf_of_row.any()


def to_ensemble(
    trees: list[Tree], edges: Edges, first_score: np.ndarray, scale: float, kind: np.ndarray
) -> TreeEnsemble:
    """Trees on codes as trees on values; `scale` is the learning rate times the unit of the targets."""
    sizes = np.array([len(tree.left) for tree in trees], np.int64)
    roots = np.concatenate([[0], np.cumsum(sizes)])

    def joined(name: str) -> np.ndarray:
        arrays = [getattr(tree, name) for tree in trees]
        return np.concatenate(arrays) if arrays else np.zeros(0)

    left, feature, bin, rows = joined("left"), joined("feature"), joined("bin"), joined("rows")
    left = left.astype(np.int32)
    feature, bin = feature.astype(np.int32), bin.astype(np.intp)
    inner = left >= 0
    left[inner] += np.repeat(roots[:-1], sizes)[inner].astype(np.int32)
    is_set = inner & (kind[feature] == CATEGORICAL)
    threshold = np.full(len(left), np.nan, edges.upper.dtype)
    ordered = inner & ~is_set
    threshold[ordered] = edges.upper[feature[ordered], bin[ordered]]  # inf: present values left, missing ones right
    missing_left = joined("missing_left").astype(bool)
    unseen = inner & (edges.has_missing[feature] == 0)  # training saw none missing: they follow the larger side
    missing_left[unseen] = rows[left[unseen]] >= rows[left[unseen] + 1]
    category_set = np.full(len(left), -1, np.int32)
    category_set[is_set] = np.arange(is_set.sum())
    sets = joined("category_sets").reshape(-1, 4)[is_set].astype(np.uint64)
    known = edges.n_bins[feature[is_set]].astype(np.uint64)[:, None]
    return TreeEnsemble(
        n_features=len(edges.n_bins),
        first_score=np.asarray(first_score, np.float64),
        roots=roots,
        left=left,
        feature=feature,
        threshold=threshold,
        missing_left=missing_left,
        value=np.where(inner, 0.0, joined("value") * scale),
        gain=np.where(inner, joined("gain"), 0.0),
        rows=rows.astype(np.int64),
        category_set=category_set,
        category_sets=np.hstack([sets, known]),
    )
