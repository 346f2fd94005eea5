"""Random forests: one kernel call grows a tree, one Python thread runs it."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.labels import class_codes
from breadth.tabular.trees.forest_growth import FlatForest, grow_forest
from breadth.tabular.trees.stopping import MaxFeatures, one_of
from breadth.tabular.trees.structure import Tree
from breadth.tabular.trees.tree import class_weights, training_weight


class RandomForestClassifier(ClassifierMixin, BaseEstimator):
    """Random forest: trees grown on bootstrap samples with random columns per split; probabilities averaged.

    p(k | x) = (1/T) sum_t p_t(k | x), with p_t the class frequencies at the leaf of tree t. Splits are exact, as in
    DecisionTreeClassifier: every cut between two neighbouring values of a node is tried, thresholds halfway between.

    Args:
        n_estimators: trees, >= 1.
        criterion: impurity; "log_loss" is another name of "entropy".
        max_depth, min_samples_split, min_samples_leaf, min_weight_fraction_leaf, max_leaf_nodes,
            min_impurity_decrease: pre-pruning of each tree, as in DecisionTreeClassifier; a row drawn twice counts as
            one row of weight 2.
        max_features: columns tried per split: "sqrt", "log2", a count, a fraction, or None for all. Drawing goes on
            beyond it until a column with a valid split is found.
        bootstrap: draw rows with replacement for each tree; else each tree sees all of them.
        oob_score: compute oob_score_ and oob_decision_function_ from the trees that did not draw a row.
        max_samples: rows drawn per tree: a count, a fraction of the rows (of the summed weight, given weights), or None
            for as many as there are.
        class_weight: weight per label, "balanced" for w / (K w_k), or "balanced_subsample" for that within each draw.
        n_jobs: threads; None is 1, -1 all cores. The result does not depend on it.
        random_state: seed.

    Attributes:
        classes_, n_classes_, n_features_in_, forest_ (flat arrays), feature_importances_, used_features_, oob_score_,
        oob_decision_function_.

    Raises:
        ValueError: for a parameter out of range, X with infinities (or beyond float32), y with NaN, negative weights.

    Cost: O(F n log n) for the ranks of the values, then O(T m n depth) for m columns per split, as ranks are sorted
        byte by byte; 4 F n bytes for the ranks, 40 + 8 K bytes per node.
    Deviations: from Breiman, probabilities are averaged instead of votes counted. With bootstrap, weights are
        probabilities of being drawn (as in scikit-learn >= 1.8), so that weight k is k equal rows in distribution when
        max_samples is given. Columns are drawn until one has a valid split. Values nearer to each other than 1e-7 are
        told apart (scikit-learn: not). A row that every tree drew has no out-of-bag value: NaN, with a warning
        (scikit-learn: 0).
    References: Breiman 2001, "Random forests", Machine Learning 45, section 4 (Forest-RI).
    Peer: sklearn.ensemble.RandomForestClassifier: held-out log loss and AUC over seeds (C: other random numbers);
        with all randomness off, its single tree (A).
    In production: use it as the default that needs no tuning, and for out-of-bag estimates; boosting is usually better.
    """

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: Literal["gini", "entropy", "log_loss"] = "gini",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: MaxFeatures = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        max_samples: int | float | None = None,
        class_weight: dict | Literal["balanced", "balanced_subsample"] | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.max_samples = max_samples
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> RandomForestClassifier:
        """Grow the trees on X (rows, features), labels y (rows,), weights >= 0 (rows,)."""
        one_of("criterion", self.criterion, ("gini", "entropy", "log_loss"))
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan")
        self.classes_, labels = class_codes(y)
        self.n_classes_ = self.classes_.size
        w = training_weight(sample_weight, X)
        per_draw = self.class_weight == "balanced_subsample"
        if not per_draw or not self.bootstrap:
            rule: Any = "balanced" if per_draw else self.class_weight
            w = w * class_weights(rule, self.classes_, labels, w)[labels]
        self.forest_ = grow_forest(
            self, X, labels.astype(np.int32), w, self.n_classes_, balance_draws=per_draw and self.bootstrap
        )
        if self.oob_score:
            votes = _out_of_bag(self, X)
            seen = ~np.isnan(votes[:, 0])
            self.oob_decision_function_ = _both_columns(votes, self.n_classes_)
            best = self.oob_decision_function_[seen].argmax(1)
            self.oob_score_ = accuracy_score(labels[seen], best) if seen.any() else float("nan")
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Mean class probabilities of the trees, shape (rows, n_classes_), columns as in classes_."""
        check_is_fitted(self)
        return _both_columns(self.forest_.mean_value(_rows(self, X), self.n_jobs), self.n_classes_)

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """Logarithm of predict_proba; -inf for a class that no tree sees."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Class of largest mean probability, the first of equals, shape (rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Leaf of each row in each tree, int64 (rows, n_estimators)."""
        check_is_fitted(self)
        return self.forest_.leaves(_rows(self, X), self.n_jobs)

    def tree(self, i: int) -> Tree:
        """Tree number i in terms of the original values."""
        check_is_fitted(self)
        return self.forest_.decoded(i, classifier_classes=self.n_classes_)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Mean over trees of each column's share of the impurity decrease, float64 (features,)."""
        check_is_fitted(self)
        return self.forest_.importances()

    @property
    def used_features_(self) -> np.ndarray:
        """Ascending numbers of the columns that at least one split of one tree tests."""
        check_is_fitted(self)
        return np.flatnonzero(self.forest_.used.any(0))


