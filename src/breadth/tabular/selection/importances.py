"""What a fitted model says of its columns."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def importances_of(model: Any, getter: str | Callable[[Any], Any]) -> NDArray[np.float64]:
    """coef_ or feature_importances_, or what `getter` names or returns: shape (columns,) or (classes, columns).

    Raises:
        ValueError: if the model has none, or getter is neither a string nor a function.
    """
    if callable(getter):
        found = getter(model)
    elif not isinstance(getter, str):
        raise ValueError(f"importance_getter must be 'auto', the path of an attribute or a function, got {getter!r}")
    elif getter != "auto":
        found = attrgetter(getter)(model)
    elif hasattr(model, "coef_"):
        found = model.coef_
    elif hasattr(model, "feature_importances_"):
        found = model.feature_importances_
    else:
        raise ValueError(
            f"{type(model).__name__} has neither coef_ nor feature_importances_ after fit: take a linear model or "
            "trees, or give importance_getter"
        )
    return np.asarray(found.toarray() if sp.issparse(found) else found, dtype=np.float64)


def sizes_of(model: Any, getter: str | Callable[[Any], Any], order: float = 1) -> NDArray[np.float64]:
    """One number >= 0 a column: |importance|, or its norm over classes."""
    found = importances_of(model, getter)
    return np.abs(found) if found.ndim == 1 else np.linalg.norm(found, axis=0, ord=order)
