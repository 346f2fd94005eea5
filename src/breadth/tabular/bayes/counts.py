"""Naive Bayes on counts: multinomial and complement."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
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


class MultinomialNB(ClassifierMixin, BaseEstimator):
    """Class posterior of counts: a row is drawn word by word from its class's distribution over features.

    log p(c | x) = log pi_c + sum_j x_j log theta_cj - log p(x), theta_cj = (N_cj + alpha_j) / sum_l (N_cl + alpha_l),
    with N_cj the weighted sum of feature j in class c.

    Args:
        alpha: pseudo-count, >= 0, a number or shape (features,); 1 is Laplace's, less is Lidstone's smoothing.
        force_alpha: use alpha as given, 0 too; otherwise an alpha below 1e-10 is 1e-10.
        fit_prior: pi are the classes' shares; otherwise all are equal.
        class_prior: pi, shape (classes,), >= 0 with sum 1, in the order of classes_; overrules fit_prior.

    Attributes:
        classes_: sorted labels, shape (classes,).
        class_count_: weight of each class, shape (classes,).
        class_log_prior_: log pi, shape (classes,).
        feature_count_: N, shape (classes, features).
        feature_log_prob_: log theta, shape (classes, features).

    Raises:
        ValueError: if X holds a negative number, NaN or infinity, a label is not among `classes`, all weights are 0,
            a parameter is out of range, or alpha is 0 where a class lacks a feature.

    Cost: fit one pass over X, dense or sparse; predict n p classes (entries x classes when sparse).

    Deviations:
        1. alpha = 0 where a count is 0 is an error; scikit-learn predicts NaN from 0 x log 0.
        2. class_prior must have sum 1.
        3. Sums in float64 whatever the input.

    References: McCallum & Nigam 1998, AAAI Workshop on Learning for Text Categorization, section 2 (event models);
        Manning, Raghavan & Schütze 2008, Introduction to Information Retrieval, section 13.2.
    Peer: sklearn.naive_bayes.MultinomialNB, float64, 1e-12 (A).
    In production: use it as the first model of any text classification, on counts or TF-IDF; ComplementNB is the
        better where classes differ in size.
    """

    def __init__(
        self,
        *,
        alpha: float | ArrayLike = 1.0,
        force_alpha: bool = True,
        fit_prior: bool = True,
        class_prior: ArrayLike | None = None,
    ):
        self.alpha = alpha
        self.force_alpha = force_alpha
        self.fit_prior = fit_prior
        self.class_prior = class_prior

    def __sklearn_tags__(self):
        return _tags_of_counts(super().__sklearn_tags__())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Count, forgetting earlier fits.

        Args:
            X: counts >= 0, shape (rows, features), dense or scipy sparse.
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
        weight, class_count = counted(codes, X, sample_weight, self.class_count_)
        sums = sums_by_class(X, codes, weight, len(self.classes_), counts_for="MultinomialNB")
        self.class_count_, self.feature_count_ = class_count, self.feature_count_ + sums
        self.class_log_prior_ = log_prior(self.class_count_, self.fit_prior, self.class_prior)
        smoothed = self.feature_count_ + smoothing(self.alpha, self.force_alpha)
        logs = log_of_counts(smoothed, self.classes_, self.class_log_prior_, "never occurs in")
        total = smoothed.sum(axis=1, keepdims=True)
        self.feature_log_prob_ = logs - np.log(np.where(total > 0, total, 1.0))
        return self

    def _joint(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        return linear_joint(rows, self.feature_log_prob_, self.class_log_prior_)

    def predict(self, X: Any) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        best = self._joint(X).argmax(axis=0)
        return self.classes_[best]

    def predict_joint_log_proba(self, X: Any) -> NDArray[np.float64]:
        """log pi_c + sum_j x_j log theta_cj, shape (rows, classes); -inf for a class of prior 0."""
        return np.ascontiguousarray(self._joint(X).T)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """log p(c | x), shape (rows, classes)."""
        return np.ascontiguousarray(log_softmax(self._joint(X), axis=0).T)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """p(c | x), shape (rows, classes), in the order of classes_."""
        return np.ascontiguousarray(softmax(self._joint(X), axis=0).T)


class ComplementNB(ClassifierMixin, BaseEstimator):
    """The class whose complement explains the counts worst: argmax_c sum_j x_j w_cj.

    w_cj = -log theta~_cj, theta~_cj = (N~_cj + alpha_j) / sum_l (N~_cl + alpha_l), with N~_cj the weighted sum of
    feature j outside class c; with `norm`, w_c becomes w_c / sum_j |w_cj|.

    Args:
        alpha: pseudo-count, >= 0, a number or shape (features,).
        force_alpha: use alpha as given, 0 too; otherwise an alpha below 1e-10 is 1e-10.
        fit_prior: read only where there is one class, for the decision takes no prior.
        class_prior: as fit_prior.
        norm: normalise the weights of each class.

    Attributes:
        classes_: sorted labels, shape (classes,).
        class_count_: weight of each class, shape (classes,).
        class_log_prior_: log of the classes' shares, shape (classes,).
        feature_count_: sum of each feature in each class, shape (classes, features).
        feature_all_: sum of each feature, shape (features,).
        feature_log_prob_: w, shape (classes, features).

    Raises:
        ValueError: as MultinomialNB.

    Cost: as MultinomialNB.

    Deviations:
        1. alpha = 0 where a feature occurs in no other class is an error; scikit-learn predicts NaN or infinity.
        2. class_prior must have sum 1.

    References: Rennie, Shih, Teevan & Karger 2003, ICML, sections 3.1 (complement) and 3.2 (weights).
    Peer: sklearn.naive_bayes.ComplementNB, float64, 1e-12 (A).
    In production: use it for text whose classes differ in size; its scores are no calibrated probabilities.
    """

    def __init__(
        self,
        *,
        alpha: float | ArrayLike = 1.0,
        force_alpha: bool = True,
        fit_prior: bool = True,
        class_prior: ArrayLike | None = None,
        norm: bool = False,
    ):
        self.alpha = alpha
        self.force_alpha = force_alpha
        self.fit_prior = fit_prior
        self.class_prior = class_prior
        self.norm = norm

    def __sklearn_tags__(self):
        return _tags_of_counts(super().__sklearn_tags__())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Count, forgetting earlier fits.

        Args:
            X: counts >= 0, shape (rows, features), dense or scipy sparse.
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
        weight, class_count = counted(codes, X, sample_weight, self.class_count_)
        sums = sums_by_class(X, codes, weight, len(self.classes_), counts_for="ComplementNB")
        self.class_count_, self.feature_count_ = class_count, self.feature_count_ + sums
        self.feature_all_ = self.feature_count_.sum(axis=0)
        self.class_log_prior_ = log_prior(self.class_count_, self.fit_prior, self.class_prior)
        alpha = smoothing(self.alpha, self.force_alpha)
        smoothed = np.maximum(self.feature_all_ - self.feature_count_, 0.0) + alpha
        everywhere = np.zeros(len(self.classes_))  # every class is in the decision, whatever its prior
        logs = log_of_counts(smoothed, self.classes_, everywhere, "occurs in no class but")
        total = smoothed.sum(axis=1, keepdims=True)
        logs -= np.log(np.where(total > 0, total, 1.0))
        self.feature_log_prob_ = logs / logs.sum(axis=1, keepdims=True) if self.norm else -logs
        return self

    def _joint(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        prior = self.class_log_prior_ if len(self.classes_) == 1 else np.zeros(len(self.classes_))
        return linear_joint(rows, self.feature_log_prob_, prior)

    def predict(self, X: Any) -> NDArray:
        """Label of the greatest score in each row; of equal ones the first in classes_."""
        best = self._joint(X).argmax(axis=0)
        return self.classes_[best]

    def predict_joint_log_proba(self, X: Any) -> NDArray[np.float64]:
        """sum_j x_j w_cj, shape (rows, classes)."""
        return np.ascontiguousarray(self._joint(X).T)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Log-softmax of the scores, shape (rows, classes)."""
        return np.ascontiguousarray(log_softmax(self._joint(X), axis=0).T)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Softmax of the scores, shape (rows, classes), in the order of classes_."""
        return np.ascontiguousarray(softmax(self._joint(X), axis=0).T)


def _tags_of_counts(tags: Any) -> Any:
    tags.input_tags.sparse = True
    tags.input_tags.positive_only = True
    tags.classifier_tags.poor_score = True  # on real numbers, which checks draw
    return tags
