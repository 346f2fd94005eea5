"""Linear discriminant analysis: Gaussian classes that share a covariance."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.blas import one_thread
from breadth.tabular.bayes.scatter import class_means, covariance, triangle
from breadth.tabular.labels import class_codes

NARROW = 256  # columns below which a block of rows is too little work for two threads of BLAS


class LinearDiscriminantAnalysis(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator):
    """Classes are Gaussian around means m_k with one covariance S: log p(k | x) = m_k' S^-1 (x - m_k / 2) + log pi_k.

    As a transformer it projects onto the directions in which the means differ most beside the spread within classes.

    "svd" reduces the rows, centred by class and scaled by column, to a triangle by blocks of QR and takes its singular
    values, so that S is never formed; directions in which no class spreads are left out. "lsqr" and "eigen" form S,
    which may be shrunk; "lsqr" does not transform.

    Args:
        solver: "svd", "lsqr" or "eigen".
        shrinkage: share in [0, 1] of mean variance x identity in each class's covariance, "auto" for Ledoit and Wolf's,
            or None; not with "svd".
        priors: pi, shape (classes,), >= 0 with sum 1, in the order of classes_; None takes class frequencies.
        n_components: columns of `transform`, in [0, min(classes - 1, features)]; None means as many as there can be.
        store_covariance: keep `covariance_` with "svd" too.
        tol: singular values of the scaled rows at most this are no direction, >= 0; read by "svd" only.

    Attributes:
        classes_: sorted labels, shape (classes,).
        priors_: pi, shape (classes,).
        means_: m, shape (classes, features).
        xbar_: mean of the means by priors, shape (features,); with "svd".
        coef_: S^-1 m, shape (classes, features), or (1, features) with two classes.
        intercept_: shape (classes,), or (1,).
        covariance_: S, shape (features, features).
        scalings_: directions, shape (features, components); not with "lsqr".
        explained_variance_ratio_: share of the variance between classes by direction; not with "lsqr".

    Raises:
        ValueError: if X holds NaN or infinity, there are no more rows than classes, no column varies within classes, S
            is singular with "eigen", or a parameter is out of range.

    Cost: 2 n p^2 + O(p^3) with "svd", n p^2 + O(p^3) with the others; O(p^2) memory beside X.

    Deviations:
        1. priors whose sum is not 1 are an error; scikit-learn rescales them.
        2. A column that is constant within classes is told from rounding at 16 eps of its size, so that one with mean
            1e4 becomes no direction.
        3. `covariance_estimator` is absent. Computes in float64 whatever the input.
        4. Log-probabilities are computed from logits, not from rounded probabilities.

    References: Fisher 1936, Annals of Eugenics 7(2); Hastie, Tibshirani & Friedman 2009, The Elements of Statistical
        Learning, eqs. 4.9-4.10 and section 4.3.3; Ledoit & Wolf 2004, J. Multivariate Analysis 88(2), eq. 14.
    Peer: sklearn.discriminant_analysis.LinearDiscriminantAnalysis, float64, 1e-9 (A).
    In production: use it where classes have few rows for their columns, with shrinkage="auto", and to see classes in
        two dimensions; with many rows logistic regression assumes less.
    """

    def __init__(
        self,
        solver: Literal["svd", "lsqr", "eigen"] = "svd",
        shrinkage: float | Literal["auto"] | None = None,
        priors: ArrayLike | None = None,
        n_components: int | None = None,
        store_covariance: bool = False,
        tol: float = 1e-4,
    ):
        self.solver = solver
        self.shrinkage = shrinkage
        self.priors = priors
        self.n_components = n_components
        self.store_covariance = store_covariance
        self.tol = tol

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Estimate means, covariance and directions.

        Args:
            X: features, shape (rows, features).
            y: class labels, shape (rows,).

        Returns:
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        self.classes_, codes = class_codes(y)
        check_shrinkage(self.solver, self.shrinkage, ("svd", "lsqr", "eigen"))
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0, got {self.tol!r}")
        n_classes = len(self.classes_)
        if len(y) <= n_classes:
            raise ValueError(
                f"there are {len(y)} samples for {n_classes} classes: the number of samples must be more than the "
                "number of classes, or nothing is seen of the spread within one"
            )
        counts = np.bincount(codes)
        self.priors_ = class_shares(self.priors, counts)
        most = min(n_classes - 1, X.shape[1])
        if self.n_components is not None and not 0 <= self.n_components <= most:
            raise ValueError(
                f"n_components must be in [0, {most}], the lesser of classes - 1 and features, got {self.n_components}"
            )
        self._n_features_out = most if self.n_components is None else int(self.n_components)

        with one_thread(when=X.shape[1] < NARROW):
            coef, intercept = self._solve(X, codes, counts)
        if n_classes == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = coef, intercept
        return self

    def _solve(self, X: NDArray, codes: NDArray, counts: NDArray) -> tuple[NDArray, NDArray]:
        """Coefficients and intercepts of every class."""
        self.means_ = class_means(X, codes, counts)
        with np.errstate(divide="ignore"):
            log_prior = np.log(self.priors_)
        if self.solver != "svd" or self.store_covariance:
            self.covariance_ = np.zeros((X.shape[1], X.shape[1]))
            for k in range(len(counts)):
                self.covariance_ += self.priors_[k] * covariance(X[codes == k], self.shrinkage)[0]
        if self.solver == "svd":
            coef, intercept = self._solve_svd(X, codes)
        elif self.solver == "lsqr":
            coef = np.asarray(scipy.linalg.lstsq(self.covariance_, self.means_.T, check_finite=False)[0]).T
            intercept = -0.5 * np.einsum("kj,kj->k", self.means_, coef)
        else:
            coef = self._solve_eigen(X)
            intercept = -0.5 * np.einsum("kj,kj->k", self.means_, coef)
        return coef, intercept + log_prior

    def _solve_svd(self, X: NDArray, codes: NDArray) -> tuple[NDArray, NDArray]:
        n, n_classes = len(X), len(self.classes_)
        self.xbar_ = self.priors_ @ self.means_
        R, flat = triangle(X, self.means_, codes)
        spread = np.sqrt(np.einsum("ij,ij->j", R, R) / n)  # within classes
        if flat.all():
            raise ValueError(
                "no column varies within a class, so that there is nothing to measure distances between classes by: "
                "look for a copy of y among the columns, or rows that are all alike"
            )
        scale = np.where(flat, 1.0, spread)
        R = np.where(flat, 0.0, R / scale) / np.sqrt(n)
        _, s, Vt = scipy.linalg.svd(R, full_matrices=False, check_finite=False)
        rank = int(np.count_nonzero(s > self.tol))
        whitening = (Vt[:rank] / scale).T / s[:rank]  # (p, rank): the spread within classes becomes the identity
        between = np.sqrt(n * self.priors_ / max(n_classes - 1, 1))[:, None] * (self.means_ - self.xbar_)
        _, s, Vt = scipy.linalg.svd(between @ whitening, full_matrices=False, check_finite=False)
        total = np.sum(s**2)
        self.explained_variance_ratio_ = (s**2 / (total if total > 0 else 1.0))[: self._n_features_out]
        rank = int(np.count_nonzero(s > self.tol * s.max(initial=0.0)))
        self.scalings_ = whitening @ Vt.T[:, :rank]
        scores = (self.means_ - self.xbar_) @ self.scalings_  # (K, rank)
        coef = scores @ self.scalings_.T
        return coef, -0.5 * np.sum(scores**2, axis=1) - coef @ self.xbar_

    def _solve_eigen(self, X: NDArray) -> NDArray:
        between = covariance(X.copy(), self.shrinkage)[0] - self.covariance_
        try:
            values, vectors = scipy.linalg.eigh(between, self.covariance_, check_finite=False)
        except scipy.linalg.LinAlgError:
            raise ValueError(
                "the covariance within classes is singular, which 'eigen' cannot invert: give shrinkage='auto' or a "
                "share above 0, or take solver='svd', which leaves out what does not vary"
            ) from None
        order = np.argsort(values)[::-1]
        total = values.sum()
        self.explained_variance_ratio_ = (values[order] / (total if total > 0 else 1.0))[: self._n_features_out]
        self.scalings_ = vectors[:, order]
        return self.means_ @ self.scalings_ @ self.scalings_.T

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Rows along the directions, centred with "svd", shape (rows, components)."""
        check_is_fitted(self)
        if self.solver == "lsqr":
            raise NotImplementedError("transform needs solver='svd' or 'eigen': 'lsqr' finds no directions")
        rows: Any = validate_data(self, X, dtype=np.float64, reset=False)
        directions = self.scalings_[:, : self._n_features_out]
        # the centre is subtracted before the product: far from 0 the two products would cancel
        return (rows - self.xbar_) @ directions if self.solver == "svd" else rows @ directions

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-odds of classes_[1], shape (rows,), or log p(x, k) up to a constant of the row, shape (rows, classes)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, reset=False)
        logits = rows @ self.coef_.T + self.intercept_
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        logits = self.decision_function(X)
        codes = (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """p(k | x), shape (rows, classes), in the order of classes_."""
        logits = self.decision_function(X)
        if logits.ndim == 2:
            return np.ascontiguousarray(softmax(np.ascontiguousarray(logits.T), axis=0).T)  # along rows: half the time
        proba = np.empty((len(logits), 2))
        expit(-logits, out=proba[:, 0])  # not 1 - p: a probability of 1e-20 keeps its digits
        expit(logits, out=proba[:, 1])
        return proba

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(k | x), shape (rows, classes)."""
        logits = self.decision_function(X)
        if logits.ndim == 2:
            return log_softmax(logits, axis=1)
        return np.column_stack([log_expit(-logits), log_expit(logits)])


def check_shrinkage(solver: str, shrinkage: float | str | None, solvers: tuple[str, ...]) -> None:
    """Raise a ValueError unless the solver is known and takes the shrinkage given."""
    if solver not in solvers:
        raise ValueError(f"solver must be one of {', '.join(map(repr, solvers))}, got {solver!r}")
    if shrinkage is None:
        return
    if isinstance(shrinkage, str):
        if shrinkage != "auto":
            raise ValueError(f"shrinkage must be None, 'auto' or a number in [0, 1], got {shrinkage!r}")
    elif not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must be None, 'auto' or a number in [0, 1], got {shrinkage!r}")
    if solver == "svd":
        raise ValueError(
            "shrinkage needs a solver that forms the covariance: take solver='eigen' or 'lsqr' where it is"
        )


def class_shares(priors: ArrayLike | None, counts: NDArray) -> NDArray[np.float64]:
    """The priors given, after a check, or the classes' shares of the rows."""
    if priors is None:
        return counts / counts.sum()
    given = np.array(priors, dtype=np.float64)
    if given.shape != counts.shape:
        raise ValueError(f"priors must hold one number for each of {len(counts)} classes, got {priors!r}")
    if not (given >= 0).all() or not np.isclose(given.sum(), 1.0):
        raise ValueError(f"priors must be >= 0 with sum 1, got {priors!r} with sum {given.sum():g}")
    return given
