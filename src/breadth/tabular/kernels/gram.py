"""Gram matrices of the linear, polynomial, RBF and sigmoid kernels, and whether a matrix is one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import eigsh
from sklearn.metrics.pairwise import check_pairwise_arrays, pairwise_kernels
from sklearn.utils.extmath import safe_sparse_dot

from breadth.blas import granted_threads, one_thread

_TILE_ROWS, _TILE_COLUMNS = 256, 512  # a tile of 1 MiB is made, transformed and copied while in the second-level cache
_FEW_ENTRIES = 1 << 18  # up to which starting threads costs more than they save
_DENSE_EIGENVALUE = 1000  # rows up to which the smallest eigenvalue is found directly, beyond by Lanczos
_SAMPLE_ROWS = 200  # rows whose Gram matrix an estimator looks at before it trusts a kernel

Tile = Callable[[NDArray, slice, slice], None]


class IndefiniteKernelWarning(UserWarning):
    """A matrix taken for a Gram matrix has a negative eigenvalue."""


def linear_kernel(X: ArrayLike, Y: ArrayLike | None = None) -> NDArray:
    """Inner products: K_ij = x_i . y_j.

    Args:
        X: rows, shape (n, features), dense or scipy sparse; float32 stays float32.
        Y: rows, shape (m, features); None is X.

    Returns:
        K, dense, shape (n, m).

    Raises:
        ValueError: if an entry is NaN or infinite, or X and Y differ in their features.

    Cost: 2 n m p operations; the memory of the answer.
    References: Schölkopf & Smola 2002, Learning with Kernels, section 2.1, eq. 2.1.
    Peer: sklearn.metrics.pairwise.linear_kernel, float64, 1e-12 (A).
    In production: use it where features are many or sparse, and LinearSVC or Ridge instead where rows are.
    """
    X, Y = check_pairwise_arrays(X, Y)
    return safe_sparse_dot(X, Y.T, dense_output=True)


def polynomial_kernel(
    X: ArrayLike, Y: ArrayLike | None = None, *, degree: float = 3, gamma: float | None = None, coef0: float = 1
) -> NDArray:
    """Inner products of all monomials up to a degree: K_ij = (gamma x_i . y_j + coef0)^degree.

    Positive semi-definite for whole degrees and coef0 >= 0, and not in general otherwise.

    Args:
        X: rows, shape (n, features), dense or scipy sparse; float32 stays float32.
        Y: rows, shape (m, features); None is X.
        degree: exponent, >= 0; a negative base has no power that is not whole, and gives NaN.
        gamma: factor of the inner product, > 0; None is 1 / features.
        coef0: constant, finite; 0 keeps the monomials of the highest degree alone.

    Returns:
        K, dense, shape (n, m).

    Raises:
        ValueError: if an entry is NaN or infinite, X and Y differ in their features, gamma <= 0 or degree < 0.

    Cost: 2 n m p operations and about log2(degree) passes over tiles of the answer; the memory of the answer.
    References: Schölkopf & Smola 2002, Learning with Kernels, section 2.1, eq. 2.10, and proposition 2.1.
    Peer: sklearn.metrics.pairwise.polynomial_kernel, float64, 1e-12 (A).
    In production: scale features first, or entries span many orders of magnitude; degree 2 or 3 is usual.
    """
    X, Y = check_pairwise_arrays(X, Y)
    gamma = _checked_gamma(gamma, X)
    if not degree >= 0:
        raise ValueError(f"degree must be >= 0, got {degree!r}")

    def power(tile: NDArray, rows: slice, columns: slice) -> None:
        tile *= gamma
        tile += coef0
        _raise_to(tile, degree)

    return _gram(X, Y, power)


def rbf_kernel(X: ArrayLike, Y: ArrayLike | None = None, *, gamma: float | None = None) -> NDArray:
    """Gaussian similarity: K_ij = exp(-gamma |x_i - y_j|^2).

    Dense columns are centred on the mean of X before squares are expanded, which changes no distance, so that
    columns of mean 1e4 cost no digits.

    Args:
        X: rows, shape (n, features), dense or scipy sparse; float32 stays float32.
        Y: rows, shape (m, features); None is X, and the diagonal is then exactly 1.
        gamma: inverse squared length, > 0; None is 1 / features.

    Returns:
        K, dense, shape (n, m), in [0, 1].

    Raises:
        ValueError: if an entry is NaN or infinite, X and Y differ in their features, or gamma <= 0.

    Cost: 2 n m p operations and an exponential for each entry, half of that when Y is X; the memory of the answer.
    References: Schölkopf & Smola 2002, Learning with Kernels, section 2.3, eq. 2.68.
    Peer: sklearn.metrics.pairwise.rbf_kernel, float64, 1e-12 (A).
    In production: the first kernel to try on scaled features; choose gamma by validation, on a grid of powers of 10.
    """
    X, Y = check_pairwise_arrays(X, Y)
    gamma = _checked_gamma(gamma, X)
    same = X is Y
    kind = X.dtype
    if not (sp.issparse(X) or sp.issparse(Y)):
        mean = X.mean(axis=0, dtype=np.float64).astype(kind)
        X = X - mean
        Y = X if same else Y - mean
    x_size = _squared_lengths(X)
    y_size = x_size if same else _squared_lengths(Y)
    largest = gamma * max(x_size.max(initial=0.0), y_size.max(initial=0.0))
    if kind == np.float32 and largest * np.finfo(np.float32).eps > 1e-5:  # the expanded square would lose digits
        X = X.astype(np.float64)
        Y = X if same else Y.astype(np.float64)
    x_size, y_size = (gamma * x_size).astype(X.dtype), (gamma * y_size).astype(X.dtype)

    def similarity(tile: NDArray, rows: slice, columns: slice) -> None:
        tile *= 2 * gamma
        tile -= x_size[rows, None]
        tile -= y_size[columns]
        np.minimum(tile, 0.0, out=tile)
        np.exp(tile, out=tile)

    K = _gram(X, Y, similarity, dtype=kind)
    if same:
        np.fill_diagonal(K, 1.0)
    return K


def sigmoid_kernel(
    X: ArrayLike, Y: ArrayLike | None = None, *, gamma: float | None = None, coef0: float = 1
) -> NDArray:
    """Hyperbolic tangent of inner products: K_ij = tanh(gamma x_i . y_j + coef0).

    It is no kernel in general: its matrix has negative eigenvalues for many gamma and coef0. Ask `check_psd`.

    Args:
        X: rows, shape (n, features), dense or scipy sparse; float32 stays float32.
        Y: rows, shape (m, features); None is X.
        gamma: factor of the inner product, > 0; None is 1 / features.
        coef0: constant, finite.

    Returns:
        K, dense, shape (n, m), in [-1, 1].

    Raises:
        ValueError: if an entry is NaN or infinite, X and Y differ in their features, or gamma <= 0.

    Cost: 2 n m p operations and a hyperbolic tangent for each entry; the memory of the answer.
    References: Lin & Lin 2003, A study on sigmoid kernels for SVM and the training of non-PSD kernels by SMO-type
        methods, section 2; Schölkopf & Smola 2002, Learning with Kernels, section 2.3, eq. 2.69.
    Peer: sklearn.metrics.pairwise.sigmoid_kernel, float64, 1e-12 (A).
    In production: prefer `rbf_kernel`, which small gamma and negative coef0 approach anyway and which is a kernel.
    """
    X, Y = check_pairwise_arrays(X, Y)
    gamma = _checked_gamma(gamma, X)

    def squash(tile: NDArray, rows: slice, columns: slice) -> None:
        tile *= gamma
        tile += coef0
        np.tanh(tile, out=tile)

    return _gram(X, Y, squash)


def check_psd(K: ArrayLike, *, name: str = "K") -> float:
    """Smallest eigenvalue of a symmetric matrix; a warning when rounding cannot explain that it is negative.

    A function is a kernel, an inner product in some space, only if all its Gram matrices are positive semi-definite.
    One negative eigenvalue disproves it, and eigenvalues of a part of the rows are never below those of the whole.

    Args:
        K: symmetric, finite, shape (n, n), n >= 1.
        name: what the warning calls the matrix.

    Returns:
        The smallest eigenvalue.

    Raises:
        ValueError: if K is not square, finite and symmetric.

    Warns:
        IndefiniteKernelWarning: if it is below -n eps times the largest entry's size; says the value and a remedy.

    Cost: O(n^3) up to 1,000 rows, beyond them a Lanczos iteration of O(n^2) a step.
    References: Schölkopf & Smola 2002, Learning with Kernels, definitions 2.3 and 2.4; Golub & Van Loan 2013, Matrix
        Computations, 4th ed., theorem 8.1.7 (interlacing) and section 10.1 (Lanczos).
    Peer: numpy.linalg.eigvalsh, float64, 1e-10 (B).
    In production: ask it of any home-made similarity before giving it to a kernel method.
    """
    K = np.asarray(K)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or not K.size:
        raise ValueError(f"{name} must be square, shape (n >= 1, n), got shape {K.shape}")
    size = float(np.abs(K).max())
    if not np.isfinite(size):
        raise ValueError(f"{name} must hold finite values; it has NaN or infinity")
    eps = float(np.finfo(K.dtype if K.dtype.kind == "f" else np.float64).eps)
    slack = len(K) * eps * size
    if np.abs(K - K.T).max() > 8 * slack:
        raise ValueError(f"{name} must be symmetric; it differs from its transpose by {np.abs(K - K.T).max():.3g}")
    if len(K) <= _DENSE_EIGENVALUE:
        smallest = float(scipy.linalg.eigvalsh(K, subset_by_index=[0, 0])[0])
    else:
        start = np.full(len(K), len(K) ** -0.5)
        start[::2] *= 0.5  # not an eigenvector of a matrix of ones
        smallest = float(eigsh(K, k=1, which="SA", v0=start, return_eigenvectors=False)[0])
    if smallest < -8 * slack:
        warnings.warn(
            f"{name} is no Gram matrix: its smallest eigenvalue is {smallest:.4g}, so what is minimised is not convex "
            "and distances can be negative; use the RBF kernel, change gamma and coef0 until check_psd is silent "
            f"(sigmoid: small gamma and coef0 < 0; polynomial: coef0 >= 0), or add {-smallest:.4g} to the diagonal",
            IndefiniteKernelWarning,
            stacklevel=2,
        )
    return smallest


def kernel_between(
    X: Any, Y: Any, kernel: str | Callable, *, gamma: float | None, degree: float, coef0: float, params: Any = None
) -> NDArray:
    """The matrix of a kernel that an estimator names, shape (n, m): ours, or else scikit-learn's, or a callable's.

    "precomputed" is X itself.
    """
    if kernel == "precomputed":
        return X
    if kernel == "linear":
        return linear_kernel(X, Y)
    if kernel in ("poly", "polynomial"):
        return polynomial_kernel(X, Y, degree=degree, gamma=gamma, coef0=coef0)
    if kernel == "rbf":
        return rbf_kernel(X, Y, gamma=gamma)
    if kernel == "sigmoid":
        return sigmoid_kernel(X, Y, gamma=gamma, coef0=coef0)
    if callable(kernel):
        return pairwise_kernels(X, Y, metric=kernel, **(params or {}))
    return pairwise_kernels(X, Y, metric=kernel, filter_params=True, gamma=gamma, degree=degree, coef0=coef0)


def warn_of_indefinite(
    X: Any, kernel: Any, *, gamma: float | None, degree: float, coef0: float, centred: bool = False
) -> None:
    """Look at some rows' Gram matrix where the kernel may not be one: a part that is indefinite proves it of all.

    Coefficients that sum to 0, as those of support vectors do, meet the matrix centred alone.
    """
    doubtful = kernel == "sigmoid" or (
        kernel in ("poly", "polynomial") and (coef0 < 0 or (degree != int(degree) and coef0 == 0))
    )
    if doubtful:
        rows = np.unique(np.linspace(0, X.shape[0] - 1, _SAMPLE_ROWS).astype(int))
        K = kernel_between(X[rows], None, kernel, gamma=gamma, degree=degree, coef0=coef0)
        if centred:
            mean = K.mean(axis=0)
            K = K - mean - mean[:, None] + mean.mean()
        check_psd(K, name=f"the {kernel} kernel's {'centred ' * centred}matrix of {len(rows)} training rows")


def square_or_raise(K: Any) -> None:
    """A precomputed kernel matrix of training rows is square."""
    if K.shape[0] != K.shape[1]:
        raise ValueError(
            f"kernel='precomputed' takes a square matrix, a row and a column for each training row, got shape {K.shape}"
        )


def _checked_gamma(gamma: float | None, X: Any) -> float:
    if gamma is None:
        return 1.0 / X.shape[1]
    if not gamma > 0:
        raise ValueError(f"gamma must be > 0, got {gamma!r}")
    return float(gamma)


def _squared_lengths(X: Any) -> NDArray[np.float64]:
    if sp.issparse(X):
        return np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64).ravel()
    return np.einsum("ij,ij->i", X, X, dtype=np.float64)


def _raise_to(tile: NDArray, degree: float) -> None:
    """tile ** degree in place; whole powers by squaring, which is several times quicker than a power."""
    if degree != int(degree) or degree > 64:
        np.power(tile, degree, out=tile)
        return
    left, square, first = int(degree), tile.copy(), True
    if left == 0:
        tile[...] = 1.0
    while left:
        if left & 1:
            if first:
                tile[...], first = square, False
            else:
                tile *= square
        left >>= 1
        if left:
            square *= square


def _tiles(n: int, m: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    for i in range(0, n, _TILE_ROWS):
        for j in range(i if symmetric else 0, m, _TILE_COLUMNS):
            yield slice(i, min(i + _TILE_ROWS, n)), slice(j, min(j + _TILE_COLUMNS, m))


def _gram(X: Any, Y: Any, transform: Tile, dtype: Any = None) -> NDArray:
    """transform(X Y^T), tile by tile over the threads that BLAS was granted; with Y = X only above the diagonal."""
    sparse = sp.issparse(X) or sp.issparse(Y)
    symmetric = X is Y
    if sparse:
        X = sp.csr_matrix(X)
        Y = X if symmetric else sp.csr_matrix(Y)
    n, m = X.shape[0], Y.shape[0]
    K = np.empty((n, m), dtype=dtype or np.result_type(X.dtype, Y.dtype))

    def fill(place: tuple[slice, slice]) -> None:
        rows, columns = place
        product = X[rows] @ Y[columns].T
        tile = product.toarray() if sparse else product  # (rows, columns)
        transform(tile, rows, columns)
        if symmetric:
            if rows.start == columns.start:  # products of BLAS need not be symmetric to the last bit
                square = tile[:, : len(tile)]
                square[...] = np.triu(square) + np.triu(square, 1).T
            K[columns, rows] = tile.T
        K[rows, columns] = tile

    places = list(_tiles(n, m, symmetric))
    threads = min(granted_threads(), len(places)) if n * m > _FEW_ENTRIES else 1
    with one_thread(when=len(places) > 1):
        if threads < 2:
            for place in places:
                fill(place)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, places))
    return K
