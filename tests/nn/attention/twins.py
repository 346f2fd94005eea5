"""Linear attention by its definition in NumPy: every score is there, as a logarithm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]


def log_elu_plus_one(x: Array) -> Array:
    return np.where(x > 0, np.log1p(np.maximum(x, 0)), x)


def log_relu(x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(x, 0))


def log_positive_features(projection: Array, scale: float) -> Callable[[Array], Array]:
    """FAVOR+'s exponents, with x' = sqrt(scale) x."""

    def log_features(x: Array) -> Array:
        x = np.sqrt(scale) * x
        return np.einsum("...e,me->...m", x, projection) - 0.5 * np.sum(x * x, -1, keepdims=True)

    return log_features


def quadratic(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    log_features: Callable[[Array], Array],
    *,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """sum_j s_ij v_j / sum_j s_ij with log s_ij = logsumexp_f(log phi(q_i)_f + log phi(k_j)_f), float64."""
    (batch, heads, length, _), (shared, n_keys) = q.shape, k.shape[1:3]
    out = np.zeros((batch, heads, length, v.shape[-1]))
    for b in range(batch):
        for h in range(heads):
            keys = log_features(k[b, h * shared // heads].double().numpy())
            values = v[b, h * shared // heads].double().numpy()
            queries = log_features(q[b, h].double().numpy())
            for i in range(length):
                seen = [
                    j
                    for j in range(n_keys)
                    if (not causal or j <= i + n_keys - length) and (mask is None or bool(mask[b, 0, 0, j]))
                ]
                if not seen:
                    continue
                log_scores = logsumexp(queries[i] + keys[seen], axis=-1)
                top = log_scores.max()
                if top == -np.inf:  # no feature in common
                    continue
                weights = np.exp(log_scores - top)
                out[b, h, i] = weights @ values[seen] / weights.sum()
    return torch.tensor(out)
