"""Naive Bayes with Gaussian likelihoods."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import one_thread
from breadth.tabular.labels import class_codes, shown

_BLOCK_ROWS = 2048  # rows scored at a time: their squared deviations stay in cache


class GaussianNB(ClassifierMixin, BaseEstimator):
    """Class posterior with features independent and Gaussian within a class.

    log p(c | x) = log pi_c - sum_j [log(2 pi v_cj) + (x_j - m_cj)^2 / v_cj] / 2 - log p(x), with m and v the weighted
    mean and (biased) variance of feature j in class c, v widened by var_smoothing times the largest feature variance.

    Args:
        priors: pi, shape (classes,), >= 0 with sum 1, in the order of classes_; None takes class frequencies.
        var_smoothing: share of the largest variance of any feature added to every variance, >= 0.

    Attributes:
        classes_: sorted labels, shape (classes,).
        class_count_: weight of each class, shape (classes,).
        class_prior_: pi, shape (classes,).
        theta_: means, shape (classes, features).
        var_: variances, widened, shape (classes, features).
        epsilon_: the widening.

    Raises:
        ValueError: if X holds NaN or infinity, a prior or weight is out of range, all weights are 0, a label is not
            among `classes`, or a variance is 0 even when widened (the message names class and column).

    Cost: fit two passes over X, n p operations each; predict n p classes; O(n + classes p) memory beside X.

    Deviations:
        1. epsilon_ is taken from the weighted variance of all rows seen; scikit-learn takes the unweighted variance of
           the last batch. So weight 2 is the row twice, and `partial_fit` on parts equals `fit` on the whole.
        2. A variance of 0 is an error; scikit-learn divides by it and predicts from NaN.
        3. Computes in float64 whatever the input.

    References: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, eq. 6.26; Chan, Golub &
        LeVeque 1983, The American Statistician 37(3), eq. 2.1 (merging means and variances).
    Peer: sklearn.naive_bayes.GaussianNB, float64, 1e-9 (A).
    In production: use it as the fastest baseline, on streams, or when classes have few rows each; calibrate its
        probabilities, which dependent features push towards 0 and 1.
    """

    def __init__(self, *, priors: ArrayLike | None = None, var_smoothing: float = 1e-9):
        self.priors = priors
        self.var_smoothing = var_smoothing

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate priors, means and variances, forgetting earlier fits.

        Args:
            X: features, shape (rows, features).
            y: class labels, shape (rows,).
            sample_weight: weight per row, >= 0, shape (rows,). None means 1.

        Returns:
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        self._start(class_codes(y)[0])
        self._absorb(X, y, sample_weight)
        self._check_widths()
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Add rows to what has been seen.

        Args:
            X: features, shape (rows, features).
            y: class labels, shape (rows,).
            classes: every label that will ever occur; required at the first call, and unchanged after it.
            sample_weight: weight per row, >= 0, shape (rows,). None means 1.

        Returns:
            The estimator, equal up to rounding to one fitted on all rows at once.
        """
        first = not hasattr(self, "classes_")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        class_codes(y)
        if classes is not None:
            classes = np.unique(classes)
        if first:
            if classes is None:
                raise ValueError("classes must be given at the first call of partial_fit: every label that will occur")
            self._start(classes)
        elif classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"classes={classes!r} differs from those of the first call of partial_fit: {self.classes_!r}"
            )
        self._absorb(X, y, sample_weight)
        return self

    def _start(self, classes: NDArray) -> None:
        if not self.var_smoothing >= 0:
            raise ValueError(f"var_smoothing must be >= 0, got {self.var_smoothing!r}")
        if self.priors is not None:
            priors = np.asarray(self.priors, dtype=np.float64)
            if priors.shape != classes.shape:
                raise ValueError(f"priors must hold one number for each of {len(classes)} classes, got {self.priors!r}")
            if (priors < 0).any() or not np.isclose(priors.sum(), 1.0):
                raise ValueError(f"priors must be >= 0 with sum 1, got {self.priors!r} with sum {priors.sum():g}")
        self.classes_ = classes
        self.class_count_ = np.zeros(len(classes))
        self.theta_ = np.zeros((len(classes), self.n_features_in_))
        self._spread = np.zeros_like(self.theta_)  # sums of weighted squared deviations

    def _absorb(self, X: NDArray, y: NDArray, sample_weight: ArrayLike | None) -> None:
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y holds labels that are not among classes {self.classes_!r}: {unknown!r}")
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        with one_thread():  # sums over rows wait for memory, and two threads for each other
            for c, label in enumerate(self.classes_):
                own = np.flatnonzero(y == label)
                if weight is not None:
                    own = own[weight[own] > 0]
                if len(own):
                    self._merge(c, X[own], None if weight is None else weight[own])
        total = self.class_count_.sum()
        if total == 0:
            raise ValueError("sample_weight is 0 in every row: at least one weight must be positive")

        share = self.class_count_ / total
        centre = share @ self.theta_
        variance = self._spread.sum(axis=0) / total + share @ (self.theta_ - centre) ** 2
        self.epsilon_ = float(self.var_smoothing * variance.max())
        count = np.where(self.class_count_ > 0, self.class_count_, 1.0)
        self.var_ = self._spread / count[:, None] + self.epsilon_
        self.class_prior_ = share if self.priors is None else np.asarray(self.priors, dtype=np.float64)

    def _merge(self, c: int, rows: NDArray, weight: NDArray | None) -> None:
        """Merge weight, mean and squared deviations of new rows (a copy, overwritten) into class c's."""
        added = float(len(rows)) if weight is None else float(weight.sum())
        weight = np.ones(len(rows)) if weight is None else weight
        mean = weight @ rows / added
        rows -= mean
        rest = weight @ rows / added  # what rounding left in the mean: a constant column then has no spread at all
        mean += rest
        rows -= rest
        spread = weight @ np.square(rows, out=rows)
        seen = self.class_count_[c]
        step = mean - self.theta_[c]
        self._spread[c] += spread + step**2 * (seen * added / (seen + added))
        self.theta_[c] += step * (added / (seen + added))
        self.class_count_[c] = seen + added

    def _check_widths(self) -> None:
        bare = np.argwhere((self.var_ == 0) & (self.class_prior_ > 0)[:, None])
        if len(bare):
            c, j = bare[0]
            raise ValueError(
                f"column {j} is constant in class {shown(self.classes_[c])} and nothing widens it (epsilon_="
                f"{self.epsilon_:g}): a Gaussian needs a variance above 0; drop the column or raise var_smoothing, "
                "which multiplies the largest variance of all columns"
            )

    def _joint(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(x, c), shape (classes, rows): reductions over classes run along whole rows of it."""
        check_is_fitted(self)
        rows: NDArray[np.float64] = validate_data(self, X, dtype=np.float64, reset=False)
        self._check_widths()
        joint = np.full((len(self.classes_), len(rows)), -np.inf)
        present = np.flatnonzero(self.class_prior_ > 0)
        inverse_sd = 1.0 / np.sqrt(self.var_[present])
        constant = np.log(self.class_prior_[present]) - 0.5 * np.log(2 * np.pi * self.var_[present]).sum(axis=1)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            z = np.empty_like(block)  # (B, p): deviations in standard deviations
            for k, c in enumerate(present):
                np.subtract(block, self.theta_[c], out=z)
                z *= inverse_sd[k]
                joint[c, start : start + len(block)] = constant[k] - 0.5 * np.einsum("ij,ij->i", z, z)
        return joint

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        best = self._joint(X).argmax(axis=0)
        return self.classes_[best]

    def predict_joint_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(x, c), shape (rows, classes); -inf for a class of prior 0."""
        return np.ascontiguousarray(self._joint(X).T)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(c | x), shape (rows, classes)."""
        return np.ascontiguousarray(log_softmax(self._joint(X), axis=0).T)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """p(c | x), shape (rows, classes), in the order of classes_."""
        return np.ascontiguousarray(softmax(self._joint(X), axis=0).T)
