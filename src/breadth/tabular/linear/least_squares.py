"""Ordinary least squares that knows its rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.sparse.linalg import LinearOperator, lsqr
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import one_thread

_BLOCK_ROWS = 2048  # rows reduced at a time: a block of 28 columns stays in the second-level cache
_DIRECT_COLUMNS = 1000  # sparse input wider than this is solved iteratively, never made dense
_PRODUCTS_FROM = 64  # columns from which products of columns are several times as quick as QR
_WELL_CONDITIONED = 1e-6  # reciprocal condition of the products, whose rounding it multiplies
_CONSTANT = 16 * np.finfo(np.float64).eps  # spread below this share of a column's size is rounding


class LinearRegression(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ordinary least squares: minimise sum_i w_i (y_i - b - x_i . beta)^2.

    Columns are centred in two passes, then [X | y] is reduced to a triangle by Householder QR, a block of rows at a
    time, so that a column with mean 1e6 costs no digits. The triangle's columns are brought to unit length and its
    singular values tell the rank. When the rank is short, `coef_` is the minimum-norm solution and `collinear_` names
    the columns that add nothing. Well-conditioned columns, 64 or more, are solved by the Cholesky factor of their
    products instead, and the solution is corrected once by its residual.

    Args:
        fit_intercept: estimate b; otherwise b = 0 and X is not centred.
        copy_X, n_jobs: not read, because X is never written to and BLAS has its own threads; present so that calls
            written for scikit-learn run.
        tol: relative tolerance (atol and btol) of LSQR, >= 0; read only for sparse X of more than 1,000 columns.
        positive: slopes >= 0, by active sets on the triangle.

    Attributes:
        coef_: slopes, shape (features,), or (targets, features) when y is two-dimensional.
        intercept_: b, a float, or shape (targets,).
        rank_: rank of the (centred, weighted) X after scaling its columns; None where LSQR solved.
        singular_: singular values of the centred, weighted X, descending, shape (min(rows, features),); None as above.
        collinear_: indices of columns that are linear combinations of columns before them, or constant beside an
            intercept, ascending. Dropping them leaves every fitted value as it is. None as above.

    Raises:
        ValueError: if X or y holds NaN or infinity, their lengths differ, a weight is
            negative or all are 0, tol < 0, or positive slopes are asked of sparse X of more than 1,000 columns.

    Cost: 2 n p^2 + O(p^3) operations, half of that by products, and O(p^2 + 2048 p) memory beside X; sparse rows are
        made dense 2,048 at a time.

    Deviations:
        1. scikit-learn cuts singular values at `tol` of the unscaled X, so a column measured in small units vanishes;
           here the cut is max(n, p) eps after scaling, and only exact collinearity is cut.
        2. Sparse X of more than 1,000 columns is solved by LSQR, which tells no rank.
        3. `positive` takes sparse X of up to 1,000 columns; the rank told is that of X, not of the columns in use.

    References: Golub & Van Loan 2013, Matrix Computations, 4th ed., algorithm 5.3.2 (Householder least squares) and
        section 5.5 (rank-deficient minimum-norm solution); Demmel et al. 2012, SIAM J. Sci. Comput. 34(1) (QR by
        blocks of rows); Paige & Saunders 1982, ACM TOMS 8(1) (LSQR); Björck 1987, Linear Algebra Appl. 88/89
        (corrected seminormal equations); Lawson & Hanson 1974, Solving Least Squares Problems, algorithm 23.10.
    Peer: sklearn.linear_model.LinearRegression and statsmodels OLS and WLS, float64, 1e-9 (A).
    In production: use it as the first model of any regression, and as the meta-model of a stack. When `collinear_` is
        not empty, read no single coefficient of those columns; drop them or penalise.
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        tol: float = 1e-6,
        n_jobs: int | None = None,
        positive: bool = False,
    ):
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.tol = tol
        self.n_jobs = n_jobs
        self.positive = positive

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate slopes and intercept.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: targets, shape (rows,) or (rows, targets).
            sample_weight: weight per row, >= 0, shape (rows,); weight 2 is the row twice. None means 1.

        Returns:
            The fitted estimator.
        """
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0, got {self.tol!r}")
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc", "coo"], dtype=np.float64, y_numeric=True, multi_output=True
        )
        Y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)  # (n, t)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            kept = sample_weight > 0  # a weight of 0 is the row absent, and absent rows do not count in the rank
            if not kept.any():
                raise ValueError("sample_weight is 0 in every row: at least one weight must be positive")
            if not kept.all():
                X = (X.tocsr() if sp.issparse(X) else X)[kept]
                Y, sample_weight = Y[kept], sample_weight[kept]
        if sp.issparse(X):
            X = X.tocsr()
            if not X.has_canonical_format:
                X = X.copy()  # the caller's own stays as it is
                X.sum_duplicates()

        x_mean, y_mean = np.zeros(X.shape[1]), np.zeros(Y.shape[1])
        if self.fit_intercept:
            x_mean, y_mean = column_means(X, sample_weight), column_means(Y, sample_weight)
        root = None if sample_weight is None else np.sqrt(sample_weight)

        wide = sp.issparse(X) and X.shape[1] > _DIRECT_COLUMNS
        if wide and self.positive:
            raise ValueError(
                f"positive=True takes sparse X of at most {_DIRECT_COLUMNS} columns, got {X.shape[1]}: take "
                "ElasticNet(alpha, l1_ratio=0, positive=True) with a small alpha"
            )
        if wide:
            coef = _solve_iteratively(X, Y - y_mean, x_mean, root, self.tol)
            self.rank_ = self.singular_ = self.collinear_ = None
        elif not self.positive and (solved := _solve_products(X, Y, x_mean, y_mean, root)) is not None:
            coef, self.singular_ = solved
            self.rank_, self.collinear_ = X.shape[1], np.zeros(0, dtype=np.int64)
        else:
            # Narrow blocks are too little work to share: two BLAS threads were measured at half the speed of one.
            narrow = X.shape[0] > _BLOCK_ROWS and X.shape[1] < 256
            with one_thread(when=narrow):
                R, Z, size = triangle(X, Y, x_mean, y_mean, root)
            coef, self.rank_, self.collinear_ = _solve_triangle(R, Z, size, X.shape[0])
            if self.positive:
                coef = solve_nonnegative(R, Z, size, np.zeros(Y.shape[1]))
            self.singular_ = scipy.linalg.svdvals(R, check_finite=False) if R.size else np.zeros(0)
        intercept = y_mean - x_mean @ coef if self.fit_intercept else y_mean

        if y.ndim == 1:
            self.coef_, self.intercept_ = coef[:, 0], float(intercept[0])
        else:
            self.coef_, self.intercept_ = coef.T, intercept
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fitted mean b + X beta, shape (rows,) or (rows, targets)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse=["csr", "csc", "coo"], dtype=np.float64, reset=False)
        return rows @ self.coef_.T + self.intercept_


