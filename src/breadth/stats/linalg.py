"""Linear independence: rank, the columns that are combinations of others, and which combinations they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr, solve_triangular

from breadth.stats import arguments

Floats = NDArray[np.float64]


class Independence(NamedTuple):
    """The rank of columns, a largest independent set of them, and the others as combinations of it."""

    rank: int
    independent: bool
    basis: tuple[str | int, ...]  # a largest independent set, in the order of the columns
    dependent: tuple[str | int, ...]  # the other columns
    coefficients: Floats  # (rank, dependent): each dependent column is basis @ its coefficients
    singular_values: Floats  # of the columns divided by their lengths, descending
    threshold: float  # singular values below count as 0

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

    Columns are divided by their lengths, so that units do not matter. "svd" counts singular values above the
    threshold; "qr" the diagonal of R in a QR factorisation that takes the column farthest from the span of those taken
    before it. Either way that factorisation names the columns.

    Args:
        columns: shape (n, k), k >= 1, finite.
        names: of the columns; None numbers them.
        method: what decides the rank: "svd" is safer near the threshold, "qr" quicker.
        rtol: threshold relative to the largest singular value; None takes max(n, k) times the rounding of float64.

    Returns:
        Independence. A column of zeros is a combination of no column.

    Raises:
        ValueError: if columns is no finite matrix, names are not one a column, or rtol is not in (0, 1).

    Cost: O(n k^2).
    References: Golub & Van Loan 2013, sections 5.4.2 (pivoting) and 5.5.8 (numerical rank); Businger & Golub 1965.
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
    largest = np.abs(a).max(0)
    scaled = a / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=0)
    scaled = scaled / np.where(length > 0, length, 1.0)
    singular = np.asarray(np.linalg.svd(scaled, compute_uv=False), np.float64)
    threshold = (max(n, k) * np.finfo(np.float64).eps if rtol is None else rtol) * float(singular.max(initial=0.0))
    r, order = qr(scaled, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(r))
    rank = int((singular > threshold).sum()) if method == "svd" else int((diagonal > threshold).sum())
    taken, left = order[:rank], order[rank:]
    inside = solve_triangular(r[:rank, :rank], r[:rank, rank:]) if rank and len(left) else np.zeros((rank, len(left)))
    scale = np.where(largest > 0, largest * length, 1.0)
    inside = inside * scale[left] / scale[taken][:, None]
    inside[:, largest[left] == 0] = 0.0
    by_row, by_column = np.argsort(taken), np.argsort(left)
    return Independence(
        rank,
        rank == k,
        tuple(labels[i] for i in np.sort(taken)),
        tuple(labels[i] for i in np.sort(left)),
        inside[by_row][:, by_column],
        singular,
        threshold,
    )
