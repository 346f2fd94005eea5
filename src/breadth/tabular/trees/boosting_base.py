"""What gradient boosting's classifier and regressor share: parameters, binning, the rounds, validation, scores."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.compilation import announced
from breadth.tabular.columns import ColumnEncoder, is_frame
from breadth.tabular.trees import losses
from breadth.tabular.trees.binning import encode, find_edges
from breadth.tabular.trees.rounds import Booster, Growth, to_ensemble
from breadth.tabular.trees.team import Team
from breadth.tabular.trees.tree_ensemble import TreeEnsemble
from breadth.tabular.trees.workspace import CATEGORICAL, Tree

if TYPE_CHECKING:
    from typing import Self

    import onnx

    from breadth.tabular.trees.shapley import ShapleyValues

WORK_FOR_THREADS = 400_000  # rows x features below which waking a second thread costs more than it saves


def check_number(
    name: str, value: Any, kind: type, low: float, high: float = np.inf, *, optional: bool = False
) -> None:
    """Raise unless `value` is of the kind and within [low, high]."""
    if optional and value is None:
        return
    kind_name = "an integer" if kind is Integral else "a number"
    closing = "]" if np.isfinite(high) else ")"
    wanted = f"{kind_name} in [{low:g}, {high:g}{closing}" + (" or None" if optional else "")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}; got {value!r}.")
    if not low <= value <= high or not np.isfinite(float(value)):
        raise ValueError(f"{name} must be {wanted}; got {value!r}.")


def given_together(X_val: Any, y_val: Any) -> bool:
    """Whether there are validation rows; a ValueError where only half of them is given."""
    if (X_val is None) != (y_val is None):
        there, absent = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise ValueError(f"{there} was given without {absent}; pass both, or neither.")
    return X_val is not None


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class GradientBoostingBase(BaseEstimator):
    """What the classifier and the regressor share."""

    _encoder: ColumnEncoder
    _ensemble: TreeEnsemble

    def _growth(self, n: int, n_features: int, seed: int) -> Growth:
        check_number("max_iter", self.max_iter, Integral, 1)
        check_number("learning_rate", self.learning_rate, Real, 1e-12)
        check_number("max_leaf_nodes", self.max_leaf_nodes, Integral, 2, 65_535, optional=True)
        check_number("max_depth", self.max_depth, Integral, 1, optional=True)
        check_number("min_samples_leaf", self.min_samples_leaf, Integral, 1)
        check_number("l2_regularization", self.l2_regularization, Real, 0)
        check_number("min_split_gain", self.min_split_gain, Real, 0)
        check_number("max_bins", self.max_bins, Integral, 2, 255)
        check_number("max_features", self.max_features, Real, 1e-12, 1)
        check_number("subsample", self.subsample, Real, 1e-12, 1)
        check_number("n_threads", self.n_threads, Integral, 1, optional=True)
        check_number("n_iter_no_change", self.n_iter_no_change, Integral, 1)
        check_number("tol", self.tol, Real, 0)
        check_number("validation_fraction", self.validation_fraction, Real, 1e-12, 1 - 1e-12)
        if not isinstance(self.early_stopping, (bool, np.bool_)):
            raise TypeError(f"early_stopping must be True or False; got {self.early_stopping!r}.")
        if self.growth not in ("leaf", "level"):
            raise ValueError(f"growth must be 'leaf' or 'level'; got {self.growth!r}.")
        leaves = min(65_535, max(2, n))
        if self.max_leaf_nodes is not None:
            leaves = min(leaves, int(self.max_leaf_nodes))
        if self.max_depth is not None:
            leaves = min(leaves, 2 ** min(int(self.max_depth), 16))
        threads = 1
        if n * n_features >= WORK_FOR_THREADS:
            threads = int(self.n_threads or available_threads())
        return Growth(
            learning_rate=float(self.learning_rate),
            max_leaves=leaves,
            max_depth=0 if self.max_depth is None else int(self.max_depth),
            level_wise=self.growth == "level",
            min_samples_leaf=int(self.min_samples_leaf),
            l2=float(self.l2_regularization),
            min_gain=float(self.min_split_gain),
            n_features_tried=max(1, round(self.max_features * n_features)),
            subsample=float(self.subsample),
            seed=seed,
            n_threads=threads,
        )

    def _matrix(self, X: Any, *, dtype: Any = None) -> np.ndarray:
        """X as a C-ordered matrix, categories as codes, missing values as NaN; without `dtype` the fit's own X."""
        first = dtype is None
        checks = {
            "dtype": [np.float64, np.float32] if first else dtype,
            "order": "C",
            "ensure_all_finite": "allow-nan",
            "estimator": self,
            "input_name": "X",
        }
        named = self.categorical_features is not None and not isinstance(self.categorical_features, str)
        if not is_frame(X):
            X = _as_array(X) if named else check_array(X, **checks)
        if first:
            self._encoder = ColumnEncoder.fit(X, self.categorical_features)
        matrix = self._encoder.transform(X)
        if is_frame(X) or named:
            matrix = check_array(matrix, **checks)
        validate_data(self, X if is_frame(X) else matrix, reset=first, skip_check_array=True)
        return matrix

    def _known_matrix(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._matrix(X, dtype=self._ensemble.threshold.dtype)

    def _fit(
        self, X: np.ndarray, y: np.ndarray, sample_weight: Any, validation: tuple[Any, np.ndarray, Any] | None
    ) -> None:
        """Fit on a matrix and on targets that the loss understands.

        `validation` holds X, y and weights of rows not to learn from.
        """
        check_consistent_length(X, y)
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        weight = None if sample_weight is None else _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )  # fmt: skip
        if weight is not None and not weight.any():
            raise ValueError("sample_weight is zero for every row; at least one row needs a positive weight.")
        weight = self._weigh_classes(y, weight)
        if validation is not None:
            X_val, y_val, weight_val = validation
            validation = self._matrix(X_val, dtype=X.dtype), y_val, weight_val
            check_consistent_length(*validation)
        elif self.early_stopping:
            rows = np.arange(len(X))
            kinds = y if is_classifier(self) else None
            try:
                train, held_out = train_test_split(
                    rows, test_size=self.validation_fraction, stratify=kinds, random_state=rng
                )
            except ValueError as error:
                raise ValueError(
                    f"early_stopping cannot hold out validation_fraction={self.validation_fraction:g} of {len(X)} rows "
                    f"({error}); pass X_val and y_val, raise the fraction, or turn early_stopping off."
                ) from error
            held_out_weight = None if weight is None else weight[held_out]
            validation = X[held_out], y[held_out], held_out_weight
            X, y, weight = X[train], y[train], None if weight is None else weight[train]
        if weight is not None:
            present = weight > 0  # a row without weight must not even move a bin edge
            if not present.all():
                X, y, weight = np.ascontiguousarray(X[present]), y[present], weight[present]
            weight = self._countable(weight)
        with announced():
            self._boost(X, y, weight, validation, seed)

    def _boost(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, validation: tuple | None, seed: int
    ) -> None:
        n, n_features = X.shape
        growth = self._growth(n, n_features, seed)
        loss = self._loss()
        row_weight, unit = _fixed_point_weight(weight)
        categories = self._encoder.n_categories
        edges = find_edges(
            X, self.max_bins, row_weight=row_weight, weight_unit=unit, categories=categories, n_threads=growth.n_threads
        )  # fmt: skip
        kind = self._kinds(n_features)
        codes = encode(X, edges, kind=kind, row_weight=row_weight, n_threads=growth.n_threads)
        first = loss.first_score(y.astype(np.float64), None if row_weight is None else row_weight.astype(np.float64))
        targets, start, scale = y, first, 1.0
        if loss.centred:
            targets = y - first[0]
            spread = float(np.abs(targets).max())
            if not np.isfinite(spread):
                raise ValueError("y spreads over more than float64 can hold; divide it by a constant first.")
            scale = 2.0 ** np.ceil(np.log2(spread)) if spread > 0 else 1.0
            targets, start = targets / scale, np.zeros(1)
        row_loss_weight = self._loss_weight(y, weight)
        team = Team(growth.n_threads)
        trees: list[Tree] = []
        try:
            booster = Booster(
                codes, edges, growth, loss, targets.astype(np.float32), start,
                None if row_loss_weight is None else row_loss_weight.astype(np.float32), unit, team,
            )  # fmt: skip
            watch = None if validation is None else _Validation(validation, loss, first, growth, self)
            for r in range(self.max_iter):
                with np.errstate(over="ignore"):  # beyond float32 the next round says what to change
                    grown = booster.round()
                trees += grown
                if watch is not None:
                    watch.add(to_ensemble(grown, edges, first, growth.learning_rate * scale, kind))
                if self.verbose:
                    told = f", validation loss {watch.losses[-1]:.6f}" if watch is not None else ""
                    print(f"round {r + 1} of {self.max_iter}{told}", file=sys.stderr)
                if booster.finished or (self.early_stopping and watch is not None and watch.stalled):
                    break
        finally:
            team.close()
        self._ensemble = to_ensemble(trees, edges, first, growth.learning_rate * scale, kind)
        self.validation_loss_ = None if watch is None else np.array(watch.losses)
        if watch is not None and self.early_stopping:
            self._ensemble = self._ensemble.first_rounds(int(np.argmin(watch.losses)) + 1)
        self.n_iter_ = self._ensemble.n_rounds

    def _kinds(self, n_features: int) -> np.ndarray:
        """Codes.kind: which features are categorical or monotone."""
        kind = np.where(self._encoder.categorical, CATEGORICAL, 0).astype(np.int8)
        cst = self.monotonic_cst
        if cst is None:
            return kind
        if isinstance(cst, dict):
            names = getattr(self, "feature_names_in_", None)
            if names is None:
                raise ValueError("monotonic_cst is a dict of names, but X has no column names; pass a list.")
            unknown = sorted(set(cst) - set(names))
            if unknown:
                raise ValueError(f"monotonic_cst names columns that X does not have: {', '.join(map(str, unknown))}.")
            cst = [cst.get(name, 0) for name in names]
        signs = np.asarray(cst)
        if signs.shape != (n_features,) or not np.isin(signs, (-1, 0, 1)).all():
            raise ValueError(f"monotonic_cst must hold -1, 0 or 1 for each of {n_features} features; got {cst!r}.")
        if (signs[self._encoder.categorical] != 0).any():
            raise ValueError("monotonic_cst must be 0 for categorical features: they have no order.")
        return np.where(signs != 0, signs, kind).astype(np.int8)

    def _countable(self, weight: np.ndarray) -> np.ndarray:
        """Weights as they are where they can count rows; scaled to mean 1, with a warning, where they cannot."""
        n, largest = len(weight), float(weight.max())
        total = largest * float(np.sort(weight / largest).sum())
        two_leaves = 2 * self.min_samples_leaf
        enough = total >= min(n, two_leaves) or (n < two_leaves and total > 2.0**-50)  # few rows: no split anyhow
        if enough and total <= 2.0**50:
            return weight
        warnings.warn(
            f"sample_weight sums to {total:g}, and a row of weight w counts as w rows: that cannot be meant beside "
            f"min_samples_leaf={self.min_samples_leaf}, so the weights are scaled to mean 1; pass them so.",
            UserWarning,
            stacklevel=5,
        )
        relative = weight / largest
        return relative * (n / np.sort(relative).sum())

    def _weigh_classes(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        return weight

    def _loss_weight(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        return weight

    def _threads(self) -> int:
        return int(self.n_threads or available_threads())

    def _scores(self, X: Any) -> np.ndarray:
        X = self._known_matrix(X)
        with announced():
            return self._ensemble.scores(X, n_threads=self._threads())

    def _staged_scores(self, X: Any) -> Iterator[np.ndarray]:
        yield from self._ensemble.staged_scores(self._known_matrix(X), n_threads=self._threads())

    def apply(self, X: Any) -> np.ndarray:
        """Number of the leaf, within its tree, that each row reaches: shape (rows, trees)."""
        return self._ensemble.leaves(self._known_matrix(X))

    @property
    def feature_importances_(self) -> np.ndarray:
        """Each feature's share of the total gain, shape (features,); zeros if no tree has a split."""
        gain = self.importances("gain")
        return gain / gain.sum() if gain.sum() > 0 else gain

    def importances(self, kind: Literal["gain", "split"] = "gain") -> np.ndarray:
        """Sum of loss reductions ("gain") or number of splits ("split") by feature, shape (features,).

        For permutation importance on held-out rows use `sklearn.inspection.permutation_importance`.
        """
        check_is_fitted(self)
        if kind not in ("gain", "split"):
            raise ValueError(f"kind must be 'gain' or 'split'; got {kind!r}.")
        return self._ensemble.importance(kind)

    @property
    def used_features_(self) -> np.ndarray:
        """Indices of the features that some split uses, ascending."""
        return np.flatnonzero(self.importances("split"))

    def get_n_leaves(self) -> int:
        """Leaves of all trees together."""
        check_is_fitted(self)
        return int((self._ensemble.left < 0).sum())

    def get_depth(self) -> int:
        """Edges between the root and the deepest leaf of any tree."""
        check_is_fitted(self)
        return self._ensemble.depth()

    def shap_values(self, X: Any) -> ShapleyValues:
        """TreeSHAP of the raw score: `values, base_values`, where values.sum(axis=1) + base_values is the score.

        The raw score is the log-odds, the number itself, or under the Poisson loss its logarithm; under the focal
        loss it is the score before calibration. For `shap`'s plots: `shap.Explanation(values, base_values, X)`.
        """
        from breadth.tabular.trees.shapley import tree_shapley

        X = self._known_matrix(X)
        with announced():
            return tree_shapley(self._ensemble, X, n_threads=self._threads())

    def to_json(self) -> str:
        """The fitted model as readable, versioned text; `breadth.tabular.trees.model_json` documents it."""
        from breadth.tabular.trees.model_json import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The model that `to_json` wrote: the same parameters and, to the last bit, the same predictions."""
        from breadth.tabular.trees.model_json import from_json

        return from_json(cls, text)

    def to_onnx(self) -> onnx.ModelProto:
        """The fitted model as an ONNX graph; `breadth.tabular.trees.model_onnx` documents its inputs and outputs."""
        from breadth.tabular.trees.model_onnx import to_onnx

        return to_onnx(self)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_ensemble")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


class _Validation:
    """Rows that the trees do not learn from, and the loss on them after each round."""

    def __init__(self, rows: tuple, loss: losses.Loss, first: np.ndarray, growth: Growth, settings: Any) -> None:
        self.X, self.y, self.weight = rows
        self.loss, self.growth, self.settings = loss, growth, settings
        self.scores = np.tile(first, (len(self.X), 1))
        self.losses: list[float] = []

    def add(self, trees: TreeEnsemble) -> None:
        trees.add(self.X, self.scores, rounds=(0, 1), n_threads=self.growth.n_threads)
        self.losses.append(self.loss.value(self.y, self.scores, self.weight))

    @property
    def stalled(self) -> bool:
        """No round of the last n_iter_no_change was better than the best before them by more than tol."""
        patience = self.settings.n_iter_no_change
        if len(self.losses) <= patience:
            return False
        return min(self.losses[-patience:]) > min(self.losses[:-patience]) - self.settings.tol


def _as_array(X: Any) -> np.ndarray:
    """An array of numbers where X is one, else of objects."""
    array = np.asarray(X)
    return array if array.dtype.kind in "fiub" else np.asarray(X, dtype=object)


def _fixed_point_weight(weight: np.ndarray | None) -> tuple[np.ndarray | None, float]:
    """Row weights as int64, so that their sums are exact, and what 1 stands for; small integers stay exact."""
    if weight is None:
        return None, 1.0
    exponent = 50 - int(np.ceil(np.log2(weight.max()) + np.log2(len(weight))))
    fixed = np.maximum(np.round(np.ldexp(weight, exponent)), 1).astype(np.int64)
    return fixed, float(np.ldexp(1.0, -exponent))
