"""Naive Bayes on categories."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.bayes.class_counts import (
    check_prior,
    codes_among,
    counted,
    declared_classes,
    log_prior,
    row_blocks,
    smoothing,
)
from breadth.tabular.labels import class_codes, shown


class CategoricalNB(ClassifierMixin, BaseEstimator):
    """Class posterior of features that are categories 0, 1, 2, ..., independent within a class.

    log p(c | x) = log pi_c + sum_j log theta_cj(x_j) - log p(x), theta_cj(t) = (N_cj(t) + alpha) / (N_c + alpha m_j),
    with N_cj(t) the weight of rows of class c whose feature j is t, one of m_j categories.

    Args:
        alpha: pseudo-count of each category, >= 0.
        force_alpha: use alpha as given, 0 too; otherwise an alpha below 1e-10 is 1e-10.
        fit_prior: pi are the classes' shares; otherwise all are equal.
        class_prior: pi, shape (classes,), >= 0 with sum 1, in the order of classes_; overrules fit_prior.
        min_categories: categories of a feature at least, a number or shape (features,); None means as many as rows
            show. Give it so that a category that is rare or comes later in a stream is known.

    Attributes:
        classes_: sorted labels, shape (classes,).
        class_count_: weight of each class, shape (classes,).
        class_log_prior_: log pi, shape (classes,).
        n_categories_: m, shape (features,).
        category_count_: N_j of each feature, a list of arrays (classes, m_j).
        feature_log_prob_: log theta_j of each feature, a list of arrays (classes, m_j).

    Raises:
        ValueError: if X holds NaN, infinity or a negative number, or at prediction a category that fitting did not
            see; a label is not among `classes`, all weights are 0, a parameter is out of range, or alpha is 0 where a
            class lacks a category.

    Warns:
        UserWarning: if a number is not whole.

    Cost: fit n p additions; predict n p classes; memory O(classes sum_j m_j) beside X.

    Deviations:
        1. Numbers that are not whole lose their fraction with a warning; scikit-learn says nothing.
        2. alpha = 0 where a class lacks a category is an error; scikit-learn may predict NaN.
        3. class_prior must have sum 1.

    References: Murphy 2012, Machine Learning: A Probabilistic Perspective, section 3.5.1 (naive Bayes) and eq. 3.51
        (smoothing by a Dirichlet prior).
    Peer: sklearn.naive_bayes.CategoricalNB, float64, 1e-12 (A).
    In production: use it for tables of categories after OrdinalEncoder; for a column with very many categories, pool
        the rare ones.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        force_alpha: bool = True,
        fit_prior: bool = True,
        class_prior: ArrayLike | None = None,
        min_categories: int | ArrayLike | None = None,
    ):
        self.alpha = alpha
        self.force_alpha = force_alpha
        self.fit_prior = fit_prior
        self.class_prior = class_prior
        self.min_categories = min_categories

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.classifier_tags.poor_score = True
        tags.input_tags.positive_only = True
        return tags

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Count, forgetting earlier fits.

        Args:
            X: categories, whole numbers >= 0, shape (rows, features).
            y: class labels, shape (rows,).
            sample_weight: weight per row, >= 0, shape (rows,); weight 2 is the row twice. None means 1.

        Returns:
            The fitted estimator.
        """
        X, y = validate_data(self, X, y)
        self._start(class_codes(y)[0])
        return self._absorb(X, y, sample_weight)

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Add rows to what has been counted; `classes`, every label that will occur, is required at the first call."""
        seen = getattr(self, "classes_", None)
        X, y = validate_data(self, X, y, reset=seen is None)
        classes = declared_classes(classes, seen)
        if seen is None:
            self._start(classes)
        return self._absorb(X, y, sample_weight)

    def _start(self, classes: NDArray) -> None:
        if not np.ndim(self.alpha) == 0 or not self.alpha >= 0:
            raise ValueError(f"alpha must be a number >= 0, got {self.alpha!r}")
        check_prior(self.class_prior, classes)
        least = np.zeros(self.n_features_in_, dtype=np.int64)
        if self.min_categories is not None:
            given = np.asarray(self.min_categories)
            if given.dtype.kind not in "iu" or given.shape not in ((), least.shape) or (given < 1).any():
                raise ValueError(
                    f"min_categories must be a whole number >= 1 or one for each of {len(least)} features, "
                    f"got {self.min_categories!r}"
                )
            least += given
        self.classes_ = classes
        self.class_count_ = np.zeros(len(classes))
        self.category_count_ = [np.zeros((len(classes), m)) for m in least.tolist()]

    def _absorb(self, X: NDArray, y: NDArray, sample_weight: ArrayLike | None) -> Self:
        columns = _categories(X)
        codes = codes_among(y, self.classes_)
        weight, self.class_count_ = counted(codes, X, sample_weight, self.class_count_)
        self.class_log_prior_ = log_prior(self.class_count_, self.fit_prior, self.class_prior)
        n_classes = len(self.classes_)
        self.feature_log_prob_ = []
        for j, column in enumerate(columns):
            seen = self.category_count_[j]
            m = max(seen.shape[1], int(column.max()) + 1)
            new = np.bincount(codes * m + column, weights=weight, minlength=n_classes * m).reshape(n_classes, m)
            new = new.astype(np.float64, copy=False)
            new[:, : seen.shape[1]] += seen
            self.category_count_[j] = new
            smoothed = new + smoothing(self.alpha, self.force_alpha)
            bare = np.argwhere((smoothed == 0) & np.isfinite(self.class_log_prior_)[:, None])
            if len(bare):
                raise ValueError(
                    f"category {bare[0, 1]} of column {j} never occurs in class {shown(self.classes_[bare[0, 0]])} and "
                    f"alpha={self.alpha!r} gives it probability 0; give alpha > 0 (1e-10 for next to none)"
                )
            logs = np.log(smoothed, out=np.zeros_like(smoothed), where=smoothed > 0)
            total = smoothed.sum(axis=1, keepdims=True)
            self.feature_log_prob_.append(logs - np.log(np.where(total > 0, total, 1.0)))
        self.n_categories_ = np.array([count.shape[1] for count in self.category_count_], dtype=np.int64)
        return self

    def _joint(self, X: Any) -> NDArray[np.float64]:
        """log p(x, c), shape (classes, rows)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, reset=False)
        columns = _categories(rows)
        for j, column in enumerate(columns):
            if column.max() >= self.n_categories_[j]:
                raise ValueError(
                    f"column {j} holds category {column.max()}, and fitting saw only 0 to {self.n_categories_[j] - 1}; "
                    f"give min_categories={column.max() + 1} or more, or merge categories before"
                )
        joint = np.repeat(self.class_log_prior_[:, None], len(rows), axis=1)
        for part in row_blocks(len(rows), len(self.classes_)):
            own = joint[:, part]
            for table, column in zip(self.feature_log_prob_, columns, strict=True):
                own += table.take(column[part], axis=1)
        return joint

    def predict(self, X: Any) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        best = self._joint(X).argmax(axis=0)
        return self.classes_[best]

    def predict_joint_log_proba(self, X: Any) -> NDArray[np.float64]:
        """log p(x, c), shape (rows, classes); -inf for a class of prior 0."""
        return np.ascontiguousarray(self._joint(X).T)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """log p(c | x), shape (rows, classes)."""
        return np.ascontiguousarray(log_softmax(self._joint(X), axis=0).T)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """p(c | x), shape (rows, classes), in the order of classes_."""
        return np.ascontiguousarray(softmax(self._joint(X), axis=0).T)


def _categories(X: NDArray) -> NDArray[np.int64]:
    """Categories as (features, rows), one contiguous row a feature."""
    whole = np.ascontiguousarray(X.T).astype(np.int64)
    if X.dtype.kind == "f" and (whole != X.T).any():
        j = int((whole != X.T).any(axis=1).argmax())
        bad = X[whole[j] != X[:, j], j][0]
        warnings.warn(
            f"column {j} holds {bad:g}, which is no category and counts as {int(bad)}: categories are whole numbers "
            "0, 1, 2, ...; OrdinalEncoder makes them, and KBinsDiscretizer makes them of real numbers",
            stacklevel=4,
        )
    if whole.min() < 0:
        j = int((whole < 0).any(axis=1).argmax())
        raise ValueError(
            f"Negative values in data passed to CategoricalNB: {whole[j].min()} in column {j}; categories are 0, 1, ..."
        )
    return whole
