"""What a Gaussian mixture is told before it starts: settings checked, precisions turned into covariances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_settings(model: Any, n: int, covariance_types: Sequence[str], inits: Sequence[str]) -> None:
    """An error that names the setting, what it is and what it may be.

    Args:
        model: the estimator, with n_features_in_.
        n: rows.
        covariance_types: what covariance_type may be.
        inits: what init_params may be.
    """
    for name, least in (("n_components", 1), ("n_init", 1), ("max_iter", 0)):
        value = getattr(model, name)
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    for name in ("tol", "reg_covar"):
        if not 0 <= getattr(model, name) < np.inf:
            raise ValueError(f"{name} must be finite and >= 0, got {getattr(model, name)!r}")
    for name, allowed in (("covariance_type", covariance_types), ("init_params", inits)):
        if getattr(model, name) not in allowed:
            raise ValueError(f"{name} must be one of {tuple(allowed)}, got {getattr(model, name)!r}")
    k, p = model.n_components, model.n_features_in_
    if k > n:
        raise ValueError(f"n_components must be at most n_samples = {n}, got {k}")
    if model.weights_init is not None:
        weights = _finite("weights_init", model.weights_init, (k,))
        if (weights < 0).any() or abs(weights.sum() - 1) > 1e-6:
            raise ValueError(f"weights_init must be >= 0 and sum to 1, got {weights.tolist()}")
    if model.means_init is not None:
        _finite("means_init", model.means_init, (k, p))
    if model.precisions_init is not None:
        shape = {"full": (k, p, p), "tied": (p, p), "diag": (k, p), "spherical": (k,)}[model.covariance_type]
        _finite("precisions_init", model.precisions_init, shape)


def _finite(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    given = np.asarray(value, dtype=np.float64)
    if given.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {given.shape}")
    if not np.isfinite(given).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return given


def given_covariances(precisions: ArrayLike | None, covariance_type: str, k: int) -> NDArray[np.float64] | None:
    """Inverses of precisions, which must be positive (definite), in their shape; None of None."""
    if precisions is None:
        return None
    given = np.asarray(precisions, dtype=np.float64)
    if covariance_type in ("diag", "spherical"):
        if not (given > 0).all():
            raise ValueError(f"precisions_init must be > 0, got a least entry of {given.min()}")
        return 1 / given
    stacked = given[None] if covariance_type == "tied" else given
    covariances = np.empty_like(stacked)
    for j, precision in enumerate(stacked):
        which = "" if covariance_type == "tied" else f"[{j}]"
        if not np.allclose(precision, precision.T):
            raise ValueError(f"precisions_init{which} must be symmetric")
        try:
            inverse = np.linalg.inv(np.linalg.cholesky(precision))
        except np.linalg.LinAlgError:
            raise ValueError(f"precisions_init{which} must be positive definite") from None
        covariances[j] = inverse.T @ inverse
    return covariances[0] if covariance_type == "tied" else covariances
