"""Logistic regression with an absolute penalty: Newton's method, each step a lasso by coordinate descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from breadth.tabular.linear.lasso_kernels import descend

_BLOCK_ROWS = 2048
_LEAST_CURVATURE = 1e-6  # of a row, of weight 1: steps stay finite where classes are far apart
_FORCING = 0.1  # a step's own lasso is solved to this share of how far off the gradient is
_ALL_COLUMNS = 64  # so few are all looked at; of more, those not 0 or that the gradient moves

RowLosses = Callable[[NDArray], tuple[NDArray, NDArray]]  # logits (K, n), overwritten -> losses (n,), slopes (K, n)


@dataclass(frozen=True, slots=True)
class SparseFit:
    """Coefficients (K, p), intercepts (K,), rounds over the classes, and how far off a gradient is at most."""

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    rounds: int
    violation: float


def fit_sparse(
    X: Any,
    onehot: NDArray,
    weight: NDArray,
    row_losses: RowLosses,
    start: tuple[NDArray, NDArray],
    *,
    l1: float,
    l2: float,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
) -> SparseFit:
    """Minimise sum_i w_i loss_i + l1 |coef|_1 + l2 |coef|^2 / 2, one class's row of coefficients after another.

    For a row the loss is replaced by its second-order expansion, the penalised quadratic minimised over a working set,
    and the step shortened until the objective falls as it should (Armijo).

    Args:
        X: features, shape (n, p), dense or scipy csr.
        onehot: which row belongs to which linear predictor, shape (K, n); K = 1 with two classes.
        weight: of rows, shape (n,), sum 1.
        row_losses: losses and their derivatives by the logits.
        start: coefficients (K, p) and intercepts (K,) to start from.
        l1, l2: strengths of the penalties, >= 0.
        fit_intercept: move the intercepts.
        tol: stop when no component of the gradient is further from where the penalty lets it be.
        max_iter: greatest number of rounds.

    Returns:
        What was found.

    Cost: a step n |A|^2 operations for |A| columns in the working set, and three products with X.

    References: Friedman, Hastie & Tibshirani 2010, J. Stat. Software 33(1), eqs. 15-17 (two classes) and section 4.1
        (more); Yuan, Ho & Lin 2012, JMLR 13, eqs. 8 and 20 (Newton steps with a line search); Lee, Sun & Saunders
        2014, SIAM J. Optim. 24(3), algorithm 1 (convergence).
    """
    kinds, p = len(onehot), X.shape[1]
    mean = np.asarray(X.T @ weight).ravel() if fit_intercept else np.zeros(p)
    coef = start[0].copy()
    intercept = start[1] + coef @ mean
    logits = np.repeat(intercept[:, None], X.shape[0], axis=1)  # (K, n), kept up to date
    if coef.any():
        logits += (X @ coef.T).T - (coef @ mean)[:, None]
    losses, slopes = row_losses(logits.copy())
    worst = np.full(kinds, np.inf)
    rounds = 0
    for rounds in range(max_iter + 1):
        for k in range(kinds):
            slope = slopes[k] * weight
            gradient = np.asarray(X.T @ slope).ravel() - mean * slope.sum() + l2 * coef[k]
            off = _distance(gradient, coef[k], l1)
            worst[k] = max(off.max(initial=0.0), abs(slope.sum()) if fit_intercept else 0.0)
            if worst[k] <= tol or rounds == max_iter:
                continue
            A = np.arange(p) if p <= _ALL_COLUMNS else np.flatnonzero((coef[k] != 0) | (off > 0))
            proba = slopes[k] + onehot[k]
            curvature = weight * np.maximum(proba * (1.0 - proba), _LEAST_CURVATURE)
            H = _hessian(X, A, mean, curvature)
            H[np.arange(len(A)), np.arange(len(A))] += l2
            if not fit_intercept:
                H[-1, :] = H[:, -1] = 0.0
            w = np.append(coef[k, A], 0.0)  # the last is the intercept's step
            before = w.copy()
            q = -np.append(gradient[A], slope.sum() if fit_intercept else 0.0)
            bounds = np.append(np.full(len(A), l1), 0.0)
            pulls = q + H @ w
            descend(H, q, w, pulls, bounds, False, 0.0, -1.0, _FORCING * worst[k], 1000)
            step = w - before
            moved = np.asarray(X[:, A] @ step[:-1]).ravel() + (step[-1] - mean[A] @ step[:-1])
            promise = gradient[A] @ step[:-1] + slope.sum() * step[-1]
            promise += l1 * (np.abs(w[:-1]).sum() - np.abs(before[:-1]).sum())
            length, now = 1.0, float(weight @ losses)
            while True:
                trial = logits.copy()
                trial[k] += length * moved
                found = row_losses(trial)
                reached = before[:-1] + length * step[:-1]
                rise = float(weight @ found[0]) - now + l1 * (np.abs(reached).sum() - np.abs(before[:-1]).sum())
                rise += 0.5 * l2 * (reached @ reached - before[:-1] @ before[:-1])
                if rise <= 1e-4 * length * promise + 1e-15 * (1.0 + now) or length < 1e-10:
                    break
                length *= 0.5
            logits[k] += length * moved
            coef[k, A] = w[:-1] if length == 1.0 else reached
            intercept[k] += length * step[-1]
            losses, slopes = found
        if worst.max() <= tol:
            break
    return SparseFit(coef, intercept - coef @ mean, rounds, float(worst.max()))


def _distance(gradient: NDArray, w: NDArray, l1: float) -> NDArray[np.float64]:
    """How far each component is from where it may be: -l1 sign(w), or anywhere within l1 where w is 0."""
    return np.where(w == 0, np.maximum(np.abs(gradient) - l1, 0.0), np.abs(gradient + l1 * np.sign(w)))


def _hessian(X: Any, A: NDArray, mean: NDArray, curvature: NDArray) -> NDArray[np.float64]:
    """Of the centred columns in A and a column of ones, weighted by curvature, shape (|A| + 1, |A| + 1)."""
    size = len(A) + 1
    if sp.issparse(X):
        own = X[:, A]
        sums = np.asarray(own.T @ curvature).ravel()
        total, shift = curvature.sum(), mean[A]
        H = np.empty((size, size))
        H[:-1, :-1] = (own.T @ own.multiply(curvature[:, None]).tocsr()).toarray()
        H[:-1, :-1] -= np.outer(sums, shift) + np.outer(shift, sums) - total * np.outer(shift, shift)
        H[-1, :-1] = H[:-1, -1] = sums - total * shift
        H[-1, -1] = total
        return H
    H = np.zeros((size, size), order="F")
    root = np.sqrt(curvature)
    every = len(A) == X.shape[1]
    for i in range(0, X.shape[0], _BLOCK_ROWS):
        rows = X[i : i + _BLOCK_ROWS]
        block = np.ones((len(rows), size))
        np.subtract(rows if every else rows[:, A], mean[A], out=block[:, :-1])
        block *= root[i : i + len(rows), None]
        H = dsyrk(1.0, block.T, beta=1.0, c=H, overwrite_c=1)  # the upper triangle
    upper = np.triu(H, 1)
    return np.ascontiguousarray(upper + upper.T + np.diag(np.diag(H)))
