"""All eigenvalues and eigenvectors of a matrix by the QR algorithm."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import hessenberg, lapack, matrix_balance

from breadth.blas import granted_threads, one_thread
from breadth.stats import arguments
from breadth.stats.eigen import Eigen, residuals, square
from breadth.stats.norms import norm

Floats = NDArray[np.float64]
_SWEEPS = 64  # of rotations kept before they turn the vectors
_AHEAD = 8  # rounds by which one thread may be ahead of the other
_SHARED = 192  # rows from which turning Z is worth a thread of its own
_LARGE = 512  # rows from which products are worth the threads of BLAS, which spin for a while after


def qr_algorithm(A: ArrayLike, *, max_sweeps: int = 100) -> Eigen:
    """All eigenvalues and eigenvectors of a square matrix by the QR algorithm with implicit shifts.

    H - s I = Q R and H <- R Q + s I, a similarity, drives the last subdiagonal entry of a Hessenberg matrix H to 0 if
    the shift s is near an eigenvalue; then the same with one row less. Nothing is factored: a sweep of rotations or
    reflections chases the bulge that its first column made off the matrix, which comes to the same (implicit Q
    theorem). Householder's reduction of A to H, tridiagonal for symmetric A, is LAPACK's.

    Symmetric A: sweeps with Wilkinson's shift. Others: balanced first; sweeps with two conjugate shifts in real
    arithmetic up to 64 rows, beyond these chains of up to twelve such bulges, with early deflation from a window at the
    end; eigenvectors by back substitution in the real Schur form Z^T A Z.

    Args:
        A: real and square, shape (n, n), n >= 1, finite.
        max_sweeps: sweeps (beyond 64 rows rounds of a chain) for one eigenvalue, >= 1; two or three on average, a
            dozen for some.

    Returns:
        Eigen. For symmetric A real, ascending, with orthonormal vectors; else complex, by descending magnitude, vectors
        of length 1. A defective matrix repeats a vector.

    Raises:
        ValueError: if A is not square or not finite.
        ArithmeticError: if an eigenvalue took more than max_sweeps.

    Cost: O(n^3): about 10 n^3 operations for symmetric A, 25 n^3 for others, in threads where they turn vectors.
    Deviations: no blocks are reordered within the window, so deflation stops at the first that does not converge; what
        stands above the active block is not updated but computed in the end.
    References: Francis 1961; Wilkinson 1965, The Algebraic Eigenvalue Problem, ch. 8; Golub & Van Loan 2013, algorithms
        8.3.2 and 7.5.1; Braman, Byers & Mathias 2002, SIAM J. Matrix Anal. Appl. 23(4), parts I (chains) and II (early
        deflation); Van Zee, van de Geijn & Quintana-Orti 2014, ACM Trans. Math. Softw. 40(3) (rotations in passes).
    Peer: numpy.linalg.eig and eigh and mpmath.eig, 1e-12 of the largest for normal matrices (A).
    In production: numpy.linalg.eigh for symmetric matrices (divide and conquer: half the time, a quarter at 1,000
        rows), and numpy.linalg.eig below 50 rows, where a call here costs 0.3 ms.
    """
    a = arguments.finite("A", A, ndim=2)
    square("A", a)
    arguments.whole("max_sweeps", max_sweeps, 1)
    size, symmetric = float(np.abs(a).max()) or 1.0, np.array_equal(a, a.T)
    if not symmetric and 1e-140 < size < 1e140:
        size = 1.0  # balancing makes much of small entries, which division could cost their digits
    found = (_symmetric if symmetric else _general)(a / size, max_sweeps)
    if found is None:
        raise ArithmeticError(f"an eigenvalue took more than max_sweeps={max_sweeps} steps; raise max_sweeps")
    return Eigen(size * found.values, found.vectors, size * found.residuals)


def _symmetric(a: Floats, max_sweeps: int) -> Eigen | None:
    from breadth.stats.slab_kernels import PAD, cut, joined, rotate_slabs
    from breadth.stats.tridiagonal_kernels import ql_sweeps

    n = len(a)
    if n == 1:
        return Eigen(a[0], np.eye(1), np.zeros(1))
    with one_thread():  # threads of BLAS would spin on the cores that turn slabs
        reduced, d, e, tau, _ = lapack.dsytrd(a[::-1, ::-1], lower=1)  # turned: what is largest should come last
        basis = np.eye(n)
        basis[1:, 1:] = lapack.dorgqr(reduced[1:, :-1], tau)[0].T
        slabs = cut(basis[::-1, ::-1])
        d, e = d[::-1].copy(), np.append(e[::-1], 0.0)
        state, spans = np.zeros(2, np.int64), np.empty((_SWEEPS, 2), np.int64)
        C, S = np.empty((2, _SWEEPS, n + 2 * PAD))
        while state[0] < n - 1:
            taken = ql_sweeps(d, e, state, C, S, spans, max_sweeps)
            if taken < 0:
                return None
            rotate_slabs(slabs.reshape(len(slabs), -1), C, S, spans, taken)
    order = np.argsort(d)
    vectors = np.ascontiguousarray(joined(slabs, n)[order].T)
    with one_thread(n < _LARGE):
        return Eigen(d[order], vectors, residuals(a, d[order], vectors))


def _general(a: Floats, max_sweeps: int) -> Eigen | None:
    from breadth.stats.schur_kernels import schur_vectors

    with np.errstate(invalid="ignore"):  # SciPy reads factors of the rows that stay in place as numbers of rows, too
        balanced, (scale, places) = matrix_balance(a, separate=True)
    size = float(np.abs(balanced).max()) or 1.0
    balanced /= size
    n_threads = granted_threads()
    with one_thread():
        blocks, Zt = _schur(balanced, max_sweeps, n_threads)
    if Zt is None:
        return None
    n = len(a)
    values = _values(blocks)
    with one_thread(n < _LARGE):
        T = np.triu(Zt @ balanced @ Zt.T)
        np.fill_diagonal(T, np.diag(blocks))
        for k in np.flatnonzero(np.diag(blocks, -1)):
            T[k, k + 1], T[k + 1, k] = blocks[k, k + 1], blocks[k + 1, k]
    least = max(np.finfo(float).eps * float(np.abs(T).max()), 1e-300)
    with one_thread():
        Y = schur_vectors(T, values, least)
    with one_thread(n < _LARGE):
        parts = np.empty((n, n))
        parts[places] = scale[:, None] * (Zt.T @ Y)
        im, k = values.imag, np.arange(n)  # columns k and k + 1 of a pair's parts are the real and the imaginary part
        other = k + (im > 0) - (im < 0)
        lengths = norm(parts, axis=0)
        parts /= np.where(im == 0, lengths, np.hypot(lengths, lengths[other]))
        values *= size
        misses = norm(a @ parts - parts * values.real + parts[:, other] * im, axis=0)
    misses = np.where(im == 0, misses, np.hypot(misses, misses[other]))
    magnitudes = np.abs(values)
    order = np.lexsort([-im, -values.real, -np.round(magnitudes / (magnitudes.max() or 1.0), 12)])
    vectors = np.empty((n, n), np.complex128)
    vectors.real = parts[:, (k - (im < 0))[order]]
    vectors.imag = parts[:, (k + (im > 0))[order]] * np.sign(im)[order]
    return Eigen(values[order], vectors, misses[order])


def _schur(a: Floats, max_sweeps: int, n_threads: int) -> tuple[Floats, Floats | None]:
    """Diagonal blocks of the real Schur form Z^T a Z (elsewhere the matrix is not it), and Z^T; None took too long."""
    from breadth.stats.francis_kernels import francis
    from breadth.stats.multishift_kernels import BULGES, SMALL, advance
    from breadth.stats.slab_kernels import PAD, cut, joined, turn_slabs

    H, Q = hessenberg(a, calc_q=True, check_finite=False)
    H, n = np.ascontiguousarray(H), len(a)
    if n <= SMALL:
        Zt = np.ascontiguousarray(Q.T)
        return H, (Zt if francis(H, Zt, max_sweeps) >= 0 else None)
    slabs = cut(Q.T)
    R, V, pairs = np.zeros((_AHEAD, BULGES, 3, n + 2 * PAD)), np.zeros((SMALL, SMALL)), np.empty((BULGES, 3))
    state = np.array([n, 0, 0, 0, 0, 0, 0])
    turned: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:  # rounds on H go ahead of what they do to Z
        for r in count():
            if r >= _AHEAD and turned:
                turned[r - _AHEAD].result()
            if not advance(H, R[r % _AHEAD], V, pairs, state, max_sweeps):
                break
            _, _, at, size, first, stop, bulges = (int(v) for v in state)
            task = (slabs.reshape(len(slabs), -1), V[:size, :size].copy(), at, R[r % _AHEAD], first, stop, bulges)
            if n_threads == 1 or n < _SHARED:
                turn_slabs(*task)
            else:
                turned.append(pool.submit(turn_slabs, *task))
    if state[1] < 0:
        return H, None
    if turned:
        turned[-1].result()
    return H, joined(slabs, n)


def _values(T: Floats) -> NDArray[np.complex128]:
    """Eigenvalues of the Schur form's diagonal blocks; the one with positive imaginary part of a pair comes first."""
    values = np.diag(T).astype(np.complex128)
    k = np.flatnonzero(np.diag(T, -1))
    mean, half = (T[k, k] + T[k + 1, k + 1]) / 2, (T[k, k] - T[k + 1, k + 1]) / 2
    root = np.sqrt(np.maximum(-(half * half + T[k, k + 1] * T[k + 1, k]), 1e-300))  # no real pair is left together
    values[k], values[k + 1] = mean + 1j * root, mean - 1j * root
    return values
