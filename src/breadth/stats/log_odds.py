"""Probabilities and their log-odds, with all digits on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 16384  # elements that stay in cache from one operation to the next


def sigmoid(x: ArrayLike) -> NDArray[np.float64]:
    """Probability of given log-odds: 1 / (1 + exp(-x)) = exp(x) / (1 + exp(x)).

    The first form below 1 + exp(709), the second beyond, so a probability of 1e-310 is not 0. The other class's
    probability is sigmoid(-x), with all its digits, never the difference 1 - sigmoid(x).

    Args:
        x: log-odds, any shape; infinite ones give 0 and 1, NaN stays NaN.

    Returns:
        Probabilities in [0, 1], the shape of x.

    Raises:
        ValueError: if x is not real numbers.

    Cost: one exponential and one division an element.
    References: Cox 1958, J. R. Stat. Soc. B 20(2), eq. 1 (logistic law); McCullagh & Nelder 1989, Generalized Linear
        Models, 2nd ed., section 4.3.1 (logit and its inverse).
    Peer: scipy.special.expit, float64, 4 units in the last place (A).
    In production: use it on logits; losses take the logits themselves (`log_sigmoid`), never log(sigmoid(x)).
    """
    x = _real(x, "x")
    out = np.empty(x.shape)
    values, results = x.ravel(), out.reshape(-1)
    for start in range(0, x.size, _BLOCK):
        part, to = values[start : start + _BLOCK], results[start : start + _BLOCK]
        np.negative(part, out=to)
        np.minimum(to, 709.0, out=to)
        np.exp(to, out=to)
        to += 1.0
        np.reciprocal(to, out=to)
        if np.fmin.reduce(part) < -708.0:
            far = part < -708.0
            to[far] = np.exp(part[far])
    return out


def log_sigmoid(x: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of the probability of given log-odds: min(x, 0) - log(1 + exp(-|x|)), finite for any finite x.

    Args:
        x: log-odds, any shape.

    Returns:
        Logarithms <= 0, the shape of x.

    Raises:
        ValueError: if x is not real numbers.

    References: Cox 1958, J. R. Stat. Soc. B 20(2), eq. 1.
    Peer: scipy.special.log_expit, float64, 4 units in the last place (A).
    In production: -log_sigmoid(x) is the loss of a row of the positive class, -log_sigmoid(-x) of the other.
    """
    x = _real(x, "x")
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))


def logit(p: ArrayLike) -> NDArray[np.float64]:
    """Log-odds of a probability: log(p / (1 - p)).

    Between 0.375 and 0.625 it is log1p((2 p - 1) / (1 - p)), because p / (1 - p) near 1 has not the digits that its
    logarithm needs.

    Args:
        p: probabilities in [0, 1], any shape; 0 and 1 give -inf and inf, NaN stays NaN.

    Returns:
        Log-odds, the shape of p.

    Raises:
        ValueError: if a probability is outside [0, 1], or p is not real numbers.

    Cost: a logarithm and a division an element, a second logarithm near a half.
    References: Berkson 1944, J. Am. Stat. Assoc. 39(227) (the logit); McCullagh & Nelder 1989, Generalized Linear
        Models, 2nd ed., section 4.3.1.
    Peer: scipy.special.logit, float64, 4 units in the last place (A).
    In production: a coefficient of logistic regression is a difference of logits; exp of it is an odds ratio.
    """
    p = _real(p, "p")
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        wrong = (p < 0) | (p > 1)  # NaN is neither
        if wrong.any():
            raise ValueError(f"p must be within [0, 1], got {p[wrong].ravel()[0]!r}")
    out = np.empty(p.shape)
    values, results = p.ravel(), out.reshape(-1)
    with np.errstate(divide="ignore"):  # 0 and 1 have infinite log-odds
        for start in range(0, p.size, _BLOCK):
            part, to = values[start : start + _BLOCK], results[start : start + _BLOCK]
            np.subtract(1.0, part, out=to)
            np.divide(part, to, out=to)
            np.log(to, out=to)
            near = np.flatnonzero(np.abs(part - 0.5) <= 0.125)
            if len(near):
                close = part[near]
                to[near] = np.log1p((2.0 * close - 1.0) / (1.0 - close))
    return out


def _real(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)
