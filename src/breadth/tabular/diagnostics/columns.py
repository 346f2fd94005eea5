"""Whether columns repeat one another: perfect multicollinearity, variance inflation, condition number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from breadth.stats.linalg import linear_independence
from breadth.tabular.bayes.scatter import column_means, triangle
from breadth.tabular.diagnostics.findings import Finding, Name, listed

_MOST_INFLATION, _MOST_CONDITION = 10.0, 30.0  # the rules of thumb of Marquardt, and of Belsley, Kuh & Welsch


def collinearity(X: NDArray, names: Sequence[Name], *, centred: bool = True) -> tuple[list[Finding], NDArray[np.int64]]:
    """Findings on rank, variance inflation and condition number, and the columns of a largest independent set.

    The columns are centred, so that a far mean is no collinearity with the intercept, and scaled to unit length, so
    that units do not matter: R'R is then their correlation matrix, VIF_j = (R'R)^-1_jj = 1 / (1 - R_j^2), and the
    condition number is the ratio of R's extreme singular values.

    Args:
        X: float64 (rows, columns).
        names: of the columns.
        centred: whether a constant column is dependent, for there is an intercept.

    References: Marquardt 1970, Technometrics 12(3) (VIF > 10); Belsley, Kuh & Welsch 1980, Regression Diagnostics,
        section 3.2 (condition index > 30).
    """
    R, flat = triangle(X, column_means(X))
    length = np.sqrt(np.einsum("ij,ij->j", R, R))
    unit = np.where(flat, 0.0, R / np.where(flat, 1.0, length))
    if centred:
        found = linear_independence(unit, method="qr", rtol=max(X.shape) * 4 * np.finfo(np.float64).eps)
    else:
        found = linear_independence(X, method="qr")
    basis = np.sort(np.array(found.basis, dtype=np.int64))
    if not len(basis):
        raise ValueError("no column of X varies: there is nothing that they could explain")
    repeated = tuple(names[int(j)] for j in found.dependent)
    what = "no column is a combination of others"
    if repeated:
        relations = [_relation(found.coefficients[:, i], found.basis, names) for i in range(len(repeated))]
        rank = Finding(
            "rank",
            what,
            float(found.rank),
            None,
            float(X.shape[1]),
            True,
            f"perfect multicollinearity: the rank is {found.rank} with {X.shape[1]} columns; "
            + "; ".join(f"{name} {text}" for name, text in zip(repeated[:3], relations[:3], strict=True))
            + (f"; and {len(repeated) - 3} more" if len(repeated) > 3 else "")
            + ".",
            f"Drop {listed(repeated)}: no prediction changes, and the other coefficients get a meaning.",
            repeated,
        )
    else:
        full = float(X.shape[1])
        rank = Finding("rank", what, full, None, full, False, f"all {X.shape[1]} columns are linearly independent.")

    kept = [int(j) for j in basis if not flat[j]]
    inflation = np.full(X.shape[1], 1.0)
    for j in found.dependent:
        if not flat[int(j)]:
            inflation[int(j)] = np.inf
    condition = 1.0
    if kept:
        own = np.asarray(np.linalg.qr(unit[:, kept], mode="r"))
        inverse, _ = lapack.dtrtri(own)
        inflation[kept] = np.einsum("ij,ij->i", inverse, inverse)
        s = np.linalg.svd(own, compute_uv=False)
        condition = np.inf if np.isinf(inflation).any() else float(s[0] / s[-1])
    order = np.argsort(-inflation, kind="stable")
    high = tuple(names[int(j)] for j in order if inflation[j] > _MOST_INFLATION)
    worst = int(order[0])
    vif = Finding(
        "VIF",
        "no column is nearly a combination of others",
        float(inflation[worst]),
        None,
        _MOST_INFLATION,
        bool(high),
        f"the variance of the coefficient of {names[worst]} is {inflation[worst]:.3g} times what it would be beside "
        f"uncorrelated columns ({'above' if high else 'at most'} {_MOST_INFLATION:g}).",
        f"Read no single coefficient of {listed(high)}; drop or combine some of them, or penalise (ridge)."
        if high
        else "",
        high,
    )
    ill = condition > _MOST_CONDITION
    number = Finding(
        "condition number",
        "the columns are far from dependent together",
        condition,
        None,
        _MOST_CONDITION,
        ill,
        f"the condition number of the correlations' root is {condition:.3g} "
        f"({'above' if ill else 'at most'} {_MOST_CONDITION:g}).",
        "Drop or combine columns that move together, or penalise (ridge)." if ill else "",
    )
    return [rank, vif, number], basis


def _relation(coefficient: NDArray, basis: Sequence[Name], names: Sequence[Name]) -> str:
    """ "follows from a, b", or "is constant" where nothing is needed."""
    strong = np.flatnonzero(np.abs(coefficient) > 1e-8 * np.abs(coefficient).max(initial=0.0))
    if not len(strong) or not np.abs(coefficient).max(initial=0.0) > 0:
        return "is constant"
    return "follows from " + listed(tuple(names[int(basis[i])] for i in strong.tolist()))
