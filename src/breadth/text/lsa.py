"""Latent semantic analysis: documents and terms in the space of the largest singular vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import check_is_fitted

from breadth.text.tfidf import TfidfVectorizer


class LatentSemanticAnalysis(BaseEstimator):
    """Documents as points X V_k, with X = U S V' the tf-idf matrix and V_k its first k right singular vectors.

    X is not centred. Each singular vector has the sign that makes the largest of its entries over terms positive.

    Args:
        n_components: k, in [1, terms]; 100 to 300 are usual.
        vectorizer: estimator from documents to a matrix; None takes TfidfVectorizer(sublinear_tf=True), and
            "passthrough" takes the matrix itself, shape (documents, terms), in place of documents.
        solver: "randomized", or "arpack" for singular vectors to machine precision (k < terms and documents).
        n_iter: power iterations of the randomized solver, >= 0; more where singular values fall slowly.
        n_oversamples: vectors that the randomized solver carries beyond k, >= 0.
        random_state: seed, generator, or None.

    Attributes:
        components_: V_k', shape (k, terms).
        singular_values_: falling, shape (k,).
        explained_variance_: variance of each column of the transformed documents, shape (k,).
        explained_variance_ratio_: that over the total variance of X's columns, shape (k,).
        vectorizer_: as fitted; None for "passthrough".

    Raises:
        ValueError: if n_components is outside its range, solver is unknown, or a count is negative.

    Cost: randomized, (n_iter + 2) products of X and of X' with k + n_oversamples vectors; memory (documents + terms) k.
    Deviations: the first column mostly measures a document's length; X is not centred, as in the paper, because that
        would make it dense.
    References: Deerwester et al. 1990, JASIS 41(6); Halko, Martinsson & Tropp 2011, SIAM Review 53(2), algorithm 4.4.
    Peer: numpy.linalg.svd of the dense matrix, 1e-10 (B); the solvers are scikit-learn's and SciPy's.
    In production: use it for a small corpus with words that embedding models do not know; else a sentence embedding.
    """

    def __init__(
        self,
        n_components: int = 100,
        *,
        vectorizer: Any = None,
        solver: Literal["randomized", "arpack"] = "randomized",
        n_iter: int = 5,
        n_oversamples: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.vectorizer = vectorizer
        self.solver = solver
        self.n_iter = n_iter
        self.n_oversamples = n_oversamples
        self.random_state = random_state

    def fit(self, documents: Iterable[Any], y: object = None) -> Self:
        """Learn vocabulary, weights and singular vectors.

        Args:
            documents: strings, or the matrix with vectorizer="passthrough".
            y: ignored.
        """
        self.fit_transform(documents)
        return self

    def fit_transform(self, documents: Iterable[Any], y: object = None) -> NDArray[np.float64]:
        """Learn from documents and place them; shape (documents, k)."""
        if self.solver not in ("randomized", "arpack"):
            raise ValueError(f"solver must be 'randomized' or 'arpack', got {self.solver!r}")
        for name in ("n_iter", "n_oversamples"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        self.vectorizer_ = self._fresh_vectorizer()
        X = documents if self.vectorizer_ is None else self.vectorizer_.fit_transform(documents)
        X = _matrix(X)
        largest = min(X.shape) - (self.solver == "arpack")
        if not 1 <= self.n_components <= largest:
            raise ValueError(
                f"n_components must be in [1, {largest}] for {X.shape[0]} documents and {X.shape[1]} terms with "
                f"solver {self.solver!r}, got {self.n_components}"
            )
        random = check_random_state(self.random_state)
        if self.solver == "arpack":
            start = random.uniform(-1, 1, size=min(X.shape))
            _, s, vt = svds(X, self.n_components, v0=start)
            s, vt = s[::-1], vt[::-1]
        else:
            _, s, vt = randomized_svd(
                X, self.n_components, n_iter=self.n_iter, n_oversamples=self.n_oversamples, random_state=random
            )
        largest_entry = vt[np.arange(len(vt)), np.abs(vt).argmax(axis=1)]
        self.components_ = vt * np.where(largest_entry < 0, -1.0, 1.0)[:, None]
        self.singular_values_ = s.copy()
        points = X @ self.components_.T
        self.explained_variance_ = points.var(axis=0)
        total = mean_variance_axis(X, axis=0)[1].sum() if sp.issparse(X) else X.var(axis=0).sum()
        with np.errstate(invalid="ignore", divide="ignore"):  # documents all alike: their variance has no shares
            self.explained_variance_ratio_ = self.explained_variance_ / total
        return points

    def transform(self, documents: Iterable[Any]) -> NDArray[np.float64]:
        """Place documents among those that were learned from ("fold in"); shape (documents, k)."""
        check_is_fitted(self)
        X = _matrix(documents if self.vectorizer_ is None else self.vectorizer_.transform(documents))
        if X.shape[1] != self.components_.shape[1]:
            raise ValueError(f"the matrix must have {self.components_.shape[1]} terms, got {X.shape[1]}")
        return X @ self.components_.T

    def inverse_transform(self, points: NDArray) -> NDArray[np.float64]:
        """The weights of terms that points stand for; shape (documents, terms), dense.

        Args:
            points: shape (documents, k).
        """
        check_is_fitted(self)
        return np.asarray(points) @ self.components_

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the k columns.

        Args:
            input_features: ignored.
        """
        check_is_fitted(self)
        return np.array([f"lsa{i}" for i in range(len(self.components_))], dtype=object)

    def _fresh_vectorizer(self) -> Any:
        if self.vectorizer is None:
            return TfidfVectorizer(sublinear_tf=True)
        if isinstance(self.vectorizer, str):
            if self.vectorizer != "passthrough":
                raise ValueError(f"vectorizer must be an estimator, None or 'passthrough', got {self.vectorizer!r}")
            return None
        return clone(self.vectorizer)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = self.vectorizer != "passthrough"
        tags.input_tags.two_d_array = tags.input_tags.sparse = self.vectorizer == "passthrough"
        return tags


def _matrix(X: Any) -> Any:
    """A finite matrix of float64, sparse if X is."""
    X = sp.csr_matrix(X, dtype=np.float64) if sp.issparse(X) else np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"the matrix must have shape (documents >= 1, terms >= 1), got {X.shape}")
    if not np.isfinite(X.data if sp.issparse(X) else X).all():
        raise ValueError("the matrix must be finite, but holds NaN or infinity")
    return X
