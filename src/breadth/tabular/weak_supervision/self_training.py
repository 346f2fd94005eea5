"""Self-training: a classifier's sure answers become labels that it is fitted to again."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data


def _member_has(method: str) -> Any:
    def check(outer: Any) -> bool:
        member = getattr(outer, "estimator_", outer.estimator)
        getattr(member, method)  # its own AttributeError says what is missing
        return True

    return check


class SelfTrainingClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Fit, label the rows without a label that the fit is sure of, and fit again: y_i <- argmax_k p(k | x_i).

    In each round the rows with max_k p(k | x_i) > threshold, or the k_best surest, join the training set for good.

    Args:
        estimator: any classifier with predict_proba.
        threshold: in [0, 1), of criterion "threshold".
        criterion: "threshold" or "k_best".
        k_best: rows that join in a round, >= 1, of criterion "k_best"; of equally sure ones the first.
        max_iter: rounds, >= 0; None goes on until all rows have a label or none joins.
        verbose: not read, because nothing is printed; labeled_iter_ says who joined when.

    Attributes:
        estimator_, classes_, n_features_in_.
        transduction_: labels given or found, -1 where there is none, shape (rows,).
        labeled_iter_: round in which a row's label was found, 0 if given, -1 if not found, shape (rows,).
        n_iter_: rounds, and termination_condition_: "max_iter", "no_change" or "all_labeled".

    Raises:
        ValueError: if no row has a label, labels are strings of NumPy's (an object array can hold -1 among strings), or
            a parameter is out of its range.

    Warns:
        UserWarning: if every row has a label, or k_best exceeds the rows without one.

    Cost: a fit and a prediction a round.
    Deviations: ties of k_best go to the first rows (scikit-learn: as a partition leaves them). No metadata routing.
    References: Yarowsky 1995, "Unsupervised word sense disambiguation rivaling supervised methods", ACL, section 4;
        Lee 2013, "Pseudo-label", ICML workshop, section 2.
    Peer: sklearn.semi_supervised.SelfTrainingClassifier, the same labels in the same rounds (A).
    In production: use it with probabilities that are calibrated and a high threshold; it repeats the mistakes of its
        first fit, and where that is poor it makes them worse.
    """

    def __init__(
        self,
        estimator: Any = None,
        threshold: float = 0.75,
        criterion: Literal["threshold", "k_best"] = "threshold",
        k_best: int = 10,
        max_iter: int | None = 10,
        verbose: bool = False,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.criterion = criterion
        self.k_best = k_best
        self.max_iter = max_iter
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            admits = get_tags(self.estimator).input_tags
            tags.input_tags.sparse, tags.input_tags.allow_nan = admits.sparse, admits.allow_nan
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to the rows that have labels and to those that get one.

        Args:
            X: features, shape (rows, features), as the estimator takes them.
            y: labels, -1 for a row without one, shape (rows,).

        Returns:
            The fitted estimator.
        """
        self._check()
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc", "lil", "dok"], ensure_all_finite=False)
        if hasattr(X, "tocsr"):
            X = X.tocsr()
        if y.dtype.kind in "US":
            raise ValueError(
                "y has dtype string. If you wish to predict on string targets, use dtype object, and use -1 as the "
                "label for unlabeled samples."
            )
        known = np.asarray(y != -1)
        if not known.any():
            raise ValueError("y has no label: all of it is -1; at least one row of each class must have its own")
        if known.all():
            warnings.warn("y contains no unlabeled samples: mark them by -1, or fit the estimator alone", stacklevel=2)
        if self.criterion == "k_best" and self.k_best > (~known).sum():
            warnings.warn(
                f"k_best is larger than the amount of unlabeled samples: all {int((~known).sum())} of them get a label "
                "in the first round; lower k_best to let later rounds correct the first",
                stacklevel=2,
            )
        self.estimator_ = clone(self.estimator)
        self.transduction_ = np.copy(y)
        self.labeled_iter_ = np.where(known, 0, -1)
        self.n_iter_ = 0
        self.termination_condition_ = "all_labeled" if known.all() else "max_iter"
        while not known.all() and (self.max_iter is None or self.n_iter_ < self.max_iter):
            self.n_iter_ += 1
            self.estimator_.fit(X[known], self.transduction_[known])
            rows = np.flatnonzero(~known)
            proba = np.asarray(self.estimator_.predict_proba(X[rows]))
            sure = proba.max(axis=1)
            if self.criterion == "threshold":
                joins = np.flatnonzero(sure > self.threshold)
            else:
                joins = np.argsort(-sure, kind="stable")[: self.k_best]
            self.transduction_[rows[joins]] = self.estimator_.classes_[proba[joins].argmax(axis=1)]
            known[rows[joins]] = True
            self.labeled_iter_[rows[joins]] = self.n_iter_
            if not len(joins):
                self.termination_condition_ = "no_change"
                break
        if self.n_iter_ == self.max_iter:
            self.termination_condition_ = "max_iter"
        if known.all():
            self.termination_condition_ = "all_labeled"
        self.estimator_.fit(X[known], self.transduction_[known])
        self.classes_ = self.estimator_.classes_
        return self

    def _check(self) -> None:
        if self.estimator is None or isinstance(self.estimator, type) or not hasattr(self.estimator, "fit"):
            raise ValueError(f"estimator must be a classifier with fit and predict_proba, got {self.estimator!r}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be in [0, 1), got {self.threshold}")
        if self.criterion not in ("threshold", "k_best"):
            raise ValueError(f"criterion must be 'threshold' or 'k_best', got {self.criterion!r}")
        if self.k_best < 1:
            raise ValueError(f"k_best must be >= 1, got {self.k_best}")
        if self.max_iter is not None and self.max_iter < 0:
            raise ValueError(f"max_iter must be >= 0 or None, got {self.max_iter}")

    def _rows(self, X: Any) -> Any:
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse=True, ensure_all_finite=False, reset=False)

    @available_if(_member_has("predict"))
    def predict(self, X: ArrayLike) -> NDArray:
        """Labels that the last fit says, shape (rows,)."""
        X = self._rows(X)
        return self.estimator_.predict(X)

    @available_if(_member_has("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities of the last fit, shape (rows, classes)."""
        X = self._rows(X)
        return self.estimator_.predict_proba(X)

    @available_if(_member_has("predict_log_proba"))
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log probabilities of the last fit, shape (rows, classes)."""
        X = self._rows(X)
        return self.estimator_.predict_log_proba(X)

    @available_if(_member_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision function of the last fit."""
        X = self._rows(X)
        return self.estimator_.decision_function(X)
