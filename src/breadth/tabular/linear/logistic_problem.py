"""The penalised mean loss that logistic regression minimises, in coordinates that suit L-BFGS."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.sparsefuncs import mean_variance_axis

from breadth.tabular.linear.logistic_rows import DenseRows, worth_a_kernel

BLOCK_ROWS = 4096  # rows visited at a time: logits, their exponentials and the rows themselves stay in cache


class LogisticProblem:
    """The penalised mean loss in centred and scaled coordinates.

    `theta` has a row of (features scaled, intercept) for each linear predictor: one row with two classes, one a class
    with more.
    """

    def __init__(self, X, codes: NDArray, weight: NDArray, ridge: float, n_classes: int, fit_intercept: bool):
        self.codes, self.weight, self.ridge = codes, weight, ridge
        self.blocks = [(slice(i, i + BLOCK_ROWS), X[i : i + BLOCK_ROWS]) for i in range(0, len(codes), BLOCK_ROWS)]
        self.fit_intercept, self.n_classes, self.n_features = fit_intercept, n_classes, X.shape[1]
        self.binary = n_classes == 2
        self.n_rows = 1 if self.binary else n_classes  # rows of theta
        self.dense = DenseRows(X, weight) if self.binary and worth_a_kernel(X) else None
        if self.dense:
            mean, variance = self.dense.moments()
        else:
            mean, variance = mean_variance_axis(X, axis=0, weights=weight) if sp.issparse(X) else self._moments()
        if not fit_intercept:
            mean, variance = np.zeros_like(mean), variance + mean**2
        self.shift = mean
        # Constant beside an intercept: rounding is no spread to divide by, and no reason to step along it.
        self.still = np.sqrt(variance) <= 16 * np.finfo(np.float64).eps * np.abs(mean)
        # An average curvature of 1/4 makes diag(variance) / 4 + ridge the Hessian's diagonal, up to a factor.
        self.scale = np.where(self.still, 1.0, np.sqrt(variance + 4 * ridge))
        self.sign = np.where(codes == 1, 1.0, -1.0)  # of the margin, with two classes

    def to_raw_units(self, theta: NDArray) -> tuple[NDArray, NDArray]:
        """Coefficients and intercepts for X as it was given."""
        coef = theta[:, :-1] / self.scale
        return coef, theta[:, -1] - coef @ self.shift

    def from_raw_units(self, coef: NDArray, intercept: NDArray) -> NDArray:
        """The `theta` of which these are the coefficients (K, p) and intercepts (K,)."""
        return np.column_stack([coef * self.scale, intercept + coef @ self.shift])

    def _moments(self) -> tuple[NDArray, NDArray]:
        """Weighted mean and variance of each column of a dense X; the weights sum to 1."""
        mean = np.zeros(self.n_features)
        for rows, X in self.blocks:
            mean += self.weight[rows] @ X
        variance, rest = np.zeros_like(mean), np.zeros_like(mean)
        for rows, X in self.blocks:
            centred = X - mean
            rest += self.weight[rows] @ centred  # what rounding left of the mean
            variance += self.weight[rows] @ np.square(centred, out=centred)
        return mean + rest, np.maximum(variance - rest**2, 0.0)

    def loss_and_gradient(self, flat: NDArray) -> tuple[float, NDArray]:
        """Objective and gradient, shape (theta,), in one pass: a block of X is read for its logits and used at once."""
        theta = flat.reshape(self.n_rows, -1)
        coef, intercept = self.to_raw_units(theta)
        loss, total, pull = 0.0, np.zeros(self.n_rows), np.zeros_like(coef)
        if self.dense:
            loss, total[0], pull[0] = self.dense.pull(self.sign, coef[0], float(intercept[0]))
        for rows, X in () if self.dense else self.blocks:
            logits = np.ascontiguousarray(coef @ X.T)  # (1, B) or (K, B)
            logits += intercept[:, None]
            if self.binary:
                row_loss, slope = binary_loss(logits, self.sign[rows])
            else:
                row_loss, slope = multinomial_loss(logits, self.codes[rows])
            weight = self.weight[rows]
            slope *= weight  # weighted derivative by each logit
            loss += float(np.vdot(weight, row_loss))
            total += slope.sum(axis=1)
            pull += slope @ X
        gradient = np.empty_like(theta)
        gradient[:, :-1] = (pull - np.outer(total, self.shift) + self.ridge * coef) / self.scale
        gradient[:, :-1][:, self.still] = 0.0
        gradient[:, -1] = total if self.fit_intercept else 0.0
        return loss + 0.5 * self.ridge * float(np.vdot(coef, coef)), gradient.ravel()


def binary_loss(logit: NDArray, sign: NDArray) -> tuple[NDArray, NDArray]:
    """log(1 + exp(-m)) and its derivative by the logit, m = sign x logit, from one exponential of -|m|."""
    margin = sign * logit
    e = np.exp(-np.abs(margin))
    wrong = np.where(margin > 0, e, 1.0) / (1.0 + e)  # sigmoid(-m), with all its digits on both sides
    wrong *= -sign
    return np.log1p(e) - np.minimum(margin, 0.0), wrong


def multinomial_loss(logits: NDArray, codes: NDArray) -> tuple[NDArray, NDArray]:
    """-log softmax(logits)[code] and its derivative, softmax(logits) - onehot(code), (K, B); overwrites logits."""
    rows = np.arange(len(codes))
    logits -= logits.max(axis=0)
    own = logits[codes, rows]  # a copy
    np.exp(logits, out=logits)
    total = logits.sum(axis=0)
    logits /= total
    logits[codes, rows] -= 1.0
    return np.log(total) - own, logits
