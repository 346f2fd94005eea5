"""Extreme eigenvalues by power iteration and Lanczos, and approximation of low rank."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from breadth.stats import arguments
from breadth.stats.norms import norm

Floats = NDArray[np.float64]
_WHOLE = 500  # rows up to which Lanczos keeps its whole basis rather than restart


class Dominant(NamedTuple):
    """The eigenvalue of largest magnitude, its unit vector, and how good they are."""

    value: float
    vector: Floats  # (n,), length 1
    residual: float  # |A v - value v|
    n_iterations: int
    converged: bool


class Eigen(NamedTuple):
    """Eigenvalues and unit eigenvectors as columns: A vectors = vectors diag(values)."""

    values: NDArray[Any]  # (k,)
    vectors: NDArray[Any]  # (n, k)
    residuals: Floats  # (k,), |A v - value v|


class LowRank(NamedTuple):
    """left diag(singular) right, of rank k, and its distance from the matrix."""

    left: Floats  # (m, k), orthonormal columns
    singular: Floats  # (k,), descending
    right: Floats  # (k, n), orthonormal rows
    error: float  # Frobenius norm of what is left

    def matrix(self) -> Floats:
        """The product, shape (m, n)."""
        return (self.left * self.singular) @ self.right


def power_iteration(
    A: Any,
    *,
    n_iterations: int = 1000,
    tol: float = 1e-10,
    start: ArrayLike | None = None,
    rng: np.random.Generator | int | None = 0,
) -> Dominant:
    """v <- A v / |A v| until |A v - value v| <= tol |value|, with value = v^T A v.

    The angle to the eigenvector falls by |lambda_2 / lambda_1| an iteration: with two of equal magnitude (a rotation,
    or opposite signs) it never converges, which the residual shows.

    Args:
        A: square, shape (n, n); an array, a sparse matrix or anything with `shape` and `@`.
        n_iterations: at most, >= 1.
        tol: relative size of the residual, > 0.
        start: first vector, shape (n,), not 0; None draws one.
        rng: generator or its seed.

    Returns:
        Dominant; look at `converged`.

    Raises:
        ValueError: if A is not square or gives NaN, start is 0, or an argument is out of range.

    Cost: one product a step.
    References: von Mises & Pollaczek-Geiringer 1929; Golub & Van Loan 2013, section 7.3.1.
    Peer: numpy.linalg.eig, 1e-9 in the value; the rate |lambda_2 / lambda_1| (A).
    In production: use `lanczos` for symmetric matrices: the same products, and convergence as of Chebyshev polynomials.
    """
    A = _as_operator(A)
    n = square("A", A)
    arguments.whole("n_iterations", n_iterations, 1)
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol!r}")
    v = np.random.default_rng(rng).standard_normal(n) if start is None else arguments.finite("start", start)
    if v.shape != (n,) or not v.any():
        raise ValueError(f"start must be a vector of shape ({n},) that is not 0, got shape {v.shape}")
    v = v / norm(v)
    value, residual = 0.0, np.inf
    for step in range(1, n_iterations + 1):
        image = np.asarray(A @ v, np.float64)
        if not np.isfinite(image).all():
            raise ValueError("A holds NaN or infinity, or its products overflow")
        value = float(v @ image)
        residual = float(norm(image - value * v))
        if residual <= tol * abs(value) or not image.any():
            return Dominant(value, v, residual, step, True)
        if step < n_iterations:
            v = image / norm(image)
    return Dominant(value, v, residual, n_iterations, False)


def lanczos(
    A: Any,
    k: int = 1,
    *,
    which: Literal["largest", "smallest"] = "largest",
    n_steps: int | None = None,
    tol: float = 1e-10,
    rng: np.random.Generator | int | None = 0,
) -> Eigen:
    """Extreme eigenvalues of a symmetric matrix from its products with vectors alone.

    beta_j q_{j+1} = A q_j - alpha_j q_j - beta_{j-1} q_{j-1} builds an orthonormal basis of the Krylov space, in which
    A is tridiagonal; its extreme eigenvalues come first. Each new vector is made orthogonal to all before it, without
    which converged values come back as ghosts. Beyond 500 rows a basis of max(2k + 20, 40) vectors that is full starts
    again from its vectors nearest the end asked for (thick restart).

    Args:
        A: symmetric, shape (n, n); an array, a sparse matrix or anything with `shape` and `@`.
        k: eigenvalues wanted, in [1, n].
        which: end of the spectrum, by value.
        n_steps: products with A at most, >= k; None allows 10 n + 100.
        tol: residual aimed at, relative to the largest |eigenvalue| seen, > 0.
        rng: generator or its seed, of the first vector.

    Returns:
        Eigen of the k values, descending for "largest", ascending for "smallest". Look at the residuals: each value is
        within its residual of an eigenvalue. Of a multiple eigenvalue a Krylov space holds one vector; a basis that
        closes early goes on with a fresh one, which finds the others.

    Raises:
        ValueError: if A is not square, an array that is not symmetric, gives NaN, or an argument is out of range.

    Cost: a product a step, and O(n k) a step for the orthogonalisation (O(n^2) up to 500 rows).
    References: Lanczos 1950; Paige 1972; Golub & Van Loan 2013, sections 10.1 and 10.3; Wu & Simon 2000, SIAM J. Matrix
        Anal. Appl. 22(2), section 2 (thick restart).
    Peer: numpy.linalg.eigvalsh and scipy.sparse.linalg.eigsh, 1e-9 (A).
    In production: scipy.sparse.linalg.eigsh, which finds multiple eigenvalues, those near a value and complex ones.
    """
    A = _as_operator(A)
    n = square("A", A)
    if (isinstance(A, np.ndarray) or sp.issparse(A)) and abs(A - A.T).max() > 1e-12 * abs(A).max():
        raise ValueError("A must be symmetric; power_iteration and qr_algorithm take others")
    if arguments.whole("k", k, 1) > n:
        raise ValueError(f"k must be in [1, {n}], got {k}")
    arguments.one_of("which", which, ("largest", "smallest"))
    most = 10 * n + 100 if n_steps is None else arguments.whole("n_steps", n_steps, k)
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol!r}")
    generator = np.random.default_rng(rng)
    room = n if n <= _WHOLE else min(n, max(2 * k + 20, 40))
    basis, projected = np.empty((room, n)), np.zeros((room, room))  # projected = basis A basis^T
    q = generator.standard_normal(n)
    q /= np.linalg.norm(q)
    kept, done, due = 0, 0, k
    while True:
        basis[done] = q
        image = np.asarray(A @ q, np.float64)
        if not np.isfinite(image).all():
            raise ValueError("A holds NaN or infinity, or its products overflow")
        scale = norm(image)
        projected[done, done] = q @ image
        done += 1
        most -= 1
        image, beta = _orthogonal(image, basis[:done])
        closed = beta <= 1e-13 * max(scale, np.abs(projected[:done, :done]).max())
        full = done == room or most == 0
        if done >= k and (done >= due or full or closed):
            due = done + max(done // 3, 4)
            values, weights = np.linalg.eigh(projected[:done, :done])
            order = np.arange(done) if which == "smallest" else np.arange(done)[::-1]
            bound = (0.0 if closed else beta) * np.abs(weights[-1, order[:k]])
            converged = (bound <= tol * np.abs(values).max()).all() and not (closed and done < n and n_steps is None)
            if converged or most == 0 or done == n:
                break
            if full:  # the most promising vectors are the next basis, and couple to the next vector alone
                keep = order[: k + (room - k) // 2]
                kept = len(keep)
                basis[:kept] = weights[:, keep].T @ basis[:done]
                projected[:] = 0.0
                projected[:kept, :kept] = np.diag(values[keep])
                projected[kept, :kept] = projected[:kept, kept] = 0.0 if closed else beta * weights[-1, keep]
                done, due = kept, room
        if closed:  # an invariant subspace: go on beyond it
            image, length = _orthogonal(generator.standard_normal(n), basis[:done])
            q = image / length
        else:
            q = image / beta
            if done > kept:
                projected[done, done - 1] = projected[done - 1, done] = beta
    vectors = basis[:done].T @ weights[:, order[:k]]
    return Eigen(values[order[:k]], vectors, residuals(A, values[order[:k]], vectors))


def low_rank_approximation(
    A: ArrayLike,
    rank: int,
    *,
    method: Literal["exact", "randomized"] = "exact",
    oversampling: int = 10,
    n_power: int = 4,
    rng: np.random.Generator | int | None = 0,
) -> LowRank:
    """The nearest matrix of a given rank: the leading singular triples (Eckart, Young and Mirsky).

    "exact" takes eigenvectors of the smaller of A A^T and A^T A after a QR factorisation has made it square, by
    numpy.linalg.svd; "randomized" multiplies A by rank + oversampling random vectors, improves their span by power
    steps with A A^T, orthonormalised between, and decomposes A within it.

    Args:
        A: shape (m, n), finite.
        rank: in [1, min(m, n)].
        method: see above.
        oversampling: random vectors beyond rank, >= 0.
        n_power: power steps, >= 0: the span's error falls by (sigma_{rank + 1} / sigma_rank)^(2 n_power).
        rng: generator or its seed.

    Returns:
        LowRank; no matrix of this rank has a smaller error than the exact one, sqrt(sum_{i > rank} sigma_i^2).

    Raises:
        ValueError: if A is no finite matrix or an argument is out of range.

    Cost: O(m n min(m, n)), or O(m n (rank + oversampling) (2 n_power + 2)).
    References: Eckart & Young 1936, Psychometrika 1; Halko, Martinsson & Tropp 2011, SIAM Review 53, algorithms
        4.4 and 5.1.
    Peer: scipy.sparse.linalg.svds and sklearn's randomized_svd, 1e-8; the tail of the singular values (A).
    In production: use "randomized" from a thousand rows and columns on; scipy's svds for sparse matrices.
    """
    a = arguments.finite("A", A, ndim=2)
    if not 1 <= arguments.whole("rank", rank, 1) <= min(a.shape):
        raise ValueError(f"rank must be in [1, {min(a.shape)}], got {rank}")
    arguments.one_of("method", method, ("exact", "randomized"))
    extra = arguments.whole("oversampling", oversampling, 0)
    arguments.whole("n_power", n_power, 0)
    if method == "exact":
        u, s, vt = np.linalg.svd(a, full_matrices=False)
    else:
        width = min(rank + extra, *a.shape)
        span = np.linalg.qr(a @ np.random.default_rng(rng).standard_normal((a.shape[1], width)))[0]
        for _ in range(n_power):
            span = np.linalg.qr(a @ np.linalg.qr(a.T @ span)[0])[0]
        u, s, vt = np.linalg.svd(span.T @ a, full_matrices=False)
        u = span @ u
    left, singular, right = u[:, :rank], s[:rank], vt[:rank]
    error = float(np.linalg.norm(a - (left * singular) @ right))
    return LowRank(left, singular, right, error)


def _as_operator(A: Any) -> Any:
    """Lists and tables as arrays of float64; what has a shape and products of its own stays."""
    if isinstance(A, np.ndarray) or hasattr(A, "to_numpy") or not hasattr(A, "shape"):
        return arguments.finite("A", A, ndim=2)
    return A


def square(name: str, A: Any) -> int:
    shape = np.shape(A) if not hasattr(A, "shape") else A.shape
    if np.dtype(getattr(A, "dtype", float)).kind == "c":
        raise ValueError(f"{name} must be real, got a matrix of type {A.dtype}")
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"{name} must be a square matrix, shape (n >= 1, n), got shape {tuple(shape)}")
    return int(shape[0])


def _orthogonal(v: Floats, basis: Floats) -> tuple[Floats, float]:
    """v less its part in the rows of basis, and its length; once more where what is left is small beside that part."""
    before = length = float(norm(v))
    for _ in range(2):
        v = v - (basis @ v) @ basis
        length = float(norm(v))
        if length > 0.7 * before:
            break
        before = length
    return v, length


def residuals(A: Any, values: NDArray[Any], vectors: NDArray[Any]) -> Floats:
    return np.atleast_1d(norm(np.abs(np.asarray(A @ vectors) - vectors * values), axis=0))
