"""Principal components in a kernel's space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import eigsh
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.extmath import svd_flip
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.kernels.gram import kernel_between, square_or_raise

_LANCZOS_ROWS, _LANCZOS_COMPONENTS = 200, 10  # "auto" takes Lanczos from so many rows and below so many components
_ROUNDING = 1e-12  # an eigenvalue below this share of the largest is 0
_BLOCK_ROWS = 64
_NEGATIVE = 1e-5  # one below minus this share says that the kernel is none


class KernelPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Coordinates of rows along the directions of greatest variance of phi(x), where phi(x) . phi(z) = K(x, z).

    With K~ = (I - 11'/n) K (I - 11'/n) = sum_k lambda_k v_k v_k', the k-th coordinate of training row i is
    sqrt(lambda_k) v_ik, and that of a new row sum_i v_ik / sqrt(lambda_k) K~(x_i, x), centred like the training rows.

    Args:
        n_components: coordinates, in [1, rows]; None for all whose eigenvalue is not 0.
        kernel: "linear", "poly" ("polynomial"), "rbf", "sigmoid", another name of scikit-learn's pairwise kernels,
            "precomputed" (X is K), or a function of two rows.
        gamma: of "poly", "rbf" and "sigmoid", > 0; None is 1 / features.
        degree: of "poly", >= 0.
        coef0: of "poly" and "sigmoid".
        kernel_params: further arguments of a function.
        alpha: penalty of the kernel ridge regression from coordinates to rows that `inverse_transform` is, > 0.
        fit_inverse_transform: fit that regression; not if precomputed.
        eigen_solver: "dense", "arpack" (Lanczos), or "auto": Lanczos for under 10 components of over 200 rows.
        tol: of Lanczos; 0 for all digits.
        max_iter: of Lanczos; None for its own limit.
        iterated_power: not read; present so that calls written for scikit-learn run.
        remove_zero_eig: leave out coordinates whose eigenvalue is 0 even if n_components asks for them.
        random_state: draws the start of Lanczos.
        copy_X: keep a copy of the training rows.
        n_jobs: not read; BLAS's threads are those it has been granted.

    Attributes:
        eigenvalues_: lambda, descending, shape (components,).
        eigenvectors_: v, each column's entry of largest size positive, shape (rows, components).
        X_fit_: training rows, or K.
        gamma_: the number that gamma stands for.
        dual_coef_: of the inverse, shape (rows, features).
        X_transformed_fit_: coordinates of the training rows, with fit_inverse_transform.

    Raises:
        ValueError: if X holds NaN or infinity, a precomputed matrix is not square, an eigenvalue is clearly negative
            (the sigmoid is no kernel in general), or a parameter is out of its range.

    Cost: n^2 p for K, 4 n^3 / 3 for eigenvalues, or some hundred products of n^2 by Lanczos; n^2 memory; a new row n p.

    Deviations:
        1. eigen_solver "randomized" is absent.

    References: Schölkopf, Smola & Müller 1998, Neural Computation 10(5), section 3 and appendix A (centring);
        Bakır, Weston & Schölkopf 2004, Learning to find pre-images (NIPS) (the inverse).
    Peer: sklearn.decomposition.KernelPCA, float64, 1e-9 (A).
    In production: use it for curved structure in up to some 1e4 rows; with the linear kernel it is PCA, and PCA is
        quicker.
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        kernel: str | Callable = "linear",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: Mapping[str, Any] | None = None,
        alpha: float = 1.0,
        fit_inverse_transform: bool = False,
        eigen_solver: Literal["auto", "dense", "arpack"] = "auto",
        tol: float = 0,
        max_iter: int | None = None,
        iterated_power: int | Literal["auto"] = "auto",
        remove_zero_eig: bool = False,
        random_state: int | np.random.RandomState | None = None,
        copy_X: bool = True,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.alpha = alpha
        self.fit_inverse_transform = fit_inverse_transform
        self.eigen_solver = eigen_solver
        self.tol = tol
        self.max_iter = max_iter
        self.iterated_power = iterated_power
        self.remove_zero_eig = remove_zero_eig
        self.random_state = random_state
        self.copy_X = copy_X
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.kernel == "precomputed"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.eigenvalues_)

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Find the components.

        Args:
            X: features, shape (rows, features), dense or scipy sparse; K, shape (rows, rows), if precomputed.
            y: not read.

        Returns:
            The fitted transformer.
        """
        if self.eigen_solver not in ("auto", "dense", "arpack"):
            raise ValueError(f"eigen_solver must be 'auto', 'dense' or 'arpack', got {self.eigen_solver!r}")
        if self.fit_inverse_transform and self.kernel == "precomputed":
            raise ValueError("Cannot fit_inverse_transform with a precomputed kernel: it has no rows to return to")
        if not self.alpha > 0:
            raise ValueError(f"alpha must be > 0, got {self.alpha!r}")
        rows: Any = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), copy=self.copy_X)
        n = rows.shape[0]
        if self.n_components is not None and not self.n_components >= 1:
            raise ValueError(f"n_components must be >= 1 or None, got {self.n_components!r}")
        if self.kernel == "precomputed":
            square_or_raise(rows)
        self.gamma_ = 1 / rows.shape[1] if self.gamma is None else self.gamma
        self.X_fit_ = rows
        K = np.array(self._kernel(rows, rows), dtype=np.float64, copy=self.kernel == "precomputed" or None)
        self._column_mean = K.mean(axis=0)
        mean = float(self._column_mean.mean())
        for start in range(0, n, _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            K[part] -= self._column_mean + (self._column_mean[part, None] - mean)
        wanted = n if self.n_components is None else min(n, self.n_components)
        values, vectors = self._decompose(K, wanted)
        largest = max(float(values.max(initial=0.0)), 0.0)
        if values.min(initial=0.0) < -_NEGATIVE * largest or (largest == 0 and (values < 0).any()):
            raise ValueError(
                f"the {self.kernel} kernel's matrix has a negative eigenvalue, {values.min():.4g}, beside a largest of "
                f"{largest:.4g}: it is no kernel on these rows; use the RBF kernel, or change gamma and coef0 until "
                "check_psd is silent"
            )
        values[values < _ROUNDING * largest] = 0.0
        vectors, _ = svd_flip(u=vectors, v=None)
        order = values.argsort(kind="stable")[::-1]
        if self.remove_zero_eig or self.n_components is None:
            order = order[values[order] > 0]
        self.eigenvalues_, self.eigenvectors_ = values[order], np.ascontiguousarray(vectors[:, order])
        root = np.sqrt(self.eigenvalues_)
        self._scaled = self.eigenvectors_ / np.where(root > 0, root, np.inf)
        self._scaled -= self._scaled.mean(axis=0)  # what rounding left
        if self.fit_inverse_transform:
            self.X_transformed_fit_ = self.eigenvectors_ * root
            G = np.array(self._kernel(self.X_transformed_fit_, self.X_transformed_fit_))
            G[np.diag_indices_from(G)] += self.alpha
            dense = rows.toarray() if hasattr(rows, "toarray") else rows
            self.dual_coef_ = scipy.linalg.solve(G, dense, assume_a="pos", overwrite_a=True)
        return self

    def _decompose(self, K: NDArray, wanted: int) -> tuple[NDArray, NDArray]:
        n = len(K)
        lanczos = self.eigen_solver == "arpack" or (
            self.eigen_solver == "auto" and n > _LANCZOS_ROWS and wanted < _LANCZOS_COMPONENTS
        )
        if lanczos and wanted < n:
            start = check_random_state(self.random_state).uniform(-1, 1, n)
            return eigsh(K, wanted, which="LA", tol=self.tol, maxiter=self.max_iter, v0=start)
        return scipy.linalg.eigh(K, subset_by_index=(n - wanted, n - 1), overwrite_a=True, check_finite=False)

    def _kernel(self, X: Any, Y: Any) -> NDArray:
        return kernel_between(
            X, Y, self.kernel, gamma=self.gamma_, degree=self.degree, coef0=self.coef0, params=self.kernel_params
        )

    def fit_transform(self, X: ArrayLike, y: Any = None) -> NDArray[np.float64]:
        """Find the components, and the coordinates of the training rows, shape (rows, components)."""
        self.fit(X)
        return (self.eigenvectors_ * np.sqrt(self.eigenvalues_)).astype(self.X_fit_.dtype, copy=False)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Coordinates of rows, shape (rows, components)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        K = np.asarray(self._kernel(rows, self.X_fit_), dtype=np.float64)
        # the other two means of centring are the same for all training rows, and a component's weights sum to 0
        return (K @ self._scaled - self._column_mean @ self._scaled).astype(rows.dtype, copy=False)

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Rows whose coordinates are about X, shape (rows, features): a regression learned from the training rows.

        Raises:
            NotFittedError: if fit_inverse_transform was False.
        """
        if not (self.fit_inverse_transform and hasattr(self, "dual_coef_")):
            raise NotFittedError("the inverse was not fitted: set fit_inverse_transform=True and fit again")
        return self._kernel(np.asarray(X), self.X_transformed_fit_) @ self.dual_coef_
