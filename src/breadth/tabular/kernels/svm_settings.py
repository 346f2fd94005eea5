"""What the kernel machines have in common before they are fitted: settings in range, gamma, rows for the solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from breadth.tabular.kernels.gram import kernel_between
from breadth.tabular.kernels.smo import KINDS, Rows

Kernel = Literal["linear", "poly", "rbf", "sigmoid", "precomputed"] | Callable


def check_svm_parameters(model: Any) -> None:
    """What kernel machines have in common is in its range.

    Raises:
        ValueError: if a parameter is not.
    """
    if not (callable(model.kernel) or model.kernel in KINDS):
        raise ValueError(f"kernel must be one of {', '.join(map(repr, KINDS))} or a function, got {model.kernel!r}")
    for name in ("C", "tol", "cache_size"):
        value = getattr(model, name)
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be > 0 and finite, got {value!r}")
    if model.kernel == "poly" and not model.degree >= 0:
        raise ValueError(f"degree must be >= 0, got {model.degree!r}")
    if model.max_iter < -1 or model.max_iter == 0:
        raise ValueError(f"max_iter must be >= 1, or -1 for no limit, got {model.max_iter!r}")
    if not np.isfinite(model.coef0):
        raise ValueError(f"coef0 must be finite, got {model.coef0!r}")


def resolve_gamma(gamma: Literal["scale", "auto"] | float, X: Any, kernel: Kernel) -> float:
    """The number that gamma stands for; 1 where the kernel has none."""
    if kernel == "precomputed" or callable(kernel):
        return 1.0
    if gamma == "auto":
        return 1.0 / X.shape[1]
    if gamma == "scale":
        variance = X.multiply(X).mean() - X.mean() ** 2 if sp.issparse(X) else X.var()
        return 1.0 / (X.shape[1] * variance) if variance > 0 else 1.0
    if isinstance(gamma, str) or not 0 < gamma < np.inf:
        raise ValueError(f"gamma must be 'scale', 'auto' or a finite number > 0, got {gamma!r}")
    return float(gamma)


def training_rows(X: Any, model: Any) -> Rows:
    """X as the solver reads it; a function's kernel matrix is computed whole."""
    kernel = model.kernel
    if callable(kernel):
        X, kernel = kernel_between(X, X, kernel, gamma=None, degree=0, coef0=0), "precomputed"
    return Rows.of(X, kernel, gamma=model._gamma, degree=model.degree, coef0=model.coef0)
