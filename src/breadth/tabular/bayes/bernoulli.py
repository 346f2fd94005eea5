"""Naive Bayes on features that are there or not."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.bayes.class_counts import (
    FLOATS,
    check_prior,
    check_smoothing,
    codes_among,
    counted,
    declared_classes,
    linear_joint,
    log_of_counts,
    log_prior,
    smoothing,
    sums_by_class,
)
from breadth.tabular.labels import class_codes


class BernoulliNB(ClassifierMixin, BaseEstimator):
    """Class posterior of features that are there or not, independent within a class.

    log p(c | x) = log pi_c + sum_j [b_j log theta_cj + (1 - b_j) log(1 - theta_cj)] - log p(x), b_j = [x_j > binarize],
    theta_cj = (N_cj + alpha_j) / (N_c + 2 alpha_j), with N_cj the weight of rows of class c that have j. Unlike the
    multinomial, it counts against a class what is absent.

    Args:
        alpha: pseudo-count, >= 0, a number or shape (features,).
        force_alpha: use alpha as given, 0 too; otherwise an alpha below 1e-10 is 1e-10.
        binarize: a feature is there above this; None where X holds only 0 and 1.
        fit_prior: pi are the classes' shares; otherwise all are equal.
        class_prior: pi, shape (classes,), >= 0 with sum 1, in the order of classes_; overrules fit_prior.

    Attributes:
        classes_: sorted labels, shape (classes,).
        class_count_: weight of each class, shape (classes,).
        class_log_prior_: log pi, shape (classes,).
        feature_count_: N, shape (classes, features).
        feature_log_prob_: log theta, shape (classes, features).

    Raises:
        ValueError: as MultinomialNB, but for the sign; or binarize is None and X holds other numbers than 0 and 1, or
            binarize < 0 and X is sparse.

    Cost: as MultinomialNB.

    Deviations:
        1. alpha may be a vector, for which scikit-learn raises; alpha = 0 where a feature is in none or all of a
            class's rows is an error, where scikit-learn predicts NaN.
        2. binarize=None checks that X is binary.
        3. class_prior must have sum 1.

    References: McCallum & Nigam 1998, AAAI Workshop on Learning for Text Categorization, section 2 (event models);
        Manning, Raghavan & Schütze 2008, Introduction to Information Retrieval, section 13.3.
    Peer: sklearn.naive_bayes.BernoulliNB, float64, 1e-10 (A).
    In production: use it for short texts and for tables of yes and no.
    """

    def __init__(
        self,
        *,
        alpha: float | ArrayLike = 1.0,
        force_alpha: bool = True,
        binarize: float | None = 0.0,
        fit_prior: bool = True,
        class_prior: ArrayLike | None = None,
    ):
        self.alpha = alpha
        self.force_alpha = force_alpha
        self.binarize = binarize
        self.fit_prior = fit_prior
        self.class_prior = class_prior

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.poor_score = True  # on real numbers, which checks draw
        return tags

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Count, forgetting earlier fits.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: class labels, shape (rows,).
            sample_weight: weight per row, >= 0, shape (rows,); weight 2 is the row twice. None means 1.

        Returns:
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS)
        self._start(class_codes(y)[0])
        return self._absorb(X, y, sample_weight)

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Add rows to what has been counted; `classes`, every label that will occur, is required at the first call."""
        seen = getattr(self, "classes_", None)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, reset=seen is None)
        classes = declared_classes(classes, seen)
        if seen is None:
            self._start(classes)
        return self._absorb(X, y, sample_weight)

    def _start(self, classes: NDArray) -> None:
        check_smoothing(self.alpha, self.n_features_in_)
        check_prior(self.class_prior, classes)
        self.classes_ = classes
        self.class_count_ = np.zeros(len(classes))
        self.feature_count_ = np.zeros((len(classes), self.n_features_in_))

    def _absorb(self, X: Any, y: NDArray, sample_weight: ArrayLike | None) -> Self:
        codes = codes_among(y, self.classes_)
        there = _there(X, self.binarize)
        weight, self.class_count_ = counted(codes, X, sample_weight, self.class_count_)
        self.feature_count_ += sums_by_class(there, codes, weight, len(self.classes_))
        self.class_log_prior_ = log_prior(self.class_count_, self.fit_prior, self.class_prior)
        alpha = smoothing(self.alpha, self.force_alpha)
        total = self.class_count_[:, None] + 2.0 * alpha
        log_total = np.log(np.where(total > 0, total, 1.0))
        present = self.feature_count_ + alpha
        absent = np.maximum(self.class_count_[:, None] - self.feature_count_, 0.0) + alpha
        prior = self.class_log_prior_
        self.feature_log_prob_ = log_of_counts(present, self.classes_, prior, "is in no row of") - log_total
        self._log_absent = log_of_counts(absent, self.classes_, prior, "is in every row of") - log_total
        return self

    def _joint(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        nothing = self.class_log_prior_ + self._log_absent.sum(axis=1)
        return linear_joint(_there(rows, self.binarize), self.feature_log_prob_ - self._log_absent, nothing)

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


def _there(X: Any, binarize: float | None) -> Any:
    """1 where a feature is above the threshold, else 0; boolean when dense, for it is widened block by block."""
    if binarize is None:
        values = X.data if sp.issparse(X) else X
        other = values[(values != 0) & (values != 1)]
        if other.size:
            raise ValueError(f"binarize is None, so X must hold only 0 and 1, got {other[0]:g}; give a threshold")
        return X
    if not sp.issparse(X):
        return binarize < X
    if binarize < 0:
        raise ValueError(f"binarize must be >= 0 for sparse X, got {binarize!r}: entries that are not stored are 0")
    above = X.data > binarize
    return sp.csr_matrix((above.astype(np.float64), X.indices, X.indptr), shape=X.shape)
