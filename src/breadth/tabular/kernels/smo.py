"""Sequential minimal optimisation with shrinking: the quadratic programme behind kernel machines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.tabular.kernels import svm_kernels as k

KINDS = {
    "linear": k.LINEAR,
    "poly": k.POLYNOMIAL,
    "rbf": k.RBF,
    "sigmoid": k.SIGMOID,
    "precomputed": k.PRECOMPUTED,
}
_DENSE = 0.25  # share of entries from which sparse rows are quicker as dense ones
_NO_SPARSE = 2 * (np.zeros(0), np.zeros(0, np.int32), np.zeros(1, np.int32))
_NO_MATRIX = np.zeros((1, 1))
_LOOK = 1000  # steps between two looks for variables that can rest
_WORTH = 0.9  # they rest when no more than this share of the others is left
_FAR = 1e300


@dataclass(frozen=True)
class Rows:
    """Training rows as the kernels read them: columns of a dense X, rows of a sparse one, or a precomputed matrix."""

    kind: int
    shape: tuple[float, float, float]  # gamma, coef0, degree
    columns: NDArray[np.float64]  # (p, n)
    sizes: NDArray[np.float64]  # (n,), squared lengths
    sparse: tuple  # values, indices and starts of rows, then of columns
    matrix: NDArray[np.float64]
    ids: NDArray[np.int64]  # (n,), rows of `matrix`
    centre: NDArray[np.float64]  # (p,), what `columns` are relative to

    @classmethod
    def of(cls, X: Any, kernel: str, *, gamma: float, degree: float, coef0: float) -> Rows:
        """Rows X (n, p), centred where the kernel allows it, or a kernel matrix (n, n)."""
        kind, shape = KINDS[kernel], (float(gamma), float(coef0), float(degree))
        n = X.shape[0]
        columns, sparse, matrix, sizes = np.zeros((0, n)), _NO_SPARSE, _NO_MATRIX, np.zeros(n)
        centre = np.zeros(X.shape[1])
        if kernel == "precomputed":
            matrix = np.require(X, np.float64, ["C", "W"])  # a memory map that may not be written is another type
        elif sp.issparse(X) and X.nnz < _DENSE * n * X.shape[1]:
            sizes = np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64).ravel()
            sparse = _both_ways(X)
            columns = np.zeros((X.shape[1], 0))
        else:
            X = X.toarray() if sp.issparse(X) else X
            # both depend on differences of rows alone (the linear one as sum b = 0): far columns cost no digits then
            if kernel in ("rbf", "linear"):
                centre = X.mean(axis=0)
            columns = np.ascontiguousarray((X - centre).T)
            sizes = np.einsum("ji,ji->i", columns, columns)
        return cls(kind, shape, columns, sizes, sparse, matrix, np.arange(n), centre)

    def __getitem__(self, chosen: NDArray[np.int64]) -> Rows:
        columns, sparse = self.columns, self.sparse
        if len(sparse[2]) > 1:
            sparse = _both_ways(sp.csr_matrix(sparse[:3], shape=(len(self.sizes), len(columns)))[chosen])
        else:
            columns = np.ascontiguousarray(columns[:, chosen])
        return Rows(
            self.kind, self.shape, columns, self.sizes[chosen], sparse, self.matrix, self.ids[chosen], self.centre
        )

    def diagonal(self) -> NDArray[np.float64]:
        """K(x, x) of each row, rounded as cached rows are: two equal rows then have curvature 0 exactly."""
        gamma, coef0, degree = self.shape
        if self.kind == k.PRECOMPUTED:
            value = self.matrix[self.ids, self.ids]
        elif self.kind == k.RBF:
            value = np.ones(len(self.sizes))
        elif self.kind == k.LINEAR:
            value = self.sizes
        elif self.kind == k.POLYNOMIAL:
            with np.errstate(over="ignore"):
                value = (gamma * self.sizes + coef0) ** degree
        else:
            value = np.tanh(gamma * self.sizes + coef0)
        with np.errstate(over="ignore"):
            return value.astype(np.float32).astype(np.float64)

    @property
    def arrays(self) -> tuple:
        return self.kind, self.shape, self.columns, self.sizes, self.sparse, self.matrix, self.ids


def _both_ways(X: Any) -> tuple:
    """A sparse matrix by rows and by columns: products of a row with all others need its columns alone."""
    arrays: list[NDArray] = []
    for M in (X.tocsr(), X.tocsc()):
        arrays += M.data.astype(np.float64), M.indices.astype(np.int32), M.indptr.astype(np.int32)
    return tuple(arrays)


@dataclass(frozen=True)
class Solution:
    """b, the offset that the multiplier of sum b = 0 is, the dual objective, steps, and whether tol was reached."""

    beta: NDArray[np.float64]
    offset: float
    objective: float
    n_steps: int
    gap: float
    converged: bool


def solve(
    rows: Rows,
    p: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    *,
    tol: float,
    max_iter: int,
    shrinking: bool,
    cache_bytes: float,
    n_threads: int = 1,
) -> Solution:
    """Maximise p . b - b . K b / 2 over lower <= b <= upper with sum b = 0, from b = 0.

    Each step moves the pair of variables that promises the largest second-order gain. With g = p - K b, no pair is left
    when max g over those that may rise exceeds min g over those that may fall by less than tol. Variables at a bound
    that no pair would choose rest, and are looked at again at the end.

    Args:
        rows: training rows, n.
        p: linear term, shape (n,).
        lower: <= 0, shape (n,).
        upper: >= 0, shape (n,).
        tol: largest violation of the optimality conditions, > 0.
        max_iter: greatest number of steps; -1 for no limit.
        shrinking: let variables rest.
        cache_bytes: memory for rows of K, float32; at least two are kept.
        n_threads: threads that sum up g anew; the answer does not depend on it.

    References: Fan, Chen & Lin 2005, JMLR 6, algorithm 1 with WSS 2; Chang & Lin 2011, ACM TIST 2(3), section 5
        (shrinking, caching).
    """
    n = len(p)
    beta, g = np.zeros(n), p.astype(np.float64)
    barred = np.vstack([np.where(beta >= upper, _FAR, 0.0), np.where(beta <= lower, _FAR, 0.0)])
    diagonal = rows.diagonal()
    if not np.isfinite(diagonal).all():
        raise ValueError("kernel values of training rows overflow float32: scale X, or make gamma or degree smaller")
    limit = max(1, int(min(cache_bytes, 4.0 * n * n)) // 4)
    flat = np.empty(max(limit, 2 * n), dtype=np.float32)
    budget = max_iter if max_iter >= 0 else np.iinfo(np.int64).max
    taken, restarted = 0, -1
    active = np.arange(n)
    part = _Part(rows, diagonal, g, beta, lower, upper, barred, flat)
    look = min(n, _LOOK) if shrinking else 1 << 40
    while True:
        status, steps, highest, lowest = part.step(tol, min(look, budget - taken))
        taken += steps
        if status == k.CONVERGED or taken >= budget:
            part.give(active, beta, barred)
            if len(active) == n:
                g = part.g
                break
            g = _sum_up(rows, p, beta, n_threads)
            highest, lowest = float((g - barred[0]).max()), float((g + barred[1]).min())
            if highest - lowest < tol or taken >= budget or taken == restarted:  # the last: no digits left to gain
                break
            restarted = taken
            active = np.flatnonzero(~_resting(g, barred, highest, lowest))
            part = _Part(
                rows[active], diagonal[active], g[active], beta[active], lower[active], upper[active],
                np.ascontiguousarray(barred[:, active]), flat,
            )  # fmt: skip
        elif highest - lowest >= tol:
            keep = np.flatnonzero(~_resting(part.g, part.barred, highest, lowest))
            if len(keep) <= _WORTH * len(active):
                part.give(active, beta, barred)
                part = part.shrink(keep)
                active = active[keep]
    free = (barred[0] == 0) & (barred[1] == 0)
    offset = float(g[free].mean()) if free.any() else (highest + lowest) / 2
    objective = 0.5 * float(beta @ p + beta @ g)
    return Solution(beta, offset, objective, taken, highest - lowest, highest - lowest < tol)


def _resting(g: NDArray, barred: NDArray, highest: float, lowest: float) -> NDArray[np.bool_]:
    """At a bound, and on the side of the extreme g where no pair would take it from the bound."""
    return ((barred[0] > 0) & (g > highest)) | ((barred[1] > 0) & (g < lowest))


def _sum_up(rows: Rows, p: NDArray, beta: NDArray, n_threads: int) -> NDArray[np.float64]:
    """g = p - K b from scratch, a range of it a thread."""
    g, moved = p.astype(np.float64), np.flatnonzero(beta)
    if len(rows.sparse[2]) > 1:
        n_threads = 1  # each would make all products
    step = -(-len(g) // n_threads)

    def work(start: int) -> None:
        k.subtract_products(rows.arrays, moved, beta, start, min(start + step, len(g)), g)

    starts = range(0, len(g), step)
    if n_threads == 1:
        work(0)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(work, starts))
    return g


class _Part:
    """The variables that take part now, with the rows of K that are cached for them."""

    def __init__(self, rows, diagonal, g, beta, lower, upper, barred, flat, slots=None):
        self.rows, self.diagonal, self.g, self.flat = rows, diagonal, g, flat
        self.beta, self.lower, self.upper, self.barred = beta.copy(), lower, upper, barred.copy()
        n = len(g)
        places = min(n if n > 1 else 2, len(flat) // n)
        self.cache = flat[: places * n].reshape(places, n)
        if slots is None:
            slots = np.full(n, -1), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(2, np.int64)
        slot_of, held, used, clock = slots
        more = places - len(held)  # shorter rows: more of them
        self.slots = (
            slot_of[:n],
            np.append(held, np.zeros(more, np.int64)),
            np.append(used, np.zeros(more, np.int64)),
            clock,
        )

    def step(self, tol: float, steps: int) -> tuple[int, int, float, float]:
        return k.smo_steps(
            self.rows.arrays, self.diagonal, self.g, self.beta, self.lower, self.upper, self.barred, self.cache,
            self.slots, tol, steps,
        )  # fmt: skip

    def give(self, active: NDArray, beta: NDArray, barred: NDArray) -> None:
        """Write the variables back to where they came from."""
        beta[active] = self.beta
        barred[:, active] = self.barred

    def shrink(self, keep: NDArray[np.int64]) -> _Part:
        """The part that is left when only `keep` go on; their rows stay cached."""
        new_of = np.full(len(self.g), -1)
        new_of[keep] = np.arange(len(keep))
        slot_of, held, used, clock = self.slots
        k.compact_cache(self.flat, keep, new_of, len(self.g), self.slots)
        held, used = held[: max(clock[1], 2)], used[: max(clock[1], 2)]
        return _Part(
            self.rows[keep], self.diagonal[keep], self.g[keep], self.beta[keep], self.lower[keep], self.upper[keep],
            np.ascontiguousarray(self.barred[:, keep]), self.flat, (slot_of, held, used, clock),
        )  # fmt: skip
