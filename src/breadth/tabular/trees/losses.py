"""What a boosting loss is outside the gradient pass: its first score, its value, its probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logsumexp, xlogy

from breadth.tabular.trees.loss_kernels import Focal, Logistic, Pinball, Poisson, Softmax, Squared

Weights = np.ndarray | None


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss of gradient boosting."""

    name: str
    formula: Any  # the named tuple that `gradient_pass` is compiled for
    first_score: Callable[[np.ndarray, Weights], np.ndarray]  # (rows,) targets -> (outputs,), the best constant score
    value: Callable[[np.ndarray, np.ndarray, Weights], float]  # targets, scores (rows, outputs) -> mean loss
    largest_hessian: Callable[[np.ndarray, np.ndarray], float]  # targets, first score -> bound for round 1
    leaf_quantile: float | None = None  # leaves take this quantile of the residuals instead of the Newton step
    centred: bool = False  # fitted on y - first score, scaled to about 1


def order_free_mean(values: np.ndarray, weight: Weights) -> float:
    """Mean that does not depend on the order of the rows: the terms are sorted before they are added."""
    if weight is None:
        return float(np.sort(values).sum() / len(values))
    return float(np.sort(values * weight).sum() / np.sort(weight).sum())


def weighted_quantile(values: np.ndarray, q: float, weight: Weights) -> float:
    """A minimiser of the pinball loss: midway between the two order statistics where the weight below is exactly q."""
    if weight is None:
        rank = q * len(values)
        low = int(np.ceil(rank)) - 1
        high = low + 1 if rank == int(rank) else low
        low, high = max(low, 0), min(max(high, 0), len(values) - 1)
        part = np.partition(values, (low, high))
        return float(0.5 * (part[low] + part[high]))
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order].astype(np.float64))
    rank = q * below[-1]
    low = int(np.searchsorted(below, rank * (1 - 1e-12)))
    high = int(np.searchsorted(below, rank * (1 + 1e-12), side="right"))
    high = min(high, len(values) - 1)
    return float(0.5 * (values[order[low]] + values[order[high]]))


def _mean(terms: np.ndarray, weight: Weights) -> float:
    return float(np.average(terms, weights=weight))


def cross_entropy() -> Loss:
    """Binary cross entropy in nats; targets 0 and 1; the score is the log-odds."""

    def first(y: np.ndarray, w: Weights) -> np.ndarray:
        p = np.clip(order_free_mean(y, w), 1e-12, 1 - 1e-12)  # all the weight may be on one class
        return np.array([np.log(p) - np.log1p(-p)])

    return Loss(
        "log_loss",
        Logistic(),
        first,
        lambda y, s, w: _mean(-log_expit(np.where(y > 0, s[:, 0], -s[:, 0])), w),
        lambda y, s: 0.25,
    )


def focal_probability(score: np.ndarray, gamma: float, alpha: float | None) -> np.ndarray:
    """P(y = 1) of which `score` is the focal risk's minimiser.

    Setting eta L1'(s) + (1 - eta) L0'(s) = 0 gives eta = A / (A + B) with p = sigmoid(s), q = 1 - p,
    A = alpha0 p^gamma (p - gamma q log q), B = alpha1 q^gamma (q - gamma p log p).

    References: Charoenphakdee et al. 2021, arXiv:2011.09172, theorem 11.
    """
    p, q = expit(score), expit(-score)
    alpha1 = 0.5 if alpha is None else alpha
    log_a = np.log1p(-alpha1) + gamma * log_expit(score) + np.log(p - gamma * xlogy(q, q))
    log_b = np.log(alpha1) + gamma * log_expit(-score) + np.log(q - gamma * xlogy(p, p))
    return expit(log_a - log_b)


def focal(gamma: float, alpha: float | None) -> Loss:
    """Binary focal loss; `alpha` reaches the gradient pass as a row weight."""

    def first(y: np.ndarray, w: Weights) -> np.ndarray:
        base_rate = np.clip(order_free_mean(y, w), 1e-12, 1 - 1e-12)
        return np.array([brentq(lambda s: float(focal_probability(np.array(s), gamma, alpha)) - base_rate, -40, 40)])

    def value(y: np.ndarray, s: np.ndarray, w: Weights) -> float:
        z = np.where(y > 0, s[:, 0], -s[:, 0])
        balance = 1.0 if alpha is None else np.where(y > 0, alpha, 1 - alpha)
        return _mean(-balance * np.exp(gamma * log_expit(-z)) * log_expit(z), w)

    return Loss("focal", Focal(float(gamma)), first, value, lambda y, s: 1.0 + 2.0 * gamma)


def multinomial(n_classes: int) -> Loss:
    """Multinomial cross entropy in nats; targets 0 to n_classes - 1; a score per class."""

    def first(y: np.ndarray, w: Weights) -> np.ndarray:
        return np.log([max(order_free_mean((y == c).astype(np.float64), w), 1e-15) for c in range(n_classes)])

    def value(y: np.ndarray, s: np.ndarray, w: Weights) -> float:
        return _mean(logsumexp(s, axis=1) - s[np.arange(len(y)), y.astype(np.intp)], w)

    factor = n_classes / (n_classes - 1)
    return Loss("log_loss", Softmax(factor), first, value, lambda y, s: 0.25 * factor)


def squared_error() -> Loss:
    """Half the squared error; the score is the mean."""
    return Loss(
        "squared_error",
        Squared(),
        lambda y, w: np.array([order_free_mean(y, w)]),
        lambda y, s, w: 0.5 * _mean((y - s[:, 0]) ** 2, w),
        lambda y, s: 1.0,
        centred=True,
    )


def pinball(name: str, q: float, scale: float) -> Loss:
    """Quantile loss; the score is the q-quantile. `scale` 2 makes q = 1/2 the absolute error."""

    def value(y: np.ndarray, s: np.ndarray, w: Weights) -> float:
        d = y - s[:, 0]
        return scale * _mean(np.maximum(q * d, (q - 1) * d), w)

    return Loss(
        name,
        Pinball(float(q)),
        lambda y, w: np.array([weighted_quantile(y, q, w)]),
        value,
        lambda y, s: 1.0,
        leaf_quantile=float(q),
        centred=True,
    )


def poisson() -> Loss:
    """Half the Poisson deviance; targets >= 0; the score is the log of the mean."""

    def first(y: np.ndarray, w: Weights) -> np.ndarray:
        return np.array([np.log(order_free_mean(y, w))])

    def value(y: np.ndarray, s: np.ndarray, w: Weights) -> float:
        return _mean(xlogy(y, y) - y - y * s[:, 0] + np.exp(s[:, 0]), w)

    return Loss("poisson", Poisson(), first, value, lambda y, s: float(np.exp(s[0])))
