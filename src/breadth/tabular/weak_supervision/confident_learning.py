"""A classifier that first takes out the rows whose labels are likely wrong."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.ensembles.out_of_fold import disjoint_splits, out_of_fold
from breadth.tabular.labels import class_codes
from breadth.tabular.weak_supervision.noisy_labels import FilterRule, estimate_joint, find_label_issues


class ConfidentLearningClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Find likely wrong labels from out-of-fold probabilities, leave their rows out, and fit to the rest.

    Args:
        estimator: classifier with predict_proba.
        filter_by: rule of `find_label_issues`.
        cv: folds, as of StackingClassifier.
        reweight: weight rows kept by 1 / P(label i right and not taken out), Q_.i / Q_ii, so that a class from which
            many rows are taken counts as before; the estimator's fit must take sample_weight.
        n_jobs: processes of joblib, over folds.

    Attributes:
        estimator_, classes_, n_features_in_.
        label_issues_: rows left out, bool (rows,).
        joint_: Q, shape (classes, classes).
        probabilities_: out of fold, shape (rows, classes).

    Raises:
        ValueError: if the estimator lacks predict_proba, or as StackingClassifier says of cv.

    Cost: folds + 1 fits.
    Deviations: none from the paper's method but those of `find_label_issues`.
    References: Northcutt, Jiang & Chuang 2021, arXiv:1911.00068, sections 3.1 and 3.2 (weights: end of 3.2).
    Peer: its steps one by one with cross_val_predict, 1e-12 (B).
    In production: use it where labels come from people in haste; where a model finds the classes hard, it throws out
        the hard rows.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        filter_by: FilterRule = "prune_by_noise_rate",
        cv: Any = None,
        reweight: bool = False,
        n_jobs: int | None = None,
    ):
        self.estimator = estimator
        self.filter_by = filter_by
        self.cv = cv
        self.reweight = reweight
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            admits = get_tags(self.estimator).input_tags
            tags.input_tags.sparse, tags.input_tags.allow_nan = admits.sparse, admits.allow_nan
        return tags

    def _rows(self, X: Any, y: Any = "no_validation", *, reset: bool = True) -> Any:
        admits = get_tags(self).input_tags
        finite = "allow-nan" if admits.allow_nan else True
        formats = ["csr"] if admits.sparse else False
        return validate_data(self, X, y, accept_sparse=formats, ensure_all_finite=finite, reset=reset)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find label issues in X (rows, features), y (rows,), and fit to the rest."""
        if self.estimator is None or isinstance(self.estimator, type) or not hasattr(self.estimator, "predict_proba"):
            raise ValueError(f"estimator must be a classifier with predict_proba, got {self.estimator!r}")
        X, y = self._rows(X, y)
        self.classes_, codes = class_codes(y)
        k = len(self.classes_)
        splits = disjoint_splits(self.cv, X, codes, classifier=True)
        (told,) = out_of_fold([self.estimator], X, codes, splits, ["predict_proba"], n_classes=k, n_jobs=self.n_jobs)
        self.probabilities_ = told
        self.joint_ = estimate_joint(codes, told)
        self.label_issues_ = find_label_issues(codes, told, filter_by=self.filter_by)
        kept = ~self.label_issues_
        given = {}
        if self.reweight:
            right = np.diag(self.joint_)
            weight = self.joint_.sum(axis=0) / np.where(right > 0, right, 1)
            given["sample_weight"] = np.where(right > 0, weight, 1.0)[codes[kept]]
        self.estimator_ = clone(self.estimator).fit(X[kept], y[kept], **given)
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Labels by the estimator fitted to the rows kept, shape (rows,)."""
        check_is_fitted(self)
        return self.estimator_.predict(self._rows(X, reset=False))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities, shape (rows, classes)."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(self._rows(X, reset=False))
