"""A penalised least-squares problem for coordinate descent: few products with X, which is never copied or densified."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from breadth.tabular.linear.lasso_kernels import descend, duality_gap

_BLOCK_ROWS = 2048
_FEW_ROWS, _NEAR = 64, 1e3  # spreads of the first rows within which a mean in one pass has 12 digits of a spread
_FIRST_SET = 128  # columns in a working set, at least, if so many are there
_PART = 0.03  # of the gap, to which a working set is solved while more columns are to come
_LATER = 0.3  # share of the tolerance left to a working set: what other columns add must fit into the rest


class LassoProblem:
    """|y - b - X w|^2 / 2 averaged with weights, for any number of targets; columns and targets centred implicitly.

    With `whole` all products of columns are formed once. Otherwise those of columns in working sets only, and the
    gradient comes from residuals at the end of each, which also takes away what rounding left.
    """

    def __init__(self, X: Any, Y: NDArray, weight: NDArray | None, fit_intercept: bool, whole: bool):
        n, p = X.shape
        self.X, self.n, self.p = X, n, p
        self.weighted = weight is not None
        self.weight = np.full(n, 1.0 / n) if weight is None else weight / weight.sum()
        self.mean, self.y_mean = np.zeros(p), np.zeros(Y.shape[1])
        if fit_intercept:
            self.mean, self.y_mean = _mean(X, self.weight), _mean(Y, self.weight)
        self.centred = fit_intercept
        self.Y = Y - self.y_mean
        self.square = np.einsum("i,it,it->t", self.weight, self.Y, self.Y)
        self.held = np.zeros(0, dtype=np.intp)  # columns whose products are known
        self.products = np.zeros((0, 0))
        self.whole = whole
        if whole:
            self.products = self._all_products()

    @cached_property
    def pulls(self) -> NDArray[np.float64]:
        """X'y with centred columns, averaged, shape (p, t)."""
        return self._back(self.weight[:, None] * self.Y)

    def _back(self, V: NDArray) -> NDArray:
        """X'V with centred columns."""
        out = np.asarray(self.X.T @ V)
        return out - (np.outer(self.mean, V.sum(axis=0)) if V.ndim == 2 else self.mean * V.sum())

    def _all_products(self) -> NDArray:
        if sp.issparse(self.X):
            return self._products_between(np.arange(self.p), np.arange(self.p))
        if not (self.centred or self.weighted):
            return self.X.T @ self.X / self.n
        total, pulls = np.zeros((self.p, self.p)), np.zeros((self.p, self.Y.shape[1]))
        root = np.sqrt(self.weight)
        buffer = np.empty((_BLOCK_ROWS, self.p))
        for start in range(0, self.n, _BLOCK_ROWS):
            rows = self.X[start : start + _BLOCK_ROWS]
            own = root[start : start + len(rows), None]
            block = np.subtract(rows, self.mean, out=buffer[: len(rows)])
            block *= own
            total += block.T @ block  # NumPy's, as all products here: two packages' thread pools would fight
            pulls += block.T @ (own * self.Y[start : start + len(rows)])
        self.pulls = pulls
        return total

    def _products_between(self, A: NDArray, B: NDArray) -> NDArray:
        if sp.issparse(self.X):
            left = self.X[:, A]
            right = left if A is B else self.X[:, B]
            out = (left.T @ right.multiply(self.weight[:, None]).tocsc()).toarray()
            return out - np.outer(self.mean[A], self.mean[B])
        left = self.X[:, A] - self.mean[A]
        left *= self.weight[:, None]
        return left.T @ (self.X[:, B] - self.mean[B])

    def _products_of(self, A: NDArray) -> tuple[NDArray, NDArray]:
        """The columns A in the order that costs least, and their products, which are not to be written to."""
        new = np.setdiff1d(A, self.held)
        if len(new):
            together = np.concatenate([self.held, new])
            old, size = len(self.held), len(together)
            grown = np.empty((size, size))
            grown[:old, :old] = self.products
            grown[old:] = self._products_between(new, together)
            grown[:old, old:] = grown[old:, :old].T
            self.held, self.products = together, grown
        if len(A) == len(self.held):
            return self.held, self.products
        order = np.argsort(self.held)
        at = order[np.searchsorted(self.held, A, sorter=order)]
        return A, self.products[np.ix_(at, at)]

    def gradient(self, w: NDArray, t: int) -> NDArray:
        """Minus the gradient of the averaged loss, shape (p,)."""
        if self.whole:
            return self.pulls[:, t] - self.products @ w
        used = np.flatnonzero(w)
        fitted = self.X[:, used] @ w[used] if sp.issparse(self.X) or len(used) < self.p // 4 else self.X @ w
        return self._back(self.weight * (self.Y[:, t] - fitted + self.mean @ w))

    def solve(
        self,
        w: NDArray,
        t: int,
        l1: float,
        l2: float,
        *,
        positive: bool,
        tol: float,
        max_iter: int,
        last_l1: float | None = None,
    ) -> tuple[float, int]:
        """Take w (p,), in place, to within tol x (weighted mean square of y) of the optimum.

        last_l1 is the penalty at whose optimum w is, for the sequential strong rule.

        Returns:
            The duality gap, and the sweeps taken.
        """
        target, square = tol * self.square[t], float(self.square[t])
        if self.whole:
            return self._solve_whole(w, t, l1, l2, positive, target, square, max_iter)
        epochs, kept = 0, np.zeros(0, dtype=np.intp)
        size, target_set = _FIRST_SET, np.inf
        while True:
            q = self.gradient(w, t) - l2 * w
            gap = self._gap(q, w, t, l1, l2, positive, square)
            if gap <= target or epochs >= max_iter:
                return gap, epochs
            used = np.flatnonzero(w)
            strength = q if positive else np.abs(q)
            bound = l1 if last_l1 is None else min(l1, 2 * l1 - last_l1)
            wanted = np.flatnonzero(strength >= bound)
            size = max(size, 2 * len(used))
            if len(wanted) > size:
                wanted = wanted[np.argsort(-strength[wanted], kind="stable")[:size]]
            A = np.union1d(np.union1d(used, wanted), kept)
            if len(A) > len(kept):
                target_set = max(_LATER * target, _PART * gap)
            else:  # nothing more to add: what is left is the set's own tolerance, or rounding
                target_set = _LATER * target if target_set > _LATER * target else 0.0
            A, G = self._products_of(A)
            if l2:
                G = G.copy()
                G[np.diag_indices(len(A))] += l2
            w_set, q_set = w[A], q[A]
            pulls = q_set + G @ w_set
            before = w_set.copy()
            epochs += descend(
                G, q_set, w_set, pulls, np.full(len(A), l1), positive, square, target_set, 0.0, max_iter - epochs
            )
            w[A] = w_set
            if target_set == 0.0 and np.allclose(before, w_set, rtol=1e-15, atol=0):
                return gap, epochs
            kept, size = A, 2 * size

    def _solve_whole(self, w, t, l1, l2, positive, target, square, max_iter) -> tuple[float, int]:
        G = self.products
        if l2:
            G = G.copy()
            G[np.diag_indices(self.p)] += l2
        pulls = np.ascontiguousarray(self.pulls[:, t])
        q, bounds = pulls - G @ w, np.full(self.p, l1)
        gap = self._gap(q, w, t, l1, l2, positive, square)
        if l1 > 0 and gap <= target:
            return gap, 0
        violation = 0.0 if l1 > 0 else np.sqrt(2 * l2 * target / self.p)  # gap <= p violation^2 / (2 l2)
        epochs = descend(G, q, w, pulls, bounds, positive, square, target if l1 > 0 else -1.0, violation, max_iter)
        return self._gap(q, w, t, l1, l2, positive, square), epochs

    def _gap(self, q, w, t, l1, l2, positive, square) -> float:
        """q = minus the gradient, of the ridge too."""
        if l1 > 0:
            pulls = np.ascontiguousarray(self.pulls[:, t])
            return duality_gap(q, w, pulls, np.full(self.p, l1), positive, square)
        miss = np.maximum(q, -l2 * w) if positive else q
        return float(miss @ miss) / (2 * l2)


def _mean(A: Any, weight: NDArray) -> NDArray:
    """Weighted column means; dense columns far from 0 are corrected by the mean of what they leave over."""
    mean = np.asarray(A.T @ weight).ravel()
    if sp.issparse(A) or (np.abs(mean) <= _NEAR * A[:_FEW_ROWS].std(axis=0)).all():
        return mean
    correction = np.zeros_like(mean)
    for start in range(0, len(weight), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        correction += weight[rows] @ (A[rows] - mean)
    return mean + correction
