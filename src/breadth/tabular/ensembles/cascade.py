"""Cascades: cheap models answer where they are sure, dear ones the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import Bunch, _safe_indexing
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, column_or_1d

from breadth.tabular.ensembles.cascade_thresholds import Stages, choose, frontier
from breadth.tabular.ensembles.out_of_fold import (
    admitting,
    as_given,
    disjoint_splits,
    fitted_copy,
    kept_members,
    out_of_fold,
    weight_of,
)
from breadth.tabular.labels import class_codes


@dataclass(frozen=True, slots=True)
class CostCurve:
    """What cascades of several thresholds cost a row, and how often they are right; cheapest first.

    Attributes:
        cost: mean cost of a row, shape (points,).
        accuracy: share of right answers, shape (points,).
        thresholds: of each point, shape (points, stages - 1).
        stage_cost, stage_accuracy: of each model answering alone, its own cost only, shape (stages,).
    """

    cost: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    stage_cost: NDArray[np.float64]
    stage_accuracy: NDArray[np.float64]


class CascadeClassifier(ClassifierMixin, _BaseComposition):
    """Models from cheap to dear: the first whose largest class probability reaches its threshold answers a row.

    s(x) = min {s : max_k p_s(k | x) >= t_s}, t_S = 0; the row costs c_1 + ... + c_s(x). Thresholds are chosen on
    out-of-fold predictions: the cheapest found whose accuracy is at most `tolerance` below the last model's alone.

    Args:
        estimators: list of (name, classifier with predict_proba), cheapest first, "drop" for one left out.
        costs: of a row at each stage, > 0, in any unit (measured seconds, prices); None is 1 each.
        thresholds: t_1 .. t_{S-1}, >= 0; None chooses them.
        tolerance: accuracy that may be given up, in [0, 1].
        cv: as of StackingClassifier; "prefit" chooses on X, which the members must not have been fitted on.
        n_jobs: processes of joblib, over members and folds.

    Attributes:
        classes_, estimators_ (fitted to class numbers unless prefit), named_estimators_, thresholds_, costs_,
        n_features_in_; where thresholds were chosen also frontier_: the CostCurve of the rows they were chosen on.

    Raises:
        ValueError: if a member lacks predict_proba, costs or thresholds are not as many as they should be or out of
            range, or as StackingClassifier says of cv and weights.

    Cost: (folds + 1) fits of each member; 64 sweeps of S sorts of n rows; a prediction runs a stage only on the rows
        that reach it.
    Deviations: one threshold a stage on the largest probability, not one a class; chosen to be the cheapest within a
        tolerance, exactly for two stages, by coordinates for more.
    References: Alpaydin & Kaynak 1998, "Cascading classifiers", Kybernetika 34(4), section 2; Viola & Jones 2001, CVPR,
        section 4; Chen, Zaharia & Zou 2023, arXiv:2305.05176, section 3 (thresholds for a budget).
    Peer: brute force over all thresholds of two and three stages (B).
    In production: use it where most rows are easy and the last model is many times dearer than the first; calibrate
        members whose probabilities are not.
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        costs: ArrayLike | None = None,
        thresholds: ArrayLike | None = None,
        tolerance: float = 0.0,
        cv: Any = None,
        n_jobs: int | None = None,
    ):
        self.estimators = estimators
        self.costs = costs
        self.thresholds = thresholds
        self.tolerance = tolerance
        self.cv = cv
        self.n_jobs = n_jobs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, of members too if deep."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, a member by its name, or its parameters by name__parameter."""
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self):
        return admitting(super().__sklearn_tags__(), self.estimators)

    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params: ArrayLike | None) -> Self:
        """Fit members on X (rows, features), labels y (rows,) and, if given, sample_weight (rows,)."""
        names, members = kept_members(self, kind="classifier")
        lacking = [name for name, m in zip(names, members, strict=True) if not hasattr(m, "predict_proba")]
        if lacking:
            raise ValueError(
                f"estimators: {', '.join(lacking)} lack predict_proba, and a cascade asks how sure they are"
            )
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance must be in [0, 1], got {self.tolerance}")
        self.costs_ = _numbers("costs", np.ones(len(members)) if self.costs is None else self.costs, len(members))
        if (self.costs_ <= 0).any():
            raise ValueError(f"costs must be > 0, got {self.costs!r}")
        X = as_given(self, X, y, reset=True)
        self.classes_, codes = class_codes(column_or_1d(y, warn=True))
        weight = weight_of(fit_params, len(codes))
        prefit = isinstance(self.cv, str) and self.cv == "prefit"
        if prefit:
            for member in members:
                check_is_fitted(member)
        self.estimators_ = members if prefit else [fitted_copy(member, X, codes, weight) for member in members]
        by_name = dict(zip(names, self.estimators_, strict=True))
        self.named_estimators_ = Bunch(**{name: by_name.get(name, "drop") for name, _ in self.estimators})
        if self.thresholds is not None:
            self.thresholds_ = _numbers("thresholds", self.thresholds, len(members) - 1)
            if (self.thresholds_ < 0).any():
                raise ValueError(f"thresholds must be >= 0, got {self.thresholds!r}")
            return self
        if prefit:
            told = [self._probabilities(s, X) for s in range(len(members))]
        else:
            splits = disjoint_splits(self.cv, X, codes, classifier=True)
            told = out_of_fold(
                members, X, codes, splits, ["predict_proba"] * len(members),
                n_classes=len(self.classes_), sample_weight=weight, n_jobs=self.n_jobs,
            )  # fmt: skip
        stages = Stages.of(told, codes, self.costs_, weight)
        found = frontier(stages)
        self.thresholds_ = choose(stages, found, stages.accuracy_alone[-1] - self.tolerance)
        self.frontier_ = _curve(stages, found)
        return self

    def _probabilities(self, stage: int, X: Any) -> NDArray[np.float64]:
        """Of a stage, columns as in classes_; a prefit member has labels of its own."""
        model = self.estimators_[stage]
        told = np.asarray(model.predict_proba(X), np.float64)
        if isinstance(self.cv, str) and self.cv == "prefit":
            whole = np.zeros((len(told), len(self.classes_)))
            known = np.isin(model.classes_, self.classes_)
            whole[:, np.searchsorted(self.classes_, model.classes_[known])] = told[:, known]
            return whole
        return told

    def _answers(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        check_is_fitted(self)
        X = as_given(self, X, reset=False)
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        proba, stage = np.zeros((n, len(self.classes_))), np.zeros(n, np.int64)
        rows = np.arange(n)
        for s, limit in enumerate([*self.thresholds_, 0.0]):
            proba[rows] = self._probabilities(s, X if len(rows) == n else _safe_indexing(X, rows))
            stage[rows] = s
            rows = rows[proba[rows].max(axis=1) < limit]
            if not len(rows):
                break
        return proba, stage

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of the stage that answers each row, shape (rows, classes)."""
        return self._answers(X)[0]

    def predict(self, X: ArrayLike) -> NDArray:
        """Label of largest probability at the stage that answers, shape (rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def stages(self, X: ArrayLike) -> NDArray[np.int64]:
        """Number of the stage that answers each row, 0 for the cheapest, shape (rows,)."""
        return self._answers(X)[1]

    def accuracy_cost_curve(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> CostCurve:
        """Accuracy and cost, on rows that nothing was chosen on, of the thresholds that were best on those of fit.

        Args:
            X: held-out rows.
            y: their labels, among classes_.
            sample_weight: their weights, >= 0.

        Returns:
            The curve; its thresholds are those of frontier_, so that it is an honest estimate point by point.

        Raises:
            ValueError: if thresholds were given and not chosen, or y has other labels than the training rows had.
        """
        check_is_fitted(self)
        if not hasattr(self, "frontier_"):
            raise ValueError("the curve needs thresholds that fit chose; fit with thresholds=None")
        X = as_given(self, X, reset=False)
        labels = column_or_1d(y)
        unknown = np.setdiff1d(labels, self.classes_)
        if unknown.size:
            raise ValueError(f"y has labels that no training row had: {', '.join(map(repr, unknown.tolist()))}")
        told = [self._probabilities(s, X) for s in range(len(self.estimators_))]
        weight = weight_of({"sample_weight": sample_weight}, len(labels))
        stages = Stages.of(told, np.searchsorted(self.classes_, labels), self.costs_, weight)
        return _curve(stages, self.frontier_.thresholds)


def _curve(stages: Stages, thresholds: NDArray[np.float64]) -> CostCurve:
    cost, accuracy = np.array([stages.value(t) for t in thresholds]).T
    order = np.lexsort((accuracy, cost))
    return CostCurve(cost[order], accuracy[order], thresholds[order], stages.costs, stages.accuracy_alone)


def _numbers(name: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.shape != (n,) or np.isnan(array).any():
        raise ValueError(f"{name} must be {n} numbers, one a stage that has one, got {values!r}")
    return array
