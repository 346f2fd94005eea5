"""Linear independence: rank, the columns that are combinations of others, and which combinations they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lapack, solve_triangular

from breadth.stats import arguments

Floats = NDArray[np.float64]
_LWORK = 64  # columns of LAPACK's blocks


class Independence(NamedTuple):
    """The rank of columns, a largest independent set of them, and the others as combinations of it."""

    rank: int
    independent: bool
    basis: tuple[str | int, ...]  # a largest independent set, in the order of the columns
    dependent: tuple[str | int, ...]  # the other columns
    coefficients: Floats  # (rank, dependent): each dependent column is basis @ its coefficients
    sizes: Floats  # what was counted, of columns of length 1, descending: the diagonal of |R|, or singular values
    threshold: float  # sizes below it count as 0

    def explain(self) -> list[str]:
        """One line a dependent column, such as "c = 2 a - b"."""
        lines = []
        for j, name in enumerate(self.dependent):
            c = self.coefficients[:, j]
            kept = np.flatnonzero(np.abs(c) > 1e-8 * np.abs(c).max(initial=0.0))
            terms = "".join(
                f" {'-' if c[i] < 0 else '+'} {'' if abs(abs(c[i]) - 1) < 1e-8 else f'{abs(c[i]):.6g} '}{self.basis[i]}"
                for i in kept
            )
            terms = terms[3:] if terms.startswith(" + ") else terms.replace(" - ", "-", 1)
            lines.append(f"{name} = {terms or '0'}")
        return lines


def linear_independence(
    columns: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    method: Literal["qr", "svd"] = "qr",
    rtol: float | None = None,
) -> Independence:
    """Tell whether c_1 a_1 + ... + c_k a_k = 0 only for c = 0, and if not, which columns are combinations of which.

    Columns are divided by their lengths, so that units do not matter. "qr" counts the diagonal of R in a QR
    factorisation that takes the column farthest from the span of those taken before it; "svd" counts singular values.
    Either way that factorisation names the columns. Tall matrices are factored without pivoting first, and what
    follows sees their triangle only.

    Args:
        columns: shape (n, k), k >= 1, finite.
        names: of the columns; None numbers them.
        method: what decides the rank: "svd" is safer near the threshold, "qr" quicker.
        rtol: threshold relative to the largest size; None takes max(n, k) times the rounding of float64.

    Returns:
        Independence. A column of zeros is a combination of no column.

    Raises:
        ValueError: if columns is no finite matrix, names are not one a column, or rtol is not in (0, 1).

    Cost: O(n k^2), and O(k^3) for the pivoting and for singular values.
    References: Golub & Van Loan 2013, sections 5.4.2 (pivoting) and 5.5.8 (numerical rank); Businger & Golub 1965;
        Chan 1982, ACM Trans. Math. Software 8(1) (the triangle first).
    Peer: numpy.linalg.matrix_rank of the scaled columns; sympy's or exact rational row reduction (A).
    In production: before a linear model is fitted on dummies or derived columns.
    """
    a = arguments.finite("columns", columns, ndim=2)
    n, k = a.shape
    if not k:
        raise ValueError(f"columns must hold at least one column, got shape {a.shape}")
    labels: list[str | int] = list(range(k)) if names is None else list(names)
    if len(labels) != k:
        raise ValueError(f"names must be one for each of {k} columns, got {len(labels)}")
    arguments.one_of("method", method, ("qr", "svd"))
    if rtol is not None:
        arguments.open_unit("rtol", rtol)
    r, length = _triangle(a)
    factored, pivots, *_ = lapack.dgeqp3(r, lwork=_LWORK * (k + 1))
    order, height = pivots - 1, min(factored.shape)
    r = np.triu(factored[:height])
    sizes = np.abs(np.diag(r)) if method == "qr" else np.linalg.svd(r, compute_uv=False)
    threshold = (max(n, k) * np.finfo(np.float64).eps if rtol is None else rtol) * float(sizes.max(initial=0.0))
    rank = int((sizes > threshold).sum())
    taken, left = order[:rank], order[rank:]
    inside = solve_triangular(r[:rank, :rank], r[:rank, rank:]) if rank and len(left) else np.zeros((rank, len(left)))
    inside = inside * length[left] / np.where(length[taken] > 0, length[taken], 1.0)[:, None]
    by_row, by_column = np.argsort(taken), np.argsort(left)
    return Independence(
        rank,
        rank == k,
        tuple(labels[i] for i in np.sort(taken)),
        tuple(labels[i] for i in np.sort(left)),
        inside[by_row][:, by_column],
        sizes,
        threshold,
    )


def _triangle(a: Floats) -> tuple[Floats, Floats]:
    """R of a's QR factorisation where a is tall, else a, (<= n, k), with columns of length 1; and lengths of a's."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->j", a, a)
    largest = np.ones(a.shape[1])
    if ((squares < 1e-200) | (squares > 1e200)).any():  # columns whose squares leave float64 or its full precision
        largest = np.abs(a).max(0, initial=0.0)
        a = a / np.where(largest > 0, largest, 1.0)
    if len(a) > a.shape[1]:
        a = np.triu(lapack.dgeqrf(a, lwork=_LWORK * a.shape[1])[0][: a.shape[1]])
    length = np.linalg.norm(a, axis=0)
    return np.asfortranarray(a / np.where(length > 0, length, 1.0)), largest * length
