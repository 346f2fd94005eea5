"""Quadratic discriminant analysis: Gaussian classes, each with a covariance of its own."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.blas import one_thread
from breadth.stats.linalg import linear_independence
from breadth.tabular.bayes.class_counts import row_blocks
from breadth.tabular.bayes.discriminant import NARROW, check_shrinkage, class_shares
from breadth.tabular.bayes.scatter import column_means, covariance, is_flat, triangle
from breadth.tabular.labels import class_codes, shown


class QuadraticDiscriminantAnalysis(ClassifierMixin, BaseEstimator):
    """Each class k is Gaussian: log p(k | x) = -log|S_k| / 2 - (x - m_k)' S_k^-1 (x - m_k) / 2 + log pi_k + const.

    "svd" reduces the rows of a class, centred, to a triangle by blocks of QR, so that S_k is never formed; "eigen"
    forms it, and may shrink it.

    Args:
        solver: "svd" or "eigen".
        shrinkage: share in [0, 1] of mean variance x identity in each S_k, "auto" for Ledoit and Wolf's, or None; with
            "eigen" only.
        priors: pi, shape (classes,), >= 0 with sum 1, in the order of classes_; None takes class frequencies.
        reg_param: S_k becomes (1 - reg_param) S_k + reg_param I, in [0, 1]; read by "svd" only.
        store_covariance: keep `covariance_`.
        tol: eigenvalues of a class's correlation matrix at most this say that columns are collinear, >= 0.

    Attributes:
        classes_: sorted labels, shape (classes,).
        priors_: pi, shape (classes,).
        means_: m, shape (classes, features).
        scalings_: eigenvalues of each S_k, descending, a list of arrays (features,).
        rotations_: eigenvectors of each S_k, a list of arrays (features, features).
        covariance_: each S_k, a list; with store_covariance.

    Raises:
        ValueError: if X holds NaN or infinity, there is one class, a class has one row, a parameter is out of range; or
            where nothing regularises, a class has no more rows than columns, or columns are collinear in it (the
            message says which).

    Cost: fit 2 n p^2 + O(classes p^3); predict 2 n p^2 classes; O(classes p^2) memory beside X.

    Deviations:
        1. tol applies to correlations, so that units do not matter; scikit-learn applies it to the covariance, and a
            column of spread 0.01 fails.
        2. A regularised class may have fewer rows than columns with "svd" too.
        3. priors must have sum 1. `covariance_estimator` is absent. Computes in float64 whatever the input.

    References: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, eq. 4.12 and section 4.3.2;
        Friedman 1989, JASA 84(405), eq. 18 (regularisation).
    Peer: sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis, float64, 1e-9 (A).
    In production: use it where classes differ in shape and each has many rows for its columns; else regularise, or
        share the covariance (LinearDiscriminantAnalysis).
    """

    def __init__(
        self,
        *,
        solver: Literal["svd", "eigen"] = "svd",
        shrinkage: float | Literal["auto"] | None = None,
        priors: ArrayLike | None = None,
        reg_param: float = 0.0,
        store_covariance: bool = False,
        tol: float = 1e-4,
    ):
        self.solver = solver
        self.shrinkage = shrinkage
        self.priors = priors
        self.reg_param = reg_param
        self.store_covariance = store_covariance
        self.tol = tol

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Estimate means and covariances.

        Args:
            X: features, shape (rows, features).
            y: class labels, shape (rows,).

        Returns:
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, codes = class_codes(y)
        check_shrinkage(self.solver, self.shrinkage, ("svd", "eigen"))
        if not 0 <= self.reg_param <= 1:
            raise ValueError(f"reg_param must be in [0, 1], got {self.reg_param!r}")
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0, got {self.tol!r}")
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least 2 classes, got only one class: {shown(self.classes_[0])}")
        counts = np.bincount(codes)
        if (counts < 2).any():
            raise ValueError(
                f"y has only 1 sample in class {shown(self.classes_[counts.argmin()])}, whose covariance is then not "
                "defined: merge the class with another, or drop it"
            )
        self.priors_ = class_shares(self.priors, counts)
        self.means_ = np.empty((len(counts), X.shape[1]))
        self.scalings_, self.rotations_, stored = [], [], []
        with one_thread(when=X.shape[1] < NARROW):
            for k in range(len(self.classes_)):
                scaling, rotation = (self._by_svd if self.solver == "svd" else self._by_eigen)(X[codes == k], k)
                self.scalings_.append(scaling)
                self.rotations_.append(rotation)
                if self.store_covariance:
                    stored.append((rotation * scaling) @ rotation.T)
        if self.store_covariance:
            self.covariance_ = stored
        return self

    def _by_svd(self, rows: NDArray, k: int) -> tuple[NDArray, NDArray]:
        n, p = rows.shape
        self.means_[k] = column_means(rows)
        R, flat = triangle(rows, self.means_[k])
        _, s, Vt = scipy.linalg.svd(R, full_matrices=True, check_finite=False)
        scaling = np.zeros(p)
        scaling[: len(s)] = s**2 / n
        if not self.reg_param:
            self._check_rank(R, flat, scaling, n, k, "reg_param above 0")
        return (1.0 - self.reg_param) * scaling + self.reg_param, Vt.T

    def _by_eigen(self, rows: NDArray, k: int) -> tuple[NDArray, NDArray]:
        n = len(rows)
        S, self.means_[k] = covariance(rows, self.shrinkage)  # rows are centred now
        values, vectors = scipy.linalg.eigh(S, check_finite=False)
        if not self.shrinkage and not self._is_clearly_full(values[::-1], np.diag(S) * n, n):
            R, _ = triangle(rows, np.zeros(rows.shape[1]))
            size = np.abs(self.means_[k]) + np.sqrt(np.diag(S))
            self._check_rank(R, is_flat(R, size, n), values[::-1], n, k, "shrinkage='auto'")
        if not values[0] > 0:
            raise ValueError(
                f"the covariance of class {shown(self.classes_[k])} is singular with shrinkage={self.shrinkage!r}: "
                "raise it"
            )
        return values[::-1], vectors[:, ::-1]

    def _is_clearly_full(self, scaling: NDArray, squares: NDArray, n: int) -> bool:
        """Whether the covariance alone shows it: no eigenvalue of S / max S_jj exceeds that of the correlations."""
        return n > len(scaling) and scaling[-1] * n > self.tol * squares.max()

    def _check_rank(self, R: NDArray, flat: NDArray, scaling: NDArray, n: int, k: int, mend: str) -> None:
        p, label = R.shape[1], self.classes_[k]
        squares = np.einsum("ij,ij->j", R, R)
        if self._is_clearly_full(scaling, squares, n):
            return
        if n <= p:
            raise ValueError(
                f"class {shown(label)} has {n} rows for {p} columns, and its covariance has no inverse: give {mend}, "
                "drop columns, or use LinearDiscriminantAnalysis"
            )
        if flat.any():
            raise ValueError(
                f"column {self._named(int(flat.argmax()))} is constant in class {shown(label)}: drop it, or give {mend}"
            )
        unit = R / np.sqrt(squares)
        if scipy.linalg.svdvals(unit, check_finite=False)[-1] ** 2 <= self.tol:
            found = linear_independence(unit, method="svd", rtol=np.sqrt(self.tol) / np.sqrt(p))
            which = [self._named(int(j)) for j in found.dependent]
            what = f" ({', '.join(which)} repeat what the others say)" if which else ""
            raise ValueError(f"columns are collinear in class {shown(label)}{what}: drop some, or give {mend}")

    def _named(self, j: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return str(j) if names is None else repr(str(names[j]))

    def _joint(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(x, k) + p log(2 pi) / 2, shape (classes, rows)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, reset=False)
        joint = np.empty((len(self.classes_), len(rows)))
        with np.errstate(divide="ignore"):
            constant = np.log(self.priors_) - 0.5 * np.array([np.log(s).sum() for s in self.scalings_])
        for k, (scaling, rotation) in enumerate(zip(self.scalings_, self.rotations_, strict=True)):
            whitening = rotation / np.sqrt(scaling)
            for part in row_blocks(*rows.shape):
                z = (rows[part] - self.means_[k]) @ whitening
                joint[k, part] = constant[k] - 0.5 * np.einsum("ij,ij->i", z, z)
        return joint

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-odds of classes_[1], shape (rows,), or log p(x, k) up to a constant, shape (rows, classes)."""
        joint = self._joint(X)
        return joint[1] - joint[0] if len(joint) == 2 else np.ascontiguousarray(joint.T)

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        best = self._joint(X).argmax(axis=0)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """p(k | x), shape (rows, classes), in the order of classes_."""
        return np.ascontiguousarray(softmax(self._joint(X), axis=0).T)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(k | x), shape (rows, classes)."""
        return np.ascontiguousarray(log_softmax(self._joint(X), axis=0).T)