class RandomForestRegressor(RegressorMixin, BaseEstimator):
    """Random forest: regression trees grown on bootstrap samples with random columns per split; predictions averaged.

    f(x) = (1/T) sum_t f_t(x), with f_t the mean of y at the leaf of tree t. Splits are exact, as in
    DecisionTreeRegressor: every cut between two neighbouring values of a node is tried, thresholds halfway between.

    Args:
        n_estimators: trees, >= 1.
        criterion: spread; only the squared error.
        max_depth, min_samples_split, min_samples_leaf, min_weight_fraction_leaf, max_leaf_nodes,
            min_impurity_decrease: pre-pruning of each tree, as in DecisionTreeRegressor; a row drawn twice counts as
            one row of weight 2.
        max_features: columns tried per split: "sqrt", "log2", a count, a fraction, or None for all. A third of the
            columns is Breiman's choice; 1.0, scikit-learn's default, is bagging.
        bootstrap: draw rows with replacement for each tree; else each tree sees all of them.
        oob_score: compute oob_score_ (R^2) and oob_prediction_ from the trees that did not draw a row.
        max_samples: rows drawn per tree: a count, a fraction of the rows (of the summed weight, given weights), or None
            for as many as there are.
        n_jobs: threads; None is 1, -1 all cores. The result does not depend on it.
        random_state: seed.

    Attributes:
        n_features_in_, forest_ (flat arrays), feature_importances_, used_features_, oob_score_, oob_prediction_.

    Raises:
        ValueError: for a parameter out of range, X with infinities (or beyond float32), y with NaN, negative weights.

    Cost: as RandomForestClassifier, 48 bytes per node.
    Deviations: as RandomForestClassifier; sums are taken about the mean of y.
    References: Breiman 2001, "Random forests", Machine Learning 45, section 11.
    Peer: sklearn.ensemble.RandomForestRegressor: held-out squared error over seeds (C: other random numbers);
        with all randomness off, its single tree (A).
    In production: use it as the default that needs no tuning, and for out-of-bag estimates; boosting is usually better.
    """

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: Literal["squared_error"] = "squared_error",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: MaxFeatures = 1.0,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        max_samples: int | float | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.max_samples = max_samples
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> RandomForestRegressor:
        """Grow the trees on X (rows, features), targets y (rows,), weights >= 0 (rows,)."""
        one_of("criterion", self.criterion, ("squared_error",))
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan", y_numeric=True)
        y = y.astype(np.float64)
        self.forest_ = grow_forest(self, X, y, training_weight(sample_weight, X), 1)
        if self.oob_score:
            self.oob_prediction_ = _out_of_bag(self, X)[:, 0]
            seen = ~np.isnan(self.oob_prediction_)
            several = np.count_nonzero(seen) > 1
            self.oob_score_ = r2_score(y[seen], self.oob_prediction_[seen]) if several else float("nan")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Mean prediction of the trees, float64 (rows,)."""
        check_is_fitted(self)
        return self.forest_.mean_value(_rows(self, X), self.n_jobs)[:, 0]

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Leaf of each row in each tree, int64 (rows, n_estimators)."""
        check_is_fitted(self)
        return self.forest_.leaves(_rows(self, X), self.n_jobs)

    def tree(self, i: int) -> Tree:
        """Tree number i in terms of the original values."""
        check_is_fitted(self)
        return self.forest_.decoded(i)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Mean over trees of each column's share of the impurity decrease, float64 (features,)."""
        check_is_fitted(self)
        return self.forest_.importances()

    @property
    def used_features_(self) -> np.ndarray:
        """Ascending numbers of the columns that at least one split of one tree tests."""
        check_is_fitted(self)
        return np.flatnonzero(self.forest_.used.any(0))


def _rows(estimator: BaseEstimator, X: np.ndarray) -> np.ndarray:
    return validate_data(estimator, X, dtype=np.float32, order="C", ensure_all_finite="allow-nan", reset=False)


def _both_columns(value: np.ndarray, n_classes: int) -> np.ndarray:
    """Two classes are kept as the probability of the second one."""
    return np.hstack([1.0 - value, value]) if n_classes == 2 else value


def _out_of_bag(estimator: RandomForestClassifier | RandomForestRegressor, X: np.ndarray) -> np.ndarray:
    if not estimator.bootstrap:
        raise ValueError("oob_score=True needs bootstrap=True: without it every tree has seen every row")
    forest: FlatForest = estimator.forest_
    value = forest.out_of_bag(np.ascontiguousarray(X), estimator.n_jobs)
    never = int(np.isnan(value[:, 0]).sum())
    if never:
        warnings.warn(
            f"{never} of {len(X)} rows were drawn by every tree and have no out-of-bag value (NaN): "
            f"n_estimators={estimator.n_estimators} is too few for them",
            stacklevel=3,
        )
    return value
