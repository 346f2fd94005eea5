"""CART: exact decision trees on presorted columns."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.tabular.labels import class_codes
from breadth.tabular.trees.pruning import PruningPath, cost_complexity_path, prune_cost_complexity
from breadth.tabular.trees.stopping import MaxFeatures, StoppingRules, count_features, one_of, within
from breadth.tabular.trees.structure import Tree
from breadth.tabular.trees.tree_kernels import REAL, WHOLE, grow_tree

ClassWeight = dict | Literal["balanced"] | None


class DecisionTreeClassifier(ClassifierMixin, BaseEstimator):
    """Classification tree (CART): greedy binary splits by impurity, class frequencies at the leaves.

    Every node takes the split x_j <= s that maximises w_t i_t - w_L i_L - w_R i_R, with i = 1 - sum_k p_k^2 ("gini")
    or i = -sum_k p_k log2 p_k, in bits ("entropy", of which "log_loss" is another name).

    Args:
        criterion: impurity.
        max_depth: levels below the root, >= 1; None is no limit. This and the next seven are pre-pruning.
        min_samples_split: rows a node needs to be split, >= 2, or a fraction of the rows.
        min_samples_leaf: rows each child keeps, >= 1, or a fraction of the rows.
        min_weight_fraction_leaf: weight each child keeps, as a fraction of all, 0 to 0.5.
        max_features: columns tried per split: "sqrt", "log2", a count, a fraction, or None for all. Drawing goes on
            beyond it until a column with a valid split is found.
        random_state: seed of that drawing; without it (max_features=None) nothing is random.
        max_leaf_nodes: leaves in all, >= 2, best split first; None is no limit.
        min_impurity_decrease: least (w_t / w) (i_t - w_L/w_t i_L - w_R/w_t i_R) of a split, >= 0.
        class_weight: weight per class label, or "balanced" for w / (K w_k); multiplies sample_weight.
        ccp_alpha: cost-complexity pruning after growth, >= 0.

    Attributes:
        classes_, n_classes_, n_features_in_, tree_ (flat arrays, see `Tree`), feature_importances_, used_features_.

    Raises:
        ValueError: for a parameter out of range, X with infinities (or beyond float32), y with NaN, negative weights.

    Cost: O(F n log n) once, then O(F n) per level; memory 8 F n bytes.
    Deviations: X is float32, as in scikit-learn. A missing value is tried on either side and goes where training gained
        most; unseen in training, it follows the larger child. Gains equal up to rounding go to the lowest column, then
        the lowest threshold (scikit-learn: a random column), so that nothing depends on random_state unless
        max_features does. Any two distinct values can be split, however close (scikit-learn: 1e-7 apart). "balanced"
        counts weights, not rows. No surrogate splits.
    References: Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees, sections 2.4 and 4.1-4.3.
    Peer: sklearn.tree.DecisionTreeClassifier, the same nodes on data without ties, predictions 1e-12 (A).
    In production: use it to be read, pruned and small; for accuracy use boosting or a forest.
    """

    def __init__(
        self,
        *,
        criterion: Literal["gini", "entropy", "log_loss"] = "gini",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: MaxFeatures = None,
        random_state: int | np.random.RandomState | None = None,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        class_weight: ClassWeight = None,
        ccp_alpha: float = 0.0,
    ):
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> DecisionTreeClassifier:
        """Grow the tree on X (rows, features), labels y (rows,), weights >= 0 (rows,); a weight k is k equal rows."""
        one_of("criterion", self.criterion, ("gini", "entropy", "log_loss"))
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan")
        self.classes_, labels = class_codes(y)
        self.n_classes_ = self.classes_.size
        w = training_weight(sample_weight, X)
        w = w * class_weights(self.class_weight, self.classes_, labels, w)[labels]
        self.tree_ = _grow(self, X, labels, w, self.criterion, self.n_classes_)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Class frequencies at the leaf of each row, shape (rows, n_classes_), columns as in classes_."""
        leaf = self.apply(X)
        return self.tree_.value[leaf]

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """Logarithm of predict_proba; -inf for a class absent from the leaf."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Most frequent class at the leaf of each row, the first of equals, shape (rows,)."""
        leaf = self.apply(X)
        return self.classes_[self.tree_.value.argmax(1)[leaf]]

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Number of the leaf that each row reaches, int64 (rows,)."""
        rows = _rows(self, X)
        return self.tree_.leaf_of_rows(rows)

    def decision_path(self, X: np.ndarray) -> csr_matrix:
        """Indicator (rows, n_nodes): 1 where the row passes through the node."""
        return _path(self, X)

    def get_depth(self) -> int:
        """Edges between the root and the deepest leaf."""
        check_is_fitted(self)
        return int(self.tree_.node_depth().max())

    def get_n_leaves(self) -> int:
        """Number of leaves."""
        check_is_fitted(self)
        return self.tree_.n_leaves

    def cost_complexity_pruning_path(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> PruningPath:
        """The nested subtrees of weakest-link pruning of a tree grown on X, y, unpruned; self is left as it is."""
        return _unpruned_path(self, X, y, sample_weight)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of the total impurity decrease that each column brought, float64 (features,)."""
        check_is_fitted(self)
        return self.tree_.importances(self.n_features_in_)

    @property
    def used_features_(self) -> np.ndarray:
        """Ascending numbers of the columns that at least one split tests."""
        check_is_fitted(self)
        return self.tree_.used_features()