def column_means(A: Any, weight: NDArray | None) -> NDArray[np.float64]:
    """Weighted column means, corrected by the mean of what they leave over: a constant column's mean is its value."""
    n = A.shape[0]
    weight = np.full(n, 1.0 / n) if weight is None else weight / weight.sum()
    mean = np.asarray(A.T @ weight).ravel()
    if sp.issparse(A):  # the stored entries' residuals, and -mean for each entry not stored
        rest = sp.csr_matrix((A.data - mean[A.indices], A.indices, A.indptr), shape=A.shape)
        stored = sp.csr_matrix((np.ones_like(A.data), A.indices, A.indptr), shape=A.shape)
        return mean + np.asarray(rest.T @ weight).ravel() - mean * (1.0 - np.asarray(stored.T @ weight).ravel())
    correction = np.zeros_like(mean)
    for start in range(0, n, _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        correction += weight[rows] @ (A[rows] - mean)
    return mean + correction


def _solve_products(
    X: Any, Y: NDArray, x_mean: NDArray, y_mean: NDArray, root: NDArray | None
) -> tuple[NDArray, NDArray] | None:
    """Slopes (p, t) and singular values (p,) from products of columns; None where QR keeps more digits, or is quick.

    The solution is corrected once by its residual, which gives what QR gives while the columns' condition is small.
    """
    n, p = X.shape
    if sp.issparse(X) or p < _PRODUCTS_FROM or n < 2 * p:
        return None

    def blocks() -> Iterator[tuple[NDArray, NDArray]]:
        for start in range(0, n, _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            part, target = X[rows] - x_mean, Y[rows] - y_mean
            yield (part, target) if root is None else (part * root[rows, None], target * root[rows, None])

    G, q = np.zeros((p, p)), np.zeros((p, Y.shape[1]))
    for part, target in blocks():
        G += part.T @ part
        q += part.T @ target
    length = np.sqrt(np.diag(G))
    if not length.all():
        return None
    R, failed = scipy.linalg.lapack.dpotrf(G / np.outer(length, length))
    if failed or scipy.linalg.lapack.dpocon(R, p)[0] < _WELL_CONDITIONED:
        return None

    def solved(right: NDArray) -> NDArray:
        return scipy.linalg.cho_solve((R, False), right / length[:, None], check_finite=False) / length[:, None]

    coef = solved(q)
    rest = np.zeros_like(q)
    for part, target in blocks():
        rest += part.T @ (target - part @ coef)
    return coef + solved(rest), scipy.linalg.svdvals(np.triu(R) * length, check_finite=False)


def triangle(
    X: Any, Y: NDArray, x_mean: NDArray, y_mean: NDArray, root: NDArray | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Reduce the least-squares problem to R beta = Z with R of at most p rows.

    Returns R (r, p), Z (r, t) and each column's length before centring (p,), with which rounding is told from spread.
    """
    n, p = X.shape
    carried: NDArray[np.float64] = np.zeros((0, p + Y.shape[1]))
    size2 = np.zeros(p)
    step = max(_BLOCK_ROWS, 2 * p)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        dense = X[rows].toarray() if sp.issparse(X) else X[rows]
        top = len(carried)
        block = np.empty((top + len(dense), carried.shape[1]))
        block[:top] = carried
        np.subtract(dense, x_mean, out=block[top:, :p])
        np.subtract(Y[rows], y_mean, out=block[top:, p:])
        if root is None:
            size2 += np.einsum("ij,ij->j", dense, dense)
        else:
            block[top:] *= root[rows, None]
            size2 += np.einsum("ij,ij,i->j", dense, dense, root[rows] ** 2)
        carried = np.asarray(np.linalg.qr(block, mode="r"))  # (min(rows, p + t), p + t)
    return carried[:p, :p], carried[:p, p:], np.sqrt(size2)


def _solve_triangle(R: NDArray, Z: NDArray, size: NDArray, n: int) -> tuple[NDArray, int, NDArray]:
    """Minimum-norm solution (p, t) of R beta = Z, the rank, and the columns that add nothing."""
    p = R.shape[1]
    length = np.linalg.norm(R, axis=0)
    flat = length <= _CONSTANT * size  # constant beside the intercept, or zero
    unit = np.where(flat, 0.0, R / np.where(flat, 1.0, length))  # (r, p), columns of length 1 or 0
    U, s, Vt = scipy.linalg.svd(unit, full_matrices=True, check_finite=False)
    rank = int(np.count_nonzero(s > max(n, p) * np.finfo(np.float64).eps * s.max(initial=0.0)))
    coef = Vt[:rank].T @ ((U[:, :rank].T @ Z) / s[:rank, None])  # (p, t) on unit columns
    coef /= np.where(flat, 1.0, length)[:, None]
    if rank == p:
        return coef, rank, np.zeros(0, dtype=np.int64)
    null = Vt[rank:].T  # (p, p - rank): X times these is zero, on unit columns
    # Every solution is coef + null z in the columns' own units; the one orthogonal to null there is the shortest.
    basis, _ = np.linalg.qr(null / np.where(flat, 1.0, length)[:, None])
    coef -= basis @ (basis.T @ coef)
    coef[flat] = 0.0
    return coef, rank, _dependent_columns(null)


def solve_nonnegative(R: NDArray, Z: NDArray, size: NDArray, penalty: NDArray) -> NDArray[np.float64]:
    """For each target t the beta >= 0 that minimises |R beta - z_t|^2 + penalty_t |beta|^2, shape (p, t)."""
    square = np.sum(R**2, axis=0)
    flat = np.sqrt(square) <= _CONSTANT * size
    coef = np.zeros((R.shape[1], Z.shape[1]))
    for t, alpha in enumerate(penalty):
        length = np.sqrt(np.where(flat, 1.0, square) + alpha)
        rows = np.where(flat, 0.0, R) / length
        right = Z[:, t]
        if alpha > 0:
            rows = np.vstack([rows, np.diag(np.sqrt(alpha) / length)])
            right = np.append(right, np.zeros(len(length)))
        coef[:, t] = nnls(rows, right)[0] / length
    return coef


def _dependent_columns(null: NDArray) -> NDArray[np.int64]:
    """Columns that are combinations of columns before them, from an orthonormal null-space basis (p, d).

    Column j is such a combination exactly when row j of the basis is independent of the rows after it.
    """
    p, d = null.shape
    chosen: list[int] = []
    directions = np.zeros((d, d))
    for j in range(p - 1, -1, -1):
        row = null[j].copy()
        for _ in range(2):  # once more removes what rounding left
            row -= directions.T @ (directions @ row)
        norm = np.linalg.norm(row)
        if norm > 1e-6:  # rows are O(1) for columns in a dependence and O(eps / gap) for the others
            directions[len(chosen)] = row / norm
            chosen.append(j)
            if len(chosen) == d:
                break
    return np.array(sorted(chosen), dtype=np.int64)


def _solve_iteratively(X: sp.csr_matrix, Y: NDArray, x_mean: NDArray, root: NDArray | None, tol: float) -> NDArray:
    """LSQR on implicitly centred columns of unit root mean square; Y is centred. Returns (p, t)."""
    n, p = X.shape
    weight = np.ones(n) if root is None else root
    rms = np.sqrt(np.asarray(X.multiply(X).T @ weight**2).ravel() / n)
    scale = np.where(rms > 0, rms, 1.0)

    def forward(v: NDArray) -> NDArray:
        v = v.ravel() / scale
        return weight * (X @ v - x_mean @ v)

    def backward(u: NDArray) -> NDArray:
        u = weight * u.ravel()
        return (X.T @ u - x_mean * u.sum()) / scale

    A = LinearOperator((n, p), matvec=forward, rmatvec=backward, dtype=np.float64)
    columns = [lsqr(A, weight * y, atol=tol, btol=tol)[0] / scale for y in Y.T]
    return np.column_stack(columns)
