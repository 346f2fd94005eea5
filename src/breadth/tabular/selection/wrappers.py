"""Wrappers: columns chosen by fitting a model on them."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.feature_selection import SelectorMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.selection.importances import importances_of


class SequentialFeatureSelector(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    """Adds the column that raises a cross-validated score most, one at a time; or drops the one that is missed least.

    Args:
        estimator: unfitted; a copy is fitted for each candidate and fold.
        n_features_to_select: columns to choose, in [1, columns - 1]; a share in (0, 1]; "auto" is half of them, or with
            `tol` as many as help.
        tol: with "auto", stop when the score rises by less; > 0 forward, any number backward (how much may be lost).
        direction: "forward" or "backward".
        scoring: name of a score, or function of (estimator, X, y); None is the estimator's own.
        cv: folds, a splitter, or an iterable of splits. Splits are made once, so that every candidate meets the same.
        n_jobs: processes that share the candidates of a step; None means 1, -1 all cores.

    Attributes:
        n_features_to_select_: how many were chosen.
        support_: which, a mask of shape (columns,).

    Raises:
        ValueError: if n_features_to_select, tol or direction is out of range, or what the estimator says.

    Cost: forward k columns of p: k (2 p - k + 1) / 2 candidates, each as many fits as folds.

    Deviations: a splitter that shuffles without a seed draws once; scikit-learn draws anew for each candidate. A fit
        that fails is an error here, and a score of NaN there.
    References: Guyon & Elisseeff 2003, JMLR 3, section 4.2; Whitney 1971, IEEE Trans. Computers C-20(9) (forward);
        Marill & Green 1963, IEEE Trans. Information Theory 9(1) (backward).
    Peer: sklearn.feature_selection.SequentialFeatureSelector, the same columns (A).
    In production: use it where each column costs money to collect; its own score is optimistic, so nest it in another
        cross-validation. Backward sees columns that matter only together, at more fits.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        n_features_to_select: int | float | Literal["auto"] = "auto",
        tol: float | None = None,
        direction: Literal["forward", "backward"] = "forward",
        scoring: str | Callable[..., float] | None = None,
        cv: Any = 5,
        n_jobs: int | None = None,
    ):
        self.estimator = estimator
        self.n_features_to_select = n_features_to_select
        self.tol = tol
        self.direction = direction
        self.scoring = scoring
        self.cv = cv
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        return _tags_of(super().__sklearn_tags__(), self.estimator)

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Choose columns.

        Args:
            X: shape (rows, columns), what the estimator takes.
            y: target, shape (rows,); None for an estimator without one.

        Returns:
            The fitted selector.
        """
        given: Any = validate_data(
            self,
            X,
            accept_sparse="csc",
            ensure_min_features=2,
            ensure_all_finite=not get_tags(self).input_tags.allow_nan,
        )
        p = given.shape[1]
        target = self._check(p)
        if y is not None:
            y = np.asarray(y)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        scorer = check_scoring(self.estimator, scoring=self.scoring)
        rows = given.tocsr() if sp.issparse(given) else given
        folds = []
        for train, test in splitter.split(rows, y):
            parts = [rows[train], rows[test]]
            # columns are taken from these many times: by columns in memory each is one run
            parts = [part.tocsc() if sp.issparse(part) else np.asfortranarray(part) for part in parts]
            folds.append((*parts, None if y is None else y[train], None if y is None else y[test]))

        forward = self.direction == "forward"
        by_gain = self.n_features_to_select == "auto" and self.tol is not None
        steps = target if forward or self.n_features_to_select == "auto" else p - target
        moved = np.zeros(p, dtype=bool)  # chosen if forward, else dropped
        old = -np.inf
        with Parallel(n_jobs=self.n_jobs) as parallel:
            for _ in range(steps):
                candidates = np.flatnonzero(~moved)
                masks = []
                for j in candidates:
                    mask = moved.copy()
                    mask[j] = True
                    masks.append(mask if forward else ~mask)
                scores = list(parallel(delayed(_mean_score)(self.estimator, scorer, folds, mask) for mask in masks))
                best = int(np.argmax(scores))  # of equal ones the first
                if by_gain and scores[best] - old < float(self.tol or 0.0):
                    break
                old = scores[best]
                moved[candidates[best]] = True
        self.support_ = moved if forward else ~moved
        self.n_features_to_select_ = int(self.support_.sum())
        return self

    def _check(self, p: int) -> int:
        """How many columns are to be chosen, at most where `tol` stops."""
        if self.direction not in ("forward", "backward"):
            raise ValueError(f"direction must be 'forward' or 'backward', got {self.direction!r}")
        if self.tol is not None and self.direction == "forward" and not self.tol > 0:
            raise ValueError(f"tol must be > 0 in a forward selection, got {self.tol!r}")
        given = self.n_features_to_select
        if isinstance(given, str):
            if given != "auto":
                raise ValueError(f"n_features_to_select must be 'auto', an integer or a share, got {given!r}")
            return p // 2 if self.tol is None else p - 1
        if isinstance(given, numbers.Integral) and not isinstance(given, bool):
            if not 1 <= given < p:
                raise ValueError(f"n_features_to_select must be in [1, {p - 1}] for {p} columns, got {given}")
            return int(given)
        if not 0 < given <= 1:
            raise ValueError(f"n_features_to_select as a share must be in (0, 1], got {given!r}")
        return int(p * given)

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_


def _mean_score(estimator: Any, scorer: Callable[..., float], folds: list[tuple], mask: NDArray) -> float:
    total = 0.0
    columns = np.flatnonzero(mask)
    for X_train, X_test, y_train, y_test in folds:
        model = clone(estimator)
        if y_train is None:
            total += scorer(model.fit(X_train[:, columns]), X_test[:, columns])
        else:
            total += scorer(model.fit(X_train[:, columns], y_train), X_test[:, columns], y_test)
    return total / len(folds)


def _estimator_has(name: str) -> Callable[[Any], bool]:
    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), name)  # raises an AttributeError that says what lacks
        return True

    return check


class RFE(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    """Fits, drops the columns of least importance, and fits again, until as many are left as asked for.

    Importance is the sum over classes of coef_^2, or feature_importances_^2.

    Args:
        estimator: unfitted, with coef_ or feature_importances_ after fit.
        n_features_to_select: columns to keep, >= 1; a share in (0, 1]; None is half of them.
        step: columns dropped at a time, >= 1, or their share of all in (0, 1).
        verbose: not read; present so that calls written for scikit-learn run.
        importance_getter: "auto", the path of an attribute ("regressor_.coef_"), or a function of the fitted estimator.

    Attributes:
        estimator_: fitted on the columns that are left.
        n_features_: how many these are.
        support_: which, a mask of shape (columns,).
        ranking_: 1 for these, and more the earlier a column was dropped, shape (columns,).

    Raises:
        ValueError: if n_features_to_select or step is out of range, or the estimator has no importances.

    Cost: (columns - kept) / step + 1 fits.
    Deviations: n_features_to_select beyond the columns is an error, and a warning there.
    References: Guyon, Weston, Barnhill & Vapnik 2002, Machine Learning 46, section 2.5.
    Peer: sklearn.feature_selection.RFE, the same ranking (A).
    In production: use it with a linear model on scaled columns, or a forest; cheaper than SequentialFeatureSelector, as
        no fold is scored. Choose how many by cross-validation around it.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        n_features_to_select: int | float | None = None,
        step: int | float = 1,
        verbose: int = 0,
        importance_getter: str | Callable[[Any], Any] = "auto",
    ):
        self.estimator = estimator
        self.n_features_to_select = n_features_to_select
        self.step = step
        self.verbose = verbose
        self.importance_getter = importance_getter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        own = get_tags(self.estimator)
        tags.estimator_type = own.estimator_type
        tags.classifier_tags, tags.regressor_tags = own.classifier_tags, own.regressor_tags
        if tags.classifier_tags is not None:
            tags.classifier_tags.poor_score = True  # half of few columns may be the wrong ones
        if tags.regressor_tags is not None:
            tags.regressor_tags.poor_score = True
        tags.target_tags.required = True
        return _tags_of(tags, self.estimator)

    @property
    def classes_(self) -> NDArray:
        """Labels of the fitted estimator."""
        return self.estimator_.classes_

    def fit(self, X: Any, y: ArrayLike, **fit_params: Any) -> Self:
        """Drop columns.

        Args:
            X: shape (rows, columns), what the estimator takes.
            y: target, shape (rows,).
            **fit_params: passed to the estimator's fit, each time.

        Returns:
            The fitted selector.
        """
        X, y = validate_data(
            self, X, y, accept_sparse="csc", ensure_min_features=2, ensure_all_finite=False, multi_output=True
        )
        p = X.shape[1]
        kept = self._kept(p)
        if not self.step > 0:
            raise ValueError(f"step must be an integer >= 1 or a share in (0, 1), got {self.step!r}")
        step = max(1, int(self.step * p)) if self.step < 1 else int(self.step)
        features = np.arange(p)
        self.ranking_ = np.ones(p, dtype=np.int64)
        while len(features) > kept:
            model = clone(self.estimator).fit(X[:, features], y, **fit_params)
            importance = importances_of(model, self.importance_getter)
            square = importance**2 if importance.ndim == 1 else np.sum(importance**2, axis=0)
            worst = np.argsort(square, kind="stable")[: min(step, len(features) - kept)]
            features = np.delete(features, worst)
            gone = np.ones(p, dtype=bool)
            gone[features] = False
            self.ranking_[gone] += 1
        self.support_ = np.zeros(p, dtype=bool)
        self.support_[features] = True
        self.n_features_ = len(features)
        self.estimator_ = clone(self.estimator).fit(X[:, features], y, **fit_params)
        return self

    def _kept(self, p: int) -> int:
        given = self.n_features_to_select
        if given is None:
            return p // 2
        if isinstance(given, numbers.Integral) and not isinstance(given, bool):
            if not 1 <= given <= p:
                raise ValueError(f"n_features_to_select must be in [1, {p}] for {p} columns, got {given}")
            return int(given)
        if not 0 < given <= 1:
            raise ValueError(f"n_features_to_select as a share must be in (0, 1], got {given!r}")
        return max(1, int(p * given))

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any) -> NDArray:
        """Predictions of the estimator from the columns that are left."""
        check_is_fitted(self)
        return self.estimator_.predict(self.transform(X))

    @available_if(_estimator_has("score"))
    def score(self, X: Any, y: ArrayLike) -> float:
        """Score of the estimator on the columns that are left."""
        check_is_fitted(self)
        return self.estimator_.score(self.transform(X), y)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray:
        """Decision values of the estimator."""
        check_is_fitted(self)
        return self.estimator_.decision_function(self.transform(X))

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray:
        """Probabilities of the estimator."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(self.transform(X))


def _tags_of(tags: Any, estimator: Any) -> Any:
    own = get_tags(estimator).input_tags
    tags.input_tags.sparse, tags.input_tags.allow_nan = own.sparse, own.allow_nan
    return tags