class DecisionTreeRegressor(RegressorMixin, BaseEstimator):
    """Regression tree (CART): greedy binary splits by spread, mean or median of y at the leaves.

    Every node takes the split x_j <= s that maximises w_t i_t - w_L i_L - w_R i_R, with i the weighted variance of y
    ("squared_error", leaf = mean) or the weighted mean of |y - median| ("absolute_error", leaf = median).

    Args:
        criterion: spread.
        max_depth: levels below the root, >= 1; None is no limit. This and the next seven are pre-pruning.
        min_samples_split: rows a node needs to be split, >= 2, or a fraction of the rows.
        min_samples_leaf: rows each child keeps, >= 1, or a fraction of the rows.
        min_weight_fraction_leaf: weight each child keeps, as a fraction of all, 0 to 0.5.
        max_features: columns tried per split: "sqrt", "log2", a count, a fraction, or None for all. Drawing goes on
            beyond it until a column with a valid split is found.
        random_state: seed of that drawing; without it (max_features=None) nothing is random.
        max_leaf_nodes: leaves in all, >= 2, best split first; None is no limit.
        min_impurity_decrease: least (w_t / w) (i_t - w_L/w_t i_L - w_R/w_t i_R) of a split, >= 0, in units of i.
        ccp_alpha: cost-complexity pruning after growth, >= 0, in units of i.

    Attributes:
        n_features_in_, tree_ (flat arrays, see `Tree`), feature_importances_, used_features_.

    Raises:
        ValueError: for a parameter out of range, X with infinities (or beyond float32), y with NaN, negative weights.

    Cost: O(F n log n) once, then O(F n) per level, O(F n log n) per level for absolute_error; memory 8 F n bytes.
    Deviations: as DecisionTreeClassifier. A node is pure when all y are equal (scikit-learn: variance <= 2.2e-16, which
        stops early on small units). The median of an even split of the weight is the middle of its two ends.
    References: Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees, sections 8.3 (squared
        error) and 8.11 (absolute error).
    Peer: sklearn.tree.DecisionTreeRegressor, the same nodes on data without ties, predictions 1e-12 relative (A).
    In production: use it to be read, pruned and small; for accuracy use boosting or a forest.
    """

    def __init__(
        self,
        *,
        criterion: Literal["squared_error", "absolute_error"] = "squared_error",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: MaxFeatures = None,
        random_state: int | np.random.RandomState | None = None,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        ccp_alpha: float = 0.0,
    ):
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.ccp_alpha = ccp_alpha

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> DecisionTreeRegressor:
        """Grow the tree on X (rows, features), targets y (rows,), weights >= 0 (rows,); a weight k is k equal rows."""
        one_of("criterion", self.criterion, ("squared_error", "absolute_error"))
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan", y_numeric=True)
        y = np.ascontiguousarray(y, np.float64)
        self.tree_ = _grow(self, X, y, training_weight(sample_weight, X), self.criterion, 1)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Mean (median) of the training targets at the leaf of each row, float64 (rows,)."""
        leaf = self.apply(X)
        return self.tree_.value[leaf, 0]

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Number of the leaf that each row reaches, int64 (rows,)."""
        rows = _rows(self, X)
        return self.tree_.leaf_of_rows(rows)

    def decision_path(self, X: np.ndarray) -> csr_matrix:
        """Indicator (rows, n_nodes): 1 where the row passes through the node."""
        return _path(self, X)

    def get_depth(self) -> int:
        """Edges between the root and the deepest leaf."""
        check_is_fitted(self)
        return int(self.tree_.node_depth().max())

    def get_n_leaves(self) -> int:
        """Number of leaves."""
        check_is_fitted(self)
        return self.tree_.n_leaves

    def cost_complexity_pruning_path(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> PruningPath:
        """The nested subtrees of weakest-link pruning of a tree grown on X, y, unpruned; self is left as it is."""
        return _unpruned_path(self, X, y, sample_weight)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of the total impurity decrease that each column brought, float64 (features,)."""
        check_is_fitted(self)
        return self.tree_.importances(self.n_features_in_)

    @property
    def used_features_(self) -> np.ndarray:
        """Ascending numbers of the columns that at least one split tests."""
        check_is_fitted(self)
        return self.tree_.used_features()


def training_weight(sample_weight: np.ndarray | None, X: np.ndarray) -> np.ndarray:
    """Row weights, float64 (rows,), of which at least one is positive."""
    w = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not w.any():
        raise ValueError("sample_weight is zero for every row: give at least one row a positive weight")
    return w


def class_weights(class_weight: ClassWeight, classes: np.ndarray, labels: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Weight per class, float64 (n_classes,): "balanced" gives sum(w) / (K sum(w of the class)), K classes with weight.

    Raises:
        ValueError: if class_weight is neither a dict, None nor "balanced", or a dict that misses a class.
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        mass = np.bincount(labels, weights=w, minlength=classes.size)
        present = mass > 0
        return np.divide(w.sum() / present.sum(), mass, out=np.ones(classes.size), where=present)
    if class_weight is not None and not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must be a dict of label to weight, 'balanced' or None, got {class_weight!r}")
    return compute_class_weight(class_weight, classes=classes, y=classes[labels])


def _grow(
    estimator: DecisionTreeClassifier | DecisionTreeRegressor,
    X: np.ndarray,
    y: np.ndarray,
    w: np.ndarray,
    criterion: str,
    n_classes: int,
) -> Tree:
    """Grow and prune: X (rows, features) float32, y float64 targets or int64 labels, w float64, each (rows,)."""
    rules = StoppingRules.of(
        n_rows=X.shape[0],
        total_weight=float(w.sum()),
        max_depth=estimator.max_depth,
        min_samples_split=estimator.min_samples_split,
        min_samples_leaf=estimator.min_samples_leaf,
        min_weight_fraction_leaf=estimator.min_weight_fraction_leaf,
        max_leaf_nodes=estimator.max_leaf_nodes,
        min_impurity_decrease=estimator.min_impurity_decrease,
    )
    within("ccp_alpha", estimator.ccp_alpha, 0.0, np.inf)
    n_features = X.shape[1]
    max_features = count_features(estimator.max_features, n_features)
    seed = check_random_state(estimator.random_state).randint(2**31) if max_features < n_features else 0

    counted = w > 0
    if not counted.all():
        X, y, w = X[counted], y[counted], w[counted]
    X = np.ascontiguousarray(X.T)
    n = X.shape[1]
    by_median = criterion == "absolute_error"
    order = np.empty((n_features + by_median, n), np.int32)
    for f in range(n_features):
        order[f] = np.argsort(X[f])  # NaN last
    work = None
    if by_median:
        order[n_features] = np.argsort(y)
        scratch = (np.empty(n, np.int32), np.empty(n + 1), np.empty(n + 1), np.empty(n), np.empty(n))
        work = (np.empty(n, np.int32), np.empty(n), scratch)
    # with two classes Gini is twice the variance of the 0/1 labels, and the leaner search finds the same splits
    halves = criterion == "gini" and n_classes <= 2
    labels = None if halves or n_classes == 1 else y.astype(np.int32)
    limits = (rules.max_depth, rules.min_samples_split, rules.min_samples_leaf, rules.max_leaf_nodes, max_features)
    min_gain = rules.min_impurity_decrease * float(w.sum()) * (0.5 if halves else 1.0)
    capacity = 2 * min(n, rules.max_leaf_nodes) + 1
    n_values = 1 if labels is None else n_classes
    whole, real, value = (
        np.empty((WHOLE, capacity), np.int64),
        np.empty((REAL, capacity)),
        np.empty((capacity, n_values)),
    )
    room = (whole, real, np.empty((2, n_values)), np.zeros(n, np.uint8), np.empty(n, np.int32))
    k = grow_tree(
        X,
        order,
        y.astype(np.float64) if labels is None else None,
        None if np.all(w == 1.0) else w,
        labels,
        work,
        criterion in ("entropy", "log_loss"),
        np.isnan(X).any(1),
        limits,
        rules.min_weight_leaf,
        min_gain,
        np.arange(n_features),
        np.array([seed], np.uint64),
        room,
        value,
    )
    feature, left = whole[0, :k].astype(np.int32), whole[1, :k].astype(np.int32)
    missing_left, n_samples = whole[2, :k].astype(bool), whole[3, :k].copy()
    threshold, weight, impurity = real[:3, :k].copy()
    value = value[:k].copy()
    if labels is not None:
        value /= weight[:, None]
    elif halves and n_classes == 2:
        value = np.hstack([1.0 - value, value])
        impurity *= 2.0
    elif n_classes == 1 and criterion not in ("squared_error", "absolute_error"):
        value = np.ones_like(value)
    tree = Tree(feature, threshold, left, missing_left, n_samples, weight, impurity, value)
    return prune_cost_complexity(tree, estimator.ccp_alpha) if estimator.ccp_alpha > 0.0 else tree


def _rows(estimator: BaseEstimator, X: np.ndarray) -> np.ndarray:
    check_is_fitted(estimator)
    return validate_data(estimator, X, dtype=np.float32, order="C", ensure_all_finite="allow-nan", reset=False)


def _path(estimator: DecisionTreeClassifier | DecisionTreeRegressor, X: np.ndarray) -> csr_matrix:
    return estimator.tree_.path_matrix(_rows(estimator, X))


def _unpruned_path(
    estimator: DecisionTreeClassifier | DecisionTreeRegressor,
    X: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray | None,
) -> PruningPath:
    whole = clone(estimator).set_params(ccp_alpha=0.0)
    return cost_complexity_path(whole.fit(X, y, sample_weight).tree_)
