"""Filters: the columns that score best one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.selection.scores import f_classif


class SelectKBest(SelectorMixin, BaseEstimator):
    """Keeps the k columns of the highest score.

    Args:
        score_func: from (X, y) to scores, or scores and p-values, shape (columns,): f_classif, chi2 or
            mutual_info_classif for classes, f_regression, r_regression or mutual_info_regression for numbers, or your
            own.
        k: columns to keep, >= 0, or "all".

    Attributes:
        scores_: shape (columns,).
        pvalues_: shape (columns,), or None.

    Raises:
        ValueError: if k is negative or no integer, the scores are not one a column, or what score_func says of X and y.

    Warns:
        UserWarning: if k is more than there are columns: all are kept.

    Cost: that of score_func.
    Deviations: none; of equal scores the later column stays, as in scikit-learn, and NaN scores lowest.
    References: Guyon & Elisseeff 2003, JMLR 3, section 2 (ranking by one column at a time).
    Peer: sklearn.feature_selection.SelectKBest, the same columns (A).
    In production: use it first where columns are many, inside the pipeline that is cross-validated, never before it;
        it is blind to columns that repeat one another or that matter only together.
    """

    def __init__(self, score_func: Callable[..., Any] = f_classif, *, k: int | Literal["all"] = 10):
        self.score_func = score_func
        self.k = k

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Score the columns.

        Args:
            X: shape (rows, columns), dense or sparse.
            y: target, shape (rows,) or as score_func takes it; None for a score that takes X alone.

        Returns:
            The fitted selector.
        """
        if not callable(self.score_func):
            raise TypeError(f"score_func must be a function of (X, y), such as f_classif, got {self.score_func!r}")
        whole = isinstance(self.k, int | np.integer) and not isinstance(self.k, bool)
        if self.k != "all" and (not whole or int(self.k) < 0):
            raise ValueError(f"k must be an integer >= 0 or 'all', got {self.k!r}")
        if y is None:
            X = validate_data(self, X, accept_sparse=["csr", "csc"])
            found = self.score_func(X, y)
        else:
            X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True)
            found = self.score_func(X, y)
        p = X.shape[1]
        if self.k != "all" and int(self.k) > p:
            warnings.warn(f"k={self.k} is more than the {p} columns of X, so that all are kept; lower k", stacklevel=2)
        scores, pvalues = found if isinstance(found, tuple | list) else (found, None)
        self.scores_ = np.asarray(scores)
        self.pvalues_ = None if pvalues is None else np.asarray(pvalues)
        if self.scores_.shape != (p,):
            raise ValueError(f"score_func must return one score for each of {p} columns, got {self.scores_.shape}")
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        if self.k == "all":
            return np.ones(len(self.scores_), dtype=bool)
        mask = np.zeros(len(self.scores_), dtype=bool)
        if self.k:
            scores = np.where(np.isnan(self.scores_), -np.inf, self.scores_)
            mask[np.argsort(scores, kind="stable")[-int(self.k) :]] = True
        return mask
