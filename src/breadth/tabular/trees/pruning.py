"""Post-pruning: a grown tree cut back, by the weakest link or by its errors on rows it has not seen."""

from __future__ import annotations

import copy
import heapq
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.tabular.trees.stopping import within
from breadth.tabular.trees.structure import Tree

TreeEstimator = TypeVar("TreeEstimator")


class PruningPath(NamedTuple):
    """The nested subtrees of cost-complexity pruning, from the whole tree to the root alone."""

    ccp_alphas: np.ndarray  # (steps,), ascending, first 0
    impurities: np.ndarray  # (steps,), summed weighted impurity of the leaves that remain
    node: np.ndarray  # (steps,), the node that became a leaf, -1 for the whole tree


def cost_complexity_path(tree: Tree) -> PruningPath:
    """Weakest-link pruning: at each step the inner node with the smallest g(t) becomes a leaf.

    g(t) = (R(t) - R(T_t)) / (|leaves of T_t| - 1), R(t) = w_t i_t / w_root: the alpha at which the branch T_t costs as
    much as its root, R(T) + alpha |T|.

    Args:
        tree: a grown tree.

    Returns:
        PruningPath with one entry per pruned node, and one before them.

    Cost: O(n_nodes * depth * log n_nodes) time.
    Deviations: nodes of equal g are cut one after the other, as scikit-learn does, not all at once.
    References: Breiman et al. 1984, Classification and Regression Trees, section 3.3, eq. 3.9 and the steps after it.
    Peer: sklearn.tree cost_complexity_pruning_path, 1e-12 (A).
    In production: use ccp_alpha chosen by cross-validation along this path when one readable tree is wanted.
    """
    risk = tree.weight * tree.impurity / tree.weight[0]
    parent = tree.parent.tolist()
    inner = np.flatnonzero(~tree.is_leaf).tolist()
    left = tree.left.tolist()
    own, branch, leaves = risk.tolist(), risk.tolist(), [1] * tree.n_nodes
    for t in reversed(inner):  # children come after their parent
        a, b = left[t], left[t] + 1
        branch[t] = branch[a] + branch[b]
        leaves[t] = leaves[a] + leaves[b]

    heap = [((own[t] - branch[t]) / (leaves[t] - 1), t) for t in inner]
    heapq.heapify(heap)
    alphas, impurities, cut = [0.0], [branch[0]], [-1]
    collapsed = tree.is_leaf.tolist()
    while heap:
        alpha, t = heapq.heappop(heap)
        if collapsed[t] or alpha != (own[t] - branch[t]) / (leaves[t] - 1):
            continue  # cut with an ancestor, or an entry from before its branch shrank
        stack = [t]
        while stack:  # the whole branch leaves the tree
            s = stack.pop()
            if not collapsed[s]:
                collapsed[s] = True
                stack += (left[s], left[s] + 1)
        change, fewer = own[t] - branch[t], leaves[t] - 1
        branch[t], leaves[t] = own[t], 1
        above = parent[t]
        while above >= 0:
            branch[above] += change
            leaves[above] -= fewer
            heapq.heappush(heap, ((own[above] - branch[above]) / (leaves[above] - 1), above))
            above = parent[above]
        alphas.append(alpha)
        impurities.append(branch[0])
        cut.append(t)
    return PruningPath(np.array(alphas), np.array(impurities), np.array(cut))


def prune_cost_complexity(tree: Tree, ccp_alpha: float) -> Tree:
    """The smallest subtree that minimises R(T) + ccp_alpha |leaves|: the path's steps with alpha <= ccp_alpha.

    Raises:
        ValueError: if ccp_alpha is negative.
    """
    within("ccp_alpha", ccp_alpha, 0.0, np.inf)
    path = cost_complexity_path(tree)
    cut = np.zeros(tree.n_nodes, bool)
    for alpha, node in zip(path.ccp_alphas[1:], path.node[1:], strict=True):
        if alpha > ccp_alpha:
            break
        cut[node] = True
    return tree.collapsed(cut)


def prune_reduced_error(
    estimator: TreeEstimator, X_val: np.ndarray, y_val: np.ndarray, *, sample_weight: np.ndarray | None = None
) -> TreeEstimator:
    """Reduced-error pruning: bottom-up, a branch becomes a leaf where the leaf errs no more on validation rows.

    The error of a node is the weighted number of validation rows that its majority class gets wrong (classifier), or
    their summed squared (absolute under criterion="absolute_error") residual (regressor). A branch that no validation
    row reaches becomes a leaf.

    Args:
        estimator: a fitted DecisionTreeClassifier or DecisionTreeRegressor; it is left as it is.
        X_val: rows that the tree was not grown on, shape (rows, features).
        y_val: their targets, shape (rows,).
        sample_weight: >= 0, shape (rows,); None counts each row once.

    Returns:
        A copy of the estimator whose tree_ is the pruned tree: of all its pruned subtrees none errs less on X_val.

    Raises:
        ValueError: if X_val has other columns than the training rows, or lengths differ.

    Cost: O(rows * depth + n_nodes).
    References: Quinlan 1987, "Simplifying decision trees", Int. J. Man-Machine Studies 27, section 2.2.
    Peer: brute force over all pruned subtrees, the same least error (B).
    In production: use ccp_alpha with cross-validation instead unless rows are plentiful: these rows are lost to growth.
    """
    check_is_fitted(estimator)
    classifier = is_classifier(estimator)
    X_val, y_val = validate_data(
        estimator, X_val, y_val, reset=False, dtype=np.float32, ensure_all_finite="allow-nan", y_numeric=not classifier
    )
    w = _check_sample_weight(sample_weight, X_val, dtype=np.float64, ensure_non_negative=True)
    fitted: Any = estimator
    tree: Tree = fitted.tree_
    error = np.zeros(tree.n_nodes)
    for rows, nodes in tree.paths(X_val):
        if classifier:
            loss = fitted.classes_[tree.value[nodes].argmax(1)] != y_val[rows]
        else:
            residual = np.abs(y_val[rows] - tree.value[nodes, 0])
            loss = residual if fitted.criterion == "absolute_error" else residual**2
        error += np.bincount(nodes, weights=w[rows] * loss, minlength=tree.n_nodes)

    cut = np.zeros(tree.n_nodes, bool)
    least = error.copy()  # of the best pruned branch below the node
    for t in np.flatnonzero(~tree.is_leaf)[::-1]:
        branch = least[tree.left[t]] + least[tree.left[t] + 1]
        cut[t] = error[t] <= branch
        least[t] = min(error[t], branch)
    pruned = copy.copy(fitted)
    pruned.tree_ = tree.collapsed(cut)
    return pruned
