"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from breadth.compilation import run_each
from breadth.recommend.als import ImplicitALS
from breadth.recommend.als_explicit import ExplicitALS


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of both factorisations and of picking the best items.

    Args:
        progress: called with one line for each step.
    """
    ratings = sp.random(30, 20, density=0.3, format="csr", random_state=np.random.default_rng(0))
    few = {"factors": 4, "iterations": 1, "random_state": 0}

    def used(model: Any) -> None:
        model.fit(ratings)
        model.recommend(0, 5)

    models = {
        "implicit ALS": ImplicitALS(**few),
        "implicit ALS, float64": ImplicitALS(dtype="float64", **few),
        "implicit ALS, Cholesky": ImplicitALS(solver="cholesky", **few),
        "implicit ALS, Cholesky, float64": ImplicitALS(solver="cholesky", dtype="float64", **few),
        "explicit ALS": ExplicitALS(**few),
    }
    run_each(((f"recommend, {name}", lambda model=model: used(model)) for name, model in models.items()), progress)
